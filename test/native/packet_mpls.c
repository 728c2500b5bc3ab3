/* packet_mpls.c - labels: swapped, popped, pushed, across and up, byte for byte.
 *
 *   A takes labels    V = A.100 does too    W = B, 802.1ad 200, 802.1Q 7, MTU 1400    B does not
 */
#include "packet_frames.h"

#define SEEN_TTL 60u

static unsigned v, w;
static uint32_t labels;
static struct frame f, want;

static uint32_t list(unsigned out, const char *nh, unsigned ttl, unsigned n, const uint32_t *label) {
  struct lcpfwd_path path = {.port = (uint16_t)out, .weight = 1, .labels = (uint8_t)n, .ttl = (uint8_t)ttl};
  if (nh) path.af = (uint8_t)address(nh, path.nh);
  memcpy(path.label, label, n * sizeof *label);
  int32_t id = lcpfwd_pathlist_set(R.f, 0, &path, 1);
  CHECK(id >= (int)LCPFWD_PL_FIRST, "path list: %d", id);
  return (uint32_t)id;
}
#define LIST(out, nh, ttl, ...) list(out, nh, ttl, sizeof (uint32_t[]){__VA_ARGS__} / 4, (uint32_t[]){__VA_ARGS__})
#define POP(out, nh, ttl) list(out, nh, ttl, 0, (uint32_t[]){0})

static int32_t label_route(uint32_t label, unsigned plen, uint32_t target) {
  struct lcpfwd_route r = {.table = labels, .pathlist = target, .plen = (uint8_t)plen};
  int32_t result;
  store_be16(r.addr, label >> 4);
  r.addr[2] = (uint8_t)(label << 4);
  lcpfwd_routes_apply(R.f, &r, 1, &result);
  return result;
}

static void routes(void) {
  struct { uint32_t label, to; } all[] = {
      {100, LIST(R.b, "10.1.0.2", 0, 200)},
      {101, LIST(R.b, "2001:db8:b::2", 0, 300, 301, 1048575)},
      {102, POP(R.b, "10.1.0.2", 0)},
      {103, POP(R.b, "10.1.0.2", 255)},
      {104, LCPFWD_PL_PUNT},
      {105, LCPFWD_PL_BLACKHOLE},
      {106, LIST(R.b, "10.1.0.77", 0, 200)},
      {107, POP(R.b, NULL, 0)},
      {108, LIST(w, "10.31.0.2", 0, 16, 17)},
      {109, POP(R.t, NULL, 0)},
      {110, LCPFWD_PL_UNREACHABLE},
      {111, LIST(R.s, "10.9.0.2", 0, 500, 501)},
      {112, LIST(R.b, "10.1.0.2", 9, 200)},
      {1, POP(R.b, "10.1.0.2", 0)},
      {1048575, LIST(R.b, "10.1.0.2", 0, 1048575)},
  };
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) CHECK(label_route(all[i].label, 20, all[i].to) == 0, "label %u", all[i].label);
}

/* From A's neighbour, with a stack: labels from the top, 0 ends it, the last is the bottom. */
static void labelled(struct frame *to, unsigned dst, unsigned src, unsigned ttl, const uint32_t *label, unsigned n) {
  put_macs(to, dst, src);
  put16(to, TYPE_MPLS);
  for (unsigned i = 0; i < n; i++) put_label(to, label[i], 0, i == n - 1, i ? SEEN_TTL : ttl);
}
#define IN(ttl, ...) labelled(&f, 0xa1, 0xa2, ttl, (uint32_t[]){__VA_ARGS__}, sizeof (uint32_t[]){__VA_ARGS__} / 4)
#define OUT(ttl, ...) labelled(&want, 0xb2, 0xb1, ttl, (uint32_t[]){__VA_ARGS__}, sizeof (uint32_t[]){__VA_ARGS__} / 4)

static void ip(struct frame *to, unsigned ttl, unsigned payload) { put_ip4(to, "10.0.0.2", "10.99.0.1", ttl, 0, payload); }

