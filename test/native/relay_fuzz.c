/* relay_fuzz.c - packets that were right once, changed, cut and lengthened, through the relay both ways: nothing is read or
 * written that is not theirs, and what leaves is whole, has right sums and the addresses it must have.
 */
#include "relay_bytes.h"

static const char *const options4[] = {"35 01 01 ff", "35 01 03 00*9 ff 00*40", "52 0c 01 04 00000007 05 04 0a000001 ff",
                                       "35 01 02 52 15 01 04 00000008 05 04 0a000001 97 05 00 76706e31 98 00 ff 00*60", "00*3 52 06 01 04 00000009 52 06 05 04 0a000001 ff"};
static const char *const messages6[] = {"01 a1b2c3 0001 000a 0003 0001 020000000a01", "0c 00 00*32 0009 0004 01 a1b2c3",
                                        "0d 00 fd00*14 01 fe80 00*13 99 0012 0004 00000007 0009 000a 07 a1b2c3 0008 0002 0001",
                                        "0d 00 fd00*14 01 fe80 00*13 99 0009 0004 07 a1b2c3 0044 0001 ff 0012 0004 00000009"};
static uint64_t seen[2][RELAY_FATES];

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

/* Octets that are likely to mean something. */
static uint8_t octet(void) {
  static const uint8_t likely[] = {0, 1, 2, 4, 5, 7, 8, 9, 12, 18, 52, 53, 82, 151, 152, 254, 255};
  return random_below(3) ? likely[random_below(sizeof likely)] : (uint8_t)random64();
}

static void draw_packet(struct bytes *b, enum relay_family family) {
  if (family == RELAY_IP4)
    build4(b, &(struct say4){.src = random_below(4) ? "c0a86f02" : "00000000", .ip_options = random_below(6) ? NULL : "01*8",
                             .giaddr = random_below(3) ? NULL : "0a636363", .yiaddr = "0a000063", .sum = (int)random_below(2),
                             .options = options4[random_below(sizeof options4 / sizeof *options4)]});
  else
    build6(b, &(struct say6){.src = random_below(3) ? "20010db8 00*10 0102" : "fe80 00*13 99", .dst = "ff02 00*11 010002",
                             .message = messages6[random_below(sizeof messages6 / sizeof *messages6)]});
  uint32_t body = family == RELAY_IP4 ? (b->at[0] & 15u) * 4 + 8 + 236 : 48;
  for (unsigned n = random_below(5); n; n--) b->at[random_below(4) ? body + random_below(b->len - body) : random_below(b->len)] = octet();
  switch (random_below(8)) {
    case 0: b->len = random_below(b->len + 1); break;
    case 1: b->len += random_below(1800); break;
    case 2: { /* the lengths agree again */
      b->len += random_below(40);
      unsigned head = family == RELAY_IP4 ? (b->at[0] & 15u) * 4u : 40, field = family == RELAY_IP4 ? 2 : 4, n = family == RELAY_IP4 ? b->len : b->len - 40;
      b->at[field] = (uint8_t)(n >> 8), b->at[field + 1] = (uint8_t)n;
      b->at[head + 4] = (uint8_t)((b->len - head) >> 8), b->at[head + 5] = (uint8_t)(b->len - head);
      break;
    }
    default: break;
  }
}

/* A packet that leaves has the length, and the sums, that it says. */
static void whole(const uint8_t *ip, uint32_t len, enum relay_family family, int must_sum) {
  if (family == RELAY_IP4) {
    CHECK(ip[0] == 0x45 && get16(ip + 2) == len && naive_sum(NULL, 0, ip, 20) == 0, "IPv4 header of %u octets", len);
  } else {
    CHECK(ip[0] >> 4 == 6 && get16(ip + 4) + 40u == len && ip[7] == 32, "IPv6 header of %u octets", len);
  }
  const uint8_t *udp = ip + (family == RELAY_IP4 ? 20 : 40);
  unsigned claimed = get16(udp + 4), n = family == RELAY_IP4 ? 8 : 32;
  CHECK(claimed >= 8 && claimed <= len - (uint32_t)(udp - ip), "UDP length %u", claimed);
  uint8_t pseudo[36];
  memcpy(pseudo, udp - n, n);
  pseudo[n] = 0;
  pseudo[n + 1] = 17;
  memcpy(pseudo + n + 2, udp + 4, 2);
  CHECK(get16(udp + 6) ? naive_sum(pseudo, n + 4, udp, claimed) == 0 : !must_sum, "UDP sum");
}

