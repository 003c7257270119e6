/* Values of a template: intrinsic functions, parameters and conditions; see sam_priv.h.
 *
 * The functions and their rules are those of CloudFormation's template reference
 * ("Intrinsic function reference"). What can't be known without a deployed stack is an
 * empty text, said in a note, and the function starts all the same. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "sam/sam_priv.h"

static const struct dd_node unknown = {.kind = DD_NODE_TEXT, .unknown = true, .text = ""};

const struct dd_node *dd_node_unknown(void)
{
    return &unknown;
}

/* A text that the arena has, or NULL. */
static const struct dd_node *text_node(struct dd_template *template, const char *text)
{
    struct dd_node *node = dd_sam_alloc(&template->reading->arena, sizeof *node);

    if (!node || !text)
        return &unknown;
    node->kind = DD_NODE_TEXT;
    node->text = text;
    return node;
}

const struct dd_node *dd_node_new(struct dd_template *template, struct dd_span text)
{
    return text_node(template, dd_sam_copy(&template->reading->arena, text));
}

const struct dd_node *dd_node_format(struct dd_template *template, const char *fmt, ...)
{
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = dd_sam_vprint(&template->reading->arena, fmt, args);
    va_end(args);
    return text_node(template, text);
}

/* A list with room for `len` items; NULL when it would be too large. */
static struct dd_node *new_list(struct dd_template *template, size_t len)
{
    struct dd_node *node = dd_sam_alloc(&template->reading->arena, sizeof *node);

    if (!node)
        return NULL;
    node->kind = DD_NODE_LIST;
    node->text = "";
    node->pairs = dd_sam_alloc(&template->reading->arena, len * sizeof *node->pairs);
    return node->pairs ? node : NULL;
}

static const struct dd_node *take(struct dd_template *template, struct dd_buf *buf)
{
    const struct dd_node *node;

    if (buf->failed) {
        dd_sam_note(template, "%s is longer than %u bytes and empty here: shorten it",
                    template->property, DD_TEMPLATE_TEXT_MAX);
        node = &unknown;
    } else {
        node = dd_node_new(template, dd_buf_span(buf));
    }
    dd_buf_deinit(buf);
    return node;
}

/* --- arguments --------------------------------------------------------------------------- */

static const struct dd_node *malformed(struct dd_template *template, const char *name)
{
    dd_sam_note(template, "%s is empty: its %s has not the arguments that CloudFormation takes",
                template->property, name);
    return &unknown;
}

/* The value of argument `at` of a function's list; NULL when there is none. */
static const struct dd_node *argument(struct dd_template *template, const struct dd_node *list,
                                      size_t at)
{
    if (!list || list->kind != DD_NODE_LIST || at >= list->len)
        return NULL;
    return dd_sam_value(template, list->pairs[at].value);
}

static const char *text_argument(struct dd_template *template, const struct dd_node *list,
                                 size_t at)
{
    return dd_node_text(argument(template, list, at));
}

/* A whole number from 0 to `max`; -1 for anything else. */
static long number(const char *text, long max)
{
    char *end;
    long value;

    if (!text || !isdigit((unsigned char)*text))
        return -1;
    value = strtol(text, &end, 10);
    return *end || value > max ? -1 : value;
}

/* --- parameters -------------------------------------------------------------------------- */

/* The parts of `text` between the delimiters. */
static const struct dd_node *split(struct dd_template *template, const char *text,
                                   const char *delimiter, bool trimmed)
{
    size_t step = strlen(delimiter), len = 1;
    const char *at, *next;
    struct dd_node *list;

    if (step == 0)
        return malformed(template, "Fn::Split");
    for (at = text; (at = strstr(at, delimiter)); at += step)
        len++;
    list = new_list(template, len);
    if (!list)
        return &unknown;
    for (at = text; list->len < len; at = next + step) {
        struct dd_span part;

        next = strstr(at, delimiter);
        part = next ? dd_span_make(at, (size_t)(next - at)) : dd_span_cstr(at);
        list->pairs[list->len++].value =
            dd_node_new(template, trimmed ? dd_span_trim(part) : part);
        if (!next)
            break;
    }
    return list;
}

/* What the user gave for the parameter; NULL when nothing. */
static const char *given(const struct dd_template *template, const char *name)
{
    const char *const *parameters = template->reading->config->parameters;
    size_t len = strlen(name);
    const char *value = NULL;

    for (size_t i = 0; parameters && parameters[i]; i++)
        if (strncmp(parameters[i], name, len) == 0 && parameters[i][len] == '=')
            value = parameters[i] + len + 1;
    return value;
}

