/* YAML to nodes, over libyaml's events; see sam_priv.h.
 *
 * Events come one after the other, and what is open stands on a stack of our own, so depth
 * costs no C stack. An anchor is known when its node has ended: an alias inside of it names
 * an earlier one or none, and a tree never contains itself. An alias is the node it stands
 * for, not a copy, so aliases of aliases grow only when they are worked out, which is
 * counted. JSON is YAML as far as templates go. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "base/alloc.h"
#include "base/map.h"
#include "sam/sam_priv.h"

#define CHUNK_BYTES (64u * 1024)

struct dd_chunk {
    struct dd_chunk *next;
    size_t len, cap;
    max_align_t data[];
};

/* A list or map that has not ended. */
struct open {
    struct dd_node *node;
    const char *tag, *anchor;
    const char *key; /* of the value that comes next */
    size_t cap;
};

struct parser {
    yaml_parser_t yaml;
    struct dd_arena *arena;
    const char *name;
    struct dd_error *error;
    struct open stack[DD_TEMPLATE_DEPTH_MAX];
    size_t depth;
    struct dd_map anchors; /* name -> node */
    const struct dd_node *root;
};

void *dd_sam_alloc(struct dd_arena *arena, size_t size)
{
    struct dd_chunk *chunk = arena->chunks;
    size_t rounded;
    void *at;

    if (arena->failed || size > DD_TEMPLATE_MEMORY_MAX - arena->used) {
        arena->failed = true;
        return NULL;
    }
    rounded = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!chunk || rounded > chunk->cap - chunk->len) {
        size_t cap = rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES;

        chunk = dd_try_alloc(sizeof *chunk + cap);
        if (!chunk) {
            arena->failed = true;
            return NULL;
        }
        *chunk = (struct dd_chunk){.next = arena->chunks, .cap = cap};
        arena->chunks = chunk;
    }
    at = (char *)chunk->data + chunk->len;
    chunk->len += rounded;
    arena->used += rounded;
    memset(at, 0, size);
    return at;
}

const char *dd_sam_copy(struct dd_arena *arena, struct dd_span text)
{
    char *copy = dd_sam_alloc(arena, text.len + 1);

    if (copy && text.len > 0)
        memcpy(copy, text.data, text.len);
    return copy;
}

