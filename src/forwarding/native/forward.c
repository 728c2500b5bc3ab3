/* forward.c - frames from the wire: what is for us, what is transit, and where transit leaves.
 *
 * Order: the port, or the sub-interface of the tags, the L2 address, the family, the sanity of the IP header, what is punted by its
 * looks (multicast, link-local, router alert), martians, then the route. A packet changes only when
 * it is sure to leave: whatever is punted is still as it was received.
 * Reference: RFC 1812 (4.2.2, 5.2, 5.3), RFC 8200, RFC 4291 2.5.6, RFC 1624, RFC 8950.
 */
#include "egress.h"
#include "punting.h"
#include "subif.h"

#define IP4_MIN 20u
#define IP6_HEAD 40u
#define OPTION4_ROUTER_ALERT 148u
#define OPTION6_ROUTER_ALERT 5u
#define DONT_FRAGMENT 0x4000u

enum step { STEP_DONE, STEP_PARSED, STEP_LOOKUP, STEP_TAGGED, STEP_MULTICAST };

/* 0/8, 127/8, and as a source also 224/4 and 240/4; RFC 1812 5.3.7. Host order. */
static inline int martian4(uint32_t src, uint32_t dst) {
  return src >> 24 == 0 || src >> 24 == 127 || src >> 28 >= 14 || dst >> 24 == 0 || dst >> 24 == 127 || dst >> 28 == 15;
}

static inline int zero_but_last(const uint8_t *a) {
  uint64_t v[2];
  memcpy(v, a, 16);
  return v[0] == 0 && (load_be32(a + 8) == 0) && a[12] == 0 && a[13] == 0 && a[14] == 0;
}

/* :: and ::1, and a multicast source. */
static inline int martian6(const uint8_t *ip) {
  const uint8_t *src = ip + 8, *dst = ip + 24;
  return (zero_but_last(src) && src[15] <= 1) || (zero_but_last(dst) && dst[15] <= 1) || src[0] == 0xff;
}

int options4_alert(const uint8_t *ip, unsigned ihl) {
  for (unsigned at = IP4_MIN; at < ihl;) {
    if (ip[at] == 0) break;
    if (ip[at] == 1) {
      at++;
      continue;
    }
    if (at + 1 >= ihl || ip[at + 1] < 2 || at + ip[at + 1] > ihl) return -1;
    if (ip[at] == OPTION4_ROUTER_ALERT) return 1;
    at += ip[at + 1];
  }
  return 0;
}

int hop_by_hop_alert(const uint8_t *ip, uint32_t len) {
  if (len < IP6_HEAD + 8) return -1;
  uint32_t end = IP6_HEAD + 8u + 8u * ip[IP6_HEAD + 1];
  if (end > len) return -1;
  for (uint32_t at = IP6_HEAD + 2; at < end;) {
    if (ip[at] == 0) {
      at++;
      continue;
    }
    if (at + 1 >= end || at + 2u + ip[at + 1] > end) return -1;
    if (ip[at] == OPTION6_ROUTER_ALERT) return 1;
    at += 2u + ip[at + 1];
  }
  return 0;
}

static inline enum step done_punt(struct packet *p, enum counter why) {
  punt(p, why);
  return STEP_DONE;
}

static inline enum step done_drop(struct packet *p, enum counter why) {
  drop(p, why);
  return STEP_DONE;
}

