/* relay_request6.c - clients' and relays' packets to servers, IPv6: octet by octet, each rule, each reason to drop. */
#include "relay_bytes.h"

#define LOCAL "fe80 00*13 99"
#define GROUP "ff02 00*11 010002"
#define SERVER0 "20010db8 00*10 0102"
#define SERVER1 "20010db8 00*10 0203"
#define SOURCE "20010db8 00*11 6f"
#define LINK "fd00*14 01"
#define NUMBER "0012 0004 00000007"
#define MAC "004f 0008 0001 020000000a01"
#define CLIENT "0001 000a 0003 0001 020000000a01"

static const uint8_t mac[6] = {2, 0, 0, 0, 0x0a, 1};

struct row {
  const char *what;
  struct say6 in;
  int no_address;
  enum relay_fate fate;
  unsigned servers;
  const char *out; /* the message in the packet to the first server */
};

#define ASKS(...) {.src = LOCAL, .dst = GROUP, .message = __VA_ARGS__}
#define RELAYS(from, ...) {.src = from, .dst = GROUP, .message = __VA_ARGS__}

static const struct row rows[] = {
    {"SOLICIT goes to all", ASKS("01 a1b2c3" CLIENT), 0, RELAY_SENT, 2, "0c 00" LINK LOCAL "0009 0012 01 a1b2c3" CLIENT NUMBER MAC},
    {"REQUEST goes to the first", ASKS("03 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 03 a1b2c3" NUMBER MAC},
    {"CONFIRM", ASKS("04 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 04 a1b2c3" NUMBER MAC},
    {"RENEW", ASKS("05 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 05 a1b2c3" NUMBER MAC},
    {"REBIND", ASKS("06 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 06 a1b2c3" NUMBER MAC},
    {"RELEASE", ASKS("08 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 08 a1b2c3" NUMBER MAC},
    {"DECLINE", ASKS("09 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 09 a1b2c3" NUMBER MAC},
    {"INFORMATION-REQUEST", ASKS("0b a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0004 0b a1b2c3" NUMBER MAC},
    {"a client with an address", RELAYS("fd00*14 63", "03 a1b2c3"), 0, RELAY_SENT, 1, "0c 00" LINK "fd00*14 63 0009 0004 03 a1b2c3" NUMBER MAC},
    {"ports, class, label, hop limit", {.src = LOCAL, .dst = GROUP, .sport = 1234, .head = "6ab12345", .hops = 255, .message = "03 a1b2c3"}, 0, RELAY_SENT, 1,
     "0c 00" LINK LOCAL "0009 0004 03 a1b2c3" NUMBER MAC},
    {"a type only", ASKS("0b"), 0, RELAY_SENT, 1, "0c 00" LINK LOCAL "0009 0001 0b" NUMBER MAC},
    {"a relay on the link", RELAYS(LOCAL, "0c 00 00*32 0009 0001 01"), 0, RELAY_SENT, 1, "0c 01" LINK LOCAL "0009 0027 0c 00 00*32 0009 0001 01" NUMBER},
    {"a relay from 2000::/3", RELAYS("3fff0db8 00*11 22", "0c 00 00*32"), 0, RELAY_SENT, 1, "0c 01 00*16 3fff0db8 00*11 22 0009 0022 0c 00 00*32 " NUMBER},
    {"a relay from fc00::/7", RELAYS("fdff*15", "0c 1e 00*32"), 0, RELAY_SENT, 1, "0c 1f 00*16 fdff*15 0009 0022 0c 1e 00*32 " NUMBER},
    {"hops used up", RELAYS(LOCAL, "0c 1f 00*32"), 0, RELAY_MAX_HOPS, 0, NULL},
    {"more hops than there are", RELAYS(LOCAL, "0c ff 00*32"), 0, RELAY_MAX_HOPS, 0, NULL},
    {"a relay message cut", RELAYS(LOCAL, "0c 00 00*31"), 0, RELAY_MALFORMED, 0, NULL},
    {"ADVERTISE", ASKS("02 a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"REPLY", ASKS("07 a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"RECONFIGURE", ASKS("0a a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"RELAY-REPL", ASKS("0d a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"type 0", ASKS("00 a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"type 14", ASKS("0e a1b2c3"), 0, RELAY_WRONG_MESSAGE_TYPE, 0, NULL},
    {"no message", ASKS(""), 0, RELAY_MALFORMED, 0, NULL},
    {"no address", ASKS("01 a1b2c3"), 1, RELAY_NO_INTERFACE_ADDRESS, 0, NULL},
    {"no address, a relay on the link", RELAYS(LOCAL, "0c 00 00*32"), 1, RELAY_NO_INTERFACE_ADDRESS, 0, NULL},
    {"no address, a relay from elsewhere", RELAYS("fdff*15", "0c 00 00*32"), 1, RELAY_NO_SOURCE_ADDRESS, 0, NULL},
};

static enum relay_fate relay(const struct relay_interface *rx, const uint8_t *ip, uint32_t len, uint32_t l2, uint8_t *out, struct relay_result *result) {
  uint8_t *in = alone(ip, len), *room = malloc(RELAY_ROOM);
  struct relay_view view = {in, len, l2};
  memset(room, 0xee, RELAY_ROOM);
  enum relay_fate fate = relay6_to_server(rx, mac, &view, room, result);
  CHECK(!memcmp(in, ip, len), "the packet in was written to");
  memcpy(out, room, RELAY_ROOM);
  free(in);
  free(room);
  return fate;
}

static void to_server(struct bytes *want, const char *dst, const char *message) {
  build6(want, &(struct say6){.src = SOURCE, .dst = dst, .hops = 32, .message = message});
}

static void test_rows(void) {
  static struct bytes in, want;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *row = &rows[i];
    struct relay_router r;
    router_begin(&r, RELAY_IP6, 0);
    if (row->no_address) r.one.has_address = 0;
    build6(&in, &row->in);
    for (unsigned trailer = 0; trailer < 2; trailer++, in.len += 5) {
      enum relay_fate fate = relay(&r.one, in.at, in.len, 14, out, &result);
      CHECK(fate == row->fate, "%s: %s", row->what, relay_fate_name(fate));
      if (fate != RELAY_SENT) continue;
      CHECK(result.servers == row->servers && result.notes == 0, "%s: %u servers", row->what, result.servers);
      to_server(&want, SERVER0, row->out);
      same_bytes(row->what, out, result.len, &want);
      relay_readdress(&r.config, 1, out);
      to_server(&want, SERVER1, row->out);
      same_bytes(row->what, out, result.len, &want);
    }
  }
}

static void test_vss(void) {
  static struct bytes in, want;
  static const struct {
    unsigned type;
    const char *id, *out;
  } vss[] = {
      {RELAY_VSS_ASCII, "76706e31", "0044 0005 00 76706e31"},
      {RELAY_VSS_VPN_ID, "00000a 00000014", "0044 0008 01 00000a00000014"},
      {RELAY_VSS_DEFAULT, "", "0044 0001 ff"},
      {RELAY_VSS_ASCII, "61*128", "0044 0081 00 61*128"},
  };
  for (unsigned i = 0; i < sizeof vss / sizeof *vss; i++) {
    uint8_t out[RELAY_ROOM];
    struct relay_result result;
    struct relay_router r;
    char message[512];
    router_begin(&r, RELAY_IP6, 0);
    router_vss(&r, vss[i].type, vss[i].id);
    build6(&in, &(struct say6)ASKS("01 a1b2c3"));
    CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT, "VPN %u", i);
    snprintf(message, sizeof message, "0c 00 %s %s 0009 0004 01 a1b2c3 %s %s %s", LINK, LOCAL, NUMBER, MAC, vss[i].out);
    to_server(&want, SERVER0, message);
    same_bytes("VPN", out, result.len, &want);
  }
}

static void test_number(void) {
  static struct bytes in, want;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP6, 0);
  r.one.number = 0x01020304;
  build6(&in, &(struct say6)ASKS("03 a1b2c3"));
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT, "number");
  to_server(&want, SERVER0, "0c 00" LINK LOCAL "0009 0004 03 a1b2c3 0012 0004 01020304" MAC);
  same_bytes("number", out, result.len, &want);
}

static void test_lies(void) {
  static struct bytes in, want;
  static const struct {
    const char *what;
    unsigned at, value;
  } lies[] = {{"version 4", 0, 0x40},      {"longer than it is", 4, 0x40}, {"shorter than UDP", 5, 7}, {"no UDP", 6, 6},
              {"extension header", 6, 0}, {"UDP length too long", 45, 13}, {"UDP length 7", 45, 7}};
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP6, 0);
  for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
    build6(&in, &(struct say6)ASKS("01 a1b2c3"));
    in.at[lies[i].at] = (uint8_t)lies[i].value;
    struct relay_view view = {in.at, in.len, 14};
    CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_MALFORMED, "%s", lies[i].what);
    CHECK(relay6_to_client(router_find, &r, 5, &view, out, &result) == RELAY_MALFORMED, "%s, to a client", lies[i].what);
    CHECK(relay_direction(NULL, &view) == RELAY_OTHER, "%s, direction", lies[i].what);
  }
  build6(&in, &(struct say6)ASKS("01 a1b2c3"));
  for (uint32_t n = 0; n < in.len; n++) CHECK(relay(&r.one, in.at, n, 14, out, &result) == RELAY_MALFORMED, "cut at %u", n);
  /* what a UDP header does not claim is not relayed */
  build6(&in, &(struct say6)ASKS("03 a1b2c3 77*9"));
  in.at[45] = 12;
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT, "claims less");
  to_server(&want, SERVER0, "0c 00" LINK LOCAL "0009 0004 03 a1b2c3" NUMBER MAC);
  same_bytes("claims less", out, result.len, &want);
}

static void test_size(void) {
  static struct bytes in;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP6, 0);
  router_vss(&r, RELAY_VSS_ASCII, "61*128");
  char message[64];
  snprintf(message, sizeof message, "03*%u", 2048 - 25 - 14 - 48);
  build6(&in, &(struct say6)ASKS(message));
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT && result.len == in.len + 38 + 8 + 12 + 133, "longest: %u", result.len);
  CHECK(relay(&r.one, in.at, in.len, 15, out, &result) == RELAY_PACKET_TOO_BIG, "one more");
  r.config.n_servers = 0;
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_NO_SERVER, "no server");
  r.one.config = NULL;
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_NO_SERVER, "no relay");
  router_begin(&r, RELAY_IP4, 0);
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_NO_SERVER, "a relay of IPv4");
}

static void test_directions(void) {
  static const struct {
    unsigned port, type;
    enum relay_direction want;
  } all[] = {{547, 1, RELAY_TO_SERVER}, {547, 12, RELAY_TO_SERVER}, {547, 2, RELAY_TO_SERVER}, {547, 13, RELAY_TO_CLIENT},
             {546, 1, RELAY_TO_CLIENT}, {548, 1, RELAY_OTHER},      {67, 1, RELAY_OTHER}};
  static struct bytes in;
  for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
    char message[16];
    snprintf(message, sizeof message, "%02x", all[i].type);
    build6(&in, &(struct say6){.src = LOCAL, .dst = GROUP, .dport = all[i].port, .message = message});
    struct relay_view view = {in.at, in.len, 14};
    CHECK(relay_direction(NULL, &view) == all[i].want && relay_checksum_ok(&view), "type %u to %u", all[i].type, all[i].port);
    in.at[in.len - 1] ^= 1;
    CHECK(!relay_checksum_ok(&view), "sum");
  }
}

void test_relay6(void) {
  test_rows();
  test_vss();
  test_number();
  test_lies();
  test_size();
  test_directions();
}
