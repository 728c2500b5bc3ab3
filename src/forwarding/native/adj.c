/* adj.c - the life of adjacencies (adj.h). Recovery is in adj_recover.c. */
#include "adj.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "adj_hash.h"
#include "reader.h"

static struct adj *adj_of(struct writer *w, uint32_t id) {
  return region_at(w->region, w->region->head->adjacencies[id]);
}

static int is_tun(const struct writer *w, unsigned port) {
  return (w->region->head->ports[port].flags & LCPFWD_PORT_TUN) != 0;
}

static int port_is_there(const struct writer *w, unsigned port) {
  return port > 0 && port < LCPFWD_MAX_PORTS && w->region->head->ports[port].state != PORT_FREE;
}

static uint16_t out_of(const struct writer *w, unsigned port) {
  uint32_t parent = w->region->head->ports[port].parent;
  return (uint16_t)(parent ? parent : port);
}

/* mac NULL: unknown, or a TUN. */
static void fill_rewrite(const struct writer *w, struct adj *a, const uint8_t *mac) {
  const struct port_entry *p = &w->region->head->ports[a->port];
  a->out = out_of(w, a->port);
  memset(a->rewrite, 0, sizeof a->rewrite);
  a->rewrite_len = 0;
  a->state = is_tun(w, a->port) ? ADJ_COMPLETE : ADJ_INCOMPLETE;
  if (is_tun(w, a->port) || !mac)
    return;
  memcpy(a->rewrite, mac, 6);
  memcpy(a->rewrite + 6, &p->mac, 6);
  a->rewrite_len = 12;
  for (unsigned i = 0; i < LCPFWD_MAX_TAGS && p->tags[i]; i++, a->rewrite_len += 4)
    memcpy(a->rewrite + a->rewrite_len, &(uint32_t){htobe32(p->tags[i])}, 4);
  a->state = ADJ_COMPLETE;
}

/* Publish an adjacency that is no neighbour yet; for af 0 with the state given. Returns id or -errno. */
static int create(struct writer *w, const struct adj *as) {
  struct region_head *h = w->region->head;
  if (as->af && adj_hash_reserve(w, HASH_NEIGHBOUR, 1) < 0)
    return -ENOSPC;
  if (as->rewrite_len && adj_hash_reserve(w, HASH_REWRITE, 1) < 0)
    return -ENOSPC;
  uint32_t block = blocks_alloc(&w->blocks, sizeof(struct adj));
  if (!block)
    return -ENOSPC;
  uint32_t id = ids_take(w, &w->adjacency_ids, &h->adjacency_end, MAX_ADJACENCIES);
  if (!id) {
    blocks_free(&w->blocks, block, sizeof(struct adj));
    return -ENOSPC;
  }
  struct adj *a = region_at(w->region, block);
  *a = *as;
  a->id = id;
  for (unsigned i = 0; i < h->workers; i++) { /* nobody counts on an id that is not out yet */
    STORE(&h->adjacency_counts[i][id].packets, 0);
    STORE(&h->adjacency_counts[i][id].bytes, 0);
  }
  w->adjacency_refs[id] = 0;
  PUBLISH(&h->adjacencies[id], block);
  if (a->af)
    adj_hash_add(w, HASH_NEIGHBOUR, id);
  adj_rewrite_link(w, id);
  w->adjacencies++;
  w->neighbours += (a->flags & ADJ_NEIGHBOUR) != 0;
  return (int)id;
}

static void unlink_hashes(struct writer *w, const struct adj *a) {
  if (a->state == ADJ_DEAD)
    return;
  if (a->state == ADJ_COMPLETE)
    adj_rewrite_unlink(w, a->id);
  if (a->af)
    adj_hash_replace(w, HASH_NEIGHBOUR, a->id, 0);
}

static void destroy(struct writer *w, struct adj *a) {
  unlink_hashes(w, a);
  w->adjacencies--;
  w->neighbours -= (a->flags & ADJ_NEIGHBOUR) != 0;
  PUBLISH(&a->flags, ADJ_GONE);
  blocks_retire_id(&w->blocks, RETIRED_ADJACENCY, a->id);
}

void adj_reclaim(struct writer *w, uint32_t id) {
  uint32_t *entry = &w->region->head->adjacencies[id], block = *entry;
  PUBLISH(entry, 0);
  blocks_free(&w->blocks, block, sizeof(struct adj));
  ids_give(&w->adjacency_ids, id);
}

int adj_hold(struct writer *w, unsigned port, unsigned af, const uint8_t *nh) {
  if (!port_is_there(w, port))
    return -ENODEV;
  uint32_t id = af ? adj_find_neighbour(w->region, port, af, nh) : w->region->head->ports[port].attached;
  if (id == 0) {
    struct adj a = {.port = (uint16_t)port, .af = (uint8_t)af};
    memcpy(a.nh, nh, af == LCPFWD_AF_INET ? 4 : 16);
    fill_rewrite(w, &a, NULL);
    int made = create(w, &a);
    if (made < 0)
      return made;
    id = (uint32_t)made;
  }
  w->adjacency_refs[id]++;
  return (int)id;
}

void adj_release(struct writer *w, uint32_t id) {
  struct adj *a = adj_of(w, id);
  if (--w->adjacency_refs[id] == 0 && !(a->flags & ADJ_NEIGHBOUR) && (a->af || a->state == ADJ_DEAD))
    destroy(w, a);
}

