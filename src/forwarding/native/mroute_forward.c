/* mroute_forward.c - multicast packets: replicated by the entries of mroute.h, else the kernel's.
 *
 * The host gets what it joined as it was received, and of every entry one packet each SAMPLE_NS: the
 * kernel's own counters and last use stay alive by them, and routing daemons age entries by those. It
 * forwards what it gets by the same cache, so what comes back out of a host and was replicated here
 * is dropped; both sides ask multicast_routable, so that nothing is dropped that only it can forward.
 * The last output takes the packet itself, all others a copy, so packets of an entry stay in order.
 * Reference: RFC 1112, RFC 4291 2.7, RFC 5110; net/ipv4/ipmr.c.
 */
#include "mroute.h"

#include <endian.h>

#include "egress.h"
#include "punting.h"

#define SAMPLE_NS 10000000000ll
#define DONT_FRAGMENT 0x4000u

enum { PROTO_IGMP = 2, PROTO_PIM = 103 };

static int routable4(const uint8_t *ip, uint32_t room) {
  if (room < 20) return 0;
  unsigned ihl = (ip[0] & 15u) * 4u, total = load_be16(ip + 2);
  if (ip[0] >> 4 != 4 || ihl < 20 || total < ihl || total > room || !checksum_ok(ip, ihl)) return 0;
  if (ip[16] >> 4 != 14 || (ip[16] == 224 && ip[17] == 0 && ip[18] == 0)) return 0;
  if (ip[12] == 0 || ip[12] == 127 || ip[12] >= 224 || ip[9] == PROTO_IGMP || ip[9] == PROTO_PIM) return 0;
  return options4_alert(ip, ihl) == 0;
}

/* MLD (RFC 2710, 3810), multicast router discovery (RFC 4286) and ND: between neighbours only. */
static int is_neighbours_icmp6(unsigned type) {
  return (type >= 130 && type <= 137) || type == 143 || (type >= 151 && type <= 153);
}

static int routable6(const uint8_t *ip, uint32_t room) {
  static const uint8_t zero[15];
  if (room < 40 || ip[0] >> 4 != 6 || 40u + load_be16(ip + 4) > room) return 0;
  if (ip[24] != 0xff || (ip[25] & 15) <= 2) return 0;
  if (ip[8] == 0xff || (ip[8] == 0xfe && (ip[9] & 0xc0) == 0x80) || (!memcmp(ip + 8, zero, 15) && ip[23] <= 1)) return 0;
  unsigned upper = ip[6], at = 40;
  if (upper == PROTO_HOPOPT) {
    if (hop_by_hop_alert(ip, room) != 0) return 0;
    upper = ip[40];
    at += 8u + 8u * ip[41];
  }
  if (upper == PROTO_ICMP6) return at < room && !is_neighbours_icmp6(ip[at]);
  return upper != PROTO_PIM;
}

int multicast_routable(const struct packet *p) {
  const uint8_t *ip = p->data + p->l3;
  uint32_t room = p->len - p->l3;
  return p->ethertype == TYPE_IP4 ? routable4(ip, room) : p->ethertype == TYPE_IP6 && routable6(ip, room);
}

/* --- from the wire -------------------------------------------------------------------------------- */

/* A port that a copy leaves by, as the adjacency that packet_output and fragment4 want. */
struct way {
  struct adj adj;
  uint32_t mtu;
};

