/* packet_test.c - every rule of the packet path on frames in memory, byte for byte; then random ones.
 * Argument: [seed].
 */
#include "packet_fixture.h"

static uint8_t frame[70000];

static void eth(unsigned dst, unsigned src, unsigned type) {
  mac_of(dst, frame);
  mac_of(src, frame + 6);
  store_be16(frame + 12, type);
}

/* UDP packet from src to dst, arriving at port A from its neighbour. Returns the frame's length. */
static uint32_t udp4(const char *src, const char *dst, unsigned ttl, unsigned field, unsigned payload, unsigned options) {
  uint8_t *ip = frame + 14, addr[16];
  unsigned ihl = 20 + options;
  memset(frame, 0, sizeof frame);
  eth(0xa1, 0xa2, TYPE_IP4);
  ip[0] = (uint8_t)(0x40 | ihl / 4);
  store_be16(ip + 2, ihl + 8 + payload);
  store_be16(ip + 4, 0x1234);
  store_be16(ip + 6, field);
  ip[8] = (uint8_t)ttl;
  ip[9] = PROTO_UDP;
  address(src, addr);
  memcpy(ip + 12, addr, 4);
  address(dst, addr);
  memcpy(ip + 16, addr, 4);
  memset(ip + 20, 1, options);
  store_be16(ip + ihl, 1111);
  store_be16(ip + ihl + 2, 2222);
  store_be16(ip + ihl + 4, 8 + payload);
  for (unsigned i = 0; i < payload; i++) ip[ihl + 8 + i] = (uint8_t)i;
  store16(ip + 10, checksum(ip, ihl));
  return 14 + ihl + 8 + payload;
}

static void resum(void) {
  uint8_t *ip = frame + 14;
  store16(ip + 10, 0);
  store16(ip + 10, checksum(ip, (ip[0] & 15u) * 4u));
}

static uint32_t udp6(const char *src, const char *dst, unsigned hops, unsigned payload) {
  uint8_t *ip = frame + 14;
  memset(frame, 0, sizeof frame);
  eth(0xa1, 0xa2, TYPE_IP6);
  ip[0] = 0x60;
  store_be16(ip + 4, 8 + payload);
  ip[6] = PROTO_UDP;
  ip[7] = (uint8_t)hops;
  address(src, ip + 8);
  address(dst, ip + 24);
  store_be16(ip + 40, 1111);
  store_be16(ip + 44, 8 + payload);
  return 14 + 40 + 8 + payload;
}

/* Runs frame, checks its fate, and that what did not leave is exactly as it came. */
static struct packet *fate_from(unsigned in, int host, uint32_t len, const struct virtio_net_hdr *vnet, enum counter why,
                                enum disposition what, unsigned out, int line) {
  uint64_t before = counter(in, why), all = fates(in);
  struct packet *p = run(in, host, frame, len, vnet);
  CHECK(p->counter == why, "line %d: %s instead of %s", line, lcpfwd_counter_name(p->counter), lcpfwd_counter_name(why));
  CHECK(p->disposition == what && (what == DISPOSE_DROP || p->out_port == out), "line %d: goes %u to %u", line, p->disposition, p->out_port);
  CHECK(counter(in, why) == before + 1 && fates(in) == all + 1, "line %d: counted %llu fates", line, (unsigned long long)(fates(in) - all));
  if (what == DISPOSE_HOST)
    CHECK(p->len == len && !memcmp(p->data, frame, len) && (!vnet || !memcmp(&p->vnet, vnet, sizeof *vnet)), "line %d: punted changed", line);
  return p;
}
#define PUNTED(in, len, why) fate_from(in, 0, len, NULL, why, DISPOSE_HOST, in, __LINE__)
#define DROPPED(in, len, why) fate_from(in, 0, len, NULL, why, DISPOSE_DROP, 0, __LINE__)
#define FORWARDED(in, len, why, out) fate_from(in, 0, len, NULL, why, DISPOSE_PHY, out, __LINE__)

static void expect_l2(const uint8_t *got, unsigned dst, unsigned src, unsigned type) {
  uint8_t want[14];
  mac_of(dst, want);
  mac_of(src, want + 6);
  store_be16(want + 12, type);
  CHECK(!memcmp(got, want, 14), "L2 header %02x..%02x", got[0], got[13]);
}