const char *dd_sam_vprint(struct dd_arena *arena, const char *fmt, va_list args)
{
    va_list again;
    char *text;
    int len;

    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    text = len >= 0 ? dd_sam_alloc(arena, (size_t)len + 1) : NULL;
    if (text)
        (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    return text;
}

const char *dd_sam_print(struct dd_arena *arena, const char *fmt, ...)
{
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = dd_sam_vprint(arena, fmt, args);
    va_end(args);
    return text;
}

void dd_arena_deinit(struct dd_arena *arena)
{
    struct dd_chunk *chunk = arena->chunks;

    while (chunk) {
        struct dd_chunk *next = chunk->next;

        dd_free(chunk);
        chunk = next;
    }
    *arena = (struct dd_arena){0};
}

const struct dd_node *dd_node_get(const struct dd_node *node, const char *key)
{
    if (!node || node->kind != DD_NODE_MAP)
        return NULL;
    for (size_t i = node->len; i > 0; i--) /* of two of a name, the last holds */
        if (strcmp(node->pairs[i - 1].key, key) == 0)
            return node->pairs[i - 1].value;
    return NULL;
}

const char *dd_node_text(const struct dd_node *node)
{
    return node && node->kind == DD_NODE_TEXT ? node->text : NULL;
}

/* --- failures ---------------------------------------------------------------------------- */

static int fail_at(struct parser *parser, yaml_mark_t mark, const char *problem)
{
    return dd_fail(parser->error, DD_USAGE, "%s:%zu:%zu: %s", parser->name, mark.line + 1,
                   mark.column + 1, problem);
}

static int fail_yaml(struct parser *parser)
{
    const yaml_parser_t *yaml = &parser->yaml;
    const char *problem = yaml->problem ? yaml->problem : "this is no YAML";

    if (yaml->error == YAML_MEMORY_ERROR)
        return dd_fail(parser->error, DD_NO_MEMORY, "%s: no memory to read it", parser->name);
    if (yaml->error == YAML_READER_ERROR)
        return dd_fail(parser->error, DD_USAGE, "%s: byte %zu: %s", parser->name,
                       yaml->problem_offset, problem);
    return fail_at(parser, yaml->problem_mark, problem);
}

static int fail_memory(struct parser *parser)
{
    return dd_fail(parser->error, DD_USAGE, "%s: the template is too large", parser->name);
}

/* --- building ---------------------------------------------------------------------------- */

static bool grow(struct parser *parser, struct open *open)
{
    size_t cap = open->cap ? 2 * open->cap : 8;
    struct dd_pair *pairs = dd_sam_alloc(parser->arena, cap * sizeof *pairs);

    if (!pairs)
        return false;
    if (open->node->len > 0)
        memcpy(pairs, open->node->pairs, open->node->len * sizeof *pairs);
    open->node->pairs = pairs;
    open->cap = cap;
    return true;
}

static int add(struct parser *parser, struct open *open, const char *key,
               const struct dd_node *value, yaml_mark_t mark)
{
    if (open->node->len == DD_TEMPLATE_KEYS_MAX)
        return fail_at(parser, mark, "this map or list has too many entries");
    if (open->node->len == open->cap && !grow(parser, open))
        return fail_memory(parser);
    open->node->pairs[open->node->len++] = (struct dd_pair){key, value};
    return 0;
}

/* "<<": what the map has itself wins, wherever it stands, so what is merged goes before. */
static int merge(struct parser *parser, struct open *open, const struct dd_node *from,
                 yaml_mark_t mark)
{
    int rc = 0;

    if (from && from->kind == DD_NODE_LIST) {
        for (size_t i = 0; rc == 0 && i < from->len; i++)
            if (from->pairs[i].value->kind == DD_NODE_MAP)
                rc = merge(parser, open, from->pairs[i].value, mark);
        return rc;
    }
    if (!from || from->kind != DD_NODE_MAP)
        return fail_at(parser, mark, "<< merges a map, or a list of maps");
    for (size_t i = 0; rc == 0 && i < from->len; i++) {
        if (dd_node_get(open->node, from->pairs[i].key))
            continue;
        rc = add(parser, open, from->pairs[i].key, from->pairs[i].value, mark);
        if (rc)
            return rc;
        memmove(&open->node->pairs[1], &open->node->pairs[0],
                (open->node->len - 1) * sizeof *open->node->pairs);
        open->node->pairs[0] = from->pairs[i];
    }
    return rc;
}

/* A value is complete: it goes into what is open. NULL is null. */
static int place(struct parser *parser, const struct dd_node *value, yaml_mark_t mark)
{
    struct open *open;
    const char *key;

    if (parser->depth == 0) {
        parser->root = value;
        return 0;
    }
    open = &parser->stack[parser->depth - 1];
    if (open->node->kind == DD_NODE_LIST)
        return value ? add(parser, open, NULL, value, mark) : 0;
    if (!open->key) {
        if (!dd_node_text(value))
            return fail_at(parser, mark, "a key that is no text");
        open->key = value->text;
        return 0;
    }
    key = open->key;
    open->key = NULL;
    if (strcmp(key, "<<") == 0)
        return merge(parser, open, value, mark);
    return value ? add(parser, open, key, value, mark) : 0;
}

static struct dd_node *new_node(struct parser *parser, enum dd_node_kind kind, yaml_mark_t mark)
{
    struct dd_node *node = dd_sam_alloc(parser->arena, sizeof *node);

    if (node) {
        node->kind = kind;
        node->line = (int)mark.line + 1;
        node->text = "";
    }
    return node;
}

/* "!Sub" to "Fn::Sub"; NULL for YAML's own tags. */
static const char *function_of(struct parser *parser, const char *tag)
{
    char name[64];
    int len;

    if (!tag || tag[0] != '!' || tag[1] == '\0' || tag[1] == '!')
        return NULL;
    if (strcmp(tag, "!Ref") == 0 || strcmp(tag, "!Condition") == 0)
        return dd_sam_copy(parser->arena, dd_span_cstr(tag + 1));
    len = snprintf(name, sizeof name, "Fn::%s", tag + 1);
    if (len < 0 || (size_t)len >= sizeof name)
        return NULL;
    return dd_sam_copy(parser->arena, dd_span_cstr(name));
}

/* A node has ended: its tag is wrapped around it, and its anchor leads to it. */
static int finish(struct parser *parser, const struct dd_node *node, const char *tag,
                  const char *anchor, yaml_mark_t mark)
{
    if (tag) {
        struct dd_node *call = new_node(parser, DD_NODE_MAP, mark);

        if (!call || !node)
            return node ? fail_memory(parser) : place(parser, NULL, mark);
        call->pairs = dd_sam_alloc(parser->arena, sizeof *call->pairs);
        if (!call->pairs)
            return fail_memory(parser);
        call->pairs[0] = (struct dd_pair){tag, node};
        call->len = 1;
        node = call;
    }
    if (anchor && node)
        dd_map_put(&parser->anchors, dd_span_cstr(anchor), (void *)node);
    return place(parser, node, mark);
}

/* --- events ------------------------------------------------------------------------------ */

static const char *one_of(const char *text, const char *const *words)
{
    for (size_t i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0)
            return words[i];
    return NULL;
}

/* Plain scalars that are no text, as YAML 1.1 has them (PyYAML, which `sam` reads with). */
static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

    return one_of(text, words) != NULL;
}

