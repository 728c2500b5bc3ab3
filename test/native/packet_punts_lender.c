/* packet_punts_lender.c - an interconnect that borrows the layer 3 of another port: routed as if it had come in there, or dropped
 * and counted where there is nobody to borrow of. Its CNF has MAC 02:..:55, the interconnect X 02:..:f1.
 */
#include "own.h"
#include "packet_punts.h"
#include "puntsock.h"

static unsigned x, y;

static void begin(void) {
  router_make();
  x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500);
  y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP, 1500);
  CHECK(port_now(x).lender == 0, "a new one borrows of nobody");
}

static void lend(unsigned of, unsigned lender) {
  int32_t err = lcpfwd_port_lender(R.f, of, lender);
  CHECK(err == 0, "%u borrows of %u: %d", of, lender, err);
  CHECK(port_now(of).lender == lender, "told as %u", port_now(of).lender);
}

static void from_cnf4(struct frame *f, const char *src, const char *dst, unsigned ttl, unsigned payload) {
  put_macs(f, 0xf1, 0x55);
  put16(f, TYPE_IP4);
  put_ip4(f, src, dst, ttl, 0, payload);
}

static void from_cnf6(struct frame *f, const char *src, const char *dst, unsigned hops) {
  put_macs(f, 0xf1, 0x55);
  put16(f, TYPE_IP6);
  put_ip6(f, src, dst, hops, 40);
}

/* As sent to a neighbour by port b. */
static struct frame forwarded(const struct frame *f, unsigned dst, unsigned src) {
  struct frame want = *f;
  mac_of(dst, want.at);
  mac_of(src, want.at + 6);
  if (want.at[12] == 0x86) {
    want.at[21]--;
  } else {
    want.at[22]--;
    store16(want.at + 24, 0);
    store16(want.at + 24, checksum(want.at + 14, 20));
  }
  return want;
}

/* The frame number i that was made is for the host of id, as f with another destination. */
static void at_host(unsigned i, unsigned id, const struct frame *f, unsigned mac, int line) {
  struct frame want = *f;
  mac_of(mac, want.at);
  CHECK(i < R.n_made, "line %d: %u frames made", line, R.n_made);
  const struct packet *p = &R.made_packet[i];
  CHECK(p->disposition == DISPOSE_HOST && p->out_port == id, "line %d: goes %u to %u", line, p->disposition, p->out_port);
  expect_frame(p->data, p->len, &want, line);
}

/* Punted to the host of id, and the data plane says nothing besides. */
#define LENT(f, why, id, mac)            \
  do {                                   \
    DROPS(x, x, f, why);                 \
    CHECK(R.n_made == 1, "%u frames", R.n_made); \
    at_host(0, id, f, mac, __LINE__);    \
  } while (0)

static void test_routed(void) {
  begin();
  struct frame f, want;
  from_cnf4(&f, "10.0.0.1", "10.2.0.1", 64, 40);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  CHECK(R.n_made == 0, "%u frames", R.n_made);
  lend(x, R.a);
  want = forwarded(&f, 0xb2, 0xb1);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.b, &want);
  from_cnf6(&f, "2001:db8:a::1", "2001:db8:2::1", 64);
  want = forwarded(&f, 0xb2, 0xb1);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP6, R.b, &want);
  from_cnf4(&f, "10.0.0.1", "10.0.0.2", 2, 40); /* a neighbour of the lender */
  want = forwarded(&f, 0xa2, 0xa1);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.a, &want);
  from_cnf4(&f, "10.66.0.1", "10.3.0.1", 64, 40);
  DROPS(x, x, &f, COUNTER_DROP_BLACKHOLE);
  f.at[5] = 0xa1; /* the lender's MAC is not its own */
  DROPS(x, x, &f, COUNTER_DROP_NOT_FOR_US);

  /* its own tables, of each family by itself */
  struct lcpfwd_port a = port_now(R.a);
  uint32_t other = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_INET, "test/100/4");
  struct lcpfwd_route r = {.table = other, .pathlist = via(R.s, "10.9.0.2"), .plen = 16, .addr = {10, 2}};
  int32_t result;
  CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "route");
  a.v4 = (struct lcpfwd_lookup_spec){.n = 2, .table = {other, R.table4}};
  CHECK(lcpfwd_port_set(R.f, R.a, &a) == 0, "a policy rule by the lender");
  from_cnf4(&f, "10.0.0.1", "10.2.0.1", 64, 40);
  want = forwarded(&f, 0xe2, 0xe1);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.s, &want);
  from_cnf6(&f, "2001:db8:a::1", "2001:db8:2::1", 64);
  want = forwarded(&f, 0xb2, 0xb1);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP6, R.b, &want);
  a.flags &= ~LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &a) == 0, "the lender goes down");
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP6, R.b, &want);

  /* rules first, and what is no packet to be looked up is not the lender's */
  struct punts s = {0};
  record(&s, LCPFWD_PUNT_ABX, x, R.b);
  rule(&s, "10.2.0.1", 32, 0);
  apply(&s);
  from_cnf4(&f, "10.0.0.1", "10.2.0.1", 64, 40);
  becomes(x, 0, x, &f, COUNTER_PUNT_ABX, DISPOSE_PHY, R.b, __LINE__);
  router_free();
}

