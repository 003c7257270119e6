/* What Ref and GetAtt give of a template's resources; see sam_priv.h.
 *
 * Functions, versions, aliases and layers have the values that AWS gives them. Other
 * resources are not there: they get the form that AWS's values have, made of what the
 * template calls them. */
#include <ctype.h>
#include <string.h>

#include "sam/sam_priv.h"

enum ref_form { REF_NAME, REF_ARN, REF_QUEUE_URL };

/* What is known of other types: the property that names one, and what its ARN has behind
 * the account, before the name (AWS's service authorization reference). A type that is not
 * here gets both by the general rule. */
static const struct {
    const char *type, *property, *service, *before;
    enum ref_form ref;
} types[] = {
    {"AWS::DynamoDB::Table", "TableName", "dynamodb", "table/", REF_NAME},
    {"AWS::DynamoDB::GlobalTable", "TableName", "dynamodb", "table/", REF_NAME},
    {"AWS::Serverless::SimpleTable", "TableName", "dynamodb", "table/", REF_NAME},
    {"AWS::Events::EventBus", "Name", "events", "event-bus/", REF_NAME},
    {"AWS::IAM::Role", "RoleName", "iam", "role/", REF_NAME},
    {"AWS::Kinesis::Stream", "Name", "kinesis", "stream/", REF_NAME},
    {"AWS::S3::Bucket", "BucketName", "s3", "", REF_NAME},
    {"AWS::SNS::Topic", "TopicName", "sns", "", REF_ARN},
    {"AWS::SQS::Queue", "QueueName", "sqs", "", REF_QUEUE_URL},
    {"AWS::SSM::Parameter", "Name", "ssm", "parameter/", REF_NAME},
    {"AWS::SecretsManager::Secret", "Name", "secretsmanager", "secret:", REF_ARN},
    {"AWS::Serverless::StateMachine", "Name", "states", "stateMachine:", REF_ARN},
    {"AWS::StepFunctions::StateMachine", "StateMachineName", "states",
     "stateMachine:", REF_ARN},
};

const char *dd_sam_type(const struct dd_node *resource)
{
    const char *type = dd_node_text(dd_node_get(resource, "Type"));

    return type ? type : "";
}

static bool is(const struct dd_node *resource, const char *type)
{
    return strcmp(dd_sam_type(resource), type) == 0;
}

bool dd_sam_is_function(const struct dd_node *resource)
{
    return is(resource, "AWS::Serverless::Function") || is(resource, "AWS::Lambda::Function");
}

bool dd_sam_is_layer(const struct dd_node *resource)
{
    return is(resource, "AWS::Serverless::LayerVersion") ||
           is(resource, "AWS::Lambda::LayerVersion");
}

bool dd_sam_exists(struct dd_template *template, const struct dd_node *resource)
{
    const char *name = dd_node_text(dd_node_get(resource, "Condition"));

    return !name || dd_sam_condition(template, name);
}

/* The index of the resource; false when there is none. */
static bool find(const struct dd_template *template, const char *name, size_t *out)
{
    for (size_t i = template->resources->len; i > 0; i--)
        if (strcmp(template->resources->pairs[i - 1].key, name) == 0) {
            *out = i - 1;
            return true;
        }
    return false;
}

static const char *name_property(const struct dd_node *resource)
{
    if (dd_sam_is_function(resource))
        return "FunctionName";
    if (dd_sam_is_layer(resource))
        return "LayerName";
    for (size_t i = 0; i < DD_COUNT(types); i++)
        if (is(resource, types[i].type))
            return types[i].property;
    return NULL;
}

const char *dd_sam_name(struct dd_template *template, size_t resource)
{
    const struct dd_pair *pair = &template->resources->pairs[resource];
    const char *property = name_property(pair->value);
    const struct dd_node *value;

    if (template->named[resource] == DD_TRUE)
        return template->names[resource];
    if (template->named[resource] == DD_WORKING || !property)
        return pair->key;
    template->named[resource] = DD_WORKING;
    value =
        dd_sam_value(template, dd_node_get(dd_node_get(pair->value, "Properties"), property));
    template->names[resource] = dd_node_text(value) && *value->text ? value->text : pair->key;
    template->named[resource] = DD_TRUE;
    return template->names[resource];
}

/* --- ARNs -------------------------------------------------------------------------------- */

