/* Values of intrinsic functions, parameters and conditions: each is a variable of a function,
 * which shows what it came to. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "tests/unit/sam/project.h"

static const char template[] =
    "Parameters:\n"
    "  Stage: {Type: String, Default: dev}\n"
    "  Count: {Type: Number, Default: 3}\n"
    "  Zones: {Type: CommaDelimitedList, Default: 'a, b,c'}\n"
    "  Bare: {Type: String}\n"
    "  Secret: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /a/b}\n"
    "Mappings:\n"
    "  Sizes:\n"
    "    dev: {Small: 1, List: [x, y]}\n"
    "Conditions:\n"
    "  IsDev: !Equals [!Ref Stage, dev]\n"
    "  IsProd: {'Fn::Equals': [{Ref: Stage}, prod]}\n"
    "  Both: !And [!Condition IsDev, {Condition: IsProd}]\n"
    "  Either: !Or [!Condition IsProd, !Condition IsDev]\n"
    "  NotDev: !Not [!Condition IsDev]\n"
    "  Self: !Or [!Condition Other, !Condition IsDev]\n"
    "  Other: !Condition Self\n"
    "Resources:\n"
    "  Table: {Type: 'AWS::DynamoDB::Table'}\n"
    "  Named: {Type: 'AWS::DynamoDB::Table', Properties: {TableName: !Sub '${Stage}-t'}}\n"
    "  Queue: {Type: 'AWS::SQS::Queue'}\n"
    "  Topic: {Type: 'AWS::SNS::Topic'}\n"
    "  Bucket: {Type: 'AWS::S3::Bucket', Properties: {BucketName: pail}}\n"
    "  Role: {Type: 'AWS::IAM::Role'}\n"
    "  Api: {Type: 'AWS::AppSync::GraphQLApi'}\n"
    "  Layer: {Type: 'AWS::Serverless::LayerVersion', Properties: {ContentUri: src}}\n"
    "  Plain:\n"
    "    Type: AWS::Lambda::Function\n"
    "    Properties: {Code: src, FunctionName: plain, Runtime: python3.13,\n"
    "                 Handler: app.handler}\n"
    "  PlainVersion: {Type: 'AWS::Lambda::Version', Properties: {FunctionName: !Ref Plain}}\n"
    "  PlainAlias:\n"
    "    Type: AWS::Lambda::Alias\n"
    "    Properties: {Name: blue, FunctionName: !GetAtt Plain.Arn,\n"
    "                 FunctionVersion: !GetAtt PlainVersion.Version}\n"
    "  F:\n"
    "    Type: AWS::Serverless::Function\n"
    "    Properties:\n"
    "      CodeUri: src\n"
    "      Runtime: python3.13\n"
    "      Handler: app.handler\n"
    "      AutoPublishAlias: live\n"
    "      Environment: {Variables: {V: %s}}\n";

#define ARN "arn:aws:lambda:eu-west-1:123456789012:function:"
#define NONE NULL /* no such variable */

