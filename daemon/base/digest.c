/* Digests; see digest.h. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <xxhash.h>

#include "base/check.h"

/* libcrypto looks an algorithm up by name and allocates at every use unless a context is
 * kept, and that takes longer than the digest of an id; so each has one. */
static EVP_MD_CTX *digest_context(const char *name)
{
    EVP_MD *algorithm = EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    dd_assert(algorithm && context);
    dd_assert(EVP_DigestInit_ex2(context, algorithm, NULL) == 1);
    EVP_MD_free(algorithm);
    return context;
}

static void digest_hex(EVP_MD_CTX *context, struct dd_span data, size_t hex_len, char *out_hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    dd_assert(EVP_DigestInit_ex2(context, NULL, NULL) == 1);
    dd_assert(EVP_DigestUpdate(context, data.data, data.len) == 1);
    dd_assert(EVP_DigestFinal_ex(context, digest, &len) == 1);
    dd_assert(hex_len % 2 == 0 && hex_len <= 2 * (size_t)len);
    for (size_t i = 0; i < hex_len / 2; i++) {
        out_hex[2 * i] = digits[digest[i] >> 4];
        out_hex[2 * i + 1] = digits[digest[i] & 0x0f];
    }
    out_hex[hex_len] = '\0';
}

void dd_blake2b512_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static EVP_MD_CTX *context;

    if (!context)
        context = digest_context("BLAKE2B-512");
    digest_hex(context, data, hex_len, out_hex);
}

void dd_sha256_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static EVP_MD_CTX *context;

    if (!context)
        context = digest_context("SHA2-256");
    digest_hex(context, data, hex_len, out_hex);
}

void dd_md5_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static EVP_MD_CTX *context;

    if (!context)
        context = digest_context("MD5");
    digest_hex(context, data, hex_len, out_hex);
}

static EVP_MAC_CTX *mac_context(void)
{
    static char digest[] = "SHA2-256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC *algorithm = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *context = algorithm ? EVP_MAC_CTX_new(algorithm) : NULL;

    dd_assert(context && EVP_MAC_CTX_set_params(context, params) == 1);
    EVP_MAC_free(algorithm);
    return context;
}

void dd_hmac_sha256(struct dd_span key, struct dd_span data, uint8_t out_mac[32])
{
    static EVP_MAC_CTX *context;
    static uint8_t kept[32]; /* the key that the context has, when it is of that length */
    static bool keeps;
    bool again = keeps && key.len == sizeof(kept) &&
                 dd_secret_compare(key.data, kept, sizeof(kept)) == 0;
    size_t len = 0;

    if (!context)
        context = mac_context();
    if (!again) {
        keeps = key.len == sizeof(kept);
        memcpy(kept, key.data, keeps ? sizeof(kept) : 0);
    }
    dd_assert(EVP_MAC_init(context, again ? NULL : (const uint8_t *)key.data,
                           again ? 0 : key.len, NULL) == 1);
    dd_assert(EVP_MAC_update(context, (const uint8_t *)data.data, data.len) == 1);
    dd_assert(EVP_MAC_final(context, out_mac, &len, 32) == 1 && len == 32);
}

int dd_secret_compare(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len);
}

uint64_t dd_checksum64(struct dd_span data)
{
    return XXH3_64bits(data.data, data.len);
}
