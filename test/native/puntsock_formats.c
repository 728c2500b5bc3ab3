/* puntsock_formats.c - what a client gets, byte for byte: descriptor and frame, sums completed, GSO frames as what they
 * stand for; and that what was sent is as it was.
 */
#include "puntsock_fixture.h"

static int fd;
static unsigned slot;
static uint8_t got[DATAGRAM_MAX];

/* The next datagram: bytes after the descriptor, which is checked with its sender. */
static uint32_t take(uint32_t number) {
  struct sockaddr_un from = {0};
  socklen_t size = sizeof from;
  ssize_t n = recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)&from, &size);
  uint8_t head[8] = {0};
  memcpy(head, &number, 4); /* host order */
  CHECK(n >= 8 && !memcmp(got, head, 8), "%zd bytes, descriptor %02x%02x%02x%02x %02x", n, got[0], got[1], got[2], got[3], got[4]);
  CHECK(!strcmp(from.sun_path, F.s.at.sun_path), "it comes from '%s'", from.sun_path);
  return (uint32_t)n - 8;
}

static void same(const struct frame *f, const struct packet *p, const char *what) {
  CHECK(p->len == f->len && !memcmp(p->data, f->at, f->len), "%s: changed", what);
}

static void test_plain(void) {
  static struct frame f;
  for (unsigned tags = 0; tags <= 5; tags++) {
    for (uint32_t payload = 0; payload <= 9000; payload = payload ? payload * 5 : 2) {
      make_frame(&f, tags, tags % 2 ? 6 : 4, 17, payload, 0);
      struct packet p = packet_of(&f);
      send_one(slot, 0x01020304u + tags, &p);
      uint32_t n = take(0x01020304u + tags);
      CHECK(n == f.len && !memcmp(got + 8, f.at, n), "%u tags, %u bytes: it is another one", tags, payload);
      same(&f, &p, "plain");
      free(p.data);
    }
  }
  /* Neither Ethernet nor long enough for it: nothing of it is looked at. */
  f.len = 1;
  struct packet p = packet_of(&f);
  send_one(slot, 5, &p);
  CHECK(take(5) == 1 && !memcmp(got, "\5\0\0\0\0\0\0\0\2", 9), "one byte, on a machine of little endian");
  free(p.data);
}

static void test_partial(void) {
  static struct frame whole, f;
  for (unsigned i = 0; i < 400; i++) {
    unsigned tags = i % 3, version = i & 4 ? 6 : 4, proto = i & 8 ? 6 : 17;
    uint32_t payload = i * 3;
    make_frame(&whole, tags, version, proto, payload, 0);
    make_frame(&f, tags, version, proto, payload, 1);
    uint32_t field = f.l4 + (proto == 6 ? 16 : 6);
    if (i % 16 == 1 && payload >= 2) { /* of which the sum is zero, which UDP writes as ones */
      uint8_t *word = f.at + f.l4 + 8 + (proto == 6 ? 24 : 0), *pad = whole.at + (word - f.at);
      unsigned sum = ((unsigned)pad[0] << 8 | pad[1]) + ((unsigned)whole.at[field] << 8 | whole.at[field + 1]);
      sum = (sum & 0xffff) + (sum >> 16);
      put16(word, sum);
      memcpy(pad, word, 2);
      put16(whole.at + field, 0xffff);
    }
    struct packet p = packet_of(&f);
    p.vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)f.l4, .csum_offset = proto == 6 ? 16 : 6};
    send_one(slot, i, &p);
    CHECK(take(i) == whole.len && !memcmp(got + 8, whole.at, whole.len), "%u: sum %02x%02x, not %02x%02x", i, got[8 + field], got[9 + field],
          whole.at[field], whole.at[field + 1]);
    same(&f, &p, "partial sum");
    free(p.data);
  }
}

/* The k-th piece of f is the n bytes after at; it is whole, with sums of its own. */
static void expect_piece(const struct frame *f, uint32_t len, unsigned proto, uint32_t head, uint32_t at, uint32_t n, unsigned k, int last) {
  const uint8_t *piece = got + 8, *ip = piece + f->l3, *l4 = piece + f->l4, *l4_was = f->at + f->l4;
  unsigned v4 = ip[0] >> 4 == 4;
  CHECK(len == f->l4 + head + n, "piece %u: %u bytes", k, len);
  CHECK(!memcmp(piece, f->at, f->l3) && !memcmp(l4 + head, l4_was + head + at, n), "piece %u: other bytes", k);
  CHECK(load_be16(ip + (v4 ? 2 : 4)) == len - f->l3 - (v4 ? 0 : 40), "piece %u: length", k);
  if (v4) CHECK(load_be16(ip + 4) == ((0xfffe + k) & 0xffff) && naive_sum(0, ip, 20) == 0xffff, "piece %u: IPv4 header", k);
  CHECK(naive_sum(pseudo_sum(ip, proto, head + n), l4, head + n) == 0xffff, "piece %u: sum", k);
  if (proto == 17) {
    CHECK(load_be16(l4 + 4) == 8 + n, "piece %u: UDP length", k);
  } else {
    CHECK(load_be32(l4 + 4) == load_be32(l4_was + 4) + at, "piece %u: sequence", k);
    CHECK(l4[13] == (0x10 | (k ? 0 : 0x80) | (last ? 0x09 : 0)), "piece %u: flags %02x", k, l4[13]);
  }
}

