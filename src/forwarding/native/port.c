/* port.c - port entries (port.h). */
#include "port.h"

#include <errno.h>
#include <string.h>

#include "adj.h"
#include "lender.h"
#include "reader.h"
#include "subif.h"
#include "writer.h"

#define LEAST_MTU 68u     /* RFC 791 */
#define MOST_MTU 65535u
#define PORT_FLAGS                                                                             \
  (LCPFWD_PORT_UP | LCPFWD_PORT_TUN | LCPFWD_PORT_KERNEL_FWD4 | LCPFWD_PORT_KERNEL_FWD6 | LCPFWD_PORT_L2 | \
   LCPFWD_PORT_FOREIGN)
#define FIXED_FLAGS                                                                          \
  (LCPFWD_PORT_INTERCONNECT | LCPFWD_PORT_WIRE_TAP | LCPFWD_PORT_GSO | LCPFWD_PORT_HOSTLESS | LCPFWD_PORT_WIRE_MEMIF)

static int lookup_check(const struct region *r, const struct lcpfwd_lookup_spec *s, unsigned af) {
  if (s->n > LCPFWD_LOOKUP_TABLES || s->merged > 1 || (s->merged && s->n < 2))
    return -EINVAL;
  for (unsigned i = 0; i < s->n; i++)
    if (s->table[i] == 0 || s->table[i] >= LCPFWD_MAX_TABLES || r->head->tables[s->table[i]].af != af)
      return -EINVAL;
  return 0;
}

int port_check(const struct region *r, const struct lcpfwd_port *p) {
  uint32_t made = p->flags & FIXED_FLAGS;
  if (made && (!(made & LCPFWD_PORT_INTERCONNECT) || p->parent || (p->flags & LCPFWD_PORT_TUN)))
    return -EINVAL;
  if ((p->flags & ~(PORT_FLAGS | FIXED_FLAGS)) || p->mtu < LEAST_MTU || p->mtu > MOST_MTU || p->macs > LCPFWD_MAX_MACS ||
      (p->tags && !p->parent))
    return -EINVAL;
  if (p->mpls && (p->mpls >= LCPFWD_MAX_TABLES || r->head->tables[p->mpls].af != LCPFWD_AF_MPLS))
    return -EINVAL;
  int err = lookup_check(r, &p->v4, LCPFWD_AF_INET);
  return err ? err : lookup_check(r, &p->v6, LCPFWD_AF_INET6);
}

static uint64_t mac_word(const uint8_t *mac) {
  uint64_t v = 0;
  memcpy(&v, mac, 6);
  return v;
}

/* from: of at least size bytes, or a shorter text with its end. */
static void name_copy(char *to, const char *from, size_t size) {
  size_t n = strnlen(from, size - 1);
  memcpy(to, from, n);
  memset(to + n, 0, size - n);
}

static void more_write(struct port_entry *e, const struct lcpfwd_port *p) {
  uint64_t more[LCPFWD_MAX_MACS] = {0};
  uint32_t side = e->more_side >> 8 & 1;
  for (unsigned i = 0; i < p->macs; i++)
    more[i] = mac_word(p->more[i]);
  if (p->macs == (e->more_side & 0xff) && memcmp(more, e->more[side], p->macs * sizeof *more) == 0)
    return;
  for (unsigned i = 0; i < p->macs; i++)
    STORE(&e->more[!side][i], more[i]);
  PUBLISH(&e->more_side, (uint32_t)!side << 8 | p->macs);
}

static void attributes_write(struct port_entry *e, const struct lcpfwd_port *p) {
  uint64_t src6[2];
  uint32_t side = e->src6_side & 1;
  memcpy(src6, p->src6, sizeof src6);
  STORE(&e->mtu, p->mtu);
  STORE(&e->src4, p->src4);
  if (memcmp(src6, e->src6[side], sizeof src6) != 0) {
    STORE(&e->src6[!side][0], src6[0]);
    STORE(&e->src6[!side][1], src6[1]);
    PUBLISH(&e->src6_side, !side);
  }
  more_write(e, p);
  STORE(&e->mpls, p->mpls);
  STORE(&e->lookup4, port_pack_lookup(&p->v4));
  STORE(&e->lookup6, port_pack_lookup(&p->v6));
  STORE(&e->host_ifindex, p->host_ifindex);
  name_copy(e->host, p->host, sizeof e->host);
  PUBLISH(&e->flags, p->flags);
}

void port_host(struct port_entry *e, const struct lcpfwd_port *p) {
  STORE(&e->host_ifindex, p ? p->host_ifindex : 0);
  name_copy(e->host, p ? p->host : "", sizeof e->host);
  name_copy(e->netns, p ? p->netns : "", sizeof e->netns);
  if (p) {
    PUBLISH(&e->flags, e->flags & ~LCPFWD_PORT_HOSTLESS);
    return;
  }
  PUBLISH(&e->flags, (e->flags & FIXED_FLAGS) | LCPFWD_PORT_HOSTLESS | LCPFWD_PORT_UP);
  STORE(&e->lookup4, 0);
  STORE(&e->lookup6, 0);
  STORE(&e->mpls, 0);
  STORE(&e->src4, 0);
  PUBLISH(&e->more_side, e->more_side & 0x100);
}

