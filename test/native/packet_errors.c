/* packet_errors.c - exceptions: the punt, and the ICMP error where the kernel would not send one;
 * too big packets, whole, cut and GSO.
 */
#include "packet_fixture.h"

static uint8_t frame[4096];

static uint32_t packet4(unsigned in_mac, const char *dst, unsigned ttl, unsigned field, unsigned payload) {
  uint8_t *ip = frame + 14, addr[16];
  memset(frame, 0, sizeof frame);
  mac_of(in_mac, frame);
  mac_of(0xa2, frame + 6);
  store_be16(frame + 12, TYPE_IP4);
  ip[0] = 0x45;
  store_be16(ip + 2, 20 + payload);
  store_be16(ip + 4, 0x4321);
  store_be16(ip + 6, field);
  ip[8] = (uint8_t)ttl;
  ip[9] = PROTO_UDP;
  address("10.0.0.2", addr);
  memcpy(ip + 12, addr, 4);
  address(dst, addr);
  memcpy(ip + 16, addr, 4);
  for (unsigned i = 0; i < payload; i++) ip[20 + i] = (uint8_t)(i * 7 + 1);
  store16(ip + 10, checksum(ip, 20));
  return 34 + payload;
}

static uint32_t packet6(unsigned in_mac, const char *dst, unsigned hops, unsigned payload) {
  uint8_t *ip = frame + 14;
  memset(frame, 0, sizeof frame);
  mac_of(in_mac, frame);
  mac_of(0xa2, frame + 6);
  store_be16(frame + 12, TYPE_IP6);
  ip[0] = 0x60;
  store_be16(ip + 4, payload);
  ip[6] = PROTO_UDP;
  ip[7] = (uint8_t)hops;
  address("2001:db8:a::2", ip + 8);
  address(dst, ip + 24);
  for (unsigned i = 0; i < payload; i++) ip[40 + i] = (uint8_t)(i * 5 + 1);
  return 54 + payload;
}

/* Starts with a full bucket, whatever went before. */
static struct packet *punted(unsigned in, uint32_t len, enum counter why, int line) {
  uint64_t all = fates(in);
  R.d.now_ns += 1000000000ull;
  struct packet *p = run(in, 0, frame, len, NULL);
  CHECK(p->counter == why, "line %d: %s instead of %s", line, lcpfwd_counter_name(p->counter), lcpfwd_counter_name(why));
  CHECK(p->disposition == DISPOSE_HOST && p->out_port == in && p->len == len && !memcmp(p->data, frame, len), "line %d: punted changed", line);
  CHECK(fates(in) == all + 1, "line %d: fates", line);
  return p;
}

static void expect_icmp4(uint32_t len, unsigned type, unsigned code, unsigned mtu, int line) {
  uint8_t addr[16], mac[6];
  uint32_t quote = len - 14 < 548 ? len - 14 : 548;
  CHECK(R.n_made == 1, "line %d: %u packets made", line, R.n_made);
  const struct packet *m = &R.made_packet[0];
  const uint8_t *ip = m->data + 14, *icmp = ip + 20;
  CHECK(m->disposition == DISPOSE_PHY && m->out_port == R.a && m->len == 14 + 28 + quote, "line %d: out of %u, %u bytes", line, m->out_port, m->len);
  mac_of(0xa2, mac);
  CHECK(!memcmp(m->data, mac, 6), "line %d: to the wrong MAC", line);
  CHECK(ip[0] == 0x45 && load_be16(ip + 2) == 28 + quote && checksum_ok(ip, 20) && ip[9] == 1 && ip[8] == 64, "line %d: IP header", line);
  address("10.0.0.1", addr);
  CHECK(!memcmp(ip + 12, addr, 4), "line %d: source", line);
  CHECK(!memcmp(ip + 16, frame + 26, 4), "line %d: destination", line);
  CHECK(icmp[0] == type && icmp[1] == code && load_be16(icmp + 6) == mtu, "line %d: type %u code %u mtu %u", line, icmp[0], icmp[1], load_be16(icmp + 6));
  CHECK(checksum_ok(icmp, 8 + quote) && !memcmp(icmp + 8, frame + 14, quote), "line %d: checksum or quote", line);
}