HOT enum step classify4(struct packet *p) {
  const uint8_t *ip = p->data + p->l3;
  uint32_t room = p->len - p->l3;
  if (room < IP4_MIN) return done_drop(p, COUNTER_DROP_RUNT);
  unsigned ihl = (ip[0] & 15u) * 4u, total = load_be16(ip + 2);
  if (ip[0] >> 4 != 4 || ihl < IP4_MIN || total < ihl || total > room) return done_drop(p, COUNTER_DROP_MALFORMED);
  if (!checksum_ok(ip, ihl)) return done_drop(p, COUNTER_DROP_CHECKSUM);
  uint32_t src = load_be32(ip + 12), dst = load_be32(ip + 16);
  if (dst >> 28 == 14) return multicast_routable(p) ? STEP_MULTICAST : done_punt(p, COUNTER_PUNT_MULTICAST);
  if (dst == 0xffffffffu) return done_punt(p, COUNTER_PUNT_BROADCAST);
  if (martian4(src, dst)) return done_drop(p, COUNTER_DROP_MARTIAN);
  if (ihl > IP4_MIN) {
    int alert = options4_alert(ip, ihl);
    if (alert < 0) return done_drop(p, COUNTER_DROP_MALFORMED);
    if (alert) return done_punt(p, COUNTER_PUNT_OPTIONS);
  }
  return STEP_LOOKUP;
}

/* RFC 4861: router/neighbour solicitation and advertisement, redirect. */
static inline int is_nd(const uint8_t *ip, uint32_t len) {
  return ip[6] == PROTO_ICMP6 && len > IP6_HEAD && ip[IP6_HEAD] >= 133 && ip[IP6_HEAD] <= 137;
}

HOT enum step classify6(struct packet *p) {
  const uint8_t *ip = p->data + p->l3;
  uint32_t room = p->len - p->l3;
  if (room < IP6_HEAD) return done_drop(p, COUNTER_DROP_RUNT);
  uint32_t total = IP6_HEAD + load_be16(ip + 4);
  if (ip[0] >> 4 != 6 || total > room) return done_drop(p, COUNTER_DROP_MALFORMED);
  if (ip[24] == 0xff && multicast_routable(p)) return STEP_MULTICAST;
  if (ip[24] == 0xff) return done_punt(p, is_nd(ip, room) ? COUNTER_PUNT_ND : COUNTER_PUNT_MULTICAST);
  if (link_local6(ip + 24)) return done_punt(p, is_nd(ip, room) ? COUNTER_PUNT_ND : COUNTER_PUNT_LINK_LOCAL);
  if (martian6(ip)) return done_drop(p, COUNTER_DROP_MARTIAN);
  if (ip[6] == PROTO_HOPOPT) {
    int alert = hop_by_hop_alert(ip, room);
    if (alert < 0) return done_drop(p, COUNTER_DROP_MALFORMED);
    if (alert) return done_punt(p, COUNTER_PUNT_OPTIONS);
  }
  return STEP_LOOKUP;
}

/* A frame for another station: with more addresses than a port has room for, the kernel tells them apart. */
static enum step foreign(const struct ingress *in, struct packet *p) {
  if (!(in->flags & LCPFWD_PORT_FOREIGN)) return done_drop(p, COUNTER_DROP_NOT_FOR_US);
  if (!vnet_ok(&p->vnet, p->len)) return done_drop(p, COUNTER_DROP_OFFLOAD);
  return done_punt(p, COUNTER_PUNT_FOREIGN);
}

static inline int is_ours(const struct ingress *in, const struct packet *p) {
  return (p->data[0] & 1) || !memcmp(p->data, in->mac, 6) || port_has_mac(in->port, p->data);
}