int port_note_set(struct port_entry *e, const uint8_t *note, uint32_t len) {
  uint32_t side = !(e->note_side >> 16);
  if (len > LCPFWD_NOTE_SIZE)
    return -ENOSPC;
  memcpy(e->note[side], note, len);
  PUBLISH(&e->note_side, side << 16 | len);
  return 0;
}

static unsigned free_id(const struct region_head *h) {
  unsigned id = 1;
  while (id < LCPFWD_MAX_PORTS && ACQUIRE(&h->ports[id].state) != PORT_FREE)
    id++;
  return id < LCPFWD_MAX_PORTS ? id : 0;
}

int port_reserve(struct writer *w, const struct lcpfwd_port *p) {
  struct region_head *h = w->region->head;
  int err = port_check(w->region, p);
  if (!err && p->parent)
    err = subif_check(w->region, p);
  if (err)
    return err;
  unsigned id = free_id(h);
  if (!id && blocks_wait(&w->blocks)) /* the ids of sub-interfaces rest for a moment */
    id = free_id(h);
  if (!id)
    return -ENOSPC;
  struct port_entry *e = &h->ports[id];
  for (unsigned i = 0; i < h->workers; i++)
    for (unsigned c = 0; c < COUNTER_SLOTS; c++)
      STORE(&h->counters[i][id][c], 0);
  attributes_write(e, p);
  e->phy_ifindex = p->phy_ifindex;
  STORE(&e->parent, p->parent);
  STORE(&e->tags[0], p->parent ? p->tag[0] : 0);
  STORE(&e->tags[1], p->parent && p->tags == 2 ? p->tag[1] : 0);
  e->mac = mac_word(p->mac);
  e->note_side = 0;
  STORE(&e->lender, 0);
  STORE(&e->wire_up, 0);
  e->generation = ++h->port_generation;
  name_copy(e->phy, p->phy, sizeof e->phy);
  name_copy(e->netns, p->netns, sizeof e->netns);
  PUBLISH(&e->state, PORT_RESERVED);
  err = adj_port_open(w, id);
  if (err) {
    PUBLISH(&e->state, PORT_FREE);
    return err;
  }
  return (int)id;
}

void port_forget(struct writer *w, unsigned id) {
  adj_port_close(w, id);
  PUBLISH(&w->region->head->ports[id].state, PORT_FREE);
}

int port_set(struct writer *w, unsigned id, const struct lcpfwd_port *p) {
  struct port_entry *e = &w->region->head->ports[id];
  int err = port_check(w->region, p);
  if (!err && (e->flags & LCPFWD_PORT_HOSTLESS))
    err = -EINVAL; /* who follows a host says what it has */
  if (!err && ((p->flags ^ e->flags) & LCPFWD_PORT_TUN))
    err = -EINVAL; /* the kind of a port is for life */
  if (!err && mac_word(p->mac) != e->mac)
    err = adj_port_mac(w, id, mac_word(p->mac));
  struct lcpfwd_port now = *p;
  now.flags = (p->flags & PORT_FLAGS) | (e->flags & FIXED_FLAGS);
  if (!err)
    attributes_write(e, &now);
  return err;
}

void port_read(const struct region *r, unsigned id, struct lcpfwd_port *out) {
  const struct port_entry *e = &r->head->ports[id];
  memset(out, 0, sizeof *out);
  out->id = id;
  out->flags = e->flags;
  out->phy_ifindex = e->phy_ifindex;
  out->host_ifindex = e->host_ifindex;
  out->mtu = e->mtu;
  out->src4 = e->src4;
  out->generation = e->generation;
  out->wire_up = LOAD(&e->wire_up);
  out->lender = lender_read(r, e);
  port_mac(e, out->mac);
  port_src6(e, out->src6);
  port_lookup_spec(e, LCPFWD_AF_INET, &out->v4);
  port_lookup_spec(e, LCPFWD_AF_INET6, &out->v6);
  out->mpls = e->mpls;
  out->parent = (uint16_t)e->parent;
  memcpy(out->tag, e->tags, sizeof out->tag);
  out->tags = (uint8_t)((e->tags[0] != 0) + (e->tags[1] != 0));
  out->macs = (uint8_t)(e->more_side & 0xff);
  for (unsigned i = 0; i < out->macs; i++)
    memcpy(out->more[i], &e->more[e->more_side >> 8 & 1][i], sizeof out->more[i]);
  memcpy(out->phy, e->phy, sizeof out->phy);
  memcpy(out->host, e->host, sizeof out->host);
  memcpy(out->netns, e->netns, sizeof out->netns);
}