static const struct dd_node *parameter(struct dd_template *template, const char *name,
                                       const struct dd_node *declared)
{
    const char *type = dd_node_text(dd_node_get(declared, "Type"));
    const char *value = given(template, name);

    if (!value && type && strncmp(type, "AWS::SSM::", 10) == 0) {
        dd_sam_note(
            template,
            "%s is empty: parameter %s is kept in SSM, which is not asked; give it with "
            "--parameters %s=VALUE",
            template->property, name, name);
        return &unknown;
    }
    if (!value)
        value = dd_node_text(dd_node_get(declared, "Default"));
    if (!value) {
        dd_sam_note(template,
                    "%s is empty: parameter %s has no Default; give it with --parameters "
                    "%s=VALUE",
                    template->property, name, name);
        return &unknown;
    }
    if (type && (strstr(type, "List<") || strcmp(type, "CommaDelimitedList") == 0))
        return split(template, value, ",", true);
    return dd_node_new(template, dd_span_cstr(value));
}

/* --- references -------------------------------------------------------------------------- */

/* Gives the value of a pseudo parameter; false when it is none. */
static bool pseudo(struct dd_template *template, const char *name, const struct dd_node **out)
{
    const struct dd_sam_config *config = template->reading->config;
    const char *value = NULL;

    if (strncmp(name, "AWS::", 5) != 0)
        return false;
    name += 5;
    *out = NULL;
    if (strcmp(name, "NoValue") == 0)
        return true;
    if (strcmp(name, "Region") == 0)
        value = config->region;
    else if (strcmp(name, "AccountId") == 0)
        value = config->account;
    else if (strcmp(name, "Partition") == 0)
        value = "aws";
    else if (strcmp(name, "URLSuffix") == 0)
        value = "amazonaws.com";
    else if (strcmp(name, "StackName") == 0)
        value = template->stack;
    if (value)
        *out = dd_node_new(template, dd_span_cstr(value));
    else if (strcmp(name, "StackId") == 0)
        *out = dd_node_format(template, "arn:aws:cloudformation:%s:%s:stack/%s/local",
                              config->region, config->account, template->stack);
    else if (strcmp(name, "NotificationARNs") == 0)
        *out = new_list(template, 0);
    else
        return false;
    return true;
}

static const struct dd_node *ref(struct dd_template *template, const char *name)
{
    const struct dd_node *value, *declared;

    if (pseudo(template, name, &value))
        return value;
    declared = dd_node_get(template->parameters, name);
    if (declared)
        return parameter(template, name, declared);
    return dd_sam_ref(template, name);
}

static const struct dd_node *call_ref(struct dd_template *template, const struct dd_node *arg)
{
    const char *name = dd_node_text(arg);

    return name ? ref(template, name) : malformed(template, "Ref");
}

static const struct dd_node *get_attribute(struct dd_template *template, const char *text)
{
    const char *dot = strchr(text, '.');
    const char *name;

    if (!dot)
        return malformed(template, "Fn::GetAtt");
    name = dd_sam_copy(&template->reading->arena, dd_span_make(text, (size_t)(dot - text)));
    return name ? dd_sam_attribute(template, name, dot + 1) : &unknown;
}

static const struct dd_node *call_get_att(struct dd_template *template,
                                          const struct dd_node *arg)
{
    const char *name = text_argument(template, arg, 0);
    const char *attribute = text_argument(template, arg, 1);

    if (dd_node_text(arg))
        return get_attribute(template, dd_node_text(arg));
    return name && attribute ? dd_sam_attribute(template, name, attribute)
                             : malformed(template, "Fn::GetAtt");
}

/* --- texts ------------------------------------------------------------------------------- */

/* What "${name}" stands for. */
static const struct dd_node *substitute(struct dd_template *template, struct dd_span span,
                                        const struct dd_node *variables)
{
    const char *name = dd_sam_copy(&template->reading->arena, dd_span_trim(span));
    const struct dd_node *variable;

    if (!name)
        return &unknown;
    variable = dd_node_get(variables, name);
    if (variable)
        return dd_sam_value(template, variable);
    return strchr(name, '.') ? get_attribute(template, name) : ref(template, name);
}

