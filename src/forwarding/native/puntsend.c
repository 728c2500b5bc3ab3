/* puntsend.c - packets to a client of the punt socket, in bursts.
 *
 * A datagram is gathered from the descriptor, what must differ from the packet (a completed sum, the headers of a piece)
 * and the packet itself, so that nothing is copied twice and the packet stays as it is.
 * What a client may cost: one that is not there, a system call every PUNTSOCK_MUTE_NS; one whose queue is full,
 * PUNTSOCK_PATIENCE refused calls in a burst in which it takes something, one in a burst after it took nothing.
 */
#include <errno.h>
#include <sys/socket.h>

#include "pieces.h"
#include "puntsock.h"

#define PARTS 4u       /* of a datagram: the descriptor, and a packet whose sum is replaced */
#define HEAD_MOST 256u /* bytes before the payload of a GSO frame: L2 with tags, IP with options, TCP */

struct batch {
  struct puntsock *s;
  struct puntsock_client *c;
  int sender;
  uint64_t now_ns;
  struct punt_counts *counts;
  unsigned patience, taken; /* of this burst */
  unsigned n;
  struct mmsghdr msgs[BURST];
  struct iovec iov[BURST][PARTS];
  struct punt_descriptor d[BURST];
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

/* What becomes of the message that could not be sent, and of how many of the rest; a dead client's end in batch_send. */
static unsigned refused(struct batch *b, unsigned rest, int err) {
  enum punt_fate fate = fate_of(err);
  unsigned lost = 1;
  if (fate == PUNT_TX_NO_CLIENT) {
    RELAXED_STORE(&b->c->dead_at_ns, b->now_ns);
    RELAXED_STORE(&b->c->connected, 0);
  } else if (fate == PUNT_TX_FULL) {
    RELAXED_STORE(&b->c->connected, 0); /* it may be another client by now, with room of its own: asked again */
    if (--b->patience == 0) {
      lost = rest;
      b->patience = 1;
    }
  }
  b->counts->n[fate] += lost;
  return lost;
}

static void batch_send(struct batch *b) {
  for (unsigned i = 0; i < b->n;) {
    if (dead(b->c, b->now_ns)) {
      b->counts->n[PUNT_TX_NO_CLIENT] += b->n - i;
      break;
    }
    int connected = RELAXED_LOAD(&b->c->connected);
    int sent = sendmmsg(connected ? b->s->fd : b->sender, b->msgs + i, b->n - i, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
      b->counts->n[PUNT_TX] += (unsigned)sent;
      b->taken += (unsigned)sent;
      i += (unsigned)sent;
    } else if (errno == EPERM && !connected) {
      RELAXED_STORE(&b->c->connected, 1);
    } else if (errno != EINTR) {
      i += refused(b, b->n - i, errno);
    }
  }
  b->n = 0;
}

/* A message of which the parts after the descriptor are still to be set. */
static struct iovec *message(struct batch *b, uint32_t number, unsigned parts) {
  if (b->n == BURST) batch_send(b);
  unsigned i = b->n++;
  b->d[i] = (struct punt_descriptor){.number = number, .action = 0};
  b->iov[i][0] = (struct iovec){.iov_base = &b->d[i], .iov_len = sizeof b->d[i]};
  b->msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &b->c->to, .msg_namelen = sizeof b->c->to, .msg_iov = b->iov[i], .msg_iovlen = 1 + parts}};
  return &b->iov[i][1];
}

/* The sum from csum_start on, over the field's partial one, is what belongs there. */
static void send_partial(struct batch *b, uint32_t number, const struct packet *p) {
  uint32_t from = p->vnet.csum_start, field = from + p->vnet.csum_offset;
  struct iovec *part = message(b, number, 3);
  uint16_t *sum = &b->sum[b->n - 1];
  *sum = (uint16_t)~checksum_fold(checksum_add(0, p->data + from, p->len - from));
  if (!*sum) *sum = 0xffff; /* zero is UDP's "no checksum"; both are the same number */
  part[0] = (struct iovec){.iov_base = p->data, .iov_len = field};
  part[1] = (struct iovec){.iov_base = sum, .iov_len = sizeof *sum};
  part[2] = (struct iovec){.iov_base = p->data + field + 2, .iov_len = p->len - field - 2};
}

static int send_pieces(struct batch *b, uint32_t number, const struct packet *p) {
  struct pieces l;
  uint32_t at = 0;
  unsigned k = 0;
  if ((p->ethertype != TYPE_IP4 && p->ethertype != TYPE_IP6) || !pieces_find(p, p->l3, &l) || l.payload > HEAD_MOST) return 0;
  do {
    uint32_t left = l.end - l.payload - at, n = left < p->vnet.gso_size ? left : p->vnet.gso_size;
    struct iovec *part = message(b, number, 2);
    uint8_t *head = b->head[b->n - 1], *payload = p->data + l.payload + at;
    memcpy(head, p->data, l.payload);
    pieces_head(head + l.ip, head + l.l4, &l, payload, at, n, k++);
    part[0] = (struct iovec){.iov_base = head, .iov_len = l.payload};
    part[1] = (struct iovec){.iov_base = payload, .iov_len = n};
    at += n;
  } while (l.payload + at < l.end);
  return 1;
}

void puntsock_send(struct puntsock *s, unsigned slot, const uint32_t *number, struct packet *const *p, unsigned n, uint64_t now_ns,
                   struct punt_counts *counts) {
  struct puntsock_client *c = &s->client[slot];
  struct batch b; /* 50 KiB, of which little is touched */
  if (dead(c, now_ns)) {
    counts->n[PUNT_TX_NO_CLIENT] += n;
    return;
  }
  int stuck = RELAXED_LOAD(&c->stuck);
  b.s = s;
  b.c = c;
  b.sender = s->sender[slot];
  b.now_ns = now_ns;
  b.counts = counts;
  b.patience = stuck ? 1 : PUNTSOCK_PATIENCE;
  b.taken = b.n = 0;
  uint64_t full = counts->n[PUNT_TX_FULL];
  for (unsigned i = 0; i < n; i++) {
    if (!vnet_ok(&p[i]->vnet, p[i]->len)) {
      counts->n[PUNT_TX_OFFLOAD]++;
    } else if (packet_is_gso(p[i])) {
      if (!send_pieces(&b, number[i], p[i])) counts->n[PUNT_TX_OFFLOAD]++;
    } else if (p[i]->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
      send_partial(&b, number[i], p[i]);
    } else {
      *message(&b, number[i], 1) = (struct iovec){.iov_base = p[i]->data, .iov_len = p[i]->len};
    }
  }
  if (b.n) batch_send(&b);
  int now_stuck = !b.taken && counts->n[PUNT_TX_FULL] != full;
  if (now_stuck != stuck) RELAXED_STORE(&c->stuck, (uint8_t)now_stuck);
}
