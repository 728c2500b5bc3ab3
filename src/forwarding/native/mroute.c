/* mroute.c - setting, taking out and dumping multicast forwarding entries (mroute.h).
 *
 * Only mroute_set needs memory, and takes all of it before anything changes. The list of ports that a
 * group sends to is derived from its entries; a writer that dies between the two leaves a port too many
 * in it, never one too few, and mroute_rebuild looks it over.
 */
#include "mroute.h"

#include <errno.h>
#include <string.h>

#include "writer.h"

#define LEAST_SLOTS 64u

static size_t group_bytes(uint32_t n_in, uint32_t n_ports) {
  return sizeof(struct mroute_group) + n_in * sizeof(struct mroute_in) + n_ports * sizeof(uint16_t);
}

static size_t array_bytes(uint32_t mask) {
  return sizeof(struct hash_array) + (mask + 1ull) * sizeof(uint64_t);
}

static struct hash_array *array_of(const struct writer *w) {
  uint32_t block = w->region->head->mroute_hash;
  return block ? region_at(w->region, block) : NULL;
}

static uint64_t key_of(const struct writer *w, const struct mroute_group *g) {
  return hash_mroute(w->region->head->seed, g->af, g->source, g->group);
}

/* --- the hash ------------------------------------------------------------------------------------ */

/* Into an array that has room. Returns how many fresh slots that took: 0 or 1. */
static uint32_t put(struct hash_array *a, uint64_t key, uint32_t block) {
  uint32_t i = (uint32_t)key & a->mask;
  while ((uint32_t)a->slot[i] != 0)
    i = (i + 1) & a->mask;
  uint32_t fresh = a->slot[i] == 0;
  PUBLISH(&a->slot[i], (uint64_t)hash_tag(key) << 32 | block);
  return fresh;
}

/* Room for one more group. */
static int reserve(struct writer *w) {
  const struct hash_array *old = array_of(w);
  if (old && 2ull * (w->mroute_slots + 1) <= old->mask + 1ull)
    return 0;
  uint32_t live = 0, used = 0, slots = LEAST_SLOTS;
  for (uint32_t i = 0; old && i <= old->mask; i++)
    live += (uint32_t)old->slot[i] != 0;
  while (slots < 4ull * (live + 1))
    slots *= 2;
  uint32_t block = blocks_alloc(&w->blocks, array_bytes(slots - 1));
  if (!block)
    return -ENOSPC;
  struct hash_array *a = region_at(w->region, block);
  memset(a, 0, array_bytes(slots - 1));
  a->mask = slots - 1;
  for (uint32_t i = 0; old && i <= old->mask; i++)
    if ((uint32_t)old->slot[i])
      used += put(a, key_of(w, region_at(w->region, (uint32_t)old->slot[i])), (uint32_t)old->slot[i]);
  uint32_t was = w->region->head->mroute_hash;
  PUBLISH(&w->region->head->mroute_hash, block);
  w->mroute_slots = used;
  if (was)
    blocks_retire(&w->blocks, was, array_bytes(old->mask));
  return 0;
}

/* The slot that names block, which is in the hash. */
static uint64_t *slot_of(const struct writer *w, uint64_t key, uint32_t block) {
  struct hash_array *a = array_of(w);
  uint32_t i = (uint32_t)key & a->mask;
  while ((uint32_t)a->slot[i] != block)
    i = (i + 1) & a->mask;
  return &a->slot[i];
}

static uint32_t block_of(const struct writer *w, const struct mroute_group *g) {
  return (uint32_t)(((uintptr_t)g - (uintptr_t)w->region->base) / REGION_UNIT);
}

/* --- groups -------------------------------------------------------------------------------------- */

static int has_output(const struct mroute_group *g, const struct mroute_in *e, unsigned port) {
  const uint16_t *out = mroute_ports(g) + e->out;
  for (unsigned i = 0; i < e->n_out; i++)
    if (out[i] == port)
      return 1;
  return 0;
}

/* 1: another port's entry sends out of port. */
static int is_sent_to(const struct mroute_group *g, unsigned port) {
  for (uint32_t i = 0; i < g->n_in; i++)
    if (g->in[i].port && g->in[i].port != port && has_output(g, &g->in[i], port))
      return 1;
  return 0;
}

