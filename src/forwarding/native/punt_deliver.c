/* punt_deliver.c - what is to go to the host: policed, handed to sinks, redirected where there is no host.
 *
 * By default a packet goes to its pair's host. Sinks that match it replace that: each gets a copy, and the host
 * only when it is one of them. A port without a host has its lender's, where it borrows (lender.h); else the redirect of the port,
 * or that of any port, says where IP packets leave; they keep their TTL. A packet that nobody takes is dropped and counted.
 */
#include "lender.h"
#include "police.h"
#include "punting.h"
#include "upper.h"

enum { PORT_SSH = 22, PORT_DHCP_SERVER = 67, PORT_DHCP_CLIENT = 68, PORT_SNMP = 161, PORT_SNMP_TRAP = 162, PORT_BGP = 179,
       PORT_DHCP6_CLIENT = 546, PORT_DHCP6_SERVER = 547, PORT_LDP = 646, PORT_BFD = 3784, PORT_BFD_ECHO = 3785,
       PORT_NATT = 4500, PORT_BFD_MULTIHOP = 4784, PORT_BFD_LAG = 6784 };
enum { PROTO_ESP = 50, PROTO_OSPF = 89 };
enum { TYPE_LACP = 0x8809, TYPE_LLDP = 0x88cc, NLPID_ISIS = 0x83 };
enum { ND_FIRST = 133, ND_LAST = 137 };

/* --- classes and policers ------------------------------------------------------------------------- */

static int between(const struct upper *u, unsigned a, unsigned b) {
  return u->source == a || u->source == b || u->destination == a || u->destination == b;
}

static enum lcpfwd_punt_scope class_of_udp(const struct upper *u, unsigned v4) {
  unsigned to = u->destination;
  if (to == PORT_BFD || to == PORT_BFD_ECHO || to == PORT_BFD_MULTIHOP || to == PORT_BFD_LAG) return LCPFWD_SCOPE_BFD;
  if (between(u, PORT_LDP, PORT_LDP)) return LCPFWD_SCOPE_LDP;
  if (between(u, PORT_SNMP, PORT_SNMP_TRAP)) return LCPFWD_SCOPE_SNMP;
  if (v4 ? between(u, PORT_DHCP_SERVER, PORT_DHCP_CLIENT) : between(u, PORT_DHCP6_CLIENT, PORT_DHCP6_SERVER))
    return LCPFWD_SCOPE_DHCP;
  return LCPFWD_SCOPE_UNKNOWN;
}

static enum lcpfwd_punt_scope class_of_ip(const struct packet *p) {
  struct upper u;
  unsigned v4 = p->ethertype == TYPE_IP4;
  if (!upper_find(p, &u)) return LCPFWD_SCOPE_UNKNOWN;
  if (u.protocol == PROTO_ICMP6 && u.have && u.source >= ND_FIRST && u.source <= ND_LAST) return LCPFWD_SCOPE_ND;
  if (u.protocol == (v4 ? PROTO_ICMP : PROTO_ICMP6)) return LCPFWD_SCOPE_ICMP;
  if (u.protocol == PROTO_OSPF) return LCPFWD_SCOPE_OSPF;
  if (u.protocol == PROTO_UDP && u.have) return class_of_udp(&u, v4);
  if (u.protocol != PROTO_TCP || !u.have) return LCPFWD_SCOPE_UNKNOWN;
  if (between(&u, PORT_BGP, PORT_BGP)) return LCPFWD_SCOPE_BGP;
  if (between(&u, PORT_LDP, PORT_LDP)) return LCPFWD_SCOPE_LDP;
  if (between(&u, PORT_SSH, PORT_SSH)) return LCPFWD_SCOPE_SSH;
  return LCPFWD_SCOPE_UNKNOWN;
}

static enum lcpfwd_punt_scope class_of(const struct packet *p) {
  const uint8_t *l3 = p->data + p->l3;
  if (p->counter == COUNTER_PUNT_TTL || p->counter == COUNTER_PUNT_MPLS_TTL) return LCPFWD_SCOPE_TTL;
  switch (p->ethertype) {
    case TYPE_ARP: return LCPFWD_SCOPE_ARP;
    case TYPE_LACP: return LCPFWD_SCOPE_LACP;
    case TYPE_LLDP: return LCPFWD_SCOPE_LLDP;
    case TYPE_IP4:
    case TYPE_IP6: return class_of_ip(p);
    case 0: return p->len >= p->l3 + 4u && !memcmp(l3, "\xfe\xfe\x03", 3) && l3[3] == NLPID_ISIS ? LCPFWD_SCOPE_ISIS : LCPFWD_SCOPE_UNKNOWN;
    default: return LCPFWD_SCOPE_UNKNOWN;
  }
}

