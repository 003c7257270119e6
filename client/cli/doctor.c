/* Is all well? One line for each thing looked at: ok, or bad with the cure. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cli.h"

/* The daemon refuses starts above this part of its store; warn before. */
#define STORE_PERCENT_MAX 85
/* Less than this is little for any store. */
#define DISK_FREE_MIN ((int64_t)256 * 1024 * 1024)
/* A clock before this has not been set: 2024-01-01. */
#define CLOCK_MIN_MS INT64_C(1704067200000)

struct exam {
    struct screen screen;
    bool json;
    size_t lines;
    size_t bad;
};

/* `cure` NULL: ok. */
static void put_line(struct exam *exam, const char *what, const char *found, const char *cure)
{
    FILE *out = exam->screen.out;

    exam->bad += cure != NULL;
    if (exam->json) {
        fprintf(out, "%s{\"check\": \"%s\", \"ok\": %s, \"found\": ", exam->lines++ ? ", " : "",
                what, cure ? "false" : "true");
        put_json_text(out, found, strlen(found));
        if (cure) {
            fputs(", \"cure\": ", out);
            put_json_text(out, cure, strlen(cure));
        }
        fputc('}', out);
        return;
    }
    fprintf(out, "%s%s%s  %-10s ", paint(&exam->screen, cure ? RED : GREEN),
            cure ? "bad" : "ok ", unpaint(&exam->screen), what);
    (void)put_safe_cstr(out, found, 0);
    if (cure) {
        fputs("\n     cure: ", out);
        (void)put_safe_cstr(out, cure, 0);
    }
    fputc('\n', out);
}

static void check_daemon(struct exam *exam, const struct durabled_status *status)
{
    char text[256], duration[32];

    format_duration(duration, sizeof duration, now_ms() - status->started_ms);
    (void)snprintf(text, sizeof text, "version %.32s, %.16s, pid %lld, up %s", status->version,
                   status->mode, (long long)status->pid, duration);
    put_line(exam, "daemon", text, NULL);
    (void)snprintf(text, sizeof text, "%lld of the daemon, %d of this tool",
                   (long long)status->level, DURABLED_LEVEL);
    put_line(exam, "level", text,
             status->level >= DURABLED_LEVEL
                 ? NULL
                 : "the daemon is older than this tool: restart it with the installed version");
    put_line(exam, "starts", status->accepting ? "taken" : "refused",
             status->accepting ? NULL
                               : "the daemon stops, or its store or disk is nearly full: see "
                                 "below and its log");
}

/* What this user can see of the data directory. */
static void check_data(struct exam *exam, const struct durabled_status *status)
{
    struct statvfs disk;
    struct stat data;
    char text[1200];

    if (!*status->data) {
        put_line(exam, "data", "none on disk in this mode", NULL);
        return;
    }
    if (stat(status->data, &data) != 0 && errno != EACCES) {
        (void)snprintf(text, sizeof text, "%.1000s: %s", status->data, strerror(errno));
        put_line(exam, "data", text, "stop the daemon and restore the directory from a backup");
        return;
    }
    if (errno != EACCES && statvfs(status->data, &disk) == 0 && (disk.f_flag & ST_RDONLY)) {
        (void)snprintf(text, sizeof text, "%.1000s is on a read-only file system",
                       status->data);
        put_line(exam, "data", text, "remount it for writing, then restart the daemon");
        return;
    }
    (void)snprintf(text, sizeof text, "%.1000s%s", status->data,
                   access(status->data, W_OK) == 0 ? ", writable" : ", of another user");
    put_line(exam, "data", text, NULL);
}

