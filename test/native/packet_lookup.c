/* packet_lookup.c - legs that are looked up once more: IP and labels into the tables of a VRF.
 *
 * VRF tables red4, red6: 10.70.0.0/16 and 2001:db8:70::/48 by B. blue4 leads back to itself. A takes labels:
 * 200 is popped into red, 201 into blue, 202 into a chain of three lookups, 203 into one of four.
 */
#include "packet_frames.h"

#define NOBODY "10.79.0.1"

static uint32_t red4, red6, blue4, labels;
static struct frame f, want;

static uint32_t table(const char *name, unsigned af) {
  int32_t id = lcpfwd_table_add(R.f, af, name);
  CHECK(id > 0, "table %s: %d", name, id);
  return (uint32_t)id;
}

static struct lcpfwd_path into(uint32_t t4, uint32_t t6) {
  return (struct lcpfwd_path){.weight = 1, .flags = LCPFWD_PATH_LOOKUP, .tables4 = {(uint16_t)t4}, .tables6 = {(uint16_t)t6}};
}

static uint32_t list(const struct lcpfwd_path *path, unsigned n) {
  int32_t id = lcpfwd_pathlist_set(R.f, 0, path, n);
  CHECK(id >= (int)LCPFWD_PL_FIRST, "path list: %d", id);
  return (uint32_t)id;
}

static uint32_t lookup_list(uint32_t t4, uint32_t t6) {
  struct lcpfwd_path p = into(t4, t6);
  return list(&p, 1);
}

static void route_in(uint32_t t, const char *prefix, unsigned plen, uint32_t target) {
  struct lcpfwd_route r = {.table = t, .plen = (uint8_t)plen, .pathlist = target};
  int32_t result;
  address(prefix, r.addr);
  CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "route %s: %d", prefix, result);
}

static void label_to(uint32_t label, uint32_t target) {
  struct lcpfwd_route r = {.table = labels, .plen = 20, .pathlist = target};
  int32_t result;
  store_be16(r.addr, label >> 4);
  r.addr[2] = (uint8_t)(label << 4);
  CHECK(lcpfwd_routes_apply(R.f, &r, 1, &result) == 0, "label %u: %d", label, result);
}

static uint32_t labelled_leg(unsigned out, const char *nh, unsigned ttl, uint32_t label) {
  struct lcpfwd_path p = {.port = (uint16_t)out, .weight = 1, .labels = 1, .ttl = (uint8_t)ttl, .label = {label}};
  p.af = (uint8_t)address(nh, p.nh);
  return list(&p, 1);
}

/* t4's 10.72.0.0/16 leads to a chain of n lookups; the last of them finds B. */
static uint32_t chain(unsigned n) {
  uint32_t at = 0, to = via(R.b, "10.1.0.2");
  for (unsigned i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof name, "chain%u/%u", n, i);
    at = table(name, 4);
    route_in(at, "10.72.0.0", 16, to);
    to = lookup_list(at, 0);
  }
  return to;
}

static void ip4(const char *dst, unsigned ttl, unsigned field, unsigned payload) {
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", dst, ttl, field, payload);
}

static void out4(const char *dst, unsigned ttl, unsigned payload) {
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_IP4);
  put_ip4(&want, "10.0.0.2", dst, ttl, 0, payload);
}

/* From A's neighbour: label over an IPv4 packet. */
static void popped4(uint32_t label, unsigned ttl, const char *dst, unsigned own, unsigned payload) {
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_MPLS);
  put_label(&f, label, 0, 1, ttl);
  put_ip4(&f, "10.0.0.2", dst, own, 0, payload);
}

static void popped6(uint32_t label, unsigned ttl, const char *src, const char *dst, unsigned own, unsigned payload) {
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_MPLS);
  put_label(&f, label, 0, 1, ttl);
  put_ip6(&f, src, dst, own, payload);
}

