/* upper.c - finding the header above IP (upper.h). */
#include "upper.h"

enum { PROTO_AH = 51 };
#define IP4_MIN 20u
#define IP6_HEAD 40u

/* Steps over extension headers. 0: the chain leaves the packet. */
static int extensions(const struct packet *p, struct upper *u) {
  for (unsigned depth = 0; depth < UPPER_DEPTH; depth++) {
    uint32_t n;
    if (u->protocol != PROTO_HOPOPT && u->protocol != PROTO_ROUTING && u->protocol != PROTO_DSTOPTS &&
        u->protocol != PROTO_FRAGMENT && u->protocol != PROTO_AH)
      return 1;
    if (u->at + 8 > u->end)
      return 0;
    const uint8_t *h = p->data + u->at;
    if (u->protocol == PROTO_FRAGMENT) {
      n = 8;
      u->later |= (load_be16(h + 2) & 0xfff8) != 0;
      u->fragment |= (load_be16(h + 2) & 0xfff9) != 0; /* RFC 6946: one that is all of it is none */
    } else {
      n = u->protocol == PROTO_AH ? 4u * h[1] + 8u : 8u * h[1] + 8u;
    }
    u->protocol = h[0];
    if (u->at + n > u->end)
      return 0;
    u->at += n;
    if (u->later)
      return 1;
  }
  return 1;
}

static int find4(const struct packet *p, struct upper *u) {
  const uint8_t *ip = p->data + p->l3;
  uint32_t room = p->len - p->l3;
  if (room < IP4_MIN || ip[0] >> 4 != 4)
    return 0;
  unsigned ihl = (ip[0] & 15u) * 4u, total = load_be16(ip + 2);
  if (ihl < IP4_MIN || total < ihl || total > room)
    return 0;
  u->protocol = ip[9];
  u->later = (load_be16(ip + 6) & 0x1fff) != 0;
  u->fragment = (load_be16(ip + 6) & 0x3fff) != 0;
  u->at = p->l3 + ihl;
  u->end = p->l3 + total;
  return 1;
}

static int find6(const struct packet *p, struct upper *u) {
  const uint8_t *ip = p->data + p->l3;
  uint32_t room = p->len - p->l3;
  if (room < IP6_HEAD || ip[0] >> 4 != 6)
    return 0;
  uint32_t payload = load_be16(ip + 4);
  /* A payload length of 0 before a hop-by-hop header is a jumbogram (RFC 2675): it ends with its frame. */
  uint32_t total = payload || ip[6] != PROTO_HOPOPT ? IP6_HEAD + payload : room;
  if (total > room)
    return 0;
  u->protocol = ip[6];
  u->at = p->l3 + IP6_HEAD;
  u->end = p->l3 + total;
  return extensions(p, u);
}

int upper_find(const struct packet *p, struct upper *u) {
  memset(u, 0, sizeof *u);
  if (p->ethertype == TYPE_IP4 ? !find4(p, u) : p->ethertype != TYPE_IP6 || !find6(p, u))
    return 0;
  const uint8_t *h = p->data + u->at;
  uint32_t room = u->end - u->at;
  if (u->later)
    return 1;
  if (u->protocol == PROTO_ICMP || u->protocol == PROTO_ICMP6) {
    if (room < 2)
      return 1;
    u->source = h[0];
    u->destination = h[1];
  } else {
    if (room < 4 || (u->protocol == PROTO_TCP && room < 14))
      return 1;
    u->source = load_be16(h);
    u->destination = load_be16(h + 2);
    if (u->protocol == PROTO_TCP)
      u->tcp_flags = h[13];
  }
  u->have = 1;
  return 1;
}
