/* Stories of one execution for the tests of the service engine: commands in, what
 * the engine did out, both as text. Golden traces are files of stories; unit tests
 * and the property test tell theirs in C strings.
 *
 * Commands; times are seconds after the start of the story, values have no blanks:
 *
 *   at 5.5                      the clock reads so (it may go back)
 *   start [name=N] [input=P] [timeout=S] [retention=S] [function=F]
 *   again [input=P]             the same name once more
 *   invoke
 *   checkpoint [client=C] [token=T] [arn=A] [UPDATE [; UPDATE]...]
 *   return SUCCEEDED|FAILED|PENDING|malformed [result=P] [error=E]
 *   crash E [unit=0.5]
 *   release
 *   due
 *   stop [error=E]
 *   state [max=N] [marker=M] [token=T]
 *   operations                  every operation
 *   standing
 *
 * UPDATE is TYPE ACTION id [name=N] [sub=S] [parent=I] [payload=P] [error=E]
 * [delay=S] [wait=S] [replay=0|1]. P is text, or *N for N bytes. E is
 * Type:Message, either part may be empty, or *N for a message of N bytes. T is
 * `spent` (the token before the current one), `first` (of the last invocation),
 * `foreign` (of another execution) or a literal; without it the latest token.
 * M is `next` (of the last page, or of the envelope) or a literal.
 *
 * After every command the execution must pass dd_execution_check() and equal one
 * that is folded from all facts so far.
 */
#pragma once

#include "base/buf.h"
#include "core/service/service.h"

struct story {
    char label[64]; /* named when an invariant breaks */
    struct dd_service_config config;
    struct dd_execution *execution;
    struct dd_execution *other; /* whose tokens are foreign */
    struct dd_facts facts;      /* all so far */
    int64_t now_ms;
    struct dd_text *token, *spent_token, *first_token, *foreign_token;
    struct dd_text *client_token; /* of the last checkpoint that had one */
    struct dd_text *request_id;
    struct dd_text *marker;
    uint32_t invocations, commands;
    int rc; /* of the last command */
    struct dd_error error;
};

#define STORY_EPOCH_MS 1700000000000

void story_init(struct story *story);
void story_deinit(struct story *story);

/* Runs one command; appends what it did, in lines that begin with two blanks. A
 * broken invariant ends the process with a message that names the command. */
void story_run(struct story *story, const char *command, struct dd_buf *out);