static const struct dd_node *function_arn(struct dd_template *template, const char *name,
                                          const char *qualifier)
{
    const struct dd_sam_config *config = template->reading->config;

    return dd_node_format(template, "arn:aws:lambda:%s:%s:function:%s%s%s", config->region,
                          config->account, name, qualifier ? ":" : "",
                          qualifier ? qualifier : "");
}

const char *dd_sam_layer_arn(struct dd_template *template, size_t resource)
{
    const struct dd_sam_config *config = template->reading->config;

    return dd_node_format(template, "arn:aws:lambda:%s:%s:layer:%s:1", config->region,
                          config->account, dd_sam_name(template, resource))
        ->text;
}

/* The general rule: AWS::AppSync::GraphQLApi is of service "appsync". */
static const struct dd_node *made_up_arn(struct dd_template *template, size_t resource)
{
    const struct dd_sam_config *config = template->reading->config;
    const struct dd_node *node = template->resources->pairs[resource].value;
    const char *name = dd_sam_name(template, resource), *at;
    char service[32] = "";

    for (size_t i = 0; i < DD_COUNT(types); i++) {
        bool global = strcmp(types[i].service, "iam") == 0;
        bool bare = strcmp(types[i].service, "s3") == 0;

        if (is(node, types[i].type))
            return dd_node_format(template, "arn:aws:%s:%s:%s:%s%s", types[i].service,
                                  global || bare ? "" : config->region,
                                  bare ? "" : config->account, types[i].before, name);
    }
    at = strstr(dd_sam_type(node), "::");
    for (size_t i = 0; at && isalnum((unsigned char)at[i + 2]) && i < sizeof service - 1; i++)
        service[i] = (char)tolower((unsigned char)at[i + 2]);
    return dd_node_format(template, "arn:aws:%s:%s:%s:%s", service, config->region,
                          config->account, name);
}

/* Says that what is referred to is not there: once for a function, however often it is. */
static const struct dd_node *made_up(struct dd_template *template, size_t resource,
                                     const struct dd_node *value)
{
    const struct dd_pair *pair = &template->resources->pairs[resource];

    if (template->quiet || template->told[resource] == template->function)
        return value;
    template->told[resource] = template->function;
    dd_sam_note(
        template,
        "%s is made up, since no %s is made here for %s; use a parameter with a Default "
        "where it must be real",
        template->property, dd_sam_type(pair->value), pair->key);
    return value;
}

/* Resources that SAM makes without being told: APIs of Events, and roles. */
static bool is_implicit(const struct dd_template *template, const char *name)
{
    size_t len = strlen(name), at;

    if (strcmp(name, "ServerlessRestApi") == 0 || strcmp(name, "ServerlessHttpApi") == 0)
        return true;
    if (len < 5 || strcmp(name + len - 4, "Role") != 0)
        return false;
    for (at = 0; at < template->resources->len; at++) {
        const struct dd_pair *pair = &template->resources->pairs[at];

        if (strlen(pair->key) == len - 4 && strncmp(pair->key, name, len - 4) == 0 &&
            is(pair->value, "AWS::Serverless::Function"))
            return true;
    }
    return false;
}

static const struct dd_node *nothing(struct dd_template *template, const char *name)
{
    if (is_implicit(template, name)) {
        dd_sam_note(template,
                    "%s is made up, since no %s is made here; use a parameter with a Default "
                    "where it must be real",
                    template->property, name);
        return dd_node_new(template, dd_span_cstr(name));
    }
    dd_sam_note(template, "%s is empty: the template has no parameter or resource %s; add it",
                template->property, name);
    return dd_node_unknown();
}

/* What a property of a version or an alias names, as a function's name. */
static const char *target(struct dd_template *template, const struct dd_node *resource)
{
    const struct dd_node *value = dd_sam_value(
        template, dd_node_get(dd_node_get(resource, "Properties"), "FunctionName"));
    const char *text = dd_node_text(value), *at;

    if (!text)
        return "";
    at = strstr(text, ":function:");
    text = at ? at + strlen(":function:") : text;
    at = strchr(text, ':');
    text = at ? dd_sam_copy(&template->reading->arena, dd_span_make(text, (size_t)(at - text)))
              : text;
    return text ? text : "";
}

/* The resources that SAM makes beside a function that publishes an alias: "OrderAliaslive"
 * and "OrderVersion...", or "Order.Alias" and "Order.Version" (SAM's specification, "Generated
 * resources" and "Referencing"). */
