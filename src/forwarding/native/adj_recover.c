/* adj_recover.c - adjacencies at attach: what the last writer left, made whole (adj.h).
 *
 * The directory is the truth; both hashes are built from it. What is neither referred to by a path list
 * nor a neighbour nor its port's own was being made or unmade and goes. What belongs to a port that is
 * not open dies or goes, as in adj_port_close.
 */
#include <errno.h>
#include <string.h>

#include "adj_hash.h"
#include "reader.h"

int adj_recover(struct writer *w) {
  const struct region_head *h = w->region->head;
  for (uint32_t id = h->adjacency_end; id-- > 1;) {
    uint32_t block = h->adjacencies[id];
    if (block == 0) {
      ids_give(&w->adjacency_ids, id);
      continue;
    }
    if (!blocks_contain(&w->blocks, block, sizeof(struct adj)))
      return -EUCLEAN;
    const struct adj *a = region_at(w->region, block);
    if (a->id != id || a->port == 0 || a->port >= LCPFWD_MAX_PORTS || a->out == 0 || a->out >= LCPFWD_MAX_PORTS || a->state > ADJ_DEAD ||
        a->rewrite_len > sizeof a->rewrite || (a->af && a->af != LCPFWD_AF_INET && a->af != LCPFWD_AF_INET6))
      return -EUCLEAN;
    int err = blocks_mark(&w->blocks, block, sizeof *a);
    if (err)
      return err;
  }
  return adj_hash_recover(w);
}

static int is_ports_own(const struct port_entry *p, const struct adj *a) {
  return p->state == PORT_OPEN && (p->multicast == a->id || p->attached == a->id);
}

/* 1: a stays. */
static int settle(struct writer *w, struct adj *a) {
  const struct port_entry *p = &w->region->head->ports[a->port];
  int own = is_ports_own(p, a);
  if (a->flags & ADJ_GONE)
    return 0;
  if (a->state == ADJ_INCOMPLETE)
    STORE(&a->flags, 0); /* died between forgetting the rewrite and the neighbour */
  if (p->state != PORT_OPEN || (a->af == 0 && !own)) {
    STORE(&a->state, ADJ_DEAD);
    STORE(&a->flags, 0);
  }
  return own || w->adjacency_refs[a->id] || (a->flags & ADJ_NEIGHBOUR);
}

static int is_alive(const struct writer *w, uint32_t id) {
  const struct adj *a = adj_get(w->region, id);
  return a && !(a->flags & ADJ_GONE);
}

static int open_port_rebuild(struct writer *w, unsigned port) {
  struct port_entry *p = &w->region->head->ports[port];
  if (p->state != PORT_OPEN)
    return 0;
  if (p->multicast == 0 || p->attached == 0 || !is_alive(w, p->multicast) || !is_alive(w, p->attached)) {
    adj_port_close(w, port); /* the last writer died while it took the port down; that can be asked for again */
    int err = adj_port_open(w, port);
    if (err)
      return err;
  }
  return adj_port_mac(w, port, p->mac);
}

int adj_rebuild(struct writer *w) {
  struct region_head *h = w->region->head;
  for (uint32_t id = 1; id < h->adjacency_end; id++) {
    uint32_t block = h->adjacencies[id];
    if (block == 0)
      continue;
    struct adj *a = region_at(w->region, block);
    if (settle(w, a)) {
      w->adjacencies++;
      w->neighbours += (a->flags & ADJ_NEIGHBOUR) != 0;
      continue;
    }
    PUBLISH(&a->flags, ADJ_GONE);
    blocks_retire_id(&w->blocks, RETIRED_ADJACENCY, id);
  }
  int err = adj_hash_begin(w, HASH_NEIGHBOUR, w->adjacencies);
  if (!err)
    err = adj_hash_begin(w, HASH_REWRITE, w->adjacencies);
  for (uint32_t id = 1; id < h->adjacency_end && !err; id++) {
    const struct adj *a = adj_get(w->region, id);
    if (!a || a->state == ADJ_DEAD || (a->flags & ADJ_GONE))
      continue;
    if (a->af)
      adj_hash_add(w, HASH_NEIGHBOUR, id);
    if (a->state == ADJ_COMPLETE)
      adj_rewrite_link(w, id);
  }
  if (err)
    return err;
  adj_hash_publish(w, HASH_NEIGHBOUR);
  adj_hash_publish(w, HASH_REWRITE);
  for (unsigned port = 1; port < LCPFWD_MAX_PORTS && !err; port++)
    err = open_port_rebuild(w, port);
  return err;
}
