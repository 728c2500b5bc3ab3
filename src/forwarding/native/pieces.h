/* pieces.h - a GSO frame cut into the packets that it stands for: where its headers are, and the headers of each.
 */
#ifndef PIECES_H
#define PIECES_H

#include "frame.h"

/* Where things are in the frame, from its data. */
struct pieces {
  uint32_t ip, l4, payload, end;
  unsigned tcp;
};

/* Of a GSO frame with its IP header at ip, total bytes long. 0: it cannot be cut. */
int pieces_layout(const struct packet *p, uint32_t ip, uint32_t total, struct pieces *l);
/* The same, of a header that nobody has looked at. */
int pieces_find(const struct packet *p, uint32_t ip, struct pieces *l);
/* Headers of the piece whose payload is n bytes from at on, the k-th; ip and l4 are its own, payload may be elsewhere. */
void pieces_head(uint8_t *ip, uint8_t *l4, const struct pieces *l, const uint8_t *payload, uint32_t at, uint32_t n, unsigned k);
/* The same of a piece that is in one place. */
static inline void pieces_finish(uint8_t *ip, uint8_t *l4, const struct pieces *l, uint32_t at, uint32_t n, unsigned k) {
  pieces_head(ip, l4, l, l4 + (l->payload - l->l4), at, n, k);
}

#endif
