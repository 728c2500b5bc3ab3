/* memif_ring.c - frames through a memif's rings, in bursts.
 *
 * Receive copies each frame, slot after slot, to memory of ours: the data plane changes frames in place and reads a
 * header more than once, which memory of the slave's would not survive. A frame whose last slot has not come is left until it has;
 * one that fills the ring without an end is thrown away. A slot that points outside costs its frame, a head that cannot be costs
 * the link. Send copies to the buffers that the slave lends; each thread keeps to one ring, which keeps flows in order.
 */
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "memif_link.h"
#include "pieces.h"

#define EVENTS 16

static inline int link_whole(const struct memif_link *l) { return __atomic_load_n(&l->broken, __ATOMIC_ACQUIRE) == MEMIF_WHOLE; }

/* What the slot says now, read once. */
static inline struct memif_desc desc_read(const struct memif_ring *r, unsigned slot) {
  typedef uint64_t __attribute__((may_alias)) word;
  const word *at = (const word *)(const void *)&r->desc[slot];
  uint64_t words[2] = {__atomic_load_n(at, __ATOMIC_RELAXED), __atomic_load_n(at + 1, __ATOMIC_RELAXED)};
  struct memif_desc d;
  memcpy(&d, words, sizeof d);
  return d;
}

/* The bytes that it means. NULL: they are not all in one region. */
static inline uint8_t *desc_bytes(const struct memif_link *l, const struct memif_desc *d) {
  if (d->region >= l->regions || (uint64_t)d->offset + d->length > l->region[d->region].size) return NULL;
  return l->region[d->region].base + d->offset;
}

/* --- receiving ----------------------------------------------------------------------------------- */

int memif_pending(const struct memif *m) {
  const struct memif_link *l = __atomic_load_n(&m->link, __ATOMIC_ACQUIRE);
  if (!l || !link_whole(l)) return 0;
  for (unsigned i = 0; i < l->n_rx; i++)
    if (__atomic_load_n(&l->rx[i].ring->head, __ATOMIC_ACQUIRE) != l->rx[i].examined) return 1;
  return 0;
}

enum taken { TAKEN, TAKEN_BAD, LEFT_UNFINISHED, LEFT_NO_BUFFER };

/* One frame from *at on, which moves behind it unless the frame is left. */
static enum taken frame_take(const struct memif_link *l, const struct memif_rx *rx, uint16_t *at, uint16_t head, uint8_t *small,
                             struct large_pool *large, struct packet *p) {
  uint8_t *to = small + MEMIF_AT;
  uint32_t len = 0, room = MEMIF_SMALL;
  uint16_t next = *at;
  int bad = 0;
  struct memif_desc d;
  do {
    if (next == head && (uint16_t)(head - *at) <= rx->mask) return LEFT_UNFINISHED;
    if (next == head) { /* the ring is full of it */
      bad = 1;
      break;
    }
    d = desc_read(rx->ring, next++ & rx->mask);
    const uint8_t *from = desc_bytes(l, &d);
    if (!from || (uint64_t)len + d.length > FRAME_MAX) bad = 1;
    if (bad) continue;
    if (len + d.length > room) {
      if (large->used == LARGE_COUNT) return LEFT_NO_BUFFER;
      uint8_t *more = large->memory + (size_t)large->used * LARGE_STRIDE + FRAME_ROOM + VNET_HEAD;
      memcpy(more, to, len);
      to = more;
      room = FRAME_MAX;
    }
    memcpy(to + len, from, d.length);
    len += d.length;
  } while (d.flags & MEMIF_NEXT);
  *at = next;
  if (bad || !len) return TAKEN_BAD;
  if (room == FRAME_MAX) large->used++;
  memset(&p->vnet, 0, sizeof p->vnet);
  p->data = to;
  p->len = len;
  p->room = FRAME_ROOM;
  return TAKEN;
}

