/* mroute.h - multicast forwarding entries: (ingress port, source or any, group) to output ports.
 *
 * One hash by (af, source, group), found in one probe both by what comes in and by what the host sends.
 * Slot: high half of the hash, then the block of a struct mroute_group with the entries of all ingress
 * ports; block 0 = removed, slot 0 = never used. A block is immutable, but that the writer may set a
 * port in it to 0 (taken out: needs no memory, so it cannot fail) and workers stamp their samples. Setting
 * an entry builds another block and publishes it by one store. The hash is the truth: attach marks what
 * it reaches and takes out what names ports that are not open.
 * Reference: net/ipv4/ipmr.c, net/ipv6/ip6mr.c (struct mfc_cache).
 */
#ifndef LCPFWD_MROUTE_H
#define LCPFWD_MROUTE_H

#include "reader.h"

struct writer;

struct mroute_in {     /* 24 bytes: one entry */
  uint64_t sampled_ns; /* CLOCK_MONOTONIC when the host last got a packet as a sample, 0: never; the workers' */
  uint32_t domain;
  uint16_t port; /* 0: taken out */
  uint8_t flags; /* LCPFWD_MROUTE_* */
  uint8_t n_out;
  uint32_t out; /* where its outputs begin in mroute_ports() */
  uint32_t pad;
};

struct mroute_group {
  uint8_t af;
  uint8_t pad[3];
  uint32_t n_in;
  uint32_t n_sent; /* mroute_ports()[0 .. n_sent): ports that entries of other ports send to */
  uint32_t n_ports;
  uint8_t source[16]; /* zeroes: any */
  uint8_t group[16];
  struct mroute_in in[]; /* n_in entries, then n_ports port ids, 0: taken out */
};

/* --- the writer -------------------------------------------------------------------------------- */

/* See lcpfwd_mroute_set/_del/_dump. */
int mroute_set(struct writer *w, const struct lcpfwd_mroute *m);
int mroute_del(struct writer *w, const struct lcpfwd_mroute *m);
uint32_t mroute_dump(const struct writer *w, struct lcpfwd_mroute *out, uint32_t max, uint32_t *cursor);
/* The port is about to go: its entries go too, and it leaves the outputs of all others. */
void mroute_port_close(struct writer *w, unsigned port);
/* Attach, in two steps around blocks_marked: mark all blocks (-EUCLEAN); drop what is of no use. */
int mroute_recover(struct writer *w);
void mroute_rebuild(struct writer *w);

/* --- readers ----------------------------------------------------------------------------------- */

static inline uint16_t *mroute_ports(const struct mroute_group *g) {
  return (uint16_t *)(void *)(g->in + g->n_in);
}

static inline uint64_t hash_mroute(uint64_t seed, unsigned af, const uint8_t *source, const uint8_t *group) {
  if (af == LCPFWD_AF_INET)
    return hash_mix(hash_mix(((uint64_t)hash_load4(source) << 32 | hash_load4(group)) ^ seed, 0x9e3779b97f4a7c15ull), seed | 1);
  uint64_t h = hash_mix(hash_load8(source) ^ seed, 0x9e3779b97f4a7c15ull) ^ hash_load8(source + 8);
  h = hash_mix(h, 0xc2b2ae3d27d4eb4full) ^ hash_load8(group);
  return hash_mix(hash_mix(h, 0x165667b19e3779f9ull) ^ hash_load8(group + 8), seed | 1);
}

/* source and group: 4 or 16 bytes. NULL: there is no entry for them on any port. */
static inline struct mroute_group *mroute_group_find(const struct region *r, unsigned af, const uint8_t *source,
                                                     const uint8_t *group) {
  uint32_t block = ACQUIRE(&r->head->mroute_hash);
  if (block == 0)
    return NULL;
  const struct hash_array *a = region_at(r, block);
  uint64_t h = hash_mroute(r->head->seed, af, source, group);
  size_t n = af == LCPFWD_AF_INET ? 4 : 16;
  for (uint32_t i = (uint32_t)h & a->mask, left = a->mask + 1; left; i = (i + 1) & a->mask, left--) {
    uint64_t slot = ACQUIRE(&a->slot[i]);
    if (slot == 0)
      return NULL;
    if (slot >> 32 != hash_tag(h) || (uint32_t)slot == 0)
      continue;
    struct mroute_group *g = region_at(r, (uint32_t)slot);
    if (g->af == af && memcmp(g->group, group, n) == 0 && memcmp(g->source, source, n) == 0)
      return g;
  }
  return NULL;
}

static inline struct mroute_in *mroute_group_in(struct mroute_group *g, unsigned port) {
  for (uint32_t i = 0; i < g->n_in; i++)
    if (LOAD(&g->in[i].port) == port)
      return &g->in[i];
  return NULL;
}

/* The entry for what comes in by port; NULL: none. As in the kernel an entry for the very source hides
 * the one for any source, also when it takes its packets from another port of its domain. */
static inline struct mroute_in *mroute_find(const struct region *r, unsigned port, unsigned af, const uint8_t *source,
                                            const uint8_t *group, struct mroute_group **of) {
  static const uint8_t any[16];
  struct mroute_group *exact = mroute_group_find(r, af, source, group);
  struct mroute_in *e = exact ? mroute_group_in(exact, port) : NULL;
  *of = exact;
  if (e)
    return e;
  *of = mroute_group_find(r, af, any, group);
  e = *of ? mroute_group_in(*of, port) : NULL;
  for (uint32_t i = 0; e && exact && i < exact->n_in; i++)
    if (LOAD(&exact->in[i].port) && exact->in[i].domain == e->domain)
      return NULL;
  return e;
}

static inline int mroute_group_sends(const struct mroute_group *g, unsigned port) {
  const uint16_t *sent = mroute_ports(g);
  for (uint32_t i = 0; i < g->n_sent; i++)
    if (LOAD(&sent[i]) == port)
      return 1;
  return 0;
}

/* Is what comes from source to group replicated out of port, wherever (but there) it comes in? */
static inline int mroute_sends(const struct region *r, unsigned port, unsigned af, const uint8_t *source,
                               const uint8_t *group) {
  static const uint8_t any[16];
  const struct mroute_group *g = mroute_group_find(r, af, source, group);
  if (g && mroute_group_sends(g, port))
    return 1;
  g = mroute_group_find(r, af, any, group);
  return g && mroute_group_sends(g, port);
}

#endif