static void test_swap(void) {
  for (unsigned ttl = 2; ttl < 256; ttl++) {
    IN(ttl, 100);
    ip(&f, 33, 40);
    f.at[14 + 2] |= 0x0e; /* a traffic class, which goes no further */
    OUT(ttl - 1, 200);
    ip(&want, 33, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  }
  IN(64, 100, 17);
  ip(&f, 33, 40);
  OUT(63, 200, 17); /* what lies below is not looked at */
  ip(&want, 33, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  IN(64, 112);
  OUT(63, 200); /* a TTL of the leg's is for what is pushed, not for what is swapped */
  ip(&f, 33, 40);
  ip(&want, 33, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  IN(64, 1048575);
  OUT(63, 1048575);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want); /* nothing at all below */
  IN(64, 101);
  put_ip6(&f, "2001:db8:a::2", "2001:db8:2::7", 9, 30);
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_MPLS);
  for (unsigned i = 0; i < 3; i++) put_label(&want, (uint32_t[]){300, 301, 1048575}[i], 0, i == 2, 63);
  put_ip6(&want, "2001:db8:a::2", "2001:db8:2::7", 9, 30);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
}

static void test_pop(void) {
  for (unsigned pipe = 0; pipe < 2; pipe++)
    for (unsigned own = 0; own < 256; own += 51) {
      IN(64, 102 + pipe);
      ip(&f, own, 40);
      put_macs(&want, 0xb2, 0xb1);
      put16(&want, TYPE_IP4);
      ip(&want, pipe ? (own ? own - 1 : 0) : 63, 40);
      FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
      IN(64, 102 + pipe);
      put_ip6(&f, "2001:db8:a::2", "2001:db8:2::7", own, 30);
      put_macs(&want, 0xb2, 0xb1);
      put16(&want, TYPE_IP6);
      put_ip6(&want, "2001:db8:a::2", "2001:db8:2::7", pipe ? (own ? own - 1 : 0) : 63, 30);
      FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
      IN(64, 102 + pipe, 17);
      f.at[14 + 4 + 3] = (uint8_t)own;
      ip(&f, 7, 40);
      OUT(pipe ? (own ? own - 1 : 0) : 63, 17);
      ip(&want, 7, 40);
      FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
    }
  IN(64, 102); /* padding of a short frame stays behind */
  ip(&f, 33, 10);
  f.len = 60;
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_IP4);
  ip(&want, 63, 10);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  IN(64, 109);
  ip(&f, 33, 10);
  struct packet *p = becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_MPLS, DISPOSE_PHY, R.t, __LINE__);
  CHECK(p->len == 30 && p->data[0] == 0x45 && p->data[8] == 63, "out of a TUN");
  IN(64, 109, 17);
  ip(&f, 33, 10);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_KERNEL);
}

/* What the checksum and the cut are to start at moves with the headers. */
static void test_offload(void) {
  struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 38, .csum_offset = 6, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                             .gso_size = 1400, .hdr_len = 58};
  IN(64, 102);
  ip(&f, 33, 2000);
  struct packet *p = run(R.a, 0, f.at, f.len, &h);
  CHECK(p->counter == COUNTER_FORWARD_MPLS && p->vnet.csum_start == 34 && p->vnet.hdr_len == 54, "pop: %u", p->vnet.csum_start);
  h = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 38, .csum_offset = 6};
  IN(64, 101);
  ip(&f, 33, 1000);
  p = run(R.a, 0, f.at, f.len, &h);
  CHECK(p->counter == COUNTER_FORWARD_MPLS && p->vnet.csum_start == 46, "swap: %u", p->vnet.csum_start);
  h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
  h.gso_size = 1480; /* the pieces with two more labels are longer than 1500 */
  CHECK(run(R.a, 0, f.at, f.len, &h)->counter == COUNTER_PUNT_MPLS_TOO_BIG, "GSO swap");
}

