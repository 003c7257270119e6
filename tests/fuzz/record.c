/* Stored records and heads. The input is what stands behind version and checksum, which
 * the target puts in front, since no mutation would find them.
 *
 * What is read and written again is read the same. One changed byte anywhere is refused. */
#include "codec/record.h"

#include "base/digest.h"
#include "base/limits.h"
#include "tests/fuzz/fuzz.h"

#define VERSION 1
#define PREFIX 9

/* As record.c seals a body. */
static void seal(struct dd_buf *out, struct dd_span body)
{
    uint64_t checksum = dd_checksum64(body) ^ (uint64_t)VERSION << 56;
    char prefix[PREFIX] = {VERSION};

    for (int i = 0; i < 8; i++)
        prefix[1 + i] = (char)(uint8_t)(checksum >> (56 - 8 * i));
    dd_buf_append(out, prefix, sizeof prefix);
    dd_buf_append_span(out, body);
}

static void head_drop(struct dd_head *head)
{
    dd_text_unref(head->function);
    dd_text_unref(head->name);
}

typedef bool (*again_fn)(struct dd_span bytes, struct dd_buf *out);

/* Reads a record and writes it again; false when it is refused. */
static bool record_again(struct dd_span bytes, struct dd_buf *out)
{
    struct dd_record_header header, alone;
    struct dd_error error;
    struct dd_facts facts;

    if (dd_record_decode(bytes, &header, &facts, &error) != 0) {
        dd_assert(error.code == DD_STORE_CORRUPT || error.code == DD_STORE_VERSION);
        return false;
    }
    dd_assert(dd_record_header(bytes, &alone, NULL) == 0);
    dd_assert(alone.number == header.number && alone.head.records == header.head.records);
    head_drop(&alone.head);
    dd_record_encode(header.number, &header.head, &facts, out);
    head_drop(&header.head);
    dd_facts_deinit(&facts);
    return true;
}

static bool head_again(struct dd_span bytes, struct dd_buf *out)
{
    struct dd_error error;
    struct dd_head head;

    if (dd_head_decode(bytes, &head, &error) != 0) {
        dd_assert(error.code == DD_STORE_CORRUPT || error.code == DD_STORE_VERSION);
        return false;
    }
    dd_head_encode(&head, out);
    head_drop(&head);
    return true;
}

/* One byte of `record`, chosen by its own checksum, is another. */
static void check_damage(struct dd_buf *record, again_fn again)
{
    uint64_t chance = dd_checksum64(dd_buf_span(record));
    char *byte = &record->data[chance % record->len];
    struct dd_buf out;

    dd_buf_init(&out, DD_FRAME_MAX);
    *byte = (char)((uint8_t)*byte ^ (1 + (chance >> 32) % 255));
    dd_assert(!again(dd_buf_span(record), &out));
    dd_buf_deinit(&out);
}

static void check(struct dd_span sealed, again_fn again)
{
    struct dd_buf once, twice;

    dd_buf_init(&once, DD_FRAME_MAX);
    dd_buf_init(&twice, DD_FRAME_MAX);
    if (again(sealed, &once)) {
        dd_assert(again(dd_buf_span(&once), &twice));
        dd_assert(dd_span_equal(dd_buf_span(&once), dd_buf_span(&twice)));
        check_damage(&once, again);
    }
    dd_buf_deinit(&once);
    dd_buf_deinit(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_span bytes = dd_span_make((const char *)data, size);
    struct dd_buf sealed;

    check(bytes, record_again);
    check(bytes, head_again);
    dd_buf_init(&sealed, DD_FRAME_MAX);
    seal(&sealed, bytes);
    check(dd_buf_span(&sealed), record_again);
    check(dd_buf_span(&sealed), head_again);
    dd_buf_deinit(&sealed);
    return 0;
}