/* Entries were taken out in the block of slot: put its list right, or the whole group out. */
static void group_review(struct writer *w, struct mroute_group *g, uint64_t *slot) {
  uint16_t *sent = mroute_ports(g);
  uint32_t live = 0;
  for (uint32_t i = 0; i < g->n_in; i++)
    live += g->in[i].port != 0;
  for (uint32_t i = 0; i < g->n_sent; i++)
    if (sent[i] && !is_sent_to(g, sent[i]))
      STORE(&sent[i], 0);
  if (live)
    return;
  uint32_t block = (uint32_t)*slot;
  PUBLISH(slot, *slot >> 32 << 32);
  blocks_retire(&w->blocks, block, group_bytes(g->n_in, g->n_ports));
}

static int address_check(unsigned af, const uint8_t *a) {
  static const uint8_t zero[12];
  return af == LCPFWD_AF_INET && memcmp(a + 4, zero, sizeof zero) ? -EINVAL : 0;
}

static int is_multicast(unsigned af, const uint8_t *a) {
  return af == LCPFWD_AF_INET ? a[0] >> 4 == 14 : a[0] == 0xff;
}

static int key_check(const struct lcpfwd_mroute *m) {
  if (m->port == 0 || m->port >= LCPFWD_MAX_PORTS || (m->af != LCPFWD_AF_INET && m->af != LCPFWD_AF_INET6) ||
      address_check(m->af, m->source) || address_check(m->af, m->group) || !is_multicast(m->af, m->group) ||
      is_multicast(m->af, m->source))
    return -EINVAL;
  return 0;
}

static int check(const struct region *r, const struct lcpfwd_mroute *m) {
  int err = key_check(m);
  if (err)
    return err;
  if ((m->flags & ~LCPFWD_MROUTE_HOST) || m->n_out > LCPFWD_MAX_MROUTE_OUT)
    return -EINVAL;
  if (!port_get(r, m->port))
    return -ENODEV;
  for (unsigned i = 0; i < m->n_out; i++) {
    if (m->out[i] == 0 || m->out[i] >= LCPFWD_MAX_PORTS)
      return -EINVAL;
    for (unsigned k = 0; k < i; k++)
      if (m->out[k] == m->out[i])
        return -EINVAL;
    if (!port_get(r, m->out[i]))
      return -ENODEV;
  }
  return 0;
}

static int is_same(const struct mroute_group *g, const struct mroute_in *e, const struct lcpfwd_mroute *m) {
  return e->domain == m->domain && e->flags == m->flags && e->n_out == m->n_out &&
         memcmp(mroute_ports(g) + e->out, m->out, m->n_out * sizeof m->out[0]) == 0;
}

/* --- building a group anew ------------------------------------------------------------------------ */

/* What the next block will hold: the entries of old but that of m's port, and m. */
struct plan {
  uint32_t n_in, n_sent, n_out;
  uint8_t by[LCPFWD_MAX_PORTS]; /* 1: some other port's entry sends there */
};

static void plan_entry(struct plan *p, unsigned port, const uint16_t *out, unsigned n) {
  p->n_in++;
  for (unsigned i = 0; i < n; i++) {
    p->n_out += out[i] != 0;
    if (out[i] && out[i] != port && !p->by[out[i]]) {
      p->by[out[i]] = 1;
      p->n_sent++;
    }
  }
}

/* Append an entry to g, whose lists have room. */
static void add_entry(struct mroute_group *g, uint32_t *at, struct mroute_in e, const uint16_t *out, unsigned n) {
  uint16_t *ports = mroute_ports(g);
  e.out = *at;
  e.n_out = 0;
  for (unsigned i = 0; i < n; i++)
    if (out[i]) {
      ports[(*at)++] = out[i];
      e.n_out++;
    }
  uint32_t k = 0;
  while (g->in[k].port)
    k++;
  g->in[k] = e;
}

