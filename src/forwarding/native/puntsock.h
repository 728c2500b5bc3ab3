/* puntsock.h - the punt socket: packets to and from programs beside the router, in the format of VPP's.
 *
 * One AF_UNIX datagram socket at a path; a client is another one at a path of its own. A datagram is a descriptor of
 * 8 bytes in host order and a packet. To clients: the number of the interface it came in by, and the frame as it was
 * received, tags included. From clients: see enum punt_action. Clients know no offloads: sums are completed and GSO
 * frames cut on the way, in copies. A packet that is sent is never changed.
 * Clients are slots. The control thread opens and closes them; a slot is closed when no worker uses it any more.
 * Each has a sending socket of its own, because the kernel charges what a client has not yet read to the sender: with
 * one for all, a client that does not read takes the room of the others. A client that has connect()ed to the path can
 * be sent to by that socket only; such clients share its room. What the kernel queues for a client that has not is
 * net.unix.max_dgram_qlen datagrams at most, as set when the client made its socket; the same holds for us.
 * Reference: VPP 26.06, vnet/ip/punt.h, version 1 of the descriptor.
 */
#ifndef PUNTSOCK_H
#define PUNTSOCK_H

#include <sys/stat.h>
#include <sys/un.h>

#include "backlog.h"
#include "io.h"
#include "lcpfwd.h"

#define PUNTSOCK_CLIENTS 64u
#define PUNTSOCK_MUTE_NS 10000000ull /* how long nothing is sent to a client that is not there */
/* From one try to the next while a client's queue is full: since it last took something, and at most. */
#define PUNTSOCK_PAUSE_NS 20000u
#define PUNTSOCK_PAUSE_MAX_NS 8000000u

enum punt_action {
  PUNT_L2,         /* from a client: a whole frame, to leave by interface number as it is */
  PUNT_IP4_ROUTED, /* an IP packet, without link layer, to be looked up as if it had come in by number; TTL stays */
  PUNT_IP6_ROUTED,
};

struct punt_descriptor {
  uint32_t number; /* of an interface, as the control plane counts them; not checked here */
  uint32_t action; /* enum punt_action; 0 to clients */
};

/* What became of datagrams. VPP's names where it has one: "Socket TX error" there is all three of ours. */
#define PUNT_FATES(X)                                                                                             \
  X(PUNT_TX, "Socket TX")                                                                                         \
  X(PUNT_TX_FULL, "Socket TX queue full")       /* the client does not read as fast: its backlog is full too */   \
  X(PUNT_TX_NO_CLIENT, "Socket TX no client")   /* nobody there, or not one that takes datagrams of ours */       \
  X(PUNT_TX_ERROR, "Socket TX error")           /* any other refusal */                                           \
  X(PUNT_TX_OFFLOAD, "Socket TX offload error") /* offload state that contradicts the frame; not sent */          \
  X(PUNT_RX, "Socket RX")                                                                                         \
  X(PUNT_RX_ERROR, "Socket RX error")           /* an IP packet that is not well formed */                        \
  X(PUNT_RX_LONG, "Socket RX too long")         /* more than FRAME_MAX bytes; VPP cuts at its buffer, silently */ \
  X(PUNT_RX_SHORT, "socket read failure")       /* at most 28 bytes in all, or the socket failed */               \
  X(PUNT_RX_ACTION, "invalid packet descriptor")                                                                  \
  X(PUNT_RX_INTERFACE, "Socket RX no interface") /* counted by who sends it on: its number is of none */          \
  X(PUNT_RX_DOWN, "Socket RX interface down")

#define PUNT_FATE_ID(id, name) id,
enum punt_fate { PUNT_FATES(PUNT_FATE_ID) PUNT_FATE_COUNT };
#undef PUNT_FATE_ID

struct punt_counts {
  uint64_t n[PUNT_FATE_COUNT];
};

