/* mroute_fuzz.c - random and broken frames to groups, while entries come and go: every packet has one fate, no copy goes
 * back to where it came from, what is punted is as it was.
 */
#include "mroute_frames.h"

static uint64_t state;

static uint64_t draw(void) { return mix64(state += 0x9e3779b97f4a7c15ull); }

void test_fuzz(uint64_t seed) {
  static const char *const groups[] = {"239.1.1.1", "239.1.1.2", "224.0.0.5", "ff0e::1", "ff05::2", "ff02::1"};
  const unsigned ports[] = {R.a, R.b, R.s, R.k, R.t};
  uint64_t seen[5] = {0}, before[5], forwarded = 0;
  state = seed;
  for (unsigned i = 0; i < 5; i++) before[i] = fates(ports[i]);
  for (unsigned i = 0; i < 200000; i++) {
    const char *group = groups[draw() % 6];
    unsigned v4 = !strchr(group, ':'), which = (unsigned)(draw() % 5), in = ports[which], host = draw() % 4 == 0;
    if (draw() % 16 == 0) {
      struct lcpfwd_mroute m = entry(ports[draw() % 5], draw() % 2 ? NULL : v4 ? "10.0.0.2" : "2001:db8::2", group, draw() % 2, 0, NULL);
      for (unsigned k = 0; k < 5; k++)
        if (draw() % 2) m.out[m.n_out++] = (uint16_t)ports[k];
      draw() % 4 ? set(m) : del(m);
    }
    uint32_t len = udp(v4 ? "10.0.0.2" : "2001:db8::2", group, 1 + draw() % 3, (unsigned)(draw() % 8 ? draw() % 100 : draw() % 1900));
    if (v4 && draw() % 4 == 0) {
      frame[14] = (uint8_t)(0x45 + draw() % 11);
      resum();
    }
    for (uint32_t flips = draw() % 3 ? 0 : draw() % 6; flips; flips--) frame[draw() % 70] ^= (uint8_t)(1u << draw() % 8);
    if (draw() % 4 == 0 && v4) resum();
    if (draw() % 8 == 0) len = (uint32_t)(draw() % (len + 1));
    uint32_t skip = in == R.t && len >= 14 ? 14 : 0;
    struct virtio_net_hdr v = {0};
    if (draw() % 4 == 0)
      v = (struct virtio_net_hdr){.flags = draw() & 1, .gso_type = draw() % 2 ? 0 : draw() & 0x87, .gso_size = draw() % 1600,
                                  .hdr_len = draw() % 100, .csum_start = draw() % 80, .csum_offset = draw() % 40};
    /* Exactly as long as it is, so that the sanitizer sees a byte too far. */
    uint8_t *exact = malloc(FRAME_ROOM + VNET_HEAD + len - skip);
    CHECK(exact, "memory");
    struct packet p = {.data = exact + FRAME_ROOM + VNET_HEAD, .len = len - skip, .room = FRAME_ROOM, .vnet = v};
    memcpy(p.data, frame + skip, p.len);
    R.n_made = 0;
    R.d.now_ns += draw() % 1000000000ull;
    (host ? host_burst : phy_burst)(&R.d, in, &p, 1);
    capture(&R.d);
    if (p.disposition == DISPOSE_HOST) CHECK(p.len == len - skip && !memcmp(p.data, frame + skip, p.len), "frame %u: punted changed", i);
    CHECK(p.disposition != DISPOSE_PHY || p.data >= exact + VNET_HEAD, "frame %u: outside of its memory", i);
    for (unsigned k = 0; k < R.n_made; k++) {
      const struct packet *m = &R.made_packet[k];
      CHECK(m->disposition != DISPOSE_DROP && m->out_port, "frame %u: a copy goes nowhere", i);
      CHECK(m->disposition == DISPOSE_HOST ? m->out_port == in : m->out_port != in, "frame %u: back to where it came from", i);
    }
    forwarded += p.counter == COUNTER_FORWARD_MULTICAST;
    seen[which]++;
    free(exact);
    qsbr_quiescent(R.d.region, 0);
  }
  for (unsigned i = 0; i < 5; i++) CHECK(fates(ports[i]) == before[i] + seen[i], "port %u: a packet without fate", ports[i]);
  CHECK(forwarded > 10000, "only %llu forwarded: the frames are too wild", (unsigned long long)forwarded);
}