static uint32_t build(struct writer *w, const struct mroute_group *old, const struct mroute_in *was,
                      const struct lcpfwd_mroute *m) {
  struct plan p = {0};
  plan_entry(&p, m->port, m->out, m->n_out);
  for (uint32_t i = 0; old && i < old->n_in; i++)
    if (old->in[i].port && &old->in[i] != was)
      plan_entry(&p, old->in[i].port, mroute_ports(old) + old->in[i].out, old->in[i].n_out);
  uint32_t block = blocks_alloc(&w->blocks, group_bytes(p.n_in, p.n_sent + p.n_out)), at = 0;
  if (!block)
    return 0;
  struct mroute_group *g = region_at(w->region, block);
  memset(g, 0, group_bytes(p.n_in, p.n_sent + p.n_out));
  g->af = m->af;
  g->n_in = p.n_in;
  g->n_sent = p.n_sent;
  g->n_ports = p.n_sent + p.n_out;
  memcpy(g->source, m->source, sizeof g->source);
  memcpy(g->group, m->group, sizeof g->group);
  for (unsigned port = 1; port < LCPFWD_MAX_PORTS; port++)
    if (p.by[port])
      mroute_ports(g)[at++] = (uint16_t)port;
  struct mroute_in e = {.port = m->port, .flags = m->flags, .domain = m->domain, .sampled_ns = was ? LOAD(&was->sampled_ns) : 0};
  add_entry(g, &at, e, m->out, m->n_out);
  for (uint32_t i = 0; old && i < old->n_in; i++) {
    const struct mroute_in *o = &old->in[i];
    if (o->port == 0 || o == was)
      continue;
    e = (struct mroute_in){.port = o->port, .flags = o->flags, .domain = o->domain, .sampled_ns = LOAD(&o->sampled_ns)};
    add_entry(g, &at, e, mroute_ports(old) + o->out, o->n_out);
  }
  return block;
}

int mroute_set(struct writer *w, const struct lcpfwd_mroute *m) {
  int err = check(w->region, m);
  if (err)
    return err;
  struct mroute_group *old = mroute_group_find(w->region, m->af, m->source, m->group);
  const struct mroute_in *was = old ? mroute_group_in(old, m->port) : NULL;
  if (was && is_same(old, was, m))
    return 0;
  if (!was && w->mroutes >= LCPFWD_MAX_MROUTES)
    return -ENOSPC;
  uint32_t block = build(w, old, was, m);
  if (!block)
    return -ENOSPC;
  const struct mroute_group *g = region_at(w->region, block);
  uint64_t key = key_of(w, g);
  if (old) {
    uint32_t former = block_of(w, old);
    PUBLISH(slot_of(w, key, former), (uint64_t)hash_tag(key) << 32 | block);
    blocks_retire(&w->blocks, former, group_bytes(old->n_in, old->n_ports));
  } else {
    err = reserve(w);
    if (err) {
      blocks_free(&w->blocks, block, group_bytes(g->n_in, g->n_ports));
      return err;
    }
    w->mroute_slots += put(array_of(w), key, block);
  }
  w->mroutes += !was;
  return 0;
}

int mroute_del(struct writer *w, const struct lcpfwd_mroute *m) {
  int err = key_check(m);
  if (err)
    return err;
  struct mroute_group *g = mroute_group_find(w->region, m->af, m->source, m->group);
  struct mroute_in *e = g ? mroute_group_in(g, m->port) : NULL;
  if (!e)
    return 0;
  STORE(&e->port, 0);
  w->mroutes--;
  group_review(w, g, slot_of(w, key_of(w, g), block_of(w, g)));
  return 0;
}

/* --- all of them ---------------------------------------------------------------------------------- */

/* Take out what names the port, or with port 0 any port that is not open. */
static void group_prune(struct writer *w, struct mroute_group *g, uint64_t *slot, unsigned port) {
  uint16_t *ports = mroute_ports(g);
  int changed = port == 0;
  for (uint32_t i = 0; i < g->n_in; i++) {
    uint16_t *in = &g->in[i].port;
    if (*in && (port ? *in == port : !port_get(w->region, *in))) {
      STORE(in, 0);
      w->mroutes -= port != 0; /* at attach they are counted afterwards */
      changed = 1;
    }
  }
  for (uint32_t i = g->n_ports; i-- > 0;) /* outputs before the list that is derived from them */
    if (ports[i] && (port ? ports[i] == port : !port_get(w->region, ports[i])))
      PUBLISH(&ports[i], 0);
  if (changed)
    group_review(w, g, slot);
}

