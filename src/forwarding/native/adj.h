/* adj.h - adjacencies: one (port, next hop) each, and the two hashes that find them.
 *
 * An adjacency lives while a path list uses it, a neighbour entry makes it known, or it is its port's
 * own (multicast, attached). Its block is immutable and replaced when something about it changes; its
 * id stays (only state and flags change in place, each a single byte). rewrite is the MAC addresses
 * (destination, source) and the tags of a sub-interface; the ethertype is NOT in it: the sender writes
 * that, since an IPv4 packet may leave by an IPv6 next hop (RFC 8950), or with labels.
 * A TUN's adjacencies are always complete and have an empty rewrite. When a port is deleted, those
 * that path lists still use stay as ADJ_DEAD: dropped and counted, found by neither hash, never revived.
 */
#ifndef LCPFWD_ADJ_H
#define LCPFWD_ADJ_H

#include "region.h"

struct writer;

enum adj_state {
  ADJ_INCOMPLETE = 0, /* next hop has no rewrite yet */
  ADJ_COMPLETE = 1,
  ADJ_ATTACHED = 2,  /* the destination itself is the neighbour: adj_find_neighbour, else ask */
  ADJ_MULTICAST = 3, /* the frame brings its own destination */
  ADJ_DEAD = 4,
};

#define ADJ_NEIGHBOUR 1u /* flags: a neighbour entry exists */
#define ADJ_GONE 2u      /* flags: freed, but a worker may have its id: readable for a grace period */

struct adj { /* 64 bytes */
  uint32_t id;
  uint16_t port;
  uint8_t af; /* of nh; 0: attached or multicast */
  uint8_t state;
  uint8_t nh[16];
  uint8_t rewrite_len; /* 12, 16, 20, or 0 */
  uint8_t flags;       /* ADJ_* */
  uint16_t out;        /* port whose phy it leaves by: port, or its parent */
  uint8_t rewrite[28];
  uint32_t pad2[2];
};

/* Open addressing, linear probing, at most half full. Slot: high half of the hash, adjacency id;
 * 0 = never used, id 0 otherwise = removed. */
struct hash_array {
  uint32_t mask;
  uint32_t pad;
  uint64_t slot[];
};

/* --- the writer -------------------------------------------------------------------------------- */

/* Find or make, and take a reference. Returns the id or -errno (-ENODEV: no such port). */
int adj_hold(struct writer *w, unsigned port, unsigned af, const uint8_t *nh);
/* Give a reference back; the last one frees what no neighbour entry keeps. */
void adj_release(struct writer *w, uint32_t id);
/* Neighbour entry with its MAC: makes or completes the adjacency. */
int adj_neighbour_set(struct writer *w, unsigned port, unsigned af, const uint8_t *nh, const uint8_t *mac);
/* Absent is success. */
int adj_neighbour_del(struct writer *w, unsigned port, unsigned af, const uint8_t *nh);

/* The port's own adjacencies; to be called when its entry has flags and mac, before it opens. */
int adj_port_open(struct writer *w, unsigned port);
void adj_port_close(struct writer *w, unsigned port);
/* Change the MAC in the port's entry and in all its adjacencies, or, on -ENOSPC, in none of them. */
int adj_port_mac(struct writer *w, unsigned port, uint64_t mac);

/* Freed, and no worker can have the id any more. */
void adj_reclaim(struct writer *w, uint32_t id);

/* Attach, in two steps around blocks_marked. After pathlist_recover: mark all blocks. -EUCLEAN. */
int adj_recover(struct writer *w);
/* Drop what nobody uses, build both hashes anew, give open ports what they lack. */
int adj_rebuild(struct writer *w);

#endif
