/* packet_fuzz.c - random and mutated frames of every length, with tags and labels, through the packet
 * path: no crash under the sanitizers, and every packet has exactly one fate.
 */
#include "packet_fixture.h"

static uint64_t state;

static uint32_t draw(void) {
  state += 0x9e3779b97f4a7c15ull;
  return (uint32_t)mix64(state);
}

static uint32_t below(uint32_t n) { return draw() % n; }

static const char *const destination4[] = {"10.0.0.1", "10.0.0.2", "10.0.0.255", "10.1.0.2", "10.1.0.99", "10.2.3.4", "10.3.0.1",
                                           "10.4.0.1", "10.5.0.1", "10.6.0.1",   "10.7.0.1", "10.8.0.1",  "10.10.0.1", "10.13.0.1", "10.14.0.1", "10.15.0.1", "192.0.2.1"};
static const char *const destination6[] = {"2001:db8:a::1", "2001:db8:a::2", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1",
                                           "2001:db8:5::1", "2001:db8:7::1", "2001:db8:8::1", "fe80::1",       "ff02::1"};

static const uint32_t stacks[] = {100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 109, 0, 99};

/* Puts tags, labels or both between the addresses and the IP packet; returns the new length. */
static uint32_t dress(uint8_t *f, uint32_t len) {
  uint8_t head[64];
  unsigned n = 12, type = load_be16(f + 12), tags = below(3), labels = below(2) ? below(4) : 0;
  memcpy(head, f, 12);
  for (unsigned i = 0; i < tags; i++, n += 4) {
    store_be16(head + n, below(8) ? (i || tags == 1 ? TYPE_VLAN : TYPE_QINQ) : below(65536));
    store_be16(head + n + 2, below(8) ? below(8) << 13 | (below(4) ? 10 + i : 0) : below(65536));
  }
  store_be16(head + n, labels ? TYPE_MPLS : type);
  n += 2;
  for (unsigned i = 0; i < labels; i++, n += 4) {
    uint32_t entry = stacks[below(sizeof stacks / sizeof *stacks)] << 12 | below(8) << 9 | (i + 1 == labels) << 8 | (below(8) ? 64 : below(3));
    store_be16(head + n, entry >> 16);
    store_be16(head + n + 2, entry & 0xffff);
  }
  memmove(f + n, f + 14, len - 14);
  memcpy(f, head, n);
  return len - 14 + n;
}

static unsigned sub(unsigned parent, unsigned mac, uint32_t outer, uint32_t inner, uint32_t labels) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1300, .parent = (uint16_t)parent, .tags = inner ? 2 : 1, .tag = {outer, inner}, .mpls = labels};
  mac_of(mac, p.mac);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table6}};
  inet_pton(AF_INET, "10.30.0.1", &p.src4);
  int32_t id = lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK(id > 0, "sub-interface: %d", id);
  return (unsigned)id;
}

/* The table that legs named comes to be: 10.15 by the leg that names it alone, then to 10.1.0.2. */
static void route_in_absent(uint32_t table) {
  struct lcpfwd_route r = {.table = table, .plen = 16, .addr = {10, 15}, .pathlist = via(R.b, "10.1.0.2")};
  struct lcpfwd_path path = {.weight = 1, .flags = LCPFWD_PATH_LOOKUP, .tables4 = {(uint16_t)table}};
  int32_t result, id = lcpfwd_pathlist_set(R.f, 0, &path, 1);
  CHECK(id > 0 && lcpfwd_table_add(R.f, LCPFWD_AF_INET, "fuzz/absent/4") == (int32_t)table, "table");
  route_to("10.15.0.0", 16, (uint32_t)id);
  CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "route: %d", result);
}