/* Headers are found, in is the port or sub-interface that takes the frame. */
static inline enum step classify(const struct ingress *in, struct packet *p) {
  if (!(in->flags & LCPFWD_PORT_TUN)) {
    if (in->flags & LCPFWD_PORT_L2) {
      if (!vnet_ok(&p->vnet, p->len)) return done_drop(p, COUNTER_DROP_OFFLOAD);
      return done_punt(p, COUNTER_PUNT_L2);
    }
    if (!is_ours(in, p)) return foreign(in, p);
  }
  if (!vnet_ok(&p->vnet, p->len)) return done_drop(p, COUNTER_DROP_OFFLOAD);
  if (p->ethertype == TYPE_ARP) return done_punt(p, COUNTER_PUNT_ARP);
  if (!(in->flags & LCPFWD_PORT_TUN) && (p->data[0] & 1)) {
    if (p->ethertype == TYPE_IP6 && p->len - p->l3 >= IP6_HEAD && is_nd(p->data + p->l3, p->len - p->l3))
      return done_punt(p, COUNTER_PUNT_ND);
    if (!memcmp(p->data, "\xff\xff\xff\xff\xff\xff", 6)) return done_punt(p, COUNTER_PUNT_BROADCAST);
    return multicast_routable(p) ? STEP_MULTICAST : done_punt(p, COUNTER_PUNT_MULTICAST);
  }
  if (p->ethertype == TYPE_IP4) return classify4(p);
  if (p->ethertype == TYPE_IP6) return classify6(p);
  if (p->ethertype == TYPE_MPLS) return mpls_classify(in, p) ? STEP_LOOKUP : STEP_DONE;
  return done_punt(p, COUNTER_PUNT_UNKNOWN);
}

static inline enum step parse(const struct ingress *in, struct packet *p) {
  if (!(in->flags & LCPFWD_PORT_UP)) return done_drop(p, COUNTER_DROP_PORT_DOWN);
  if (in->flags & LCPFWD_PORT_TUN) return frame_parse_l3(p) ? STEP_PARSED : done_drop(p, COUNTER_DROP_RUNT);
  if (!frame_parse_l2(p)) return done_drop(p, COUNTER_DROP_RUNT);
  return p->tagged ? STEP_TAGGED : STEP_PARSED;
}

int ip_classify(struct packet *p) {
  enum step step = p->ethertype == TYPE_IP4 ? classify4(p) : classify6(p);
  if (step == STEP_MULTICAST) punt(p, COUNTER_PUNT_MULTICAST);
  return step == STEP_LOOKUP;
}

static void special(struct datapath *d, const struct ingress *in, struct packet *p, uint32_t which) {
  switch (which) {
    case LCPFWD_PL_LOCAL:
    case LCPFWD_PL_ANYCAST: punt(p, COUNTER_PUNT_LOCAL); break;
    case LCPFWD_PL_BROADCAST: punt(p, COUNTER_PUNT_BROADCAST); break;
    case LCPFWD_PL_MULTICAST: punt(p, COUNTER_PUNT_MULTICAST); break;
    case LCPFWD_PL_BLACKHOLE: drop(p, COUNTER_DROP_BLACKHOLE); break;
    case LCPFWD_PL_UNREACHABLE: punt_exception(d, in, p, EXCEPTION_UNREACHABLE, 0); break;
    case LCPFWD_PL_PROHIBIT: punt_exception(d, in, p, EXCEPTION_PROHIBIT, 0); break;
    case LCPFWD_PL_PUNT: punt(p, COUNTER_PUNT_KERNEL); break;
    default: punt_exception(d, in, p, EXCEPTION_NO_ROUTE, 0); break;
  }
}

/* What labels leave of the MTU of a port. */
static inline uint32_t mtu_below_labels(const struct port_entry *out, const struct egress *e) {
  return port_mtu(out) - LABEL * e->labels; /* 68 at least, so never below 36 */
}

static void forward4(struct datapath *d, const struct ingress *in, struct packet *p, const struct egress *e) {
  uint8_t *ip = p->data + p->l3;
  unsigned total = load_be16(ip + 2);
  const struct port_entry *out = output_port(d, p, e->adj);
  if (!out) return;
  if (ip[8] <= 1) return punt_exception(d, in, p, EXCEPTION_TTL, 0);
  uint32_t mtu = mtu_below_labels(out, e);
  int cut = 0;
  if (wire_length(p, ip, p->len - p->l3, (ip[0] & 15u) * 4u, total) > mtu) {
    if ((load_be16(ip + 6) & DONT_FRAGMENT) || packet_is_gso(p) || (in->flags & LCPFWD_PORT_KERNEL_FWD4))
      return punt_exception(d, in, p, EXCEPTION_TOO_BIG, mtu);
    cut = 1;
  }
  uint16_t before = load16(ip + 8);
  ip[8]--;
  store16(ip + 10, checksum_replace(load16(ip + 10), before, load16(ip + 8)));
  p->len = p->l3 + total; /* Ethernet padding stays behind */
  p->counter = COUNTER_FORWARD_IP4;
  if (cut) return fragment4(d, p, e, mtu);
  if (!packet_output(d, p, e, ip[8])) return drop(p, COUNTER_DROP_NO_ROOM);
}