static const struct dd_node *sub(struct dd_template *template, const char *text,
                                 const struct dd_node *variables)
{
    struct dd_buf out;

    dd_buf_init(&out, DD_TEMPLATE_TEXT_MAX);
    for (;;) {
        const char *open = strstr(text, "${");
        const char *close = open ? strchr(open, '}') : NULL;
        const struct dd_node *value;

        if (!open || !close)
            break;
        dd_buf_append(&out, text, (size_t)(open - text));
        text = close + 1;
        if (open[2] == '!') { /* "${!x}" is "${x}" */
            dd_buf_append_cstr(&out, "${");
            dd_buf_append(&out, open + 3, (size_t)(text - open - 3));
            continue;
        }
        value =
            substitute(template, dd_span_make(open + 2, (size_t)(close - open - 2)), variables);
        if (value && !dd_node_text(value)) {
            dd_buf_deinit(&out);
            return malformed(template, "Fn::Sub");
        }
        dd_buf_append_cstr(&out, value ? value->text : "");
    }
    dd_buf_append_cstr(&out, text);
    return take(template, &out);
}

static const struct dd_node *call_sub(struct dd_template *template, const struct dd_node *arg)
{
    const char *text = dd_node_text(arg);

    if (text)
        return sub(template, text, NULL);
    if (arg->kind != DD_NODE_LIST || arg->len != 2 || !dd_node_text(arg->pairs[0].value) ||
        arg->pairs[1].value->kind != DD_NODE_MAP)
        return malformed(template, "Fn::Sub");
    return sub(template, arg->pairs[0].value->text, arg->pairs[1].value);
}

static const struct dd_node *call_join(struct dd_template *template, const struct dd_node *arg)
{
    const char *delimiter = text_argument(template, arg, 0);
    const struct dd_node *list = argument(template, arg, 1);
    struct dd_buf out;

    if (!delimiter || !list || list->kind != DD_NODE_LIST)
        return list && list->unknown ? list : malformed(template, "Fn::Join");
    dd_buf_init(&out, DD_TEMPLATE_TEXT_MAX);
    for (size_t i = 0; i < list->len; i++) {
        const char *item = dd_node_text(list->pairs[i].value);

        if (!item) {
            dd_buf_deinit(&out);
            return malformed(template, "Fn::Join");
        }
        if (i > 0)
            dd_buf_append_cstr(&out, delimiter);
        dd_buf_append_cstr(&out, item);
    }
    return take(template, &out);
}

static const struct dd_node *call_split(struct dd_template *template, const struct dd_node *arg)
{
    const char *delimiter = text_argument(template, arg, 0);
    const struct dd_node *value = argument(template, arg, 1);
    const char *text = dd_node_text(value);

    if (value && value->unknown)
        return value;
    return delimiter && text ? split(template, text, delimiter, false)
                             : malformed(template, "Fn::Split");
}

static const struct dd_node *call_select(struct dd_template *template,
                                         const struct dd_node *arg)
{
    long at = number(text_argument(template, arg, 0), DD_TEMPLATE_TEXT_MAX);
    const struct dd_node *list = argument(template, arg, 1);

    if (list && list->unknown)
        return list;
    if (at < 0 || !list || list->kind != DD_NODE_LIST || (size_t)at >= list->len)
        return malformed(template, "Fn::Select");
    return list->pairs[at].value;
}

static const struct dd_node *call_base64(struct dd_template *template,
                                         const struct dd_node *arg)
{
    const struct dd_node *text = dd_sam_value(template, arg);
    struct dd_buf out;

    if (!dd_node_text(text) || text->unknown)
        return text && text->unknown ? text : malformed(template, "Fn::Base64");
    dd_buf_init(&out, DD_TEMPLATE_TEXT_MAX);
    dd_base64_encode(dd_span_cstr(text->text), &out);
    return take(template, &out);
}

static const struct dd_node *call_length(struct dd_template *template,
                                         const struct dd_node *arg)
{
    const struct dd_node *list = dd_sam_value(template, arg);

    if (!list || list->kind != DD_NODE_LIST)
        return list && list->unknown ? list : malformed(template, "Fn::Length");
    return dd_node_format(template, "%zu", list->len);
}

/* --- tables ------------------------------------------------------------------------------ */

static const struct dd_node *call_find_in_map(struct dd_template *template,
                                              const struct dd_node *arg)
{
    const char *map = text_argument(template, arg, 0);
    const char *row = text_argument(template, arg, 1);
    const char *column = text_argument(template, arg, 2);
    const struct dd_node *found, *fallback = argument(template, arg, 3);

    if (!map || !row || !column)
        return malformed(template, "Fn::FindInMap");
    found = dd_node_get(dd_node_get(dd_node_get(template->mappings, map), row), column);
    if (!found)
        found = dd_node_get(fallback, "DefaultValue");
    if (found)
        return found;
    dd_sam_note(template, "%s is empty: Mappings has no %s.%s.%s; add it", template->property,
                map, row, column);
    return &unknown;
}

