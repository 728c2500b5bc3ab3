/* relay_udp.h - what relay4.c and relay6.c share: a packet taken apart, its checksum, the frame around a reply. */
#ifndef RELAY_UDP_H
#define RELAY_UDP_H

#include "frame.h"
#include "relay.h"

#define UDP_HEAD 8u

struct relay_udp {
  const uint8_t *at; /* UDP header */
  uint32_t len;      /* from there to the end of the IP packet; at least as much as the UDP header claims */
};

/* 0: not a whole IP packet of that family with a UDP header whose length is in it. IPv6: without extension headers. */
int relay_parse(enum relay_family family, const struct relay_view *in, struct relay_udp *udp);
/* What the checksum field of n bytes of UDP must be, below an IP header with these addresses; never 0. */
uint16_t relay_sum(enum relay_family family, const uint8_t *ip, const uint8_t *udp, uint32_t n);
/* Writes the L2 header of frames by that interface, tags included; its length. */
uint32_t relay_l2(const struct relay_interface *interface, const uint8_t *dst, unsigned type, uint8_t *out);
/* Servers of a family in that configuration, which may be NULL. */
unsigned relay_servers(const struct relay_config *config, enum relay_family family);

#endif