static void test_forward4(void) {
  for (unsigned ttl = 2; ttl < 256; ttl++) {
    uint32_t len = udp4("10.0.0.2", "10.2.3.4", ttl, 0, 22, 0);
    struct packet *p = FORWARDED(R.a, len, COUNTER_FORWARD_IP4, R.b);
    expect_l2(p->data, 0xb2, 0xb1, TYPE_IP4);
    CHECK(p->len == len && p->data[22] == ttl - 1 && checksum_ok(p->data + 14, 20), "ttl %u", ttl);
    frame[22]--;
    resum();
    CHECK(!memcmp(p->data + 14, frame + 14, len - 14), "ttl %u: more than TTL and checksum changed", ttl);
  }
  udp4("10.0.0.2", "10.2.3.4", 64, 0, 2, 0);
  CHECK(FORWARDED(R.a, 60, COUNTER_FORWARD_IP4, R.b)->len == 44, "Ethernet padding was carried on");
  expect_l2(FORWARDED(R.a, udp4("10.0.0.2", "10.1.0.2", 64, 0, 8, 0), COUNTER_FORWARD_IP4, R.b)->data, 0xb2, 0xb1, TYPE_IP4);
  expect_l2(FORWARDED(R.a, udp4("10.0.0.2", "10.10.0.2", 64, 0, 8, 0), COUNTER_FORWARD_IP4, R.b)->data, 0xb3, 0xb1, TYPE_IP4);
  struct packet *p = FORWARDED(R.a, udp4("10.0.0.2", "10.2.0.2", 64, 0, 8, 8), COUNTER_FORWARD_IP4, R.b);
  CHECK(checksum_ok(p->data + 14, 28), "header with options");
}

static void test_forward6(void) {
  uint32_t len = udp6("2001:db8:a::2", "2001:db8:2::7", 9, 30);
  struct packet *p = FORWARDED(R.a, len, COUNTER_FORWARD_IP6, R.b);
  expect_l2(p->data, 0xb2, 0xb1, TYPE_IP6);
  frame[21]--;
  CHECK(p->len == len && !memcmp(p->data + 14, frame + 14, len - 14), "more than the hop limit changed");
}

static void test_tun(void) {
  uint32_t len = udp4("10.0.0.2", "10.7.3.4", 64, 0, 22, 0);
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
  struct packet *p = fate_from(R.a, 0, len, &v, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.t, __LINE__);
  CHECK(p->len == len - 14 && p->data[0] == 0x45 && p->vnet.csum_start == 20, "out of a TUN: %u", p->vnet.csum_start);
  len = udp4("10.7.0.1", "10.2.3.4", 64, 0, 22, 0) - 14;
  memmove(frame, frame + 14, len);
  v.csum_start = 20;
  p = fate_from(R.t, 0, len, &v, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  expect_l2(p->data, 0xb2, 0xb1, TYPE_IP4);
  CHECK(p->len == len + 14 && p->vnet.csum_start == 34, "out of Ethernet: %u", p->vnet.csum_start);
  frame[0] = 0x99;
  PUNTED(R.t, len, COUNTER_PUNT_UNKNOWN);
  DROPPED(R.t, 0, COUNTER_DROP_RUNT);
  p = fate_from(R.t, 1, len, NULL, COUNTER_XCONNECT_TUN, DISPOSE_PHY, R.t, __LINE__);
  CHECK(p->len == len && !memcmp(p->data, frame, len), "host packet changed");
}

static void test_l2(void) {
  uint32_t len = udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0);
  for (uint32_t n = 0; n < 14; n++) DROPPED(R.a, n, COUNTER_DROP_RUNT);
  frame[5] ^= 1;
  DROPPED(R.a, len, COUNTER_DROP_NOT_FOR_US);
  memset(frame, 0xff, 6);
  PUNTED(R.a, len, COUNTER_PUNT_BROADCAST);
  memcpy(frame, "\x01\x00\x5e\x00\x00\x05", 6);
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  memset(frame, 0xff, 6);
  store_be16(frame + 12, TYPE_ARP);
  PUNTED(R.a, 42, COUNTER_PUNT_ARP);
  eth(0xa1, 0xa2, TYPE_ARP);
  PUNTED(R.a, 60, COUNTER_PUNT_ARP);
  eth(0xa1, 0xa2, TYPE_VLAN);
  store_be16(frame + 14, 42);
  store_be16(frame + 16, TYPE_IP4);
  PUNTED(R.a, 60, COUNTER_PUNT_VLAN);
  DROPPED(R.a, 17, COUNTER_DROP_RUNT);
  store_be16(frame + 16, TYPE_QINQ);
  PUNTED(R.a, 60, COUNTER_PUNT_VLAN);
  for (unsigned i = 0; i < 6; i++) store_be16(frame + 12 + 4 * i, TYPE_VLAN);
  DROPPED(R.a, 60, COUNTER_DROP_RUNT);
  eth(0xa1, 0xa2, 0x26); /* LLC: IS-IS */
  PUNTED(R.a, 60, COUNTER_PUNT_UNKNOWN);
  eth(0xa1, 0xa2, 0x88cc);
  PUNTED(R.a, 60, COUNTER_PUNT_UNKNOWN);
  struct lcpfwd_port p[LCPFWD_MAX_PORTS];
  int32_t n = lcpfwd_ports(R.f, p, LCPFWD_MAX_PORTS), at = 0;
  while (at < n && p[at].id != R.a) at++;
  p[at].flags &= ~LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &p[at]) == 0, "port down");
  DROPPED(R.a, udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0), COUNTER_DROP_PORT_DOWN);
  fate_from(R.a, 1, 60, NULL, COUNTER_DROP_PORT_DOWN, DISPOSE_DROP, 0, __LINE__);
  p[at].flags |= LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &p[at]) == 0, "port up");
}

