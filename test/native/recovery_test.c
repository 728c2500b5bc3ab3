/* recovery_test.c - a writer killed at any instruction: the next one finds whole tables, exact counts
 * and all memory accounted for, and goes on. The victim is a process of its own, killed by SIGKILL. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attachment.h"
#include "naive_fib.h"
#include "reader.h"
#include "subif.h"
#include "writer.h"

#define ROUNDS 150u
#define LISTS 30u
#define TABLES 2u

static struct region region;
static lcpfwd *f;
static uint32_t table[TABLES];

static void attach(void) {
  int32_t err;
  f = attachment_open(dup(region.fd), &err);
  CHECK(f != NULL, "attach: %d", err);
}

static void add_tables(void) {
  table[0] = (uint32_t)lcpfwd_table_add(f, 4, "main/4");
  table[1] = (uint32_t)lcpfwd_table_add(f, 6, "main/6");
}

static uint16_t any_port(void) {
  struct lcpfwd_port p[64];
  int32_t n = lcpfwd_ports(f, p, 64);
  CHECK(n > 0 && n <= 64, "%d ports", n);
  return (uint16_t)p[random_below((uint32_t)n)].id;
}

static void random_nh(uint8_t *nh) {
  memset(nh, 0, 16);
  nh[0] = 10;
  nh[3] = (uint8_t)random_below(50);
}

/* Into tables that may be there, and some that only legs name. */
static struct lcpfwd_path lookup_leg(void) {
  struct lcpfwd_path p = {.weight = 1, .flags = LCPFWD_PATH_LOOKUP};
  unsigned n = random_below(LCPFWD_LOOKUP_TABLES + 1);
  for (unsigned i = 0; i < n; i++) {
    char name[16];
    snprintf(name, sizeof name, random_below(2) ? "main/4" : "vrf%u/4", random_below(5));
    int32_t id = lcpfwd_table_name(f, 4, name);
    CHECK(id > 0, "table_name: %d", id);
    p.tables4[i] = (uint16_t)id;
  }
  p.tables6[0] = (uint16_t)lcpfwd_table_name(f, 6, "main/6");
  return p;
}

static void change_list(void) {
  struct lcpfwd_path p[4];
  uint32_t routes, id = LCPFWD_PL_FIRST + random_below(LISTS), legs = 1 + random_below(4);
  for (unsigned i = 0; i < legs; i++) {
    p[i] = (struct lcpfwd_path){.port = any_port(), .weight = (uint16_t)(1 + random_below(5)), .af = random_below(5) ? 4 : 0};
    if (p[i].af)
      random_nh(p[i].nh);
    p[i].labels = (uint8_t)(random_below(3) ? 0 : random_below(LCPFWD_MAX_LABELS + 1));
    for (unsigned k = 0; k < p[i].labels; k++)
      p[i].label[k] = 16 + random_below(1000);
    if (random_below(8) == 0)
      p[i] = (struct lcpfwd_path){.weight = 1, .flags = LCPFWD_PATH_PUNT};
    else if (random_below(6) == 0)
      p[i] = lookup_leg();
  }
  struct lcpfwd_path now[4];
  if (lcpfwd_pathlist_get(f, id, now, 4, &routes) < 0)
    id = 0; /* makes one: ids are used again, so their number stays small */
  else if (random_below(8) == 0) {
    int32_t gone = lcpfwd_pathlist_del(f, id);
    CHECK(gone == 0 || gone == -EBUSY, "pathlist_del: %d", gone);
    return;
  }
  int32_t got = lcpfwd_pathlist_set(f, id, p, legs);
  CHECK(got > 0, "pathlist_set: %d", got);
}

static void change_neighbour(void) {
  struct lcpfwd_neighbour n = {.port = any_port(), .af = 4, .flags = random_below(3) ? 0 : LCPFWD_NEIGH_DELETE,
                               .mac = {2, 0, 0, 0, 0, (uint8_t)random_below(6)}};
  int32_t result;
  random_nh(n.addr);
  CHECK(lcpfwd_neighbours_apply(f, &n, 1, &result) == 0, "neighbour: %d", result);
}

/* Of any port that can have one, or one goes. Refused where the tags are taken or the port is one itself. */
static void change_subif(void) {
  struct lcpfwd_port all[64], p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 2, 0, 0, 0, (uint8_t)random64()}, .tags = 1};
  int32_t n = lcpfwd_ports(f, all, 64);
  if (n > 40 || random_below(3) == 0) {
    const struct lcpfwd_port *one = &all[random_below((uint32_t)(n < 64 ? n : 64))];
    CHECK(one->parent == 0 || lcpfwd_port_del(f, one->id) == 0, "delete of a sub-interface");
    return;
  }
  p.parent = any_port();
  p.tag[0] = 0x81000000u | (1 + random_below(6));
  if (random_below(2))
    p.tag[p.tags++] = 0x81000000u | (1 + random_below(3));
  int32_t added = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(added > 0 || added == -EEXIST || added == -ENODEV || added == -ENOSPC, "sub-interface: %d", added);
}