static unsigned ring_receive(const struct memif *m, struct memif_link *l, struct memif_rx *rx, struct packet *out, unsigned n, unsigned max,
                             struct large_pool *large, struct io_counts *counts) {
  uint16_t head = __atomic_load_n(&rx->ring->head, __ATOMIC_ACQUIRE), at = rx->tail;
  enum taken last = TAKEN;
  if ((uint16_t)(head - at) > (unsigned)rx->mask + 1) {
    memif_link_break(l, MEMIF_HEAD_JUMPED);
    return n;
  }
  while (n < max && at != head && last < LEFT_UNFINISHED) {
    __builtin_prefetch(&rx->ring->desc[(at + 4) & rx->mask]);
    last = frame_take(l, rx, &at, head, m->small + (size_t)n * MEMIF_STRIDE, large, &out[n]);
    if (last == TAKEN) n++;
    if (last == TAKEN_BAD) counts->n[IO_RX_TRUNCATED]++;
  }
  rx->examined = last == LEFT_UNFINISHED ? head : at;
  if (at != rx->tail) __atomic_store_n(&rx->ring->tail, rx->tail = at, __ATOMIC_RELEASE);
  return n;
}

unsigned memif_receive(struct memif *m, struct packet *out, unsigned max, struct large_pool *large, struct io_counts *counts) {
  struct memif_link *l = __atomic_load_n(&m->link, __ATOMIC_ACQUIRE);
  unsigned n = 0;
  if (!l || !link_whole(l)) return 0;
  if (max > BURST) max = BURST;
  /* A busy ring must not keep the others from being read for ever. */
  for (unsigned i = 0; i < l->n_rx; i++) n = ring_receive(m, l, &l->rx[(l->first_rx + i) % l->n_rx], out, n, max, large, counts);
  l->first_rx++;
  return link_whole(l) ? n : 0; /* what was read may be zeros in the place of lost memory */
}

/* --- sleeping ------------------------------------------------------------------------------------ */

static void interrupts_want(const struct memif *m, int on) {
  struct memif_link *l = __atomic_load_n(&m->link, __ATOMIC_ACQUIRE);
  for (unsigned i = 0; l && i < l->n_rx; i++) __atomic_store_n(&l->rx[i].ring->flags, on ? 0 : MEMIF_MASK_INT, __ATOMIC_SEQ_CST);
}

int memif_sleep(struct memif *m) {
  interrupts_want(m, 1);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (memif_pending(m)) return 1;
  /* Slaves look at the flag behind a store that may still be under way to us, without a fence between. */
  for (unsigned i = 0; i < 64; i++)
    if (memif_pending(m)) return 1;
  return 0;
}

void memif_wake(struct memif *m) {
  struct epoll_event events[EVENTS];
  /* Edge-triggered inside: taking the event is all that is needed. The counters are the slave's as much as ours,
   * and a read could be made to wait. */
  while (epoll_wait(m->interrupts, events, EVENTS, 0) < 0 && errno == EINTR) {
  }
  interrupts_want(m, 0);
}

/* --- sending ------------------------------------------------------------------------------------- */

/* A burst on its way into a ring. */
struct filling {
  struct memif_link *l;
  struct memif_tx *tx;
  uint16_t at, head;
  int full; /* the slave has had no slot left: not looked again, for it writes to that line */
};

static uint16_t free_slots(const struct filling *f) { return (uint16_t)(f->head - f->at); }

static int head_look(struct filling *f) {
  f->head = __atomic_load_n(&f->tx->ring->head, __ATOMIC_ACQUIRE);
  if (free_slots(f) <= (unsigned)f->tx->mask + 1) return 1;
  memif_link_break(f->l, MEMIF_HEAD_JUMPED);
  return 0;
}

static void desc_fill(struct memif_ring *r, unsigned slot, uint32_t length, unsigned more) {
  __atomic_store_n(&r->desc[slot].length, length, __ATOMIC_RELAXED);
  __atomic_store_n(&r->desc[slot].flags, more ? MEMIF_NEXT : 0, __ATOMIC_RELAXED);
}

static void fill(struct filling *f, const uint8_t *data, uint32_t len, struct io_counts *counts) {
  uint16_t at = f->at;
  uint32_t done = 0;
  if (!f->full && free_slots(f) <= f->tx->mask / 2u) {
    if (!head_look(f)) f->head = f->at;
    f->full = f->head == f->at;
  }
  while (done < len) {
    if (at == f->head) {
      /* All slots were free and they are too few for it. */
      counts->n[free_slots(f) > f->tx->mask ? IO_SIZE : IO_BUSY]++;
      return;
    }
    unsigned slot = at++ & f->tx->mask;
    struct memif_desc d = desc_read(f->tx->ring, slot);
    uint8_t *to = desc_bytes(f->l, &d);
    if (!to || !d.length) {
      memif_link_break(f->l, MEMIF_BAD_BUFFER);
      counts->n[IO_DOWN]++;
      return;
    }
    uint32_t part = len - done < d.length ? len - done : d.length;
    memcpy(to, data + done, part);
    done += part;
    desc_fill(f->tx->ring, slot, part, done < len);
  }
  f->at = at;
  counts->n[IO_SENT]++;
  counts->n[IO_SENT_BYTES] += len;
}

