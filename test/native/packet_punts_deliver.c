/* packet_punts_deliver.c - what goes to the host with a program: sinks, redirects and policers against a
 * fake clock. */
#include "packet_punts.h"
#include "police.h"

static unsigned x, y;
static char sent_to[8][108];
static uint32_t sent_len[8];
static unsigned n_sent;
static int client_there;

static int client(struct datapath *d, struct packet *p, uint32_t slot) {
  if (!client_there) return 0;
  const struct lcpfwd_punt *to = program_records(d->punts);
  while (to->slot != slot) to++;
  snprintf(sent_to[n_sent % 8], sizeof sent_to[0], "%s", to->path);
  sent_len[n_sent++ % 8] = p->len;
  return 1;
}

static void begin(void) {
  router_make();
  x = interconnect_add("X", 0xf1, LCPFWD_PORT_WIRE_TAP, 1500);
  y = interconnect_add("Y", 0xf2, LCPFWD_PORT_WIRE_TAP, 1500);
  R.d.to_socket = client;
  client_there = 1;
  n_sent = 0;
}

static struct lcpfwd_punt *sink(struct punts *s, unsigned type, unsigned by, unsigned af, unsigned protocol, unsigned number) {
  struct lcpfwd_punt *p = record(s, type, 0, 0);
  p->by = (uint8_t)by;
  p->af = (uint8_t)af;
  p->protocol = (uint8_t)protocol;
  p->number = (uint16_t)number;
  if (type == LCPFWD_PUNT_SOCKET) snprintf(p->path, sizeof p->path, "/%u/%u/%u/%u", by, af, protocol, number);
  return p;
}

static void udp(struct frame *f, const char *dst, unsigned port) {
  frame4(f, dst, 64, 40);
  udp_ports(f, 14, 20, 5000, port);
}

static void test_sinks(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  struct lcpfwd_punt *port = sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_PORT, 4, PROTO_UDP, 9000);
  struct lcpfwd_punt *both = sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_PORT, 4, PROTO_UDP, 9001);
  struct lcpfwd_punt *host = sink(&s, LCPFWD_PUNT_HOST, LCPFWD_BY_PORT, 4, PROTO_UDP, 9001);
  sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_PROTOCOL, 4, 89, 0);
  sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_REASON, 0, 0, REASON_TTL);
  sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_REASON, 0, 0, REASON_IPSEC4_TUNNEL);
  sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_REASON, 0, 0, REASON_IPSEC4_IKE);
  apply(&s);
  udp(&f, "10.0.0.1", 9000);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL); /* instead of the host */
  CHECK(n_sent == 1 && !strcmp(sent_to[0], port->path) && sent_len[0] == f.len && counted(port).packets == 1, "%u datagrams", n_sent);
  udp(&f, "10.0.0.1", 9001);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 2 && !strcmp(sent_to[1], both->path) && counted(host).packets == 1, "both");
  udp(&f, "10.0.0.1", 9002);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  udp(&f, "10.2.0.1", 9000); /* transit is none of its business */
  CHECK(run(R.a, 0, f.at, f.len, NULL)->counter == COUNTER_FORWARD_IP4 && n_sent == 2, "transit");
  client_there = 0;
  udp(&f, "10.0.0.1", 9000);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(counted(port).drops == 1, "a client that is not there");
  client_there = 1;
  frame4(&f, "224.0.0.5", 1, 40);
  memcpy(f.at, "\x01\x00\x5e\x00\x00\x05", 6);
  f.at[23] = 89;
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 20));
  DROPS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  CHECK(n_sent == 3 && !strcmp(sent_to[2], "/3/4/89/0"), "a protocol to a group");
  frame4(&f, "10.2.0.1", 1, 40);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_TTL);
  CHECK(n_sent == 4 && !strcmp(sent_to[3], "/4/0/0/0") && R.n_made == 1, "an exception, and the answer of the data plane");
  /* behind options */
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.0.0.1", 64, 0, 44);
  f.at[14] = 0x46;
  memset(f.at + 34, 1, 4);
  udp_ports(&f, 14, 24, 5000, 9000);
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 24));
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 5, "behind options");
  /* ESP, ESP in UDP, IKE in UDP */
  static const struct {
    unsigned protocol, port, spi;
    const char *path;
  } ipsec[] = {{50, 0, 7, "/4/0/0/11"}, {PROTO_UDP, 4500, 7, "/4/0/0/11"}, {PROTO_UDP, 4500, 0, "/4/0/0/13"}};
  CHECK(REASON_IPSEC4_TUNNEL == 11 && REASON_IPSEC4_IKE == 13, "numbers");
  for (unsigned i = 0; i < 3; i++) {
    udp(&f, "10.0.0.1", ipsec[i].port);
    f.at[23] = (uint8_t)ipsec[i].protocol;
    memset(f.at + 42, 0, 4);
    f.at[45] = (uint8_t)ipsec[i].spi;
    store16(f.at + 24, 0);
    store16(f.at + 24, checksum(f.at + 14, 20));
    DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
    CHECK(!strcmp(sent_to[(n_sent - 1) % 8], ipsec[i].path), "case %u to %s", i, sent_to[(n_sent - 1) % 8]);
  }
  router_free();
}

