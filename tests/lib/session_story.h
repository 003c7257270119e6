/* Stories of the session engine: calls of a handler in, its answers and checkpoints
 * out, both as text. On the other side stands a real execution of the service engine,
 * whose answers come when the story says so.
 *
 * Commands; times are seconds after the start of the story, values have no blanks:
 *
 *   at 5.5                      the clock reads so
 *   invoke [pages=N] [profile=P] [input=P]
 *                               starts the execution if need be, invokes it, and begins
 *                               a session with N operations of its state (0: all)
 *   take                        the service takes the checkpoint in flight; nobody hears
 *   ack                         the checkpoint, or page, in flight is answered
 *   refuse E [retryable]        it is refused
 *   due                         dd_session_due()
 *   fire                        dd_execution_due(): the service's timers
 *   stop, quota N               the service closes it; allows N operations
 *   forget CLIENT
 *   facts                       what logs tell of it: of each list two at most
 *   return                      what END answered is returned to the service
 *   lose                        the invocation is lost, uncounted
 *
 * and the calls, each of which may have client=N:
 *
 *   start H TYPE POSITION [in=H] [name=N] [sub=S] [virtual] [strand] [once]
 *         [retry=N] [ask] [seconds=S]
 *   await H[,H]... [in=H] [any]
 *   succeed H [payload=P] [summary=P] [large]
 *   fail H E [final] [filtered] [delay=S]
 *   decide H S
 *   unwound H
 *   operations
 *   end [result=P] [error=E] [unwound] [raise]
 *
 * H is a handle; retry=N is at most N attempts, 2 s apart. P and E are those of
 * words.h. Ids are shown by their first six digits. After every command the session
 * must pass dd_session_check().
 */
#pragma once

#include "base/buf.h"
#include "core/service/service.h"
#include "core/session/session.h"

struct session_story {
    struct dd_service_config config;
    struct dd_execution *execution;
    struct dd_session *session;
    int64_t now_ms, due_ms;
    uint64_t calls;
    uint32_t invocations, page;
    struct dd_text *request_id;
    struct dd_outcome outcome; /* that END answered */
    /* What is in flight: a checkpoint, or a page when there is a marker. */
    struct dd_text *token, *marker;
    struct dd_update *updates;
    size_t updates_len;
    /* What the service said to it, once taken. */
    bool taken;
    struct dd_checkpointed answer;
    struct dd_buf *out;
};

void session_story_init(struct session_story *story);
void session_story_deinit(struct session_story *story);

/* Runs one command; appends what it did, in lines that begin with two blanks. A
 * broken invariant ends the process with a message that names the command. */
void session_story_run(struct session_story *story, const char *command, struct dd_buf *out);