static const char *boolean(const char *text)
{
    static const char *const yes[] = {"true", "True", "TRUE", "yes", "Yes",
                                      "YES",  "on",   "On",   "ON",  NULL};
    static const char *const no[] = {"false", "False", "FALSE", "no",  "No",
                                     "NO",    "off",   "Off",   "OFF", NULL};

    return one_of(text, yes) ? "true" : one_of(text, no) ? "false" : NULL;
}

static const char *copy_anchor(struct parser *parser, const yaml_char_t *anchor)
{
    return anchor ? dd_sam_copy(parser->arena, dd_span_cstr((const char *)anchor)) : NULL;
}

/* Whether the scalar is the key of the map that is open. */
static bool is_key(const struct parser *parser)
{
    const struct open *open = parser->depth ? &parser->stack[parser->depth - 1] : NULL;

    return open && open->node->kind == DD_NODE_MAP && !open->key;
}

static int on_scalar(struct parser *parser, const yaml_event_t *event)
{
    struct dd_span value = dd_span_make(event->data.scalar.value, event->data.scalar.length);
    const char *tag = function_of(parser, (const char *)event->data.scalar.tag);
    struct dd_node *node = new_node(parser, DD_NODE_TEXT, event->start_mark);
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !event->data.scalar.tag;
    const char *text;

    if (memchr(value.data, '\0', value.len))
        return fail_at(parser, event->start_mark, "a text with a NUL in it");
    if (value.len > DD_TEMPLATE_TEXT_MAX)
        return fail_at(parser, event->start_mark, "this text is too long");
    text = dd_sam_copy(parser->arena, value);
    if (!node || !text)
        return fail_memory(parser);
    if (plain && is_null(text) && !is_key(parser))
        return finish(parser, NULL, tag, NULL, event->start_mark);
    node->text = plain && boolean(text) ? boolean(text) : text;
    return finish(parser, node, tag, copy_anchor(parser, event->data.scalar.anchor),
                  event->start_mark);
}

static int on_alias(struct parser *parser, const yaml_event_t *event)
{
    const char *anchor = (const char *)event->data.alias.anchor;
    const struct dd_node *node = dd_map_get(&parser->anchors, dd_span_cstr(anchor));

    if (!node)
        return fail_at(parser, event->start_mark,
                       "an alias of an anchor that has not ended before it");
    return place(parser, node, event->start_mark);
}

static int on_open(struct parser *parser, enum dd_node_kind kind, const yaml_event_t *event)
{
    const yaml_char_t *tag =
        kind == DD_NODE_MAP ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor = kind == DD_NODE_MAP ? event->data.mapping_start.anchor
                                                    : event->data.sequence_start.anchor;
    struct open open = {.node = new_node(parser, kind, event->start_mark),
                        .tag = function_of(parser, (const char *)tag),
                        .anchor = copy_anchor(parser, anchor)};

    if (is_key(parser))
        return fail_at(parser, event->start_mark, "a key that is no text");
    if (parser->depth == DD_TEMPLATE_DEPTH_MAX)
        return fail_at(parser, event->start_mark, "too many lists and maps inside each other");
    if (!open.node)
        return fail_memory(parser);
    parser->stack[parser->depth++] = open;
    return 0;
}

static int on_close(struct parser *parser, const yaml_event_t *event)
{
    struct open *open = &parser->stack[--parser->depth];

    return finish(parser, open->node, open->tag, open->anchor, event->start_mark);
}

static int on_event(struct parser *parser, const yaml_event_t *event, bool *out_end)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(parser, event);
    case YAML_ALIAS_EVENT:
        return on_alias(parser, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(parser, DD_NODE_LIST, event);
    case YAML_MAPPING_START_EVENT:
        return on_open(parser, DD_NODE_MAP, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(parser, event);
    case YAML_DOCUMENT_END_EVENT: /* further documents are none of a template's */
    case YAML_STREAM_END_EVENT:
        *out_end = true;
        return 0;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
        return 0;
    }
    dd_unreachable();
}

int dd_yaml_parse(struct dd_arena *arena, struct dd_span text, const char *name,
                  const struct dd_node **out_root, struct dd_error *error)
{
    struct parser parser = {.arena = arena, .name = name, .error = error};
    bool end = false;
    int rc = 0;

    if (!yaml_parser_initialize(&parser.yaml))
        return dd_fail(error, DD_NO_MEMORY, "%s: no memory to read it", name);
    yaml_parser_set_input_string(&parser.yaml, (const unsigned char *)text.data, text.len);
    while (rc == 0 && !end) {
        yaml_event_t event;

        if (!yaml_parser_parse(&parser.yaml, &event)) {
            rc = fail_yaml(&parser);
            break;
        }
        rc = on_event(&parser, &event, &end);
        yaml_event_delete(&event);
    }
    dd_map_deinit(&parser.anchors);
    yaml_parser_delete(&parser.yaml);
    if (rc == 0)
        *out_root = parser.root;
    return rc;
}
