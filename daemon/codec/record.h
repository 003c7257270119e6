/* Stored records and heads: bytes at rest.
 *
 * A record is [version u8][checksum u64][body], a head in its table likewise. The
 * checksum (dd_checksum64) is over version and body, since LMDB has none of its
 * own. The body is MessagePack: [head, number, [fact, ...]], a fact being a map from
 * small integers, ascending, to members, absent ones left out. Keys and fact numbers are
 * forever; one that is unknown was written by a newer release.
 */
#pragma once

#include "base/buf.h"
#include "core/service/service.h"

struct dd_record_header {
    struct dd_head head; /* after the record's facts; texts given, unref both */
    uint32_t number;     /* dense per execution, from 0 */
};

/* Appends the record to `out`, which may fail (see buf.h). */
void dd_record_encode(uint32_t number, const struct dd_head *head, const struct dd_facts *facts,
                      struct dd_buf *out);

/* Reads the header alone. DD_STORE_CORRUPT, or DD_STORE_VERSION when a newer
 * release wrote it; nothing is given then. `error` may be NULL. */
int dd_record_header(struct dd_span record, struct dd_record_header *out_header,
                     struct dd_error *error) DD_MUST_CHECK;

/* Reads header and facts; the facts are given (dd_facts_deinit). */
int dd_record_decode(struct dd_span record, struct dd_record_header *out_header,
                     struct dd_facts *out_facts, struct dd_error *error) DD_MUST_CHECK;

/* The same for a head alone. */
void dd_head_encode(const struct dd_head *head, struct dd_buf *out);
int dd_head_decode(struct dd_span bytes, struct dd_head *out_head,
                   struct dd_error *error) DD_MUST_CHECK;