/* Each open one has an open parent and is found by its tags, no other is; no id stays lost. */
static void check_subifs(void) {
  struct region_head *h = f->region.head;
  unsigned linked = 0, there = 0;
  blocks_settle(&f->writer->blocks);
  for (unsigned id = 1; id < LCPFWD_MAX_PORTS; id++) {
    const struct port_entry *e = &h->ports[id];
    CHECK(e->state == PORT_FREE || e->state == PORT_OPEN, "port %u stays in state %u", id, e->state);
    if (e->state != PORT_OPEN || e->parent == 0)
      continue;
    there++;
    CHECK(port_get(&f->region, e->parent) && h->ports[e->parent].parent == 0, "sub-interface %u has no parent", id);
    CHECK(subif_find(&f->region, e->parent, e->tags[0], e->tags[1]) == id, "sub-interface %u is not found", id);
  }
  for (unsigned i = 0; i < SUBIF_BUCKETS; i++)
    for (uint32_t id = h->subif_hash[i]; id; id = h->ports[id].subif_next, linked++)
      CHECK(linked < LCPFWD_MAX_PORTS && h->ports[id].state == PORT_OPEN && h->ports[id].parent, "bucket %u holds port %u", i, id);
  CHECK(linked == there, "%u sub-interfaces in the hash, there are %u", linked, there);
}

/* Each name that outlasts its table is held by legs; what legs name is there or absent, never free. attached: nothing
 * has been named since. */
static void check_tables(int attached) {
  struct region_head *h = f->region.head;
  static uint32_t refs[LCPFWD_MAX_TABLES];
  memset(refs, 0, sizeof refs);
  for (uint32_t id = LCPFWD_PL_FIRST; id < h->pathlist_end; id++) {
    struct lcpfwd_path p[4];
    uint32_t routes;
    int32_t n = lcpfwd_pathlist_get(f, id, p, 4, &routes);
    for (int32_t i = 0; i < n; i++)
      for (unsigned k = 0; (p[i].flags & LCPFWD_PATH_LOOKUP) && k < LCPFWD_LOOKUP_TABLES; k++)
        refs[p[i].tables4[k]]++, refs[p[i].tables6[k]]++;
  }
  for (uint32_t id = 1; id < LCPFWD_MAX_TABLES; id++) {
    CHECK(f->writer->table_refs[id] == refs[id], "table %u: %u legs, expected %u", id, f->writer->table_refs[id], refs[id]);
    CHECK(h->tables[id].af ? refs[id] || !attached || !(h->tables[id].af & TABLE_ABSENT) : !refs[id], "table %u of family %x: %u legs", id, h->tables[id].af, refs[id]);
  }
}

static void change_port(void) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 1, 0, 0, 0, (uint8_t)random64()}, .macs = (uint8_t)random_below(17)};
  uint16_t id = any_port();
  if (random_below(4)) {
    CHECK(lcpfwd_port_set(f, id, &p) == 0, "port_set");
    return;
  }
  int32_t added = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(added > 0, "port_add: %d", added);
  if (lcpfwd_ports(f, &p, 1) > 4)
    CHECK(lcpfwd_port_del(f, id) == 0, "port_del");
  struct lcpfwd_port all[64];
  int32_t n = lcpfwd_ports(f, all, 64), parents = 0;
  for (int32_t i = 0; i < n; i++)
    parents += all[i].parent == 0;
  for (int32_t i = 0; i < n && parents > 4; i++) /* what goes takes its sub-interfaces along */
    if (all[i].parent == 0 && all[i].id != (uint32_t)added) {
      CHECK(lcpfwd_port_del(f, all[i].id) == 0, "port_del");
      parents--;
    }
}

static void random_route(unsigned t, struct lcpfwd_route *r, int remove) {
  unsigned plen;
  struct lcpfwd_path now[4];
  uint32_t routes;
  *r = (struct lcpfwd_route){.table = table[t]};
  naive_random_prefix(t ? 128 : 32, r->addr, &plen);
  r->plen = (uint8_t)plen;
  uint32_t id = LCPFWD_PL_FIRST + random_below(LISTS);
  if (!remove)
    r->pathlist = lcpfwd_pathlist_get(f, id, now, 4, &routes) > 0 ? id : LCPFWD_PL_LOCAL;
}