static void forward6(struct datapath *d, const struct ingress *in, struct packet *p, const struct egress *e) {
  uint8_t *ip = p->data + p->l3;
  uint32_t payload = load_be16(ip + 4);
  /* A payload length of 0 before a hop-by-hop header is a jumbogram (RFC 2675): it ends with its frame. */
  uint32_t total = payload || ip[6] != PROTO_HOPOPT ? IP6_HEAD + payload : p->len - p->l3;
  const struct port_entry *out = output_port(d, p, e->adj);
  if (!out) return;
  if (ip[7] <= 1) return punt_exception(d, in, p, EXCEPTION_TTL, 0);
  uint32_t mtu = mtu_below_labels(out, e);
  if (wire_length(p, ip, p->len - p->l3, IP6_HEAD, total) > mtu) return punt_exception(d, in, p, EXCEPTION_TOO_BIG, mtu);
  ip[7]--;
  p->len = p->l3 + total;
  p->counter = COUNTER_FORWARD_IP6;
  if (!packet_output(d, p, e, ip[7])) return drop(p, COUNTER_DROP_NO_ROOM);
}

static inline void route(struct datapath *d, const struct ingress *in, struct packet *p, const struct lcpfwd_lookup_result *found) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4;
  const uint8_t *dst = v4 ? ip + 16 : ip + 24;
  uint32_t len = p->len - p->l3;
  struct egress e;
  if (p->ethertype == TYPE_MPLS) return mpls_route(d, p, found);
  enum egress_result r = egress_resolve(d, &e, found, v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6, dst,
                                        v4 ? flow_hash4(ip, len) : flow_hash6(ip, len));
  int for_us = r == EGRESS_SPECIAL && e.special >= LCPFWD_PL_LOCAL && e.special <= LCPFWD_PL_MULTICAST;
  if (!v4 && !for_us && link_local6(ip + 8)) return drop(p, COUNTER_DROP_SCOPE);
  p->table = e.table;
  p->pathlist = e.pathlist;
  if (e.adj) p->adjacency = e.adj->id;
  switch (r) {
    case EGRESS_SEND: v4 ? forward4(d, in, p, &e) : forward6(d, in, p, &e); break;
    case EGRESS_SPECIAL: special(d, in, p, e.special); break;
    case EGRESS_NO_NEIGHBOUR: punt_no_neighbour(d, p, e.port, e.af, e.nh); break;
    case EGRESS_LOOKUP: /* of labels only */
    case EGRESS_DEAD: drop(p, COUNTER_DROP_DEAD_ADJACENCY); break;
    case EGRESS_LOOP: drop(p, COUNTER_DROP_LOOKUP_LOOP); break;
  }
}

static inline void lookup(struct datapath *d, const struct ingress *in, const struct packet *p,
                          struct lcpfwd_lookup_result *found) {
  const uint8_t *l3 = p->data + p->l3;
  if (p->ethertype == TYPE_IP4) {
    fib_lookup(d->region, &in->v4, LCPFWD_AF_INET, l3 + 16, found);
  } else if (p->ethertype == TYPE_IP6) {
    fib_lookup(d->region, &in->v6, LCPFWD_AF_INET6, l3 + 24, found);
  } else {
    found->table = in->mpls;
    found->pathlist = fib_lookup_table(d->region, in->mpls, LCPFWD_AF_MPLS, l3, &found->plen);
  }
}