static const struct {
    const char *value, *becomes, *note; /* a note that it gives; NULL: none */
} cases[] = {
    {"text", "text", NULL},
    {"true", "true", NULL},
    {"'yes'", "yes", NULL},
    {"yes", "true", NULL},
    {"007", "007", NULL},
    {"null", NONE, NULL},
    /* Ref */
    {"!Ref Stage", "dev", NULL},
    {"{Ref: Count}", "3", NULL},
    {"!Ref F", "F", NULL},
    {"!Ref Plain", "plain", NULL},
    {"!Ref PlainVersion", ARN "plain:$LATEST", NULL},
    {"!Ref PlainAlias", ARN "plain:blue", NULL},
    {"!Ref F.Alias", ARN "F:live", NULL},
    {"!Ref F.Version", ARN "F:$LATEST", NULL},
    {"!Ref FAliaslive", ARN "F:live", NULL},
    {"!Ref Layer", "arn:aws:lambda:eu-west-1:123456789012:layer:Layer:1", NULL},
    {"!Ref Table", "Table", "no AWS::DynamoDB::Table is made here for Table"},
    {"!Ref Named", "dev-t", "is made up"},
    {"!Ref Queue", "https://sqs.eu-west-1.amazonaws.com/123456789012/Queue", "is made up"},
    {"!Ref Topic", "arn:aws:sns:eu-west-1:123456789012:Topic", "is made up"},
    {"!Ref Bare", "", "parameter Bare has no Default; give it with --parameters Bare=VALUE"},
    {"!Ref Secret", "", "parameter Secret is kept in SSM"},
    {"!Ref Nothing", "", "no parameter or resource Nothing"},
    {"!Ref FRole", "FRole", "is made up, since no FRole is made here"},
    {"!Sub '${ServerlessRestApi}'", "ServerlessRestApi", "is made up"},
    {"!Ref Role2", "", "no parameter or resource Role2"},
    {"!Ref [a]", "", "its Ref has not the arguments"},
    /* pseudo parameters */
    {"!Ref AWS::Region", "eu-west-1", NULL},
    {"!Ref AWS::AccountId", "123456789012", NULL},
    {"!Ref AWS::Partition", "aws", NULL},
    {"!Ref AWS::URLSuffix", "amazonaws.com", NULL},
    {"!Ref AWS::NoValue", NONE, NULL},
    {"!Ref AWS::Other", "", "no parameter or resource AWS::Other"},
    /* GetAtt */
    {"!GetAtt F.Arn", ARN "F", NULL},
    {"!GetAtt [Plain, Arn]", ARN "plain", NULL},
    {"{'Fn::GetAtt': Plain.Arn}", ARN "plain", NULL},
    {"!GetAtt PlainVersion.Version", "$LATEST", NULL},
    {"!GetAtt Table.Arn", "arn:aws:dynamodb:eu-west-1:123456789012:table/Table", "made up"},
    {"!GetAtt Bucket.Arn", "arn:aws:s3:::pail", "made up"},
    {"!GetAtt Role.Arn", "arn:aws:iam::123456789012:role/Role", "made up"},
    {"!GetAtt Queue.Arn", "arn:aws:sqs:eu-west-1:123456789012:Queue", "made up"},
    {"!GetAtt Queue.QueueUrl", "https://sqs.eu-west-1.amazonaws.com/123456789012/Queue",
     "made up"},
    {"!GetAtt Topic.TopicArn", "arn:aws:sns:eu-west-1:123456789012:Topic", "made up"},
    {"!GetAtt Api.Arn", "arn:aws:appsync:eu-west-1:123456789012:Api", "made up"},
    {"!GetAtt Api.GraphQLUrl", "Api.GraphQLUrl", "made up"},
    {"!GetAtt Nothing.Arn", "", "no parameter or resource Nothing"},
    {"!GetAtt NoDot", "", "its Fn::GetAtt has not the arguments"},
    {"!GetAtt [F]", "", "its Fn::GetAtt has not the arguments"},
    /* Sub */
    {"!Sub '${Stage}-${AWS::Region}'", "dev-eu-west-1", NULL},
    {"!Sub '${F.Arn}:x'", ARN "F:x", NULL},
    {"!Sub '${F.Alias}'", ARN "F:live", NULL},
    {"!Sub '${!Stage} ${ Stage }'", "${Stage} dev", NULL},
    {"!Sub ['${A}-${Stage}', {A: !Ref Count}]", "3-dev", NULL},
    {"!Sub ['${A}', {A: !Ref AWS::NoValue}]", "", NULL},
    {"!Sub 'open ${Stage'", "open ${Stage", NULL},
    {"!Sub 'a$b$$'", "a$b$$", NULL},
    {"!Sub '${Zones}'", "", "its Fn::Sub has not the arguments"},
    {"!Sub [a]", "", "its Fn::Sub has not the arguments"},
    {"!Sub '${Bare}x'", "x", "parameter Bare has no Default"},
    /* Join, Split, Select */
    {"!Join ['-', [a, !Ref Stage, !Ref AWS::NoValue, b]]", "a-dev-b", NULL},
    {"!Join [',', !Ref Zones]", "a,b,c", NULL},
    {"!Join ['', []]", "", NULL},
    {"!Join [x]", "", "its Fn::Join has not the arguments"},
    {"!Join ['', [[a]]]", "", "its Fn::Join has not the arguments"},
    {"!Select [1, !Split ['.', a.b.c]]", "b", NULL},
    {"!Select ['2', !Ref Zones]", "c", NULL},
    {"!Select [3, !Ref Zones]", "", "its Fn::Select has not the arguments"},
    {"!Select [-1, [a]]", "", "its Fn::Select has not the arguments"},
    {"!Select [0, !Split ['', a]]", "", "its Fn::Split has not the arguments"},
    {"!Join ['|', !Split [',', 'a,,b,']]", "a||b|", NULL},
    /* tables */
    {"!FindInMap [Sizes, !Ref Stage, Small]", "1", NULL},
    {"!Select [1, !FindInMap [Sizes, dev, List]]", "y", NULL},
    {"!FindInMap [Sizes, prod, Small]", "", "Mappings has no Sizes.prod.Small; add it"},
    {"!FindInMap [Sizes, prod, Small, {DefaultValue: 9}]", "9", NULL},
    {"!FindInMap [Sizes]", "", "its Fn::FindInMap has not the arguments"},
    {"!Join [',', !GetAZs '']", "eu-west-1a,eu-west-1b,eu-west-1c", NULL},
    {"!Select [0, !GetAZs us-east-1]", "us-east-1a", NULL},
    {"!Join [' ', !Cidr [10.0.0.0/16, 3, 8]]", "10.0.0.0/24 10.0.1.0/24 10.0.2.0/24", NULL},
    {"!Select [1, !Cidr [192.168.0.0/24, 2, 7]]", "192.168.0.128/25", NULL},
    {"!Cidr ['::/48', 1, 64]", "", "its Fn::Cidr has not the arguments"},
    {"!Cidr [10.0.0.0/24, 2, 8]", "", "its Fn::Cidr has not the arguments"},
    {"!Cidr [10.0.0/24, 1, 1]", "", "its Fn::Cidr has not the arguments"},
    {"!Base64 abc", "YWJj", NULL},
    {"{'Fn::Base64': !Sub '${Stage}'}", "ZGV2", NULL},
    {"!Length [a, b]", "2", NULL},
    /* conditions */
    {"!If [IsDev, a, b]", "a", NULL},
    {"!If [IsProd, a, b]", "b", NULL},
    {"!If [Both, a, b]", "b", NULL},
    {"!If [Either, a, b]", "a", NULL},
    {"!If [NotDev, a, !Ref AWS::NoValue]", NONE, NULL},
    {"!If [Absent, a, b]", "b", "Condition Absent is none of the template's Conditions"},
    {"!If [Self, a, b]", "a", "refers to itself"},
    {"!If [IsDev, a]", "", "its Fn::If has not the arguments"},
    {"{'Fn::Equals': [a, a]}", "true", NULL},
    /* what needs the cloud */
    {"!ImportValue x", "", "Fn::ImportValue needs a deployed stack"},
    {"!Transform {Name: x}", "", "Fn::Transform runs in the cloud"},
    {"!Sub 'a${X}b'", "ab", "no parameter or resource X"},
    {"!Unheard x", "", "Fn::Unheard is not known here"},
    {"'{{resolve:ssm:/a/b}}'", "{{resolve:ssm:/a/b}}", "has a dynamic reference"},
};

