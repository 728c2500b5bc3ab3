/* checksum.h - the Internet checksum (RFC 1071) and its incremental update (RFC 1624).
 *
 * Sums are of 16-bit words in memory order, so a folded result is stored as it is, without a byte
 * swap, on machines of either endianness.
 */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t load16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}

static inline void store16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }

static inline uint16_t load_be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }

static inline void store_be16(uint8_t *p, unsigned v) {
  p[0] = (uint8_t)(v >> 8);
  p[1] = (uint8_t)v;
}

static inline uint32_t load_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Unfolded sum; n may be odd only for the last part of a message. */
static inline uint64_t checksum_add(uint64_t sum, const uint8_t *p, size_t n) {
  for (; n >= 4; p += 4, n -= 4) {
    uint32_t v;
    memcpy(&v, p, 4);
    sum += v;
  }
  if (n & 2) {
    sum += load16(p);
    p += 2;
  }
  if (n & 1) {
    uint8_t last[2] = {p[0], 0};
    sum += load16(last);
  }
  return sum;
}

static inline uint16_t checksum_fold(uint64_t sum) {
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffffffu) + (sum >> 32);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  sum = (sum & 0xffffu) + (sum >> 16);
  return (uint16_t)sum;
}

static inline uint16_t checksum(const uint8_t *p, size_t n) {
  return (uint16_t)~checksum_fold(checksum_add(0, p, n));
}

/* A header whose checksum field is right sums to all ones. */
static inline int checksum_ok(const uint8_t *p, size_t n) {
  return checksum_fold(checksum_add(0, p, n)) == 0xffff;
}

/* RFC 1624 equation 3: HC' = ~(~HC + ~m + m'). */
static inline uint16_t checksum_replace(uint16_t hc, uint16_t from, uint16_t to) {
  uint32_t sum = (uint32_t)(uint16_t)~hc + (uint16_t)~from + to;
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

#endif
