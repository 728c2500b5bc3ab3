/* relay_reply4.c - servers' packets to clients, IPv4: the frame octet by octet, each rule, each reason to drop. */
#include "relay_bytes.h"

#define PLAIN "ffffffffffff 020000000001 0800"
#define CLIENT "020000000a01"
#define RELAYED "52 0c 01 04 00000007 05 04 0a000001"

struct row {
  const char *what;
  struct say4 in;
  unsigned flags;
  enum relay_fate fate;
  unsigned notes, number;
  const char *l2;
  struct say4 out;
};

/* What a server sends, what a client gets; see reply(). */
#define SAYS(...) {__VA_ARGS__}
#define GETS(...) {__VA_ARGS__}
#define DROPS(why, opts) {#why, SAYS(.options = opts), 0, why, 0, 0, NULL, {0}}

static const struct row rows[] = {
    {"OFFER", SAYS(.options = "35 01 02" RELAYED "ff", .sum = 1), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = "35 01 02" RELAYED "ff")},
    {"from port 1067 to 68", SAYS(.options = RELAYED "ff", .sport = 1067, .dport = 68), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = RELAYED "ff", .sport = 1067)},
    {"padded", SAYS(.options = "35 01 02" RELAYED "ff 00*30"), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = "35 01 02" RELAYED "ff 00*30")},
    {"the other server", SAYS(.src = "0a090909", .options = RELAYED "ff"), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = RELAYED "ff")},
    {"no end", SAYS(.options = RELAYED), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = RELAYED)},
    {"pads", SAYS(.options = "00 00 00" RELAYED "ff"), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = "00 00 00" RELAYED "ff")},
    {"one tag", SAYS(.options = "52 0c 01 04 00000008 05 04 0a000001 ff"), 0, RELAY_SENT, 0, 8, "ffffffffffff 020000000001 8100 0abc 0800",
     GETS(.options = "52 0c 01 04 00000008 05 04 0a000001 ff")},
    {"two tags", SAYS(.options = "52 0c 01 04 00000009 05 04 0a000001 ff"), 0, RELAY_SENT, 0, 9, "ffffffffffff 020000000001 88a8 0abc 8100 000b 0800",
     GETS(.options = "52 0c 01 04 00000009 05 04 0a000001 ff")},
    {"a number of four octets", SAYS(.options = "52 0c 01 04 01020304 05 04 0a000001 ff"), 0, RELAY_SENT, 0, 0x01020304, PLAIN,
     GETS(.options = "52 0c 01 04 01020304 05 04 0a000001 ff")},
    {"the last one counts", SAYS(.options = "52 0c 01 04 00000008 05 04 0a636363" RELAYED "ff"), 0, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 0c 01 04 00000008 05 04 0a636363" RELAYED "ff")},
    {"in two options", SAYS(.options = "52 06 05 04 0a000001 52 06 01 04 00000007 ff"), 0, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 06 05 04 0a000001 52 06 01 04 00000007 ff")},
    {"VPN not processed", SAYS(.options = "52 15 01 04 00000007 05 04 0a000001 97 05 00 76706e31 98 00 ff"), 0, RELAY_SENT, RELAY_NOTE_VSS_NOT_PROCESSED, 7,
     PLAIN, GETS(.options = "52 15 01 04 00000007 05 04 0a000001 97 05 00 76706e31 98 00 ff")},
    {"VPN processed", SAYS(.options = "52 13 01 04 00000007 05 04 0a000001 97 05 00 76706e31 ff"), 0, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 13 01 04 00000007 05 04 0a000001 97 05 00 76706e31 ff")},
    {"a VPN that is not there", SAYS(.options = "52 0e 01 04 00000007 05 04 0a000001 98 00 ff"), 0, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 0e 01 04 00000007 05 04 0a000001 98 00 ff")},
    {"IP options are left out", SAYS(.ip_options = "83 03 04 00", .options = RELAYED "ff"), 0, RELAY_SENT, 0, 7, PLAIN, GETS(.options = RELAYED "ff")},
    {"with a sum", SAYS(.options = RELAYED "ff"), RELAY_CHECKSUM, RELAY_SENT, 0, 7, PLAIN, GETS(.options = RELAYED "ff", .sum = 1)},
    {"who wants broadcast gets it", SAYS(.options = RELAYED "ff", .flags = 0x8000), RELAY_BROADCAST, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = RELAYED "ff", .flags = 0x8000)},
    {"who does not, not", SAYS(.options = RELAYED "ff"), RELAY_BROADCAST, RELAY_SENT, 0, 7, CLIENT "020000000001 0800",
     GETS(.dst = "0a000063", .options = RELAYED "ff")},
    {"but without an address", SAYS(.options = RELAYED "ff", .yiaddr = "00000000"), RELAY_BROADCAST, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = RELAYED "ff", .yiaddr = "00000000")},
    {"stripped", SAYS(.options = "35 01 02" RELAYED "0c 02 6162 ff 00*60"), RELAY_STRIP_82, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "35 01 02 0c 02 6162 ff 00*60")},
    {"stripped, not below 300 octets", SAYS(.options = "35 01 02" RELAYED "ff 00*45"), RELAY_STRIP_82, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "35 01 02 ff 00*56")},
    {"stripped, as long as it was", SAYS(.options = "35 01 02" RELAYED "ff"), RELAY_STRIP_82, RELAY_SENT, 0, 7, PLAIN, GETS(.options = "35 01 02 ff 00*14")},
    {"stripped of ours only", SAYS(.options = "52 03 01 01 63" RELAYED "ff 00*60"), RELAY_STRIP_82 | RELAY_CHECKSUM, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 03 01 01 63 ff 00*60", .sum = 1)},
    {"stripped of the one that is whole", SAYS(.options = RELAYED "52 06 01 04 00000007 ff 00*60"), RELAY_STRIP_82, RELAY_SENT, 0, 7, PLAIN,
     GETS(.options = "52 06 01 04 00000007 ff 00*60")},
    DROPS(RELAY_NO_OPTION_82, ""),
    DROPS(RELAY_NO_OPTION_82, "35 01 02 ff"),
    DROPS(RELAY_NO_OPTION_82, "ff" RELAYED "ff"),
    DROPS(RELAY_NO_OPTION_82, "52 06 05 04 0a000001 ff"),
    DROPS(RELAY_NO_OPTION_82, "52 0b 01 03 000007 05 04 0a000001 ff"),       /* a number of three octets */
    DROPS(RELAY_NO_OPTION_82, "52 05 01 04 000000 07 05 04 0a000001 ff"),    /* a sub-option that overruns */
    DROPS(RELAY_NO_OPTION_82, "52 0d 01 04 00000007 05 04 0a000001"),        /* an option that does */
    DROPS(RELAY_NO_OPTION_82, "52 0c 01 04 ffffffff 05 04 0a000001 ff"),
    DROPS(RELAY_NO_OPTION_82, "52 0e ff 00 01 04 00000007 05 04 0a000001 ff"), /* behind the end of the sub-options */
    DROPS(RELAY_NO_OPTION_82, "52"),
    DROPS(RELAY_NO_OPTION_82, "52 00 ff"),
    DROPS(RELAY_NO_OPTION_82, "52 01 01 ff"),
    DROPS(RELAY_BAD_OPTION_82_ADDRESS, "52 06 01 04 00000007 ff"),
    DROPS(RELAY_BAD_OPTION_82_ADDRESS, "52 0c 01 04 00000007 05 04 00000000 ff"),
    DROPS(RELAY_BAD_OPTION_82_ADDRESS, "52 0b 01 04 00000007 05 03 0a0000 ff"),
    DROPS(RELAY_BAD_OPTION_82_INTERFACE, "52 0c 01 04 00000006 05 04 0a000001 ff"),
    DROPS(RELAY_NO_SERVER, "52 0c 01 04 0000000b 05 04 0a000001 ff"),
    DROPS(RELAY_NO_INTERFACE_ADDRESS, "52 0c 01 04 0000000a 05 04 0a000001 ff"),
    DROPS(RELAY_BAD_RELAY_ADDRESS, "52 0c 01 04 00000007 05 04 0a000002 ff"),
    {"another source", SAYS(.src = "c0a86f03", .options = RELAYED "ff"), 0, RELAY_BAD_SERVER, 0, 0, NULL, {0}},
};

