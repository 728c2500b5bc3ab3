/*
 * A session on VPP's API socket that is only there to wake VPP.
 *
 * A VPP without work and without a node that polls sleeps up to 10 ms, and what is put into its memory does not wake it: its
 * socket does. So behind what was written to memory goes a control_ping, whose answer nobody reads.
 * Reference: VPP's src/vlib/file.c (vlib_file_poll), src/vlibmemory/socket_api.c.
 */
#ifndef LCPVPP_DOORBELL_H
#define LCPVPP_DOORBELL_H

#include <stdint.h>

struct doorbell {
  /* -1: there is none. */
  int fd;
  uint32_t client;
  uint16_t ping;
  uint16_t leave;
};

/* Opens one at a path, "" for none; `index` tells VPP's id of a message. Waits a second at most; 0 or -errno. */
int doorbell_open(struct doorbell *bell, const char *path, int (*index)(char *name_crc));
/* Never waits. A bell whose VPP has ended is one no more. */
void doorbell_ring(struct doorbell *bell);
void doorbell_close(struct doorbell *bell);

#endif
