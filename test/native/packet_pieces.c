/* packet_pieces.c - what leaves with labels in pieces: fragments, and GSO frames cut; whole again when put
 * together, sums and all. */
#include "packet_frames.h"

static struct frame f;

/* A stream of TCP or UDP as GSO frame: pieces with labels, whose sums hold and whose payload is the whole. */
static void pieces(unsigned v6, unsigned tcp, unsigned stack, uint32_t payload, unsigned size) {
  static const unsigned type[2][2] = {{VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_HDR_GSO_TCPV4}, {VIRTIO_NET_HDR_GSO_UDP_L4, VIRTIO_NET_HDR_GSO_TCPV6}};
  unsigned head = tcp ? 32 : 8, seen = 0, out = v6 ? 1 : 2;
  put_macs(&f, 0xa1, 0xa2);
  if (stack == 0) put16(&f, v6 ? TYPE_IP6 : TYPE_IP4);
  else put16(&f, TYPE_MPLS);
  if (stack == 2) put_label(&f, 102, 0, 0, 64); /* popped, the next goes on as it is */
  if (stack) put_label(&f, 101 + (stack == 2) * 899, 0, 1, 64);
  uint32_t at = f.len;
  if (v6) put_ip6(&f, "2001:db8:a::2", "2001:db8:60::1", 64, head + payload);
  else put_ip4(&f, "10.0.0.2", "10.60.0.1", 64, 0, head + payload);
  uint8_t *l4 = f.at + at + (v6 ? 40 : 20);
  f.at[at + (v6 ? 6 : 9)] = tcp ? PROTO_TCP : PROTO_UDP;
  if (!v6) store16(f.at + at + 10, 0), store16(f.at + at + 10, checksum(f.at + at, 20));
  if (tcp) memcpy(l4 + 4, "\xff\xff\xff\x00\0\0\0\0\x80\x99", 10); /* near the wrap; CWR, ACK, PSH, FIN */
  struct virtio_net_hdr h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = (uint8_t)type[v6][tcp], .gso_size = (uint16_t)size,
                             .csum_start = (uint16_t)(l4 - f.at), .csum_offset = tcp ? 16 : 6};
  struct packet *p = run(R.a, 0, f.at, f.len, &h);
  CHECK(p->disposition == DISPOSE_DROP && p->counter == (stack ? COUNTER_FORWARD_MPLS : v6 ? COUNTER_FORWARD_IP6 : COUNTER_FORWARD_IP4), "%s",
        lcpfwd_counter_name(p->counter));
  if (stack) out = stack == 2 ? 1 : 3;
  CHECK(R.n_made == (payload + size - 1) / size, "%u pieces of %u bytes", R.n_made, payload);
  for (unsigned i = 0; i < R.n_made; i++) {
    const uint8_t *m = R.made_packet[i].data, *ip_at = m + 14 + 4 * out, *up = ip_at + (v6 ? 40 : 20);
    uint32_t n = R.made_packet[i].len - (uint32_t)(up - m) - head, l4_len = head + n, last = i + 1 == R.n_made;
    uint8_t pseudo[4] = {0, (uint8_t)(tcp ? PROTO_TCP : PROTO_UDP), (uint8_t)(l4_len >> 8), (uint8_t)l4_len};
    CHECK(load_be16(m + 12) == TYPE_MPLS && (m[14 + 4 * out - 2] & 1) && R.made_packet[i].vnet.gso_type == 0 && R.made_packet[i].vnet.flags == 0, "piece %u", i);
    CHECK(v6 ? load_be16(ip_at + 4) == l4_len : load_be16(ip_at + 2) == 20 + l4_len && checksum_ok(ip_at, 20) && load_be16(ip_at + 4) == 0x4321 + i, "IP of piece %u", i);
    uint64_t sum = checksum_add(checksum_add(v6 ? checksum_add(0, ip_at + 8, 32) : checksum_add(0, ip_at + 12, 8), pseudo, 4), up, l4_len);
    CHECK(checksum_fold(sum) == 0xffff, "sum of piece %u", i);
    CHECK(!tcp || (load_be32(up + 4) == 0xffffff00u + seen && (up[13] & 0x80) == (i ? 0 : 0x80) && (up[13] & 9) == (last ? 9u : 0u) && (up[13] & 0x10)), "TCP of piece %u", i);
    CHECK(tcp || load_be16(up + 4) == l4_len, "UDP of piece %u", i);
    CHECK((n == size || last) && !memcmp(up + head, l4 + head + seen, n), "payload of piece %u", i);
    seen += n;
  }
  CHECK(seen == payload, "%u of %u bytes", seen, payload);
}

