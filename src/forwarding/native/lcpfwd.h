/* lcpfwd.h - the embedded data plane as lcpd sees it: the only header bound from TypeScript.
 *
 * Two processes share one memory region (a memfd):
 *   lcpfwd  (the forwarder) owns the packet sockets and TAP/TUN descriptors and runs the workers.
 *           It only READS the tables.
 *   lcpd    attaches through this library and is the only WRITER of the tables. lcpd may die at any
 *           instruction: every table change is built aside and published by one atomic store, so what
 *           is reachable is always complete; the next writer rebuilds its private allocator state by
 *           walking what is reachable. Forwarding never stops for a restart of lcpd.
 * Memory is returned to the allocator only after every worker has passed a quiescent point (QSBR).
 *
 * Conventions: functions return 0 (or a count / an id > 0) or a negative errno. Addresses are in
 * network byte order, IPv4 in the first 4 of 16 bytes. Structs have fixed sizes, no implicit padding,
 * so that TypeScript can write them through typed arrays; sizes are asserted on both sides.
 */
#ifndef LCPFWD_H
#define LCPFWD_H

#include <stddef.h>
#include <stdint.h>

#define LCPFWD_ABI 5u /* bump with every change of this file or of the shared layout */

#define LCPFWD_AF_INET 4u
#define LCPFWD_AF_INET6 6u
#define LCPFWD_AF_MPLS 28u /* of tables: the "address" is a label, in the upper 20 bits of 4 bytes; plen is 20 */

#define LCPFWD_MAX_PORTS 256u      /* port ids 1..255; 0 is "none" */
#define LCPFWD_MAX_TABLES 4096u    /* table ids 1..4095; 0 is "none" */
#define LCPFWD_MAX_PATHS 256u      /* legs of one path list */
#define LCPFWD_MAX_WORKERS 8u
#define LCPFWD_LOOKUP_TABLES 5u    /* tables that one address lookup walks, in order */
#define LCPFWD_MAX_TAGS 2u         /* VLAN tags of a sub-interface */
#define LCPFWD_MAX_MACS 16u        /* further unicast addresses of a port */
#define LCPFWD_MAX_LABELS 8u       /* MPLS labels of one leg */
#define LCPFWD_NOTE_SIZE 4096u     /* most bytes of the note of an interconnect */

/* Path lists 1..15 are built in: a route may refer to them as to any other. */
enum lcpfwd_special {
  LCPFWD_PL_NONE = 0,
  LCPFWD_PL_LOCAL = 1,       /* RTN_LOCAL: for us, punted to the pair it came in on */
  LCPFWD_PL_BROADCAST = 2,   /* RTN_BROADCAST: punted */
  LCPFWD_PL_ANYCAST = 3,     /* RTN_ANYCAST: punted */
  LCPFWD_PL_MULTICAST = 4,   /* RTN_MULTICAST: punted */
  LCPFWD_PL_BLACKHOLE = 5,   /* RTN_BLACKHOLE: dropped, counted */
  LCPFWD_PL_UNREACHABLE = 6, /* RTN_UNREACHABLE: exception, ICMP host unreachable */
  LCPFWD_PL_PROHIBIT = 7,    /* RTN_PROHIBIT: exception, ICMP administratively prohibited */
  LCPFWD_PL_THROW = 8,       /* RTN_THROW: ends the lookup in this table, goes on with the next */
  LCPFWD_PL_PUNT = 9,        /* egress is no pair of ours: punted, the kernel decides */
  LCPFWD_PL_FIRST = 16,      /* first id given to lcpfwd_pathlist_set */
};

/* One leg. port 0 is allowed with LCPFWD_PATH_PUNT and _LOOKUP only. af 0: attached (the destination itself is the
 * neighbour). labels: an IP packet gets them pushed, a labelled one has its top label replaced by them;
 * not on a TUN port (-EOPNOTSUPP). */
