/* attachment.h - struct lcpfwd: one attachment of lcpd (or of a test) to a region.
 *
 * The table side fills everything but the descriptors; attaching to a forwarder over its socket ends
 * in attachment_open() with the memfd it sent, then sets control_fd, event_fd and the calls for ports.
 * With those NULL (a private region) ports open and close in the region alone.
 */
#ifndef LCPFWD_ATTACHMENT_H
#define LCPFWD_ATTACHMENT_H

#include "region.h"

struct writer;

struct lcpfwd {
  struct region region;
  struct writer *writer;
  int control_fd; /* owned, -1: none */
  int event_fd;   /* owned, -1: none; eventfd that workers signal */
  /* Ask the forwarder to open port id, whose entry is filled and PORT_RESERVED: it opens the phy by
   * the entry's phy_ifindex, takes a copy of tap_fd, sets state to PORT_OPEN (release) and answers.
   * 0 or -errno and errtext (160 bytes, never NULL here); on failure the state stays as it is. */
  int32_t (*port_open)(struct lcpfwd *f, uint32_t id, int32_t tap_fd, char *errtext);
  /* The same where the wire is a memif. */
  int32_t (*memif_open)(struct lcpfwd *f, uint32_t id, const char *path, const char *secret, char *errtext);
  /* Ask it to close: sets PORT_FREE when no worker uses the descriptors any more, then answers. */
  int32_t (*port_close)(struct lcpfwd *f, uint32_t id);
  /* Ask it to give the open port id another host (-1: none), as port_open does. */
  int32_t (*host_set)(struct lcpfwd *f, uint32_t id, int32_t tap_fd, char *errtext);
  /* Ask it to have its punt socket at path ("": none), and to read the clients of a new punt program. */
  int32_t (*punt_socket)(struct lcpfwd *f, const char *path, char *errtext);
  int32_t (*punt_clients)(struct lcpfwd *f);
};

/* Map memfd and become the writer: recovers what a dead writer left. fd is taken over on success.
 * NULL and *err = -errno; -EUCLEAN: the tables are damaged. */
struct lcpfwd *attachment_open(int memfd, int32_t *err);

#endif
