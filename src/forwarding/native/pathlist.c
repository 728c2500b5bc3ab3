/* pathlist.c - making, replacing and reading path lists (pathlist.h). */
#include "pathlist.h"

#include <errno.h>
#include <string.h>

#include "adj.h"
#include "reader.h"
#include "table.h"
#include "writer.h"

static unsigned buckets_for(const struct lcpfwd_path *paths, unsigned n) {
  int equal = 1;
  for (unsigned i = 1; i < n; i++)
    equal &= paths[i].weight == paths[0].weight;
  unsigned buckets = 1;
  if (n == 1 || (equal && (n & (n - 1)) == 0)) { /* exact with one bucket each */
    while (buckets < n)
      buckets *= 2;
    return buckets;
  }
  while (buckets < 16 * n && buckets < PATHLIST_MAX_BUCKETS)
    buckets *= 2;
  return equal ? buckets : PATHLIST_MAX_BUCKETS;
}

unsigned pathlist_shares(const struct lcpfwd_path *paths, unsigned n, uint16_t *share) {
  unsigned buckets = buckets_for(paths, n), given = 0;
  uint64_t total = 0, remainder[LCPFWD_MAX_PATHS];
  for (unsigned i = 0; i < n; i++)
    total += paths[i].weight;
  for (unsigned i = 0; i < n; i++) {
    uint64_t exact = (uint64_t)paths[i].weight * buckets;
    int starved = exact < total; /* gets its one bucket and no more */
    share[i] = (uint16_t)(starved ? 1 : exact / total);
    remainder[i] = starved ? 0 : exact % total;
    given += share[i];
  }
  for (; given < buckets; given++) { /* largest remainder first; the earlier leg on a tie */
    unsigned best = 0;
    for (unsigned i = 1; i < n; i++)
      if (remainder[i] > remainder[best])
        best = i;
    share[best]++;
    remainder[best] = 0;
  }
  for (; given > buckets; given--) { /* the starved took too much: from whoever has most */
    unsigned best = 0;
    for (unsigned i = 1; i < n; i++)
      if (share[i] > share[best])
        best = i;
    share[best]--;
  }
  return buckets;
}

static size_t pathlist_bytes(unsigned buckets, unsigned legs, unsigned stacked) {
  return offsetof(struct pathlist, bucket) + ((buckets + 1u) & ~1u) * sizeof(uint32_t) +
         legs * (sizeof(struct pathlist_leg) + (stacked ? LCPFWD_MAX_LABELS * sizeof(uint32_t) : 0));
}

static size_t block_bytes(const struct pathlist *p) {
  return pathlist_bytes(p->mask + 1u, p->legs, p->stacked);
}

#define LABEL_LIMIT (1u << 20)
#define LABEL_IMPLICIT_NULL 3u /* RFC 3032 2.1: is told by protocols, is never in a packet */

/* Ids of tables of one family, nothing behind the last. */
static int tables_check(const struct region *r, const uint16_t *table, unsigned af) {
  unsigned n = 0;
  while (n < LCPFWD_LOOKUP_TABLES && table[n])
    if (!table_named(r, table[n++], af))
      return -EINVAL;
  for (; n < LCPFWD_LOOKUP_TABLES; n++)
    if (table[n])
      return -EINVAL;
  return 0;
}

static int path_check(const struct region *r, const struct lcpfwd_path *p) {
  unsigned kind = p->flags & (LCPFWD_PATH_PUNT | LCPFWD_PATH_LOOKUP);
  if (p->weight == 0 || p->labels > LCPFWD_MAX_LABELS)
    return -EINVAL;
  if (kind && (p->port || p->af || p->labels || p->ttl || kind == (LCPFWD_PATH_PUNT | LCPFWD_PATH_LOOKUP)))
    return -EINVAL;
  if (kind & LCPFWD_PATH_LOOKUP) {
    int err = tables_check(r, p->tables4, LCPFWD_AF_INET);
    return err ? err : tables_check(r, p->tables6, LCPFWD_AF_INET6);
  }
  if (kind)
    return 0;
  if (p->port == 0 || p->port >= LCPFWD_MAX_PORTS)
    return -EINVAL;
  if (p->af != 0 && p->af != LCPFWD_AF_INET && p->af != LCPFWD_AF_INET6)
    return -EINVAL;
  for (unsigned i = 0; i < p->labels; i++)
    if (p->label[i] >= LABEL_LIMIT || p->label[i] == LABEL_IMPLICIT_NULL)
      return -EINVAL;
  const struct port_entry *port = port_get(r, p->port);
  if (!port)
    return -ENODEV;
  return p->labels && (port_flags(port) & LCPFWD_PORT_TUN) ? -EOPNOTSUPP : 0;
}