/* Sub-interfaces 10 and 10.11 of A, K and S; labels on all of them and their parents. ids: 6 of them. */
static void dress_router(unsigned *ids) {
  const unsigned parent[3] = {R.a, R.k, R.s}, mac[3] = {0xa1, 0xd1, 0xe1};
  uint32_t table = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_MPLS, "fuzz/mpls/0");
  struct lcpfwd_port p[16];
  for (unsigned i = 0; i < 3; i++) {
    ids[2 * i] = sub(parent[i], mac[i], 0x8100000au, 0, table);
    ids[2 * i + 1] = sub(parent[i], mac[i], 0x88a8000au, 0x8100000bu, table);
  }
  int32_t n = lcpfwd_ports(R.f, p, 16);
  for (int32_t i = 0; i < n; i++) {
    p[i].mpls = table;
    if (p[i].id == R.a || p[i].id == R.s) CHECK(lcpfwd_port_set(R.f, p[i].id, &p[i]) == 0, "port_set");
  }
  neighbour(ids[1], "10.30.0.2", 0xa2);
  uint16_t vrf = (uint16_t)lcpfwd_table_name(R.f, LCPFWD_AF_INET, "fuzz/absent/4"), t4 = (uint16_t)R.table4, t6 = (uint16_t)R.table6;
  struct lcpfwd_path path[10] = {
      {.port = (uint16_t)R.b, .weight = 1, .af = 4, .nh = {10, 1, 0, 2}, .labels = 1, .label = {200}},
      {.port = (uint16_t)ids[1], .weight = 1, .af = 4, .nh = {10, 30, 0, 2}, .labels = 8, .label = {16, 17, 18, 19, 20, 21, 22, 23}},
      {.port = (uint16_t)R.b, .weight = 1, .af = 4, .nh = {10, 1, 0, 2}},
      {.port = (uint16_t)ids[1], .weight = 1, .af = 4, .nh = {10, 30, 0, 2}, .ttl = 7},
      {.port = (uint16_t)R.t, .weight = 1},
      {.weight = 1, .flags = LCPFWD_PATH_PUNT},
      {.port = (uint16_t)R.s, .weight = 1, .af = 4, .nh = {10, 9, 0, 2}, .labels = 2, .label = {300, 301}, .ttl = 255},
      {.port = (uint16_t)R.b, .weight = 1},
      {.weight = 1, .flags = LCPFWD_PATH_LOOKUP, .tables4 = {vrf}},
      {.weight = 1, .flags = LCPFWD_PATH_LOOKUP, .tables4 = {vrf, t4}, .tables6 = {t6}},
  };
  for (unsigned i = 0; i < 10; i++) {
    struct lcpfwd_route r = {.table = table, .plen = 20, .addr = {0, (uint8_t)((100 + i) >> 4), (uint8_t)((100 + i) << 4)}};
    int32_t result, id = lcpfwd_pathlist_set(R.f, 0, &path[i], 1);
    CHECK(id > 0, "path list %u: %d", i, id);
    r.pathlist = (uint32_t)id;
    CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "label: %d", result);
  }
  int32_t all = lcpfwd_pathlist_set(R.f, 0, path, 2);
  CHECK(all > 0, "path list: %d", all);
  route_to("10.13.0.0", 16, (uint32_t)all);
  all = lcpfwd_pathlist_set(R.f, 0, path + 9, 1); /* 10.14 leads to itself */
  CHECK(all > 0, "path list: %d", all);
  route_to("10.14.0.0", 16, (uint32_t)all);
  route_in_absent(vrf);
}

/* A frame that is right in most respects; returns its length. */
static uint32_t plausible(uint8_t *f, unsigned in_mac, int tun) {
  uint8_t *ip = tun ? f : f + 14, addr[16];
  uint32_t payload = below(4) ? below(200) : below(9000), protos[] = {PROTO_TCP, PROTO_UDP, PROTO_ICMP, PROTO_ICMP6, PROTO_HOPOPT, PROTO_FRAGMENT, PROTO_DSTOPTS};
  if (!tun) {
    mac_of(in_mac, f);
    mac_of(0xa2, f + 6);
  }
  if (below(2)) {
    uint32_t ihl = 20 + (below(4) ? 0 : 4 * below(11));
    if (!tun) store_be16(f + 12, TYPE_IP4);
    ip[0] = (uint8_t)(0x40 | ihl / 4);
    store_be16(ip + 2, ihl + payload);
    store_be16(ip + 6, below(3) ? 0 : below(65536));
    ip[8] = (uint8_t)(below(4) ? 64 : below(3));
    ip[9] = (uint8_t)protos[below(3)];
    memcpy(ip + 12, "\x0a\x00\x00\x02", 4);
    address(destination4[below(sizeof destination4 / sizeof *destination4)], addr);
    memcpy(ip + 16, addr, 4);
    store16(ip + 10, 0);
    store16(ip + 10, checksum(ip, ihl));
    return (uint32_t)(ip - f) + ihl + payload;
  }
  if (!tun) store_be16(f + 12, TYPE_IP6);
  ip[0] = 0x60;
  store_be16(ip + 4, payload);
  ip[6] = (uint8_t)protos[below(7)];
  ip[7] = (uint8_t)(below(4) ? 64 : below(3));
  address("2001:db8:a::2", ip + 8);
  address(destination6[below(sizeof destination6 / sizeof *destination6)], ip + 24);
  return (uint32_t)(ip - f) + 40 + payload;
}

