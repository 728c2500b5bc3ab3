/* packet_punts_abx.c - access lists that take packets, both ways, and what proxies answer. */
#include "packet_punts.h"

static unsigned x, y, sub;

static void begin(void) {
  router_make();
  x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500);
  y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP, 1500);
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = (uint16_t)R.a, .tags = 2, .tag = {0x88a80064u, 0x81000007u}};
  mac_of(0xa1, p.mac);
  sub = (unsigned)lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK((int)sub > 0, "sub-interface");
}

static int taken(unsigned in, const struct frame *f) {
  return run(in, 0, f->at, f->len, NULL)->counter == COUNTER_PUNT_ABX;
}

/* Leaves by out as want. */
static void abx_leaves(unsigned in, const struct frame *f, unsigned out, const struct frame *want, int line) {
  struct packet *p = run(in, 0, f->at, f->len, NULL);
  CHECK(p->counter == COUNTER_PUNT_ABX && p->disposition == DISPOSE_PHY && p->out_port == out, "line %d: %s goes %u to %u", line,
        lcpfwd_counter_name(p->counter), p->disposition, p->out_port);
  expect_frame(p->data, p->len, want, line);
}

/* A frame to A with protocol and first payload bytes. */
static void ip4_frame(struct frame *f, const char *dst, unsigned protocol, unsigned field, const char *payload) {
  put_macs(f, 0xa1, 0xa2);
  put16(f, TYPE_IP4);
  put_ip4(f, "10.0.0.2", dst, 1, field, 40);
  f->at[23] = (uint8_t)protocol;
  memcpy(f->at + 34, payload, 14);
  store16(f->at + 24, 0);
  store16(f->at + 24, checksum(f->at + 14, 20));
}

/* TCP: ports and flags. */
static void tcp_frame(struct frame *f, unsigned from, unsigned to, unsigned flags) {
  char h[14] = {(char)(from >> 8), (char)from, (char)(to >> 8), (char)to, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, (char)flags};
  ip4_frame(f, "10.0.0.1", PROTO_TCP, 0, h);
}

static void test_tuples(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  record(&s, LCPFWD_PUNT_ABX, R.a, x);
  struct lcpfwd_punt *r = rule(&s, "10.0.0.0", 24, PROTO_TCP);
  r->destination_ports[0] = r->destination_ports[1] = 179;
  r->tcp_mask = 0x12;
  r->tcp_value = 0x02;
  r = rule(&s, "10.0.0.0", 24, PROTO_UDP);
  r->source_ports[0] = 1000;
  r->source_ports[1] = 2000;
  r = rule(&s, "0.0.0.0", 0, PROTO_ICMP);
  r->source_ports[0] = 3;
  r->source_ports[1] = 5;
  r->destination_ports[1] = 1;
  r = rule(&s, "10.0.0.1", 32, 89);
  address("10.0.0.2", r->source);
  r->source_len = 32;
  apply(&s);
  tcp_frame(&f, 5, 179, 0x02);
  CHECK(taken(R.a, &f), "SYN to 179");
  tcp_frame(&f, 5, 179, 0x12);
  CHECK(!taken(R.a, &f), "SYN ACK");
  tcp_frame(&f, 5, 180, 0x02);
  CHECK(!taken(R.a, &f), "another port");
  ip4_frame(&f, "10.0.0.1", PROTO_UDP, 0, "\x03\xe8\x00\x35\0\0\0\0\0\0\0\0\0");
  CHECK(taken(R.a, &f), "the first of the range");
  ip4_frame(&f, "10.0.0.1", PROTO_UDP, 0, "\x07\xd1\x00\x35\0\0\0\0\0\0\0\0\0");
  CHECK(!taken(R.a, &f), "behind the range");
  ip4_frame(&f, "10.0.0.1", PROTO_UDP, 0x2000, "\x07\xd0\x00\x35\0\0\0\0\0\0\0\0\0");
  CHECK(taken(R.a, &f), "a first fragment has its ports");
  ip4_frame(&f, "10.0.0.1", PROTO_UDP, 0x2001, "\x07\xd0\x00\x35\0\0\0\0\0\0\0\0\0");
  CHECK(!taken(R.a, &f), "a later one has not");
  ip4_frame(&f, "10.0.0.1", PROTO_ICMP, 0, "\x04\x01\0\0\0\0\0\0\0\0\0\0\0");
  CHECK(taken(R.a, &f), "type and code");
  ip4_frame(&f, "10.0.0.1", PROTO_ICMP, 0, "\x04\x02\0\0\0\0\0\0\0\0\0\0\0");
  CHECK(!taken(R.a, &f), "another code");
  ip4_frame(&f, "10.0.0.1", 89, 0x0001, "\0\0\0\0\0\0\0\0\0\0\0\0\0");
  CHECK(taken(R.a, &f), "a rule without ports takes every fragment");
  f.at[29]++; /* another source; the header's sum no longer fits, and then nothing is taken */
  CHECK(!taken(R.a, &f), "a header that is broken");
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 20));
  CHECK(!taken(R.a, &f), "another source");
  ip4_frame(&f, "10.0.0.9", 89, 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0");
  CHECK(!taken(R.a, &f), "another destination");
  ip4_frame(&f, "10.0.0.1", 89, 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0");
  f.at[5] = 0x77;
  CHECK(!taken(R.a, &f), "for another station");
  /* options in front of the ports */
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.0.0.1", 1, 0, 44);
  f.at[14] = 0x46;
  memset(f.at + 34, 1, 4);
  udp_ports(&f, 14, 24, 1500, 53);
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 24));
  CHECK(taken(R.a, &f), "behind options");
  router_free();
}

