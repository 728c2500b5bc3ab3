/* portio.h - the descriptors of a port, for the control thread: made before workers know of it, ended when none does. */
#ifndef PORTIO_H
#define PORTIO_H

#include "worker.h"

/* With its wire and its host. */
void io_free(struct port_io *io);
/* A copy of fd that does not wait. -errno: there is none. */
int tap_take(int fd);
/* The wire that an entry's flags ask for, of tap a copy where it is a TAP. text, CONTROL_TEXT bytes: of a memif its path
 * and, behind the end of that, its secret; then what has failed. 0 or -errno. */
int wire_open(struct wire *wire, const struct port_entry *entry, int tap, char *text);

#endif
