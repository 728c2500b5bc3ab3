/* punt_relay.c - DHCP for the router itself, given to the relay (relay.h), and what the relay makes of it sent on.
 *
 * A port's clients are of the first table that it looks addresses up in besides that of our own addresses, which is
 * where a relay says it is for. Every relay of that table gets a request, by its own source. To a server packets are
 * routed in the server's table, but to the neighbour of an interconnect they leave by that, as the frame is known.
 * A reply is one to the source of a relay: it is taken wherever the router takes it as its own, on an interconnect
 * without a host, which has no addresses that a lookup would find, and on that of the relay's server, whatever becomes
 * of its host. Packets that are the relay's never reach the host.
 * Partial checksums have not left the machine and are not looked at.
 */
#include "own.h"
#include "plane.h"
#include "punting.h"
#include "upper.h"

enum { PORT_SERVER4 = 67, PORT_CLIENT4 = 68, PORT_CLIENT6 = 546, PORT_SERVER6 = 547 };

/* The table that clients of a port are in, 0: none. local: the one of our own addresses. */
static uint32_t table_of(const struct port_entry *port, unsigned af, uint32_t local) {
  struct lcpfwd_lookup_spec spec;
  port_lookup_spec(port, af, &spec);
  for (unsigned i = 0; i < spec.n && i < LCPFWD_LOOKUP_TABLES; i++)
    if (spec.table[i] != local) return spec.table[i];
  return 0;
}

static int serves(const struct punt_relay *r, const struct port_entry *port, unsigned af) {
  return r->config.family == af && r->table && table_of(port, af, r->local) == r->table;
}

static void interface_of(const struct port_entry *port, unsigned id, const struct punt_relay *r, struct relay_interface *out) {
  static const uint8_t none[16];
  *out = (struct relay_interface){.config = r ? &r->config : NULL, .number = id};
  if (r && r->config.family == RELAY_IP6) {
    port_src6(port, out->address);
    out->has_address = memcmp(out->address, none, 16) && !link_local6(out->address);
  } else {
    uint32_t src4 = port_src4(port);
    memcpy(out->address, &src4, 4);
    out->has_address = src4 != 0;
  }
  port_mac(port, out->mac);
  for (unsigned i = 0; i < LCPFWD_MAX_TAGS; i++) {
    out->tag[i] = LOAD(&port->tags[i]);
    out->tags += out->tag[i] != 0;
  }
}

static void tell(struct datapath *d, enum relay_fate fate, const struct relay_result *result) {
  if (fate != RELAY_SENT) plane_count(d->region, d->worker, PLANE_RELAY + fate, 1);
  if (result->notes & RELAY_NOTE_OPTION_82_ERROR) plane_count(d->region, d->worker, PLANE_RELAY_NOTE_82, 1);
  if (result->notes & RELAY_NOTE_VSS_NOT_PROCESSED) plane_count(d->region, d->worker, PLANE_RELAY_NOTE_VSS, 1);
}

/* --- to servers ----------------------------------------------------------------------------------- */

/* Straight to the neighbour behind an interconnect. */
static void to_peer(struct datapath *d, struct packet *p, const struct punt_target *t) {
  const struct port_entry *device, *port = target_port(d, t, &device);
  if (!port || !(port_flags(port) & port_flags(device) & LCPFWD_PORT_UP)) return drop(p, COUNTER_DROP_PUNT_DOWN);
  if (p->len > port_mtu(port)) return drop(p, COUNTER_DROP_OWN_TOO_BIG);
  if (!packet_set_l3(p, ETH_HEAD)) return drop(p, COUNTER_DROP_NO_ROOM);
  memcpy(p->data, t->mac, 6);
  port_mac(port, p->data + 6);
  store_be16(p->data + 12, p->ethertype);
  p->disposition = DISPOSE_PHY;
  p->out_port = t->port;
}

