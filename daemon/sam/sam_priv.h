/* What the files of this room share.
 *
 *   sam.c       one reading, from its start to its end    find.c       where templates are
 *   yaml.c      text to a tree of nodes                   report.c     lines for the user
 *   resource.c  names and ARNs of what is declared        intrinsic.c  values of a tree
 *   function.c  a resource to a function to host          globals.c    what SAM merges into it
 *   runtime.c   what process runs it                      ignored.c    what is not emulated
 *   probe.c     asks an interpreter
 *
 * A *node* is a value of a template. Nodes, and all texts that are made of them, live in the
 * arena until the reading ends, so nothing of them is freed. What goes over a limit gives
 * an unknown value and marks the reading as failed, which is looked at once, at its end. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/limits.h"
#include "sam/sam.h"

/* --- yaml.c: text to nodes --------------------------------------------------------------- */

enum dd_node_kind { DD_NODE_TEXT, DD_NODE_LIST, DD_NODE_MAP };

struct dd_pair {
    const char *key; /* of an item of a list: NULL */
    const struct dd_node *value;
};

struct dd_node {
    enum dd_node_kind kind;
    int line;
    bool unknown;     /* a text that can't be known here; it is empty */
    const char *text; /* booleans are "true" and "false", other scalars as written */
    struct dd_pair *pairs;
    size_t len;
};

struct dd_chunk;

struct dd_arena {
    struct dd_chunk *chunks;
    size_t used;
    bool failed; /* beyond DD_TEMPLATE_MEMORY_MAX */
};

/* Zeroed bytes that live as long as the arena; NULL when they would be too many. */
void *dd_sam_alloc(struct dd_arena *arena, size_t size);

/* A copy with a NUL behind; NULL as above. */
const char *dd_sam_copy(struct dd_arena *arena, struct dd_span text);

/* Text of the arena as printf() makes it; NULL as above. */
const char *dd_sam_print(struct dd_arena *arena, const char *fmt, ...) DD_PRINTF(2, 3);
const char *dd_sam_vprint(struct dd_arena *arena, const char *fmt, va_list args)
    DD_PRINTF(2, 0);

void dd_arena_deinit(struct dd_arena *arena);

/* Reads a document. A tag "!Sub x" is the map {"Fn::Sub": x}, aliases are replaced by what
 * they stand for, and "<<" merges; an item that is null is left out. `name` stands before
 * the line in errors. */
int dd_yaml_parse(struct dd_arena *arena, struct dd_span text, const char *name,
                  const struct dd_node **out_root, struct dd_error *error) DD_MUST_CHECK;

/* The value under `key` of a map; NULL when there is none, or no map. */
const struct dd_node *dd_node_get(const struct dd_node *node, const char *key);

/* As text; NULL for what is none. */
const char *dd_node_text(const struct dd_node *node);

/* --- sam.c: one reading ------------------------------------------------------------------ */

struct dd_probe;

struct dd_reading {
    const struct dd_sam_config *config;
    struct dd_sam sam; /* what is given in the end */
    size_t ignored_len, templates_len;
    struct dd_arena arena;
    struct dd_probe *probes; /* interpreters that were asked */
    size_t probes_len;
    bool *parameters_used; /* which of the configuration's some template has */
};

enum dd_progress { DD_NEW, DD_WORKING, DD_FALSE, DD_TRUE };

/* One template, and what is being worked out. */
struct dd_template {
    struct dd_reading *reading;
    const char *path;      /* as the user would name it */
    const char *directory; /* absolute: its paths are relative to this */
    const char *stack;
    const struct dd_node *globals, *resources, *parameters, *mappings, *conditions;
    enum dd_progress *truths; /* of conditions */
    enum dd_progress *named;  /* of resources */
    const char **names;
    const char **told;    /* of resources: the function that was told of it last */
    const char *function; /* that lines are about; NULL: the template */
    char property[256];   /* of it */
    bool quiet;           /* no notes: something is only looked at */
    size_t steps;
    unsigned depth;
};

/* --- report.c: lines for the user -------------------------------------------------------- */

/* Each line is kept once. A fault is about `template->function`. */
void dd_sam_fault(struct dd_template *template, const char *fmt, ...) DD_PRINTF(2, 3);
void dd_sam_note(struct dd_template *template, const char *fmt, ...) DD_PRINTF(2, 3);

