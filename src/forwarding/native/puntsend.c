/* puntsend.c - packets to a client of the punt socket, in bursts.
 *
 * A datagram is gathered from the descriptor, what must differ from the packet (a completed sum, the headers of a piece)
 * and the packet itself, so that nothing is copied twice and the packet stays as it is. What the kernel's queue of a client
 * has no room for is copied to its backlog, and then so is all that comes behind it; the worker tries again by the clock.
 * What a client may cost: one that is not there, a system call every PUNTSOCK_MUTE_NS; one that does not read, two every
 * PUNTSOCK_PAUSE_MAX_NS, and copies until its backlog is full.
 */
#include <errno.h>
#include <sys/socket.h>

#include "pieces.h"
#include "puntsock.h"
#include "region.h"

#define PARTS 4u       /* of a datagram: the descriptor, and a packet whose sum is replaced */
#define HEAD_MOST 256u /* bytes before the payload of a GSO frame: L2 with tags, IP with options, TCP */

struct batch {
  struct puntsock *s;
  struct punt_outbox *o;
  unsigned slot;
  uint64_t now_ns;
  unsigned n;
  struct mmsghdr msgs[BURST];
  struct iovec iov[BURST][PARTS];
  struct punt_descriptor d[BURST];
  uint32_t record[BURST];
  uint16_t sum[BURST];
  uint8_t head[BURST][HEAD_MOST];
};

#define RELAXED_LOAD(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define RELAXED_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)

static enum punt_fate fate_of(int err) {
  switch (err) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return PUNT_TX_FULL;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case EACCES:
    case ECONNREFUSED: /* nobody is bound there, or it is no socket */
    case EPROTOTYPE:   /* no datagram socket */
    case EPERM:        /* connected to somebody else */
    case ECONNRESET:
    case EPIPE: return PUNT_TX_NO_CLIENT;
    default: return PUNT_TX_ERROR;
  }
}

static int dead(const struct puntsock_client *c, uint64_t now_ns) {
  uint64_t at = RELAXED_LOAD(&c->dead_at_ns);
  return at && now_ns - at < PUNTSOCK_MUTE_NS;
}

static void lose(struct punt_outbox *o, enum punt_fate fate, uint32_t record) {
  struct lcpfwd_punt_count *c = &o->records[record];
  o->counts.n[fate]++;
  STORE(&c->drops, c->drops + 1);
}

/* What waits for a client is lost. */
static void backlog_lose(struct punt_outbox *o, unsigned slot, enum punt_fate fate) {
  struct backlog *b = &o->backlog[slot];
  const struct backlog_record *first;
  for (; backlog_first(b, &first, 1); backlog_drop(b, 1)) lose(o, fate, first->owner);
  o->waiting &= ~(1ull << slot);
}

/* How many of the messages, from the first on, the client has taken; *fate: what becomes of the next one. */
static unsigned transmit(struct puntsock *s, unsigned slot, struct mmsghdr *msgs, unsigned n, uint64_t now_ns, enum punt_fate *fate) {
  struct puntsock_client *c = &s->client[slot];
  unsigned i = 0;
  *fate = PUNT_TX_NO_CLIENT;
  while (i < n && !dead(c, now_ns)) {
    int connected = RELAXED_LOAD(&c->connected);
    int sent = sendmmsg(connected ? s->fd : s->sender[slot], msgs + i, n - i, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      i += (unsigned)sent;
    } else if (errno == EPERM && !connected) {
      RELAXED_STORE(&c->connected, 1);
    } else if (errno != EINTR) {
      *fate = fate_of(errno);
      /* When it is full it may be another client by now, with room of its own: asked again. */
      if (*fate != PUNT_TX_ERROR) RELAXED_STORE(&c->connected, 0);
      if (*fate == PUNT_TX_NO_CLIENT) RELAXED_STORE(&c->dead_at_ns, now_ns);
      break;
    }
  }
  return i;
}

/* The rest of a batch, which waits for the client too. */
static void keep(struct batch *b, unsigned i) {
  struct backlog *log = &b->o->backlog[b->slot];
  if (!log->n) {
    log->pause_ns = PUNTSOCK_PAUSE_NS;
    log->retry_ns = b->now_ns + PUNTSOCK_PAUSE_NS;
  }
  for (; i < b->n; i++)
    if (!backlog_put(log, b->msgs[i].msg_hdr.msg_iov, (unsigned)b->msgs[i].msg_hdr.msg_iovlen, b->record[i])) lose(b->o, PUNT_TX_FULL, b->record[i]);
  if (log->n) b->o->waiting |= 1ull << b->slot;
}

