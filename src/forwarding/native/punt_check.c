/* punt_check.c - what lcpd's punt records may say (struct lcpfwd_punt). Nothing is taken on trust: a record that
 * passes cannot lead a worker out of a table, whatever else it says.
 */
#include <errno.h>
#include <string.h>

#include "punts.h"
#include "puntsock.h"
#include "writer.h"

#define MOST_RATE 4000000000u
enum { NLPID_FIRST = 1, PROTO_ANY = 0 };

static int port_ok(const struct region *r, unsigned id, uint64_t generation) {
  const struct port_entry *e = port_get(r, id);
  if (!e)
    return -ENODEV;
  if (e->generation != generation)
    return -ESTALE;
  return port_flags(e) & LCPFWD_PORT_TUN ? -EOPNOTSUPP : 0;
}

static int from_ok(const struct region *r, const struct lcpfwd_punt *p) {
  return port_ok(r, p->from, p->from_generation);
}

static int both_ok(const struct region *r, const struct lcpfwd_punt *p) {
  int err = from_ok(r, p);
  if (!err)
    err = port_ok(r, p->to, p->to_generation);
  return err ? err : p->from == p->to ? -EINVAL : 0;
}

static int is_af(unsigned af) {
  return af == LCPFWD_AF_INET || af == LCPFWD_AF_INET6;
}

/* Bits of addr beyond len are 0. */
static int prefix_ok(unsigned af, const uint8_t *addr, unsigned len) {
  unsigned bytes = af == LCPFWD_AF_INET ? 4 : 16;
  if (len > 8 * bytes)
    return 0;
  for (unsigned i = 0; i < 16; i++) {
    unsigned kept = i * 8 >= len ? 0 : len - i * 8 >= 8 ? 0xff : 0xff00u >> (len - i * 8) & 0xff;
    if (addr[i] & ~kept)
      return 0;
  }
  return 1;
}

static int rule_ok(const struct lcpfwd_punt *records, uint32_t i) {
  const struct lcpfwd_punt *p = &records[i];
  int ports = p->protocol == PROTO_TCP || p->protocol == PROTO_UDP || p->protocol == PROTO_ICMP || p->protocol == PROTO_ICMP6;
  int any = p->source_ports[0] == 0 && p->source_ports[1] == 0xffff && p->destination_ports[0] == 0 &&
            p->destination_ports[1] == 0xffff;
  if (i == 0 || (records[i - 1].type != LCPFWD_PUNT_ABX && records[i - 1].type != LCPFWD_PUNT_RULE) || !is_af(p->af) ||
      !prefix_ok(p->af, p->source, p->source_len) || !prefix_ok(p->af, p->destination, p->destination_len))
    return -EINVAL;
  if (p->source_ports[0] > p->source_ports[1] || p->destination_ports[0] > p->destination_ports[1] || (!ports && !any))
    return -EINVAL;
  if ((p->tcp_mask || p->tcp_value) && (p->protocol != PROTO_TCP || (p->tcp_value & ~p->tcp_mask)))
    return -EINVAL;
  return 0;
}

static int match_ok(const struct lcpfwd_punt *p) {
  switch (p->by) {
    case LCPFWD_BY_PORT:
      return is_af(p->af) && (p->protocol == PROTO_TCP || p->protocol == PROTO_UDP) && p->number ? 0 : -EINVAL;
    case LCPFWD_BY_ICMP6: return p->number <= 0xff ? 0 : -EINVAL;
    case LCPFWD_BY_PROTOCOL: return is_af(p->af) ? 0 : -EINVAL;
    case LCPFWD_BY_REASON: return p->number < REASONS ? 0 : -EINVAL;
    default: return -EINVAL;
  }
}

static int redirect_ok(const struct region *r, const struct lcpfwd_punt *p) {
  int err = p->from ? both_ok(r, p) : port_ok(r, p->to, p->to_generation);
  return err ? err : is_af(p->af) ? 0 : -EINVAL;
}

static int relay_ok(const struct region *r, const struct lcpfwd_punt *p) {
  static const uint8_t none[16];
  if (!is_af(p->af) || !memcmp(p->source, none, 16) || !memcmp(p->destination, none, 16))
    return -EINVAL;
  if (p->relay_table >= LCPFWD_MAX_TABLES || p->relay_local >= LCPFWD_MAX_TABLES || p->server_table >= LCPFWD_MAX_TABLES)
    return -EINVAL;
  if (!p->to)
    return p->flags & LCPFWD_PUNT_MAC ? -EINVAL : 0;
  return p->flags & LCPFWD_PUNT_MAC ? port_ok(r, p->to, p->to_generation) : -EINVAL;
}

