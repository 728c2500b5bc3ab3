/* puntsock_fixture.h - a punt socket in a folder of its own, clients of it, and frames with sums that are right. */
#ifndef PUNTSOCK_FIXTURE_H
#define PUNTSOCK_FIXTURE_H

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "puntsock.h"

#define DATAGRAM_MAX (FRAME_MAX + 4096u)
#define MS 1000000ull

struct fixture {
  struct puntsock s;
  char dir[64], text[256];
  struct large_pool large;
  uint64_t now;
  struct punt_outbox outbox;
  struct lcpfwd_punt_count records[2]; /* datagrams are of the second */
  struct punt_counts counts; /* those of the outbox too */
  unsigned calls; /* of sendmmsg so far, by one thread */
  int wide; /* clients may have 512 datagrams unread, not the machine's default */
};
extern struct fixture F;

/* A path in the folder, in one of some buffers. */
static inline const char *in_dir(const char *name) {
  static char paths[8][128];
  static unsigned next;
  char *path = paths[next++ % 8];
  snprintf(path, sizeof paths[0], "%s/%s", F.dir, name);
  return path;
}

/* A client's socket, bound, that does not wait. */
static inline int client_bind(const char *path) {
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  strcpy(at.sun_path, path);
  unlink(path);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0, "%s: %s", path, strerror(errno));
  return fd;
}

static inline unsigned slot_of(const char *path) {
  int slot = puntsock_client_open(&F.s, path);
  CHECK(slot >= 0, "%s: %s", path, strerror(-slot));
  return (unsigned)slot;
}

static inline uint64_t fate(enum punt_fate f) { return F.counts.n[f]; }

static inline uint64_t fates(void) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < PUNT_FATE_COUNT; i++) sum += F.counts.n[i];
  return sum;
}