static void test_up(void) {
  IN(1, 100);
  ip(&f, 33, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_TTL);
  IN(0, 102);
  ip(&f, 33, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_TTL);
  static const struct { uint32_t label; enum counter why; } told[] = {
      {99, COUNTER_PUNT_MPLS_NO_LABEL}, {0, COUNTER_PUNT_MPLS_NO_LABEL}, {2, COUNTER_PUNT_MPLS_NO_LABEL}, {14, COUNTER_PUNT_MPLS_NO_LABEL},
      {1600, COUNTER_PUNT_MPLS_NO_LABEL}, {104, COUNTER_PUNT_KERNEL}, {106, COUNTER_PUNT_NO_NEIGHBOUR}, {107, COUNTER_PUNT_KERNEL},
      {110, COUNTER_PUNT_KERNEL},
  };
  for (unsigned i = 0; i < sizeof told / sizeof *told; i++) {
    IN(64, told[i].label);
    ip(&f, 33, 40);
    PUNTS(R.a, R.a, &f, told[i].why);
  }
  CHECK(R.n_made == 0, "an ICMP error from inside a tunnel");
  IN(64, 105);
  DROPS(R.a, R.a, &f, COUNTER_DROP_BLACKHOLE);
  IN(64, 100);
  mac_of(0xb1, f.at);
  PUNTS(R.b, R.b, &f, COUNTER_PUNT_MPLS);
  mac_of(0x99, f.at);
  DROPS(R.a, R.a, &f, COUNTER_DROP_NOT_FOR_US);
  memcpy(f.at, "\x01\x00\x5e\x80\x00\x01", 6);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MULTICAST);
  IN(64, 111);
  ip(&f, 33, 1280 - 8 - 20);
  want = f;
  becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_MPLS, DISPOSE_PHY, R.s, __LINE__);
  IN(64, 111);
  ip(&f, 33, 1280 - 8 - 20 + 1);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_TOO_BIG);
}

static void test_malformed(void) {
  for (unsigned cut = 0; cut < 4; cut++) {
    IN(64, 100);
    f.len = 14 + cut;
    DROPS(R.a, R.a, &f, COUNTER_DROP_RUNT);
    IN(64, 102, 17); /* the stack says that it goes on, the frame does not */
    f.len = 18 + cut;
    DROPS(R.a, R.a, &f, COUNTER_DROP_MALFORMED);
  }
  for (unsigned wrong = 0; wrong < 6; wrong++) {
    IN(64, 102);
    if (wrong < 4) ip(&f, 33, 40);
    else put_ip6(&f, "2001:db8:a::2", "2001:db8:2::7", 9, 30);
    if (wrong == 0) f.at[18] = 0x35; /* no version of IP */
    if (wrong == 1) f.at[18] = 0x44; /* header of 16 bytes */
    if (wrong == 2) f.at[20] = 1;    /* longer than the frame */
    if (wrong == 3) f.len = 18 + 19;
    if (wrong == 4) f.len = 18 + 39;
    if (wrong == 5) f.at[23]++;
    DROPS(R.a, R.a, &f, COUNTER_DROP_MALFORMED);
    f.at[14 + 1] = 0x06; /* swapped to 200 all the same: nobody looks there */
    f.at[14 + 2] = 0x41;
    becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_MPLS, DISPOSE_PHY, R.b, __LINE__);
  }
}

static void test_push(void) {
  for (unsigned ttl = 2; ttl < 256; ttl++) {
    put_macs(&f, 0xa1, 0xa2);
    put16(&f, TYPE_IP4);
    put_ip4(&f, "10.0.0.2", "10.60.0.1", ttl, 0, 40);
    put_macs(&want, 0xb2, 0xb1);
    put16(&want, TYPE_MPLS);
    put_label(&want, 16, 0, 0, ttl - 1);
    put_label(&want, 1048575, 0, 1, ttl - 1);
    put_ip4(&want, "10.0.0.2", "10.60.0.1", ttl - 1, 0, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
  }
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP6);
  put_ip6(&f, "2001:db8:a::2", "2001:db8:60::1", 64, 40);
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_MPLS);
  put_label(&want, 18, 0, 1, 9); /* pipe: the TTL that the leg says */
  put_ip6(&want, "2001:db8:a::2", "2001:db8:60::1", 63, 40);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP6, R.b, &want);
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.62.0.1", 64, 0, 4);
  put_macs(&want, 0xb2, 0xb1);
  put16(&want, TYPE_MPLS);
  for (unsigned i = 0; i < 8; i++) put_label(&want, 21 + i, 0, i == 7, 63);
  put_ip4(&want, "10.0.0.2", "10.62.0.1", 63, 0, 4);
  FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_IP4, R.b, &want);
}