static void test_ip(void) {
  for (unsigned ttl = 2; ttl < 256; ttl += 11) {
    ip4("10.70.0.1", ttl, 0, 40);
    out4("10.70.0.1", ttl - 1, 40); /* once, not once a lookup */
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
    put_macs(&f, 0xa1, 0xa2);
    put16(&f, TYPE_IP6);
    put_ip6(&f, "2001:db8:a::2", "2001:db8:70::1", ttl, 40);
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_IP6);
    put_ip6(&want, "2001:db8:a::2", "2001:db8:70::1", ttl - 1, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP6, R.b, &want);
  }
  ip4("10.1.0.2", 64, 0, 40); /* attached, found in red only */
  route_to("10.1.0.2", 32, lookup_list(red4, red6));
  out4("10.1.0.2", 63, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  ip4("10.70.8.1", 64, 0, 40); /* labels at the end of the way */
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_MPLS);
  put_label(&want, 77, 0, 1, 63);
  put_ip4(&want, "10.0.0.2", "10.70.8.1", 63, 0, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  static const struct { const char *to; enum counter why; unsigned answers; } told[] = {
      {"10.70.1.1", COUNTER_PUNT_LOCAL, 0}, {"10.70.2.1", COUNTER_PUNT_UNREACHABLE, 1}, {"10.70.3.1", COUNTER_PUNT_PROHIBIT, 1},
      {"10.70.4.1", COUNTER_PUNT_KERNEL, 0}, {"10.70.5.1", COUNTER_PUNT_NO_NEIGHBOUR, 0}, {NOBODY, COUNTER_PUNT_NO_ROUTE, 1},
      {"10.70.7.1", COUNTER_PUNT_NO_ROUTE, 1},
  };
  for (unsigned i = 0; i < sizeof told / sizeof *told; i++) {
    ip4(told[i].to, 64, 0, 40);
    PUNTS(R.a, R.a, &f, told[i].why);
    CHECK(R.n_made == told[i].answers, "%s: %u answers", told[i].to, R.n_made);
  }
  ip4("10.70.6.1", 64, 0, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_BLACKHOLE);
  ip4("10.70.0.1", 1, 0, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_TTL);
  CHECK(R.n_made == 1, "no answer to a TTL");
  ip4("10.70.0.1", 64, 0x4000, 1600);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_TOO_BIG);
  ip4("10.70.0.1", 64, 0, 1600);
  becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_IP4, DISPOSE_DROP, 0, __LINE__);
  CHECK(R.n_made == 2, "%u fragments", R.n_made);
}

static void test_loops(void) {
  ip4("10.71.0.1", 64, 0, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_LOOKUP_LOOP);
  CHECK(R.n_made == 0, "an answer to a loop");
  popped4(201, 64, "10.71.0.1", 9, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_LOOKUP_LOOP);
  route_to("10.72.0.0", 16, chain(LCPFWD_LOOKUP_DEPTH));
  ip4("10.72.0.1", 64, 0, 40);
  out4("10.72.0.1", 63, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  popped4(202, 64, "10.72.0.1", 9, 40);
  out4("10.72.0.1", 63, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  route_to("10.72.0.0", 16, chain(LCPFWD_LOOKUP_DEPTH + 1));
  ip4("10.72.0.1", 64, 0, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_LOOKUP_LOOP);
  popped4(203, 64, "10.72.0.1", 9, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_LOOKUP_LOOP);
}

static void test_labels(void) {
  for (unsigned ttl = 2; ttl < 256; ttl += 23) {
    popped4(200, ttl, "10.70.0.1", 9, 40);
    out4("10.70.0.1", ttl - 1, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
    popped6(200, ttl, "2001:db8:a::2", "2001:db8:70::1", 200, 40);
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_IP6);
    put_ip6(&want, "2001:db8:a::2", "2001:db8:70::1", ttl - 1, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
    popped4(200, ttl, "10.70.8.1", 9, 4); /* out with another label; padding stays behind */
    f.len += 3;
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_MPLS);
    put_label(&want, 77, 0, 1, ttl - 1);
    put_ip4(&want, "10.0.0.2", "10.70.8.1", ttl - 1, 0, 4);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
    popped4(200, ttl, "10.70.9.1", 9, 4); /* pipe: the pushed label's TTL is the leg's */
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_MPLS);
    put_label(&want, 78, 0, 1, 5);
    put_ip4(&want, "10.0.0.2", "10.70.9.1", ttl - 1, 0, 4);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  }
  popped4(200, 64, "10.70.10.1", 9, 40);
  struct packet *p = becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_MPLS, DISPOSE_PHY, R.t, __LINE__);
  CHECK(p->len == 60 && p->data[0] == 0x45 && p->data[8] == 63, "out of a TUN");
  struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 38, .csum_offset = 6, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                             .gso_size = 1400, .hdr_len = 58};
  popped4(200, 64, "10.70.0.1", 33, 2000);
  p = run(R.a, 0, f.at, f.len, &h);
  CHECK(p->counter == COUNTER_FORWARD_MPLS && p->vnet.csum_start == 34 && p->vnet.hdr_len == 54, "GSO: %u", p->vnet.csum_start);
  h.gso_size = 1480;
  CHECK(run(R.a, 0, f.at, f.len, &h)->counter == COUNTER_PUNT_MPLS_TOO_BIG, "GSO that does not fit");
}

