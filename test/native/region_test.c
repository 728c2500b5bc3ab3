/* region_test.c - the shared memory itself: what is refused, running out of it, QSBR, rings, counters. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "attachment.h"
#include "check.h"
#include "reader.h"
#include "writer.h"

static struct lcpfwd_port attributes = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2, 0, 0, 0, 0, 1}};

static uint64_t bytes_used(lcpfwd *f) {
  uint64_t carved, used, spare;
  CHECK(blocks_audit(&f->writer->blocks, &carved, &used, &spare) == 0, "books of the allocator");
  return used;
}

static void mapping(void) {
  struct region r, other;
  CHECK(region_create(&r, 1 << 20, 1) == -EINVAL, "memory smaller than the head");
  CHECK(region_create(&r, REGION_MAX * 2, 1) == -EINVAL, "memory larger than references reach");
  CHECK(region_create(&r, 0, 0) == -EINVAL && region_create(&r, 0, LCPFWD_MAX_WORKERS + 1) == -EINVAL, "workers");
  CHECK(region_create(&r, 0, 2) == 0 && r.size == REGION_DEFAULT, "default size");
  CHECK(ftruncate(r.fd, 4096) < 0 && ftruncate(r.fd, (off_t)(REGION_DEFAULT * 2)) < 0, "its size is sealed");
  int fd = memfd_create("not-a-region", MFD_CLOEXEC);
  CHECK(region_map(&other, fd) == -EPROTO, "empty file");
  CHECK(ftruncate(fd, 1 << 28) == 0 && region_map(&other, fd) == -EPROTO, "zeroes");
  close(fd);
  int again = dup(r.fd);
  r.head->abi++;
  CHECK(region_map(&other, again) == -EPROTO, "other ABI");
  r.head->abi--;
  r.head->layout++;
  CHECK(region_map(&other, again) == -EPROTO, "other layout");
  r.head->layout--;
  CHECK(region_map(&other, again) == 0 && other.head->generation == r.head->generation, "map");
  region_unmap(&other);
  region_unmap(&r);
}

/* Every kind of object until nothing fits, then everything goes and the books are as before. */
static void exhaustion(void) {
  lcpfwd *f = lcpfwd_create(REGION_HEAD + 24 * REGION_CHUNK, 1);
  CHECK(f != NULL, "create");
  int32_t port = lcpfwd_port_add(f, &attributes, -1, NULL), table = lcpfwd_table_add(f, 6, "t"), result;
  CHECK(port > 0 && table > 0, "port and table");
  struct lcpfwd_path path = {.port = (uint16_t)port, .weight = 1};
  int32_t list = lcpfwd_pathlist_set(f, 0, &path, 1);
  uint64_t before = bytes_used(f);
  struct lcpfwd_route r = {.table = (uint32_t)table, .pathlist = (uint32_t)list, .plen = 128};
  uint32_t routes = 0, af, refused = 0, listed;
  char name[120];
  while (refused < 100) { /* goes on after the first refusal: that must have changed nothing */
    uint64_t v[2] = {random64(), random64()}, used = bytes_used(f);
    memcpy(r.addr, v, 16);
    lcpfwd_routes_apply(f, &r, 1, &result);
    CHECK(result == 0 || result == -ENOSPC, "route: %d", result);
    routes += result == 0;
    if (result < 0) {
      refused++;
      CHECK(bytes_used(f) == used, "a refused route keeps memory");
    }
  }
  CHECK(lcpfwd_table_get(f, (uint32_t)table, &af, name, &listed) == 0 && listed == routes, "%u routes, expected %u", listed, routes);
  CHECK(f->writer->routes_of[list] == routes, "references");
  struct lcpfwd_neighbour n = {.port = (uint16_t)port, .af = 4, .mac = {2}};
  for (uint32_t i = 1; lcpfwd_neighbours_apply(f, &n, 1, &result) == 0; i++)
    memcpy(n.addr, &i, 4);
  CHECK(result == -ENOSPC, "neighbour: %d", result);
  struct lcpfwd_path many[LCPFWD_MAX_PATHS];
  for (unsigned i = 0; i < LCPFWD_MAX_PATHS; i++)
    many[i] = (struct lcpfwd_path){.port = (uint16_t)port, .weight = (uint16_t)(i + 1), .af = 6, .nh = {1, (uint8_t)i}};
  CHECK(lcpfwd_pathlist_set(f, 0, many, LCPFWD_MAX_PATHS) == -ENOSPC, "path list");
  CHECK(lcpfwd_pathlist_set(f, (uint32_t)list, many, LCPFWD_MAX_PATHS) == -ENOSPC, "path list replaced");
  CHECK(adj_find_neighbour(&f->region, (unsigned)port, 6, many[0].nh) == 0, "adjacency of a refused path list");
  struct lcpfwd_route page[16];
  uint8_t cursor[20] = {0};
  uint32_t gone = 0;
  for (int32_t got; (got = lcpfwd_routes_dump(f, (uint32_t)table, page, 16, cursor)) > 0;)
    for (int32_t i = 0; i < got; i++, gone++) {
      page[i].pathlist = 0;
      lcpfwd_routes_apply(f, &page[i], 1, &result);
      CHECK(result == 0, "no memory to delete a route with: %d", result);
    }
  CHECK(gone == routes, "%u routes deleted of %u", gone, routes);
  CHECK(lcpfwd_port_del(f, (uint32_t)port) == 0, "port_del");
  CHECK(lcpfwd_pathlist_del(f, (uint32_t)list) == 0, "pathlist_del");
  CHECK(f->writer->adjacencies == 0 && f->writer->neighbours == 0, "adjacencies are left");
  CHECK(bytes_used(f) <= before + 65536 * 4, "memory in use by nothing"); /* the grown hash arrays */
  lcpfwd_detach(f);
}