/* A copy of the packet for server i leaves. */
static void to_server(struct datapath *d, const struct packet *request, const struct punt_relay *r, unsigned i, const uint8_t *ip, uint32_t len) {
  uint8_t buffer[FRAME_ROOM + VNET_HEAD + RELAY_ROOM];
  struct packet p = {.data = buffer + FRAME_ROOM + VNET_HEAD, .len = len, .room = FRAME_ROOM};
  memcpy(p.data, ip, len);
  relay_readdress(&r->config, i, p.data);
  p.ethertype = r->config.family == RELAY_IP4 ? TYPE_IP4 : TYPE_IP6;
  p.in_port = request->in_port;
  p.device = request->device;
  uint32_t domain = r->config.server[i].domain;
  struct lcpfwd_lookup_spec spec = {.n = 0};
  if (r->local) spec.table[spec.n++] = r->local;
  if (domain && domain != r->local) spec.table[spec.n++] = domain;
  if (r->peer[i]) to_peer(d, &p, &program_targets(d->punts)[r->peer[i] - 1]);
  else own_output(d, &spec, &p, COUNTER_PUNT_RELAY);
  struct packet *f = p.disposition == DISPOSE_DROP ? NULL : punt_copy(d, &p);
  if (f) {
    f->disposition = p.disposition;
    f->out_port = p.out_port;
    f->adjacency = p.adjacency;
  }
  /* in pieces it has left already */
  if (f || p.counter == COUNTER_PUNT_RELAY) {
    slot_count(d, r->slot[i], len);
    plane_count(d->region, d->worker, PLANE_RELAY + RELAY_SENT, 1);
  } else {
    slot_drop(d, r->slot[i], len);
    plane_count(d->region, d->worker, PLANE_RELAY_UNSENT, 1);
  }
}

static void request(struct datapath *d, const struct packet *p, const struct port_entry *port, const struct punt_relay *r, const struct relay_view *in) {
  uint8_t out[RELAY_ROOM];
  struct relay_interface rx;
  struct relay_result result;
  interface_of(port, p->in_port, r, &rx);
  enum relay_fate fate = r->config.family == RELAY_IP4 ? relay4_to_server(&rx, in, out, &result) : relay6_to_server(&rx, p->data + 6, in, out, &result);
  tell(d, fate, &result);
  if (fate != RELAY_SENT) return slot_drop(d, r->slot[0], in->len);
  for (unsigned i = 0; i < result.servers; i++) to_server(d, p, r, i, out, result.len);
}

/* --- to clients ----------------------------------------------------------------------------------- */

struct finding {
  struct datapath *d;
  const uint8_t *to; /* that the reply is for: the source of its relay */
  unsigned af;
};

static const struct punt_relay *relay_by_source(const struct datapath *d, unsigned af, const uint8_t *source) {
  const struct punt_relay *r = program_relays(d->punts);
  for (unsigned i = 0; i < d->punts->n_relays; i++, r++)
    if (r->config.family == af && !memcmp(r->config.source, source, af == LCPFWD_AF_INET ? 4 : 16)) return r;
  return NULL;
}

static int find(void *with, uint32_t number, struct relay_interface *out) {
  const struct finding *f = with;
  const struct port_entry *port = number && number < LCPFWD_MAX_PORTS ? port_get(f->d->region, number) : NULL;
  const struct punt_relay *r = program_relays(f->d->punts), *found = NULL;
  unsigned bytes = f->af == LCPFWD_AF_INET ? 4 : 16;
  if (!port || (port_flags(port) & LCPFWD_PORT_TUN)) return 0;
  for (unsigned i = 0; i < f->d->punts->n_relays && !found; i++, r++)
    if (serves(r, port, f->af) && !memcmp(r->config.source, f->to, bytes)) found = r;
  interface_of(port, number, found, out);
  return 1;
}

/* Is id the interconnect that requests to one of the relay's servers leave by? */
static int is_peer(const struct datapath *d, const struct punt_relay *r, const struct port_entry *port, unsigned id) {
  const struct punt_target *t = program_targets(d->punts);
  for (unsigned i = 0; i < r->config.n_servers; i++)
    if (r->peer[i] && t[r->peer[i] - 1].port == id && t[r->peer[i] - 1].generation == LOAD(&port->generation)) return 1;
  return 0;
}

/* Answers come back by it though no table may say so. */
static int is_link(const struct datapath *d, const struct punt_relay *r, const struct port_entry *port, unsigned id) {
  return (port_flags(port) & LCPFWD_PORT_HOSTLESS) || is_peer(d, r, port, id);
}

