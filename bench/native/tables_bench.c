/* tables_bench.c - what the tables cost: routes a second, nanoseconds a lookup, bytes a route.
 *
 * Route sets have the shape of an Internet table: mostly /24 and /48, in blocks of allocations. Lookups
 * ask for addresses inside random routes (all of the table is touched) and for a few (all in cache).
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attachment.h"
#include "reader.h"
#include "writer.h"

#define LOOKUPS 4000000u
#define SLICE 8192u /* lookups timed together */
#define BATCH 4096u

static uint64_t state = 88172645463325252ull;
static int missed;

static uint64_t random64(void) {
  uint64_t z = state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

static double now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int ok, const char *what) {
  if (!ok) {
    fprintf(stderr, "tables_bench: %s failed\n", what);
    exit(1);
  }
}

/* A figure with a limit: kind is ">=" or "<=". */
static void judge(const char *what, double value, const char *unit, const char *kind, double limit) {
  int ok = kind[0] == '>' ? value >= limit : value <= limit;
  missed += !ok;
  printf("  %-44s %10.1f %-10s %s %g: %s\n", what, value, unit, kind, limit, ok ? "ok" : "MISSED");
}

static void show(const char *what, double value, const char *unit) {
  printf("  %-44s %10.1f %s\n", what, value, unit);
}

/* uniform: every route anywhere; else some in one allocation (/16 or /32), then the next. */
static void make_routes(struct lcpfwd_route *r, uint32_t n, uint32_t table, unsigned af, const uint32_t *pathlist,
                        int uniform) {
  uint64_t block = 0;
  for (uint32_t i = 0; i < n; i++) {
    unsigned plen, roll = random64() % 100;
    memset(&r[i], 0, sizeof r[i]);
    if (uniform || i % 16 == 0)
      block = random64();
    uint64_t bits = block ^ random64() >> (af == 4 ? 16 : 32);
    if (af == 4) {
      plen = roll < 60 ? 24 : 16 + (unsigned)(random64() % 9);
      bits = (bits & 0x00ffffffffffffffull) | (1 + (block >> 56) % 223) << 56; /* 1.0.0.0 to 223.255.255.255 */
    } else {
      plen = roll < 50 ? 48 : 29 + (unsigned)(random64() % 20);
      bits = (bits & 0x000fffffffffffffull) | 0x2000000000000000ull;
    }
    bits &= ~0ull << (64 - plen);
    for (unsigned k = 0; k < 8; k++)
      r[i].addr[k] = (uint8_t)(bits >> (56 - 8 * k));
    r[i].table = table;
    r[i].plen = (uint8_t)plen;
    r[i].pathlist = pathlist[random64() % 1000];
  }
}

