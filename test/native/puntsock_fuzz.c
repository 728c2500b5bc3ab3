/* puntsock_fuzz.c - random datagrams from a client, against a naive reading of the format; and random frames with random
 * offload state to one: each has exactly one fate, nothing beyond its end is looked at, and nothing sent is changed.
 */
#include "puntsock_fixture.h"

static enum punt_fate naive(const uint8_t *b, uint32_t n, uint32_t *len) {
  uint32_t action;
  if (n <= 28) return PUNT_RX_SHORT;
  memcpy(&action, b + 4, 4);
  b += 8, n -= 8;
  *len = n;
  if (action == 0) return PUNT_RX;
  if (action == 1) {
    uint32_t head = (b[0] & 15u) * 4, total = (uint32_t)b[2] << 8 | b[3];
    *len = total;
    return b[0] >> 4 == 4 && head >= 20 && head <= total && total <= n && naive_sum(0, b, head) == 0xffff ? PUNT_RX : PUNT_RX_ERROR;
  }
  if (action != 2) return PUNT_RX_ACTION;
  if (n < 40 || b[0] >> 4 != 6) return PUNT_RX_ERROR;
  *len = 40 + ((uint32_t)b[4] << 8 | b[5]);
  return *len <= n && !(*len == 40 && b[6] == 0) ? PUNT_RX : PUNT_RX_ERROR;
}

/* A datagram that is right in most respects; its length. */
static uint32_t plausible(uint8_t *b) {
  static struct frame f;
  uint32_t number = (uint32_t)random64(), action = random_below(8) ? random_below(3) : random_below(2) ? random_below(6) : (uint32_t)random64();
  uint32_t n = random_below(4) ? random_below(120) : random_below(9000);
  memcpy(b, &number, 4);
  memcpy(b + 4, &action, 4);
  if (action == 1 || action == 2) {
    unsigned version = random_below(16) ? action == 1 ? 4 : 6 : action == 1 ? 6 : 4;
    n += put_ip(b + 8, version, random_below(60), n);
    if (version == 4 && random_below(3) == 0) {
      b[8] = (uint8_t)(0x40 | random_below(16));
      put16(b + 18, 0);
      uint32_t head = (b[8] & 15u) * 4;
      for (uint32_t i = 20; i < head; i++) b[8 + i] = (uint8_t)random64();
      put16(b + 18, ~naive_sum(0, b + 8, head < 12 ? 12 : head) & 0xffff);
      if (n < head) n = head;
    }
    if (random_below(4) == 0) n += random_below(60);
  } else {
    make_frame(&f, random_below(6), random_below(2) ? 4 : 6, random_below(2) ? 6 : 17, n, 0);
    memcpy(b + 8, f.at, f.len);
    n = f.len;
  }
  n += 8;
  for (uint32_t flips = random_below(3) ? 0 : random_below(6); flips; flips--) b[random_below(n < 60 ? n : 60)] ^= (uint8_t)(1u << random_below(8));
  if (random_below(6) == 0) n = random_below(n + 1);
  if (random_below(50) == 0)
    for (uint32_t i = 0; i < n; i++) b[i] = (uint8_t)random64();
  return n;
}

