/* mpls.c - labelled frames: swap, pop and push, as the kernel does them.
 *
 * A route of a label names a path list. A leg with labels: they take the place of the top label, with its
 * TTL less one. A leg without: the label goes; what is below goes to the leg's next hop, an IP packet when
 * the label was the bottom of the stack, else a labelled one. TTL of what is uncovered: the label's less
 * one (uniform model), or its own less one (pipe, leg's ttl set). The traffic class is not carried on.
 * A leg that is looked up: the last label goes, and the IP packet below is routed by the leg's tables as if it
 * had come in by itself, with the TTL of a pop. What cannot be done here is the kernel's, exactly as received,
 * labels and all; there is no ICMP from inside a tunnel.
 * Reference: RFC 3031, 3032, 3443; net/mpls/af_mpls.c (mpls_forward, mpls_egress).
 */
#include "egress.h"

#define BOTTOM 0x100u
#define IP4_MIN 20u
#define IP6_HEAD 40u
#define HASH_DEPTH 16u /* labels that tell flows apart, at most */

int mpls_classify(const struct ingress *in, struct packet *p) {
  if (!in->mpls)
    punt(p, COUNTER_PUNT_MPLS);
  else if (p->len - p->l3 < LABEL)
    drop(p, COUNTER_DROP_RUNT);
  else
    return 1;
  return 0;
}

int mpls_push(struct packet *p, const struct egress *e, unsigned ttl, unsigned bottom) {
  unsigned l2 = e->adj->rewrite_len + 2u, n = e->labels;
  if (!packet_set_l3(p, l2 + LABEL * n)) return 0;
  p->l3 = (uint8_t)l2; /* the labels are what follows the ethertype */
  p->ethertype = TYPE_MPLS;
  for (unsigned i = 0; i < n; i++) {
    uint32_t entry = e->label[i] << 12 | (bottom && i == n - 1 ? BOTTOM : 0) | ttl;
    store_be16(p->data + l2 + LABEL * i, entry >> 16);
    store_be16(p->data + l2 + LABEL * i + 2, entry & 0xffff);
  }
  memcpy(p->data, e->adj->rewrite, e->adj->rewrite_len);
  store_be16(p->data + e->adj->rewrite_len, p->ethertype);
  p->disposition = DISPOSE_PHY;
  p->out_port = e->adj->out;
  p->adjacency = e->adj->id;
  return 1;
}

int mpls_output(struct datapath *d, struct packet *p, const struct egress *e, unsigned ttl) {
  if (packet_is_gso(p)) return segment(d, p, e, p->l3, p->len - p->l3, ttl, 1);
  if (!mpls_push(p, e, ttl, 1)) return 0;
  count_output(d, e->adj, p->len);
  return 1;
}

/* What lies below a label stack: where, and as what. */
struct below {
  uint32_t at;      /* from the packet's data */
  uint16_t type;    /* 0: no IP packet that is whole */
  uint32_t head, total;
};

static void look_below(const struct packet *p, uint32_t at, struct below *b) {
  const uint8_t *ip = p->data + at;
  uint32_t room = p->len - at;
  b->at = at;
  b->type = 0;
  if (room >= IP4_MIN && ip[0] >> 4 == 4) {
    b->head = (ip[0] & 15u) * 4u;
    b->total = load_be16(ip + 2);
    if (b->head >= IP4_MIN && b->total >= b->head && b->total <= room) b->type = TYPE_IP4;
  } else if (room >= IP6_HEAD && ip[0] >> 4 == 6) {
    uint32_t payload = load_be16(ip + 4);
    b->head = IP6_HEAD;
    b->total = payload || ip[6] != PROTO_HOPOPT ? IP6_HEAD + payload : room;
    if (b->total <= room) b->type = TYPE_IP6;
  }
}

/* Flow hash of the stack and what is below it; *b is that. The frame has a whole label at l3. */
static uint32_t stack_hash(const struct packet *p, struct below *b) {
  uint64_t h = 0;
  uint32_t at = p->l3;
  *b = (struct below){.type = 0};
  for (unsigned depth = 0; depth < HASH_DEPTH && p->len - at >= LABEL; depth++) {
    uint32_t entry = load_be32(p->data + at), label = entry >> 12;
    if (label >= 16) h = mix64(h + label); /* reserved ones mark, they do not tell flows apart */
    at += LABEL;
    if (!(entry & BOTTOM)) continue;
    look_below(p, at, b);
    if (b->type == TYPE_IP4) h += flow_hash4(p->data + at, b->total);
    if (b->type == TYPE_IP6) h += flow_hash6(p->data + at, b->total);
    break;
  }
  return (uint32_t)mix64(h);
}