static void expect_icmp6(uint32_t len, unsigned type, unsigned code, unsigned mtu, int line) {
  uint8_t addr[16], pseudo[8] = {0};
  uint32_t quote = len - 14 < 1232 ? len - 14 : 1232;
  CHECK(R.n_made == 1, "line %d: %u packets made", line, R.n_made);
  const struct packet *m = &R.made_packet[0];
  const uint8_t *ip = m->data + 14, *icmp = ip + 40;
  CHECK(m->out_port == R.a && m->len == 14 + 48 + quote && ip[0] == 0x60 && ip[6] == 58 && load_be16(ip + 4) == 8 + quote, "line %d: %u bytes", line, m->len);
  address("2001:db8:a::1", addr);
  CHECK(!memcmp(ip + 8, addr, 16) && !memcmp(ip + 24, frame + 22, 16), "line %d: addresses", line);
  CHECK(icmp[0] == type && icmp[1] == code && load_be32(icmp + 4) == mtu, "line %d: type %u code %u", line, icmp[0], icmp[1]);
  store_be16(pseudo + 2, 8 + quote);
  pseudo[7] = 58;
  uint64_t sum = checksum_add(checksum_add(checksum_add(0, ip + 8, 32), pseudo, 8), icmp, 8 + quote);
  CHECK(checksum_fold(sum) == 0xffff && !memcmp(icmp + 8, frame + 14, quote), "line %d: checksum or quote", line);
}

static void test_icmp(void) {
  static const struct {
    const char *dst4, *dst6;
    unsigned ttl;
    enum counter why;
    uint8_t type4, code4, type6, code6;
  } row[] = {
      {"10.2.0.1", "2001:db8:2::1", 1, COUNTER_PUNT_TTL, 11, 0, 3, 0},
      {"10.2.0.1", "2001:db8:2::1", 0, COUNTER_PUNT_TTL, 11, 0, 3, 0},
      {"10.4.0.1", "2001:db8:4::1", 64, COUNTER_PUNT_UNREACHABLE, 3, 1, 1, 3},
      {"10.5.0.1", "2001:db8:5::1", 64, COUNTER_PUNT_PROHIBIT, 3, 13, 1, 1},
      {"192.0.2.1", "2001:db9::1", 64, COUNTER_PUNT_NO_ROUTE, 3, 0, 1, 0},
  };
  for (unsigned i = 0; i < sizeof row / sizeof *row; i++)
    for (unsigned payload = 8; payload < 1460; payload += 131) {
      uint32_t len = packet4(0xa1, row[i].dst4, row[i].ttl, 0, payload);
      punted(R.a, len, row[i].why, __LINE__);
      expect_icmp4(len, row[i].type4, row[i].code4, 0, __LINE__);
      len = packet6(0xa1, row[i].dst6, row[i].ttl, payload);
      punted(R.a, len, row[i].why, __LINE__);
      expect_icmp6(len, row[i].type6, row[i].code6, 0, __LINE__);
      /* The kernel behind K answers itself. */
      punted(R.k, packet4(0xd1, row[i].dst4, row[i].ttl, 0, payload), row[i].why, __LINE__);
      CHECK(R.n_made == 0, "answered beside the kernel");
      punted(R.k, packet6(0xd1, row[i].dst6, row[i].ttl, payload), row[i].why, __LINE__);
      CHECK(R.n_made == 0, "answered beside the kernel");
    }
}

static void expect_silent(unsigned in, uint32_t len, enum counter why, enum counter silence, int line) {
  uint64_t before = counter(in, silence);
  punted(in, len, why, line);
  CHECK(R.n_made == 0 && counter(in, silence) == before + 1, "line %d: answered", line);
}

