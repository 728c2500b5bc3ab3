/* api_mroute.c - lcpfwd.h: multicast forwarding entries. */
#include "attachment.h"
#include "mroute.h"
#include "writer.h"

int32_t lcpfwd_mroute_set(lcpfwd *f, const struct lcpfwd_mroute *m) {
  int err = mroute_set(f->writer, m);
  blocks_settle(&f->writer->blocks);
  return err;
}

int32_t lcpfwd_mroute_del(lcpfwd *f, const struct lcpfwd_mroute *m) {
  int err = mroute_del(f->writer, m);
  blocks_settle(&f->writer->blocks);
  return err;
}

int32_t lcpfwd_mroutes_dump(lcpfwd *f, struct lcpfwd_mroute *out, uint32_t max, uint32_t *cursor) {
  return (int32_t)mroute_dump(f->writer, out, max, cursor);
}

_Static_assert(sizeof(struct lcpfwd_mroute) == 176, "ABI");
_Static_assert(sizeof(struct mroute_in) == 24 && sizeof(struct mroute_group) == 48, "layout");
