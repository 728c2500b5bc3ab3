/* readers_test.c - workers that look up while the writer changes everything: whatever they find must be
 * legal for what they asked, at every step from address to adjacency, and what nobody changes is always
 * found, while one writer takes over from another too. Also run under TSan. */
#include <pthread.h>
#include <string.h>

#include "attachment.h"
#include "naive_fib.h"
#include "reader.h"
#include "subif.h"
#include "writer.h"

#define READERS 2u
#define VLANS 12u /* sub-interfaces that come and go; their MAC address says their VLAN */
#define STAYING 500u /* neighbours that nobody touches: to be found at every moment, also while a writer attaches */
#define KINDS 129u /* a path list's next hops say for which prefix length it was made */

static lcpfwd *f;
static uint32_t table[2], list[KINDS];
static int stop;
static unsigned changes, attached, refused; /* for want of memory that a reader still held: legal, but not the rule */
static uint16_t port;

static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  return z ^ (z >> 31);
}

/* Legs of kind k: next hops fd00::k:*, and labels k, if any, so that a reader can tell. */
static void set_list(unsigned k) {
  struct lcpfwd_path p[4];
  unsigned legs = 1 + random_below(4);
  for (unsigned i = 0; i < legs; i++)
    p[i] = (struct lcpfwd_path){.port = port, .weight = (uint16_t)(1 + random_below(9)), .af = 6,
                                .nh = {0xfd, [1] = (uint8_t)k, [15] = (uint8_t)random_below(20)},
                                .labels = (uint8_t)(random_below(2) * random_below(9)),
                                .label = {16 + k, 16 + k, 16 + k, 16 + k, 16 + k, 16 + k, 16 + k, 16 + k}};
  int32_t id = lcpfwd_pathlist_set(f, list[k], p, legs);
  CHECK(id > 0 || id == -ENOSPC, "pathlist_set: %d", id);
  refused += id < 0;
  if (id > 0)
    list[k] = (uint32_t)id;
}

static void apply(unsigned t, const uint8_t *addr, unsigned plen, uint32_t value) {
  struct lcpfwd_route r = {.table = table[t], .pathlist = value, .plen = (uint8_t)plen};
  int32_t result;
  memcpy(r.addr, addr, 16);
  lcpfwd_routes_apply(f, &r, 1, &result);
  CHECK(result == 0 || result == -ENOSPC, "route: %d", result);
  refused += result < 0;
}

static void check_path(const struct lcpfwd_lookup_result *got, uint64_t hash) {
  const struct pathlist *l = pathlist_get_block(&f->region, got->pathlist);
  CHECK(l != NULL, "path list %u is not there", got->pathlist);
  uint32_t bucket = l->bucket[(uint32_t)hash & l->mask];
  if (bucket & BUCKET_LEG) {
    unsigned leg = bucket & ~BUCKET_LEG;
    CHECK(leg < l->legs && l->stacked, "bucket %x", bucket);
    bucket = pathlist_legs(l)[leg].adjacency;
    for (unsigned i = 0; i < pathlist_legs(l)[leg].labels; i++)
      CHECK(pathlist_labels(l, leg)[i] == 16 + got->plen, "a /%u gets a label made for /%u", got->plen, pathlist_labels(l, leg)[i] - 16);
  }
  const struct adj *a = adj_get(&f->region, bucket);
  CHECK(a != NULL, "path list %u leads nowhere", got->pathlist);
  CHECK(a->nh[0] == 0xfd && a->nh[1] == got->plen, "a /%u goes to a next hop made for /%u", got->plen, a->nh[1]);
  uint8_t state = LOAD(&a->state);
  CHECK(state == ADJ_COMPLETE || state == ADJ_INCOMPLETE, "state %u", state);
  if (state == ADJ_COMPLETE && a->rewrite_len)
    CHECK(a->rewrite_len == 12 && a->rewrite[0] == 2 && a->rewrite[1] == a->nh[15], "rewrite of another neighbour");
}

static void staying(unsigned i, uint8_t nh[16], uint8_t l2[12]) {
  memset(nh, 0, 16);
  memset(l2, 0, 12);
  nh[0] = 0xfc;
  l2[0] = l2[6] = 2;
  l2[11] = 1;
  nh[14] = l2[4] = (uint8_t)(1 + i / 256);
  nh[15] = l2[5] = (uint8_t)i;
}

