/* puntclients.h - the clients of the punt socket that a punt program names, for the control thread. */
#ifndef PUNTCLIENTS_H
#define PUNTCLIENTS_H

#include "puntsock.h"
#include "region.h"

/* Opens the client of every record of the region's program; client[slot of its counters]: + 1, 0: none. 0, or -errno of
 * one that could not be opened: it has none. lcpd does not change the program meanwhile. */
int clients_open(struct puntsock *s, const struct region *r, uint8_t client[LCPFWD_MAX_PUNT_SLOTS]);
/* Those of clients_open. No worker sends to them any more, unless they were opened anew. */
void clients_close(struct puntsock *s, const uint8_t client[LCPFWD_MAX_PUNT_SLOTS]);

#endif
