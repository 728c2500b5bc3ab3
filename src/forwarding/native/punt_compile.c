/* punt_compile.c - from records to a program (punts.h). What is looked up per packet is laid out by port.
 *
 * Everything is counted first, so that the block is made once; then each port's runs are filled in order.
 */
#include <stdlib.h>
#include <string.h>

#include "police.h"
#include "punts.h"

#define ALIGN 8u

/* Where a new part of size bytes goes; *end moves behind it. */
static uint32_t part(uint32_t *end, size_t size) {
  uint32_t at = *end;
  *end = (uint32_t)((at + size + ALIGN - 1) & ~(size_t)(ALIGN - 1));
  return at;
}

struct building {
  struct punt_program *g;
  const struct region *region;
  const struct lcpfwd_punt *record;
  uint32_t n;
};

#define PART(b, type, field) ((type *)(void *)((uint8_t *)(b)->g + (b)->g->field))

/* Does the record belong to the port that it comes in by? */
static int has_from(const struct lcpfwd_punt *p) {
  return p->from && p->type != LCPFWD_PUNT_RULE;
}

static uint64_t generation_of(const struct building *b, unsigned id) {
  return b->region->head->ports[id].generation;
}

static uint16_t target_add(struct building *b, const struct lcpfwd_punt *p) {
  struct punt_target *t = &PART(b, struct punt_target, targets)[b->g->n_targets];
  t->generation = p->to_generation;
  t->slot = p->slot;
  t->port = p->to;
  t->protocol = p->protocol;
  t->flags = p->flags & (LCPFWD_PUNT_NEXTHOP | LCPFWD_PUNT_MAC);
  t->af = p->af;
  memcpy(t->mac, p->mac, 6);
  memcpy(t->nh, p->destination, 16);
  return (uint16_t)b->g->n_targets++;
}

/* All of one type and flag of port's, as a run. */
static void run(struct building *b, unsigned port, unsigned type, unsigned flag, uint16_t *first, uint16_t *n) {
  *first = (uint16_t)b->g->n_targets;
  for (uint32_t i = 0; i < b->n; i++) {
    const struct lcpfwd_punt *p = &b->record[i];
    if (p->type == type && p->from == port && (!flag || (p->flags & flag))) {
      target_add(b, p);
      (*n)++;
    }
  }
}

static void mask_of(unsigned len, uint64_t mask[2]) {
  uint8_t bytes[16];
  for (unsigned i = 0; i < 16; i++)
    bytes[i] = (uint8_t)(i * 8 >= len ? 0 : len - i * 8 >= 8 ? 0xff : 0xff00u >> (len - i * 8));
  memcpy(mask, bytes, 16);
}

static void rule_add(struct building *b, const struct lcpfwd_punt *p, uint16_t target) {
  struct punt_rule *r = &PART(b, struct punt_rule, rules)[b->g->n_rules++];
  mask_of(p->source_len, r->source_mask);
  mask_of(p->destination_len, r->destination_mask);
  memcpy(r->source, p->source, 16);
  memcpy(r->destination, p->destination, 16);
  memcpy(r->source_ports, p->source_ports, sizeof r->source_ports);
  memcpy(r->destination_ports, p->destination_ports, sizeof r->destination_ports);
  r->target = target;
  r->af = p->af;
  r->permit = (p->flags & LCPFWD_PUNT_PERMIT) != 0;
  r->protocol = p->protocol;
  r->tcp_mask = p->tcp_mask;
  r->tcp_value = p->tcp_value;
  r->upper = p->tcp_mask || p->source_ports[0] || p->destination_ports[0] || p->source_ports[1] != 0xffff ||
             p->destination_ports[1] != 0xffff;
}

/* The next ABX of port: the lowest priority, then the first one, behind (priority, index) of the last. -1: none. */
static int64_t abx_next(const struct building *b, unsigned port, int64_t last) {
  int64_t best = -1;
  for (uint32_t i = 0; i < b->n; i++) {
    const struct lcpfwd_punt *p = &b->record[i];
    if (p->type != LCPFWD_PUNT_ABX || p->from != port)
      continue;
    int behind = last < 0 || p->priority > b->record[last].priority || (p->priority == b->record[last].priority && i > last);
    if (behind && (best < 0 || p->priority < b->record[best].priority))
      best = i;
  }
  return best;
}