static void test_malformed(void) {
  uint32_t len = udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0);
  for (uint32_t n = 14; n < 34; n++) DROPPED(R.a, n, COUNTER_DROP_RUNT);
  for (uint32_t n = 34; n < len; n++) DROPPED(R.a, n, COUNTER_DROP_MALFORMED);
  frame[14] = 0x55;
  DROPPED(R.a, len, COUNTER_DROP_MALFORMED);
  frame[14] = 0x44;
  DROPPED(R.a, len, COUNTER_DROP_MALFORMED);
  for (unsigned byte = 14; byte < 34; byte++)
    for (unsigned bit = 0; bit < 8; bit++) {
      udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0);
      frame[byte] ^= (uint8_t)(1u << bit);
      if (byte == 14 || byte == 16 || byte == 17) continue; /* lengths: malformed or checksum, both above */
      DROPPED(R.a, len, COUNTER_DROP_CHECKSUM);
    }
  len = udp6("2001:db8:a::2", "2001:db8:2::7", 9, 30);
  for (uint32_t n = 14; n < 54; n++) DROPPED(R.a, n, COUNTER_DROP_RUNT);
  for (uint32_t n = 54; n < len; n++) DROPPED(R.a, n, COUNTER_DROP_MALFORMED);
  frame[14] = 0x40;
  DROPPED(R.a, len, COUNTER_DROP_MALFORMED);
  len = udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 4);
  memcpy(frame + 34, "\x07\x01\x01\x01", 4);
  resum();
  DROPPED(R.a, len, COUNTER_DROP_MALFORMED);
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 60};
  fate_from(R.a, 0, udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0), &v, COUNTER_DROP_OFFLOAD, DISPOSE_DROP, 0, __LINE__);
  v = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
  fate_from(R.a, 0, len, &v, COUNTER_DROP_OFFLOAD, DISPOSE_DROP, 0, __LINE__);
}

