/* punt_records_test.c - the punt program as lcpd sees it: records that are wrong in every field, slots, ports that end,
 * what the next writer finds, a writer killed in the middle, and frames of any offload made plain.
 */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attachment.h"
#include "check.h"
#include "pieces.h"
#include "police.h"
#include "punts.h"
#include "wire.h"
#include "writer.h"

#define ROUNDS 60u
#define MOST 40u

static struct region region;
static lcpfwd *f;
static struct lcpfwd_port port[8];
static unsigned n_ports;

static void attach(void) {
  int32_t err;
  f = attachment_open(dup(region.fd), &err);
  CHECK(f != NULL, "attach: %d", err);
}

static void ports_read(void) {
  n_ports = (unsigned)lcpfwd_ports(f, port, 8);
  CHECK(n_ports <= 8, "%u ports", n_ports);
}

static struct lcpfwd_punt between(unsigned type, unsigned a, unsigned b) {
  return (struct lcpfwd_punt){.type = (uint8_t)type, .from = (uint16_t)port[a].id, .to = (uint16_t)port[b].id,
                              .from_generation = port[a].generation, .to_generation = port[b].generation};
}

static int32_t set(struct lcpfwd_punt *p, uint32_t n, uint32_t *bad) {
  int32_t err = lcpfwd_punts_set(f, p, n, bad);
  CHECK(err == 0 || *bad <= n, "record %u of %u", *bad, n);
  return err;
}

/* One record alone is refused with this. */
static void refused(struct lcpfwd_punt p, int32_t want, int line) {
  uint32_t bad = 99;
  int32_t err = set(&p, 1, &bad);
  CHECK(err == want && bad == 0, "line %d: %d instead of %d, record %u", line, err, want, bad);
}

static uint64_t used(void) {
  uint64_t carved, in_use, spare;
  blocks_settle(&f->writer->blocks);
  CHECK(blocks_audit(&f->writer->blocks, &carved, &in_use, &spare) == 0, "books of the allocator");
  return in_use;
}

