/* packet_tagged.c - sub-interfaces: tagged frames in, out, across and up; further addresses of a port;
 * ports whose host is bridged.
 *
 *   V = A.100    10.30.0.1/24    address of A, MTU 1500
 *   W = B, 802.1ad 200, 802.1Q 7    10.31.0.1/24    an address of its own, MTU 1400
 */
#include "packet_frames.h"

#define TAG_V (0x81000000u | 100)
#define TAG_W0 (0x88a80000u | 200)
#define TAG_W1 (0x81000000u | 7)

static unsigned v, w;
static struct frame f, want;

static int32_t subif(const char *name, unsigned parent, uint32_t outer, uint32_t inner, unsigned mac, uint32_t mtu, const char *src4) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = mtu, .parent = (uint16_t)parent, .tags = inner ? 2 : 1, .tag = {outer, inner}};
  mac_of(mac, p.mac);
  if (src4) inet_pton(AF_INET, src4, &p.src4);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table6}};
  snprintf(p.phy, sizeof p.phy, "%s", name);
  return lcpfwd_port_add(R.f, &p, -1, NULL);
}

static void from_v(unsigned tci, const char *dst, unsigned ttl, unsigned field, unsigned payload) {
  put_macs(&f, 0xa1, 0xa2);
  put_tag(&f, TYPE_VLAN, tci);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.30.0.2", dst, ttl, field, payload);
}

static void expect_w(const char *src, const char *dst, unsigned ttl, unsigned payload) {
  put_macs(&want, 0xb8, 0xb7);
  put_tag(&want, TYPE_QINQ, 200);
  put_tag(&want, TYPE_VLAN, 7);
  put16(&want, TYPE_IP4);
  put_ip4(&want, src, dst, ttl, 0, payload);
}

static void test_routed(void) {
  for (unsigned priority = 0; priority < 16; priority++) { /* PCP and DEI do not say whose frame it is */
    from_v(priority << 12 | 100, "10.2.3.4", 64, 0, 30);
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_IP4);
    put_ip4(&want, "10.30.0.2", "10.2.3.4", 63, 0, 30);
    FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP4, R.b, &want);
    from_v(priority << 12 | 100, "10.50.0.1", 64, 0, 30);
    expect_w("10.30.0.2", "10.50.0.1", 63, 30);
    FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP4, R.b, &want);
  }
  uint64_t sent = counter(w, COUNTER_TX_PACKETS), bytes = counter(w, COUNTER_TX_BYTES), got = counter(v, COUNTER_RX_PACKETS);
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.50.0.1", 64, 0, 30);
  expect_w("10.0.0.2", "10.50.0.1", 63, 30);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  CHECK(counter(w, COUNTER_TX_PACKETS) == sent + 1 && counter(w, COUNTER_TX_BYTES) == bytes + want.len, "what a sub-interface sends is not counted");
  from_v(100, "10.31.0.2", 2, 0, 0); /* padded to 64 bytes: the padding stays behind */
  f.len = 60;
  expect_w("10.30.0.2", "10.31.0.2", 1, 0);
  FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP4, R.b, &want);
  CHECK(counter(v, COUNTER_RX_PACKETS) == got + 1, "what a sub-interface takes is not counted");
  put_macs(&f, 0xa1, 0xa2);
  put_tag(&f, TYPE_VLAN, 100);
  put16(&f, TYPE_IP6);
  put_ip6(&f, "2001:db8:a::2", "2001:db8:2::7", 9, 30);
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_IP6);
  put_ip6(&want, "2001:db8:a::2", "2001:db8:2::7", 8, 30);
  FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP6, R.b, &want);
}