struct lcpfwd_path { /* 56 bytes */
  uint16_t port;   /* on read: 0 when the port was deleted; what falls on this leg is dropped */
  uint16_t weight; /* 1..65535 */
  uint8_t af;      /* of nh: 0, 4 or 6; an IPv4 route may have an IPv6 next hop (RFC 8950) */
  uint8_t flags;   /* LCPFWD_PATH_* */
  uint8_t labels;  /* how many of label[], outermost first */
  uint8_t ttl;     /* 0: uniform model of RFC 3443. Else pipe model: of pushed labels; without labels: the
                      packet below a popped one keeps its own */
  uint8_t nh[16];
  union {
    uint32_t label[LCPFWD_MAX_LABELS]; /* 20 bits each; never 3, the implicit null */
    struct { /* of LCPFWD_PATH_LOOKUP: ids of lcpfwd_table_name, in order, 0 behind the last */
      uint16_t tables4[LCPFWD_LOOKUP_TABLES];
      uint16_t tables6[LCPFWD_LOOKUP_TABLES];
    };
  };
};
#define LCPFWD_PATH_COMPLETE 1u /* on read: the adjacency has a rewrite */
#define LCPFWD_PATH_PUNT 2u     /* no port, no next hop: this share is punted to the pair it came in on */
#define LCPFWD_PATH_LOOKUP 4u   /* no port, no next hop: this share is looked up once more, in tables4 or tables6 by its
                                   family, strictly in order (never merged). A label is popped before; it must be
                                   the last one. At most LCPFWD_LOOKUP_DEPTH such legs, one after the other */
#define LCPFWD_LOOKUP_DEPTH 3u

struct lcpfwd_route { /* 28 bytes */
  uint32_t table;    /* id from lcpfwd_table_add */
  uint32_t pathlist; /* id; 0 deletes */
  uint8_t plen;
  uint8_t pad[3];
  uint8_t addr[16]; /* bits beyond plen must be 0 (-EINVAL) */
};

/* What an ingress port looks addresses up in. */
struct lcpfwd_lookup_spec { /* 24 bytes */
  uint16_t n;      /* used entries of table[] */
  uint16_t merged; /* 1: table[0] and table[1] are one LPM, table[0] wins a tie (Linux IPv4 local+main
                      before any custom rule: fib_unmerge); else strictly in order. A table in which
                      nothing or THROW is found passes on to the next. */
  uint32_t table[LCPFWD_LOOKUP_TABLES];
};

struct lcpfwd_lookup_result { /* 12 bytes */
  uint32_t table;    /* 0: no route */
  uint32_t pathlist; /* 0: no route */
  uint32_t plen;
};

struct lcpfwd_neighbour { /* 28 bytes */
  uint16_t port;
  uint8_t af; /* 4 or 6 */
  uint8_t flags; /* LCPFWD_NEIGH_* */
  uint8_t mac[6];
  uint8_t pad[2];
  uint8_t addr[16];
};
#define LCPFWD_NEIGH_DELETE 1u /* in apply: forget this one */

/* A multicast forwarding entry: what comes in by port from source to group leaves by each of out (but
 * port itself). Keyed by port, af, source and group. Link-local groups are accepted and never used. */
struct lcpfwd_mroute { /* 176 bytes */
  uint16_t port;
  uint8_t af;      /* 4 or 6 */
  uint8_t flags;   /* LCPFWD_MROUTE_* */
  uint32_t domain; /* of one domain, an entry for the very source hides the one for any source everywhere */
  uint16_t n_out;
  uint8_t pad[6];
  uint8_t source[16]; /* zeroes: any */
  uint8_t group[16];
  uint16_t out[64]; /* n_out different port ids */
};
#define LCPFWD_MROUTE_HOST 1u /* every packet is also punted, else one each 10 s */
#define LCPFWD_MAX_MROUTE_OUT 64u
#define LCPFWD_MAX_MROUTES 131072u

