/* memif_frames.c - what arrives and what leaves: lengths, chains, full rings, checksums, GSO, interrupts. */
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "checksum.h"
#include "memif_slave.h"

static uint8_t bytes[FRAME_MAX + 64];
static struct packet got[BURST + 8];

void test_receive(void) {
  seed_part();
  struct memif *m = memif_make(NULL);
  struct slave v;
  struct io_counts c = {{0}};
  static const uint32_t lengths[] = {1, 14, 60, 2047, 2048, 2049, 9014, 65535, FRAME_MAX};
  CHECK(!memif_pending(m) && take(m, got, BURST, NULL) == 0, "frames without a slave");
  slave_connect(&v, m, &(struct plan){.log2 = 7});
  CHECK(!memif_pending(m) && take(m, got, BURST, NULL) == 0, "frames from nowhere");
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    frame_make(bytes, i, lengths[i]);
    CHECK(slave_put(&v, 0, bytes, lengths[i]), "no room for %u bytes", lengths[i]);
    CHECK(memif_pending(m), "nobody says so");
    unsigned n = take(m, got, BURST, &c);
    CHECK(n == 1 && got[0].len == lengths[i] && got[0].room == FRAME_ROOM && frame_is(got[0].data, i, lengths[i]), "%u frames, %u bytes of %u", n, got[0].len, lengths[i]);
    CHECK(!memif_pending(m) && v.s2m[0]->tail == v.head[0], "slots are kept");
  }
  /* Longer than any frame: it costs itself alone. */
  CHECK(slave_put(&v, 0, bytes, FRAME_MAX + 1) && slave_put(&v, 0, bytes, 64), "no room");
  CHECK(take(m, got, BURST, &c) == 1 && got[0].len == 64 && c.n[IO_RX_TRUNCATED] == 1, "%" PRIu64 " truncated", c.n[IO_RX_TRUNCATED]);
  /* More than fit into a burst, and more than there are large buffers. */
  for (unsigned i = 0; i < 60; i++) {
    frame_make(bytes, i, 60 + i);
    CHECK(slave_put(&v, 0, bytes, 60 + i), "no room");
  }
  CHECK(take(m, got, 50, NULL) == 50 && memif_pending(m) && take(m, got + 50, 50, NULL) == 10, "a burst and the rest");
  for (unsigned i = 0; i < 10; i++) CHECK(frame_is(got[50 + i].data, 50 + i, 110 + i), "frame %u", 50 + i);
  for (unsigned i = 0; i < 40; i++) {
    frame_make(bytes, i, 4000);
    CHECK(slave_put(&v, 0, bytes, 4000), "no room");
  }
  CHECK(take(m, got, BURST, NULL) == LARGE_COUNT && memif_pending(m) && frame_is(got[31].data, 31, 4000), "large frames");
  CHECK(take(m, got, BURST, NULL) == 8 && frame_is(got[7].data, 39, 4000) && !memif_pending(m), "the rest of them");
  slave_close(&v, m);
  CHECK(!memif_pending(m) && take(m, got, BURST, NULL) == 0, "frames of a slave that has gone");
  slave_connect(&v, m, &(struct plan){.rings = 8});
  for (unsigned i = 0; i < 8; i++)
    for (unsigned k = 0; k < 32; k++) CHECK(slave_put(&v, i, bytes, 100 + i), "no room");
  /* Each is read, however soon the others are full again. */
  unsigned of[8] = {0}, n;
  for (unsigned turn = 0; turn < 8; turn++) {
    CHECK((n = take(m, got, 32, NULL)) == 32, "%u frames", n);
    for (unsigned k = 0; k < n; k++) {
      of[got[k].len - 100]++;
      CHECK(slave_put(&v, got[k].len - 100, bytes, got[k].len), "no room");
    }
    CHECK(of[turn] == 32, "ring %u waits for others", turn);
  }
  slave_close(&v, m);
  memif_close(m);
}

/* --- interrupts ---------------------------------------------------------------------------------- */

static int rings(const struct memif *m, int wait_ms) {
  struct pollfd p = {.fd = memif_interrupt_fd(m), .events = POLLIN};
  return poll(&p, 1, wait_ms);
}

