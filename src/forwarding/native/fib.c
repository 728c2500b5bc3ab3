/* fib.c - changing the trie (fib.h). Attach and clearing are in fib_recover.c.
 *
 * Each change builds what is new aside, stores one word, then retires what became unreachable. Blocks
 * built for a change that fails are freed at once: nobody has seen them.
 */
#include "fib.h"

#include <errno.h>
#include <string.h>

#include "fib_node.h"
#include "writer.h"

/* Blocks of one change, until it is published. */
struct build {
  struct writer *w;
  unsigned octets, n;
  struct {
    uint32_t block;
    size_t bytes;
  } made[FIB_DEPTH + 4];
};

/* One prefix on its way into a node. leaf: its slot so far, 0 if it has none. */
struct item {
  struct fib_prefix prefix;
  uint32_t value;
  uint32_t leaf;
  int kept; /* the leaf's block is used again */
};

static uint32_t build_alloc(struct build *b, size_t bytes) {
  uint32_t block = blocks_alloc(&b->w->blocks, bytes);
  if (block) {
    b->made[b->n].block = block;
    b->made[b->n++].bytes = bytes;
  }
  return block;
}

static int build_abort(struct build *b) {
  while (b->n--)
    blocks_free(&b->w->blocks, b->made[b->n].block, b->made[b->n].bytes);
  return -ENOSPC;
}

static void set_ranks(struct fib_node *n) {
  n->rank[0] = 0;
  for (unsigned k = 1; k < 4; k++)
    n->rank[k] = (uint8_t)(n->rank[k - 1] + popcount(n->children[k - 1]));
}

/* Place of an item in slot[]. */
static unsigned item_place(const struct fib_node *n, int child, unsigned i) {
  return child ? child_rank(n, i) : n->nchildren + prefix_rank(n, i);
}

/* out := src with one item more; out has room for it. */
static void node_add(struct fib_node *out, const struct fib_node *src, int child, unsigned i, uint32_t word) {
  unsigned all = (unsigned)src->nchildren + src->nvalues, at = item_place(src, child, i);
  memcpy(out, src, sizeof *src);
  memcpy(out->slot, src->slot, at * sizeof word);
  out->slot[at] = word;
  memcpy(out->slot + at + 1, src->slot + at, (all - at) * sizeof word);
  uint64_t *set = child ? out->children : out->prefixes;
  set[i >> 6] |= 1ull << (i & 63);
  if (child)
    out->nchildren++;
  else
    out->nvalues++;
  set_ranks(out);
}

static uint32_t node_with(struct build *b, const struct fib_node *src, int child, unsigned i, uint32_t word) {
  uint32_t block = build_alloc(b, node_bytes(src->nchildren, src->nvalues) + sizeof word);
  if (block)
    node_add(region_at(b->w->region, block), src, child, i, word);
  return block;
}

static uint32_t node_without(struct build *b, const struct fib_node *src, int child, unsigned i) {
  uint32_t block = build_alloc(b, node_bytes(src->nchildren, src->nvalues) - sizeof(uint32_t));
  if (!block)
    return 0;
  struct fib_node *out = region_at(b->w->region, block);
  unsigned all = (unsigned)src->nchildren + src->nvalues, at = item_place(src, child, i);
  memcpy(out, src, node_bytes(at, 0));
  memcpy(out->slot + at, src->slot + at + 1, (all - at - 1) * sizeof(uint32_t));
  uint64_t *set = child ? out->children : out->prefixes;
  set[i >> 6] &= ~(1ull << (i & 63));
  if (child)
    out->nchildren--;
  else
    out->nvalues--;
  set_ranks(out);
  return block;
}

/* What stands for item as a child of a node at depth d: a fringe or a leaf. 0: no memory. */
static uint32_t item_slot(struct build *b, struct item *it, unsigned d) {
  if (it->prefix.plen == 8 * (d + 1))
    return FIB_SLOT(FIB_FRINGE, it->value);
  if (it->leaf) {
    it->kept = 1;
    return it->leaf;
  }
  uint32_t block = build_alloc(b, leaf_bytes(b->octets));
  if (!block)
    return 0;
  struct fib_leaf *leaf = region_at(b->w->region, block);
  leaf->value = it->value;
  leaf->plen = it->prefix.plen;
  memset(leaf->pad, 0, sizeof leaf->pad);
  memcpy(leaf->addr, it->prefix.addr, b->octets);
  return FIB_SLOT(FIB_LEAF, block);
}

/* Add item to src, a node at depth d. Returns the new node's block, 0: no memory. */
static uint32_t node_with_item(struct build *b, const struct fib_node *src, struct item *it, unsigned d) {
  if (it->prefix.plen < 8 * (d + 1))
    return node_with(b, src, 0, prefix_index(&it->prefix, d), it->value);
  uint32_t slot = item_slot(b, it, d);
  return slot ? node_with(b, src, 1, it->prefix.addr[d], slot) : 0;
}

