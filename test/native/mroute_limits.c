/* mroute_limits.c - what is never replicated, what comes back from the hosts' kernel, ports that go, sub-interfaces. */
#include "mroute_frames.h"

static void test_never(void) {
  static const char *const never[][2] = {{"10.0.0.2", "224.0.0.5"},    {"0.0.0.0", "239.1.1.6"},    {"127.0.0.1", "239.1.1.6"},
                                         {"2001:db8::2", "ff00::6"},   {"2001:db8::2", "ff01::6"},  {"2001:db8::2", "ff02::6"},
                                         {"2001:db8::2", "ff12::6"},   {"fe80::2", "ff0e::6"},      {"::1", "ff0e::6"}};
  static const struct { unsigned v4, proto, type; } neighbours[] = {
      {1, 2, 0}, {1, 103, 0}, {0, 103, 0}, {0, 58, 130}, {0, 58, 131}, {0, 58, 132}, {0, 58, 134}, {0, 58, 136}, {0, 58, 143}, {0, 58, 151}};
  for (unsigned i = 0; i < sizeof never / sizeof *never; i++) {
    struct lcpfwd_mroute any = entry(R.a, NULL, never[i][1], 0, OUT(R.b));
    set(any);
    PUNTED(R.a, udp(never[i][0], never[i][1], 64, 8), COUNTER_PUNT_MULTICAST);
    SENT(R.b, udp(never[i][0], never[i][1], 64, 8));
    del(any);
  }
  struct lcpfwd_mroute four = entry(R.a, NULL, "239.1.1.6", 0, OUT(R.b)), six = entry(R.a, NULL, "ff0e::6", 0, OUT(R.b));
  set(four);
  set(six);
  quiet(four);
  quiet(six);
  for (unsigned i = 0; i < sizeof neighbours / sizeof *neighbours; i++) {
    uint32_t len = neighbours[i].v4 ? udp("10.0.0.2", "239.1.1.6", 64, 8) : udp("2001:db8::2", "ff0e::6", 64, 8);
    frame[neighbours[i].v4 ? 23 : 20] = (uint8_t)neighbours[i].proto;
    if (neighbours[i].v4) resum();
    else frame[54] = (uint8_t)neighbours[i].type;
    int nd = neighbours[i].proto == 58 && neighbours[i].type >= 133 && neighbours[i].type <= 137;
    PUNTED(R.a, len, nd ? COUNTER_PUNT_ND : COUNTER_PUNT_MULTICAST);
    SENT(R.b, len);
  }
  uint32_t len = udp("10.0.0.2", "239.1.1.6", 64, 8);
  frame[14] = 0x46;
  memcpy(frame + 34, "\x94\x04\x00\x00", 4); /* router alert */
  resum();
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  memcpy(frame + 34, "\x01\x01\x01\x01", 4);
  resum();
  FORWARDED(R.a, len);
  len = udp("2001:db8::2", "ff0e::6", 64, 20);
  frame[20] = PROTO_HOPOPT;
  memcpy(frame + 54, "\x11\x00\x05\x02\x00\x00\x01\x00", 8);
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  frame[56] = 1;
  FORWARDED(R.a, len);
  frame[54] = PROTO_ICMP6; /* MLD behind a hop-by-hop header that forgot its router alert */
  frame[62] = 131;
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  len = udp("10.0.0.2", "239.1.1.6", 64, 8);
  frame[25] ^= 1; /* what is broken is the kernel's to drop, as before */
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST);
  for (uint32_t n = 14; n < 34; n++) PUNTED(R.a, n, COUNTER_PUNT_MULTICAST);
  del(four);
  del(six);
}