static void requests(struct relay_router *r, enum relay_family family, const struct relay_view *view, uint8_t *out) {
  static const uint8_t mac[6] = {2, 0, 0, 0, 0x0a, 1};
  struct relay_result result;
  enum relay_fate fate = family == RELAY_IP4 ? relay4_to_server(&r->one, view, out, &result) : relay6_to_server(&r->one, mac, view, out, &result);
  seen[0][fate]++;
  if (fate != RELAY_SENT) return;
  uint32_t dst = family == RELAY_IP4 ? 16 : 24, n = family == RELAY_IP4 ? 4 : 16;
  CHECK(result.len <= RELAY_ROOM && result.servers >= 1 && result.servers <= 2, "%u servers, %u octets", result.servers, result.len);
  for (unsigned i = result.servers; i--;) {
    relay_readdress(&r->config, i, out);
    CHECK(!memcmp(out + dst, r->config.server[i].address, n) && !memcmp(out + dst - n, r->config.source, n), "addresses");
    whole(out, result.len, family, family == RELAY_IP6 || (r->config.flags & RELAY_CHECKSUM));
  }
}

static void replies(struct relay_router *r, enum relay_family family, const struct relay_view *view, uint8_t *out) {
  struct relay_result result;
  enum relay_fate fate = family == RELAY_IP4 ? relay4_to_client(router_find, r, view, out, &result) : relay6_to_client(router_find, r, 5, view, out, &result);
  seen[1][fate]++;
  if (fate != RELAY_SENT) return;
  struct relay_interface tx;
  CHECK(router_find(r, result.number, &tx) && result.len <= RELAY_ROOM, "interface %u", result.number);
  uint32_t l2 = 14 + 4u * tx.tags;
  CHECK(get16(out + l2 - 2) == (family == RELAY_IP4 ? 0x0800 : 0x86dd) && !memcmp(out + 6, tx.mac, 6), "frame");
  whole(out + l2, result.len - l2, family, family == RELAY_IP6 || (r->config.flags & RELAY_CHECKSUM));
}

void test_relay_fuzz(uint64_t seed) {
  check_seed = seed;
  check_state = seed * 0x9e3779b97f4a7c15ull + 1;
  static struct bytes b;
  for (unsigned i = 0; i < 300000; i++) {
    enum relay_family family = random_below(2) ? RELAY_IP4 : RELAY_IP6;
    struct relay_router r;
    router_begin(&r, family, random_below(2) ? 0 : random_below(16));
    if (!random_below(3)) router_vss(&r, RELAY_VSS_ASCII, random_below(2) ? "61*128" : "61");
    if (!random_below(30)) r.one.has_address = 0;
    draw_packet(&b, family);
    uint8_t *in = alone(b.at, b.len), *out = malloc(RELAY_ROOM);
    struct relay_view view = {in, b.len, 14 + 4 * random_below(3)};
    relay_checksum_ok(&view);
    enum relay_direction way = relay_direction(&r.config, &view);
    if (way != RELAY_TO_CLIENT || !random_below(4)) requests(&r, family, &view, out);
    replies(&r, family, &view, out);
    CHECK(!memcmp(in, b.at, b.len), "the packet in was written to");
    free(in);
    free(out);
  }
  for (unsigned way = 0; way < 2; way++) CHECK(seen[way][RELAY_SENT] > 1000 && seen[way][RELAY_MALFORMED] > 1000, "most of it went nowhere");
  CHECK(seen[1][RELAY_BAD_OPTION_82_INTERFACE] && seen[1][RELAY_WRONG_INTERFACE_ID] && seen[0][RELAY_MAX_HOPS], "some of it went nowhere");
}
