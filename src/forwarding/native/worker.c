/* worker.c - the loop of a worker thread: receive a burst, let the datapath decide, send, be quiescent.
 *
 * While there is work it looks at its phys' rings by memory reads alone and asks for ready TAPs with
 * one epoll_wait a loop. After SPINS empty loops it goes QSBR-offline and sleeps, so a sleeping worker
 * never holds up the reuse of table memory. No allocation, no output, no system call but I/O.
 * A port whose device is gone raises PORT_ERROR once and is received from no more; a device that is
 * only down comes back by itself.
 */
#include "worker.h"

#include "memif.h"
#include "own.h"
#include "punting.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SPINS 64u
#define EPOLL_EVENTS 64
#define TICK_NS 200000000ull /* how often the rings' losses and the devices' existence are looked at */
#define SLEEP_MS 200
#define WIRE_DATA 0x10000u /* added to a port's id: the TAP that is its wire */
#define WAKE_DATA UINT32_MAX
#define HOSTS_DATA (UINT32_MAX - 1)
#define PUNT_DATA (UINT32_MAX - 2)

enum side { SIDE_PHY, SIDE_HOST };

static uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void signal_lcpd(struct worker *w) {
  uint64_t one = 1;
  w->path.events = 0;
  /* EAGAIN: the counter is at its limit, so lcpd is being woken already. */
  if (write(w->event_fd, &one, sizeof one) < 0 && errno != EAGAIN) w->path.events = 1;
}

/* The only notice of this port must not be swallowed by a full ring: the tick tries again. */
static void tell_failure(struct worker *w, struct port_io *io) {
  struct lcpfwd_event e = {.type = LCPFWD_EVENT_PORT_ERROR, .port = io->id};
  uint32_t code = (uint32_t)-io->failed; /* machine order, unlike an address */
  memcpy(e.addr, &code, 4);
  if (!event_push(w->path.region, w->index, &e)) return;
  io->told = 1;
  w->path.events = 1;
}

static void port_fail(struct worker *w, struct port_io *io, int err) {
  if (io->failed) return;
  io->failed = err;
  /* -ENOENT from any is possible and harmless: what matters is that none wakes us again. */
  for (unsigned i = 0; i < RINGS; i++) epoll_ctl(w->all_epoll, EPOLL_CTL_DEL, io->wire->phy.rx[i].fd, NULL);
  epoll_ctl(w->host_epoll, EPOLL_CTL_DEL, io->wire->tap, NULL);
  epoll_ctl(w->host_epoll, EPOLL_CTL_DEL, io->host, NULL);
  tell_failure(w, io);
}

/* --- sending ------------------------------------------------------------------------------------- */

static void count_phy(struct worker *w, unsigned port, const struct io_counts *c) {
  static const uint8_t counter[IO_FATES] = {
      [IO_SENT] = COUNTER_TX_PACKETS,      [IO_SENT_BYTES] = COUNTER_TX_BYTES,
      [IO_BUSY] = COUNTER_DROP_TX_FULL,    [IO_SIZE] = COUNTER_DROP_TX_SIZE,
      [IO_DOWN] = COUNTER_DROP_TX_DOWN,    [IO_REFUSED] = COUNTER_DROP_TX_ERROR,
      [IO_RX_RING] = COUNTER_RX_RING_LOST, [IO_RX_TRUNCATED] = COUNTER_DROP_RX_TRUNCATED,
  };
  for (unsigned i = 0; i < IO_FATES; i++)
    if (c->n[i]) count(&w->path, port, (enum counter)counter[i], c->n[i]);
}

static void count_host(struct worker *w, unsigned port, const struct io_counts *c) {
  if (c->n[IO_SENT]) {
    count(&w->path, port, COUNTER_HOST_TX_PACKETS, c->n[IO_SENT]);
    count(&w->path, port, COUNTER_HOST_TX_BYTES, c->n[IO_SENT_BYTES]);
  }
  uint64_t lost = c->n[IO_BUSY] + c->n[IO_DOWN] + c->n[IO_REFUSED];
  if (lost) count(&w->path, port, COUNTER_DROP_HOST_FULL, lost);
}

