/* memif_link.h - a connected slave: its memory, its rings, and the memif that they belong to.
 *
 * What the slave writes is read once, by an atomic load, into memory of ours, and checked there; cursors of ours are
 * never read back from a ring. Region bounds are those of the mapping. A slave may still shrink a file under us (huge pages
 * cannot be sealed against that, and VPP's buffers are such): memif_region.c turns the SIGBUS into zeros and the end of the link.
 * A link's pointers are constant from its publication on. Its rings' cursors belong to the receiving worker (rx), or are under the
 * ring's lock (tx).
 */
#ifndef MEMIF_LINK_H
#define MEMIF_LINK_H

#include <pthread.h>

#include "memif.h"
#include "memif_proto.h"

#define MEMIF_REGIONS 16u /* of one slave; VPP has one for its rings and one for each pool of buffers */
#define MEMIF_RINGS 8u    /* each way */
#define MEMIF_SMALL 2048u /* longest frame that takes no large buffer */
/* Distance of small buffers, an odd number of lines (see LARGE_STRIDE), and where the frame begins: layer 3 at 16 bytes. */
#define MEMIF_STRIDE 2240u
#define MEMIF_AT (FRAME_ROOM + VNET_HEAD + 8u)
#define MEMIF_PENDING 4u  /* connections that are not yet connected */

_Static_assert(MEMIF_AT + MEMIF_SMALL <= MEMIF_STRIDE && (MEMIF_AT + ETH_HEAD) % 16 == 0, "small buffers");

/* Why a link can be used no more. */
enum memif_broken {
  MEMIF_WHOLE,
  MEMIF_HEAD_JUMPED, /* further than the ring is long */
  MEMIF_BAD_BUFFER,  /* an empty buffer outside of the regions, or of no length */
  MEMIF_SHRUNK,      /* memory of a region is gone */
};

struct memif_region {
  uint8_t *base;
  uint64_t size;  /* what may be used */
  size_t mapped;
};

struct memif_rx {
  struct memif_ring *ring;
  uint16_t mask;
  uint16_t tail;     /* next slot to read */
  uint16_t examined; /* head up to which there is nothing more to be had */
};

struct memif_tx {
  struct memif_ring *ring;
  uint16_t mask;
  uint16_t tail; /* next slot to fill */
  int interrupt; /* the slave's eventfd */
  int rung;      /* the bell thread is to write to it */
  pthread_mutex_t lock;
  uint8_t *scratch; /* FRAME_MAX: a frame that is changed before it leaves */
};

struct memif_place {
  uint16_t region;
  uint32_t offset;
};

struct memif_link {
  unsigned regions, n_rx, n_tx;
  struct memif_region region[MEMIF_REGIONS];
  struct memif_rx rx[MEMIF_RINGS];
  struct memif_tx tx[MEMIF_RINGS];
  struct memif_place rx_at[MEMIF_RINGS], tx_at[MEMIF_RINGS]; /* where the slave said they are */
  int interrupt[MEMIF_RINGS]; /* of rx */
  unsigned first_rx;          /* the receiving worker's: ring to begin with */
  int alarm;                  /* the memif's */
  uint32_t broken;            /* enum memif_broken */
  struct memif_link *next;    /* retired before it */
};

/* A connection to the control socket. fd -1: free. */
struct memif_peer {
  int fd;
  int known;     /* INIT was good */
  uint64_t age;  /* order of arrival */
  struct memif_link *link; /* being put together; NULL once it is published */
  int region_fd[MEMIF_REGIONS];
  char name[MEMIF_NAME + 1], interface[MEMIF_NAME + 1];
};

struct memif {
  struct memif_link *link; /* what workers use, NULL: not connected */
  /* The control thread's: */
  uint32_t id;
  uint8_t secret[MEMIF_SECRET];
  int has_secret;
  int listener, control; /* descriptors; control is an epoll */
  int alarm;             /* eventfd: a link has broken */
  uint64_t arrivals;
  struct memif_peer peer[MEMIF_PENDING + 1];
  struct memif_peer *connected;
  struct memif_link *retired;
  char last[MEMIF_TEXT]; /* why nobody is connected */
  char path[108];
  uint64_t device, inode; /* of the socket */
  /* The receiving worker's: */
  int interrupts; /* epoll of the rx rings' eventfds, and poke */
  int poke;       /* eventfd: a link is new */
  uint8_t *small; /* BURST * MEMIF_STRIDE */
  /* The bell thread, memif_bell.c: */
  pthread_t thread;
  int bell; /* eventfd */
  int stop;
  struct memif_link *ringing; /* link whose interrupts it is writing to */
};

/* --- memif_region.c ------------------------------------------------------------------------------ */

/* Is fd memory of at least size bytes? NULL or the reason why not. */
const char *memif_region_check(int fd, uint64_t size);
/* Maps regions[i] from fd. NULL or the reason. */
const char *memif_region_map(struct memif_link *l, unsigned i, int fd);
void memif_regions_unmap(struct memif_link *l);
/* Handlers of SIGBUS and SIGURG: once for the process. 0 or -errno. */
int memif_signals(void);

/* --- memif_link.c -------------------------------------------------------------------------------- */

/* alarm: an eventfd that is written to when the link has broken. NULL: no memory. */
struct memif_link *memif_link_new(int alarm);
void memif_link_free(struct memif_link *l);
/* Each NULL, or the reason to disconnect. fd becomes the link's if it is NULL. */
const char *memif_link_region(struct memif_link *l, struct memif_peer *p, const struct memif_add_region *a, int fd);
const char *memif_link_ring(struct memif_link *l, const struct memif_add_ring *a, int fd);
const char *memif_link_map(struct memif_link *l, struct memif_peer *p);
/* For workers to use, from now on; 0 or -errno. */
int memif_link_publish(struct memif *m, struct memif_link *l);
/* For no worker to begin to use. */
void memif_link_retire(struct memif *m);
/* The first reason counts. Safe in the handler of a signal. */
void memif_link_break(struct memif_link *l, enum memif_broken why);

/* --- memif_bell.c -------------------------------------------------------------------------------- */

int memif_bell_start(struct memif *m);
void memif_bell_stop(struct memif *m);
/* Returns when the bell thread has let go of l, which is not published any more. */
void memif_bell_leave(struct memif *m, const struct memif_link *l);

#endif