/* The table that a reply came in by. On a link to servers it is the one of the server that it is from. */
static uint32_t domain_of(const struct datapath *d, const struct punt_relay *r, const struct port_entry *port, unsigned id, const uint8_t *server) {
  unsigned af = r->config.family;
  if (!is_link(d, r, port, id)) return table_of(port, af, r->local);
  for (unsigned i = 0; i < r->config.n_servers; i++)
    if (!memcmp(r->config.server[i].address, server, af == LCPFWD_AF_INET ? 4 : 16)) return r->config.server[i].domain;
  return 0;
}

static void reply(struct datapath *d, const struct packet *p, const struct port_entry *from, const struct punt_relay *r,
                  const struct relay_view *in) {
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  unsigned af = r->config.family;
  struct finding with = {d, in->ip + (af == LCPFWD_AF_INET ? 16 : 24), af};
  enum relay_fate fate = af == LCPFWD_AF_INET ? relay4_to_client(find, &with, in, out, &result)
                                              : relay6_to_client(find, &with, domain_of(d, r, from, p->in_port, in->ip + 8), in, out, &result);
  tell(d, fate, &result);
  if (fate != RELAY_SENT) return;
  const struct port_entry *port = port_get(d->region, result.number);
  uint32_t parent = port ? LOAD(&port->parent) : 0;
  const struct port_entry *device = parent ? port_get(d->region, parent) : port;
  int up = port && device && (port_flags(port) & port_flags(device) & LCPFWD_PORT_UP);
  struct packet *f = up ? made_packet(d, result.len) : NULL;
  plane_count(d->region, d->worker, f ? PLANE_RELAY + RELAY_SENT : PLANE_RELAY_UNSENT, 1);
  if (!f) return;
  memcpy(f->data, out, result.len);
  frame_parse_l2(f); /* of our own making: it is whole */
  f->in_port = p->in_port;
  f->device = p->device;
  f->disposition = DISPOSE_PHY;
  f->out_port = (uint16_t)(parent ? parent : result.number);
  if (!parent) return;
  count(d, result.number, COUNTER_TX_PACKETS, 1);
  count(d, result.number, COUNTER_TX_BYTES, result.len);
}

/* --- which of them -------------------------------------------------------------------------------- */

static int is_dhcp(const struct packet *p, const struct upper *u) {
  if (u->protocol != PROTO_UDP || !u->have || u->fragment) return 0;
  if (p->ethertype == TYPE_IP4) return u->destination == PORT_SERVER4 || u->destination == PORT_CLIENT4;
  return u->destination == PORT_SERVER6 || u->destination == PORT_CLIENT6;
}

static int used_up(struct packet *p, enum counter fate) {
  drop(p, fate);
  return 1;
}

int relay_take(struct datapath *d, struct packet *p, int for_us) {
  const struct port_entry *port = port_get(d->region, p->in_port);
  struct upper u;
  if (!port || (port_flags(port) & LCPFWD_PORT_TUN) || (p->ethertype != TYPE_IP4 && p->ethertype != TYPE_IP6)) return 0;
  if (!upper_find(p, &u) || !is_dhcp(p, &u)) return 0;
  unsigned af = p->ethertype == TYPE_IP4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6;
  struct relay_view in = {p->data + p->l3, p->len - p->l3, p->l3};
  const struct punt_relay *source = relay_by_source(d, af, in.ip + (af == LCPFWD_AF_INET ? 16 : 24)), *r = program_relays(d->punts);
  int right = (p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || relay_checksum_ok(&in), taken = 0;
  int on_link = source && is_link(d, source, port, p->in_port);
  if (!for_us && !on_link) return 0;
  switch (relay_direction(NULL, &in)) {
    case RELAY_TO_SERVER:
      if (!for_us) return 0;
      for (unsigned i = 0; i < d->punts->n_relays; i++, r++) {
        if (!serves(r, port, af)) continue;
        if (right) request(d, p, port, r, &in);
        taken = 1;
      }
      break;
    case RELAY_TO_CLIENT:
      if (!source) return 0; /* of a client on the host, say */
      if (right) reply(d, p, port, source, &in);
      taken = 1;
      break;
    case RELAY_OTHER: return 0;
  }
  if (!taken) return 0;
  if (!right) plane_count(d->region, d->worker, PLANE_RELAY_CHECKSUM, 1);
  return used_up(p, right ? COUNTER_PUNT_RELAY : COUNTER_DROP_CHECKSUM);
}