static void test_hostile(void) {
  struct lcpfwd_punt p = between(LCPFWD_PUNT_XCONNECT, 0, 1), pair[3];
  uint32_t bad;
  uint64_t before = used();
  CHECK(set(&p, 1, &bad) == 0 && p.slot > 0, "a good one");
  for (unsigned type = 11; type < 256; type++) {
    struct lcpfwd_punt q = between(type, 0, 1);
    refused(q, -EINVAL, __LINE__);
  }
  refused((struct lcpfwd_punt){0}, -EINVAL, __LINE__);
  refused(between(LCPFWD_PUNT_XCONNECT, 0, 0), -EINVAL, __LINE__);
  for (unsigned i = 0; i < 2; i++) {
    struct lcpfwd_punt q = between(LCPFWD_PUNT_OSI, 0, 1);
    q.protocol = 0x83;
    if (i) q.to_generation++;
    else q.from_generation--;
    refused(q, -ESTALE, __LINE__);
    q = between(LCPFWD_PUNT_OSI, 0, 1);
    q.protocol = 0x83;
    if (i) q.to = 999;
    else q.from = 255;
    refused(q, -ENODEV, __LINE__);
  }
  struct lcpfwd_punt q = between(LCPFWD_PUNT_OSI, 0, 1);
  refused(q, -EINVAL, __LINE__);
  q = between(LCPFWD_PUNT_SPAN, 0, 1);
  refused(q, -EINVAL, __LINE__);
  q.flags = 4;
  refused(q, -EINVAL, __LINE__);
  q = between(LCPFWD_PUNT_XCONNECT, 0, 1);
  q.slot = LCPFWD_MAX_PUNT_SLOTS;
  refused(q, -EINVAL, __LINE__);
  q = between(LCPFWD_PUNT_XCONNECT, 0, 1);
  q.by = 1;
  refused(q, -EINVAL, __LINE__);
  q = between(LCPFWD_PUNT_ABX, 0, 1);
  q.flags = LCPFWD_PUNT_MAC;
  q.mac[0] = 1;
  refused(q, -EINVAL, __LINE__);
  q = between(LCPFWD_PUNT_PROXY, 0, 1);
  q.af = 4;
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_PROXY, .af = 4, .from = (uint16_t)port[0].id, .from_generation = port[0].generation, .source = {10}};
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_POLICE, .rate = 1, .burst = 1, .scope = LCPFWD_SCOPES};
  refused(q, -EINVAL, __LINE__);
  q.scope = 0, q.rate = 0;
  refused(q, -EINVAL, __LINE__);
  q.rate = 1, q.from = 300;
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_HOST, .by = 5};
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_HOST, .by = LCPFWD_BY_REASON, .number = REASONS};
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_SOCKET, .by = LCPFWD_BY_ICMP6, .number = 1};
  refused(q, -EINVAL, __LINE__);
  memset(q.path, 'x', sizeof q.path);
  refused(q, -EINVAL, __LINE__);
  q = (struct lcpfwd_punt){.type = LCPFWD_PUNT_RULE, .af = 4};
  refused(q, -EINVAL, __LINE__); /* it belongs to nothing */
  /* rules: prefixes with host bits, ports without a protocol, flags without TCP */
  pair[0] = between(LCPFWD_PUNT_ABX, 0, 1);
  struct lcpfwd_punt good = {.type = LCPFWD_PUNT_RULE, .af = 4, .source_ports = {0, 65535}, .destination_ports = {0, 65535}};
  for (unsigned i = 0; i < 7; i++) {
    pair[1] = good;
    if (i == 0) pair[1].source[0] = 10;
    if (i == 1) pair[1].destination_len = 33;
    if (i == 2) pair[1].source_ports[1] = 7;
    if (i == 3) pair[1].tcp_mask = 2;
    if (i == 4) pair[1].protocol = 6, pair[1].tcp_value = 2;
    if (i == 5) pair[1].protocol = 17, pair[1].source_ports[0] = 9, pair[1].source_ports[1] = 8;
    if (i == 6) pair[1].af = 5;
    CHECK(set(pair, 2, &bad) == -EINVAL && bad == 1, "rule %u: record %u", i, bad);
  }
  /* two that can be there once */
  pair[0] = pair[1] = between(LCPFWD_PUNT_XCONNECT, 0, 1);
  pair[1].to = (uint16_t)port[2].id, pair[1].to_generation = port[2].generation;
  CHECK(set(pair, 2, &bad) == -EEXIST && bad == 1, "two cross-connects of one port");
  pair[1] = between(LCPFWD_PUNT_XCONNECT, 2, 1);
  pair[0].slot = pair[1].slot = 7;
  CHECK(set(pair, 2, &bad) == -EEXIST && bad == 1, "one slot for two");
  struct lcpfwd_punt now;
  CHECK(lcpfwd_punts_dump(f, &now, 1) == 1 && !memcmp(&now, &p, sizeof p), "the program was changed");
  CHECK(lcpfwd_punts_set(f, NULL, LCPFWD_MAX_PUNTS + 1, &bad) == -ENOSPC && bad == LCPFWD_MAX_PUNTS + 1, "too many");
  CHECK(set(NULL, 0, &bad) == 0 && used() == before, "memory is not given back");
}

static void test_slots(void) {
  struct lcpfwd_punt p[2] = {between(LCPFWD_PUNT_XCONNECT, 0, 1), between(LCPFWD_PUNT_XCONNECT, 1, 0)};
  struct lcpfwd_punt_count c;
  uint32_t bad, first;
  CHECK(set(p, 1, &bad) == 0, "set");
  first = p[0].slot;
  region.head->punt_counts[0][first].packets = 5;
  CHECK(set(p, 2, &bad) == 0 && p[0].slot == first && p[1].slot && p[1].slot != first, "slots stay");
  CHECK(lcpfwd_punt_count(f, first, &c) == 0 && c.packets == 5, "and what they have counted");
  CHECK(lcpfwd_punt_count(f, 0, &c) == -EINVAL && lcpfwd_punt_count(f, LCPFWD_MAX_PUNT_SLOTS, &c) == -EINVAL, "slots that are none");
  for (unsigned i = 0; i < LCPFWD_MAX_PUNT_SLOTS + 10; i++) { /* round and round: a free one is given last, and clean */
    p[1].slot = 0;
    CHECK(set(p, 2, &bad) == 0 && p[1].slot != first, "slot %u", p[1].slot);
    CHECK(lcpfwd_punt_count(f, p[1].slot, &c) == 0 && c.packets == 0, "slot %u has counted %" PRIu64, p[1].slot, c.packets);
    region.head->punt_counts[0][p[1].slot].packets = 9;
  }
  CHECK(set(NULL, 0, &bad) == 0, "empty");
}

