/* police.h - token buckets, exact, shared by all workers without a lock.
 *
 * A bucket is one word: the time at which it will be full again (the generic cell rate algorithm, ITU-T
 * I.371). A packet costs time; it conforms when what is owed after it is no more than the bucket's depth.
 * Time is in units of 1/16 ns, so that a rate of ten million a second is exact to 0.1 %.
 */
#ifndef POLICE_H
#define POLICE_H

#include "region.h"

#define POLICE_UNITS 16u /* in a nanosecond */

/* 1: it conforms, and the bucket has paid. */
static inline int police_take(uint64_t *bucket, uint64_t now_ns, uint64_t cost, uint64_t depth) {
  uint64_t now = now_ns * POLICE_UNITS, full = LOAD(bucket), next;
  do {
    next = (full > now ? full : now) + cost;
    if (next - now > depth) return 0;
  } while (!__atomic_compare_exchange_n(bucket, &full, next, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return 1;
}

#endif