/* Labels count for the MTU; fragments have them too. */
static void test_mtu(void) {
  R.d.now_ns += 1000000000ull;
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.60.0.1", 64, 0x4000, 1500 - 8 - 20);
  becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_IP4, DISPOSE_PHY, R.b, __LINE__);
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_IP4);
  put_ip4(&f, "10.0.0.2", "10.60.0.1", 64, 0x4000, 1500 - 8 - 20 + 1);
  PUNTS(R.a, R.a, &f, COUNTER_PUNT_TOO_BIG);
  CHECK(R.n_made == 1 && load_be16(R.made_packet[0].data + 14 + 26) == 1492, "too big says %u", load_be16(R.made_packet[0].data + 14 + 26));
  store_be16(f.at + 14 + 6, 0);
  store16(f.at + 14 + 10, 0);
  store16(f.at + 14 + 10, checksum(f.at + 14, 20));
  becomes(R.a, 0, R.a, &f, COUNTER_FORWARD_IP4, DISPOSE_DROP, 0, __LINE__);
  CHECK(R.n_made == 2, "%u fragments", R.n_made);
  uint32_t payload = 0;
  for (unsigned i = 0; i < 2; i++) {
    const uint8_t *m = R.made_packet[i].data, *inner = m + 22;
    uint32_t total = load_be16(inner + 2);
    CHECK(load_be16(m + 12) == TYPE_MPLS && load_be32(m + 14) == (16u << 12 | 63) && load_be32(m + 18) == (0xfffffu << 12 | 0x100 | 63), "labels of fragment %u", i);
    CHECK(R.made_packet[i].len == 22 + total && total + 8 <= 1500 && checksum_ok(inner, 20) && (load_be16(inner + 6) & 0x1fff) * 8 == payload, "fragment %u", i);
    CHECK(!memcmp(inner + 20, f.at + 34 + payload, total - 20), "payload of fragment %u", i);
    payload += total - 20;
  }
  CHECK(payload == 1500 - 8 - 20 + 1, "fragments lose something");
}

void test_pieces(void) {
  test_mtu();
  for (unsigned v6 = 0; v6 < 2; v6++)
    for (unsigned tcp = 0; tcp < 2; tcp++)
      for (unsigned stack = 0; stack < 3; stack++) {
        pieces(v6, tcp, stack, 3500, 1400);
        pieces(v6, tcp, stack, 2800, 1400);
        pieces(v6, tcp, stack, 3001, 999);
      }
  struct virtio_net_hdr h = {.gso_type = VIRTIO_NET_HDR_GSO_UDP, .gso_size = 1000};
  put_macs(&f, 0xa1, 0xa2);
  put16(&f, TYPE_MPLS);
  put_label(&f, 100, 0, 1, 64);
  put_ip4(&f, "10.0.0.2", "10.99.0.1", 33, 0, 2000);
  CHECK(run(R.a, 0, f.at, f.len, &h)->counter == COUNTER_DROP_OFFLOAD && R.n_made == 0, "a sort that cannot be cut");
  h = (struct virtio_net_hdr){.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 1};
  CHECK(run(R.a, 0, f.at, f.len, &h)->counter == COUNTER_DROP_OFFLOAD && R.n_made == 0, "pieces of one byte");
}
