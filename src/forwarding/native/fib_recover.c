/* fib_recover.c - whole tries: marking one at attach, and taking one down (fib.h).
 *
 * Recovery believes nothing: every reference is checked to lie in carved memory before it is read and
 * every node to say the same in its counts as in its sets, so that damage is -EUCLEAN and not a crash.
 */
#include <errno.h>

#include "fib.h"
#include "fib_node.h"
#include "pathlist.h"
#include "writer.h"

struct recovery {
  struct writer *w;
  unsigned octets;
  uint32_t routes;
};

static int recover_value(struct recovery *c, uint32_t value) {
  if (!pathlist_valid(c->w->region, value))
    return -EUCLEAN;
  c->w->routes_of[value]++;
  c->routes++;
  return 0;
}

static int recover_leaf(struct recovery *c, uint32_t slot, unsigned d) {
  size_t bytes = leaf_bytes(c->octets);
  if (!blocks_contain(&c->w->blocks, FIB_REF(slot), bytes))
    return -EUCLEAN;
  const struct fib_leaf *leaf = region_at(c->w->region, FIB_REF(slot));
  if (leaf->plen <= 8 * (d + 1) || leaf->plen > 8 * c->octets)
    return -EUCLEAN;
  int err = blocks_mark(&c->w->blocks, FIB_REF(slot), bytes);
  return err ? err : recover_value(c, leaf->value);
}

static int node_is_sound(const struct fib_node *n) {
  unsigned children = 0, values = 0;
  for (unsigned k = 0; k < 4; k++) {
    if (n->rank[k] != children)
      return 0;
    children += popcount(n->children[k]);
    values += popcount(n->prefixes[k]);
  }
  return children == n->nchildren && values == n->nvalues && !(n->prefixes[0] & 1) && children + values > 0;
}

static int recover_node(struct recovery *c, uint32_t slot, unsigned d) {
  uint32_t block = FIB_REF(slot);
  if (FIB_TAG(slot) != FIB_NODE || d >= c->octets || !blocks_contain(&c->w->blocks, block, sizeof(struct fib_node)))
    return -EUCLEAN;
  const struct fib_node *n = region_at(c->w->region, block);
  size_t bytes = node_bytes(n->nchildren, n->nvalues);
  if (!blocks_contain(&c->w->blocks, block, bytes) || !node_is_sound(n))
    return -EUCLEAN;
  int err = blocks_mark(&c->w->blocks, block, bytes);
  for (unsigned k = 0; k < n->nchildren && !err; k++) {
    uint32_t s = n->slot[k];
    if (FIB_TAG(s) == FIB_FRINGE)
      err = recover_value(c, FIB_REF(s));
    else
      err = FIB_TAG(s) == FIB_LEAF ? recover_leaf(c, s, d) : recover_node(c, s, d + 1);
  }
  for (unsigned k = 0; k < n->nvalues && !err; k++)
    err = recover_value(c, n->slot[n->nchildren + k]);
  return err;
}

int fib_recover(struct writer *w, uint32_t table) {
  struct table_entry *t = &w->region->head->tables[table];
  struct recovery c = {.w = w, .octets = table_octets(t)};
  if (t->af != LCPFWD_AF_INET && t->af != LCPFWD_AF_INET6 && t->af != LCPFWD_AF_MPLS)
    return -EUCLEAN;
  int err = t->root ? recover_node(&c, t->root, 0) : 0;
  STORE(&t->routes, c.routes);
  return err;
}

static void clear_node(struct writer *w, uint32_t slot, unsigned octets) {
  const struct fib_node *n = node_at(w->region, slot);
  unsigned children = n->nchildren, values = n->nvalues;
  for (unsigned k = 0; k < children; k++) {
    uint32_t s = n->slot[k];
    if (FIB_TAG(s) == FIB_NODE) {
      clear_node(w, s, octets);
    } else if (FIB_TAG(s) == FIB_FRINGE) {
      w->routes_of[FIB_REF(s)]--;
    } else {
      const struct fib_leaf *leaf = region_at(w->region, FIB_REF(s));
      w->routes_of[leaf->value]--;
      blocks_retire(&w->blocks, FIB_REF(s), leaf_bytes(octets));
    }
  }
  for (unsigned k = 0; k < values; k++)
    w->routes_of[n->slot[children + k]]--;
  blocks_retire(&w->blocks, FIB_REF(slot), node_bytes(children, values));
}

void fib_clear(struct writer *w, uint32_t table) {
  struct table_entry *t = &w->region->head->tables[table];
  uint32_t root = t->root;
  if (root == 0)
    return;
  PUBLISH(&t->root, 0);
  STORE(&t->routes, 0);
  clear_node(w, root, table_octets(t));
}
