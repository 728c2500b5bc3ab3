/* api_observe.c - lcpfwd.h: counters, events, traces: what workers write and lcpd reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attachment.h"
#include "reader.h"

static const char *const counter_names[COUNTER_COUNT] = {
#define NAME(symbol, name) [COUNTER_##symbol] = name,
    LCPFWD_COUNTERS(NAME)
#undef NAME
};

uint32_t lcpfwd_counter_count(void) {
  return COUNTER_COUNT;
}

const char *lcpfwd_counter_name(uint32_t i) {
  return i < COUNTER_COUNT ? counter_names[i] : NULL;
}

int32_t lcpfwd_counters(lcpfwd *f, uint32_t port, uint64_t *out) {
  const struct region_head *h = f->region.head;
  if (port >= LCPFWD_MAX_PORTS)
    return -EINVAL;
  for (unsigned c = 0; c < COUNTER_COUNT; c++) {
    out[c] = 0;
    for (unsigned i = 0; i < h->workers; i++)
      out[c] += LOAD(&h->counters[i][port][c]);
  }
  return 0;
}

int32_t lcpfwd_events(lcpfwd *f, struct lcpfwd_event *out, uint32_t max) {
  struct region_head *h = f->region.head;
  uint64_t signalled;
  uint32_t n = 0;
  /* Before the rings are read, so that what comes later signals again. EAGAIN is as good. */
  if (f->event_fd >= 0 && read(f->event_fd, &signalled, sizeof signalled) < 0 && errno != EAGAIN)
    return -errno;
  for (unsigned i = 0; i < h->workers; i++) {
    struct worker_entry *w = &h->worker[i];
    uint32_t head = ACQUIRE(&w->event_head), tail = w->event_tail;
    while (tail != head && n < max)
      out[n++] = h->events[i][tail++ & (EVENT_RING - 1)];
    PUBLISH(&w->event_tail, tail);
  }
  return (int32_t)n;
}

int32_t lcpfwd_trace_arm(lcpfwd *f, uint32_t n) {
  __atomic_store_n(&f->region.head->trace_armed, n, __ATOMIC_RELAXED);
  return 0;
}

static int by_seq(const void *a, const void *b) {
  uint64_t x = ((const struct lcpfwd_trace *)a)->seq, y = ((const struct lcpfwd_trace *)b)->seq;
  return (x > y) - (x < y);
}

/* One record, unless its worker is just writing it. */
static int trace_read(const uint64_t *slot, uint64_t after, struct lcpfwd_trace *out) {
  uint64_t word[sizeof *out / 8];
  word[0] = ACQUIRE(&slot[0]);
  if (word[0] <= after)
    return 0;
  for (unsigned i = 1; i < sizeof word / 8; i++)
    word[i] = LOAD(&slot[i]);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  memcpy(out, word, sizeof *out);
  return LOAD(&slot[0]) == word[0];
}

int32_t lcpfwd_traces(lcpfwd *f, uint64_t after, struct lcpfwd_trace *out, uint32_t max) {
  const struct region_head *h = f->region.head;
  uint32_t n = 0;
  struct lcpfwd_trace *all = malloc((size_t)h->workers * TRACE_RING * sizeof *all);
  if (!all)
    return -ENOMEM;
  for (unsigned i = 0; i < h->workers; i++)
    for (unsigned k = 0; k < TRACE_RING; k++)
      n += (uint32_t)trace_read(h->traces[i][k], after, &all[n]);
  qsort(all, n, sizeof *all, by_seq);
  uint32_t skip = n > max ? n - max : 0; /* the newest ones */
  memcpy(out, all + skip, (n - skip) * sizeof *out);
  free(all);
  return (int32_t)(n - skip);
}