static void check(struct project *project, size_t at)
{
    const char *value = cases[at].value, *becomes = cases[at].becomes, *got;
    char text[4096];
    struct dd_sam *sam;

    snprintf(text, sizeof text, template, value);
    sam = project_read(project, text);
    if (project->rc || !project_find(sam, "F"))
        fail_msg("%s: %s", value,
                 project->rc ? project->error.text : sam->faults.items[0].text);
    got = project_variable(project_find(sam, "F"), "V");
    if (!got != !becomes || (got && strcmp(got, becomes) != 0))
        fail_msg("%s gave %s", value, got ? got : "nothing");
    if (cases[at].note && !project_says(&sam->notes, cases[at].note))
        fail_msg("%s did not say: %s", value, cases[at].note);
    if (cases[at].note && !strstr(cases[at].note, "Condition") && becomes && !*becomes &&
        !project_says(&sam->notes, "F: Environment.Variables.V is empty"))
        fail_msg("%s did not name itself", value);
    if (!cases[at].note && sam->notes.len > 0)
        fail_msg("%s said %s", value, sam->notes.items[0].text);
}

static void test_each_function(void **state)
{
    for (size_t i = 0; i < DD_COUNT(cases); i++)
        check(*state, i);
}

static void test_parameters_are_given(void **state)
{
    static const char *const parameters[] = {"Stage=prod", "Bare=a=b", "Zones=x,y", "Secret=s",
                                             "Stagy=1",    "Stage",    NULL};
    struct project *project = *state;
    char text[4096];
    struct dd_sam *sam;

    project->config.parameters = parameters;
    snprintf(text, sizeof text, template,
             "!Sub ['${Stage} ${Bare} ${Z} ${Secret}', {Z: !Join ['+', !Ref Zones]}]");
    sam = project_read(project, text);
    assert_int_equal(project->rc, 0);
    assert_string_equal(project_variable(project_find(sam, "F"), "V"), "prod a=b x+y s");
    assert_int_equal(sam->notes.len, 2);
    assert_true(project_says(&sam->notes, "--parameters Stagy=1: the template has no"));
    assert_true(project_says(&sam->notes, "--parameters Stage: the template has no"));
}

