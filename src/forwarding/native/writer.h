/* writer.h - the one process that changes the tables: all that it knows beside the region.
 *
 * Everything here is private memory and can be had again from the region: writer_open walks what is
 * reachable and counts. One writer per region, one thread. Functions that change tables return 0 or
 * -errno, and after an error nothing is half done.
 */
#ifndef LCPFWD_WRITER_H
#define LCPFWD_WRITER_H

#include "blocks.h"
#include "region.h"

/* Ids free for use again; the rest comes from the end. */
struct ids {
  uint32_t *free;
  uint32_t n, size;
};

struct writer {
  struct region *region;
  struct blocks blocks;
  uint32_t *routes_of;   /* [MAX_PATHLISTS] routes that use the path list */
  uint32_t *adjacency_refs; /* [MAX_ADJACENCIES] legs that use it */
  /* Complete adjacencies of one port with the same rewrite are chained; the rewrite hash holds the
   * first (the one whose prev is 0). */
  uint32_t *same_next, *same_prev;
  uint32_t hash_aside[2]; /* [enum adj_hash] array that is being built and not published, 0: none */
  uint32_t neighbour_slots, rewrite_slots; /* ever used ones of the hash arrays: removed ones too */
  uint32_t table_refs[LCPFWD_MAX_TABLES]; /* legs that name the table */
  struct ids pathlist_ids, adjacency_ids, table_ids;
  uint32_t table_end;
  uint32_t mroutes, mroute_slots; /* entries; slots of their hash that were ever used */
  uint32_t pathlists, adjacencies, neighbours; /* how many there are */
  int recovered; /* the last writer did not detach */
};

/* 0, -EBUSY when the region has a living writer is the caller's business; -EUCLEAN: damaged. */
int writer_open(struct writer *w, struct region *r);
/* Detach: the tables stay. */
void writer_close(struct writer *w);

/* A free id below limit, 0: none. *end is the region's or the writer's high-water mark. */
uint32_t ids_take(struct writer *w, struct ids *ids, uint32_t *end, uint32_t limit);
void ids_give(struct ids *ids, uint32_t id);

#endif