static const struct dd_node *call_get_azs(struct dd_template *template,
                                          const struct dd_node *arg)
{
    const char *region = dd_node_text(dd_sam_value(template, arg));
    struct dd_node *list = new_list(template, 3);

    if (!list)
        return &unknown;
    if (!region || !*region)
        region = template->reading->config->region;
    for (const char *zone = "abc"; *zone; zone++)
        list->pairs[list->len++].value = dd_node_format(template, "%s%c", region, *zone);
    return list;
}

/* "10.0.0.0/16" to its address and bits; false for anything else, IPv6 too. */
static bool parse_block(const char *text, uint32_t *out_address, long *out_bits)
{
    uint32_t address = 0;

    for (int i = 0; i < 4; i++) {
        char *end;
        long part;

        if (!isdigit((unsigned char)*text))
            return false;
        part = strtol(text, &end, 10);
        if (part > 255 || *end != (i < 3 ? '.' : '/'))
            return false;
        address = address << 8 | (uint32_t)part;
        text = end + 1;
    }
    *out_address = address;
    *out_bits = number(text, 32);
    return *out_bits >= 0;
}

/* [block, count, bits]: blocks of 2^bits addresses; at most 256 of them. */
static const struct dd_node *call_cidr(struct dd_template *template, const struct dd_node *arg)
{
    const char *block = text_argument(template, arg, 0);
    long count = number(text_argument(template, arg, 1), 256);
    long size = number(text_argument(template, arg, 2), 32), bits;
    struct dd_node *list;
    uint32_t address;

    if (!block || count < 1 || size < 1 || size > 31 || !parse_block(block, &address, &bits) ||
        bits + size > 32 || count > (long)(UINT64_C(1) << (32 - bits - size)))
        return malformed(template, "Fn::Cidr");
    list = new_list(template, (size_t)count);
    for (long i = 0; list && i < count; i++) {
        uint32_t at = address + ((uint32_t)i << size);

        list->pairs[list->len++].value =
            dd_node_format(template, "%u.%u.%u.%u/%ld", at >> 24, at >> 16 & 255, at >> 8 & 255,
                           at & 255, 32 - size);
    }
    return list ? list : &unknown;
}

/* --- conditions -------------------------------------------------------------------------- */

static bool truth(struct dd_template *template, const struct dd_node *node)
{
    const char *text = dd_node_text(dd_sam_value(template, node));

    return text && strcmp(text, "true") == 0;
}

static const struct dd_node *boolean(bool value)
{
    static const struct dd_node yes = {.kind = DD_NODE_TEXT, .text = "true"};
    static const struct dd_node no = {.kind = DD_NODE_TEXT, .text = "false"};

    return value ? &yes : &no;
}

bool dd_sam_condition(struct dd_template *template, const char *name)
{
    const struct dd_node *conditions = template->conditions;
    size_t at = 0;
    bool holds;

    while (conditions && at < conditions->len && strcmp(conditions->pairs[at].key, name) != 0)
        at++;
    if (!conditions || at == conditions->len) {
        dd_sam_note(template,
                    "Condition %s is none of the template's Conditions, and taken for "
                    "false: add it",
                    name);
        return false;
    }
    if (template->truths[at] == DD_WORKING) {
        dd_sam_note(template,
                    "Condition %s refers to itself, and is taken for false: correct "
                    "it",
                    name);
        template->truths[at] = DD_FALSE;
    }
    if (template->truths[at] == DD_NEW) {
        template->truths[at] = DD_WORKING;
        holds = truth(template, conditions->pairs[at].value);
        template->truths[at] = holds ? DD_TRUE : DD_FALSE;
    }
    return template->truths[at] == DD_TRUE;
}

static const struct dd_node *call_condition(struct dd_template *template,
                                            const struct dd_node *arg)
{
    const char *name = dd_node_text(arg);

    return name ? boolean(dd_sam_condition(template, name)) : malformed(template, "Condition");
}

static const struct dd_node *call_if(struct dd_template *template, const struct dd_node *arg)
{
    const char *name;

    if (arg->kind != DD_NODE_LIST || arg->len != 3 || !dd_node_text(arg->pairs[0].value))
        return malformed(template, "Fn::If");
    name = arg->pairs[0].value->text;
    return dd_sam_value(template, arg->pairs[dd_sam_condition(template, name) ? 1 : 2].value);
}

static const struct dd_node *call_equals(struct dd_template *template,
                                         const struct dd_node *arg)
{
    const struct dd_node *a = argument(template, arg, 0), *b = argument(template, arg, 1);

    if (arg->kind != DD_NODE_LIST || arg->len != 2 || !dd_node_text(a) || !dd_node_text(b))
        return malformed(template, "Fn::Equals");
    return boolean(!a->unknown && !b->unknown && strcmp(a->text, b->text) == 0);
}

