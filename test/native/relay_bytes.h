/* relay_bytes.h - DHCP packets for the relay's tests, from text to bytes, and the router that relays them.
 *
 * Text: hex digits, blanks for the eye, XX*N for N times that octet. Sums are computed word by word, apart from checksum.h.
 */
#ifndef RELAY_BYTES_H
#define RELAY_BYTES_H

#include <string.h>

#include "../../src/forwarding/native/relay.h"
#include "check.h"

struct bytes {
  uint32_t len;
  uint8_t at[4096];
};

/* A packet in the words of the tests; what is NULL or 0 is as a client, or a server, usually has it. */
struct say4 {
  const char *src, *dst;      /* hex */
  unsigned sport, dport;
  const char *ip_options;
  const char *giaddr, *yiaddr;
  unsigned op, flags;         /* BOOTP's */
  const char *options;        /* behind the cookie */
  int sum;                    /* 1: with UDP checksum */
};

struct say6 {
  unsigned hops; /* hop limit */
  const char *head; /* first four octets */
  const char *src, *dst;
  unsigned sport, dport;
  const char *message;
};

/* Interfaces: 7 untagged; 8 and 9 with a tag and two; 10 without address; 11 in a domain without relay; 0x01020304 as 7. */
struct relay_router {
  struct relay_config config;
  struct relay_interface one;
};

void lay(struct bytes *b, const char *text);
/* Appends. */
void lay_more(struct bytes *b, const char *text);
void lay16(struct bytes *b, unsigned value);
/* Internet checksum, the slow way; 0 for a header that has it right. */
unsigned naive_sum(const uint8_t *pseudo, uint32_t pseudo_len, const uint8_t *p, uint32_t n);

void build4(struct bytes *b, const struct say4 *say);
void build6(struct bytes *b, const struct say6 *say);
/* Rewrites the sums of an IP packet; that of UDP where it has one, and in IPv6. */
void mend(uint8_t *ip);

/* The configuration of all tests: two servers; no VPN. */
void router_begin(struct relay_router *r, enum relay_family family, unsigned flags);
void router_vss(struct relay_router *r, unsigned type, const char *id);
int router_find(void *router, uint32_t number, struct relay_interface *out);
void same_bytes(const char *what, const uint8_t *got, uint32_t len, const struct bytes *want);
/* A copy with nothing around it that may be read. */
uint8_t *alone(const uint8_t *from, uint32_t n);

void test_relay4(void);
void test_relay4_client(void);
void test_relay6(void);
void test_relay6_client(void);
void test_relay_fuzz(uint64_t seed);

#endif