/* With the sum that the kernel left to the device. Not in place: p may be on its way to somebody else as well. */
static void fill_completed(struct filling *f, const struct packet *p, struct io_counts *counts) {
  uint8_t *frame = f->tx->scratch;
  memcpy(frame, p->data, p->len);
  uint16_t sum = checksum(frame + p->vnet.csum_start, p->len - p->vnet.csum_start);
  store16(frame + p->vnet.csum_start + p->vnet.csum_offset, sum ? sum : 0xffff); /* 0 says in UDP that there is none; the same number otherwise */
  fill(f, frame, p->len, counts);
}

static void fill_pieces(struct filling *f, const struct packet *p, struct io_counts *counts) {
  struct packet q = *p;
  struct pieces l;
  if (!frame_parse_l2(&q) || !(q.ethertype == TYPE_IP4 || q.ethertype == TYPE_IP6) || !pieces_find(&q, q.l3, &l)) {
    counts->n[IO_REFUSED]++;
    return;
  }
  uint8_t *piece = f->tx->scratch;
  uint32_t payload = l.end - l.payload, at = 0;
  unsigned k = 0;
  do {
    uint32_t n = payload - at < p->vnet.gso_size ? payload - at : p->vnet.gso_size;
    memcpy(piece, p->data, l.payload);
    memcpy(piece + l.payload, p->data + l.payload + at, n);
    pieces_finish(piece + l.ip, piece + l.l4, &l, at, n, k++);
    fill(f, piece, l.payload + n, counts);
    at += n;
  } while (at < payload);
}

static void fill_packet(struct filling *f, const struct packet *p, struct io_counts *counts) {
  int offloads = packet_is_gso(p) || (p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
  if (!link_whole(f->l)) counts->n[IO_DOWN]++;
  else if (!p->len || (offloads && (p->len > FRAME_MAX || !vnet_ok(&p->vnet, p->len)))) counts->n[IO_REFUSED]++;
  else if (packet_is_gso(p)) fill_pieces(f, p, counts);
  else if (offloads) fill_completed(f, p, counts);
  else fill(f, p->data, p->len, counts);
}

/* Which ring a thread sends by. */
static unsigned thread_number(void) {
  static unsigned threads;
  static __thread unsigned number;
  if (!number) number = __atomic_add_fetch(&threads, 1, __ATOMIC_RELAXED);
  return number;
}

static void slave_ring(struct memif *m, struct memif_tx *tx) {
  uint64_t one = 1;
  if (__atomic_load_n(&tx->ring->flags, __ATOMIC_RELAXED) & MEMIF_MASK_INT) return;
  if (__atomic_exchange_n(&tx->rung, 1, __ATOMIC_SEQ_CST)) return; /* it will be */
  while (write(m->bell, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void memif_send(struct memif *m, struct packet *const *p, unsigned n, struct io_counts *counts) {
  struct memif_link *l = __atomic_load_n(&m->link, __ATOMIC_ACQUIRE);
  if (!l || !link_whole(l)) {
    counts->n[IO_DOWN] += n;
    return;
  }
  struct memif_tx *tx = &l->tx[thread_number() % l->n_tx];
  pthread_mutex_lock(&tx->lock);
  struct filling f = {.l = l, .tx = tx, .at = tx->tail, .head = tx->tail};
  for (unsigned i = 0; i < n; i++) fill_packet(&f, p[i], counts);
  int filled = f.at != tx->tail;
  if (filled) __atomic_store_n(&tx->ring->tail, tx->tail = f.at, __ATOMIC_SEQ_CST);
  pthread_mutex_unlock(&tx->lock);
  __atomic_thread_fence(__ATOMIC_SEQ_CST); /* tail before flags */
  if (filled) slave_ring(m, tx);
}