static void change_routes(struct naive_fib *n) {
  struct lcpfwd_route r[32];
  int32_t result[32];
  unsigned t = random_below(TABLES), remove = random_below(2), count = 1 + random_below(32);
  for (unsigned i = 0; i < count; i++) {
    random_route(t, &r[i], (int)remove);
    if (n && remove)
      naive_delete(&n[t], r[i].addr, r[i].plen);
    else if (n)
      naive_set(&n[t], r[i].addr, r[i].plen, r[i].pathlist);
  }
  CHECK(lcpfwd_routes_apply(f, r, count, result) == 0, "routes");
}

static void victim(void) {
  attach();
  add_tables();
  for (;;) {
    unsigned dice = random_below(200);
    if (dice < 60)
      change_list();
    else if (dice < 120)
      change_neighbour();
    else if (dice < 126)
      change_port();
    else if (dice > 190)
      change_subif();
    else if (dice == 126) {
      CHECK(lcpfwd_table_del(f, table[random_below(TABLES)]) == 0, "table_del");
      add_tables();
    } else
      change_routes(NULL);
  }
}

static void naive_from_dump(struct naive_fib *n, unsigned t) {
  struct lcpfwd_route page[100];
  uint8_t cursor[20] = {0};
  int32_t got;
  *n = (struct naive_fib){.bits = t ? 128 : 32};
  while ((got = lcpfwd_routes_dump(f, table[t], page, 100, cursor)) > 0)
    for (int32_t i = 0; i < got; i++)
      naive_set(n, page[i].addr, page[i].plen, page[i].pathlist);
  CHECK(got == 0, "dump: %d", got);
}

static void check_routes(const struct naive_fib *n, unsigned t) {
  struct lcpfwd_lookup_spec spec = {.n = 1, .table = {table[t]}};
  struct lcpfwd_lookup_result got;
  uint32_t af, routes, value;
  char name[120];
  CHECK(lcpfwd_table_get(f, table[t], &af, name, &routes) == 0 && routes == n->n, "%u routes, dump has %u", routes, n->n);
  for (uint32_t i = 0; i < n->n; i++) {
    struct fib_prefix p = {.plen = n->route[i].plen};
    memcpy(p.addr, n->route[i].addr, 16);
    CHECK(fib_get(&f->region, table[t], &p) == n->route[i].value, "dumped route %u is not found", i);
    CHECK(lcpfwd_lookup(f, &spec, af, p.addr, 1, &got) == 0, "lookup");
    int plen = naive_lookup(n, p.addr, &value);
    CHECK(plen >= 0 && got.plen == (uint32_t)plen && got.pathlist == value, "lookup of route %u", i);
  }
}

static void check_references(const struct naive_fib *n) {
  struct region_head *h = f->region.head;
  for (uint32_t id = 1; id < h->pathlist_end; id++) {
    uint32_t refs = 0;
    for (unsigned t = 0; t < TABLES; t++)
      for (uint32_t i = 0; i < n[t].n; i++)
        refs += n[t].route[i].value == id;
    CHECK(id < LCPFWD_PL_FIRST || h->pathlists[id] == 0 || pathlist_valid(&f->region, id), "path list %u stays deleted", id);
    CHECK(f->writer->routes_of[id] == refs, "path list %u: %u routes, expected %u", id, f->writer->routes_of[id], refs);
  }
  struct lcpfwd_adjacency a;
  for (uint32_t cursor = 0; lcpfwd_adjacencies_dump(f, &a, 1, &cursor) == 1;) {
    uint32_t refs = 0;
    for (uint32_t id = LCPFWD_PL_FIRST; id < h->pathlist_end; id++) {
      struct pathlist *p = h->pathlists[id] ? region_at(&f->region, h->pathlists[id]) : NULL;
      for (unsigned i = 0; p && !p->deleted && i < p->legs; i++)
        refs += pathlist_legs(p)[i].adjacency == a.id;
    }
    CHECK(refs || a.af == 0 || (adj_get(&f->region, a.id)->flags & ADJ_NEIGHBOUR), "adjacency %u is of no use", a.id);
    CHECK(a.refs == refs, "adjacency %u: %u legs, expected %u", a.id, a.refs, refs);
    if (a.state == ADJ_DEAD)
      continue;
    CHECK(port_get(&f->region, a.port) != NULL, "adjacency %u of a port that is not open lives", a.id);
    CHECK(a.af == 0 || adj_find_neighbour(&f->region, a.port, a.af, a.nh) == a.id, "adjacency %u is not found", a.id);
    if (a.rewrite_len) {
      uint64_t mac = h->ports[a.port].mac;
      CHECK(adj_find_rewrite(&f->region, a.port, a.rewrite, a.rewrite_len) != 0, "rewrite of %u is not found", a.id);
      CHECK(memcmp(a.rewrite + 6, &mac, 6) == 0, "adjacency %u has an old port's address", a.id);
    }
  }
}

