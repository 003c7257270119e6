/* Intrusive doubly linked list. A node is in one list at a time; a node that is
 * in none points to itself. */
#pragma once

#include <stdbool.h>

#include "base/check.h"

struct dd_list {
    struct dd_list *next, *prev;
};

static inline void dd_list_init(struct dd_list *node)
{
    node->next = node->prev = node;
}

static inline bool dd_list_empty(const struct dd_list *head)
{
    return head->next == head;
}

/* Inserts `node` at the end of the list at `head`. */
static inline void dd_list_push(struct dd_list *head, struct dd_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Takes `node` out of whatever list holds it; harmless in none. */
static inline void dd_list_remove(struct dd_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    dd_list_init(node);
}

/* Takes the first node out, or NULL. */
static inline struct dd_list *dd_list_pop(struct dd_list *head)
{
    struct dd_list *node = head->next;

    if (node == head)
        return NULL;
    dd_list_remove(node);
    return node;
}

/* Iterates over nodes; the body may remove `node`. */
/* NOLINTBEGIN(bugprone-macro-parentheses): `node` and `tmp` are names to declare */
#define dd_list_each(node, tmp, head)                                            \
    for (struct dd_list *node = (head)->next, *tmp = node->next; node != (head); \
         node = tmp, tmp = node->next)
/* NOLINTEND(bugprone-macro-parentheses) */
