/* adj_hash.c - the arrays and chains of adj_hash.h. */
#include "adj_hash.h"

#include <errno.h>
#include <string.h>

#include "hash.h"
#include "reader.h"

#define LEAST_SLOTS 64u

static uint32_t *published(const struct writer *w, enum adj_hash which) {
  struct region_head *h = w->region->head;
  return which == HASH_NEIGHBOUR ? &h->neighbour_hash : &h->rewrite_hash;
}

/* The array that changes go into: the one that is being built aside, else the published one. */
static uint32_t current(const struct writer *w, enum adj_hash which) {
  return w->hash_aside[which] ? w->hash_aside[which] : *published(w, which);
}

static uint32_t *slots_used(struct writer *w, enum adj_hash which) {
  return which == HASH_NEIGHBOUR ? &w->neighbour_slots : &w->rewrite_slots;
}

static size_t array_bytes(uint32_t mask) {
  return sizeof(struct hash_array) + (mask + 1ull) * sizeof(uint64_t);
}

static uint64_t key_of(const struct writer *w, enum adj_hash which, uint32_t id) {
  const struct adj *a = adj_get(w->region, id);
  uint64_t seed = w->region->head->seed;
  return which == HASH_NEIGHBOUR ? hash_neighbour(seed, a->port, a->af, a->nh)
                                 : hash_rewrite(seed, a->port, a->rewrite, a->rewrite_len);
}

/* Put id into an array that has room. Returns how many fresh slots that took: 0 or 1. */
static uint32_t put(struct hash_array *a, uint64_t key, uint32_t id) {
  uint32_t i = (uint32_t)key & a->mask;
  while ((uint32_t)a->slot[i] != 0)
    i = (i + 1) & a->mask;
  uint32_t fresh = a->slot[i] == 0;
  PUBLISH(&a->slot[i], (uint64_t)hash_tag(key) << 32 | id);
  return fresh;
}

static uint32_t new_array(struct writer *w, uint32_t entries) {
  uint32_t slots = LEAST_SLOTS;
  while (slots < 4ull * entries)
    slots *= 2;
  uint32_t block = blocks_alloc(&w->blocks, array_bytes(slots - 1));
  if (block) {
    memset(region_at(w->region, block), 0, array_bytes(slots - 1));
    ((struct hash_array *)region_at(w->region, block))->mask = slots - 1;
  }
  return block;
}

static void publish_array(struct writer *w, enum adj_hash which, uint32_t block, uint32_t used) {
  uint32_t old = *published(w, which);
  PUBLISH(published(w, which), block);
  *slots_used(w, which) = used;
  if (old)
    blocks_retire(&w->blocks, old, array_bytes(((struct hash_array *)region_at(w->region, old))->mask));
}

int adj_hash_begin(struct writer *w, enum adj_hash which, uint32_t entries) {
  uint32_t block = new_array(w, entries);
  if (!block)
    return -ENOSPC;
  w->hash_aside[which] = block;
  *slots_used(w, which) = 0;
  return 0;
}

void adj_hash_publish(struct writer *w, enum adj_hash which) {
  uint32_t block = w->hash_aside[which];
  w->hash_aside[which] = 0;
  publish_array(w, which, block, *slots_used(w, which));
}

int adj_hash_reserve(struct writer *w, enum adj_hash which, uint32_t more) {
  const struct hash_array *old = region_at(w->region, *published(w, which));
  if (2ull * (*slots_used(w, which) + more) <= old->mask + 1ull)
    return 0;
  uint32_t live = 0, used = 0;
  for (uint32_t i = 0; i <= old->mask; i++)
    live += (uint32_t)old->slot[i] != 0;
  uint32_t block = new_array(w, live + more);
  if (!block)
    return -ENOSPC;
  struct hash_array *a = region_at(w->region, block);
  for (uint32_t i = 0; i <= old->mask; i++) {
    uint32_t id = (uint32_t)old->slot[i];
    if (id)
      used += put(a, key_of(w, which, id), id);
  }
  publish_array(w, which, block, used);
  return 0;
}

void adj_hash_add(struct writer *w, enum adj_hash which, uint32_t id) {
  *slots_used(w, which) += put(region_at(w->region, current(w, which)), key_of(w, which, id), id);
}

void adj_hash_replace(struct writer *w, enum adj_hash which, uint32_t id, uint32_t other) {
  struct hash_array *a = region_at(w->region, *published(w, which));
  uint64_t key = key_of(w, which, id);
  for (uint32_t i = (uint32_t)key & a->mask; a->slot[i] != 0; i = (i + 1) & a->mask)
    if ((uint32_t)a->slot[i] == id) {
      PUBLISH(&a->slot[i], (uint64_t)hash_tag(key) << 32 | other);
      return;
    }
}

void adj_rewrite_link(struct writer *w, uint32_t id) {
  const struct adj *a = adj_get(w->region, id);
  w->same_next[id] = w->same_prev[id] = 0;
  if (a->rewrite_len == 0)
    return;
  uint32_t first = adj_find_rewrite_in(w->region, current(w, HASH_REWRITE), a->port, a->rewrite, a->rewrite_len);
  if (first == 0) {
    adj_hash_add(w, HASH_REWRITE, id);
    return;
  }
  w->same_prev[id] = first;
  w->same_next[id] = w->same_next[first];
  if (w->same_next[id])
    w->same_prev[w->same_next[id]] = id;
  w->same_next[first] = id;
}

void adj_rewrite_unlink(struct writer *w, uint32_t id) {
  uint32_t next = w->same_next[id], prev = w->same_prev[id];
  if (adj_get(w->region, id)->rewrite_len == 0)
    return;
  if (prev)
    w->same_next[prev] = next;
  else
    adj_hash_replace(w, HASH_REWRITE, id, next);
  if (next)
    w->same_prev[next] = prev;
  w->same_next[id] = w->same_prev[id] = 0;
}

static int recover_array(struct writer *w, uint32_t block) {
  if (block == 0)
    return 0;
  if (!blocks_contain(&w->blocks, block, sizeof(struct hash_array)))
    return -EUCLEAN;
  uint32_t mask = ((struct hash_array *)region_at(w->region, block))->mask;
  if ((mask & (mask + 1)) || !blocks_contain(&w->blocks, block, array_bytes(mask)))
    return -EUCLEAN;
  return blocks_mark(&w->blocks, block, array_bytes(mask));
}

int adj_hash_recover(struct writer *w) {
  int err = recover_array(w, *published(w, HASH_NEIGHBOUR));
  return err ? err : recover_array(w, *published(w, HASH_REWRITE));
}
