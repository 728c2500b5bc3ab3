/* icmp.c - the ICMP and ICMPv6 errors that the data plane sends itself, where the kernel behind the
 * pair does not forward and so would not.
 *
 * Never about an ICMP error or redirect, a later fragment, a multicast, broadcast or unspecified
 * source or destination, or a link-layer broadcast. Limited per port and worker. The error is routed
 * like any packet, by the tables of the port the offender came in by; failing that, straight back out
 * of that port if the source is a neighbour there, or borrows our own address (lender.h). Quotes up to 576 (IPv4) or 1280 (IPv6) bytes.
 * Reference: RFC 792, RFC 1812 4.3, RFC 1191, RFC 4443.
 */
#include "egress.h"

#define LIMIT_RATE 1000u  /* a second */
#define LIMIT_BURST 100u
#define TTL 64u

static int allowed(struct datapath *d, const struct ingress *in) {
  struct icmp_bucket *b = &d->bucket[in->id];
  uint64_t generation = LOAD(&in->port->generation), step = 1000000000ull / LIMIT_RATE;
  if (b->generation != generation) *b = (struct icmp_bucket){generation, d->now_ns, LIMIT_BURST};
  uint64_t earned = (d->now_ns - b->at_ns) / step;
  if (earned) {
    b->tokens = earned > LIMIT_BURST - b->tokens ? LIMIT_BURST : b->tokens + (uint32_t)earned;
    b->at_ns += earned * step;
  }
  if (!b->tokens) return 0;
  b->tokens--;
  return 1;
}

static int is_error4(const uint8_t *ip, uint32_t len) {
  unsigned ihl = (ip[0] & 15u) * 4u;
  if (ip[9] != PROTO_ICMP) return 0;
  if (len <= ihl) return 1;
  unsigned type = ip[ihl];
  return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
}

static int askable4(const uint8_t *ip, uint32_t len) {
  uint32_t src = load_be32(ip + 12), dst = load_be32(ip + 16);
  if (load_be16(ip + 6) & 0x1fff) return 0;
  if (src >> 28 >= 14 || src >> 24 == 0 || src >> 24 == 127 || dst >> 28 == 14 || dst == 0xffffffffu) return 0;
  return !is_error4(ip, len);
}

/* 1 unless the upper layer, behind what extension headers there are, forbids it (RFC 4443 2.4 e). */
static int askable6(const uint8_t *ip, uint32_t len) {
  unsigned next = ip[6];
  uint32_t at = 40;
  if (ip[8] == 0xff || ip[24] == 0xff || (ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80)) return 0;
  if (load_be32(ip + 8) == 0 && load_be32(ip + 12) == 0 && load_be32(ip + 16) == 0 && load_be32(ip + 20) <= 1) return 0;
  for (unsigned depth = 0; depth < 8; depth++) {
    if (next == PROTO_ICMP6) return at < len && ip[at] >= 128 && ip[at] != 137;
    if (next != PROTO_HOPOPT && next != PROTO_ROUTING && next != PROTO_DSTOPTS && next != PROTO_FRAGMENT) return 1;
    if (at + 8 > len) return 0;
    if (next == PROTO_FRAGMENT && (load_be16(ip + at + 2) & 0xfff8)) return 0;
    uint32_t n = next == PROTO_FRAGMENT ? 8u : 8u + 8u * ip[at + 1];
    next = ip[at];
    at += n;
  }
  return 0;
}

static struct packet *build4(struct datapath *d, const struct ingress *in, const uint8_t *ip, uint32_t len,
                             enum exception why, uint32_t mtu) {
  static const uint8_t type[] = {[EXCEPTION_TTL] = 11, [EXCEPTION_TOO_BIG] = 3, [EXCEPTION_NO_ROUTE] = 3,
                                 [EXCEPTION_UNREACHABLE] = 3, [EXCEPTION_PROHIBIT] = 3};
  static const uint8_t code[] = {[EXCEPTION_TTL] = 0, [EXCEPTION_TOO_BIG] = 4, [EXCEPTION_NO_ROUTE] = 0,
                                 [EXCEPTION_UNREACHABLE] = 1, [EXCEPTION_PROHIBIT] = 13};
  uint32_t src = port_src4(in->ip), quote = len < 576 - 28 ? len : 576 - 28;
  struct packet *m = made_packet(d, 28 + quote);
  if (!m) return NULL;
  uint8_t *o = m->data, *icmp = o + 20;
  memset(o, 0, 28);
  o[0] = 0x45;
  o[1] = 0xc0; /* RFC 1812 4.3.2.5: precedence of internetwork control */
  store_be16(o + 2, 28 + quote);
  store_be16(o + 4, d->ident++);
  o[8] = TTL;
  o[9] = PROTO_ICMP;
  memcpy(o + 12, &src, 4);
  memcpy(o + 16, ip + 12, 4);
  store16(o + 10, checksum(o, 20));
  icmp[0] = type[why];
  icmp[1] = code[why];
  if (why == EXCEPTION_TOO_BIG) store_be16(icmp + 6, mtu > 0xffff ? 0xffff : mtu);
  memcpy(icmp + 8, ip, quote);
  store16(icmp + 2, checksum(icmp, 8 + quote));
  m->ethertype = TYPE_IP4;
  return m;
}