/* In and out by tags: labels are behind them. */
static void test_tags(void) {
  put_macs(&f, 0xa1, 0xa2);
  put_tag(&f, TYPE_VLAN, 100);
  put16(&f, TYPE_MPLS);
  put_label(&f, 108, 5, 1, 64);
  ip(&f, 33, 40);
  put_macs(&want, 0xb8, 0xb7);
  put_tag(&want, TYPE_QINQ, 200);
  put_tag(&want, TYPE_VLAN, 7);
  put16(&want, TYPE_MPLS);
  put_label(&want, 16, 0, 0, 63);
  put_label(&want, 17, 0, 1, 63);
  ip(&want, 33, 40);
  uint64_t sent = counter(w, COUNTER_TX_BYTES);
  FORWARDS(R.a, v, &f, COUNTER_FORWARD_MPLS, R.b, &want);
  CHECK(counter(w, COUNTER_TX_BYTES) == sent + want.len, "not counted");
  put_macs(&f, 0xb7, 0xb8);
  put_tag(&f, TYPE_QINQ, 200);
  put_tag(&f, TYPE_VLAN, 7);
  put16(&f, TYPE_MPLS);
  put_label(&f, 100, 5, 1, 64);
  PUNTS(R.b, w, &f, COUNTER_PUNT_MPLS);
  put_macs(&f, 0xb8, 0xb7); /* what the host sends has found its neighbour: across as IP would */
  put_tag(&f, TYPE_QINQ, 200);
  put_tag(&f, TYPE_VLAN, 7);
  put16(&f, TYPE_MPLS);
  put_label(&f, 100, 5, 1, 64);
  struct packet *p = CROSSES(R.b, w, &f, COUNTER_XCONNECT_UNICAST);
  CHECK(adj_get(R.d.region, p->adjacency)->port == w, "the adjacency of another");
  put_macs(&f, 0xb2, 0xb1);
  put16(&f, TYPE_MPLS);
  put_label(&f, 100, 5, 1, 64);
  CROSSES(R.b, R.b, &f, COUNTER_XCONNECT_UNICAST);
}

/* Legs by weight: flows keep to one, the share without a port is the kernel's. */
static void test_legs(void) {
  struct lcpfwd_path path[3] = {{.port = (uint16_t)R.b, .weight = 1, .af = 4, .nh = {10, 1, 0, 2}, .labels = 1, .label = {201}},
                                {.weight = 1, .flags = LCPFWD_PATH_PUNT},
                                {.port = (uint16_t)R.b, .weight = 2, .af = 4, .nh = {10, 1, 0, 2}}};
  unsigned seen[3] = {0};
  int32_t id = lcpfwd_pathlist_set(R.f, 0, path, 3);
  CHECK(id > 0, "path list: %d", id);
  route_to("10.63.0.0", 16, (uint32_t)id);
  CHECK(label_route(120, 20, (uint32_t)id) == 0, "label");
  for (unsigned i = 0; i < 4000; i++) {
    char dst[32];
    unsigned was = 9;
    snprintf(dst, sizeof dst, "10.63.%u.%u", i >> 8, i & 255);
    for (unsigned again = 0; again < 2; again++) {
      unsigned with_label = i % 2;
      put_macs(&f, 0xa1, 0xa2);
      put16(&f, with_label ? TYPE_MPLS : TYPE_IP4);
      if (with_label) put_label(&f, 120, 0, 1, 64);
      put_ip4(&f, "10.0.0.2", dst, 64, 0, 40);
      struct packet *p = run(R.a, 0, f.at, f.len, NULL);
      unsigned which = p->counter == COUNTER_PUNT_KERNEL ? 1 : load_be16(p->data + 12) == TYPE_MPLS ? 0 : 2;
      CHECK(p->counter == COUNTER_PUNT_KERNEL ? p->out_port == R.a : p->counter == (with_label ? COUNTER_FORWARD_MPLS : COUNTER_FORWARD_IP4), "flow %u: %s", i,
            lcpfwd_counter_name(p->counter));
      CHECK(was == 9 || was == which, "flow %u changes its leg", i);
      was = which;
      seen[which]++;
    }
  }
  CHECK(seen[0] > 1600 && seen[0] < 2400 && seen[1] > 1600 && seen[1] < 2400, "shares %u %u %u", seen[0], seen[1], seen[2]);
}

