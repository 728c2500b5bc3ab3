/* blocks.c - allocation and marking (blocks.h). Reclaiming is in retire.c. */
#include "blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* In units of 16 bytes. The waste at the end of a chunk is at most one block. */
static const uint16_t class_units[BLOCK_CLASSES] = {1,  2,  3,  4,  5,  6,  7,   8,   10,  12,  14,  16,
                                                    20, 24, 28, 32, 40, 48, 56,  64,  80,  96,  112, 128,
                                                    160, 192, 256, 320, 384, 512, 640, 768, 1024, 1365, 2048, 4096};
#define CHUNK_UNITS (REGION_CHUNK / REGION_UNIT)

static uint32_t units_of(size_t bytes) {
  return (uint32_t)((bytes + REGION_UNIT - 1) / REGION_UNIT);
}

static unsigned class_of(uint32_t units) {
  if (units <= 8)
    return units - 1;
  unsigned lo = 8, hi = BLOCK_CLASSES - 1;
  while (lo < hi) {
    unsigned mid = (lo + hi) / 2;
    if (class_units[mid] < units)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

static uint32_t chunk_block(uint32_t c) {
  return (uint32_t)(REGION_HEAD / REGION_UNIT) + c * CHUNK_UNITS;
}

int blocks_open(struct blocks *b, struct region *r) {
  *b = (struct blocks){.region = r, .limit = (uint32_t)((r->size - REGION_HEAD) / REGION_CHUNK)};
  if (r->head->chunks > b->limit)
    return -EUCLEAN;
  b->reserve = b->limit / 8 < BLOCK_CLASSES ? b->limit / 8 : BLOCK_CLASSES;
  b->chunk = calloc(b->limit, sizeof *b->chunk);
  if (!b->chunk)
    return -ENOMEM;
  for (unsigned i = 0; i < BLOCK_CLASSES; i++)
    b->list[i] = CHUNK_NONE;
  return 0;
}

void blocks_close(struct blocks *b) {
  for (uint32_t c = 0; b->chunk && c < b->limit; c++)
    free(b->chunk[c].used);
  free(b->chunk);
  free(b->queue);
  *b = (struct blocks){0};
}

static void list_add(struct blocks *b, uint32_t c) {
  struct chunk *k = &b->chunk[c];
  k->prev = CHUNK_NONE;
  k->next = b->list[k->class];
  if (k->next != CHUNK_NONE)
    b->chunk[k->next].prev = c;
  b->list[k->class] = c;
  k->listed = 1;
}

static void list_remove(struct blocks *b, uint32_t c) {
  struct chunk *k = &b->chunk[c];
  if (k->prev != CHUNK_NONE)
    b->chunk[k->prev].next = k->next;
  else
    b->list[k->class] = k->next;
  if (k->next != CHUNK_NONE)
    b->chunk[k->next].prev = k->prev;
  k->listed = 0;
}

/* n consecutive chunks, from the free ones or from the end of what is carved. CHUNK_NONE: no room. */
static uint32_t chunk_take(struct blocks *b, uint32_t n) {
  struct region_head *h = b->region->head;
  if (b->free_chunks >= n && blocks_gate_open(b)) {
    uint32_t run = 0, first_free = CHUNK_NONE;
    for (uint32_t c = b->free_hint; c < h->chunks; c++) {
      if (b->chunk[c].held) {
        run = 0;
        continue;
      }
      if (first_free == CHUNK_NONE)
        first_free = c;
      if (++run < n)
        continue;
      b->free_hint = n == 1 ? c + 1 : first_free;
      b->free_chunks -= n;
      return c - n + 1;
    }
    b->free_hint = first_free == CHUNK_NONE ? h->chunks : first_free;
  }
  if (h->chunks > b->limit || n + (b->urgent ? 0 : b->reserve) > b->limit - h->chunks)
    return CHUNK_NONE;
  uint32_t c = h->chunks;
  /* Have the kernel promise the pages: later it could only refuse them by a signal. */
  if (b->region->fd >= 0 && fallocate(b->region->fd, 0, (off_t)(REGION_HEAD + (uint64_t)c * REGION_CHUNK),
                                      (off_t)n * REGION_CHUNK) < 0)
    return CHUNK_NONE;
  PUBLISH(&h->chunks, c + n);
  return c;
}

static void chunk_give(struct blocks *b, uint32_t c, uint32_t n) {
  for (uint32_t i = c; i < c + n; i++) {
    free(b->chunk[i].used);
    b->chunk[i] = (struct chunk){0};
  }
  b->free_chunks += n;
  if (c < b->free_hint)
    b->free_hint = c;
}

/* Private bookkeeping of chunk c as class k, all free. */
static int chunk_begin(struct blocks *b, uint32_t c, unsigned class) {
  struct chunk *k = &b->chunk[c];
  uint16_t blocks = (uint16_t)(CHUNK_UNITS / class_units[class]);
  uint64_t *used = calloc((blocks + 63u) / 64u, sizeof *used);
  if (!used)
    return -ENOMEM;
  if (blocks & 63) /* bits that stand for nothing are never free */
    used[blocks / 64] = ~0ull << (blocks & 63);
  *k = (struct chunk){.used = used, .blocks = blocks, .free = blocks, .class = (uint8_t)class, .held = 1};
  return 0;
}

static uint32_t alloc_large(struct blocks *b, uint32_t units) {
  uint32_t n = (units + CHUNK_UNITS - 1) / CHUNK_UNITS;
  uint32_t c = chunk_take(b, n);
  if (c == CHUNK_NONE)
    return 0;
  for (uint32_t i = 0; i < n; i++) {
    uint8_t class = i ? CHUNK_LARGE_REST : CHUNK_LARGE;
    b->chunk[c + i] = (struct chunk){.class = class, .held = 1, .blocks = 1};
    b->region->head->chunk_class[c + i] = class;
  }
  b->used_units += (uint64_t)n * CHUNK_UNITS;
  return chunk_block(c);
}

static uint32_t alloc_once(struct blocks *b, uint32_t units) {
  if (units > CHUNK_UNITS)
    return alloc_large(b, units);
  unsigned class = class_of(units);
  uint32_t c = b->list[class];
  if (c == CHUNK_NONE && b->gate && blocks_gate_open(b))
    c = b->list[class];
  if (c == CHUNK_NONE) {
    c = chunk_take(b, 1);
    if (c == CHUNK_NONE)
      return 0;
    if (chunk_begin(b, c, class) < 0) {
      chunk_give(b, c, 1);
      return 0;
    }
    b->region->head->chunk_class[c] = (uint8_t)class;
    list_add(b, c);
  }
  struct chunk *k = &b->chunk[c];
  unsigned words = (k->blocks + 63u) / 64u, i = k->hint;
  while (k->used[i] == ~0ull)
    i = i + 1 < words ? i + 1 : 0;
  unsigned bit = (unsigned)__builtin_ctzll(~k->used[i]);
  k->used[i] |= 1ull << bit;
  k->hint = (uint16_t)i;
  if (--k->free == 0)
    list_remove(b, c);
  b->used_units += class_units[class];
  return chunk_block(c) + (i * 64 + bit) * class_units[class];
}

uint32_t blocks_alloc(struct blocks *b, size_t bytes) {
  uint32_t block = alloc_once(b, units_of(bytes));
  if (block == 0 && blocks_wait(b))
    block = alloc_once(b, units_of(bytes));
  return block;
}

void blocks_free(struct blocks *b, uint32_t block, size_t bytes) {
  uint32_t units = units_of(bytes), at = block - chunk_block(0), c = at / CHUNK_UNITS;
  struct chunk *k = &b->chunk[c];
  if (units > CHUNK_UNITS) {
    uint32_t n = (units + CHUNK_UNITS - 1) / CHUNK_UNITS;
    if (!k->held || k->class != CHUNK_LARGE)
      abort(); /* freed twice: the books are wrong, another writer must rebuild them */
    chunk_give(b, c, n);
    b->used_units -= (uint64_t)n * CHUNK_UNITS;
    return;
  }
  unsigned class = class_of(units), i = at % CHUNK_UNITS / class_units[class];
  if (!k->held || k->class != class || !(k->used[i / 64] >> (i & 63) & 1))
    abort();
  k->used[i / 64] &= ~(1ull << (i & 63));
  k->hint = (uint16_t)(i / 64);
  b->used_units -= class_units[class];
  if (k->free++ == 0)
    list_add(b, c); /* never before the gate opens: what is freed then was carved since attach */
  /* A chunk that is wholly free may serve another class; the last of a class stays, against flapping. */
  if (k->free == k->blocks && k->listed && (k->next != CHUNK_NONE || k->prev != CHUNK_NONE)) {
    list_remove(b, c);
    chunk_give(b, c, 1);
  }
}

int blocks_contain(const struct blocks *b, uint32_t block, size_t bytes) {
  uint64_t carved = REGION_HEAD + (uint64_t)b->region->head->chunks * REGION_CHUNK;
  return block >= chunk_block(0) && carved <= b->region->size && (uint64_t)block * REGION_UNIT + bytes <= carved;
}

int blocks_mark(struct blocks *b, uint32_t block, size_t bytes) {
  uint32_t units = units_of(bytes), at = block - chunk_block(0), c = at / CHUNK_UNITS;
  const struct region_head *h = b->region->head;
  if (block < chunk_block(0) || h->chunks > b->limit || c >= h->chunks || units == 0)
    return -EUCLEAN;
  if (units > CHUNK_UNITS) {
    uint32_t n = (units + CHUNK_UNITS - 1) / CHUNK_UNITS;
    if (at % CHUNK_UNITS || n > h->chunks - c)
      return -EUCLEAN;
    for (uint32_t i = 0; i < n; i++) {
      uint8_t class = i ? CHUNK_LARGE_REST : CHUNK_LARGE;
      if (b->chunk[c + i].held || h->chunk_class[c + i] != class)
        return -EUCLEAN;
      b->chunk[c + i] = (struct chunk){.class = class, .held = 1, .blocks = 1};
    }
    b->used_units += (uint64_t)n * CHUNK_UNITS;
    return 0;
  }
  unsigned class = class_of(units), i = at % CHUNK_UNITS / class_units[class];
  struct chunk *k = &b->chunk[c];
  if (h->chunk_class[c] != class || at % CHUNK_UNITS % class_units[class])
    return -EUCLEAN;
  if (!k->held && chunk_begin(b, c, class) < 0)
    return -ENOMEM;
  if (i >= k->blocks || k->class != class || (k->used[i / 64] >> (i & 63) & 1))
    return -EUCLEAN;
  k->used[i / 64] |= 1ull << (i & 63);
  k->free--;
  b->used_units += class_units[class];
  return 0;
}

void blocks_marked(struct blocks *b) {
  struct region_head *h = b->region->head;
  b->free_chunks = 0;
  b->free_hint = 0;
  for (uint32_t c = 0; c < h->chunks; c++)
    b->free_chunks += !b->chunk[c].held;
  b->gate = __atomic_fetch_add(&h->epoch, 1, __ATOMIC_SEQ_CST);
}

void blocks_gate_opened(struct blocks *b) {
  b->gate = 0;
  for (uint32_t c = 0; c < b->region->head->chunks; c++) {
    struct chunk *k = &b->chunk[c];
    if (k->used && k->free && !k->listed) /* those carved since attach are listed already */
      list_add(b, c);
  }
}

int blocks_audit(const struct blocks *b, uint64_t *carved, uint64_t *used, uint64_t *free_bytes) {
  uint64_t in_use = 0, spare = 0, idle = 0;
  const struct region_head *h = b->region->head;
  for (uint32_t c = 0; c < h->chunks; c++) {
    const struct chunk *k = &b->chunk[c];
    if (!k->held) {
      idle++;
      spare += REGION_CHUNK;
    } else if (!k->used) {
      in_use += REGION_CHUNK;
    } else {
      unsigned set = 0;
      uint64_t size = (uint64_t)class_units[k->class] * REGION_UNIT;
      for (unsigned i = 0; i < k->blocks; i++)
        set += k->used[i / 64] >> (i & 63) & 1;
      if (set + k->free != k->blocks)
        return -EUCLEAN;
      in_use += set * size;
      spare += REGION_CHUNK - set * size; /* the unusable rest of a chunk counts as free */
    }
  }
  *carved = (uint64_t)h->chunks * REGION_CHUNK;
  *used = in_use;
  *free_bytes = spare;
  if (idle != b->free_chunks || in_use != b->used_units * REGION_UNIT || in_use + spare != *carved)
    return -EUCLEAN;
  return 0;
}
