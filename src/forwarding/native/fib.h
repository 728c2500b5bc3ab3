/* fib.h - the routes of a table: a multibit trie, stride 8, shared by IPv4, IPv6 and labels.
 *
 * A node at depth d (d octets above it) holds the prefixes of length 8d..8d+7 below its path as a set
 * over the complete binary tree index (1 << len | bits), and its children by octet; both sets are
 * bitmaps with packed arrays behind them. A child is a node, a fringe (the prefix of exactly 8(d+1)
 * bits with nothing longer below: only a value) or a leaf (a single longer prefix: path compression).
 * Nothing is pushed down: an insert or delete copies one node, or builds nodes aside, and publishes by
 * one store into one slot; replacing a value is one store. Readers hold no lock and see the trie before
 * or after. The only nodes with a single item are roots and those whose one item is a node.
 */
#ifndef LCPFWD_FIB_H
#define LCPFWD_FIB_H

#include "region.h"

struct writer;

/* Slot: low two bits say what, the rest is a block or (fringe) a path list id. 0: nothing. */
enum fib_tag { FIB_NODE = 1, FIB_LEAF = 2, FIB_FRINGE = 3 };
#define FIB_TAG(slot) ((slot)&3u)
#define FIB_REF(slot) ((slot) >> 2)
#define FIB_SLOT(tag, ref) ((uint32_t)(ref) << 2 | (uint32_t)(tag))

struct fib_node {
  uint8_t rank[4]; /* children before each word of the bitmap */
  uint16_t nchildren;
  uint16_t nvalues;
  uint64_t children[4];
  uint64_t prefixes[4];
  uint32_t slot[]; /* nchildren slots, then nvalues path list ids */
};

struct fib_leaf {
  uint32_t value;
  uint8_t plen;
  uint8_t pad[3];
  uint8_t addr[16]; /* IPv4, labels: only 4 are allocated */
};

struct fib_prefix {
  uint8_t addr[16];
  uint8_t plen;
};

/* --- readers ----------------------------------------------------------------------------------- */

/* addr: 4 or 16 bytes, network order; for labels a label stack entry. result is all 0 when nothing matches in any table. */
void fib_lookup(const struct region *r, const struct lcpfwd_lookup_spec *spec, unsigned af,
                const uint8_t *addr, struct lcpfwd_lookup_result *out);
/* One table. Returns the path list (0: none) and its prefix length. */
uint32_t fib_lookup_table(const struct region *r, uint32_t table, unsigned af, const uint8_t *addr,
                          uint32_t *plen);

/* --- the writer -------------------------------------------------------------------------------- */

/* Insert or replace; *old is the former value or 0. 0, or -ENOSPC with nothing changed. */
int fib_insert(struct writer *w, uint32_t table, const struct fib_prefix *p, uint32_t value, uint32_t *old);
/* *old is what it was, 0 when absent. 0, or -ENOSPC with nothing changed. */
int fib_delete(struct writer *w, uint32_t table, const struct fib_prefix *p, uint32_t *old);
/* Exact match; 0: absent. */
uint32_t fib_get(const struct region *r, uint32_t table, const struct fib_prefix *p);

/* In order of address, then length, everything behind *after (NULL: from the start), until emit
 * returns non-zero. Readers' code: does not change the table. */
typedef int fib_emit(void *ctx, const struct fib_prefix *p, uint32_t value);
int fib_walk(const struct region *r, uint32_t table, const struct fib_prefix *after, fib_emit *emit, void *ctx);

/* Mark all blocks of the table as used and count values into w->routes_of; counts routes again.
 * -EUCLEAN when the trie is not well formed. */
int fib_recover(struct writer *w, uint32_t table);
/* Unlink everything and retire it; the table is empty afterwards. */
void fib_clear(struct writer *w, uint32_t table);

#endif
