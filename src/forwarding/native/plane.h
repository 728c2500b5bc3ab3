/* plane.h - counters of the data plane as a whole: the fates of the punt socket's datagrams and of the DHCP relay's
 * packets, each as its module numbers them. A worker adds to its own.
 */
#ifndef PLANE_H
#define PLANE_H

#include "puntsock.h"
#include "reader.h"
#include "relay.h"

enum {
  PLANE_SOCKET = 0,                             /* + enum punt_fate */
  PLANE_RELAY = PLANE_SOCKET + PUNT_FATE_COUNT, /* + enum relay_fate */
  PLANE_RELAY_CHECKSUM = PLANE_RELAY + RELAY_FATES,
  PLANE_RELAY_UNSENT, /* made, but there is no way to the server or the client */
  PLANE_RELAY_NOTE_82,
  PLANE_RELAY_NOTE_VSS,
  PLANE_COUNTERS
};
_Static_assert(PLANE_COUNTERS <= PLANE_SLOTS, "more counters than slots");

static inline void plane_count(struct region *r, unsigned worker, unsigned which, uint64_t n) {
  uint64_t *p = &r->head->plane[worker][which];
  STORE(p, *p + n);
}

#endif
