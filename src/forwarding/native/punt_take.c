/* punt_take.c - what a port's punts take of its frames before anything else is looked at.
 *
 * In this order: SPAN (a copy), XCONNECT (everything, whatever the port's state), then, on a port that is up:
 * OSI protocols, questions that a proxy answers, access lists (ABX). Tagged frames are first those of their
 * sub-interface, where it has the feature. Frames leave as they came: only ABX takes the tags of a
 * sub-interface off, puts those of one on, and changes the destination of unicast frames.
 * Reference: IEEE 802.2 (LLC), ISO/IEC TR 9577 (NLPID), IEEE 802.1AC (ethertype 8870 before LLC).
 */
#include "punting.h"
#include "subif.h"
#include "upper.h"

enum { TYPE_LLC_LONG = 0x8870 };

const struct port_entry *target_port(const struct datapath *d, const struct punt_target *t, const struct port_entry **device) {
  const struct port_entry *port = port_get(d->region, t->port);
  if (!port || LOAD(&port->generation) != t->generation) return NULL;
  uint32_t parent = LOAD(&port->parent);
  *device = parent ? port_get(d->region, parent) : port;
  return *device ? port : NULL;
}

static unsigned out_of(const struct punt_target *t, const struct port_entry *port) {
  uint32_t parent = LOAD(&port->parent);
  return parent ? parent : t->port;
}

struct packet *punt_copy(struct datapath *d, const struct packet *p) {
  struct packet *f = made_packet(d, p->len);
  if (!f) return NULL;
  memcpy(f->data, p->data, p->len);
  f->vnet = p->vnet;
  f->ethertype = p->ethertype;
  f->l3 = p->l3;
  f->tagged = p->tagged;
  f->in_port = p->in_port;
  f->device = p->device;
  return f;
}

static void leave(struct datapath *d, struct packet *p, const struct punt_target *t, const struct port_entry *port) {
  unsigned out = out_of(t, port);
  p->disposition = DISPOSE_PHY;
  p->out_port = (uint16_t)out;
  slot_count(d, t->slot, p->len);
  if (out == t->port) return;
  count(d, t->port, COUNTER_TX_PACKETS, 1);
  count(d, t->port, COUNTER_TX_BYTES, p->len);
}

/* An interconnect takes what fits its MTU; a phy's device tells by itself. */
static int fits(const struct port_entry *device, const struct packet *p, uint32_t head) {
  return !(port_flags(device) & (LCPFWD_PORT_WIRE_TAP | LCPFWD_PORT_WIRE_MEMIF)) || packet_is_gso(p) || p->len <= port_mtu(device) + head;
}

/* The frame itself leaves by t; its fate is why, or what kept it. */
static void give(struct datapath *d, struct packet *p, const struct punt_target *t, int up, enum counter why) {
  const struct port_entry *device, *port = target_port(d, t, &device);
  enum counter lost = COUNTER_COUNT;
  if (!port || (up && !(port_flags(port) & port_flags(device) & LCPFWD_PORT_UP))) lost = COUNTER_DROP_PUNT_DOWN;
  else if (!fits(device, p, p->l3 > ETH_HEAD ? p->l3 : ETH_HEAD)) lost = COUNTER_DROP_PUNT_SIZE;
  if (lost != COUNTER_COUNT) {
    slot_drop(d, t->slot, p->len);
    return drop(p, lost);
  }
  p->counter = (uint16_t)why;
  leave(d, p, t, port);
}

/* --- copies ------------------------------------------------------------------------------------- */

static void span_rx(struct datapath *d, const struct punt_port *at, const struct packet *p) {
  const struct punt_target *t = program_targets(d->punts) + at->span_rx;
  for (unsigned i = 0; i < at->n_span_rx; i++, t++) {
    const struct port_entry *device, *port = target_port(d, t, &device);
    struct packet *f = port ? punt_copy(d, p) : NULL;
    if (!f) {
      slot_drop(d, t->slot, p->len);
      count(d, at->id, COUNTER_SPAN_LOST, 1);
      continue;
    }
    f->clone = 1;
    leave(d, f, t, port);
    count(d, at->id, COUNTER_SPAN_COPIES, 1);
  }
}

static unsigned span_tx_of(struct datapath *d, const struct punt_port *at, const struct packet *p, uint16_t *out, unsigned n) {
  const struct punt_target *t = program_targets(d->punts) + at->span_tx;
  for (unsigned i = 0; i < at->n_span_tx && n < MIRRORS; i++, t++) {
    const struct port_entry *device, *port = target_port(d, t, &device);
    if (!port || out_of(t, port) == p->out_port) {
      slot_drop(d, t->slot, p->len);
      count(d, at->id, COUNTER_SPAN_LOST, 1);
      continue;
    }
    slot_count(d, t->slot, p->len);
    count(d, at->id, COUNTER_SPAN_COPIES, 1);
    out[n++] = (uint16_t)out_of(t, port);
  }
  return n;
}