/* A block that a worker may hold is not used again before that worker has been quiescent. */
static void grace_periods(void) {
  lcpfwd *f = lcpfwd_create(0, 2);
  struct blocks *b = &f->writer->blocks;
  uint32_t block = blocks_alloc(b, 64);
  qsbr_online(&f->region, 0);
  blocks_retire(b, block, 64);
  uint64_t used = bytes_used(f);
  for (unsigned i = 0; i < 10; i++)
    blocks_settle(b);
  CHECK(bytes_used(f) == used, "freed under an online worker");
  qsbr_online(&f->region, 1); /* came after the unlinking: does not hold it up */
  qsbr_quiescent(&f->region, 0);
  blocks_settle(b);
  CHECK(bytes_used(f) == used - 64, "not freed after the quiescent point");
  block = blocks_alloc(b, 64);
  blocks_retire(b, block, 64);
  blocks_settle(b);
  qsbr_quiescent(&f->region, 0);
  blocks_settle(b);
  CHECK(bytes_used(f) == used, "freed before worker 1 was quiescent");
  qsbr_offline(&f->region, 1);
  blocks_settle(b);
  CHECK(bytes_used(f) == used - 64, "a sleeping worker holds memory up");
  /* The same for an id. */
  int32_t port = lcpfwd_port_add(f, &attributes, -1, NULL);
  struct lcpfwd_path path = {.port = (uint16_t)port, .weight = 1};
  int32_t first = lcpfwd_pathlist_set(f, 0, &path, 1);
  lcpfwd_pathlist_del(f, (uint32_t)first);
  CHECK(lcpfwd_pathlist_set(f, 0, &path, 1) != first, "id used again under an online worker");
  qsbr_quiescent(&f->region, 0);
  blocks_settle(b);
  CHECK(lcpfwd_pathlist_set(f, 0, &path, 1) == first, "id not used again");
  lcpfwd_detach(f);
}

/* What was free when the writer attached may be in a worker's hands from the writer before. */
static void gate(void) {
  struct region r;
  int32_t err;
  CHECK(region_create(&r, 0, 1) == 0, "create");
  lcpfwd *f = attachment_open(dup(r.fd), &err);
  CHECK(f != NULL, "attach: %d", err);
  uint32_t block = blocks_alloc(&f->writer->blocks, 1000);
  qsbr_online(&r, 0);
  lcpfwd_detach(f);
  f = attachment_open(dup(r.fd), &err);
  CHECK(f != NULL && blocks_gate_open(&f->writer->blocks) == 0, "gate is open");
  CHECK(blocks_alloc(&f->writer->blocks, 1000) != block, "memory used again under an online worker");
  qsbr_quiescent(&r, 0);
  CHECK(blocks_gate_open(&f->writer->blocks) == 1, "gate stays shut");
  uint32_t chunks = r.head->chunks;
  for (unsigned i = 0; i < 60; i++)
    CHECK(blocks_alloc(&f->writer->blocks, 1000) != 0, "alloc");
  CHECK(r.head->chunks == chunks, "old free memory is not used");
  bytes_used(f);
  lcpfwd_detach(f);
  region_unmap(&r);
}