static void test_whose(void) {
  from_v(101, "10.2.3.4", 64, 0, 30);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_VLAN);
  mac_of(0x77, f.at);
  DROPS(R.a, R.a, &f, COUNTER_DROP_NOT_FOR_US);
  from_v(100, "10.2.3.4", 64, 0, 30);
  mac_of(0x77, f.at);
  DROPS(R.a, v, &f, COUNTER_DROP_NOT_FOR_US);
  PUNTS(R.b, R.b, (mac_of(0xb1, f.at), &f), COUNTER_PUNT_VLAN); /* the tags of another parent */
  from_v(100, "10.2.3.4", 64, 0, 30);
  store_be16(f.at + 12, TYPE_QINQ);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_VLAN);
  store_be16(f.at + 12, TYPE_QINQ_OLD);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_VLAN);
  for (unsigned inner = 0; inner < 2; inner++) { /* a tag more than V has; W's tags in part, and turned round */
    put_macs(&f, inner ? 0xb1 : 0xa1, 0xa2);
    put_tag(&f, TYPE_VLAN, inner ? 7 : 100);
    put_tag(&f, inner ? TYPE_QINQ : TYPE_VLAN, inner ? 200 : 5);
    put16(&f, TYPE_IP4);
    put_ip4(&f, "10.30.0.2", "10.2.3.4", 64, 0, 30);
    PUNTS(inner ? R.b : R.a, inner ? R.b : R.a, &f, COUNTER_PUNT_VLAN);
  }
  put_macs(&f, 0xb7, 0xb8);
  put_tag(&f, TYPE_QINQ, 200);
  put_tag(&f, TYPE_VLAN, 7);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.31.0.2", "10.0.0.2", 64, 0, 30);
  put_macs(&want, 0xa2, 0xa1);
  put16(&want, TYPE_IP4);
  put_ip4(&want, "10.31.0.2", "10.0.0.2", 63, 0, 30);
  FORWARDS(R.b, w, &f, COUNTER_FORWARD_IP4, R.a, &want);
  mac_of(0xb1, f.at); /* its parent's address is not its own */
  DROPS(R.b, w, &f, COUNTER_DROP_NOT_FOR_US);
}

/* A tag of VLAN 0 is a priority: the frame belongs to whom it would without. */
static void test_priority(void) {
  from_v(5u << 13, "10.2.3.4", 64, 0, 30);
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_IP4);
  put_ip4(&want, "10.30.0.2", "10.2.3.4", 63, 0, 30);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  from_v(0, "10.0.0.1", 64, 0, 30);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  put_macs(&f, 0xa1, 0xa2);
  put_tag(&f, TYPE_VLAN, 3u << 13);
  put_tag(&f, TYPE_VLAN, 100);
  put_tag(&f, TYPE_QINQ, 0);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.30.0.2", "10.2.3.4", 64, 0, 30);
  FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP4, R.b, &want);
}

static void test_punted(void) {
  put_macs(&f, 0, 0xa2);
  memset(f.at, 0xff, 6);
  put_tag(&f, TYPE_VLAN, 100);
  put16(&f, TYPE_ARP);
  f.len = 64;
  PUNTS(R.a, v, &f, COUNTER_PUNT_ARP);
  from_v(100, "10.0.0.1", 64, 0, 30);
  PUNTS(R.a, v, &f, COUNTER_PUNT_LOCAL);
  from_v(100, "224.0.0.5", 1, 0, 30);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  PUNTS(R.a, v, &f, COUNTER_PUNT_MULTICAST);
  from_v(100, "10.31.0.77", 64, 0, 30);
  PUNTS(R.a, v, &f, COUNTER_PUNT_NO_NEIGHBOUR);
  struct lcpfwd_event e[8];
  int32_t n = lcpfwd_events(R.f, e, 8);
  CHECK(n >= 1 && e[n - 1].type == LCPFWD_EVENT_NEIGH_WANTED && e[n - 1].port == w && !memcmp(e[n - 1].addr, "\x0a\x1f\x00\x4d", 4), "neighbour wanted");
  f.len = 17;
  DROPS(R.a, R.a, &f, COUNTER_DROP_RUNT);
  f.len = 20;
  DROPS(R.a, v, &f, COUNTER_DROP_RUNT);
}