static double apply(lcpfwd *f, const struct lcpfwd_route *r, uint32_t n) {
  static int32_t results[BATCH];
  double start = now_ns();
  for (uint32_t i = 0; i < n; i += BATCH)
    must(lcpfwd_routes_apply(f, r + i, n - i < BATCH ? n - i : BATCH, results) == 0, "routes_apply");
  return n / (now_ns() - start) * 1e9;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Median over slices, so that other programs on this machine do not count. */
static double lookup_ns(const lcpfwd *f, const struct lcpfwd_route *r, uint32_t n, uint32_t among, unsigned af) {
  static uint8_t addr[SLICE][16];
  struct lcpfwd_lookup_spec spec = {.n = 1, .table = {r[0].table}};
  struct lcpfwd_lookup_result got;
  double slice[LOOKUPS / SLICE];
  uint64_t sum = 0;
  for (unsigned k = 0; k < LOOKUPS / SLICE; k++) {
    for (unsigned i = 0; i < SLICE; i++) {
      const struct lcpfwd_route *from = &r[random64() % (among < n ? among : n)];
      memcpy(addr[i], from->addr, 16);
      addr[i][af == 4 ? 3 : 15] |= (uint8_t)random64();
    }
    double start = now_ns();
    for (unsigned i = 0; i < SLICE; i++) {
      fib_lookup(&f->region, &spec, af, addr[i], &got);
      sum += got.pathlist;
    }
    slice[k] = (now_ns() - start) / SLICE;
  }
  must(sum > 0, "lookup");
  qsort(slice, LOOKUPS / SLICE, sizeof *slice, by_value);
  return slice[LOOKUPS / SLICE / 2];
}

static void bench_routes(lcpfwd *f, const uint32_t *pathlist, unsigned af, uint32_t n, int uniform) {
  struct lcpfwd_info before, after;
  uint32_t table = (uint32_t)lcpfwd_table_add(f, af, "bench"), routes, got_af;
  struct lcpfwd_route *r = calloc(n, sizeof *r);
  char name[120];
  must(r != NULL, "calloc");
  make_routes(r, n, table, af, pathlist, uniform);
  lcpfwd_info(f, &before);
  double insert = apply(f, r, n);
  lcpfwd_info(f, &after);
  lcpfwd_table_get(f, table, &got_af, name, &routes);
  printf("IPv%u, %u routes, %s\n", af, routes, uniform ? "uniform" : "in allocations");
  if (af == 4)
    judge("insert", insert / 1e6, "M/s", ">=", n <= 400000 ? 2 : 1);
  else
    show("insert", insert / 1e6, "M/s");
  double used = (double)(after.memory_used - after.memory_free) - (double)(before.memory_used - before.memory_free);
  judge("memory in use", used / routes, "bytes/route", "<=", 60);
  show("replace", apply(f, r, n) / 1e6, "M/s");
  double hot = lookup_ns(f, r, n, 1000, af);
  if (af == 4)
    judge("lookup, 1000 destinations", hot, "ns", "<=", 25);
  else
    show("lookup, 1000 destinations", hot, "ns");
  show("lookup, all destinations", lookup_ns(f, r, n, n, af), "ns");
  for (uint32_t i = 0; i < n; i++)
    r[i].pathlist = 0;
  show("delete", apply(f, r, n) / 1e6, "M/s");
  must(lcpfwd_table_del(f, table) == 0, "table_del");
  free(r);
}

static void bench_rewrite(lcpfwd *f, uint32_t port, uint32_t n) {
  struct lcpfwd_neighbour *o = calloc(n, sizeof *o);
  int32_t *results = calloc(n, sizeof *results);
  uint8_t(*l2)[12] = malloc(12 * (size_t)n);
  uint64_t found = 0;
  must(o && results && l2, "memory");
  for (uint32_t i = 0; i < n; i++) {
    o[i] = (struct lcpfwd_neighbour){.port = (uint16_t)port, .af = 4, .mac = {2, 1, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i, 9}};
    o[i].addr[0] = 100;
    memcpy(o[i].addr + 1, o[i].mac + 2, 3);
    memcpy(l2[i], o[i].mac, 6);
    memcpy(l2[i] + 6, (uint8_t[]){2, 0, 0, 0, 0, 1}, 6);
  }
  double start = now_ns();
  must(lcpfwd_neighbours_apply(f, o, n, results) == 0, "neighbours_apply");
  double add = n / (now_ns() - start) * 1e3;
  uint32_t at = 0;
  start = now_ns();
  for (uint32_t i = 0; i < LOOKUPS; i++) {
    at = (uint32_t)(at * 1664525ull + 1013904223ull);
    found += adj_find_rewrite(&f->region, port, l2[(uint64_t)at * n >> 32], 12) != 0;
  }
  double ns = (now_ns() - start) / LOOKUPS;
  must(found == LOOKUPS, "rewrite lookup");
  printf("%u adjacencies\n", n);
  show("neighbour add", add, "M/s");
  if (n <= 1000)
    judge("rewrite lookup", ns, "ns", "<=", 60);
  else
    show("rewrite lookup", ns, "ns");
  start = now_ns();
  for (uint32_t i = 0; i < LOOKUPS; i++) {
    at = (uint32_t)(at * 1664525ull + 1013904223ull);
    found += adj_find_neighbour(&f->region, port, 4, o[(uint64_t)at * n >> 32].addr) != 0;
  }
  show("neighbour lookup", (now_ns() - start) / LOOKUPS, "ns");
  must(found == 2 * LOOKUPS, "neighbour lookup");
  for (uint32_t i = 0; i < n; i++)
    o[i].flags = LCPFWD_NEIGH_DELETE;
  must(lcpfwd_neighbours_apply(f, o, n, results) == 0, "neighbours_apply");
  free(o);
  free(results);
  free(l2);
}

static void bench_pathlists(lcpfwd *f, uint32_t port, unsigned legs) {
  struct lcpfwd_path p[LCPFWD_MAX_PATHS];
  for (unsigned i = 0; i < legs; i++)
    p[i] = (struct lcpfwd_path){.port = (uint16_t)port, .weight = (uint16_t)(1 + i), .af = 4, .nh = {10, 2, 0, (uint8_t)i}};
  int32_t id = lcpfwd_pathlist_set(f, 0, p, legs);
  must(id > 0, "pathlist_set");
  double start = now_ns();
  for (unsigned i = 0; i < 20000; i++) {
    p[0].weight = (uint16_t)(1 + i % 7);
    must(lcpfwd_pathlist_set(f, (uint32_t)id, p, legs) == id, "pathlist_set");
  }
  char what[40];
  snprintf(what, sizeof what, "path list replace, %u legs", legs);
  show(what, (now_ns() - start) / 20000, "ns");
  must(lcpfwd_pathlist_del(f, (uint32_t)id) == 0, "pathlist_del");
}

/* Becoming the writer of a region that holds n routes already: what a restart of lcpd costs. */
static void bench_attach(uint32_t n) {
  struct region region;
  int32_t err;
  must(region_create(&region, 0, 1) == 0, "region_create");
  lcpfwd *f = attachment_open(dup(region.fd), &err);
  must(f != NULL, "attach");
  uint32_t pathlist[1000];
  for (unsigned i = 0; i < 1000; i++)
    pathlist[i] = LCPFWD_PL_LOCAL;
  struct lcpfwd_route *r = calloc(n, sizeof *r);
  must(r != NULL, "calloc");
  make_routes(r, n, (uint32_t)lcpfwd_table_add(f, 4, "bench"), 4, pathlist, 0);
  apply(f, r, n);
  lcpfwd_detach(f);
  double start = now_ns();
  f = attachment_open(dup(region.fd), &err);
  must(f != NULL, "attach");
  printf("shared region, %u IPv4 routes\n", n);
  show("attach", (now_ns() - start) / 1e6, "ms");
  lcpfwd_detach(f);
  region_unmap(&region);
  free(r);
}

int main(void) {
  lcpfwd *f = lcpfwd_create(0, 1);
  must(f != NULL, "lcpfwd_create");
  struct lcpfwd_port attributes = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1}};
  int32_t port = lcpfwd_port_add(f, &attributes, -1, NULL);
  must(port > 0, "port_add");
  uint32_t pathlist[1000];
  for (unsigned i = 0; i < 1000; i++) {
    struct lcpfwd_path p = {.port = (uint16_t)port, .weight = 1, .af = 4, .nh = {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
    int32_t id = lcpfwd_pathlist_set(f, 0, &p, 1);
    must(id > 0, "pathlist_set");
    pathlist[i] = (uint32_t)id;
  }
  bench_routes(f, pathlist, 4, 400000, 0);
  bench_routes(f, pathlist, 4, 400000, 1);
  bench_routes(f, pathlist, 4, 1200000, 0);
  bench_routes(f, pathlist, 6, 400000, 0);
  bench_routes(f, pathlist, 6, 1200000, 0);
  bench_rewrite(f, (uint32_t)port, 1000);
  bench_rewrite(f, (uint32_t)port, 50000);
  bench_pathlists(f, (uint32_t)port, 2);
  bench_pathlists(f, (uint32_t)port, 16);
  bench_pathlists(f, (uint32_t)port, 256);
  lcpfwd_detach(f);
  bench_attach(1200000);
  printf("tables_bench: %d figures missed\n", missed);
  return 0;
}
