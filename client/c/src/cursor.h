/* The replay cursor: operations that the daemon sent ahead, so that a replayed one
 * costs no round trip. Pure: it sends nothing and knows no session.
 *
 * A window is the answer of session.begin or session.operations. An entry is
 * found by its place (context id and position) and taken once. */
#pragma once

#include "priv.h"

struct cursor_entry;
struct cursor_window;

struct cursor {
    struct cursor_entry **buckets; /* by place; open entries only */
    size_t buckets_len;
    size_t entries_len;
    bool more; /* the daemon has further windows */
    bool gaps; /* something recorded is in none of them */
};

/* What the program says that it is about to start. */
struct cursor_identity {
    const char *type;
    const char *sub_type;
    const char *name;      /* NULL: none */
    const char *parent_id; /* NULL: none */
};

enum cursor_found {
    CURSOR_NOTHING, /* nothing recorded: it is new */
    CURSOR_MORE,    /* not in the windows so far: add the next one and ask again */
    CURSOR_DONE,    /* complete: `out` has its outcome */
    CURSOR_ASK,     /* the daemon must say: open, other identity, a body that is to run
                       again, or perhaps recorded where nobody looked */
};

struct cursor_outcome {
    char *id; /* of the operation; given (free), for ASK too */
    bool succeeded;
    char *callback_id;             /* given (free); NULL: none */
    struct durabled_result result; /* given: durabled_result_clear() */
};

void cursor_init(struct cursor *cursor);
void cursor_free(struct cursor *cursor);

/* Adds the `operations` and `more` of an answer; takes the reply. False: no
 * memory; the reply is freed and nothing was added. */
bool cursor_add(struct cursor *cursor, struct durabled_reply *reply);

/* Takes the entry at (`context_id` NULL: the root, `position`). With no memory
 * for the outcome it is ASK: the daemon has it still. */
enum cursor_found cursor_take(struct cursor *cursor, const char *context_id, int64_t position,
                              const struct cursor_identity *identity,
                              struct cursor_outcome *out);

/* Whether a complete entry lies there; takes nothing. */
bool cursor_replays(const struct cursor *cursor, const char *context_id, int64_t position);