static void test_link(void) {
  begin();
  struct frame f;
  lend(x, R.a);
  from_cnf4(&f, "10.0.0.1", "224.0.0.5", 1, 40);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  from_cnf4(&f, "10.0.0.1", "239.1.1.1", 9, 40);
  memcpy(f.at, "\x01\x00\x5e\x01\x01\x01", 6);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  from_cnf4(&f, "10.0.0.1", "255.255.255.255", 9, 40);
  memset(f.at, 0xff, 6);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  from_cnf6(&f, "2001:db8:a::1", "fe80::1", 9);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  from_cnf6(&f, "fe80::55", "2001:db8:2::1", 9);
  DROPS(x, x, &f, COUNTER_DROP_SCOPE);
  put_macs(&f, 0xf1, 0x55);
  put16(&f, TYPE_MPLS);
  put_label(&f, 100, 0, 1, 9);
  f.len += 60;
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  CHECK(R.n_made == 0, "%u frames", R.n_made);
  router_free();
}

static void test_host(void) {
  begin();
  struct frame f, want;
  lend(x, R.a);
  from_cnf4(&f, "10.66.0.1", "10.0.0.1", 64, 40);
  LENT(&f, COUNTER_PUNT_LOCAL, R.a, 0xa1);
  from_cnf6(&f, "2001:db8:66::1", "2001:db8:a::1", 1);
  LENT(&f, COUNTER_PUNT_LOCAL, R.a, 0xa1);
  from_cnf4(&f, "10.66.0.1", "10.0.0.255", 64, 40);
  LENT(&f, COUNTER_PUNT_BROADCAST, R.a, 0xa1);
  from_cnf4(&f, "10.66.0.1", "10.6.0.1", 64, 40);
  LENT(&f, COUNTER_PUNT_KERNEL, R.a, 0xa1);
  uint64_t wanted = counter(R.b, COUNTER_NEIGHBOUR_WANTED);
  from_cnf4(&f, "10.66.0.1", "10.11.0.1", 64, 40);
  LENT(&f, COUNTER_PUNT_NO_NEIGHBOUR, R.a, 0xa1);
  CHECK(counter(R.b, COUNTER_NEIGHBOUR_WANTED) == wanted + 1, "its neighbour is asked for");
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
  from_cnf4(&f, "10.66.0.1", "10.0.0.1", 64, 40);
  CHECK(run(x, 0, f.at, f.len, &v)->counter == COUNTER_PUNT_LOCAL && R.made_packet[0].vnet.csum_start == 34, "a partial checksum goes along");

  /* of a sub-interface, to its parent's host, with its tags */
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = (uint16_t)R.a, .tags = 2, .tag = {0x88a80064u, 0x81000007u},
                          .v4 = {.n = 1, .table = {R.table4}}};
  mac_of(0xa7, p.mac);
  int32_t sub = lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK(sub > 0, "sub-interface: %d", sub);
  lend(x, (unsigned)sub);
  put_macs(&want, 0xa7, 0x55);
  put_tag(&want, TYPE_QINQ, 0x64);
  put_tag(&want, TYPE_VLAN, 7);
  put16(&want, TYPE_IP4);
  put_ip4(&want, "10.66.0.1", "10.0.0.1", 64, 0, 40);
  DROPS(x, x, &f, COUNTER_PUNT_LOCAL);
  at_host(0, R.a, &want, 0xa7, __LINE__);
  struct lcpfwd_port t = port_now(R.t);
  t.v4 = p.v4;
  CHECK(lcpfwd_port_set(R.f, R.t, &t) == 0, "tables of a TUN");
  lend(x, R.t); /* without an L2 part */
  DROPS(x, x, &f, COUNTER_PUNT_LOCAL);
  CHECK(R.n_made == 1 && R.made_packet[0].out_port == R.t && R.made_packet[0].len == f.len - 14 && !memcmp(R.made[0], f.at + 14, f.len - 14), "TUN");

  /* a sink has it as it came, instead of the host */
  struct punts s = {0};
  struct lcpfwd_punt *sink = record(&s, LCPFWD_PUNT_HOST, 0, 0);
  *sink = (struct lcpfwd_punt){.type = LCPFWD_PUNT_HOST, .by = LCPFWD_BY_PORT, .af = 4, .protocol = PROTO_UDP, .number = 9000};
  struct lcpfwd_punt *any = record(&s, LCPFWD_PUNT_REDIRECT, 0, R.b);
  any->af = 4;
  apply(&s);
  lend(x, R.a);
  udp_ports(&f, 14, 20, 5000, 9000);
  LENT(&f, COUNTER_PUNT_LOCAL, R.a, 0xa1); /* the lender's host, before a redirect of any interface */
  CHECK(counted(sink).packets == 1 && counted(any).packets == 0, "counted");
  router_free();
}

