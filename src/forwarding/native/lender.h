/* lender.h - whose layer 3 an interconnect has that borrows its addresses (it is unnumbered): its lender's.
 *
 * One word of the interconnect's entry names the lender by id and generation, so it ends with its lender by itself. It counts
 * only while the interconnect has no host; with one it is a pair, and has a layer 3 of its own. Who lends has a host.
 * Borrowed are the tables of both families, who answers exceptions, the source of ICMP errors, and the host. The MAC, the state,
 * labels, groups (those are routed by where they come in), and counters stay the interconnect's own. The lender's state
 * is not asked for: as in VPP, an interface that is down has its addresses and tables still.
 */
#ifndef LCPFWD_LENDER_H
#define LCPFWD_LENDER_H

#include "region.h"

struct datapath;
struct packet;

#define LENDER_WORD(generation, id) ((uint64_t)(generation) << 8 | (id))
#define LENDER_ABSENT LENDER_WORD(0, 1) /* no port has generation 0 */
_Static_assert(LCPFWD_MAX_PORTS <= 256, "a port id has 8 bits");

enum lending { LENDING_NONE, LENDING_ABSENT, LENDING };

/* Of a port without a host. id: the lender's. */
enum lending lender_of(const struct region *r, const struct port_entry *port, unsigned *id);
/* A packet that is to go to a host, from an interconnect that has none: was it looked up, or is for the router itself, so that it
 * is the lender's? What belongs to the link alone is not. */
int lender_wants(const struct packet *p);
/* Such a packet goes to the host of lender id, as if it had come in there: a copy, with the lender's MAC and tags. */
void lender_deliver(struct datapath *d, struct packet *p, unsigned id);

/* --- the writer ---------------------------------------------------------------------------------- */

/* lender: as lcpfwd_port_lender has it. -ENODEV: no such port; -EINVAL: itself. */
int lender_set(const struct region *r, struct port_entry *e, uint32_t lender);
/* The same, to be told. */
uint32_t lender_read(const struct region *r, const struct port_entry *e);

#endif
