/* fib_test.c - the trie against a sorted array: random routes of both families through the public
 * calls; lookups, dumps, counts, references and memory must agree. */
#include "lcpfwd.h"

#include "attachment.h"
#include "naive_fib.h"
#include "writer.h"

#define OPERATIONS 200000u
#define PATHLISTS 40u

static lcpfwd *f;
static uint32_t pathlist[PATHLISTS]; /* some special ones too */

static uint32_t a_port(void) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1}};
  int32_t id = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(id > 0, "port_add: %d", id);
  return (uint32_t)id;
}

static void make_pathlists(void) {
  uint32_t port = a_port();
  for (unsigned i = 0; i < PATHLISTS; i++) {
    struct lcpfwd_path p = {.port = (uint16_t)port, .weight = 1, .af = 4, .nh = {10, 0, 0, (uint8_t)i}};
    int32_t id = i < 5 ? (int32_t)(LCPFWD_PL_LOCAL + i) : lcpfwd_pathlist_set(f, 0, &p, 1);
    CHECK(id > 0, "pathlist_set: %d", id);
    pathlist[i] = (uint32_t)id;
  }
}

static int32_t apply(uint32_t table, const uint8_t *addr, unsigned plen, uint32_t value) {
  struct lcpfwd_route r = {.table = table, .pathlist = value, .plen = (uint8_t)plen};
  int32_t result;
  memcpy(r.addr, addr, 16);
  lcpfwd_routes_apply(f, &r, 1, &result);
  return result;
}

static void compare_lookup(uint32_t table, const struct naive_fib *n, const uint8_t *addr) {
  struct lcpfwd_lookup_spec spec = {.n = 1, .table = {table}};
  struct lcpfwd_lookup_result got;
  uint32_t value = 0;
  int plen = naive_lookup(n, addr, &value);
  CHECK(lcpfwd_lookup(f, &spec, n->bits == 32 ? 4 : 6, addr, 1, &got) == 0, "lookup");
  if (plen < 0)
    CHECK(got.table == 0 && got.pathlist == 0 && got.plen == 0, "found %u/%u, there is nothing", got.pathlist, got.plen);
  else
    CHECK(got.table == table && got.pathlist == value && got.plen == (uint32_t)plen, "found %u /%u, expected %u /%d",
          got.pathlist, got.plen, value, plen);
}

/* An address near a route: in it, or one bit away. */
static void near_address(const struct naive_fib *n, uint8_t *addr) {
  unsigned plen;
  if (n->n == 0 || random_below(4) == 0) {
    naive_random_prefix(n->bits, addr, &plen);
    return;
  }
  const struct naive_route *r = &n->route[random_below(n->n)];
  memcpy(addr, r->addr, 16);
  for (unsigned bit = r->plen; bit < n->bits; bit++)
    if (random_below(2))
      addr[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
  if (random_below(3) == 0) {
    unsigned bit = random_below(n->bits);
    addr[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
  }
}

static void compare_dump(uint32_t table, const struct naive_fib *n) {
  struct lcpfwd_route page[64];
  uint8_t cursor[20] = {0};
  uint32_t at = 0;
  for (;;) {
    int32_t got = lcpfwd_routes_dump(f, table, page, 1 + random_below(64), cursor);
    CHECK(got >= 0, "dump: %d", got);
    if (got == 0)
      break;
    for (int32_t i = 0; i < got; i++, at++) {
      CHECK(at < n->n, "dump has more than %u routes", n->n);
      CHECK(page[i].table == table && page[i].plen == n->route[at].plen && page[i].pathlist == n->route[at].value &&
                memcmp(page[i].addr, n->route[at].addr, 16) == 0,
            "route %u differs", at);
    }
  }
  CHECK(at == n->n, "dump has %u of %u routes", at, n->n);
}

static void compare_books(const uint32_t *table, const struct naive_fib *n) {
  uint64_t carved, used, spare;
  uint32_t refs[PATHLISTS] = {0}, routes, af;
  char name[120];
  for (unsigned t = 0; t < 2; t++) {
    CHECK(lcpfwd_table_get(f, table[t], &af, name, &routes) == 0 && routes == n[t].n, "%u routes, expected %u", routes, n[t].n);
    for (uint32_t i = 0; i < n[t].n; i++)
      for (unsigned k = 0; k < PATHLISTS; k++)
        refs[k] += n[t].route[i].value == pathlist[k];
  }
  for (unsigned k = 0; k < PATHLISTS; k++)
    CHECK(f->writer->routes_of[pathlist[k]] == refs[k], "path list %u: %u routes, expected %u", pathlist[k],
          f->writer->routes_of[pathlist[k]], refs[k]);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &used, &spare) == 0, "books of the allocator");
}