static void abx_fill(struct building *b, struct punt_port *port) {
  port->rule = (uint16_t)b->g->n_rules;
  for (int64_t at = abx_next(b, port->id, -1); at >= 0; at = abx_next(b, port->id, at)) {
    uint16_t target = target_add(b, &b->record[at]);
    for (uint32_t i = (uint32_t)at + 1; i < b->n && b->record[i].type == LCPFWD_PUNT_RULE; i++, port->n_rules++)
      rule_add(b, &b->record[i], target);
  }
}

static void proxies_fill(struct building *b, struct punt_port *port) {
  port->proxy = (uint16_t)b->g->n_proxies;
  for (uint32_t i = 0; i < b->n; i++) {
    const struct lcpfwd_punt *p = &b->record[i];
    if (p->type != LCPFWD_PUNT_PROXY || p->from != port->id)
      continue;
    struct punt_proxy *x = &PART(b, struct punt_proxy, proxies)[b->g->n_proxies++];
    memcpy(x->low, p->source, 16);
    memcpy(x->high, p->destination, 16);
    x->af = p->af;
    x->slot = p->slot;
    port->n_proxies++;
  }
}

static void port_fill(struct building *b, struct punt_port *port) {
  uint16_t first, n = 0;
  run(b, port->id, LCPFWD_PUNT_SPAN, LCPFWD_PUNT_RX, &port->span_rx, &port->n_span_rx);
  run(b, port->id, LCPFWD_PUNT_SPAN, LCPFWD_PUNT_TX, &port->span_tx, &port->n_span_tx);
  run(b, port->id, LCPFWD_PUNT_OSI, 0, &port->osi, &port->n_osi);
  run(b, port->id, LCPFWD_PUNT_XCONNECT, 0, &first, &n);
  port->xconnect = n ? (uint16_t)(first + 1) : 0;
  abx_fill(b, port);
  proxies_fill(b, port);
  b->g->span_tx |= port->n_span_tx != 0;
}

static void redirect_fill(struct building *b, const struct lcpfwd_punt *p) {
  unsigned six = p->af == LCPFWD_AF_INET6;
  uint16_t target = (uint16_t)(target_add(b, p) + 1);
  if (p->from == 0)
    b->g->redirect_any[six] = target;
  else
    PART(b, struct punt_port, ports)[b->g->port_of[p->from] - 1].redirect[six] = target;
}

static void match_fill(struct building *b, const struct lcpfwd_punt *p) {
  struct punt_match *m = PART(b, struct punt_match, matches);
  uint32_t key = match_key(p->by, p->af, p->protocol, p->number), i = (uint32_t)mix64(key) & b->g->match_mask;
  while (m[i].key && m[i].key != key)
    i = (i + 1) & b->g->match_mask;
  m[i].key = key;
  if (p->type == LCPFWD_PUNT_HOST)
    m[i].host = p->slot;
  else
    m[i].socket = p->slot;
  b->g->n_matches++;
  b->g->reasons |= p->by == LCPFWD_BY_REASON;
}

static void police_fill(struct building *b, const struct lcpfwd_punt *p) {
  const uint64_t second = 1000000000ull * POLICE_UNITS;
  int bytes = (p->flags & LCPFWD_PUNT_KBPS) != 0;
  struct punt_police *q = &b->g->police[p->scope];
  q->slot = p->slot;
  q->per_bytes = (uint32_t)bytes;
  q->cost = bytes ? second * 8 / 1000 / p->rate : second / p->rate;
  if (q->cost == 0)
    q->cost = 1;
  if (bytes) {
    q->depth = q->cost * p->burst;
  } else { /* whole packets, one at least: a part of one would let none pass */
    uint64_t packets = (uint64_t)p->rate * p->burst / 1000;
    q->depth = q->cost * (packets ? packets : 1);
  }
}

