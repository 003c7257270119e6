/* The operations of the HTTP API that read functions: those that workers have registered,
 * and those that the daemon hosts, of which more is known. What nothing here has, such as a
 * role, is made up where clients rely on it. */
#include "engine/api.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/base64.h"
#include "base/digest.h"

/* What a worker's function is said to be, and to have: Lambda's least memory, and its
 * longest Timeout where it declares none. */
#define RUNTIME "provided.al2023"
#define HANDLER "bootstrap"
#define MEMORY_MB 128
#define TIMEOUT_MAX_S 900

#if defined(__aarch64__)
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "x86_64"
#endif

/* --- names ------------------------------------------------------------------------------- */

static bool is_reference(struct dd_span span)
{
    struct dd_reference reference;

    return dd_reference_split(span, &reference);
}

static const struct dd_pattern pattern_reference = {DD_REFERENCE_REGEX, is_reference};

int dd_api_name_function(struct dd_api_call *call, struct dd_api_function *out,
                         struct dd_error *error)
{
    struct dd_span given = dd_api_query(call, "Qualifier");
    unsigned before = call->violations.count;

    *out = (struct dd_api_function){0};
    dd_check_text(&call->violations, call->label, "functionName", DD_FUNCTION_REF_MAX,
                  &pattern_reference);
    dd_check_text(&call->violations, given, "qualifier", DD_FUNCTION_QUALIFIER_MAX,
                  &dd_pattern_qualifier);
    if (call->violations.count > before || !dd_reference_split(call->label, &out->reference))
        return 0;
    if (given.data && out->reference.qualifier.data &&
        !dd_span_equal(given, out->reference.qualifier))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "The derived qualifier from the function name does not match the "
                       "specified qualifier.");
    if (!given.data)
        given = out->reference.qualifier;
    snprintf(out->qualifier, sizeof out->qualifier, "%.*s", (int)given.len,
             given.data ? given.data : "");
    return 0;
}

static struct dd_span qualifier_of(const struct dd_api_function *function)
{
    return *function->qualifier ? dd_span_cstr(function->qualifier) : DD_SPAN_NONE;
}

int dd_api_find_function(const struct dd_api_call *call, struct dd_api_function *function,
                         struct dd_error *error)
{
    const struct dd_service_config *service = &call->engine->service;
    struct dd_span name = function->reference.name;
    struct dd_span region = function->reference.region, account = function->reference.account;

    if (!region.data)
        region = dd_span_cstr(service->region);
    if (!account.data)
        account = dd_span_cstr(service->account);
    function->registration =
        dd_executions_function(call->engine, name, qualifier_of(function), &function->hosted);
    if (function->registration && dd_span_is(region, service->region) &&
        dd_span_is(account, service->account))
        return 0;
    return dd_fail(error, DD_NOT_FOUND,
                   "Function not found: arn:aws:lambda:%.*s:%.*s:function:%.*s%s%s",
                   (int)region.len, region.data, (int)account.len, account.data, (int)name.len,
                   name.data, *function->qualifier ? ":" : "", function->qualifier);
}

/* As dd_api_name_function() and dd_api_find_function(), for operations that read no more. */
static int find(struct dd_api_call *call, struct dd_api_function *out, struct dd_error *error)
{
    int rc = dd_api_name_function(call, out, error);

    if (rc == 0)
        rc = dd_api_verdict(call, error);
    return rc ? rc : dd_api_find_function(call, out, error);
}

/* --- configurations ---------------------------------------------------------------------- */

/* A map whose length is known once its members are written. */
struct members {
    struct dd_buf bytes;
    msgpack_packer packer;
    size_t len;
};

static void members_begin(struct members *members)
{
    dd_buf_init(&members->bytes, DD_HTTP_BODY_MAX);
    dd_pack_init(&members->packer, &members->bytes);
    members->len = 0;
}

/* The packer, for the value of member `name`. */
static msgpack_packer *add(struct members *members, const char *name)
{
    members->len++;
    dd_pack_cstr(&members->packer, name);
    return &members->packer;
}

static void add_text(struct members *members, const char *name, const char *value)
{
    dd_pack_cstr(add(members, name), value);
}

static void add_int(struct members *members, const char *name, int64_t value)
{
    msgpack_pack_int64(add(members, name), value);
}

/* A member that is a map of one text. */
static void add_choice(struct members *members, const char *name, const char *key,
                       const char *value)
{
    msgpack_packer *packer = add(members, name);

    msgpack_pack_map(packer, 1);
    dd_pack_cstr(packer, key);
    dd_pack_cstr(packer, value);
}