static void test_gso(void) {
  static struct frame f;
  for (unsigned i = 0; i < 48; i++) {
    unsigned tags = i % 3, version = i & 4 ? 6 : 4, proto = i & 8 ? 6 : 17, size = i & 16 ? 1400 : 333;
    uint32_t payload = i & 32 ? size * 9 : 7001, head = proto == 6 ? 32 : 8;
    make_frame(&f, tags, version, proto, payload, 1);
    struct packet p = packet_of(&f);
    p.vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)f.l4, .csum_offset = proto == 6 ? 16 : 6,
                                     .gso_size = (uint16_t)size, .hdr_len = (uint16_t)(f.l4 + head),
                                     .gso_type = proto == 17 ? VIRTIO_NET_HDR_GSO_UDP_L4 : version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6};
    uint64_t sent = fate(PUNT_TX);
    unsigned pieces = (payload + size - 1) / size, k = 0;
    F.now += 1;
    if (!F.wide && pieces > 10) {
      free(p.data);
      continue;
    }
    send_one(slot, 9, &p);
    CHECK(fate(PUNT_TX) - sent == pieces, "%u: %llu pieces, not %u", i, (unsigned long long)(fate(PUNT_TX) - sent), pieces);
    for (uint32_t at = 0; at < payload; at += size, k++) {
      uint32_t n = payload - at < size ? payload - at : size;
      expect_piece(&f, take(9), proto, head, at, n, k, at + n == payload);
    }
    same(&f, &p, "GSO");
    CHECK(drain(fd) == 0, "and more");
    free(p.data);
  }
}

/* More datagrams in one call than are handed to the kernel at once. */
static void test_many(void) {
  static struct frame f;
  if (!F.wide) return;
  make_frame(&f, 0, 4, 6, 9000, 1);
  struct packet p = packet_of(&f), *all[30];
  uint32_t number[30];
  p.vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = (uint16_t)f.l4, .csum_offset = 16,
                                   .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};
  for (uint32_t i = 0; i < 30; i++) all[i] = &p, number[i] = 100 + i;
  unsigned calls = F.calls;
  send_all(slot, number, all, 30);
  CHECK(F.calls - calls == 3, "%u calls for 270 datagrams", F.calls - calls);
  for (uint32_t i = 0; i < 30; i++)
    for (unsigned k = 0; k < 9; k++) expect_piece(&f, take(100 + i), 6, 32, k * 1000, 1000, k, k == 8);
  CHECK(drain(fd) == 0, "and more");
  free(p.data);
}

/* Offload state that contradicts its frame costs that frame, and nothing of the burst around it. */
static void test_contradictions(void) {
  static struct frame f;
  const struct virtio_net_hdr wrong[] = {
      {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 60000, .csum_offset = 16},
      {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 65535},
      {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 0},
      {.gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 100},
      {.gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 100},
      {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1}, /* thousands of pieces */
      {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 300, .csum_offset = 16, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000},
  };
  make_frame(&f, 0, 4, 6, 4000, 0);
  f.at[300 + 12] = 0x80; /* a TCP header, if that is where it begins */
  struct packet bad = packet_of(&f), good = bad, *all[3] = {&good, &bad, &good};
  const uint32_t number[3] = {1, 2, 3};
  for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    uint64_t refused = fate(PUNT_TX_OFFLOAD);
    bad.vnet = wrong[i];
    send_all(slot, number, all, 3);
    CHECK(fate(PUNT_TX_OFFLOAD) == refused + 1, "%u is not refused", i);
    CHECK(take(1) == f.len && take(3) == f.len && drain(fd) == 0, "%u: its neighbours suffer", i);
  }
  free(bad.data);
}

void test_formats(void) {
  const char *path = in_dir("formats");
  fd = client_bind(path);
  slot = slot_of(path);
  F.counts = (struct punt_counts){{0}};
  test_plain();
  test_partial();
  test_gso();
  test_many();
  test_contradictions();
  CHECK(fate(PUNT_TX) + fate(PUNT_TX_OFFLOAD) == fates(), "something was lost");
  puntsock_client_close(&F.s, slot);
  close(fd);
  unlink(path);
}
