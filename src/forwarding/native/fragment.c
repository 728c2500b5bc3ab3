/* fragment.c - RFC 791 fragmentation, for the one case in which nobody else does it: an IPv4 packet
 * that may be cut, is too long for its way out, and has no forwarding kernel behind its pair.
 *
 * The pieces are made in the arena; the TTL has been counted down already. A partial checksum is
 * completed first, since it lies over the whole. Options without the copied bit become no-operations
 * in all pieces but the first, so every piece has the same header length.
 */
#include "egress.h"

#define MORE_FRAGMENTS 0x2000u

/* What NEEDS_CSUM leaves to the sender: the field holds the pseudo header's sum. */
static void checksum_complete(struct packet *p) {
  if (!(p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) return;
  uint16_t sum = checksum(p->data + p->vnet.csum_start, p->len - p->vnet.csum_start);
  store16(p->data + p->vnet.csum_start + p->vnet.csum_offset, sum ? sum : 0xffff);
  memset(&p->vnet, 0, sizeof p->vnet);
}

static void options_keep_copied(uint8_t *ip, unsigned ihl) {
  for (unsigned at = 20; at < ihl && ip[at] != 0;) {
    unsigned n = ip[at] == 1 ? 1 : ip[at + 1];
    if (!(ip[at] & 0x80)) memset(ip + at, 1, n);
    at += n;
  }
}

void fragment4(struct datapath *d, struct packet *p, const struct egress *e, uint32_t mtu) {
  const uint8_t *ip = p->data + p->l3;
  unsigned ihl = (ip[0] & 15u) * 4u;
  /* Padding is gone, so the sum and its field must still lie inside; and neither over the header. */
  if (!vnet_ok(&p->vnet, p->len)) return drop(p, COUNTER_DROP_OFFLOAD);
  if ((p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && p->vnet.csum_start < p->l3 + ihl) return drop(p, COUNTER_DROP_OFFLOAD);
  checksum_complete(p);
  unsigned total = load_be16(ip + 2), field = load_be16(ip + 6);
  if (mtu < ihl + 8) return drop(p, COUNTER_DROP_NO_ROOM);
  uint32_t piece = (mtu - ihl) & ~7u, payload = total - ihl;
  for (uint32_t at = 0; at < payload; at += piece) {
    uint32_t n = payload - at < piece ? payload - at : piece;
    int last = at + n == payload;
    struct packet *f = made_packet(d, ihl + n);
    if (!f) return drop(p, COUNTER_DROP_NO_ROOM);
    memcpy(f->data, ip, ihl);
    memcpy(f->data + ihl, ip + ihl + at, n);
    if (at) options_keep_copied(f->data, ihl);
    store_be16(f->data + 2, ihl + n);
    store_be16(f->data + 6, (((field & 0x1fff) + at / 8) & 0x1fff) | (field & 0x8000) |
                                (last ? field & MORE_FRAGMENTS : MORE_FRAGMENTS));
    store16(f->data + 10, 0);
    store16(f->data + 10, checksum(f->data, ihl));
    f->ethertype = TYPE_IP4;
    f->in_port = p->in_port;
    if (!packet_output(d, f, e, ip[8])) return drop(p, COUNTER_DROP_NO_ROOM);
    count(d, p->in_port, COUNTER_FRAGMENTS_SENT, 1);
  }
  p->disposition = DISPOSE_DROP; /* the whole does not leave, its pieces do; its counter stays forward-ip4 */
}
