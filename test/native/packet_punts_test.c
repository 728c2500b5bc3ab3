/* packet_punts_test.c - the packet path with a punt program: every feature, byte for byte, and its counters. */
#include "packet_punts.h"

static unsigned x, y, sub;

static void begin(void) {
  router_make();
  x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500);
  y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP | LCPFWD_PORT_GSO, 1500);
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = (uint16_t)R.a, .tags = 1, .tag = {0x81000064u}};
  mac_of(0xa1, p.mac);
  sub = (unsigned)lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK((int)sub > 0, "sub-interface");
}

/* p leaves by out as f: because of why. */
static struct packet *leaves(unsigned in, const struct frame *f, enum counter why, unsigned out, int line) {
  uint64_t all = fates(in);
  struct packet *p = run(in, 0, f->at, f->len, NULL);
  CHECK(p->counter == why && p->disposition == DISPOSE_PHY && p->out_port == out, "line %d: %s goes %u to %u", line,
        lcpfwd_counter_name(p->counter), p->disposition, p->out_port);
  CHECK(p->in_port != in || fates(in) == all + 1, "line %d: %llu fates", line, (unsigned long long)(fates(in) - all));
  expect_frame(p->data, p->len, f, line);
  return p;
}

static void tagged_frame(struct frame *f, unsigned tci) {
  put_macs(f, 0xa1, 0xa2);
  put_tag(f, TYPE_VLAN, tci);
  put16(f, TYPE_IP4);
  put_ip4(f, "10.0.0.2", "10.2.0.1", 64, 0, 40);
}

void test_span(void) {
  begin();
  struct punts s = {0};
  struct frame f, out;
  uint16_t mirrors[MIRRORS];
  struct lcpfwd_punt *rx = record(&s, LCPFWD_PUNT_SPAN, R.a, x);
  rx->flags = LCPFWD_PUNT_RX;
  record(&s, LCPFWD_PUNT_SPAN, R.b, x)->flags = LCPFWD_PUNT_TX;
  record(&s, LCPFWD_PUNT_SPAN, R.b, y)->flags = LCPFWD_PUNT_TX | LCPFWD_PUNT_RX;
  record(&s, LCPFWD_PUNT_SPAN, x, y)->flags = LCPFWD_PUNT_TX; /* the sink is a source as well */
  record(&s, LCPFWD_PUNT_SPAN, sub, y)->flags = LCPFWD_PUNT_RX | LCPFWD_PUNT_TX;
  apply(&s);
  frame4(&f, "10.2.0.1", 64, 40);
  out = f;
  struct packet *p = run(R.a, 0, f.at, f.len, NULL);
  CHECK(p->counter == COUNTER_FORWARD_IP4 && p->out_port == R.b, "the original: %s", lcpfwd_counter_name(p->counter));
  CHECK(R.n_made == 1, "%u copies", R.n_made);
  made_one(0, x, &out, __LINE__); /* as received: the original's TTL is counted down by now */
  CHECK(p->data[22] == 63 && counted(rx).packets == 1 && counted(rx).bytes == f.len, "counted");
  CHECK(punts_mirror(&R.d, p, mirrors) == 2 && mirrors[0] == x && mirrors[1] == y, "what leaves is mirrored twice");
  CHECK(counter(R.b, COUNTER_SPAN_COPIES) == 2, "counted on what is mirrored");
  CHECK(R.made_packet[0].clone && punts_mirror(&R.d, &R.made_packet[0], mirrors) == 0, "a copy is not mirrored again");
  /* what is dropped, punted, malformed or sent by the host was mirrored all the same */
  put_macs(&f, 0x77, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.2.0.1", 64, 0, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_NOT_FOR_US);
  made_one(0, x, &f, __LINE__);
  f.len = 9;
  DROPS(R.a, R.a, &f, COUNTER_DROP_RUNT);
  made_one(0, x, &f, __LINE__);
  struct lcpfwd_port down = port_now(R.a);
  down.flags &= ~LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &down) == 0, "down");
  frame4(&f, "10.2.0.1", 64, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_PORT_DOWN);
  made_one(0, x, &f, __LINE__);
  down.flags |= LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &down) == 0, "up");
  /* of a sub-interface: its frames alone, and the port's copy as well */
  tagged_frame(&f, 100);
  run(R.a, 0, f.at, f.len, NULL);
  CHECK(R.n_made == 2, "%u copies", R.n_made);
  made_one(0, x, &f, __LINE__);
  made_one(1, y, &f, __LINE__);
  tagged_frame(&f, 101);
  run(R.a, 0, f.at, f.len, NULL);
  CHECK(R.n_made == 1, "%u copies", R.n_made);
  tagged_frame(&f, 100);
  struct packet sent = {.data = f.at, .len = f.len, .disposition = DISPOSE_PHY, .out_port = (uint16_t)R.a};
  CHECK(punts_mirror(&R.d, &sent, mirrors) == 1 && mirrors[0] == y, "a frame that leaves with its tags");
  store_be16(f.at + 14, 101);
  CHECK(punts_mirror(&R.d, &sent, mirrors) == 0, "of another sub-interface");
  /* a sink that has gone loses the copy, never the original */
  CHECK(lcpfwd_port_del(R.f, x) == 0, "delete");
  frame4(&f, "10.2.0.1", 64, 40);
  p = run(R.a, 0, f.at, f.len, NULL);
  CHECK(p->counter == COUNTER_FORWARD_IP4 && R.n_made == 0 && counter(R.a, COUNTER_SPAN_LOST) == 1, "lost");
  CHECK(counted(rx).drops == 1, "counted on the record");
  struct lcpfwd_punt dumped[PUNTS_MOST];
  CHECK(lcpfwd_punts_dump(R.f, dumped, PUNTS_MOST) == 2, "what has lost its port is held no more");
  /* its id is another port's: that one has no part in it */
  unsigned z = interconnect_add("Z", 0xf3, LCPFWD_PORT_WIRE_TAP, 1500);
  CHECK(z == x, "the id is used again");
  run(R.a, 0, f.at, f.len, NULL);
  CHECK(R.n_made == 0, "the other port got a copy");
  router_free();
}

