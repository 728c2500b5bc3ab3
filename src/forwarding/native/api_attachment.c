/* api_attachment.c - lcpfwd.h: private regions, detaching, info, sizes; struct lcpfwd's life. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "attachment.h"
#include "reader.h"
#include "writer.h"

/* The mapping of *r becomes the attachment's. NULL and *err; *r is as it was then. */
static struct lcpfwd *attachment_new(const struct region *r, int32_t *err) {
  struct lcpfwd *f = calloc(1, sizeof *f);
  struct writer *w = calloc(1, sizeof *w);
  *err = -ENOMEM;
  if (f && w) {
    *f = (struct lcpfwd){.region = *r, .writer = w, .control_fd = -1, .event_fd = -1};
    *err = writer_open(w, &f->region);
    if (*err == 0)
      return f;
  }
  free(f);
  free(w);
  return NULL;
}

lcpfwd *lcpfwd_create(uint64_t memory, uint32_t workers) {
  struct region r;
  int32_t err;
  if (region_create_private(&r, memory, workers) < 0)
    return NULL;
  struct lcpfwd *f = attachment_new(&r, &err);
  if (!f)
    region_unmap(&r);
  return f;
}

struct lcpfwd *attachment_open(int memfd, int32_t *err) {
  struct region r;
  *err = region_map(&r, memfd);
  if (*err)
    return NULL;
  struct lcpfwd *f = attachment_new(&r, err);
  if (!f) {
    r.fd = -1; /* still the caller's */
    region_unmap(&r);
  }
  return f;
}

void lcpfwd_detach(lcpfwd *f) {
  if (!f)
    return;
  writer_close(f->writer);
  free(f->writer);
  if (f->control_fd >= 0)
    close(f->control_fd);
  if (f->event_fd >= 0)
    close(f->event_fd);
  region_unmap(&f->region);
  free(f);
}

int32_t lcpfwd_event_fd(lcpfwd *f) {
  return f->event_fd;
}

int32_t lcpfwd_control_fd(lcpfwd *f) {
  return f->control_fd;
}

int32_t lcpfwd_info(lcpfwd *f, struct lcpfwd_info *out) {
  const struct region_head *h = f->region.head;
  const struct writer *w = f->writer;
  memset(out, 0, sizeof *out);
  out->memory_size = f->region.size;
  out->memory_used = (uint64_t)h->chunks * REGION_CHUNK;
  out->memory_free = out->memory_used - w->blocks.used_units * REGION_UNIT;
  out->generation = h->generation;
  out->workers = h->workers;
  for (unsigned i = 1; i < LCPFWD_MAX_PORTS; i++)
    out->ports += port_get(&f->region, i) != NULL;
  for (uint32_t i = 1; i < w->table_end; i++) {
    const struct table_entry *t = &h->tables[i];
    out->tables += t->af != 0 && !(t->af & TABLE_ABSENT);
    if (t->af == LCPFWD_AF_INET)
      out->routes4 += t->routes;
    else if (t->af == LCPFWD_AF_INET6)
      out->routes6 += t->routes;
  }
  out->pathlists = w->pathlists;
  out->adjacencies = w->adjacencies;
  out->neighbours = w->neighbours;
  out->recovered = (uint32_t)w->recovered;
  out->pid = h->pid;
  return 0;
}

uint32_t lcpfwd_sizeof(uint32_t i) {
  static const uint32_t size[] = {
      sizeof(struct lcpfwd_path),      sizeof(struct lcpfwd_route),     sizeof(struct lcpfwd_lookup_spec),
      sizeof(struct lcpfwd_lookup_result), sizeof(struct lcpfwd_neighbour), sizeof(struct lcpfwd_port),
      sizeof(struct lcpfwd_event),     sizeof(struct lcpfwd_trace),     sizeof(struct lcpfwd_adjacency),
      sizeof(struct lcpfwd_info),      sizeof(struct lcpfwd_mroute),    sizeof(struct lcpfwd_punt),
      sizeof(struct lcpfwd_punt_count),
  };
  return i < sizeof size / sizeof *size ? size[i] : 0;
}

_Static_assert(sizeof(struct lcpfwd_path) == 56 && sizeof(struct lcpfwd_route) == 28, "ABI");
_Static_assert(sizeof(struct lcpfwd_lookup_spec) == 24 && sizeof(struct lcpfwd_lookup_result) == 12, "ABI");
_Static_assert(sizeof(struct lcpfwd_neighbour) == 28 && sizeof(struct lcpfwd_port) == 368, "ABI");
_Static_assert(sizeof(struct lcpfwd_event) == 24 && sizeof(struct lcpfwd_trace) == 128, "ABI");
_Static_assert(sizeof(struct lcpfwd_adjacency) == 88 && sizeof(struct lcpfwd_info) == 72, "ABI");
_Static_assert(sizeof(struct lcpfwd_punt) == 208 && sizeof(struct lcpfwd_punt_count) == 32, "ABI");