static void release_legs(struct writer *w, const uint32_t *adjacency, unsigned n) {
  for (unsigned i = 0; i < n; i++)
    if (adjacency[i])
      adj_release(w, adjacency[i]);
}

static uint64_t lookup_word(const uint16_t *table) {
  struct lcpfwd_lookup_spec s = {.n = 0};
  for (; s.n < LCPFWD_LOOKUP_TABLES && table[s.n]; s.n++)
    s.table[s.n] = table[s.n];
  return port_pack_lookup(&s);
}

static void lookup_read(uint64_t word, uint16_t *table) {
  struct lcpfwd_lookup_spec s;
  unpack_lookup(word, &s);
  for (unsigned i = 0; i < LCPFWD_LOOKUP_TABLES; i++)
    table[i] = (uint16_t)s.table[i];
}

/* Take or give back what legs hold of the tables they name. */
static void tables_each(struct writer *w, const struct pathlist *p, void (*each)(struct writer *, uint32_t)) {
  struct lcpfwd_lookup_spec s;
  for (unsigned i = 0; i < p->legs; i++)
    for (unsigned k = 0; pathlist_legs(p)[i].labels == LEG_LOOKUP && k < 2; k++) {
      unpack_lookup(pathlist_lookups(p, i)[k], &s);
      for (unsigned t = 0; t < s.n; t++)
        each(w, s.table[t]);
    }
}

static uint32_t bucket_word(const struct lcpfwd_path *p, unsigned leg, uint32_t adjacency) {
  return p->flags & LCPFWD_PATH_LOOKUP ? BUCKET_LEG | leg : adjacency == 0 ? BUCKET_PUNT : p->labels || p->ttl ? BUCKET_LEG | leg : adjacency;
}

/* A block with the n legs. 0: no memory. */
static uint32_t build(struct writer *w, const struct lcpfwd_path *paths, const uint32_t *adjacency, unsigned n) {
  uint16_t share[LCPFWD_MAX_PATHS];
  unsigned buckets = pathlist_shares(paths, n, share), at = 0, stacked = 0;
  for (unsigned i = 0; i < n; i++)
    stacked |= paths[i].labels != 0 || (paths[i].flags & LCPFWD_PATH_LOOKUP);
  uint32_t block = blocks_alloc(&w->blocks, pathlist_bytes(buckets, n, stacked));
  if (!block)
    return 0;
  struct pathlist *p = region_at(w->region, block);
  p->legs = (uint16_t)n;
  p->mask = (uint16_t)(buckets - 1);
  p->deleted = 0;
  p->stacked = (uint16_t)stacked;
  for (unsigned i = 0; i < n; i++) {
    pathlist_legs(p)[i] = (struct pathlist_leg){
        .adjacency = adjacency[i], .weight = paths[i].weight, .labels = paths[i].labels, .ttl = paths[i].ttl};
    if (stacked) {
      memset(pathlist_labels(p, i), 0, LCPFWD_MAX_LABELS * sizeof(uint32_t));
      memcpy(pathlist_labels(p, i), paths[i].label, paths[i].labels * sizeof(uint32_t));
    }
    if (paths[i].flags & LCPFWD_PATH_LOOKUP) {
      pathlist_legs(p)[i].labels = LEG_LOOKUP;
      pathlist_lookups(p, i)[0] = lookup_word(paths[i].tables4);
      pathlist_lookups(p, i)[1] = lookup_word(paths[i].tables6);
    }
    for (unsigned k = 0; k < share[i]; k++)
      p->bucket[at++] = bucket_word(&paths[i], i, adjacency[i]);
  }
  return block;
}

