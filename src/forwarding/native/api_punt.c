/* api_punt.c - lcpfwd.h: the punt program: set, dumped, counted, found again by the next writer.
 *
 * A slot is given to a record for as long as it is set again with it. A slot that is free again is the last to
 * be given anew, so no worker that still has the old program counts into another's.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attachment.h"
#include "punts.h"
#include "writer.h"

static struct punt_program *program(const struct region *r) {
  uint32_t block = r->head->punts;
  return block ? region_at(r, block) : NULL;
}

static int counts(const struct lcpfwd_punt *p) {
  return p->type != LCPFWD_PUNT_RULE;
}

static void slot_clear(struct region *r, uint32_t slot) {
  for (unsigned w = 0; w < r->head->workers; w++) {
    struct lcpfwd_punt_count *c = &r->head->punt_counts[w][slot];
    STORE(&c->packets, 0);
    STORE(&c->bytes, 0);
    STORE(&c->drops, 0);
    STORE(&c->drop_bytes, 0);
  }
}

/* Gives slots to those that have none. 0: there are not enough. */
static int slots_give(struct region *r, struct lcpfwd_punt *records, uint32_t n) {
  uint8_t taken[LCPFWD_MAX_PUNT_SLOTS] = {0};
  const struct punt_program *now = program(r);
  uint32_t left = LCPFWD_MAX_PUNT_SLOTS;
  for (uint32_t i = 0; i < n; i++)
    taken[records[i].slot] = 1;
  for (uint32_t i = 0; now && i < now->n_records; i++)
    taken[program_records(now)[i].slot] = 1;
  for (uint32_t i = 0; i < n; i++) {
    if (records[i].slot || !counts(&records[i]))
      continue;
    uint32_t slot = r->head->punt_slot;
    do {
      if (left-- == 0)
        return 0;
      slot = (slot + 1) % LCPFWD_MAX_PUNT_SLOTS;
    } while (slot == 0 || taken[slot]);
    r->head->punt_slot = slot;
    taken[slot] = 1;
    slot_clear(r, slot);
    records[i].slot = slot;
  }
  return 1;
}

/* Buckets of limits that are new or others begin full. */
static void buckets_begin(struct region *r, const struct punt_program *was, const struct punt_program *is) {
  for (unsigned i = 0; i < LCPFWD_SCOPES; i++)
    if (!was || memcmp(&was->police[i], &is->police[i], sizeof is->police[i]))
      STORE(&r->head->buckets[i], 0);
}

static int publish(struct writer *w, const struct punt_program *g) {
  struct region_head *h = w->region->head;
  const struct punt_program *was = program(w->region);
  uint32_t old = h->punts, block = g ? blocks_alloc(&w->blocks, g->bytes) : 0;
  if (g && !block)
    return -ENOSPC;
  if (g) {
    memcpy(region_at(w->region, block), g, g->bytes);
    buckets_begin(w->region, was, g);
  }
  PUBLISH(&h->punts, block);
  if (was)
    blocks_retire(&w->blocks, old, was->bytes);
  blocks_settle(&w->blocks);
  return 0;
}

int32_t lcpfwd_punts_set(lcpfwd *f, struct lcpfwd_punt *records, uint32_t n, uint32_t *bad) {
  int err = n > LCPFWD_MAX_PUNTS ? -ENOSPC : 0;
  *bad = n;
  for (uint32_t i = 0; i < n && !err; i++)
    if ((err = punts_check(&f->region, records, n, i)))
      *bad = i;
  if (err)
    return err;
  struct lcpfwd_punt *given = malloc((n + 1) * sizeof *given);
  if (!given)
    return -ENOMEM;
  if (n)
    memcpy(given, records, n * sizeof *given);
  struct punt_program *g = NULL;
  if (!slots_give(&f->region, given, n))
    err = -ENOSPC;
  else if (n && !(g = punts_compile(&f->region, given, n)))
    err = -ENOMEM;
  if (!err)
    err = publish(f->writer, g);
  if (!err && n)
    memcpy(records, given, n * sizeof *given);
  free(g);
  free(given);
  /* It is in force whatever comes of this, and clients without a datagram are counted. */
  return !err && f->punt_clients ? f->punt_clients(f) : err;
}