/* The sum of RFC 1071, word by word: 0xffff when the field in it is right. */
static inline unsigned naive_sum(unsigned sum, const uint8_t *p, size_t n) {
  for (size_t i = 0; i < n; i++) {
    sum += i % 2 ? p[i] : (unsigned)p[i] << 8;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return sum;
}

struct frame {
  uint32_t len, l3, l4;
  uint8_t at[70000];
};

static inline void put16(uint8_t *p, unsigned v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }

/* An IP packet at ip with n bytes after its header, of proto; from 10.0.0.2 to 10.1.0.2 or the like. Bytes of its header. */
static inline uint32_t put_ip(uint8_t *ip, unsigned version, unsigned proto, uint32_t n) {
  memset(ip, 0, version == 4 ? 20 : 40);
  if (version == 6) {
    ip[0] = 0x60;
    put16(ip + 4, n);
    ip[6] = (uint8_t)proto;
    ip[7] = 64;
    memcpy(ip + 8, "\x20\x01\x0d\xb8\0\x0a\0\0\0\0\0\0\0\0\0\x02\x20\x01\x0d\xb8\0\x0b\0\0\0\0\0\0\0\0\0\x02", 32);
    return 40;
  }
  ip[0] = 0x45;
  put16(ip + 2, 20 + n);
  put16(ip + 4, 0xfffe);
  ip[8] = 64;
  ip[9] = (uint8_t)proto;
  memcpy(ip + 12, "\x0a\0\0\x02\x0a\x01\0\x02", 8);
  put16(ip + 10, ~naive_sum(0, ip, 20) & 0xffff);
  return 20;
}

/* What the sum of a TCP or UDP packet begins with. */
static inline unsigned pseudo_sum(const uint8_t *ip, unsigned proto, uint32_t len) {
  unsigned sum = ip[0] >> 4 == 4 ? naive_sum(0, ip + 12, 8) : naive_sum(0, ip + 8, 32);
  uint8_t tail[4] = {0, (uint8_t)proto, (uint8_t)(len >> 8), (uint8_t)len};
  return naive_sum(sum, tail, 4);
}

/* An Ethernet frame with tags, and n bytes of payload behind TCP or UDP; its sum is right, or partial. */
static inline void make_frame(struct frame *f, unsigned tags, unsigned version, unsigned proto, uint32_t n, int partial) {
  uint32_t head = proto == 6 ? 32 : 8, at = 12;
  memcpy(f->at, "\x02\0\0\0\0\xa1\x02\0\0\0\0\xa2", 12);
  for (unsigned i = 0; i < tags; i++, at += 4) put16(f->at + at, i + 1 < tags ? 0x88a8 : 0x8100), put16(f->at + at + 2, 100 + i);
  put16(f->at + at, version == 4 ? 0x0800 : 0x86dd);
  f->l3 = at + 2;
  uint8_t *ip = f->at + f->l3;
  f->l4 = f->l3 + put_ip(ip, version, proto, head + n);
  uint8_t *l4 = f->at + f->l4;
  memset(l4, 0, head);
  put16(l4, 9876);
  put16(l4 + 2, 9000);
  if (proto == 6) {
    put16(l4 + 4, 0xffff), put16(l4 + 6, 0xff00); /* soon wraps */
    l4[12] = 0x80;
    l4[13] = 0x99; /* CWR, ACK, PSH, FIN */
    memcpy(l4 + 20, "\x01\x01\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08", 12);
  } else {
    put16(l4 + 4, head + n);
  }
  for (uint32_t i = 0; i < n; i++) l4[head + i] = (uint8_t)(i * 7 + i / 251 + 1);
  unsigned sum = pseudo_sum(ip, proto, head + n);
  put16(l4 + (proto == 6 ? 16 : 6), partial ? sum : ~naive_sum(sum, l4, head + n) & 0xffff);
  f->len = f->l4 + head + n;
}

/* In memory exactly as long as it is, so that the sanitizer sees a byte too far. */
static inline struct packet packet_of(const struct frame *f) {
  struct packet p = {.data = malloc(f->len ? f->len : 1), .len = f->len};
  CHECK(p.data, "memory");
  memcpy(p.data, f->at, f->len);
  if (!frame_parse_l2(&p)) p.l3 = 0;
  return p;
}

static inline void absorb(void) {
  for (unsigned i = 0; i < PUNT_FATE_COUNT; i++) F.counts.n[i] += F.outbox.counts.n[i];
  F.outbox.counts = (struct punt_counts){{0}};
}

static inline void send_all(unsigned slot, const uint32_t *number, struct packet *const *p, unsigned n) {
  uint32_t record[BURST];
  CHECK(n <= BURST, "%u", n);
  for (unsigned i = 0; i < n; i++) record[i] = 1;
  puntsock_send(&F.s, &F.outbox, slot, number, record, p, n, F.now);
  absorb();
}

static inline void send_one(unsigned slot, uint32_t number, struct packet *p) { send_all(slot, &number, &p, 1); }

/* n times the same frame to a client, numbered on from *number. */
static inline void send_numbered(unsigned slot, const struct packet *p, unsigned n, uint32_t *number) {
  struct packet *all[BURST];
  uint32_t numbers[BURST];
  for (unsigned i = 0; i < n; i++) all[i] = (struct packet *)(uintptr_t)p, numbers[i] = (*number)++;
  send_all(slot, numbers, all, n);
}

static inline void send_many(unsigned slot, const struct packet *p, unsigned n) {
  uint32_t number = 0;
  send_numbered(slot, p, n, &number);
}

/* As if so much time had passed. */
static inline unsigned retry(uint64_t ns) {
  F.now += ns;
  unsigned taken = puntsock_retry(&F.s, &F.outbox, F.now);
  absorb();
  return taken;
}

/* What waits for a client. */
static inline unsigned kept(unsigned slot) { return F.outbox.backlog[slot].n; }

/* Takes what a client has got; how many. */
static inline unsigned drain(int fd) {
  static uint8_t got[DATAGRAM_MAX];
  unsigned n = 0;
  while (recv(fd, got, sizeof got, 0) >= 0) n++;
  CHECK(errno == EAGAIN, "%s", strerror(errno));
  return n;
}

void test_formats(void);       /* puntsock_formats.c */
void test_clients(void);       /* puntsock_clients.c */
void test_inject(void);        /* puntsock_inject.c */
void test_fuzz(uint64_t seed); /* puntsock_fuzz.c */

#endif
