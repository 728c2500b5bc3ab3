/* lcpfwd_punt.h - the part of lcpfwd.h about punts: the records of a program, and how it is set and read.
 *
 * To be had by including lcpfwd.h. Conventions as there.
 */
#ifndef LCPFWD_PUNT_H
#define LCPFWD_PUNT_H

#include <stdint.h>

/* What is punted where, besides to the pair: a program is an array of records, in order. Ports are named by id
 * and generation (struct lcpfwd_port); a record whose port has ended does nothing and is dumped no more. */
enum lcpfwd_punt_type {
  LCPFWD_PUNT_XCONNECT = 1, /* every frame of from leaves by to, unchanged */
  LCPFWD_PUNT_SPAN = 2,     /* copies of from's frames leave by to: flags RX, TX */
  LCPFWD_PUNT_ABX = 3,      /* IP packets of from that its rules permit leave by to */
  LCPFWD_PUNT_RULE = 4,     /* of the ABX before it; the first rule of a port that matches decides */
  LCPFWD_PUNT_OSI = 5,      /* frames of from with this NLPID (protocol) leave by to */
  LCPFWD_PUNT_HOST = 6,     /* what matches (by) goes to the host, also where a socket gets it */
  LCPFWD_PUNT_SOCKET = 7,   /* what matches goes to the datagram socket path */
  LCPFWD_PUNT_REDIRECT = 8, /* what came in by from (0: any port), is to be punted and finds no host leaves by to */
  LCPFWD_PUNT_POLICE = 9,   /* a limit to what is punted, of scope */
  LCPFWD_PUNT_PROXY = 10,   /* questions for source..destination that come in by from are answered with its MAC */
  LCPFWD_PUNT_RELAY = 11,   /* DHCP of clients in a table goes to the server destination, from source; by to, or routed */
};
enum lcpfwd_punt_by { LCPFWD_BY_PORT = 1, LCPFWD_BY_ICMP6 = 2, LCPFWD_BY_PROTOCOL = 3, LCPFWD_BY_REASON = 4 };
#define LCPFWD_PUNT_RX 1u
#define LCPFWD_PUNT_TX 2u
#define LCPFWD_PUNT_PERMIT 4u  /* RULE */
#define LCPFWD_PUNT_KBPS 8u    /* POLICE: rate is kbit/s and burst bytes; else packets/s and ms of the rate */
#define LCPFWD_PUNT_NEXTHOP 16u /* REDIRECT: rewritten to the neighbour destination; else it leaves as received */
#define LCPFWD_PUNT_MAC 32u    /* ABX: what the destination MAC of unicast becomes; REDIRECT, RELAY: the neighbour's */

struct lcpfwd_punt { /* 208 bytes; what a type does not use is 0 */
  uint8_t type;  /* enum lcpfwd_punt_type */
  uint8_t af;    /* 4 or 6: of RULE, REDIRECT, PROXY and what matches by port or protocol */
  uint8_t by;    /* of HOST and SOCKET: enum lcpfwd_punt_by */
  uint8_t flags; /* LCPFWD_PUNT_* */
  uint16_t from, to;
  uint64_t from_generation, to_generation;
  uint32_t slot;     /* of its counters. in: 0, a new one, or what it had before; out: what it has */
  uint32_t priority; /* ABX: the lowest first */
  uint8_t protocol;  /* RULE (0: any), OSI, by port and by protocol */
  uint8_t scope;     /* POLICE: enum lcpfwd_punt_scope */
  uint16_t number;   /* by port: destination port; by ICMPv6: type; by reason: see lcpfwd_reason_name */
  uint32_t rate, burst;
  uint32_t table;    /* PROXY: kept for who reads it */
  uint8_t mac[6];
  uint8_t source_len, destination_len; /* RULE: bits */
  uint8_t source[16], destination[16]; /* RULE: prefixes; PROXY: lowest and highest; REDIRECT: destination is the next hop */
  uint16_t source_ports[2], destination_ports[2]; /* RULE: first and last; types and codes of ICMP */
  uint8_t tcp_mask, tcp_value; /* RULE */
  uint8_t pad[2];
  union {
    char path[108]; /* SOCKET */
    struct { /* RELAY: ids of tables, 0: there is none. table is kept as well, server_number too */
      uint32_t relay_table, relay_local, server_table, server_number;
    };
  };
};
#define LCPFWD_MAX_PUNTS 4096u      /* records of a program */
#define LCPFWD_MAX_PUNT_SLOTS 4096u /* slots 1..4095 */

/* What POLICE limits: a family, or a class of what is punted. */
enum lcpfwd_punt_scope {
  LCPFWD_SCOPE_IP4, LCPFWD_SCOPE_IP6, LCPFWD_SCOPE_ARP, LCPFWD_SCOPE_ND, LCPFWD_SCOPE_ICMP, LCPFWD_SCOPE_BGP,
  LCPFWD_SCOPE_OSPF, LCPFWD_SCOPE_LDP, LCPFWD_SCOPE_BFD, LCPFWD_SCOPE_SSH, LCPFWD_SCOPE_SNMP, LCPFWD_SCOPE_DHCP,
  LCPFWD_SCOPE_LACP, LCPFWD_SCOPE_LLDP, LCPFWD_SCOPE_ISIS, LCPFWD_SCOPE_TTL, LCPFWD_SCOPE_UNKNOWN, LCPFWD_SCOPES
};

struct lcpfwd_punt_count { /* of a slot. A policer's packets are those that conform, its drops those that exceed */
  uint64_t packets, bytes, drops, drop_bytes;
};

struct lcpfwd;

#pragma GCC visibility push(default)

/* Replace the program by n records, at once; their slots are filled in. On an error nothing has changed and *bad is
 * the record that is wrong (n: none is): -EINVAL a field, -ENODEV a port, -ESTALE its generation, -EEXIST two of a
 * sort that can be there once, -EOPNOTSUPP a TUN port, -ENOSPC. A client that the forwarder cannot have is an error
 * with the program in force. */
int32_t lcpfwd_punts_set(struct lcpfwd *f, struct lcpfwd_punt *records, uint32_t n, uint32_t *bad);
/* The records whose ports are there; returns how many there are. */
int32_t lcpfwd_punts_dump(struct lcpfwd *f, struct lcpfwd_punt *out, uint32_t max);
int32_t lcpfwd_punt_count(struct lcpfwd *f, uint32_t slot, struct lcpfwd_punt_count *out);
/* NULL behind the last. */
const char *lcpfwd_reason_name(uint32_t reason);
/* Packets punted for it on all ports, -1 where that is not counted by itself. */
int64_t lcpfwd_reason_packets(struct lcpfwd *f, uint32_t reason);
/* Counters of the plane as a whole: of the punt socket and of the DHCP relay. NULL and -EINVAL behind the last. */
const char *lcpfwd_plane_counter_name(uint32_t which);
int64_t lcpfwd_plane_counter(struct lcpfwd *f, uint32_t which);
/* Open the punt socket at path ("": none, and the one that there was ends). One that is there at that path stays.
 * errtext (160 bytes, may be NULL) says what failed: then there is none. */
int32_t lcpfwd_punt_socket(struct lcpfwd *f, const char *path, char *errtext);

#pragma GCC visibility pop

#endif