/* What the kernel sends of what it was given beside us. */
static void test_replicated(void) {
  struct lcpfwd_mroute four = entry(R.a, "10.0.0.2", "239.1.1.7", 0, OUT(R.b, R.t, R.a)), six = entry(R.a, NULL, "ff0e::7", 0, OUT(R.b));
  set(four);
  set(six);
  uint32_t len = udp("10.0.0.2", "239.1.1.7", 63, 8);
  DOUBLED(R.b, len);
  SENT(R.k, len);   /* no output */
  SENT(R.a, len); /* where it came in */
  memmove(frame, frame + 14, len - 14);
  DOUBLED(R.t, len - 14);
  len = udp("10.0.0.3", "239.1.1.7", 63, 8);
  SENT(R.b, len); /* another source */
  len = udp("2001:db8::99", "ff0e::7", 63, 8);
  DOUBLED(R.b, len);
  len = udp("2001:db8::1", "ff0e::7", 63, 8); /* the host's own */
  SENT(R.b, len);
  set(entry(R.k, NULL, "239.1.1.7", 0, OUT(R.b)));
  len = udp("10.0.0.3", "239.1.1.7", 63, 8);
  DOUBLED(R.b, len);
  len = udp("10.0.0.1", "239.1.1.7", 63, 8);
  SENT(R.b, len);
  del(entry(R.k, NULL, "239.1.1.7", 0, 0, NULL));
  del(four);
  len = udp("10.0.0.2", "239.1.1.7", 63, 8);
  SENT(R.b, len);
  del(six);
}

/* A port takes its entries along and leaves those of others. */
static void test_port_gone(void) {
  struct lcpfwd_mroute kept = entry(R.a, "10.0.0.2", "239.1.1.8", 0, OUT(R.k, R.b)), gone = entry(R.k, "10.0.0.2", "239.1.1.8", 0, OUT(R.b, R.t));
  set(kept);
  set(gone);
  quiet(kept);
  CHECK(lcpfwd_port_del(R.f, R.k) == 0, "port_del");
  unsigned again = port("E", 0xe1, 0, 1500, NULL, NULL);
  CHECK(again == R.k, "the id was not used again");
  uint32_t len = udp("10.0.0.2", "239.1.1.8", 64, 8);
  left_by(FORWARDED(R.a, len), R.b, 0xb1, len, __LINE__);
  CHECK(R.n_made == 0, "the new port is an output");
  PUNTED(again, len, COUNTER_PUNT_MULTICAST);
  SENT(again, len);
  fate_from(R.t, 1, len, COUNTER_XCONNECT_TUN, DISPOSE_PHY, __LINE__);
  CHECK(lcpfwd_mroute_set(R.f, &gone) == 0 && lcpfwd_mroute_del(R.f, &gone) == 0 && lcpfwd_mroute_del(R.f, &gone) == 0, "set and deleted twice");
  del(kept);
}

static void test_many(void) {
  unsigned out[64], mac = 1;
  for (unsigned i = 0; i < 64; i++) out[i] = port("M", mac++, 0, 1500, NULL, NULL);
  struct lcpfwd_mroute m = entry(R.a, "10.0.0.2", "239.1.1.9", LCPFWD_MROUTE_HOST, 64, out);
  set(m);
  uint32_t len = udp("10.0.0.2", "239.1.1.9", 64, 100);
  struct packet *p = FORWARDED(R.a, len);
  CHECK(R.n_made == 64, "%u made", R.n_made);
  for (unsigned i = 0; i < 63; i++) left_by(&R.made_packet[1 + i], out[i], i + 1, len, __LINE__);
  left_by(p, out[63], 64, len, __LINE__);
  del(m);
}

static unsigned subif(const char *name, unsigned parent, unsigned mac, uint32_t outer, uint32_t inner) {
  struct lcpfwd_port p;
  memset(&p, 0, sizeof p);
  p.flags = LCPFWD_PORT_UP;
  p.mtu = 1500;
  mac_of(mac, p.mac);
  p.parent = (uint16_t)parent;
  p.tags = inner ? 2 : 1;
  p.tag[0] = outer;
  p.tag[1] = inner;
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  snprintf(p.phy, sizeof p.phy, "%s", name);
  int32_t id = lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK(id > 0, "sub-interface: %d", id);
  return (unsigned)id;
}

