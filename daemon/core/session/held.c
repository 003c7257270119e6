/* Calls held back while pages of the state are still to come: the first that asks for what
 * may be on them, and all behind it, in their order. They are taken when the state is
 * complete. */
#include "core/session/session_priv.h"

#include "base/alloc.h"

struct held {
    struct dd_list node;
    struct dd_call call; /* its borrowed members are in `bytes` */
    struct dd_buf bytes;
};

/* The borrowed texts of a call. */
#define TEXTS 7
static void texts_of(struct dd_call *call, struct dd_span *out_texts[TEXTS])
{
    out_texts[0] = &call->sub_type;
    out_texts[1] = &call->name;
    out_texts[2] = &call->function;
    out_texts[3] = &call->tenant_id;
    out_texts[4] = &call->batch.sub_type;
    out_texts[5] = &call->payload;
    out_texts[6] = &call->summary;
}

static void held_free(struct held *held)
{
    dd_list_remove(&held->node);
    dd_error_object_unref(held->call.error);
    dd_buf_deinit(&held->bytes);
    dd_free(held);
}

void held_add(struct dd_session *session, const struct dd_call *call)
{
    size_t operations_size = call->operations_len * sizeof *call->operations, at;
    struct held *held = dd_alloc(sizeof *held);
    struct dd_span *texts[TEXTS];
    struct dd_error error;

    held->call = *call;
    dd_error_object_ref(call->error);
    dd_list_push(&session->held, &held->node);
    texts_of(&held->call, texts);
    dd_buf_init(&held->bytes, SIZE_MAX);
    dd_buf_append(&held->bytes, call->operations, operations_size);
    for (size_t i = 0; i < TEXTS; i++)
        dd_buf_append(&held->bytes, texts[i]->data, texts[i]->len);
    dd_buf_append_byte(&held->bytes, '\0'); /* an empty text has data too */
    if (held->bytes.failed) {
        held_free(held);
        dd_fail(&error, DD_NO_MEMORY, "session: out of memory");
        answer_error(session, call->id, &error);
        return;
    }
    held->call.operations = (const uint32_t *)(const void *)held->bytes.data;
    at = operations_size;
    for (size_t i = 0; i < TEXTS; i++) {
        if (!texts[i]->data)
            continue;
        texts[i]->data = held->bytes.data + at;
        at += texts[i]->len;
    }
}

bool held_any(const struct dd_session *session)
{
    return !dd_list_empty(&session->held);
}

void held_take(struct dd_session *session)
{
    dd_assert(!session->loading);
    dd_list_each(node, tmp, &session->held)
    {
        struct held *held = dd_container_of(node, struct held, node);

        call_take(session, &held->call);
        held_free(held);
    }
}

void held_forget(struct dd_session *session, uint64_t client)
{
    dd_list_each(node, tmp, &session->held)
    {
        struct held *held = dd_container_of(node, struct held, node);

        if (held->call.client == client)
            held_free(held);
    }
}

void held_drop(struct dd_session *session)
{
    while (held_any(session))
        held_free(dd_container_of(session->held.next, struct held, node));
}
