/* check.h - what the native tests share: a check that says what it saw, and a seeded generator. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static uint64_t check_seed, check_state;

#define CHECK(condition, ...)                                                    \
  do {                                                                           \
    if (!(condition)) {                                                          \
      fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);            \
      fprintf(stderr, __VA_ARGS__);                                              \
      fprintf(stderr, " (seed %" PRIu64 ")\n", check_seed);                      \
      abort();                                                                   \
    }                                                                            \
  } while (0)

/* Seed from the argument, else from the clock; printed, so that a failure can be had again. */
static inline void check_begin(const char *name, int argc, char **argv) {
  check_seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64_t)time(NULL);
  check_state = check_seed * 0x9e3779b97f4a7c15ull + 1;
  printf("%s: seed %" PRIu64 "\n", name, check_seed);
  fflush(stdout);
}

/* splitmix64 */
static inline uint64_t random64(void) {
  uint64_t z = check_state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

static inline uint32_t random_below(uint32_t n) {
  return (uint32_t)(random64() % n);
}

#endif