/* The sub-interface id, in *sub, which keeps the one before. 0: it is not up. */
static int sub_load(struct datapath *d, struct ingress *sub, unsigned id) {
  if (id != sub->id) ingress_load(d, sub, id);
  return sub->port && (sub->flags & LCPFWD_PORT_UP);
}

/* A frame with tags: its sub-interface is where it comes in, unless they are priorities only. */
static __attribute__((noinline)) enum step tagged(struct datapath *d, const struct ingress *parent, struct ingress *sub, struct packet *p) {
  uint32_t tag[LCPFWD_MAX_TAGS];
  int n = frame_tags(p, tag);
  unsigned id = n > 0 ? subif_find(d->region, p->device, tag[0], tag[1]) : 0;
  if (n == 0) return STEP_PARSED;
  if (id && sub_load(d, sub, id)) {
    p->in_port = (uint16_t)id;
    count(d, id, COUNTER_RX_PACKETS, 1);
    count(d, id, COUNTER_RX_BYTES, p->len);
    return STEP_PARSED;
  }
  if (!(parent->flags & LCPFWD_PORT_L2) && !is_ours(parent, p)) return foreign(parent, p);
  return vnet_ok(&p->vnet, p->len) ? done_punt(p, COUNTER_PUNT_VLAN) : done_drop(p, COUNTER_DROP_OFFLOAD);
}

/* punts: whether there is a punt program; a constant, so that a burst without has no code for it. */
HOT void burst(struct datapath *d, unsigned id, struct packet *p, unsigned n, int punts) {
  struct lcpfwd_lookup_result found[BURST];
  uint8_t steps[BURST];
  struct ingress in, sub;
  uint64_t bytes = 0;
  ingress_load(d, &in, id);
  sub.id = 0;
  for (unsigned i = 0; i < n; i++) {
    p[i].in_port = p[i].device = (uint16_t)id;
    p[i].out_port = p[i].clone = 0;
    p[i].from_host = 0;
    p[i].table = p[i].pathlist = p[i].adjacency = 0;
    bytes += p[i].len;
    const struct ingress *at = &in;
    enum step step = punts && in.port && punts_take(d, &in, &p[i]) ? STEP_DONE : parse(&in, &p[i]);
    if (__builtin_expect(step == STEP_TAGGED, 0)) {
      step = tagged(d, &in, &sub, &p[i]);
      if (p[i].in_port != id) at = &sub;
    }
    if (step == STEP_PARSED) step = classify(at, &p[i]);
    if (step == STEP_LOOKUP) lookup(d, at, &p[i], &found[i]);
    steps[i] = (uint8_t)step;
  }
  for (unsigned i = 0; i < n; i++) {
    if (steps[i] == STEP_MULTICAST) multicast_forward(d, &p[i]);
    if (steps[i] != STEP_LOOKUP) continue;
    const struct ingress *at = &in;
    if (__builtin_expect(p[i].in_port != id, 0)) {
      at = &sub;
      if (!sub_load(d, &sub, p[i].in_port)) { /* it was taken away a moment ago */
        drop(&p[i], COUNTER_DROP_PORT_DOWN);
        continue;
      }
    }
    route(d, at, &p[i], &found[i]);
  }
  if (punts || __builtin_expect(in.flags & LCPFWD_PORT_HOSTLESS, 0))
    for (unsigned i = 0; i < n; i++)
      if (p[i].disposition == DISPOSE_HOST) punts_deliver(d, &p[i]);
  count(d, id, COUNTER_RX_PACKETS, n);
  count(d, id, COUNTER_RX_BYTES, bytes);
  burst_account(d, p, n);
}

static __attribute__((noinline)) void burst_punts(struct datapath *d, unsigned id, struct packet *p, unsigned n) {
  burst(d, id, p, n, 1);
}

void phy_burst(struct datapath *d, unsigned id, struct packet *p, unsigned n) {
  d->punts = punts_of(d->region);
  if (__builtin_expect(d->punts != NULL, 0)) return burst_punts(d, id, p, n);
  burst(d, id, p, n, 0);
}
