/* phy.c - the packet sockets of one phy.
 *
 * Receive: a TPACKET_V2 ring (V3 holds a block back until it is full or its timer, milliseconds, has
 * passed). A frame longer than a slot (GSO) is also queued whole on the socket, in slot order, because
 * PACKET_COPY_THRESH is set; its slot says TP_STATUS_COPY. Frames are rewritten in place in their slot
 * and sent from there, slots go back to the kernel after the burst has left. Urgent frames have a ring
 * of their own, which is read first: see urgent.c.
 * Send: a socket that receives nothing, past the qdisc (and the guard), sendmmsg per burst. Not a
 * transmit ring: it sent 0.8 to 0.9 times as many 64 byte frames (veth), and its slots stay taken until
 * the last receiver frees the frame. Past the qdisc a device without TSO drops a GSO frame instead of
 * cutting it: such frames go through a third socket and the qdisc, marked, so that the guard lets them.
 * Reference: Documentation/networking/packet_mmap, packet(7).
 */
#include "io.h"
#include "urgent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

#define BLOCK_SIZE 65536u
#define RING_BYTES (8u << 20)
#define URGENT_BYTES (1u << 20)
#define SLOT_MAX 10304u        /* 9000 byte frames fit; what is longer is copied */
#define RESERVE 70u            /* with the kernel's own 80 + 10 the L3 header is 16 byte aligned */
#define SOCKET_BYTES (16 << 20) /* for copied frames on rx, for frames under way on tx */

static uint32_t slot_size_for(int mtu) {
  uint32_t need = (uint32_t)mtu + 80 + RESERVE + VNET_HEAD + 2 * VLAN_TAG;
  if (need > SLOT_MAX) need = SLOT_MAX;
  uint32_t lines = (need + 63) / 64;
  return (lines | 1) * 64; /* odd: consecutive slots use different cache sets */
}

