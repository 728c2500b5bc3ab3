/* backlog.c - see backlog.h. A record that does not fit before the end of the memory begins at its start; the place that it
 * leaves says so, and there is always room for that, because all sizes are multiples of a record's head. */
#include "backlog.h"

#include <string.h>

#define SKIP UINT32_MAX /* as len: the next record is at the start */
#define HEAD ((uint32_t)sizeof(struct backlog_record))

static uint32_t size_of(uint32_t len) { return HEAD + (len + HEAD - 1) / HEAD * HEAD; }

static struct backlog_record *at(const struct backlog *b, uint32_t offset) { return (void *)(b->memory + offset); }

/* Where a record of that size goes, or SKIP. */
static uint32_t place(struct backlog *b, uint32_t size) {
  if (!b->n) b->head = b->tail = 0;
  if (b->n && b->tail <= b->head) return b->head - b->tail >= size ? b->tail : SKIP;
  if (BACKLOG_SIZE - b->tail >= size) return b->tail;
  if (b->head < size) return SKIP;
  if (b->tail < BACKLOG_SIZE) at(b, b->tail)->len = SKIP;
  return 0;
}

int backlog_put(struct backlog *b, const struct iovec *part, unsigned parts, uint32_t owner) {
  size_t len = 0;
  for (unsigned i = 0; i < parts; i++) len += part[i].iov_len;
  if (len > BACKLOG_SIZE / 2) return 0;
  uint32_t offset = place(b, size_of((uint32_t)len)), done = 0;
  if (offset == SKIP) return 0;
  struct backlog_record *r = at(b, offset);
  r->len = (uint32_t)len;
  r->owner = owner;
  for (unsigned i = 0; i < parts; done += (uint32_t)part[i++].iov_len) memcpy(r->data + done, part[i].iov_base, part[i].iov_len);
  b->tail = offset + size_of((uint32_t)len);
  b->n++;
  return 1;
}

/* The place of the record at or behind offset. */
static uint32_t settle(const struct backlog *b, uint32_t offset) { return offset == BACKLOG_SIZE || at(b, offset)->len == SKIP ? 0 : offset; }

unsigned backlog_first(const struct backlog *b, const struct backlog_record **out, unsigned max) {
  uint32_t offset = b->head;
  unsigned n = b->n < max ? b->n : max;
  for (unsigned i = 0; i < n; i++) {
    offset = settle(b, offset);
    out[i] = at(b, offset);
    offset += size_of(out[i]->len);
  }
  return n;
}

void backlog_drop(struct backlog *b, unsigned n) {
  for (; n; n--, b->n--) {
    b->head = settle(b, b->head);
    b->head += size_of(at(b, b->head)->len);
  }
}
