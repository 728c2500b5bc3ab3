/* mroute_frames.c - the router and the frames of mroute_frames.h. */
#include "mroute_frames.h"

struct router R;
uint8_t frame[4096];

static uint8_t arena[ARENA_SIZE];

void make(void) {
  memset(&R, 0, sizeof R);
  R.f = lcpfwd_create(1ull << 30, 1);
  CHECK(R.f, "no region");
  R.table4 = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_INET, "4");
  R.table6 = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_INET6, "6");
  R.a = port("A", 0xa1, 0, 1500, NULL, NULL);
  R.b = port("B", 0xb1, 0, 1500, NULL, NULL);
  R.s = port("S", 0xc1, 0, 1280, NULL, NULL);
  R.k = port("K", 0xd1, 0, 1500, NULL, NULL);
  R.t = port("T", 0, LCPFWD_PORT_TUN, 1500, NULL, NULL);
  route_to("10.0.0.1", 32, LCPFWD_PL_LOCAL);
  route_to("2001:db8::1", 128, LCPFWD_PL_LOCAL);
  route_to("10.0.0.0", 24, via(R.a, NULL));
  R.d.region = &R.f->region;
  R.d.drain = capture;
  R.d.arena = arena;
  R.d.now_ns = 1000000000ull;
  qsbr_online(R.d.region, 0);
}

struct lcpfwd_mroute entry(unsigned in, const char *source, const char *group, unsigned flags, unsigned n, const unsigned *out) {
  struct lcpfwd_mroute m;
  memset(&m, 0, sizeof m);
  m.port = (uint16_t)in;
  m.af = (uint8_t)address(group, m.group);
  if (source) address(source, m.source);
  m.flags = (uint8_t)flags;
  m.n_out = (uint16_t)n;
  m.domain = 7;
  for (unsigned i = 0; i < n; i++) m.out[i] = (uint16_t)out[i];
  return m;
}

void set(struct lcpfwd_mroute m) {
  int32_t err = lcpfwd_mroute_set(R.f, &m);
  CHECK(err == 0, "set: %d", err);
}

void del(struct lcpfwd_mroute m) { CHECK(lcpfwd_mroute_del(R.f, &m) == 0, "del"); }

void quiet(struct lcpfwd_mroute m) {
  struct mroute_group *g;
  struct mroute_in *e = mroute_find(R.d.region, m.port, m.af, m.source, m.group, &g);
  CHECK(e, "entry is not found");
  e->sampled_ns = R.d.now_ns;
}

void resum(void) {
  store16(frame + 24, 0);
  store16(frame + 24, checksum(frame + 14, (frame[14] & 15u) * 4u));
}

uint32_t udp(const char *src, const char *dst, unsigned ttl, unsigned payload) {
  uint8_t *ip = frame + 14, addr[16];
  memset(frame, 0, sizeof frame);
  mac_of(0xa2, frame + 6);
  if (address(dst, addr) == 4) {
    memcpy(frame, "\x01\x00\x5e", 3);
    frame[3] = addr[1] & 0x7f;
    memcpy(frame + 4, addr + 2, 2);
    store_be16(frame + 12, TYPE_IP4);
    ip[0] = 0x45;
    store_be16(ip + 2, 28 + payload);
    store_be16(ip + 4, 0x4321);
    ip[8] = (uint8_t)ttl;
    ip[9] = PROTO_UDP;
    memcpy(ip + 16, addr, 4);
    address(src, addr);
    memcpy(ip + 12, addr, 4);
    resum();
    for (unsigned i = 0; i < payload; i++) ip[28 + i] = (uint8_t)i;
    return 14 + 28 + payload;
  }
  memcpy(frame, "\x33\x33", 2);
  memcpy(frame + 2, addr + 12, 4);
  store_be16(frame + 12, TYPE_IP6);
  ip[0] = 0x60;
  store_be16(ip + 4, 8 + payload);
  ip[6] = PROTO_UDP;
  ip[7] = (uint8_t)ttl;
  memcpy(ip + 24, addr, 16);
  address(src, ip + 8);
  for (unsigned i = 0; i < payload; i++) ip[48 + i] = (uint8_t)i;
  return 14 + 48 + payload;
}

struct packet *fate_from(unsigned in, int host, uint32_t len, enum counter why, enum disposition what, int line) {
  uint64_t before = counter(in, why), all = fates(in);
  struct packet *p = run(in, host, frame, len, NULL);
  CHECK(p->counter == why && p->disposition == what, "line %d: %s, goes %u", line, lcpfwd_counter_name(p->counter), p->disposition);
  CHECK(counter(in, why) == before + 1 && fates(in) == all + 1, "line %d: counted %llu fates", line, (unsigned long long)(fates(in) - all));
  if (what == DISPOSE_HOST) CHECK(p->out_port == in && p->len == len && !memcmp(p->data, frame, len), "line %d: punted changed", line);
  return p;
}

void left_by(const struct packet *p, unsigned out, unsigned src, uint32_t len, int line) {
  uint8_t want[sizeof frame];
  unsigned l2 = out == R.t ? 0 : 14, v4 = frame[12] == 8;
  memcpy(want, frame, len);
  mac_of(src, want + 6);
  want[v4 ? 22 : 21]--;
  if (v4) {
    store16(want + 24, 0);
    store16(want + 24, checksum(want + 14, 20));
  }
  CHECK(p->disposition == DISPOSE_PHY && p->out_port == out, "line %d: goes to %u", line, p->out_port);
  CHECK(p->len == len - 14 + l2 && !memcmp(p->data, want + 14 - l2, p->len), "line %d: not as it should be", line);
}

void went_to_host(const struct packet *p, unsigned in, uint32_t len, int line) {
  CHECK(p->disposition == DISPOSE_HOST && p->out_port == in, "line %d: no copy for the host", line);
  CHECK(p->len == len && !memcmp(p->data, frame, len), "line %d: the host's copy is not as it was received", line);
}

void set_up(unsigned id, int up) {
  struct lcpfwd_port p[LCPFWD_MAX_PORTS];
  int32_t n = lcpfwd_ports(R.f, p, LCPFWD_MAX_PORTS), at = 0;
  while (at < n && p[at].id != id) at++;
  p[at].flags = up ? p[at].flags | LCPFWD_PORT_UP : p[at].flags & ~LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, id, &p[at]) == 0, "port_set");
}
