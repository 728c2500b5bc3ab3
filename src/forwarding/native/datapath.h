/* datapath.h - the packet logic of one worker: a function from a burst to what becomes of each packet.
 *
 * It does no I/O: phy_burst and host_burst set disposition, out_port and counter of every packet and
 * change its bytes in place; who called sends them. Packets that the data plane makes itself (ICMP
 * errors, fragments) lie in the arena and are handed to drain() when it is full; what is left after
 * the burst is the caller's to send. Each packet of a burst adds one to exactly one fate counter of
 * its in port. The worker must be QSBR-online around a burst and until its packets have been sent.
 */
#ifndef DATAPATH_H
#define DATAPATH_H

#include <string.h>

#include "frame.h"
#include "io.h"
#include "reader.h"

struct punt_program;

#define MADE_MAX 64u
#define ARENA_SIZE (256u * 1024u)
#define WANTED_SLOTS 256u

/* Which neighbours were asked for lately, by hash: a collision only delays a question by a second. */
struct wanted {
  uint64_t key, at_ns;
};

struct icmp_bucket {
  uint64_t generation; /* of the port: a new port starts with a full bucket */
  uint64_t at_ns;
  uint32_t tokens;
};

struct datapath {
  struct region *region;
  unsigned worker;
  uint64_t now_ns; /* CLOCK_MONOTONIC, set by the caller once per burst */
  const struct punt_program *punts; /* of this burst; NULL: there is none */
  /* The client of the record with these counters gets p when the burst is sent; 0: there is none. NULL: no socket. */
  int (*to_socket)(struct datapath *d, struct packet *p, uint32_t slot);
  int events;      /* set when an event was pushed; the caller wakes lcpd and clears it */
  struct packet made[MADE_MAX];
  unsigned n_made;
  uint32_t arena_used;
  void (*drain)(struct datapath *d); /* sends made[], then calls made_reset */
  uint8_t *arena;
  struct wanted wanted[WANTED_SLOTS];
  struct icmp_bucket bucket[LCPFWD_MAX_PORTS];
  uint16_t ident; /* of the next IPv4 packet of our own */
};

/* Attributes of the port a burst came in by, read once. */
struct ingress {
  const struct port_entry *port, *ip; /* ip: whose addresses, tables and host it has, itself or its lender */
  uint16_t id, ip_id;
  uint32_t flags;
  uint32_t mpls; /* table */
  uint8_t mac[6];
  struct lcpfwd_lookup_spec v4, v6;
};

/* The lender's layer 3, for a port that has no host (lender.h). */
void ingress_borrow(const struct datapath *d, struct ingress *in);

/* 0: there is no such port any more. */
HOT int ingress_load(struct datapath *d, struct ingress *in, unsigned id) {
  in->id = in->ip_id = (uint16_t)id;
  in->port = in->ip = port_get(d->region, id);
  in->flags = in->port ? port_flags(in->port) : 0;
  if (!in->port) return 0;
  port_mac(in->port, in->mac);
  port_lookup_spec(in->port, LCPFWD_AF_INET, &in->v4);
  port_lookup_spec(in->port, LCPFWD_AF_INET6, &in->v6);
  in->mpls = port_mpls(in->port);
  if (__builtin_expect(in->flags & LCPFWD_PORT_HOSTLESS, 0)) ingress_borrow(d, in);
  return 1;
}

/* Why a packet is given to the kernel that is not for it. */
enum exception { EXCEPTION_TTL, EXCEPTION_TOO_BIG, EXCEPTION_NO_ROUTE, EXCEPTION_UNREACHABLE, EXCEPTION_PROHIBIT };

/* Frames from the phy of port in. */
void phy_burst(struct datapath *d, unsigned in, struct packet *p, unsigned n);
/* Frames from the host side of port in. */
void host_burst(struct datapath *d, unsigned in, struct packet *p, unsigned n);

/* To the pair of the phy it came in by, exactly as received. */
static inline void punt(struct packet *p, enum counter why) {
  p->disposition = DISPOSE_HOST;
  p->out_port = p->device;
  p->counter = (uint16_t)why;
}

static inline void drop(struct packet *p, enum counter why) {
  p->disposition = DISPOSE_DROP;
  p->counter = (uint16_t)why;
}

static inline void count(struct datapath *d, unsigned port, enum counter c, uint64_t n) {
  count_add(d->region, d->worker, port, c, n);
}

/* Punt, and answer with ICMP where the kernel behind the pair will not. mtu: for EXCEPTION_TOO_BIG. */
void punt_exception(struct datapath *d, const struct ingress *in, struct packet *p, enum exception why, uint32_t mtu);
/* Punt, and ask lcpd to resolve af/addr on port. */
void punt_no_neighbour(struct datapath *d, struct packet *p, unsigned port, unsigned af, const uint8_t *addr);
void neighbour_want(struct datapath *d, unsigned port, unsigned af, const uint8_t *addr);
/* Counts and traces a finished burst. */
void burst_account(struct datapath *d, struct packet *p, unsigned n);

