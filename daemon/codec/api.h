/* JSON of AWS's HTTP API: request bodies to structs, and answers, which are packed as
 * on the socket (wire.h) and written as JSON from that: each shape has one encoder. */
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