static void icmp_leaves(unsigned i, unsigned out, unsigned dst, unsigned src, const char *from, const char *to, unsigned type, int line) {
  uint8_t macs[12], addr[16];
  mac_of(dst, macs);
  mac_of(src, macs + 6);
  CHECK(i < R.n_made, "line %d: %u frames made", line, R.n_made);
  const struct packet *p = &R.made_packet[i];
  CHECK(p->disposition == DISPOSE_PHY && p->out_port == out && !memcmp(R.made[i], macs, 12), "line %d: goes %u to %u", line, p->disposition, p->out_port);
  unsigned six = address(from, addr) == 6;
  CHECK(!memcmp(R.made[i] + (six ? 22 : 26), addr, six ? 16 : 4), "line %d: its source", line);
  address(to, addr);
  CHECK(!memcmp(R.made[i] + (six ? 38 : 30), addr, six ? 16 : 4) && R.made[i][six ? 54 : 34] == type, "line %d: its destination and type", line);
}

static void test_exceptions(void) {
  begin();
  struct frame f;
  route_to("10.66.0.0", 16, via(R.b, "10.1.0.2"));
  lend(x, R.a); /* its kernel does not forward */
  from_cnf4(&f, "10.66.0.1", "10.2.0.1", 1, 40);
  DROPS(x, x, &f, COUNTER_PUNT_TTL);
  icmp_leaves(0, R.b, 0xb2, 0xb1, "10.0.0.1", "10.66.0.1", 11, __LINE__);
  at_host(1, R.a, &f, 0xa1, __LINE__);
  from_cnf4(&f, "10.0.0.2", "10.99.0.1", 9, 40); /* of the lender's neighbours */
  DROPS(x, x, &f, COUNTER_PUNT_NO_ROUTE);
  icmp_leaves(0, R.a, 0xa2, 0xa1, "10.0.0.1", "10.0.0.2", 3, __LINE__);
  neighbour(R.a, "10.88.0.2", 0xa8); /* which no route leads to */
  from_cnf4(&f, "10.88.0.2", "10.4.0.1", 9, 40);
  DROPS(x, x, &f, COUNTER_PUNT_UNREACHABLE);
  icmp_leaves(0, R.a, 0xa8, 0xa1, "10.0.0.1", "10.88.0.2", 3, __LINE__);
  /* from the address that is borrowed: the CNF's, straight back */
  from_cnf4(&f, "10.0.0.1", "10.4.0.1", 9, 40);
  DROPS(x, x, &f, COUNTER_PUNT_UNREACHABLE);
  icmp_leaves(0, x, 0x55, 0xf1, "10.0.0.1", "10.0.0.1", 3, __LINE__);
  from_cnf6(&f, "2001:db8:a::1", "2001:db8:2::1", 1);
  DROPS(x, x, &f, COUNTER_PUNT_TTL);
  icmp_leaves(0, x, 0x55, 0xf1, "2001:db8:a::1", "2001:db8:a::1", 3, __LINE__);
  CHECK(counter(x, COUNTER_ICMP_SENT) == 5 && counter(R.a, COUNTER_ICMP_SENT) == 0, "counted on the interconnect");
  /* that a pair has the address itself is no way to its host */
  put_macs(&f, 0xa1, 0x55);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.1", "10.4.0.1", 9, 0, 40);
  uint64_t lost = counter(R.a, COUNTER_ICMP_NO_ROUTE);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_UNREACHABLE);
  CHECK(R.n_made == 0 && counter(R.a, COUNTER_ICMP_NO_ROUTE) == lost + 1, "by a pair");
  lend(x, R.k); /* its kernel answers */
  from_cnf4(&f, "10.66.0.1", "10.2.0.1", 1, 40);
  LENT(&f, COUNTER_PUNT_TTL, R.k, 0xd1);
  from_cnf6(&f, "2001:db8:a::1", "2001:db8:2::1", 1);
  LENT(&f, COUNTER_PUNT_TTL, R.k, 0xd1);
  from_cnf4(&f, "10.66.0.1", "10.8.0.1", 9, 1400);
  LENT(&f, COUNTER_PUNT_TOO_BIG, R.k, 0xd1);
  router_free();
}