static void batch_send(struct batch *b) {
  enum punt_fate fate = PUNT_TX_FULL;
  unsigned i = 0;
  while (i < b->n && !b->o->backlog[b->slot].n) {
    unsigned sent = transmit(b->s, b->slot, b->msgs + i, b->n - i, b->now_ns, &fate);
    b->o->counts.n[PUNT_TX] += sent;
    i += sent;
    if (i == b->n || fate == PUNT_TX_FULL) break;
    do lose(b->o, fate, b->record[i++]);
    while (fate == PUNT_TX_NO_CLIENT && i < b->n);
  }
  keep(b, i);
  b->n = 0;
}

/* Sends a burst of what waits for a client, as far as it takes it; how much that was. The rest has its turn in the next loop. */
static unsigned backlog_send(struct puntsock *s, struct punt_outbox *o, unsigned slot, uint64_t now_ns) {
  struct backlog *b = &o->backlog[slot];
  const struct backlog_record *r[BURST];
  struct mmsghdr msgs[BURST];
  struct iovec iov[BURST];
  enum punt_fate fate;
  unsigned n = backlog_first(b, r, BURST), sent;
  for (unsigned i = 0; i < n; i++) {
    iov[i] = (struct iovec){.iov_base = (void *)(uintptr_t)r[i]->data, .iov_len = r[i]->len};
    msgs[i].msg_hdr = (struct msghdr){.msg_name = &s->client[slot].to, .msg_namelen = sizeof s->client[slot].to, .msg_iov = &iov[i], .msg_iovlen = 1};
  }
  sent = transmit(s, slot, msgs, n, now_ns, &fate);
  if (sent == n) fate = PUNT_TX;
  if (fate == PUNT_TX_ERROR) lose(o, fate, r[sent]->owner);
  backlog_drop(b, sent + (fate == PUNT_TX_ERROR));
  if (fate == PUNT_TX_NO_CLIENT) backlog_lose(o, slot, fate);
  o->counts.n[PUNT_TX] += sent;
  uint32_t longer = 2 * b->pause_ns > PUNTSOCK_PAUSE_MAX_NS ? PUNTSOCK_PAUSE_MAX_NS : 2 * b->pause_ns;
  b->pause_ns = sent || fate != PUNT_TX_FULL ? PUNTSOCK_PAUSE_NS : longer;
  b->retry_ns = now_ns + (fate == PUNT_TX_FULL ? b->pause_ns : 0);
  if (!b->n) o->waiting &= ~(1ull << slot);
  return sent;
}

/* The same where it is time to. */
static unsigned backlog_try(struct puntsock *s, struct punt_outbox *o, unsigned slot, uint64_t now_ns) {
  const struct backlog *b = &o->backlog[slot];
  return b->n && b->retry_ns <= now_ns ? backlog_send(s, o, slot, now_ns) : 0;
}

unsigned puntsock_retry(struct puntsock *s, struct punt_outbox *o, uint64_t now_ns) {
  unsigned taken = 0;
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS && taken < BURST; i++) taken += backlog_try(s, o, o->turn++ % PUNTSOCK_CLIENTS, now_ns);
  return taken;
}

/* Their records may be others' by now, and count nothing of it. */
void puntsock_forget(struct punt_outbox *o, uint64_t stay) {
  for (uint64_t left = o->waiting & ~stay; left; left &= left - 1) {
    struct backlog *b = &o->backlog[__builtin_ctzll(left)];
    o->counts.n[PUNT_TX_NO_CLIENT] += b->n;
    backlog_drop(b, b->n);
  }
  o->waiting &= stay;
}

uint64_t puntsock_retry_ns(const struct punt_outbox *o) {
  uint64_t first = UINT64_MAX;
  for (uint64_t left = o->waiting; left; left &= left - 1) {
    const struct backlog *b = &o->backlog[__builtin_ctzll(left)];
    if (b->retry_ns < first) first = b->retry_ns;
  }
  return first;
}

