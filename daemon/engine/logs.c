/* Log lines of executions. They wait in memory, in one buffer for each
 * execution, until they ride with a commit. A line is stored with the bytes of
 * all lines of its execution up to its end, so that how much is kept shows from
 * the first and the last line, without a count elsewhere, and with a checksum of
 * these and the line: what a peer sent goes out as it is, so it must be as it was. */
#include "base/alloc.h"
#include "base/digest.h"
#include "engine/journal_priv.h"

struct log_state {
    struct dd_uuid id;
    uint64_t number;     /* of the last line */
    uint64_t bytes;      /* of all lines up to it */
    struct dd_buf lines; /* waiting: number u64, bytes so far u64, length u32, line */
    size_t flushing;     /* so many bytes of `lines` are in the commit in flight */
};

#define LINE_HEADER 20u

/* As stored: checksum u64, bytes so far u64, line. */
#define STORED_HEADER 16u

struct log_line {
    uint64_t number, bytes;
    struct dd_span text;
};

static bool line_next(const struct dd_buf *lines, size_t *at, struct log_line *out)
{
    const char *from = lines->data + *at;

    if (*at >= lines->len)
        return false;
    out->number = get_u64(from);
    out->bytes = get_u64(from + 8);
    out->text = dd_span_make(from + LINE_HEADER, get_u32(from + 16));
    *at += LINE_HEADER + out->text.len;
    return true;
}

static bool visit_last(void *user, struct dd_span key, struct dd_span value)
{
    struct log_state *state = user;

    if (key.len == KEY_LOG && value.len >= STORED_HEADER &&
        starts_with(key, id_span(&state->id))) {
        state->number = get_u64(key.data + KEY_ID);
        state->bytes = get_u64(value.data + 8);
    }
    return false;
}

static struct log_state *state_get(struct dd_journal *journal, struct dd_uuid id)
{
    struct log_state *state = dd_map_get(&journal->logs, id_span(&id));
    struct dd_store *store = journal->config.store;
    struct store_key last;

    if (state)
        return state;
    state = dd_alloc(sizeof(*state));
    state->id = id;
    dd_buf_init(&state->lines, 2 * (size_t)DD_LOG_BUFFER_MAX);
    key_log(&last, id, UINT64_MAX);
    if (store->ops->scan(store, DD_TABLE_LOGS, key_span(&last), true, visit_last, state,
                         NULL)) {
        dd_free(state);
        return NULL;
    }
    (void)dd_map_put(&journal->logs, id_span(&state->id), state);
    return state;
}

static void state_free(struct dd_journal *journal, struct log_state *state)
{
    journal->logs_bytes -= state->lines.len;
    (void)dd_map_remove(&journal->logs, id_span(&state->id));
    dd_buf_deinit(&state->lines);
    dd_free(state);
}

static bool is_known(struct dd_journal *journal, struct dd_uuid id)
{
    const struct tail_entry *entry = tail_get(journal, id);
    struct dd_head head;

    if (entry)
        return !entry->removed;
    if (dd_map_get(&journal->logs, id_span(&id)))
        return true;
    if (table_head(journal, id, &head, NULL) != 1)
        return false;
    head_deinit(&head);
    return true;
}

void dd_journal_log(struct dd_journal *journal, struct dd_uuid id, struct dd_span line)
{
    struct log_state *state;
    char header[LINE_HEADER];
    char *at;

    dd_assert(line.len <= DD_LOG_LINE_MAX);
    /* More than a commit takes along: the disk is full or slow, lines go first. */
    if (journal->failed || journal->logs_bytes + line.len > 2 * (size_t)DD_LOG_BUFFER_MAX ||
        !is_known(journal, id))
        return;
    state = state_get(journal, id);
    at = state ? dd_buf_reserve(&state->lines, LINE_HEADER + line.len) : NULL;
    if (!at)
        return;
    if (journal->logs_bytes == 0)
        journal->logs_since_ms = journal->now_ms;
    state->number++;
    state->bytes += line.len;
    put_u64(header, state->number);
    put_u64(header + 8, state->bytes);
    put_u32(header + 16, (uint32_t)line.len);
    memcpy(at, header, sizeof(header));
    if (line.len)
        memcpy(at + sizeof(header), line.data, line.len);
    state->lines.len += LINE_HEADER + line.len;
    journal->logs_bytes += LINE_HEADER + line.len;
}

/* --- writing ----------------------------------------------------------------------------- */

bool logs_wanted(const struct dd_journal *journal)
{
    return journal->logs_bytes > 0 &&
           (journal->flushing || journal->logs_bytes >= DD_LOG_BUFFER_MAX ||
            journal->now_ms - journal->logs_since_ms >= journal->config.fold_delay_ms);
}

struct trim {
    const struct log_state *state;
    struct dd_batch *batch;
};

/* Deletes the oldest lines, up to the first that is within both limits. */
static bool visit_trim(void *user, struct dd_span key, struct dd_span value)
{
    struct trim *trim = user;
    uint64_t number, bytes;

    if (key.len != KEY_LOG || value.len < STORED_HEADER ||
        !starts_with(key, id_span(&trim->state->id)))
        return false;
    number = get_u64(key.data + KEY_ID);
    bytes = get_u64(value.data + 8) - (value.len - STORED_HEADER); /* before this line */
    if (trim->state->number - number < DD_LOG_LINES_MAX &&
        trim->state->bytes - bytes <= DD_LOG_BYTES_MAX)
        return false;
    dd_batch_delete(trim->batch, DD_TABLE_LOGS, key);
    return true;
}

