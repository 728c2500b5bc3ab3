/* frame.h - one packet on its way through the data plane, and how its headers are found.
 *
 * A packet is a view of memory that somebody else owns (ring slot, TAP read buffer, arena) until the
 * burst it came in has been sent. Its offload state is the kernel's own: a virtio_net_hdr, as
 * AF_PACKET (PACKET_VNET_HDR) and TAP (IFF_VNET_HDR) both speak it; csum_start counts from data, so
 * it moves whenever the length before the layer 3 header does (packet_set_l3).
 * Reference: linux/virtio_net.h, IEEE 802.1Q, RFC 894.
 */
#ifndef FRAME_H
#define FRAME_H

#include <linux/virtio_net.h>

#include "checksum.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* linux 6.2; UDP segmentation, one header per gso_size bytes */
#endif

/* On the way of every packet, though called from a rarer place as well: a copy for each. */
#define HOT static inline __attribute__((always_inline))

#define ETH_HEAD 14u
#define VLAN_TAG 4u
#define FRAME_MAX 65600u /* longest frame read from a descriptor: 64 KiB of GSO, L2 header, tags */
#define FRAME_ROOM 96u   /* writable bytes kept before data: an L2 header with tags, eight labels */

enum { TYPE_IP4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IP6 = 0x86dd, TYPE_QINQ = 0x88a8, TYPE_QINQ_OLD = 0x9100,
       TYPE_MPLS = 0x8847 };
enum { PROTO_HOPOPT = 0, PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ROUTING = 43, PROTO_FRAGMENT = 44,
       PROTO_ICMP6 = 58, PROTO_DSTOPTS = 60, PROTO_SCTP = 132, PROTO_UDPLITE = 136 };

enum disposition {
  DISPOSE_DROP, /* nothing leaves; counter says why */
  DISPOSE_PHY,  /* out of out_port's phy */
  DISPOSE_HOST, /* to out_port's TAP/TUN */
};

struct packet {
  uint8_t *data; /* L2 header; L3 header on a TUN port */
  uint32_t len;
  uint32_t room;              /* writable bytes before data */
  struct virtio_net_hdr vnet; /* 10 bytes */
  uint16_t ethertype;         /* host order, innermost; 0: IEEE 802.3 length field */
  uint16_t in_port; /* whose packet it is: a sub-interface where it has one */
  uint16_t device;  /* port whose phy or TAP it came by: the parent of a sub-interface */
  uint16_t out_port; /* whose phy or TAP it leaves by: never a sub-interface */
  uint16_t counter; /* names its fate */
  uint8_t from_host;
  uint8_t disposition;
  uint8_t l3;     /* offset of what follows the ethertype, tags included */
  uint8_t tagged; /* number of VLAN tags */
  uint8_t clone;  /* a mirrored copy: it is not mirrored again */
  uint32_t table, pathlist, adjacency; /* what was found, for the trace */
};

/* The kernel vouches for the header only as far as the program behind it does: a TAP or a veth may be
 * fed by anybody. Offsets that point out of the frame would be refused on send, and never counted. */
static inline int vnet_ok(const struct virtio_net_hdr *v, uint32_t len) {
  if ((v->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && (uint32_t)v->csum_start + v->csum_offset + 2u > len)
    return 0;
  return (v->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_NONE || v->gso_size != 0;
}

static inline int packet_is_gso(const struct packet *p) {
  return (p->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_NONE;
}

#define LABEL 4u /* bytes of a label stack entry: label 20, TC 3, bottom of stack 1, TTL 8 bits (RFC 3032) */

/* Find ethertype and l3. 0: the frame is shorter than its L2 header says. */
static inline int frame_parse_l2(struct packet *p) {
  unsigned at = 12, type;
  p->tagged = 0;
  if (p->len < ETH_HEAD) return 0;
  type = load_be16(p->data + at);
  while (type == TYPE_VLAN || type == TYPE_QINQ || type == TYPE_QINQ_OLD) {
    if (p->len < at + VLAN_TAG + 2 || p->tagged == 4) return 0;
    at += VLAN_TAG;
    p->tagged++;
    type = load_be16(p->data + at);
  }
  p->ethertype = (uint16_t)(type >= 0x600 ? type : 0);
  p->l3 = (uint8_t)(at + 2);
  return 1;
}

/* A TUN packet has no L2: its family is its version. */
static inline int frame_parse_l3(struct packet *p) {
  p->tagged = 0;
  p->l3 = 0;
  if (p->len < 1) return 0;
  p->ethertype = p->data[0] >> 4 == 4 ? TYPE_IP4 : p->data[0] >> 4 == 6 ? TYPE_IP6 : 0;
  return 1;
}

/* Give the packet an L2 part of n bytes in front of its layer 3 header (contents not yet written). */
static inline int packet_set_l3(struct packet *p, unsigned n) {
  int grow = (int)n - (int)p->l3;
  if (grow > 0 && p->room < (uint32_t)grow) return 0;
  p->data -= grow;
  p->room = (uint32_t)((int)p->room - grow);
  p->len = (uint32_t)((int)p->len + grow);
  p->l3 = (uint8_t)n;
  if (p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) p->vnet.csum_start = (uint16_t)(p->vnet.csum_start + grow);
  if (p->vnet.hdr_len) p->vnet.hdr_len = (uint16_t)(p->vnet.hdr_len + grow);
  return 1;
}

/* fe80::/10 */
static inline int link_local6(const uint8_t *a) { return a[0] == 0xfe && (a[1] & 0xc0) == 0x80; }

static inline uint64_t mix64(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  return x ^ x >> 32;
}

/* Flow hash: addresses, and ports where every packet of the flow carries them. Fragments have none
 * but the first, so all of them go by their addresses and stay together. */
static inline uint32_t flow_hash4(const uint8_t *ip, uint32_t len) {
  uint64_t addrs, ports = 0;
  unsigned ihl = (ip[0] & 15u) * 4u, proto = ip[9];
  memcpy(&addrs, ip + 12, 8);
  if (!(load_be16(ip + 6) & 0x3fff) && len >= ihl + 4 &&
      (proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP || proto == PROTO_UDPLITE)) {
    uint32_t both;
    memcpy(&both, ip + ihl, 4);
    ports = (uint64_t)both << 8 | proto;
  }
  return (uint32_t)mix64(mix64(addrs) + ports);
}

static inline uint32_t flow_hash6(const uint8_t *ip, uint32_t len) {
  uint64_t a[4], ports = 0;
  unsigned proto = ip[6];
  memcpy(a, ip + 8, 32);
  if (len >= 44 && (proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP || proto == PROTO_UDPLITE)) {
    uint32_t both;
    memcpy(&both, ip + 40, 4);
    ports = (uint64_t)both << 8 | proto;
  }
  return (uint32_t)mix64(mix64(mix64(mix64(mix64(a[0]) + a[1]) + a[2]) + a[3]) + ports);
}

#endif
