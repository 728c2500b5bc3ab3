/* io.h - the two descriptors of a port: the phy's packet sockets (phy.c) and the host's TAP/TUN
 * (host.c). Both receive into struct packet and send from it in bursts.
 *
 * The VNET_HEAD bytes before packet.data are always writable and not part of packet.room: the
 * virtio_net_hdr is written there on send, so that a frame leaves as one contiguous piece.
 */
#ifndef IO_H
#define IO_H

#include <stddef.h>
#include <stdint.h>

#include "frame.h"

#define VNET_HEAD ((uint32_t)sizeof(struct virtio_net_hdr))
/* Frames with this mark pass the guard on their way out: see phy.c for which they are. */
#define GUARD_MARK 0x6c637064u
#define BURST 128u   /* packets handled together; also the most that sendmmsg is given at once */
#define LARGE_COUNT 32u /* large buffers of a worker */
/* Distance of large buffers: not a power of two, so that their headers fall into different cache sets. */
#define LARGE_STRIDE (FRAME_ROOM + VNET_HEAD + FRAME_MAX + 6u + 64u * 9u)

/* Buffers for frames of any length: host frames, and phy frames longer than a ring slot. */
struct large_pool {
  uint8_t *memory; /* LARGE_COUNT * LARGE_STRIDE */
  unsigned used;   /* handed out in this burst */
};

/* What became of packets that were not sent, or not received. Indexes of io_counts.n. */
enum io_fate {
  IO_SENT,
  IO_SENT_BYTES,
  IO_BUSY,      /* EAGAIN, ENOBUFS: queue or socket memory full */
  IO_SIZE,      /* EMSGSIZE: longer than the device takes */
  IO_DOWN,      /* ENETDOWN, ENXIO, EIO: device down or gone */
  IO_REFUSED,   /* any other error */
  IO_RX_RING,   /* lost by the kernel because the ring was full */
  IO_RX_TRUNCATED,
  IO_FATES
};

struct io_counts {
  uint64_t n[IO_FATES];
};

/* A receive socket with its ring. */
struct ring {
  int fd; /* -1: closed */
  uint8_t *memory;
  size_t size;
  uint32_t slot_size, slots, slots_per_block;
  uint32_t head;     /* next slot to read */
  uint32_t borrowed; /* slots before head that are not given back yet */
};

enum { RING_URGENT, RING_DATA, RINGS }; /* in the order in which they are read */

struct phy {
  struct ring rx[RINGS];
  int tx, queued; /* descriptors, -1: closed */
  int gso_queued; /* 1: the device has refused a GSO frame lately; any sending worker sets it */
};

/* 0 or -errno; text says which step failed. tun: the phy has no link layer header. */
int phy_open(struct phy *phy, uint32_t ifindex, int tun, char *text, size_t size);
void phy_close(struct phy *phy);
/* Up to max frames. They stay valid until phy_release. */
unsigned phy_receive(struct phy *phy, struct packet *out, unsigned max, struct large_pool *large, struct io_counts *counts);
void phy_release(struct phy *phy);
void phy_send(struct phy *phy, struct packet *const *p, unsigned n, struct io_counts *counts);
/* 1: more frames wait in the ring. */
int phy_pending(const struct phy *phy);
/* Adds the kernel's drops since the last call; lets GSO frames try the short way again. */
void phy_statistics(struct phy *phy, struct io_counts *counts);
/* Clears a pending socket error. 0: usable (up or down); -ENODEV: the device is gone for good. */
int phy_check(struct phy *phy);

/* Up to max frames from the TAP/TUN fd. Returns how many; *err = 0, or -errno of a dead descriptor. */
unsigned host_receive(int fd, struct packet *out, unsigned max, struct large_pool *large, int *err);
void host_send(int fd, struct packet *const *p, unsigned n, struct io_counts *counts);

#endif
