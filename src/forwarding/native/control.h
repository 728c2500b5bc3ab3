/* control.h - the messages between lcpd and the forwarder, on a unix SEQPACKET socket.
 *
 * One fixed-size request, one fixed-size answer, in order; HELLO first. The answer to HELLO brings the
 * region's memfd and the event descriptor (SCM_RIGHTS), PORT_ADD takes the TAP's that its entry's flags ask for,
 * HOST_SET that of an interconnect's new host or none. Everything about a
 * port but its descriptor is in its entry of the region. One connection is the writer; a second one
 * is answered -EBUSY. Either side that sees anything else closes the connection.
 */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdint.h>

#include "lcpfwd.h"

#define CONTROL_MAGIC 0x6c637066u
#define CONTROL_TEXT 160u
#define CONTROL_FDS 2u     /* most descriptors of one message */
#define CONTROL_WAIT_MS 2000 /* longest that lcpd waits for an answer */

enum control_type { CONTROL_HELLO = 1, CONTROL_PORT_ADD = 2, /* text: of a memif its path, end, secret */
                    CONTROL_PORT_DEL = 3, CONTROL_SHUTDOWN = 4,
                    CONTROL_HOST_SET = 5,
                    CONTROL_PUNT_SOCKET = 6,  /* text: its path, "": none */
                    CONTROL_PUNT_CLIENTS = 7 /* there is a new punt program */ };

struct control_message { /* 184 bytes, both ways */
  uint32_t magic;
  uint32_t abi;
  uint32_t type; /* an answer repeats it */
  uint32_t port;
  int32_t error; /* answer: 0 or -errno */
  uint32_t workers; /* answer to HELLO */
  char text[CONTROL_TEXT]; /* request: what its type says; answer: what failed */
};

/* 0 or -errno. fds are borrowed. */
int control_send(int s, const struct control_message *m, const int *fds, unsigned n);
/* Descriptors received are the caller's, *n of them; surplus ones are closed. 0; -ECONNRESET: the other
 * side closed; -EPROTO: not a message of ours; -EAGAIN: nothing there. */
int control_receive(int s, struct control_message *m, int *fds, unsigned *n);

/* The forwarder's side: serves until SIGTERM or SHUTDOWN. Returns the exit status. */
int control_serve(const char *path, uint64_t memory, unsigned workers);

#endif