/* Appends the map to `out`. */
static void members_end(struct members *members, struct dd_buf *out)
{
    msgpack_packer packer;

    dd_pack_init(&packer, out);
    msgpack_pack_map(&packer, members->len);
    dd_buf_append_span(out, dd_buf_span(&members->bytes));
    out->failed |= members->bytes.failed;
    dd_buf_deinit(&members->bytes);
}

/* Writes "arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]". */
static void format_arn(const struct dd_engine *engine, const char *name, const char *qualifier,
                       char out_arn[DD_ARN_MAX + 1])
{
    snprintf(out_arn, DD_ARN_MAX + 1, "arn:aws:lambda:%s:%s:function:%s%s%s",
             engine->service.region, engine->service.account, name, *qualifier ? ":" : "",
             qualifier);
}

/* 32 bytes that tell the code of a function, as it is since the daemon's start, from
 * others. */
static void fingerprint(const struct dd_engine *engine, const struct dd_api_function *function,
                        uint8_t out_bytes[32])
{
    struct dd_buf text;

    dd_buf_init(&text, DD_HTTP_BODY_MAX);
    dd_buf_printf(&text, "%s %lld", function->hosted ? function->hosted->directory : "",
                  (long long)engine->started_ms);
    dd_hmac_sha256(dd_text_span(function->registration->name), dd_buf_span(&text), out_bytes);
    dd_buf_deinit(&text);
}

static void add_revision(struct members *members, const uint8_t bytes[32])
{
    char id[DD_UUID_TEXT_LEN + 1];

    dd_uuid_format(dd_uuid_v4(bytes), id);
    add_text(members, "RevisionId", id);
}

static void add_identity(struct members *members, const struct dd_engine *engine,
                         const struct dd_api_function *function)
{
    char time[25], modified[32];
    struct dd_buf digest;
    uint8_t bytes[32];

    fingerprint(engine, function, bytes);
    dd_buf_init(&digest, 64);
    dd_base64_encode(dd_span_make(bytes, sizeof bytes), &digest);
    dd_pack_span(add(members, "CodeSha256"), dd_buf_span(&digest));
    dd_buf_deinit(&digest);
    add_int(members, "CodeSize", 0);
    dd_time_format(engine->started_ms, time);
    snprintf(modified, sizeof modified, "%.*s+0000", (int)strcspn(time, "Z"), time);
    add_text(members, "LastModified", modified);
    add_revision(members, bytes);
}