/* say, but for what it leaves out: a server's packet to us, or ours to a client. */
static void reply(struct bytes *b, int to_client, struct say4 say) {
  say.op = 2;
  if (!say.src) say.src = to_client ? "0a000001" : "c0a86f02";
  if (!say.dst) say.dst = to_client ? "ffffffff" : "c0a86f01";
  if (!say.sport) say.sport = 67;
  if (!say.dport) say.dport = to_client ? 68 : 67;
  if (!say.yiaddr) say.yiaddr = "0a000063";
  if (!say.giaddr) say.giaddr = "c0a86f01";
  build4(b, &say);
}

static enum relay_fate relay(struct relay_router *r, const struct bytes *packet, uint32_t l2, uint8_t *out, struct relay_result *result) {
  uint8_t *in = alone(packet->at, packet->len), *room = malloc(RELAY_ROOM);
  struct relay_view view = {in, packet->len, l2};
  enum relay_fate fate = relay4_to_client(router_find, r, &view, room, result);
  CHECK(!memcmp(in, packet->at, packet->len), "the packet in was written to");
  if (fate == RELAY_SENT) memcpy(out, room, result->len);
  free(in);
  free(room);
  return fate;
}

static void test_rows(void) {
  static struct bytes in, want, packet;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *row = &rows[i];
    struct relay_router r;
    router_begin(&r, RELAY_IP4, row->flags);
    reply(&in, 0, row->in);
    for (unsigned trailer = 0; trailer < 2; trailer++, in.len += 4) {
      enum relay_fate fate = relay(&r, &in, 14, out, &result);
      CHECK(fate == row->fate, "%s: %s, row %u", row->what, relay_fate_name(fate), i);
      if (fate != RELAY_SENT) continue;
      CHECK(result.notes == row->notes && result.number == row->number, "%s: notes %u, interface %u", row->what, result.notes, result.number);
      reply(&packet, 1, row->out);
      lay(&want, row->l2);
      memcpy(want.at + want.len, packet.at, packet.len);
      want.len += packet.len;
      same_bytes(row->what, out, result.len, &want);
    }
  }
}