/* Longest that the frame will be on the wire, behind its top label. */
static uint32_t length_below(const struct packet *p, const struct below *b) {
  uint32_t top = p->l3 + LABEL;
  if (!packet_is_gso(p) || !b->type) return p->len - top;
  return b->at - top + wire_length(p, p->data + b->at, p->len - b->at, b->head, b->total);
}

static void ttl_write4(uint8_t *ip, unsigned ttl) {
  uint16_t before = load16(ip + 8);
  ip[8] = (uint8_t)ttl;
  store16(ip + 10, checksum_replace(load16(ip + 10), before, load16(ip + 8)));
}

static unsigned less_one(unsigned ttl) { return ttl ? ttl - 1 : 0; }

/* The IP packet below the last label goes on by itself. Its L2 part still counts the label's bytes. */
static int pop_to_ip(struct packet *p, const struct egress *e, const struct below *b, unsigned ttl) {
  uint8_t *ip = p->data + b->at;
  if (b->type == TYPE_IP4) ttl_write4(ip, e->ttl ? less_one(ip[8]) : ttl);
  else ip[7] = (uint8_t)(e->ttl ? less_one(ip[7]) : ttl);
  p->len = b->at + b->total; /* Ethernet padding stays behind */
  p->ethertype = b->type;
  return packet_rewrite(p, e->adj);
}

/* The next label is now the top one. */
static void pop_to_label(struct packet *p, const struct egress *e, unsigned ttl) {
  uint8_t *entry = p->data + p->l3;
  entry[3] = (uint8_t)(e->ttl ? less_one(entry[3]) : ttl);
}

static void send(struct datapath *d, struct packet *p, const struct egress *e, const struct below *b) {
  uint32_t entry = load_be32(p->data + p->l3), bottom = entry & BOTTOM, ttl = entry & 0xff;
  const struct port_entry *out = output_port(d, p, e->adj);
  if (!out) return;
  if (ttl <= 1) return punt(p, COUNTER_PUNT_MPLS_TTL);
  if (!e->labels && (bottom ? !b->type : p->len - p->l3 < 2 * LABEL)) return drop(p, COUNTER_DROP_MALFORMED);
  if (!e->labels && !bottom && !e->adj->rewrite_len) return punt(p, COUNTER_PUNT_KERNEL); /* a TUN has no labels */
  if (length_below(p, b) + LABEL * e->labels > port_mtu(out)) return punt(p, COUNTER_PUNT_MPLS_TOO_BIG);
  p->l3 = (uint8_t)(p->l3 + LABEL);
  p->counter = COUNTER_FORWARD_MPLS;
  ttl--;
  if (!e->labels && !bottom) pop_to_label(p, e, ttl);
  if (packet_is_gso(p) && (e->labels || !bottom)) {
    if (!b->type) return drop(p, COUNTER_DROP_OFFLOAD);
    if (!segment(d, p, e, b->at, b->total, ttl, bottom)) drop(p, COUNTER_DROP_NO_ROOM);
    return;
  }
  int sent = e->labels ? mpls_push(p, e, ttl, bottom) : bottom ? pop_to_ip(p, e, b, ttl) : packet_rewrite(p, e->adj);
  if (!sent) return drop(p, COUNTER_DROP_NO_ROOM);
  count_output(d, e->adj, p->len);
}

/* The packet below the only label leaves by what its own lookup found. */
static void send_below(struct datapath *d, struct packet *p, const struct egress *e, const struct below *b, unsigned ttl) {
  uint8_t *ip = p->data + b->at;
  const struct port_entry *out = output_port(d, p, e->adj);
  if (!out) return;
  if (wire_length(p, ip, p->len - b->at, b->head, b->total) + LABEL * e->labels > port_mtu(out)) return punt(p, COUNTER_PUNT_MPLS_TOO_BIG);
  if (b->type == TYPE_IP4) ttl_write4(ip, ttl);
  else ip[7] = (uint8_t)ttl;
  p->l3 = (uint8_t)b->at;
  p->len = b->at + b->total;
  p->ethertype = b->type;
  p->counter = COUNTER_FORWARD_MPLS;
  if (!packet_output(d, p, e, ttl)) drop(p, COUNTER_DROP_NO_ROOM);
}