void test_xconnect_punts(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  struct lcpfwd_punt *there = record(&s, LCPFWD_PUNT_XCONNECT, R.a, x);
  record(&s, LCPFWD_PUNT_XCONNECT, x, R.a);
  record(&s, LCPFWD_PUNT_XCONNECT, sub, y);
  apply(&s);
  frame4(&f, "10.0.0.1", 1, 40);
  leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  leaves(x, &f, COUNTER_PUNT_XCONNECT, R.a, __LINE__);
  static const char *const macs[] = {"\x01\x80\xc2\x00\x00\x00", "\x01\x80\xc2\x00\x00\x02", "\xff\xff\xff\xff\xff\xff", "\x02\x99\x99\x99\x99\x99"};
  static const unsigned types[] = {0x26, 0x8809, TYPE_ARP, 0x1234};
  for (unsigned i = 0; i < 4; i++) { /* STP, LACP, ARP, what nobody knows, for whomever */
    put_macs(&f, 0, 0xa2);
    memcpy(f.at, macs[i], 6);
    put16(&f, types[i]);
    f.len = 60;
    leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  }
  f.len = 9;
  leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  tagged_frame(&f, 101);
  leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  tagged_frame(&f, 100); /* the sub-interface's own comes first, tags and all */
  struct packet *p = leaves(R.a, &f, COUNTER_PUNT_XCONNECT, y, __LINE__);
  CHECK(p->in_port == sub && counter(sub, COUNTER_PUNT_XCONNECT) == 1 && counter(sub, COUNTER_RX_PACKETS) == 1, "the sub-interface's");
  struct lcpfwd_port down = port_now(R.a);
  down.flags &= ~LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &down) == 0, "down");
  frame4(&f, "10.0.0.1", 64, 40);
  leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  leaves(x, &f, COUNTER_PUNT_XCONNECT, R.a, __LINE__);
  uint64_t before = counted(there).packets;
  frame4(&f, "10.0.0.1", 64, 1480); /* 1500 bytes of IP fit */
  leaves(R.a, &f, COUNTER_PUNT_XCONNECT, x, __LINE__);
  f.len++;
  DROPS(R.a, R.a, &f, COUNTER_DROP_PUNT_SIZE);
  leaves(x, &f, COUNTER_PUNT_XCONNECT, R.a, __LINE__); /* a phy's device decides for itself */
  CHECK(counted(there).packets == before + 1 && counted(there).drops == 1, "counted");
  CHECK(lcpfwd_port_del(R.f, x) == 0, "delete");
  frame4(&f, "10.0.0.1", 64, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_PUNT_DOWN);
  /* another port with its id has neither: what comes by it is not patched, what is patched to it is lost */
  CHECK(interconnect_add("Z", 0xf3, LCPFWD_PORT_WIRE_TAP, 1500) == x, "the id is used again");
  DROPS(R.a, R.a, &f, COUNTER_DROP_PUNT_DOWN);
  mac_of(0xf3, f.at);
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  s.n = 0;
  apply(&s);
  CHECK(R.f->region.head->punts == 0, "no program is left");
  frame4(&f, "10.0.0.1", 64, 40);
  down.flags |= LCPFWD_PORT_UP;
  CHECK(lcpfwd_port_set(R.f, R.a, &down) == 0, "up");
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  router_free();
}