static void test_interrupts(struct memif *m) {
  struct slave v;
  CHECK(!memif_sleep(m) && rings(m, 0) == 0, "nobody may sleep without a slave");
  slave_connect(&v, m, &(struct plan){.rings = 2});
  CHECK(rings(m, 0) == 1, "a new link wakes nobody");
  memif_wake(m);
  CHECK(rings(m, 0) == 0, "still awake");
  for (unsigned round = 0; round < 3; round++) {
    CHECK(slave_put(&v, 1, bytes, 60), "no room");
    slave_ring(&v, 1);
    CHECK(rings(m, 0) == 0, "rung although nobody sleeps");
    CHECK(memif_sleep(m), "asleep over a frame");
    CHECK(take(m, got, BURST, NULL) == 1 && !memif_sleep(m), "awake without a frame");
    CHECK(slave_put(&v, 1, bytes, 60), "no room");
    slave_ring(&v, 1);
    CHECK(rings(m, 1000) == 1, "not woken in round %u", round);
    memif_wake(m);
    CHECK(rings(m, 0) == 0 && take(m, got, BURST, NULL) == 1, "round %u", round);
  }
  /* The other way: the slave is rung unless it looks by itself. */
  struct pollfd bell = {.fd = v.m2s_event[0], .events = POLLIN}, other = {.fd = v.m2s_event[1], .events = POLLIN};
  struct packet *p = packet_make(60);
  v.m2s[0]->flags = v.m2s[1]->flags = MEMIF_MASK_INT;
  CHECK(send_one(m, p).n[IO_SENT] == 1 && poll(&bell, 1, 20) == 0 && poll(&other, 1, 0) == 0, "rung although it looks");
  v.m2s[0]->flags = v.m2s[1]->flags = 0;
  CHECK(send_one(m, p).n[IO_SENT] == 1 && (poll(&bell, 1, 1000) == 1 || poll(&other, 1, 1000) == 1), "not rung");
  packet_free(p);
  /* One that has gone but keeps its eventfds cannot wake anybody with them. */
  close(v.s);
  v.s = -1;
  memif_turn(m);
  memif_wake(m);
  v.s2m[0]->flags = 0;
  slave_ring(&v, 0);
  CHECK(rings(m, 0) == 0, "woken by a slave that has gone");
  slave_close(&v, m);
}

/* --- sending ------------------------------------------------------------------------------------- */

static void test_lengths(struct memif *m) {
  struct slave v;
  struct packet *p = packet_make(60);
  static const uint32_t lengths[] = {1, 60, 63, 64, 65, 1500, 9014, 65535, FRAME_MAX};
  CHECK(send_one(m, p).n[IO_DOWN] == 1, "sent to nobody");
  packet_free(p);
  slave_connect(&v, m, &(struct plan){.log2 = 11, .buffer = 64});
  for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    p = packet_make(lengths[i]);
    frame_make(p->data, i, p->len);
    struct io_counts c = send_one(m, p);
    CHECK(c.n[IO_SENT] == 1 && c.n[IO_SENT_BYTES] == lengths[i], "%u bytes", lengths[i]);
    uint32_t n = slave_get(&v, 0, bytes);
    CHECK(n == lengths[i] && frame_is(bytes, i, n) && slave_get(&v, 0, bytes) == 0, "%u bytes of %u", n, lengths[i]);
    slave_lend(&v, 0);
    packet_free(p);
  }
  slave_close(&v, m);
  slave_connect(&v, m, &(struct plan){.log2 = 3, .buffer = 64});
  struct packet *whole = packet_make(512), *more = packet_make(513), *half = packet_make(256), *none = packet_make(0);
  CHECK(send_one(m, more).n[IO_SIZE] == 1 && send_one(m, none).n[IO_REFUSED] == 1, "what never fits");
  CHECK(send_one(m, half).n[IO_SENT] == 1 && send_one(m, more).n[IO_BUSY] == 1 && send_one(m, whole).n[IO_BUSY] == 1, "what does not fit now");
  CHECK(send_one(m, half).n[IO_SENT] == 1 && send_one(m, half).n[IO_BUSY] == 1, "a full ring");
  CHECK(slave_get(&v, 0, bytes) == 256 && slave_get(&v, 0, bytes) == 256 && slave_get(&v, 0, bytes) == 0, "what was sent");
  slave_lend(&v, 0);
  CHECK(send_one(m, whole).n[IO_SENT] == 1 && slave_get(&v, 0, bytes) == 512, "a ring full of one frame");
  packet_free(whole);
  packet_free(more);
  packet_free(half);
  packet_free(none);
  slave_close(&v, m);
}