static void store_line(struct dd_buf *out, const struct log_line *line)
{
    char header[STORED_HEADER] = {0};

    put_u64(header + 8, line->bytes);
    dd_buf_append(out, header, sizeof(header));
    dd_buf_append_span(out, line->text);
    if (!out->failed)
        put_u64(out->data, dd_checksum64(dd_span_make(out->data + 8, out->len - 8)));
}

bool log_line_read(struct dd_span value, struct dd_span *out_line)
{
    if (value.len < STORED_HEADER ||
        get_u64(value.data) != dd_checksum64(dd_span_make(value.data + 8, value.len - 8)))
        return false;
    *out_line = dd_span_make(value.data + STORED_HEADER, value.len - STORED_HEADER);
    return true;
}

static int state_build(struct dd_journal *journal, struct dd_batch *batch,
                       struct log_state *state, struct dd_error *error)
{
    struct dd_store *store = journal->config.store;
    struct trim trim = {.state = state, .batch = batch};
    struct store_key key;
    struct log_line line;
    size_t at = 0;

    while (line_next(&state->lines, &at, &line)) {
        key_log(&key, state->id, line.number);
        dd_buf_clear(&journal->scratch);
        store_line(&journal->scratch, &line);
        dd_batch_put(batch, DD_TABLE_LOGS, key_span(&key), dd_buf_span(&journal->scratch));
    }
    state->flushing = state->lines.len;
    key_log(&key, state->id, 0);
    return store->ops->scan(store, DD_TABLE_LOGS, key_span(&key), false, visit_trim, &trim,
                            error);
}

int logs_build(struct dd_journal *journal, struct dd_batch *batch, struct dd_error *error)
{
    struct log_state *state;
    size_t at = 0;
    int rc = 0;

    while (rc == 0 && (state = dd_map_next(&journal->logs, &at)) != NULL)
        rc = state_build(journal, batch, state, error);
    return rc;
}

void logs_done(struct dd_journal *journal)
{
    struct log_state **states, *state;
    size_t at = 0, len = 0;

    if (journal->logs.len == 0)
        return;
    states = dd_alloc_array(journal->logs.len, sizeof(struct log_state *));
    while ((state = dd_map_next(&journal->logs, &at)) != NULL) {
        journal->logs_bytes -= state->flushing;
        dd_buf_consume(&state->lines, state->flushing);
        state->flushing = 0;
        if (state->lines.len == 0)
            states[len++] = state;
    }
    for (size_t i = 0; i < len; i++)
        state_free(journal, states[i]);
    journal->logs_since_ms = journal->now_ms;
    dd_free(states);
}

void logs_undo(struct dd_journal *journal)
{
    struct log_state *state;
    size_t at = 0;

    while ((state = dd_map_next(&journal->logs, &at)) != NULL)
        state->flushing = 0;
}

void logs_forget(struct dd_journal *journal, struct dd_uuid id)
{
    struct log_state *state = dd_map_get(&journal->logs, id_span(&id));

    if (state)
        state_free(journal, state);
}

void logs_free(struct dd_journal *journal)
{
    struct log_state *state;
    size_t at = 0;

    while ((state = dd_map_next(&journal->logs, &at)) != NULL) {
        dd_buf_deinit(&state->lines);
        dd_free(state);
    }
    dd_map_deinit(&journal->logs);
}

/* --- reading ----------------------------------------------------------------------------- */

struct reading {
    struct dd_uuid id;
    uint64_t first; /* kept; 0: none seen */
    uint64_t last;  /* visited */
    bool (*visit)(void *user, uint64_t number, struct dd_span line);
    void *user;
    bool ended;
};

static bool visit_first(void *user, struct dd_span key, struct dd_span value)
{
    struct reading *reading = user;

    (void)value;
    if (key.len == KEY_LOG && starts_with(key, id_span(&reading->id)))
        reading->first = get_u64(key.data + KEY_ID);
    return false;
}

static bool visit_line(void *user, struct dd_span key, struct dd_span value)
{
    struct reading *reading = user;
    struct dd_span line;

    if (key.len != KEY_LOG || !starts_with(key, id_span(&reading->id)))
        return false;
    reading->last = get_u64(key.data + KEY_ID);
    if (log_line_read(value, &line))
        reading->ended = !reading->visit(reading->user, reading->last, line);
    return !reading->ended;
}

void dd_journal_logs(struct dd_journal *journal, struct dd_uuid id, uint64_t after,
                     bool (*visit)(void *user, uint64_t number, struct dd_span line),
                     void *user, uint64_t *out_dropped)
{
    struct reading reading = {.id = id, .last = after, .visit = visit, .user = user};
    struct dd_store *store = journal->config.store;
    const struct log_state *state;
    struct store_key key;
    struct log_line line;
    size_t at = 0;

    *out_dropped = 0;
    if (!is_known(journal, id))
        return;
    key_log(&key, id, 0);
    (void)store->ops->scan(store, DD_TABLE_LOGS, key_span(&key), false, visit_first, &reading,
                           NULL);
    *out_dropped = reading.first ? reading.first - 1 : 0;
    if (after == UINT64_MAX)
        return;
    key_log(&key, id, after + 1);
    (void)store->ops->scan(store, DD_TABLE_LOGS, key_span(&key), false, visit_line, &reading,
                           NULL);
    state = dd_map_get(&journal->logs, id_span(&id));
    while (state && !reading.ended && line_next(&state->lines, &at, &line))
        if (line.number > reading.last)
            reading.ended = !visit(user, line.number, line.text);
}
