/* mroute_test.c - multicast packets, byte for byte: what is replicated, punted, sampled. Argument: [seed]. */
#include "mroute_frames.h"

static void test_hit(const char *source, const char *group) {
  struct lcpfwd_mroute m = entry(R.a, source, group, 0, OUT(R.b, R.t, R.a, R.k));
  set(m);
  uint64_t copies = counter(R.b, COUNTER_MULTICAST_COPIES);
  for (unsigned ttl = 2; ttl < 256; ttl++) {
    uint32_t len = udp(source, group, ttl, 22);
    struct packet *p = FORWARDED(R.a, len);
    unsigned first = ttl == 2; /* a new entry begins with a sample */
    CHECK(R.n_made == 2 + first, "%u copies", R.n_made);
    if (first) went_to_host(&R.made_packet[0], R.a, len, __LINE__);
    left_by(&R.made_packet[first], R.b, 0xb1, len, __LINE__);
    left_by(&R.made_packet[first + 1], R.t, 0, len, __LINE__);
    left_by(p, R.k, 0xd1, len, __LINE__);
  }
  CHECK(counter(R.b, COUNTER_MULTICAST_COPIES) == copies + 254, "copies are not counted");
  uint32_t len = udp(source, group, 9, 22);
  PUNTED(R.b, len, COUNTER_PUNT_MULTICAST); /* another port: the kernel asserts */
  udp(source, strchr(group, ':') ? "ff0e::99" : "239.9.9.9", 9, 22);
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  udp(strchr(group, ':') ? "2001:db8::77" : "10.0.0.77", group, 9, 22);
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  len = udp(source, group, 1, 22);
  DROPPED(R.a, len, COUNTER_DROP_MULTICAST_TTL);
  CHECK(R.n_made == 0, "TTL 1 was copied or answered");
  frame[0] = frame[1] = frame[2] = frame[3] = frame[4] = frame[5] = 0xff;
  PUNTED(R.a, len, COUNTER_PUNT_BROADCAST);
  len = udp(source, group, 64, 2);
  struct packet *p = FORWARDED(R.a, len + 20); /* Ethernet padding stays behind */
  left_by(&R.made_packet[0], R.b, 0xb1, len, __LINE__);
  left_by(p, R.k, 0xd1, len, __LINE__);
  mac_of(0xa1, frame); /* to our own address */
  run(R.a, 0, frame, len, NULL);
  CHECK(R.p.counter == COUNTER_FORWARD_MULTICAST && R.n_made == 2, "group behind our own address");
  del(m);
  PUNTED(R.a, udp(source, group, 9, 22), COUNTER_PUNT_MULTICAST);
}

static void test_any_source(void) {
  struct lcpfwd_mroute any = entry(R.a, NULL, "239.1.1.1", 0, OUT(R.b)), elsewhere = entry(R.k, "10.0.0.2", "239.1.1.1", 0, OUT(R.s));
  struct lcpfwd_mroute exact = entry(R.a, "10.0.0.2", "239.1.1.1", 0, OUT(R.t));
  set(any);
  quiet(any);
  uint32_t len = udp("10.0.0.2", "239.1.1.1", 64, 8);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  set(elsewhere); /* what comes from there is now wanted from D alone */
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  len = udp("10.0.0.3", "239.1.1.1", 64, 8);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  elsewhere.domain = 8; /* another namespace does not matter */
  set(elsewhere);
  len = udp("10.0.0.2", "239.1.1.1", 64, 8);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  set(exact);
  quiet(exact);
  left_by(FORWARDED(R.a, len), R.t, 0, len, __LINE__);
  del(exact);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  del(elsewhere);
  del(any);
}

static void test_host(void) {
  struct lcpfwd_mroute m = entry(R.a, "10.0.0.2", "239.1.1.2", LCPFWD_MROUTE_HOST, OUT(R.b));
  set(m);
  uint32_t len = udp("10.0.0.2", "239.1.1.2", 64, 8);
  for (unsigned i = 0; i < 3; i++) {
    left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
    CHECK(R.n_made == 1, "%u copies", R.n_made);
    went_to_host(&R.made_packet[0], R.a, len, __LINE__);
  }
  len = udp("10.0.0.2", "239.1.1.2", 1, 8);
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  set(m = entry(R.a, "10.0.0.2", "239.1.1.2", 0, OUT(R.b)));
  len = udp("10.0.0.2", "239.1.1.2", 64, 8);
  R.d.now_ns += 3600000000000ull;
  unsigned sampled = 0;
  for (unsigned i = 0; i < 300; i++) { /* 30 s: the first, and one after each 10 s */
    left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
    CHECK(R.n_made == (i % 100 == 0), "packet %u: %u copies", i, R.n_made);
    sampled += R.n_made;
    if (i == 50) set(entry(R.a, "10.0.0.2", "239.1.1.2", 0, OUT(R.b, R.a))); /* keeps the time of its last sample */
    R.d.now_ns += 100000000;
  }
  CHECK(sampled == 3, "%u samples", sampled);
  R.d.now_ns -= 1000000000ull; /* a worker whose clock was read earlier */
  FORWARDED(R.a, len);
  CHECK(R.n_made == 0 || R.d.now_ns == 0, "a sample too early");
  del(m);
}

