/* pieces.c - the pieces of a GSO frame (pieces.h).
 *
 * Reference: RFC 9293 (sequence numbers, FIN, PSH), RFC 3168 (CWR), RFC 768.
 */
#include "pieces.h"

#define MOST_PIECES 1024u /* of one frame: a GSO size of some bytes is no stream but an attack */
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

int pieces_layout(const struct packet *p, uint32_t ip, uint32_t total, struct pieces *l) {
  unsigned type = p->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN, v4 = p->data[ip] >> 4 == 4;
  uint32_t head = v4 ? (p->data[ip] & 15u) * 4u : 40u;
  if (type != (v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6) && type != VIRTIO_NET_HDR_GSO_UDP_L4) return 0;
  l->ip = ip;
  l->end = ip + total;
  l->tcp = type != VIRTIO_NET_HDR_GSO_UDP_L4;
  l->l4 = p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? p->vnet.csum_start : ip + head;
  if (l->l4 < ip + head || l->l4 + (l->tcp ? 20u : 8u) > l->end) return 0;
  l->payload = l->l4 + (l->tcp ? (p->data[l->l4 + 12] >> 4) * 4u : 8u);
  if (l->payload < l->l4 + (l->tcp ? 20u : 8u) || l->payload > l->end) return 0;
  return (l->end - l->payload) / p->vnet.gso_size < MOST_PIECES;
}

static void sum_ip4(uint8_t *ip) {
  store16(ip + 10, 0);
  store16(ip + 10, checksum(ip, (ip[0] & 15u) * 4u));
}

/* A TCP or UDP header is of an even length, so its sum and that of the payload may be taken one after the other. */
static void sum_l4(const uint8_t *ip, uint8_t *l4, uint32_t head, const uint8_t *payload, uint32_t n, unsigned tcp) {
  uint32_t len = head + n;
  uint8_t pseudo[4] = {0, (uint8_t)(tcp ? PROTO_TCP : PROTO_UDP), (uint8_t)(len >> 8), (uint8_t)len};
  uint8_t *field = l4 + (tcp ? 16 : 6);
  store16(field, 0);
  uint64_t sum = ip[0] >> 4 == 4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);
  sum = checksum_add(checksum_add(checksum_add(sum, pseudo, 4), l4, head), payload, n);
  uint16_t folded = (uint16_t)~checksum_fold(sum);
  store16(field, folded || tcp ? folded : 0xffff);
}

void pieces_head(uint8_t *ip, uint8_t *l4, const struct pieces *l, const uint8_t *payload, uint32_t at, uint32_t n, unsigned k) {
  uint32_t l4_len = l->payload - l->l4 + n, total = l->l4 - l->ip + l4_len;
  if (ip[0] >> 4 == 4) {
    store_be16(ip + 2, total);
    store_be16(ip + 4, (load_be16(ip + 4) + k) & 0xffff);
    sum_ip4(ip);
  } else {
    store_be16(ip + 4, total - 40);
  }
  if (l->tcp) {
    uint32_t sequence = load_be32(l4 + 4) + at;
    store_be16(l4 + 4, sequence >> 16);
    store_be16(l4 + 6, sequence & 0xffff);
    if (l->payload + at + n < l->end) l4[13] &= (uint8_t)~(TCP_FIN | TCP_PSH);
    if (k) l4[13] &= (uint8_t)~TCP_CWR;
  } else {
    store_be16(l4 + 4, l4_len);
  }
  sum_l4(ip, l4, l->payload - l->l4, payload, n, l->tcp);
}

int pieces_find(const struct packet *p, uint32_t ip, struct pieces *l) {
  if (p->len < ip + 40u || !vnet_ok(&p->vnet, p->len)) return 0;
  const uint8_t *h = p->data + ip;
  unsigned v4 = h[0] >> 4 == 4;
  uint32_t total = v4 ? load_be16(h + 2) : 40u + load_be16(h + 4);
  if ((!v4 && h[0] >> 4 != 6) || (v4 && (h[0] & 15u) < 5) || total > p->len - ip) return 0;
  return pieces_layout(p, ip, total, l);
}
