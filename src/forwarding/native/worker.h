/* worker.h - the workers and the ports they serve.
 *
 * The control thread owns every port_io and publishes immutable port_sets; a worker reads the set anew
 * at the top of each loop, where it holds nothing of the old one, and acknowledges it. Descriptors are
 * closed only after all workers have acknowledged a set without them. The port of a set belongs to one
 * worker for receiving; any worker may send out of it.
 */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>

#include "datapath.h"
#include "puntsock.h"
#include "wire.h"

struct port_io {
  uint16_t id;
  uint16_t worker; /* who receives */
  int host;        /* TAP/TUN, owned; -1: it has none */
  struct wire *wire; /* owned */
  /* The receiving worker's: */
  int failed; /* -errno; nothing is received any more */
  int told;   /* PORT_ERROR has been raised */
};

struct port_set {
  struct port_io *io[LCPFWD_MAX_PORTS];
  uint16_t mine[LCPFWD_MAX_WORKERS][LCPFWD_MAX_PORTS];
  unsigned n_mine[LCPFWD_MAX_WORKERS];
  struct puntsock *punt;                 /* NULL: there is none */
  uint8_t client[LCPFWD_MAX_PUNT_SLOTS]; /* of the record with these counters, + 1; 0: none */
};

/* Packets of a burst for one client of the punt socket. */
struct socket_queue {
  unsigned n;
  struct packet *p[BURST];
  uint32_t number[BURST], slot[BURST];
};

struct send_queue {
  unsigned n;
  struct packet *p[BURST];
};

struct worker {
  struct datapath path; /* first: drain() finds its worker by it */
  unsigned index;
  pthread_t thread;
  int wake;       /* eventfd: a new set, or stop */
  int host_epoll; /* the TAPs, those of wires too */
  int all_epoll;  /* phys, wake, and host_epoll */
  int event_fd;   /* not owned: lcpd waits on it */
  int stop;
  const struct port_set *set;  /* published by the control thread */
  const struct port_set *seen; /* acknowledged by the worker */
  uint64_t tick_ns;
  struct large_pool large;
  struct packet burst[BURST];
  struct send_queue queue[2][LCPFWD_MAX_PORTS]; /* 0: phy, 1: host */
  uint16_t used[2 * LCPFWD_MAX_PORTS];          /* queues with packets: port << 1 | side */
  unsigned n_used;
  struct socket_queue client[PUNTSOCK_CLIENTS];
  uint8_t client_used[PUNTSOCK_CLIENTS];
  unsigned n_clients; /* of them with packets */
  struct punt_outbox outbox;
};

/* w: zeroed. Makes descriptors and buffers and starts the thread with its first set. 0 or -errno. */
int worker_start(struct worker *w, struct region *r, unsigned index, int event_fd, const struct port_set *set);
void worker_stop(struct worker *w);
/* Begin (on = 1) or end to receive from io. 0 or -errno. */
int worker_poll(struct worker *w, struct port_io *io, int on);
/* The same of its host alone. */
int worker_poll_host(struct worker *w, struct port_io *io, int on);
/* The punt socket: one worker receives from it. 0 or -errno. */
int worker_poll_punt(struct worker *w, const struct puntsock *s, int on);
/* datapath.to_socket, and the end of a burst for those packets. The worker's own thread. */
int worker_to_socket(struct datapath *d, struct packet *p, uint32_t slot);
void worker_clients_flush(struct worker *w);
/* What clients could not take before; how many datagrams they have taken now. */
unsigned worker_clients_retry(struct worker *w);
/* What waits for clients that are not in set is lost. */
void worker_clients_forget(struct worker *w, const struct port_set *set);
/* Sleeps until it is time for that, or until there is work. */
void worker_clients_pause(struct worker *w);
int worker_outbox_open(struct worker *w); /* 0 or -errno */
void worker_outbox_close(struct worker *w);
void worker_count_punt(struct worker *w, const struct punt_counts *c);
/* Make the worker read set; returns when it has. */
void worker_publish(struct worker *w, const struct port_set *set);

#endif
