/* durablectl: what its files share.
 *
 *   main.c      the verbs        args.c      options and help, from one table
 *   show.c      trees            history.c   timelines, and what was interrupted
 *   sentence.c  why an execution stands where it stands
 *   doctor.c    is all well      doc.c       MessagePack: reading it, as JSON
 *   text.c      safe text, times, colours
 *
 * Where executions are (struct source), as the same documents:
 *
 *   local.c     a daemon         aws.c       AWS's API, over the calls of
 *   fold.c      what a history   aws_call.c  one signed call, with the keys of
 *               comes to         profile.c   AWS's shared files
 */
#pragma once

#include <msgpack.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/text.h"
#include "durabled.h"

/* --- exit codes: the table in README.md -------------------------------------------------- */

enum exit_code {
    EXIT_OK = 0,
    EXIT_BAD = 1, /* the execution ended badly, or doctor found something */
    EXIT_USAGE = 2,
    EXIT_NO_DAEMON = 3, /* not found, or the connection was lost */
    EXIT_NOT_FOUND = 4,
    EXIT_REFUSED = 5,
    EXIT_INTERNAL = 6,
};

/* --- args.c ------------------------------------------------------------------------------ */

struct args {
    const char *verb;
    const char *subject;    /* NAME, EXECUTION, LEVEL or a callback's ID; NULL: none */
    const char *action;     /* of callback, as the next three */
    const char *operation;  /* NULL: the subject is an ID */
    const char *error_type; /* of stop too, as the next one */
    const char *error_message;
    const char *socket;
    bool aws;             /* AWS's API instead of a daemon; of it are the next two */
    const char *endpoint; /* its URL; NULL: AWS's own, or the environment's */
    const char *region;
    bool json;
    bool help;
    bool version;
    const char *name;
    const char *payload; /* as given: text, @FILE or - */
    bool wait;
    bool follow;
    bool waiting;
    const char *status;
    const char *function;
    const char *since;
    int64_t since_ms; /* of `since` */
    int64_t limit;
};

/* False: `problem` says what is wrong and how to do it right. Borrows argv. `now_ms`
 * is what a relative --since counts from. */
bool args_parse(int argc, char **argv, int64_t now_ms, struct args *out, char *problem,
                size_t size);
/* Help of one verb; of all when NULL. */
void args_help(FILE *out, const char *verb);

/* --- text.c ------------------------------------------------------------------------------ */

enum colour { PLAIN, BOLD, DIM, GREEN, RED, YELLOW, CYAN };

/* Where to write for people. */
struct screen {
    FILE *out;
    bool colours;
    bool glyphs;
};

void screen_init(struct screen *screen, FILE *out);
/* Starts and ends a colour; nothing when there are none. */
const char *paint(const struct screen *screen, enum colour colour);
const char *unpaint(const struct screen *screen);
/* Writes peer-controlled text: controls and direction marks escaped, broken UTF-8
 * too; cut with dots after `columns` characters (0: never). Returns the columns. */
size_t put_safe(FILE *out, const char *text, size_t len, size_t columns);
size_t put_safe_cstr(FILE *out, const char *text, size_t columns);
void put_spaces(FILE *out, size_t count);
/* Writes it as one word of a shell, safe as above. */
void put_quoted(FILE *out, const char *text, size_t len);

int64_t now_ms(void);
/* "14:03", "14:03:05" when near, with the date when not today. Local time. */
void format_when(char *out, size_t size, int64_t when_ms, int64_t now_ms);
/* "2026-11-23 19:20:01". */
void format_instant(char *out, size_t size, int64_t when_ms);
/* "19:20:01.123". */
void format_clock(char *out, size_t size, int64_t when_ms);
/* "0.4 s", "12 s", "3 min 5 s", "2 h 4 min", "3 d 1 h". */
void format_duration(char *out, size_t size, int64_t ms);
void format_bytes(char *out, size_t size, int64_t bytes);

/* --- doc.c ------------------------------------------------------------------------------- */

/* What a source answered, unpacked; owns it. */
struct doc {
    struct durabled_reply *reply; /* its bytes are in one of these */
    struct dd_buf packed;
    msgpack_zone zone;
    msgpack_object root;
};

/* Take the reply, or the bytes, whatever is returned. False: no memory, or no MessagePack. */
bool doc_open(struct doc *doc, struct durabled_reply *reply);
bool doc_open_packed(struct doc *doc, struct dd_buf *packed);
void doc_close(struct doc *doc);
const msgpack_object *doc_get(const msgpack_object *map, const char *key);
/* A whole number; 0 when it is absent, or beyond 2^53 on either side: as seconds turned into
 * milliseconds, and added to a time, it stays within its type. */
int64_t doc_int(const msgpack_object *map, const char *key);
/* A str member; `data` NULL when absent. Not ended by a NUL. */
struct durabled_text doc_text(const msgpack_object *map, const char *key);
bool doc_is(const msgpack_object *map, const char *key, const char *text);
/* An array member: its elements, `*out_len` of them. */
const msgpack_object *doc_array(const msgpack_object *map, const char *key, size_t *out_len);
/* Negative, 0 or positive, by the bytes; neither may be absent. */
int text_order(struct durabled_text a, struct durabled_text b);

/* The pages of what does not fit into one answer. Start it as {0}. */
struct pages {
    struct doc *docs;
    size_t len;
};

/* Takes the document, whatever is returned. False: no memory. */
bool pages_add(struct pages *pages, struct doc *doc);
void pages_free(struct pages *pages);
/* The elements of the array `key` of all pages, in order (free); NULL: no memory. */
const msgpack_object **pages_items(const struct pages *pages, const char *key, size_t *out_len);