static void test_whole(void) {
  static struct lcpfwd_punt all[LCPFWD_MAX_PUNTS], dumped[LCPFWD_MAX_PUNTS];
  uint32_t bad;
  all[0] = between(LCPFWD_PUNT_ABX, 0, 1);
  for (unsigned i = 1; i < LCPFWD_MAX_PUNTS; i++)
    all[i] = (struct lcpfwd_punt){.type = LCPFWD_PUNT_RULE, .af = 4, .flags = LCPFWD_PUNT_PERMIT, .destination = {10, (uint8_t)(i >> 8), (uint8_t)i},
                                  .destination_len = 24, .source_ports = {0, 65535}, .destination_ports = {0, 65535}};
  CHECK(set(all, LCPFWD_MAX_PUNTS, &bad) == 0, "as many as there can be");
  lcpfwd_detach(f);
  attach();
  CHECK(lcpfwd_punts_dump(f, dumped, LCPFWD_MAX_PUNTS) == (int32_t)LCPFWD_MAX_PUNTS && !memcmp(all, dumped, sizeof all), "found again");
  CHECK(lcpfwd_port_del(f, port[1].id) == 0 && lcpfwd_punts_dump(f, dumped, LCPFWD_MAX_PUNTS) == 0, "rules go with their list");
  CHECK(lcpfwd_port_add(f, &(struct lcpfwd_port){.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2}}, -1, NULL) == (int32_t)port[1].id, "the id again");
  CHECK(lcpfwd_punts_dump(f, dumped, LCPFWD_MAX_PUNTS) == 0, "another port of that id has them");
  ports_read();
  CHECK(set(NULL, 0, &bad) == 0, "empty");
}

/* Each record's from says all: the k-th of a program of n is told by its priority. */
static uint32_t program(struct lcpfwd_punt *p, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    p[i] = (struct lcpfwd_punt){.type = LCPFWD_PUNT_HOST, .by = LCPFWD_BY_PORT, .af = 4, .protocol = 17, .number = (uint16_t)(n * 100 + i + 1)};
  return n;
}

static void killed_round(unsigned round) {
  static struct lcpfwd_punt p[MOST], again[MOST];
  uint32_t bad;
  pid_t pid = fork();
  CHECK(pid >= 0, "fork");
  if (pid == 0) {
    attach();
    for (;;) {
      uint32_t n = program(p, random_below(MOST));
      int32_t err = lcpfwd_punts_set(f, p, n, &bad);
      CHECK(err == 0, "set: %d", err);
    }
  }
  usleep(500 + random_below(4000));
  CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid, "kill");
  random64();
  attach();
  int32_t n = lcpfwd_punts_dump(f, p, MOST);
  CHECK(n >= 0 && n < (int32_t)MOST, "round %u: %d records", round, n);
  program(again, (uint32_t)n);
  for (int32_t i = 0; i < n; i++)
    CHECK(p[i].number == again[i].number && p[i].slot, "round %u: record %d of %d is of another program", round, i, n);
  uint64_t first = used();
  CHECK(set(again, program(again, MOST - 1), &bad) == 0 && set(p, (uint32_t)n, &bad) == 0, "it goes on");
  CHECK(used() <= first + 65536, "memory grows: %" PRIu64 " to %" PRIu64, first, used());
  lcpfwd_detach(f);
}

/* What is damaged is refused or means something else; it is never followed into a crash. */
static void damage(void) {
  static struct lcpfwd_punt p[MOST];
  uint32_t bad, refusals = 0;
  attach();
  CHECK(set(p, program(p, MOST), &bad) == 0, "set");
  uint32_t block = region.head->punts, bytes = ((struct punt_program *)region_at(&region, block))->bytes;
  lcpfwd_detach(f);
  for (unsigned i = 0; i < 600; i++) {
    uint32_t *word = random_below(4) ? (uint32_t *)region_at(&region, block) + random_below(random_below(2) ? 24 : bytes / 4) : &region.head->punts, was = *word;
    int32_t err = 0;
    *word = random_below(2) ? (uint32_t)random64() : was ^ 1u << random_below(32);
    lcpfwd *g = attachment_open(dup(region.fd), &err);
    refusals += g == NULL;
    CHECK(g || err == -EUCLEAN, "attach: %d", err);
    if (g) lcpfwd_punts_dump(g, p, MOST);
    lcpfwd_detach(g);
    *word = was;
  }
  CHECK(refusals > 150, "only %u of 600 damaged words were noticed", refusals);
}