static void test_order(void) {
  begin();
  struct punts s = {0};
  struct frame f, want;
  struct lcpfwd_punt *second = record(&s, LCPFWD_PUNT_ABX, R.a, y);
  second->priority = 20;
  rule(&s, "0.0.0.0", 0, 0);
  struct lcpfwd_punt *first = record(&s, LCPFWD_PUNT_ABX, R.a, x);
  first->priority = 10;
  first->flags = LCPFWD_PUNT_MAC;
  mac_of(0x55, first->mac);
  rule(&s, "10.0.0.9", 32, 0)->flags = 0; /* not punted, by nobody */
  rule(&s, "10.0.0.0", 24, 0);
  rule(&s, "224.0.0.0", 4, 0);
  apply(&s);
  frame4(&f, "10.0.0.1", 1, 40);
  want = f;
  mac_of(0x55, want.at);
  abx_leaves(R.a, &f, x, &want, __LINE__);
  frame4(&f, "10.2.0.1", 1, 40);
  abx_leaves(R.a, &f, y, &f, __LINE__);
  frame4(&f, "10.0.0.9", 1, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  frame4(&f, "224.0.0.5", 1, 40);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  abx_leaves(R.a, &f, x, &f, __LINE__); /* its MAC stays */
  CHECK(counted(first).packets == 2 && counted(second).packets == 1, "counted");
  CHECK(lcpfwd_port_del(R.f, x) == 0, "delete");
  DROPS(R.a, R.a, &f, COUNTER_DROP_PUNT_DOWN);
  CHECK(counted(first).drops == 1, "counted");
  router_free();
}

static void put_ip6_chain(struct frame *f, const char *dst, const uint8_t *chain, unsigned n, unsigned first) {
  put_macs(f, 0xa1, 0xa2);
  put16(f, TYPE_IP6);
  put_ip6(f, "2001:db8:a::2", dst, 1, n + 40);
  f->at[20] = (uint8_t)first;
  memcpy(f->at + 54, chain, n);
  udp_ports(f, 54, n, 1000, 53);
}

static void test_ip6(void) {
  begin();
  struct punts s = {0};
  struct frame f, want;
  struct lcpfwd_punt *abx = record(&s, LCPFWD_PUNT_ABX, R.a, x);
  abx->flags = LCPFWD_PUNT_MAC;
  mac_of(0x55, abx->mac);
  struct lcpfwd_punt *r = rule(&s, "2001:db8:a::", 64, PROTO_UDP);
  r->destination_ports[0] = r->destination_ports[1] = 53;
  rule(&s, "ff02::5", 128, 89);
  apply(&s);
  static const uint8_t chain[] = {PROTO_DSTOPTS, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, PROTO_FRAGMENT, 0, 1, 4, 0, 0, 0, 0,
                                  PROTO_UDP, 0, 0, 1, 0, 0, 0, 9};
  put_ip6_chain(&f, "2001:db8:a::1", chain, sizeof chain, PROTO_HOPOPT);
  want = f;
  mac_of(0x55, want.at);
  abx_leaves(R.a, &f, x, &want, __LINE__);
  f.at[54 + 27] = 0x09; /* a later fragment */
  CHECK(!taken(R.a, &f), "its ports are data");
  put_ip6_chain(&f, "2001:db8:a::1", chain, sizeof chain, PROTO_HOPOPT);
  f.at[55] = 250; /* a header that is longer than the packet */
  CHECK(!taken(R.a, &f), "a chain that leads out of the packet");
  put_ip6_chain(&f, "ff02::5", chain, 0, 89);
  memcpy(f.at, "\x33\x33\x00\x00\x00\x05", 6);
  abx_leaves(R.a, &f, x, &f, __LINE__);
  put_ip6_chain(&f, "ff02::6", chain, 0, 89);
  memcpy(f.at, "\x33\x33\x00\x00\x00\x06", 6);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  router_free();
}

/* Q-in-Q: taken off on the way to the interconnect, put on with the right ethertype on the way back. */
static void test_tags(void) {
  begin();
  struct punts s = {0};
  struct frame with, bare;
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 14 + 8 + 40, .csum_offset = 6, .hdr_len = 70};
  record(&s, LCPFWD_PUNT_ABX, sub, x);
  rule(&s, "::", 0, 0);
  record(&s, LCPFWD_PUNT_ABX, x, sub);
  rule(&s, "::", 0, 0);
  apply(&s);
  put_macs(&with, 0xa1, 0xa2);
  put_tag(&with, TYPE_QINQ, 0x2064);
  put_tag(&with, TYPE_VLAN, 0x0007);
  put16(&with, TYPE_IP6);
  put_ip6(&with, "2001:db8:a::2", "2001:db8:a::1", 1, 40);
  put_macs(&bare, 0xa1, 0xa2);
  put16(&bare, TYPE_IP6);
  put_ip6(&bare, "2001:db8:a::2", "2001:db8:a::1", 1, 40);
  struct packet *p = run(R.a, 0, with.at, with.len, &v);
  CHECK(p->counter == COUNTER_PUNT_ABX && p->out_port == x && p->in_port == sub, "%s", lcpfwd_counter_name(p->counter));
  expect_frame(p->data, p->len, &bare, __LINE__);
  CHECK(p->vnet.csum_start == 14 + 40 && p->vnet.hdr_len == 62, "the checksum's place moves along");
  CHECK(counter(sub, COUNTER_RX_PACKETS) == 1 && counter(sub, COUNTER_PUNT_ABX) == 1, "counted on the sub-interface");
  memcpy(bare.at, "\x01\x00\x5e\x00\x00\x05", 6);
  memcpy(with.at, "\x01\x00\x5e\x00\x00\x05", 6);
  with.at[14] = 0;
  with.at[15] = 0x64;
  abx_leaves(x, &bare, R.a, &with, __LINE__);
  CHECK(counter(sub, COUNTER_TX_PACKETS) == 1, "counted on the sub-interface");
  router_free();
}

