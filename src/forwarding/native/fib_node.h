/* fib_node.h - one trie node: its two sets and where their members lie (fib.h). */
#ifndef LCPFWD_FIB_NODE_H
#define LCPFWD_FIB_NODE_H

#include "fib.h"

#define FIB_DEPTH 16u /* nodes on the longest path: octets of an IPv6 address */

static inline const struct fib_node *node_at(const struct region *r, uint32_t slot) {
  return region_at(r, FIB_REF(slot));
}

static inline size_t node_bytes(unsigned nchildren, unsigned nvalues) {
  return sizeof(struct fib_node) + sizeof(uint32_t) * (nchildren + nvalues);
}

static inline unsigned table_octets(const struct table_entry *t) {
  return t->af == LCPFWD_AF_INET6 ? 16 : 4;
}

static inline size_t leaf_bytes(unsigned octets) {
  return offsetof(struct fib_leaf, addr) + octets;
}

static inline int bit_test(const uint64_t *set, unsigned i) {
  return set[i >> 6] >> (i & 63) & 1;
}

static inline unsigned popcount(uint64_t v) {
  return (unsigned)__builtin_popcountll(v);
}

/* Place of member i of the prefix set among the values. */
static inline unsigned prefix_rank(const struct fib_node *n, unsigned i) {
  unsigned c = popcount(n->prefixes[i >> 6] & ((1ull << (i & 63)) - 1));
  for (unsigned k = 0; k < i >> 6; k++)
    c += popcount(n->prefixes[k]);
  return c;
}

static inline unsigned child_rank(const struct fib_node *n, unsigned octet) {
  return n->rank[octet >> 6] + popcount(n->children[octet >> 6] & ((1ull << (octet & 63)) - 1));
}

/* Tree index of the first len (0..7) bits of octet. */
static inline unsigned tree_index(unsigned octet, unsigned len) {
  return 1u << len | octet >> (8 - len);
}

/* Index of prefix p in a node at depth d; only when p->plen < 8 (d + 1). At d = 16 there is no node. */
static inline unsigned prefix_index(const struct fib_prefix *p, unsigned d) {
  return tree_index(p->addr[d], p->plen - 8 * d);
}

#endif