static int relays_of(const struct punt_relay *r, const struct lcpfwd_punt *p) {
  return r->config.family == p->af && r->number == p->table && !memcmp(r->config.source, p->source, 16);
}

/* Records of one table, family and source are servers of one relay. Past those that fit, punts_check has refused. */
static void relay_fill(struct building *b, const struct lcpfwd_punt *p) {
  struct punt_relay *r = PART(b, struct punt_relay, relays), *end = r + b->g->n_relays;
  while (r < end && !relays_of(r, p))
    r++;
  if (r == end) {
    b->g->n_relays++;
    r->config.family = p->af;
    r->table = p->relay_table;
    r->number = p->table;
    r->local = p->relay_local;
    memcpy(r->config.source, p->source, 16);
  }
  unsigned i = r->config.n_servers++;
  memcpy(r->config.server[i].address, p->destination, 16);
  r->config.server[i].domain = p->server_table;
  r->slot[i] = p->slot;
  r->peer[i] = p->to ? (uint16_t)(target_add(b, p) + 1) : 0;
}

/* Entries of the ports that come up, in the order in which they do. */
static void ports_find(struct building *b) {
  struct punt_program *g = b->g;
  for (uint32_t i = 0; i < b->n; i++) {
    const struct lcpfwd_punt *p = &b->record[i];
    if (!has_from(p) || g->port_of[p->from])
      continue;
    struct punt_port *port = &PART(b, struct punt_port, ports)[g->n_ports++];
    uint32_t parent = b->region->head->ports[p->from].parent;
    port->id = p->from;
    port->generation = generation_of(b, p->from);
    g->port_of[p->from] = (uint16_t)g->n_ports;
    if (parent)
      g->sub_of[parent] = 1;
  }
}

struct punt_program *punts_compile(const struct region *r, const struct lcpfwd_punt *records, uint32_t n) {
  uint32_t ports = 0, targets = 0, rules = 0, proxies = 0, relays = 0, matches = 0, slots = 8, end = sizeof(struct punt_program);
  for (uint32_t i = 0; i < n; i++) {
    const struct lcpfwd_punt *p = &records[i];
    ports += has_from(p);
    targets += p->to != 0;
    targets += p->type == LCPFWD_PUNT_SPAN; /* one for each direction */
    rules += p->type == LCPFWD_PUNT_RULE;
    proxies += p->type == LCPFWD_PUNT_PROXY;
    relays += p->type == LCPFWD_PUNT_RELAY;
    matches += p->by != 0;
  }
  while (slots < 2 * matches)
    slots *= 2;
  struct punt_program layout = {0};
  layout.ports = part(&end, ports * sizeof(struct punt_port));
  layout.targets = part(&end, targets * sizeof(struct punt_target));
  layout.rules = part(&end, rules * sizeof(struct punt_rule));
  layout.proxies = part(&end, proxies * sizeof(struct punt_proxy));
  layout.relays = part(&end, relays * sizeof(struct punt_relay));
  layout.matches = part(&end, slots * sizeof(struct punt_match));
  layout.records = part(&end, n * sizeof(struct lcpfwd_punt));
  struct punt_program *g = calloc(1, end);
  if (!g)
    return NULL;
  *g = layout;
  g->bytes = end;
  g->match_mask = slots - 1;
  g->n_records = n;
  struct building b = {g, r, records, n};
  if (n)
    memcpy(PART(&b, struct lcpfwd_punt, records), records, n * sizeof *records);
  ports_find(&b);
  for (uint32_t i = 0; i < g->n_ports; i++)
    port_fill(&b, &PART(&b, struct punt_port, ports)[i]);
  for (uint32_t i = 0; i < n; i++) {
    if (records[i].type == LCPFWD_PUNT_REDIRECT)
      redirect_fill(&b, &records[i]);
    else if (records[i].type == LCPFWD_PUNT_HOST || records[i].type == LCPFWD_PUNT_SOCKET)
      match_fill(&b, &records[i]);
    else if (records[i].type == LCPFWD_PUNT_POLICE)
      police_fill(&b, &records[i]);
    else if (records[i].type == LCPFWD_PUNT_RELAY)
      relay_fill(&b, &records[i]);
  }
  return g;
}
