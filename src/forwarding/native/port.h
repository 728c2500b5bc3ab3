/* port.h - entries of the port table, as lcpd writes them (struct port_entry in region.h).
 *
 * Attributes are words that change one at a time under the workers' eyes. An entry belongs to lcpd
 * while it is free or reserved; the forwarder alone makes it open, and free again.
 */
#ifndef LCPFWD_PORT_H
#define LCPFWD_PORT_H

#include "region.h"

struct writer;

/* -EINVAL: flags, MTU, a lookup spec whose tables are not there or of the other family. */
int port_check(const struct region *r, const struct lcpfwd_port *p);
/* Take a free id, fill the entry, make its adjacencies. It is PORT_RESERVED. Returns the id or -errno. */
int port_reserve(struct writer *w, const struct lcpfwd_port *p);
/* Undo port_reserve, or take what is left of a port that the forwarder has closed. */
void port_forget(struct writer *w, unsigned id);
/* Write the mutable attributes of an open port. */
int port_set(struct writer *w, unsigned id, const struct lcpfwd_port *p);
/* p: host, host_ifindex, netns; NULL: it has no host any more. */
void port_host(struct port_entry *e, const struct lcpfwd_port *p);
/* -ENOSPC: too long. */
int port_note_set(struct port_entry *e, const uint8_t *note, uint32_t len);
void port_read(const struct region *r, unsigned id, struct lcpfwd_port *out);

#endif
