/* punts.h - the compiled punt program: what lcpd's records (struct lcpfwd_punt) are for the workers.
 *
 * One block, immutable, with the records themselves behind, so that the next writer can read them. It is
 * published by one store; all offsets are bytes from its start. A port is known by its id and generation:
 * an entry of a port that has ended finds another generation and does nothing.
 */
#ifndef PUNTS_H
#define PUNTS_H

#include "frame.h"
#include "reader.h"
#include "relay.h"

struct writer;

/* Where frames are given to. out: the port with the wire, which a sub-interface's parent has. */
struct punt_target {
  uint64_t generation;
  uint32_t slot;
  uint16_t port;
  uint8_t protocol; /* OSI */
  uint8_t flags;    /* LCPFWD_PUNT_NEXTHOP, _MAC */
  uint8_t af;       /* of nh */
  uint8_t mac[6];
  uint8_t nh[16];
};

/* Masks and addresses are raw loads of network order; IPv4 uses the first four bytes. */
struct punt_rule {
  uint64_t source[2], source_mask[2], destination[2], destination_mask[2];
  uint16_t source_ports[2], destination_ports[2];
  uint16_t target;
  uint8_t af, permit, protocol, tcp_mask, tcp_value;
  uint8_t upper; /* it asks for what only the first fragment has */
};

struct punt_proxy {
  uint8_t low[16], high[16];
  uint32_t slot;
  uint32_t af;
};

/* What one port has; runs are first and number. Indices of single targets are + 1, 0: none. */
struct punt_port {
  uint64_t generation;
  uint16_t id;
  uint16_t xconnect;
  uint16_t redirect[2]; /* IPv4, IPv6 */
  uint16_t span_rx, n_span_rx, span_tx, n_span_tx, osi, n_osi, rule, n_rules, proxy, n_proxies;
};

/* Slot of an open hash: a match has one sink of each kind. */
struct punt_match {
  uint32_t key; /* match_key; 0: free */
  uint32_t host;   /* slot, 0: none */
  uint32_t socket; /* slot, 0: none */
  uint32_t pad;
};

struct punt_police {
  uint32_t slot;      /* 0: no limit */
  uint32_t per_bytes; /* 1: kbit/s */
  uint64_t cost;      /* of a packet or a byte, in units of POLICE_UNIT_NS */
  uint64_t depth;     /* of the bucket, in the same */
};

/* The DHCP relay of one table, family and source. table: 0 where it is not there, number: what it is called. local: the table of our own addresses, which is looked at first. What goes
 * to server i is counted by slot[i]; with peer[i] it leaves for the neighbour of that target. */
struct punt_relay {
  struct relay_config config; /* domains are tables */
  uint32_t table, number, local;
  uint32_t slot[RELAY_SERVERS];
  uint16_t peer[RELAY_SERVERS]; /* target + 1, 0: routed */
};

struct punt_program {
  uint32_t bytes;
  uint32_t n_records, records;
  uint32_t n_ports, ports;
  uint32_t n_targets, targets;
  uint32_t n_rules, rules;
  uint32_t n_proxies, proxies;
  uint32_t n_relays, relays;
  uint32_t match_mask, matches; /* n - 1 */
  uint32_t n_matches, reasons;  /* how many; 1: some are by reason */
  uint32_t span_tx;             /* some port has one */
  uint16_t redirect_any[2];
  uint16_t port_of[LCPFWD_MAX_PORTS]; /* index into ports + 1 */
  uint8_t sub_of[LCPFWD_MAX_PORTS];   /* 1: a sub-interface of it has an entry */
  struct punt_police police[LCPFWD_SCOPES];
};

#define PROGRAM_AT(type, field)                                                            \
  static inline const type *program_##field(const struct punt_program *g) {               \
    return (const type *)(const void *)((const uint8_t *)g + g->field);                    \
  }
PROGRAM_AT(struct lcpfwd_punt, records)
PROGRAM_AT(struct punt_port, ports)
PROGRAM_AT(struct punt_target, targets)
PROGRAM_AT(struct punt_rule, rules)
PROGRAM_AT(struct punt_proxy, proxies)
PROGRAM_AT(struct punt_relay, relays)
PROGRAM_AT(struct punt_match, matches)
#undef PROGRAM_AT

/* NULL: nothing is configured. */
static inline const struct punt_program *punts_of(const struct region *r) {
  uint32_t block = ACQUIRE(&r->head->punts);
  return __builtin_expect(block != 0, 0) ? region_at(r, block) : NULL;
}

/* What the open port id has, NULL: nothing. */
static inline const struct punt_port *punts_port(const struct region *r, const struct punt_program *g, unsigned id) {
  unsigned i = id < LCPFWD_MAX_PORTS ? g->port_of[id] : 0;
  if (i == 0) return NULL;
  const struct punt_port *p = &program_ports(g)[i - 1];
  const struct port_entry *e = port_get(r, id);
  return e && LOAD(&e->generation) == p->generation ? p : NULL;
}

/* by: enum lcpfwd_punt_by; never 0. */
static inline uint32_t match_key(unsigned by, unsigned af, unsigned protocol, unsigned number) {
  return (uint32_t)by << 28 | (uint32_t)(af & 15u) << 24 | (uint32_t)(protocol & 255u) << 16 | (number & 0xffffu);
}

static inline const struct punt_match *punts_match(const struct punt_program *g, uint32_t key) {
  const struct punt_match *m = program_matches(g);
  for (uint32_t i = (uint32_t)mix64(key) & g->match_mask;; i = (i + 1) & g->match_mask)
    if (m[i].key == key || m[i].key == 0) return m[i].key ? &m[i] : NULL;
}

/* Reasons by number, from 0: those that a punt counter tells, then those that only sinks ask for. */
enum punt_reason {
  REASON_TTL, REASON_MTU, REASON_NEIGHBOUR, REASON_ROUTE, REASON_UNREACHABLE, REASON_PROHIBITED, REASON_OPTIONS,
  REASON_PROTOCOL, REASON_VLAN, REASON_LABEL, REASON_KERNEL, REASON_COUNTED,
  REASON_IPSEC4_TUNNEL = REASON_COUNTED, REASON_IPSEC6_TUNNEL, REASON_IPSEC4_IKE, REASON_IPSEC6_IKE, REASONS
};
/* REASONS: that counter is none. */
unsigned punt_reason(enum counter why);

/* --- the writer ---------------------------------------------------------------------------------- */

/* What forbids record i among n: 0 or -errno, see lcpfwd_punts_set. */
int punts_check(const struct region *r, const struct lcpfwd_punt *records, uint32_t n, uint32_t i);
/* The program of n checked records, as it is to lie in a block; malloc'ed. NULL: no memory. */
struct punt_program *punts_compile(const struct region *r, const struct lcpfwd_punt *records, uint32_t n);
/* Attach: marks the block. -EUCLEAN: it is damaged. */
int punts_recover(struct writer *w);

#endif