/* --- one bucket, several workers --------------------------------------------------------------------- */

#define TAKERS 4u
#define TAKES 50000u

static uint64_t bucket;

static void *taker(void *passed) {
  uint64_t *n = passed;
  for (uint64_t i = 0; i < TAKES; i++) *n += (uint64_t)police_take(&bucket, 1000 + i / 1000, 160, 160 * 5000); /* 10 ns each, 5000 at once */
  return NULL;
}

/* 50 ns go by for all: at most as many as the bucket and the time are worth, and not one fewer than it holds. */
static void test_shared_bucket(void) {
  pthread_t thread[TAKERS];
  uint64_t passed[TAKERS] = {0}, sum = 0;
  for (unsigned i = 0; i < TAKERS; i++) CHECK(pthread_create(&thread[i], NULL, taker, &passed[i]) == 0, "thread");
  for (unsigned i = 0; i < TAKERS; i++) {
    CHECK(pthread_join(thread[i], NULL) == 0, "thread");
    sum += passed[i];
  }
  CHECK(sum >= 5000 && sum <= 5005, "%" PRIu64 " of %u passed", sum, TAKERS * TAKES);
}

/* --- frames made plain -------------------------------------------------------------------------------- */

static uint8_t master[FRAME_MAX];

/* TCP or UDP with payload bytes; its length. */
static uint32_t stream_frame(unsigned v6, unsigned udp, uint32_t payload, struct virtio_net_hdr *v) {
  uint32_t ip = 14, l4 = ip + (v6 ? 40 : 20), head = l4 + (udp ? 8 : 20);
  for (uint32_t i = 0; i < head + payload; i++) master[i] = (uint8_t)(i * 11);
  store_be16(master + 12, v6 ? TYPE_IP6 : TYPE_IP4);
  if (v6) {
    memset(master + ip, 0, 8);
    master[ip] = 0x60;
    store_be16(master + ip + 4, head - l4 + payload);
    master[ip + 6] = udp ? PROTO_UDP : PROTO_TCP;
  } else {
    memcpy(master + ip, "\x45\0\0\0\x43\x21\0\0\x40", 9);
    store_be16(master + ip + 2, head - ip + payload);
    master[ip + 9] = udp ? PROTO_UDP : PROTO_TCP;
    store16(master + ip + 10, 0);
    store16(master + ip + 10, checksum(master + ip, 20));
  }
  if (!udp) master[l4 + 12] = 0x50, master[l4 + 13] = 0x19;
  else store_be16(master + l4 + 4, 8 + payload);
  uint8_t pseudo[4] = {0, (uint8_t)(udp ? PROTO_UDP : PROTO_TCP), (uint8_t)((head - l4 + payload) >> 8), (uint8_t)(head - l4 + payload)};
  uint64_t sum = checksum_add(0, master + (v6 ? ip + 8 : ip + 12), v6 ? 32 : 8);
  store16(master + l4 + (udp ? 6 : 16), checksum_fold(checksum_add(sum, pseudo, 4)));
  *v = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)l4, .csum_offset = udp ? 6 : 16,
                               .gso_type = udp ? VIRTIO_NET_HDR_GSO_UDP_L4 : v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
                               .hdr_len = (uint16_t)head};
  return head + payload;
}

/* One frame that was written, with its virtio_net_hdr; 0: no more. */
static uint32_t next_frame(int fd, uint8_t *frame) {
  uint8_t whole[VNET_HEAD + 2048];
  ssize_t n = recv(fd, whole, sizeof whole, MSG_DONTWAIT);
  if (n <= 0) return 0;
  CHECK((size_t)n < sizeof whole && (size_t)n > VNET_HEAD, "%zd bytes", n);
  for (unsigned i = 0; i < VNET_HEAD; i++) CHECK(whole[i] == 0, "an offload is left");
  memcpy(frame, whole + VNET_HEAD, (size_t)n - VNET_HEAD);
  return (uint32_t)n - VNET_HEAD;
}

static int sum_is_right(const uint8_t *frame, unsigned v6, unsigned udp, uint32_t len) {
  uint32_t ip = 14, l4 = ip + (v6 ? 40 : 20), n = len - l4;
  uint8_t pseudo[4] = {0, (uint8_t)(udp ? PROTO_UDP : PROTO_TCP), (uint8_t)(n >> 8), (uint8_t)n};
  return checksum_fold(checksum_add(checksum_add(checksum_add(0, frame + (v6 ? ip + 8 : ip + 12), v6 ? 32 : 8), pseudo, 4), frame + l4, n)) == 0xffff;
}