/* A message of ICMPv6 to the router itself, of that type. */
static void icmp6(struct frame *f, unsigned type) {
  put_macs(f, 0xa1, 0xa2);
  put16(f, TYPE_IP6);
  put_ip6(f, "2001:db8:a::2", "2001:db8:a::1", 255, 40);
  f->at[20] = PROTO_ICMP6;
  f->at[54] = (uint8_t)type;
}

static void test_icmp6(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  struct lcpfwd_punt *asked = sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_ICMP6, 0, 0, 135);
  struct lcpfwd_punt *unknown = sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_ICMP6, 0, 0, 200);
  sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_PORT, 6, PROTO_UDP, 136);
  apply(&s);
  icmp6(&f, 135);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 1 && !strcmp(sent_to[0], asked->path) && sent_len[0] == f.len && counted(asked).packets == 1, "a question of ND");
  icmp6(&f, 200);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 2 && !strcmp(sent_to[1], unknown->path) && counted(unknown).bytes, "a type that nobody knows");
  icmp6(&f, 136); /* a port of UDP is no type */
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  icmp6(&f, 135); /* nor is that of another router's */
  address("2001:db8:2::9", f.at + 38);
  CHECK(run(R.a, 0, f.at, f.len, NULL)->counter == COUNTER_FORWARD_IP6 && n_sent == 2, "transit");
  client_there = 0;
  icmp6(&f, 200);
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(counted(unknown).drops == 1, "a client that is not there");
  router_free();
}

/* What comes in fragments is whole with the host alone. */
static void test_fragments(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  struct lcpfwd_punt *port = sink(&s, LCPFWD_PUNT_SOCKET, LCPFWD_BY_PORT, 4, PROTO_UDP, 9000);
  apply(&s);
  udp(&f, "10.0.0.1", 9000);
  store_be16(f.at + 20, 0x2000);
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 20));
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 0 && counted(port).drops == 1, "a first fragment");
  store_be16(f.at + 20, 0x4000);
  store16(f.at + 24, 0);
  store16(f.at + 24, checksum(f.at + 14, 20));
  DROPS(R.a, R.a, &f, COUNTER_PUNT_LOCAL);
  CHECK(n_sent == 1 && counted(port).drops == 1, "one that may not be cut");
  router_free();
}

static void redirected(unsigned in, const struct frame *f, enum counter why, unsigned out, const struct frame *want, int line) {
  uint64_t before = counter(in, why);
  struct packet *p = run(in, 0, f->at, f->len, NULL);
  CHECK(p->counter == why && p->disposition == DISPOSE_DROP && counter(in, why) == before + 1, "line %d: %s", line, lcpfwd_counter_name(p->counter));
  CHECK(R.n_made == 1, "line %d: %u made", line, R.n_made);
  made_one(0, out, want, line);
}

