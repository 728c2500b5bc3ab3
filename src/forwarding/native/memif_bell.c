/* memif_bell.c - the thread that rings the slave: writes to the eventfds of rings that a worker has filled.
 *
 * The slave shares the eventfd and its O_NONBLOCK with us, so it can make any write to it wait for ever, between any
 * two instructions. A worker must never wait; this thread may: when its link ends it is woken by SIGURG until
 * it has let go. What it uses it names in m->ringing first, and looks again whether it may (a hazard pointer).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "memif_link.h"

static void ring_all(struct memif *m) {
  struct memif_link *l = __atomic_load_n(&m->link, __ATOMIC_SEQ_CST);
  __atomic_store_n(&m->ringing, l, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; l && __atomic_load_n(&m->link, __ATOMIC_SEQ_CST) == l && i < l->n_tx; i++) {
    uint64_t one = 1;
    if (!__atomic_exchange_n(&l->tx[i].rung, 0, __ATOMIC_SEQ_CST)) continue;
    /* A counter that is full has rung often enough. Interrupted: the link has ended, most likely. */
    while (write(l->tx[i].interrupt, &one, sizeof one) < 0 && errno == EINTR && __atomic_load_n(&m->link, __ATOMIC_SEQ_CST) == l) {
    }
  }
  __atomic_store_n(&m->ringing, NULL, __ATOMIC_SEQ_CST);
}

static void *bell_run(void *arg) {
  struct memif *m = arg;
  uint64_t n;
  while (!__atomic_load_n(&m->stop, __ATOMIC_ACQUIRE)) {
    if (read(m->bell, &n, sizeof n) < 0 && errno != EINTR) break;
    ring_all(m);
  }
  return NULL;
}

int memif_bell_start(struct memif *m) {
  sigset_t all, before;
  m->bell = eventfd(0, EFD_CLOEXEC); /* ours alone: never full */
  if (m->bell < 0) return -errno;
  sigfillset(&all);
  sigdelset(&all, SIGURG);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int err = -pthread_create(&m->thread, NULL, bell_run, m);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!err) return 0;
  close(m->bell);
  m->bell = -1;
  return err;
}

void memif_bell_leave(struct memif *m, const struct memif_link *l) {
  struct timespec pause = {.tv_nsec = 50000};
  while (__atomic_load_n(&m->ringing, __ATOMIC_SEQ_CST) == l) {
    pthread_kill(m->thread, SIGURG); /* again: it may have come before the write */
    nanosleep(&pause, NULL);
  }
}

void memif_bell_stop(struct memif *m) {
  uint64_t one = 1;
  if (m->bell < 0) return;
  __atomic_store_n(&m->stop, 1, __ATOMIC_RELEASE);
  while (write(m->bell, &one, sizeof one) < 0 && errno == EINTR) {
  }
  pthread_join(m->thread, NULL);
  close(m->bell);
}
