/* punt_proxy.c - questions for addresses of others, answered with the interface's own MAC: ARP and ND.
 *
 * Not answered: who asks for its own address (gratuitous ARP) or without one (RFC 5227 probes, duplicate address
 * detection), since the answer would tell it that the address is taken.
 * Reference: RFC 826, RFC 1027, RFC 4861 7.2, RFC 4389.
 */
#include "punting.h"

#define ARP_SIZE 28u
#define NS_SIZE 24u
#define NA_SIZE 32u /* with the link-layer address */
enum { NS = 135, NA = 136, OPTION_TARGET_MAC = 2 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40 };

static const struct punt_proxy *proxy_find(const struct datapath *d, const struct punt_port *at, unsigned af, const uint8_t *addr) {
  const struct punt_proxy *x = program_proxies(d->punts) + at->proxy;
  unsigned bytes = af == LCPFWD_AF_INET ? 4 : 16;
  for (unsigned i = 0; i < at->n_proxies; i++, x++)
    if (x->af == af && memcmp(addr, x->low, bytes) >= 0 && memcmp(addr, x->high, bytes) <= 0) return x;
  return NULL;
}

/* A frame to who asked, with the tags of its question; l3 bytes behind them. NULL: no room. */
static struct packet *answer(struct datapath *d, const struct ingress *in, const struct packet *p, uint32_t size) {
  struct packet *f = made_packet(d, p->l3 + size);
  if (!f) return NULL;
  memset(f->data, 0, f->len);
  memcpy(f->data, p->data + 6, 6);
  memcpy(f->data + 6, in->mac, 6);
  memcpy(f->data + 12, p->data + 12, p->l3 - 12u);
  f->l3 = p->l3;
  f->ethertype = p->ethertype;
  f->tagged = p->tagged;
  f->in_port = p->in_port;
  f->device = p->device;
  f->disposition = DISPOSE_PHY;
  f->out_port = p->device;
  return f;
}

static int done(struct datapath *d, struct packet *p, const struct punt_proxy *x, const struct packet *f, enum counter why) {
  p->disposition = DISPOSE_DROP;
  p->counter = (uint16_t)(f ? why : COUNTER_DROP_NO_ROOM);
  if (f) slot_count(d, x->slot, p->len);
  else slot_drop(d, x->slot, p->len);
  return 1;
}

static int arp(struct datapath *d, const struct punt_port *at, const struct ingress *in, struct packet *p) {
  static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1};
  const uint8_t *q = p->data + p->l3;
  if (p->len < p->l3 + ARP_SIZE || memcmp(q, request, 8) || (q[8] & 1)) return 0;
  if (!load_be32(q + 14) || !memcmp(q + 14, q + 24, 4)) return 0;
  const struct punt_proxy *x = proxy_find(d, at, LCPFWD_AF_INET, q + 24);
  if (!x) return 0;
  struct packet *f = answer(d, in, p, ARP_SIZE);
  if (f) {
    uint8_t *a = f->data + f->l3;
    memcpy(a, request, 8);
    a[7] = 2;
    memcpy(a + 8, in->mac, 6);
    memcpy(a + 14, q + 24, 4);
    memcpy(a + 18, q + 8, 10);
  }
  return done(d, p, x, f, COUNTER_PUNT_PROXY_ARP);
}

static uint16_t sum_icmp6(const uint8_t *ip, uint32_t len) {
  uint8_t pseudo[8] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len, 0, 0, 0, PROTO_ICMP6};
  uint64_t sum = checksum_add(0, ip + 8, 32);
  return checksum_fold(checksum_add(checksum_add(sum, pseudo, 8), ip + 40, len));
}

static int nd(struct datapath *d, const struct punt_port *at, const struct ingress *in, struct packet *p) {
  static const uint8_t none[16];
  const uint8_t *ip = p->data + p->l3, *q = ip + 40;
  uint32_t room = p->len - p->l3, len;
  if (room < 40 + NS_SIZE || ip[0] >> 4 != 6 || ip[6] != PROTO_ICMP6 || ip[7] != 255 || q[0] != NS || q[1]) return 0;
  len = load_be16(ip + 4);
  if (len < NS_SIZE || len > room - 40 || !memcmp(ip + 8, none, 16) || ip[8] == 0xff || q[8] == 0xff || (p->data[6] & 1)) return 0;
  const struct punt_proxy *x = proxy_find(d, at, LCPFWD_AF_INET6, q + 8);
  if (!x) return 0;
  /* A partial checksum has not been filled in by its sender: then it never left the machine. */
  if (!(p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && sum_icmp6(ip, len) != 0xffff) return 0;
  struct packet *f = answer(d, in, p, 40 + NA_SIZE);
  if (f) {
    uint8_t *o = f->data + f->l3, *a = o + 40;
    o[0] = 0x60;
    store_be16(o + 4, NA_SIZE);
    o[6] = PROTO_ICMP6;
    o[7] = 255;
    memcpy(o + 8, q + 8, 16);
    memcpy(o + 24, ip + 8, 16);
    a[0] = NA;
    a[4] = NA_ROUTER | NA_SOLICITED; /* no override: who has the address itself may say better */
    memcpy(a + 8, q + 8, 16);
    a[24] = OPTION_TARGET_MAC;
    a[25] = 1;
    memcpy(a + 26, in->mac, 6);
    store16(a + 2, (uint16_t)~sum_icmp6(o, NA_SIZE));
  }
  return done(d, p, x, f, COUNTER_PUNT_PROXY_ND);
}

int proxy_answer(struct datapath *d, const struct punt_port *at, const struct ingress *in, struct packet *p) {
  if (!at->n_proxies) return 0;
  if (p->ethertype == TYPE_ARP) return arp(d, at, in, p);
  return p->ethertype == TYPE_IP6 && nd(d, at, in, p);
}