static void test_labels_up(void) {
  static const struct { const char *to; enum counter why; } told[] = {
      {"10.70.1.1", COUNTER_PUNT_LOCAL}, {"10.70.2.1", COUNTER_PUNT_UNREACHABLE}, {"10.70.3.1", COUNTER_PUNT_PROHIBIT},
      {"10.70.4.1", COUNTER_PUNT_KERNEL}, {"10.70.5.1", COUNTER_PUNT_NO_NEIGHBOUR}, {NOBODY, COUNTER_PUNT_NO_ROUTE},
      {"10.70.7.1", COUNTER_PUNT_NO_ROUTE}, {"224.0.0.5", COUNTER_PUNT_MULTICAST}, {"239.1.1.1", COUNTER_PUNT_MULTICAST},
      {"255.255.255.255", COUNTER_PUNT_BROADCAST},
  };
  for (unsigned i = 0; i < sizeof told / sizeof *told; i++) {
    popped4(200, 64, told[i].to, 9, 40);
    PUNTS(R.a, R.a, &f, told[i].why);
    CHECK(R.n_made == 0, "an ICMP error from inside a tunnel");
  }
  popped4(200, 64, "10.70.6.1", 9, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_BLACKHOLE);
  popped4(200, 64, "127.0.0.1", 9, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_MARTIAN);
  popped6(200, 64, "2001:db8:a::2", "fe80::1", 9, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_LINK_LOCAL);
  popped6(200, 64, "2001:db8:a::2", "ff02::1", 9, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  popped6(200, 64, "fe80::9", "2001:db8:70::1", 9, 40);
  DROPS(R.a, R.a, &f, COUNTER_DROP_SCOPE);
  for (unsigned ttl = 0; ttl < 2; ttl++) {
    popped4(200, ttl, "10.70.0.1", 64, 40);
    PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_TTL);
  }
  popped4(200, 64, "10.70.0.1", 9, 1481);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_TOO_BIG);
  popped4(200, 64, "10.70.0.1", 9, 40);
  f.at[14 + 2] &= 0xfe; /* not the bottom of the stack */
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_KERNEL);
  popped4(200, 64, "10.70.0.1", 9, 40);
  f.at[18 + 10] ^= 1;
  DROPS(R.a, R.a, &f, COUNTER_DROP_CHECKSUM);
  for (unsigned len = 18; len < 18 + 60; len++) {
    popped4(200, 64, "10.70.0.1", 9, 40);
    f.len = len;
    DROPS(R.a, R.a, &f, COUNTER_DROP_MALFORMED);
  }
}