static uint64_t used(void) {
  uint64_t carved, in_use, spare;
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &in_use, &spare) == 0, "books of the allocator");
  CHECK(carved == in_use + spare, "used and free is not what was carved");
  return in_use;
}

static int killed_round(void) {
  pid_t pid = fork();
  CHECK(pid >= 0, "fork");
  if (pid == 0) {
    check_state ^= random64();
    victim();
  }
  usleep(random_below(12000));
  if (random_below(2)) { /* a worker in the middle of a burst: nothing is reclaimed, much is under way */
    qsbr_online(&region, 0);
    usleep(random_below(1000));
  }
  CHECK(kill(pid, SIGKILL) == 0, "kill");
  int status;
  CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "victim ended by itself: %x", status);
  random64();

  struct naive_fib n[TABLES];
  qsbr_offline(&region, 0);
  attach();
  int recovered = f->writer->recovered;
  add_tables(); /* a victim may have died between deleting and adding */
  used();
  for (unsigned t = 0; t < TABLES; t++) {
    naive_from_dump(&n[t], t);
    check_routes(&n[t], t);
  }
  check_references(n);
  check_subifs();
  check_tables(1);
  /* Twice: the first attach may size the hashes for adjacencies that it then drops. */
  lcpfwd_detach(f);
  attach();
  CHECK(!f->writer->recovered, "a clean detach looks like a death");
  uint64_t first = used();
  lcpfwd_detach(f);
  attach();
  CHECK(used() == first, "attaching again finds %" PRIu64 " bytes in use, first %" PRIu64, used(), first);
  for (unsigned i = 0; i < 50; i++) {
    change_list();
    change_neighbour();
    change_subif();
    change_routes(n);
  }
  check_subifs();
  check_tables(0);
  for (unsigned t = 0; t < TABLES; t++) {
    check_routes(&n[t], t);
    free(n[t].route);
  }
  used();
  lcpfwd_detach(f);
  return recovered;
}

/* A word that matters, for all that is known: a root, a directory entry, or anything in carved memory. */
static uint32_t *any_word(void) {
  struct region_head *h = region.head;
  switch (random_below(4)) {
  case 0:
    return &h->tables[1 + random_below(TABLES)].root;
  case 1:
    return &h->pathlists[LCPFWD_PL_FIRST + random_below(LISTS)];
  case 2:
    return &h->adjacencies[1 + random_below(h->adjacency_end)];
  default:
    return (uint32_t *)(void *)(region.base + REGION_HEAD + random_below(h->chunks * (REGION_CHUNK / 4)) * 4ull);
  }
}

/* What is damaged is refused with -EUCLEAN or means something else; it is never followed into a crash. */
static void damage(void) {
  uint32_t refused = 0;
  for (unsigned i = 0; i < 400; i++) {
    int32_t err = 0;
    uint32_t *word = any_word(), was = *word;
    *word = random_below(2) ? (uint32_t)random64() : was ^ 1u << random_below(32);
    lcpfwd *g = attachment_open(dup(region.fd), &err);
    refused += g == NULL;
    CHECK(g || err == -EUCLEAN, "attach: %d", err);
    lcpfwd_detach(g);
    *word = was;
  }
  CHECK(refused > 100, "only %u of 400 damaged words were noticed", refused);
}

int main(int argc, char **argv) {
  check_begin("recovery_test", argc, argv);
  CHECK(region_create(&region, 0, 1) == 0, "region");
  attach();
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2}};
  for (unsigned i = 0; i < 4; i++)
    CHECK(lcpfwd_port_add(f, &p, -1, NULL) > 0, "port_add");
  lcpfwd_detach(f);
  unsigned deaths = 0;
  uint32_t chunks = 0;
  for (unsigned i = 0; i < ROUNDS; i++) {
    deaths += (unsigned)killed_round();
    if (i == ROUNDS / 3)
      chunks = region.head->chunks;
  }
  CHECK(deaths > ROUNDS / 4, "only %u of %u victims were attached when killed", deaths, ROUNDS);
  CHECK(region.head->chunks <= 2 * chunks + 100, "memory grows with each death: %u chunks, then %u", chunks, region.head->chunks);
  damage();
  region_unmap(&region);
  printf("recovery_test: ok, %u deaths in %u rounds\n", deaths, ROUNDS);
  return 0;
}