int32_t lcpfwd_punt_socket(lcpfwd *f, const char *path, char *errtext) {
  return f->punt_socket ? f->punt_socket(f, path, errtext) : -ENOTCONN;
}

static int port_there(const struct region *r, unsigned id, uint64_t generation) {
  const struct port_entry *e = id ? port_get(r, id) : NULL;
  return id == 0 || (e && e->generation == generation);
}

int32_t lcpfwd_punts_dump(lcpfwd *f, struct lcpfwd_punt *out, uint32_t max) {
  const struct punt_program *g = program(&f->region);
  uint32_t n = 0;
  int there = 1; /* of a rule: its ABX */
  for (uint32_t i = 0; g && i < g->n_records; i++) {
    const struct lcpfwd_punt *p = &program_records(g)[i];
    if (p->type != LCPFWD_PUNT_RULE)
      there = port_there(&f->region, p->from, p->from_generation) && port_there(&f->region, p->to, p->to_generation);
    if (!there)
      continue;
    if (n < max)
      out[n] = *p;
    n++;
  }
  return (int32_t)n;
}

int32_t lcpfwd_punt_count(lcpfwd *f, uint32_t slot, struct lcpfwd_punt_count *out) {
  const struct region_head *h = f->region.head;
  if (slot == 0 || slot >= LCPFWD_MAX_PUNT_SLOTS)
    return -EINVAL;
  memset(out, 0, sizeof *out);
  for (unsigned w = 0; w < h->workers; w++) {
    const struct lcpfwd_punt_count *c = &h->punt_counts[w][slot];
    out->packets += LOAD(&c->packets);
    out->bytes += LOAD(&c->bytes);
    out->drops += LOAD(&c->drops);
    out->drop_bytes += LOAD(&c->drop_bytes);
  }
  return 0;
}

/* --- attach ---------------------------------------------------------------------------------------- */

static int inside(const struct punt_program *g, uint32_t at, uint32_t n, size_t size) {
  return at >= sizeof *g && at % 8 == 0 && at <= g->bytes && (uint64_t)n * size <= g->bytes - at;
}

/* Does it lie within its block, and do its records name what there can be? Only lcpd writes it; this is against a
 * region that was damaged. */
static int sound(const struct punt_program *g) {
  uint32_t slots = g->match_mask + 1;
  for (unsigned i = 0; i < LCPFWD_MAX_PORTS; i++)
    if (g->port_of[i] > g->n_ports)
      return 0;
  if (slots == 0 || (slots & g->match_mask) || g->redirect_any[0] > g->n_targets || g->redirect_any[1] > g->n_targets ||
      !inside(g, g->records, g->n_records, sizeof(struct lcpfwd_punt)))
    return 0;
  for (uint32_t i = 0; i < g->n_records; i++)
    if (program_records(g)[i].slot >= LCPFWD_MAX_PUNT_SLOTS)
      return 0;
  return inside(g, g->ports, g->n_ports, sizeof(struct punt_port)) &&
         inside(g, g->targets, g->n_targets, sizeof(struct punt_target)) && inside(g, g->rules, g->n_rules, sizeof(struct punt_rule)) &&
         inside(g, g->proxies, g->n_proxies, sizeof(struct punt_proxy)) &&
         inside(g, g->relays, g->n_relays, sizeof(struct punt_relay)) && g->n_relays <= g->n_records &&
         inside(g, g->matches, g->match_mask + 1, sizeof(struct punt_match)) && g->n_records <= LCPFWD_MAX_PUNTS &&
         g->n_proxies <= g->n_records && g->n_rules <= g->n_records;
}

int punts_recover(struct writer *w) {
  uint32_t block = w->region->head->punts;
  if (block == 0)
    return 0;
  const struct punt_program *g = region_at(w->region, block);
  if (!blocks_contain(&w->blocks, block, sizeof *g) || g->bytes < sizeof *g || !blocks_contain(&w->blocks, block, g->bytes) ||
      !sound(g))
    return -EUCLEAN;
  return blocks_mark(&w->blocks, block, g->bytes);
}