static void fuzz_input(void) {
  static uint8_t bytes[DATAGRAM_MAX];
  int fd = client_bind(in_dir("fuzz"));
  const uint32_t rounds = 60000;
  uint64_t seen[PUNT_FATE_COUNT] = {0};
  for (uint32_t i = 0; i < rounds; i++) {
    uint32_t n = plausible(bytes), len = 0;
    enum punt_fate why = naive(bytes, n, &len);
    for (unsigned fill = 0; fill < 2; fill++) { /* what lay in the buffer before has no say */
      struct punt_descriptor d[2];
      struct packet p[2];
      memset(F.large.memory, fill ? 0xff : 0, n + 256);
      CHECK(sendto(fd, bytes, n, 0, (struct sockaddr *)&F.s.at, sizeof F.s.at) == (ssize_t)n, "%s", strerror(errno));
      F.counts = (struct punt_counts){{0}};
      F.large.used = 0;
      unsigned got = puntsock_receive(&F.s, d, p, 2, &F.large, &F.counts);
      CHECK(fate(why) == 1 && fates() == 1 && got == (why == PUNT_RX), "datagram %u of %u bytes: not '%s'", i, n, punt_fate_name(why));
      if (!got) continue;
      CHECK(!memcmp(&d[0], bytes, 8) && p[0].len == len && !memcmp(p[0].data, bytes + 8, len), "datagram %u: another one", i);
      CHECK(p[0].data - FRAME_ROOM - VNET_HEAD >= F.large.memory && p[0].l3 <= p[0].len, "datagram %u: l3 %u of %u", i, p[0].l3, p[0].len);
    }
    seen[why]++;
  }
  for (unsigned why = PUNT_RX; why <= PUNT_RX_ACTION; why++)
    CHECK(why == PUNT_RX_LONG || seen[why] > rounds / 100, "only %llu are '%s'", (unsigned long long)seen[why], punt_fate_name(why));
  CHECK(seen[PUNT_RX] > rounds / 3, "only %llu are good: they are too wild", (unsigned long long)seen[PUNT_RX]);
  close(fd);
  unlink(in_dir("fuzz"));
}

static void fuzz_output(void) {
  static struct frame f;
  int fd = client_bind(in_dir("fuzz"));
  unsigned slot = slot_of(in_dir("fuzz"));
  const uint32_t rounds = 60000;
  uint64_t refused = 0, pieces = 0;
  for (uint32_t i = 0; i < rounds; i++) {
    unsigned proto = random_below(2) ? 6 : 17, version = random_below(2) ? 4 : 6;
    make_frame(&f, random_below(6), version, proto, random_below(4) ? random_below(200) : random_below(9000), (int)random_below(2));
    struct virtio_net_hdr v = {0};
    if (random_below(4)) {
      v.flags = (uint8_t)random_below(2);
      v.csum_start = (uint16_t)(random_below(4) ? f.l4 : random_below(200));
      v.csum_offset = (uint16_t)(random_below(4) ? proto == 6 ? 16 : 6 : random_below(60));
      if (random_below(2)) v.gso_type = (uint8_t)(random_below(4) ? proto == 17 ? 5 : version == 4 ? 1 : 4 : random_below(256));
      v.gso_size = (uint16_t)(random_below(8) ? 300 + random_below(1500) : random_below(4));
    }
    for (uint32_t flips = random_below(2) ? 0 : random_below(6); flips; flips--) f.at[random_below(f.l4 + 20)] ^= (uint8_t)(1u << random_below(8));
    if (random_below(4) == 0) f.len = random_below(f.len + 1);
    struct packet p = packet_of(&f);
    p.vnet = v;
    F.counts = (struct punt_counts){{0}};
    F.now += random_below(2) * MS;
    send_one(slot, i, &p);
    uint64_t got = drain(fd);
    for (; kept(slot); got += drain(fd)) CHECK(retry(PUNTSOCK_PAUSE_MAX_NS) > 0, "frame %u: nothing is taken", i);
    uint64_t made = fate(PUNT_TX) + fate(PUNT_TX_FULL) + fate(PUNT_TX_OFFLOAD);
    CHECK(made == fates() && made >= 1 && (made == 1 || packet_is_gso(&p)), "frame %u: %llu fates", i, (unsigned long long)made);
    CHECK(p.len == f.len && !memcmp(p.data, f.at, f.len) && !memcmp(&p.vnet, &v, sizeof v), "frame %u: changed", i);
    CHECK(got == fate(PUNT_TX), "frame %u: other datagrams than counted", i);
    refused += fate(PUNT_TX_OFFLOAD);
    pieces += fate(PUNT_TX) > 1;
    free(p.data);
  }
  CHECK(refused > rounds / 50 && pieces > rounds / 50, "%llu refused, %llu cut: too tame or too wild", (unsigned long long)refused, (unsigned long long)pieces);
  puntsock_client_close(&F.s, slot);
  close(fd);
  unlink(in_dir("fuzz"));
}

void test_fuzz(uint64_t seed) {
  check_seed = seed; /* each file has a generator of its own */
  check_state = seed;
  fuzz_input();
  fuzz_output();
}
