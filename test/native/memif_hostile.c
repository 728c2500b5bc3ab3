/* memif_hostile.c - a slave that is connected and means ill: slots, cursors, memory, eventfds; and fuzz of all of it. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memif_slave.h"

static uint8_t bytes[FRAME_MAX];
static struct packet got[BURST];

/* The link ends, and the slave hears why. */
static void ended(struct memif *m, struct slave *v, const char *why) {
  struct memif_message last;
  struct packet *p = packet_make(60);
  CHECK(take(m, got, BURST, NULL) == 0 && send_one(m, p).n[IO_DOWN] == 1 && !memif_pending(m), "a broken link is used");
  packet_free(p);
  CHECK(memif_turn(m) == (MEMIF_CHANGED | MEMIF_RETIRED) && !memif_connected(m), "a broken link stays");
  do last = slave_hear(v);
  while (last.type == MEMIF_ACK);
  CHECK(last.type == MEMIF_DISCONNECT && !strcmp(last.disconnect.reason, why), "%u '%.96s', not '%s'", last.type, last.disconnect.reason, why);
  slave_close(v, m);
}

static void test_slots(struct memif *m) {
  struct slave v;
  struct io_counts c = {{0}};
  uint64_t bad = 0;
  slave_connect(&v, m, &(struct plan){0});
  const struct memif_desc wrong[] = {
      {.region = 1, .length = 60},
      {.region = 65535, .length = 60},
      {.offset = (uint32_t)v.size - 59, .length = 60},
      {.offset = 0xffffffff, .length = 60},
      {.offset = 0, .length = 0xffffffff},
      {.offset = 0xffffffff, .length = 0xffffffff},
      {.offset = 0, .length = 0},
  };
  for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++)
    for (unsigned chained = 0; chained < 2; chained++) { /* alone, and between good slots */
      for (unsigned k = 0; k < 3; k++) {
        unsigned at = (v.head[0] + k) & 63;
        v.s2m[0]->desc[at] = k == 1 ? wrong[i] : (struct memif_desc){.offset = 4096, .length = 60 + k};
        if (chained && k < 2) v.s2m[0]->desc[at].flags = MEMIF_NEXT;
      }
      v.s2m[0]->head = v.head[0] += 3;
      /* No length at all is nothing between two slots, and no frame alone. */
      unsigned n = take(m, got, BURST, &c), none = !wrong[i].length && chained;
      bad += !none;
      CHECK(n == (chained ? (none ? 1 : 0) : 2) && c.n[IO_RX_TRUNCATED] == bad, "slot %u: %u frames, %" PRIu64 " bad", i, n, c.n[IO_RX_TRUNCATED]);
    }
  CHECK(memif_turn(m) == 0 && memif_connected(m), "a bad slot ends the link");
  slave_close(&v, m);
}

/* Chains that do not end: waited for until the ring is full of one, and nobody is kept awake meanwhile. */
static void test_endless(struct memif *m) {
  struct slave v;
  struct io_counts c = {{0}};
  slave_connect(&v, m, &(struct plan){0});
  for (unsigned i = 0; i < 64; i++) {
    v.s2m[0]->desc[i].flags = MEMIF_NEXT;
    v.s2m[0]->desc[i].length = 10;
    v.s2m[0]->head = (uint16_t)(i + 1);
    CHECK(memif_pending(m), "slot %u is not seen", i);
    CHECK(take(m, got, BURST, &c) == 0 && !memif_pending(m), "slot %u", i);
    CHECK(v.s2m[0]->tail == (i < 63 ? 0 : 64) && c.n[IO_RX_TRUNCATED] == (i == 63), "slot %u: tail %u", i, v.s2m[0]->tail);
  }
  v.head[0] = 64;
  v.s2m[0]->desc[0].flags = MEMIF_NEXT;
  v.s2m[0]->head = 65;
  CHECK(take(m, got, BURST, &c) == 0, "half a frame");
  v.s2m[0]->desc[1].flags = 0;
  v.s2m[0]->head = v.head[0] = 66;
  CHECK(memif_pending(m) && take(m, got, BURST, &c) == 1 && got[0].len == 20, "the other half");
  slave_close(&v, m);
}

