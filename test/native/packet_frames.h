/* packet_frames.h - frames put together piece by piece, and what becomes of them, byte for byte. */
#ifndef PACKET_FRAMES_H
#define PACKET_FRAMES_H

#include "packet_fixture.h"

struct frame {
  uint32_t len;
  uint8_t at[4096];
};

/* Begins anew. mac: last octet, as in mac_of. */
static inline void put_macs(struct frame *f, unsigned dst, unsigned src) {
  memset(f, 0, sizeof *f);
  mac_of(dst, f->at);
  mac_of(src, f->at + 6);
  f->len = 12;
}

static inline void put16(struct frame *f, unsigned value) {
  store_be16(f->at + f->len, value);
  f->len += 2;
}

static inline void put_tag(struct frame *f, unsigned tpid, unsigned tci) {
  put16(f, tpid);
  put16(f, tci);
}

static inline void put_label(struct frame *f, unsigned label, unsigned tc, unsigned bottom, unsigned ttl) {
  uint32_t entry = label << 12 | tc << 9 | bottom << 8 | ttl;
  put16(f, entry >> 16);
  put16(f, entry & 0xffff);
}

/* UDP, without the ethertype. */
static inline void put_ip4(struct frame *f, const char *src, const char *dst, unsigned ttl, unsigned field, unsigned payload) {
  uint8_t *ip = f->at + f->len, addr[16];
  ip[0] = 0x45;
  store_be16(ip + 2, 20 + payload);
  store_be16(ip + 4, 0x4321);
  store_be16(ip + 6, field);
  ip[8] = (uint8_t)ttl;
  ip[9] = PROTO_UDP;
  address(src, addr);
  memcpy(ip + 12, addr, 4);
  address(dst, addr);
  memcpy(ip + 16, addr, 4);
  for (unsigned i = 0; i < payload; i++) ip[20 + i] = (uint8_t)(i * 7 + 1);
  store16(ip + 10, checksum(ip, 20));
  f->len += 20 + payload;
}

static inline void put_ip6(struct frame *f, const char *src, const char *dst, unsigned hops, unsigned payload) {
  uint8_t *ip = f->at + f->len;
  ip[0] = 0x60;
  store_be16(ip + 4, payload);
  ip[6] = PROTO_UDP;
  ip[7] = (uint8_t)hops;
  address(src, ip + 8);
  address(dst, ip + 24);
  for (unsigned i = 0; i < payload; i++) ip[40 + i] = (uint8_t)(i * 5 + 1);
  f->len += 40 + payload;
}

/* Other flags and further addresses, from mac first on, for a port. */
static inline void change(unsigned id, uint32_t flags, unsigned macs, unsigned first) {
  struct lcpfwd_port p = port_now(id);
  p.flags = flags;
  p.macs = (uint8_t)macs;
  for (unsigned i = 0; i < macs; i++) mac_of(first + i, p.more[i]);
  CHECK(lcpfwd_port_set(R.f, id, &p) == 0, "port_set");
}

/* Runs f by device; its one fate is owner's. What is punted or goes across is exactly as it came. */
static inline struct packet *becomes(unsigned device, int host, unsigned owner, const struct frame *f, enum counter why,
                                     enum disposition what, unsigned out, int line) {
  uint64_t before = counter(owner, why), all = fates(owner), other = owner == device ? 0 : fates(device);
  struct packet *p = run(device, host, f->at, f->len, NULL);
  CHECK(p->counter == why, "line %d: %s instead of %s", line, lcpfwd_counter_name(p->counter), lcpfwd_counter_name(why));
  CHECK(p->disposition == what && (what == DISPOSE_DROP || p->out_port == out), "line %d: goes %u to %u", line, p->disposition, p->out_port);
  CHECK(counter(owner, why) == before + 1 && fates(owner) == all + 1, "line %d: %llu fates", line, (unsigned long long)(fates(owner) - all));
  CHECK(owner == device || fates(device) == other, "line %d: counted on the device's port too", line);
  if (what == DISPOSE_HOST || (host && what == DISPOSE_PHY))
    CHECK(p->len == f->len && !memcmp(p->data, f->at, f->len), "line %d: changed", line);
  return p;
}

static inline void expect_frame(const uint8_t *data, uint32_t len, const struct frame *want, int line) {
  CHECK(len == want->len, "line %d: %u bytes, expected %u", line, len, want->len);
  for (uint32_t i = 0; i < len; i++) CHECK(data[i] == want->at[i], "line %d: byte %u is %02x, expected %02x", line, i, data[i], want->at[i]);
}

#define PUNTS(device, owner, f, why) becomes(device, 0, owner, f, why, DISPOSE_HOST, device, __LINE__)
#define DROPS(device, owner, f, why) becomes(device, 0, owner, f, why, DISPOSE_DROP, 0, __LINE__)
#define CROSSES(device, owner, f, why) becomes(device, 1, owner, f, why, DISPOSE_PHY, device, __LINE__)
/* Leaves by out's phy as want. */
#define FORWARDS(device, owner, f, why, out, want)                                          \
  do {                                                                                      \
    struct packet *p_ = becomes(device, 0, owner, f, why, DISPOSE_PHY, out, __LINE__);      \
    expect_frame(p_->data, p_->len, want, __LINE__);                                        \
  } while (0)

#endif