/* Any value as JSON, on one line. */
void put_json(FILE *out, const msgpack_object *value);
void put_json_text(FILE *out, const char *text, size_t len);
/* The first page as one document, with the array `key` of all pages; ends the line. */
void put_json_pages(FILE *out, const struct pages *pages, const char *key);

/* --- history.c --------------------------------------------------------------------------- */

/* A whole history. */
struct story {
    struct pages pages;
    const msgpack_object **events;
    size_t len;
    const msgpack_object **by_id; /* those of operations, of each one together */
    size_t by_id_len;
    const msgpack_object **failures; /* failed invocations */
    size_t failures_len;
};

/* Takes the pages, of execution.history, whatever is returned. False: no memory. */
bool story_open(struct story *story, struct pages *pages);
void story_free(struct story *story);
/* Where the events of the operation `id` begin in `by_id`; and the one at `at` there, NULL
 * when it is not of this operation. */
size_t story_find(const struct story *story, struct durabled_text id);
const msgpack_object *story_at(const struct story *story, size_t at, struct durabled_text id);
/* The first event of the operation `id`, which says how it was started; NULL: none. */
const msgpack_object *story_start(const struct story *story, struct durabled_text id);
/* How often the step `id` was interrupted: a failed invocation came after its
 * START and before its end. */
size_t story_interruptions(const struct story *story, struct durabled_text id);
/* <EventType>Details. */
const msgpack_object *event_details(const msgpack_object *event);
void put_history(const struct screen *screen, const struct story *story);

/* --- sources ----------------------------------------------------------------------------- */

struct source;

/* `execution` is as the user wrote it. Documents are those of the protocol's methods. */
struct source_ops {
    /* A page of execution.list. */
    int (*list)(struct source *source, const struct durabled_list_filter *filter,
                struct doc *out, struct durabled_error *error);
    /* All pages of execution.describe; and the history without payloads, unless NULL. */
    int (*describe)(struct source *source, const char *execution, struct pages *out,
                    struct story *out_story, struct durabled_error *error);
    /* The history, with payloads. */
    int (*history)(struct source *source, const char *execution, struct story *out,
                   struct durabled_error *error);
    /* execution.stop; `failure` may be NULL. */
    int (*stop)(struct source *source, const char *execution,
                const struct durabled_failure *failure, struct doc *out,
                struct durabled_error *error);
    /* `action`: succeed, with the payload; fail, with the failure; heartbeat. */
    int (*callback)(struct source *source, const char *action,
                    const struct durabled_callback_name *name, struct durabled_text payload,
                    const struct durabled_failure *failure, struct durabled_error *error);
    void (*close)(struct source *source);
};

struct source {
    const struct source_ops *ops;
    struct durabled *connection; /* to a daemon; NULL: it is AWS's API */
    char *options; /* what a command to paste must name, with a space at its end; owned */
};

/* Give the source, whose close() frees it. */
int local_open(const struct args *args, struct source **out, struct durabled_error *error);
int aws_open(const struct args *args, struct source **out, struct durabled_error *error);
/* Sets the error; returns its code. */
int fail(struct durabled_error *error, int code, const char *type, const char *fmt, ...)
    DD_PRINTF(4, 5);
int out_of_memory(struct durabled_error *error);

/* --- fold.c ------------------------------------------------------------------------------ */

/* Append what execution.describe has under these names, as a history tells it: the array of
 * operations, and where an execution of that status stands. False: no memory. */
bool fold_operations(struct dd_buf *out, const struct story *story, int64_t now_ms);
bool fold_standing(struct dd_buf *out, const struct story *story, bool closed, int64_t now_ms);

/* --- aws_call.c, profile.c --------------------------------------------------------------- */

/* A client of AWS's API. */
struct aws;

/* Finds endpoint, region and keys. `subject`: an ARN, which has a region, or another text.
 * DURABLED_USAGE when something is not there. Gives `*out`. */
int aws_new(const struct args *args, const char *subject, struct aws **out,
            struct durabled_error *error);
void aws_free(struct aws *aws);
const char *aws_region(const struct aws *aws);

struct aws_call {
    const char *method;
    const char *target;       /* path and query, escaped */
    struct dd_span body;      /* absent: none */
    const char *content_type; /* NULL: none */
    bool once;                /* a second time may be refused for the first */
};

/* Makes the call, again a few times when that may help. Gives the answer as a document whose
 * times are in milliseconds; NULL: it is not wanted. */
int aws_run(struct aws *aws, const struct aws_call *call, struct doc *out,
            struct durabled_error *error);

/* What a profile of AWS's shared files has; NULL: nothing. */
struct profile {
    struct dd_text *region;
    struct dd_text *access_key, *secret_key, *session_token;
    struct dd_text *other; /* the setting by which it gets its keys elsewhere */
    bool found;
};

/* Reads the profile `name` of the files config and credentials. */
void profile_read(const char *name, struct profile *out);
void profile_deinit(struct profile *profile);

/* --- show.c, sentence.c ------------------------------------------------------------------ */

/* `described`: all pages of execution.describe. `options`: those of the source. False: no
 * memory. */
bool put_show(const struct screen *screen, const struct pages *described,
              const struct story *story, const char *options, int64_t now_ms);

/* Why the execution stands where it stands; ends in a full stop. `described`: a page of
 * execution.describe. Pure. Texts in it are as the peer gave them. */
void format_sentence(char *out, size_t size, const msgpack_object *described,
                     const struct story *story, int64_t now_ms);
/* What people know a callback by: itself, or the start of the context of
 * wait_for_callback around it. */
const msgpack_object *known_callback(const msgpack_object *operation,
                                     const struct story *story);

/* --- doctor.c ---------------------------------------------------------------------------- */

int run_doctor(const struct args *args);