void icmp_error(struct datapath *d, const struct ingress *in, const struct packet *p, enum exception why, uint32_t mtu);
/* Router alert among the options, of an IPv6 packet in the hop-by-hop header that comes first. 1: there
 * is one, 0: not, -1: not well formed. */
int options4_alert(const uint8_t *ip, unsigned ihl);
int hop_by_hop_alert(const uint8_t *ip, uint32_t len);

/* Is p a whole IP packet to a group that may be forwarded at all: not link-local, not between neighbours? */
int multicast_routable(const struct packet *p);
/* Such a packet from the wire: replicated, punted or both. */
void multicast_forward(struct datapath *d, struct packet *p);
/* A frame that the kernel sends out of p->in_port: is it one that multicast_forward has sent there? */
int multicast_replicated(const struct datapath *d, const struct packet *p);

struct egress;
/* RFC 791 fragments of p, each at most mtu bytes without labels; p itself is used up. */
void fragment4(struct datapath *d, struct packet *p, const struct egress *e, uint32_t mtu);
/* Longest layer 3 packet that an IP packet at ip, room bytes, will be on the wire: a GSO frame is cut by the device. */
static inline uint32_t wire_length(const struct packet *p, const uint8_t *ip, uint32_t room, uint32_t head, uint32_t total) {
  if (!packet_is_gso(p)) return total;
  uint32_t l4 = (p->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_UDP_L4 ? 8u
                : room >= head + 13u ? (uint32_t)(ip[head + 12] >> 4) * 4u : 20u;
  return head + l4 + p->vnet.gso_size;
}

/* The port that an adjacency belongs to; NULL: the packet is dropped. */
static inline const struct port_entry *output_port(const struct datapath *d, struct packet *p, const struct adj *a) {
  const struct port_entry *port = port_get(d->region, a->port), *device = port;
  if (a->out != a->port) device = port_get(d->region, a->out);
  if (!port || !device) {
    drop(p, COUNTER_DROP_DEAD_ADJACENCY);
    return NULL;
  }
  if (!(port_flags(port) & port_flags(device) & LCPFWD_PORT_UP)) {
    drop(p, COUNTER_DROP_PORT_DOWN);
    return NULL;
  }
  return port;
}

/* What leaves by an adjacency; a sub-interface has no device that would count it. */
static inline void count_output(struct datapath *d, const struct adj *a, uint32_t bytes) {
  count_adjacency(d->region, d->worker, a->id, 1, bytes);
  if (a->out == a->port) return;
  count(d, a->port, COUNTER_TX_PACKETS, 1);
  count(d, a->port, COUNTER_TX_BYTES, bytes);
}

/* Write the adjacency's rewrite in front of the layer 3 header and aim the packet at its phy. */
static inline int packet_rewrite(struct packet *p, const struct adj *a) {
  if (!packet_set_l3(p, a->rewrite_len ? a->rewrite_len + 2u : 0)) return 0;
  if (a->rewrite_len) {
    memcpy(p->data, a->rewrite, a->rewrite_len);
    store_be16(p->data + a->rewrite_len, p->ethertype);
  }
  p->disposition = DISPOSE_PHY;
  p->out_port = a->out;
  p->adjacency = a->id;
  return 1;
}

/* The same with the leg's labels between, bottom: nothing labelled is below them. */
int mpls_push(struct packet *p, const struct egress *e, unsigned ttl, unsigned bottom);
/* A GSO frame leaves with labels, in pieces: its IP packet is at ip and total bytes long, what lies between
 * l3 and that goes along. 0: there was no room. Else p is used up. */
int segment(struct datapath *d, struct packet *p, const struct egress *e, uint32_t ip, uint32_t total, unsigned ttl, unsigned bottom);
/* An IP packet leaves with labels. */
int mpls_output(struct datapath *d, struct packet *p, const struct egress *e, unsigned ttl);

/* Labelled frames: is the label to be looked up? And then: what its route says. */
int mpls_classify(const struct ingress *in, struct packet *p);
void mpls_route(struct datapath *d, struct packet *p, const struct lcpfwd_lookup_result *found);
/* The IP packet at l3, of which the ethertype says the family: is it to be looked up? Else it has its fate. */
int ip_classify(struct packet *p);

static inline void made_reset(struct datapath *d) {
  d->n_made = 0;
  d->arena_used = 0;
}

/* A new packet of len bytes with room for any L2 header; NULL: longer than the arena. */
static inline struct packet *made_packet(struct datapath *d, uint32_t len) {
  uint32_t need = FRAME_ROOM + VNET_HEAD + len;
  need = (need + 15u) & ~15u;
  if (need > ARENA_SIZE) return NULL;
  if (d->n_made == MADE_MAX || d->arena_used + need > ARENA_SIZE) d->drain(d);
  struct packet *p = &d->made[d->n_made++];
  memset(p, 0, sizeof *p);
  p->data = d->arena + d->arena_used + FRAME_ROOM + VNET_HEAD;
  p->room = FRAME_ROOM;
  p->len = len;
  d->arena_used += need;
  return p;
}

#endif
