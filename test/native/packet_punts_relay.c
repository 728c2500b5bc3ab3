/* packet_punts_relay.c - the relay on the link to its server, with a host on that or none, and what passes it by: X is the link, its
 * CNF has MAC 02:..:f9, and the server's clients are behind A.
 */
#include "packet_punts.h"
#include "relay_udp.h"

#define OURS4 "192.168.111.1"
#define CNF4 "192.168.111.2"
#define OURS6 "fd6c:6370:6400::1"
#define CNF6 "fd6c:6370:6400::2"

static unsigned x, y;

static void relays(struct punts *s, unsigned af, uint32_t table, const char *source, const char *server) {
  struct lcpfwd_punt *p = record(s, LCPFWD_PUNT_RELAY, 0, x);
  p->af = (uint8_t)af;
  p->flags = LCPFWD_PUNT_MAC;
  mac_of(0xf9, p->mac);
  p->table = p->server_number = 254;
  p->relay_table = p->server_table = table;
  address(source, p->source);
  address(server, p->destination);
}

static void begin(struct punts *s) {
  router_make();
  x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500);
  y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP, 1500);
  relays(s, 4, R.table4, OURS4, CNF4);
  relays(s, 6, R.table6, OURS6, CNF6);
  apply(s);
}

static void bytes(struct frame *f, const void *p, unsigned n) {
  memcpy(f->at + f->len, p, n);
  f->len += n;
}

/* What was put behind l3 is n bytes of UDP from and to these ports, with a sum that is right. */
static void seal(struct frame *f, enum relay_family family, unsigned from, unsigned to) {
  uint32_t head = family == RELAY_IP4 ? 20 : 40, n = f->len - 14 - head;
  uint8_t *ip = f->at + 14, *udp = ip + head;
  udp_ports(f, 14, head, from, to);
  store_be16(udp + 4, n);
  store_be16(ip + (family == RELAY_IP4 ? 2 : 4), family == RELAY_IP4 ? f->len - 14 : n);
  store16(udp + 6, 0);
  store16(udp + 6, relay_sum(family, ip, udp, n));
  if (family == RELAY_IP6) return;
  store16(ip + 10, 0);
  store16(ip + 10, checksum(ip, 20));
}

/* An answer for clients behind A, to the relay's address. */
static void answer4(struct frame *f) {
  static const uint8_t cookie[4] = {0x63, 0x82, 0x53, 0x63};
  uint8_t options[16] = {53, 1, 2, 82, 12, 1, 4, 0, 0, 0, (uint8_t)R.a, 5, 4};
  put_macs(f, 0xf1, 0xf9);
  put16(f, TYPE_IP4);
  put_ip4(f, CNF4, OURS4, 64, 0, 8 + 236);
  memset(f->at + 14 + 20, 0, 8 + 236);
  f->at[14 + 20 + 8] = 2;
  bytes(f, cookie, 4);
  bytes(f, options, 13);
  bytes(f, "\x0a\x00\x00\x01\xff", 5);
  seal(f, RELAY_IP4, 67, 67);
}

static void answer6(struct frame *f) {
  uint8_t option[8] = {0, 18, 0, 4, 0, 0, 0, (uint8_t)R.a};
  put_macs(f, 0xf1, 0xf9);
  put16(f, TYPE_IP6);
  put_ip6(f, CNF6, OURS6, 64, 8 + 34);
  memset(f->at + 14 + 40, 0, 8 + 34);
  f->at[14 + 40 + 8] = 13;
  address("fe80::1234", f->at + 14 + 40 + 8 + 18);
  bytes(f, option, 8);
  bytes(f, "\x00\x09\x00\x04\x07\xaa\xbb\xcc", 8);
  seal(f, RELAY_IP6, 547, 547);
}

