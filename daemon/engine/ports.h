/* Ports: what the pump needs from the world besides the store (store.h). The
 * daemon's bodies are in io/, the simulator's in tests/sim. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/span.h"

struct dd_buf;
struct dd_fetch_request;
struct dd_front;
struct dd_process;
struct dd_process_spec;

struct dd_ports {
    void *user;
    /* Unguessable bytes. */
    void (*random)(void *user, void *out_bytes, size_t len);
    /* Whether the process that had `pid` and started at `started` still runs its
     * code; a zombie does not. */
    bool (*process_alive)(void *user, int64_t pid, uint64_t started);
    /* Starts the process of a sandbox, which `owner` stands for in what is told of it
     * (struct dd_process_events). A negative code with a text when it can't be had, and
     * then nothing is told. NULL: none are hosted. */
    int (*process_start)(void *user, const struct dd_process_spec *spec, void *owner,
                         struct dd_process *out, struct dd_error *error);
    /* Begins a request to another service, which `owner` stands for in what is told of it
     * (struct dd_fetch_events): always told, once, unless it is cancelled before. Gives what
     * names it to fetch_cancel. NULL: none are made. */
    void *(*fetch)(void *user, const struct dd_fetch_request *request, void *owner);
    void (*fetch_cancel)(void *user, void *fetch);
    /* Appends the Authorization that goes to the endpoint of AWS's keys, which may be empty,
     * and a NUL; false when it can't be read. */
    bool (*keys_authorization)(void *user, struct dd_buf *out);
    /* Opens an HTTP listener of this machine's own, whose requests `front` stands for in what
     * is told of them (dd_engine_front_request()). Gives its HOST:PORT, which lives as long as
     * the listener. A negative code with a text when it can't be had. NULL: there are none. */
    int (*listen)(void *user, struct dd_front *front, const char **out_address,
                  struct dd_error *error);
    /* Closes it, unless somebody is connected: false. */
    bool (*unlisten)(void *user, struct dd_front *front);
};

/* Who is at the other end, from the kernel. `started` tells a process from a
 * later one with its pid; pid 0: unknown (another pid namespace). */
struct dd_credentials {
    int64_t pid;
    uint64_t started;
};

/* The stream of one peer. */
struct dd_stream {
    void *user;
    /* Sends `bytes` (taken; freed with dd_free) after what was sent before. */
    void (*send)(void *user, char *bytes, size_t len);
    /* Whether to go on reading. */
    void (*read)(void *user, bool on);
    /* Ends the stream; dd_engine_disconnect() is then not called. */
    void (*close)(void *user);
};

/* What a listener tells of its streams. The loop calls these, never from inside
 * a call of the stream. */
struct dd_stream_events {
    void *user;
    /* A peer has connected: returns what the other calls get as `peer`, or NULL
     * to refuse it. `stream` is borrowed and copied. */
    void *(*opened)(void *user, struct dd_credentials credentials,
                    const struct dd_stream *stream);
    /* Bytes, borrowed. */
    void (*received)(void *user, void *peer, struct dd_span bytes);
    /* How many bytes sent are not yet with the kernel; told when it changes. */
    void (*backlog)(void *user, void *peer, size_t bytes);
    /* The stream ended by itself; the peer is not named again. */
    void (*closed)(void *user, void *peer);
};

/* --- HTTP (optional: an engine without a listener is whole) ----------------------------- */

/* One request, whole. Borrowed for the call that brings it. */
struct dd_http_request {
    struct dd_span method;
    struct dd_span target; /* path and query, as they came */
    struct dd_span body;
    int body_error; /* 0; or the body is not there, for this code's reason */
    /* The value of a header, whatever the case of its name; absent when there is none. */
    struct dd_span (*header)(const struct dd_http_request *request, const char *name);
    /* Visits each header, in order. */
    void (*each_header)(const struct dd_http_request *request,
                        void (*visit)(void *user, const char *name, const char *value),
                        void *user);
    const void *user;
};

struct dd_http_header {
    const char *name;
    const char *value;
};