static const struct fib_node empty_node;

/* A node at depth d that holds two different prefixes, with the chain below that separates them. */
static uint32_t node_of_two(struct build *b, struct item *x, struct item *y, unsigned d) {
  unsigned end = 8 * (d + 1);
  if (x->prefix.plen >= end && y->prefix.plen >= end && x->prefix.addr[d] == y->prefix.addr[d]) {
    uint32_t below = node_of_two(b, x, y, d + 1);
    return below ? node_with(b, &empty_node, 1, x->prefix.addr[d], FIB_SLOT(FIB_NODE, below)) : 0;
  }
  union {
    struct fib_node node;
    uint8_t room[sizeof(struct fib_node) + sizeof(uint32_t)];
  } one; /* x alone, on the stack: node_with copies it */
  if (x->prefix.plen < end) {
    node_add(&one.node, &empty_node, 0, prefix_index(&x->prefix, d), x->value);
  } else {
    uint32_t slot = item_slot(b, x, d);
    if (!slot)
      return 0;
    node_add(&one.node, &empty_node, 1, x->prefix.addr[d], slot);
  }
  return node_with_item(b, &one.node, y, d);
}

static void retire_node(struct writer *w, const struct fib_node *n, uint32_t block) {
  blocks_retire(&w->blocks, block, node_bytes(n->nchildren, n->nvalues));
}

static int inserted(struct writer *w, struct table_entry *t, uint32_t value, uint32_t old) {
  w->routes_of[value]++;
  if (old)
    w->routes_of[old]--;
  else
    STORE(&t->routes, t->routes + 1);
  return 0;
}

int fib_insert(struct writer *w, uint32_t table, const struct fib_prefix *p, uint32_t value, uint32_t *old) {
  struct table_entry *t = &w->region->head->tables[table];
  struct build b = {.w = w, .octets = table_octets(t)};
  struct item it = {.prefix = *p, .value = value};
  uint32_t *at = &t->root, made;
  *old = 0;
  if (*at == 0) {
    made = node_with_item(&b, &empty_node, &it, 0);
    if (!made)
      return build_abort(&b);
    PUBLISH(at, FIB_SLOT(FIB_NODE, made));
    return inserted(w, t, value, 0);
  }
  for (unsigned d = 0;; d++) {
    struct fib_node *n = region_at(w->region, FIB_REF(*at));
    int child = p->plen >= 8 * (d + 1);
    unsigned i = child ? p->addr[d] : prefix_index(p, d);
    if (!bit_test(child ? n->children : n->prefixes, i)) {
      made = node_with_item(&b, n, &it, d);
      if (!made)
        return build_abort(&b);
      uint32_t block = FIB_REF(*at);
      PUBLISH(at, FIB_SLOT(FIB_NODE, made));
      retire_node(w, n, block);
      return inserted(w, t, value, 0);
    }
    uint32_t *slot = &n->slot[item_place(n, child, i)];
    if (!child) {
      *old = *slot;
      PUBLISH(slot, value);
      return inserted(w, t, value, *old);
    }
    if (FIB_TAG(*slot) == FIB_NODE) {
      at = slot;
      continue;
    }
    struct item there = {.prefix = *p}; /* what the slot holds: a fringe of p's own path, or a leaf */
    struct fib_leaf *leaf = NULL;
    if (FIB_TAG(*slot) == FIB_FRINGE) {
      memset(there.prefix.addr + d + 1, 0, sizeof there.prefix.addr - d - 1);
      there.prefix.plen = (uint8_t)(8 * (d + 1));
      there.value = FIB_REF(*slot);
    } else {
      leaf = region_at(w->region, FIB_REF(*slot));
      memcpy(there.prefix.addr, leaf->addr, b.octets);
      there.prefix.plen = leaf->plen;
      there.value = leaf->value;
      there.leaf = *slot;
    }
    if (there.prefix.plen == p->plen && memcmp(there.prefix.addr, p->addr, b.octets) == 0) {
      *old = there.value;
      if (leaf)
        PUBLISH(&leaf->value, value);
      else
        PUBLISH(slot, FIB_SLOT(FIB_FRINGE, value));
      return inserted(w, t, value, *old);
    }
    made = node_of_two(&b, &there, &it, d + 1);
    if (!made)
      return build_abort(&b);
    PUBLISH(slot, FIB_SLOT(FIB_NODE, made));
    if (there.leaf && !there.kept)
      blocks_retire(&w->blocks, FIB_REF(there.leaf), leaf_bytes(b.octets));
    return inserted(w, t, value, 0);
  }
}

