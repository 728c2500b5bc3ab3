/* reader.h - what a worker may do with the region: look things up, count, report.
 *
 * Everything here is bounded, takes no lock, allocates nothing and makes no system call (but the clock
 * for traces). Pointers and ids obtained are good until the worker's next quiescent point. A worker
 * is online while it handles a burst, tells qsbr_quiescent between bursts and goes offline before it
 * sleeps. Counters are plain words that only their worker adds to.
 */
#ifndef LCPFWD_READER_H
#define LCPFWD_READER_H

#include <time.h>

#include "adj.h"
#include "fib.h"
#include "hash.h"
#include "pathlist.h"
#include "region.h"

/* --- QSBR -------------------------------------------------------------------------------------- */

static inline void qsbr_online(struct region *r, unsigned worker) {
  struct region_head *h = r->head;
  __atomic_store_n(&h->worker[worker].seen, ACQUIRE(&h->epoch), __ATOMIC_SEQ_CST);
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the writer must see us before we read a table */
}

static inline void qsbr_quiescent(struct region *r, unsigned worker) {
  struct region_head *h = r->head;
  uint64_t epoch = ACQUIRE(&h->epoch);
  if (LOAD(&h->worker[worker].seen) != epoch)
    PUBLISH(&h->worker[worker].seen, epoch);
}

static inline void qsbr_offline(struct region *r, unsigned worker) {
  PUBLISH(&r->head->worker[worker].seen, 0);
}

/* --- ports ------------------------------------------------------------------------------------- */

/* NULL unless the port is open. */
static inline const struct port_entry *port_get(const struct region *r, unsigned id) {
  const struct port_entry *p = r->head->ports;
  return id < LCPFWD_MAX_PORTS && ACQUIRE(&p[id].state) == PORT_OPEN ? &p[id] : NULL;
}

static inline uint32_t port_flags(const struct port_entry *p) {
  return LOAD(&p->flags);
}

static inline uint32_t port_mtu(const struct port_entry *p) {
  return LOAD(&p->mtu);
}

/* mac: 6 bytes as in a frame */
static inline void port_mac(const struct port_entry *p, uint8_t *mac) {
  uint64_t v = LOAD(&p->mac);
  memcpy(mac, &v, 6);
}

/* 0: none */
static inline uint32_t port_src4(const struct port_entry *p) {
  return LOAD(&p->src4);
}

static inline void port_src6(const struct port_entry *p, uint8_t *addr) {
  const uint64_t *side = p->src6[ACQUIRE(&p->src6_side) & 1];
  uint64_t v[2] = {LOAD(&side[0]), LOAD(&side[1])};
  memcpy(addr, v, 16);
}

/* Table of labels; 0: none. */
static inline uint32_t port_mpls(const struct port_entry *p) {
  return LOAD(&p->mpls);
}

/* Is mac one of the port's further addresses? */
static inline int port_has_mac(const struct port_entry *p, const uint8_t *mac) {
  uint32_t side = ACQUIRE(&p->more_side), n = side & 0xff;
  uint64_t v = 0;
  memcpy(&v, mac, 6);
  for (uint32_t i = 0; i < n && i < LCPFWD_MAX_MACS; i++)
    if (LOAD(&p->more[side >> 8 & 1][i]) == v)
      return 1;
  return 0;
}

/* A lookup spec in one word, so that a port's tables change at once: five 12-bit ids, n, merged. */
static inline uint64_t port_pack_lookup(const struct lcpfwd_lookup_spec *s) {
  uint64_t v = (uint64_t)s->n << 60 | (uint64_t)(s->merged != 0) << 63;
  for (unsigned i = 0; i < s->n; i++)
    v |= (uint64_t)(s->table[i] & 0xfffu) << (12 * i);
  return v;
}

static inline void unpack_lookup(uint64_t v, struct lcpfwd_lookup_spec *s) {
  s->n = v >> 60 & 7;
  s->merged = v >> 63 & 1;
  for (unsigned i = 0; i < LCPFWD_LOOKUP_TABLES; i++)
    s->table[i] = v >> (12 * i) & 0xfffu;
}

static inline void port_lookup_spec(const struct port_entry *p, unsigned af, struct lcpfwd_lookup_spec *s) {
  unpack_lookup(LOAD(af == LCPFWD_AF_INET ? &p->lookup4 : &p->lookup6), s);
}

/* --- path lists and adjacencies ---------------------------------------------------------------- */

/* Of an id >= LCPFWD_PL_FIRST. NULL: no such path list (any more). */
static inline const struct pathlist *pathlist_get_block(const struct region *r, uint32_t pathlist) {
  uint32_t block = pathlist < MAX_PATHLISTS ? ACQUIRE(&r->head->pathlists[pathlist]) : 0;
  return block ? region_at(r, block) : NULL;
}

/* The bucket of a flow: an adjacency id, or what BUCKET_* in pathlist.h say; 0: no such path list. */
static inline uint32_t pathlist_select(const struct region *r, uint32_t pathlist, uint32_t flow_hash) {
  const struct pathlist *p = pathlist_get_block(r, pathlist);
  return p ? p->bucket[flow_hash & p->mask] : 0;
}

/* NULL when there is none of that id (any more). */
static inline const struct adj *adj_get(const struct region *r, uint32_t id) {
  if (id >= MAX_ADJACENCIES)
    return NULL;
  uint32_t block = ACQUIRE(&r->head->adjacencies[id]);
  return block ? region_at(r, block) : NULL;
}