static void resum(void) {
  store16(frame + 24, 0);
  store16(frame + 24, checksum(frame + 14, 20));
}

static void test_icmp_silence(void) {
  static const uint8_t errors[] = {3, 4, 5, 11, 12};
  for (unsigned i = 0; i < sizeof errors; i++) {
    uint32_t len = packet4(0xa1, "10.2.0.1", 1, 0, 40);
    frame[23] = PROTO_ICMP;
    frame[34] = errors[i];
    resum();
    expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  }
  uint32_t len = packet4(0xa1, "10.2.0.1", 1, 0, 40);
  frame[23] = PROTO_ICMP;
  frame[34] = 8; /* echo request: answered */
  resum();
  punted(R.a, len, COUNTER_PUNT_TTL, __LINE__);
  expect_icmp4(len, 11, 0, 0, __LINE__);
  expect_silent(R.a, packet4(0xa1, "10.2.0.1", 1, 5, 40), COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  len = packet6(0xa1, "2001:db8:2::1", 1, 40);
  frame[20] = PROTO_ICMP6;
  frame[54] = 1;
  expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  frame[54] = 137;
  expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  frame[54] = 128;
  punted(R.a, len, COUNTER_PUNT_TTL, __LINE__);
  expect_icmp6(len, 3, 0, 0, __LINE__);
  frame[20] = PROTO_FRAGMENT;
  memcpy(frame + 54, "\x11\x00\x00\x09\x00\x00\x00\x01", 8);
  expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  frame[20] = PROTO_DSTOPTS; /* an error behind an extension header is still an error */
  memcpy(frame + 54, "\x3a\x00\x01\x04\x00\x00\x00\x00\x02\x00", 10);
  expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_SUPPRESSED, __LINE__);
  expect_silent(R.b, packet4(0xb1, "10.2.0.1", 1, 0, 40), COUNTER_PUNT_TTL, COUNTER_ICMP_NO_SOURCE, __LINE__);
  len = packet4(0xa1, "10.2.0.1", 1, 0, 40);
  memcpy(frame + 26, "\xc0\x00\x02\x07", 4); /* no route back */
  resum();
  expect_silent(R.a, len, COUNTER_PUNT_TTL, COUNTER_ICMP_NO_ROUTE, __LINE__);
}

static void test_icmp_limit(void) {
  uint32_t len = packet4(0xa1, "10.2.0.1", 1, 0, 40);
  unsigned sent = 0;
  R.d.now_ns += 10000000000ull;
  for (unsigned i = 0; i < 1000; i++) {
    run(R.a, 0, frame, len, NULL);
    sent += R.n_made;
  }
  CHECK(sent == 100, "a burst of %u", sent);
  for (unsigned i = 0; i < 1000; i++) {
    R.d.now_ns += 100000; /* 10,000 packets a second */
    run(R.a, 0, frame, len, NULL);
    sent += R.n_made;
  }
  CHECK(sent == 200, "%u in a burst and a tenth of a second", sent);
}

static void test_too_big(void) {
  uint32_t len = packet4(0xa1, "10.8.0.1", 64, 0x4000, 1280 - 20);
  CHECK(run(R.a, 0, frame, len, NULL)->counter == COUNTER_FORWARD_IP4, "exactly the MTU");
  len = packet4(0xa1, "10.8.0.1", 64, 0x4000, 1281 - 20);
  punted(R.a, len, COUNTER_PUNT_TOO_BIG, __LINE__);
  expect_icmp4(len, 3, 4, 1280, __LINE__);
  punted(R.k, packet4(0xd1, "10.8.0.1", 64, 0, 1281 - 20), COUNTER_PUNT_TOO_BIG, __LINE__);
  len = packet6(0xa1, "2001:db8:8::1", 64, 1280 - 40);
  CHECK(run(R.a, 0, frame, len, NULL)->counter == COUNTER_FORWARD_IP6, "exactly the MTU");
  len = packet6(0xa1, "2001:db8:8::1", 64, 1281 - 40);
  punted(R.a, len, COUNTER_PUNT_TOO_BIG, __LINE__);
  expect_icmp6(len, 2, 0, 1280, __LINE__);
}