/* Publish next as the block of its id, with its hash entries. Room was reserved. */
static void replace(struct writer *w, uint32_t block) {
  struct region_head *h = w->region->head;
  struct adj *next = region_at(w->region, block);
  uint32_t was = h->adjacencies[next->id];
  struct adj *old = region_at(w->region, was);
  if (old->state == ADJ_COMPLETE)
    adj_rewrite_unlink(w, next->id);
  PUBLISH(&h->adjacencies[next->id], block);
  adj_rewrite_link(w, next->id);
  blocks_retire(&w->blocks, was, sizeof *old);
}

int adj_neighbour_set(struct writer *w, unsigned port, unsigned af, const uint8_t *nh, const uint8_t *mac) {
  if (!port_is_there(w, port))
    return -ENODEV;
  uint32_t id = adj_find_neighbour(w->region, port, af, nh);
  struct adj next = {.port = (uint16_t)port, .af = (uint8_t)af};
  memcpy(next.nh, nh, af == LCPFWD_AF_INET ? 4 : 16);
  fill_rewrite(w, &next, mac);
  next.flags = ADJ_NEIGHBOUR;
  if (id == 0) {
    int made = create(w, &next);
    return made < 0 ? made : 0;
  }
  struct adj *a = adj_of(w, id);
  next.id = id;
  if (memcmp(a, &next, sizeof next) == 0)
    return 0;
  if (adj_hash_reserve(w, HASH_REWRITE, 1) < 0)
    return -ENOSPC;
  uint32_t block = blocks_alloc(&w->blocks, sizeof next);
  if (!block)
    return -ENOSPC;
  w->neighbours += !(a->flags & ADJ_NEIGHBOUR);
  memcpy(region_at(w->region, block), &next, sizeof next);
  replace(w, block);
  return 0;
}

int adj_neighbour_del(struct writer *w, unsigned port, unsigned af, const uint8_t *nh) {
  uint32_t id = port_is_there(w, port) ? adj_find_neighbour(w->region, port, af, nh) : 0;
  struct adj *a = id ? adj_of(w, id) : NULL;
  if (!a || !(a->flags & ADJ_NEIGHBOUR))
    return 0;
  if (w->adjacency_refs[id] == 0) {
    destroy(w, a);
    return 0;
  }
  /* In place, since forgetting must not need memory. The bytes of the rewrite stay for a worker that
   * has just read the state. */
  adj_rewrite_unlink(w, id);
  if (!is_tun(w, port))
    PUBLISH(&a->state, ADJ_INCOMPLETE);
  PUBLISH(&a->flags, 0);
  w->neighbours--;
  return 0;
}

int adj_port_open(struct writer *w, unsigned port) {
  struct port_entry *p = &w->region->head->ports[port];
  int multicast = create(w, &(struct adj){.port = (uint16_t)port, .out = out_of(w, port), .state = ADJ_MULTICAST});
  if (multicast < 0)
    return multicast;
  /* A TUN is point to point: whatever is attached to it leaves by it as it is. */
  int attached = create(w, &(struct adj){.port = (uint16_t)port, .out = out_of(w, port), .state = is_tun(w, port) ? ADJ_COMPLETE : ADJ_ATTACHED});
  if (attached < 0) {
    destroy(w, adj_of(w, (uint32_t)multicast));
    return attached;
  }
  PUBLISH(&p->multicast, (uint32_t)multicast);
  PUBLISH(&p->attached, (uint32_t)attached);
  return 0;
}

void adj_port_close(struct writer *w, unsigned port) {
  struct region_head *h = w->region->head;
  PUBLISH(&h->ports[port].multicast, 0);
  PUBLISH(&h->ports[port].attached, 0);
  for (uint32_t id = 1; id < h->adjacency_end; id++) {
    struct adj *a = h->adjacencies[id] ? adj_of(w, id) : NULL;
    if (!a || a->port != port || a->state == ADJ_DEAD || (a->flags & ADJ_GONE))
      continue;
    if (w->adjacency_refs[id] == 0) {
      destroy(w, a);
      continue;
    }
    unlink_hashes(w, a);
    PUBLISH(&a->state, ADJ_DEAD);
    w->neighbours -= (a->flags & ADJ_NEIGHBOUR) != 0;
    PUBLISH(&a->flags, 0);
  }
}

int adj_port_mac(struct writer *w, unsigned port, uint64_t mac) {
  struct region_head *h = w->region->head;
  uint32_t *blocks = NULL, n = 0, room = 0;
  int err = 0;
  for (uint32_t id = 1; id < h->adjacency_end && !err; id++) {
    const struct adj *a = h->adjacencies[id] ? adj_of(w, id) : NULL;
    if (!a || a->port != port || a->state != ADJ_COMPLETE || a->rewrite_len == 0 || (a->flags & ADJ_GONE) ||
        memcmp(a->rewrite + 6, &mac, 6) == 0)
      continue;
    if (n == room) {
      room = room ? room * 2 : 64;
      uint32_t *grown = realloc(blocks, room * sizeof *blocks);
      if (!grown) {
        err = -ENOMEM;
        break;
      }
      blocks = grown;
    }
    blocks[n] = blocks_alloc(&w->blocks, sizeof *a);
    if (!blocks[n]) {
      err = -ENOSPC;
      break;
    }
    struct adj *next = region_at(w->region, blocks[n++]);
    *next = *a;
    memcpy(next->rewrite + 6, &mac, 6);
  }
  if (!err && n)
    err = adj_hash_reserve(w, HASH_REWRITE, n);
  for (uint32_t i = 0; i < n; i++) {
    if (err)
      blocks_free(&w->blocks, blocks[i], sizeof(struct adj));
    else
      replace(w, blocks[i]);
  }
  free(blocks);
  if (!err) /* last: a writer that dies before this is seen to have had work left */
    STORE(&h->ports[port].mac, mac);
  return err;
}
