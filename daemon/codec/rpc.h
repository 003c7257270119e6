/* MessagePack-RPC messages: [0, id, method, [params]] and [2, method, [params]]
 * in, [1, id, error, result] out. `params` is one map with string keys.
 *
 * Reading copies nothing: texts are spans into the message. Each getter names
 * the field it fails on, in `params->bad` and in the error's text. */
#pragma once

#include "base/buf.h"
#include "base/error.h"

enum dd_rpc_kind { DD_RPC_REQUEST, DD_RPC_NOTIFICATION };

struct dd_params {
    const void *map; /* a msgpack_object_map */
    const char *bad; /* the field that a getter refused last; NULL: none */
};

struct dd_rpc {
    enum dd_rpc_kind kind;
    uint64_t id; /* of a request */
    struct dd_span method;
    struct dd_params params;
    void *zone; /* what msgpack-c allocated */
};

/* Parses one whole message that the scanner has passed; `message` must outlive
 * `*out_rpc`. DD_PROTOCOL when it is none of the two. */
int dd_rpc_parse(struct dd_span message, struct dd_rpc *out_rpc,
                 struct dd_error *error) DD_MUST_CHECK;
void dd_rpc_deinit(struct dd_rpc *rpc);

/* Appends an answer; `result` is an encoded value. */
void dd_rpc_write_result(struct dd_buf *out, uint64_t id, struct dd_span result);
/* {code, message, retryable, field?} as the error; `field` may be NULL. */
void dd_rpc_write_error(struct dd_buf *out, uint64_t id, const struct dd_error *error,
                        const char *field);

/* --- getters --------------------------------------------------------------------
 * DD_BAD_PARAMS when the member has the wrong type, or is missing and `required`;
 * a missing or nil optional leaves `*out` as it is (spans: absent). */

enum dd_presence { DD_OPTIONAL, DD_REQUIRED };

/* UTF-8 text; anything else is refused. */
int dd_params_text(struct dd_params *params, const char *name, enum dd_presence presence,
                   struct dd_span *out, struct dd_error *error) DD_MUST_CHECK;

/* An integer between `min` and `max`. */
int dd_params_int(struct dd_params *params, const char *name, enum dd_presence presence,
                  int64_t min, int64_t max, int64_t *out, struct dd_error *error) DD_MUST_CHECK;
/* A finite number. */
int dd_params_float(struct dd_params *params, const char *name, enum dd_presence presence,
                    double *out, struct dd_error *error) DD_MUST_CHECK;
int dd_params_bool(struct dd_params *params, const char *name, bool *out,
                   struct dd_error *error) DD_MUST_CHECK;

/* A nested map; `*out_given` false when absent. */
int dd_params_map(struct dd_params *params, const char *name, enum dd_presence presence,
                  struct dd_params *out, bool *out_given, struct dd_error *error) DD_MUST_CHECK;

/* An array: its length, and its elements by the functions below. */
struct dd_array {
    const void *array; /* a msgpack_object_array; NULL when absent */
    size_t len;
};
int dd_params_array(struct dd_params *params, const char *name, enum dd_presence presence,
                    size_t len_max, struct dd_array *out, struct dd_error *error) DD_MUST_CHECK;
bool dd_array_text(const struct dd_array *array, size_t at, struct dd_span *out);
bool dd_array_int(const struct dd_array *array, size_t at, int64_t min, int64_t max,
                  int64_t *out);
bool dd_array_map(const struct dd_array *array, size_t at, struct dd_params *out);

/* DD_BAD_PARAMS for `name`, with a text of the caller's. */
int dd_params_refuse(struct dd_params *params, const char *name, struct dd_error *error,
                     const char *why) DD_MUST_CHECK;

/* The member encoded again, for what is stored as it came; false when absent, or when a
 * string in it is no UTF-8. */
bool dd_params_raw(const struct dd_params *params, const char *name, struct dd_buf *out);
