/* One execution: a header, the tree of its operations, the sentence, and what to do. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Deeper contexts are shown at this depth. */
#define DEPTH_MAX 32
/* More branches than these are folded; chosen: a screen of them. */
#define BRANCHES_MAX 20
/* So many callbacks are shown with the command that completes them. */
#define CALLBACKS_MAX 3

/* --- the header -------------------------------------------------------------------------- */

static enum colour status_colour(const msgpack_object *map)
{
    if (doc_is(map, "Status", "SUCCEEDED"))
        return GREEN;
    if (doc_is(map, "Status", "FAILED") || doc_is(map, "Status", "TIMED_OUT") ||
        doc_is(map, "Status", "STOPPED") || doc_is(map, "Status", "CANCELLED"))
        return RED;
    return doc_is(map, "Status", "PENDING") ? YELLOW : CYAN;
}

static void put_member(const struct screen *screen, const char *label,
                       struct durabled_text text)
{
    if (!text.data)
        return;
    fprintf(screen->out, "  %s%-9s%s ", paint(screen, DIM), label, unpaint(screen));
    (void)put_safe(screen->out, text.data, text.len, 160);
    fputc('\n', screen->out);
}

static void put_instants(const struct screen *screen, const msgpack_object *execution,
                         int64_t reference_ms)
{
    int64_t start_ms = doc_int(execution, "StartTimestamp"),
            end_ms = doc_int(execution, "EndTimestamp");
    char instant[32], duration[32];

    format_instant(instant, sizeof instant, start_ms);
    format_duration(duration, sizeof duration, reference_ms - start_ms);
    fprintf(screen->out, "  %s%-9s%s %s, %s ago\n", paint(screen, DIM), "started",
            unpaint(screen), instant, duration);
    if (!end_ms)
        return;
    format_instant(instant, sizeof instant, end_ms);
    format_duration(duration, sizeof duration, end_ms - start_ms);
    fprintf(screen->out, "  %s%-9s%s %s, after %s\n", paint(screen, DIM), "ended",
            unpaint(screen), instant, duration);
}

static void put_header(const struct screen *screen, const msgpack_object *execution,
                       int64_t reference_ms)
{
    struct durabled_text name = doc_text(execution, "DurableExecutionName"),
                         status = doc_text(execution, "Status");

    fputs(paint(screen, BOLD), screen->out);
    (void)put_safe(screen->out, name.data ? name.data : "", name.len, 0);
    fprintf(screen->out, "%s  %s", unpaint(screen), paint(screen, status_colour(execution)));
    (void)put_safe(screen->out, status.data ? status.data : "", status.len, 0);
    fprintf(screen->out, "%s\n", unpaint(screen));
    put_member(screen, "arn", doc_text(execution, "DurableExecutionArn"));
    put_member(screen, "function", doc_text(execution, "FunctionName"));
    put_instants(screen, execution, reference_ms);
    put_member(screen, "input", doc_text(execution, "InputPayload"));
    put_member(screen, "result", doc_text(execution, "Result"));
    put_member(screen, "error", doc_text(doc_get(execution, "Error"), "ErrorMessage"));
}

/* --- the tree ---------------------------------------------------------------------------- */

#define NONE SIZE_MAX

/* An operation and its place; a list of children is threaded through `next`. */
struct node {
    const msgpack_object *operation; /* NULL: the root, which is node 0 */
    struct durabled_text id;
    size_t first, last, next;
    size_t children;
};

struct tree {
    const struct screen *screen;
    const struct story *story;
    int64_t reference_ms;
    struct node *nodes;
    size_t len;
    bool last[DEPTH_MAX]; /* of each depth: no more siblings below */
};

static int compare_nodes(const void *a, const void *b)
{
    return text_order((*(struct node *const *)a)->id, (*(struct node *const *)b)->id);
}

static int compare_with_node(const void *key, const void *node)
{
    return text_order(*(const struct durabled_text *)key, (*(struct node *const *)node)->id);
}

static void add_child(struct tree *tree, size_t parent, size_t child)
{
    struct node *above = &tree->nodes[parent];

    if (above->last == NONE)
        above->first = child;
    else
        tree->nodes[above->last].next = child;
    above->last = child;
    above->children++;
}

/* An operation whose parent is not listed stands at the top. */
static bool tree_build(struct tree *tree, const msgpack_object *const *operations, size_t len)
{
    struct node **by_id = malloc((len + 1) * sizeof(void *));
    size_t known = 0;

    tree->len = len + 1;
    tree->nodes = malloc(tree->len * sizeof *tree->nodes);
    for (size_t i = 0; by_id && tree->nodes && i < tree->len; i++) {
        const msgpack_object *operation = i > 0 ? operations[i - 1] : NULL;

        tree->nodes[i] =
            (struct node){operation, doc_text(operation, "Id"), NONE, NONE, NONE, 0};
        if (tree->nodes[i].id.data && !doc_is(operation, "Type", "EXECUTION"))
            by_id[known++] = &tree->nodes[i];
    }
    if (!by_id || !tree->nodes) {
        free(by_id);
        return false;
    }
    qsort(by_id, known, sizeof(void *), compare_nodes);
    for (size_t i = 1; i < tree->len; i++) {
        struct durabled_text parent = doc_text(tree->nodes[i].operation, "ParentId");
        struct node **above = NULL;

        if (doc_is(tree->nodes[i].operation, "Type", "EXECUTION"))
            continue;
        if (parent.data)
            above = bsearch(&parent, by_id, known, sizeof(void *), compare_with_node);
        add_child(tree, above ? (size_t)(*above - tree->nodes) : 0, i);
    }
    free(by_id);
    return true;
}

