/* xconnect.c - frames that Linux sends on the host side: out of the paired phy, TTL untouched.
 *
 * Linux has already resolved the neighbour, so the frame's own MAC addresses find the adjacency it
 * leaves by; the hit carries the output features (its counters). A frame that matches none (another
 * source address, a neighbour not mirrored yet) and multicast use the port's multicast adjacency,
 * which keeps the frame's own addresses. ARP goes straight across. Tags stay: they say which
 * sub-interface's adjacencies are looked at. Where the host is bridged, nothing is looked at. What the
 * kernel forwarded to a group although the data plane has done so is dropped.
 * Reference: VPP's linux-cp x-connect nodes.
 */
#include "datapath.h"
#include "punts.h"
#include "subif.h"

static void leave_by(struct datapath *d, struct packet *p, uint32_t adjacency, enum counter why) {
  p->disposition = DISPOSE_PHY;
  p->out_port = p->device;
  p->counter = (uint16_t)why;
  p->adjacency = adjacency;
  if (adjacency) count_adjacency(d->region, d->worker, adjacency, 1, p->len);
}

/* Makes the sub-interface of its tags the frame's port; *flags are then its. 0: it has none that is up. */
static int take_tags(struct datapath *d, struct packet *p, uint32_t *flags) {
  uint32_t tag[LCPFWD_MAX_TAGS];
  unsigned id = frame_tags(p, tag) > 0 ? subif_find(d->region, p->device, tag[0], tag[1]) : 0;
  const struct port_entry *port = id ? port_get(d->region, id) : NULL;
  uint32_t now = port ? port_flags(port) : 0; /* once: it may be taken away meanwhile */
  if (!(now & LCPFWD_PORT_UP)) return 0;
  *flags = now;
  p->in_port = (uint16_t)id;
  count(d, id, COUNTER_HOST_RX_PACKETS, 1);
  count(d, id, COUNTER_HOST_RX_BYTES, p->len);
  return 1;
}

/* The adjacency whose rewrite this is; priorities do not count. */
static uint32_t find_tagged(const struct datapath *d, const struct packet *p) {
  uint8_t l2[12 + VLAN_TAG * LCPFWD_MAX_TAGS];
  unsigned len = 12 + VLAN_TAG * p->tagged;
  if (len > sizeof l2) return 0;
  memcpy(l2, p->data, len);
  for (unsigned at = 14; at < len; at += VLAN_TAG) l2[at] &= 0x0f;
  return adj_find_rewrite(d->region, p->in_port, l2, len);
}

enum owner { OWNER_PORT, OWNER_SUBIF, OWNER_NOBODY }; /* nobody: no sub-interface has these tags */

HOT void across(struct datapath *d, struct packet *p, enum owner owner) {
  if (p->ethertype == TYPE_ARP) return leave_by(d, p, 0, COUNTER_XCONNECT_ARP);
  if (p->data[0] & 1) {
    if (owner != OWNER_NOBODY && multicast_replicated(d, p)) return drop(p, COUNTER_DROP_MULTICAST_REPLICATED);
    return leave_by(d, p, adj_multicast(d->region, p->in_port), COUNTER_XCONNECT_MULTICAST);
  }
  uint32_t hit = owner == OWNER_PORT ? adj_find_rewrite(d->region, p->in_port, p->data, 12)
                 : owner == OWNER_SUBIF ? find_tagged(d, p) : 0;
  if (hit) return leave_by(d, p, hit, COUNTER_XCONNECT_UNICAST);
  leave_by(d, p, adj_multicast(d->region, p->in_port), COUNTER_XCONNECT_NO_ADJACENCY);
}

/* Frames with tags, and those of a bridged host. */
static __attribute__((noinline)) void across_rare(struct datapath *d, uint32_t flags, struct packet *p) {
  int sub = p->tagged && take_tags(d, p, &flags);
  if (flags & LCPFWD_PORT_L2) leave_by(d, p, 0, COUNTER_XCONNECT_L2);
  else across(d, p, sub ? OWNER_SUBIF : p->tagged ? OWNER_NOBODY : OWNER_PORT);
  if (!sub || p->disposition != DISPOSE_PHY) return;
  count(d, p->in_port, COUNTER_TX_PACKETS, 1);
  count(d, p->in_port, COUNTER_TX_BYTES, p->len);
}

static void xconnect(struct datapath *d, const struct port_entry *port, uint32_t flags, struct packet *p) {
  if (!(flags & LCPFWD_PORT_UP)) return drop(p, COUNTER_DROP_PORT_DOWN);
  if (!vnet_ok(&p->vnet, p->len)) return drop(p, COUNTER_DROP_OFFLOAD);
  if (flags & LCPFWD_PORT_TUN) {
    if (!frame_parse_l3(p)) return drop(p, COUNTER_DROP_RUNT);
    if (multicast_replicated(d, p)) return drop(p, COUNTER_DROP_MULTICAST_REPLICATED);
    return leave_by(d, p, LOAD(&port->attached), COUNTER_XCONNECT_TUN);
  }
  if (!frame_parse_l2(p)) return drop(p, COUNTER_DROP_RUNT);
  if (__builtin_expect(p->tagged || (flags & LCPFWD_PORT_L2), 0)) return across_rare(d, flags, p);
  across(d, p, OWNER_PORT);
}

void host_burst(struct datapath *d, unsigned in, struct packet *p, unsigned n) {
  const struct port_entry *port = port_get(d->region, in);
  uint32_t flags = port ? port_flags(port) : 0;
  uint64_t bytes = 0;
  d->punts = punts_of(d->region); /* for what leaves */
  for (unsigned i = 0; i < n; i++) {
    p[i].in_port = p[i].device = (uint16_t)in;
    p[i].out_port = p[i].clone = 0;
    p[i].from_host = 1;
    p[i].table = p[i].pathlist = p[i].adjacency = 0;
    bytes += p[i].len;
    xconnect(d, port, flags, &p[i]);
  }
  count(d, in, COUNTER_HOST_RX_PACKETS, n);
  count(d, in, COUNTER_HOST_RX_BYTES, bytes);
  burst_account(d, p, n);
}
