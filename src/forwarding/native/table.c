/* table.c - tables by name (table.h). Each change of an entry ends in one store of its family. */
#include "table.h"

#include <errno.h>
#include <string.h>

#include "fib.h"
#include "reader.h"
#include "writer.h"

static int family_ok(unsigned af) {
  return af == LCPFWD_AF_INET || af == LCPFWD_AF_INET6 || af == LCPFWD_AF_MPLS;
}

int table_add(struct writer *w, unsigned af, const char *name, int absent) {
  struct table_entry *t = w->region->head->tables;
  size_t len = strnlen(name, sizeof t->name);
  if (!family_ok(af) || len == 0 || len == sizeof t->name)
    return -EINVAL;
  for (uint32_t id = 1; id < w->table_end; id++)
    if ((t[id].af & ~TABLE_ABSENT) == af && strcmp(t[id].name, name) == 0) {
      if (!absent)
        PUBLISH(&t[id].af, af);
      return (int)id;
    }
  uint32_t id = ids_take(w, &w->table_ids, &w->table_end, LCPFWD_MAX_TABLES);
  if (id == 0)
    return -ENOSPC;
  t[id].root = 0;
  t[id].routes = 0;
  memset(t[id].name, 0, sizeof t->name);
  memcpy(t[id].name, name, len);
  PUBLISH(&t[id].af, absent ? af | TABLE_ABSENT : af);
  return (int)id;
}

struct table_entry *table_of(const struct region *r, uint32_t id) {
  struct table_entry *t = r->head->tables;
  return id > 0 && id < LCPFWD_MAX_TABLES && family_ok(t[id].af) ? &t[id] : NULL;
}

int table_named(const struct region *r, uint32_t id, unsigned af) {
  return id > 0 && id < LCPFWD_MAX_TABLES && (r->head->tables[id].af & ~TABLE_ABSENT) == af;
}

static void give_back(struct writer *w, uint32_t id) {
  PUBLISH(&w->region->head->tables[id].af, 0);
  blocks_retire_id(&w->blocks, RETIRED_TABLE, id);
}

void table_del(struct writer *w, uint32_t id) {
  struct table_entry *t = &w->region->head->tables[id];
  if (t->af == 0)
    return;
  fib_clear(w, id);
  if (w->table_refs[id] == 0)
    give_back(w, id);
  else
    PUBLISH(&t->af, t->af | TABLE_ABSENT);
}

void table_hold(struct writer *w, uint32_t id) {
  w->table_refs[id]++;
}

void table_release(struct writer *w, uint32_t id) {
  if (--w->table_refs[id] == 0 && (w->region->head->tables[id].af & TABLE_ABSENT))
    give_back(w, id);
}

int table_recover(struct writer *w) {
  struct table_entry *t = w->region->head->tables;
  for (uint32_t id = 1; id < LCPFWD_MAX_TABLES; id++) {
    if (t[id].af == 0)
      continue;
    w->table_end = id + 1;
    if (!(t[id].af & TABLE_ABSENT)) {
      int err = fib_recover(w, id);
      if (err)
        return err;
    } else if (t[id].root || !family_ok(t[id].af & ~TABLE_ABSENT)) {
      return -EUCLEAN;
    } else if (w->table_refs[id] == 0) {
      PUBLISH(&t[id].af, 0);
    }
  }
  for (uint32_t id = w->table_end - 1; id >= 1; id--)
    if (!t[id].af)
      ids_give(&w->table_ids, id);
  return 0;
}