static int conforms(struct datapath *d, enum lcpfwd_punt_scope scope, uint32_t bytes) {
  const struct punt_police *q = &d->punts->police[scope];
  if (!q->slot) return 1;
  if (!police_take(&d->region->head->buckets[scope], d->now_ns, q->per_bytes ? q->cost * bytes : q->cost, q->depth)) {
    slot_drop(d, q->slot, bytes);
    return 0;
  }
  slot_count(d, q->slot, bytes);
  return 1;
}

int punts_police(struct datapath *d, const struct packet *p) {
  uint32_t bytes = p->len - p->l3;
  if (!conforms(d, class_of(p), bytes)) return 0;
  if (p->ethertype == TYPE_IP4) return conforms(d, LCPFWD_SCOPE_IP4, bytes);
  if (p->ethertype == TYPE_IP6) return conforms(d, LCPFWD_SCOPE_IP6, bytes);
  return 1;
}

/* --- sinks ---------------------------------------------------------------------------------------- */

static int for_us(const struct packet *p) {
  switch (p->counter) {
    case COUNTER_PUNT_LOCAL:
    case COUNTER_PUNT_BROADCAST:
    case COUNTER_PUNT_MULTICAST:
    case COUNTER_PUNT_LINK_LOCAL:
    case COUNTER_PUNT_OPTIONS:
    case COUNTER_PUNT_ND: return p->ethertype == TYPE_IP4 || p->ethertype == TYPE_IP6;
    default: return 0;
  }
}

/* One sink of each kind may come by several matches: all of them count, and each gets its copy. */
struct sinks {
  const struct punt_match *match[4];
  unsigned n;
};

static void look(const struct datapath *d, struct sinks *s, uint32_t key) {
  const struct punt_match *m = punts_match(d->punts, key);
  if (m) s->match[s->n++] = m;
}

/* Only the first fragment has ports, and to put a datagram together is the kernel's: all of it goes to the host, and
 * what a client does not get is counted. */
static void look_port(struct datapath *d, struct sinks *s, const struct packet *p, const struct upper *u) {
  unsigned af = p->ethertype == TYPE_IP4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6;
  uint32_t key = match_key(LCPFWD_BY_PORT, af, u->protocol, u->destination);
  if (!u->fragment) return look(d, s, key);
  const struct punt_match *m = punts_match(d->punts, key);
  if (m && m->socket) slot_drop(d, m->socket, p->len);
}

/* What IPsec would have taken, had there been a tunnel for it: RFC 3948 tells IKE (SPI 0) from ESP in UDP. */
static unsigned ipsec_reason(const struct packet *p, const struct upper *u) {
  static const uint8_t zero[4];
  unsigned six = p->ethertype == TYPE_IP6;
  if (u->later) return REASONS;
  if (u->protocol == PROTO_ESP) return REASON_IPSEC4_TUNNEL + six;
  if (u->protocol != PROTO_UDP || !u->have || u->destination != PORT_NATT || u->end - u->at < 12) return REASONS;
  return (memcmp(p->data + u->at + 8, zero, 4) ? REASON_IPSEC4_TUNNEL : REASON_IPSEC4_IKE) + six;
}

static void find_sinks(struct datapath *d, const struct packet *p, struct sinks *s) {
  unsigned af = p->ethertype == TYPE_IP4 ? LCPFWD_AF_INET : LCPFWD_AF_INET6, reason = punt_reason(p->counter);
  struct upper u;
  s->n = 0;
  if (reason < REASONS) look(d, s, match_key(LCPFWD_BY_REASON, 0, 0, reason));
  if (!for_us(p) || !upper_find(p, &u)) return;
  if (u.protocol == PROTO_ICMP6 && u.have) look(d, s, match_key(LCPFWD_BY_ICMP6, 0, 0, u.source));
  if ((u.protocol == PROTO_TCP || u.protocol == PROTO_UDP) && u.have) look_port(d, s, p, &u);
  look(d, s, match_key(LCPFWD_BY_PROTOCOL, af, u.protocol, 0));
  if (!d->punts->reasons || s->n == 4) return;
  reason = ipsec_reason(p, &u);
  if (reason < REASONS) look(d, s, match_key(LCPFWD_BY_REASON, 0, 0, reason));
}

