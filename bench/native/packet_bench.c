/* packet_bench.c - nanoseconds a packet through the packet path alone, without I/O: transit by a table
 * of 400,000 routes and 256 next hops, and host frames by their L2 rewrite. Prints JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "attachment.h"
#include "datapath.h"

#define ROUTES 400000u
#define HOPS 256u
#define FRAMES (BURST * 64u)
#define ROUNDS 200u

static struct datapath d;
static uint8_t memory[FRAMES][192];
static uint32_t prefix[ROUTES];

static void fail(const char *what) {
  fprintf(stderr, "packet_bench: %s\n", what);
  exit(1);
}

static void nothing_made(struct datapath *path) { made_reset(path); }

static uint64_t draw(void) {
  static uint64_t state = 1;
  return mix64(state += 0x9e3779b97f4a7c15ull);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static unsigned add_port(lcpfwd *f, uint8_t mac, uint32_t table) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .phy_ifindex = mac, .mtu = 1500, .mac = {2, 0, 0, 0, 0, mac}, .v4 = {.n = 1, .table = {table}}};
  char text[160];
  snprintf(p.phy, sizeof p.phy, "p%u", mac);
  int32_t id = lcpfwd_port_add(f, &p, -1, text);
  if (id <= 0) fail(text);
  return (unsigned)id;
}

static void fill(lcpfwd *f, uint32_t table, unsigned out) {
  static struct lcpfwd_route r[ROUTES];
  static int32_t result[ROUTES];
  static uint32_t list[HOPS];
  for (unsigned i = 0; i < HOPS; i++) {
    struct lcpfwd_path path = {.port = (uint16_t)out, .weight = 1, .af = 4, .nh = {10, 1, 0, (uint8_t)i}};
    struct lcpfwd_neighbour n = {.port = (uint16_t)out, .af = 4, .mac = {2, 0, 0, 0, 1, (uint8_t)i}, .addr = {10, 1, 0, (uint8_t)i}};
    list[i] = (uint32_t)lcpfwd_pathlist_set(f, 0, &path, 1);
    if (lcpfwd_neighbours_apply(f, &n, 1, result)) fail("neighbour");
  }
  for (unsigned i = 0; i < ROUTES; i++) {
    uint32_t a = (uint32_t)(16u << 24 | (draw() & 0x3fffffffu)) & 0xffffff00u;
    prefix[i] = a;
    r[i] = (struct lcpfwd_route){.table = table, .pathlist = list[draw() % HOPS], .plen = 24, .addr = {(uint8_t)(a >> 24), (uint8_t)(a >> 16), (uint8_t)(a >> 8), 0}};
  }
  if (lcpfwd_routes_apply(f, r, ROUTES, result)) fail("routes");
}

static void frame(uint8_t *at, unsigned host) {
  static const uint8_t head[34] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 2};
  uint32_t to = prefix[draw() % ROUTES] | 1;
  memcpy(at, head, sizeof head);
  if (host) memcpy(at, (uint8_t[12]){2, 0, 0, 0, 1, (uint8_t)draw(), 2, 0, 0, 0, 0, 2}, 12);
  store_be16(at + 30, to >> 16);
  store_be16(at + 32, to & 0xffff);
  store16(at + 24, 0);
  store16(at + 24, checksum(at + 14, 20));
}

static double measure(unsigned port, unsigned host, enum counter want) {
  static struct packet p[FRAMES];
  double spent = 0;
  for (unsigned round = 0; round < ROUNDS; round++) {
    for (unsigned i = 0; i < FRAMES; i++) {
      p[i] = (struct packet){.data = memory[i] + FRAME_ROOM + VNET_HEAD, .len = 60, .room = FRAME_ROOM};
      frame(p[i].data, host); /* the round before rewrote it */
    }
    double start = now_ns();
    for (unsigned i = 0; i < FRAMES; i += BURST) {
      (host ? host_burst : phy_burst)(&d, port, p + i, BURST);
      qsbr_quiescent(d.region, 0);
    }
    spent += now_ns() - start;
    for (unsigned i = 0; i < FRAMES; i++)
      if (p[i].counter != want) fail(lcpfwd_counter_name(p[i].counter));
  }
  return spent / ROUNDS / FRAMES;
}

int main(void) {
  lcpfwd *f = lcpfwd_create(1ull << 30, 1);
  if (!f) fail("no region");
  uint32_t table = (uint32_t)lcpfwd_table_add(f, LCPFWD_AF_INET, "bench");
  unsigned in = add_port(f, 1, table), out = add_port(f, 2, table);
  fill(f, table, out);
  d.region = &f->region;
  d.drain = nothing_made;
  d.arena = malloc(ARENA_SIZE);
  if (!d.arena) fail("memory");
  qsbr_online(d.region, 0);
  double transit = measure(in, 0, COUNTER_FORWARD_IP4), host = measure(out, 1, COUNTER_XCONNECT_UNICAST);
  printf("{\"name\":\"C, phy to phy without I/O, %u routes\",\"value\":%.1f,\"unit\":\"ns/packet\"}\n", ROUTES, transit);
  printf("{\"name\":\"C, host frame to adjacency by its rewrite, %u next hops\",\"value\":%.1f,\"unit\":\"ns/packet\","
         "\"target\":60,\"bound\":\"most\"}\n",
         HOPS, host);
  qsbr_offline(d.region, 0);
  free(d.arena);
  lcpfwd_detach(f);
  return 0;
}
