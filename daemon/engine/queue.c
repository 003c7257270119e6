/* Executions that want an invocation, oldest first within their function, and
 * those that have one. The tail's are in a list for each function; the others
 * are read from WORK, from where entries begin that the tail does not hide. */
#include "base/alloc.h"
#include "engine/journal_priv.h"

/* Candidates of one scan. */
#define SCAN_MAX 16

static struct func_queue *queue_get(struct dd_journal *journal, struct dd_text *function)
{
    struct func_queue *queue = dd_map_get(&journal->queues, dd_text_span(function));

    if (queue)
        return queue;
    queue = dd_alloc(sizeof(*queue));
    queue->function = dd_text_ref(function);
    dd_list_init(&queue->entries);
    dd_buf_init(&queue->table_from, DD_STORE_KEY_MAX);
    (void)dd_map_put(&journal->queues, dd_text_span(queue->function), queue);
    return queue;
}

void queues_free(struct dd_journal *journal)
{
    struct func_queue *queue;
    size_t at = 0;

    while ((queue = dd_map_next(&journal->queues, &at)) != NULL) {
        dd_text_unref(queue->function);
        dd_buf_deinit(&queue->table_from);
        dd_free(queue);
    }
    dd_map_deinit(&journal->queues);
}

static int work_compare(int64_t a_since, struct dd_uuid a, int64_t b_since, struct dd_uuid b)
{
    if (a_since != b_since)
        return a_since < b_since ? -1 : 1;
    return dd_uuid_compare(a, b);
}

static struct tail_entry *queued_entry(struct dd_list *node)
{
    return dd_container_of(node, struct tail_entry, queued);
}

/* Nearly always the newest, so the place is sought from the end. */
void queue_add(struct dd_journal *journal, struct tail_entry *entry)
{
    struct func_queue *queue;
    struct dd_list *at;

    if (entry->head.work != DD_WORK_QUEUED || entry->removed || entry->damaged)
        return;
    queue = queue_get(journal, entry->head.function);
    at = queue->entries.prev;
    while (at != &queue->entries &&
           work_compare(queued_entry(at)->head.work_since_ms, queued_entry(at)->id,
                        entry->head.work_since_ms, entry->id) > 0)
        at = at->prev;
    dd_list_push(at->next, &entry->queued);
}

void queue_expose(struct dd_journal *journal, const struct dd_head *head)
{
    struct func_queue *queue;
    struct store_key key;
    struct dd_span from;

    if (head->work != DD_WORK_QUEUED)
        return;
    queue = queue_get(journal, head->function);
    key_work(&key, head);
    from = dd_buf_span(&queue->table_from);
    if (queue->table_empty ||
        (from.len == key.len && memcmp(key.data, from.data, key.len) < 0)) {
        dd_buf_clear(&queue->table_from);
        dd_buf_append(&queue->table_from, key.data, key.len);
    }
    queue->table_empty = false;
}

/* --- entries of WORK --------------------------------------------------------------------- */

struct work_item {
    int64_t since_ms;
    struct dd_uuid id;
};

struct work_scan {
    struct dd_journal *journal;
    struct dd_span prefix;
    struct dd_buf *from; /* set to the key of the first item, when given */
    struct work_item items[SCAN_MAX];
    size_t len;
};

static bool visit_work(void *user, struct dd_span key, struct dd_span value)
{
    struct work_scan *scan = user;
    struct work_item item;

    (void)value;
    if (!starts_with(key, scan->prefix))
        return false;
    if (key.len != scan->prefix.len + 24)
        return true;
    item.since_ms = (int64_t)get_u64(key.data + scan->prefix.len);
    item.id = uuid_at(key.data + key.len - 16);
    if (tail_get(scan->journal, item.id))
        return true;
    if (scan->len == 0 && scan->from) {
        dd_buf_clear(scan->from);
        dd_buf_append_span(scan->from, key);
    }
    scan->items[scan->len++] = item;
    return scan->len < SCAN_MAX;
}

/* Whether the head says what WORK says; a damaged one counts, see due.c. */
static bool work_holds(struct dd_journal *journal, const struct work_item *item)
{
    struct dd_head head;
    bool holds;
    int rc = table_head(journal, item->id, &head, NULL);

    if (rc <= 0)
        return rc == DD_STORE_CORRUPT;
    holds = head.work == DD_WORK_QUEUED && head.work_since_ms == item->since_ms;
    head_deinit(&head);
    return holds;
}

/* Items of WORK that the tail does not hide, after `*after` (NULL: the first). */
static void work_read(struct dd_journal *journal, struct func_queue *queue,
                      const struct work_item *after, struct work_scan *scan)
{
    struct dd_store *store = journal->config.store;
    struct store_key prefix, from;

    key_work_prefix(&prefix, DD_WORK_QUEUED, dd_text_span(queue->function));
    *scan = (struct work_scan){.journal = journal, .prefix = key_span(&prefix)};
    if (queue->table_empty)
        return;
    from = prefix;
    if (after) {
        /* One more than the key of `after`: the same bytes and a zero. */
        put_u64(from.data + from.len, (uint64_t)after->since_ms);
        memcpy(from.data + from.len + 8, after->id.bytes, 16);
        from.data[from.len + 24] = 0;
        from.len += 25;
    } else if (queue->table_from.len > 0) {
        from.len = queue->table_from.len;
        memcpy(from.data, queue->table_from.data, from.len);
    }
    scan->from = after ? NULL : &queue->table_from;
    if (store->ops->scan(store, DD_TABLE_WORK, key_span(&from), false, visit_work, scan, NULL))
        scan->len = 0;
    else if (!after && scan->len == 0)
        queue->table_empty = true;
}