static struct pathlist *pathlist_of(const struct region *r, uint32_t id) {
  uint32_t block = id < MAX_PATHLISTS ? r->head->pathlists[id] : 0;
  struct pathlist *p = block ? region_at(r, block) : NULL;
  return p && !p->deleted ? p : NULL;
}

static void release_block(struct writer *w, struct pathlist *p) {
  for (unsigned i = 0; i < p->legs; i++)
    if (pathlist_legs(p)[i].adjacency)
      adj_release(w, pathlist_legs(p)[i].adjacency);
  tables_each(w, p, table_release);
}

int pathlist_set(struct writer *w, uint32_t id, const struct lcpfwd_path *paths, uint32_t n) {
  struct region_head *h = w->region->head;
  uint32_t adjacency[LCPFWD_MAX_PATHS];
  if (n < 1 || n > LCPFWD_MAX_PATHS || (id && id < LCPFWD_PL_FIRST))
    return -EINVAL;
  if (id && !pathlist_of(w->region, id))
    return -ENOENT;
  for (unsigned i = 0; i < n; i++) {
    int err = path_check(w->region, &paths[i]);
    if (err)
      return err;
  }
  for (unsigned i = 0; i < n; i++) {
    int held = paths[i].flags & (LCPFWD_PATH_PUNT | LCPFWD_PATH_LOOKUP) ? 0 : adj_hold(w, paths[i].port, paths[i].af, paths[i].nh);
    if (held < 0) {
      release_legs(w, adjacency, i);
      return held;
    }
    adjacency[i] = (uint32_t)held;
  }
  uint32_t block = build(w, paths, adjacency, n), old = 0;
  if (block && id == 0) {
    id = ids_take(w, &w->pathlist_ids, &h->pathlist_end, MAX_PATHLISTS);
    if (id)
      w->pathlists++;
    else
      blocks_free(&w->blocks, block, block_bytes(region_at(w->region, block)));
  } else if (block) {
    old = h->pathlists[id];
  }
  if (block == 0 || id == 0) {
    release_legs(w, adjacency, n);
    return -ENOSPC;
  }
  tables_each(w, region_at(w->region, block), table_hold); /* before the old ones may be the last to go */
  PUBLISH(&h->pathlists[id], block);
  if (old) {
    struct pathlist *p = region_at(w->region, old);
    release_block(w, p);
    blocks_retire(&w->blocks, old, block_bytes(p));
  }
  return (int)id;
}

int pathlist_del(struct writer *w, uint32_t id) {
  struct pathlist *p = pathlist_of(w->region, id);
  if (id < LCPFWD_PL_FIRST)
    return -EINVAL;
  if (!p)
    return 0;
  if (w->routes_of[id])
    return -EBUSY;
  STORE(&p->deleted, (uint16_t)1);
  release_block(w, p);
  blocks_retire_id(&w->blocks, RETIRED_PATHLIST, id);
  w->pathlists--;
  return 0;
}

void pathlist_reclaim(struct writer *w, uint32_t id) {
  uint32_t *entry = &w->region->head->pathlists[id], block = *entry;
  PUBLISH(entry, 0);
  blocks_free(&w->blocks, block, block_bytes(region_at(w->region, block)));
  ids_give(&w->pathlist_ids, id);
}