/* Legs by weight, and flows spread over the legs of the second list as evenly as over the first. */
static void test_legs(void) {
  struct lcpfwd_path inner[2] = {{.port = (uint16_t)R.b, .weight = 1, .af = 4, .nh = {10, 1, 0, 2}},
                                 {.port = (uint16_t)R.s, .weight = 1, .af = 4, .nh = {10, 9, 0, 2}}};
  struct lcpfwd_path outer[2] = {into(red4, red6), {.weight = 1, .flags = LCPFWD_PATH_PUNT}};
  unsigned by_b = 0, by_s = 0, up = 0;
  route_in(red4, "10.73.0.0", 16, list(inner, 2));
  uint32_t both = list(outer, 2);
  route_to("10.73.0.0", 16, both);
  label_to(204, both);
  for (unsigned i = 0; i < 4000; i++) {
    char dst[32];
    snprintf(dst, sizeof dst, "10.73.%u.%u", i >> 8, i & 255);
    unsigned was = 0;
    for (unsigned again = 0; again < 2; again++) {
      if (i % 2) popped4(204, 64, dst, 64, 40);
      else ip4(dst, 64, 0, 40);
      struct packet *p = run(R.a, 0, f.at, f.len, NULL);
      CHECK(p->counter == COUNTER_PUNT_KERNEL || p->counter == (i % 2 ? COUNTER_FORWARD_MPLS : COUNTER_FORWARD_IP4), "flow %u: %s", i,
            lcpfwd_counter_name(p->counter));
      CHECK(!again || was == p->out_port, "flow %u changes its leg", i);
      was = p->out_port;
    }
    *(was == R.b ? &by_b : was == R.s ? &by_s : &up) += 1;
  }
  CHECK(up > 1700 && up < 2300 && by_b > 800 && by_b < 1200 && by_s > 800 && by_s < 1200, "shares %u %u %u", up, by_b, by_s);
}

static int32_t set(uint32_t id, uint32_t t4, uint32_t t6) {
  struct lcpfwd_path p = into(t4, t6);
  return lcpfwd_pathlist_set(R.f, id, &p, 1);
}

