/*
 * A queue of bytes that grows: written at its end, read at its start. Not locked.
 */
#ifndef LCPVPP_BYTES_H
#define LCPVPP_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
  uint8_t *data;
  uint64_t capacity;
  uint64_t from;
  uint64_t to;
};

static inline uint64_t bytes_length(const struct bytes *b) { return b->to - b->from; }

static inline void bytes_clear(struct bytes *b) {
  free(b->data);
  *b = (struct bytes){0};
}

/* Room for `size` more bytes at `to`, or NULL when there would be more than `most` or there is no memory. */
static inline uint8_t *bytes_room(struct bytes *b, uint64_t size, uint64_t most) {
  uint64_t length = bytes_length(b);
  if (size > most || length > most - size) return NULL;
  if (b->capacity - b->to >= size) return b->data + b->to;
  if (b->capacity >= 2 * (length + size)) {
    memmove(b->data, b->data + b->from, length);
  } else {
    uint64_t capacity = b->capacity == 0 ? 1 << 16 : b->capacity;
    while (capacity < 2 * (length + size)) capacity *= 2;
    uint8_t *data = malloc(capacity);
    if (data == NULL) return NULL;
    if (length > 0) memcpy(data, b->data + b->from, length);
    free(b->data);
    b->data = data;
    b->capacity = capacity;
  }
  b->from = 0;
  b->to = length;
  return b->data + length;
}

/* Moves up to `capacity` bytes out of the queue; how many. */
static inline uint64_t bytes_take(struct bytes *b, uint8_t *into, uint64_t capacity) {
  uint64_t length = bytes_length(b);
  if (length > capacity) length = capacity;
  if (length > 0) memcpy(into, b->data + b->from, length);
  b->from += length;
  if (b->from == b->to) b->from = b->to = 0;
  return length;
}

#endif