/* `what` is a property or a type of resources, `whose` the function or resource. */
void dd_sam_ignore(struct dd_reading *reading, const char *what, const char *whose,
                   const char *why);

/* A copy that belongs to who asked. */
char *dd_sam_strdup(const char *text);
char *dd_sam_format(const char *fmt, ...) DD_PRINTF(1, 2);

void dd_sam_add_line(struct dd_sam_lines *lines, const char *function, const char *text);

/* --- find.c: where templates are --------------------------------------------------------- */

/* A template that was found. */
struct dd_found {
    const char *path;
    struct dd_found *next;
};

/* Finds what `config` asks for; all texts are of the arena. */
int dd_sam_find(struct dd_reading *reading, struct dd_found **out_found,
                struct dd_error *error) DD_MUST_CHECK;

/* The whole file; free with dd_free(). */
int dd_sam_load(const char *path, char **out_text, size_t *out_len,
                struct dd_error *error) DD_MUST_CHECK;

/* "a/b", of the arena; `b` alone when it is absolute. NULL when one of them is. */
const char *dd_sam_join(struct dd_arena *arena, const char *a, const char *b);

bool dd_sam_is_directory(const char *path);
bool dd_sam_is_file(const char *path);

/* --- intrinsic.c: values ----------------------------------------------------------------- */

/* The value with all functions in it replaced by theirs. NULL is "no value": the member is
 * to be treated as if it weren't there. What can't be worked out is said in a note. */
const struct dd_node *dd_sam_value(struct dd_template *template, const struct dd_node *node);

/* Whether the condition of that name holds. */
bool dd_sam_condition(struct dd_template *template, const char *name);

/* True for {"Ref": ...} and the like. */
bool dd_node_is_function(const struct dd_node *node);

const struct dd_node *dd_node_new(struct dd_template *template, struct dd_span text);
const struct dd_node *dd_node_format(struct dd_template *template, const char *fmt, ...)
    DD_PRINTF(2, 3);
const struct dd_node *dd_node_unknown(void);

/* --- resource.c: names and ARNs ---------------------------------------------------------- */

bool dd_sam_is_function(const struct dd_node *resource);
bool dd_sam_is_layer(const struct dd_node *resource);
const char *dd_sam_type(const struct dd_node *resource);

/* Whether its condition holds. */
bool dd_sam_exists(struct dd_template *template, const struct dd_node *resource);

/* What the resource is called: as its template says, else its logical id. */
const char *dd_sam_name(struct dd_template *template, size_t resource);

/* Values of Ref and GetAtt for anything but a parameter. */
const struct dd_node *dd_sam_ref(struct dd_template *template, const char *name);
const struct dd_node *dd_sam_attribute(struct dd_template *template, const char *name,
                                       const char *attribute);

/* The ARN that Ref gives of a layer. */
const char *dd_sam_layer_arn(struct dd_template *template, size_t resource);

/* --- function.c: functions to host ------------------------------------------------------- */

/* Adds all functions of the template to its reading. */
void dd_sam_functions(struct dd_template *template);

/* --- globals.c: what SAM merges ---------------------------------------------------------- */

/* The properties of a function with those that all of the template's have. */
const struct dd_node *dd_sam_merge(struct dd_template *template, const struct dd_node *own);

/* --- ignored.c: what is not emulated ----------------------------------------------------- */

/* Names those among the properties of `template->function`. */
void dd_sam_ignore_properties(struct dd_template *template, const struct dd_node *map);

/* Names those among the template's resources. */
void dd_sam_ignore_types(struct dd_template *template);

/* --- runtime.c: what process runs a function --------------------------------------------- */

/* Adds its command and what layers put into its environment. False after a fault. */
bool dd_sam_runtime(struct dd_template *template, struct dd_hosted *hosted);

/* --- probe.c: interpreters --------------------------------------------------------------- */

struct dd_probe {
    char *asked;
    char *program; /* what runs in the end */
    bool runs;
    int major, minor;
    bool client; /* Python: it has awslambdaric */
};

/* What `program` says of itself; it is asked once a reading, for DD_PROBE_MS at most. Its
 * texts live as long as the reading. */
struct dd_probe dd_sam_probe(struct dd_reading *reading, const char *program, bool python);

/* The first `name` on the configuration's PATH; NULL when there is none. */
const char *dd_sam_which(struct dd_reading *reading, const char *name);