static void test_redirect(void) {
  begin();
  struct punts s = {0};
  struct frame f, want;
  struct lcpfwd_punt *any = record(&s, LCPFWD_PUNT_REDIRECT, 0, R.b);
  any->af = 4;
  any->flags = LCPFWD_PUNT_NEXTHOP;
  address("10.1.0.2", any->destination);
  struct lcpfwd_punt *six = record(&s, LCPFWD_PUNT_REDIRECT, 0, y);
  six->af = 6;
  apply(&s);
  frame4(&f, "10.9.9.9", 1, 40);
  mac_of(0xf1, f.at);
  want = f;
  mac_of(0xb2, want.at);
  mac_of(0xb1, want.at + 6);
  redirected(x, &f, COUNTER_PUNT_NO_ROUTE, R.b, &want, __LINE__); /* TTL 1 stays */
  put_macs(&f, 0xf1, 0x55);
  put16(&f, TYPE_IP6);
  put_ip6(&f, "2001:db8:a::2", "2001:db8:9::9", 1, 40);
  redirected(x, &f, COUNTER_PUNT_NO_ROUTE, y, &f, __LINE__);
  DROPS(y, y, &f, COUNTER_DROP_NOT_FOR_US);
  mac_of(0xf2, f.at);
  DROPS(y, y, &f, COUNTER_DROP_NO_HOST); /* not back where it came from */
  udp(&f, "10.0.0.1", 9000);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LOCAL); /* a pair's packets are its host's */
  struct lcpfwd_punt *own = record(&s, LCPFWD_PUNT_REDIRECT, x, y); /* the port's own wins */
  own->af = 4;
  own->flags = LCPFWD_PUNT_NEXTHOP;
  address("10.9.0.2", own->destination);
  apply(&s);
  frame4(&f, "10.9.9.9", 1, 40);
  mac_of(0xf1, f.at);
  uint64_t wanted = counter(y, COUNTER_NEIGHBOUR_WANTED);
  DROPS(x, x, &f, COUNTER_DROP_REDIRECT_NEIGHBOUR);
  CHECK(counter(y, COUNTER_NEIGHBOUR_WANTED) == wanted + 1 && counted(own).drops == 1, "asked for");
  own->flags |= LCPFWD_PUNT_MAC;
  mac_of(0x66, own->mac);
  apply(&s);
  want = f;
  mac_of(0x66, want.at);
  mac_of(0xf2, want.at + 6);
  redirected(x, &f, COUNTER_PUNT_NO_ROUTE, y, &want, __LINE__);
  CHECK(counted(own).packets == 1 && counted(own).drops == 1 && counted(any).packets == 1, "counters stay with their record");
  CHECK(lcpfwd_port_del(R.f, y) == 0, "delete");
  DROPS(x, x, &f, COUNTER_DROP_PUNT_DOWN);
  router_free();
}

void test_deliver(void) {
  test_sinks();
  test_icmp6();
  test_fragments();
  test_redirect();
}

/* --- policers ------------------------------------------------------------------------------------- */

static struct lcpfwd_punt *police(struct punts *s, unsigned scope, unsigned flags, uint32_t rate, uint32_t burst) {
  struct lcpfwd_punt *p = record(s, LCPFWD_PUNT_POLICE, 0, 0);
  p->scope = (uint8_t)scope;
  p->flags = (uint8_t)flags;
  p->rate = rate;
  p->burst = burst;
  return p;
}

/* n frames, one each step_ns. How many reached the host. */
static unsigned flow(unsigned in, const struct frame *f, unsigned n, uint64_t step_ns) {
  unsigned through = 0;
  for (unsigned i = 0; i < n; i++) {
    R.d.now_ns += step_ns;
    struct packet *p = run(in, 0, f->at, f->len, NULL);
    through += p->disposition == DISPOSE_HOST;
    CHECK(p->disposition == DISPOSE_HOST || p->counter == COUNTER_DROP_POLICED, "%s", lcpfwd_counter_name(p->counter));
  }
  return through;
}