/* A sum over the whole of the packet at ip, as its receiver would: pseudo header and what is above. */
static int l4_ok(const uint8_t *ip, uint32_t len) {
  unsigned v4 = ip[0] >> 4 == 4, head = v4 ? (ip[0] & 15u) * 4u : 40u, proto = v4 ? ip[9] : ip[6];
  uint8_t pseudo[4] = {0, (uint8_t)proto, (uint8_t)((len - head) >> 8), (uint8_t)(len - head)};
  uint64_t sum = checksum_add(0, ip + (v4 ? 12 : 8), v4 ? 8 : 32);
  return checksum_fold(checksum_add(checksum_add(sum, pseudo, 4), ip + head, len - head)) == 0xffff && (!v4 || checksum_ok(ip, head));
}

/* An Ethernet frame, tagged or not, whose sum is the pseudo header's alone, as the kernel leaves it. */
static struct packet *partial(unsigned v4, unsigned proto, unsigned tagged, uint32_t payload) {
  uint32_t l3 = tagged ? 18 : 14, head = v4 ? 20 : 40, l4 = proto == PROTO_TCP ? 20 : 8, len = l3 + head + l4 + payload;
  struct packet *p = packet_make(len);
  uint8_t *ip = p->data + l3, *at = ip + head, *field = at + (proto == PROTO_TCP ? 16 : 6);
  frame_make(p->data, payload, len);
  if (tagged) store_be16(p->data + 12, TYPE_VLAN);
  store_be16(ip - 2, v4 ? TYPE_IP4 : TYPE_IP6);
  ip[0] = v4 ? 0x45 : 0x60;
  if (v4) {
    store_be16(ip + 2, head + l4 + payload);
    ip[9] = (uint8_t)proto;
    store16(ip + 10, 0);
    store16(ip + 10, checksum(ip, 20));
  } else {
    store_be16(ip + 4, l4 + payload);
    ip[6] = (uint8_t)proto;
  }
  if (proto == PROTO_TCP) {
    at[12] = 0x50;
    at[13] = 0x19; /* ACK, PSH, FIN */
  } else {
    store_be16(at + 4, l4 + payload);
  }
  uint8_t pseudo[4] = {0, (uint8_t)proto, (uint8_t)((l4 + payload) >> 8), (uint8_t)(l4 + payload)};
  store16(field, checksum_fold(checksum_add(checksum_add(0, ip + (v4 ? 12 : 8), v4 ? 8 : 32), pseudo, 4)));
  p->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  p->vnet.csum_start = (uint16_t)(l3 + head);
  p->vnet.csum_offset = proto == PROTO_TCP ? 16 : 6;
  return p;
}

