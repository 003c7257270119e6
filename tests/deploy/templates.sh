#!/usr/bin/env bash
# templates.sh: what deploy/lambda deploys, as far as that can be told without an account: SAM's
# own linter takes template.yaml, and terraform.py reads main.tf beside it. There is no Terraform
# here that could validate it: neither the program nor its providers are in a package registry.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=build/deploy/venv

# An environment of its own: SAM pins its boto3.
[ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check 'aws-sam-cli>=1.170' 'python-hcl2>=8'
SAM_CLI_TELEMETRY=0 AWS_REGION=us-east-1 \
    "$venv/bin/sam" validate --lint --template deploy/lambda/template.yaml
"$venv/bin/python" tests/deploy/terraform.py deploy/lambda/main.tf deploy/lambda/template.yaml
