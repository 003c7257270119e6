/* One execution: a header, the tree of its operations, and the sentence. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* Deeper contexts are shown at this depth. */
#define DEPTH_MAX 32
/* More siblings than these are folded; chosen: a screen of them. */
#define SIBLINGS_MAX 20

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

struct tree {
    const struct screen *screen;
    const struct story *story;
    const msgpack_object *operations;
    size_t len;
    int64_t reference_ms;
    bool last[DEPTH_MAX]; /* of each depth: no more siblings below */
};

static bool same_text(struct durabled_text a, struct durabled_text b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

static bool is_known(const struct tree *tree, struct durabled_text id)
{
    for (size_t i = 0; i < tree->len; i++)
        if (same_text(doc_text(&tree->operations[i], "Id"), id))
            return true;
    return false;
}

/* Whether it stands below `parent`; with none, at the top. An operation whose
 * parent is not listed stands at the top too. */
static bool is_child(const struct tree *tree, const msgpack_object *operation,
                     struct durabled_text parent)
{
    struct durabled_text own = doc_text(operation, "ParentId");

    if (doc_is(operation, "Type", "EXECUTION"))
        return false;
    if (parent.data)
        return same_text(own, parent);
    return !own.data || !is_known(tree, own);
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

/* What is folded: of many siblings, those that ended well. */
static bool is_folded(const msgpack_object *operation, size_t siblings)
{
    return siblings > SIBLINGS_MAX && doc_is(operation, "Status", "SUCCEEDED");
}

static void put_folded(struct tree *tree, size_t folded, size_t depth)
{
    tree->last[depth] = true;
    put_branches(tree, depth);
    fprintf(tree->screen->out, "%s%zu more that succeeded%s\n", paint(tree->screen, DIM),
            folded, unpaint(tree->screen));
}

static void put_children(struct tree *tree, struct durabled_text parent, size_t depth)
{
    size_t siblings = 0, folded = 0, left;

    for (size_t i = 0; i < tree->len; i++)
        siblings += is_child(tree, &tree->operations[i], parent);
    left = siblings;
    for (size_t i = 0; i < tree->len; i++) {
        const msgpack_object *operation = &tree->operations[i];

        if (!is_child(tree, operation, parent))
            continue;
        left--;
        if (is_folded(operation, siblings)) {
            folded++;
            continue;
        }
        tree->last[depth] = left == 0 && folded == 0;
        put_operation(tree, operation, depth);
        if (doc_is(operation, "Type", "CONTEXT") && depth + 1 < DEPTH_MAX)
            put_children(tree, doc_text(operation, "Id"), depth + 1);
    }
    if (folded > 0)
        put_folded(tree, folded, depth);
}

/* The command that completes the callback that is waited for. */
static void put_callback(const struct screen *screen, const msgpack_object *described)
{
    const msgpack_object *standing = doc_get(described, "standing");
    struct durabled_text id =
        doc_text(doc_get(doc_get(standing, "operation"), "CallbackDetails"), "CallbackId");

    if (!id.data || !doc_is(standing, "state", "waiting"))
        return;
    fputs("  durablectl callback succeed '", screen->out);
    (void)put_safe(screen->out, id.data, id.len, 0);
    fputs("' --payload RESULT\n", screen->out);
}

void put_show(const struct screen *screen, const msgpack_object *described,
              const struct story *story, int64_t reference_ms)
{
    struct tree tree = {.screen = screen, .story = story, .reference_ms = reference_ms};
    char sentence[1024];

    put_header(screen, doc_get(described, "execution"), reference_ms);
    tree.operations = doc_array(described, "operations", &tree.len);
    fputc('\n', screen->out);
    put_children(&tree, (struct durabled_text){0}, 0);
    if (tree.len > 1)
        fputc('\n', screen->out);
    format_sentence(sentence, sizeof sentence, described, reference_ms);
    (void)put_safe_cstr(screen->out, sentence, 0);
    fputc('\n', screen->out);
    put_callback(screen, described);
}