unsigned punts_mirror(struct datapath *d, const struct packet *p, uint16_t *out) {
  const struct punt_program *g = d->punts;
  const struct punt_port *at = punts_port(d->region, g, p->out_port), *sub = NULL;
  unsigned n = 0;
  if (p->clone) return 0;
  if (g->sub_of[p->out_port]) {
    struct packet view = *p;
    uint32_t tag[LCPFWD_MAX_TAGS];
    unsigned id = frame_parse_l2(&view) && frame_tags(&view, tag) > 0 ? subif_find(d->region, p->out_port, tag[0], tag[1]) : 0;
    if (id) sub = punts_port(d->region, g, id);
  }
  if (at && at->n_span_tx) n = span_tx_of(d, at, p, out, n);
  if (sub && sub->n_span_tx) n = span_tx_of(d, sub, p, out, n);
  return n;
}

/* --- OSI ---------------------------------------------------------------------------------------- */

/* The NLPID behind FE FE 03; 0: none. */
static unsigned nlpid(const struct packet *p) {
  const uint8_t *llc = p->data + p->l3;
  if ((p->ethertype && p->ethertype != TYPE_LLC_LONG) || p->len < p->l3 + 4u) return 0;
  return llc[0] == 0xfe && llc[1] == 0xfe && llc[2] == 0x03 ? llc[3] : 0;
}

/* Every target gets one: the last the frame itself. 0: nobody wants it. */
static int osi(struct datapath *d, const struct punt_port *at, struct packet *p) {
  const struct punt_target *t = program_targets(d->punts) + at->osi, *last = NULL;
  unsigned protocol = nlpid(p);
  if (!protocol) return 0;
  for (unsigned i = 0; i < at->n_osi; i++, t++) {
    if (t->protocol != protocol) continue;
    if (last) {
      struct packet *f = punt_copy(d, p);
      if (f) give(d, f, last, 1, COUNTER_PUNT_OSI);
      else slot_drop(d, last->slot, p->len);
    }
    last = t;
  }
  if (!last) return 0;
  if (!punts_police(d, p)) drop(p, COUNTER_DROP_POLICED);
  else give(d, p, last, 1, COUNTER_PUNT_OSI);
  return 1;
}

/* --- ABX ---------------------------------------------------------------------------------------- */

static int prefix_matches(const uint64_t *want, const uint64_t *mask, const uint8_t *addr, unsigned bytes) {
  uint64_t a[2] = {0, 0};
  memcpy(a, addr, bytes);
  return ((a[0] & mask[0]) == want[0]) & ((a[1] & mask[1]) == want[1]);
}

static int rule_matches(const struct punt_rule *r, const struct packet *p, const struct upper *u) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4, bytes = v4 ? 4 : 16;
  if (r->af != (v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6)) return 0;
  if (!prefix_matches(r->source, r->source_mask, ip + (v4 ? 12 : 8), bytes) ||
      !prefix_matches(r->destination, r->destination_mask, ip + (v4 ? 16 : 24), bytes))
    return 0;
  if (r->protocol && r->protocol != u->protocol) return 0;
  if (!r->upper) return 1;
  return u->have && u->source >= r->source_ports[0] && u->source <= r->source_ports[1] && u->destination >= r->destination_ports[0] &&
         u->destination <= r->destination_ports[1] && (u->tcp_flags & r->tcp_mask) == r->tcp_value;
}

int punt_retag(struct packet *p, const struct port_entry *to) {
  uint8_t macs[12];
  unsigned n = 0;
  memcpy(macs, p->data, 12);
  for (unsigned i = 0; i < LCPFWD_MAX_TAGS; i++) n += LOAD(&to->tags[i]) != 0;
  if (!packet_set_l3(p, ETH_HEAD + VLAN_TAG * n)) return 0;
  memcpy(p->data, macs, 12);
  for (unsigned i = 0; i < n; i++) {
    uint32_t tag = LOAD(&to->tags[i]);
    store_be16(p->data + 12 + VLAN_TAG * i, tag >> 16);
    store_be16(p->data + 14 + VLAN_TAG * i, tag & 0xffff);
  }
  store_be16(p->data + p->l3 - 2, p->ethertype);
  p->tagged = (uint8_t)n;
  return 1;
}