/* A deletion that waits for a worker when its writer goes is ended by the next one. */
static void deletion_outlives_writer(void) {
  struct region r;
  int32_t err;
  uint32_t routes;
  CHECK(region_create(&r, 0, 1) == 0, "create");
  lcpfwd *f = attachment_open(dup(r.fd), &err);
  int32_t port = lcpfwd_port_add(f, &attributes, -1, NULL);
  struct lcpfwd_path path = {.port = (uint16_t)port, .weight = 1, .af = 4, .nh = {10}};
  uint32_t id = (uint32_t)lcpfwd_pathlist_set(f, 0, &path, 1);
  qsbr_online(&r, 0);
  uint32_t adjacency = pathlist_select(&r, id, 0);
  CHECK(lcpfwd_pathlist_del(f, id) == 0 && lcpfwd_pathlist_get(f, id, &path, 1, &routes) == -ENOENT, "pathlist_del");
  CHECK(pathlist_select(&r, id, 0) == adjacency && adj_get(&r, adjacency), "taken from under a worker");
  lcpfwd_detach(f);
  f = attachment_open(dup(r.fd), &err);
  CHECK(f != NULL, "attach: %d", err);
  CHECK(lcpfwd_pathlist_get(f, id, &path, 1, &routes) == -ENOENT && f->writer->adjacencies == 2, "it is back");
  CHECK(pathlist_select(&r, id, 0) == adjacency && adj_get(&r, adjacency), "taken from under a worker");
  qsbr_quiescent(&r, 0);
  blocks_settle(&f->writer->blocks);
  CHECK(pathlist_select(&r, id, 0) == 0 && adj_get(&r, adjacency) == NULL, "never ended");
  bytes_used(f);
  lcpfwd_detach(f);
  region_unmap(&r);
}

static void rings_and_counters(void) {
  static struct lcpfwd_event event[3 * EVENT_RING];
  static struct lcpfwd_trace trace[2 * TRACE_RING + 1];
  uint64_t count[COUNTER_SLOTS];
  lcpfwd *f = lcpfwd_create(0, 2);
  struct region *r = &f->region;
  int32_t port = lcpfwd_port_add(f, &attributes, -1, NULL);
  for (unsigned i = 0; i < EVENT_RING + 5; i++) {
    struct lcpfwd_event e = {.type = LCPFWD_EVENT_NEIGH_WANTED, .port = (uint16_t)port, .af = 4, .addr = {(uint8_t)i, (uint8_t)(i >> 8)}};
    CHECK(event_push(r, 0, &e) == (i < EVENT_RING), "event %u", i);
    CHECK(i >= 7 || event_push(r, 1, &e) == 1, "the other worker's ring");
  }
  CHECK(lcpfwd_events(f, event, 10) == 10 && event[9].addr[0] == 9, "events in order");
  CHECK(lcpfwd_events(f, event, 3 * EVENT_RING) == EVENT_RING - 10 + 7, "the rest");
  CHECK(lcpfwd_events(f, event, 10) == 0, "no more");
  count_add(r, 1, (unsigned)port, COUNTER_RX_PACKETS, 5);
  count_add(r, 0, (unsigned)port, COUNTER_RX_PACKETS, 6);
  CHECK(lcpfwd_counter_count() == COUNTER_COUNT && lcpfwd_counters(f, (uint32_t)port, count) == 0, "counters");
  CHECK(count[COUNTER_RX_PACKETS] == 11 && count[COUNTER_EVENT_LOST] == 5, "sums over workers");
  CHECK(lcpfwd_counters(f, LCPFWD_MAX_PORTS, count) == -EINVAL && lcpfwd_counter_name(COUNTER_COUNT) == NULL, "bounds");
  for (unsigned i = 0; i < COUNTER_COUNT; i++)
    CHECK(lcpfwd_counter_name(i) != NULL, "counter %u has no name", i);
  count_adjacency(r, 0, adj_multicast(r, (unsigned)port), 2, 128);
  struct lcpfwd_adjacency a;
  uint32_t cursor = 0;
  CHECK(lcpfwd_adjacencies_dump(f, &a, 1, &cursor) == 1 && a.state == ADJ_MULTICAST && a.packets == 2 && a.bytes == 128, "adjacency");
  CHECK(trace_take(r) == 0 && lcpfwd_trace_arm(f, 2) == 0 && trace_take(r) == 1 && trace_take(r) == 1 && trace_take(r) == 0, "armed");
  for (unsigned i = 0; i < TRACE_RING + 3; i++)
    for (unsigned worker = 0; worker < 2; worker++) {
      struct lcpfwd_trace t = {.in_port = (uint16_t)i, .out_port = (uint16_t)worker, .caplen = 84};
      memset(t.bytes, (int)i, sizeof t.bytes);
      trace_record(r, worker, &t);
    }
  CHECK(lcpfwd_traces(f, 0, trace, 2 * TRACE_RING + 1) == 2 * TRACE_RING, "traces");
  for (unsigned i = 0; i < 2 * TRACE_RING; i++)
    CHECK(trace[i].seq == 7 + i && trace[i].in_port == 3 + i / 2 && trace[i].bytes[83] == (uint8_t)(3 + i / 2), "trace %u", i);
  CHECK(lcpfwd_traces(f, trace[9].seq, trace + 100, 4) == 4 && trace[103].seq == trace[2 * TRACE_RING - 1].seq, "newest last");
  lcpfwd_detach(f);
}

