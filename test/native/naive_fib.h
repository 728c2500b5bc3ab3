/* naive_fib.h - routes as a sorted array: what the trie is compared with. Slow and obvious. */
#ifndef NAIVE_FIB_H
#define NAIVE_FIB_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

struct naive_route {
  uint8_t addr[16];
  uint8_t plen;
  uint32_t value;
};

struct naive_fib {
  unsigned bits; /* 32 or 128 */
  uint32_t n, size;
  struct naive_route *route; /* by address, then length */
};

static inline int naive_order(const struct naive_route *r, const uint8_t *addr, unsigned plen) {
  int c = memcmp(r->addr, addr, 16);
  return c ? c : (int)r->plen - (int)plen;
}

/* First entry that is not before (addr, plen). */
static inline uint32_t naive_find(const struct naive_fib *f, const uint8_t *addr, unsigned plen) {
  uint32_t lo = 0, hi = f->n;
  while (lo < hi) {
    uint32_t mid = (lo + hi) / 2;
    if (naive_order(&f->route[mid], addr, plen) < 0)
      lo = mid + 1;
    else
      hi = mid;
  }
  return lo;
}

static inline int naive_has(const struct naive_fib *f, uint32_t i, const uint8_t *addr, unsigned plen) {
  return i < f->n && naive_order(&f->route[i], addr, plen) == 0;
}

static inline void naive_set(struct naive_fib *f, const uint8_t *addr, unsigned plen, uint32_t value) {
  uint32_t i = naive_find(f, addr, plen);
  if (!naive_has(f, i, addr, plen)) {
    if (f->n == f->size) {
      f->size = f->size ? f->size * 2 : 256;
      f->route = realloc(f->route, f->size * sizeof *f->route);
      CHECK(f->route != NULL, "memory");
    }
    memmove(f->route + i + 1, f->route + i, (f->n++ - i) * sizeof *f->route);
    memcpy(f->route[i].addr, addr, 16);
    f->route[i].plen = (uint8_t)plen;
  }
  f->route[i].value = value;
}

static inline void naive_delete(struct naive_fib *f, const uint8_t *addr, unsigned plen) {
  uint32_t i = naive_find(f, addr, plen);
  if (naive_has(f, i, addr, plen))
    memmove(f->route + i, f->route + i + 1, (--f->n - i) * sizeof *f->route);
}

/* Clear the bits behind plen. */
static inline void naive_mask(uint8_t *addr, unsigned plen) {
  for (unsigned bit = plen; bit < 128; bit++)
    addr[bit / 8] &= (uint8_t)~(0x80u >> bit % 8);
}

/* Longest match: tries every length. -1: none. */
static inline int naive_lookup(const struct naive_fib *f, const uint8_t *addr, uint32_t *value) {
  uint8_t a[16];
  memcpy(a, addr, 16);
  if (f->bits == 32)
    memset(a + 4, 0, 12);
  for (int plen = (int)f->bits; plen >= 0; plen--) {
    naive_mask(a, (unsigned)plen);
    uint32_t i = naive_find(f, a, (unsigned)plen);
    if (naive_has(f, i, a, (unsigned)plen)) {
      *value = f->route[i].value;
      return plen;
    }
  }
  return -1;
}

/* Addresses in clusters that share long beginnings, so that nodes split and join at every depth. */
static inline void naive_random_prefix(unsigned bits, uint8_t *addr, unsigned *plen) {
  static const uint8_t few[] = {0, 1, 10, 127, 128, 129, 254, 255};
  unsigned octets = bits / 8, same = random_below(octets + 1);
  memset(addr, 0, 16);
  for (unsigned i = 0; i < octets; i++) {
    if (i < same)
      addr[i] = (uint8_t)(i == 0 ? 10 : 7 * i); /* the common trunk */
    else
      addr[i] = random_below(4) ? few[random_below(sizeof few)] : (uint8_t)random64();
  }
  switch (random_below(4)) {
  case 0:
    *plen = random_below(octets + 1) * 8;
    break;
  case 1:
    *plen = bits - random_below(3);
    break;
  default:
    *plen = random_below(bits + 1);
  }
  naive_mask(addr, *plen);
}

#endif
