/* fib_lookup.c - the reading side of the trie (fib.h): longest match, exact match, ordered walk.
 *
 * Longest match goes down as far as the address leads, remembering the nodes, and looks for a value
 * from the bottom up: in a full table the answer is nearly always in the last node.
 * The sets of one node: tree indices 1..63 (lengths 0..5) are in word 0, 64..127 (6) in word 1, 128..255
 * (7) in words 2 and 3, so the ancestors of an octet are one mask and two single bits.
 */
#include "fib_node.h"

#include <endian.h>
#include <string.h>

/* Bits of word 0 that are ancestors-or-self, of length 5 and less, of an octet's first five bits. */
#define PATH(o) (1ull << 1 | 1ull << (2 | (o) >> 4) | 1ull << (4 | (o) >> 3) | 1ull << (8 | (o) >> 2) | 1ull << (16 | (o) >> 1) | 1ull << (32 | (o)))
#define PATH4(o) PATH(o), PATH((o) + 1), PATH((o) + 2), PATH((o) + 3)
static const uint64_t path_mask[32] = {PATH4(0), PATH4(4), PATH4(8), PATH4(12), PATH4(16), PATH4(20), PATH4(24), PATH4(28)};

/* Longest prefix of the node that covers octet; its tree index, 0: none. */
static inline unsigned node_match(const struct fib_node *n, unsigned octet) {
  unsigned i = 128 | octet >> 1;
  if (bit_test(n->prefixes, i))
    return i;
  i = 64 | octet >> 2;
  if (bit_test(n->prefixes, i))
    return i;
  uint64_t m = n->prefixes[0] & path_mask[octet >> 3];
  return m ? 63u - (unsigned)__builtin_clzll(m) : 0;
}

static inline uint64_t be64_at(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return be64toh(v);
}

static inline uint32_t be32_at(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return be32toh(v);
}

/* Do the first plen (> 0) bits agree? */
static inline int covers(unsigned octets, const uint8_t *a, const uint8_t *b, unsigned plen) {
  if (octets == 4)
    return (be32_at(a) ^ be32_at(b)) >> (32 - plen) == 0;
  if (plen <= 64)
    return (be64_at(a) ^ be64_at(b)) >> (64 - plen) == 0;
  return be64_at(a) == be64_at(b) && (plen == 64 || (be64_at(a + 8) ^ be64_at(b + 8)) >> (128 - plen) == 0);
}

static inline __attribute__((always_inline)) uint32_t trie_lookup(const struct region *r, uint32_t slot, unsigned octets, const uint8_t *addr,
                                   uint32_t *plen) {
  const struct fib_node *path[FIB_DEPTH];
  unsigned d = 0;
  *plen = 0;
  if (slot == 0)
    return 0;
  for (;;) {
    const struct fib_node *n = path[d] = node_at(r, slot);
    unsigned o = addr[d];
    if (!bit_test(n->children, o))
      break;
    slot = ACQUIRE(&n->slot[child_rank(n, o)]);
    if (FIB_TAG(slot) == FIB_NODE) {
      d++;
      continue;
    }
    if (FIB_TAG(slot) == FIB_FRINGE) {
      *plen = 8 * (d + 1);
      return FIB_REF(slot);
    }
    const struct fib_leaf *leaf = region_at(r, FIB_REF(slot));
    if (!covers(octets, addr, leaf->addr, leaf->plen))
      break;
    *plen = leaf->plen;
    return LOAD(&leaf->value);
  }
  for (;; d--) {
    const struct fib_node *n = path[d];
    unsigned i = node_match(n, addr[d]);
    if (i) {
      *plen = 8 * d + 31u - (unsigned)__builtin_clz(i);
      return LOAD(&n->slot[n->nchildren + prefix_rank(n, i)]);
    }
    if (d == 0)
      return 0;
  }
}

/* octets: of af, a constant where this is called, so that each width has a loop of its own. */
static inline __attribute__((always_inline)) uint32_t table_lookup(const struct region *r, uint32_t table, unsigned af, unsigned octets,
                                                                   const uint8_t *addr, uint32_t *plen) {
  *plen = 0;
  if (table >= LCPFWD_MAX_TABLES)
    return 0;
  const struct table_entry *t = &r->head->tables[table];
  /* A port may still name a table whose id was freed: another family must not be walked. Nor an absent one. */
  if (ACQUIRE(&t->af) != af)
    return 0;
  return trie_lookup(r, ACQUIRE(&t->root), octets, addr, plen);
}

uint32_t fib_lookup_table(const struct region *r, uint32_t table, unsigned af, const uint8_t *addr, uint32_t *plen) {
  return af == LCPFWD_AF_INET6 ? table_lookup(r, table, af, 16, addr, plen) : table_lookup(r, table, af, 4, addr, plen);
}