/* Puts n tags behind the addresses of frame. */
static uint32_t tag(uint32_t len, unsigned n, const uint32_t *tags) {
  memmove(frame + 12 + 4 * n, frame + 12, len - 12);
  for (unsigned i = 0; i < n; i++) {
    store_be16(frame + 12 + 4 * i, tags[i] >> 16);
    store_be16(frame + 14 + 4 * i, tags[i] & 0xffff);
  }
  return len + 4 * n;
}

static void test_subif(void) {
  const uint32_t ten = 0x81000000u | 10, twenty[] = {0x88a80000u | 20, 0x81000000u | 7};
  unsigned in = subif("A.10", R.a, 0xa1, ten, 0), out = subif("B.20.7", R.b, 0xb1, twenty[0], twenty[1]), beside = subif("A.11", R.a, 0xa1, ten + 1, 0);
  struct lcpfwd_mroute m = entry(in, "10.0.0.2", "239.1.1.10", 0, OUT(out, beside, R.b));
  set(m);
  uint32_t len = udp("10.0.0.2", "239.1.1.10", 64, 8), plain = len;
  uint8_t untagged[4096];
  PUNTED(R.a, len, COUNTER_PUNT_MULTICAST); /* the parent is another port */
  memcpy(untagged, frame, len);
  len = tag(len, 1, &ten);
  uint64_t before = counter(in, COUNTER_FORWARD_MULTICAST), sent = counter(out, COUNTER_TX_PACKETS);
  struct packet *p = run(R.a, 0, frame, len, NULL), *made = R.made_packet;
  CHECK(p->counter == COUNTER_FORWARD_MULTICAST && counter(in, COUNTER_FORWARD_MULTICAST) == before + 1 && R.n_made == 3, "%u made", R.n_made);
  went_to_host(&made[0], R.a, len, __LINE__); /* the parent's TAP, tag and all */
  CHECK(made[1].out_port == R.b && made[1].len == plain + 8 && !memcmp(made[1].data + 12, "\x88\xa8\x00\x14\x81\x00\x00\x07\x08\x00", 10), "two tags");
  CHECK(made[1].data[11] == 0xb1 && made[1].data[30] == 63 && counter(out, COUNTER_TX_PACKETS) == sent + 1, "out of the sub-interface");
  CHECK(made[2].out_port == R.a && !memcmp(made[2].data + 12, "\x81\x00\x00\x0b", 4), "back out of the same device with another tag");
  memcpy(frame, untagged, plain);
  left_by(p, R.b, 0xb1, plain, __LINE__);
  /* Its host's copies: with the tags of an output, of none, of nobody. */
  const uint32_t nobody = 0x81000000u | 99;
  len = tag(plain, 2, twenty);
  CHECK(run(R.b, 1, frame, len, NULL)->counter == COUNTER_DROP_MULTICAST_REPLICATED, "the copy of a sub-interface is doubled");
  memcpy(frame, untagged, plain);
  len = tag(plain, 1, &nobody);
  SENT(R.b, len);
  memcpy(frame, untagged, plain);
  DOUBLED(R.b, plain);
  len = tag(plain, 1, &ten);
  set_up(R.b, 0); /* what leaves by a device that is down is gone, whatever the sub-interface says */
  p = run(R.a, 0, frame, len, NULL);
  CHECK(p->counter == COUNTER_FORWARD_MULTICAST && p->out_port == R.a && R.n_made == 0, "out of a device that is down");
  set_up(R.b, 1);
  CHECK(lcpfwd_port_del(R.f, in) == 0 && lcpfwd_port_del(R.f, out) == 0 && lcpfwd_port_del(R.f, beside) == 0, "port_del");
  struct lcpfwd_mroute left;
  uint32_t cursor[2] = {0, 0};
  CHECK(lcpfwd_mroutes_dump(R.f, &left, 1, cursor) == 0, "an entry outlives its sub-interface");
}

void test_limits(void) {
  test_never();
  test_replicated();
  test_port_gone();
  test_subif();
  test_many();
}