void puntsock_outbox(struct punt_outbox *o, uint8_t *memory, struct lcpfwd_punt_count *records) {
  o->records = records;
  for (unsigned i = 0; i < PUNTSOCK_CLIENTS; i++) o->backlog[i].memory = memory + (size_t)i * BACKLOG_SIZE;
}

/* A message of which the parts after the descriptor are still to be set. */
static struct iovec *message(struct batch *b, uint32_t number, uint32_t record, unsigned parts) {
  if (b->n == BURST) batch_send(b);
  struct puntsock_client *to = &b->s->client[b->slot];
  unsigned i = b->n++;
  b->d[i] = (struct punt_descriptor){.number = number, .action = 0};
  b->record[i] = record;
  b->iov[i][0] = (struct iovec){.iov_base = &b->d[i], .iov_len = sizeof b->d[i]};
  b->msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &to->to, .msg_namelen = sizeof to->to, .msg_iov = b->iov[i], .msg_iovlen = 1 + parts}};
  return &b->iov[i][1];
}

/* The sum from csum_start on, over the field's partial one, is what belongs there. */
static void send_partial(struct batch *b, uint32_t number, uint32_t record, const struct packet *p) {
  uint32_t from = p->vnet.csum_start, field = from + p->vnet.csum_offset;
  struct iovec *part = message(b, number, record, 3);
  uint16_t *sum = &b->sum[b->n - 1];
  *sum = (uint16_t)~checksum_fold(checksum_add(0, p->data + from, p->len - from));
  if (!*sum) *sum = 0xffff; /* zero is UDP's "no checksum"; both are the same number */
  part[0] = (struct iovec){.iov_base = p->data, .iov_len = field};
  part[1] = (struct iovec){.iov_base = sum, .iov_len = sizeof *sum};
  part[2] = (struct iovec){.iov_base = p->data + field + 2, .iov_len = p->len - field - 2};
}

static int send_pieces(struct batch *b, uint32_t number, uint32_t record, const struct packet *p) {
  struct pieces l;
  uint32_t at = 0;
  unsigned k = 0;
  if ((p->ethertype != TYPE_IP4 && p->ethertype != TYPE_IP6) || !pieces_find(p, p->l3, &l) || l.payload > HEAD_MOST) return 0;
  do {
    uint32_t left = l.end - l.payload - at, n = left < p->vnet.gso_size ? left : p->vnet.gso_size;
    struct iovec *part = message(b, number, record, 2);
    uint8_t *head = b->head[b->n - 1], *payload = p->data + l.payload + at;
    memcpy(head, p->data, l.payload);
    pieces_head(head + l.ip, head + l.l4, &l, payload, at, n, k++);
    part[0] = (struct iovec){.iov_base = head, .iov_len = l.payload};
    part[1] = (struct iovec){.iov_base = payload, .iov_len = n};
    at += n;
  } while (l.payload + at < l.end);
  return 1;
}

void puntsock_send(struct puntsock *s, struct punt_outbox *o, unsigned slot, const uint32_t *number, const uint32_t *record,
                   struct packet *const *p, unsigned n, uint64_t now_ns) {
  struct batch b; /* 50 KiB, of which little is touched */
  if (s) backlog_try(s, o, slot, now_ns);
  if (!s || dead(&s->client[slot], now_ns)) {
    for (unsigned i = 0; i < n; i++) lose(o, PUNT_TX_NO_CLIENT, record[i]);
    return;
  }
  b.s = s;
  b.o = o;
  b.slot = slot;
  b.now_ns = now_ns;
  b.n = 0;
  for (unsigned i = 0; i < n; i++) {
    if (!vnet_ok(&p[i]->vnet, p[i]->len)) {
      lose(o, PUNT_TX_OFFLOAD, record[i]);
    } else if (packet_is_gso(p[i])) {
      if (!send_pieces(&b, number[i], record[i], p[i])) lose(o, PUNT_TX_OFFLOAD, record[i]);
    } else if (p[i]->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
      send_partial(&b, number[i], record[i], p[i]);
    } else {
      *message(&b, number[i], record[i], 1) = (struct iovec){.iov_base = p[i]->data, .iov_len = p[i]->len};
    }
  }
  if (b.n) batch_send(&b);
}