static void test_jumps(struct memif *m) {
  struct slave v;
  struct packet *p = packet_make(60);
  slave_connect(&v, m, &(struct plan){0});
  v.s2m[0]->head = 65;
  CHECK(take(m, got, BURST, NULL) == 0, "a head that jumps");
  ended(m, &v, "head of a ring has jumped");
  slave_connect(&v, m, &(struct plan){0});
  v.s2m[0]->head = 65535; /* one back */
  CHECK(take(m, got, BURST, NULL) == 0, "a head that goes back");
  ended(m, &v, "head of a ring has jumped");
  slave_connect(&v, m, &(struct plan){0});
  v.s2m[0]->tail = 30000; /* ours: never read again */
  CHECK(slave_put(&v, 0, bytes, 60) == 0 || take(m, got, BURST, NULL) == 1, "tail of ours");
  v.m2s[0]->head = 65;
  CHECK(send_one(m, p).n[IO_SENT] == 0, "sent into a ring whose head jumped");
  ended(m, &v, "head of a ring has jumped");
  const struct memif_desc wrong[] = {{.region = 1, .length = 60}, {.offset = 4096, .length = 0}, {.offset = 0xffffff00, .length = 0x200}, {.length = 0xffffffff}};
  for (unsigned i = 0; i < 4; i++) {
    slave_connect(&v, m, &(struct plan){0});
    v.m2s[0]->desc[0] = wrong[i];
    CHECK(send_one(m, p).n[IO_DOWN] == 1, "filled bad buffer %u", i);
    ended(m, &v, "bad buffer in a master-to-slave ring");
  }
  packet_free(p);
}

