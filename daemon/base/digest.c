/* Digests; see digest.h. */
#include "base/digest.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <xxhash.h>

#include "base/check.h"

/* libcrypto looks algorithms up by name at every use unless one is kept; these
 * are constants of the process, found once. */
static const EVP_MD *fetched(const EVP_MD **slot, const char *name)
{
    if (!*slot)
        *slot = EVP_MD_fetch(NULL, name, NULL);
    dd_assert(*slot);
    return *slot;
}

static void digest_hex(const EVP_MD *algorithm, struct dd_span data, size_t hex_len,
                       char *out_hex)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int done = EVP_Digest(data.data, data.len, digest, &len, algorithm, NULL);

    dd_assert(done == 1);
    dd_assert(hex_len % 2 == 0 && hex_len <= 2 * (size_t)len);
    for (size_t i = 0; i < hex_len / 2; i++) {
        out_hex[2 * i] = digits[digest[i] >> 4];
        out_hex[2 * i + 1] = digits[digest[i] & 0x0f];
    }
    out_hex[hex_len] = '\0';
}

void dd_blake2b512_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static const EVP_MD *algorithm;

    digest_hex(fetched(&algorithm, "BLAKE2B-512"), data, hex_len, out_hex);
}

void dd_sha256_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static const EVP_MD *algorithm;

    digest_hex(fetched(&algorithm, "SHA2-256"), data, hex_len, out_hex);
}

void dd_md5_hex(struct dd_span data, size_t hex_len, char *out_hex)
{
    static const EVP_MD *algorithm;

    digest_hex(fetched(&algorithm, "MD5"), data, hex_len, out_hex);
}

void dd_hmac_sha256(struct dd_span key, struct dd_span data, uint8_t out_mac[32])
{
    static const EVP_MD *algorithm;
    unsigned len = 0;

    HMAC(fetched(&algorithm, "SHA2-256"), key.data, (int)key.len,
         (const unsigned char *)data.data, data.len, out_mac, &len);
    dd_assert(len == 32); /* stays 0 when HMAC() fails */
}

int dd_secret_compare(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len);
}

uint64_t dd_checksum64(struct dd_span data)
{
    return XXH3_64bits(data.data, data.len);
}