static void port_attributes(void) {
  lcpfwd *f = lcpfwd_create(0, 1);
  uint32_t t4 = (uint32_t)lcpfwd_table_add(f, 4, "a"), t6 = (uint32_t)lcpfwd_table_add(f, 6, "a");
  struct lcpfwd_port p = attributes, back;
  p.v4 = (struct lcpfwd_lookup_spec){.n = 2, .merged = 1, .table = {t4, t4}};
  p.v6 = (struct lcpfwd_lookup_spec){.n = 1, .table = {t6}};
  p.src4 = 0x0100000a;
  memcpy(p.src6, "0123456789abcdef", 16);
  strcpy(p.phy, "phy0");
  strcpy(p.host, "e0");
  strcpy(p.netns, "cp");
  p.phy_ifindex = 7;
  p.host_ifindex = 8;
  int32_t id = lcpfwd_port_add(f, &p, -1, NULL);
  CHECK(id == 1 && lcpfwd_ports(f, &back, 1) == 1 && back.id == 1 && back.generation == 1, "port_add: %d", id);
  p.id = back.id;
  p.generation = back.generation;
  CHECK(memcmp(&p, &back, sizeof p) == 0, "port read is not the one written");
  p.src6[3] ^= 1;
  p.mtu = 9000;
  p.flags = LCPFWD_PORT_KERNEL_FWD6;
  p.v4 = (struct lcpfwd_lookup_spec){0};
  strcpy(p.host, "e9");
  CHECK(lcpfwd_port_set(f, 1, &p) == 0 && lcpfwd_ports(f, &back, 1) == 1 && memcmp(&p, &back, sizeof p) == 0, "port_set");
  struct lcpfwd_port bad[] = {p, p, p, p, p, p, p};
  bad[0].mtu = 67;
  bad[1].mtu = 65536;
  bad[2].flags = 0x80;
  bad[3].v4 = (struct lcpfwd_lookup_spec){.n = 5};
  bad[4].v4 = (struct lcpfwd_lookup_spec){.n = 1, .table = {t6}};
  bad[5].v6 = (struct lcpfwd_lookup_spec){.n = 1, .merged = 1, .table = {t6}};
  bad[6].flags ^= LCPFWD_PORT_TUN;
  for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK(lcpfwd_port_set(f, 1, &bad[i]) == -EINVAL, "bad attributes %u", i);
  CHECK(lcpfwd_ports(f, &back, 1) == 1 && memcmp(&p, &back, sizeof p) == 0, "refused attributes changed something");
  CHECK(lcpfwd_port_set(f, 2, &p) == -ENOENT && lcpfwd_port_set(f, 0, &p) == -EINVAL && lcpfwd_port_set(f, 256, &p) == -EINVAL, "id");
  for (int32_t i = 2; i < (int32_t)LCPFWD_MAX_PORTS; i++)
    CHECK(lcpfwd_port_add(f, &p, -1, NULL) == i, "port %d", i);
  char text[160];
  CHECK(lcpfwd_port_add(f, &p, -1, text) == -ENOSPC && text[0], "too many ports");
  lcpfwd_detach(f);
}

int main(int argc, char **argv) {
  check_begin("region_test", argc, argv);
  mapping();
  grace_periods();
  gate();
  deletion_outlives_writer();
  rings_and_counters();
  port_attributes();
  exhaustion();
  printf("region_test: ok\n");
  return 0;
}