static void test_addresses(void) {
  static const char *const bad4[][2] = {{"0.1.2.3", "10.2.0.1"},      {"127.0.0.1", "10.2.0.1"},       {"224.0.0.5", "10.2.0.1"},
                                        {"240.0.0.1", "10.2.0.1"},    {"255.255.255.255", "10.2.0.1"}, {"10.0.0.2", "127.0.0.1"},
                                        {"10.0.0.2", "0.0.0.0"},      {"10.0.0.2", "241.0.0.1"}};
  static const char *const bad6[][2] = {{"::", "2001:db8:2::1"}, {"::1", "2001:db8:2::1"}, {"ff02::1", "2001:db8:2::1"},
                                        {"2001:db8:a::2", "::"}, {"2001:db8:a::2", "::1"}};
  for (unsigned i = 0; i < sizeof bad4 / sizeof *bad4; i++) DROPPED(R.a, udp4(bad4[i][0], bad4[i][1], 64, 0, 8, 0), COUNTER_DROP_MARTIAN);
  for (unsigned i = 0; i < sizeof bad6 / sizeof *bad6; i++) DROPPED(R.a, udp6(bad6[i][0], bad6[i][1], 64, 8), COUNTER_DROP_MARTIAN);
  PUNTED(R.a, udp4("10.0.0.2", "224.0.0.5", 1, 0, 8, 0), COUNTER_PUNT_MULTICAST);
  PUNTED(R.a, udp4("0.0.0.0", "255.255.255.255", 64, 0, 8, 0), COUNTER_PUNT_BROADCAST);
  PUNTED(R.a, udp6("fe80::1", "ff02::5", 1, 8), COUNTER_PUNT_MULTICAST);
  PUNTED(R.a, udp6("fe80::1", "fe80::2", 1, 8), COUNTER_PUNT_LINK_LOCAL);
  PUNTED(R.a, udp6("fe80::1", "2001:db8:a::1", 1, 8), COUNTER_PUNT_LOCAL);
  DROPPED(R.a, udp6("fe80::1", "2001:db8:2::1", 64, 8), COUNTER_DROP_SCOPE);
  uint32_t len = udp6("fe80::1", "ff02::1:ff00:1", 255, 24);
  frame[20] = PROTO_ICMP6;
  frame[54] = 135;
  PUNTED(R.a, len, COUNTER_PUNT_ND);
  memcpy(frame, "\x33\x33\xff\x00\x00\x01", 6);
  PUNTED(R.a, len, COUNTER_PUNT_ND);
  len = udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 4);
  memcpy(frame + 34, "\x94\x04\x00\x00", 4);
  resum();
  PUNTED(R.a, len, COUNTER_PUNT_OPTIONS);
  len = udp6("2001:db8:a::2", "2001:db8:2::7", 9, 30);
  frame[20] = PROTO_HOPOPT;
  memcpy(frame + 54, "\x11\x00\x05\x02\x00\x00\x01\x00", 8);
  PUNTED(R.a, len, COUNTER_PUNT_OPTIONS);
  frame[56] = 1; /* PadN instead of router alert */
  FORWARDED(R.a, len, COUNTER_FORWARD_IP6, R.b);
  frame[55] = 200;
  DROPPED(R.a, len, COUNTER_DROP_MALFORMED);
}

static void test_special(void) {
  PUNTED(R.a, udp4("10.0.0.2", "10.0.0.1", 1, 0, 8, 0), COUNTER_PUNT_LOCAL);
  PUNTED(R.a, udp4("10.0.0.2", "10.0.0.9", 1, 0, 8, 0), COUNTER_PUNT_LOCAL);
  PUNTED(R.a, udp4("10.0.0.2", "10.0.0.255", 1, 0, 8, 0), COUNTER_PUNT_BROADCAST);
  PUNTED(R.a, udp4("10.0.0.2", "10.12.0.1", 1, 0, 8, 0), COUNTER_PUNT_MULTICAST);
  PUNTED(R.a, udp4("10.0.0.2", "10.6.0.1", 1, 0, 8, 0), COUNTER_PUNT_KERNEL);
  DROPPED(R.a, udp4("10.0.0.2", "10.3.0.1", 64, 0, 8, 0), COUNTER_DROP_BLACKHOLE);
  DROPPED(R.a, udp6("2001:db8:a::2", "2001:db8:3::1", 64, 8), COUNTER_DROP_BLACKHOLE);
  CHECK(R.n_made == 0, "an answer to a black hole");
}

