/* Why something of the extension's fails, and what to do: what its log lines say of it as
 * `cause` and `remedy`, and what extensions/DEBUGGING.md says (daemon/cmake/logs.py). */
#pragma once

#include "core/model.h"
#include "engine/log.h"
#include "engine/ports.h"

/* X(symbol, the line's code, its ids, what happens, cause, remedy) */
#define DD_CAUSE_TABLE(X)                                                                      \
    X(PERMISSION, "API_FAILED", "executionArn requestId",                                      \
      "The role has no permission, or its policy names the function without a qualifier",      \
      "the function's role does not allow the call",                                           \
      "allow lambda:CheckpointDurableExecution and lambda:GetDurableExecutionState in the "    \
      "role, with the function's ARN and :* behind it as the Resource")                        \
    X(UNREACHABLE, "API_FAILED", "executionArn requestId", "No route, no DNS",                 \
      "the endpoint is not reached",                                                           \
      "in a VPC: have a NAT gateway or an interface endpoint of Lambda, DNS, and a security "  \
      "group that lets HTTPS out")                                                             \
    X(UNTRUSTED, "API_FAILED", "executionArn requestId",                                       \
      "A proxy ends TLS, or the roots are missing",                                            \
      "the endpoint's certificate is not trusted",                                             \
      "set AWS_CA_BUNDLE to a file with the roots that it is signed by")                       \
    X(KEYS, "API_FAILED", "executionArn requestId", "Expired or wrong credentials",            \
      "the service does not take the credentials",                                             \
      "renew those that you set yourself; with Lambda's own, the next sandbox has new ones")   \
    X(NO_KEYS, "API_FAILED", "executionArn requestId", "No credentials",                       \
      "the extension has no credentials",                                                      \
      "let it have AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda sets them, or "      \
      "AWS_CONTAINER_CREDENTIALS_FULL_URI")                                                    \
    X(REGION, "API_FAILED", "executionArn requestId", "AWS_REGION is not a region's name",     \
      "the extension has no region",                                                           \
      "leave AWS_REGION as Lambda sets it; elsewhere, set it to one such as us-east-1")        \
    X(CLOCK, "CLOCK_DIFFERS", "executionArn requestId", "Clock skew",                          \
      "the clock differs from the service's",                                                  \
      "nothing: requests have the service's time from now on; set the clock if the machine "   \
      "is yours")                                                                              \
    X(TIME, "API_FAILED", "executionArn requestId",                                            \
      "Clock skew, and the answer does not say the time",                                      \
      "the service does not take the time of the signature",                                   \
      "set the machine's clock; in Lambda, nothing: the invocation is run again")              \
    X(THROTTLED, "API_FAILED", "executionArn requestId", "Throttling",                         \
      "the service throttles the account's calls",                                             \
      "run fewer executions at once, or ask AWS for a higher quota")                           \
    X(SERVICE, "API_FAILED", "executionArn requestId", "The service answers 5xx",              \
      "the service failed",                                                                    \
      "nothing if it is rare: the invocation is run again; else see AWS's health dashboard")   \
    X(LATE, "API_FAILED", "executionArn requestId", "The service is slow, or never answers",   \
      "the service did not answer in time",                                                    \
      "nothing if it is rare: the invocation is run again; else give the function a longer "   \
      "Timeout")                                                                               \
    X(BROKEN, "API_FAILED", "executionArn requestId", "Connections are cut",                   \
      "the connection ended before the answer",                                                \
      "nothing if it is rare: the invocation is run again; else look at what is between: a "   \
      "proxy, a firewall, NAT")                                                                \
    X(NOT_SERVICE, "API_FAILED", "executionArn requestId", "A proxy or portal answers",        \
      "something else than the service answers",                                               \
      "look at AWS_ENDPOINT_URL_LAMBDA, AWS_ENDPOINT_URL and HTTPS_PROXY")                     \
    X(DEADLINE, "API_FAILED", "executionArn requestId",                                        \
      "An operation begins when the Timeout is near", "the invocation's deadline is too near", \
      "give the function a longer Timeout, or wait between its steps")                         \
    X(STALE_TOKEN, "API_FAILED", "executionArn requestId",                                     \
      "A stale token: the ExecutionTimeout passed, a stop, or a second invocation",            \
      "the execution has ended, or another invocation of it goes on",                          \
      "see its status: TIMED_OUT is the ExecutionTimeout, STOPPED a stop; if it is RUNNING, "  \
      "nothing")                                                                               \
    X(NO_TOKEN, "API_FAILED", "executionArn requestId", "The event has an empty token",        \
      "the event has no checkpoint token",                                                     \
      "nothing in Lambda: the invocation is run again; else pass the event on as it is")       \
    X(LIMIT, "API_FAILED", "executionArn requestId",                                           \
      "A payload, or the 6 MB of an execution's result, is exceeded",                          \
      "a limit of the service is exceeded",                                                    \
      "keep large data elsewhere, as in S3, and let the step return where it is")              \
    X(KMS, "API_FAILED", "executionArn requestId", "The customer's key is disabled",           \
      "the KMS key of the execution cannot be used",                                           \
      "enable the key, and let the function's role use it")                                    \
    X(REFUSED, "API_FAILED", "executionArn requestId", "The service refuses an operation",     \
      "the service does not take what the handler asks for", "do what `error` says")           \
    X(REVOKED, "SESSION_ENDED", "executionArn requestId",                                      \
      "An answer without a token, as when the execution has too many operations",              \
      "the service takes no more from this invocation",                                        \
      "see the execution's status and error: a quota, such as 3,000 operations, the "          \
      "ExecutionTimeout or a stop has ended it; if it is RUNNING, nothing")                    \
    X(NO_ENVELOPE, "EVENT_REFUSED", "requestId",                                               \
      "The event is not that of a durable execution",                                          \
      "the function was not invoked as a durable one",                                         \
      "create it with a DurableConfig, which cannot be added later, and invoke it with a "     \
      "qualifier")                                                                             \
    X(LEVELS, "LEVELS_DIFFER", "pid", "Client and layer are of different times",               \
      "client and extension have no protocol level in common for this call",                   \
      "take the layer and the client from one release, or a later layer")                      \
    X(TIMEOUT, "SESSION_OPEN", "executionArn requestId steps",                                 \
      "A step longer than the Timeout", "the function's Timeout passed",                       \
      "give the function a longer Timeout, or do the work in shorter steps")                   \
    X(EXIT, "SESSION_OPEN", "executionArn requestId steps",                                    \
      "The process crashes, exits, or has too little memory", "the function's process ended",  \
      "see the function's own lines before this one, and its Max Memory Used")                 \
    X(SHUTDOWN, "SESSION_OPEN", "executionArn requestId",                                      \
      "The sandbox goes while a handler is attached", "the sandbox was shut down",             \
      "nothing: the invocation is run again")                                                  \
    X(SOCKET, "SOCKET_FAILED", "", "The socket cannot be bound", "handlers cannot attach",     \
      "set DURABLED_SOCKET to a path in a directory that the extension may write, as /tmp")    \
    X(EXTENSIONS_API, "EXTENSION_FAILED", "", "The Extensions API does not answer",            \
      "the extension is not registered",                                                       \
      "leave the file in /opt/extensions its name, and AWS_LAMBDA_RUNTIME_API as it is")

enum dd_cause {
    DD_CAUSE_NONE,
#define X(symbol, code, ids, happens, cause, remedy) DD_CAUSE_##symbol,
    DD_CAUSE_TABLE(X)
#undef X
};

/* "" for NONE. */
struct dd_span dd_cause_text(enum dd_cause cause);
struct dd_span dd_cause_remedy(enum dd_cause cause);

/* The fields of a line. */
#define DD_LOG_CAUSE(cause) \
    DD_LOG_TEXT("cause", dd_cause_text(cause)), DD_LOG_TEXT("remedy", dd_cause_remedy(cause))

/* Why AWS's API refused: `type` is the service's, NULL when something else answered. */
enum dd_cause dd_cause_of_refusal(int status, const struct dd_text *type,
                                  const struct dd_text *message);

/* Copies what the service said, cut to fit, without the values that its validation quotes:
 * those may be payloads. */
void dd_cause_quote(const char *said, char *out, size_t size);

/* Why a request had no answer. */
enum dd_cause dd_cause_of_outcome(enum dd_fetch_outcome outcome);