/* All of them are `wanted`? */
static const struct dd_node *all(struct dd_template *template, const struct dd_node *arg,
                                 bool wanted, const char *name)
{
    bool result = true;

    if (arg->kind != DD_NODE_LIST)
        return malformed(template, name);
    for (size_t i = 0; result && i < arg->len; i++)
        result = truth(template, arg->pairs[i].value) == wanted;
    return boolean(result);
}

static const struct dd_node *call_and(struct dd_template *template, const struct dd_node *arg)
{
    return all(template, arg, true, "Fn::And");
}

static const struct dd_node *call_or(struct dd_template *template, const struct dd_node *arg)
{
    const struct dd_node *none = all(template, arg, false, "Fn::Or");

    return none->unknown ? none : boolean(strcmp(none->text, "false") == 0);
}

static const struct dd_node *call_not(struct dd_template *template, const struct dd_node *arg)
{
    return all(template, arg, false, "Fn::Not");
}

/* --- all of them ------------------------------------------------------------------------- */

static const struct dd_node *call_import_value(struct dd_template *template,
                                               const struct dd_node *arg)
{
    (void)arg;
    dd_sam_note(template,
                "%s is empty: Fn::ImportValue needs a deployed stack; use a parameter with a "
                "Default instead",
                template->property);
    return &unknown;
}

static const struct dd_node *call_transform(struct dd_template *template,
                                            const struct dd_node *arg)
{
    (void)arg;
    dd_sam_note(template,
                "%s is empty: Fn::Transform runs in the cloud; use a parameter with a Default "
                "instead",
                template->property);
    return &unknown;
}

typedef const struct dd_node *(*call_fn)(struct dd_template *template,
                                         const struct dd_node *arg);

static const struct {
    const char *name;
    call_fn call;
} calls[] = {
    {"Ref", call_ref},
    {"Condition", call_condition},
    {"Fn::And", call_and},
    {"Fn::Base64", call_base64},
    {"Fn::Cidr", call_cidr},
    {"Fn::Equals", call_equals},
    {"Fn::FindInMap", call_find_in_map},
    {"Fn::GetAZs", call_get_azs},
    {"Fn::GetAtt", call_get_att},
    {"Fn::If", call_if},
    {"Fn::ImportValue", call_import_value},
    {"Fn::Join", call_join},
    {"Fn::Length", call_length},
    {"Fn::Not", call_not},
    {"Fn::Or", call_or},
    {"Fn::Select", call_select},
    {"Fn::Split", call_split},
    {"Fn::Sub", call_sub},
    {"Fn::Transform", call_transform},
};

bool dd_node_is_function(const struct dd_node *node)
{
    const char *key =
        node && node->kind == DD_NODE_MAP && node->len == 1 ? node->pairs[0].key : NULL;

    return key && (strncmp(key, "Fn::", 4) == 0 || strcmp(key, "Ref") == 0 ||
                   strcmp(key, "Condition") == 0);
}

static const struct dd_node *call(struct dd_template *template, const struct dd_node *node)
{
    const char *name = node->pairs[0].key;

    for (size_t i = 0; i < DD_COUNT(calls); i++)
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].call(template, node->pairs[0].value);
    dd_sam_note(template, "%s is empty: %s is not known here; write what it gives instead",
                template->property, name);
    return &unknown;
}

/* A list or a map with the values of what it holds. */
static const struct dd_node *container(struct dd_template *template, const struct dd_node *node)
{
    struct dd_node *copy = new_list(template, node->len);

    if (!copy)
        return &unknown;
    copy->kind = node->kind;
    copy->line = node->line;
    for (size_t i = 0; i < node->len; i++) {
        const struct dd_node *value = dd_sam_value(template, node->pairs[i].value);

        if (value)
            copy->pairs[copy->len++] = (struct dd_pair){node->pairs[i].key, value};
    }
    return copy;
}

const struct dd_node *dd_sam_value(struct dd_template *template, const struct dd_node *node)
{
    const struct dd_node *value;

    if (!node || node->kind == DD_NODE_TEXT)
        return node;
    if (++template->steps > DD_TEMPLATE_STEPS_MAX)
        return &unknown;
    if (template->depth == DD_TEMPLATE_CALLS_MAX) {
        dd_sam_note(template,
                    "%s is empty: it refers to itself, or to too much that refers on; correct "
                    "it",
                    template->property);
        return &unknown;
    }
    template->depth++;
    value = dd_node_is_function(node) ? call(template, node) : container(template, node);
    template->depth--;
    return value;
}
