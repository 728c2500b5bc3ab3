/* memif_link.c - a link from the slave's first region to its end: put together, published, retired.
 *
 * What the slave says is checked as it says it, rings against the regions that came before them; the memory is mapped
 * when it says that it has said all. Texts given back are told to the slave.
 */
#include "memif_link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct memif_link *memif_link_new(int alarm) {
  struct memif_link *l = calloc(1, sizeof *l);
  if (l) l->alarm = alarm;
  return l;
}

void memif_link_free(struct memif_link *l) {
  if (!l) return;
  memif_regions_unmap(l);
  for (unsigned i = 0; i < l->n_rx; i++) close(l->interrupt[i]);
  for (unsigned i = 0; i < l->n_tx; i++) {
    close(l->tx[i].interrupt);
    if (l->tx[i].scratch) pthread_mutex_destroy(&l->tx[i].lock);
    free(l->tx[i].scratch);
  }
  free(l);
}

const char *memif_link_region(struct memif_link *l, struct memif_peer *p, const struct memif_add_region *a, int fd) {
  const char *wrong = memif_region_check(fd, a->size);
  if (a->index != l->regions) return "unexpected region index";
  if (l->regions == MEMIF_REGIONS) return "too many regions";
  if (wrong) return wrong;
  p->region_fd[l->regions] = fd;
  l->region[l->regions++].size = a->size;
  return NULL;
}

/* An eventfd never does anything but count: another file could keep the thread that writes to it, or worse. */
static int is_eventfd(int fd) {
  char link[64], target[32];
  if (fd < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, target, sizeof target);
  static const char kind[] = "anon_inode:[eventfd]";
  return n == (ssize_t)sizeof kind - 1 && !memcmp(target, kind, sizeof kind - 1);
}

const char *memif_link_ring(struct memif_link *l, const struct memif_add_ring *a, int fd) {
  unsigned s2m = a->flags & MEMIF_RING_S2M, *n = s2m ? &l->n_rx : &l->n_tx;
  if (a->index != *n) return "unexpected ring index";
  if (*n == MEMIF_RINGS) return "too many rings";
  if (!is_eventfd(fd)) return "ring without an eventfd";
  if (a->private_header) return "private headers are not supported";
  if (a->log2_ring_size > MEMIF_LOG2_MOST) return "ring is too long";
  if (a->region >= l->regions) return "ring in an unknown region";
  uint64_t end = (uint64_t)a->offset + sizeof(struct memif_ring) + (sizeof(struct memif_desc) << a->log2_ring_size);
  if (end > l->region[a->region].size) return "ring ends outside of its region";
  if (a->offset % 16) return "ring is not aligned";
  uint16_t mask = (uint16_t)((1u << a->log2_ring_size) - 1);
  if (s2m) {
    l->interrupt[*n] = fd;
    l->rx[*n] = (struct memif_rx){.mask = mask};
    l->rx_at[*n] = (struct memif_place){a->region, a->offset};
  } else {
    l->tx[*n] = (struct memif_tx){.mask = mask, .interrupt = fd};
    l->tx_at[*n] = (struct memif_place){a->region, a->offset};
  }
  ++*n;
  return NULL;
}

static struct memif_ring *ring_at(const struct memif_link *l, struct memif_place at) {
  struct memif_ring *r = (struct memif_ring *)(void *)(l->region[at.region].base + at.offset);
  return __atomic_load_n(&r->cookie, __ATOMIC_ACQUIRE) == MEMIF_COOKIE ? r : NULL;
}

const char *memif_link_map(struct memif_link *l, struct memif_peer *p) {
  if (!l->n_rx || !l->n_tx) return "a ring in each direction is wanted";
  for (unsigned i = 0; i < l->regions; i++) {
    const char *wrong = memif_region_map(l, i, p->region_fd[i]);
    if (wrong) return wrong;
  }
  for (unsigned i = 0; i < l->n_rx; i++) {
    struct memif_rx *rx = &l->rx[i];
    if (!(rx->ring = ring_at(l, l->rx_at[i]))) return "wrong cookie of a slave-to-master ring";
    rx->tail = rx->examined = __atomic_load_n(&rx->ring->tail, __ATOMIC_ACQUIRE);
  }
  for (unsigned i = 0; i < l->n_tx; i++) {
    struct memif_tx *tx = &l->tx[i];
    if (!(tx->ring = ring_at(l, l->tx_at[i]))) return "wrong cookie of a master-to-slave ring";
    tx->tail = __atomic_load_n(&tx->ring->tail, __ATOMIC_ACQUIRE);
    if (!(tx->scratch = malloc(FRAME_MAX))) return "no memory";
    pthread_mutex_init(&tx->lock, NULL);
  }
  return __atomic_load_n(&l->broken, __ATOMIC_ACQUIRE) ? "region is larger than its memory" : NULL;
}

int memif_link_publish(struct memif *m, struct memif_link *l) {
  struct epoll_event event = {.events = EPOLLIN | EPOLLET}; /* its counter is never read: see memif_wake */
  uint64_t one = 1;
  for (unsigned i = 0; i < l->n_rx; i++)
    if (epoll_ctl(m->interrupts, EPOLL_CTL_ADD, l->interrupt[i], &event) < 0) {
      int err = -errno;
      while (i--) epoll_ctl(m->interrupts, EPOLL_CTL_DEL, l->interrupt[i], NULL);
      return err;
    }
  __atomic_store_n(&m->link, l, __ATOMIC_SEQ_CST);
  /* Frames may have come before anybody could be told of them. */
  while (write(m->poke, &one, sizeof one) < 0 && errno == EINTR) {
  }
  return 0;
}

void memif_link_retire(struct memif *m) {
  struct memif_link *l = m->link;
  __atomic_store_n(&m->link, NULL, __ATOMIC_SEQ_CST);
  /* Explicit: the slave has the same eventfds, so that closing ours ends no watch. */
  for (unsigned i = 0; i < l->n_rx; i++) epoll_ctl(m->interrupts, EPOLL_CTL_DEL, l->interrupt[i], NULL);
  memif_bell_leave(m, l);
  l->next = m->retired;
  m->retired = l;
}

void memif_link_break(struct memif_link *l, enum memif_broken why) {
  uint32_t whole = MEMIF_WHOLE;
  uint64_t one = 1;
  if (!__atomic_compare_exchange_n(&l->broken, &whole, why, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
  while (write(l->alarm, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void memif_reclaim(struct memif *m) {
  while (m->retired) {
    struct memif_link *l = m->retired;
    m->retired = l->next;
    memif_link_free(l);
  }
}