/* The one item that n, a node at depth d whose path is path, keeps when item (child, i) goes. */
static struct item last_item(const struct region *r, const struct fib_node *n, int child, unsigned i, unsigned d,
                             const uint8_t *path, unsigned octets) {
  struct item it = {0};
  unsigned gone = item_place(n, child, i), at = gone == 0;
  uint32_t word = n->slot[at];
  memcpy(it.prefix.addr, path, d);
  if (at >= n->nchildren) { /* a prefix of the node itself */
    unsigned k = 1;
    while (!bit_test(n->prefixes, k) || (!child && k == i))
      k++;
    unsigned len = 31u - (unsigned)__builtin_clz(k);
    if (len)
      it.prefix.addr[d] = (uint8_t)(k << (8 - len));
    it.prefix.plen = (uint8_t)(8 * d + len);
    it.value = word;
  } else if (FIB_TAG(word) == FIB_FRINGE) {
    unsigned k = 0;
    while (!bit_test(n->children, k) || (child && k == i))
      k++;
    it.prefix.addr[d] = (uint8_t)k;
    it.prefix.plen = (uint8_t)(8 * (d + 1));
    it.value = FIB_REF(word);
  } else {
    const struct fib_leaf *leaf = region_at(r, FIB_REF(word));
    memcpy(it.prefix.addr, leaf->addr, octets);
    it.prefix.plen = leaf->plen;
    it.value = leaf->value;
    it.leaf = word;
  }
  return it;
}

static int delete_item(struct build *b, uint32_t **at, unsigned d, int child, unsigned i, const uint8_t *path) {
  struct writer *w = b->w;
  const struct fib_node *n = node_at(w->region, *at[d]);
  unsigned items = (unsigned)n->nchildren + n->nvalues;
  uint32_t gone = n->slot[item_place(n, child, i)];
  unsigned kept = item_place(n, child, i) == 0; /* place of the other one, of two */
  int kept_is_node = kept < n->nchildren && FIB_TAG(n->slot[kept]) == FIB_NODE;
  unsigned top = d;
  if (d > 0 && items == 2 && !kept_is_node) {
    struct item it = last_item(w->region, n, child, i, d, path, b->octets);
    for (top = d - 1; top > 0; top--) { /* nodes that only led here go too */
      const struct fib_node *up = node_at(w->region, *at[top]);
      if (up->nchildren + up->nvalues > 1)
        break;
    }
    uint32_t slot = item_slot(b, &it, top);
    if (!slot)
      return build_abort(b);
    uint32_t blocks[FIB_DEPTH];
    for (unsigned k = top + 1; k <= d; k++)
      blocks[k] = FIB_REF(*at[k]);
    PUBLISH(at[top + 1], slot);
    for (unsigned k = top + 1; k <= d; k++)
      retire_node(w, region_at(w->region, blocks[k]), blocks[k]);
    if (it.leaf && !it.kept)
      blocks_retire(&w->blocks, FIB_REF(it.leaf), leaf_bytes(b->octets));
  } else {
    uint32_t made = 0, block = FIB_REF(*at[d]);
    if (items > 1 && !(made = node_without(b, n, child, i)))
      return build_abort(b);
    PUBLISH(at[d], made ? FIB_SLOT(FIB_NODE, made) : 0);
    retire_node(w, n, block);
  }
  if (child && FIB_TAG(gone) == FIB_LEAF)
    blocks_retire(&w->blocks, FIB_REF(gone), leaf_bytes(b->octets));
  return 0;
}

int fib_delete(struct writer *w, uint32_t table, const struct fib_prefix *p, uint32_t *old) {
  struct table_entry *t = &w->region->head->tables[table];
  struct build b = {.w = w, .octets = table_octets(t)};
  uint32_t *at[FIB_DEPTH] = {&t->root};
  *old = 0;
  if (t->root == 0)
    return 0;
  for (unsigned d = 0;; d++) {
    struct fib_node *n = region_at(w->region, FIB_REF(*at[d]));
    int child = p->plen >= 8 * (d + 1);
    unsigned i = child ? p->addr[d] : prefix_index(p, d);
    if (!bit_test(child ? n->children : n->prefixes, i))
      return 0;
    uint32_t *slot = &n->slot[item_place(n, child, i)];
    uint32_t value = *slot;
    if (child && FIB_TAG(*slot) == FIB_NODE) {
      at[d + 1] = slot;
      continue;
    }
    if (child && FIB_TAG(*slot) == FIB_FRINGE) {
      if (p->plen != 8 * (d + 1))
        return 0;
      value = FIB_REF(*slot);
    } else if (child) {
      const struct fib_leaf *leaf = region_at(w->region, FIB_REF(*slot));
      if (leaf->plen != p->plen || memcmp(leaf->addr, p->addr, b.octets) != 0)
        return 0;
      value = leaf->value;
    }
    w->blocks.urgent = 1;
    int err = delete_item(&b, at, d, child, i, p->addr);
    w->blocks.urgent = 0;
    if (err)
      return err;
    *old = value;
    w->routes_of[value]--;
    STORE(&t->routes, t->routes - 1);
    return 0;
  }
}
