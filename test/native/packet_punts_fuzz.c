/* packet_punts_fuzz.c - programs at random, with records that are wrong, and frames at random through them: every frame
 * has one fate, and none leaves its memory.
 */
#include "packet_punts.h"

static uint64_t state;

static uint32_t below(uint32_t n) {
  state += 0x9e3779b97f4a7c15ull;
  return (uint32_t)mix64(state) % n;
}

static unsigned ports[8], n_ports;

static void any_address(uint8_t *addr, unsigned af) {
  static const char *const some[2][4] = {{"10.0.0.1", "10.2.0.1", "10.1.0.2", "224.0.0.5"}, {"2001:db8:a::1", "2001:db8:2::1", "fe80::1", "ff02::5"}};
  address(some[af == 6][below(4)], addr);
}

/* A record that may be right. */
static void any_record(struct punts *s) {
  unsigned type = 1 + below(10), af = below(2) ? 4 : 6;
  struct lcpfwd_punt *p = record(s, type, ports[below(n_ports)], ports[below(n_ports)]);
  p->flags = (uint8_t)(below(4) ? below(64) : below(256));
  p->af = (uint8_t)af;
  p->priority = below(4);
  if (type == LCPFWD_PUNT_SPAN) p->flags &= 3;
  if (type == LCPFWD_PUNT_OSI) p->protocol = 0x83;
  if (type == LCPFWD_PUNT_REDIRECT || type == LCPFWD_PUNT_PROXY || type == LCPFWD_PUNT_RULE) any_address(p->destination, af);
  if (type == LCPFWD_PUNT_REDIRECT && below(2)) p->from = 0, p->from_generation = 0;
  if (type == LCPFWD_PUNT_PROXY) memcpy(p->source, p->destination, 16);
  if (type == LCPFWD_PUNT_RULE) {
    p->destination_len = af == 4 ? 32 : 128;
    if (below(2)) memset(p->destination, 0, 16), p->destination_len = 0;
    p->source_ports[1] = p->destination_ports[1] = 0xffff;
    if (below(2)) p->protocol = below(2) ? PROTO_UDP : PROTO_TCP, p->destination_ports[0] = (uint16_t)below(100);
  }
  if (type == LCPFWD_PUNT_HOST || type == LCPFWD_PUNT_SOCKET) {
    p->by = (uint8_t)(1 + below(4));
    p->protocol = below(2) ? PROTO_UDP : PROTO_TCP;
    p->number = (uint16_t)below(16);
    snprintf(p->path, sizeof p->path, "/x");
  }
  if (type == LCPFWD_PUNT_POLICE) p->scope = (uint8_t)below(LCPFWD_SCOPES), p->rate = 1 + below(1000), p->burst = 1 + below(1000);
  for (unsigned flips = below(8) ? 0 : below(4); flips; flips--) ((uint8_t *)p)[below(sizeof *p)] ^= (uint8_t)(1u << below(8));
}

/* Records at random: what is wrong is told and left out; what is left is the program. */
static void any_program(struct punts *s) {
  uint32_t bad;
  s->n = 0;
  for (unsigned n = below(PUNTS_MOST); n; n--) any_record(s);
  for (unsigned tries = 0; lcpfwd_punts_set(R.f, s->record, s->n, &bad) != 0; tries++) {
    CHECK(tries <= PUNTS_MOST && bad < s->n, "record %u of %u", bad, s->n);
    memmove(&s->record[bad], &s->record[bad + 1], (--s->n - bad) * sizeof *s->record);
  }
  struct lcpfwd_punt dumped[PUNTS_MOST];
  int32_t n = lcpfwd_punts_dump(R.f, dumped, PUNTS_MOST);
  CHECK(n == (int32_t)s->n && !memcmp(dumped, s->record, s->n * sizeof *dumped), "%d records dumped of %u", n, s->n);
}

/* Of whom the interconnects borrow; of each other there is nothing to be had, of themselves it is refused. */
static void any_lenders(unsigned x, unsigned y) {
  const unsigned each[] = {x, y};
  for (unsigned i = 0; i < 2; i++) {
    uint32_t lender = below(4) ? ports[below(n_ports)] : below(LCPFWD_LENDER_ABSENT + 2);
    int32_t err = lcpfwd_port_lender(R.f, each[i], lender);
    CHECK(err == 0 || err == -EINVAL || err == -ENODEV, "lender %u: %d", lender, err);
  }
}