static void llc_frame(struct frame *f, unsigned type, const char *llc, int tag) {
  put_macs(f, 0xa1, 0xa2);
  memcpy(f->at, "\x01\x80\xc2\x00\x00\x15", 6);
  if (tag) put_tag(f, TYPE_VLAN, (unsigned)tag);
  put16(f, type);
  memcpy(f->at + f->len, llc, 4);
  f->len += 60;
}

void test_osi(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  record(&s, LCPFWD_PUNT_OSI, R.a, x)->protocol = 0x83;
  record(&s, LCPFWD_PUNT_OSI, R.a, y)->protocol = 0x83;
  record(&s, LCPFWD_PUNT_OSI, R.a, y)->protocol = 0x82;
  record(&s, LCPFWD_PUNT_OSI, x, R.a)->protocol = 0x83;
  apply(&s);
  llc_frame(&f, 100, "\xfe\xfe\x03\x83", 0);
  leaves(R.a, &f, COUNTER_PUNT_OSI, y, __LINE__);
  CHECK(R.n_made == 1, "%u copies", R.n_made);
  made_one(0, x, &f, __LINE__);
  leaves(x, &f, COUNTER_PUNT_OSI, R.a, __LINE__);
  llc_frame(&f, 100, "\xfe\xfe\x03\x82", 0);
  leaves(R.a, &f, COUNTER_PUNT_OSI, y, __LINE__);
  CHECK(R.n_made == 0, "of another protocol");
  DROPS(x, x, &f, COUNTER_DROP_NO_HOST);
  llc_frame(&f, 0x8870, "\xfe\xfe\x03\x83", 0);
  leaves(R.a, &f, COUNTER_PUNT_OSI, y, __LINE__);
  for (int tag = 100; tag < 102; tag++) { /* of a sub-interface without one of its own, and of nobody */
    llc_frame(&f, 100, "\xfe\xfe\x03\x83", tag);
    leaves(R.a, &f, COUNTER_PUNT_OSI, y, __LINE__);
  }
  llc_frame(&f, 100, "\xaa\xaa\x03\x83", 0);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  llc_frame(&f, 100, "\xfe\xfe\x03\x83", 0);
  f.len = 17;
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  llc_frame(&f, 0x0806, "\xfe\xfe\x03\x83", 0);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_ARP);
  record(&s, LCPFWD_PUNT_OSI, sub, x)->protocol = 0x83;
  apply(&s);
  llc_frame(&f, 100, "\xfe\xfe\x03\x83", 100);
  leaves(R.a, &f, COUNTER_PUNT_OSI, x, __LINE__);
  CHECK(R.n_made == 0, "the sub-interface has its own");
  router_free();
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : (uint64_t)time(NULL);
  test_span();
  test_xconnect_punts();
  test_osi();
  test_abx();
  test_proxy();
  test_lender();
  test_deliver();
  test_relay();
  test_police();
  test_punts_fuzz(seed);
  puts("packet_punts_test: ok");
  return 0;
}
