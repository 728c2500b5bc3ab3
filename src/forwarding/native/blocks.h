/* blocks.h - the writer's memory: size classes in chunks of the region, and what awaits readers.
 *
 * Which block is in use is known to the writer alone (a bitmap per chunk, in its private memory); the
 * region only says of what class a chunk is. A writer that dies therefore leaves nothing to repair:
 * the next one marks what it can reach and everything else is free. What is unlinked goes through
 * blocks_retire and is reused when every online worker has passed a quiescent point since. Memory that
 * was free at attach may still be read by a worker on behalf of the last writer, so it is used only
 * after one such period too; until then new chunks are carved. Nothing here waits without bound.
 */
#ifndef LCPFWD_BLOCKS_H
#define LCPFWD_BLOCKS_H

#include "region.h"

#define BLOCK_CLASSES 36u
#define CHUNK_LARGE 254u     /* first of several chunks that are one block */
#define CHUNK_LARGE_REST 255u
#define CHUNK_NONE UINT32_MAX

enum retired_kind { RETIRED_BLOCK, RETIRED_PATHLIST, RETIRED_ADJACENCY, RETIRED_TABLE, RETIRED_PORT, RETIRED_KINDS };

struct chunk {
  uint64_t *used; /* bit per block, NULL: chunk is wholly free or large */
  uint16_t blocks, free;
  uint16_t hint; /* word of used[] where a free bit may be */
  uint8_t class; /* index of the size class, CHUNK_LARGE*, meaningless when wholly free */
  uint8_t held;   /* 0: wholly free */
  uint8_t listed; /* in list[class] */
  uint32_t next, prev; /* in its class's list of chunks with free blocks */
};

struct retired {
  uint64_t epoch;
  uint32_t ref; /* block or id */
  uint32_t units; /* of a block */
  uint32_t kind;  /* enum retired_kind */
};

struct blocks {
  struct region *region;
  struct chunk *chunk;
  uint32_t limit;  /* chunks that fit the region */
  uint32_t list[BLOCK_CLASSES];
  uint32_t free_chunks; /* wholly free among the carved */
  uint32_t free_hint;   /* no wholly free chunk below */
  uint64_t used_units;
  uint32_t reserve; /* chunks that only urgent allocations may carve: taking routes away needs memory */
  int urgent;
  uint64_t gate;  /* epoch that must have passed everywhere before old free memory is used; 0: open */
  struct retired *queue; /* ring */
  uint32_t queue_size, queue_head, queue_count;
  uint32_t since_advance;
  uint64_t waited_ns; /* when a wait for readers last ended in vain */
  /* Called for ids that no reader holds any more. */
  void (*reclaim)(void *ctx, enum retired_kind kind, uint32_t id);
  void *ctx;
};

int blocks_open(struct blocks *b, struct region *r);
void blocks_close(struct blocks *b);

/* Zeroed? No: contents are whatever was there. 0: no memory, after a bounded wait for readers. */
uint32_t blocks_alloc(struct blocks *b, size_t bytes);
/* At once: for blocks that were never published. */
void blocks_free(struct blocks *b, uint32_t block, size_t bytes);
/* When no reader can hold it any more. */
void blocks_retire(struct blocks *b, uint32_t block, size_t bytes);
void blocks_retire_id(struct blocks *b, enum retired_kind kind, uint32_t id);
/* Begin a new epoch and take back what the last ones have released. Call at the end of an operation. */
void blocks_settle(struct blocks *b);
/* May memory and ids that were free at attach be used? Opens the gate when readers allow. */
int blocks_gate_open(struct blocks *b);

/* Memory is short: wait, for a few milliseconds at most, for readers to release something. 1: they did. */
int blocks_wait(struct blocks *b);
/* The gate opens: chunks from before the attach join the lists. */
void blocks_gate_opened(struct blocks *b);

/* Do bytes from block on lie within what is carved? To be asked before reading a block at attach. */
int blocks_contain(const struct blocks *b, uint32_t block, size_t bytes);
/* Attach: this block is in use. -EUCLEAN: it cannot be (outside, other class, marked twice). */
int blocks_mark(struct blocks *b, uint32_t block, size_t bytes);
/* Attach: all is marked; the rest is free once readers have passed. */
void blocks_marked(struct blocks *b);

/* Bytes: carved, in use (retired ones too), free. -EUCLEAN when the books do not balance. */
int blocks_audit(const struct blocks *b, uint64_t *carved, uint64_t *used, uint64_t *free_bytes);

#endif
