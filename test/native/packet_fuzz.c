/* packet_fuzz.c - random and mutated frames of every length through the packet path: no crash under
 * the sanitizers, and every packet has exactly one fate.
 */
#include "packet_fixture.h"

static uint64_t state;

static uint32_t draw(void) {
  state += 0x9e3779b97f4a7c15ull;
  return (uint32_t)mix64(state);
}

static uint32_t below(uint32_t n) { return draw() % n; }

static const char *const destination4[] = {"10.0.0.1", "10.0.0.2", "10.0.0.255", "10.1.0.2", "10.1.0.99", "10.2.3.4", "10.3.0.1",
                                           "10.4.0.1", "10.5.0.1", "10.6.0.1",   "10.7.0.1", "10.8.0.1",  "10.10.0.1", "192.0.2.1"};
static const char *const destination6[] = {"2001:db8:a::1", "2001:db8:a::2", "2001:db8:2::1", "2001:db8:3::1", "2001:db8:4::1",
                                           "2001:db8:5::1", "2001:db8:7::1", "2001:db8:8::1", "fe80::1",       "ff02::1"};

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
  uint64_t seen[5] = {0};
  for (uint32_t i = 0; i < frames; i++) {
    unsigned which = below(5), host = below(5) == 0;
    uint32_t len = plausible(master, macs[which], ports[which] == R.t);
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
  for (unsigned i = 0; i < 5; i++)
    CHECK(fates(ports[i]) == seen[i], "port %u: %llu fates of %llu packets", ports[i], (unsigned long long)fates(ports[i]), (unsigned long long)seen[i]);
  uint64_t forwarded = counter(R.a, COUNTER_FORWARD_IP4) + counter(R.a, COUNTER_FORWARD_IP6);
  CHECK(forwarded > frames / 100, "only %llu forwarded: the frames are too wild", (unsigned long long)forwarded);
  router_free();
}