static void test_egress(void) {
  begin();
  struct punts s = {0};
  struct frame f, want;
  record(&s, LCPFWD_PUNT_ABX, x, R.b);
  rule(&s, "10.1.0.0", 24, 0);
  rule(&s, "224.0.0.0", 4, 0);
  apply(&s);
  frame4(&f, "224.0.0.5", 1, 40);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  abx_leaves(x, &f, R.b, &f, __LINE__);
  /* to the interconnect's own MAC, which a proxy told: for the neighbour on the wire */
  frame4(&f, "10.1.0.2", 1, 40);
  mac_of(0xf1, f.at);
  want = f;
  mac_of(0xb2, want.at);
  mac_of(0xb1, want.at + 6);
  abx_leaves(x, &f, R.b, &want, __LINE__);
  uint64_t wanted = counter(R.b, COUNTER_NEIGHBOUR_WANTED);
  frame4(&f, "10.1.0.50", 1, 40);
  mac_of(0xf1, f.at);
  abx_leaves(x, &f, R.b, &f, __LINE__);
  CHECK(counter(R.b, COUNTER_NEIGHBOUR_WANTED) == wanted + 1, "a neighbour that is not known is asked for");
  frame4(&f, "10.2.0.1", 1, 40);
  mac_of(0xf1, f.at);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST); /* it matches nothing, and there is no layer 3 of its own or borrowed */
  router_free();
}

void test_abx(void) {
  test_tuples();
  test_order();
  test_ip6();
  test_tags();
  test_egress();
}

/* --- proxies ------------------------------------------------------------------------------------- */