/* Port attributes that lcpd writes directly while the port forwards (atomically, one at a time). */
#define LCPFWD_PORT_UP 1u            /* admin up: host side is IFF_UP */
#define LCPFWD_PORT_TUN 2u           /* layer 3 port, no Ethernet header on either side */
#define LCPFWD_PORT_KERNEL_FWD4 4u   /* the host's kernel forwards IPv4: it answers punted exceptions */
#define LCPFWD_PORT_KERNEL_FWD6 8u   /* the same for IPv6; where clear, the data plane sends the ICMP error */
#define LCPFWD_PORT_L2 16u           /* the host is in a bridge, bond or the like: every frame is punted */
#define LCPFWD_PORT_FOREIGN 32u      /* unicast frames to addresses of others are punted, not dropped */
/* For the life of a port, port_set leaves them alone: */
#define LCPFWD_PORT_INTERCONNECT 64u /* it was made for punts, see lcpfwd_port_note; the host, if any, came later */
#define LCPFWD_PORT_WIRE_TAP 128u    /* its wire is a TAP, handed over with port_add, and no phy */
#define LCPFWD_PORT_GSO 256u         /* who reads its wire's TAP takes GSO frames and partial checksums */
#define LCPFWD_PORT_HOSTLESS 512u    /* it has no TAP for a host: see lcpfwd_port_host */
#define LCPFWD_PORT_WIRE_MEMIF 1024u /* its wire is a memif, see lcpfwd_memif_add */

/* A port with parent != 0 is a sub-interface: frames of the parent's phy with exactly these tags (VLAN 0
 * and priorities do not count). It has no device of its own: it sends by the parent's phy, and punts to
 * the parent's TAP, tags and all. It ends with its parent. */
struct lcpfwd_port { /* 368 bytes */
  uint32_t id;          /* in: ignored; out: 1..255 */
  uint32_t flags;       /* LCPFWD_PORT_* */
  uint32_t phy_ifindex; /* in lcpfwd's network namespace */
  uint32_t host_ifindex;
  uint32_t mtu; /* layer 3 */
  uint8_t mac[6];
  uint8_t pad[2];
  uint32_t src4;     /* source of ICMP errors, network order, 0 = none */
  uint8_t src6[16];  /* the same for ICMPv6 */
  uint64_t generation; /* changes with every re-use of the id */
  struct lcpfwd_lookup_spec v4, v6;
  uint32_t mpls;       /* table of labels; 0: labelled frames are punted */
  uint16_t parent;     /* port id; 0: a port with a phy */
  uint8_t tags, macs;  /* how many of tag[] (0 without parent, else 1..2) and of more[] */
  uint32_t tag[LCPFWD_MAX_TAGS]; /* outer first: TPID << 16 | VLAN id */
  uint8_t more[LCPFWD_MAX_MACS][6]; /* further unicast addresses that are ours */
  char phy[32];  /* names for show and for recognition after a restart */
  char host[16];
  char netns[92];
  uint32_t wire_up; /* of a memif: somebody is connected */
  uint32_t lender;  /* out: see lcpfwd_port_lender; LCPFWD_LENDER_ABSENT where that port has ended since */
  uint32_t pad2;
};
#define LCPFWD_LENDER_ABSENT LCPFWD_MAX_PORTS

/* Named counters. lcpfwd_counter_name(i) gives "punt-arp", "drop-ttl", …; i < lcpfwd_counter_count(). */

/* Something lcpd should do. */
enum lcpfwd_event_type {
  LCPFWD_EVENT_NEIGH_WANTED = 1, /* traffic waits for port/af/addr: ask the kernel to resolve it */
  LCPFWD_EVENT_NEIGH_USED = 2,   /* reserved */
  LCPFWD_EVENT_PORT_ERROR = 3,   /* port's descriptor failed; addr[0..3] = errno */
};
struct lcpfwd_event { /* 24 bytes */
  uint16_t type;
  uint16_t port;
  uint8_t af;
  uint8_t pad[3];
  uint8_t addr[16];
};

