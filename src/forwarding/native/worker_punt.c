/* worker_punt.c - packets of a burst for clients of the punt socket: gathered by client, so that one system call takes
 * many, and sent before the burst itself, because what leaves may be changed on its way.
 */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "plane.h"

int worker_outbox_open(struct worker *w) {
  void *memory = mmap(NULL, PUNT_OUTBOX_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  puntsock_outbox(&w->outbox, memory, w->path.region->head->punt_counts[w->index]);
  prctl(PR_SET_TIMERSLACK, 1ul); /* pauses are shorter than the usual one; threads inherit it */
  return 0;
}

void worker_outbox_close(struct worker *w) { munmap(w->outbox.backlog[0].memory, PUNT_OUTBOX_MEMORY); }

void worker_count_punt(struct worker *w, const struct punt_counts *c) {
  for (unsigned i = 0; i < PUNT_FATE_COUNT; i++)
    if (c->n[i]) plane_count(w->path.region, w->index, PLANE_SOCKET + i, c->n[i]);
}

static void outbox_count(struct worker *w) {
  worker_count_punt(w, &w->outbox.counts);
  w->outbox.counts = (struct punt_counts){{0}};
}

static void client_flush(struct worker *w, unsigned client) {
  struct socket_queue *q = &w->client[client];
  puntsock_send(w->seen->punt, &w->outbox, client, q->number, q->slot, q->p, q->n, w->path.now_ns);
  outbox_count(w);
  q->n = 0;
}

/* Before the control thread hears that the set is seen, and may close the clients that are not in it. */
void worker_clients_forget(struct worker *w, const struct port_set *set) {
  uint64_t stay = 0;
  for (unsigned i = 0; set->punt && i < LCPFWD_MAX_PUNT_SLOTS; i++)
    if (set->client[i]) stay |= 1ull << (set->client[i] - 1);
  puntsock_forget(&w->outbox, stay);
  outbox_count(w);
}

unsigned worker_clients_retry(struct worker *w) {
  if (!w->outbox.waiting) return 0;
  unsigned taken = puntsock_retry(w->seen->punt, &w->outbox, w->path.now_ns);
  outbox_count(w);
  return taken;
}

/* Milliseconds, which epoll_wait has, are too coarse. */
void worker_clients_pause(struct worker *w) {
  struct pollfd ready = {.fd = w->all_epoll, .events = POLLIN};
  uint64_t at = puntsock_retry_ns(&w->outbox);
  struct timespec pause = {.tv_nsec = at > w->path.now_ns ? (long)(at - w->path.now_ns) : 0};
  ppoll(&ready, 1, &pause, NULL);
}

/* p stays as it is until its burst is sent. */
int worker_to_socket(struct datapath *d, struct packet *p, uint32_t slot) {
  struct worker *w = (struct worker *)(void *)d;
  unsigned client = w->seen->punt ? w->seen->client[slot % LCPFWD_MAX_PUNT_SLOTS] : 0;
  if (!client--) return 0;
  struct socket_queue *q = &w->client[client];
  if (q->n == BURST) client_flush(w, client);
  else if (!q->n) w->client_used[w->n_clients++] = (uint8_t)client;
  q->p[q->n] = p;
  q->number[q->n] = p->in_port;
  q->slot[q->n++] = slot;
  return 1;
}

void worker_clients_flush(struct worker *w) {
  for (unsigned i = 0; i < w->n_clients; i++) client_flush(w, w->client_used[i]);
  w->n_clients = 0;
}
