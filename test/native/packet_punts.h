/* packet_punts.h - punt records put together, for the tests of the packet path with punts.
 *
 * The router of packet_fixture.h has, besides, two interconnects: X and Y, MACs 02:..:f1 and 02:..:f2.
 */
#ifndef PACKET_PUNTS_H
#define PACKET_PUNTS_H

#include "packet_frames.h"
#include "punting.h"

#define PUNTS_MOST 64u

struct punts {
  struct lcpfwd_punt record[PUNTS_MOST];
  uint32_t n;
};

static inline unsigned interconnect_add(const char *name, unsigned mac, uint32_t flags, uint32_t mtu) {
  struct lcpfwd_port p = {.flags = flags | LCPFWD_PORT_UP | LCPFWD_PORT_INTERCONNECT | LCPFWD_PORT_HOSTLESS, .mtu = mtu};
  mac_of(mac, p.mac);
  snprintf(p.phy, sizeof p.phy, "%s", name);
  int32_t id = lcpfwd_port_add(R.f, &p, -1, NULL);
  CHECK(id > 0, "interconnect %s: %d", name, id);
  return (unsigned)id;
}

static inline uint64_t generation(unsigned id) {
  return id ? port_now(id).generation : 0;
}

static inline struct lcpfwd_punt *record(struct punts *s, unsigned type, unsigned from, unsigned to) {
  CHECK(s->n < PUNTS_MOST, "too many records");
  struct lcpfwd_punt *p = &s->record[s->n++];
  *p = (struct lcpfwd_punt){.type = (uint8_t)type, .from = (uint16_t)from, .to = (uint16_t)to, .from_generation = generation(from),
                            .to_generation = generation(to)};
  return p;
}

/* Behind its ABX: permits what is sent to prefix. */
static inline struct lcpfwd_punt *rule(struct punts *s, const char *prefix, unsigned len, unsigned protocol) {
  struct lcpfwd_punt *p = record(s, LCPFWD_PUNT_RULE, 0, 0);
  p->af = (uint8_t)address(prefix, p->destination);
  p->destination_len = (uint8_t)len;
  p->protocol = (uint8_t)protocol;
  p->flags = LCPFWD_PUNT_PERMIT;
  p->source_ports[1] = p->destination_ports[1] = 0xffff;
  return p;
}

static inline void apply(struct punts *s) {
  uint32_t bad = 0;
  int32_t err = lcpfwd_punts_set(R.f, s->record, s->n, &bad);
  CHECK(err == 0, "record %u of %u: %d", bad, s->n, err);
}

static inline struct lcpfwd_punt_count counted(const struct lcpfwd_punt *p) {
  struct lcpfwd_punt_count c;
  CHECK(lcpfwd_punt_count(R.f, p->slot, &c) == 0, "slot %u", p->slot);
  return c;
}

/* UDP from 10.0.0.2 behind A to dst, a frame of its own. */
static inline void frame4(struct frame *f, const char *dst, unsigned ttl, unsigned payload) {
  put_macs(f, 0xa1, 0xa2);
  put16(f, TYPE_IP4);
  put_ip4(f, "10.0.0.2", dst, ttl, 0, payload);
}

static inline void udp_ports(struct frame *f, unsigned l3, unsigned ihl, unsigned from, unsigned to) {
  store_be16(f->at + l3 + ihl, from);
  store_be16(f->at + l3 + ihl + 2, to);
}

/* The one frame that was made leaves by out as want. */
static inline void made_one(unsigned i, unsigned out, const struct frame *want, int line) {
  CHECK(i < R.n_made, "line %d: %u frames made", line, R.n_made);
  const struct packet *p = &R.made_packet[i];
  CHECK(p->disposition == DISPOSE_PHY && p->out_port == out, "line %d: goes %u to %u", line, p->disposition, p->out_port);
  expect_frame(R.made[i], p->len, want, line);
}

void test_span(void);
void test_xconnect_punts(void);
void test_osi(void);
void test_abx(void);
void test_proxy(void);
void test_lender(void);
void test_deliver(void);
void test_relay(void);
void test_police(void);
void test_punts_fuzz(uint64_t seed);

#endif
