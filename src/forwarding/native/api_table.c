/* api_table.c - lcpfwd.h: tables, routes, lookups. */
#include <errno.h>
#include <string.h>

#include "attachment.h"
#include "fib.h"
#include "fib_node.h"
#include "pathlist.h"
#include "table.h"
#include "writer.h"

#define LABEL_BITS 20u

int32_t lcpfwd_table_add(lcpfwd *f, uint32_t af, const char *name) {
  return table_add(f->writer, af, name, 0);
}

int32_t lcpfwd_table_name(lcpfwd *f, uint32_t af, const char *name) {
  return table_add(f->writer, af, name, 1);
}

int32_t lcpfwd_table_del(lcpfwd *f, uint32_t id) {
  if (id == 0 || id >= LCPFWD_MAX_TABLES)
    return -EINVAL;
  table_del(f->writer, id);
  blocks_settle(&f->writer->blocks);
  return 0;
}

int32_t lcpfwd_table_get(lcpfwd *f, uint32_t id, uint32_t *af, char *name, uint32_t *routes) {
  if (id == 0 || id >= LCPFWD_MAX_TABLES || f->region.head->tables[id].af == 0)
    return -ENOENT;
  const struct table_entry *t = &f->region.head->tables[id];
  *af = t->af & ~TABLE_ABSENT;
  *routes = t->routes;
  memcpy(name, t->name, sizeof t->name);
  return (t->af & TABLE_ABSENT) != 0;
}

/* Nothing set behind plen, plen possible for the family. */
static int prefix_check(const struct table_entry *t, const struct lcpfwd_route *op) {
  unsigned octets = table_octets(t), at = op->plen / 8;
  if (t->af == LCPFWD_AF_MPLS ? op->plen != LABEL_BITS : op->plen > 8 * octets)
    return -EINVAL;
  if (op->plen % 8 && (op->addr[at++] & (0xff >> op->plen % 8)))
    return -EINVAL;
  for (; at < sizeof op->addr; at++)
    if (op->addr[at])
      return -EINVAL;
  return 0;
}

static int route_apply(lcpfwd *f, const struct lcpfwd_route *op) {
  const struct table_entry *t = table_of(&f->region, op->table);
  struct fib_prefix p;
  uint32_t old;
  if (!t) /* what is in no table is absent: deleting it is success */
    return op->pathlist || op->table == 0 || op->table >= LCPFWD_MAX_TABLES ? -ENOENT : 0;
  int err = prefix_check(t, op);
  if (err)
    return err;
  memcpy(p.addr, op->addr, sizeof p.addr);
  p.plen = op->plen;
  if (op->pathlist == 0)
    return fib_delete(f->writer, op->table, &p, &old);
  if (!pathlist_valid(&f->region, op->pathlist))
    return -ENOENT;
  return fib_insert(f->writer, op->table, &p, op->pathlist, &old);
}

int32_t lcpfwd_routes_apply(lcpfwd *f, const struct lcpfwd_route *ops, uint32_t n, int32_t *results) {
  int32_t failed = 0;
  for (uint32_t i = 0; i < n; i++) {
    results[i] = route_apply(f, &ops[i]);
    failed += results[i] < 0;
  }
  blocks_settle(&f->writer->blocks);
  return failed;
}

struct dump {
  struct lcpfwd_route *out;
  uint32_t table, n, max;
};

static int dump_one(void *ctx, const struct fib_prefix *p, uint32_t value) {
  struct dump *d = ctx;
  struct lcpfwd_route *r = &d->out[d->n++];
  *r = (struct lcpfwd_route){.table = d->table, .pathlist = value, .plen = p->plen};
  memcpy(r->addr, p->addr, sizeof r->addr);
  return d->n == d->max;
}

/* Cursor: [0] 1 once begun, [1] plen and [4..19] address of the last route given. */
int32_t lcpfwd_routes_dump(lcpfwd *f, uint32_t table, struct lcpfwd_route *out, uint32_t max, uint8_t *cursor) {
  struct dump d = {.out = out, .table = table, .max = max};
  struct fib_prefix after;
  if (!table_of(&f->region, table))
    return -ENOENT;
  if (max == 0 || cursor[0] > 1)
    return -EINVAL;
  after.plen = cursor[1];
  memcpy(after.addr, cursor + 4, sizeof after.addr);
  fib_walk(&f->region, table, cursor[0] ? &after : NULL, dump_one, &d);
  if (d.n) {
    cursor[0] = 1;
    cursor[1] = out[d.n - 1].plen;
    memcpy(cursor + 4, out[d.n - 1].addr, sizeof after.addr);
  }
  return (int32_t)d.n;
}

int32_t lcpfwd_lookup(lcpfwd *f, const struct lcpfwd_lookup_spec *spec, uint32_t af, const uint8_t *addrs, uint32_t n,
                      struct lcpfwd_lookup_result *out) {
  if ((af != LCPFWD_AF_INET && af != LCPFWD_AF_INET6 && af != LCPFWD_AF_MPLS) || spec->n > LCPFWD_LOOKUP_TABLES)
    return -EINVAL;
  for (uint32_t i = 0; i < n; i++)
    fib_lookup(&f->region, spec, af, addrs + 16 * (size_t)i, &out[i]);
  return 0;
}
