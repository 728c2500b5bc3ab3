/* packet_router.c - builds the router of packet_fixture.h. */
#include "packet_fixture.h"

struct router R;

static uint8_t arena[ARENA_SIZE];

void router_make(void) {
  memset(&R, 0, sizeof R);
  R.f = lcpfwd_create(1ull << 30, 1);
  CHECK(R.f, "no region");
  R.table4 = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_INET, "test/254/4");
  R.table6 = (uint32_t)lcpfwd_table_add(R.f, LCPFWD_AF_INET6, "test/254/6");
  R.a = port("A", 0xa1, 0, 1500, "10.0.0.1", "2001:db8:a::1");
  R.b = port("B", 0xb1, 0, 1500, NULL, NULL);
  R.t = port("T", 0xc1, LCPFWD_PORT_TUN, 1500, NULL, NULL);
  R.k = port("K", 0xd1, LCPFWD_PORT_KERNEL_FWD4 | LCPFWD_PORT_KERNEL_FWD6, 1500, "10.20.0.1", "2001:db8:c::1");
  R.s = port("S", 0xe1, 0, 1280, NULL, NULL);
  route_to("10.0.0.1", 32, LCPFWD_PL_LOCAL);
  route_to("10.0.0.255", 32, LCPFWD_PL_BROADCAST);
  route_to("10.0.0.9", 32, LCPFWD_PL_ANYCAST);
  route_to("10.0.0.0", 24, via(R.a, NULL));
  route_to("10.1.0.0", 24, via(R.b, NULL));
  route_to("10.2.0.0", 16, via(R.b, "10.1.0.2"));
  route_to("10.3.0.0", 16, LCPFWD_PL_BLACKHOLE);
  route_to("10.4.0.0", 16, LCPFWD_PL_UNREACHABLE);
  route_to("10.5.0.0", 16, LCPFWD_PL_PROHIBIT);
  route_to("10.6.0.0", 16, LCPFWD_PL_PUNT);
  route_to("10.7.0.0", 16, via(R.t, NULL));
  route_to("10.8.0.0", 16, via(R.s, "10.9.0.2"));
  route_to("10.10.0.0", 16, via(R.b, "fe80::2"));
  route_to("10.11.0.0", 16, via(R.b, "10.1.0.77"));
  route_to("10.12.0.0", 16, LCPFWD_PL_MULTICAST);
  route_to("2001:db8:a::1", 128, LCPFWD_PL_LOCAL);
  route_to("2001:db8:a::", 64, via(R.a, NULL));
  route_to("2001:db8:2::", 48, via(R.b, "2001:db8:b::2"));
  route_to("2001:db8:3::", 48, LCPFWD_PL_BLACKHOLE);
  route_to("2001:db8:4::", 48, LCPFWD_PL_UNREACHABLE);
  route_to("2001:db8:5::", 48, LCPFWD_PL_PROHIBIT);
  route_to("2001:db8:7::", 48, via(R.t, NULL));
  route_to("2001:db8:8::", 48, via(R.s, "2001:db8:9::2"));
  neighbour(R.a, "10.0.0.2", 0xa2);
  neighbour(R.a, "2001:db8:a::2", 0xa2);
  neighbour(R.b, "10.1.0.2", 0xb2);
  neighbour(R.b, "2001:db8:b::2", 0xb2);
  neighbour(R.b, "fe80::2", 0xb3);
  neighbour(R.s, "10.9.0.2", 0xe2);
  neighbour(R.s, "2001:db8:9::2", 0xe2);
  R.d.region = &R.f->region;
  R.d.drain = capture;
  R.d.arena = arena;
  R.d.now_ns = 1000000000ull;
  qsbr_online(R.d.region, 0);
}

void router_free(void) {
  qsbr_offline(R.d.region, 0);
  lcpfwd_detach(R.f);
}
