/* puntclients.c - clients of the punt socket by the records that name them (puntclients.h). */
#include "puntclients.h"

#include <string.h>

#include "punts.h"

int clients_open(struct puntsock *s, const struct region *r, uint8_t client[LCPFWD_MAX_PUNT_SLOTS]) {
  const struct punt_program *g = punts_of(r);
  int err = 0;
  memset(client, 0, LCPFWD_MAX_PUNT_SLOTS);
  for (uint32_t i = 0; g && i < g->n_records; i++) {
    const struct lcpfwd_punt *p = &program_records(g)[i];
    if (p->type != LCPFWD_PUNT_SOCKET || !p->slot || p->slot >= LCPFWD_MAX_PUNT_SLOTS) continue;
    int slot = puntsock_client_open(s, p->path);
    if (slot < 0) err = slot;
    else client[p->slot] = (uint8_t)(slot + 1);
  }
  return err;
}

void clients_close(struct puntsock *s, const uint8_t client[LCPFWD_MAX_PUNT_SLOTS]) {
  for (unsigned i = 0; i < LCPFWD_MAX_PUNT_SLOTS; i++)
    if (client[i]) puntsock_client_close(s, client[i] - 1u);
}