struct puntsock_client {
  struct sockaddr_un to;
  unsigned uses; /* 0: free */
  /* Of any worker, relaxed: a lost update costs a system call. */
  uint64_t dead_at_ns; /* when it was found not to be there; 0: not */
  uint8_t connected;   /* to our path: only the bound socket reaches it */
};

/* What one worker has for clients that cannot take it yet, and what became of the rest. Zeroed, but for the memory. */
struct punt_outbox {
  struct backlog backlog[PUNTSOCK_CLIENTS];
  uint64_t waiting;                  /* bit of each that has records */
  unsigned turn;                     /* whose it is to be tried first, counted on */
  struct lcpfwd_punt_count *records; /* of the worker, by number: whose losses are counted */
  struct punt_counts counts;         /* the worker's to read and reset */
};
#define PUNT_OUTBOX_MEMORY ((size_t)PUNTSOCK_CLIENTS * BACKLOG_SIZE)

struct puntsock {
  int fd; /* bound at path; -1: closed */
  int sender[PUNTSOCK_CLIENTS]; /* by slot; they have path as their name too, but nobody can reach them */
  struct sockaddr_un at;
  dev_t device; /* of the socket's file, */
  ino_t inode;  /* which is removed only while it is this one */
  struct puntsock_client client[PUNTSOCK_CLIENTS];
};

/* Binds at path (absolute, at most 107 bytes), mode 0660. A socket that nobody is bound to is taken away first, anything
 * else is left: -EADDRINUSE, -EEXIST. 0 or -errno; text says which step failed. The umask is changed meanwhile. */
int puntsock_open(struct puntsock *s, const char *path, char *text, size_t size);
/* Removes the file. s: opened, or as a failed puntsock_open left it. */
void puntsock_close(struct puntsock *s);

/* The slot of the client at path, or -errno: -EINVAL (not absolute), -ENAMETOOLONG, -EADDRINUSE (our own path), -ENOSPC.
 * The client need not be there yet. The same path is the same slot, to be closed as often as it was opened. */
int puntsock_client_open(struct puntsock *s, const char *path);
void puntsock_client_close(struct puntsock *s, unsigned slot);

/* memory: PUNT_OUTBOX_MEMORY bytes, of which only what is used is touched. */
void puntsock_outbox(struct punt_outbox *o, uint8_t *memory, struct lcpfwd_punt_count *records);
/* One datagram for each packet, or for each piece of a GSO frame, of which p[i] came in by number[i] and is lost by record[i].
 * Never waits: what the client cannot take now is kept for it, and lost when too much is. p->l3 and p->ethertype must
 * be set for GSO frames. now_ns: CLOCK_MONOTONIC, not 0. Called by any number of workers at once, each with its outbox.
 * s: NULL where it has been closed a moment ago. */
void puntsock_send(struct puntsock *s, struct punt_outbox *o, unsigned slot, const uint32_t *number, const uint32_t *record,
                   struct packet *const *p, unsigned n, uint64_t now_ns);
/* Sends what was kept, as far as it is time to and clients take it, of two bursts at most; how many datagrams were taken. */
unsigned puntsock_retry(struct puntsock *s, struct punt_outbox *o, uint64_t now_ns);
/* Clients without a bit in stay are about to be closed: what was kept for them is lost. */
void puntsock_forget(struct punt_outbox *o, uint64_t stay);
/* When it is time again; UINT64_MAX: nothing is kept. */
uint64_t puntsock_retry_ns(const struct punt_outbox *o);

/* At most max packets of clients, from what one recvmmsg gives; 0 may mean that all of it was refused. They lie in large
 * until that is reused. d[i] says what p[i] is for; its action is valid. ethertype, l3 and tagged are set: l3 is 0 in a
 * packet to be looked up, whose version, lengths and IPv4 header checksum are right, and what follows it is cut off.
 * One thread at a time. */
unsigned puntsock_receive(struct puntsock *s, struct punt_descriptor *d, struct packet *p, unsigned max, struct large_pool *large,
                          struct punt_counts *counts);

/* Its name, for the operator. */
const char *punt_fate_name(enum punt_fate fate);

#endif
