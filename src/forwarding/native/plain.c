/* plain.c - frames for readers that take no offloads: partial checksums are completed and GSO frames cut before
 * they are written. The frame itself is not changed: it may be on its way to somebody else as well.
 *
 * Reference: linux/virtio_net.h, RFC 9293, RFC 768. Headers are checked here: the kernel vouches for none.
 */
#include <errno.h>
#include <unistd.h>

#include "pieces.h"
#include "memif.h"
#include "wire.h"

#define HEAD_MOST 256u /* L2 header, IP header with options or a short chain of extension headers, TCP header */

/* One whole frame of len bytes; VNET_HEAD bytes before it are free. */
static void put(int fd, uint8_t *frame, uint32_t len, struct io_counts *counts) {
  struct packet p = {.data = frame, .len = len};
  struct packet *one = &p;
  host_send(fd, &one, 1, counts);
}

static int complete(uint8_t *frame, uint32_t len, const struct virtio_net_hdr *v) {
  if ((uint32_t)v->csum_start + v->csum_offset + 2u > len) return 0;
  uint8_t *field = frame + v->csum_start + v->csum_offset;
  uint16_t sum = checksum(frame + v->csum_start, len - v->csum_start);
  store16(field, sum ? sum : 0xffff);
  return 1;
}

static void cut(int fd, const struct packet *p, uint8_t *buffer, struct io_counts *counts) {
  struct pieces l;
  if (!pieces_find(p, p->l3, &l)) {
    counts->n[IO_REFUSED]++;
    return;
  }
  uint32_t payload = l.end - l.payload, at = 0;
  unsigned k = 0;
  do {
    uint32_t n = payload - at < p->vnet.gso_size ? payload - at : p->vnet.gso_size;
    memcpy(buffer, p->data, l.payload);
    memcpy(buffer + l.payload, p->data + l.payload + at, n);
    pieces_finish(buffer + l.ip, buffer + l.l4, &l, at, n, k++);
    put(fd, buffer, l.payload + n, counts);
    at += n;
  } while (at < payload);
}

void plain_send(int fd, const struct packet *p, struct io_counts *counts) {
  static _Thread_local uint8_t room[VNET_HEAD + FRAME_MAX + HEAD_MOST];
  uint8_t *buffer = room + VNET_HEAD;
  if (p->len > FRAME_MAX) {
    counts->n[IO_REFUSED]++;
    return;
  }
  if (packet_is_gso(p)) return cut(fd, p, buffer, counts);
  memcpy(buffer, p->data, p->len);
  if ((p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !complete(buffer, p->len, &p->vnet)) {
    counts->n[IO_REFUSED]++;
    return;
  }
  put(fd, buffer, p->len, counts);
}

void wire_send(struct wire *w, struct packet *const *p, unsigned n, struct io_counts *counts) {
  if (w->kind == WIRE_PHY) return phy_send(&w->phy, p, n, counts);
  if (w->kind == WIRE_MEMIF) return memif_send(w->memif, p, n, counts);
  for (unsigned i = 0; i < n; i++) {
    if (w->plain && (packet_is_gso(p[i]) || (p[i]->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))) plain_send(w->tap, p[i], counts);
    else host_send(w->tap, p + i, 1, counts);
  }
}