static void special_below(struct packet *p, uint32_t which) {
  static const uint16_t told[] = {
      [LCPFWD_PL_NONE] = COUNTER_PUNT_NO_ROUTE,          [LCPFWD_PL_LOCAL] = COUNTER_PUNT_LOCAL,
      [LCPFWD_PL_BROADCAST] = COUNTER_PUNT_BROADCAST,    [LCPFWD_PL_ANYCAST] = COUNTER_PUNT_LOCAL,
      [LCPFWD_PL_MULTICAST] = COUNTER_PUNT_MULTICAST,    [LCPFWD_PL_UNREACHABLE] = COUNTER_PUNT_UNREACHABLE,
      [LCPFWD_PL_PROHIBIT] = COUNTER_PUNT_PROHIBIT,      [LCPFWD_PL_THROW] = COUNTER_PUNT_NO_ROUTE,
      [LCPFWD_PL_PUNT] = COUNTER_PUNT_KERNEL,
  };
  if (which == LCPFWD_PL_BLACKHOLE) drop(p, COUNTER_DROP_BLACKHOLE);
  else punt(p, which < sizeof told / sizeof *told ? told[which] : COUNTER_PUNT_KERNEL);
}

/* The leg says: pop, and look the packet below up. Nothing of p changes before it is sure to leave. */
static void route_below(struct datapath *d, struct packet *p, struct egress *e, const struct below *b, uint32_t hash) {
  uint32_t entry = load_be32(p->data + p->l3), ttl = entry & 0xff;
  if (!(entry & BOTTOM)) return punt(p, COUNTER_PUNT_KERNEL);
  if (ttl <= 1) return punt(p, COUNTER_PUNT_MPLS_TTL);
  if (!b->type) return drop(p, COUNTER_DROP_MALFORMED);
  struct packet below = *p;
  below.l3 = (uint8_t)b->at;
  below.ethertype = b->type;
  if (!ip_classify(&below)) {
    p->disposition = below.disposition;
    p->out_port = below.out_port;
    p->counter = below.counter;
    return;
  }
  const uint8_t *ip = p->data + b->at;
  unsigned v4 = b->type == TYPE_IP4;
  enum egress_result r = egress_lookup(d, e, v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6, v4 ? ip + 16 : ip + 24, hash);
  int for_us = r == EGRESS_SPECIAL && e->special >= LCPFWD_PL_LOCAL && e->special <= LCPFWD_PL_MULTICAST;
  if (!v4 && !for_us && link_local6(ip + 8)) return drop(p, COUNTER_DROP_SCOPE);
  p->table = e->table;
  p->pathlist = e->pathlist;
  if (e->adj) p->adjacency = e->adj->id;
  switch (r) {
    case EGRESS_SEND: send_below(d, p, e, b, ttl - 1); break;
    case EGRESS_SPECIAL: special_below(p, e->special); break;
    case EGRESS_NO_NEIGHBOUR: punt_no_neighbour(d, p, e->port, e->af, e->nh); break;
    case EGRESS_LOOKUP: /* an address was looked up */
    case EGRESS_DEAD: drop(p, COUNTER_DROP_DEAD_ADJACENCY); break;
    case EGRESS_LOOP: drop(p, COUNTER_DROP_LOOKUP_LOOP); break;
  }
}

void mpls_route(struct datapath *d, struct packet *p, const struct lcpfwd_lookup_result *found) {
  struct egress e;
  struct below b;
  p->table = found->table;
  p->pathlist = found->pathlist;
  if (!found->pathlist) return punt(p, COUNTER_PUNT_MPLS_NO_LABEL);
  uint32_t hash = stack_hash(p, &b);
  enum egress_result r = egress_resolve(d, &e, found, 0, NULL, hash);
  if (e.adj) p->adjacency = e.adj->id;
  switch (r) {
    case EGRESS_SEND: send(d, p, &e, &b); break;
    case EGRESS_SPECIAL:
      if (e.special == LCPFWD_PL_BLACKHOLE) drop(p, COUNTER_DROP_BLACKHOLE);
      else punt(p, COUNTER_PUNT_KERNEL);
      break;
    case EGRESS_LOOKUP: route_below(d, p, &e, &b, hash); break;
    case EGRESS_NO_NEIGHBOUR: punt_no_neighbour(d, p, e.port, e.af, e.nh); break;
    case EGRESS_LOOP: /* labels are looked up once */
    case EGRESS_DEAD: drop(p, COUNTER_DROP_DEAD_ADJACENCY); break;
  }
}
