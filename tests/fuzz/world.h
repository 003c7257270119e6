/* The real engine over a store in memory, played by a script of MessagePack values: what
 * two peers send, and what happens around them.
 *
 *   n >= 0   n milliseconds pass
 *   -1       the other peer speaks from here on
 *   -2       the peer's process dies
 *   -3       the peer loses its connection and lives on
 *   -4       the daemon dies and starts again
 *   -5       the next commit fails for good
 *   -6, -7   the disk is full; it has room again
 *   -8       the daemon is told to stop
 *   bin      the peer sends these bytes as they are
 *   else     the peer sends this value; a call has texts like "$event" replaced by the
 *            latest that the daemon answered, see world.c, and "$long" and "$large" by
 *            texts of 20,000 and 300,000 bytes
 *
 * What follows bytes that are no value is sent as it is. */
#pragma once

#include "base/rng.h"
#include "engine/engine.h"
#include "tests/lib/store_mem.h"

#define FUZZ_PEERS 2

struct fuzz_world;

struct fuzz_peer {
    struct fuzz_world *world;
    struct dd_peer *peer; /* NULL: not connected */
    int64_t pid;
    bool dead; /* its process */
};

/* What a client would remember of the answers it had. */
enum fuzz_known {
    KNOWN_EVENT,
    KNOWN_REQUEST_ID,
    KNOWN_KEY,
    KNOWN_ARN,
    KNOWN_MARKER,
    KNOWN_END
};

struct fuzz_world {
    struct dd_store_mem *store;
    struct dd_journal *journal;
    struct dd_engine *engine;
    struct dd_log log;
    struct dd_rng rng;
    int64_t now_ms;
    struct fuzz_peer peers[FUZZ_PEERS];
    size_t speaking;
    struct dd_text *known[KNOWN_END];
    int64_t session;
};

/* Takes `store`. False when the daemon refuses to start on it; the world is to be closed
 * all the same. */
bool fuzz_world_open(struct fuzz_world *world, struct dd_store_mem *store);

/* Plays a script. After every value the engine's invariants hold, and all that was
 * answered is well formed. */
void fuzz_world_play(struct fuzz_world *world, struct dd_span script);

/* An orderly end; gives the store that is left, NULL when it never opened. */
struct dd_store_mem *fuzz_world_close(struct fuzz_world *world);

/* Opens the store to verify it, calls dd_journal_check(), and returns the findings. A
 * store that does not even open has one. */
size_t fuzz_findings(struct dd_store_mem *store);
