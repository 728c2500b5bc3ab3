/* api_neighbour.c - lcpfwd.h: neighbours, and adjacencies as they are shown. */
#include <errno.h>
#include <string.h>

#include "attachment.h"
#include "reader.h"
#include "writer.h"

static int neighbour_apply(lcpfwd *f, const struct lcpfwd_neighbour *n) {
  if (n->port == 0 || n->port >= LCPFWD_MAX_PORTS || (n->flags & ~LCPFWD_NEIGH_DELETE) ||
      (n->af != LCPFWD_AF_INET && n->af != LCPFWD_AF_INET6))
    return -EINVAL;
  if (n->flags & LCPFWD_NEIGH_DELETE)
    return adj_neighbour_del(f->writer, n->port, n->af, n->addr);
  return port_get(&f->region, n->port) ? adj_neighbour_set(f->writer, n->port, n->af, n->addr, n->mac) : -ENODEV;
}

int32_t lcpfwd_neighbours_apply(lcpfwd *f, const struct lcpfwd_neighbour *ops, uint32_t n, int32_t *results) {
  int32_t failed = 0;
  for (uint32_t i = 0; i < n; i++) {
    results[i] = neighbour_apply(f, &ops[i]);
    failed += results[i] < 0;
  }
  blocks_settle(&f->writer->blocks);
  return failed;
}

int32_t lcpfwd_neighbours_dump(lcpfwd *f, struct lcpfwd_neighbour *out, uint32_t max, uint32_t *cursor) {
  const struct region_head *h = f->region.head;
  uint32_t n = 0, id = *cursor;
  for (; id < h->adjacency_end && n < max; id++) {
    const struct adj *a = adj_get(&f->region, id);
    if (!a || !(a->flags & ADJ_NEIGHBOUR))
      continue;
    struct lcpfwd_neighbour *o = &out[n++];
    *o = (struct lcpfwd_neighbour){.port = a->port, .af = a->af};
    memcpy(o->mac, a->rewrite, sizeof o->mac);
    memcpy(o->addr, a->nh, sizeof o->addr);
  }
  *cursor = id;
  return (int32_t)n;
}

int32_t lcpfwd_adjacencies_dump(lcpfwd *f, struct lcpfwd_adjacency *out, uint32_t max, uint32_t *cursor) {
  const struct region_head *h = f->region.head;
  uint32_t n = 0, id = *cursor;
  for (; id < h->adjacency_end && n < max; id++) {
    const struct adj *a = adj_get(&f->region, id);
    if (!a || (a->flags & ADJ_GONE))
      continue;
    struct lcpfwd_adjacency *o = &out[n++];
    *o = (struct lcpfwd_adjacency){.id = id, .port = a->port, .af = a->af, .state = a->state};
    memcpy(o->nh, a->nh, sizeof o->nh);
    if (a->state == ADJ_COMPLETE) { /* what an incomplete one still carries means nothing */
      o->rewrite_len = a->rewrite_len;
      memcpy(o->rewrite, a->rewrite, sizeof o->rewrite);
    }
    o->refs = f->writer->adjacency_refs[id];
    for (unsigned i = 0; i < h->workers; i++) {
      o->packets += LOAD(&h->adjacency_counts[i][id].packets);
      o->bytes += LOAD(&h->adjacency_counts[i][id].bytes);
    }
  }
  *cursor = id;
  return (int32_t)n;
}
