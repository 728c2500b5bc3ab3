/* pathlist.h - path lists: what routes refer to. A set of weighted legs, each an adjacency, with labels
 * or without, or a share that is punted, or one that is looked up in other tables. A labelled leg holds its neighbour's adjacency as any other does,
 * so it changes with the neighbour; the labels are the list's own.
 *
 * A block is immutable; replacing the legs publishes another block under the same id, so a route never
 * changes when its paths do. Flows are spread over buckets, a power of two of them: each leg gets its
 * share by largest remainder, at least one. An incomplete leg keeps its share (Linux does the same).
 * A deleted one stays readable for a grace period: a packet that has just found its route gets out.
 * Ids below LCPFWD_PL_FIRST mean what enum lcpfwd_special says and have no block.
 */
#ifndef LCPFWD_PATHLIST_H
#define LCPFWD_PATHLIST_H

#include "region.h"

#define PATHLIST_MAX_BUCKETS 1024u

struct writer;

struct pathlist_leg {
  uint32_t adjacency; /* 0: punted, or looked up */
  uint16_t weight;
  uint8_t labels, ttl; /* as in struct lcpfwd_path; labels LEG_LOOKUP: two words of port_pack_lookup in their place */
};
#define LEG_LOOKUP 0xffu

struct pathlist {
  uint16_t legs;
  uint16_t mask; /* buckets - 1 */
  uint16_t deleted; /* the writer's: 1 while workers may still come here from a route they looked up */
  uint16_t stacked; /* 1: behind the legs, LCPFWD_MAX_LABELS labels or two words for each */
  uint32_t bucket[]; /* mask + 1 words, then (8-byte aligned) the legs */
};

/* A bucket's word: the id of a plain adjacency, or one of these. */
#define BUCKET_LEG 0x80000000u  /* with the index of a leg that has labels or a ttl, or is looked up */
#define BUCKET_PUNT 0x40000000u

static inline struct pathlist_leg *pathlist_legs(const struct pathlist *p) {
  return (struct pathlist_leg *)(uintptr_t)(const void *)(p->bucket + ((p->mask + 2u) & ~1u));
}

/* Labels of leg i, outermost first; only when p->stacked. */
static inline uint32_t *pathlist_labels(const struct pathlist *p, unsigned i) {
  return (uint32_t *)(void *)(pathlist_legs(p) + p->legs) + i * LCPFWD_MAX_LABELS;
}

/* Tables of leg i, for IPv4 and for IPv6; only when its labels are LEG_LOOKUP. */
static inline uint64_t *pathlist_lookups(const struct pathlist *p, unsigned i) {
  return (uint64_t *)(void *)pathlist_labels(p, i);
}

/* See lcpfwd_pathlist_set/_del/_get. */
int pathlist_set(struct writer *w, uint32_t id, const struct lcpfwd_path *paths, uint32_t n);
int pathlist_del(struct writer *w, uint32_t id);
int pathlist_get(struct writer *w, uint32_t id, struct lcpfwd_path *out, uint32_t max);
/* Is id something that a route may refer to? */
int pathlist_valid(const struct region *r, uint32_t id);
/* Deleted, and no worker can have the id any more. */
void pathlist_reclaim(struct writer *w, uint32_t id);
/* Attach, in two steps around blocks_marked: mark all blocks and take a reference on every leg's
 * adjacency and tables; go on with deletions that were under way. */
int pathlist_recover(struct writer *w);
void pathlist_rebuild(struct writer *w);

/* Shares of n legs in 2^k buckets, k chosen here; returns the number of buckets. share: n entries. */
unsigned pathlist_shares(const struct lcpfwd_path *paths, unsigned n, uint16_t *share);

#endif
