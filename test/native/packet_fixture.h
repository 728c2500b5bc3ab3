/* packet_fixture.h - a router in memory for the packet tests: five ports, routes, neighbours, no I/O.
 *
 *   A 10.0.0.1/24, 2001:db8:a::1/64   kernel behind it does not forward
 *   B 10.1.0.1/24, 2001:db8:b::1/64   next hops 10.1.0.2, 2001:db8:b::2, fe80::2
 *   T TUN      K like A, but its kernel forwards      S an exit with an MTU of 1280
 */
#ifndef PACKET_FIXTURE_H
#define PACKET_FIXTURE_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attachment.h"
#include "egress.h"
#include "lcpfwd.h"

#define CHECK(cond, ...)                                         \
  do {                                                           \
    if (!(cond)) {                                               \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #cond); \
      fprintf(stderr, __VA_ARGS__);                              \
      fputc('\n', stderr);                                       \
      exit(1);                                                   \
    }                                                            \
  } while (0)

struct router {
  lcpfwd *f;
  struct datapath d;
  unsigned a, b, t, k, s; /* port ids */
  uint32_t table4, table6;
  uint8_t buffer[FRAME_ROOM + VNET_HEAD + FRAME_MAX];
  struct packet p;               /* the packet of the last run */
  uint8_t made[MADE_MAX][2048];  /* copies of what was made */
  struct packet made_packet[MADE_MAX];
  unsigned n_made;
};

extern struct router R;

static inline void mac_of(unsigned n, uint8_t *mac) {
  memcpy(mac, "\x02\x00\x00\x00\x00", 5);
  mac[5] = (uint8_t)n;
}

static inline unsigned address(const char *text, uint8_t *out) {
  memset(out, 0, 16);
  if (inet_pton(AF_INET, text, out) == 1) return 4;
  CHECK(inet_pton(AF_INET6, text, out) == 1, "address %s", text);
  return 6;
}

static inline unsigned port(const char *name, unsigned n, uint32_t flags, uint32_t mtu, const char *src4, const char *src6) {
  struct lcpfwd_port p;
  char text[160] = "";
  memset(&p, 0, sizeof p);
  p.flags = flags | LCPFWD_PORT_UP;
  p.phy_ifindex = 100 + n;
  p.mtu = mtu;
  mac_of(n, p.mac);
  if (src4) inet_pton(AF_INET, src4, &p.src4);
  if (src6) inet_pton(AF_INET6, src6, p.src6);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table6}};
  snprintf(p.phy, sizeof p.phy, "%s", name);
  snprintf(p.host, sizeof p.host, "h-%s", name);
  int32_t id = lcpfwd_port_add(R.f, &p, -1, text);
  CHECK(id > 0, "port %s: %d %s", name, id, text);
  return (unsigned)id;
}

/* The attributes of a port as they are. */
static inline struct lcpfwd_port port_now(unsigned id) {
  static struct lcpfwd_port all[LCPFWD_MAX_PORTS];
  int32_t n = lcpfwd_ports(R.f, all, LCPFWD_MAX_PORTS);
  for (int32_t i = 0; i < n; i++)
    if (all[i].id == id) return all[i];
  CHECK(0, "no port %u", id);
}

static inline void route_to(const char *prefix, unsigned plen, uint32_t pathlist) {
  struct lcpfwd_route r;
  int32_t result = -1;
  memset(&r, 0, sizeof r);
  r.table = address(prefix, r.addr) == 4 ? R.table4 : R.table6;
  r.plen = (uint8_t)plen;
  r.pathlist = pathlist;
  CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "route %s/%u: %d", prefix, plen, result);
}

/* nh NULL: attached */
static inline uint32_t via(unsigned out, const char *nh) {
  struct lcpfwd_path path = {.port = (uint16_t)out, .weight = 1};
  if (nh) path.af = (uint8_t)address(nh, path.nh);
  int32_t id = lcpfwd_pathlist_set(R.f, 0, &path, 1);
  CHECK(id >= (int)LCPFWD_PL_FIRST, "path list by %u: %d", out, id);
  return (uint32_t)id;
}

static inline void neighbour(unsigned out, const char *addr, unsigned mac) {
  struct lcpfwd_neighbour n;
  int32_t result = -1;
  memset(&n, 0, sizeof n);
  n.port = (uint16_t)out;
  n.af = (uint8_t)address(addr, n.addr);
  mac_of(mac, n.mac);
  CHECK(lcpfwd_neighbours_apply(R.f, &n, 1, &result) == 0, "neighbour %s: %d", addr, result);
}

static inline uint64_t counter(unsigned id, enum counter c) {
  uint64_t all[COUNTER_SLOTS];
  CHECK(lcpfwd_counters(R.f, id, all) >= 0, "counters of port %u", id);
  return all[c];
}

/* Fates of packets that came in by id: what the name says at its start. */
static inline uint64_t fates(unsigned id) {
  uint64_t all[COUNTER_SLOTS], sum = 0;
  CHECK(lcpfwd_counters(R.f, id, all) >= 0, "counters of port %u", id);
  for (uint32_t i = 0; i < lcpfwd_counter_count(); i++) {
    const char *n = lcpfwd_counter_name(i);
    if (!strncmp(n, "forward-", 8) || !strncmp(n, "punt-", 5) || !strncmp(n, "xconnect-", 9) || !strncmp(n, "drop-", 5))
      sum += all[i];
  }
  return sum;
}

static inline void capture(struct datapath *d) {
  for (unsigned i = 0; i < d->n_made; i++) {
    CHECK(R.n_made < MADE_MAX && d->made[i].len <= sizeof R.made[0], "made too much: %u of %u bytes", R.n_made, d->made[i].len);
    memcpy(R.made[R.n_made], d->made[i].data, d->made[i].len);
    R.made_packet[R.n_made] = d->made[i];
    R.made_packet[R.n_made].data = R.made[R.n_made];
    R.n_made++;
  }
  made_reset(d);
}

/* One frame through the packet path. vnet may be NULL. */
static inline struct packet *run(unsigned in, int from_host, const uint8_t *frame, uint32_t len, const struct virtio_net_hdr *vnet) {
  memset(&R.p, 0, sizeof R.p);
  R.p.data = R.buffer + FRAME_ROOM + VNET_HEAD;
  R.p.len = len;
  R.p.room = FRAME_ROOM;
  if (vnet) R.p.vnet = *vnet;
  memcpy(R.p.data, frame, len);
  R.n_made = 0;
  (from_host ? host_burst : phy_burst)(&R.d, in, &R.p, 1);
  capture(&R.d);
  qsbr_quiescent(R.d.region, 0);
  return &R.p;
}

void router_make(void);
void router_free(void);
void test_errors(void); /* packet_errors.c */
void test_tagged(void); /* packet_tagged.c */
void test_mpls(void);   /* packet_mpls.c */
void test_lookup(void); /* packet_lookup.c */
void test_pieces(void); /* packet_pieces.c, with the routes of packet_mpls.c */
void test_fuzz(uint64_t seed); /* packet_fuzz.c */

#endif