/* The answer that came in by X leaves by A and reaches no host. */
static void relayed(const struct frame *f, int line) {
  becomes(x, 0, x, f, COUNTER_PUNT_RELAY, DISPOSE_DROP, 0, line);
  CHECK(R.n_made == 1 && R.made_packet[0].disposition == DISPOSE_PHY && R.made_packet[0].out_port == R.a, "line %d: %u frames", line, R.n_made);
}

static void has_host(unsigned id) {
  struct lcpfwd_port host = {.host_ifindex = 7, .host = "own"};
  CHECK(lcpfwd_port_host(R.f, id, &host, 0, NULL) == 0, "a host");
}

static void test_answers(void) {
  struct punts s = {0};
  struct frame f;
  begin(&s);
  answer4(&f);
  relayed(&f, __LINE__);
  answer6(&f);
  relayed(&f, __LINE__);

  /* a host that has no addresses yet, or none any more */
  has_host(x);
  has_host(y);
  answer4(&f);
  relayed(&f, __LINE__);
  mac_of(0xf2, f.at);
  PUNTS(y, y, &f, COUNTER_PUNT_NO_ROUTE);
  answer6(&f);
  relayed(&f, __LINE__);
  mac_of(0xf2, f.at);
  PUNTS(y, y, &f, COUNTER_PUNT_NO_ROUTE);

  /* one that has them */
  struct lcpfwd_port p = port_now(x);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table6}};
  CHECK(lcpfwd_port_set(R.f, x, &p) == 0, "port_set");
  route_to(OURS4, 32, LCPFWD_PL_LOCAL);
  route_to(OURS6, 128, LCPFWD_PL_LOCAL);
  answer4(&f);
  relayed(&f, __LINE__);
  udp_ports(&f, 14, 20, 67, 69);
  store16(f.at + 14 + 26, 0);
  PUNTS(x, x, &f, COUNTER_PUNT_LOCAL); /* anything else is the host's */
  answer6(&f);
  relayed(&f, __LINE__);

  /* another port with X's number is no link of the relay */
  CHECK(lcpfwd_port_del(R.f, x) == 0 && interconnect_add("Z", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500) == x, "the id is used again");
  has_host(x);
  answer4(&f);
  PUNTS(x, x, &f, COUNTER_PUNT_NO_ROUTE);
  CHECK(counter(x, COUNTER_PUNT_RELAY) == 0, "nothing is the relay's");
  router_free();
}

/* Client and server talk without the relay. */
static void test_beside(void) {
  struct punts s = {0};
  struct frame f, want;
  begin(&s);
  has_host(x);
  struct lcpfwd_port p = port_now(x);
  p.v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {R.table4}};
  CHECK(lcpfwd_port_set(R.f, x, &p) == 0, "port_set");
  route_to("192.168.111.0", 30, via(x, NULL));
  neighbour(x, CNF4, 0xf9);
  frame4(&f, CNF4, 64, 8 + 240);
  seal(&f, RELAY_IP4, 68, 67);
  want = f;
  mac_of(0xf9, want.at);
  mac_of(0xf1, want.at + 6);
  want.at[14 + 8] = 63;
  store16(want.at + 14 + 10, 0);
  store16(want.at + 14 + 10, checksum(want.at + 14, 20));
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, x, &want);

  put_macs(&f, 0xf1, 0xf9);
  put16(&f, TYPE_IP4);
  put_ip4(&f, CNF4, "10.0.0.2", 64, 0, 8 + 240);
  seal(&f, RELAY_IP4, 67, 68);
  want = f;
  mac_of(0xa2, want.at);
  mac_of(0xa1, want.at + 6);
  want.at[14 + 8] = 63;
  store16(want.at + 14 + 10, 0);
  store16(want.at + 14 + 10, checksum(want.at + 14, 20));
  FORWARDS(x, x, &f, COUNTER_FORWARD_IP4, R.a, &want);
  CHECK(R.n_made == 0, "and the relay has nothing of it");
  router_free();
}

void test_relay(void) {
  test_answers();
  test_beside();
}
