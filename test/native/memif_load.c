/* memif_load.c - a million frames each way at once, in order and whole, over polls and sleeps; and slaves that come and go while a
 * worker runs. The worker sleeps on the interrupts as a worker of the forwarder does; a wake-up that is lost fails.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "memif_slave.h"

#define WAIT_MS 5000

static struct memif *m;
static uint64_t goal;
static int stop, stop_control;

/* The n-th frame says its number, then what frame_make says of it. Some are jumbos. */
static uint32_t length_of(uint64_t n) { return n % 1000 == 7 ? 9000 : 60 + (uint32_t)(n % 140); }

static uint32_t numbered(uint8_t *frame, uint64_t n) {
  uint32_t len = length_of(n);
  memcpy(frame, &n, 8);
  frame_make(frame + 8, n, len - 8);
  return len;
}

/* Its number: at least at_least, for the sender may have had to drop some. */
static uint64_t number_of(const uint8_t *frame, uint32_t len, uint64_t at_least) {
  uint64_t n;
  CHECK(len >= 60, "%u bytes", len);
  memcpy(&n, frame, 8);
  CHECK(n >= at_least && len == length_of(n) && frame_is(frame + 8, n, len - 8), "frame %" PRIu64 " of %u bytes, after %" PRIu64, n, len, at_least);
  return n;
}

/* --- a million ----------------------------------------------------------------------------------- */

static uint64_t slave_got, slave_sleeps;