static void flush(struct worker *w) {
  for (unsigned i = 0; i < w->n_used; i++) {
    unsigned port = w->used[i] >> 1, side = w->used[i] & 1;
    struct send_queue *q = &w->queue[side][port];
    struct port_io *io = w->seen->io[port];
    struct io_counts counts = {{0}};
    if (!io)
      counts.n[IO_DOWN] = q->n; /* its port was closed after the route was looked up */
    else if (side == SIDE_PHY)
      wire_send(io->wire, q->p, q->n, &counts);
    else if (io->host < 0)
      counts.n[IO_DOWN] = q->n; /* it has lost its host a moment ago */
    else
      host_send(io->host, q->p, q->n, &counts);
    if (side == SIDE_PHY)
      count_phy(w, port, &counts);
    else
      count_host(w, port, &counts);
    q->n = 0;
  }
  w->n_used = 0;
}

static inline void enqueue_at(struct worker *w, struct packet *p, unsigned side, unsigned port) {
  struct send_queue *q = &w->queue[side][port];
  if (!q->n) w->used[w->n_used++] = (uint16_t)(port << 1 | side);
  q->p[q->n++] = p;
}

static inline void enqueue(struct worker *w, struct packet *p) {
  if (p->disposition != DISPOSE_DROP) enqueue_at(w, p, p->disposition == DISPOSE_HOST ? SIDE_HOST : SIDE_PHY, p->out_port);
}

/* The same where frames that leave are mirrored: then a queue may get more than the burst. */
static void enqueue_mirrored(struct worker *w, struct packet *p) {
  uint16_t out[MIRRORS];
  unsigned n = p->disposition == DISPOSE_PHY ? punts_mirror(&w->path, p, out) : 0;
  enqueue(w, p);
  int full = w->queue[p->disposition == DISPOSE_HOST ? SIDE_HOST : SIDE_PHY][p->out_port].n == BURST;
  for (unsigned i = 0; i < n; i++) {
    enqueue_at(w, p, SIDE_PHY, out[i]);
    full |= w->queue[SIDE_PHY][out[i]].n == BURST;
  }
  if (full) flush(w);
}

static void enqueue_all(struct worker *w, struct packet *p, unsigned n) {
  if (__builtin_expect(w->path.punts && w->path.punts->span_tx, 0))
    for (unsigned i = 0; i < n; i++) enqueue_mirrored(w, &p[i]);
  else
    for (unsigned i = 0; i < n; i++) enqueue(w, &p[i]);
  flush(w);
}

static void send_made(struct datapath *d) {
  enqueue_all((struct worker *)(void *)d, d->made, d->n_made);
  made_reset(d);
}

static void send_burst(struct worker *w, unsigned n) {
  if (__builtin_expect(w->n_clients, 0)) worker_clients_flush(w); /* first: what leaves is changed on its way */
  enqueue_all(w, w->burst, n);
  if (w->path.n_made) send_made(&w->path);
}

/* --- receiving ----------------------------------------------------------------------------------- */

static unsigned poll_memif(struct worker *w, struct port_io *io) {
  struct io_counts counts = {{0}};
  if (!memif_pending(io->wire->memif)) return 0;
  w->large.used = 0;
  unsigned n = memif_receive(io->wire->memif, w->burst, BURST, &w->large, &counts);
  if (n) {
    phy_burst(&w->path, io->id, w->burst, n);
    send_burst(w, n);
  }
  count_phy(w, io->id, &counts);
  return 1;
}

static unsigned poll_phys(struct worker *w) {
  unsigned work = 0;
  for (unsigned i = 0; i < w->seen->n_mine[w->index]; i++) {
    struct port_io *io = w->seen->io[w->seen->mine[w->index][i]];
    struct io_counts counts = {{0}};
    if (io->wire->kind == WIRE_MEMIF) work += poll_memif(w, io);
    if (io->wire->kind != WIRE_PHY || io->failed || !phy_pending(&io->wire->phy)) continue;
    w->large.used = 0;
    unsigned n = phy_receive(&io->wire->phy, w->burst, BURST, &w->large, &counts);
    if (n) {
      phy_burst(&w->path, io->id, w->burst, n);
      send_burst(w, n);
    }
    phy_release(&io->wire->phy);
    count_phy(w, io->id, &counts);
    work++;
  }
  return work;
}

static void poll_tap(struct worker *w, struct port_io *io, int wire) {
  int err;
  w->large.used = 0;
  unsigned n = host_receive(wire ? io->wire->tap : io->host, w->burst, BURST, &w->large, &err);
  if (n) {
    (wire ? phy_burst : host_burst)(&w->path, io->id, w->burst, n);
    send_burst(w, n);
  }
  if (err) port_fail(w, io, err);
}