/* One traced packet: the first of each burst, every punt, drop and exception, and all while armed. */
struct lcpfwd_trace { /* 128 bytes */
  uint64_t seq;  /* 0: empty slot */
  uint64_t time_ns; /* CLOCK_REALTIME */
  uint16_t in_port;
  uint16_t out_port;
  uint8_t from_host; /* 1: came from the TAP/TUN */
  uint8_t pad;
  uint16_t counter; /* the counter that names its fate */
  uint32_t len;
  uint32_t table, pathlist, adjacency;
  uint32_t caplen;
  uint8_t bytes[84];
};

struct lcpfwd_adjacency { /* 88 bytes, as shown by lcpctl show adjacencies */
  uint32_t id;
  uint16_t port;
  uint8_t af;
  uint8_t state; /* 0 incomplete, 1 complete, 2 attached (glean), 3 multicast,
                    4 dead: its port was deleted, path lists still name it */
  uint8_t nh[16];
  uint8_t rewrite_len;
  uint8_t pad[3];
  uint8_t rewrite[28];
  uint32_t refs; /* path lists that use it */
  uint32_t pad2;
  uint64_t packets, bytes;
  uint64_t pad3;
};

struct lcpfwd_info { /* filled by lcpfwd_info */
  uint64_t memory_size, memory_used, memory_free; /* bytes: region, carved, on free lists */
  uint64_t generation;   /* of the region: a new forwarder has another one */
  uint32_t workers, ports, tables, pathlists, adjacencies, neighbours;
  uint32_t routes4, routes6;
  uint32_t recovered; /* 1: the last writer died; its leftovers were swept at attach */
  uint32_t pid;       /* of the forwarder */
};

#include "lcpfwd_punt.h"

typedef struct lcpfwd lcpfwd; /* one attachment */

#pragma GCC visibility push(default) /* all else stays inside the library */

/* --- life cycle ------------------------------------------------------------------------------- */

/* Private region with no forwarder process: for tests and benchmarks. workers >= 1. */
lcpfwd *lcpfwd_create(uint64_t memory, uint32_t workers);
/* Attach as the writer to the forwarder that listens on path. NULL and *err = -errno:
 * -ENOENT/-ECONNREFUSED nobody there, -EBUSY another writer, -EPROTO other ABI. */
lcpfwd *lcpfwd_attach(const char *path, int32_t *err);
/* Detach. The forwarder goes on. */
void lcpfwd_detach(lcpfwd *f);
/* Ask the forwarder to end; it closes its ports first. */
int32_t lcpfwd_shutdown(lcpfwd *f);
int32_t lcpfwd_info(lcpfwd *f, struct lcpfwd_info *out);
/* Readable when events wait; hung up when the forwarder has gone. */
int32_t lcpfwd_event_fd(lcpfwd *f);
int32_t lcpfwd_control_fd(lcpfwd *f);
int32_t lcpfwd_events(lcpfwd *f, struct lcpfwd_event *out, uint32_t max);

/* --- devices (no attachment needed) ------------------------------------------------------------ */

/* Open or create the TAP (tun = 0) or TUN name in the namespace of netns_fd (-1: our own), with
 * IFF_VNET_HDR, offloads and TUNSETPERSIST. Returns the fd; *ifindex is set. */
int32_t lcpfwd_tap_open(int32_t netns_fd, const char *name, int32_t tun, int32_t *ifindex);
/* Remove it for good (clears persistence, closes). name as it is now. */
int32_t lcpfwd_tap_delete(int32_t netns_fd, const char *name, int32_t tun);
int32_t lcpfwd_close(int32_t fd);
/* The same for the wire of an interconnect: an Ethernet TAP marked by alias, made with mac and mtu (0: as it is)
 * and without IPv6 addresses of its own making, or found again by its mark (then only changed where it differs).
 * gso: its owner may send GSO frames and partial checksums. -EEXIST: the name is another device's. */
int32_t lcpfwd_wire_open(int32_t netns_fd, const char *name, const char *alias, const uint8_t *mac, uint32_t mtu, int32_t gso,
                         int32_t *ifindex);