static void test_plain(void) {
  uint8_t frame[2048];
  int s[2], size = 4 << 20;
  CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s) == 0, "socketpair");
  setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  for (unsigned v6 = 0; v6 < 2; v6++)
    for (unsigned udp = 0; udp < 2; udp++)
      for (unsigned gso = 0; gso < 2; gso++) {
        struct virtio_net_hdr v;
        struct io_counts counts = {{0}};
        uint32_t payload = gso ? 5 * 1000 + 7 : 1000, len = stream_frame(v6, udp, payload, &v), head = len - payload, got = 0, n, k = 0;
        if (gso) v.gso_size = 1000;
        else v.gso_type = VIRTIO_NET_HDR_GSO_NONE;
        struct packet p = {.data = master, .len = len, .vnet = v, .l3 = 14};
        uint64_t before = mix64(checksum(master, len));
        plain_send(s[0], &p, &counts);
        CHECK(before == mix64(checksum(master, len)), "the frame was changed");
        for (; (n = next_frame(s[1], frame)); k++) {
          uint32_t piece = n - head;
          CHECK(sum_is_right(frame, v6, udp, n), "piece %u: its sum", k);
          CHECK(v6 || (checksum_ok(frame + 14, 20) && load_be16(frame + 16) == n - 14), "piece %u: its header", k);
          CHECK(!v6 || load_be16(frame + 18) == n - 54, "piece %u: its length", k);
          CHECK(!memcmp(frame + head, master + head + got, piece), "piece %u: its payload", k);
          if (!udp) CHECK((frame[head - 20 + 13] & 0x01) == (got + piece == payload), "piece %u: FIN", k);
          got += piece;
        }
        CHECK(got == payload && k == (gso ? 6u : 1u) && counts.n[IO_SENT] == k, "%u bytes in %u pieces", got, k);
      }
  /* whatever is said of it: no byte outside of it is touched, and nothing is written that is not plain */
  for (unsigned i = 0; i < 100000; i++) {
    struct virtio_net_hdr v;
    struct io_counts counts = {{0}};
    uint32_t len = stream_frame(random_below(2), random_below(2), random_below(1200), &v);
    if (random_below(2)) v.gso_size = (uint16_t)(1 + random_below(400));
    else v.gso_type = 0;
    for (unsigned flips = random_below(4); flips; flips--) ((uint8_t *)&v)[random_below(sizeof v)] ^= (uint8_t)(1u << random_below(8));
    for (unsigned flips = random_below(6); flips; flips--) master[random_below(80)] ^= (uint8_t)(1u << random_below(8));
    if (random_below(3) == 0) len = random_below(len + 1);
    uint8_t *exact = malloc(len + 1);
    CHECK(exact, "memory");
    memcpy(exact, master, len);
    uint8_t *shrunk = realloc(exact, len ? len : 1);
    struct packet p = {.data = shrunk, .len = len, .vnet = v, .l3 = 14};
    if (len >= 14 && vnet_ok(&p.vnet, len)) plain_send(s[0], &p, &counts);
    while (next_frame(s[1], frame)) {
    }
    free(shrunk);
  }
  close(s[0]);
  close(s[1]);
}

int main(int argc, char **argv) {
  check_begin("punt_records_test", argc, argv);
  CHECK(region_create(&region, 0, 1) == 0, "region");
  attach();
  struct lcpfwd_port p = {.flags = LCPFWD_PORT_UP, .mtu = 1500, .mac = {2}};
  for (unsigned i = 0; i < 4; i++)
    CHECK(lcpfwd_port_add(f, &p, -1, NULL) > 0, "port_add");
  p.flags |= LCPFWD_PORT_TUN;
  CHECK(lcpfwd_port_add(f, &p, -1, NULL) > 0, "port_add");
  ports_read();
  refused(between(LCPFWD_PUNT_XCONNECT, 0, 4), -EOPNOTSUPP, __LINE__);
  test_hostile();
  test_slots();
  test_whole();
  lcpfwd_detach(f);
  for (unsigned i = 0; i < ROUNDS; i++)
    killed_round(i);
  damage();
  test_shared_bucket();
  test_plain();
  region_unmap(&region);
  puts("punt_records_test: ok");
  return 0;
}
