/* egress.h - from what a lookup found to the adjacency that a packet leaves by.
 *
 * The plain case is inline: a path list, one bucket, an adjacency. Legs with labels, shares of the kernel
 * and legs that are looked up in other tables are in egress.c. Each further lookup mixes the flow hash
 * anew, else all flows that a first path list sends on would come to the same buckets of the next one.
 */
#ifndef EGRESS_H
#define EGRESS_H

#include "datapath.h"

/* Where a packet for af/addr leaves by. NULL: the result says what to do instead, or the neighbour nh on
 * port is not known (EGRESS_NO_NEIGHBOUR). */
struct egress {
  const struct adj *adj;
  uint32_t table, pathlist; /* of the last lookup */
  uint32_t special;  /* enum lcpfwd_special when pathlist is one; also 0: no route */
  uint16_t port;     /* for a missing neighbour */
  uint8_t af;
  uint8_t labels, ttl; /* of the leg, as in struct lcpfwd_path */
  uint8_t depth;       /* further lookups so far */
  const uint32_t *label;
  const uint64_t *lookup; /* for EGRESS_LOOKUP: the leg's tables */
  const uint8_t *nh;
};
enum egress_result {
  EGRESS_SEND,
  EGRESS_SPECIAL,
  EGRESS_NO_NEIGHBOUR,
  EGRESS_DEAD,
  EGRESS_LOOKUP, /* labels only: what is below them is to be looked up, see egress_lookup */
  EGRESS_LOOP,   /* more than LCPFWD_LOOKUP_DEPTH lookups */
};

/* A leg that is no plain adjacency; bucket is its word. */
enum egress_result egress_rare(const struct datapath *d, struct egress *e, const struct pathlist *list, uint32_t bucket, unsigned af,
                               const uint8_t *addr, uint32_t flow_hash);
/* The destination of a packet is the neighbour: a is an attached adjacency. */
enum egress_result egress_attached(const struct datapath *d, struct egress *e, const struct adj *a, unsigned af, const uint8_t *addr);
/* After EGRESS_LOOKUP: the same for the packet below, in the leg's tables of its family. */
enum egress_result egress_lookup(const struct datapath *d, struct egress *e, unsigned af, const uint8_t *addr, uint32_t flow_hash);

/* By adjacency id. */
HOT enum egress_result egress_adjacency(const struct datapath *d, struct egress *e, uint32_t id, unsigned af, const uint8_t *addr) {
  const struct adj *a = adj_get(d->region, id);
  if (__builtin_expect(!a, 0)) return EGRESS_DEAD;
  if (__builtin_expect(a->state == ADJ_COMPLETE, 1)) {
    e->adj = a;
    return EGRESS_SEND;
  }
  if (a->state == ADJ_ATTACHED) return egress_attached(d, e, a, af, addr);
  e->adj = a;
  e->port = a->port;
  e->af = a->af;
  e->nh = a->nh;
  return a->state == ADJ_INCOMPLETE ? EGRESS_NO_NEIGHBOUR : EGRESS_DEAD;
}

HOT enum egress_result egress_found(const struct datapath *d, struct egress *e, const struct lcpfwd_lookup_result *found, unsigned af,
                                    const uint8_t *addr, uint32_t flow_hash) {
  e->adj = NULL;
  e->table = found->table;
  e->pathlist = found->pathlist;
  e->labels = e->ttl = 0;
  if (__builtin_expect(found->pathlist < LCPFWD_PL_FIRST, 0)) {
    e->special = found->pathlist;
    return EGRESS_SPECIAL;
  }
  const struct pathlist *list = pathlist_get_block(d->region, found->pathlist);
  uint32_t bucket = list ? list->bucket[flow_hash & list->mask] : 0;
  if (__builtin_expect(bucket >= BUCKET_PUNT, 0)) return egress_rare(d, e, list, bucket, af, addr, flow_hash);
  return egress_adjacency(d, e, bucket, af, addr);
}

/* addr NULL: a labelled packet, which has none. */
HOT enum egress_result egress_resolve(const struct datapath *d, struct egress *e, const struct lcpfwd_lookup_result *found, unsigned af,
                                      const uint8_t *addr, uint32_t flow_hash) {
  e->depth = 0;
  return egress_found(d, e, found, af, addr, flow_hash);
}

/* An IP packet leaves; ttl: its own, for labels in the uniform model. 0: there was no room. */
HOT int packet_output(struct datapath *d, struct packet *p, const struct egress *e, unsigned ttl) {
  if (__builtin_expect(e->labels, 0)) return mpls_output(d, p, e, e->ttl ? e->ttl : ttl);
  if (!packet_rewrite(p, e->adj)) return 0;
  count_output(d, e->adj, p->len);
  return 1;
}

#endif
