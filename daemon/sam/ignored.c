/* What of a template is not emulated; see sam_priv.h. A property is named when it would change
 * how code behaves. */
#include <string.h>

#include "sam/sam_priv.h"

/* Every property of a function, of both types. `why` is NULL for what is read, and "" for
 * what changes nothing that the code could notice on this machine: who may do what (nothing
 * is asked for permission here), how it is deployed, encrypted, labelled and built. */
static const struct {
    const char *name, *why;
} properties[] = {
    {"Architectures", ""}, /* a bootstrap for another machine is noticed itself */
    {"AssumeRolePolicyDocument", ""},
    {"AutoPublishAlias", NULL},
    {"AutoPublishAliasAllProperties", ""},
    {"AutoPublishCodeSha256", ""},
    {"CapacityProviderConfig", "each process runs one invocation at a time"},
    {"Code", NULL},
    {"CodeSigningConfigArn", ""},
    {"CodeUri", NULL},
    {"DeadLetterConfig", "what an asynchronous invocation fails with goes nowhere"},
    {"DeadLetterQueue", "what an asynchronous invocation fails with goes nowhere"},
    {"DeploymentPreference", ""},
    {"Description", NULL},
    {"DurableConfig", NULL},
    {"Environment", NULL},
    {"EphemeralStorage", "/tmp is this machine's, without a limit"},
    {"EventInvokeConfig", "asynchronous invocations have no destinations and no age limit"},
    {"Events", "nothing invokes it but a call of Invoke"},
    {"FileSystemConfigs", "nothing is mounted"},
    {"FunctionName", NULL},
    {"FunctionScalingConfig", "processes are started when they are needed"},
    {"FunctionUrlConfig", "it has no URL; call Invoke"},
    {"Handler", NULL},
    {"ImageConfig", NULL}, /* images are a fault */
    {"ImageUri", NULL},
    {"InlineCode", NULL},
    {"KmsKeyArn", ""},
    {"Layers", NULL},
    {"LoggingConfig", NULL},
    {"MemorySize", NULL},
    {"PackageType", NULL},
    {"PermissionsBoundary", ""},
    {"Policies", ""},
    {"PropagateTags", ""},
    {"ProvisionedConcurrencyConfig", "processes are started when they are needed"},
    {"PublishToLatestPublished", ""},
    {"RecursiveLoop", "loops of invocations are not found"},
    {"ReservedConcurrentExecutions", NULL},
    {"Role", ""},
    {"RolePath", ""},
    {"Runtime", NULL},
    {"RuntimeManagementConfig", ""},
    {"SnapStart", "each process starts anew; hooks of a snapshot do not run"},
    {"SourceKMSKeyArn", ""},
    {"Tags", ""},
    {"TenancyConfig", NULL},
    {"Timeout", NULL},
    {"Tracing", "nothing is sent to X-Ray"},
    {"TracingConfig", "nothing is sent to X-Ray"},
    {"VersionDeletionPolicy", ""},
    {"VersionDescription", ""},
    {"VpcConfig", "it has the network of this machine"},
};

/* Resources that change what happens to functions, or hold some. */
static const struct {
    const char *type, *why;
} ignored_types[] = {
    {"AWS::CloudFormation::Stack", "nested templates are not read; name it with --template"},
    {"AWS::Lambda::EventInvokeConfig",
     "asynchronous invocations have no destinations and no age limit"},
    {"AWS::Lambda::EventSourceMapping", "nothing is polled; call Invoke"},
    {"AWS::Lambda::Url", "functions have no URL; call Invoke"},
    {"AWS::Serverless::Application", "nested templates are not read; name it with --template"},
};

static void ignore_property(struct dd_template *template, const char *name)
{
    for (size_t i = 0; i < DD_COUNT(properties); i++) {
        if (strcmp(properties[i].name, name) != 0)
            continue;
        if (properties[i].why && *properties[i].why)
            dd_sam_ignore(template->reading, name, template->function, properties[i].why);
        return;
    }
    dd_sam_ignore(template->reading, name, template->function,
                  "no property of a function that is known here");
}

void dd_sam_ignore_properties(struct dd_template *template, const struct dd_node *map)
{
    template->quiet = true;
    for (size_t i = 0; map && i < map->len; i++) {
        const struct dd_pair *pair = &map->pairs[i];

        /* Of two of a name, the last holds. "Fn::If" may give no value, which is no
         * property. */
        if (dd_node_get(map, pair->key) != pair->value)
            continue;
        if (!dd_node_is_function(pair->value) || dd_sam_value(template, pair->value))
            ignore_property(template, pair->key);
    }
    template->quiet = false;
}

void dd_sam_ignore_types(struct dd_template *template)
{
    for (size_t i = 0; i < template->resources->len; i++) {
        const struct dd_pair *pair = &template->resources->pairs[i];
        const char *type = dd_sam_type(pair->value);

        if (strncmp(pair->key, "Fn::", 4) == 0)
            dd_sam_ignore(template->reading, "Resources", pair->key,
                          "resources are not made by functions here; write them out");
        for (size_t j = 0; j < DD_COUNT(ignored_types); j++)
            if (strcmp(ignored_types[j].type, type) == 0)
                dd_sam_ignore(template->reading, type, pair->key, ignored_types[j].why);
    }
}