static int near(uint64_t is, uint64_t want) {
  return is * 100 >= want * 98 && is * 100 <= want * 102;
}

static void test_rates(void) {
  static const uint32_t rates[] = {1, 7, 100, 999, 30000, 3000000};
  struct frame f;
  for (unsigned i = 0; i < sizeof rates / sizeof *rates; i++) {
    begin();
    struct punts s = {0};
    uint32_t ms = rates[i] < 100 ? 10000 : 100; /* a bucket of one packet loses what comes between its packets */
    struct lcpfwd_punt *p = police(&s, LCPFWD_SCOPE_IP4, 0, rates[i], ms);
    apply(&s);
    udp(&f, "10.0.0.1", 9000);
    uint32_t burst = (uint32_t)((uint64_t)rates[i] * ms / 1000);
    unsigned first = flow(R.a, &f, burst < 5000 ? burst + 10 : 5000, 0);
    CHECK(first == (burst < 5000 ? burst : 5000), "%u pps: %u at once of %u", rates[i], first, burst);
    R.d.now_ns += 3600000000000ull; /* however long: no more than the burst */
    unsigned full = flow(R.a, &f, burst < 5000 ? burst + 10 : 5000, 0);
    CHECK(full == first, "%u pps: %u after an hour", rates[i], full);
    if (burst >= 5000) R.d.now_ns += 1000000000ull;
    unsigned offered = 20000;
    uint64_t step = 1000000000ull / rates[i] / 3, before = counted(p).packets; /* three times the rate */
    if (!step) step = 1;
    flow(R.a, &f, offered, step);
    uint64_t allowed = (uint64_t)offered * step * rates[i] / 1000000000u, passed = counted(p).packets - before;
    if (burst < 5000) CHECK(near(passed, allowed), "%u pps: %llu passed, %llu allowed", rates[i], (unsigned long long)passed, (unsigned long long)allowed);
    struct lcpfwd_punt_count c = counted(p);
    CHECK(c.packets + c.drops == (uint64_t)offered + 2 * (burst < 5000 ? burst + 10 : 5000), "every packet is counted");
    CHECK(c.bytes == c.packets * (f.len - 14) && c.drop_bytes == c.drops * (f.len - 14), "and its bytes from the IP header on");
    router_free();
  }
}

static void test_kbps(void) {
  begin();
  struct punts s = {0};
  struct frame f;
  struct lcpfwd_punt *p = police(&s, LCPFWD_SCOPE_UNKNOWN, LCPFWD_PUNT_KBPS, 800, 6000); /* 100 bytes a millisecond */
  apply(&s);
  frame4(&f, "10.0.0.1", 64, 580); /* 600 bytes from the IP header on */
  udp_ports(&f, 14, 20, 5000, 9000);
  CHECK(flow(R.a, &f, 30, 0) == 10, "the burst");
  flow(R.a, &f, 5000, 1000000);
  CHECK(near(counted(p).bytes - 6000, 500000), "%llu bytes in 5 s", (unsigned long long)counted(p).bytes);
  s.record[0].burst = 599;
  apply(&s);
  R.d.now_ns += 10000000000ull;
  CHECK(flow(R.a, &f, 5, 1000000000) == 0, "a packet larger than the bucket never conforms");
  router_free();
}

