/* Assertions that stay in release builds, and the few macros every room uses.
 *
 * dd_assert() states what our own code guarantees. It never meets a value that
 * a peer or a file controls: the codec turns those into errors first.
 */
#pragma once

#include <stddef.h>

/* Ends the process with a message on stderr; installed hooks run first. */
_Noreturn void dd_assert_failed(const char *expr, const char *file, int line, const char *func);

/* Called once, before abort(), when an assertion fails: prints what helps to
 * find the cause. Must not allocate. NULL removes it. */
void dd_assert_hook(void (*hook)(void));

#define dd_assert(cond) \
    ((cond) ? (void)0 : dd_assert_failed(#cond, __FILE__, __LINE__, __func__))

/* A branch that cannot be reached. */
#define dd_unreachable() dd_assert_failed("unreachable", __FILE__, __LINE__, __func__)

/* The struct that embeds `member` at `ptr`. */
#define dd_container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define DD_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define DD_MUST_CHECK __attribute__((warn_unused_result))
#define DD_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
