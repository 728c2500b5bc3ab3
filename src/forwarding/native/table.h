/* table.h - ids of tables: who has which name, and what legs that name a table keep of it.
 *
 * A leg into a VRF names tables by id. Tables come and go with their routes, path lists do not follow: so
 * an id stays its name's as long as a leg holds it, TABLE_ABSENT while there is no such table. Readers find
 * nothing in an absent table, and all of it again when it is added anew. References are the writer's
 * private count, taken again at attach.
 */
#ifndef LCPFWD_TABLE_H
#define LCPFWD_TABLE_H

#include "region.h"

struct writer;

/* The id of name, made when there is none; absent: as TABLE_ABSENT then, and left as it is if it is there.
 * -EINVAL: family or name, -ENOSPC. */
int table_add(struct writer *w, unsigned af, const char *name, int absent);
/* NULL: no such id, or not there. */
struct table_entry *table_of(const struct region *r, uint32_t id);
/* May a leg name id as a table of family af? */
int table_named(const struct region *r, uint32_t id, unsigned af);
/* Its routes go; its id too, unless legs hold it. Absent or free is success. */
void table_del(struct writer *w, uint32_t id);
/* One leg more, one less: with the last one an absent table's id goes. */
void table_hold(struct writer *w, uint32_t id);
void table_release(struct writer *w, uint32_t id);
/* Attach, when legs have been counted: routes are marked, absent tables that nothing holds go. -EUCLEAN. */
int table_recover(struct writer *w);

#endif
