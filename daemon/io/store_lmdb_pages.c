/* LMDB's file format (data version 1, 64-bit), as far as needed to see that a
 * file is whole. LMDB itself trusts what it maps: a file cut short is a SIGBUS
 * later, a changed page a crash or lost keys.
 *
 * Page 0 and 1 hold the meta pages; the one with the higher transaction id
 * counts. It names the roots of two trees: the free list and the main one, whose
 * leaves hold the roots of the named tables.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "io/store_lmdb_priv.h"

_Static_assert(sizeof(size_t) == 8, "the layout below is that of 64-bit systems");

#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define PAGE_HEADER 16u
#define PAGE_BRANCH 0x01u
#define PAGE_LEAF 0x02u
#define PAGE_OVERFLOW 0x04u
#define NODE_HEADER 8u
#define NODE_BIG 0x01u
#define NODE_TABLE 0x02u
#define FREE_TREE_FLAGS 0x08u /* integers as keys */
#define NO_PAGE UINT64_MAX
#define DEPTH_MAX 32u /* LMDB's CURSOR_STACK */
#define PAGE_SIZE_MAX 65536u

/* Offsets within a meta page, and within the description of a tree. */
#define META_AT_MAGIC 16u
#define META_AT_VERSION 20u
#define META_AT_FREE 40u
#define META_AT_MAIN 88u
#define META_AT_LAST 136u
#define META_AT_TXN 144u
#define META_BYTES 152u
#define TREE_AT_FLAGS 4u
#define TREE_AT_DEPTH 6u
#define TREE_AT_ENTRIES 32u
#define TREE_AT_ROOT 40u
#define TREE_BYTES 48u

/* What a tree holds: the free list (keys are native integers), the roots of the
 * tables, or one table. */
enum tree_kind { TREE_FREE, TREE_MAIN, TREE_TABLE };

struct tree {
    enum tree_kind kind;
    unsigned depth;   /* levels; the last are leaves */
    uint64_t entries; /* seen */
};

struct walk {
    int fd;
    uint32_t page_size;
    uint64_t pages; /* whole pages of the file */
    uint64_t last;  /* highest page number in use */
    uint64_t visited;
    struct dd_error *error;
};