static void way_make(struct way *way, const struct port_entry *out, unsigned port, const uint8_t *ip, unsigned v4) {
  struct adj *a = &way->adj;
  uint32_t parent = LOAD(&out->parent), tag;
  memset(a, 0, sizeof *a);
  a->id = LOAD(&out->multicast);
  a->port = (uint16_t)port;
  a->out = (uint16_t)(parent ? parent : port);
  a->state = ADJ_COMPLETE;
  if (port_flags(out) & LCPFWD_PORT_TUN) return;
  if (v4) {
    memcpy(a->rewrite, "\x01\x00\x5e", 3);
    a->rewrite[3] = ip[17] & 0x7f;
    memcpy(a->rewrite + 4, ip + 18, 2);
  } else {
    memcpy(a->rewrite, "\x33\x33", 2);
    memcpy(a->rewrite + 2, ip + 36, 4);
  }
  port_mac(out, a->rewrite + 6);
  a->rewrite_len = 12;
  for (unsigned i = 0; i < LCPFWD_MAX_TAGS && (tag = htobe32(LOAD(&out->tags[i]))) != 0; i++, a->rewrite_len += VLAN_TAG)
    memcpy(a->rewrite + a->rewrite_len, &tag, VLAN_TAG);
}

/* The port, when it and the device that it leaves by are up. */
static const struct port_entry *port_up(const struct datapath *d, unsigned id) {
  const struct port_entry *port = port_get(d->region, id), *device = port;
  if (port && LOAD(&port->parent)) device = port_get(d->region, LOAD(&port->parent));
  return port && device && (port_flags(port) & port_flags(device) & LCPFWD_PORT_UP) ? port : NULL;
}

