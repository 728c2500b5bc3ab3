/* relay_request4.c - clients' packets to servers, IPv4: octet by octet, each rule, each reason to drop. */
#include "relay_bytes.h"

#define OURS "52 0c 01 04 00000007 05 04 0a000001 ff"
#define SERVER0 "c0a86f02"
#define SERVER1 "0a090909"
#define SOURCE "c0a86f01"

struct row {
  const char *what;
  struct say4 in;
  unsigned flags;
  int no_address;
  enum relay_fate fate;
  unsigned notes, servers;
  struct say4 out;
};

/* As it leaves for the first server. */
#define LEAVES(...) {.src = SOURCE, .dst = SERVER0, .giaddr = SOURCE, __VA_ARGS__}

static const struct row rows[] = {
    {"DISCOVER goes to all", {.options = "35 01 01 ff", .sum = 1}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS)},
    {"REQUEST goes to the first", {.options = "35 01 03 ff", .flags = 0x8000}, 0, 0, RELAY_SENT, 0, 1,
     LEAVES(.options = "35 01 03" OURS, .flags = 0x8000)},
    {"ports stay", {.options = "35 01 03 ff", .sport = 1068}, 0, 0, RELAY_SENT, 0, 1, LEAVES(.options = "35 01 03" OURS, .sport = 1068)},
    {"a renewing client's address is replaced", {.src = "0a000063", .dst = "0a000001", .options = "35 01 03 ff"}, 0, 0, RELAY_SENT, 0, 1,
     LEAVES(.options = "35 01 03" OURS)},
    {"giaddr is overwritten", {.giaddr = "0a636363", .options = "35 01 01 ff"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS)},
    {"the client's own option 82 stays", {.options = "35 01 01 52 03 01 01 63 ff"}, 0, 0, RELAY_SENT, 0, 2,
     LEAVES(.options = "35 01 01 52 03 01 01 63" OURS)},
    {"no options but the end", {.options = "ff"}, 0, 0, RELAY_SENT, 0, 1, LEAVES(.options = OURS)},
    {"pads before the end", {.options = "00*3 35 01 01 00 ff"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "00*3 35 01 01 00" OURS)},
    {"padded message", {.options = "35 01 01 ff 00*56"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS "00*56")},
    {"padded by less than what is added", {.options = "35 01 01 ff 77*5"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS "00*5")},
    {"padded by something", {.options = "35 01 01 ff 77*20"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS "77*6 00*14")},
    {"no end", {.options = "35 01 01"}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 2, LEAVES(.options = "35 01 01")},
    {"no end and no address", {.options = "35 01 03"}, 0, 1, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 1, LEAVES(.options = "35 01 03")},
    {"an option overruns", {.options = "35 01 01 0c 05 61626364"}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 2,
     LEAVES(.options = "35 01 01 0c 05 61626364")},
    {"an option to the last octet", {.options = "35 01 01 0c 04 61626364"}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 2,
     LEAVES(.options = "35 01 01 0c 04 61626364")},
    {"a code without length", {.options = "35 01 01 0c"}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 2, LEAVES(.options = "35 01 01 0c")},
    {"a type without value", {.options = "35 01"}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 1, LEAVES(.options = "35 01")},
    {"no options at all", {.options = ""}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 1, LEAVES(.options = "")},
    {"no interface address", {.options = "35 01 01 ff"}, 0, 1, RELAY_NO_INTERFACE_ADDRESS, 0, 0, {0}},
    {"IP options are left out", {.ip_options = "83 03 04 00", .options = "35 01 01 ff"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS)},
    {"60 octets of IP header", {.ip_options = "01*40", .options = "35 01 01 ff"}, 0, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS)},
    {"with a sum", {.options = "35 01 01 ff"}, RELAY_CHECKSUM, 0, RELAY_SENT, 0, 2, LEAVES(.options = "35 01 01" OURS, .sum = 1)},
    {"chained: giaddr kept", {.giaddr = "0a636363", .sport = 67, .options = "35 01 01 ff"}, RELAY_CHAINED, 0, RELAY_SENT, 0, 2,
     {.src = SOURCE, .dst = SERVER0, .sport = 67, .giaddr = "0a636363", .options = "35 01 01 ff"}},
    {"chained: needs no address", {.giaddr = "0a636363", .options = "35 01 03 ff"}, RELAY_CHAINED, 1, RELAY_SENT, 0, 1,
     {.src = SOURCE, .dst = SERVER0, .giaddr = "0a636363", .options = "35 01 03 ff"}},
    {"chained: the first relay", {.options = "35 01 03 ff"}, RELAY_CHAINED, 0, RELAY_SENT, 0, 1, LEAVES(.options = "35 01 03" OURS)},
    {"chained: our source as giaddr", {.giaddr = SOURCE, .options = "35 01 01 ff"}, RELAY_CHAINED, 0, RELAY_SPOOFED_GIADDR, 0, 0, {0}},
    {"chained: our address as giaddr", {.giaddr = "0a000001", .options = "35 01 01 ff"}, RELAY_CHAINED, 0, RELAY_SPOOFED_GIADDR, 0, 0, {0}},
};