void mroute_port_close(struct writer *w, unsigned port) {
  struct hash_array *a = array_of(w);
  for (uint32_t i = 0; a && i <= a->mask; i++)
    if ((uint32_t)a->slot[i])
      group_prune(w, region_at(w->region, (uint32_t)a->slot[i]), &a->slot[i], port);
}

uint32_t mroute_dump(const struct writer *w, struct lcpfwd_mroute *out, uint32_t max, uint32_t *cursor) {
  const struct hash_array *a = array_of(w);
  uint32_t n = 0, slot = cursor[0], at = cursor[1];
  for (; a && slot <= a->mask; slot++, at = 0) {
    if ((uint32_t)a->slot[slot] == 0)
      continue;
    const struct mroute_group *g = region_at(w->region, (uint32_t)a->slot[slot]);
    for (; at < g->n_in && n < max; at++) {
      const struct mroute_in *e = &g->in[at];
      if (e->port == 0)
        continue;
      struct lcpfwd_mroute *o = &out[n++];
      *o = (struct lcpfwd_mroute){.port = e->port, .af = g->af, .flags = e->flags, .domain = e->domain};
      memcpy(o->source, g->source, sizeof o->source);
      memcpy(o->group, g->group, sizeof o->group);
      for (unsigned i = 0; i < e->n_out; i++)
        if (mroute_ports(g)[e->out + i])
          o->out[o->n_out++] = mroute_ports(g)[e->out + i];
    }
    if (at < g->n_in)
      break; /* the page is full */
  }
  cursor[0] = slot;
  cursor[1] = at;
  return n;
}

static int recover_group(struct writer *w, uint32_t block) {
  if (!blocks_contain(&w->blocks, block, sizeof(struct mroute_group)))
    return -EUCLEAN;
  const struct mroute_group *g = region_at(w->region, block);
  if ((g->af != LCPFWD_AF_INET && g->af != LCPFWD_AF_INET6) || g->n_in == 0 || g->n_in >= LCPFWD_MAX_PORTS ||
      g->n_sent > g->n_ports || g->n_ports > LCPFWD_MAX_PORTS * (LCPFWD_MAX_MROUTE_OUT + 1) ||
      !blocks_contain(&w->blocks, block, group_bytes(g->n_in, g->n_ports)))
    return -EUCLEAN;
  for (uint32_t i = 0; i < g->n_in; i++) {
    const struct mroute_in *e = &g->in[i];
    if (e->port >= LCPFWD_MAX_PORTS || e->n_out > LCPFWD_MAX_MROUTE_OUT || e->out < g->n_sent || e->out > g->n_ports ||
        e->n_out > g->n_ports - e->out)
      return -EUCLEAN;
  }
  for (uint32_t i = 0; i < g->n_ports; i++)
    if (mroute_ports(g)[i] >= LCPFWD_MAX_PORTS)
      return -EUCLEAN;
  return blocks_mark(&w->blocks, block, group_bytes(g->n_in, g->n_ports));
}

int mroute_recover(struct writer *w) {
  uint32_t block = w->region->head->mroute_hash;
  if (block == 0)
    return 0;
  if (!blocks_contain(&w->blocks, block, sizeof(struct hash_array)))
    return -EUCLEAN;
  const struct hash_array *a = region_at(w->region, block);
  if ((a->mask & (a->mask + 1)) || a->mask + 1 < LEAST_SLOTS || !blocks_contain(&w->blocks, block, array_bytes(a->mask)))
    return -EUCLEAN;
  int err = blocks_mark(&w->blocks, block, array_bytes(a->mask));
  for (uint32_t i = 0; i <= a->mask && !err; i++) {
    w->mroute_slots += a->slot[i] != 0;
    if ((uint32_t)a->slot[i])
      err = recover_group(w, (uint32_t)a->slot[i]);
  }
  return err;
}

void mroute_rebuild(struct writer *w) {
  struct hash_array *a = array_of(w);
  for (uint32_t i = 0; a && i <= a->mask; i++) {
    if ((uint32_t)a->slot[i] == 0)
      continue;
    struct mroute_group *g = region_at(w->region, (uint32_t)a->slot[i]);
    group_prune(w, g, &a->slot[i], 0);
    for (uint32_t k = 0; k < g->n_in; k++)
      w->mroutes += g->in[k].port != 0;
  }
}
