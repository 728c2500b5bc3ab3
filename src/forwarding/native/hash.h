/* hash.h - keys of the two adjacency hashes: 64 bits from a port and some bytes.
 *
 * Multiply and fold, seeded per region, so that a neighbour who chooses its addresses cannot choose
 * collisions. The low half is the place in the array, the high half the tag kept in the slot.
 */
#ifndef LCPFWD_HASH_H
#define LCPFWD_HASH_H

#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
  __uint128_t m = (__uint128_t)a * b;
  return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static inline uint64_t hash_load8(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return v;
}

static inline uint32_t hash_load4(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

/* The upper half of a slot; never 0, so that a removed slot differs from a fresh one. */
static inline uint32_t hash_tag(uint64_t h) {
  return (uint32_t)(h >> 32) | 1u;
}

static inline uint64_t hash_neighbour(uint64_t seed, unsigned port, unsigned af, const uint8_t *addr) {
  uint64_t a = (uint64_t)port << 8 | af;
  if (af == 4)
    return hash_mix(hash_mix(a ^ seed, 0x9e3779b97f4a7c15ull) ^ hash_load4(addr), seed | 1);
  return hash_mix(hash_mix(hash_load8(addr) ^ seed, 0x9e3779b97f4a7c15ull ^ a) ^ hash_load8(addr + 8),
                  seed | 1);
}

/* l2: MAC addresses (12 bytes) and possibly tags, 4 bytes each. */
static inline uint64_t hash_rewrite(uint64_t seed, unsigned port, const uint8_t *l2, unsigned len) {
  uint64_t h = hash_mix(hash_load8(l2) ^ seed, 0x9e3779b97f4a7c15ull ^ port) ^ hash_load4(l2 + 8);
  for (unsigned i = 12; i + 4 <= len; i += 4)
    h = hash_mix(h ^ hash_load4(l2 + i), 0xc2b2ae3d27d4eb4full);
  return hash_mix(h, seed | 1);
}

#endif