static void put_branches(const struct tree *tree, size_t depth)
{
    FILE *out = tree->screen->out;

    if (!tree->screen->glyphs) {
        put_spaces(out, 2 + 2 * depth);
        fputs("- ", out);
        return;
    }
    fputs("  ", out);
    for (size_t i = 0; i < depth; i++)
        fputs(tree->last[i] ? "   " : "│  ", out);
    fputs(tree->last[depth] ? "└─ " : "├─ ", out);
}

static const char *glyph(const struct tree *tree, const msgpack_object *operation)
{
    if (!tree->screen->glyphs)
        return "";
    switch (status_colour(operation)) {
    case GREEN:
        return "✓ ";
    case RED:
        return "✗ ";
    case YELLOW:
        return "… ";
    default:
        return "▶ ";
    }
}

/* Attempts, times and interruptions. */
static void put_facts(const struct tree *tree, const msgpack_object *operation)
{
    FILE *out = tree->screen->out;
    int64_t start_ms = doc_int(operation, "StartTimestamp"),
            end_ms = doc_int(operation, "EndTimestamp");
    const msgpack_object *step = doc_get(operation, "StepDetails");
    int64_t attempt = doc_int(step, "Attempt"), next_ms = doc_int(step, "NextAttemptTimestamp"),
            until_ms = doc_int(doc_get(operation, "WaitDetails"), "ScheduledEndTimestamp");
    size_t times = story_interruptions(tree->story, doc_text(operation, "Id"));
    char text[32];

    if (attempt > 1)
        fprintf(out, ", %lld attempts", (long long)attempt);
    format_duration(text, sizeof text, (end_ms ? end_ms : tree->reference_ms) - start_ms);
    fprintf(out, ", %s%s", text, end_ms ? "" : " so far");
    if (!end_ms && (next_ms || until_ms)) {
        format_when(text, sizeof text, next_ms ? next_ms : until_ms, tree->reference_ms);
        fprintf(out, ", %s %s", next_ms ? "next attempt" : "until", text);
    }
    if (times == 1)
        fprintf(out, ", %sinterrupted once, run again%s", paint(tree->screen, YELLOW),
                unpaint(tree->screen));
    else if (times > 1)
        fprintf(out, ", %sinterrupted %zu times, run again%s", paint(tree->screen, YELLOW),
                times, unpaint(tree->screen));
}

static void put_operation(const struct tree *tree, const msgpack_object *operation,
                          size_t depth)
{
    struct durabled_text name = doc_text(operation, "Name"),
                         kind = doc_text(operation, "SubType"),
                         status = doc_text(operation, "Status");
    FILE *out = tree->screen->out;

    if (!kind.data)
        kind = doc_text(operation, "Type");
    put_branches(tree, depth);
    fprintf(out, "%s%s", paint(tree->screen, status_colour(operation)), glyph(tree, operation));
    if (name.data)
        (void)put_safe(out, name.data, name.len, 60);
    else
        fputs("(unnamed)", out);
    fprintf(out, "%s  %s", unpaint(tree->screen), paint(tree->screen, DIM));
    (void)put_safe(out, kind.data ? kind.data : "", kind.len, 40);
    fprintf(out, "%s  ", unpaint(tree->screen));
    (void)put_safe(out, status.data ? status.data : "", status.len, 20);
    put_facts(tree, operation);
    fputc('\n', out);
}

static void put_children(struct tree *tree, size_t parent, size_t depth);

static void put_node(struct tree *tree, size_t at, size_t depth)
{
    put_operation(tree, tree->nodes[at].operation, depth);
    if (depth + 1 < DEPTH_MAX)
        put_children(tree, at, depth + 1);
}

/* In the order in which somebody wants to see them. */
enum rank { BROKEN, OPEN, DONE, RANKS };

static enum rank rank_of(const msgpack_object *operation)
{
    if (status_colour(operation) == RED)
        return BROKEN;
    return doc_is(operation, "Status", "SUCCEEDED") ? DONE : OPEN;
}

/* Of many branches: those that failed, then the open ones, while there is room; the rest,
 * and all that succeeded, are counted. */
