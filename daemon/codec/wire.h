/* The protocol's calls and answers as structs: what methods.c and sessions.c
 * read and write. Member names are those of proto/protocol.toml. Writers append
 * one encoded map; a buffer that fails says so (see buf.h). */
#pragma once

#include <msgpack.h>

#include "codec/rpc.h"
#include "core/service/service.h"
#include "core/session/session.h"

/* --- reading ----------------------------------------------------------------------------- */

/* session.begin; spans into the message. */
struct dd_begin {
    struct dd_span event; /* absent: that of `request_id` */
    const struct dd_profile *profile;
    struct dd_span request_id;
    int64_t deadline_ms;
    bool observe;
};
int dd_wire_read_begin(struct dd_params *params, struct dd_begin *out,
                       struct dd_error *error) DD_MUST_CHECK;

/* A call on a session, of the kind of its method. Gives `*out` (spans stay in the
 * message); free with dd_wire_call_deinit(). */
int dd_wire_read_call(enum dd_call_kind kind, struct dd_params *params, struct dd_call *out,
                      struct dd_error *error) DD_MUST_CHECK;
void dd_wire_call_deinit(struct dd_call *call);

/* A member that is an ErrorObject; NULL when absent and optional. Gives it. */
int dd_wire_read_error(struct dd_params *params, const char *name, enum dd_presence presence,
                       struct dd_error_object **out, struct dd_error *error) DD_MUST_CHECK;

/* --- writing ----------------------------------------------------------------------------- */

/* A log line, as it is kept: its members, without a map around them. Its message is cut to
 * DD_LOG_LINE_MAX; `fields` is an encoded map of half of that at most, or absent. */
void dd_wire_write_line(struct dd_buf *out, int64_t time_ms, struct dd_span level,
                        struct dd_span message, struct dd_span fields);

void dd_wire_write_empty(struct dd_buf *out);

/* What session.begin tells of the session itself; all borrowed. */
struct dd_wire_session {
    uint64_t id;
    const char *key;
    const struct dd_text *arn;
    struct dd_text *const *updated; /* UpdatedOperationIds */
    size_t updated_len;
};
void dd_wire_write_begun(struct dd_buf *out, const struct dd_answer *answer,
                         const struct dd_wire_session *session);
void dd_wire_write_joined(struct dd_buf *out, uint64_t session, const struct dd_text *arn);

/* To END: the text to return from the function, or the error to raise. */
void dd_wire_write_ended(struct dd_buf *out, struct dd_span output,
                         const struct dd_answer *answer);

/* Any other answer of the session engine but ERROR. */
void dd_wire_write_answer(struct dd_buf *out, const struct dd_answer *answer);

void dd_wire_write_worker(struct dd_buf *out, uint64_t worker);
void dd_wire_write_drain(struct dd_buf *out);
void dd_wire_write_invocation(struct dd_buf *out, const struct dd_envelope *envelope,
                              const struct dd_text *function, struct dd_span event,
                              int64_t deadline_ms);

/* --- AWS shapes -------------------------------------------------------------------------- */

void dd_wire_pack_error(msgpack_packer *packer, const struct dd_error_object *error);
/* `data` false leaves results and errors out. */
void dd_wire_pack_operation(msgpack_packer *packer, const struct dd_operation *operation,
                            bool data);
/* GetDurableExecution's members (service-api 1.3), in a map to which the caller adds
 * `more`. `data` false leaves input, result and error out. */
void dd_wire_pack_execution(msgpack_packer *packer, const struct dd_execution *execution,
                            bool data, size_t more);
/* An event of the history, with the identity of the operation it is about (NULL: of an
 * invocation); `data` false leaves payloads out (Truncated). */
void dd_wire_pack_event(msgpack_packer *packer, const struct dd_fact *fact,
                        const struct dd_operation *subject, bool data);
