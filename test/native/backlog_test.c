/* backlog_test.c - a backlog beside a plain list: the same records in the same order, whole, in whatever pieces they came; what
 * is refused is what there is no room for, and all the room is used.
 */
#include "backlog.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define MOST 100000u /* records at once */

static struct record {
  uint32_t len, owner;
  uint8_t seed;
} list[MOST];
static unsigned first, last; /* of list, counted up for ever */

static uint8_t byte_of(const struct record *r, uint32_t i) { return (uint8_t)(r->seed + i * 7 + (i >> 8)); }

static struct record *record_at(unsigned i) { return &list[i % MOST]; }

static size_t held(void) {
  size_t sum = 0;
  for (unsigned i = first; i != last; i++) sum += 8 + ((size_t)record_at(i)->len + 7) / 8 * 8;
  return sum;
}

/* In up to four pieces. */
static int put(struct backlog *b, uint32_t len) {
  static uint8_t bytes[BACKLOG_SIZE];
  struct record *r = record_at(last);
  struct iovec part[4];
  unsigned parts = 1 + random_below(4);
  uint32_t done = 0;
  *r = (struct record){.len = len, .owner = random_below(UINT32_MAX), .seed = (uint8_t)random_below(256)};
  for (uint32_t i = 0; i < len; i++) bytes[i] = byte_of(r, i);
  for (unsigned i = 0; i < parts; i++) {
    uint32_t n = i + 1 < parts ? random_below(len - done + 1) : len - done;
    part[i] = (struct iovec){.iov_base = bytes + done, .iov_len = n};
    done += n;
  }
  if (!backlog_put(b, part, parts, r->owner)) return 0;
  last++;
  return 1;
}

static void compare(const struct backlog *b, unsigned max) {
  static const struct backlog_record *got[MOST];
  unsigned n = backlog_first(b, got, max), want = last - first < max ? last - first : max;
  CHECK(n == want && b->n == last - first, "%u of %u", n, want);
  for (unsigned i = 0; i < n; i++) {
    const struct record *r = record_at(first + i);
    CHECK(got[i]->len == r->len && got[i]->owner == r->owner, "record %u of %u: %u bytes", i, n, got[i]->len);
    CHECK(got[i]->data >= b->memory && got[i]->data + r->len <= b->memory + BACKLOG_SIZE, "record %u is outside", i);
    for (uint32_t k = 0; k < r->len; k++) CHECK(got[i]->data[k] == byte_of(r, k), "record %u of %u: byte %u", i, n, k);
  }
}

static void drop(struct backlog *b, unsigned n) {
  backlog_drop(b, n);
  first += n;
}

int main(int argc, char **argv) {
  struct backlog b = {.memory = NULL};
  unsigned refused = 0, wrapped = 0;
  uint32_t skipped = 0; /* at the end of the memory, at most */
  check_begin("backlog_test", argc, argv);
  b.memory = malloc(BACKLOG_SIZE); /* the sanitizer sees its end */
  CHECK(b.memory, "memory");
  for (unsigned round = 0; round < 400; round++) {
    uint32_t longest = (uint32_t[]){1, 64, 1500, 9000, 70000}[random_below(5)];
    for (unsigned i = random_below(2) ? 40 : random_below(2000); i; i--) {
      uint32_t len = random_below(longest + 1), before = b.tail;
      int fits = put(&b, len);
      if (fits && b.tail < before) {
        skipped = len + 16;
        wrapped++;
      }
      if (fits) continue;
      /* The rest at the end of the memory may be too short for it, and so the rest before the oldest one. */
      CHECK(BACKLOG_SIZE - held() < 2 * (len + 16u) + skipped, "%u bytes are refused, of %u %zu are in use", len, BACKLOG_SIZE, held());
      refused++;
    }
    compare(&b, random_below(2) ? MOST : random_below(200));
    drop(&b, random_below(3) ? random_below(b.n + 1) : b.n);
  }
  CHECK(refused > 50 && wrapped > 50, "%u were refused, it wrapped %u times: too tame", refused, wrapped);
  drop(&b, b.n);
  CHECK(!put(&b, BACKLOG_SIZE / 2 + 1) && put(&b, BACKLOG_SIZE / 2), "a record of half the size fits, and no longer one");
  compare(&b, 1);
  free(b.memory);
  puts("backlog_test: ok");
  return 0;
}