/* Frames of each class, and nothing else, are what its policer counts. */
static void class_frame(unsigned scope, struct frame *f) {
  static const struct {
    unsigned scope, protocol, port;
  } upper[] = {{LCPFWD_SCOPE_ICMP, PROTO_ICMP, 0},     {LCPFWD_SCOPE_BGP, PROTO_TCP, 179},   {LCPFWD_SCOPE_OSPF, 89, 0},
               {LCPFWD_SCOPE_LDP, PROTO_UDP, 646},     {LCPFWD_SCOPE_BFD, PROTO_UDP, 3784},  {LCPFWD_SCOPE_SSH, PROTO_TCP, 22},
               {LCPFWD_SCOPE_SNMP, PROTO_UDP, 161},    {LCPFWD_SCOPE_DHCP, PROTO_UDP, 67},   {LCPFWD_SCOPE_UNKNOWN, PROTO_UDP, 9000},
               {LCPFWD_SCOPE_IP4, PROTO_UDP, 9000}};
  for (unsigned i = 0; i < sizeof upper / sizeof *upper; i++) {
    if (upper[i].scope != scope) continue;
    udp(f, "10.0.0.1", upper[i].port);
    f->at[23] = (uint8_t)upper[i].protocol;
    store16(f->at + 24, 0);
    store16(f->at + 24, checksum(f->at + 14, 20));
    return;
  }
  put_macs(f, 0xa1, 0xa2);
  if (scope == LCPFWD_SCOPE_TTL) return frame4(f, "10.2.0.1", 1, 40);
  if (scope == LCPFWD_SCOPE_ND || scope == LCPFWD_SCOPE_IP6) {
    put16(f, TYPE_IP6);
    put_ip6(f, "2001:db8:a::2", scope == LCPFWD_SCOPE_ND ? "fe80::1" : "2001:db8:a::1", 255, 40);
    if (scope == LCPFWD_SCOPE_ND) f->at[20] = PROTO_ICMP6, f->at[54] = 135;
    return;
  }
  put16(f, scope == LCPFWD_SCOPE_ARP ? TYPE_ARP : scope == LCPFWD_SCOPE_LACP ? 0x8809 : scope == LCPFWD_SCOPE_LLDP ? 0x88cc : 100);
  memcpy(f->at + 14, "\xfe\xfe\x03\x83", 4);
  f->len = 60;
}

static void test_classes(void) {
  for (unsigned scope = 0; scope < LCPFWD_SCOPES; scope++) {
    begin();
    struct punts s = {0};
    struct frame f;
    struct lcpfwd_punt *p = police(&s, scope, 0, 1, 2000); /* two at once */
    apply(&s);
    for (unsigned other = 0; other < LCPFWD_SCOPES; other++) {
      int inside = other == scope || (scope == LCPFWD_SCOPE_UNKNOWN && (other == LCPFWD_SCOPE_IP4 || other == LCPFWD_SCOPE_IP6));
      if (scope == LCPFWD_SCOPE_IP4 || scope == LCPFWD_SCOPE_IP6) break; /* below */
      if (inside && other != scope) continue;
      class_frame(other, &f);
      CHECK(flow(R.a, &f, 5, 0) == (inside ? 2 : 5), "policer %u, frame of %u", scope, other);
    }
    if (scope == LCPFWD_SCOPE_IP4 || scope == LCPFWD_SCOPE_IP6) {
      class_frame(scope, &f);
      CHECK(flow(R.a, &f, 5, 0) == 2, "family %u", scope);
      class_frame(scope == LCPFWD_SCOPE_IP4 ? LCPFWD_SCOPE_IP6 : LCPFWD_SCOPE_IP4, &f);
      CHECK(flow(R.a, &f, 5, 0) == 5, "the other family");
      class_frame(LCPFWD_SCOPE_ARP, &f);
      CHECK(flow(R.a, &f, 5, 0) == 5, "ARP is of no family");
    }
    CHECK(counted(p).packets == 2 && counted(p).drops == 3, "policer %u: %llu and %llu", scope, (unsigned long long)counted(p).packets,
          (unsigned long long)counted(p).drops);
    /* what stays as it is keeps its bucket; another rate begins full */
    class_frame(scope, &f);
    sink(&s, LCPFWD_PUNT_HOST, LCPFWD_BY_REASON, 0, 0, 3);
    apply(&s);
    CHECK(flow(R.a, &f, 5, 0) == 0, "the same bucket");
    s.record[0].burst = 3000;
    apply(&s);
    CHECK(flow(R.a, &f, 5, 0) == 3, "a new one");
    router_free();
  }
}

void test_police(void) {
  test_rates();
  test_kbps();
  test_classes();
}