/* Whether Lambda, or the daemon, sets the variable, and not the function's author. */
static bool is_reserved(const char *name)
{
    static const char *const names[] = {"AWS_ACCESS_KEY",
                                        "AWS_ACCESS_KEY_ID",
                                        "AWS_DEFAULT_REGION",
                                        "AWS_EXECUTION_ENV",
                                        "AWS_PROFILE",
                                        "AWS_REGION",
                                        "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SECRET_KEY",
                                        "AWS_SECURITY_TOKEN",
                                        "AWS_SESSION_TOKEN",
                                        "HOME",
                                        "LAMBDA_RUNTIME_DIR",
                                        "LAMBDA_TASK_ROOT",
                                        "LANG",
                                        "LD_LIBRARY_PATH",
                                        "NODE_PATH",
                                        "PATH",
                                        "PYTHONPATH",
                                        "TZ",
                                        "_HANDLER"};
    static const char *const beginnings[] = {"AWS_ENDPOINT_URL", "AWS_LAMBDA_", "_X_AMZN_"};

    for (size_t i = 0; i < DD_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    for (size_t i = 0; i < DD_COUNT(beginnings); i++) {
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    }
    return false;
}

static void add_environment(struct members *members, const struct dd_hosted *hosted)
{
    size_t len = 0;

    for (size_t i = 0; i < hosted->environment_len; i++)
        len += !is_reserved(hosted->environment[i].name);
    if (len == 0)
        return;
    msgpack_pack_map(add(members, "Environment"), 1);
    dd_pack_cstr(&members->packer, "Variables");
    msgpack_pack_map(&members->packer, len);
    for (size_t i = 0; i < hosted->environment_len; i++) {
        if (is_reserved(hosted->environment[i].name))
            continue;
        dd_pack_cstr(&members->packer, hosted->environment[i].name);
        dd_pack_cstr(&members->packer, hosted->environment[i].value);
    }
}

static void add_logging(struct members *members, const char *name, bool json)
{
    char group[DD_FUNCTION_NAME_MAX + 16];

    snprintf(group, sizeof group, "/aws/lambda/%s", name);
    msgpack_pack_map(add(members, "LoggingConfig"), json ? 4 : 2);
    dd_pack_cstr(&members->packer, "LogFormat");
    dd_pack_cstr(&members->packer, json ? "JSON" : "Text");
    dd_pack_cstr(&members->packer, "LogGroup");
    dd_pack_cstr(&members->packer, group);
    if (!json)
        return;
    dd_pack_cstr(&members->packer, "ApplicationLogLevel");
    dd_pack_cstr(&members->packer, "INFO");
    dd_pack_cstr(&members->packer, "SystemLogLevel");
    dd_pack_cstr(&members->packer, "INFO");
}

static void add_durable(struct members *members, const struct dd_function *registration)
{
    msgpack_pack_map(add(members, "DurableConfig"), 2);
    dd_api_pack_int(&members->packer, "ExecutionTimeout", registration->execution_timeout_s);
    dd_api_pack_int(&members->packer, "RetentionPeriodInDays",
                    registration->retention_s / 86400);
}

/* What only a hosted function has. */
static void add_hosted(struct members *members, const struct dd_hosted *hosted)
{
    add_text(members, "Runtime", hosted->runtime ? hosted->runtime : RUNTIME);
    add_text(members, "Handler", hosted->handler ? hosted->handler : HANDLER);
    add_text(members, "Description", hosted->description ? hosted->description : "");
    add_int(members, "MemorySize", hosted->memory_mb);
    add_int(members, "Timeout", hosted->timeout_s);
    add_environment(members, hosted);
    if (hosted->tenants)
        add_choice(members, "TenancyConfig", "TenantIsolationMode", "PER_TENANT");
}

static void add_registered(struct members *members, const struct dd_function *registration)
{
    add_text(members, "Runtime", RUNTIME);
    add_text(members, "Handler", HANDLER);
    add_text(members, "Description", "");
    add_int(members, "MemorySize", MEMORY_MB);
    add_int(members, "Timeout",
            registration->timeout_s ? registration->timeout_s : TIMEOUT_MAX_S);
}

/* A FunctionConfiguration. Lists leave out its `state`. */
static void pack_configuration(struct dd_buf *out, const struct dd_engine *engine,
                               const struct dd_api_function *function, bool state)
{
    const struct dd_function *registration = function->registration;
    const char *name = registration->name->data;
    char arn[DD_ARN_MAX + 1], role[64];
    struct members members;

    members_begin(&members);
    add_text(&members, "FunctionName", name);
    format_arn(engine, name, function->qualifier, arn);
    add_text(&members, "FunctionArn", arn);
    snprintf(role, sizeof role, "arn:aws:iam::%s:role/durabled", engine->service.account);
    add_text(&members, "Role", role);
    add_identity(&members, engine, function);
    add_text(&members, "Version", DD_API_VERSION);
    add_text(&members, "PackageType", "Zip");
    msgpack_pack_array(add(&members, "Architectures"), 1);
    dd_pack_cstr(&members.packer, ARCHITECTURE);
    add_choice(&members, "TracingConfig", "Mode", "PassThrough");
    msgpack_pack_map(add(&members, "EphemeralStorage"), 1);
    dd_api_pack_int(&members.packer, "Size", 512);
    if (function->hosted)
        add_hosted(&members, function->hosted);
    else
        add_registered(&members, registration);
    add_logging(&members, name, function->hosted && function->hosted->json);
    if (!registration->plain)
        add_durable(&members, registration);
    if (state) {
        add_text(&members, "State", "Active");
        add_text(&members, "LastUpdateStatus", "Successful");
    }
    members_end(&members, out);
}

/* --- one function ------------------------------------------------------------------------ */

/* What is answered is durable with the newest registration. */
static void answer_now(struct dd_api_call *call, struct dd_api_answer *answer)
{
    dd_api_answer_end(answer, call->exchange, dd_journal_newest(call->engine->config.journal));
}

/* Where the code is; a worker's is its own affair. */
static void pack_code(msgpack_packer *packer, const struct dd_hosted *hosted)
{
    struct dd_buf location;

    dd_pack_cstr(packer, "Code");
    msgpack_pack_map(packer, hosted ? 2 : 1);
    dd_pack_cstr(packer, "RepositoryType");
    dd_pack_cstr(packer, "Local");
    if (!hosted)
        return;
    dd_buf_init(&location, DD_HTTP_BODY_MAX);
    dd_buf_printf(&location, "file://%s", hosted->directory);
    dd_pack_cstr(packer, "Location");
    dd_pack_span(packer, dd_buf_span(&location));
    dd_buf_deinit(&location);
}

int dd_api_get_function(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_api_function function;
    struct dd_api_answer answer;
    int rc = find(call, &function, error);

    if (rc)
        return rc;
    dd_api_answer_begin(&answer, 2);
    dd_pack_cstr(&answer.packer, "Configuration");
    pack_configuration(&answer.packed, call->engine, &function, true);
    pack_code(&answer.packer, function.hosted);
    answer_now(call, &answer);
    return 0;
}

int dd_api_get_configuration(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_api_function function;
    struct dd_api_answer answer;
    int rc = find(call, &function, error);

    if (rc)
        return rc;
    dd_buf_init(&answer.packed, DD_HTTP_BODY_MAX);
    pack_configuration(&answer.packed, call->engine, &function, true);
    answer_now(call, &answer);
    return 0;
}

/* --- lists ------------------------------------------------------------------------------- */

/* A page of names in their order. It follows the name in its marker, behind what the list
 * was asked for. */
struct page {
    struct dd_buf marker; /* `asked` and the name; empty: the first page */
    size_t asked;
    size_t items_max;
    size_t len;
    bool more;
    struct dd_buf items;
    struct dd_span last; /* name on the page */
};

static void page_end(struct page *page)
{
    dd_buf_deinit(&page->marker);
    dd_buf_deinit(&page->items);
}

/* `asked` and a NUL are the beginning of the list's markers. */
static int page_begin(struct dd_api_call *call, const char *asked, struct page *page,
                      struct dd_error *error)
{
    size_t items_max = DD_FUNCTIONS_PAGE_MAX;
    bool given;
    int rc = dd_api_query_items_max(call, 1, 10000, &items_max, error);

    *page = (struct page){.asked = strlen(asked) + 1};
    page->items_max =
        items_max < DD_FUNCTIONS_PAGE_MAX ? items_max : (size_t)DD_FUNCTIONS_PAGE_MAX;
    dd_buf_init(&page->marker, DD_MARKER_MAX);
    dd_buf_init(&page->items, DD_HTTP_BODY_MAX);
    if (rc == 0)
        rc = dd_api_query_marker(call, &page->marker, &given, error);
    if (rc == 0 && given &&
        (page->marker.len <= page->asked || memcmp(page->marker.data, asked, page->asked) != 0))
        rc = dd_api_no_marker(error);
    if (rc == 0)
        rc = dd_api_verdict(call, error);
    if (rc)
        page_end(page);
    return rc;
}

/* Whether the next name is to be packed into `items`. */
static bool page_takes(struct page *page, struct dd_span name)
{
    struct dd_span after = page->marker.len > 0 ? dd_span_make(page->marker.data + page->asked,
                                                               page->marker.len - page->asked)
                                                : DD_SPAN_NONE;

    if (after.data && dd_span_compare(name, after) <= 0)
        return false;
    page->more = page->len == page->items_max;
    if (page->more)
        return false;
    page->len++;
    page->last = name;
    return true;
}

static void page_answer(struct dd_api_call *call, const char *asked, const char *member,
                        struct page *page)
{
    struct dd_api_answer answer;

    dd_api_answer_begin(&answer, page->more ? 2 : 1);
    dd_pack_cstr(&answer.packer, member);
    msgpack_pack_array(&answer.packer, page->len);
    dd_buf_append_span(&answer.packed, dd_buf_span(&page->items));
    answer.packed.failed |= page->items.failed;
    if (page->more) {
        dd_buf_clear(&page->marker);
        dd_buf_append(&page->marker, asked, page->asked);
        dd_buf_append_span(&page->marker, page->last);
        dd_api_pack_marker(&answer.packer, dd_buf_span(&page->marker));
    }
    page_end(page);
    answer_now(call, &answer);
}

struct listing {
    const struct dd_engine *engine;
    struct page page;
    const char *qualifier;
};

static void visit(void *user, const struct dd_function *registration)
{
    struct listing *listing = user;
    const struct dd_engine_config *config = &listing->engine->config;
    struct dd_span name = dd_text_span(registration->name);
    struct dd_api_function function = {.registration = registration};

    if (listing->page.more || !page_takes(&listing->page, name))
        return;
    function.hosted = dd_hosted_find(config->hosted, config->hosted_len, name);
    snprintf(function.qualifier, sizeof function.qualifier, "%s", listing->qualifier);
    pack_configuration(&listing->page.items, listing->engine, &function, false);
}

int dd_api_list_functions(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_span versions = dd_api_query(call, "FunctionVersion");
    struct listing listing = {.engine = call->engine,
                              .qualifier = versions.data ? DD_API_VERSION : ""};
    int rc;

    if (versions.data && !dd_span_is(versions, "ALL"))
        dd_violate_enum(&call->violations, versions, "functionVersion", "ALL");
    rc = page_begin(call, "functions", &listing.page, error);
    if (rc)
        return rc;
    dd_journal_functions(call->engine->config.journal, visit, &listing);
    page_answer(call, "functions", "Functions", &listing.page);
    return 0;
}

int dd_api_list_versions(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_api_function function;
    struct page page;
    int rc = dd_api_name_function(call, &function, error);

    if (rc == 0)
        rc = page_begin(call, "versions", &page, error);
    if (rc)
        return rc;
    rc = dd_api_find_function(call, &function, error);
    if (rc) {
        page_end(&page);
        return rc;
    }
    snprintf(function.qualifier, sizeof function.qualifier, "%s", DD_API_VERSION);
    if (page_takes(&page, DD_SPAN(DD_API_VERSION)))
        pack_configuration(&page.items, call->engine, &function, false);
    page_answer(call, "versions", "Versions", &page);
    return 0;
}

/* --- aliases ----------------------------------------------------------------------------- */

static void pack_alias(struct dd_buf *out, const struct dd_engine *engine,
                       const struct dd_api_function *function, const char *alias)
{
    char arn[DD_ARN_MAX + 1];
    struct members members;
    uint8_t bytes[32];

    members_begin(&members);
    format_arn(engine, function->registration->name->data, alias, arn);
    add_text(&members, "AliasArn", arn);
    add_text(&members, "Name", alias);
    add_text(&members, "FunctionVersion", DD_API_VERSION);
    add_text(&members, "Description", "");
    fingerprint(engine, function, bytes);
    add_revision(&members, bytes);
    members_end(&members, out);
}

/* The alias that follows `after` in the order of names; NULL at the end. */
static const char *next_alias(const struct dd_hosted *hosted, const char *after)
{
    const char *next = NULL;

    for (size_t i = 0; hosted && hosted->aliases && hosted->aliases[i]; i++) {
        const char *alias = hosted->aliases[i];

        if ((!after || strcmp(alias, after) > 0) && (!next || strcmp(alias, next) < 0))
            next = alias;
    }
    return next;
}

/* The aliases of one version, or of all; each is of $LATEST. */
int dd_api_list_aliases(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_api_function function;
    const char *alias = NULL;
    struct dd_span version;
    struct page page;
    bool none;
    int rc = dd_api_name_function(call, &function, error);

    version = dd_api_query(call, "FunctionVersion");
    none = version.data && !dd_span_is(version, DD_API_VERSION);
    dd_check_text(&call->violations, version, "functionVersion", DD_ARN_MAX,
                  &dd_pattern_version);
    if (rc == 0)
        rc = page_begin(call, "aliases", &page, error);
    if (rc)
        return rc;
    rc = dd_api_find_function(call, &function, error);
    if (rc) {
        page_end(&page);
        return rc;
    }
    while (!none && !page.more && (alias = next_alias(function.hosted, alias)) != NULL) {
        if (page_takes(&page, dd_span_cstr(alias)))
            pack_alias(&page.items, call->engine, &function, alias);
    }
    page_answer(call, "aliases", "Aliases", &page);
    return 0;
}

int dd_api_get_alias(struct dd_api_call *call, struct dd_error *error)
{
    struct dd_api_function function;
    struct dd_api_answer answer;
    char arn[DD_ARN_MAX + 1], alias[DD_FUNCTION_QUALIFIER_MAX + 1];
    int rc = dd_api_name_function(call, &function, error);

    dd_check_text(&call->violations, call->name, "name", DD_FUNCTION_QUALIFIER_MAX,
                  &dd_pattern_alias);
    if (rc == 0)
        rc = dd_api_verdict(call, error);
    if (rc == 0)
        rc = dd_api_find_function(call, &function, error);
    if (rc)
        return rc;
    snprintf(alias, sizeof alias, "%.*s", (int)call->name.len, call->name.data);
    format_arn(call->engine, function.registration->name->data, alias, arn);
    if (!function.hosted || !dd_hosted_has_alias(function.hosted, call->name))
        return dd_fail(error, DD_NOT_FOUND, "Cannot find alias arn: %s", arn);
    dd_buf_init(&answer.packed, DD_HTTP_BODY_MAX);
    pack_alias(&answer.packed, call->engine, &function, alias);
    answer_now(call, &answer);
    return 0;
}