static void check_staying(unsigned i) {
  uint8_t nh[16], l2[12];
  staying(i, nh, l2);
  const struct adj *a = adj_get(&f->region, adj_find_neighbour(&f->region, port, 6, nh));
  CHECK(a && memcmp(a->nh, nh, 16) == 0 && LOAD(&a->state) == ADJ_COMPLETE, "neighbour %u is lost", i);
  a = adj_get(&f->region, adj_find_rewrite(&f->region, port, l2, 12));
  CHECK(a && memcmp(a->nh, nh, 16) == 0, "the rewrite of neighbour %u is lost", i);
}

static void *reader(void *arg) {
  unsigned worker = (unsigned)(uintptr_t)arg;
  uint64_t state = check_seed + worker, done = 0, found_sub = 0;
  struct region *r = &f->region;
  qsbr_online(r, worker);
  for (; !LOAD(&stop); done++) {
    uint64_t v[2] = {next(&state), next(&state)};
    uint8_t addr[16];
    struct lcpfwd_lookup_result got;
    unsigned t = v[0] >> 63;
    struct lcpfwd_lookup_spec spec = {.n = 1, .table = {table[t]}};
    memcpy(addr, v, 16);
    addr[0] = 10; /* in the prefix that is never deleted */
    for (unsigned i = 1; i < 16 && (v[1] >> i & 1); i++)
      addr[i] = (uint8_t)(7 * i); /* along the trunk of naive_random_prefix */
    fib_lookup(r, &spec, t ? 6 : 4, addr, &got);
    CHECK(got.table == table[t] && got.plen >= 8, "the /8 that is always there was not found");
    check_path(&got, v[1]);
    uint8_t nh[16] = {0xfd, [1] = (uint8_t)(v[1] >> 8) & 127, [15] = (uint8_t)(v[1] >> 16) % 20};
    const struct adj *a = adj_get(r, adj_find_neighbour(r, port, 6, nh));
    CHECK(!a || memcmp(a->nh, nh, 16) == 0, "another neighbour");
    uint8_t l2[12] = {2, nh[15], 0, 0, 0, 0, 2, 0, 0, 0, 0, 1};
    a = adj_get(r, adj_find_rewrite(r, port, l2, 12));
    CHECK(!a || a->nh[15] == nh[15], "rewrite of another neighbour");
    check_staying((unsigned)(v[0] >> 8) % STAYING);
    uint32_t vlan = 1 + (uint32_t)(v[1] >> 32) % VLANS, inner = v[1] >> 48 & 1 ? 0x81000009u : 0;
    const struct port_entry *sub = port_get(r, subif_find(r, port, 0x81000000u | vlan, inner));
    if (sub) {
      uint8_t mac[6];
      port_mac(sub, mac);
      CHECK(mac[5] == vlan && mac[4] == (inner != 0), "VLAN %u is that of VLAN %u", vlan, mac[5]);
      found_sub++;
    }
    if (done % 64 == 63)
      qsbr_quiescent(r, worker);
    if (done % 5000 == 4999) {
      qsbr_offline(r, worker);
      qsbr_online(r, worker);
    }
  }
  qsbr_offline(r, worker);
  CHECK(done > 100 && found_sub > done / 100, "reader %u did not run, or saw no sub-interface", worker);
  return NULL;
}

static void change_neighbour(void) {
  struct lcpfwd_neighbour n = {.port = port, .af = 6, .flags = random_below(2) ? 0 : LCPFWD_NEIGH_DELETE};
  int32_t result;
  n.addr[0] = 0xfd;
  n.addr[1] = (uint8_t)random_below(128);
  n.addr[15] = (uint8_t)random_below(20);
  n.mac[0] = 2;
  n.mac[1] = n.addr[15];
  lcpfwd_neighbours_apply(f, &n, 1, &result);
  CHECK(result == 0 || result == -ENOSPC, "neighbour: %d", result);
  refused += result < 0;
}

