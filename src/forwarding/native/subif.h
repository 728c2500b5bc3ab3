/* subif.h - sub-interfaces: which port a tagged frame belongs to, and the hash that says so.
 *
 * A sub-interface is a port entry with a parent and one or two tags. Buckets are chains of port ids
 * through subif_next; a link or its removal is one store. A removed entry keeps its next, so that a
 * worker that stands on it gets on; its id is free again only after a grace period. All that a chain
 * says is checked against the entry, so a stale one can lead astray but never to a wrong port.
 * Reference: IEEE 802.1Q (VLAN 0 is no VLAN: the frame is only given a priority).
 */
#ifndef LCPFWD_SUBIF_H
#define LCPFWD_SUBIF_H

#include "frame.h"
#include "region.h"

struct writer;

static inline unsigned subif_bucket(unsigned parent, uint32_t outer, uint32_t inner) {
  uint64_t key = mix64((uint64_t)outer << 32 | inner) + parent;
  return (unsigned)(mix64(key) & (SUBIF_BUCKETS - 1));
}

/* Port id of the open sub-interface with exactly these tags (inner 0: one tag), 0: none. */
static inline unsigned subif_find(const struct region *r, unsigned parent, uint32_t outer, uint32_t inner) {
  const struct region_head *h = r->head;
  uint32_t id = ACQUIRE(&h->subif_hash[subif_bucket(parent, outer, inner)]);
  for (unsigned left = LCPFWD_MAX_PORTS; id && left; left--) {
    const struct port_entry *p = &h->ports[id % LCPFWD_MAX_PORTS];
    if (ACQUIRE(&p->state) == PORT_OPEN && LOAD(&p->parent) == parent && LOAD(&p->tags[0]) == outer &&
        LOAD(&p->tags[1]) == inner)
      return id;
    id = ACQUIRE(&p->subif_next);
  }
  return 0;
}

/* The tags of a frame that count: those of VLAN 0 only bear a priority. tag: TPID << 16 | VLAN id, 0 for
 * none. How many; -1: more than a sub-interface can have, or of an old sort. */
static inline int frame_tags(const struct packet *p, uint32_t tag[LCPFWD_MAX_TAGS]) {
  int n = 0;
  tag[0] = tag[1] = 0;
  for (unsigned i = 0, at = 12; i < p->tagged; i++, at += VLAN_TAG) {
    unsigned tpid = load_be16(p->data + at), id = load_be16(p->data + at + 2) & 0xfff;
    if (tpid == TYPE_QINQ_OLD) return -1;
    if (id == 0) continue;
    if (n == (int)LCPFWD_MAX_TAGS) return -1;
    tag[n++] = (uint32_t)tpid << 16 | id;
  }
  return n;
}

/* --- the writer -------------------------------------------------------------------------------- */

/* -EINVAL: tags or flags that no sub-interface has; -ENODEV: no such parent; -EEXIST: tags are taken. */
int subif_check(const struct region *r, const struct lcpfwd_port *p);
/* The reserved entry becomes open, then found. */
void subif_open(struct writer *w, unsigned id);
/* Not found any more, its adjacencies end, and its id is free after a grace period. */
void subif_close(struct writer *w, unsigned id);
/* All of a parent that is about to close. */
void subif_close_all(struct writer *w, unsigned parent);
/* No worker can have the id any more. */
void subif_reclaim(struct writer *w, unsigned id);
/* Attach, in two steps around blocks_marked: what lost its parent closes; then the chains are put right
 * while workers read them, and closing goes on. */
void subif_recover(struct writer *w);
void subif_rebuild(struct writer *w);

#endif
