/* Sends what no client should; see sim.h. Each act is a connection of its own, which
 * is dropped once it has its answer or is closed. */
#include "tests/sim/sim.h"

#include <string.h>

#include "base/alloc.h"
#include "core/service/service_priv.h"
#include "engine/engine_priv.h"

struct act {
    struct world *world;
    const char *expected; /* the code of the refusal; NULL: the connection closes */
    uint32_t call;
};

static void finish(struct act *act, struct conn *conn)
{
    conn_drop(conn);
    dd_free(act);
}

static void answered(void *owner, struct conn *conn, uint32_t call, const msgpack_object *error,
                     const msgpack_object *result)
{
    struct act *act = owner;
    char code[64];

    (void)result;
    if (call != act->call)
        return;
    if (!act->expected || !error ||
        strcmp(member_text(error, "code", code, sizeof code), act->expected) != 0)
        broken(act->world, "a wrong call was answered with %s instead of %s",
               error ? code : "a result", act->expected);
    covered(act->expected);
    finish(act, conn);
}

static void lost(void *owner, struct conn *conn)
{
    struct act *act = owner;

    if (!act->expected)
        covered("connection closed on bad bytes");
    finish(act, conn);
}

static void send_garbage(struct world *world, struct conn *conn)
{
    static const char *const beginnings[] = {"\xc1", "\xdd\xff\xff\xff\xff", "GET / HTTP/1.1",
                                             "\xdb\x7f\xff\xff\xff"};
    const char *bytes = beginnings[between(world, 0, 3)];

    conn_send_bytes(conn, bytes, strlen(bytes));
}

/* A token that an earlier checkpoint, or an earlier invocation, spent. */
static void checkpoint_late(struct world *world, struct dd_execution *execution)
{
    bool earlier = execution->flight.token_seq == 0 || chance(world, 0.5);
    struct dd_token spent = {execution->id, execution->invocation - (earlier ? 1 : 0),
                             earlier ? (uint32_t)between(world, 0, 3)
                                     : execution->flight.token_seq - 1};
    struct dd_text *token = dd_token_seal(execution, &spent);
    struct dd_checkpoint checkpoint = {.arn = dd_text_span(execution->arn),
                                       .token = dd_text_span(token)};
    struct dd_checkpointed answer;
    struct dd_facts facts = {0};
    struct dd_error error;

    if (dd_execution_checkpoint(execution, &checkpoint, world->now_ms, &facts, &answer,
                                &error) == 0)
        broken(world, "a token that was spent is taken");
    if (strcmp(error.text, "Invalid checkpoint token") != 0)
        broken(world, "a token that was spent is refused as: %s", error.text);
    covered("spent token");
    dd_text_unref(token);
}

/* No client of the socket holds a token, so that this goes to the service itself. */
static void checkpoint_late_each(struct world *world)
{
    struct dd_resident *resident;
    size_t i = 0;

    while (world->engine && (resident = dd_map_next(&world->engine->residents, &i)) != NULL)
        if (resident->execution->flight.request_id && resident->execution->invocation > 1)
            checkpoint_late(world, resident->execution);
}

void hostile_act(struct world *world)
{
    struct act *act = dd_alloc(sizeof *act);
    struct conn *conn = conn_open(world, 98, act, answered, lost);
    int64_t kind = between(world, 0, 7);

    checkpoint_late_each(world);
    act->world = world;
    if (!conn) {
        dd_free(act);
        return;
    }
    if (kind == 0) {
        act->expected = "Protocol.OutOfOrder";
        act->call = conn_call(conn, "execution.list", "");
        return;
    }
    (void)conn_call(conn, "hello", "is", "level", (int64_t)2, "client", "hostile");
    if (kind == 1) {
        act->expected = "Protocol.UnknownMethod";
        act->call = conn_call(conn, "session.explode", "");
    } else if (kind == 2) {
        act->expected = "Protocol.InvalidParams";
        act->call = conn_call(conn, "execution.start", "i", "function", (int64_t)7);
    } else if (kind == 3) {
        act->expected = "Protocol.UnknownSession";
        act->call = conn_call(conn, "session.end", "ib", "session", between(world, 0, 50),
                              "unwound", 1);
    } else if (kind == 4) {
        act->expected = "Protocol.OutOfOrder";
        act->call = conn_call(conn, "worker.next", "");
    } else if (kind == 5) {
        act->expected = "InvalidParameterValueException";
        act->call =
            conn_call(conn, "session.begin", "ss", "event", "{\"a\": 1}", "profile", "c");
    } else if (kind == 6) {
        act->expected = "Protocol.InvalidParams";
        act->call = conn_call(conn, "execution.describe", "sb", "execution", "x", "data", 1);
        act->expected = "ResourceNotFoundException";
    } else {
        send_garbage(world, conn);
    }
}