static uint16_t read_u16(const uint8_t *at)
{
    uint16_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint32_t read_u32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t read_u64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static int damaged(struct walk *walk, uint64_t page, const char *what)
{
    return dd_fail(walk->error, DD_STORE_CORRUPT,
                   "page %llu %s; restore the directory from a backup",
                   (unsigned long long)page, what);
}

static int cut_short(struct walk *walk)
{
    return dd_fail(walk->error, DD_STORE_CORRUPT,
                   "cut short: it has %llu pages of %u bytes and uses %llu; restore the "
                   "directory from a backup",
                   (unsigned long long)walk->pages, walk->page_size,
                   (unsigned long long)walk->last + 1);
}

static int walk_read(struct walk *walk, uint64_t page, uint8_t *out)
{
    if (page > walk->last)
        return damaged(walk, page, "is referred to but lies beyond the last one");
    if (page >= walk->pages)
        return cut_short(walk);
    if (pread(walk->fd, out, walk->page_size, (off_t)(page * walk->page_size)) !=
        (ssize_t)walk->page_size)
        return dd_fail(walk->error, DD_SYSTEM, "read page %llu: %s", (unsigned long long)page,
                       strerror(errno));
    if (++walk->visited > walk->last + 1)
        return damaged(walk, page, "is referred to more than once");
    return 0;
}

static int walk_overflow(struct walk *walk, uint64_t page, uint32_t bytes)
{
    uint8_t header[PAGE_HEADER];
    uint64_t count;

    if (page > walk->last)
        return damaged(walk, page, "is referred to but lies beyond the last one");
    if (page >= walk->pages)
        return cut_short(walk);
    if (pread(walk->fd, header, sizeof(header), (off_t)(page * walk->page_size)) !=
        (ssize_t)sizeof(header))
        return dd_fail(walk->error, DD_SYSTEM, "read page %llu: %s", (unsigned long long)page,
                       strerror(errno));
    count = read_u32(header + 12);
    if (read_u64(header) != page || !(read_u16(header + 10) & PAGE_OVERFLOW) ||
        count * walk->page_size < (uint64_t)bytes + PAGE_HEADER ||
        page + count - 1 > walk->last)
        return damaged(walk, page, "does not hold the long value it should");
    return page + count > walk->pages ? cut_short(walk) : 0;
}

/* Goes through the tree that `description` tells of. */
static int walk_tree(struct walk *walk, const uint8_t *description, enum tree_kind kind);

/* One node of a leaf: a value on other pages, a table, or bytes in place. */
static int walk_leaf_node(struct walk *walk, struct tree *tree, uint64_t page,
                          const uint8_t *node, size_t room)
{
    uint32_t bytes = read_u16(node) | (uint32_t)read_u16(node + 2) << 16;
    uint16_t flags = read_u16(node + 4);
    size_t head = NODE_HEADER + (size_t)read_u16(node + 6);

    tree->entries++;
    if (flags & NODE_BIG)
        return head + 8 > room ? damaged(walk, page, "has a node that leaves it")
                               : walk_overflow(walk, read_u64(node + head), bytes);
    if (head + bytes > room)
        return damaged(walk, page, "has a node that leaves it");
    if (!(flags & NODE_TABLE))
        return flags == 0 ? 0 : damaged(walk, page, "has a node of an unknown kind");
    if (tree->kind != TREE_MAIN || bytes != TREE_BYTES)
        return damaged(walk, page, "has a table where none can be");
    return walk_tree(walk, node + head, TREE_TABLE);
}

/* Keys of a page in order: the bytes, shorter first. */
static bool keys_ordered(const uint8_t *a, const uint8_t *b)
{
    uint16_t a_len = read_u16(a + 6), b_len = read_u16(b + 6);
    int diff = memcmp(a + NODE_HEADER, b + NODE_HEADER, a_len < b_len ? a_len : b_len);

    return diff < 0 || (diff == 0 && a_len < b_len);
}

static int walk_page(struct walk *walk, struct tree *tree, uint64_t page, unsigned level);

static int walk_nodes(struct walk *walk, struct tree *tree, uint64_t page, const uint8_t *data,
                      unsigned level)
{
    bool branch = level < tree->depth;
    uint16_t lower = read_u16(data + 12);
    const uint8_t *before = NULL;
    int rc = 0;

    if (lower < PAGE_HEADER + (branch ? 4u : 2u) || lower > walk->page_size)
        return damaged(walk, page, "has a broken header");
    for (size_t i = 0; i < (size_t)(lower - PAGE_HEADER) / 2 && rc == 0; i++) {
        size_t at = read_u16(data + PAGE_HEADER + 2 * i);
        const uint8_t *node = data + at;

        if (at < lower || at + NODE_HEADER > walk->page_size ||
            at + NODE_HEADER + read_u16(node + 6) > walk->page_size)
            return damaged(walk, page, "has a node that leaves it");
        /* The first key of a branch page is not used and may be empty. */
        if (tree->kind != TREE_FREE && before && !(branch && i == 1) &&
            !keys_ordered(before, node))
            return damaged(walk, page, "has its keys out of order");
        before = node;
        rc = branch ? walk_page(walk, tree,
                                read_u16(node) | (uint64_t)read_u16(node + 2) << 16 |
                                    (uint64_t)read_u16(node + 4) << 32,
                                level + 1)
                    : walk_leaf_node(walk, tree, page, node, walk->page_size - at);
    }
    return rc;
}

static int walk_page(struct walk *walk, struct tree *tree, uint64_t page, unsigned level)
{
    uint16_t flags = level < tree->depth ? PAGE_BRANCH : PAGE_LEAF;
    uint8_t *data = dd_alloc(walk->page_size);
    int rc = walk_read(walk, page, data);

    if (rc == 0 && (read_u64(data) != page || read_u16(data + 10) != flags))
        rc = damaged(walk, page, "is not the page that it should be");
    if (rc == 0)
        rc = walk_nodes(walk, tree, page, data, level);
    dd_free(data);
    return rc;
}

static int walk_tree(struct walk *walk, const uint8_t *description, enum tree_kind kind)
{
    struct tree tree = {.kind = kind, .depth = read_u16(description + TREE_AT_DEPTH)};
    uint64_t root = read_u64(description + TREE_AT_ROOT);
    int rc = 0;

    if (read_u16(description + TREE_AT_FLAGS) != (kind == TREE_FREE ? FREE_TREE_FLAGS : 0) ||
        tree.depth > DEPTH_MAX || (root == NO_PAGE) != (tree.depth == 0))
        return damaged(walk, root, "is the root of a damaged tree");
    if (root != NO_PAGE)
        rc = walk_page(walk, &tree, root, 1);
    if (rc == 0 && tree.entries != read_u64(description + TREE_AT_ENTRIES))
        rc = damaged(walk, root, "is the root of a tree that has lost entries");
    return rc;
}

/* Reads one meta page; false when it is none. */
static bool meta_read(int fd, uint64_t at, uint8_t out[META_BYTES])
{
    return pread(fd, out, META_BYTES, (off_t)at) == (ssize_t)META_BYTES &&
           read_u32(out + META_AT_MAGIC) == META_MAGIC;
}

/* Commits are written to the two in turn, even ones to the first. A changed number
 * would bring back the commit before the last. */
static bool metas_agree(uint64_t first, uint64_t second)
{
    if (first == 0 && second == 0)
        return true;
    return first % 2 == 0 && (first + 1 == second || second + 1 == first);
}

static int meta_choose(struct walk *walk, uint8_t out_meta[META_BYTES])
{
    uint8_t other[META_BYTES];
    bool has_first = meta_read(walk->fd, 0, out_meta);

    if (!has_first)
        return dd_fail(
            walk->error, DD_STORE_CORRUPT,
            "not a store of durabled; name another directory with --data, or restore "
            "this one from a backup");
    if (read_u32(out_meta + META_AT_VERSION) != META_VERSION)
        return dd_fail(walk->error, DD_STORE_VERSION,
                       "written in LMDB's format %u, this durabled reads %u; use the durabled "
                       "that wrote it",
                       read_u32(out_meta + META_AT_VERSION), META_VERSION);
    walk->page_size = read_u32(out_meta + META_AT_FREE);
    if (walk->page_size < 512 || walk->page_size > PAGE_SIZE_MAX ||
        (walk->page_size & (walk->page_size - 1)) != 0)
        return damaged(walk, 0, "names an impossible page size");
    if (!meta_read(walk->fd, walk->page_size, other))
        return damaged(walk, 1, "is not the second meta page");
    if (!metas_agree(read_u64(out_meta + META_AT_TXN), read_u64(other + META_AT_TXN)))
        return damaged(walk, 0, "and the second meta page are not of consecutive commits");
    if (read_u64(other + META_AT_TXN) > read_u64(out_meta + META_AT_TXN))
        memcpy(out_meta, other, META_BYTES);
    return 0;
}

static int meta_load(struct walk *walk, uint64_t size, uint8_t out_meta[META_BYTES])
{
    int rc = meta_choose(walk, out_meta);

    if (rc != 0)
        return rc;
    walk->pages = size / walk->page_size;
    walk->last = read_u64(out_meta + META_AT_LAST);
    return 0;
}

static int trees_check(struct walk *walk, const uint8_t meta[META_BYTES])
{
    int rc = walk_tree(walk, meta + META_AT_FREE, TREE_FREE);

    return rc != 0 ? rc : walk_tree(walk, meta + META_AT_MAIN, TREE_MAIN);
}

int store_pages_check(int fd, uint64_t size, bool all, struct dd_error *error)
{
    struct walk walk = {.fd = fd, .error = error};
    uint8_t meta[META_BYTES];
    int rc = meta_load(&walk, size, meta);

    if (rc != 0)
        return rc;
    /* A page that was taken and let go in the last transaction is counted but
     * was never written, so a short file is cut only if a tree needs what is
     * missing. */
    if (!all && walk.last < walk.pages)
        return 0;
    return trees_check(&walk, meta);
}