/* One worker at a time, and not before the other's stamp is old. */
static int sample_due(const struct datapath *d, struct mroute_in *e) {
  uint64_t at = LOAD(&e->sampled_ns);
  if (at && (int64_t)(d->now_ns - at) < SAMPLE_NS) return 0;
  return __atomic_compare_exchange_n(&e->sampled_ns, &at, d->now_ns, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void copy_to_host(struct datapath *d, const struct packet *p) {
  struct packet view = *p; /* what takes it instead of the host makes copies of its own */
  punt(&view, COUNTER_PUNT_MULTICAST);
  punts_deliver(d, &view);
  if (view.disposition == DISPOSE_DROP) return;
  struct packet *f = made_packet(d, p->len);
  if (!f) return count(d, p->in_port, COUNTER_DROP_HOST_FULL, 1);
  memcpy(f->data, p->data, p->len);
  f->vnet = p->vnet;
  f->ethertype = p->ethertype;
  f->l3 = p->l3;
  f->tagged = p->tagged;
  f->in_port = p->in_port;
  f->device = p->device;
  punt(f, COUNTER_PUNT_MULTICAST);
}

/* The layer 3 part of p. NULL: no buffer for it. */
static struct packet *copy(struct datapath *d, const struct packet *p) {
  struct packet *f = made_packet(d, p->len - p->l3);
  if (!f) return NULL;
  memcpy(f->data, p->data + p->l3, f->len);
  f->vnet = p->vnet;
  if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) f->vnet.csum_start = (uint16_t)(f->vnet.csum_start - p->l3);
  if (f->vnet.hdr_len) f->vnet.hdr_len = (uint16_t)(f->vnet.hdr_len - p->l3);
  f->ethertype = p->ethertype;
  f->in_port = p->in_port;
  f->device = p->device;
  return f;
}

/* 1: it left, whole or in pieces. p survives, but for the last. */
static int leave(struct datapath *d, struct packet *p, const struct way *way, int cut, int last) {
  const struct egress e = {.adj = &way->adj};
  if (cut) {
    p->counter = COUNTER_FORWARD_MULTICAST;
    fragment4(d, p, &e, way->mtu);
    return p->counter == COUNTER_FORWARD_MULTICAST;
  }
  struct packet *f = last ? p : copy(d, p);
  if (f && packet_output(d, f, &e, 0)) return 1;
  drop(p, COUNTER_DROP_NO_ROOM);
  return 0;
}

/* Outputs that are up and that the packet fits. *fate: why there is none. */
static unsigned ways(struct datapath *d, const struct packet *p, const struct mroute_group *g, const struct mroute_in *e,
                     uint32_t length, int may_cut, struct way *way, enum counter *fate) {
  const uint8_t *ip = p->data + p->l3;
  const uint16_t *ports = mroute_ports(g) + e->out;
  unsigned n = 0;
  *fate = COUNTER_DROP_MULTICAST_NO_OUTPUT;
  for (unsigned i = 0; i < e->n_out; i++) {
    unsigned id = LOAD(&ports[i]);
    const struct port_entry *out = id && id != p->in_port ? port_up(d, id) : NULL;
    if (!out) continue;
    way[n].mtu = port_mtu(out);
    if (length > way[n].mtu && !may_cut) {
      count(d, id, COUNTER_MULTICAST_TOO_BIG, 1);
      *fate = COUNTER_DROP_MULTICAST_TOO_BIG;
      continue;
    }
    way_make(&way[n++], out, id, ip, p->ethertype == TYPE_IP4);
  }
  return n;
}

static void count_down(uint8_t *ip, unsigned v4) {
  if (!v4) {
    ip[7]--;
    return;
  }
  uint16_t before = load16(ip + 8);
  ip[8]--;
  store16(ip + 10, checksum_replace(load16(ip + 10), before, load16(ip + 8)));
}

static void replicate(struct datapath *d, struct packet *p, const struct mroute_group *g, struct mroute_in *e) {
  struct way way[LCPFWD_MAX_MROUTE_OUT];
  uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4, n = 0, left = 0;
  uint32_t payload = load_be16(ip + 4), total;
  if (v4)
    total = load_be16(ip + 2);
  else /* RFC 2675, as in forward6 */
    total = payload || ip[6] != PROTO_HOPOPT ? 40 + payload : p->len - p->l3;
  uint32_t length = wire_length(p, ip, p->len - p->l3, v4 ? (ip[0] & 15u) * 4u : 40u, total);
  enum counter fate = COUNTER_DROP_MULTICAST_TTL;
  int to_host = (e->flags & LCPFWD_MROUTE_HOST) || sample_due(d, e);
  if (ip[v4 ? 8 : 7] > 1)
    n = ways(d, p, g, e, length, v4 && !(load_be16(ip + 6) & DONT_FRAGMENT) && !packet_is_gso(p), way, &fate);
  if (to_host) count(d, p->in_port, COUNTER_MULTICAST_HOST, 1);
  if (n == 0) return to_host ? punt(p, COUNTER_PUNT_MULTICAST) : drop(p, fate);
  if (to_host) copy_to_host(d, p);
  count_down(ip, v4);
  p->len = p->l3 + total; /* Ethernet padding stays behind */
  for (unsigned i = 0; i < n; i++) {
    if (leave(d, p, &way[i], length > way[i].mtu, i + 1 == n)) {
      count(d, way[i].adj.port, COUNTER_MULTICAST_COPIES, 1);
      left++;
    }
  }
  if (left) p->counter = COUNTER_FORWARD_MULTICAST;
}

void multicast_forward(struct datapath *d, struct packet *p) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4;
  struct mroute_group *g;
  struct mroute_in *e = v4 ? mroute_find(d->region, p->in_port, LCPFWD_AF_INET, ip + 12, ip + 16, &g)
                           : mroute_find(d->region, p->in_port, LCPFWD_AF_INET6, ip + 8, ip + 24, &g);
  if (!e) return punt(p, COUNTER_PUNT_MULTICAST);
  replicate(d, p, g, e);
}

/* --- from the host -------------------------------------------------------------------------------- */

int multicast_replicated(const struct datapath *d, const struct packet *p) {
  if (ACQUIRE(&d->region->head->mroute_hash) == 0 || !multicast_routable(p)) return 0;
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4, af = v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6;
  const uint8_t *source = v4 ? ip + 12 : ip + 8;
  struct lcpfwd_lookup_spec spec;
  struct lcpfwd_lookup_result found;
  const struct port_entry *port = port_get(d->region, p->in_port);
  if (!port || !mroute_sends(d->region, p->in_port, af, source, v4 ? ip + 16 : ip + 24)) return 0;
  port_lookup_spec(port, af, &spec);
  fib_lookup(d->region, &spec, af, source, &found);
  return found.pathlist != LCPFWD_PL_LOCAL;
}
