/*
 * The rest of the thread that takes VPP's answers, while many are to come.
 *
 * The thread takes an answer sooner than VPP makes the next one, and to wake it for each costs VPP as much as a route. So
 * when it had to wait for an answer (longer than AWAITED_NS) it rests, and finds many when it returns: VPP wakes only who
 * has emptied the queue. A rest is a small part of what VPP takes for the requests that may wait in it.
 */
#ifndef LCPVPP_REST_H
#define LCPVPP_REST_H

#include <stdint.h>
#include <time.h>

enum { AWAITED_NS = 4000, REST_NS = 40000 };

static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Behind an answer with many to come; of one thread. */
static inline void rest_if_awaited(void) {
  static uint64_t last;
  uint64_t now = now_ns();
  if (now - last > AWAITED_NS) {
    struct timespec pause = {.tv_nsec = REST_NS};
    nanosleep(&pause, NULL);
    now = now_ns();
  }
  last = now;
}

#endif