static enum relay_fate relay(const struct relay_interface *rx, const uint8_t *ip, uint32_t len, uint32_t l2, uint8_t *out, struct relay_result *result) {
  uint8_t *in = alone(ip, len), *room = malloc(RELAY_ROOM);
  struct relay_view view = {in, len, l2};
  memset(room, 0xee, RELAY_ROOM);
  enum relay_fate fate = relay4_to_server(rx, &view, room, result);
  CHECK(!memcmp(in, ip, len), "the packet in was written to");
  memcpy(out, room, RELAY_ROOM);
  free(in);
  free(room);
  return fate;
}

static void expect(const struct relay_interface *rx, const struct row *row, const struct bytes *in, const struct bytes *want) {
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  enum relay_fate fate = relay(rx, in->at, in->len, 14, out, &result);
  CHECK(fate == row->fate, "%s: %s", row->what, relay_fate_name(fate));
  CHECK(fate != RELAY_SENT || (result.notes == row->notes && result.servers == row->servers), "%s: notes %u, %u servers", row->what, result.notes, result.servers);
  if (fate == RELAY_SENT) same_bytes(row->what, out, result.len, want);
}

static void test_rows(void) {
  static struct bytes in, want;
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *row = &rows[i];
    struct relay_router r;
    router_begin(&r, RELAY_IP4, row->flags);
    if (row->no_address) r.one.has_address = 0;
    build4(&in, &row->in);
    if (row->out.options) build4(&want, &row->out);
    expect(&r.one, row, &in, &want);
    memset(in.at + in.len, 0xff, 6); /* an end behind the packet is none */
    in.len += 6;
    expect(&r.one, row, &in, &want);
  }
}

/* Each kind of VPN, and the longest name. */
static void test_vss(void) {
  static struct bytes in, want;
  static const struct {
    unsigned type;
    const char *id, *out;
  } vss[] = {
      {RELAY_VSS_ASCII, "76706e31", "52 15 01 04 00000007 05 04 0a000001 97 05 00 76706e31 98 00 ff"},
      {RELAY_VSS_VPN_ID, "00000a 00000014", "52 18 01 04 00000007 05 04 0a000001 97 08 01 00000a00000014 98 00 ff"},
      {RELAY_VSS_DEFAULT, "", "52 11 01 04 00000007 05 04 0a000001 97 01 ff 98 00 ff"},
      {RELAY_VSS_ASCII, "61*128", "52 91 01 04 00000007 05 04 0a000001 97 81 00 61*128 98 00 ff"},
  };
  for (unsigned i = 0; i < sizeof vss / sizeof *vss; i++) {
    struct relay_router r;
    char options[512];
    struct row row = {"VPN", {.options = "35 01 01 ff"}, 0, 0, RELAY_SENT, 0, 2, {0}};
    router_begin(&r, RELAY_IP4, 0);
    router_vss(&r, vss[i].type, vss[i].id);
    snprintf(options, sizeof options, "35 01 01 %s", vss[i].out);
    build4(&in, &row.in);
    build4(&want, &(struct say4)LEAVES(.options = options));
    expect(&r.one, &row, &in, &want);
  }
}

