/* Checkpoint tokens, page markers and callback ids. All are base64 of
 *
 *     execution id 16 bytes | u32 | u32 | first 16 bytes of an HMAC-SHA-256
 *
 * with big-endian numbers: invocation and sequence for a token, 0 and the index of an
 * operation for the others (the next one of a marker, the callback itself). The MAC
 * covers a word that tells them apart, and is keyed by the store's secret: none can be
 * made up. */
#include "base/base64.h"
#include "base/digest.h"
#include "core/service/service_priv.h"

enum {
    CLAIM_LEN = 24,
    MAC_LEN = 16,
    SEAL_LEN = CLAIM_LEN + MAC_LEN,
    TEXT_MAX = 64, /* base64 of SEAL_LEN needs 56 */
};

struct claim {
    struct dd_uuid id;
    uint32_t a, b;
};

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* MAC over the word `use` and the first CLAIM_LEN bytes of `seal`. */
static void seal_mac(const struct dd_service_config *config, char use, const uint8_t *seal,
                     uint8_t out_mac[32])
{
    uint8_t data[1 + CLAIM_LEN];

    data[0] = (uint8_t)use;
    memcpy(data + 1, seal, CLAIM_LEN);
    dd_hmac_sha256(dd_span_make(config->secret, sizeof config->secret),
                   dd_span_make(data, sizeof(data)), out_mac);
}

static struct dd_text *seal(const struct dd_execution *execution, char use,
                            const struct claim *claim)
{
    uint8_t bytes[SEAL_LEN];
    uint8_t mac[32];
    struct dd_buf buf;
    struct dd_text *text;

    memcpy(bytes, claim->id.bytes, sizeof(claim->id.bytes));
    put_u32(bytes + 16, claim->a);
    put_u32(bytes + 20, claim->b);
    seal_mac(execution->config, use, bytes, mac);
    memcpy(bytes + CLAIM_LEN, mac, MAC_LEN);
    dd_buf_init(&buf, TEXT_MAX);
    dd_base64_encode(dd_span_make(bytes, sizeof(bytes)), &buf);
    dd_assert(!buf.failed);
    text = dd_text_new(dd_buf_span(&buf));
    dd_buf_deinit(&buf);
    return text;
}

static bool unseal(const struct dd_service_config *config, char use, struct dd_span text,
                   struct claim *out_claim)
{
    struct dd_buf buf;
    bool valid = false;

    if (!text.data || text.len > TEXT_MAX)
        return false;
    dd_buf_init(&buf, TEXT_MAX);
    if (dd_base64_decode(text, &buf) && !buf.failed && buf.len == SEAL_LEN) {
        const uint8_t *bytes = (const uint8_t *)buf.data;
        uint8_t mac[32];

        seal_mac(config, use, bytes, mac);
        valid = dd_secret_compare(mac, bytes + CLAIM_LEN, MAC_LEN) == 0;
        memcpy(out_claim->id.bytes, bytes, sizeof(out_claim->id.bytes));
        out_claim->a = get_u32(bytes + 16);
        out_claim->b = get_u32(bytes + 20);
    }
    dd_buf_deinit(&buf);
    return valid;
}

static int invalid_token(struct dd_error *error)
{
    return dd_fail(error, DD_INVALID_PARAMETER, "Invalid checkpoint token");
}

struct dd_text *dd_token_seal(const struct dd_execution *execution,
                              const struct dd_token *token)
{
    return seal(execution, 'T', &(struct claim){token->id, token->invocation, token->seq});
}

struct dd_text *dd_token_make(struct dd_execution *execution)
{
    struct dd_token token = {execution->id, execution->invocation, execution->flight.token_seq};

    dd_text_unref(execution->token_text);
    execution->token_text = dd_token_seal(execution, &token);
    execution->token = token;
    return dd_text_ref(execution->token_text);
}

/* Whether it is, to the letter, the one that was handed out last. */
static bool handed_out(const struct dd_execution *execution, struct dd_span text)
{
    const struct dd_text *last = execution->token_text;

    return last && text.len == last->len &&
           dd_secret_compare(text.data, last->data, text.len) == 0;
}

int dd_token_open(const struct dd_execution *execution, struct dd_span arn, struct dd_span text,
                  struct dd_token *out_token, struct dd_error *error)
{
    struct claim claim = {execution->id, execution->token.invocation, execution->token.seq};

    if (!handed_out(execution, text) && !unseal(execution->config, 'T', text, &claim))
        return invalid_token(error);
    if (dd_uuid_compare(claim.id, execution->id) != 0 ||
        !dd_span_equal(arn, dd_text_span(execution->arn)))
        return dd_fail(error, DD_INVALID_PARAMETER,
                       "Checkpoint token is not valid for the durable execution ARN");
    *out_token = (struct dd_token){claim.id, claim.a, claim.b};
    return 0;
}

int dd_token_current(const struct dd_execution *execution, const struct dd_token *token,
                     struct dd_error *error)
{
    if (dd_execution_closed(execution) || !execution->flight.request_id ||
        token->invocation != execution->invocation || token->seq != execution->flight.token_seq)
        return invalid_token(error);
    return 0;
}

struct dd_text *dd_marker_make(const struct dd_execution *execution, uint32_t index)
{
    return seal(execution, 'M', &(struct claim){execution->id, 0, index});
}

int dd_marker_open(const struct dd_execution *execution, struct dd_span text,
                   uint32_t *out_index, struct dd_error *error)
{
    struct claim claim;

    if (!unseal(execution->config, 'M', text, &claim) ||
        dd_uuid_compare(claim.id, execution->id) != 0 || claim.b >= execution->len)
        return dd_fail(error, DD_INVALID_PARAMETER, "Invalid Marker");
    *out_index = claim.b;
    return 0;
}

struct dd_text *dd_callback_id_make(const struct dd_execution *execution, uint32_t index)
{
    return seal(execution, 'C', &(struct claim){execution->id, 0, index});
}

int dd_callback_open(const struct dd_service_config *config, struct dd_span callback_id,
                     struct dd_uuid *out_execution, uint32_t *out_operation,
                     struct dd_error *error)
{
    struct claim claim;

    if (!unseal(config, 'C', callback_id, &claim))
        return dd_fail(error, DD_INVALID_PARAMETER, "Invalid callback id");
    *out_execution = claim.id;
    *out_operation = claim.b;
    return 0;
}