static void random_operations(void) {
  uint32_t table[2] = {(uint32_t)lcpfwd_table_add(f, 4, "t4"), (uint32_t)lcpfwd_table_add(f, 6, "t6")};
  struct naive_fib n[2] = {{.bits = 32}, {.bits = 128}};
  uint64_t carved, before, after, spare;
  CHECK(blocks_audit(&f->writer->blocks, &carved, &before, &spare) == 0, "books");
  for (uint32_t i = 0; i < OPERATIONS; i++) {
    unsigned t = random_below(2), plen;
    uint8_t addr[16];
    uint32_t value = pathlist[random_below(PATHLISTS)];
    /* Phases of growth and of decay, so that nodes also join again. */
    int grow = (i / 20000) % 2 == 0 ? random_below(4) != 0 : random_below(4) == 0;
    if (grow || n[t].n == 0) {
      naive_random_prefix(n[t].bits, addr, &plen);
      CHECK(apply(table[t], addr, plen, value) == 0, "insert");
      naive_set(&n[t], addr, plen, value);
    } else if (random_below(8) == 0) {
      naive_random_prefix(n[t].bits, addr, &plen);
      CHECK(apply(table[t], addr, plen, 0) == 0, "delete of what may be absent");
      naive_delete(&n[t], addr, plen);
    } else {
      struct naive_route r = n[t].route[random_below(n[t].n)];
      CHECK(apply(table[t], r.addr, r.plen, 0) == 0, "delete");
      naive_delete(&n[t], r.addr, r.plen);
    }
    near_address(&n[t], addr);
    compare_lookup(table[t], &n[t], addr);
    if (i % 10000 == 9999) {
      compare_dump(table[0], &n[0]);
      compare_dump(table[1], &n[1]);
      compare_books(table, n);
    }
  }
  while (n[1].n) { /* one table route by route, the other at once */
    struct naive_route r = n[1].route[random_below(n[1].n)];
    CHECK(apply(table[1], r.addr, r.plen, 0) == 0, "delete");
    naive_delete(&n[1], r.addr, r.plen);
  }
  CHECK(lcpfwd_table_del(f, table[0]) == 0, "table_del");
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &after, &spare) == 0, "books");
  CHECK(after == before, "%" PRIu64 " bytes in use without routes, %" PRIu64 " before them", after, before);
  for (unsigned k = 0; k < PATHLISTS; k++)
    CHECK(f->writer->routes_of[pathlist[k]] == 0, "path list %u is still in use", pathlist[k]);
  CHECK(f->region.head->tables[table[1]].root == 0, "empty table has a root");
  CHECK(lcpfwd_table_del(f, table[1]) == 0, "table_del");
  free(n[0].route);
  free(n[1].route);
}

static uint32_t find(const struct lcpfwd_lookup_spec *spec, const uint8_t *addr, uint32_t *table) {
  struct lcpfwd_lookup_result got;
  CHECK(lcpfwd_lookup(f, spec, 4, addr, 1, &got) == 0, "lookup");
  *table = got.table;
  return got.pathlist;
}

