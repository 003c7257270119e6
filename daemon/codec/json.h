/* JSON of the AWS shapes that pass through functions: the invocation event and
 * the handler's output (service-api 2). Payloads are strings inside them and are
 * passed on exactly as they are. */
#pragma once

#include "base/buf.h"
#include "core/service/service.h"
#include "core/session/session.h"

/* What a function is invoked with. */
struct dd_event {
    struct dd_text *arn;
    struct dd_text *token;
    struct dd_operation *operations; /* InitialExecutionState */
    size_t operations_len;
    struct dd_text *marker;   /* NextMarker; NULL or empty: complete */
    struct dd_text **updated; /* UpdatedOperationIds */
    size_t updated_len;
};

/* Reads an invocation event. Gives `*out_event`. DD_INVALID_PARAMETER with a
 * text that names the member: not a durable invocation, or damaged. */
int dd_json_parse_event(struct dd_span json, struct dd_event *out_event,
                        struct dd_error *error) DD_MUST_CHECK;
void dd_event_deinit(struct dd_event *event);

/* What the Extensions API tells of the sandbox. */
struct dd_sandbox_event {
    struct dd_text *type;       /* eventType: "INVOKE", "SHUTDOWN" */
    struct dd_text *request_id; /* of INVOKE */
    struct dd_text *reason;     /* of SHUTDOWN */
    int64_t deadline_ms;        /* 0: none */
};
int dd_json_parse_sandbox_event(struct dd_span json, struct dd_sandbox_event *out_event,
                                struct dd_error *error) DD_MUST_CHECK;
void dd_sandbox_event_deinit(struct dd_sandbox_event *event);

/* Writes the event of an invocation: no operations, and the marker under which
 * dd_execution_state() answers its first page. */
void dd_json_write_envelope(struct dd_buf *out, const struct dd_envelope *envelope);

/* Reads what a function returned; anything that is no handler output is
 * `malformed`. Gives result and error of `*out_outcome`. */
void dd_json_parse_output(struct dd_span json, struct dd_outcome *out_outcome);
void dd_outcome_deinit(struct dd_outcome *outcome);

/* Reads what a runtime reports of a function that raised: errorType, errorMessage and
 * stackTrace (the Runtime API's invocation error request). Gives an error of type
 * `type` where it has none; never NULL. */
struct dd_error_object *dd_json_parse_failure(struct dd_span json, struct dd_span type);

/* Writes the same, for a runtime or of one. */
void dd_json_write_failure(struct dd_buf *out, const struct dd_error_object *error);

/* Writes the output for an ENDED answer that is not `raise`. */
void dd_json_write_output(struct dd_buf *out, const struct dd_answer *answer);

/* Reads a line of a function's log: of a JSON object (LogFormat JSON) the members level
 * and message; else there is no level, and the message is the line. Gives both. */
void dd_json_parse_line(struct dd_span line, struct dd_text **out_level,
                        struct dd_text **out_message);