int pathlist_get(struct writer *w, uint32_t id, struct lcpfwd_path *out, uint32_t max) {
  struct pathlist *p = id < LCPFWD_PL_FIRST ? NULL : pathlist_of(w->region, id);
  if (!p)
    return -ENOENT;
  for (unsigned i = 0; i < p->legs && i < max; i++) {
    const struct pathlist_leg *leg = &pathlist_legs(p)[i];
    const struct adj *a = adj_get(w->region, leg->adjacency);
    out[i] = (struct lcpfwd_path){.weight = leg->weight, .flags = LCPFWD_PATH_PUNT, .labels = leg->labels, .ttl = leg->ttl};
    if (leg->labels == LEG_LOOKUP) {
      out[i].flags = LCPFWD_PATH_LOOKUP;
      out[i].labels = 0;
      lookup_read(pathlist_lookups(p, i)[0], out[i].tables4);
      lookup_read(pathlist_lookups(p, i)[1], out[i].tables6);
      continue;
    }
    if (p->stacked)
      memcpy(out[i].label, pathlist_labels(p, i), sizeof out[i].label);
    if (leg->adjacency == 0)
      continue;
    out[i].port = a->state == ADJ_DEAD ? 0 : a->port;
    out[i].af = a->af;
    out[i].flags = a->state == ADJ_COMPLETE ? LCPFWD_PATH_COMPLETE : 0;
    memcpy(out[i].nh, a->nh, sizeof a->nh);
  }
  return p->legs;
}

int pathlist_valid(const struct region *r, uint32_t id) {
  if (id < LCPFWD_PL_FIRST)
    return id >= LCPFWD_PL_LOCAL && id <= LCPFWD_PL_PUNT;
  return pathlist_of(r, id) != NULL;
}

static int lookups_sound(const struct region *r, const struct pathlist *p, unsigned i) {
  struct lcpfwd_path path;
  if (!p->stacked || pathlist_legs(p)[i].adjacency)
    return 0;
  for (unsigned k = 0; k < 2; k++) {
    uint64_t word = pathlist_lookups(p, i)[k];
    lookup_read(word, k ? path.tables6 : path.tables4);
    if (lookup_word(k ? path.tables6 : path.tables4) != word)
      return 0;
  }
  return !tables_check(r, path.tables4, LCPFWD_AF_INET) && !tables_check(r, path.tables6, LCPFWD_AF_INET6);
}

static int recover_one(struct writer *w, uint32_t block) {
  if (!blocks_contain(&w->blocks, block, sizeof(struct pathlist)))
    return -EUCLEAN;
  struct pathlist *p = region_at(w->region, block);
  unsigned buckets = p->mask + 1u;
  if (p->legs < 1 || p->legs > LCPFWD_MAX_PATHS || buckets > PATHLIST_MAX_BUCKETS || (buckets & p->mask) || p->stacked > 1 ||
      !blocks_contain(&w->blocks, block, block_bytes(p)))
    return -EUCLEAN;
  for (unsigned i = 0; i < p->legs && !p->deleted; i++) {
    uint32_t id = pathlist_legs(p)[i].adjacency;
    unsigned labels = pathlist_legs(p)[i].labels;
    if (labels == LEG_LOOKUP ? !lookups_sound(w->region, p, i) : labels > (p->stacked ? LCPFWD_MAX_LABELS : 0u))
      return -EUCLEAN;
    if (id == 0)
      continue;
    if (id >= w->region->head->adjacency_end || w->region->head->adjacencies[id] == 0)
      return -EUCLEAN;
    w->adjacency_refs[id]++;
  }
  if (!p->deleted)
    tables_each(w, p, table_hold);
  return blocks_mark(&w->blocks, block, block_bytes(p));
}

int pathlist_recover(struct writer *w) {
  const struct region_head *h = w->region->head;
  for (uint32_t id = h->pathlist_end; id-- > LCPFWD_PL_FIRST;) {
    if (h->pathlists[id] == 0) {
      ids_give(&w->pathlist_ids, id);
      continue;
    }
    int err = recover_one(w, h->pathlists[id]);
    if (err)
      return err;
    w->pathlists += pathlist_of(w->region, id) != NULL;
  }
  return 0;
}

void pathlist_rebuild(struct writer *w) {
  const struct region_head *h = w->region->head;
  for (uint32_t id = LCPFWD_PL_FIRST; id < h->pathlist_end; id++)
    if (h->pathlists[id] && !pathlist_of(w->region, id))
      blocks_retire_id(&w->blocks, RETIRED_PATHLIST, id);
}