/* The name of a leg's table outlasts the table, and nobody else gets its id. */
static void test_tables(void) {
  char name[128];
  uint32_t af, routes, green = (uint32_t)lcpfwd_table_name(R.f, 4, "green/4"), id = lookup_list(green, 0);
  struct lcpfwd_info before, after;
  route_to("10.74.0.0", 16, id);
  CHECK(lcpfwd_table_get(R.f, green, &af, name, &routes) == 1 && af == 4 && !strcmp(name, "green/4") && routes == 0, "a name alone");
  CHECK(lcpfwd_table_name(R.f, 4, "green/4") == (int32_t)green && lcpfwd_table_name(R.f, 6, "green/4") != (int32_t)green, "the name again");
  for (unsigned round = 0; round < 3; round++) {
    ip4("10.74.0.1", 64, 0, 40);
    PUNTS(R.a, R.a, &f, COUNTER_PUNT_NO_ROUTE);
    lcpfwd_info(R.f, &before);
    CHECK(table("green/4", 4) == green, "another id");
    lcpfwd_info(R.f, &after);
    CHECK(after.tables == before.tables + 1, "%u tables, then %u", before.tables, after.tables);
    route_in(green, "10.74.0.0", 16, via(R.b, "10.1.0.2"));
    out4("10.74.0.1", 63, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
    CHECK(lcpfwd_table_del(R.f, green) == 0 && lcpfwd_table_del(R.f, green) == 0, "delete");
    qsbr_quiescent(R.d.region, 0);
    for (unsigned i = 0; i < 4; i++) { /* these look for a free id; one would lead 10.74 astray */
      snprintf(name, sizeof name, "other%u/4", round * 4 + i);
      uint32_t other = table(name, 4);
      CHECK(other != green, "the id was given to another");
      route_in(other, "10.74.0.0", 16, via(R.s, "10.9.0.2"));
      qsbr_quiescent(R.d.region, 0);
    }
  }
  struct lcpfwd_path p;
  CHECK(lcpfwd_pathlist_get(R.f, id, &p, 1, &routes) == 1 && p.flags == LCPFWD_PATH_LOOKUP && p.labels == 0 && p.tables4[0] == green && !p.tables4[1] && !p.tables6[0], "legs read");
  CHECK(set(id, red4, 0) == (int32_t)id, "replace");
  CHECK(lcpfwd_table_get(R.f, green, &af, name, &routes) == -ENOENT, "the last leg has gone, the name has not");
  for (unsigned i = 0; i < 3; i++) qsbr_quiescent(R.d.region, 0), lcpfwd_table_del(R.f, 4000);
  CHECK(set(0, green, 0) == -EINVAL, "a leg that names nothing");
  uint32_t unused = (uint32_t)lcpfwd_table_name(R.f, 6, "unused/6");
  CHECK(lcpfwd_table_get(R.f, unused, &af, name, &routes) == 1 && lcpfwd_table_del(R.f, unused) == 0 && lcpfwd_table_get(R.f, unused, &af, name, &routes) == -ENOENT, "unused");
}

static void test_refused(void) {
  struct lcpfwd_path good = into(red4, red6);
  good.tables4[1] = (uint16_t)R.table4;
  for (unsigned i = 0; i < 10; i++) {
    struct lcpfwd_path bad = good;
    if (i == 0) bad.tables4[0] = (uint16_t)red6;
    if (i == 1) bad.tables6[0] = (uint16_t)red4;
    if (i == 2) bad.tables4[2] = 4095;
    if (i == 3) bad.tables4[2] = 65535;
    if (i == 4) bad.tables4[0] = 0; /* a gap */
    if (i == 5) bad.tables6[4] = (uint16_t)red6;
    if (i == 6) bad.port = (uint16_t)R.b;
    if (i == 7) bad.labels = 1;
    if (i == 8) bad.flags |= LCPFWD_PATH_PUNT;
    if (i == 9) bad.tables6[0] = (uint16_t)labels;
    CHECK(lcpfwd_pathlist_set(R.f, 0, &bad, 1) == -EINVAL, "bad leg %u", i);
  }
  uint32_t id = list(&good, 1), none = lookup_list(0, 0), routes;
  struct lcpfwd_path p;
  CHECK(lcpfwd_pathlist_get(R.f, id, &p, 1, &routes) == 1 && !memcmp(&p, &good, sizeof p), "legs read");
  route_to("10.75.0.0", 16, none);
  ip4("10.75.0.1", 64, 0, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_NO_ROUTE);
  CHECK(lcpfwd_pathlist_del(R.f, id) == 0, "delete");
}

void test_lookup(void) {
  router_make();
  red4 = table("red/4", 4);
  red6 = table("red/6", 6);
  blue4 = table("blue/4", 4);
  labels = table("test/mpls/0", LCPFWD_AF_MPLS);
  struct lcpfwd_port p = port_now(R.a);
  p.mpls = labels;
  CHECK(lcpfwd_port_set(R.f, R.a, &p) == 0, "port_set");
  uint32_t red = lookup_list(red4, red6), blue = lookup_list(blue4, 0);
  route_in(red4, "10.70.0.0", 16, via(R.b, "10.1.0.2"));
  route_in(red6, "2001:db8:70::", 48, via(R.b, "2001:db8:b::2"));
  route_in(red4, "10.1.0.0", 24, via(R.b, NULL));
  route_in(red4, "10.70.1.0", 24, LCPFWD_PL_LOCAL);
  route_in(red4, "10.70.2.0", 24, LCPFWD_PL_UNREACHABLE);
  route_in(red4, "10.70.3.0", 24, LCPFWD_PL_PROHIBIT);
  route_in(red4, "10.70.4.0", 24, LCPFWD_PL_PUNT);
  route_in(red4, "10.70.5.0", 24, via(R.b, "10.1.0.77"));
  route_in(red4, "10.70.6.0", 24, LCPFWD_PL_BLACKHOLE);
  route_in(red4, "10.70.7.0", 24, LCPFWD_PL_THROW);
  route_in(red4, "10.70.8.0", 24, labelled_leg(R.b, "10.1.0.2", 0, 77));
  route_in(red4, "10.70.9.0", 24, labelled_leg(R.b, "10.1.0.2", 5, 78));
  route_in(red4, "10.70.10.0", 24, via(R.t, NULL));
  route_in(blue4, "10.71.0.0", 16, blue);
  route_to("10.70.0.0", 16, red);
  route_to("10.79.0.0", 16, red);
  route_to("2001:db8:70::", 48, red);
  route_to("10.71.0.0", 16, blue);
  label_to(200, red);
  label_to(201, blue);
  label_to(202, chain(3));
  label_to(203, chain(4));
  test_ip();
  test_loops();
  test_labels();
  test_labels_up();
  test_legs();
  test_tables();
  test_refused();
  router_free();
}
