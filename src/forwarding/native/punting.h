/* punting.h - what the packet path asks of a punt program: called only while there is one (datapath.punts). */
#ifndef PUNTING_H
#define PUNTING_H

#include "datapath.h"
#include "punts.h"

#define MIRRORS 32u /* most copies of one frame that leaves */

/* A frame from the wire of in. 1: a punt has taken it and it has its fate; 0: it goes on, unchanged. */
int punts_take(struct datapath *d, const struct ingress *in, struct packet *p);
/* A packet that is to go to the host (its counter says why): policed, given to sinks and redirected; or it has
 * another fate. Copies are made; p itself is not changed. */
void punts_deliver(struct datapath *d, struct packet *p);
/* p leaves by its out_port now, as it is. Ports by whose wire it is to leave as well, at most MIRRORS. */
unsigned punts_mirror(struct datapath *d, const struct packet *p, uint16_t *out);

/* 1: no policer of its class and family is exceeded. */
int punts_police(struct datapath *d, const struct packet *p);
/* Is p a question for an address that a proxy answers for? Then it is used up. */
int proxy_answer(struct datapath *d, const struct punt_port *at, const struct ingress *in, struct packet *p);
/* Is p the DHCP relay's? Then it is used up. for_us: it is for the router itself. */
int relay_take(struct datapath *d, struct packet *p, int for_us);
/* The port that a target names and the one with its wire; NULL: one of them has ended. */
const struct port_entry *target_port(const struct datapath *d, const struct punt_target *t, const struct port_entry **device);
/* Another L2 part: with the tags of a sub-interface, or without. The MAC addresses stay. 0: there was no room. */
int punt_retag(struct packet *p, const struct port_entry *to);
/* As it is, in the arena; NULL: no room. What was made before may have been sent. */
struct packet *punt_copy(struct datapath *d, const struct packet *p);

static inline void slot_count(struct datapath *d, uint32_t slot, uint32_t bytes) {
  struct lcpfwd_punt_count *c = &d->region->head->punt_counts[d->worker][slot];
  STORE(&c->packets, c->packets + 1);
  STORE(&c->bytes, c->bytes + bytes);
}

static inline void slot_drop(struct datapath *d, uint32_t slot, uint32_t bytes) {
  struct lcpfwd_punt_count *c = &d->region->head->punt_counts[d->worker][slot];
  STORE(&c->drops, c->drops + 1);
  STORE(&c->drop_bytes, c->drop_bytes + bytes);
}

#endif