static void *slave_run(void *arg) {
  struct slave *v = arg;
  static uint8_t frame[FRAME_MAX];
  uint64_t sent = 0, next = 0;
  unsigned idle = 0;
  uint32_t len = numbered(frame, 0);
  static uint8_t in[FRAME_MAX];
  while (sent < goal || __atomic_load_n(&slave_got, __ATOMIC_RELAXED) < goal) {
    unsigned work = 0;
    for (unsigned i = 0; i < 32 && sent < goal && slave_put(v, 0, frame, len); i++, work++) len = numbered(frame, ++sent);
    if (work) slave_ring(v, 0);
    uint32_t n;
    for (unsigned i = 0; i < 32 && (n = slave_get(v, 0, in)); i++, work++) {
      next = number_of(in, n, next) + 1;
      __atomic_fetch_add(&slave_got, 1, __ATOMIC_RELAXED);
    }
    slave_lend(v, 0);
    if (work || sent < goal || ++idle < 64) continue;
    /* All is sent: sleeps until the master rings. */
    idle = 0;
    __atomic_store_n(&v->m2s[0]->flags, 0, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&v->m2s[0]->tail, __ATOMIC_ACQUIRE) == v->tail[0] && slave_got < goal) {
      struct pollfd p = {.fd = v->m2s_event[0], .events = POLLIN};
      uint64_t clear;
      CHECK(poll(&p, 1, WAIT_MS) == 1, "the slave was not rung for frame %" PRIu64, next);
      CHECK(read(v->m2s_event[0], &clear, 8) == 8, "eventfd");
      slave_sleeps++;
    }
    __atomic_store_n(&v->m2s[0]->flags, MEMIF_MASK_INT, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void wait_for_frames(uint64_t *sleeps) {
  struct pollfd p = {.fd = memif_interrupt_fd(m), .events = POLLIN};
  if (memif_sleep(m)) return memif_wake(m);
  CHECK(poll(&p, 1, WAIT_MS) == 1, "the master was not rung");
  memif_wake(m);
  ++*sleeps;
}

static void million(void) {
  static struct packet in[BURST];
  struct packet *out[32];
  struct slave v;
  struct io_counts rx = {{0}}, tx = {{0}};
  pthread_t thread;
  uint64_t got = 0, number = 0, sleeps = 0;
  unsigned idle = 0;
  for (unsigned i = 0; i < 32; i++) out[i] = packet_make(9000);
  slave_connect(&v, m, &(struct plan){.log2 = 9});
  CHECK(pthread_create(&thread, NULL, slave_run, &v) == 0, "thread");
  while (got < goal || tx.n[IO_SENT] < goal) {
    unsigned n = take(m, in, BURST, &rx), k = 0;
    for (unsigned i = 0; i < n; i++, got++) CHECK(number_of(in[i].data, in[i].len, got) == got, "frame %" PRIu64 " is lost", got);
    for (; k < 32 && k < goal - tx.n[IO_SENT] && (got > tx.n[IO_SENT] || got == goal); k++) out[k]->len = numbered(out[k]->data, number++);
    if (tx.n[IO_SENT] < goal) memif_send(m, out, k, &tx);
    idle = n || k ? 0 : idle + 1;
    if (idle > 64 && got < goal) wait_for_frames(&sleeps);
  }
  pthread_join(thread, NULL);
  CHECK(rx.n[IO_RX_TRUNCATED] == 0 && tx.n[IO_SENT] + tx.n[IO_BUSY] == number && slave_got == goal, "%" PRIu64 " sent, %" PRIu64 " busy, %" PRIu64 " arrived", tx.n[IO_SENT],
        tx.n[IO_BUSY], slave_got);
  printf("memif_test: %" PRIu64 " frames each way, %" PRIu64 " and %" PRIu64 " sleeps\n", goal, sleeps, slave_sleeps);
  for (unsigned i = 0; i < 32; i++) packet_free(out[i]);
  slave_close(&v, m);
}

/* --- coming and going ----------------------------------------------------------------------------- */

static uint64_t published, acknowledged; /* as a worker's set and seen */
static uint64_t echoed;

/* Sends back what it receives. */
static void *worker_run(void *arg) {
  static struct packet in[BURST];
  struct packet *out[BURST];
  uint64_t sleeps = 0;
  unsigned idle = 0;
  (void)arg;
  for (unsigned i = 0; i < BURST; i++) out[i] = &in[i];
  while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
    struct io_counts c = {{0}};
    __atomic_store_n(&acknowledged, __atomic_load_n(&published, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
    unsigned n = take(m, in, BURST, &c);
    if (n) memif_send(m, out, n, &c);
    __atomic_fetch_add(&echoed, c.n[IO_SENT], __ATOMIC_RELAXED);
    idle = n ? 0 : idle + 1;
    if (idle < 64) continue;
    struct pollfd p = {.fd = memif_interrupt_fd(m), .events = POLLIN};
    if (!memif_sleep(m)) poll(&p, 1, 5); /* a published set would wake it by its own descriptor */
    memif_wake(m);
    sleeps++;
  }
  CHECK(sleeps, "it never slept");
  return NULL;
}

static void control(void) {
  struct pollfd p = {.fd = memif_control_fd(m), .events = POLLIN};
  while (poll(&p, 1, 0) == 1) {
    if (!(memif_control(m) & MEMIF_RETIRED)) continue;
    uint64_t set = __atomic_add_fetch(&published, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&acknowledged, __ATOMIC_ACQUIRE) < set) usleep(50);
    memif_reclaim(m);
  }
}

static void *control_run(void *arg) {
  (void)arg;
  while (!__atomic_load_n(&stop_control, __ATOMIC_ACQUIRE)) {
    struct pollfd p = {.fd = memif_control_fd(m), .events = POLLIN};
    poll(&p, 1, 5);
    control();
  }
  return NULL;
}

/* A handshake with a control thread elsewhere: every answer is waited for. */
static void join(struct slave *v, const struct plan *plan) {
  for (unsigned tries = 0;; tries++) {
    struct memif_message say, heard = {0};
    struct pollfd p;
    slave_dial_only(v);
    slave_memory(v, plan);
    p = (struct pollfd){.fd = v->s, .events = POLLIN};
    for (unsigned k = 0; k < 6; k++) { /* after HELLO, INIT, ADD_REGION, two rings, CONNECT */
      CHECK(poll(&p, 1, WAIT_MS) == 1, "no answer to message %u", k);
      heard = slave_hear(v);
      say = k == 0 ? say_init(plan) : k == 1 ? say_region(v) : k == 4 ? say_connect() : say_ring(v, k == 2, 0);
      if (heard.type == MEMIF_DISCONNECT || k == 5) break;
      slave_tell(v, NULL, &say, sizeof say, k == 1 ? v->memory : k == 2 ? v->s2m_event[0] : k == 3 ? v->m2s_event[0] : -1);
    }
    if (heard.type == MEMIF_CONNECTED) break;
    CHECK(!strcmp(heard.disconnect.reason, "already connected") && tries < 1000, "%u: %.96s", heard.type, heard.disconnect.reason);
    slave_close(v, NULL); /* the end of the one before has not been seen yet */
    usleep(1000);
  }
  slave_lend(v, 0);
}

static void come_and_go(void) {
  static uint8_t frame[FRAME_MAX];
  pthread_t worker, controller;
  CHECK(pthread_create(&worker, NULL, worker_run, NULL) == 0 && pthread_create(&controller, NULL, control_run, NULL) == 0, "threads");
  for (unsigned life = 0; life < 100; life++) {
    struct slave v;
    uint64_t sent = 0, back = 0, next = 0, frames = 200 + random_below(800);
    struct timespec from, now;
    join(&v, &(struct plan){.log2 = 6});
    clock_gettime(CLOCK_MONOTONIC, &from);
    while (back < frames) {
      uint32_t n = numbered(frame, sent);
      if (sent - back < 32 && sent < frames && slave_put(&v, 0, frame, n)) sent++;
      slave_ring(&v, 0);
      while ((n = slave_get(&v, 0, frame))) next = number_of(frame, n, next) + 1, back++;
      slave_lend(&v, 0);
      clock_gettime(CLOCK_MONOTONIC, &now);
      CHECK(now.tv_sec - from.tv_sec < 20, "life %u: %" PRIu64 " of %" PRIu64 " came back", life, back, sent);
    }
    /* It goes with frames under way. */
    for (unsigned i = 0; i < 20; i++) slave_put(&v, 0, frame, numbered(frame, i));
    slave_ring(&v, 0);
    if (life % 4 == 1) CHECK(ftruncate(v.memory, 0) == 0, "ftruncate");
    struct memif_message bye = {.type = MEMIF_DISCONNECT};
    if (life % 4 == 2) slave_tell(&v, NULL, &bye, sizeof bye, -1);
    slave_close(&v, NULL);
  }
  __atomic_store_n(&stop_control, 1, __ATOMIC_RELEASE); /* before the worker, which it waits for */
  pthread_join(controller, NULL);
  __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
  pthread_join(worker, NULL);
  memif_turn(m);
}

void test_load(void) {
  seed_part();
  m = memif_make(NULL);
  goal = 1000000;
  million();
  come_and_go();
  memif_close(m);
}