static void wake_clear(struct worker *w) {
  uint64_t n;
  /* Non-blocking; an empty counter only means that there is nothing to clear. */
  while (read(w->wake, &n, sizeof n) < 0 && errno == EINTR) {
  }
}

static void poll_punt(struct worker *w) {
  struct punt_descriptor what[BURST];
  struct punt_counts counts = {{0}};
  if (!w->seen->punt) return; /* the watch ends a moment after the set without it */
  w->large.used = 0;
  unsigned n = puntsock_receive(w->seen->punt, what, w->burst, BURST, &w->large, &counts);
  if (n) {
    inject_burst(&w->path, what, w->burst, n);
    send_burst(w, n);
  }
  worker_count_punt(w, &counts);
}

static unsigned poll_taps(struct worker *w) {
  struct epoll_event events[EPOLL_EVENTS];
  unsigned work = 0;
  int n = epoll_wait(w->host_epoll, events, EPOLL_EVENTS, 0);
  for (int i = 0; i < n; i++) {
    if (events[i].data.u32 == PUNT_DATA) {
      poll_punt(w);
      work++;
      continue;
    }
    int wire = (events[i].data.u32 & WIRE_DATA) != 0;
    struct port_io *io = w->seen->io[events[i].data.u32 & ~WIRE_DATA];
    if (!io || io->failed || (wire ? io->wire->tap : io->host) < 0) continue;
    if (events[i].events & EPOLLIN) poll_tap(w, io, wire);
    /* The tun driver reports an error only when the device has been taken from under us. */
    else if (events[i].events & (EPOLLERR | EPOLLHUP)) port_fail(w, io, -EBADFD);
    work++;
  }
  return work;
}

static void check_phy(struct worker *w, struct port_io *io) {
  int err = phy_check(&io->wire->phy);
  if (err) port_fail(w, io, err);
}

static void tick(struct worker *w) {
  w->tick_ns = w->path.now_ns;
  for (unsigned i = 0; i < w->seen->n_mine[w->index]; i++) {
    struct port_io *io = w->seen->io[w->seen->mine[w->index][i]];
    struct io_counts counts = {{0}};
    if (io->failed) {
      if (!io->told) tell_failure(w, io);
      continue;
    }
    if (io->wire->kind != WIRE_PHY) continue;
    phy_statistics(&io->wire->phy, &counts);
    count_phy(w, io->id, &counts);
    check_phy(w, io);
  }
}

/* Asks its memifs to wake it, or no longer. 1: one of them has frames now. */
static int memifs_sleep(struct worker *w, int on) {
  int waiting = 0;
  for (unsigned i = 0; i < w->seen->n_mine[w->index]; i++) {
    struct wire *wire = w->seen->io[w->seen->mine[w->index][i]]->wire;
    if (wire->kind != WIRE_MEMIF) continue;
    if (on) waiting |= memif_sleep(wire->memif);
    else memif_wake(wire->memif);
  }
  return waiting;
}

static void sleep_until_work(struct worker *w) {
  struct epoll_event events[EPOLL_EVENTS];
  int waiting = memifs_sleep(w, 1);
  qsbr_offline(w->path.region, w->index);
  if (w->outbox.waiting && !waiting) worker_clients_pause(w);
  int n = epoll_wait(w->all_epoll, events, EPOLL_EVENTS, waiting || w->outbox.waiting ? 0 : SLEEP_MS);
  qsbr_online(w->path.region, w->index);
  memifs_sleep(w, 0);
  for (int i = 0; i < n; i++) {
    uint32_t what = events[i].data.u32;
    if (what == WAKE_DATA) wake_clear(w);
    if (what >= HOSTS_DATA || !(events[i].events & (EPOLLERR | EPOLLHUP))) continue;
    struct port_io *io = w->seen->io[what];
    if (io && !io->failed && io->wire->kind == WIRE_PHY) check_phy(w, io);
  }
}

static void *worker_run(void *arg) {
  struct worker *w = arg;
  unsigned idle = 0;
  qsbr_online(w->path.region, w->index);
  while (!ACQUIRE(&w->stop)) {
    const struct port_set *set = ACQUIRE(&w->set);
    if (set != w->seen) {
      worker_clients_forget(w, set);
      PUBLISH(&w->seen, set);
    }
    w->path.now_ns = monotonic_ns();
    unsigned work = poll_phys(w) + poll_taps(w) + worker_clients_retry(w);
    qsbr_quiescent(w->path.region, w->index);
    if (w->path.now_ns - w->tick_ns >= TICK_NS) tick(w);
    if (w->path.events) signal_lcpd(w);
    idle = work ? 0 : idle + 1;
    if (idle > SPINS) sleep_until_work(w);
  }
  qsbr_offline(w->path.region, w->index);
  return NULL;
}

