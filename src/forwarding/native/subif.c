/* subif.c - making, ending and recovering sub-interfaces (subif.h). */
#include "subif.h"

#include <errno.h>

#include "adj.h"
#include "mroute.h"
#include "reader.h"
#include "writer.h"

static struct port_entry *entry_of(struct writer *w, unsigned id) {
  return &w->region->head->ports[id];
}

static uint32_t *bucket_of(struct writer *w, const struct port_entry *e) {
  return &w->region->head->subif_hash[subif_bucket(e->parent, e->tags[0], e->tags[1])];
}

static int tag_ok(uint32_t tag) {
  unsigned tpid = tag >> 16, id = tag & 0xffff;
  return (tpid == TYPE_VLAN || tpid == TYPE_QINQ) && id >= 1 && id <= 4094;
}

int subif_check(const struct region *r, const struct lcpfwd_port *p) {
  if (p->tags < 1 || p->tags > LCPFWD_MAX_TAGS || !tag_ok(p->tag[0]) || (p->tags == 2 && !tag_ok(p->tag[1])) ||
      (p->flags & LCPFWD_PORT_TUN))
    return -EINVAL;
  const struct port_entry *parent = port_get(r, p->parent);
  if (!parent || parent->parent)
    return -ENODEV;
  if (port_flags(parent) & LCPFWD_PORT_TUN)
    return -EINVAL;
  return subif_find(r, p->parent, p->tag[0], p->tags == 2 ? p->tag[1] : 0) ? -EEXIST : 0;
}

static void link_in(struct writer *w, unsigned id) {
  struct port_entry *e = entry_of(w, id);
  uint32_t *bucket = bucket_of(w, e);
  STORE(&e->subif_next, *bucket);
  PUBLISH(bucket, id);
}

void subif_open(struct writer *w, unsigned id) {
  PUBLISH(&entry_of(w, id)->state, PORT_OPEN);
  link_in(w, id);
}

/* The chain was put right at attach, so it ends and holds what is open. */
static void unlink_from(struct writer *w, unsigned id) {
  uint32_t *at = bucket_of(w, entry_of(w, id));
  while (*at && *at != id)
    at = &entry_of(w, *at)->subif_next;
  if (*at)
    PUBLISH(at, entry_of(w, id)->subif_next);
}

void subif_close(struct writer *w, unsigned id) {
  mroute_port_close(w, id);
  adj_port_close(w, id);
  PUBLISH(&entry_of(w, id)->state, PORT_CLOSING);
  unlink_from(w, id);
  blocks_retire_id(&w->blocks, RETIRED_PORT, id);
}

void subif_close_all(struct writer *w, unsigned parent) {
  for (unsigned id = 1; id < LCPFWD_MAX_PORTS; id++)
    if (entry_of(w, id)->state == PORT_OPEN && entry_of(w, id)->parent == parent)
      subif_close(w, id);
}

void subif_reclaim(struct writer *w, unsigned id) {
  PUBLISH(&entry_of(w, id)->state, PORT_FREE);
}

void subif_recover(struct writer *w) {
  for (unsigned id = 1; id < LCPFWD_MAX_PORTS; id++) {
    struct port_entry *e = entry_of(w, id);
    if (e->state != PORT_OPEN || e->parent == 0)
      continue;
    const struct port_entry *parent = port_get(w->region, e->parent);
    if (!parent || parent->parent)
      PUBLISH(&e->state, PORT_CLOSING);
  }
}

/* Takes out of bucket's chain what is not open, what belongs elsewhere and what comes again. */
static void chain_repair(struct writer *w, uint32_t *bucket, uint8_t *linked) {
  unsigned left = 2 * LCPFWD_MAX_PORTS; /* stale entries may lead in a circle */
  for (uint32_t *at = bucket; *at; left--) {
    uint32_t id = *at;
    if (id >= LCPFWD_MAX_PORTS || left == 0) {
      PUBLISH(at, 0);
      return;
    }
    struct port_entry *e = entry_of(w, id);
    if (e->state == PORT_OPEN && e->parent && bucket_of(w, e) == bucket && !linked[id]) {
      linked[id] = 1;
      at = &e->subif_next;
    } else {
      PUBLISH(at, e->subif_next);
    }
  }
}

void subif_rebuild(struct writer *w) {
  struct region_head *h = w->region->head;
  uint8_t linked[LCPFWD_MAX_PORTS] = {0};
  for (unsigned i = 0; i < SUBIF_BUCKETS; i++)
    chain_repair(w, &h->subif_hash[i], linked);
  for (unsigned id = 1; id < LCPFWD_MAX_PORTS; id++) {
    struct port_entry *e = entry_of(w, id);
    if (e->state == PORT_CLOSING)
      blocks_retire_id(&w->blocks, RETIRED_PORT, id);
    else if (e->state == PORT_OPEN && e->parent && !linked[id])
      link_in(w, id);
  }
}