static void test_size(void) {
  static struct bytes in;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP4, 0);
  char options[64];
  snprintf(options, sizeof options, "52 0c 01 04 00000009 05 04 0a000001 ff 00*%u", 2048 - 14 - 28 - 240 - 15);
  reply(&in, 0, (struct say4)SAYS(.options = options));
  CHECK(relay(&r, &in, 14, out, &result) == RELAY_SENT && result.len == 2048 + 8, "longest: %u", result.len);
  CHECK(relay(&r, &in, 15, out, &result) == RELAY_PACKET_TOO_BIG, "one more");
}

/* A message that ends before its packet is not stripped; one without hardware address is broadcast. */
static void test_odd(void) {
  static struct bytes in;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP4, RELAY_STRIP_82 | RELAY_BROADCAST);
  reply(&in, 0, (struct say4)SAYS(.options = RELAYED "ff 00*60"));
  in.at[25]--;
  CHECK(relay(&r, &in, 14, out, &result) == RELAY_SENT && result.len == 14 + in.len && out[0] == 2, "claims less: %u", result.len);
  static const struct {
    unsigned at, value;
  } odd[] = {{1, 6}, {2, 8}, {28, 3}};
  for (unsigned i = 0; i < 3; i++) {
    reply(&in, 0, (struct say4)SAYS(.options = RELAYED "ff"));
    in.at[28 + odd[i].at] = (uint8_t)odd[i].value;
    CHECK(relay(&r, &in, 14, out, &result) == RELAY_SENT && out[0] == 0xff && out[14 + 16] == 0xff, "hardware address, %u", i);
  }
  reply(&in, 0, (struct say4)SAYS(.options = RELAYED "ff"));
  memset(in.at + 28 + 28, 0, 6);
  CHECK(relay(&r, &in, 14, out, &result) == RELAY_SENT && out[0] == 0xff, "no hardware address");
}

static void direction(enum relay_direction want, const struct relay_config *config, unsigned sport, unsigned dport, unsigned op) {
  static struct bytes in;
  build4(&in, &(struct say4){.sport = sport, .dport = dport, .op = op, .options = "ff"});
  struct relay_view view = {in.at, in.len, 14};
  enum relay_direction got = relay_direction(config, &view);
  CHECK(got == want, "%u to %u: %u", sport, dport, got);
}

static void test_directions(void) {
  struct relay_router r;
  router_begin(&r, RELAY_IP4, 0);
  direction(RELAY_TO_SERVER, &r.config, 68, 67, 1);
  direction(RELAY_TO_SERVER, &r.config, 1024, 67, 2);
  direction(RELAY_TO_CLIENT, &r.config, 67, 67, 1);
  direction(RELAY_TO_CLIENT, NULL, 67, 67, 1);
  direction(RELAY_TO_CLIENT, &r.config, 1024, 68, 2);
  direction(RELAY_OTHER, &r.config, 67, 69, 1);
  router_begin(&r, RELAY_IP4, RELAY_CHAINED);
  direction(RELAY_TO_SERVER, &r.config, 67, 67, 1);
  direction(RELAY_TO_CLIENT, &r.config, 67, 67, 2);
}

static void test_sums(void) {
  static struct bytes in;
  build4(&in, &(struct say4){.options = "35 01 01 ff", .sum = 1});
  struct relay_view view = {in.at, in.len + 3, 14};
  CHECK(relay_checksum_ok(&view), "right");
  for (uint32_t at = 12; at < in.len; at++) {
    in.at[at] ^= 0x10;
    CHECK(!relay_checksum_ok(&view), "wrong at %u", at);
    in.at[at] ^= 0x10;
  }
  in.at[26] = in.at[27] = 0;
  in.at[40] ^= 1;
  CHECK(relay_checksum_ok(&view), "none");
  view.len = 10;
  CHECK(!relay_checksum_ok(&view), "cut");
}

void test_relay4_client(void) {
  test_rows();
  test_size();
  test_odd();
  test_directions();
  test_sums();
}
