/* adj_hash.h - the two arrays that find adjacencies, changed while workers read them.
 *
 * The neighbour hash holds every living adjacency with a next hop by (port, af, nh). The rewrite hash
 * holds complete ones by (port, MAC addresses); those that share a rewrite (one router with many
 * addresses) are chained in private memory and only the first is in the array, so that the array stays
 * free of duplicates and any of them may go. An array is replaced when half full, never resized.
 */
#ifndef LCPFWD_ADJ_HASH_H
#define LCPFWD_ADJ_HASH_H

#include "adj.h"
#include "writer.h"

enum adj_hash { HASH_NEIGHBOUR, HASH_REWRITE };

/* Room for more entries, so that adding them cannot fail. -ENOSPC. */
int adj_hash_reserve(struct writer *w, enum adj_hash which, uint32_t more);
/* id's block is published and says the key. */
void adj_hash_add(struct writer *w, enum adj_hash which, uint32_t id);
/* other 0: remove; else let the entry of id name other, which has the same key. */
void adj_hash_replace(struct writer *w, enum adj_hash which, uint32_t id, uint32_t other);

/* Into and out of the rewrite hash and the chain of its like. */
void adj_rewrite_link(struct writer *w, uint32_t id);
void adj_rewrite_unlink(struct writer *w, uint32_t id);

/* Mark the arrays at attach. */
int adj_hash_recover(struct writer *w);
/* Begin an empty array aside, for about that many entries: what is added goes there, and workers use the old one
 * until the new one is published, whole. A hash that is empty for a moment loses packets at each attach. -ENOSPC. */
int adj_hash_begin(struct writer *w, enum adj_hash which, uint32_t entries);
void adj_hash_publish(struct writer *w, enum adj_hash which);

#endif
