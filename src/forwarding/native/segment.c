/* segment.c - GSO frames that leave with labels, cut here: hardly a device cuts a TCP stream behind a label
 * stack, and the kernel's own cutting does not know where the stack of a frame of ours ends.
 *
 * The pieces are made in the arena, with sums of their own; what lies above the IP header is in each.
 */
#include "egress.h"
#include "pieces.h"

int segment(struct datapath *d, struct packet *p, const struct egress *e, uint32_t ip, uint32_t total, unsigned ttl, unsigned bottom) {
  struct pieces l;
  if (!pieces_layout(p, ip, total, &l)) {
    drop(p, COUNTER_DROP_OFFLOAD);
    return 1;
  }
  uint32_t head = l.payload - p->l3, payload = l.end - l.payload, at = 0;
  unsigned k = 0;
  do {
    uint32_t n = payload - at < p->vnet.gso_size ? payload - at : p->vnet.gso_size;
    struct packet *m = made_packet(d, head + n);
    if (!m) return 0;
    memcpy(m->data, p->data + p->l3, head);
    memcpy(m->data + head, p->data + l.payload + at, n);
    pieces_finish(m->data + (l.ip - p->l3), m->data + (l.l4 - p->l3), &l, at, n, k++);
    m->ethertype = p->ethertype;
    m->in_port = p->in_port;
    if (!(e->labels ? mpls_push(m, e, ttl, bottom) : packet_rewrite(m, e->adj))) return 0;
    count_output(d, e->adj, m->len);
    at += n;
  } while (at < payload);
  p->disposition = DISPOSE_DROP; /* its pieces leave; its counter stays forward-* */
  return 1;
}