static void test_outputs(void) {
  struct lcpfwd_mroute m = entry(R.a, "10.0.0.2", "239.1.1.3", 0, OUT(R.b, R.k));
  set(m);
  quiet(m);
  uint32_t len = udp("10.0.0.2", "239.1.1.3", 64, 8);
  set_up(R.k, 0);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  CHECK(R.n_made == 0, "out of a port that is down");
  set_up(R.b, 0);
  DROPPED(R.a, len, COUNTER_DROP_MULTICAST_NO_OUTPUT);
  R.d.now_ns += 11000000000ull;
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST); /* a sample is taken all the same */
  set_up(R.b, 1);
  set_up(R.k, 1);
  set(m = entry(R.a, "10.0.0.2", "239.1.1.3", 0, 0, NULL));
  DROPPED(R.a, len, COUNTER_DROP_MULTICAST_NO_OUTPUT);
  del(m);
}

static void test_size(void) {
  struct lcpfwd_mroute m = entry(R.a, "10.0.0.2", "239.1.1.4", 0, OUT(R.s, R.b)), six = entry(R.a, "2001:db8::2", "ff0e::4", 0, OUT(R.s, R.b));
  set(m);
  set(six);
  quiet(m);
  quiet(six);
  uint32_t len = udp("10.0.0.2", "239.1.1.4", 64, 1400);
  struct packet *p = FORWARDED(R.a, len);
  left_by(p, R.b, 0xb1, len, __LINE__);
  CHECK(R.n_made == 2 && R.made_packet[0].out_port == R.s && R.made_packet[1].out_port == R.s, "%u pieces", R.n_made);
  uint32_t first = R.made_packet[0].len - 34, second = R.made_packet[1].len - 34;
  CHECK(R.made_packet[0].len <= 1294 && first % 8 == 0 && first + second == 1408, "pieces of %u and %u", first, second);
  for (unsigned i = 0; i < 2; i++) {
    const uint8_t *got = R.made_packet[i].data;
    CHECK(!memcmp(got, "\x01\x00\x5e\x01\x01\x04", 6) && got[11] == 0xc1 && checksum_ok(got + 14, 20) && got[22] == 63, "piece %u", i);
    CHECK(load_be16(got + 20) == (i ? first / 8 : 0x2000) && !memcmp(got + 34, frame + 34 + i * first, i ? second : first), "piece %u", i);
  }
  m.out[0] = (uint16_t)R.b;
  m.out[1] = (uint16_t)R.s;
  set(m); /* now the last output wants pieces */
  CHECK(fate_from(R.a, 0, len, COUNTER_FORWARD_MULTICAST, DISPOSE_DROP, __LINE__) && R.n_made == 3, "%u made", R.n_made);
  left_by(&R.made_packet[0], R.b, 0xb1, len, __LINE__);
  store_be16(frame + 20, 0x4000);
  resum();
  uint64_t lost = counter(R.s, COUNTER_MULTICAST_TOO_BIG);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  CHECK(R.n_made == 0 && counter(R.s, COUNTER_MULTICAST_TOO_BIG) == lost + 1, "DF: %u made", R.n_made);
  set(m = entry(R.a, "10.0.0.2", "239.1.1.4", 0, OUT(R.s)));
  DROPPED(R.a, len, COUNTER_DROP_MULTICAST_TOO_BIG);
  len = udp("2001:db8::2", "ff0e::4", 64, 1300);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  CHECK(R.n_made == 0 && counter(R.s, COUNTER_MULTICAST_TOO_BIG) == lost + 3, "IPv6: %u made", R.n_made);
  del(m);
  del(six);
}

static void test_offload(void) {
  struct lcpfwd_mroute m = entry(R.a, "10.0.0.2", "239.1.1.5", LCPFWD_MROUTE_HOST, OUT(R.b, R.t, R.s));
  struct virtio_net_hdr v = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6, .hdr_len = 42,
                             .gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 400};
  set(m);
  uint32_t len = udp("10.0.0.2", "239.1.1.5", 64, 1600);
  struct packet *p = run(R.a, 0, frame, len, &v), *made = R.made_packet;
  CHECK(p->counter == COUNTER_FORWARD_MULTICAST && R.n_made == 3, "%u made", R.n_made);
  went_to_host(&made[0], R.a, len, __LINE__);
  CHECK(!memcmp(&made[0].vnet, &v, sizeof v) && !memcmp(&made[1].vnet, &v, sizeof v) && !memcmp(&p->vnet, &v, sizeof v), "virtio header");
  CHECK(made[2].out_port == R.t && made[2].vnet.csum_start == 20 && made[2].vnet.hdr_len == 28 && made[2].vnet.gso_size == 400, "on a TUN");
  left_by(&made[1], R.b, 0xb1, len, __LINE__);
  v.gso_size = 1300; /* its pieces are too long for C and cannot be cut once more */
  p = run(R.a, 0, frame, len, &v);
  CHECK(p->out_port == R.t && R.n_made == 2, "%u made", R.n_made);
  memset(&v, 0, sizeof v);
  v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
  len = udp("10.0.0.2", "239.1.1.5", 64, 1300);
  p = run(R.a, 0, frame, len, &v); /* cut for C: the sum over the whole is completed first */
  CHECK(p->counter == COUNTER_FORWARD_MULTICAST && R.n_made == 5 && made[3].vnet.flags == 0 && made[1].vnet.csum_start == 34, "%u made", R.n_made);
  CHECK(load16(made[3].data + 40) == checksum(frame + 34, len - 34), "checksum of the pieces");
  del(m);
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  printf("mroute_test: seed %llu\n", (unsigned long long)seed);
  fflush(stdout);
  make();
  test_hit("10.0.0.2", "239.1.2.3");
  test_hit("2001:db8::2", "ff0e::1:2:3");
  test_any_source();
  test_host();
  test_outputs();
  test_size();
  test_offload();
  test_limits();
  test_fuzz(seed);
  qsbr_offline(R.d.region, 0);
  lcpfwd_detach(R.f);
  test_tables(seed);
  puts("mroute_test: ok");
  return 0;
}
