/* Every maximum that bounds what a peer, a file or time can make grow, with its
 * reason. A number without a source says "chosen". Those that a client meets are published
 * in proto/protocol.toml; limits.c compares. */
#pragma once

/* One message on the socket. A result may be 6 MiB (Lambda's response limit)
 * and must fit with its envelope. */
#define DD_FRAME_MAX (8u * 1024 * 1024)

/* Nesting of one message: no method needs more than 8; chosen with room. */
#define DD_FRAME_DEPTH_MAX 16

/* Elements of one message, all containers together: 32 times the largest
 * checkpoint batch; bounds the decoder's memory to a small multiple of the frame. */
#define DD_FRAME_ITEMS_MAX 65536

/* Ids, names and the like, from the service model (service-api 3.2, 8.2). */
#define DD_OPERATION_ID_MAX 64
#define DD_NAME_MAX 256
#define DD_SUB_TYPE_MAX 32
#define DD_FUNCTION_NAME_MAX 64
#define DD_FUNCTION_QUALIFIER_MAX 128
#define DD_EXECUTION_NAME_MAX 64
#define DD_ARN_MAX 1024
#define DD_TOKEN_MAX 2048
#define DD_CLIENT_TOKEN_MAX 64
#define DD_FUNCTION_REF_MAX 256 /* a function's name, or its ARN */
#define DD_TENANT_MAX 256

/* Payload sizes, in bytes of UTF-8 (service-api 3.6, 9). */
#define DD_PAYLOAD_MAX 1048576
#define DD_INPUT_MAX 6291456
#define DD_RESULT_MAX 6291456
#define DD_ERROR_OBJECT_MAX 32768
/* The same of an invocation's error, which a function may report at any length; chosen. A
 * longer one is cut: it is kept twice, and shown in one answer with much else. */
#define DD_INVOCATION_ERROR_MAX (256 * 1024)
#define DD_STACK_LINES_MAX 1024 /* chosen; the byte limit above is met first */

/* A child's result above this is replaced by its summary (sdk-semantics 6). */
#define DD_REPLAY_CHILDREN_THRESHOLD 262144
/* A handler's result above this is checkpointed before it is returned. */
#define DD_RESPONSE_MAX (6 * 1024 * 1024 - 50)

/* One checkpoint request (sdk-semantics 8.1). */
#define DD_BATCH_BYTES_MAX 768000
#define DD_BATCH_UPDATES_MAX 250

/* Durations in seconds (service-api 3.2, 8.4). */
#define DD_SECONDS_MAX 31622400
#define DD_CALLBACK_SECONDS_MAX 99999999
#define DD_RETENTION_DAYS_MAX 90

/* AWS's quotas, on by default where AWS is imitated (service-api 9). */
#define DD_AWS_OPERATIONS_MAX 3000
#define DD_AWS_BYTES_MAX (100 * 1000 * 1000)
/* Failed invocations in a row that fail an execution (service-api 5.5). */
#define DD_AWS_INVOCATION_RETRIES 9

/* Off AWS, the memory of one loaded execution is what bounds it; chosen so that
 * a map of 100,000 items with a step each fits. */
#define DD_OPERATIONS_MAX 1000000

/* Page sizes of state and history (service-api 1.3). */
#define DD_PAGE_ITEMS_MAX 1000
#define DD_PAGE_ITEMS_DEFAULT 100
/* Bytes of one page or one window of the replay cursor; a page holds at least
 * one item, whatever its size. */
#define DD_PAGE_BYTES_MAX (1024 * 1024)

/* An async update waits at most this long for company (sdk-semantics 14.2: a
 * step's START must be out within a second even if its process then dies). */
#define DD_FLUSH_DELAY_MS 50
/* A call of AWS's API that somebody waits for is held this long, and a few times longer in a
 * burst, while other strands run, which may add to it; chosen: a thread of a client takes a
 * millisecond to say what it has, and a call takes 15. */
#define DD_GATHER_MS 5

/* Sessions and calls of one connection; chosen. A worker at --concurrency 1000
 * needs as many sessions, each with a few parked calls. */
