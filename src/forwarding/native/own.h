/* own.h - packets that nobody forwards: made here, or handed in by a client of the punt socket. */
#ifndef OWN_H
#define OWN_H

#include "datapath.h"

struct punt_descriptor;

/* Routes the IP packet p by spec as a host would: its TTL stays. For ourselves it goes to the host of p->device. sent:
 * its fate when it leaves, drop-own-* where it cannot. */
void own_output(struct datapath *d, const struct lcpfwd_lookup_spec *spec, struct packet *p, enum counter sent);
/* What clients of the punt socket have sent, d[i] of p[i]: each gets its fate, and is counted and traced. */
void inject_burst(struct datapath *d, const struct punt_descriptor *what, struct packet *p, unsigned n);

#endif
