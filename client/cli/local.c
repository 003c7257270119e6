/* Executions of a daemon, over its socket. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static int open_doc(struct doc *doc, struct durabled_reply *reply, struct durabled_error *error)
{
    return doc_open(doc, reply) ? DURABLED_OK : out_of_memory(error);
}

static int add_page(struct pages *pages, struct durabled_reply *reply,
                    struct durabled_error *error)
{
    struct doc doc;

    if (doc_open(&doc, reply) && pages_add(pages, &doc))
        return DURABLED_OK;
    return out_of_memory(error);
}

static int local_list(struct source *source, const struct durabled_list_filter *filter,
                      struct doc *out, struct durabled_error *error)
{
    struct durabled_list page;
    int rc = durabled_client_list(source->connection, filter, &page, error);

    return rc == DURABLED_OK ? open_doc(out, page.reply, error) : rc;
}

/* `execution` becomes the ARN, which is in the pages: a name may be given anew meanwhile. */
static int load_history(struct source *source, const char *execution, bool data,
                        struct story *out, struct durabled_error *error)
{
    struct durabled_history page;
    struct pages pages = {0};
    int64_t after = 0;
    bool more;
    int rc;

    do {
        rc = durabled_client_history(source->connection, execution, after, data, &page, error);
        if (rc != DURABLED_OK)
            break;
        after = page.len > 0 ? page.items[page.len - 1].id : after;
        more = page.more && page.len > 0;
        execution = page.arn;
        rc = add_page(&pages, page.reply, error);
    } while (rc == DURABLED_OK && more);
    if (rc != DURABLED_OK)
        pages_free(&pages);
    else if (!story_open(out, &pages))
        rc = out_of_memory(error);
    return rc;
}

static int local_history(struct source *source, const char *execution, struct story *out,
                         struct durabled_error *error)
{
    return load_history(source, execution, true, out, error);
}

static int local_describe(struct source *source, const char *execution, struct pages *out,
                          struct story *out_story, struct durabled_error *error)
{
    struct durabled *connection = source->connection;
    struct durabled_description page;
    int64_t after = 0;
    bool more;
    int rc;

    *out = (struct pages){0};
    do {
        rc = durabled_client_describe_page(connection, execution, true, after, &page, error);
        /* One answer may be too small for the payloads of a page, but not for the rest. */
        if (rc == DURABLED_REFUSED && strcmp(error->type, "RequestTooLargeException") == 0)
            rc = durabled_client_describe_page(connection, execution, false, after, &page,
                                               error);
        if (rc != DURABLED_OK)
            break;
        after += (int64_t)page.operations_len;
        more = page.more && page.operations_len > 0;
        execution = page.arn;
        rc = add_page(out, page.reply, error);
    } while (rc == DURABLED_OK && more);
    if (rc == DURABLED_OK && out_story)
        rc = load_history(source, execution, false, out_story, error);
    if (rc != DURABLED_OK)
        pages_free(out);
    return rc;
}

static int local_stop(struct source *source, const char *execution,
                      const struct durabled_failure *failure, struct doc *out,
                      struct durabled_error *error)
{
    struct durabled_stopped stopped;
    int rc = durabled_client_stop(source->connection, execution, failure, &stopped, error);

    return rc == DURABLED_OK ? open_doc(out, stopped.reply, error) : rc;
}

static int local_callback(struct source *source, const char *action,
                          const struct durabled_callback_name *name,
                          struct durabled_text payload, const struct durabled_failure *failure,
                          struct durabled_error *error)
{
    struct durabled *connection = source->connection;

    if (strcmp(action, "succeed") == 0)
        return durabled_client_callback_succeed(connection, name, payload.data, payload.len,
                                                error);
    if (strcmp(action, "fail") == 0)
        return durabled_client_callback_fail(connection, name, failure, error);
    return durabled_client_callback_heartbeat(connection, name, error);
}

static void local_close(struct source *source)
{
    durabled_close(source->connection);
    free(source->options);
    free(source);
}

/* "--socket PATH ", when one was given. */
static char *format_options(const char *socket)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        return NULL;
    if (socket) {
        fputs("--socket ", out);
        put_quoted(out, socket, strlen(socket));
        fputc(' ', out);
    }
    return fclose(out) == 0 ? text : NULL;
}

int local_open(const struct args *args, struct source **out, struct durabled_error *error)
{
    static const struct source_ops ops = {local_list, local_describe, local_history,
                                          local_stop, local_callback, local_close};
    struct source *source = calloc(1, sizeof *source);
    int rc;

    if (!source)
        return out_of_memory(error);
    source->ops = &ops;
    source->options = format_options(args->socket);
    rc = source->options ? durabled_open(args->socket, &source->connection, error)
                         : out_of_memory(error);
    if (rc != DURABLED_OK)
        local_close(source);
    else
        *out = source;
    return rc;
}
