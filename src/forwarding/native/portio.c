/* portio.c - the descriptors of a port, opened and closed by the control thread (portio.h). */
#include "portio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "memif.h"

#define MEMIF_ID 1u /* the only one of its socket */

void io_free(struct port_io *io) {
  if (io->wire) phy_close(&io->wire->phy);
  if (io->wire && io->wire->memif) memif_close(io->wire->memif);
  if (io->wire && io->wire->tap >= 0) close(io->wire->tap);
  if (io->host >= 0) close(io->host);
  free(io->wire);
  free(io);
}

int tap_take(int fd) {
  int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), err;
  if (own >= 0 && fcntl(own, F_SETFL, O_NONBLOCK | O_RDWR) == 0) return own;
  err = -errno;
  if (own >= 0) close(own);
  return err;
}

/* text: path, end, secret; and what has failed. */
static int memif_wire(struct wire *wire, char *text) {
  char asked[CONTROL_TEXT];
  memcpy(asked, text, sizeof asked);
  memset(text, 0, CONTROL_TEXT);
  asked[sizeof asked - 1] = 0; /* so that the path ends before what follows it */
  size_t length = strlen(asked);
  if (length + 1 >= sizeof asked) return -EINVAL;
  errno = 0;
  wire->memif = memif_open(asked, asked + length + 1, MEMIF_ID, text, CONTROL_TEXT);
  return wire->memif ? 0 : errno ? -errno : -EINVAL;
}

int wire_open(struct wire *wire, const struct port_entry *entry, int tap, char *text) {
  uint32_t flags = LOAD(&entry->flags);
  wire->tap = wire->phy.tx = wire->phy.queued = -1;
  for (unsigned i = 0; i < RINGS; i++) wire->phy.rx[i].fd = -1;
  wire->kind = flags & LCPFWD_PORT_WIRE_TAP ? WIRE_TAP : flags & LCPFWD_PORT_WIRE_MEMIF ? WIRE_MEMIF : WIRE_PHY;
  if (wire->kind == WIRE_MEMIF) return memif_wire(wire, text);
  memset(text, 0, CONTROL_TEXT);
  if (wire->kind == WIRE_PHY) return phy_open(&wire->phy, LOAD(&entry->phy_ifindex), (flags & LCPFWD_PORT_TUN) != 0, text, CONTROL_TEXT);
  wire->plain = !(flags & LCPFWD_PORT_GSO);
  wire->tap = tap_take(tap);
  return wire->tap < 0 ? wire->tap : 0;
}
