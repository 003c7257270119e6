/* One-shot digests: operation ids, token MACs (libcrypto: every algorithm that
 * the official SDKs hash ids with, and the AWS signer needs it anyway) and the
 * record checksum (libxxhash: 64 bits in tens of nanoseconds).
 *
 * Used on one thread, but for dd_secret_compare() and dd_checksum64(), which keep
 * nothing between calls. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* Writes the first `hex_len` hex digits (even, at most 128) of the digest, and a NUL. */
void dd_blake2b512_hex(struct dd_span data, size_t hex_len, char *out_hex);
/* At most 64 hex digits. */
void dd_sha256_hex(struct dd_span data, size_t hex_len, char *out_hex);
/* At most 32 hex digits. */
void dd_md5_hex(struct dd_span data, size_t hex_len, char *out_hex);

/* HMAC-SHA-256 (RFC 2104). */
void dd_hmac_sha256(struct dd_span key, struct dd_span data, uint8_t out_mac[32]);

/* Compares in time that does not depend on the bytes: 0 when equal. */
int dd_secret_compare(const void *a, const void *b, size_t len);

/* XXH3-64 of `data`. */
uint64_t dd_checksum64(struct dd_span data);