static int option(int s, int level, int name, int value) {
  return setsockopt(s, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/* A socket to send from, past the qdisc or through it. */
static int open_tx(int *s, const struct sockaddr_ll *at, int bypass, const char **step) {
  int err;
  *step = "transmit socket";
  *s = socket(PF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*s < 0) return -errno;
  *step = bypass ? "PACKET_QDISC_BYPASS" : "SO_MARK";
  err = bypass ? option(*s, SOL_PACKET, PACKET_QDISC_BYPASS, 1) : option(*s, SOL_SOCKET, SO_MARK, (int)GUARD_MARK);
  if (err) return err;
  *step = "transmit PACKET_VNET_HDR";
  if ((err = option(*s, SOL_PACKET, PACKET_VNET_HDR, 1))) return err;
  *step = "SO_SNDBUFFORCE";
  if ((err = option(*s, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BYTES))) return err;
  *step = "transmit bind";
  struct sockaddr_ll to = *at;
  to.sll_protocol = 0;
  return bind(*s, (struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0;
}

static int open_rx(struct ring *r, const struct sockaddr_ll *at, int mtu, int tun, int urgent, const char **step) {
  int err;
  size_t size = urgent ? URGENT_BYTES : RING_BYTES;
  struct tpacket_req ring = {.tp_block_size = BLOCK_SIZE};
  struct packet_mreq promisc = {.mr_ifindex = at->sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  *step = "receive socket";
  /* Protocol 0 until it is bound: frames of other devices would fill the ring. */
  r->fd = socket(PF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (r->fd < 0) return -errno;
  *step = "PACKET_VERSION";
  if ((err = option(r->fd, SOL_PACKET, PACKET_VERSION, TPACKET_V2))) return err;
  *step = "receive PACKET_VNET_HDR";
  if ((err = option(r->fd, SOL_PACKET, PACKET_VNET_HDR, 1))) return err;
  *step = "PACKET_IGNORE_OUTGOING";
  if ((err = option(r->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1))) return err;
  *step = "PACKET_RESERVE";
  if ((err = option(r->fd, SOL_PACKET, PACKET_RESERVE, RESERVE))) return err;
  *step = "PACKET_COPY_THRESH";
  if ((err = option(r->fd, SOL_PACKET, PACKET_COPY_THRESH, 1))) return err;
  *step = "SO_RCVBUFFORCE";
  if ((err = option(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BYTES))) return err;
  *step = "receive filter";
  if ((err = urgent_filter(r->fd, tun, urgent))) return err;
  r->slot_size = slot_size_for(mtu);
  r->slots_per_block = BLOCK_SIZE / r->slot_size;
  ring.tp_block_nr = (unsigned)(size / BLOCK_SIZE);
  ring.tp_frame_size = r->slot_size;
  ring.tp_frame_nr = r->slots = ring.tp_block_nr * r->slots_per_block;
  *step = "PACKET_RX_RING";
  if (setsockopt(r->fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring) < 0) return -errno;
  r->size = size;
  *step = "mmap of the receive ring";
  r->memory = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd, 0);
  if (r->memory == MAP_FAILED) {
    r->memory = NULL;
    return -errno;
  }
  *step = "PACKET_MR_PROMISC";
  if (setsockopt(r->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promisc, sizeof promisc) < 0) return -errno;
  *step = "receive bind";
  return bind(r->fd, (const struct sockaddr *)at, sizeof *at) < 0 ? -errno : 0;
}

int phy_open(struct phy *phy, uint32_t ifindex, int tun, char *text, size_t size) {
  struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex};
  const char *step = "device";
  struct ifreq ifr;
  int err, mtu = 0;
  memset(phy, 0, sizeof *phy);
  memset(&ifr, 0, sizeof ifr);
  phy->tx = phy->queued = -1;
  for (unsigned i = 0; i < RINGS; i++) phy->rx[i].fd = -1;
  err = open_tx(&phy->tx, &at, 1, &step);
  if (!err) err = open_tx(&phy->queued, &at, 0, &step);
  if (!err) {
    ifr.ifr_ifindex = (int)ifindex;
    step = "device";
    if (ioctl(phy->tx, SIOCGIFNAME, &ifr) < 0 || ioctl(phy->tx, SIOCGIFMTU, &ifr) < 0) err = -errno;
    mtu = ifr.ifr_mtu;
  }
  if (!err) {
    step = tun ? "a TUN pair wants a phy without link layer header" : "a TAP pair wants an Ethernet phy";
    if (ioctl(phy->tx, SIOCGIFHWADDR, &ifr) < 0) err = -errno;
    else if (tun == (ifr.ifr_hwaddr.sa_family == ARPHRD_ETHER)) err = -EINVAL;
  }
  for (unsigned i = 0; i < RINGS && !err; i++) err = open_rx(&phy->rx[i], &at, mtu, tun, i == RING_URGENT, &step);
  if (err) {
    snprintf(text, size, "phy ifindex %u: %s: %s", ifindex, step, strerror(-err));
    phy_close(phy);
  }
  return err;
}

void phy_close(struct phy *phy) {
  for (unsigned i = 0; i < RINGS; i++) {
    struct ring *r = &phy->rx[i];
    if (r->memory) munmap(r->memory, r->size);
    if (r->fd >= 0) close(r->fd);
    r->memory = NULL;
    r->fd = -1;
  }
  if (phy->tx >= 0) close(phy->tx);
  if (phy->queued >= 0) close(phy->queued);
  phy->tx = phy->queued = -1;
}

static inline struct tpacket2_hdr *slot_at(const struct ring *r, uint32_t i) {
  return (struct tpacket2_hdr *)(r->memory + (size_t)(i / r->slots_per_block) * BLOCK_SIZE +
                                 (size_t)(i % r->slots_per_block) * r->slot_size);
}

static inline int ring_pending(const struct ring *r) {
  return (__atomic_load_n(&slot_at(r, r->head)->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER) != 0;
}

int phy_pending(const struct phy *phy) { return ring_pending(&phy->rx[RING_URGENT]) || ring_pending(&phy->rx[RING_DATA]); }

/* The whole frame that the kernel queued beside its slot. 0: it is not there. */
static int receive_copy(struct ring *r, struct packet *p, struct large_pool *large) {
  uint8_t *at = large->memory + (size_t)large->used * LARGE_STRIDE + FRAME_ROOM;
  ssize_t n = recv(r->fd, at, VNET_HEAD + FRAME_MAX, MSG_DONTWAIT | MSG_TRUNC);
  if (n <= (ssize_t)VNET_HEAD || n > (ssize_t)(VNET_HEAD + FRAME_MAX)) return 0;
  large->used++;
  memcpy(&p->vnet, at, VNET_HEAD);
  p->data = at + VNET_HEAD;
  p->len = (uint32_t)n - VNET_HEAD;
  p->room = FRAME_ROOM;
  return 1;
}

/* The device took the tag out of the frame; it goes back in, behind the addresses. */
static void tag_restore(struct packet *p, uint16_t tpid, uint16_t tci) {
  p->data -= VLAN_TAG;
  memmove(p->data, p->data + VLAN_TAG, 12);
  store_be16(p->data + 12, tpid);
  store_be16(p->data + 14, tci);
  p->len += VLAN_TAG;
  p->room -= VLAN_TAG;
  if (p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) p->vnet.csum_start = (uint16_t)(p->vnet.csum_start + VLAN_TAG);
  if (p->vnet.hdr_len) p->vnet.hdr_len = (uint16_t)(p->vnet.hdr_len + VLAN_TAG);
}

static unsigned ring_receive(struct ring *r, struct packet *out, unsigned max, struct large_pool *large, struct io_counts *counts) {
  unsigned n = 0;
  while (n < max && r->borrowed < r->slots) {
    struct tpacket2_hdr *h = slot_at(r, r->head);
    uint32_t status = __atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE), next = r->head + 1 == r->slots ? 0 : r->head + 1;
    if (!(status & TP_STATUS_USER)) break;
    if ((status & TP_STATUS_COPY) && large->used == LARGE_COUNT) break;
    const struct tpacket2_hdr *ahead = slot_at(r, next);
    __builtin_prefetch(ahead);
    __builtin_prefetch((const uint8_t *)ahead + 128);
    struct packet *p = &out[n];
    int whole;
    r->head = next;
    r->borrowed++;
    if (status & TP_STATUS_COPY) {
      whole = receive_copy(r, p, large);
    } else {
      p->data = (uint8_t *)h + h->tp_mac;
      p->len = h->tp_snaplen;
      p->room = h->tp_mac - (uint32_t)sizeof *h - VNET_HEAD;
      memcpy(&p->vnet, p->data - VNET_HEAD, VNET_HEAD);
      whole = h->tp_snaplen == h->tp_len;
    }
    if (!whole) {
      counts->n[IO_RX_TRUNCATED]++;
      continue;
    }
    if (status & TP_STATUS_VLAN_VALID)
      tag_restore(p, status & TP_STATUS_VLAN_TPID_VALID ? h->tp_vlan_tpid : TYPE_VLAN, h->tp_vlan_tci);
    n++;
  }
  return n;
}

unsigned phy_receive(struct phy *phy, struct packet *out, unsigned max, struct large_pool *large, struct io_counts *counts) {
  unsigned n = 0;
  for (unsigned i = 0; i < RINGS; i++) n += ring_receive(&phy->rx[i], out + n, max - n, large, counts);
  return n;
}

static void ring_release(struct ring *r) {
  uint32_t i = r->head >= r->borrowed ? r->head - r->borrowed : r->head + r->slots - r->borrowed;
  for (; r->borrowed; r->borrowed--) {
    __atomic_store_n(&slot_at(r, i)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    if (++i == r->slots) i = 0;
  }
}

void phy_release(struct phy *phy) {
  for (unsigned i = 0; i < RINGS; i++) ring_release(&phy->rx[i]);
}

static enum io_fate fate_of(int err) {
  switch (err) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return IO_BUSY;
    case EMSGSIZE: return IO_SIZE;
    case ENETDOWN:
    case ENODEV:
    case ENXIO: return IO_DOWN;
    default: return IO_REFUSED;
  }
}

void phy_send(struct phy *phy, struct packet *const *p, unsigned n, struct io_counts *counts) {
  struct mmsghdr msgs[BURST];
  struct iovec iov[BURST];
  for (unsigned i = 0; i < n; i++) {
    uint8_t *at = p[i]->data - VNET_HEAD;
    memcpy(at, &p[i]->vnet, VNET_HEAD);
    iov[i] = (struct iovec){.iov_base = at, .iov_len = p[i]->len + VNET_HEAD};
    msgs[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
  }
  for (unsigned i = 0; i < n;) {
    unsigned run = n - i;
    int s = phy->tx, sent;
    if (__atomic_load_n(&phy->gso_queued, __ATOMIC_RELAXED)) {
      run = 1;
      if (packet_is_gso(p[i])) s = phy->queued;
      else while (i + run < n && !packet_is_gso(p[i + run])) run++;
    }
    sent = sendmmsg(s, msgs + i, run, MSG_DONTWAIT);
    if (sent > 0) {
      for (unsigned k = i; k < i + (unsigned)sent; k++) counts->n[IO_SENT_BYTES] += p[k]->len;
      counts->n[IO_SENT] += (unsigned)sent;
      i += (unsigned)sent;
    } else if (errno == ENOBUFS && s == phy->tx && packet_is_gso(p[i])) {
      __atomic_store_n(&phy->gso_queued, 1, __ATOMIC_RELAXED);
    } else if (errno != EINTR) {
      enum io_fate fate = fate_of(errno);
      /* A full queue or a device that is down will refuse the rest as well: no system call for each. */
      unsigned lost = fate == IO_BUSY || fate == IO_DOWN ? run : 1;
      counts->n[fate] += lost;
      i += lost;
    }
  }
}

void phy_statistics(struct phy *phy, struct io_counts *counts) {
  __atomic_store_n(&phy->gso_queued, 0, __ATOMIC_RELAXED);
  for (unsigned i = 0; i < RINGS; i++) {
    struct tpacket_stats stats;
    socklen_t size = sizeof stats;
    if (getsockopt(phy->rx[i].fd, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0) counts->n[IO_RX_RING] += stats.tp_drops;
  }
}

static int ring_check(const struct ring *r) {
  struct sockaddr_ll at;
  socklen_t size = sizeof at;
  int pending = 0;
  socklen_t pending_size = sizeof pending;
  if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &pending, &pending_size) < 0) return -errno;
  /* The kernel sets the bound index to -1 when the device is unregistered or leaves the namespace;
   * a device that is only down keeps it, and the ring comes back to life with it. */
  if (getsockname(r->fd, (struct sockaddr *)&at, &size) < 0) return -errno;
  return at.sll_ifindex <= 0 ? -ENODEV : 0;
}

int phy_check(struct phy *phy) {
  int err = 0;
  for (unsigned i = 0; i < RINGS; i++) {
    int one = ring_check(&phy->rx[i]);
    if (one) err = one;
  }
  return err;
}