static void arp_frame(struct frame *f, const char *sender, const char *target) {
  uint8_t addr[16];
  put_macs(f, 0, 0x55);
  memset(f->at, 0xff, 6);
  put16(f, TYPE_ARP);
  memcpy(f->at + 14, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
  mac_of(0x55, f->at + 22);
  address(sender, addr);
  memcpy(f->at + 28, addr, 4);
  address(target, addr);
  memcpy(f->at + 38, addr, 4);
  f->len = 60; /* padded */
}

static void ns_frame(struct frame *f, const char *source, const char *target) {
  put_macs(f, 0, 0x55);
  memcpy(f->at, "\x33\x33\xff\x00\x00\x09", 6);
  put16(f, TYPE_IP6);
  put_ip6(f, source, "ff02::1:ff00:9", 255, 32);
  uint8_t *ip = f->at + 14, *q = ip + 40;
  ip[6] = PROTO_ICMP6;
  memset(q, 0, 32);
  q[0] = 135;
  address(target, q + 8);
  q[24] = q[25] = 1;
  mac_of(0x55, q + 26);
  uint8_t pseudo[8] = {0, 0, 0, 32, 0, 0, 0, PROTO_ICMP6};
  store16(q + 2, (uint16_t)~checksum_fold(checksum_add(checksum_add(checksum_add(0, ip + 8, 32), pseudo, 8), q, 32)));
}

static void proxies(struct punts *s, unsigned on) {
  struct lcpfwd_punt *p = record(s, LCPFWD_PUNT_PROXY, on, 0);
  p->af = 4;
  address("10.0.0.0", p->source);
  address("10.0.0.255", p->destination);
  p = record(s, LCPFWD_PUNT_PROXY, on, 0);
  p->af = 6;
  address("2001:db8:a::", p->source);
  address("2001:db8:a::ffff", p->destination);
}

void test_proxy(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  proxies(&s, x);
  apply(&s);
  arp_frame(&f, "10.0.0.1", "10.0.0.9");
  DROPS(x, x, &f, COUNTER_PUNT_PROXY_ARP); /* answered and used up */
  struct packet *a = &R.made_packet[0];
  static const uint8_t reply[28] = {0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 0xf1, 10, 0, 0, 9, 2, 0, 0, 0, 0, 0x55, 10, 0, 0, 1};
  CHECK(R.n_made == 1 && a->disposition == DISPOSE_PHY && a->out_port == x && a->len == 42, "an answer of %u bytes", a->len);
  CHECK(!memcmp(R.made[0], "\x02\x00\x00\x00\x00\x55\x02\x00\x00\x00\x00\xf1\x08\x06", 14) && !memcmp(R.made[0] + 14, reply, 28), "the answer");
  CHECK(counted(&s.record[0]).packets == 1, "counted");
  static const char *const silent[][2] = {{"0.0.0.0", "10.0.0.9"}, {"10.0.0.9", "10.0.0.9"}, {"10.0.0.1", "10.0.1.0"}};
  for (unsigned i = 0; i < 3; i++) {
    arp_frame(&f, silent[i][0], silent[i][1]);
    DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
    CHECK(R.n_made == 0, "answered %s", silent[i][0]);
  }
  arp_frame(&f, "10.0.0.1", "10.0.0.9");
  f.at[21] = 2; /* an answer is no question */
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  arp_frame(&f, "10.0.0.1", "10.0.0.9");
  f.len = 41;
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  ns_frame(&f, "2001:db8:a::1", "2001:db8:a::9");
  DROPS(x, x, &f, COUNTER_PUNT_PROXY_ND);
  const uint8_t *na = R.made[0] + 54;
  uint8_t pseudo[8] = {0, 0, 0, 32, 0, 0, 0, PROTO_ICMP6};
  CHECK(R.n_made == 1 && R.made_packet[0].len == 86 && na[0] == 136 && na[4] == 0xc0, "an advertisement");
  CHECK(!memcmp(na + 8, f.at + 62, 16) && !memcmp(na + 24, "\x02\x01\x02\x00\x00\x00\x00\xf1", 8), "of its target and MAC");
  CHECK(!memcmp(R.made[0] + 38, f.at + 22, 16) && R.made[0][21] == 255, "to who asked");
  CHECK(checksum_fold(checksum_add(checksum_add(checksum_add(0, R.made[0] + 22, 32), pseudo, 8), na, 32)) == 0xffff, "its sum");
  ns_frame(&f, "::", "2001:db8:a::9"); /* duplicate address detection */
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  ns_frame(&f, "2001:db8:a::1", "2001:db8:b::9");
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  ns_frame(&f, "2001:db8:a::1", "2001:db8:a::9");
  f.at[21] = 254;
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  ns_frame(&f, "2001:db8:a::1", "2001:db8:a::9");
  f.at[57]++; /* a sum that is wrong */
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  arp_frame(&f, "10.0.0.1", "10.0.0.9");
  DROPS(y, y, &f, COUNTER_DROP_NO_HOST); /* not there */
  /* on a sub-interface, with its tags */
  proxies(&s, sub);
  apply(&s);
  arp_frame(&f, "10.0.0.1", "10.0.0.9");
  memmove(f.at + 20, f.at + 12, 48);
  memcpy(f.at + 12, "\x88\xa8\x00\x64\x81\x00\x00\x07", 8);
  f.len = 68;
  struct packet *p = run(R.a, 0, f.at, f.len, NULL);
  CHECK(p->counter == COUNTER_PUNT_PROXY_ARP && p->in_port == sub && R.n_made == 1 && R.made_packet[0].out_port == R.a, "tagged");
  CHECK(!memcmp(R.made[0] + 12, f.at + 12, 10) && !memcmp(R.made[0] + 30, "\x02\x00\x00\x00\x00\xa1", 6), "tags and MAC");
  router_free();
}
