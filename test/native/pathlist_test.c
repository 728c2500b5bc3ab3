/* pathlist_test.c - how flows are shared out, and what pathlist_set refuses. */
#include <string.h>

#include "attachment.h"
#include "check.h"
#include "reader.h"
#include "writer.h"

#define ROUNDS 3000u

static lcpfwd *f;
static uint16_t port;

static struct lcpfwd_path leg(unsigned i, unsigned weight) {
  return (struct lcpfwd_path){.port = port, .weight = (uint16_t)weight, .af = 6, .nh = {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}};
}

/* What was said: a power of two, everyone at least once, and no leg that is not at its minimum further
 * from its exact share than rounding and the minima of others explain. */
static void check_shares(void) {
  struct lcpfwd_path path[LCPFWD_MAX_PATHS];
  uint16_t share[LCPFWD_MAX_PATHS];
  unsigned n = 1 + random_below(LCPFWD_MAX_PATHS), sum = 0, minimal = 0, most = 1u << (1 + random_below(16));
  uint64_t total = 0;
  for (unsigned i = 0; i < n; i++) {
    path[i] = leg(i, 1 + random_below(most > 65535 ? 65535 : most));
    total += path[i].weight;
  }
  unsigned buckets = pathlist_shares(path, n, share);
  CHECK(buckets >= n && buckets <= PATHLIST_MAX_BUCKETS && (buckets & (buckets - 1)) == 0, "%u buckets for %u legs", buckets, n);
  for (unsigned i = 0; i < n; i++) {
    CHECK(share[i] >= 1, "leg %u has no bucket", i);
    sum += share[i];
    minimal += (uint64_t)path[i].weight * buckets < total;
  }
  CHECK(sum == buckets, "%u buckets given, there are %u", sum, buckets);
  for (unsigned i = 0; i < n; i++) {
    double exact = (double)path[i].weight * buckets / (double)total;
    CHECK(share[i] <= exact + 1, "leg %u: %u buckets, its share is %f", i, share[i], exact);
    CHECK(share[i] + 1.0 + minimal >= exact, "leg %u: %u buckets, its share is %f", i, share[i], exact);
  }
}

static void exact_shares(void) {
  uint16_t share[3];
  struct lcpfwd_path equal[2] = {leg(0, 7), leg(1, 7)}, third[3] = {leg(0, 1), leg(1, 1), leg(2, 1)};
  struct lcpfwd_path ratio[2] = {leg(0, 1), leg(1, 3)}, extreme[2] = {leg(0, 1), leg(1, 65535)};
  CHECK(pathlist_shares(equal, 2, share) == 2 && share[0] == 1 && share[1] == 1, "two equal");
  CHECK(pathlist_shares(third, 3, share) == 64 && share[0] == 22 && share[1] == 21 && share[2] == 21, "three equal");
  CHECK(pathlist_shares(ratio, 2, share) == 1024 && share[0] == 256 && share[1] == 768, "one to three");
  CHECK(pathlist_shares(extreme, 2, share) == 1024 && share[0] == 1 && share[1] == 1023, "one to 65535");
}

/* The buckets that packets use hold the shares; replacing keeps the id. */
static void check_buckets(void) {
  static uint32_t id;
  struct lcpfwd_path path[LCPFWD_MAX_PATHS], back[LCPFWD_MAX_PATHS];
  uint16_t share[LCPFWD_MAX_PATHS];
  uint32_t count[LCPFWD_MAX_PATHS] = {0}, routes;
  unsigned n = 1 + random_below(random_below(2) ? 8 : LCPFWD_MAX_PATHS);
  for (unsigned i = 0; i < n; i++)
    path[i] = leg(i, 1 + random_below(100));
  unsigned buckets = pathlist_shares(path, n, share);
  int32_t got = lcpfwd_pathlist_set(f, id, path, n);
  CHECK(got >= (int32_t)LCPFWD_PL_FIRST && (id == 0 || got == (int32_t)id), "pathlist_set: %d", got);
  id = (uint32_t)got;
  CHECK(lcpfwd_pathlist_get(f, id, back, LCPFWD_MAX_PATHS, &routes) == (int32_t)n, "legs");
  CHECK(memcmp(path, back, n * sizeof *path) == 0, "legs read are not those written");
  for (uint32_t hash = 0; hash < buckets; hash++) {
    const struct adj *a = adj_get(&f->region, pathlist_select(&f->region, id, hash));
    CHECK(a && a->port == port && a->nh[15] < n, "bucket %u", hash);
    count[a->nh[15]]++;
  }
  for (unsigned i = 0; i < n; i++)
    CHECK(count[i] == share[i], "leg %u has %u buckets, expected %u", i, count[i], share[i]);
}

static void wrong_arguments(void) {
  struct lcpfwd_path path[LCPFWD_MAX_PATHS + 1], good = leg(0, 1);
  struct lcpfwd_info before, after;
  uint32_t routes;
  for (unsigned i = 0; i <= LCPFWD_MAX_PATHS; i++)
    path[i] = leg(1000 + i, 1);
  lcpfwd_info(f, &before);
  CHECK(lcpfwd_pathlist_set(f, 0, path, 0) == -EINVAL, "no legs");
  CHECK(lcpfwd_pathlist_set(f, 0, path, LCPFWD_MAX_PATHS + 1) == -EINVAL, "too many legs");
  CHECK(lcpfwd_pathlist_set(f, LCPFWD_PL_LOCAL, path, 1) == -EINVAL, "built-in id");
  CHECK(lcpfwd_pathlist_set(f, 5000, path, 1) == -ENOENT && lcpfwd_pathlist_set(f, UINT32_MAX, path, 1) == -ENOENT, "free id");
  for (unsigned bad = 0; bad < 5; bad++) {
    struct lcpfwd_path two[2] = {leg(900, 1), good};
    int expected = -EINVAL;
    if (bad == 0)
      two[1].port = 0;
    else if (bad == 1)
      two[1].port = LCPFWD_MAX_PORTS;
    else if (bad == 2)
      two[1].weight = 0;
    else if (bad == 3)
      two[1].af = 5;
    else {
      two[1].port = 77;
      expected = -ENODEV;
    }
    CHECK(lcpfwd_pathlist_set(f, 0, two, 2) == expected, "bad leg %u", bad);
  }
  CHECK(lcpfwd_pathlist_del(f, LCPFWD_PL_PUNT) == -EINVAL && lcpfwd_pathlist_del(f, 5000) == 0, "pathlist_del");
  CHECK(lcpfwd_pathlist_get(f, 5000, path, 1, &routes) == -ENOENT && lcpfwd_pathlist_get(f, 3, path, 1, &routes) == -ENOENT, "get");
  CHECK(pathlist_select(&f->region, 5000, 1) == 0 && pathlist_select(&f->region, UINT32_MAX, 1) == 0, "select");
  lcpfwd_info(f, &after);
  CHECK(memcmp(&before, &after, sizeof before) == 0, "what was refused changed something");
}

int main(int argc, char **argv) {
  check_begin("pathlist_test", argc, argv);
  f = lcpfwd_create(0, 1);
  CHECK(f != NULL, "create");
  struct lcpfwd_port attributes = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2}};
  int32_t id = lcpfwd_port_add(f, &attributes, -1, NULL);
  CHECK(id > 0, "port_add: %d", id);
  port = (uint16_t)id;
  exact_shares();
  wrong_arguments();
  for (unsigned i = 0; i < ROUNDS; i++) {
    check_shares();
    check_buckets();
  }
  lcpfwd_detach(f);
  printf("pathlist_test: ok, %u rounds\n", ROUNDS);
  return 0;
}