/* A labelled leg holds its neighbour's adjacency. */
static void test_neighbour(void) {
  uint32_t routes, id = LIST(R.b, "10.1.0.55", 0, 77);
  struct lcpfwd_path path;
  CHECK(label_route(121, 20, id) == 0, "label");
  IN(64, 121);
  ip(&f, 33, 40);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_NO_NEIGHBOUR);
  for (unsigned mac = 0xb5; mac < 0xb8; mac++) {
    neighbour(R.b, "10.1.0.55", mac);
    labelled(&want, mac, 0xb1, 63, (uint32_t[]){77}, 1);
    ip(&want, 33, 40);
    FORWARDS(R.a, R.a, &f, COUNTER_FORWARD_MPLS, R.b, &want);
    CHECK(lcpfwd_pathlist_get(R.f, id, &path, 1, &routes) == 1 && path.flags == LCPFWD_PATH_COMPLETE && path.labels == 1 && path.label[0] == 77 && routes == 1,
          "path list");
  }
}

static void test_refused(void) {
  struct lcpfwd_path p = {.port = (uint16_t)R.t, .weight = 1, .labels = 1, .label = {16}};
  CHECK(lcpfwd_pathlist_set(R.f, 0, &p, 1) == -EOPNOTSUPP, "labels out of a TUN");
  p.port = (uint16_t)R.b;
  for (unsigned i = 0; i < 4; i++) {
    struct lcpfwd_path bad = p;
    if (i == 0) bad.labels = LCPFWD_MAX_LABELS + 1;
    if (i == 1) bad.label[0] = 1u << 20;
    if (i == 2) bad.label[0] = 3;
    if (i == 3) bad.flags = LCPFWD_PATH_PUNT;
    CHECK(lcpfwd_pathlist_set(R.f, 0, &bad, 1) == -EINVAL, "bad leg %u", i);
  }
  CHECK(label_route(100, 19, LCPFWD_PL_PUNT) == -EINVAL && label_route(100, 21, LCPFWD_PL_PUNT) == -EINVAL && label_route(100, 32, LCPFWD_PL_PUNT) == -EINVAL,
        "a part of a label");
  struct lcpfwd_lookup_spec spec = {.n = 1, .table = {labels}};
  struct lcpfwd_lookup_result found;
  uint8_t addr[16] = {0, 6, 0x40};
  CHECK(lcpfwd_lookup(R.f, &spec, LCPFWD_AF_MPLS, addr, 1, &found) == 0 && found.table == labels && found.plen == 20 && found.pathlist >= LCPFWD_PL_FIRST, "lookup");
  CHECK(lcpfwd_table_del(R.f, labels) == 0, "delete");
  IN(64, 100); /* the port still names it */
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_MPLS_NO_LABEL);
}

static void take_labels(unsigned id) {
  struct lcpfwd_port p = port_now(id);
  p.mpls = R.table4;
  CHECK(lcpfwd_port_set(R.f, id, &p) == -EINVAL, "labels are not looked up among addresses");
  p.mpls = labels;
  CHECK(lcpfwd_port_set(R.f, id, &p) == 0, "port_set");
}

void test_mpls(void) {
  router_make();
  labels = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_MPLS, "test/mpls/0");
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = (uint16_t)R.a, .tags = 1, .tag = {0x81000064}};
  mac_of(0xa1, p.mac);
  v = (unsigned)lcpfwd_port_add(R.f, &p, -1, NULL);
  p = (struct lcpfwd_port){.flags = LCPFWD_PORT_UP, .mtu = 1400, .parent = (uint16_t)R.b, .tags = 2, .tag = {0x88a800c8, 0x81000007}};
  mac_of(0xb7, p.mac);
  w = (unsigned)lcpfwd_port_add(R.f, &p, -1, NULL);
  neighbour(w, "10.31.0.2", 0xb8);
  take_labels(R.a);
  take_labels(v);
  routes();
  route_to("10.60.0.0", 16, LIST(R.b, "10.1.0.2", 0, 16, 1048575));
  route_to("10.62.0.0", 16, LIST(R.b, "10.1.0.2", 0, 21, 22, 23, 24, 25, 26, 27, 28));
  route_to("2001:db8:60::", 48, LIST(R.b, "2001:db8:b::2", 9, 18));
  test_swap();
  test_pop();
  test_offload();
  test_pieces();
  test_up();
  test_malformed();
  test_push();
  test_tags();
  test_legs();
  test_neighbour();
  test_refused();
  router_free();
}