/* octets: as in table_lookup. */
static inline __attribute__((always_inline)) void lookup_each(const struct region *r, const struct lcpfwd_lookup_spec *spec, unsigned af,
                                                              unsigned octets, const uint8_t *addr, struct lcpfwd_lookup_result *out) {
  unsigned i = 0, n = spec->n < LCPFWD_LOOKUP_TABLES ? spec->n : LCPFWD_LOOKUP_TABLES;
  uint32_t plen, value;
  if (spec->merged && n >= 2) {
    uint32_t plen1, value1 = table_lookup(r, spec->table[1], af, octets, addr, &plen1);
    value = table_lookup(r, spec->table[0], af, octets, addr, &plen);
    i = value1 && (!value || plen1 > plen);
    if (i) {
      value = value1;
      plen = plen1;
    }
    if (value && value != LCPFWD_PL_THROW)
      goto found;
    i = 2;
  }
  for (; i < n; i++) {
    value = table_lookup(r, spec->table[i], af, octets, addr, &plen);
    if (value && value != LCPFWD_PL_THROW)
      goto found;
  }
  out->table = out->pathlist = out->plen = 0;
  return;
found:
  out->table = spec->table[i];
  out->pathlist = value;
  out->plen = plen;
}

void fib_lookup(const struct region *r, const struct lcpfwd_lookup_spec *spec, unsigned af, const uint8_t *addr,
                struct lcpfwd_lookup_result *out) {
  if (af == LCPFWD_AF_INET6)
    lookup_each(r, spec, af, 16, addr, out);
  else
    lookup_each(r, spec, af, 4, addr, out);
}

uint32_t fib_get(const struct region *r, uint32_t table, const struct fib_prefix *p) {
  const struct table_entry *t = &r->head->tables[table];
  unsigned octets = table_octets(t);
  uint32_t slot = ACQUIRE(&t->root);
  for (unsigned d = 0; FIB_TAG(slot) == FIB_NODE; d++) {
    const struct fib_node *n = node_at(r, slot);
    if (p->plen < 8 * (d + 1)) {
      unsigned i = prefix_index(p, d);
      return bit_test(n->prefixes, i) ? n->slot[n->nchildren + prefix_rank(n, i)] : 0;
    }
    if (!bit_test(n->children, p->addr[d]))
      return 0;
    slot = ACQUIRE(&n->slot[child_rank(n, p->addr[d])]);
    if (FIB_TAG(slot) == FIB_FRINGE)
      return p->plen == 8 * (d + 1) ? FIB_REF(slot) : 0;
  }
  if (slot == 0)
    return 0;
  const struct fib_leaf *leaf = region_at(r, FIB_REF(slot));
  return leaf->plen == p->plen && memcmp(leaf->addr, p->addr, octets) == 0 ? leaf->value : 0;
}

struct walk {
  const struct region *r;
  const struct fib_prefix *after; /* NULL: from the start */
  fib_emit *emit;
  void *ctx;
  struct fib_prefix at;
  unsigned octets;
};

static int walk_emit(struct walk *w, unsigned plen, uint32_t value) {
  if (w->after) {
    int c = memcmp(w->at.addr, w->after->addr, w->octets);
    if (c < 0 || (c == 0 && plen <= w->after->plen))
      return 0;
  }
  w->at.plen = (uint8_t)plen;
  return w->emit(w->ctx, &w->at, value);
}

static int walk_child(struct walk *w, uint32_t slot, unsigned d, int bounded);

/* Address order within a node: at each octet first the prefixes that begin there, short to long, then
 * the child. bounded: the path so far equals after's, so octets below after's are behind us. */
static int walk_node(struct walk *w, const struct fib_node *n, unsigned d, int bounded) {
  unsigned from = bounded ? w->after->addr[d] : 0;
  int stop = 0;
  for (unsigned o = from; o < 256 && !stop; o++) {
    w->at.addr[d] = (uint8_t)o;
    for (unsigned len = o ? 8u - (unsigned)__builtin_ctz(o) : 0; n->nvalues && len < 8 && !stop; len++) {
      unsigned i = tree_index(o, len);
      if (bit_test(n->prefixes, i))
        stop = walk_emit(w, 8 * d + len, LOAD(&n->slot[n->nchildren + prefix_rank(n, i)]));
    }
    if (!stop && bit_test(n->children, o))
      stop = walk_child(w, ACQUIRE(&n->slot[child_rank(n, o)]), d, bounded && o == from);
  }
  w->at.addr[d] = 0;
  return stop;
}

static int walk_child(struct walk *w, uint32_t slot, unsigned d, int bounded) {
  if (FIB_TAG(slot) == FIB_NODE)
    return walk_node(w, node_at(w->r, slot), d + 1, bounded);
  if (FIB_TAG(slot) == FIB_FRINGE)
    return walk_emit(w, 8 * (d + 1), FIB_REF(slot));
  const struct fib_leaf *leaf = region_at(w->r, FIB_REF(slot));
  struct fib_prefix path = w->at;
  memcpy(w->at.addr, leaf->addr, w->octets);
  int stop = walk_emit(w, leaf->plen, LOAD(&leaf->value));
  w->at = path;
  return stop;
}

int fib_walk(const struct region *r, uint32_t table, const struct fib_prefix *after, fib_emit *emit, void *ctx) {
  const struct table_entry *t = &r->head->tables[table];
  struct walk w = {.r = r, .after = after, .emit = emit, .ctx = ctx, .octets = table_octets(t)};
  uint32_t root = ACQUIRE(&t->root);
  return root ? walk_node(&w, node_at(r, root), 0, after != NULL) : 0;
}
