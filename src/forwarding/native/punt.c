/* punt.c - what goes to the kernel behind the pair, and the account of every packet's fate.
 *
 * A punted packet is exactly as it was received. Exceptions go to the kernel always; where the port's
 * flags say that the kernel there does not forward, it would ignore them silently, so the data plane
 * sends the ICMP error itself. A neighbour is asked for at most once a second per worker.
 */
#include "datapath.h"

#define SECOND_NS 1000000000ull

void neighbour_want(struct datapath *d, unsigned port, unsigned af, const uint8_t *addr) {
  uint64_t a[2] = {0, 0};
  memcpy(a, addr, af == LCPFWD_AF_INET ? 4 : 16);
  uint64_t key = mix64(mix64(a[0] ^ d->region->head->seed) + a[1]) + mix64((uint64_t)port << 8 | af);
  struct wanted *w = &d->wanted[key % WANTED_SLOTS];
  if (w->key == key && w->at_ns && d->now_ns - w->at_ns < SECOND_NS) return;
  w->key = key;
  w->at_ns = d->now_ns;
  struct lcpfwd_event e = {.type = LCPFWD_EVENT_NEIGH_WANTED, .port = (uint16_t)port, .af = (uint8_t)af};
  memcpy(e.addr, a, 16);
  count(d, port, COUNTER_NEIGHBOUR_WANTED, 1);
  if (event_push(d->region, d->worker, &e)) d->events = 1;
}

void punt_no_neighbour(struct datapath *d, struct packet *p, unsigned port, unsigned af, const uint8_t *addr) {
  neighbour_want(d, port, af, addr);
  punt(p, COUNTER_PUNT_NO_NEIGHBOUR);
}

void punt_exception(struct datapath *d, const struct ingress *in, struct packet *p, enum exception why, uint32_t mtu) {
  static const uint16_t counter[] = {
      [EXCEPTION_TTL] = COUNTER_PUNT_TTL,           [EXCEPTION_TOO_BIG] = COUNTER_PUNT_TOO_BIG,
      [EXCEPTION_NO_ROUTE] = COUNTER_PUNT_NO_ROUTE, [EXCEPTION_UNREACHABLE] = COUNTER_PUNT_UNREACHABLE,
      [EXCEPTION_PROHIBIT] = COUNTER_PUNT_PROHIBIT,
  };
  uint32_t kernel = p->ethertype == TYPE_IP4 ? LCPFWD_PORT_KERNEL_FWD4 : LCPFWD_PORT_KERNEL_FWD6;
  punt(p, counter[why]);
  if (!(in->flags & kernel)) icmp_error(d, in, p, why, mtu);
}

static void trace(struct datapath *d, const struct packet *p) {
  struct lcpfwd_trace t;
  memset(&t, 0, sizeof t);
  t.in_port = p->in_port;
  const struct adj *out = p->disposition == DISPOSE_PHY && p->adjacency ? adj_get(d->region, p->adjacency) : NULL;
  t.out_port = out ? out->port : p->out_port; /* the sub-interface where there is one */
  t.from_host = p->from_host;
  t.counter = p->counter;
  t.len = p->len;
  t.table = p->table;
  t.pathlist = p->pathlist;
  t.adjacency = p->adjacency;
  t.caplen = p->len < sizeof t.bytes ? p->len : (uint32_t)sizeof t.bytes;
  memcpy(t.bytes, p->data, t.caplen);
  trace_record(d->region, d->worker, &t);
}

void burst_account(struct datapath *d, struct packet *p, unsigned n) {
  unsigned same = 0; /* runs of one fate on one port are added at once */
  for (unsigned i = 0; i < n; i++) {
    same++;
    if (i + 1 == n || p[i + 1].counter != p[i].counter || p[i + 1].in_port != p[i].in_port) {
      count(d, p[i].in_port, p[i].counter, same);
      same = 0;
    }
    /* A forwarded frame is shown as it left, all others as they came. */
    if (trace_take(d->region) || i == 0 || p[i].disposition != DISPOSE_PHY) trace(d, &p[i]);
  }
}