/* What the pieces carry is what the whole carried; field: flags and offset of the whole. */
static void expect_pieces(uint32_t len, unsigned field, int line) {
  static uint8_t whole[4096];
  uint32_t at = 0;
  for (unsigned i = 0; i < R.n_made; i++) {
    const uint8_t *ip = R.made_packet[i].data + 14;
    unsigned f = load_be16(ip + 6), n = load_be16(ip + 2) - 20u, last = i + 1 == R.n_made;
    CHECK(R.made_packet[i].out_port == R.s && R.made_packet[i].len == 34 + n && n + 20 <= 1280, "line %d: piece %u", line, i);
    CHECK(checksum_ok(ip, 20) && ip[8] == 63 && load_be16(ip + 4) == 0x4321, "line %d: header of piece %u", line, i);
    CHECK((f & 0x1fff) == (field & 0x1fff) + at / 8 && (f & 0x2000) == (last ? field & 0x2000 : 0x2000u), "line %d: field %04x of piece %u", line, f, i);
    memcpy(whole + at, ip + 20, n);
    at += n;
  }
  CHECK(R.n_made > 1 && at == len - 34, "line %d: %u bytes in %u pieces", line, at, R.n_made);
  for (uint32_t i = 0; i < at; i++) CHECK(whole[i] == frame[34 + i], "line %d: byte %u", line, i);
}

static void test_fragments(void) {
  for (unsigned payload = 1261; payload < 3900; payload += 97) {
    uint64_t all = fates(R.a);
    uint32_t len = packet4(0xa1, "10.8.0.1", 64, 0, payload);
    struct packet *p = run(R.a, 0, frame, len, NULL);
    CHECK(p->counter == COUNTER_FORWARD_IP4 && p->disposition == DISPOSE_DROP && fates(R.a) == all + 1, "fate %u", p->counter);
    expect_pieces(len, 0, __LINE__);
    len = packet4(0xa1, "10.8.0.1", 64, 0x2000 | 185, payload);
    run(R.a, 0, frame, len, NULL);
    expect_pieces(len, 0x2000 | 185, __LINE__);
  }
  /* A partial checksum lies over the whole: it is completed before the packet is cut. */
  uint32_t len = packet4(0xa1, "10.8.0.1", 64, 0, 2000);
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
  uint16_t sum = checksum(frame + 34, 2000);
  run(R.a, 0, frame, len, &v);
  store16(frame + 40, sum);
  expect_pieces(len, 0, __LINE__);
  for (unsigned i = 0; i < R.n_made; i++) CHECK(R.made_packet[i].vnet.flags == 0, "piece %u still wants a checksum", i);
}

static void test_gso(void) {
  uint32_t len = packet4(0xa1, "10.8.0.1", 64, 0x4000, 4000);
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 16,
                             .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1240, .hdr_len = 54};
  frame[23] = PROTO_TCP;
  frame[46] = 0x50;
  resum();
  struct packet *p = run(R.a, 0, frame, len, &v);
  CHECK(p->counter == COUNTER_FORWARD_IP4 && p->disposition == DISPOSE_PHY && p->len == len && p->vnet.gso_size == 1240, "segments fit");
  v.gso_size = 1241;
  R.d.now_ns += 1000000000ull;
  p = run(R.a, 0, frame, len, &v);
  CHECK(p->counter == COUNTER_PUNT_TOO_BIG && p->disposition == DISPOSE_HOST && !memcmp(&p->vnet, &v, sizeof v), "segments do not fit");
  expect_icmp4(len, 3, 4, 1280, __LINE__);
}

void test_errors(void) {
  test_icmp();
  test_icmp_silence();
  test_icmp_limit();
  test_too_big();
  test_fragments();
  test_gso();
}
