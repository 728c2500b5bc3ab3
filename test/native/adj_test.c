/* adj_test.c - adjacencies, both hashes and path lists against plain arrays: neighbours that come, go,
 * move and share MAC addresses, ports that change theirs or disappear, detaching and attaching again. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "attachment.h"
#include "check.h"
#include "reader.h"
#include "writer.h"

#define OPERATIONS 200000u
#define PORTS 5u /* number 4 is a TUN */
#define ADDRESSES 60u
#define LISTS 30u
#define MAX_LEGS 5u

static lcpfwd *f;
static int memfd;

static struct {
  uint32_t id;
  uint32_t incarnation;
  uint8_t mac[6];
} port[PORTS];

static struct {
  int known;
  uint8_t mac[6];
} neighbour[PORTS][2][ADDRESSES];

static struct {
  uint32_t id; /* 0: none */
  unsigned legs;
  struct leg {
    unsigned port, af, address;
    uint32_t incarnation;
  } leg[MAX_LEGS];
} list[LISTS];

static int is_tun(unsigned p) {
  return p == 4;
}

static void address(unsigned af, unsigned i, uint8_t *addr) {
  memset(addr, 0, 16);
  addr[0] = af == 4 ? 10 : 0xfe;
  addr[af == 4 ? 3 : 15] = (uint8_t)i;
}

static struct lcpfwd_port attributes(unsigned p) {
  struct lcpfwd_port a = {.flags = LCPFWD_PORT_UP | (is_tun(p) ? LCPFWD_PORT_TUN : 0), .mtu = 1500};
  memcpy(a.mac, port[p].mac, 6);
  return a;
}

static void random_mac(uint8_t *mac) {
  memcpy(mac, (uint8_t[]){2, 0xaa, 0, 0, 0, (uint8_t)random_below(8)}, 6); /* few: they are shared */
}

static void port_new(unsigned p) {
  random_mac(port[p].mac);
  port[p].mac[1] = 0xbb;
  struct lcpfwd_port a = attributes(p);
  int32_t id = lcpfwd_port_add(f, &a, -1, NULL);
  CHECK(id > 0, "port_add: %d", id);
  port[p].id = (uint32_t)id;
  port[p].incarnation++;
}

static void port_replace(unsigned p) {
  CHECK(lcpfwd_port_del(f, port[p].id) == 0, "port_del");
  CHECK(lcpfwd_port_del(f, port[p].id) == -ENOENT, "port_del of a free id");
  memset(neighbour[p], 0, sizeof neighbour[p]);
  port_new(p);
}

static void port_mac_change(unsigned p) {
  if (is_tun(p))
    return;
  port[p].mac[5] = (uint8_t)random64();
  struct lcpfwd_port a = attributes(p);
  CHECK(lcpfwd_port_set(f, port[p].id, &a) == 0, "port_set");
}

static void neighbour_change(unsigned p, unsigned six, unsigned i, int remove) {
  struct lcpfwd_neighbour n = {.port = (uint16_t)port[p].id, .af = six ? 6 : 4, .flags = remove ? LCPFWD_NEIGH_DELETE : 0};
  int32_t result;
  address(n.af, i, n.addr);
  random_mac(n.mac);
  CHECK(lcpfwd_neighbours_apply(f, &n, 1, &result) == 0 && result == 0, "neighbour: %d", result);
  neighbour[p][six][i].known = !remove;
  memcpy(neighbour[p][six][i].mac, n.mac, 6);
}

static void list_set(unsigned k) {
  struct lcpfwd_path path[MAX_LEGS];
  unsigned legs = 1 + random_below(MAX_LEGS);
  for (unsigned i = 0; i < legs; i++) {
    struct leg *l = &list[k].leg[i];
    l->port = random_below(PORTS);
    l->incarnation = port[l->port].incarnation;
    l->af = random_below(3) * 2 + (random_below(3) ? 4 : 0);
    l->af = l->af > 6 || l->af == 2 ? 6 : l->af;
    l->address = random_below(ADDRESSES);
    path[i] = (struct lcpfwd_path){.port = (uint16_t)port[l->port].id, .weight = (uint16_t)(1 + random_below(3)), .af = (uint8_t)l->af};
    if (l->af)
      address(l->af, l->address, path[i].nh);
  }
  list[k].legs = legs;
  int32_t id = lcpfwd_pathlist_set(f, list[k].id, path, legs);
  CHECK(id > 0 && (list[k].id == 0 || (uint32_t)id == list[k].id), "pathlist_set: %d", id);
  list[k].id = (uint32_t)id;
}

static void list_delete(unsigned k) {
  if (list[k].id)
    CHECK(lcpfwd_pathlist_del(f, list[k].id) == 0, "pathlist_del");
  list[k].id = 0;
}

static int is_same_rewrite(unsigned p, const struct adj *a, const uint8_t *mac) {
  return memcmp(a->rewrite, mac, 6) == 0 && memcmp(a->rewrite + 6, port[p].mac, 6) == 0;
}

