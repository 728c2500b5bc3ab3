/* writer.c - becoming the writer of a region, and ceasing to be (writer.h).
 *
 * Recovery is the normal way in: there is no other. It marks every block that tables, path lists,
 * adjacencies, multicast entries and the punt program reach, counts references, builds the adjacencies' hashes anew and so
 * forgets whatever the last writer had in its hands. Half-open ports (reserved, never confirmed by the forwarder) are freed.
 */
#include "writer.h"

#include <errno.h>
#include <stdlib.h>

#include "adj.h"
#include "mroute.h"
#include "pathlist.h"
#include "punts.h"
#include "subif.h"
#include "table.h"

uint32_t ids_take(struct writer *w, struct ids *ids, uint32_t *end, uint32_t limit) {
  /* An id that was free at attach may still be in a worker's hands, as memory may. */
  if (*end >= limit && (ids->n == 0 || !blocks_gate_open(&w->blocks)))
    blocks_wait(&w->blocks);
  if (ids->n && blocks_gate_open(&w->blocks))
    return ids->free[--ids->n];
  if (*end >= limit)
    return 0;
  uint32_t id = *end;
  PUBLISH(end, id + 1);
  return id;
}

void ids_give(struct ids *ids, uint32_t id) {
  if (ids->n == ids->size) {
    uint32_t size = ids->size ? ids->size * 2 : 64;
    uint32_t *grown = realloc(ids->free, size * sizeof *grown);
    if (!grown)
      return; /* the id rests until the next attach */
    ids->free = grown;
    ids->size = size;
  }
  ids->free[ids->n++] = id;
}

static void reclaim_id(void *ctx, enum retired_kind kind, uint32_t id) {
  struct writer *w = ctx;
  if (kind == RETIRED_PATHLIST)
    pathlist_reclaim(w, id);
  else if (kind == RETIRED_ADJACENCY)
    adj_reclaim(w, id);
  else if (kind == RETIRED_PORT)
    subif_reclaim(w, id);
  else
    ids_give(&w->table_ids, id);
}

static int recover(struct writer *w) {
  struct region_head *h = w->region->head;
  int err;
  if (h->pathlist_end > MAX_PATHLISTS || h->adjacency_end > MAX_ADJACENCIES)
    return -EUCLEAN;
  for (uint32_t id = 1; id < LCPFWD_MAX_PORTS; id++)
    if (h->ports[id].state == PORT_RESERVED)
      PUBLISH(&h->ports[id].state, PORT_FREE);
  subif_recover(w);
  err = pathlist_recover(w); /* before the routes, which ask what path lists there are */
  if (!err)
    err = table_recover(w);
  if (!err)
    err = adj_recover(w);
  if (!err)
    err = mroute_recover(w);
  if (!err)
    err = punts_recover(w);
  if (err)
    return err;
  blocks_marked(&w->blocks);
  /* Workers pass within a burst. Not to wait for them would carve new memory for the hashes each time. */
  if (!blocks_gate_open(&w->blocks))
    blocks_wait(&w->blocks);
  w->blocks.urgent = 1;
  pathlist_rebuild(w);
  mroute_rebuild(w);
  subif_rebuild(w);
  err = adj_rebuild(w);
  w->blocks.urgent = 0;
  blocks_settle(&w->blocks);
  return err;
}

int writer_open(struct writer *w, struct region *r) {
  struct region_head *h = r->head;
  *w = (struct writer){.region = r, .table_end = 1};
  int err = blocks_open(&w->blocks, r);
  if (err)
    return err;
  w->blocks.reclaim = reclaim_id;
  w->blocks.ctx = w;
  w->recovered = LOAD(&h->writer) != 0;
  w->routes_of = calloc(MAX_PATHLISTS, sizeof *w->routes_of);
  w->adjacency_refs = calloc(MAX_ADJACENCIES, sizeof *w->adjacency_refs);
  w->same_next = calloc(MAX_ADJACENCIES, sizeof *w->same_next);
  w->same_prev = calloc(MAX_ADJACENCIES, sizeof *w->same_prev);
  if (!w->routes_of || !w->adjacency_refs || !w->same_next || !w->same_prev)
    err = -ENOMEM;
  else
    err = recover(w);
  if (err) {
    int was = w->recovered;
    writer_close(w);
    STORE(&h->writer, (uint32_t)was);
    return err;
  }
  STORE(&h->writer, 1);
  return 0;
}

void writer_close(struct writer *w) {
  blocks_close(&w->blocks);
  free(w->routes_of);
  free(w->adjacency_refs);
  free(w->same_next);
  free(w->same_prev);
  free(w->pathlist_ids.free);
  free(w->adjacency_ids.free);
  free(w->table_ids.free);
  STORE(&w->region->head->writer, 0);
}
