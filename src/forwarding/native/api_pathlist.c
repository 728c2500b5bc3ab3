/* api_pathlist.c - lcpfwd.h: path lists. */
#include <errno.h>

#include "attachment.h"
#include "pathlist.h"
#include "writer.h"

int32_t lcpfwd_pathlist_set(lcpfwd *f, uint32_t id, const struct lcpfwd_path *paths, uint32_t n) {
  int done = pathlist_set(f->writer, id, paths, n);
  blocks_settle(&f->writer->blocks);
  return done;
}

int32_t lcpfwd_pathlist_del(lcpfwd *f, uint32_t id) {
  int done = pathlist_del(f->writer, id);
  blocks_settle(&f->writer->blocks);
  return done;
}

int32_t lcpfwd_pathlist_get(lcpfwd *f, uint32_t id, struct lcpfwd_path *out, uint32_t max, uint32_t *routes) {
  int legs = pathlist_get(f->writer, id, out, max);
  if (legs >= 0)
    *routes = f->writer->routes_of[id];
  return legs;
}

uint32_t lcpfwd_pathlist_end(lcpfwd *f) {
  return f->region.head->pathlist_end;
}