static void test_gone(void) {
  begin();
  struct frame f, want;
  struct punts s = {0};
  struct lcpfwd_punt *any = record(&s, LCPFWD_PUNT_REDIRECT, 0, R.b);
  any->af = 4;
  from_cnf4(&f, "10.0.0.1", "10.2.0.1", 64, 40);
  want = forwarded(&f, 0xb2, 0xb1);
  lend(x, R.k);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.b, &want);
  CHECK(lcpfwd_port_del(R.f, R.k) == 0 && port_now(x).lender == LCPFWD_LENDER_ABSENT, "the lender ends");
  DROPS(x, x, &f, COUNTER_DROP_NO_LENDER);
  apply(&s);
  DROPS(x, x, &f, COUNTER_DROP_NO_LENDER); /* nor does a redirect take it */
  CHECK(R.n_made == 0 && counted(any).packets == 0 && counter(x, COUNTER_ICMP_NO_SOURCE) == 0, "and nobody is told");
  unsigned again = port("K2", 0xd2, 0, 1500, NULL, NULL);
  CHECK(again == R.k && port_now(x).lender == LCPFWD_LENDER_ABSENT, "another port of that id does not lend");
  DROPS(x, x, &f, COUNTER_DROP_NO_LENDER);
  lend(x, again);
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.b, &want);
  lend(x, LCPFWD_LENDER_ABSENT);
  DROPS(x, x, &f, COUNTER_DROP_NO_LENDER);
  lend(x, y); /* without a host there is nothing to lend */
  DROPS(x, x, &f, COUNTER_DROP_NO_LENDER);
  from_cnf4(&f, "10.0.0.1", "224.0.0.5", 1, 40);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  lcpfwd_punts_set(R.f, NULL, 0, &(uint32_t){0});
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);

  /* with a host of its own it is a pair, which borrows nothing */
  struct lcpfwd_port host = {.host_ifindex = 7, .host = "own"};
  lend(x, R.a);
  CHECK(lcpfwd_port_host(R.f, x, &host, 0, NULL) == 0, "a host");
  from_cnf4(&f, "10.66.0.1", "10.0.0.1", 64, 40);
  PUNTS(x, x, &f, COUNTER_PUNT_NO_ROUTE);
  CHECK(lcpfwd_port_host(R.f, x, NULL, -1, NULL) == 0, "no host");
  LENT(&f, COUNTER_PUNT_LOCAL, R.a, 0xa1);
  lend(x, 0);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);

  CHECK(lcpfwd_port_lender(R.f, x, x) == -EINVAL && lcpfwd_port_lender(R.f, x, 77) == -ENODEV && lcpfwd_port_lender(R.f, x, 1000) == -ENODEV,
        "lenders that are none");
  CHECK(lcpfwd_port_lender(R.f, R.a, R.b) == -ENOENT && lcpfwd_port_lender(R.f, 0, R.b) == -ENOENT && lcpfwd_port_lender(R.f, 1000, R.b) == -ENOENT,
        "ports that cannot borrow");
  CHECK(port_now(x).lender == 0 && port_now(R.a).lender == 0, "nothing has changed");
  router_free();
}

/* A client of the punt socket hands a packet in as if it had come by the interconnect. */
static struct packet *injected(const struct frame *f) {
  const struct punt_descriptor what = {.number = x, .action = PUNT_IP4_ROUTED};
  memset(&R.p, 0, sizeof R.p);
  R.p.data = R.buffer + FRAME_ROOM + VNET_HEAD;
  R.p.len = f->len - 14;
  R.p.room = FRAME_ROOM;
  R.p.ethertype = TYPE_IP4;
  memcpy(R.p.data, f->at + 14, R.p.len);
  R.n_made = 0;
  inject_burst(&R.d, &what, &R.p, 1);
  capture(&R.d);
  return &R.p;
}

static void test_injected(void) {
  begin();
  struct frame f;
  struct packet *p;
  lend(x, R.a);
  from_cnf4(&f, "10.66.0.1", "10.2.0.1", 64, 40);
  p = injected(&f);
  CHECK(p->counter == COUNTER_INJECT_ROUTED && p->disposition == DISPOSE_PHY && p->out_port == R.b, "%s", lcpfwd_counter_name(p->counter));
  from_cnf4(&f, "10.66.0.1", "10.0.0.1", 64, 40);
  p = injected(&f);
  CHECK(p->counter == COUNTER_INJECT_ROUTED && p->disposition == DISPOSE_HOST && p->out_port == R.a && p->data[5] == 0xa1, "for the lender's host");
  lend(x, LCPFWD_LENDER_ABSENT);
  CHECK(injected(&f)->counter == COUNTER_DROP_OWN_NO_ROUTE, "without a lender");
  router_free();
}

void test_lender(void) {
  test_routed();
  test_link();
  test_host();
  test_exceptions();
  test_gone();
  test_injected();
}
