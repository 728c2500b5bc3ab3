/* retire.c - what was unlinked and may still be read: QSBR, the writer's side (blocks.h).
 *
 * An entry carries the epoch it was unlinked in. Beginning a new epoch and finding every online worker
 * to have seen it proves that no worker still holds the entry. The fence pairs with qsbr_online: a
 * worker that we take for offline reads the tables only after our unlinking.
 */
#include <stdlib.h>
#include <time.h>

#include "blocks.h"

#define ADVANCE_EVERY 256u         /* retirements within one long operation */
#define WAIT_STEP_NS 100000        /* 0.1 ms */
#define WAIT_STEPS 200             /* 20 ms in all: a worker may have lost its processor */
#define WAIT_AGAIN_NS 1000000000ull /* after a wait in vain */

static uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Everything retired in an epoch below this one is ours again. */
static uint64_t epoch_passed(const struct blocks *b) {
  const struct region_head *h = b->region->head;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  uint64_t least = LOAD(&h->epoch);
  for (uint32_t i = 0; i < h->workers; i++) {
    uint64_t seen = ACQUIRE(&h->worker[i].seen);
    if (seen && seen < least)
      least = seen;
  }
  return least;
}

static int reclaim(struct blocks *b) {
  if (b->queue_count == 0)
    return 0;
  uint64_t passed = epoch_passed(b);
  int n = 0;
  if (b->gate && b->gate < passed)
    blocks_gate_opened(b);
  while (b->queue_count) {
    struct retired e = b->queue[b->queue_head];
    if (e.epoch >= passed)
      break;
    b->queue_head = (b->queue_head + 1) & (b->queue_size - 1);
    b->queue_count--;
    n++;
    if (e.kind == RETIRED_BLOCK)
      blocks_free(b, e.ref, (size_t)e.units * REGION_UNIT);
    else
      b->reclaim(b->ctx, e.kind, e.ref);
  }
  return n;
}

static void advance(struct blocks *b) {
  __atomic_fetch_add(&b->region->head->epoch, 1, __ATOMIC_SEQ_CST);
  b->since_advance = 0;
}

void blocks_settle(struct blocks *b) {
  if (b->since_advance)
    advance(b);
  reclaim(b);
}

int blocks_gate_open(struct blocks *b) {
  if (b->gate && b->gate < epoch_passed(b))
    blocks_gate_opened(b);
  return b->gate == 0;
}

int blocks_wait(struct blocks *b) {
  if (b->queue_count == 0 && b->gate == 0)
    return 0;
  uint64_t now = monotonic_ns();
  if (b->waited_ns && now - b->waited_ns < WAIT_AGAIN_NS)
    return reclaim(b) > 0;
  advance(b);
  for (unsigned i = 0; i < WAIT_STEPS; i++) {
    int was_shut = b->gate != 0;
    if (reclaim(b) > 0 || (was_shut && blocks_gate_open(b))) {
      b->waited_ns = 0;
      return 1;
    }
    nanosleep(&(struct timespec){.tv_nsec = WAIT_STEP_NS}, NULL);
  }
  b->waited_ns = monotonic_ns();
  return 0;
}

static int queue_grow(struct blocks *b) {
  uint32_t size = b->queue_size ? b->queue_size * 2 : 1024;
  struct retired *q = malloc(size * sizeof *q);
  if (!q)
    return 0;
  for (uint32_t i = 0; i < b->queue_count; i++)
    q[i] = b->queue[(b->queue_head + i) & (b->queue_size - 1)];
  free(b->queue);
  b->queue = q;
  b->queue_size = size;
  b->queue_head = 0;
  return 1;
}

static void retire(struct blocks *b, struct retired e) {
  e.epoch = b->region->head->epoch;
  /* Without private memory to remember it, it stays in use until the next attach sweeps it. */
  if (b->queue_count == b->queue_size && !queue_grow(b))
    return;
  b->queue[(b->queue_head + b->queue_count++) & (b->queue_size - 1)] = e;
  if (++b->since_advance >= ADVANCE_EVERY) {
    advance(b);
    reclaim(b);
  }
}

void blocks_retire(struct blocks *b, uint32_t block, size_t bytes) {
  retire(b, (struct retired){.ref = block,
                             .units = (uint32_t)((bytes + REGION_UNIT - 1) / REGION_UNIT),
                             .kind = RETIRED_BLOCK});
}

void blocks_retire_id(struct blocks *b, enum retired_kind kind, uint32_t id) {
  retire(b, (struct retired){.ref = id, .kind = kind});
}