void test_fuzz(uint64_t seed) {
  static uint8_t master[FRAME_MAX];
  const uint32_t frames = 300000;
  state = seed;
  printf("packet_test: %u frames, seed %llu\n", frames, (unsigned long long)seed);
  fflush(stdout);
  router_make();
  unsigned ports[] = {R.a, R.b, R.t, R.k, R.s}, macs[] = {0xa1, 0xb1, 0, 0xd1, 0xe1};
  uint64_t seen[5] = {0}, on_sub = 0;
  unsigned subs[6];
  dress_router(subs);
  for (uint32_t i = 0; i < frames; i++) {
    unsigned which = below(5), host = below(5) == 0;
    uint32_t len = plausible(master, macs[which], ports[which] == R.t);
    if (ports[which] != R.t && below(2)) len = dress(master, len);
    for (uint32_t flips = below(3) ? below(4) : 40; flips && len; flips--) master[below(len < 80 ? len : 80)] ^= (uint8_t)(1u << below(8));
    if (below(4) == 0) len = below(len + 1);
    if (below(50) == 0)
      for (uint32_t k = 0; k < len; k++) master[k] = (uint8_t)draw();
    struct virtio_net_hdr v = {0};
    if (below(3) == 0)
      v = (struct virtio_net_hdr){.flags = (uint8_t)below(4), .gso_type = (uint8_t)(below(2) ? 0 : below(256)), .gso_size = (uint16_t)below(3000),
                                  .hdr_len = (uint16_t)below(200), .csum_start = (uint16_t)below(100), .csum_offset = (uint16_t)below(40)};
    /* Exactly as long as it is, so that the sanitizer sees a byte too far. */
    uint8_t *block = malloc(FRAME_ROOM + VNET_HEAD + len + 1);
    struct packet p = {.data = block + FRAME_ROOM + VNET_HEAD, .len = len, .room = FRAME_ROOM, .vnet = v};
    CHECK(block, "memory");
    uint8_t *exact = realloc(block, FRAME_ROOM + VNET_HEAD + len);
    CHECK(exact, "memory");
    p.data = exact + FRAME_ROOM + VNET_HEAD;
    memcpy(p.data, master, len);
    R.n_made = 0;
    R.d.now_ns += below(1000) == 0 ? 1000000000ull : 1000;
    (host ? host_burst : phy_burst)(&R.d, ports[which], &p, 1);
    capture(&R.d);
    CHECK(p.disposition <= DISPOSE_HOST && (p.disposition == DISPOSE_DROP || (p.out_port && p.out_port < LCPFWD_MAX_PORTS)), "frame %u", i);
    CHECK(p.data >= exact + VNET_HEAD && p.data + p.len <= exact + FRAME_ROOM + VNET_HEAD + len, "frame %u: outside of its memory", i);
    if (p.disposition == DISPOSE_HOST) CHECK(p.len == len && !memcmp(p.data, master, len), "frame %u: punted changed", i);
    seen[which]++;
    free(exact);
    if (i % 64 == 0) qsbr_quiescent(R.d.region, 0);
  }
  const unsigned subs_of[5] = {0, 9, 9, 2, 4}; /* first in subs[]; 9: has none */
  for (unsigned i = 0; i < 5; i++) {
    uint64_t sum = fates(ports[i]);
    for (unsigned k = 0; k < 2 && subs_of[i] != 9; k++) on_sub += fates(subs[subs_of[i] + k]), sum += fates(subs[subs_of[i] + k]);
    CHECK(sum == seen[i], "port %u: %llu fates of %llu packets", ports[i], (unsigned long long)sum, (unsigned long long)seen[i]);
  }
  uint64_t swapped = counter(R.a, COUNTER_FORWARD_MPLS);
  CHECK(on_sub > frames / 50 && swapped > frames / 1000, "only %llu on sub-interfaces, %llu with labels", (unsigned long long)on_sub, (unsigned long long)swapped);
  uint64_t forwarded = counter(R.a, COUNTER_FORWARD_IP4) + counter(R.a, COUNTER_FORWARD_IP6);
  CHECK(counter(R.a, COUNTER_DROP_LOOKUP_LOOP) > 0, "no packet has gone in circles");
  CHECK(forwarded > frames / 200, "only %llu forwarded: the frames are too wild", (unsigned long long)forwarded);
  router_free();
}
