/* A daemon made of a script: it plays its side of a conversation over a socketpair
 * and remembers the first thing that was not as written.
 *
 * A script is a JSON array of steps, each one of
 *   {"call": METHOD, "params": {...}, "as": KEY, "result": {...}}
 *       the next message is this call; the members of `params`, at every depth, must be
 *       equal, null ones absent. Answered at once with `result` or `error` when given.
 *   {"any": [CALL, ...]}         these calls, in any order
 *   {"answer": KEY, "result": {...}}   answers an earlier call
 *   {"note": METHOD, "params": {...}}  the next message is this notification
 *   {"send": HEX}                sends these bytes
 *   {"hold": METHOD}             reads nothing until fake_resume(), and from then on drops
 *                               such notifications
 *   {"close": true}              hangs up
 * The hello at the start plays by itself, at the level given. */
#pragma once

#include <stdbool.h>

struct fake;

/* Gives the fake daemon, and in `out_fd` the client's end of the socketpair. */
struct fake *fake_start(const char *script, int level, int *out_fd);

/* Ends a hold. */
void fake_resume(struct fake *fake);

/* The client has hung up. Fails the test if the script was not played to its end, word
 * for word, or more came. Frees. */
void fake_finish(struct fake *fake);