/* What the data plane itself sends there bears the tags. */
static void test_made(void) {
  uint8_t src[16];
  R.d.now_ns += 1000000000ull;
  from_v(100, "10.2.3.4", 1, 0, 30);
  PUNTS(R.a, v, &f, COUNTER_PUNT_TTL);
  CHECK(R.n_made == 1 && R.made_packet[0].out_port == R.a, "no time exceeded");
  const uint8_t *m = R.made_packet[0].data;
  address("10.30.0.1", src);
  CHECK(!memcmp(m, f.at + 6, 6) && !memcmp(m + 6, f.at, 6) && load_be32(m + 12) == TAG_V && load_be16(m + 16) == TYPE_IP4 &&
            !memcmp(m + 18 + 12, src, 4) && m[38] == 11 && checksum_ok(m + 18, 20),
        "time exceeded");
  from_v(100, "10.50.0.1", 64, 0x4000, 1381); /* W has an MTU of 1400 */
  PUNTS(R.a, v, &f, COUNTER_PUNT_TOO_BIG);
  CHECK(R.n_made == 1 && load_be16(R.made_packet[0].data + 18 + 26) == 1400, "packet too big says %u", load_be16(R.made_packet[0].data + 18 + 26));
  from_v(100, "10.50.0.1", 64, 0x4000, 1380);
  expect_w("10.30.0.2", "10.50.0.1", 63, 1380);
  store_be16(want.at + 22 + 6, 0x4000);
  store16(want.at + 22 + 10, 0);
  store16(want.at + 22 + 10, checksum(want.at + 22, 20));
  FORWARDS(R.a, v, &f, COUNTER_FORWARD_IP4, R.b, &want);
  from_v(100, "10.50.0.1", 64, 0, 1400);
  uint64_t sent = counter(w, COUNTER_TX_PACKETS);
  becomes(R.a, 0, v, &f, COUNTER_FORWARD_IP4, DISPOSE_DROP, 0, __LINE__);
  CHECK(R.n_made == 2 && counter(w, COUNTER_TX_PACKETS) == sent + 2, "%u fragments", R.n_made);
  for (unsigned i = 0; i < 2; i++) {
    m = R.made_packet[i].data;
    CHECK(R.made_packet[i].out_port == R.b && load_be32(m + 12) == TAG_W0 && load_be32(m + 16) == TAG_W1 && load_be16(m + 20) == TYPE_IP4 &&
              checksum_ok(m + 22, 20) && R.made_packet[i].len == 22u + load_be16(m + 24),
          "fragment %u", i);
  }
}

static void test_up_and_down(void) {
  change(v, 0, 0, 0);
  from_v(100, "10.2.3.4", 64, 0, 30);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_VLAN);
  change(v, LCPFWD_PORT_UP, 0, 0);
  change(R.b, 0, 0, 0); /* nothing leaves by a parent that is down */
  from_v(100, "10.50.0.1", 64, 0, 30);
  DROPS(R.a, v, &f, COUNTER_DROP_PORT_DOWN);
  change(R.b, LCPFWD_PORT_UP, 0, 0);
  change(w, 0, 0, 0);
  DROPS(R.a, v, &f, COUNTER_DROP_PORT_DOWN);
  change(w, LCPFWD_PORT_UP, 0, 0);
  change(R.a, 0, 0, 0);
  DROPS(R.a, R.a, &f, COUNTER_DROP_PORT_DOWN);
  change(R.a, LCPFWD_PORT_UP, 0, 0);
}