/* The first item of WORK that holds and is not skipped. */
static bool work_first(struct dd_journal *journal, struct func_queue *queue,
                       bool (*skip)(void *user, struct dd_uuid id), void *user,
                       struct work_item *out_item)
{
    struct work_item last;
    struct work_scan scan;

    work_read(journal, queue, NULL, &scan);
    while (scan.len > 0) {
        for (size_t i = 0; i < scan.len; i++) {
            if ((skip && skip(user, scan.items[i].id)) || !work_holds(journal, &scan.items[i]))
                continue;
            *out_item = scan.items[i];
            return true;
        }
        last = scan.items[scan.len - 1];
        work_read(journal, queue, &last, &scan);
    }
    return false;
}

/* --- questions --------------------------------------------------------------------------- */

bool dd_journal_next_queued(struct dd_journal *journal, struct dd_span function,
                            bool (*skip)(void *user, struct dd_uuid id), void *user,
                            struct dd_uuid *out_id)
{
    struct func_queue *queue;
    struct tail_entry *mine = NULL;
    struct dd_text *name;
    struct work_item item;
    bool found;

    if (function.len > DD_FUNCTION_NAME_MAX || journal->failed)
        return false;
    name = dd_text_new(function);
    queue = queue_get(journal, name);
    dd_text_unref(name);
    dd_list_each(node, tmp, &queue->entries)
    {
        mine = queued_entry(node);
        if (!skip || !skip(user, mine->id))
            break;
        mine = NULL;
    }
    found = work_first(journal, queue, skip, user, &item);
    if (!found && !mine)
        return false;
    if (mine && (!found ||
                 work_compare(mine->head.work_since_ms, mine->id, item.since_ms, item.id) < 0))
        *out_id = mine->id;
    else
        *out_id = item.id;
    return true;
}

size_t dd_journal_queued(struct dd_journal *journal, struct dd_span function, size_t max,
                         int64_t *out_since_ms)
{
    struct func_queue *queue = dd_map_get(&journal->queues, function);
    struct work_item item;
    struct work_scan scan;
    struct dd_text *name;
    size_t count = 0;

    *out_since_ms = 0;
    if (function.len > DD_FUNCTION_NAME_MAX)
        return 0;
    if (!queue) {
        name = dd_text_new(function);
        queue = queue_get(journal, name);
        dd_text_unref(name);
    }
    dd_list_each(node, tmp, &queue->entries)
    {
        if (count == 0)
            *out_since_ms = queued_entry(node)->head.work_since_ms;
        if (count < max)
            count++;
    }
    for (work_read(journal, queue, NULL, &scan); scan.len > 0 && count < max;
         work_read(journal, queue, &item, &scan)) {
        item = scan.items[scan.len - 1];
        if (*out_since_ms == 0 || scan.items[0].since_ms < *out_since_ms)
            *out_since_ms = scan.items[0].since_ms;
        count += scan.len < max - count ? scan.len : max - count;
    }
    return count;
}

/* --- running ----------------------------------------------------------------------------- */

struct running {
    struct dd_journal *journal;
    struct dd_buf after; /* key to go on from */
    struct dd_uuid ids[SCAN_MAX];
    size_t len;
};

static bool visit_running(void *user, struct dd_span key, struct dd_span value)
{
    struct running *running = user;

    (void)value;
    if (key.len < 1 + 24 || key.data[0] != (char)DD_WORK_RUNNING)
        return false;
    dd_buf_clear(&running->after);
    dd_buf_append_span(&running->after, key);
    dd_buf_append_byte(&running->after, 0);
    running->ids[running->len] = uuid_at(key.data + key.len - 16);
    if (!tail_get(running->journal, running->ids[running->len]))
        running->len++;
    return running->len < SCAN_MAX;
}

/* Visits what the table has; false when the visitor ended it. */
static bool running_in_table(struct dd_journal *journal,
                             bool (*visit)(void *user, const struct dd_head *head), void *user)
{
    struct dd_store *store = journal->config.store;
    struct running running = {.journal = journal};
    struct dd_head head;
    bool more = true;

    dd_buf_init(&running.after, DD_STORE_KEY_MAX + 1);
    dd_buf_append_byte(&running.after, (uint8_t)DD_WORK_RUNNING);
    do {
        running.len = 0;
        if (store->ops->scan(store, DD_TABLE_WORK, dd_buf_span(&running.after), false,
                             visit_running, &running, NULL))
            break;
        for (size_t i = 0; i < running.len && more; i++) {
            if (table_head(journal, running.ids[i], &head, NULL) != 1)
                continue;
            more = head.work != DD_WORK_RUNNING || visit(user, &head);
            head_deinit(&head);
        }
    } while (more && running.len == SCAN_MAX);
    dd_buf_deinit(&running.after);
    return more;
}

void dd_journal_running(struct dd_journal *journal,
                        bool (*visit)(void *user, const struct dd_head *head), void *user)
{
    struct tail_entry *entry;
    struct dd_uuid *ids;
    size_t at = 0, len = 0;
    bool more = running_in_table(journal, visit, user);

    /* The visitor may append; so first the ids, then one by one. */
    ids = dd_alloc_array(journal->tail.len + 1, sizeof(*ids));
    while ((entry = dd_map_next(&journal->tail, &at)) != NULL)
        if (entry->head.work == DD_WORK_RUNNING && !entry->removed && !entry->damaged)
            ids[len++] = entry->id;
    for (size_t i = 0; i < len && more; i++) {
        entry = tail_get(journal, ids[i]);
        if (entry && entry->head.work == DD_WORK_RUNNING)
            more = visit(user, &entry->head);
    }
    dd_free(ids);
}
