# The layer and two durable functions, in Terraform. build.sh makes the files that are named
# here: `bash deploy/lambda/build.sh && terraform -chdir=deploy/lambda apply`.

terraform {
  required_version = ">= 1.5"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.4"
    }
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.25" # the first with durable_config
    }
  }
}

variable "architecture" {
  description = "What build.sh was given: x86_64 or arm64"
  type        = string
  default     = "x86_64"
}

locals {
  build = "${path.module}/../../build/lambda"

  functions = {
    order = {
      runtime = "python3.13"
      handler = "app.handler"
      code    = "${path.module}/order"
    }
    order-c = {
      runtime = "provided.al2023"
      handler = "bootstrap"
      code    = "${local.build}/order-c"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

# --- the layer ---------------------------------------------------------------------------------

resource "aws_lambda_layer_version" "durabled" {
  layer_name               = "durabled"
  description              = "The durabled extension, its wrapper, and the client for Python"
  filename                 = "${local.build}/layer.zip"
  source_code_hash         = filebase64sha256("${local.build}/layer.zip")
  compatible_architectures = [var.architecture]
  license_info             = "Apache-2.0"
}

# --- what the functions may do -----------------------------------------------------------------

data "aws_iam_policy_document" "lambda" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

# A durable execution belongs to a version, so the resource has a qualifier: without the last
# `:*` every call is refused.
data "aws_iam_policy_document" "durable" {
  for_each = local.functions

  statement {
    actions = [
      "lambda:CheckpointDurableExecution",
      "lambda:GetDurableExecutionState",
    ]
    resources = [
      "arn:${data.aws_partition.current.partition}:lambda:${data.aws_region.current.region}:${data.aws_caller_identity.current.account_id}:function:${each.key}:*",
    ]
  }
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  name_prefix        = "durabled-${each.key}-"
  assume_role_policy = data.aws_iam_policy_document.lambda.json
}

resource "aws_iam_role_policy" "durable" {
  for_each = local.functions

  name   = "durable-execution"
  role   = aws_iam_role.function[each.key].id
  policy = data.aws_iam_policy_document.durable[each.key].json
}

resource "aws_iam_role_policy_attachment" "logs" {
  for_each = local.functions

  role       = aws_iam_role.function[each.key].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

# --- the functions -----------------------------------------------------------------------------

data "archive_file" "code" {
  for_each = local.functions

  type        = "zip"
  source_dir  = each.value.code
  output_path = "${local.build}/${each.key}.zip"
}

resource "aws_lambda_function" "function" {
  for_each = local.functions

  function_name    = each.key
  role             = aws_iam_role.function[each.key].arn
  runtime          = each.value.runtime
  handler          = each.value.handler
  architectures    = [var.architecture]
  filename         = data.archive_file.code[each.key].output_path
  source_code_hash = data.archive_file.code[each.key].output_base64sha256
  layers           = [aws_lambda_layer_version.durabled.arn]
  memory_size      = 256
  timeout          = 60
  publish          = true

  # Set when a function is created, and never added later.
  durable_config {
    execution_timeout = 86400
    retention_period  = 7
  }

  logging_config {
    log_format = "JSON"
  }

  # It takes long while executions of it run.
  timeouts {
    delete = "60m"
  }

  depends_on = [
    aws_iam_role_policy.durable,
    aws_iam_role_policy_attachment.logs,
  ]
}

# A durable function is invoked by a version or an alias, so that an execution stays with the
# code that began it.
resource "aws_lambda_alias" "live" {
  for_each = local.functions

  name             = "live"
  function_name    = aws_lambda_function.function[each.key].function_name
  function_version = aws_lambda_function.function[each.key].version
}

output "functions" {
  description = "What to invoke"
  value       = { for name, alias in aws_lambda_alias.live : name => alias.arn }
}