static void check_neighbour(unsigned p, unsigned six, unsigned i) {
  uint8_t addr[16], l2[12];
  unsigned af = six ? 6 : 4;
  address(af, i, addr);
  uint32_t id = adj_find_neighbour(&f->region, port[p].id, af, addr);
  const struct adj *a = adj_get(&f->region, id);
  if (neighbour[p][six][i].known) {
    CHECK(a && a->state == ADJ_COMPLETE && (a->flags & ADJ_NEIGHBOUR), "neighbour %u of port %u is not there", i, p);
    CHECK(is_tun(p) ? a->rewrite_len == 0 : a->rewrite_len == 12 && is_same_rewrite(p, a, neighbour[p][six][i].mac), "its rewrite");
  } else {
    CHECK(!a || (!(a->flags & ADJ_NEIGHBOUR) && a->state == (is_tun(p) ? ADJ_COMPLETE : ADJ_INCOMPLETE)),
          "port %u address %u was forgotten", p, i);
  }
  random_mac(l2);
  memcpy(l2 + 6, port[p].mac, 6);
  int any = 0;
  for (unsigned x = 0; x < 2 * ADDRESSES && !is_tun(p); x++)
    any |= neighbour[p][x & 1][x / 2].known && memcmp(neighbour[p][x & 1][x / 2].mac, l2, 6) == 0;
  a = adj_get(&f->region, adj_find_rewrite(&f->region, port[p].id, l2, 12));
  CHECK((a != NULL) == any, "rewrite is %s", any ? "not found" : "found, nobody has it");
  if (a)
    CHECK(a->port == port[p].id && a->state == ADJ_COMPLETE && memcmp(a->rewrite, l2, 12) == 0, "another rewrite");
}

static void check_lists(void) {
  struct lcpfwd_path path[MAX_LEGS];
  uint32_t routes, legs = 0, refs = 0;
  for (unsigned k = 0; k < LISTS; k++) {
    if (!list[k].id)
      continue;
    int32_t n = lcpfwd_pathlist_get(f, list[k].id, path, MAX_LEGS, &routes);
    CHECK(n == (int32_t)list[k].legs && routes == 0, "%d legs, expected %u", n, list[k].legs);
    for (unsigned i = 0; i < list[k].legs; i++, legs++) {
      const struct leg *l = &list[k].leg[i];
      int dead = l->incarnation != port[l->port].incarnation;
      int complete = !dead && (is_tun(l->port) || (l->af && neighbour[l->port][l->af == 6][l->address].known));
      CHECK(path[i].port == (dead ? 0 : port[l->port].id) && path[i].af == l->af, "leg %u", i);
      CHECK((path[i].flags & LCPFWD_PATH_COMPLETE) == (complete ? LCPFWD_PATH_COMPLETE : 0), "leg %u complete: %d", i, complete);
    }
    for (uint32_t hash = 0; hash < 64; hash++)
      CHECK(adj_get(&f->region, pathlist_select(&f->region, list[k].id, hash)) != NULL, "a bucket leads nowhere");
  }
  struct lcpfwd_adjacency a;
  for (uint32_t cursor = 0; lcpfwd_adjacencies_dump(f, &a, 1, &cursor) == 1;)
    refs += a.refs;
  CHECK(refs == legs, "%u references, %u legs", refs, legs);
}

static void check_all(void) {
  struct lcpfwd_neighbour n;
  struct lcpfwd_info info;
  uint32_t known = 0, dumped = 0, adjacencies = 0, end = f->region.head->adjacency_end;
  uint64_t carved, used, spare;
  for (unsigned p = 0; p < PORTS; p++)
    for (unsigned i = 0; i < 2 * ADDRESSES; i++) {
      known += (uint32_t)neighbour[p][i & 1][i / 2].known;
      check_neighbour(p, i & 1, i / 2);
    }
  for (uint32_t cursor = 0; lcpfwd_neighbours_dump(f, &n, 1, &cursor) == 1;)
    dumped++;
  for (uint32_t id = 1; id < end; id++) {
    const struct adj *a = adj_get(&f->region, id);
    if (!a || (a->flags & ADJ_GONE))
      continue;
    adjacencies++;
    CHECK( f->writer->adjacency_refs[id] || (a->flags & ADJ_NEIGHBOUR) || a->af == 0, "adjacency %u is of no use", id);
  }
  lcpfwd_info(f, &info);
  CHECK(info.neighbours == known && dumped == known, "%u neighbours, %u dumped, expected %u", info.neighbours, dumped, known);
  CHECK(info.adjacencies == adjacencies && info.ports == PORTS, "info");
  check_lists();
  CHECK(blocks_audit(&f->writer->blocks, &carved, &used, &spare) == 0, "books of the allocator");
}

static void attach(void) {
  int32_t err, fd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
  f = attachment_open(fd, &err);
  CHECK(f != NULL, "attach: %d", err);
}

/* Returns the bytes in use then. */
static uint64_t reattach(void) {
  uint64_t carved, used, spare;
  lcpfwd_detach(f);
  attach();
  check_all();
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &used, &spare) == 0, "books");
  return used;
}

int main(int argc, char **argv) {
  struct region r;
  check_begin("adj_test", argc, argv);
  CHECK(region_create(&r, 0, 2) == 0, "region");
  memfd = r.fd;
  attach();
  CHECK(!f->writer->recovered, "nobody died");
  for (unsigned p = 0; p < PORTS; p++)
    port_new(p);
  for (uint32_t i = 0; i < OPERATIONS; i++) {
    unsigned p = random_below(PORTS), k = random_below(LISTS), dice = random_below(1000);
    if (dice < 3)
      port_replace(p);
    else if (dice < 20)
      port_mac_change(p);
    else if (dice < 200)
      list_set(k);
    else if (dice < 260)
      list_delete(k);
    else
      neighbour_change(p, random_below(2), random_below(ADDRESSES), dice < 640);
    check_neighbour(p, random_below(2), random_below(ADDRESSES));
    if (i % 500 == 0)
      check_all();
    if (i % 5000 == 4999) { /* what is private comes back from what is shared */
      uint64_t first = reattach(); /* may build larger hashes than there were */
      CHECK(reattach() == first, "attaching again finds another amount of memory in use");
    }
  }
  lcpfwd_detach(f);
  region_unmap(&r);
  printf("adj_test: ok, %u operations\n", OPERATIONS);
  return 0;
}