/* Copies differ in the address and the sums. */
static void test_copies(void) {
  static struct bytes in, want;
  for (unsigned sum = 0; sum < 2; sum++) {
    uint8_t out[RELAY_ROOM];
    struct relay_result result;
    struct relay_router r;
    router_begin(&r, RELAY_IP4, sum ? RELAY_CHECKSUM : 0);
    build4(&in, &(struct say4){.options = "35 01 01 ff"});
    CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT, "DISCOVER");
    relay_readdress(&r.config, 1, out);
    build4(&want, &(struct say4){.src = SOURCE, .dst = SERVER1, .giaddr = SOURCE, .options = "35 01 01" OURS, .sum = (int)sum});
    same_bytes("copy", out, result.len, &want);
    relay_readdress(&r.config, 0, out);
    build4(&want, &(struct say4)LEAVES(.options = "35 01 01" OURS, .sum = (int)sum));
    same_bytes("and back", out, result.len, &want);
    r.config.n_servers = 1;
    CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT && result.servers == 1, "one server");
    r.config.n_servers = 200;
    CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_SENT && result.servers == RELAY_SERVERS, "more servers than there are");
  }
}

/* whole: a whole UDP packet, of which a reply is only no reply. */
static void malformed(const char *what, const uint8_t *ip, uint32_t len, int whole) {
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  struct relay_view view = {ip, len, 14};
  router_begin(&r, RELAY_IP4, 0);
  CHECK(relay(&r.one, ip, len, 14, out, &result) == RELAY_MALFORMED, "%s", what);
  CHECK(relay4_to_client(router_find, &r, &view, out, &result) == (whole ? RELAY_NO_OPTION_82 : RELAY_MALFORMED), "%s, to a client", what);
  CHECK((relay_direction(NULL, &view) == RELAY_OTHER) == !whole, "%s, direction", what);
}

/* One octet at a time: a header that lies. */
static void test_lies(void) {
  static struct bytes in;
  static const struct {
    const char *what;
    unsigned at, value;
  } lies[] = {{"version 5", 0, 0x55}, {"header of 16", 0, 0x44}, {"header longer than the packet", 3, 20}, {"longer than it is", 2, 0x40},
              {"no UDP", 9, 6},       {"fragment", 7, 1},        {"more fragments", 6, 0x20},             {"UDP length too long", 24, 0x7f},
              {"UDP length 7", 24, 0}};
  for (unsigned i = 0; i < sizeof lies / sizeof *lies; i++) {
    build4(&in, &(struct say4){.options = "35 01 01 ff"});
    in.at[lies[i].at] = (uint8_t)lies[i].value;
    if (lies[i].at == 24 && !lies[i].value) in.at[25] = 7;
    if (lies[i].at == 3) in.at[2] = 0;
    malformed(lies[i].what, in.at, in.len, 0);
  }
  build4(&in, &(struct say4){.options = "35 01 01 ff"});
  for (uint32_t n = 0; n < in.len; n++) malformed("cut", in.at, n, 0);
  for (unsigned n = 28; n < 56; n++) { /* whole, but no giaddr in it */
    in.at[2] = 0, in.at[3] = (uint8_t)n;
    in.at[24] = 0, in.at[25] = (uint8_t)(n - 20);
    malformed("short", in.at, n, 1);
  }
}