#define DD_CONNECTION_SESSIONS_MAX 4096
#define DD_CONNECTION_CALLS_MAX 65536
/* Bytes queued towards one peer before its reads are paused; two largest frames. */
#define DD_CONNECTION_BACKLOG_MAX (2u * DD_FRAME_MAX)
/* Bytes of answers kept for a connection that goes on without them; a page. */
#define DD_CONNECTION_KEPT_MAX 4096
#define DD_CONNECTIONS_MAX 4096

/* Handles of operations and contexts that one session has open; chosen. */
#define DD_SESSION_HANDLES_MAX 1000000
/* Contexts inside each other; chosen: more than any language's stack takes of them, and
 * ours walks them. */
#define DD_SESSION_DEPTH_MAX 1000

/* Bytes of a worker's name for itself; a UUID with room for a prefix. It is stored with
 * each invocation. */
#define DD_INSTANCE_MAX 64
/* What one worker may register. */
#define DD_WORKER_FUNCTIONS_MAX 256
#define DD_WORKER_CONCURRENCY_MAX 10000

/* Copy of the handler's log lines kept per execution. */
#define DD_LOG_LINES_MAX 10000
#define DD_LOG_BYTES_MAX (1024 * 1024)

/* Executions whose timers fire in one turn of the loop; chosen, so that a burst
 * of due timers does not keep sockets waiting. */
#define DD_TURN_DUE_MAX 256
/* Executions kept loaded while at rest, in bytes; chosen: thousands of small ones. */
#define DD_MEMORY_BUDGET (32u * 1024 * 1024)
/* Parked heads of one list call; chosen: a page is found among so many. */
#define DD_LIST_SCAN_MAX 10000
/* A held invocation whose process cannot be told (another pid namespace) waits
 * this long for its worker to come back; ten times the client's longest backoff. */
#define DD_HOLD_UNKNOWN_MS 10000
/* How often the processes of held invocations are looked at. */
#define DD_HOLD_POLL_MS 50

/* Keys of the store: what LMDB takes as it is built everywhere. The longest of
 * ours, a name's, has 129 bytes. */
#define DD_STORE_KEY_MAX 511
/* Bytes that wait for one commit; chosen: forty of the largest records. More is
 * refused as if memory had run out. */
#define DD_STORE_BATCH_MAX (256u * 1024 * 1024)
/* Above this part of the map new executions are refused; likewise when less than
 * the rest of the disk, or less than this many bytes of a large one, is free.
 * Chosen: what runs already needs room to end in. */
#define DD_STORE_HIGH_PERCENT 90
#define DD_STORE_DISK_MARGIN (1024LL * 1024 * 1024)
/* A file written ahead and given back when the disk is full; a thousand commits
 * of the usual four pages fit. As much again is the map's reserve. */
#define DD_STORE_RESERVE_BYTES (8u * 1024 * 1024)
/* The log in front of the tables; chosen: ten thousand records, a few times what is folded
 * at once, and half of the reserve that must take it in. */
#define DD_STORE_WAL_BYTES (4u * 1024 * 1024)
/* Whether there is room is looked at this often for the log's sake; chosen. A start looks
 * each time. */
#define DD_STORE_LOOK_MS 100
/* A commit that met a full disk or map is tried again after this; chosen. */
#define DD_STORE_RETRY_MS 250

/* Executions folded, and records removed, with one commit; chosen, so that a
 * commit that carries them takes a few milliseconds, not tens. */
#define DD_FOLD_EXECUTIONS_MAX 256
#define DD_REMOVE_ENTRIES_MAX 256
/* Due times in memory: the nearest ones, 1.5 MiB at most. */
#define DD_DUE_WINDOW_MAX 65536
/* One log line; its message is cut to fit. Lines in memory before they are written. */
#define DD_LOG_LINE_MAX (16 * 1024)
/* The end of what a function wrote, for X-Amz-Log-Result (Lambda's Invoke: 4 KB). */
#define DD_LOG_TAIL 4096
#define DD_LOG_BUFFER_MAX (256 * 1024)

/* One HTTP request. A result of 6 MiB may be checkpointed as a JSON string, in which
 * every byte may be escaped. */
#define DD_HTTP_BODY_MAX (2u * DD_RESULT_MAX + 1024 * 1024)
/* Of a longer body so much is read and dropped, so that its sender sees the refusal;
 * chosen. */