/* The file shrinks under the mapping: at the rings, and at the buffers only. */
static void test_shrink(struct memif *m) {
  struct slave v;
  for (unsigned i = 0; i < 4; i++) {
    struct packet *p = packet_make(60);
    slave_connect(&v, m, &(struct plan){.log2 = 8});
    CHECK(slave_put(&v, 0, bytes, 60) && take(m, got, BURST, NULL) == 1 && slave_put(&v, 0, bytes, 60), "before");
    CHECK(ftruncate(v.memory, i < 2 ? 0 : 8192) == 0, "ftruncate");
    if (i % 2) CHECK(take(m, got, BURST, NULL) == 0, "frames out of nothing");
    else send_one(m, p);
    packet_free(p);
    ended(m, &v, "memory of a region is gone");
  }
  /* Sealed memory does not shrink, and is as good. */
  slave_connect(&v, m, &(struct plan){0});
  CHECK(fcntl(v.memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && ftruncate(v.memory, 0) < 0, "seal");
  CHECK(slave_put(&v, 0, bytes, 60) && take(m, got, BURST, NULL) == 1, "sealed");
  slave_close(&v, m);
}

/* An eventfd that makes a write to it wait for ever: nobody waits, and the link still ends. */
static void test_bell(struct memif *m) {
  struct slave v;
  struct packet *p = packet_make(60);
  uint64_t full = UINT64_MAX - 1;
  struct timespec from, to;
  slave_connect(&v, m, &(struct plan){0});
  CHECK(fcntl(v.m2s_event[0], F_SETFL, O_RDWR) == 0 && write(v.m2s_event[0], &full, 8) == 8, "eventfd");
  clock_gettime(CLOCK_MONOTONIC, &from);
  for (unsigned i = 0; i < 64; i++) {
    CHECK(send_one(m, p).n[IO_SENT] == 1, "not sent");
    usleep(500); /* for the bell thread to get into it */
  }
  close(v.s);
  v.s = -1;
  memif_turn(m);
  clock_gettime(CLOCK_MONOTONIC, &to);
  CHECK(to.tv_sec - from.tv_sec < 5 && !memif_connected(m), "%ld s", (long)(to.tv_sec - from.tv_sec));
  packet_free(p);
  slave_close(&v, m);
  slave_connect(&v, m, &(struct plan){0});
  struct pollfd bell = {.fd = v.m2s_event[0], .events = POLLIN};
  p = packet_make(60);
  CHECK(send_one(m, p).n[IO_SENT] == 1 && poll(&bell, 1, 2000) == 1, "the next slave is not rung");
  packet_free(p);
  slave_close(&v, m);
}

void test_hostile(void) {
  seed_part();
  struct memif *m = memif_make(NULL);
  test_slots(m);
  test_endless(m);
  test_jumps(m);
  test_shrink(m);
  test_bell(m);
  memif_close(m);
}

/* --- fuzz ---------------------------------------------------------------------------------------- */

static uint32_t edge(uint32_t range) {
  static const uint32_t edges[] = {0, 1, 2, 15, 16, 63, 64, 65, 255, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
  switch (random_below(3)) {
    case 0: return edges[random_below(sizeof edges / sizeof *edges)];
    case 1: return random_below(range ? range : 1);
    default: return (uint32_t)random64();
  }
}

/* Right messages with wrong parts, in any order, with any descriptor. */
static void fuzz_messages(struct memif *m, unsigned lives) {
  unsigned connected = 0;
  for (unsigned life = 0; life < lives; life++) {
    struct slave v;
    struct plan plan = {.log2 = 1 + random_below(7), .buffer = 64, .rings = 1 + random_below(3)};
    slave_dial(&v, m);
    slave_memory(&v, &plan);
    unsigned right = random_below(4) != 0, steps = 3 + 2 * v.rings, more = random_below(3);
    for (unsigned i = 0; i < steps + more; i++) {
      unsigned k = right ? i : random_below(steps);
      struct memif_message say = k == 0 ? say_init(&plan) : k == 1 ? say_region(&v) : k >= steps - 1 ? say_connect() : say_ring(&v, k % 2, (k - 2) / 2);
      int fd = k == 1 ? v.memory : k > 1 && k < steps - 1 ? v.s2m_event[0] : -1;
      for (unsigned hits = random_below(right ? 8 : 3) ? 0 : 1 + random_below(4); hits; hits--) {
        uint32_t value = edge((uint32_t)v.size);
        unsigned at = random_below(2) ? random_below(16) : random_below(sizeof say - 4);
        memcpy((uint8_t *)&say + at, &value, 1 + random_below(4));
      }
      if (random_below(40) == 0) fd = random_below(2) ? v.memory : v.m2s_event[0];
      slave_tell(&v, NULL, &say, random_below(60) ? sizeof say : random_below(sizeof say) + 1, fd);
      if (random_below(3) == 0) memif_turn(m);
    }
    memif_turn(m);
    connected += (unsigned)memif_connected(m);
    slave_close(&v, m);
    CHECK(!memif_connected(m), "a slave that has gone is connected");
  }
  CHECK(connected > lives / 20 && connected < lives, "%u of %u slaves connected", connected, lives);
}

/* rare: one in how many of those hits is made by which the link ends: cursors, and buffers that are lent. */
static void fuzz_memory(struct slave *v, unsigned steps, unsigned rare) {
  size_t rings = (size_t)((uint8_t *)(v->m2s[v->rings - 1] + 1) - v->base) + (sizeof(struct memif_desc) << v->log2);
  for (; steps; steps--) {
    struct memif_ring *r = random_below(2) ? v->s2m[random_below(v->rings)] : v->m2s[random_below(v->rings)];
    struct memif_desc *d = &r->desc[random_below(1u << v->log2)];
    unsigned hit = random_below(12);
    if (hit < 3 && (uint8_t *)r >= (uint8_t *)v->m2s[0] && random_below(rare)) continue;
    switch (hit) {
      case 0: d->region = (uint16_t)edge(2); break;
      case 1: d->offset = edge((uint32_t)v->size); break;
      case 2: d->length = edge((uint32_t)v->size); break;
      case 3: d->flags = (uint16_t)random_below(4); break;
      case 4: d->offset = random_below((uint32_t)v->size); break; /* perhaps over the rings */
      case 5: if (random_below(rare) == 0) __atomic_store_n(&r->tail, (uint16_t)random64(), __ATOMIC_RELEASE); break;
      case 6: if (random_below(rare) == 0) __atomic_store_n(&r->head, (uint16_t)edge(65536), __ATOMIC_RELEASE); break;
      case 7: if (random_below(rare) == 0) v->base[random_below((uint32_t)rings)] = (uint8_t)random64(); break;
      default: /* head goes on, so that what is there is looked at */
        if ((uint16_t)(r->head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE)) < 1u << v->log2)
          __atomic_store_n(&r->head, (uint16_t)(r->head + 1), __ATOMIC_RELEASE);
        break;
    }
  }
}

/* A process that writes to the slave's memory until it is killed. */
static pid_t fuzzer(struct slave *v) {
  pid_t child = fork();
  CHECK(child >= 0, "fork");
  for (; child == 0; usleep(20)) fuzz_memory(v, 16, 200);
  random64(); /* the next one is to write something else */
  return child;
}

/* Ring memory that is anything, between calls, or (during) whenever a process beside us likes. */
static void fuzz_rings(struct memif *m, unsigned lives, int during) {
  uint64_t frames = 0, broken = 0;
  for (unsigned life = 0; life < lives; life++) {
    struct slave v;
    struct plan plan = {.log2 = random_below(9), .buffer = 1 + random_below(4096), .rings = 1 + random_below(2)};
    struct io_counts c = {{0}};
    pid_t child = 0;
    if (!plan.log2) plan.log2 = 1;
    slave_connect(&v, m, &plan);
    if (during) child = fuzzer(&v);
    for (unsigned i = 0; i < 200 && memif_connected(m); i++) {
      struct packet *p = packet_make(1 + random_below(random_below(4) ? 2000 : FRAME_MAX));
      if (during && i % 16 == 0) usleep(20);
      if (!during) fuzz_memory(&v, 1 + random_below(30), 200);
      unsigned n = take(m, got, BURST, &c);
      for (unsigned k = 0; k < n; k++) {
        CHECK(got[k].len && got[k].len <= FRAME_MAX, "%u bytes", got[k].len);
        memset(got[k].data, 1, got[k].len); /* all of it is ours */
      }
      frames += n;
      struct io_counts sent = send_one(m, p);
      CHECK(sent.n[IO_SENT] + sent.n[IO_BUSY] + sent.n[IO_SIZE] + sent.n[IO_DOWN] == 1, "a packet without a fate");
      packet_free(p);
      if (memif_sleep(m)) memif_wake(m);
      memif_turn(m);
    }
    broken += !memif_connected(m);
    if (during) CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child, "kill");
    slave_close(&v, m);
  }
  CHECK(frames > lives && broken && broken < lives, "%" PRIu64 " frames, %" PRIu64 " broken of %u: the fuzz finds nothing", frames, broken, lives);
}

void test_fuzz(void) {
  seed_part();
  struct memif *m = memif_make(NULL);
  fuzz_messages(m, 3000);
  fuzz_rings(m, 400, 0);
  fuzz_rings(m, 100, 1);
  struct slave v;
  slave_connect(&v, m, &(struct plan){0}); /* after all that */
  CHECK(slave_put(&v, 0, bytes, 60) && take(m, got, BURST, NULL) == 1, "a good slave");
  slave_close(&v, m);
  memif_close(m);
}
