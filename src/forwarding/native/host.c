/* host.c - reading and writing the TAP/TUN of a port while it forwards.
 *
 * One frame a system call: the tun driver has no batches. Frames come and go with their
 * virtio_net_hdr in front; a GSO frame is up to 64 KiB, so all are read into large buffers.
 */
#include "io.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

unsigned host_receive(int fd, struct packet *out, unsigned max, struct large_pool *large, int *err) {
  unsigned n = 0;
  *err = 0;
  while (n < max && large->used < LARGE_COUNT) {
    uint8_t *at = large->memory + (size_t)large->used * LARGE_STRIDE + FRAME_ROOM;
    ssize_t got = read(fd, at, VNET_HEAD + FRAME_MAX);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      if (errno != EAGAIN) *err = -errno;
      break;
    }
    struct packet *p = &out[n++];
    large->used++;
    if (got < (ssize_t)VNET_HEAD) got = VNET_HEAD; /* becomes a runt, and is counted as one */
    memcpy(&p->vnet, at, VNET_HEAD);
    p->data = at + VNET_HEAD;
    p->len = (uint32_t)got - VNET_HEAD;
    p->room = FRAME_ROOM;
  }
  return n;
}

static enum io_fate fate_of(int err) {
  switch (err) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM: return IO_BUSY;
    case EIO: /* the device is administratively down */
    case EBADFD: return IO_DOWN;
    default: return IO_REFUSED;
  }
}

void host_send(int fd, struct packet *const *p, unsigned n, struct io_counts *counts) {
  for (unsigned i = 0; i < n; i++) {
    uint8_t *at = p[i]->data - VNET_HEAD;
    ssize_t put;
    memcpy(at, &p[i]->vnet, VNET_HEAD);
    do {
      put = write(fd, at, p[i]->len + VNET_HEAD);
    } while (put < 0 && errno == EINTR);
    if (put >= 0) {
      counts->n[IO_SENT]++;
      counts->n[IO_SENT_BYTES] += p[i]->len;
    } else {
      counts->n[fate_of(errno)]++;
    }
  }
}
