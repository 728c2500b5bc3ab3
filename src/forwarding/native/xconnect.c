/* xconnect.c - frames that Linux sends on the host side: out of the paired phy, TTL untouched.
 *
 * Linux has already resolved the neighbour, so the frame's own MAC addresses find the adjacency it
 * leaves by; the hit carries the output features (its counters). A frame that matches none (another
 * source address, a neighbour not mirrored yet) and multicast use the port's multicast adjacency,
 * which keeps the frame's own addresses. ARP goes straight across. VLAN tags stay.
 * Reference: VPP's linux-cp x-connect nodes.
 */
#include "datapath.h"

static void leave_by(struct datapath *d, struct packet *p, uint32_t adjacency, enum counter why) {
  p->disposition = DISPOSE_PHY;
  p->out_port = p->in_port;
  p->counter = (uint16_t)why;
  p->adjacency = adjacency;
  if (adjacency) count_adjacency(d->region, d->worker, adjacency, 1, p->len);
}

static void xconnect(struct datapath *d, const struct port_entry *port, uint32_t flags, struct packet *p) {
  if (!(flags & LCPFWD_PORT_UP)) return drop(p, COUNTER_DROP_PORT_DOWN);
  if (!vnet_ok(&p->vnet, p->len)) return drop(p, COUNTER_DROP_OFFLOAD);
  if (flags & LCPFWD_PORT_TUN) {
    if (!frame_parse_l3(p)) return drop(p, COUNTER_DROP_RUNT);
    return leave_by(d, p, LOAD(&port->attached), COUNTER_XCONNECT_TUN);
  }
  if (!frame_parse_l2(p)) return drop(p, COUNTER_DROP_RUNT);
  if (p->ethertype == TYPE_ARP) return leave_by(d, p, 0, COUNTER_XCONNECT_ARP);
  if (p->data[0] & 1) return leave_by(d, p, adj_multicast(d->region, p->in_port), COUNTER_XCONNECT_MULTICAST);
  uint32_t hit = adj_find_rewrite(d->region, p->in_port, p->data, 12);
  if (hit) return leave_by(d, p, hit, COUNTER_XCONNECT_UNICAST);
  leave_by(d, p, adj_multicast(d->region, p->in_port), COUNTER_XCONNECT_NO_ADJACENCY);
}

void host_burst(struct datapath *d, unsigned in, struct packet *p, unsigned n) {
  const struct port_entry *port = port_get(d->region, in);
  uint32_t flags = port ? port_flags(port) : 0;
  uint64_t bytes = 0;
  for (unsigned i = 0; i < n; i++) {
    p[i].in_port = (uint16_t)in;
    p[i].out_port = 0;
    p[i].from_host = 1;
    p[i].table = p[i].pathlist = p[i].adjacency = 0;
    bytes += p[i].len;
    xconnect(d, port, flags, &p[i]);
  }
  count(d, in, COUNTER_HOST_RX_PACKETS, n);
  count(d, in, COUNTER_HOST_RX_BYTES, bytes);
  burst_account(d, p, n);
}
