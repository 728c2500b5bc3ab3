/* own.c - packets that nobody forwards are routed (own.h): as host's packets are, with TTL as it is, cut where they
 * may be; and no ICMP error tells of one that cannot leave, since it would go to ourselves.
 */
#include "own.h"

#include "egress.h"
#include "lender.h"
#include "plane.h"
#include "punts.h"

#define DONT_FRAGMENT 0x4000u

/* Whose host has what is for the port id: its own, or its lender's. */
static unsigned host_of(const struct datapath *d, unsigned id) {
  const struct port_entry *port = port_get(d->region, id);
  if (!port || !(port_flags(port) & LCPFWD_PORT_HOSTLESS) || lender_of(d->region, port, &id) != LENDING) return id;
  uint32_t parent = LOAD(&d->region->head->ports[id].parent);
  return parent ? parent : id;
}

/* For ourselves: to the host of the port that it belongs to, with the addresses that the host expects. */
static void to_host(struct datapath *d, struct packet *p, enum counter sent) {
  unsigned id = host_of(d, p->device);
  const struct port_entry *device = port_get(d->region, id);
  if (!device || (port_flags(device) & LCPFWD_PORT_HOSTLESS)) return drop(p, COUNTER_DROP_NO_HOST);
  if (!(port_flags(device) & LCPFWD_PORT_TUN)) {
    if (!packet_set_l3(p, ETH_HEAD)) return drop(p, COUNTER_DROP_NO_ROOM);
    port_mac(device, p->data);
    port_mac(device, p->data + 6);
    store_be16(p->data + 12, p->ethertype);
  } else if (!packet_set_l3(p, 0)) {
    return drop(p, COUNTER_DROP_NO_ROOM);
  }
  punt(p, sent);
  p->out_port = (uint16_t)id;
}

static void leave(struct datapath *d, struct packet *p, const struct egress *e, enum counter sent) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4;
  const struct port_entry *out = output_port(d, p, e->adj);
  if (!out) return;
  uint32_t head = v4 ? (ip[0] & 15u) * 4u : 40u, total = p->len - p->l3;
  uint32_t mtu = port_mtu(out) - LABEL * e->labels;
  p->counter = (uint16_t)sent;
  if (wire_length(p, ip, total, head, total) > mtu) {
    if (!v4 || packet_is_gso(p) || (load_be16(ip + 6) & DONT_FRAGMENT)) return drop(p, COUNTER_DROP_OWN_TOO_BIG);
    return fragment4(d, p, e, mtu);
  }
  if (!packet_output(d, p, e, ip[v4 ? 8 : 7])) drop(p, COUNTER_DROP_NO_ROOM);
}

void own_output(struct datapath *d, const struct lcpfwd_lookup_spec *spec, struct packet *p, enum counter sent) {
  const uint8_t *ip = p->data + p->l3;
  unsigned v4 = p->ethertype == TYPE_IP4, af = v4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6;
  const uint8_t *dst = v4 ? ip + 16 : ip + 24;
  struct lcpfwd_lookup_result found;
  struct egress e;
  fib_lookup(d->region, spec, af, dst, &found);
  enum egress_result r = egress_resolve(d, &e, &found, af, dst, v4 ? flow_hash4(ip, p->len - p->l3) : flow_hash6(ip, p->len - p->l3));
  p->table = e.table;
  p->pathlist = e.pathlist;
  if (r == EGRESS_SEND) return leave(d, p, &e, sent);
  if (r == EGRESS_NO_NEIGHBOUR) {
    neighbour_want(d, e.port, e.af, e.nh);
    return drop(p, COUNTER_DROP_OWN_NO_NEIGHBOUR);
  }
  if (r == EGRESS_SPECIAL && (e.special == LCPFWD_PL_LOCAL || e.special == LCPFWD_PL_ANYCAST)) return to_host(d, p, sent);
  drop(p, COUNTER_DROP_OWN_NO_ROUTE);
}

/* --- the punt socket's clients -------------------------------------------------------------------- */

static void refuse(struct datapath *d, struct packet *p, enum punt_fate why) {
  plane_count(d->region, d->worker, PLANE_SOCKET + why, 1);
  drop(p, COUNTER_DROP_PORT_DOWN);
}

static void inject(struct datapath *d, const struct punt_descriptor *what, struct packet *p) {
  struct ingress in;
  p->in_port = 0; /* nobody's, until it is known whose */
  if (what->number == 0 || what->number >= LCPFWD_MAX_PORTS || !ingress_load(d, &in, what->number)) return refuse(d, p, PUNT_RX_INTERFACE);
  uint32_t parent = LOAD(&in.port->parent), up = in.flags;
  const struct port_entry *device = parent ? port_get(d->region, parent) : in.port;
  p->in_port = in.id;
  p->device = (uint16_t)(parent ? parent : in.id);
  if (!device || (what->action == PUNT_L2 && (in.flags & LCPFWD_PORT_TUN))) return refuse(d, p, PUNT_RX_INTERFACE);
  up &= port_flags(device);
  if (!(up & LCPFWD_PORT_UP)) return refuse(d, p, PUNT_RX_DOWN);
  if (what->action != PUNT_L2) return own_output(d, p->ethertype == TYPE_IP4 ? &in.v4 : &in.v6, p, COUNTER_INJECT_ROUTED);
  p->disposition = DISPOSE_PHY;
  p->out_port = p->device;
  p->counter = COUNTER_INJECT_L2;
  if (!parent) return;
  count(d, in.id, COUNTER_TX_PACKETS, 1);
  count(d, in.id, COUNTER_TX_BYTES, p->len);
}

void inject_burst(struct datapath *d, const struct punt_descriptor *what, struct packet *p, unsigned n) {
  d->punts = punts_of(d->region);
  for (unsigned i = 0; i < n; i++) inject(d, &what[i], &p[i]);
  burst_account(d, p, n);
}
