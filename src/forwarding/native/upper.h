/* upper.h - what is above IP: the protocol behind options and extension headers, ports, fragments.
 *
 * Reference: RFC 791, RFC 8200 4.1; a header chain of more than UPPER_DEPTH is taken for its last header.
 */
#ifndef UPPER_H
#define UPPER_H

#include "frame.h"

#define UPPER_DEPTH 16u

struct upper {
  uint32_t at;       /* offset from the frame's start; of the first byte that is no IP header */
  uint32_t end;      /* where the IP packet ends */
  uint16_t source, destination; /* ports of TCP and UDP (and what is built alike), type and code of ICMP; host order */
  uint8_t protocol;
  uint8_t tcp_flags;
  uint8_t fragment;  /* one of several */
  uint8_t later;     /* a fragment that is not the first: it has no upper header */
  uint8_t have;      /* source, destination (of TCP its flags, too) are in the frame */
};

/* Of a packet whose l3 and ethertype are known. 0: it is no whole IP packet. */
int upper_find(const struct packet *p, struct upper *u);

#endif