static void lookup_orders(void) {
  uint32_t local = (uint32_t)lcpfwd_table_add(f, 4, "local"), main = (uint32_t)lcpfwd_table_add(f, 4, "main");
  uint32_t last = (uint32_t)lcpfwd_table_add(f, 4, "default"), table;
  static const uint8_t net[16] = {10, 1, 0, 0}, host[16] = {10, 1, 2, 3}, any[16] = {0};
  struct lcpfwd_lookup_spec merged = {.n = 3, .merged = 1, .table = {local, main, last}};
  struct lcpfwd_lookup_spec ordered = {.n = 3, .table = {local, main, last}};
  apply(local, net, 16, pathlist[6]);
  apply(main, host, 32, pathlist[7]);
  apply(last, any, 0, pathlist[8]);
  CHECK(find(&merged, host, &table) == pathlist[7] && table == main, "merged: longest of both");
  CHECK(find(&ordered, host, &table) == pathlist[6] && table == local, "ordered: first table that matches");
  apply(main, net, 16, pathlist[9]);
  static const uint8_t in_net[16] = {10, 1, 9, 9}, elsewhere[16] = {192, 0, 2, 1};
  CHECK(find(&merged, in_net, &table) == pathlist[6] && table == local, "merged: the first wins a tie");
  CHECK(find(&merged, elsewhere, &table) == pathlist[8] && table == last, "nothing in two tables passes on");
  apply(main, host, 32, LCPFWD_PL_THROW);
  CHECK(find(&merged, host, &table) == pathlist[8] && table == last, "merged: throw passes on to the next table");
  apply(local, net, 16, LCPFWD_PL_THROW);
  CHECK(find(&ordered, in_net, &table) == pathlist[9] && table == main, "ordered: throw passes on");
  apply(last, any, 0, LCPFWD_PL_THROW);
  CHECK(find(&ordered, elsewhere, &table) == 0 && table == 0, "throw in the last table: no route");
  lcpfwd_table_del(f, local);
  lcpfwd_table_del(f, main);
  lcpfwd_table_del(f, last);
}

static void wrong_arguments(void) {
  uint32_t t4 = (uint32_t)lcpfwd_table_add(f, 4, "w4"), t6 = (uint32_t)lcpfwd_table_add(f, 6, "w6");
  uint8_t addr[16] = {10, 0, 0, 1};
  char name[200];
  CHECK(apply(0, addr, 32, pathlist[6]) == -ENOENT && apply(99999, addr, 32, pathlist[6]) == -ENOENT, "table");
  CHECK(apply(t4, addr, 33, pathlist[6]) == -EINVAL && apply(t6, addr, 129, pathlist[6]) == -EINVAL, "plen");
  CHECK(apply(t4, addr, 31, pathlist[6]) == -EINVAL && apply(t4, addr, 0, pathlist[6]) == -EINVAL, "host bits");
  CHECK(apply(t4, addr, 24, 0) == -EINVAL, "host bits in a delete");
  addr[15] = 1;
  CHECK(apply(t4, addr, 32, pathlist[6]) == -EINVAL && apply(t6, addr, 127, pathlist[6]) == -EINVAL, "bits behind");
  CHECK(apply(t6, addr, 128, 0xffffffff) == -ENOENT && apply(t6, addr, 128, 12) == -ENOENT, "path list");
  CHECK(apply(t6, addr, 128, pathlist[6]) == 0, "a route");
  CHECK(lcpfwd_pathlist_del(f, pathlist[6]) == -EBUSY, "path list in use");
  CHECK(lcpfwd_table_del(f, t6) == 0 && apply(t6, addr, 128, 0) == 0 && apply(t6, addr, 128, pathlist[7]) == -ENOENT, "no table");
  CHECK(lcpfwd_table_del(f, t6) == 0 && lcpfwd_table_del(f, 0) == -EINVAL, "table_del");
  CHECK(lcpfwd_table_add(f, 5, "x") == -EINVAL && lcpfwd_table_add(f, 4, "") == -EINVAL, "table_add");
  memset(name, 'n', sizeof name);
  name[199] = 0;
  CHECK(lcpfwd_table_add(f, 4, name) == -EINVAL, "table name too long");
  CHECK(lcpfwd_table_add(f, 4, "w4") == (int32_t)t4, "same name, same id");
  lcpfwd_table_del(f, t4);
}

int main(int argc, char **argv) {
  check_begin("fib_test", argc, argv);
  f = lcpfwd_create(0, 1);
  CHECK(f != NULL, "create");
  make_pathlists();
  lookup_orders();
  wrong_arguments();
  random_operations();
  lcpfwd_detach(f);
  printf("fib_test: ok, %u operations\n", OPERATIONS);
  return 0;
}