static int fields_ok(const struct region *r, const struct lcpfwd_punt *records, uint32_t i) {
  const struct lcpfwd_punt *p = &records[i];
  unsigned bytes = p->af == LCPFWD_AF_INET ? 4 : 16;
  int err;
  switch (p->type) {
    case LCPFWD_PUNT_XCONNECT: return both_ok(r, p);
    case LCPFWD_PUNT_SPAN:
      return (p->flags & ~(LCPFWD_PUNT_RX | LCPFWD_PUNT_TX)) || !p->flags ? -EINVAL : both_ok(r, p);
    case LCPFWD_PUNT_ABX: return (p->flags & LCPFWD_PUNT_MAC) && (p->mac[0] & 1) ? -EINVAL : both_ok(r, p);
    case LCPFWD_PUNT_RULE: return rule_ok(records, i);
    case LCPFWD_PUNT_OSI: return p->protocol >= NLPID_FIRST ? both_ok(r, p) : -EINVAL;
    case LCPFWD_PUNT_HOST: return match_ok(p);
    case LCPFWD_PUNT_SOCKET:
      err = match_ok(p);
      return err ? err : p->path[0] == '/' && memchr(p->path, 0, sizeof p->path) ? 0 : -EINVAL;
    case LCPFWD_PUNT_RELAY: return relay_ok(r, p);
    case LCPFWD_PUNT_REDIRECT: return redirect_ok(r, p);
    case LCPFWD_PUNT_POLICE:
      return p->scope < LCPFWD_SCOPES && p->rate && p->rate <= MOST_RATE && p->burst ? 0 : -EINVAL;
    case LCPFWD_PUNT_PROXY:
      err = from_ok(r, p);
      return err ? err : is_af(p->af) && memcmp(p->source, p->destination, bytes) <= 0 ? 0 : -EINVAL;
    default: return -EINVAL;
  }
}

/* Are two of them one thing that can be there once? */
static int same(const struct lcpfwd_punt *a, const struct lcpfwd_punt *b) {
  if (a->type != b->type)
    return 0;
  switch (a->type) {
    case LCPFWD_PUNT_XCONNECT: return a->from == b->from;
    case LCPFWD_PUNT_SPAN:
    case LCPFWD_PUNT_ABX: return a->from == b->from && a->to == b->to;
    case LCPFWD_PUNT_OSI: return a->from == b->from && a->to == b->to && a->protocol == b->protocol;
    case LCPFWD_PUNT_HOST:
    case LCPFWD_PUNT_SOCKET:
      return match_key(a->by, a->af, a->protocol, a->number) == match_key(b->by, b->af, b->protocol, b->number);
    case LCPFWD_PUNT_REDIRECT: return a->af == b->af && a->from == b->from;
    case LCPFWD_PUNT_POLICE: return a->scope == b->scope;
    case LCPFWD_PUNT_PROXY: return a->from == b->from && a->af == b->af && !memcmp(a->source, b->source, 16);
    case LCPFWD_PUNT_RELAY: return a->af == b->af && a->table == b->table && !memcmp(a->destination, b->destination, 16);
    default: return 0; /* rules may repeat themselves */
  }
}

/* What a type does not name is 0: layouts and ports are counted by it. */
static int unused_ok(const struct lcpfwd_punt *p) {
  int sink = p->type == LCPFWD_PUNT_HOST || p->type == LCPFWD_PUNT_SOCKET;
  int alone = sink || p->type == LCPFWD_PUNT_RULE || p->type == LCPFWD_PUNT_POLICE;
  if (((alone || p->type == LCPFWD_PUNT_RELAY) && (p->from || p->from_generation)) || (!p->from && p->from_generation))
    return 0;
  if (((alone || p->type == LCPFWD_PUNT_PROXY) && (p->to || p->to_generation)) || (!sink && p->by))
    return 0;
  return p->type != LCPFWD_PUNT_RULE || p->slot == 0;
}

/* As many of its sort before it as there is room for? */
static int no_room(const struct lcpfwd_punt *records, uint32_t i) {
  const struct lcpfwd_punt *p = &records[i], *k;
  unsigned n = 0;
  if (p->type == LCPFWD_PUNT_RELAY) {
    for (k = records; k < p; k++)
      n += k->type == p->type && k->af == p->af && k->table == p->table && !memcmp(k->source, p->source, 16);
    return n >= RELAY_SERVERS;
  }
  if (p->type != LCPFWD_PUNT_SOCKET)
    return 0;
  for (k = records; k < p; k++) {
    const struct lcpfwd_punt *before = records;
    if (k->type != LCPFWD_PUNT_SOCKET)
      continue;
    if (!strcmp(k->path, p->path))
      return 0; /* the same client */
    while (before < k && (before->type != LCPFWD_PUNT_SOCKET || strcmp(before->path, k->path)))
      before++;
    n += before == k;
  }
  return n >= PUNTSOCK_CLIENTS;
}

int punts_check(const struct region *r, const struct lcpfwd_punt *records, uint32_t n, uint32_t i) {
  if (n > LCPFWD_MAX_PUNTS)
    return -ENOSPC;
  int err = records[i].slot >= LCPFWD_MAX_PUNT_SLOTS || !unused_ok(&records[i]) ? -EINVAL : fields_ok(r, records, i);
  if (!err && no_room(records, i))
    err = -ENOSPC;
  for (uint32_t k = 0; k < i && !err; k++)
    if (same(&records[k], &records[i]) || (records[i].slot && records[k].slot == records[i].slot))
      err = -EEXIST;
  return err;
}