static void test_neighbour_wanted(void) {
  struct lcpfwd_event e[8];
  while (lcpfwd_events(R.f, e, 8) > 0) {
  }
  for (unsigned i = 0; i < 5; i++) PUNTED(R.a, udp4("10.0.0.2", "10.1.0.99", 64, 0, 8, 0), COUNTER_PUNT_NO_NEIGHBOUR);
  PUNTED(R.a, udp4("10.0.0.2", "10.11.0.1", 64, 0, 8, 0), COUNTER_PUNT_NO_NEIGHBOUR);
  int32_t n = lcpfwd_events(R.f, e, 8);
  CHECK(n == 2 && e[0].type == LCPFWD_EVENT_NEIGH_WANTED && e[0].port == R.b && e[0].af == 4, "%d events", n);
  CHECK(!memcmp(e[0].addr, "\x0a\x01\x00\x63", 4) && !memcmp(e[1].addr, "\x0a\x01\x00\x4d", 4), "wrong addresses");
  R.d.now_ns += 1100000000ull;
  PUNTED(R.a, udp4("10.0.0.2", "10.1.0.99", 64, 0, 8, 0), COUNTER_PUNT_NO_NEIGHBOUR);
  CHECK(lcpfwd_events(R.f, e, 8) == 1 && R.d.events, "not asked again after a second");
}

static void test_xconnect(void) {
  uint32_t len = udp4("10.1.0.1", "10.2.3.4", 1, 0, 22, 0);
  uint64_t before = counter(R.b, COUNTER_XCONNECT_UNICAST);
  struct packet *p;
  eth(0xb2, 0xb1, TYPE_IP4);
  p = fate_from(R.b, 1, len, NULL, COUNTER_XCONNECT_UNICAST, DISPOSE_PHY, R.b, __LINE__);
  CHECK(p->len == len && !memcmp(p->data, frame, len) && p->adjacency, "host frame changed");
  CHECK(counter(R.b, COUNTER_XCONNECT_UNICAST) == before + 1, "not counted");
  struct lcpfwd_adjacency a[64];
  uint32_t cursor = 0, found = 0;
  int32_t n = lcpfwd_adjacencies_dump(R.f, a, 64, &cursor);
  for (int32_t i = 0; i < n; i++) found += a[i].id == p->adjacency && a[i].packets > 0 && a[i].bytes >= len;
  CHECK(found == 1, "adjacency %u has not counted", p->adjacency);
  eth(0xb9, 0xb1, TYPE_IP4);
  fate_from(R.b, 1, len, NULL, COUNTER_XCONNECT_NO_ADJACENCY, DISPOSE_PHY, R.b, __LINE__);
  memcpy(frame, "\x01\x00\x5e\x00\x00\x05", 6);
  fate_from(R.b, 1, len, NULL, COUNTER_XCONNECT_MULTICAST, DISPOSE_PHY, R.b, __LINE__);
  eth(0xb2, 0xb1, TYPE_ARP);
  fate_from(R.b, 1, 42, NULL, COUNTER_XCONNECT_ARP, DISPOSE_PHY, R.b, __LINE__);
  fate_from(R.b, 1, 13, NULL, COUNTER_DROP_RUNT, DISPOSE_DROP, 0, __LINE__);
}

static void test_trace(void) {
  static struct lcpfwd_trace t[512];
  CHECK(lcpfwd_trace_arm(R.f, 1) == 0, "arm");
  uint32_t len = udp4("10.0.0.2", "10.2.3.4", 64, 0, 22, 0);
  FORWARDED(R.a, len, COUNTER_FORWARD_IP4, R.b);
  int32_t n = lcpfwd_traces(R.f, 0, t, 512);
  CHECK(n > 0, "no trace");
  struct lcpfwd_trace *last = &t[n - 1];
  CHECK(last->in_port == R.a && last->out_port == R.b && last->counter == COUNTER_FORWARD_IP4 && last->len == len && last->table == R.table4 &&
            last->pathlist >= LCPFWD_PL_FIRST && last->adjacency && last->caplen == len, "trace of a forwarded packet");
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  router_make();
  test_forward4();
  test_forward6();
  test_tun();
  test_l2();
  test_malformed();
  test_addresses();
  test_special();
  test_neighbour_wanted();
  test_xconnect();
  test_trace();
  test_errors();
  router_free();
  test_tagged();
  test_mpls();
  test_lookup();
  test_fuzz(seed);
  puts("packet_test: ok");
  return 0;
}
