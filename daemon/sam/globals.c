/* The Globals of a SAM template; see sam_priv.h.
 *
 * Maps merge, lists follow one another, and of anything else, functions among it, what the
 * resource says itself holds (SAM's specification, "Globals": "Overridable", "Additive").
 * Aliases may lie in each other deeper than the text, so depth is bounded here too. */
#include "sam/sam_priv.h"

static const struct dd_node *merge(struct dd_template *template, const struct dd_node *global,
                                   const struct dd_node *local, int depth);

static const struct dd_node *concatenate(struct dd_template *template,
                                         const struct dd_node *global,
                                         const struct dd_node *local)
{
    struct dd_node *list = dd_sam_alloc(&template->reading->arena, sizeof *list);

    if (!list)
        return local;
    *list = *local;
    list->pairs = dd_sam_alloc(&template->reading->arena,
                               (global->len + local->len) * sizeof *list->pairs);
    list->len = 0;
    for (size_t i = 0; list->pairs && i < global->len; i++)
        list->pairs[list->len++] = global->pairs[i];
    for (size_t i = 0; list->pairs && i < local->len; i++)
        list->pairs[list->len++] = local->pairs[i];
    return list;
}

static const struct dd_node *merge_maps(struct dd_template *template,
                                        const struct dd_node *global,
                                        const struct dd_node *local, int depth)
{
    struct dd_node *map = dd_sam_alloc(&template->reading->arena, sizeof *map);

    if (!map)
        return local;
    *map = *local;
    map->pairs = dd_sam_alloc(&template->reading->arena,
                              (global->len + local->len) * sizeof *map->pairs);
    map->len = 0;
    /* Of two of a name, the last holds. */
    for (size_t i = 0; map->pairs && i < global->len; i++)
        map->pairs[map->len++] = global->pairs[i];
    for (size_t i = 0; map->pairs && i < local->len; i++) {
        const char *key = local->pairs[i].key;

        map->pairs[map->len++] = (struct dd_pair){
            key, merge(template, dd_node_get(global, key), local->pairs[i].value, depth + 1)};
    }
    return map;
}

static const struct dd_node *merge(struct dd_template *template, const struct dd_node *global,
                                   const struct dd_node *local, int depth)
{
    if (!global || !local || global->kind != local->kind || dd_node_is_function(global) ||
        dd_node_is_function(local))
        return local ? local : global;
    if (++template->steps > DD_TEMPLATE_STEPS_MAX || depth > DD_TEMPLATE_DEPTH_MAX)
        return local;
    switch (local->kind) {
    case DD_NODE_TEXT:
        return local;
    case DD_NODE_LIST:
        return concatenate(template, global, local);
    case DD_NODE_MAP:
        return merge_maps(template, global, local, depth);
    }
    dd_unreachable();
}

const struct dd_node *dd_sam_merge(struct dd_template *template, const struct dd_node *own)
{
    return merge(template, template->globals, own, 0);
}