/* A message up to giaddr is relayed, as VPP does; one octet less is in test_lies. */
static void test_short(void) {
  static struct bytes in, want;
  struct row row = {"short", {0}, 0, 0, RELAY_SENT, RELAY_NOTE_OPTION_82_ERROR, 1, {0}};
  struct relay_router r;
  router_begin(&r, RELAY_IP4, 0);
  for (unsigned n = 56; n < 20 + 8 + 240; n++) {
    build4(&in, &(struct say4){.options = "ff"});
    build4(&want, &(struct say4)LEAVES(.options = "ff"));
    in.len = want.len = n;
    in.at[2] = want.at[2] = (uint8_t)(n >> 8), in.at[3] = want.at[3] = (uint8_t)n;
    in.at[24] = want.at[24] = (uint8_t)((n - 20) >> 8), in.at[25] = want.at[25] = (uint8_t)(n - 20);
    mend(in.at);
    mend(want.at);
    expect(&r.one, &row, &in, &want);
  }
}

/* The buffer of VPP has 2048 octets, and 27 are wanted free. */
static void test_size(void) {
  static struct bytes in;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  for (unsigned tags = 0; tags < 3; tags++) {
    uint32_t l2 = 14 + 4 * tags, longest = 2048 - 27 - l2;
    char options[64];
    router_begin(&r, RELAY_IP4, 0);
    router_vss(&r, RELAY_VSS_ASCII, "61*128");
    snprintf(options, sizeof options, "35 01 01 00*%u ff", longest - 28 - 240 - 4);
    build4(&in, &(struct say4){.options = options});
    CHECK(in.len == longest && relay(&r.one, in.at, in.len, l2, out, &result) == RELAY_SENT && result.len == longest + 19 + 128, "longest");
    snprintf(options, sizeof options, "35 01 01 00*%u ff", longest + 1 - 28 - 240 - 4);
    build4(&in, &(struct say4){.options = options});
    CHECK(relay(&r.one, in.at, in.len, l2, out, &result) == RELAY_PACKET_TOO_BIG, "one more");
    r.config.n_servers = 0;
    CHECK(relay(&r.one, in.at, in.len, l2, out, &result) == RELAY_NO_SERVER, "no server comes first");
  }
  build4(&in, &(struct say4){.options = "ff"});
  r.one.config = NULL;
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_NO_SERVER, "no relay");
  router_begin(&r, RELAY_IP6, 0);
  CHECK(relay(&r.one, in.at, in.len, 14, out, &result) == RELAY_NO_SERVER, "a relay of IPv6");
}

/* A UDP header that claims less than there is: VPP takes what is behind for options. */
static void test_claims_less(void) {
  static struct bytes in, want;
  struct row row = {"claims less", {0}, 0, 0, RELAY_SENT, 0, 2, {0}};
  struct relay_router r;
  router_begin(&r, RELAY_IP4, 0);
  build4(&in, &(struct say4){.options = "35 01 01 ff"});
  in.at[24] = 0, in.at[25] = 100;
  build4(&want, &(struct say4)LEAVES(.options = "35 01 01" OURS));
  want.at[24] = 0, want.at[25] = 114;
  expect(&r.one, &row, &in, &want);
}

static void test_number(void) {
  static struct bytes in, want;
  struct row row = {"number", {0}, 0, 0, RELAY_SENT, 0, 2, {0}};
  struct relay_router r;
  router_begin(&r, RELAY_IP4, 0);
  r.one.number = 0x01020304;
  build4(&in, &(struct say4){.options = "35 01 01 ff"});
  build4(&want, &(struct say4)LEAVES(.options = "35 01 01 52 0c 01 04 01020304 05 04 0a000001 ff"));
  expect(&r.one, &row, &in, &want);
}

void test_relay4(void) {
  test_number();
  test_rows();
  test_vss();
  test_copies();
  test_lies();
  test_short();
  test_size();
  test_claims_less();
}
