/* api_port.c - lcpfwd.h: ports. Entries and adjacencies are ours, descriptors the forwarder's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "adj.h"
#include "attachment.h"
#include "lender.h"
#include "mroute.h"
#include "port.h"
#include "reader.h"
#include "subif.h"
#include "writer.h"

#define ERRTEXT 160u /* bytes */

/* memif: path and secret, NULL: its wire is none. */
static int32_t add(lcpfwd *f, const struct lcpfwd_port *p, int32_t tap_fd, const char *const *memif, char *errtext) {
  char text[ERRTEXT] = "";
  int id = port_reserve(f->writer, p), err = id < 0 ? id : 0;
  if (id < 0) {
    snprintf(text, sizeof text, "port table: %s", strerror(-id));
  } else if (p->parent) {
    subif_open(f->writer, (unsigned)id);
  } else if (f->port_open) {
    err = memif ? f->memif_open(f, (uint32_t)id, memif[0], memif[1], text) : f->port_open(f, (uint32_t)id, tap_fd, text);
    if (err < 0)
      port_forget(f->writer, (unsigned)id);
  } else {
    PUBLISH(&f->region.head->ports[id].state, PORT_OPEN);
  }
  blocks_settle(&f->writer->blocks);
  if (errtext)
    memcpy(errtext, text, sizeof text);
  return err < 0 ? err : id;
}

int32_t lcpfwd_port_add(lcpfwd *f, const struct lcpfwd_port *p, int32_t tap_fd, char *errtext) {
  if (p->flags & LCPFWD_PORT_WIRE_MEMIF)
    return -EINVAL;
  return add(f, p, tap_fd, NULL, errtext);
}

int32_t lcpfwd_memif_add(lcpfwd *f, const struct lcpfwd_port *p, const char *path, const char *secret, char *errtext) {
  const char *const memif[2] = {path, secret};
  if (!(p->flags & LCPFWD_PORT_WIRE_MEMIF) || (p->flags & LCPFWD_PORT_WIRE_TAP) || !(p->flags & LCPFWD_PORT_HOSTLESS))
    return -EINVAL;
  return add(f, p, -1, memif, errtext);
}

int32_t lcpfwd_port_del(lcpfwd *f, uint32_t id) {
  if (id == 0 || id >= LCPFWD_MAX_PORTS)
    return -EINVAL;
  const struct port_entry *e = port_get(&f->region, id);
  int err = 0;
  if (!e)
    return -ENOENT;
  if (e->parent) {
    subif_close(f->writer, id);
    blocks_settle(&f->writer->blocks);
    return 0;
  }
  subif_close_all(f->writer, id);
  mroute_port_close(f->writer, id);
  /* First the adjacencies: nothing more goes out there while the forwarder closes it. */
  adj_port_close(f->writer, id);
  if (f->port_close)
    err = f->port_close(f, id);
  else
    PUBLISH(&f->region.head->ports[id].state, PORT_FREE);
  blocks_settle(&f->writer->blocks);
  return err;
}

int32_t lcpfwd_port_set(lcpfwd *f, uint32_t id, const struct lcpfwd_port *p) {
  if (id == 0 || id >= LCPFWD_MAX_PORTS)
    return -EINVAL;
  if (!port_get(&f->region, id))
    return -ENOENT;
  int err = port_set(f->writer, id, p);
  blocks_settle(&f->writer->blocks);
  return err;
}

int32_t lcpfwd_ports(lcpfwd *f, struct lcpfwd_port *out, uint32_t max) {
  uint32_t n = 0;
  for (unsigned id = 1; id < LCPFWD_MAX_PORTS; id++)
    if (port_get(&f->region, id)) {
      if (n < max)
        port_read(&f->region, id, &out[n]);
      n++;
    }
  return (int32_t)n;
}

/* Open, an interconnect, of itself: no sub-interface. */
static struct port_entry *interconnect(lcpfwd *f, uint32_t id) {
  struct port_entry *e = id < LCPFWD_MAX_PORTS && port_get(&f->region, id) ? &f->region.head->ports[id] : NULL;
  return e && (e->flags & LCPFWD_PORT_INTERCONNECT) ? e : NULL;
}

int32_t lcpfwd_port_host(lcpfwd *f, uint32_t id, const struct lcpfwd_port *p, int32_t tap_fd, char *errtext) {
  char text[ERRTEXT] = "";
  struct port_entry *e = interconnect(f, id);
  int err = !e ? -ENOENT : !(e->flags & (LCPFWD_PORT_WIRE_TAP | LCPFWD_PORT_WIRE_MEMIF)) ? -EOPNOTSUPP : 0;
  if (!err && tap_fd < 0) {
    port_host(e, NULL); /* first, so that nothing more is punted there */
    subif_close_all(f->writer, id);
    mroute_port_close(f->writer, id);
    adj_port_close(f->writer, id); /* its neighbours were the pair's */
  }
  if (!err && !e->multicast) /* perhaps of a writer that died here */
    err = adj_port_open(f->writer, id);
  if (!err && f->host_set)
    err = f->host_set(f, id, tap_fd, text);
  if (!err && tap_fd >= 0)
    port_host(e, p);
  blocks_settle(&f->writer->blocks);
  if (errtext)
    memcpy(errtext, text, sizeof text);
  return err;
}

int32_t lcpfwd_port_lender(lcpfwd *f, uint32_t id, uint32_t lender) {
  struct port_entry *e = interconnect(f, id);
  return e ? lender_set(&f->region, e, lender) : -ENOENT;
}

int32_t lcpfwd_port_note_set(lcpfwd *f, uint32_t id, const uint8_t *note, uint32_t len) {
  struct port_entry *e = interconnect(f, id);
  return e ? port_note_set(e, note, len) : -ENOENT;
}

int32_t lcpfwd_port_note(lcpfwd *f, uint32_t id, uint8_t *note, uint32_t max) {
  const struct port_entry *e = interconnect(f, id);
  uint32_t len = e ? e->note_side & 0xffff : 0;
  if (!e)
    return -ENOENT;
  memcpy(note, e->note[e->note_side >> 16 & 1], len < max ? len : max);
  return (int32_t)len;
}
