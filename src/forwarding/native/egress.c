/* egress.c - the legs of a path list that are no plain adjacency (egress.h). */
#include "egress.h"

static enum egress_result special(struct egress *e, uint32_t which) {
  e->special = which;
  return EGRESS_SPECIAL;
}

enum egress_result egress_attached(const struct datapath *d, struct egress *e, const struct adj *a, unsigned af, const uint8_t *addr) {
  if (!addr) return special(e, LCPFWD_PL_PUNT); /* what is attached to labels? */
  e->port = a->port;
  e->af = (uint8_t)af;
  e->nh = addr;
  const struct adj *of = adj_get(d->region, adj_find_neighbour(d->region, a->port, af, addr));
  e->adj = of;
  if (!of) return EGRESS_NO_NEIGHBOUR;
  if (of->state == ADJ_COMPLETE) return EGRESS_SEND;
  return of->state == ADJ_INCOMPLETE ? EGRESS_NO_NEIGHBOUR : EGRESS_DEAD;
}

enum egress_result egress_lookup(const struct datapath *d, struct egress *e, unsigned af, const uint8_t *addr, uint32_t flow_hash) {
  struct lcpfwd_lookup_spec spec;
  struct lcpfwd_lookup_result found;
  if (e->depth++ == LCPFWD_LOOKUP_DEPTH) return EGRESS_LOOP;
  unpack_lookup(e->lookup[af != LCPFWD_AF_INET], &spec);
  fib_lookup(d->region, &spec, af, addr, &found);
  return egress_found(d, e, &found, af, addr, (uint32_t)mix64((uint64_t)flow_hash << 8 | e->depth));
}

enum egress_result egress_rare(const struct datapath *d, struct egress *e, const struct pathlist *list, uint32_t bucket, unsigned af,
                               const uint8_t *addr, uint32_t flow_hash) {
  uint32_t i = bucket & ~BUCKET_LEG;
  if (bucket == BUCKET_PUNT || i >= list->legs) return special(e, LCPFWD_PL_PUNT);
  const struct pathlist_leg *leg = pathlist_legs(list) + i;
  if (leg->labels == LEG_LOOKUP) {
    e->lookup = pathlist_lookups(list, i);
    return addr ? egress_lookup(d, e, af, addr, flow_hash) : EGRESS_LOOKUP;
  }
  e->labels = leg->labels;
  e->ttl = leg->ttl;
  e->label = pathlist_labels(list, i);
  return egress_adjacency(d, e, leg->adjacency, af, addr);
}