/* Makes a sub-interface, or takes away the one that has its tags. */
static void change_subif(void) {
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .parent = port, .tags = 1, .mac = {2}};
  uint32_t vlan = 1 + random_below(VLANS), inner = random_below(2);
  p.tag[0] = 0x81000000u | vlan;
  if (inner)
    p.tag[p.tags++] = 0x81000009u;
  p.mac[4] = (uint8_t)inner;
  p.mac[5] = (uint8_t)vlan;
  int32_t id = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(id > 0 || id == -EEXIST || id == -ENOSPC, "sub-interface: %d", id);
  refused += id == -ENOSPC;
  if (id == -EEXIST)
    CHECK(lcpfwd_port_del(f, subif_find(&f->region, port, p.tag[0], p.tag[1])) == 0, "port_del");
}

/* Take the list of an unused kind away and make it anew under whatever id comes. */
static void renew_list(unsigned k) {
  if (f->writer->routes_of[list[k]] || lcpfwd_pathlist_del(f, list[k]) != 0)
    return;
  list[k] = 0;
  set_list(k);
}

/* A writer that goes and the next one, which recovers: to the readers nothing changes. */
static void attach_again(void) {
  struct writer *w = f->writer;
  writer_close(w);
  int err = writer_open(w, &f->region);
  CHECK(err == 0, "attach: %d", err);
  attached++;
}

static void add_staying(void) {
  for (unsigned i = 0; i < STAYING; i++) {
    struct lcpfwd_neighbour n = {.port = port, .af = 6};
    uint8_t l2[12];
    int32_t result;
    staying(i, n.addr, l2);
    memcpy(n.mac, l2, 6);
    lcpfwd_neighbours_apply(f, &n, 1, &result);
    CHECK(result == 0, "neighbour: %d", result);
  }
}

static void churn(double seconds) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double end = (double)t.tv_sec + (double)t.tv_nsec / 1e9 + seconds;
  for (;; changes++) {
    unsigned w = random_below(2), plen, dice = random_below(16);
    uint8_t addr[16];
    naive_random_prefix(w ? 128 : 32, addr, &plen);
    if (changes % 1024 == 1023)
      attach_again();
    else if (dice == 0)
      set_list(random_below(KINDS));
    else if (dice < 3)
      change_neighbour();
    else if (dice == 3)
      renew_list(random_below(KINDS));
    else if (dice == 4)
      change_subif();
    else if (addr[0] == 10 && plen != 8) /* half grow, half shrink; deletes find something */
      apply(w, addr, plen, random_below(2) ? list[plen] : 0);
    clock_gettime(CLOCK_MONOTONIC, &t);
    if ((double)t.tv_sec + (double)t.tv_nsec / 1e9 > end)
      break;
  }
}

int main(int argc, char **argv) {
  pthread_t thread[READERS];
  static const uint8_t ten[16] = {10};
  check_begin("readers_test", argc, argv);
  f = lcpfwd_create(REGION_HEAD + 512 * REGION_CHUNK, READERS); /* little, so that memory is used again soon */
  CHECK(f != NULL, "create");
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1}};
  port = (uint16_t)lcpfwd_port_add(f, &p, -1, NULL);
  table[0] = (uint32_t)lcpfwd_table_add(f, 4, "4");
  table[1] = (uint32_t)lcpfwd_table_add(f, 6, "6");
  for (unsigned k = 0; k < KINDS; k++)
    set_list(k);
  CHECK(refused == 0, "no memory at the start");
  apply(0, ten, 8, list[8]);
  apply(1, ten, 8, list[8]);
  add_staying();
  for (unsigned i = 0; i < READERS; i++)
    CHECK(pthread_create(&thread[i], NULL, reader, (void *)(uintptr_t)i) == 0, "thread");
  churn(3);
  STORE(&stop, 1);
  for (unsigned i = 0; i < READERS; i++)
    pthread_join(thread[i], NULL);
  uint64_t carved, used, spare;
  blocks_settle(&f->writer->blocks);
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &used, &spare) == 0, "books of the allocator");
  CHECK(f->writer->blocks.queue_count == 0, "%u blocks wait for readers that are gone", f->writer->blocks.queue_count);
  lcpfwd_detach(f);
  CHECK(refused < changes / 10, "%u of %u changes refused", refused, changes);
  printf("readers_test: ok, %u changes, %u writers, %u refused\n", changes, attached, refused);
  return 0;
}