#define DD_HTTP_DISCARD_MAX (64u * 1024 * 1024)
/* Bodies of all requests that are being received or answered, and as many of the answers
 * that their peers have yet to read; chosen: a dozen of the largest. */
#define DD_HTTP_BODIES_MAX (160u * 1024 * 1024)
/* What one connection takes for its request line and headers, both ways; AWS's
 * longest token and ARN, percent-encoded, fit four times. */
#define DD_HTTP_CONNECTION_BYTES (48u * 1024)
#define DD_HTTP_CONNECTIONS_MAX 1024 /* chosen */
/* A connection without a byte for so long is closed; as long as AWS's load balancers. */
#define DD_HTTP_IDLE_S 60
/* Nesting of a payload that Invoke takes: what AWS's JSON parser allows. */
#define DD_JSON_DEPTH_MAX 1000
/* Longest marker of a page; ours have 44 characters. */
#define DD_MARKER_MAX 1024
/* How far the time of a signature may be from ours: Lambda's five minutes. */
#define DD_SIGNATURE_SKEW_MS (5 * 60 * 1000)
/* Regions that a warning names, one each; chosen. */
#define DD_REGIONS_TOLD_MAX 8
/* Headers that one signature covers; boto3 signs some five, a browser's client twenty. */
#define DD_SIGNED_HEADERS_MAX 64
/* What is signed of a request but its body: each byte of its head may be escaped, and
 * that again. */
#define DD_SIGNED_BYTES_MAX (10u * DD_HTTP_CONNECTION_BYTES)
/* Base64 of a client context, from the model of Lambda's API. */
#define DD_CLIENT_CONTEXT_MAX 3583
/* Items of a page of functions or aliases: what Lambda gives at most, whatever is asked. */
#define DD_FUNCTIONS_PAGE_MAX 50
/* A synchronous invocation of AWS's ends in so many seconds (service-api 1.4). */
#define DD_SYNC_TIMEOUT_S 900

/* The start of a hosted function, until it asks for its first invocation, may take so
 * long and one Timeout more: Lambda's init phase, then its second try within the
 * invocation. */
#define DD_INIT_TIMEOUT_MS 10000
/* A process without an invocation for so long ends; chosen, as Lambda's go after minutes. */
#define DD_SANDBOX_IDLE_MS 600000
/* Processes of all hosted functions; chosen: what a laptop's memory carries of Python's. */
#define DD_SANDBOXES_MAX 64
/* Connections to the Runtime API of one process: it needs one, and may hold a stale one. */
#define DD_RUNTIME_CONNECTIONS_MAX 8
/* A response of a function (Lambda: 6 MB, and room for its envelope). */
#define DD_RUNTIME_RESPONSE_MAX (DD_RESULT_MAX + 100)
/* Directories of one function's code that are watched for changes; chosen: far more than
 * code has that is written by hand, far less than inotify gives a user. */
#define DD_WATCH_DIRECTORIES_MAX 512
/* A template. CloudFormation takes 1,000,000 bytes (its quotas page); ours is read before
 * comments and blanks are taken out of it, so four times as much. */
#define DD_TEMPLATE_BYTES_MAX (4u * 1000 * 1000)
/* Nesting of its text; chosen: ours walk it, and a policy needs some fifteen. */
#define DD_TEMPLATE_DEPTH_MAX 64
/* Keys of one map; CloudFormation takes 500 resources and 200 parameters. Keys are looked
 * for one after the other. */
#define DD_TEMPLATE_KEYS_MAX 2000
/* Values looked at, and bytes built, while functions of a template are worked out; chosen:
 * a hundred times what 500 resources need, so that aliases of aliases end. */
#define DD_TEMPLATE_STEPS_MAX 1000000
#define DD_TEMPLATE_MEMORY_MAX (64u * 1024 * 1024)
/* One text among them; Lambda takes 4 KiB of environment, and a definition body is longer. */
#define DD_TEMPLATE_TEXT_MAX (1024u * 1024)
/* Values inside each other while they are worked out: nesting and what it refers to. */
#define DD_TEMPLATE_CALLS_MAX 128
/* Lines that one template may say of each kind; chosen: more is read by nobody. */
#define DD_TEMPLATE_LINES_MAX 200
/* Templates of one cloud assembly, and assemblies inside each other; chosen. */
#define DD_TEMPLATES_MAX 100
#define DD_ASSEMBLY_DEPTH_MAX 4
/* An interpreter is asked for its version for so long; chosen: a cold one takes half. */
#define DD_PROBE_MS 10000