/* Unicast to the interconnect's own MAC is for the neighbour that it answered for: nobody else would take it. */
static void to_neighbour(struct datapath *d, struct packet *p, const struct ingress *in, const struct punt_target *t) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4, af = v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6;
  if (!(in->flags & LCPFWD_PORT_INTERCONNECT) || memcmp(p->data, in->mac, 6)) return;
  const struct adj *a = adj_get(d->region, adj_find_neighbour(d->region, t->port, af, ip + (v4 ? 16 : 24)));
  if (a && a->state == ADJ_COMPLETE && a->rewrite_len >= 12) memcpy(p->data, a->rewrite, 12);
  else neighbour_want(d, t->port, af, ip + (v4 ? 16 : 24));
}

static void abx_give(struct datapath *d, struct packet *p, const struct ingress *in, const struct punt_target *t) {
  const struct port_entry *device, *port = target_port(d, t, &device);
  if (port && (LOAD(&in->port->parent) || LOAD(&port->parent)) && !punt_retag(p, port)) {
    slot_drop(d, t->slot, p->len);
    return drop(p, COUNTER_DROP_NO_ROOM);
  }
  if (t->flags & LCPFWD_PUNT_MAC) {
    if (!(p->data[0] & 1)) memcpy(p->data, t->mac, 6);
  } else if (port) {
    to_neighbour(d, p, in, t);
  }
  give(d, p, t, 1, COUNTER_PUNT_ABX);
}

static int abx(struct datapath *d, const struct punt_port *at, const struct ingress *in, struct packet *p) {
  const struct punt_rule *r = program_rules(d->punts) + at->rule;
  struct upper u;
  if (!at->n_rules || !upper_find(p, &u)) return 0;
  if (!(p->data[0] & 1) && memcmp(p->data, in->mac, 6) && !port_has_mac(in->port, p->data)) return 0;
  if (p->ethertype == TYPE_IP4 && !checksum_ok(p->data + p->l3, (p->data[p->l3] & 15u) * 4u)) return 0;
  for (unsigned i = 0; i < at->n_rules; i++, r++) {
    if (!rule_matches(r, p, &u)) continue;
    if (!r->permit) return 0;
    abx_give(d, p, in, &program_targets(d->punts)[r->target]);
    return 1;
  }
  return 0;
}

/* --- a frame ------------------------------------------------------------------------------------ */

/* The sub-interface of its tags, 0: none. */
static unsigned sub_of(const struct datapath *d, const struct packet *p) {
  uint32_t tag[LCPFWD_MAX_TAGS];
  return p->tagged && frame_tags(p, tag) > 0 ? subif_find(d->region, p->device, tag[0], tag[1]) : 0;
}

static void take_sub(struct datapath *d, struct packet *p, unsigned id) {
  p->in_port = (uint16_t)id;
  count(d, id, COUNTER_RX_PACKETS, 1);
  count(d, id, COUNTER_RX_BYTES, p->len);
}

int punts_take(struct datapath *d, const struct ingress *in, struct packet *p) {
  const struct punt_program *g = d->punts;
  const struct punt_port *device = punts_port(d->region, g, in->id), *sub = NULL;
  unsigned id = 0;
  if ((!device && !g->sub_of[in->id]) || (in->flags & LCPFWD_PORT_TUN)) return 0;
  if (!vnet_ok(&p->vnet, p->len)) return 0; /* and is dropped for it */
  int parsed = frame_parse_l2(p);
  if (parsed && (id = sub_of(d, p))) sub = punts_port(d->region, g, id);
  if (device) span_rx(d, device, p);
  if (sub) span_rx(d, sub, p);
  if (sub && sub->xconnect) {
    take_sub(d, p, id);
    give(d, p, &program_targets(g)[sub->xconnect - 1], 0, COUNTER_PUNT_XCONNECT);
    return 1;
  }
  if (device && device->xconnect) {
    if (!parsed) p->l3 = 0;
    give(d, p, &program_targets(g)[device->xconnect - 1], 0, COUNTER_PUNT_XCONNECT);
    return 1;
  }
  if (!parsed || !(in->flags & LCPFWD_PORT_UP)) return 0;
  if (!id && !p->tagged) return device && (osi(d, device, p) || proxy_answer(d, device, in, p) || abx(d, device, in, p));
  /* tagged: priorities only, of a sub-interface, or of nobody */
  uint32_t tag[LCPFWD_MAX_TAGS];
  if (!id && frame_tags(p, tag) == 0)
    return device && (osi(d, device, p) || proxy_answer(d, device, in, p) || abx(d, device, in, p));
  struct ingress at;
  if (sub && ingress_load(d, &at, id)) {
    unsigned was = p->in_port;
    p->in_port = (uint16_t)id;
    if (osi(d, sub, p) || proxy_answer(d, sub, &at, p) || abx(d, sub, &at, p)) {
      take_sub(d, p, id);
      return 1;
    }
    p->in_port = (uint16_t)was;
  }
  return device && osi(d, device, p);
}