static void test_checksums(struct memif *m) {
  struct slave v;
  slave_connect(&v, m, &(struct plan){.log2 = 8, .buffer = 512});
  for (unsigned i = 0; i < 400; i++) {
    unsigned tagged = i / 4 % 2;
    struct packet *p = partial(i % 2, i / 2 % 2 ? PROTO_TCP : PROTO_UDP, tagged, random_below(9000));
    uint32_t l3 = tagged ? 18 : 14, before = p->len;
    uint16_t left = load16(p->data + p->vnet.csum_start + p->vnet.csum_offset);
    CHECK(send_one(m, p).n[IO_SENT] == 1, "not sent");
    CHECK(p->len == before && p->vnet.flags && load16(p->data + p->vnet.csum_start + p->vnet.csum_offset) == left, "the packet itself was changed");
    uint32_t n = slave_get(&v, 0, bytes);
    CHECK(n == p->len && l4_ok(bytes + l3, n - l3), "checksum of %u bytes, case %u", n, i % 8);
    slave_lend(&v, 0);
    packet_free(p);
  }
  /* A sum of zero says in UDP that there is none. */
  struct packet *p = partial(1, PROTO_UDP, 0, 100);
  memset(p->data + 100, 0, 2);
  store16(p->data + 100, checksum(p->data + 34, p->len - 34));
  CHECK(send_one(m, p).n[IO_SENT] == 1 && slave_get(&v, 0, bytes) == p->len && load16(bytes + 40) == 0xffff, "sum %04x", load16(bytes + 40));
  packet_free(p);
  p = partial(1, PROTO_UDP, 0, 100);
  p->vnet.csum_start = 140;
  CHECK(send_one(m, p).n[IO_REFUSED] == 1 && slave_get(&v, 0, bytes) == 0, "a sum behind the frame's end");
  packet_free(p);
  slave_close(&v, m);
}

static void test_gso(struct memif *m) {
  struct slave v;
  slave_connect(&v, m, &(struct plan){.log2 = 10, .buffer = 1024});
  for (unsigned i = 0; i < 100; i++) {
    unsigned v4 = i % 2, proto = i / 2 % 2 ? PROTO_TCP : PROTO_UDP, tagged = i / 4 % 2;
    uint32_t size = 500 + random_below(1000), payload = size + 1 + random_below(60000 - size), l3 = tagged ? 18 : 14, head = l3 + (v4 ? 20 : 40) + (proto == PROTO_TCP ? 20 : 8);
    struct packet *p = partial(v4, proto, tagged, payload);
    p->vnet.gso_type = proto == PROTO_UDP ? VIRTIO_NET_HDR_GSO_UDP_L4 : v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    p->vnet.gso_size = (uint16_t)size;
    struct io_counts c = send_one(m, p);
    CHECK(c.n[IO_SENT] == (payload + size - 1) / size, "%" PRIu64 " pieces of %u bytes for %u", c.n[IO_SENT], size, payload);
    for (uint32_t at = 0; at < payload; at += size) {
      uint32_t n = slave_get(&v, 0, bytes), want = payload - at < size ? payload - at : size;
      CHECK(n == head + want && !memcmp(bytes + head, p->data + head + at, want), "piece at %u: %u bytes", at, n);
      CHECK(l4_ok(bytes + l3, n - l3), "checksum of the piece at %u", at);
      if (proto == PROTO_TCP)
        CHECK(bytes[head - 7] == (at + want < payload ? 0x10 : 0x19) && load_be32(bytes + head - 16) == load_be32(p->data + head - 16) + at, "TCP header at %u", at);
    }
    CHECK(slave_get(&v, 0, bytes) == 0, "more pieces");
    slave_lend(&v, 0);
    packet_free(p);
  }
  struct packet *p = partial(1, PROTO_UDP, 0, 3000);
  p->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
  p->vnet.gso_size = 1000;
  CHECK(send_one(m, p).n[IO_REFUSED] == 1, "IPv4 that says it is TCP of IPv6");
  p->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
  store_be16(p->data + 12, 0x88b5);
  CHECK(send_one(m, p).n[IO_REFUSED] == 1, "no IP");
  packet_free(p);
  p = packet_make(FRAME_MAX + 50);
  p->vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  p->vnet.csum_start = 34;
  CHECK(send_one(m, p).n[IO_REFUSED] == 1, "longer than what it is completed in");
  p->vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
  p->vnet.gso_size = 65535;
  CHECK(send_one(m, p).n[IO_REFUSED] == 1, "longer than what it is cut in");
  p->vnet.gso_size = 0;
  CHECK(send_one(m, p).n[IO_REFUSED] == 1 && slave_get(&v, 0, bytes) == 0, "pieces of no length");
  packet_free(p);
  slave_close(&v, m);
}

void test_send(void) {
  struct memif *m = memif_make(NULL);
  test_interrupts(m);
  test_lengths(m);
  test_checksums(m);
  test_gso(m);
  memif_close(m);
}