/* 1: the host is to have it. */
static int sink_all(struct datapath *d, struct packet *p, const struct sinks *s) {
  int host = s->n == 0;
  for (unsigned i = 0; i < s->n; i++) {
    const struct punt_match *m = s->match[i];
    if (m->host) {
      slot_count(d, m->host, p->len);
      host = 1;
    }
    if (!m->socket) continue;
    if (d->to_socket && d->to_socket(d, p, m->socket)) slot_count(d, m->socket, p->len);
    else slot_drop(d, m->socket, p->len);
  }
  return host;
}

/* --- redirects ------------------------------------------------------------------------------------- */

/* The L2 part towards the next hop. 0: it is not known. */
static int rewrite(struct datapath *d, struct packet *f, const struct punt_target *t, const struct port_entry *port) {
  const struct adj *a = adj_get(d->region, adj_find_neighbour(d->region, t->port, t->af, t->nh));
  if (a && a->state == ADJ_COMPLETE) {
    if (!packet_set_l3(f, a->rewrite_len + 2u)) return 0;
    memcpy(f->data, a->rewrite, a->rewrite_len);
    store_be16(f->data + a->rewrite_len, f->ethertype);
    return 1;
  }
  if (!(t->flags & LCPFWD_PUNT_MAC)) {
    neighbour_want(d, t->port, t->af, t->nh);
    return 0;
  }
  if (!packet_set_l3(f, ETH_HEAD)) return 0;
  memcpy(f->data, t->mac, 6);
  port_mac(port, f->data + 6);
  store_be16(f->data + 12, f->ethertype);
  return 1;
}

static const struct punt_target *redirect_of(const struct datapath *d, const struct packet *p) {
  unsigned six = p->ethertype == TYPE_IP6;
  const struct punt_port *at = punts_port(d->region, d->punts, p->in_port);
  unsigned i = at ? at->redirect[six] : 0;
  if (!i) i = d->punts->redirect_any[six];
  return i ? &program_targets(d->punts)[i - 1] : NULL;
}

static void redirect(struct datapath *d, struct packet *p) {
  const struct punt_target *t = d->punts && (p->ethertype == TYPE_IP4 || p->ethertype == TYPE_IP6) ? redirect_of(d, p) : NULL;
  const struct port_entry *device, *port = t ? target_port(d, t, &device) : NULL;
  if (!t || t->port == p->in_port) return drop(p, COUNTER_DROP_NO_HOST);
  if (!port || !(port_flags(port) & port_flags(device) & LCPFWD_PORT_UP)) {
    slot_drop(d, t->slot, p->len);
    return drop(p, COUNTER_DROP_PUNT_DOWN);
  }
  struct packet *f = punt_copy(d, p);
  if (!f || ((t->flags & LCPFWD_PUNT_NEXTHOP) && !rewrite(d, f, t, port))) {
    if (f) drop(f, COUNTER_DROP_REDIRECT_NEIGHBOUR);
    slot_drop(d, t->slot, p->len);
    return drop(p, f ? COUNTER_DROP_REDIRECT_NEIGHBOUR : COUNTER_DROP_NO_ROOM);
  }
  uint32_t parent = LOAD(&port->parent);
  f->disposition = DISPOSE_PHY;
  f->out_port = (uint16_t)(parent ? parent : t->port);
  slot_count(d, t->slot, p->len);
  p->disposition = DISPOSE_DROP; /* its copy leaves; its counter stays what it was punted for */
}

void punts_deliver(struct datapath *d, struct packet *p) {
  const struct port_entry *device = port_get(d->region, p->device);
  struct sinks s = {.n = 0};
  int hostless = device && (port_flags(device) & LCPFWD_PORT_HOSTLESS);
  unsigned lender;
  enum lending lending = hostless && lender_wants(p) ? lender_of(d->region, device, &lender) : LENDING_NONE;
  if (lending == LENDING_ABSENT) return drop(p, COUNTER_DROP_NO_LENDER); /* it has no layer 3: nothing is for it */
  if (d->punts) {
    if (!punts_police(d, p)) return drop(p, COUNTER_DROP_POLICED);
    if (d->punts->n_relays && relay_take(d, p, for_us(p))) return;
    if (d->punts->n_matches) find_sinks(d, p, &s);
  }
  if (!sink_all(d, p, &s)) {
    p->disposition = DISPOSE_DROP; /* the sinks have it */
    return;
  }
  if (lending == LENDING) lender_deliver(d, p, lender);
  else if (hostless) redirect(d, p);
}