static uint32_t any_frame(uint8_t *f) {
  unsigned tags = below(3), at = 12, types[] = {TYPE_IP4, TYPE_IP6, TYPE_ARP, 0x8870, 60, 0x8809};
  for (unsigned i = 0; i < 200; i++) f[i] = (uint8_t)below(256);
  mac_of(below(2) ? 0xa1 : 0xf1, f);
  if (below(3) == 0) memcpy(f, "\x01\x80\xc2\x00\x00\x15", 6);
  for (unsigned i = 0; i < tags; i++, at += 4) memcpy(f + at, "\x81\x00\x00\x64", 4);
  store_be16(f + at, types[below(6)]);
  uint8_t *l3 = f + at + 2, addr[16];
  unsigned type = load_be16(f + at);
  if (type == TYPE_IP4) {
    l3[0] = 0x45;
    store_be16(l3 + 2, 20 + below(100));
    store_be16(l3 + 6, below(4) ? 0 : below(65536));
    l3[8] = (uint8_t)below(3);
    l3[9] = below(2) ? PROTO_UDP : PROTO_TCP;
    any_address(addr, 4);
    memcpy(l3 + 16, addr, 4);
    l3[12] = 10;
    store16(l3 + 10, 0);
    store16(l3 + 10, checksum(l3, 20));
  } else if (type == TYPE_IP6) {
    static const uint8_t next[] = {PROTO_UDP, PROTO_TCP, PROTO_ICMP6, PROTO_HOPOPT, PROTO_FRAGMENT, 51, PROTO_DSTOPTS};
    l3[0] = 0x60;
    store_be16(l3 + 4, below(100));
    l3[6] = next[below(7)];
    l3[7] = (uint8_t)(below(2) ? 255 : 1);
    any_address(l3 + 24, 6);
    if (l3[6] == PROTO_ICMP6 && below(2)) l3[40] = 135, l3[41] = 0;
  } else if (type == TYPE_ARP) {
    memcpy(l3, "\x00\x01\x08\x00\x06\x04\x00\x01", 8);
    any_address(addr, 4);
    memcpy(l3 + 24, addr, 4);
  } else {
    memcpy(l3, "\xfe\xfe\x03\x83", 4);
  }
  for (unsigned flips = below(3) ? 0 : below(8); flips; flips--) f[below(100)] ^= (uint8_t)(1u << below(8));
  return below(4) ? at + 2 + 60 + below(70) : below(at + 60);
}

void test_punts_fuzz(uint64_t seed) {
  const uint32_t frames = 200000;
  static uint8_t master[256];
  struct punts s = {0};
  uint64_t seen[8] = {0}, given = 0, copies = 0;
  state = seed;
  printf("packet_punts_test: %u frames, seed %llu\n", frames, (unsigned long long)seed);
  router_make();
  unsigned x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500), y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP, 1500);
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = (uint16_t)R.a, .tags = 1, .tag = {0x81000064u}};
  mac_of(0xa1, p.mac);
  unsigned sub = (unsigned)lcpfwd_port_add(R.f, &p, -1, NULL);
  n_ports = 6;
  memcpy(ports, (unsigned[]){R.a, R.b, R.k, x, y, sub}, 6 * sizeof *ports);
  for (uint32_t i = 0; i < frames; i++) {
    if (i % 500 == 0) any_program(&s);
    if (i % 100 == 0) any_lenders(x, y);
    unsigned which = below(5); /* not the sub-interface: it has no wire */
    uint32_t len = any_frame(master);
    uint8_t *exact = malloc(FRAME_ROOM + VNET_HEAD + len);
    CHECK(exact, "memory");
    struct packet f = {.data = exact + FRAME_ROOM + VNET_HEAD, .len = len, .room = FRAME_ROOM};
    if (below(4) == 0)
      f.vnet = (struct virtio_net_hdr){.flags = (uint8_t)below(2), .gso_type = (uint8_t)(below(2) ? 0 : below(6)), .gso_size = (uint16_t)below(100),
                                       .hdr_len = (uint16_t)below(100), .csum_start = (uint16_t)below(100), .csum_offset = (uint16_t)below(20)};
    memcpy(f.data, master, len);
    R.n_made = 0;
    R.d.now_ns += below(1000000);
    uint16_t out[MIRRORS];
    phy_burst(&R.d, ports[which], &f, 1);
    copies += R.d.n_made;
    capture(&R.d);
    CHECK(f.disposition <= DISPOSE_HOST && (f.disposition == DISPOSE_DROP || (f.out_port && f.out_port < LCPFWD_MAX_PORTS)), "frame %u", i);
    CHECK(f.data >= exact + VNET_HEAD && f.data + f.len <= exact + FRAME_ROOM + VNET_HEAD + len, "frame %u: outside of its memory", i);
    if (f.disposition == DISPOSE_HOST) CHECK(f.len == len && !memcmp(f.data, master, len), "frame %u: punted changed", i);
    if (f.disposition == DISPOSE_PHY && R.d.punts) punts_mirror(&R.d, &f, out);
    given += f.disposition == DISPOSE_PHY && f.counter >= COUNTER_PUNT_XCONNECT;
    seen[which]++;
    free(exact);
    if (i % 64 == 0) qsbr_quiescent(R.d.region, 0);
  }
  uint64_t on_sub = fates(sub), sum = 0, all = 0;
  for (unsigned i = 0; i < 5; i++) sum += fates(ports[i]), all += seen[i];
  CHECK(sum + on_sub == all, "%llu fates of %llu frames", (unsigned long long)(sum + on_sub), (unsigned long long)all);
  CHECK(given > frames / 20 && copies > frames / 20, "only %llu given away, %llu copies: the program is too tame", (unsigned long long)given, (unsigned long long)copies);
  router_free();
}