/* Processes of one hosted function at once, where its template reserves none; chosen: what
 * one machine runs of them. AWS's limit is an account's, of which 1000 is the default. */
#define DD_HOSTED_PROCESSES_DEFAULT 10
#define DD_HOSTED_PROCESSES_MAX 1000
/* What Lambda takes (its API reference: CreateFunction). */
#define DD_HOSTED_TIMEOUT_S_MAX 900
#define DD_HOSTED_TIMEOUT_S_DEFAULT 3
#define DD_HOSTED_MEMORY_MB_MIN 128
#define DD_HOSTED_MEMORY_MB_MAX 32768
#define DD_HOSTED_DESCRIPTION_MAX 256
#define DD_HOSTED_RETENTION_DAYS_DEFAULT 14

/* One call of AWS's API. Chosen: connecting takes tens of milliseconds where there is a way,
 * an answer a few; boto3 waits 5 s and 50 s. A connection that died unseen is given up
 * after one attempt. */
#define DD_AWS_CONNECT_MS 5000
#define DD_AWS_ATTEMPT_MS 15000
/* A logical call is tried for so long, if its invocation's deadline is no earlier; chosen. */
#define DD_AWS_CALL_MS 60000
/* So long before the deadline no call is under way any more: the handler still has to
 * return; chosen. */
#define DD_AWS_MARGIN_MS 100
/* The pause before another attempt: a random part of the first, doubled each time up to the
 * most, and not less than the least; chosen. */
#define DD_AWS_BACKOFF_MS 100
#define DD_AWS_BACKOFF_MAX_MS 5000
#define DD_AWS_BACKOFF_MIN_MS 10
/* A connection that was not used for so long is not trusted: sandboxes are frozen, and what
 * stands between closes it meanwhile. Chosen. */
#define DD_AWS_IDLE_MS 20000
/* How far our clock may be from the service's before requests are signed with its: a signature
 * holds for five minutes (SigV4, "Elements of an API request signature"). */
#define DD_AWS_SKEW_MS (4 * 60 * 1000)
/* An answer: Lambda's 6 MB, in which every byte may be escaped, and more. */
#define DD_AWS_ANSWER_MAX (4u * DD_RESULT_MAX)
/* Keys are asked for so long before they expire, and no more often than that after a
 * failure; as AWS's SDKs do. */
#define DD_AWS_KEYS_EARLY_MS (5 * 60 * 1000)
#define DD_AWS_KEYS_PAUSE_MS 30000
#define DD_AWS_KEYS_MS 2000
#define DD_AWS_KEYS_MAX 65536
/* In front of Lambda's Runtime API. A sandbox has one of it; a local cloud one for each
 * process, so one that no process is connected to makes room for another. Chosen. */
#define DD_FRONTS_MAX 16
#define DD_FRONT_ADDRESS_MAX 128
/* Connections of runtimes, and invocations of a durable function at once; chosen: twice what a
 * managed instance's sandbox runs at once by default for Node.js, 64. */
#define DD_FRONT_CONNECTIONS_MAX 128
#define DD_FRONT_INVOCATIONS_MAX 128
/* Before a broken request for an invocation is made again, doubled each time up to the most;
 * chosen. */
#define DD_FRONT_PAUSE_MS 50
#define DD_FRONT_PAUSE_MAX_MS 1000
/* Lost sessions that are kept until it is known why they were lost; more are told of without.
 * Lambda ends a sandbox within milliseconds of its runtime's death. Chosen. */
#define DD_LOST_MAX 16
#define DD_LOST_WAIT_MS 1000
/* Interrupted attempts of steps that are counted, and operations that one line names; chosen:
 * an invocation that leaves more open is seen by its number of them. */
#define DD_INTERRUPTED_MAX 256
#define DD_LOG_OPERATIONS_MAX 8
/* Of a name in such a line, and of a request id: what the service takes of a name in ASCII, and
 * so that no line is too long to be written. Lambda's request ids have 36 bytes. */
#define DD_LOG_NAME_MAX 256
#define DD_REQUEST_ID_MAX 128
