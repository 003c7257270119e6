/* durablectl: what its files share.
 *
 *   main.c      the verbs        args.c      options and help, from one table
 *   show.c      trees            history.c   timelines, and what was interrupted
 *   sentence.c  why an execution stands where it stands
 *   doctor.c    is all well      doc.c       MessagePack: reading it, as JSON
 *   text.c      safe text, times, colours
 */
#pragma once

#include <msgpack.h>
#include <stdio.h>

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
    const char *subject;   /* NAME, EXECUTION, LEVEL or a callback's ID; NULL: none */
    const char *action;    /* of callback, as the next three */
    const char *operation; /* NULL: the subject is an ID */
    const char *error_type;
    const char *error_message;
    const char *socket;
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

/* A reply, unpacked. */
struct doc {
    msgpack_zone zone;
    msgpack_object root;
};

bool doc_open(struct doc *doc, const struct durabled_reply *reply);
void doc_close(struct doc *doc);
const msgpack_object *doc_get(const msgpack_object *map, const char *key);
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
    struct durabled_reply **replies;
    struct doc *docs;
    size_t len;
};

/* Takes the reply, whatever is returned. False: no memory. */
bool pages_add(struct pages *pages, struct durabled_reply *reply);
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

int story_load(struct durabled *connection, const char *execution, bool data, struct story *out,
               struct durabled_error *error);
void story_free(struct story *story);
/* The first event of the operation `id`, which says how it was started; NULL: none. */
const msgpack_object *story_start(const struct story *story, struct durabled_text id);
/* How often the step `id` was interrupted: a failed invocation came after its
 * START and before its end. */
size_t story_interruptions(const struct story *story, struct durabled_text id);
/* <EventType>Details. */
const msgpack_object *event_details(const msgpack_object *event);
void put_history(const struct screen *screen, const struct story *story);

/* --- show.c, sentence.c ------------------------------------------------------------------ */

/* `described`: all pages of execution.describe. `socket`: what a command to paste must
 * name; NULL: nothing. False: no memory. */
bool put_show(const struct screen *screen, const struct pages *described,
              const struct story *story, const char *socket, int64_t now_ms);

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