struct dd_http_answer {
    int status;
    const struct dd_http_header *headers;
    size_t headers_len;
    char *body; /* taken; freed with dd_free */
    size_t body_len;
};

/* Where the answer to one request goes. */
struct dd_http_reply {
    void *user;
    /* Sends the answer: once, and never from inside the call that brought the request. */
    void (*send)(void *user, const struct dd_http_answer *answer);
};

/* What an HTTP listener tells. The loop calls these, never from inside a reply. */
struct dd_http_events {
    void *user;
    /* A request: returns what the other call gets as `exchange`. `reply` is copied. */
    void *(*requested)(void *user, const struct dd_http_request *request,
                       const struct dd_http_reply *reply);
    /* Its peer is gone before the answer, which is sent no more. */
    void (*cancelled)(void *user, void *exchange);
};

/* --- requests to other services (optional) ------------------------------------------------ */

/* One HTTP request. Borrowed for the call that begins it, but for the body, which is
 * borrowed until its end is told or it is cancelled. */
struct dd_fetch_request {
    const char *method;
    const char *url;
    const struct dd_http_header *headers;
    size_t headers_len;
    struct dd_span body;
    int64_t connect_ms; /* at most, until it is connected, TLS included */
    int64_t timeout_ms; /* at most, until the whole answer is there; 0: as long as it takes */
    size_t answer_max;  /* bytes of the answer's body */
    bool fresh;         /* over a new connection: those kept may be dead unseen */
    bool direct;        /* past any proxy that the environment names */
};

enum dd_fetch_outcome {
    DD_FETCH_ANSWERED,
    DD_FETCH_UNREACHABLE, /* no name, no route, refused, not connected in time: nothing was sent
                           */
    DD_FETCH_UNTRUSTED,   /* the peer could not be verified: nothing was sent */
    DD_FETCH_BROKEN,      /* the connection ended, or what came is no HTTP; as the next two: the
                             request may have been carried out */
    DD_FETCH_LATE,
    DD_FETCH_TOO_LARGE,
};

/* What came of it. Borrowed for the call that tells it. */
struct dd_fetch_answer {
    enum dd_fetch_outcome outcome;
    const char *text; /* unless ANSWERED: why, for people */
    int status;
    struct dd_span body;
    /* The value of a header, whatever the case of its name; absent when there is none. */
    struct dd_span (*header)(const struct dd_fetch_answer *answer, const char *name);
    /* Visits each header, in order. */
    void (*each_header)(const struct dd_fetch_answer *answer,
                        void (*visit)(void *user, const char *name, const char *value),
                        void *user);
    void *user;
};

/* The loop calls this, never from inside a call of the port. */
struct dd_fetch_events {
    void *user;
    void (*fetched)(void *user, void *owner, const struct dd_fetch_answer *answer);
};

/* --- processes of hosted functions ------------------------------------------------------- */

struct dd_variable;

/* Borrowed for the call that starts it. */
struct dd_process_spec {
    const char *directory; /* to run in */
    char **command;        /* its arguments, NULL-ended */
    /* Its whole environment but for AWS_LAMBDA_RUNTIME_API, which names a listener of its
     * own, on loopback. */
    const struct dd_variable *environment;
    size_t environment_len;
};

/* It is the leader of a group that ends with it, and with the daemon. */
struct dd_process {
    void *user;
    int64_t pid;
    uint64_t started; /* as in struct dd_credentials */
    /* Kills the group. Its end is told as any other; until then it may still ask. */
    void (*kill)(void *user);
};

/* What is told of a process. The loop calls these, never from inside a call of the
 * process; none after `ended`. */
struct dd_process_events {
    void *user;
    /* A request to its listener, as in struct dd_http_events. */
    void *(*requested)(void *user, void *owner, const struct dd_http_request *request,
                       const struct dd_http_reply *reply);
    void (*cancelled)(void *user, void *exchange);
    /* A line that it wrote to stdout or stderr, without its end; borrowed. */
    void (*wrote)(void *user, void *owner, struct dd_span line);
    /* It has ended: by `signal`, or (0) with `status`. All that it wrote was told. */
    void (*ended)(void *user, void *owner, int64_t status, int signal);
};