/* Keep (on=1) or let (on=0) the kernel's own stack from seeing or sending on phy: clsact with a
 * dropping BPF program both ways; our packet socket is before the one and bypasses the other. owner: path of the
 * forwarder's socket, which the guard carries; "": none. Off leaves another owner's where it is; on takes it over, but
 * -EBUSY while somebody listens at its path. */
int32_t lcpfwd_phy_guard(int32_t ifindex, int32_t on, const char *owner);
#define LCPFWD_OWNER_SIZE 108u
/* 1 guarded, whose is in owner (LCPFWD_OWNER_SIZE bytes; "": it does not say); 0 not. */
int32_t lcpfwd_phy_guarded(int32_t ifindex, char *owner);
/* 1: somebody has a packet socket there, as a forwarder has. */
int32_t lcpfwd_phy_watched(int32_t ifindex);

/* --- ports ------------------------------------------------------------------------------------- */

/* Give the forwarder a pair. The forwarder opens the phy itself; tap_fd is passed to it and may be
 * closed here afterwards. Returns the port id. errtext (>= 160 bytes, may be NULL) says what failed.
 * A sub-interface needs no tap_fd; -ENODEV: no such parent, -EEXIST: its tags are taken there. */
int32_t lcpfwd_port_add(lcpfwd *f, const struct lcpfwd_port *p, int32_t tap_fd, char *errtext);
/* The same of an interconnect whose wire is a memif: the forwarder listens at path, id 1, for whoever knows secret ("":
 * for anybody). path at most 107 bytes, secret 24. */
int32_t lcpfwd_memif_add(lcpfwd *f, const struct lcpfwd_port *p, const char *path, const char *secret, char *errtext);
/* Give an interconnect a host, which makes it a pair as well: of p count host, host_ifindex and netns; or take it
 * away again (tap_fd -1). */
int32_t lcpfwd_port_host(lcpfwd *f, uint32_t id, const struct lcpfwd_port *p, int32_t tap_fd, char *errtext);
/* What lcpd wants to know again of an interconnect; replaced at once. get: returns its length. */
int32_t lcpfwd_port_note_set(lcpfwd *f, uint32_t id, const uint8_t *note, uint32_t len);
int32_t lcpfwd_port_note(lcpfwd *f, uint32_t id, uint8_t *note, uint32_t max);
/* What comes in by interconnect id is routed as if it had come in by port lender, for as long as both live and id has no
 * host. 0: it has no layer 3; LCPFWD_LENDER_ABSENT: it borrows of one that is not there, so what would be routed is dropped and
 * counted, as it is where the lender has no host. */
int32_t lcpfwd_port_lender(lcpfwd *f, uint32_t id, uint32_t lender);
/* With its sub-interfaces. */
int32_t lcpfwd_port_del(lcpfwd *f, uint32_t id);
/* Write the mutable attributes: flags, mtu, mac, macs, more, src4, src6, v4, v6, mpls, host, host_ifindex. */
int32_t lcpfwd_port_set(lcpfwd *f, uint32_t id, const struct lcpfwd_port *p);
/* Read up to max ports; returns how many there are. */
int32_t lcpfwd_ports(lcpfwd *f, struct lcpfwd_port *out, uint32_t max);

/* --- tables, path lists, routes, neighbours ------------------------------------------------------ */

/* name (1..115 bytes) identifies a table after a restart, e.g. "cp/254"; same af and name give the
 * same id. */
int32_t lcpfwd_table_add(lcpfwd *f, uint32_t af, const char *name);
/* Drops its routes too. While legs name it, its id stands for its name still: nothing is found there until the
 * same table is added again, and no other one gets the id. */
int32_t lcpfwd_table_del(lcpfwd *f, uint32_t id);
/* The id of a table for a leg to name, whether the table is there or not. If not, and if no leg comes to name
 * it, lcpfwd_table_del gives the id back. */