static void test_host(void) {
  for (unsigned priority = 0; priority < 8; priority += 7) {
    expect_w("10.31.0.1", "10.31.0.2", 64, 30);
    store_be16(want.at + 14, priority << 13 | 200);
    uint64_t sent = counter(w, COUNTER_TX_PACKETS), taken = counter(w, COUNTER_HOST_RX_PACKETS);
    struct packet *p = CROSSES(R.b, w, &want, COUNTER_XCONNECT_UNICAST);
    CHECK(adj_get(R.d.region, p->adjacency)->port == w, "the adjacency of another");
    CHECK(counter(w, COUNTER_TX_PACKETS) == sent + 1 && counter(w, COUNTER_HOST_RX_PACKETS) == taken + 1, "not counted");
  }
  mac_of(0x99, want.at);
  CROSSES(R.b, w, &want, COUNTER_XCONNECT_NO_ADJACENCY);
  memcpy(want.at, "\x01\x00\x5e\x00\x00\x05", 6);
  CROSSES(R.b, w, &want, COUNTER_XCONNECT_MULTICAST);
  store_be16(want.at + 20, TYPE_ARP);
  CROSSES(R.b, w, &want, COUNTER_XCONNECT_ARP);
  expect_w("10.31.0.1", "10.31.0.2", 64, 30);
  store_be16(want.at + 18, 8); /* no sub-interface of ours: across as it is */
  CROSSES(R.b, R.b, &want, COUNTER_XCONNECT_NO_ADJACENCY);
  put_macs(&f, 0xb2, 0xb1); /* the rewrite of an untagged adjacency, but behind a tag */
  put_tag(&f, TYPE_VLAN, 9);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.1.0.1", "10.1.0.2", 64, 0, 30);
  CROSSES(R.b, R.b, &f, COUNTER_XCONNECT_NO_ADJACENCY);
  f.len = 15;
  becomes(R.b, 1, R.b, &f, COUNTER_DROP_RUNT, DISPOSE_DROP, 0, __LINE__);
}