static const struct dd_node *generated(struct dd_template *template, const char *name)
{
    for (size_t i = 0; i < template->resources->len; i++) {
        const struct dd_pair *pair = &template->resources->pairs[i];
        size_t len = strlen(pair->key);
        const struct dd_node *properties = dd_node_get(pair->value, "Properties");
        const struct dd_node *alias = dd_node_get(properties, "AutoPublishAlias");
        const char *rest = name + len;

        if (!is(pair->value, "AWS::Serverless::Function") ||
            strncmp(name, pair->key, len) != 0 || !*rest)
            continue;
        alias = dd_sam_value(
            template, alias ? alias : dd_node_get(template->globals, "AutoPublishAlias"));
        if (!dd_node_text(alias))
            continue;
        if (strcmp(rest, ".Alias") == 0 ||
            (strncmp(rest, "Alias", 5) == 0 && strcmp(rest + 5, alias->text) == 0))
            return function_arn(template, dd_sam_name(template, i), alias->text);
        if (strcmp(rest, ".Version") == 0)
            return function_arn(template, dd_sam_name(template, i), "$LATEST");
    }
    return NULL;
}

/* --- values ------------------------------------------------------------------------------ */

static const struct dd_node *ref_other(struct dd_template *template, size_t resource)
{
    const struct dd_sam_config *config = template->reading->config;
    const struct dd_node *node = template->resources->pairs[resource].value;
    const char *name = dd_sam_name(template, resource);
    enum ref_form form = REF_NAME;

    for (size_t i = 0; i < DD_COUNT(types); i++)
        if (is(node, types[i].type))
            form = types[i].ref;
    switch (form) {
    case REF_NAME:
        return dd_node_new(template, dd_span_cstr(name));
    case REF_ARN:
        return made_up_arn(template, resource);
    case REF_QUEUE_URL:
        return dd_node_format(template, "https://sqs.%s.amazonaws.com/%s/%s", config->region,
                              config->account, name);
    }
    dd_unreachable();
}

const struct dd_node *dd_sam_ref(struct dd_template *template, const char *name)
{
    const struct dd_node *node, *alias;
    size_t at;

    if (!find(template, name, &at)) {
        node = generated(template, name);
        return node ? node : nothing(template, name);
    }
    node = template->resources->pairs[at].value;
    if (dd_sam_is_function(node))
        return dd_node_new(template, dd_span_cstr(dd_sam_name(template, at)));
    if (dd_sam_is_layer(node))
        return dd_node_new(template, dd_span_cstr(dd_sam_layer_arn(template, at)));
    if (is(node, "AWS::Lambda::Version"))
        return function_arn(template, target(template, node), "$LATEST");
    if (is(node, "AWS::Lambda::Alias")) {
        alias = dd_sam_value(template, dd_node_get(dd_node_get(node, "Properties"), "Name"));
        return function_arn(template, target(template, node), dd_node_text(alias));
    }
    return made_up(template, at, ref_other(template, at));
}

const struct dd_node *dd_sam_attribute(struct dd_template *template, const char *name,
                                       const char *attribute)
{
    const struct dd_node *node;
    size_t at;

    if (!find(template, name, &at))
        return nothing(template, name);
    node = template->resources->pairs[at].value;
    if (dd_sam_is_function(node)) {
        if (strcmp(attribute, "Arn") == 0)
            return function_arn(template, dd_sam_name(template, at), NULL);
        if (strcmp(attribute, "Alias") == 0 || strcmp(attribute, "Version") == 0) {
            const struct dd_node *full = dd_node_format(template, "%s.%s", name, attribute);

            full = generated(template, full->text);
            return full ? full : nothing(template, name);
        }
    }
    if (is(node, "AWS::Lambda::Version") && strcmp(attribute, "Version") == 0)
        return dd_node_new(template, DD_SPAN("$LATEST"));
    if (is(node, "AWS::Lambda::Version") || is(node, "AWS::Lambda::Alias"))
        return dd_sam_ref(template, name);
    if (strcmp(attribute, "Arn") == 0 || strcmp(attribute, "TopicArn") == 0)
        return made_up(template, at, made_up_arn(template, at));
    if (strcmp(attribute, "QueueUrl") == 0)
        return made_up(template, at, ref_other(template, at));
    return made_up(template, at,
                   dd_node_format(template, "%s.%s", dd_sam_name(template, at), attribute));
}