/* addr: 4 or 16 bytes. Returns the id (complete or not), 0: none. */
static inline uint32_t adj_find_neighbour(const struct region *r, unsigned port, unsigned af, const uint8_t *addr) {
  uint32_t block = ACQUIRE(&r->head->neighbour_hash);
  if (block == 0)
    return 0;
  const struct hash_array *a = region_at(r, block);
  uint64_t h = hash_neighbour(r->head->seed, port, af, addr);
  for (uint32_t i = (uint32_t)h & a->mask, left = a->mask + 1; left; i = (i + 1) & a->mask, left--) {
    uint64_t slot = ACQUIRE(&a->slot[i]);
    if (slot == 0)
      return 0;
    if (slot >> 32 != hash_tag(h) || (uint32_t)slot == 0)
      continue;
    const struct adj *j = adj_get(r, (uint32_t)slot);
    if (j && j->port == port && j->af == af && memcmp(j->nh, addr, af == LCPFWD_AF_INET ? 4 : 16) == 0)
      return (uint32_t)slot;
  }
  return 0;
}

/* l2: destination, source and possibly tags of a frame, without the ethertype: len 12, 16, 20 …
 * Returns the adjacency whose rewrite is exactly that, 0: none. A TUN frame has no such bytes: use
 * the port's attached adjacency. */
static inline __attribute__((always_inline)) uint32_t adj_find_rewrite_in(const struct region *r, uint32_t block, unsigned port, const uint8_t *l2,
                                                                          unsigned len) {
  if (block == 0 || len < 12 || len > sizeof(((struct adj *)0)->rewrite))
    return 0;
  const struct hash_array *a = region_at(r, block);
  uint64_t h = hash_rewrite(r->head->seed, port, l2, len);
  for (uint32_t i = (uint32_t)h & a->mask, left = a->mask + 1; left; i = (i + 1) & a->mask, left--) {
    uint64_t slot = ACQUIRE(&a->slot[i]);
    if (slot == 0)
      return 0;
    if (slot >> 32 != hash_tag(h) || (uint32_t)slot == 0)
      continue;
    const struct adj *j = adj_get(r, (uint32_t)slot);
    if (j && j->port == port && j->rewrite_len == len && memcmp(j->rewrite, l2, len) == 0)
      return (uint32_t)slot;
  }
  return 0;
}

static inline __attribute__((always_inline)) uint32_t adj_find_rewrite(const struct region *r, unsigned port, const uint8_t *l2, unsigned len) {
  return adj_find_rewrite_in(r, ACQUIRE(&r->head->rewrite_hash), port, l2, len);
}

/* What host frames leave by that match no rewrite: keeps the frame's own addresses. */
static inline uint32_t adj_multicast(const struct region *r, unsigned port) {
  return LOAD(&r->head->ports[port].multicast);
}

/* --- counters ---------------------------------------------------------------------------------- */

static inline void count_add(struct region *r, unsigned worker, unsigned port, enum counter c, uint64_t n) {
  uint64_t *p = &r->head->counters[worker][port][c];
  STORE(p, *p + n);
}

static inline void count_adjacency(struct region *r, unsigned worker, uint32_t adjacency, uint64_t packets,
                                   uint64_t bytes) {
  struct packet_count *c = &r->head->adjacency_counts[worker][adjacency];
  STORE(&c->packets, c->packets + packets);
  STORE(&c->bytes, c->bytes + bytes);
}

/* --- events and traces ------------------------------------------------------------------------- */

/* 1: stored, wake lcpd; 0: ring full, counted on the event's port. */
static inline int event_push(struct region *r, unsigned worker, const struct lcpfwd_event *e) {
  struct worker_entry *w = &r->head->worker[worker];
  uint32_t head = w->event_head;
  if (head - ACQUIRE(&w->event_tail) >= EVENT_RING) {
    count_add(r, worker, e->port < LCPFWD_MAX_PORTS ? e->port : 0, COUNTER_EVENT_LOST, 1);
    return 0;
  }
  r->head->events[worker][head & (EVENT_RING - 1)] = *e;
  PUBLISH(&w->event_head, head + 1);
  return 1;
}

/* Is every packet to be recorded now? Takes one of the armed number. */
static inline int trace_take(struct region *r) {
  if (__builtin_expect(LOAD(&r->head->trace_armed) == 0, 1))
    return 0;
  uint32_t armed = LOAD(&r->head->trace_armed);
  while (armed && !__atomic_compare_exchange_n(&r->head->trace_armed, &armed, armed - 1, 1, __ATOMIC_RELAXED,
                                               __ATOMIC_RELAXED)) {
  }
  return armed != 0;
}

/* The oldest record makes room. t: all but seq and time_ns, which are set here. */
static inline void trace_record(struct region *r, unsigned worker, struct lcpfwd_trace *t) {
  struct worker_entry *w = &r->head->worker[worker];
  uint64_t *slot = r->head->traces[worker][w->trace_head & (TRACE_RING - 1)];
  struct timespec now;
  uint64_t word[sizeof *t / 8];
  clock_gettime(CLOCK_REALTIME, &now);
  t->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  t->seq = __atomic_add_fetch(&r->head->trace_seq, 1, __ATOMIC_RELAXED);
  memcpy(word, t, sizeof word);
  STORE(&slot[0], 0); /* a reader that copies now sees 0 before or after */
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (unsigned i = 1; i < sizeof word / 8; i++)
    STORE(&slot[i], word[i]);
  PUBLISH(&slot[0], word[0]);
  STORE(&w->trace_head, w->trace_head + 1);
}

#endif
