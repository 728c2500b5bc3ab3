/* wire.h - where a port's frames come from and go to: a phy's packet sockets, a TAP or a memif. Another kind of wire is
 * another member and another case here, in worker.c (polled or watched) and in server.c (opened).
 *
 * A wire belongs to the control thread and outlives changes of its port's host; one worker receives from it,
 * any may send.
 */
#ifndef WIRE_H
#define WIRE_H

#include "io.h"

struct memif;

enum wire_kind { WIRE_PHY, WIRE_TAP, WIRE_MEMIF };

struct wire {
  enum wire_kind kind;
  int tap;   /* owned; -1: none */
  int plain; /* of a TAP: who reads it takes neither GSO frames nor partial checksums */
  struct phy phy;
  struct memif *memif; /* owned; NULL: none */
};

void wire_send(struct wire *w, struct packet *const *p, unsigned n, struct io_counts *counts);
/* The frame to a TAP whose reader takes no offloads: checksum completed, GSO frames cut. */
void plain_send(int fd, const struct packet *p, struct io_counts *counts);

#endif
