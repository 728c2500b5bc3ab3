/* worker_punt.c - packets of a burst for clients of the punt socket: gathered by client, so that one system call takes
 * many, and sent before the burst itself, because what leaves may be changed on its way.
 */
#include "plane.h"
#include "worker.h"

void worker_count_punt(struct worker *w, const struct punt_counts *c) {
  for (unsigned i = 0; i < PUNT_FATE_COUNT; i++)
    if (c->n[i]) plane_count(w->path.region, w->index, PLANE_SOCKET + i, c->n[i]);
}

/* n of one record. Its drops are datagrams that its client did not get. */
static void client_send(struct worker *w, unsigned client, const uint32_t *number, uint32_t slot, struct packet *const *p, unsigned n) {
  struct punt_counts counts = {{0}};
  if (w->seen->punt) puntsock_send(w->seen->punt, client, number, p, n, w->path.now_ns, &counts);
  else counts.n[PUNT_TX_NO_CLIENT] = n; /* it has been closed a moment ago */
  uint64_t lost = counts.n[PUNT_TX_FULL] + counts.n[PUNT_TX_NO_CLIENT] + counts.n[PUNT_TX_ERROR] + counts.n[PUNT_TX_OFFLOAD];
  struct lcpfwd_punt_count *record = &w->path.region->head->punt_counts[w->index][slot];
  if (lost) STORE(&record->drops, record->drops + lost);
  worker_count_punt(w, &counts);
}

static void client_flush(struct worker *w, unsigned client) {
  struct socket_queue *q = &w->client[client];
  for (unsigned from = 0, to = 0; from < q->n; from = to) {
    while (to < q->n && q->slot[to] == q->slot[from]) to++;
    client_send(w, client, q->number + from, q->slot[from], q->p + from, to - from);
  }
  q->n = 0;
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