static void check_space(struct exam *exam, const struct durabled_status *status)
{
    int64_t percent =
        status->store_bytes_max > 0 ? status->store_bytes * 100 / status->store_bytes_max : 0;
    char used[32], most[32], text[128];

    format_bytes(used, sizeof used, status->store_bytes);
    format_bytes(most, sizeof most, status->store_bytes_max);
    (void)snprintf(text, sizeof text, "%s of %s used (%lld %%), %lld commits", used, most,
                   (long long)percent, (long long)status->commits);
    put_line(exam, "store", text,
             percent < STORE_PERCENT_MAX
                 ? NULL
                 : "restart the daemon with a larger --map-size, or lower --retention");
    format_bytes(used, sizeof used, status->disk_free_bytes);
    (void)snprintf(text, sizeof text, "%s free", used);
    put_line(exam, "disk", text,
             status->disk_free_bytes >= DISK_FREE_MIN || !*status->data
                 ? NULL
                 : "free space on the data directory's disk");
}

static void check_clock(struct exam *exam, const struct durabled_status *status)
{
    int64_t now = now_ms();
    const char *cure = NULL;
    char text[64];

    format_instant(text, sizeof text, now);
    if (now < CLOCK_MIN_MS)
        cure = "set the clock: timers go by the wall clock";
    else if (status->started_ms > now + 1000)
        cure =
            "the clock was set back since the daemon started: timers wait until it catches up";
    put_line(exam, "clock", text, cure);
}

static void check_functions(struct exam *exam, struct durabled *connection,
                            const struct durabled_status *status)
{
    struct durabled_functions functions;
    struct durabled_error error;
    char text[256];

    (void)snprintf(text, sizeof text,
                   "%lld connected, %lld sessions, %lld connections, %lld executions in memory",
                   (long long)status->workers, (long long)status->sessions,
                   (long long)status->connections, (long long)status->executions_loaded);
    put_line(exam, "workers", text, NULL);
    if (durabled_client_functions(connection, &functions, &error) != DURABLED_OK) {
        put_line(exam, "functions", error.text, "see the daemon's log");
        return;
    }
    for (size_t i = 0; i < functions.len; i++) {
        const struct durabled_function_status *function = &functions.items[i];

        if (function->queued == 0 || function->workers > 0)
            continue;
        (void)snprintf(text, sizeof text, "%.64s: no worker serves it, %lld execution%s wait%s",
                       function->name, (long long)function->queued,
                       function->queued == 1 ? "" : "s", function->queued == 1 ? "s" : "");
        put_line(exam, "functions", text, "start a worker of this function");
    }
    durabled_reply_free(functions.reply);
}

static void check_all(struct exam *exam, struct durabled *connection)
{
    struct durabled_status status;
    struct durabled_error error;

    if (durabled_client_status(connection, &status, &error) != DURABLED_OK) {
        put_line(exam, "daemon", error.text, "see the daemon's log, then restart it");
        return;
    }
    check_daemon(exam, &status);
    check_data(exam, &status);
    check_space(exam, &status);
    check_clock(exam, &status);
    check_functions(exam, connection, &status);
    durabled_reply_free(status.reply);
}

int run_doctor(const struct args *args)
{
    struct exam exam = {.json = args->json};
    struct durabled *connection = NULL;
    struct durabled_error error;
    int rc;

    screen_init(&exam.screen, stdout);
    if (exam.json)
        fputs("{\"checks\": [", stdout);
    rc = durabled_open(args->socket, &connection, &error);
    if (rc == DURABLED_OK) {
        put_line(&exam, "socket", durabled_peer(connection)->socket, NULL);
        check_all(&exam, connection);
        durabled_close(connection);
    } else {
        char *cure = strstr(error.text, " To cure it: ");

        if (cure)
            *cure = '\0';
        put_line(&exam, "socket", error.text,
                 cure ? cure + strlen(" To cure it: ") : "see the daemon's log");
    }
    if (exam.json)
        fprintf(stdout, "], \"ok\": %s}\n", exam.bad ? "false" : "true");
    if (rc != DURABLED_OK)
        return EXIT_NO_DAEMON;
    return exam.bad ? EXIT_BAD : EXIT_OK;
}