static void test_the_stack_is_called_like_the_directory(void **state)
{
    struct project *project = *state;
    const struct dd_hosted *hosted =
        project_function(project, "      Environment: {Variables: {A: !Ref AWS::StackName,\n"
                                  "                                B: !Ref AWS::StackId}}\n");

    assert_string_equal(project_variable(hosted, "A"), strrchr(project->directory, '/') + 1);
    assert_non_null(strstr(project_variable(hosted, "B"), ":stack/durabled-sam-"));
}

static void test_names_that_refer_to_each_other(void **state)
{
    struct dd_sam *sam =
        project_read(*state, "Resources:\n"
                             "  A: {Type: 'AWS::Serverless::Function', Properties:\n"
                             "    {CodeUri: src, Runtime: python3.13, Handler: app.handler,\n"
                             "     FunctionName: !Sub '${B}-a'}}\n"
                             "  B: {Type: 'AWS::Serverless::Function', Properties:\n"
                             "    {CodeUri: src, Runtime: python3.13, Handler: app.handler,\n"
                             "     FunctionName: !Sub '${A}-b'}}\n");

    assert_int_equal(sam->functions_len, 2);
    assert_string_equal(sam->functions[0].name, "A-b-a");
    assert_string_equal(sam->functions[1].name, "A-b");
}

/* Each name is the next one's, further than anyone would write. */
static void test_a_long_way_of_references(void **state)
{
    struct project *project = *state;
    struct dd_buf text;

    dd_buf_init(&text, 64 * 1024);
    dd_buf_append_cstr(&text, "Resources:\n");
    for (int i = 0; i <= DD_TEMPLATE_CALLS_MAX; i++)
        dd_buf_printf(&text,
                      "  F%d: {Type: 'AWS::Lambda::Function', Properties: {Code: src,\n"
                      "       Runtime: python3.13, Handler: app.handler, "
                      "FunctionName: !Sub '${F%d}'}}\n",
                      i, i + 1);
    (void)project_read_buf(project, &text);
    assert_int_equal(project->rc, 0);
    assert_true(project_says(&project->sam.notes, "F0: FunctionName is empty: it refers to "));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_function, project_set_up, project_tear_down),
        cmocka_unit_test_setup_teardown(test_parameters_are_given, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_the_stack_is_called_like_the_directory,
                                        project_set_up, project_tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_way_of_references, project_set_up,
                                        project_tear_down),
        cmocka_unit_test_setup_teardown(test_names_that_refer_to_each_other, project_set_up,
                                        project_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
