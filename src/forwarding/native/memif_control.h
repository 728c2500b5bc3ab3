/* memif_control.h - the connections to a memif's socket (memif_control.c), for who closes them. */
#ifndef MEMIF_CONTROL_H
#define MEMIF_CONTROL_H

#include "memif_link.h"

/* Tells the slave why, closes, and retires its link. why NULL: it has gone by itself. */
void memif_peer_end(struct memif *m, struct memif_peer *p, const char *why);

#endif
