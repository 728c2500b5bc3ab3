/* urgent_test.c - the filter of the two receive rings: what is urgent, and that a frame, however short, is in exactly
 * one ring. The filters run in the kernel, on datagrams between two sockets. */
#include "../../src/forwarding/native/urgent.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/forwarding/native/frame.h"
#include "check.h"

static int tun_side, sender[2], taker[2]; /* 0: the filter of data, 1: of urgent frames */

static void open_pair(int urgent) {
  int s[2];
  CHECK(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, s), "%s", strerror(errno));
  int err = urgent_filter(s[1], tun_side, urgent);
  CHECK(!err, "filter: %s", strerror(-err));
  sender[urgent] = s[0];
  taker[urgent] = s[1];
}

static int takes(int urgent, const uint8_t *frame, size_t len) {
  uint8_t got[256];
  CHECK(send(sender[urgent], frame, len, 0) == (ssize_t)len, "%s", strerror(errno));
  ssize_t n = recv(taker[urgent], got, sizeof got, MSG_DONTWAIT);
  CHECK(n < 0 || (n == (ssize_t)len && !memcmp(got, frame, len)), "%zd of %zu", n, len);
  return n >= 0;
}

static void expect(const char *what, int urgent, const uint8_t *frame, size_t len) {
  CHECK(takes(1, frame, len) == urgent, "%s: urgent ring", what);
  for (size_t cut = 1; cut <= len; cut++)
    CHECK(takes(0, frame, cut) + takes(1, frame, cut) == 1, "%s, cut at %zu: not in exactly one ring", what, cut);
}

struct made {
  uint8_t bytes[128];
  size_t len;
};

static struct made link_layer(unsigned tags, unsigned type) {
  struct made m = {.len = 12};
  memset(m.bytes, 2, 12);
  if (tun_side) return (struct made){.len = 0};
  for (; tags; tags--, m.len += 4) store_be16(m.bytes + m.len, TYPE_VLAN), store_be16(m.bytes + m.len + 2, 5);
  store_be16(m.bytes + m.len, (uint16_t)type);
  m.len += 2;
  return m;
}

static struct made ip4(unsigned tags, unsigned words, unsigned proto, const char *dst, unsigned sport, unsigned dport, unsigned frag) {
  struct made m = link_layer(tags, TYPE_IP4);
  uint8_t *ip = m.bytes + m.len;
  ip[0] = (uint8_t)(0x40 | words);
  store_be16(ip + 6, (uint16_t)frag);
  ip[9] = (uint8_t)proto;
  memcpy(ip + 16, dst, 4);
  store_be16(ip + 4 * words, (uint16_t)sport);
  store_be16(ip + 4 * words + 2, (uint16_t)dport);
  m.len += 4 * words + 8;
  return m;
}

static struct made ip6(unsigned tags, unsigned proto, unsigned dst, unsigned first, unsigned second) {
  struct made m = link_layer(tags, TYPE_IP6);
  uint8_t *ip = m.bytes + m.len;
  ip[0] = 0x60;
  ip[6] = (uint8_t)proto;
  store_be16(ip + 24, (uint16_t)dst);
  store_be16(ip + 40, (uint16_t)first);
  store_be16(ip + 42, (uint16_t)second);
  m.len += 48;
  return m;
}

static void frames(unsigned tags) {
  static const char unicast[] = {10, 0, 0, 1}, all_routers[] = {(char)224, 0, 0, 5}, group[] = {(char)239, 1, 2, 3};
  static const struct {
    unsigned proto, sport, dport;
    int urgent;
  } transport[] = {{PROTO_UDP, 49152, 3784, 1}, {PROTO_UDP, 49152, 4784, 1}, {PROTO_TCP, 40000, 179, 1}, {PROTO_TCP, 179, 40000, 1},
                   {PROTO_TCP, 646, 40000, 1},  {PROTO_UDP, 3784, 40000, 0}, {PROTO_TCP, 40000, 443, 0}, {PROTO_UDP, 53, 53, 0},
                   {89, 0, 0, 1},               {103, 0, 0, 1},              {112, 0, 0, 1},             {PROTO_SCTP, 179, 179, 0}};
  struct made m;
  for (unsigned i = 0; i < sizeof transport / sizeof *transport; i++) {
    char what[64];
    snprintf(what, sizeof what, "protocol %u, %u to %u, %u tags", transport[i].proto, transport[i].sport, transport[i].dport, tags);
    for (unsigned words = 5; words <= 15; words += 5) {
      m = ip4(tags, words, transport[i].proto, unicast, transport[i].sport, transport[i].dport, 0);
      expect(what, transport[i].urgent, m.bytes, m.len);
    }
    m = ip6(tags, transport[i].proto, 0xfd00, transport[i].sport, transport[i].dport);
    expect(what, transport[i].urgent, m.bytes, m.len);
  }
  m = ip4(tags, 5, PROTO_UDP, all_routers, 1, 1, 0);
  expect("link-local group", 1, m.bytes, m.len);
  m = ip4(tags, 5, PROTO_UDP, group, 1, 1, 0);
  expect("routed group", 0, m.bytes, m.len);
  m = ip4(tags, 5, PROTO_TCP, unicast, 1, 179, 100);
  expect("later fragment", 0, m.bytes, m.len);
  m = ip4(tags, 5, PROTO_TCP, unicast, 1, 179, 0x4000);
  expect("not to be fragmented", 1, m.bytes, m.len);
  m = ip6(tags, 17, 0xff02, 1, 1);
  expect("link-local group, IPv6", 1, m.bytes, m.len);
  m = ip6(tags, 17, 0xff05, 1, 1);
  expect("routed group, IPv6", 0, m.bytes, m.len);
  for (unsigned type = 128; type < 140; type++) {
    m = ip6(tags, PROTO_ICMP6, 0xfd00, type << 8, 0);
    expect("ICMPv6", type >= 133 && type <= 137, m.bytes, m.len);
  }
  if (tun_side) return;
  static const struct {
    unsigned type;
    int urgent;
  } other[] = {{TYPE_ARP, 1}, {100, 1}, {0x8809, 1}, {0x88cc, 1}, {0x8847, 0}};
  for (unsigned i = 0; i < sizeof other / sizeof *other; i++) {
    m = link_layer(tags, other[i].type);
    expect("other type", other[i].urgent, m.bytes, m.len + 28);
  }
}

static void garbage(void) {
  uint8_t bytes[96];
  for (unsigned i = 0; i < 20000; i++) {
    size_t len = 1 + random_below(sizeof bytes);
    for (size_t k = 0; k < len; k++) bytes[k] = (uint8_t)random64();
    if (random_below(2) && len > 14) store_be16(bytes + 12, random_below(2) ? TYPE_IP4 : TYPE_IP6);
    CHECK(takes(0, bytes, len) + takes(1, bytes, len) == 1, "garbage of %zu bytes", len);
  }
}

int main(int argc, char **argv) {
  check_begin("urgent_test", argc, argv);
  for (tun_side = 0; tun_side <= 1; tun_side++) {
    open_pair(0);
    open_pair(1);
    for (unsigned tags = 0; tags <= (tun_side ? 0u : 1u); tags++) frames(tags);
    garbage();
    for (unsigned i = 0; i < 2; i++) close(sender[i]), close(taker[i]);
  }
  return 0;
}