int32_t lcpfwd_table_name(lcpfwd *f, uint32_t af, const char *name);
/* name: >= 120 bytes. 0, 1: it is not there, legs name it; -ENOENT for a free id. */
int32_t lcpfwd_table_get(lcpfwd *f, uint32_t id, uint32_t *af, char *name, uint32_t *routes);

/* id 0: make a new one, returns its id; else replace its legs while packets flow. */
int32_t lcpfwd_pathlist_set(lcpfwd *f, uint32_t id, const struct lcpfwd_path *paths, uint32_t n);
int32_t lcpfwd_pathlist_del(lcpfwd *f, uint32_t id); /* -EBUSY while routes use it */
/* Returns the number of legs, -ENOENT for a free id; *routes = how many routes use it. */
int32_t lcpfwd_pathlist_get(lcpfwd *f, uint32_t id, struct lcpfwd_path *out, uint32_t max, uint32_t *routes);
/* Highest id ever used + 1, for iteration. */
uint32_t lcpfwd_pathlist_end(lcpfwd *f);

/* Apply n route operations; results[i] = 0 or -errno. Deleting what is absent is success.
 * Returns how many failed. */
int32_t lcpfwd_routes_apply(lcpfwd *f, const struct lcpfwd_route *ops, uint32_t n, int32_t *results);
/* Routes of a table in address order; cursor: 20 zeroed bytes to begin. Returns how many; 0 = end. */
int32_t lcpfwd_routes_dump(lcpfwd *f, uint32_t table, struct lcpfwd_route *out, uint32_t max, uint8_t *cursor);

int32_t lcpfwd_neighbours_apply(lcpfwd *f, const struct lcpfwd_neighbour *ops, uint32_t n, int32_t *results);
/* All neighbours with an address; cursor: one u32, 0 to begin. */
int32_t lcpfwd_neighbours_dump(lcpfwd *f, struct lcpfwd_neighbour *out, uint32_t max, uint32_t *cursor);
/* Absent is success; only port, af, source and group matter to del, which cannot want for memory. A port
 * that is deleted takes its entries along and leaves the outputs of all others. */
int32_t lcpfwd_mroute_set(lcpfwd *f, const struct lcpfwd_mroute *m);
int32_t lcpfwd_mroute_del(lcpfwd *f, const struct lcpfwd_mroute *m);
/* All entries, in no order; cursor: two u32, 0 to begin. Returns how many; 0 = end. */
int32_t lcpfwd_mroutes_dump(lcpfwd *f, struct lcpfwd_mroute *out, uint32_t max, uint32_t *cursor);
/* All adjacencies; cursor: one u32, 0 to begin. */
int32_t lcpfwd_adjacencies_dump(lcpfwd *f, struct lcpfwd_adjacency *out, uint32_t max, uint32_t *cursor);

/* What a packet for each of n addresses (16 bytes each; labels as in routes) would find: the code of the
 * packet path. */
int32_t lcpfwd_lookup(lcpfwd *f, const struct lcpfwd_lookup_spec *spec, uint32_t af, const uint8_t *addrs,
                      uint32_t n, struct lcpfwd_lookup_result *out);

/* --- observing ----------------------------------------------------------------------------------- */

uint32_t lcpfwd_counter_count(void);
const char *lcpfwd_counter_name(uint32_t i);
/* out: counter_count() u64 of one port, summed over workers. */
int32_t lcpfwd_counters(lcpfwd *f, uint32_t port, uint64_t *out);
/* Record every packet for the next n. */
int32_t lcpfwd_trace_arm(lcpfwd *f, uint32_t n);
/* Newest last; returns how many were copied, seq > after only. */
int32_t lcpfwd_traces(lcpfwd *f, uint64_t after, struct lcpfwd_trace *out, uint32_t max);

/* sizeof of the structs above, in the order path, route, lookup_spec, lookup_result, neighbour, port,
 * event, trace, adjacency, info, mroute, punt, punt_count: the TypeScript binding checks them at load. */
uint32_t lcpfwd_sizeof(uint32_t i);

#pragma GCC visibility pop

#endif
