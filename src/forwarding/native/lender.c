/* lender.c - interconnects that borrow the layer 3 of another interface (lender.h). */
#include "lender.h"

#include <errno.h>

#include "punting.h"

/* The open port of a word, NULL: it has ended. */
static const struct port_entry *port_of(const struct region *r, uint64_t word, unsigned *id) {
  *id = (unsigned)(word & 0xff);
  const struct port_entry *port = port_get(r, *id);
  return port && LOAD(&port->generation) == word >> 8 ? port : NULL;
}

enum lending lender_of(const struct region *r, const struct port_entry *port, unsigned *id) {
  uint64_t word = LOAD(&port->lender);
  if (word == 0) return LENDING_NONE;
  const struct port_entry *lender = port_of(r, word, id);
  return lender && !(port_flags(lender) & LCPFWD_PORT_HOSTLESS) ? LENDING : LENDING_ABSENT;
}

void ingress_borrow(const struct datapath *d, struct ingress *in) {
  const uint32_t answering = LCPFWD_PORT_KERNEL_FWD4 | LCPFWD_PORT_KERNEL_FWD6;
  unsigned id;
  switch (lender_of(d->region, in->port, &id)) {
    case LENDING_NONE: return;
    case LENDING_ABSENT: in->flags |= answering; return; /* what finds no route is dropped: nobody is told */
    case LENDING: break;
  }
  in->ip = &d->region->head->ports[id];
  in->ip_id = (uint16_t)id;
  in->flags |= port_flags(in->ip) & answering;
  port_lookup_spec(in->ip, LCPFWD_AF_INET, &in->v4);
  port_lookup_spec(in->ip, LCPFWD_AF_INET6, &in->v6);
}

int lender_wants(const struct packet *p) {
  switch (p->counter) {
    case COUNTER_PUNT_LOCAL:
    case COUNTER_PUNT_OPTIONS:
    case COUNTER_PUNT_TTL:
    case COUNTER_PUNT_TOO_BIG:
    case COUNTER_PUNT_NO_NEIGHBOUR:
    case COUNTER_PUNT_NO_ROUTE:
    case COUNTER_PUNT_UNREACHABLE:
    case COUNTER_PUNT_PROHIBIT:
    case COUNTER_PUNT_KERNEL: return 1;
    case COUNTER_PUNT_BROADCAST: return !(p->data[0] & 1); /* of a subnet that a route says is one */
    default: return 0;
  }
}

/* The L2 part that the host of lender expects. 0: there was no room. */
static int readdress(struct packet *f, const struct port_entry *lender) {
  if (port_flags(lender) & LCPFWD_PORT_TUN) return packet_set_l3(f, 0);
  if (!punt_retag(f, lender)) return 0;
  port_mac(lender, f->data);
  return 1;
}

void lender_deliver(struct datapath *d, struct packet *p, unsigned id) {
  const struct port_entry *lender = port_get(d->region, id);
  uint32_t parent = lender ? LOAD(&lender->parent) : 0;
  struct packet *f = lender ? punt_copy(d, p) : NULL; /* sinks may have p, as it came */
  if (!f) return drop(p, lender ? COUNTER_DROP_NO_ROOM : COUNTER_DROP_NO_LENDER);
  if (!readdress(f, lender)) {
    drop(f, COUNTER_DROP_NO_ROOM);
    return drop(p, COUNTER_DROP_NO_ROOM);
  }
  f->disposition = DISPOSE_HOST;
  f->out_port = (uint16_t)(parent ? parent : id);
  p->disposition = DISPOSE_DROP; /* its copy goes; its counter stays what it was punted for */
}

int lender_set(const struct region *r, struct port_entry *e, uint32_t lender) {
  uint64_t word = 0;
  if (lender == LCPFWD_LENDER_ABSENT) {
    word = LENDER_ABSENT;
  } else if (lender) {
    const struct port_entry *port = port_get(r, lender);
    if (!port) return -ENODEV;
    if (port == e) return -EINVAL;
    word = LENDER_WORD(port->generation, lender);
  }
  STORE(&e->lender, word);
  return 0;
}

uint32_t lender_read(const struct region *r, const struct port_entry *e) {
  unsigned id;
  if (e->lender == 0) return 0;
  return port_of(r, e->lender, &id) ? id : LCPFWD_LENDER_ABSENT;
}