static struct packet *build6(struct datapath *d, const struct ingress *in, const uint8_t *ip, uint32_t len,
                             enum exception why, uint32_t mtu) {
  static const uint8_t type[] = {[EXCEPTION_TTL] = 3, [EXCEPTION_TOO_BIG] = 2, [EXCEPTION_NO_ROUTE] = 1,
                                 [EXCEPTION_UNREACHABLE] = 1, [EXCEPTION_PROHIBIT] = 1};
  static const uint8_t code[] = {[EXCEPTION_TTL] = 0, [EXCEPTION_TOO_BIG] = 0, [EXCEPTION_NO_ROUTE] = 0,
                                 [EXCEPTION_UNREACHABLE] = 3, [EXCEPTION_PROHIBIT] = 1};
  uint32_t quote = len < 1280 - 48 ? len : 1280 - 48;
  struct packet *m = made_packet(d, 48 + quote);
  if (!m) return NULL;
  uint8_t *o = m->data, *icmp = o + 40, pseudo[4] = {0, 0, 0, PROTO_ICMP6}, length[4] = {0};
  memset(o, 0, 48);
  o[0] = 0x60;
  store_be16(o + 4, 8 + quote);
  o[6] = PROTO_ICMP6;
  o[7] = TTL;
  port_src6(in->ip, o + 8);
  memcpy(o + 24, ip + 8, 16);
  icmp[0] = type[why];
  icmp[1] = code[why];
  if (why == EXCEPTION_TOO_BIG) {
    store_be16(icmp + 4, mtu >> 16);
    store_be16(icmp + 6, mtu & 0xffff);
  }
  memcpy(icmp + 8, ip, quote);
  store_be16(length + 2, 8 + quote);
  uint64_t sum = checksum_add(0, o + 8, 32);
  sum = checksum_add(sum, length, 4);
  sum = checksum_add(sum, pseudo, 4);
  sum = checksum_add(sum, icmp, 8 + quote);
  store16(icmp + 2, (uint16_t)~checksum_fold(sum));
  m->ethertype = TYPE_IP6;
  return m;
}

/* The neighbour that the offender is from, behind the port that it came in by. */
static void straight_back(const struct datapath *d, const struct ingress *in, const struct packet *p, struct adj *a) {
  *a = (struct adj){.id = adj_multicast(d->region, in->id), .port = in->id, .out = in->id, .state = ADJ_COMPLETE, .rewrite_len = 12};
  memcpy(a->rewrite, p->data + 6, 6);
  memcpy(a->rewrite + 6, in->mac, 6);
}

/* The way back to the source of the offender p; 0: there is none. straight: room for an adjacency of its own. */
static int way_back(struct datapath *d, const struct ingress *in, const struct packet *p, unsigned af, const uint8_t *to, struct egress *way,
                    struct adj *straight) {
  struct lcpfwd_lookup_result found;
  fib_lookup(d->region, af == LCPFWD_AF_INET ? &in->v4 : &in->v6, af, to, &found);
  enum egress_result r = egress_resolve(d, way, &found, af, to, (uint32_t)mix64(load_be32(to)));
  if (r == EGRESS_NO_NEIGHBOUR) neighbour_want(d, way->port, way->af, way->nh);
  if (r == EGRESS_SPECIAL && way->special == LCPFWD_PL_LOCAL && in->ip != in->port) {
    straight_back(d, in, p, straight);
    *way = (struct egress){.adj = straight};
    return 1;
  }
  if (r == EGRESS_SEND && port_get(d->region, way->adj->port)) return 1;
  const struct adj *direct = adj_get(d->region, adj_find_neighbour(d->region, in->ip_id, af, to));
  *way = (struct egress){.adj = direct};
  return direct && direct->state == ADJ_COMPLETE;
}

void icmp_error(struct datapath *d, const struct ingress *in, const struct packet *p, enum exception why, uint32_t mtu) {
  static const uint8_t none[16];
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4;
  /* Quote the packet, not the Ethernet padding behind it. */
  uint32_t room = p->len - p->l3, total = v4 ? load_be16(ip + 2) : 40u + load_be16(ip + 4);
  uint32_t len = total < room && total > 40 ? total : room;
  uint8_t src6[16];
  port_src6(in->ip, src6);
  if (!(v4 ? askable4(ip, len) : askable6(ip, len))) return count(d, in->id, COUNTER_ICMP_SUPPRESSED, 1);
  if (v4 ? port_src4(in->ip) == 0 : !memcmp(src6, none, 16)) return count(d, in->id, COUNTER_ICMP_NO_SOURCE, 1);
  if (!allowed(d, in)) return count(d, in->id, COUNTER_ICMP_LIMITED, 1);
  struct egress way;
  struct adj straight;
  if (!way_back(d, in, p, v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6, v4 ? ip + 12 : ip + 8, &way, &straight))
    return count(d, in->id, COUNTER_ICMP_NO_ROUTE, 1);
  struct packet *m = v4 ? build4(d, in, ip, len, why, mtu) : build6(d, in, ip, len, why, mtu);
  if (!m || !packet_output(d, m, &way, TTL)) return count(d, in->id, COUNTER_ICMP_NO_ROUTE, 1);
  m->in_port = in->id;
  count(d, in->id, COUNTER_ICMP_SENT, 1);
}