static void put_folded(struct tree *tree, size_t parent, size_t depth)
{
    static const char *const words[] = {"failed", "open", "that succeeded"};
    size_t rest[RANKS] = {0}, room = BRANCHES_MAX;
    const char *before = paint(tree->screen, DIM);

    tree->last[depth] = false;
    for (enum rank rank = BROKEN; rank < RANKS; rank++) {
        for (size_t i = tree->nodes[parent].first; i != NONE; i = tree->nodes[i].next) {
            if (rank_of(tree->nodes[i].operation) != rank)
                continue;
            if (rank != DONE && room > 0) {
                room--;
                put_node(tree, i, depth);
            } else {
                rest[rank]++;
            }
        }
    }
    tree->last[depth] = true;
    put_branches(tree, depth);
    for (enum rank rank = BROKEN; rank < RANKS; rank++) {
        if (rest[rank] == 0)
            continue;
        fprintf(tree->screen->out, "%s%zu more %s", before, rest[rank], words[rank]);
        before = ", ";
    }
    fprintf(tree->screen->out, "%s\n", unpaint(tree->screen));
}

static void put_children(struct tree *tree, size_t parent, size_t depth)
{
    const struct node *node = &tree->nodes[parent];

    if (node->children > BRANCHES_MAX && (doc_is(node->operation, "SubType", "Map") ||
                                          doc_is(node->operation, "SubType", "Parallel"))) {
        put_folded(tree, parent, depth);
        return;
    }
    for (size_t i = node->first; i != NONE; i = tree->nodes[i].next) {
        tree->last[depth] = tree->nodes[i].next == NONE;
        put_node(tree, i, depth);
    }
}

/* --- what to do -------------------------------------------------------------------------- */

static void put_command(const struct tree *tree, const char *options, const char *verb,
                        struct durabled_text subject)
{
    FILE *out = tree->screen->out;

    fprintf(out, "  durablectl %s%s ", options, verb);
    put_quoted(out, subject.data, subject.len);
    fputc('\n', out);
}

static void put_name(FILE *out, const char *before, struct durabled_text name)
{
    fprintf(out, "%s`", before);
    (void)put_safe(out, name.data, name.len, 60);
    fputc('`', out);
}

static void put_callback(const struct tree *tree, const char *options,
                         const msgpack_object *operation, struct durabled_text id)
{
    const msgpack_object *known = known_callback(operation, tree->story),
                         *context = story_start(tree->story, doc_text(known, "ParentId"));
    struct durabled_text name = doc_text(known, "Name"), place = doc_text(context, "Name");
    FILE *out = tree->screen->out;

    fputs("\nTo complete ", out);
    if (name.data)
        put_name(out, "", name);
    else
        fputs("the unnamed callback", out);
    if (place.data)
        put_name(out, " in ", place);
    fputs(":\n", out);
    put_command(tree, options, "callback succeed", id);
}

/* How to complete what only the outside completes. */
static void put_callbacks(const struct tree *tree, const char *options)
{
    size_t open = 0;

    for (size_t i = 1; i < tree->len; i++) {
        const msgpack_object *operation = tree->nodes[i].operation;
        struct durabled_text id = doc_text(doc_get(operation, "CallbackDetails"), "CallbackId");

        if (!id.data || !doc_is(operation, "Status", "STARTED"))
            continue;
        if (open++ < CALLBACKS_MAX)
            put_callback(tree, options, operation, id);
    }
    if (open > CALLBACKS_MAX)
        fprintf(tree->screen->out, "\n%zu more open; history has the ids of all callbacks.\n",
                open - CALLBACKS_MAX);
}

/* Where to look on, when the execution waits for one that it invoked. */
static void put_invoked(const struct tree *tree, const char *options,
                        const msgpack_object *standing)
{
    const msgpack_object *operation = doc_get(standing, "operation"),
                         *start = story_start(tree->story, doc_text(operation, "Id"));
    struct durabled_text arn = doc_text(event_details(start), "DurableExecutionArn");

    if (!arn.data || !doc_is(standing, "state", "waiting"))
        return;
    fputs("\nTo see what that does:\n", tree->screen->out);
    put_command(tree, options, "show", arn);
}

bool put_show(const struct screen *screen, const struct pages *described,
              const struct story *story, const char *options, int64_t reference_ms)
{
    struct tree tree = {.screen = screen, .story = story, .reference_ms = reference_ms};
    const msgpack_object *page = &described->docs[0].root, **operations;
    char sentence[1024];
    bool built;
    size_t len;

    operations = pages_items(described, "operations", &len);
    built = operations && tree_build(&tree, operations, len);
    if (built) {
        put_header(screen, doc_get(page, "execution"), reference_ms);
        fputc('\n', screen->out);
        put_children(&tree, 0, 0);
        if (len > 1)
            fputc('\n', screen->out);
        format_sentence(sentence, sizeof sentence, page, story, reference_ms);
        (void)put_safe_cstr(screen->out, sentence, 0);
        fputc('\n', screen->out);
        put_invoked(&tree, options, doc_get(page, "standing"));
        if (doc_is(doc_get(page, "execution"), "Status", "RUNNING"))
            put_callbacks(&tree, options);
    }
    free(tree.nodes);
    free(operations);
    return built;
}