/* --- the control thread's side -------------------------------------------------------------------- */

static int watch(int epoll, int fd, uint32_t data) {
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = data};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int worker_poll_host(struct worker *w, struct port_io *io, int on) {
  if (io->host < 0) return 0;
  if (on) return watch(w->host_epoll, io->host, io->id);
  /* A failed port has left already (ENOENT). Explicit, since lcpd may hold a copy of the descriptor, and
   * closing ours would not end the watch. */
  return epoll_ctl(w->host_epoll, EPOLL_CTL_DEL, io->host, NULL) < 0 && errno != ENOENT ? -errno : 0;
}

int worker_poll(struct worker *w, struct port_io *io, int on) {
  int err = worker_poll_host(w, io, on), phy = io->wire->kind == WIRE_PHY;
  if (io->wire->kind == WIRE_MEMIF) {
    int fd = memif_interrupt_fd(io->wire->memif);
    if (on) return err ? err : watch(w->all_epoll, fd, io->id);
    return epoll_ctl(w->all_epoll, EPOLL_CTL_DEL, fd, NULL) < 0 && errno != ENOENT ? -errno : err;
  }
  if (on) {
    for (unsigned i = 0; i < RINGS && phy && !err; i++) err = watch(w->all_epoll, io->wire->phy.rx[i].fd, io->id);
    return err || phy ? err : watch(w->host_epoll, io->wire->tap, io->id | WIRE_DATA);
  }
  for (unsigned i = 0; i < RINGS && phy; i++)
    if (epoll_ctl(w->all_epoll, EPOLL_CTL_DEL, io->wire->phy.rx[i].fd, NULL) < 0 && errno != ENOENT) err = -errno;
  if (!phy && epoll_ctl(w->host_epoll, EPOLL_CTL_DEL, io->wire->tap, NULL) < 0 && errno != ENOENT) err = -errno;
  return err;
}

int worker_poll_punt(struct worker *w, const struct puntsock *s, int on) {
  if (on) return watch(w->host_epoll, s->fd, PUNT_DATA);
  return epoll_ctl(w->host_epoll, EPOLL_CTL_DEL, s->fd, NULL) < 0 && errno != ENOENT ? -errno : 0;
}

static void kick(struct worker *w) {
  uint64_t one = 1;
  while (write(w->wake, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void worker_publish(struct worker *w, const struct port_set *set) {
  struct timespec pause = {.tv_nsec = 50000};
  PUBLISH(&w->set, set);
  kick(w);
  while (ACQUIRE(&w->seen) != set) nanosleep(&pause, NULL);
}

int worker_start(struct worker *w, struct region *r, unsigned index, int event_fd, const struct port_set *set) {
  size_t large = (size_t)LARGE_COUNT * LARGE_STRIDE;
  sigset_t all, before;
  int err;
  w->index = index;
  w->event_fd = event_fd;
  w->set = w->seen = set;
  w->path.region = r;
  w->path.worker = index;
  w->path.drain = send_made;
  w->path.to_socket = worker_to_socket;
  w->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  w->host_epoll = epoll_create1(EPOLL_CLOEXEC);
  w->all_epoll = epoll_create1(EPOLL_CLOEXEC);
  if (w->wake < 0 || w->host_epoll < 0 || w->all_epoll < 0) return -errno;
  w->large.memory = mmap(NULL, large + ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (w->large.memory == MAP_FAILED) return -errno;
  if ((err = worker_outbox_open(w))) return err;
  w->path.arena = w->large.memory + large;
  if ((err = watch(w->all_epoll, w->wake, WAKE_DATA)) || (err = watch(w->all_epoll, w->host_epoll, HOSTS_DATA))) return err;
  sigfillset(&all); /* signals are the control thread's, but that of memory which a memif's slave took away */
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  err = -pthread_create(&w->thread, NULL, worker_run, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return err;
}

void worker_stop(struct worker *w) {
  PUBLISH(&w->stop, 1);
  kick(w);
  pthread_join(w->thread, NULL);
  munmap(w->large.memory, (size_t)LARGE_COUNT * LARGE_STRIDE + ARENA_SIZE);
  worker_outbox_close(w);
  close(w->wake);
  close(w->host_epoll);
  close(w->all_epoll);
}