static void test_addresses(void) {
  put_macs(&f, 0x41, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.2.3.4", 64, 0, 30);
  DROPS(R.a, R.a, &f, COUNTER_DROP_NOT_FOR_US);
  for (unsigned n = 1; n <= LCPFWD_MAX_MACS; n++) {
    change(R.a, LCPFWD_PORT_UP, n, 0x42 - n);
    becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  }
  mac_of(0x42, f.at);
  DROPS(R.a, R.a, &f, COUNTER_DROP_NOT_FOR_US);
  put_macs(&f, 0x41, 0xa2); /* another's frame is not the sub-interface's, nor the other way round */
  put_tag(&f, TYPE_VLAN, 100);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.30.0.2", "10.2.3.4", 64, 0, 30);
  DROPS(R.a, v, &f, COUNTER_DROP_NOT_FOR_US);
  change(v, LCPFWD_PORT_UP, 1, 0x41);
  becomes(R.a, 0, v, &f, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  change(R.a, LCPFWD_PORT_UP | LCPFWD_PORT_FOREIGN, 0, 0);
  change(v, LCPFWD_PORT_UP | LCPFWD_PORT_FOREIGN, 0, 0);
  PUNTS(R.a, v, &f, COUNTER_PUNT_FOREIGN);
  store_be16(f.at + 14, 101);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_FOREIGN);
  put_macs(&f, 0x41, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.2.3.4", 64, 0, 30);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_FOREIGN);
  mac_of(0xa1, f.at);
  becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  change(R.a, LCPFWD_PORT_UP, 0, 0);
  change(v, LCPFWD_PORT_UP, 0, 0);
}

static void test_bridged(void) {
  change(R.a, LCPFWD_PORT_UP | LCPFWD_PORT_L2, 0, 0);
  for (unsigned mac = 0xa1; mac < 0xa4; mac++) {
    put_macs(&f, mac, 0xa7);
    put16(&f, TYPE_IP4);
    put_ip4(&f, "10.0.0.2", "10.2.3.4", 64, 0, 30);
    PUNTS(R.a, R.a, &f, COUNTER_PUNT_L2);
    CROSSES(R.a, R.a, &f, COUNTER_XCONNECT_L2);
    put_macs(&f, mac, 0xa7);
    put_tag(&f, TYPE_VLAN, 101);
    put16(&f, TYPE_IP4);
    f.len = 64;
    PUNTS(R.a, R.a, &f, COUNTER_PUNT_VLAN);
  }
  from_v(100, "10.2.3.4", 64, 0, 30); /* a VLAN device comes before the bridge in the kernel too */
  becomes(R.a, 0, v, &f, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  change(v, LCPFWD_PORT_UP | LCPFWD_PORT_L2, 0, 0);
  PUNTS(R.a, v, &f, COUNTER_PUNT_L2);
  CROSSES(R.a, v, &f, COUNTER_XCONNECT_L2);
  change(R.a, LCPFWD_PORT_UP, 0, 0);
  change(v, LCPFWD_PORT_UP, 0, 0);
}

/* Every tag that can be, many at once, each found; then in any order away. */
static void test_many(void) {
  int32_t id[200];
  for (unsigned i = 0; i < 200; i++) {
    char name[24];
    snprintf(name, sizeof name, "T.%u", 1000 + i);
    id[i] = subif(name, R.a, (i % 2 ? 0x81000000u : 0x88a80000u) | (1000 + i), i % 3 ? 0 : 0x81000000u | (1 + i), 0xa1, 1500, NULL);
    CHECK(id[i] > 0, "sub-interface %u: %d", i, id[i]);
  }
  for (unsigned round = 0; round < 200; round++) {
    for (unsigned i = round; i < 200; i++) {
      put_macs(&f, 0xa1, 0xa2);
      put_tag(&f, i % 2 ? TYPE_VLAN : TYPE_QINQ, 1000 + i);
      if (i % 3 == 0) put_tag(&f, TYPE_VLAN, 1 + i);
      put16(&f, TYPE_ARP);
      f.len = 64;
      struct packet *p = run(R.a, 0, f.at, f.len, NULL);
      CHECK(p->in_port == id[i] && p->counter == COUNTER_PUNT_ARP && p->out_port == R.a, "round %u, sub-interface %u", round, i);
      if (round % 20) break;
    }
    CHECK(lcpfwd_port_del(R.f, (uint32_t)id[round]) == 0, "delete");
    CHECK(run(R.a, 0, f.at, f.len, NULL)->counter == (round % 20 || round == 199 ? COUNTER_PUNT_VLAN : COUNTER_PUNT_ARP), "round %u", round);
  }
}

/* Frames of several ports in one burst: each has its own port's fate, in order. */
static void test_burst(void) {
  enum { FRAMES = 60 };
  static uint8_t memory[FRAMES][FRAME_ROOM + VNET_HEAD + 256];
  static struct packet p[FRAMES];
  int32_t x = subif("A.ad300", R.a, 0x88a8012cu, 0, 0xa1, 1500, NULL);
  CHECK(x > 0, "X: %d", x);
  static const uint8_t order[7] = {0, 1, 1, 2, 0, 3, 2};
  const unsigned owner[4] = {R.a, v, (unsigned)x, R.a};
  const enum counter why[4] = {COUNTER_FORWARD_IP4, COUNTER_FORWARD_IP4, COUNTER_PUNT_LOCAL, COUNTER_PUNT_VLAN};
  uint64_t before[3] = {counter(R.a, COUNTER_FORWARD_IP4), counter(v, COUNTER_FORWARD_IP4), counter((unsigned)x, COUNTER_PUNT_LOCAL)};
  for (unsigned i = 0; i < FRAMES; i++) {
    unsigned kind = order[i % 7];
    put_macs(&f, 0xa1, 0xa2);
    if (kind) put_tag(&f, kind == 2 ? TYPE_QINQ : TYPE_VLAN, kind == 1 ? 100 : 300);
    put16(&f, TYPE_IP4);
    put_ip4(&f, "10.30.0.2", kind == 2 ? "10.0.0.1" : "10.2.3.4", 64, 0, 30);
    p[i] = (struct packet){.data = memory[i] + FRAME_ROOM + VNET_HEAD, .len = f.len, .room = FRAME_ROOM};
    memcpy(p[i].data, f.at, f.len);
  }
  phy_burst(&R.d, R.a, p, FRAMES);
  uint64_t seen[4] = {0};
  for (unsigned i = 0; i < FRAMES; i++) {
    unsigned kind = order[i % 7];
    CHECK(p[i].in_port == owner[kind] && p[i].counter == why[kind], "frame %u: port %u, %s", i, p[i].in_port, lcpfwd_counter_name(p[i].counter));
    CHECK(p[i].out_port == (kind < 2 ? R.b : R.a), "frame %u goes to %u", i, p[i].out_port);
    seen[kind]++;
  }
  CHECK(counter(R.a, COUNTER_FORWARD_IP4) == before[0] + seen[0] && counter(v, COUNTER_FORWARD_IP4) == before[1] + seen[1] &&
            counter((unsigned)x, COUNTER_PUNT_LOCAL) == before[2] + seen[2], "counts");
  CHECK(seen[0] && seen[1] && seen[2] && seen[3], "not every kind is there");
  qsbr_quiescent(R.d.region, 0);
  CHECK(lcpfwd_port_del(R.f, (uint32_t)x) == 0, "delete");
}

static void test_refused(void) {
  CHECK(subif("X", R.a, TAG_V, 0, 0xa1, 1500, NULL) == -EEXIST, "tags that are taken");
  CHECK(subif("X", v, TAG_W1, 0, 0xa1, 1500, NULL) == -ENODEV, "a sub-interface of a sub-interface");
  CHECK(subif("X", 99, TAG_W1, 0, 0xa1, 1500, NULL) == -ENODEV, "of nothing");
  CHECK(subif("X", R.t, TAG_W1, 0, 0xa1, 1500, NULL) == -EINVAL, "of a TUN");
  static const uint32_t bad[] = {0, 0x81000000u, 0x81000fffu, 0x81001001u, 0x91000001u, 1};
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
    CHECK(subif("X", R.a, bad[i], 0, 0xa1, 1500, NULL) == -EINVAL, "tag %x", bad[i]);
    if (bad[i]) CHECK(subif("X", R.a, TAG_W1, bad[i], 0xa1, 1500, NULL) == -EINVAL, "inner tag %x", bad[i]);
  }
}

static void test_ends(void) {
  CHECK(lcpfwd_port_del(R.f, w) == 0, "delete");
  from_v(100, "10.50.0.1", 64, 0, 30);
  DROPS(R.a, v, &f, COUNTER_DROP_DEAD_ADJACENCY);
  CHECK(lcpfwd_port_del(R.f, R.a) == 0, "delete a parent");
  CHECK(!port_get(R.d.region, v) && !port_get(R.d.region, w), "a sub-interface is left");
  CHECK(subif("V", R.a, TAG_V, 0, 0xa1, 1500, NULL) == -ENODEV, "its parent has gone");
  int32_t again = subif("W", R.b, TAG_W0, TAG_W1, 0xb7, 1400, NULL);
  CHECK(again > 0 && again != (int32_t)v && again != (int32_t)w, "an id that workers may have is used again");
  qsbr_quiescent(R.d.region, 0);
  CHECK(subif("W1", R.b, TAG_W0, 0, 0xb7, 1400, NULL) > 0, "room");
}

void test_tagged(void) {
  router_make();
  int32_t made = subif("A.100", R.a, TAG_V, 0, 0xa1, 1500, "10.30.0.1");
  CHECK(made > 0, "V: %d", made);
  v = (unsigned)made;
  made = subif("B.ad200.7", R.b, TAG_W0, TAG_W1, 0xb7, 1400, "10.31.0.1");
  CHECK(made > 0, "W: %d", made);
  w = (unsigned)made;
  route_to("10.30.0.0", 24, via(v, NULL));
  route_to("10.31.0.0", 24, via(w, NULL));
  route_to("10.50.0.0", 16, via(w, "10.31.0.2"));
  neighbour(v, "10.30.0.2", 0xa2);
  neighbour(w, "10.31.0.2", 0xb8);
  test_routed();
  test_whose();
  test_priority();
  test_punted();
  test_made();
  test_up_and_down();
  test_host();
  test_addresses();
  test_bridged();
  test_many();
  test_burst();
  test_refused();
  test_ends();
  router_free();
}
