/* JSON of AWS's HTTP API, from both its sides. Of the service: request bodies to structs, and
 * answers, which are packed as on the socket (wire.h) and written as JSON from that: each shape
 * has one encoder. Of its client: request bodies as JSON, and answers to structs. */
#pragma once

#include "base/buf.h"
#include "core/service/service.h"

/* The body of CheckpointDurableExecution; absent members are NULL. */
struct dd_checkpoint_request {
    struct dd_text *token;
    struct dd_text *client_token;
    struct dd_update *updates;
    size_t updates_len;
};

/* Reads a body. Adds to `violations` what the model forbids of enums and of members
 * that are not there. Gives `*out`, whatever the result. DD_SERIALIZATION for what is
 * no JSON object, or a member of another JSON type. */
int dd_api_read_checkpoint(struct dd_span json, struct dd_checkpoint_request *out,
                           struct dd_violations *violations,
                           struct dd_error *error) DD_MUST_CHECK;
void dd_checkpoint_request_deinit(struct dd_checkpoint_request *request);

/* Reads a body that is an ErrorObject; NULL for an empty body. Gives it. */
int dd_api_read_error(struct dd_span json, struct dd_error_object **out,
                      struct dd_error *error) DD_MUST_CHECK;

/* Integers under a name that ends in "Timestamp" are milliseconds: the API's answers have
 * seconds (service-api 1.1), the event of an invocation what they are (2). */
enum dd_api_times { DD_API_SECONDS, DD_API_MILLISECONDS };

/* Appends one packed value as JSON. */
void dd_api_write(struct dd_buf *out, struct dd_span packed, enum dd_api_times times);

/* Appends a JSON string. */
void dd_api_write_string(struct dd_buf *out, struct dd_span text);

/* --- of the service's client (api_client.c) ---------------------------------------------- */

/* Appends the body of CheckpointDurableExecution. */
void dd_api_write_checkpoint(struct dd_buf *out, struct dd_span token,
                             struct dd_span client_token, const struct dd_update *updates,
                             size_t updates_len);

/* Operations as the service answers them, of one page or of several. */
struct dd_api_state {
    struct dd_text *token; /* CheckpointToken; NULL: none */
    struct dd_operation *operations;
    size_t operations_len;
    struct dd_text *marker; /* NextMarker; NULL or empty: complete */
};
void dd_api_state_deinit(struct dd_api_state *state);

/* Read the answer to CheckpointDurableExecution, and to GetDurableExecutionState: add its
 * operations to `*state`, and set the rest. DD_SERIALIZATION for what is no such answer. */
int dd_api_read_checkpointed(struct dd_span json, struct dd_api_state *state,
                             struct dd_error *error) DD_MUST_CHECK;
int dd_api_read_page(struct dd_span json, struct dd_api_state *state,
                     struct dd_error *error) DD_MUST_CHECK;

/* Appends an answer packed: what dd_api_write() writes with DD_API_SECONDS, read back. */
int dd_api_pack(struct dd_span json, struct dd_buf *out, struct dd_error *error) DD_MUST_CHECK;

/* Reads an answer that is an error: `header` is its x-amzn-errortype (service-api 1.5).
 * Gives the type, without what may stand around it, NULL when AWS's API did not write this;
 * and the message, or NULL. */
void dd_api_read_failure(struct dd_span header, struct dd_span json, struct dd_text **out_type,
                         struct dd_text **out_message);

/* Temporary keys, as a credentials endpoint answers them. */
struct dd_api_keys {
    struct dd_text *access_key;
    struct dd_text *secret_key;
    struct dd_text *token; /* NULL: none */
    int64_t expires_ms;    /* 0: never */
};
int dd_api_read_keys(struct dd_span json, struct dd_api_keys *out,
                     struct dd_error *error) DD_MUST_CHECK;
void dd_api_keys_deinit(struct dd_api_keys *keys);
