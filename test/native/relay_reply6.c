/* relay_reply6.c - servers' RELAY-REPL to clients, IPv6: the frame octet by octet, each rule, each reason to drop. */
#include "relay_bytes.h"

#define SERVER0 "20010db8 00*10 0102"
#define SERVER1 "20010db8 00*10 0203"
#define SOURCE "20010db8 00*11 6f"
#define LINK "fd00*14 01"
#define PEER "fe80 00*13 99"
#define HEAD "0d 00" LINK PEER
#define NUMBER "0012 0004 00000007"
#define REPLY "07 a1b2c3 0008 0002 0001"
#define PLAIN "ffffffffffff 020000000001 86dd"

struct row {
  const char *what;
  const char *message;
  enum relay_fate fate;
  unsigned number;
  const char *l2, *out;
};

static const struct row rows[] = {
    {"interface first", HEAD NUMBER "0009 000a" REPLY, RELAY_SENT, 7, PLAIN, REPLY},
    {"message first", HEAD "0009 000a" REPLY NUMBER, RELAY_SENT, 7, PLAIN, REPLY},
    {"others between", HEAD "0044 0001 ff" NUMBER "004f 0008 0001 020000000a01 0009 000a" REPLY "0044 0001 00", RELAY_SENT, 7, PLAIN, REPLY},
    {"what is behind the two is not looked at", HEAD NUMBER "0009 000a" REPLY "0012 0004 00000063", RELAY_SENT, 7, PLAIN, REPLY},
    {"of interfaces before, the last", HEAD "0012 0004 00000008" NUMBER "0009 000a" REPLY, RELAY_SENT, 7, PLAIN, REPLY},
    {"of messages before, the last", HEAD "0009 0001 02 0009 000a" REPLY NUMBER, RELAY_SENT, 7, PLAIN, REPLY},
    {"one tag", HEAD "0012 0004 00000008 0009 000a" REPLY, RELAY_SENT, 8, "ffffffffffff 020000000001 8100 0abc 86dd", REPLY},
    {"two tags", HEAD "0012 0004 00000009 0009 000a" REPLY, RELAY_SENT, 9, "ffffffffffff 020000000001 88a8 0abc 8100 000b 86dd", REPLY},
    {"an empty message", HEAD NUMBER "0009 0000", RELAY_SENT, 7, PLAIN, ""},
    {"odd length", HEAD NUMBER "0009 0005 07 a1b2c3 55", RELAY_SENT, 7, PLAIN, "07 a1b2c3 55"},
    {"32 hops", "0d 20" LINK PEER NUMBER "0009 000a" REPLY, RELAY_SENT, 7, PLAIN, REPLY},
    {"33 hops", "0d 21" LINK PEER NUMBER "0009 000a" REPLY, RELAY_MAX_HOPS, 0, NULL, NULL},
    {"no RELAY-REPL", "07 a1b2c3", RELAY_WRONG_MESSAGE_TYPE, 0, NULL, NULL},
    {"RELAY-FORW", "0c 00" LINK PEER NUMBER "0009 000a" REPLY, RELAY_WRONG_MESSAGE_TYPE, 0, NULL, NULL},
    {"nothing", "", RELAY_MALFORMED, 0, NULL, NULL},
    {"cut in its header", "0d 00*32", RELAY_MALFORMED, 0, NULL, NULL},
    {"no options", HEAD, RELAY_NO_RELAY_MESSAGE, 0, NULL, NULL},
    {"no message", HEAD NUMBER, RELAY_NO_RELAY_MESSAGE, 0, NULL, NULL},
    {"a message that overruns", HEAD NUMBER "0009 000b" REPLY, RELAY_NO_RELAY_MESSAGE, 0, NULL, NULL},
    {"an option that overruns", HEAD NUMBER "0044 ffff 0009 000a" REPLY, RELAY_NO_RELAY_MESSAGE, 0, NULL, NULL},
    {"half an option", HEAD NUMBER "0009 00", RELAY_NO_RELAY_MESSAGE, 0, NULL, NULL},
    {"no interface", HEAD "0009 000a" REPLY, RELAY_NO_INTERFACE_ID, 0, NULL, NULL},
    {"an interface that overruns", HEAD "0009 000a" REPLY "0012 0004 000000", RELAY_NO_INTERFACE_ID, 0, NULL, NULL},
    {"no such interface", HEAD "0012 0004 00000006 0009 000a" REPLY, RELAY_WRONG_INTERFACE_ID, 0, NULL, NULL},
    {"three octets of interface", HEAD "0012 0003 000007 0009 000a" REPLY, RELAY_WRONG_INTERFACE_ID, 0, NULL, NULL},
    {"three, and a fourth behind them", HEAD "0012 0003 000000 0700 0000 0009 000a" REPLY, RELAY_WRONG_INTERFACE_ID, 0, NULL, NULL},
    {"no relay there", HEAD "0012 0004 0000000b 0009 000a" REPLY, RELAY_NO_SERVER, 0, NULL, NULL},
    {"no address there", HEAD "0012 0004 0000000a 0009 000a" REPLY, RELAY_NO_INTERFACE_ADDRESS, 0, NULL, NULL},
};

static enum relay_fate relay(struct relay_router *r, uint32_t domain, const struct bytes *packet, uint32_t l2, uint8_t *out, struct relay_result *result) {
  uint8_t *in = alone(packet->at, packet->len), *room = malloc(RELAY_ROOM);
  struct relay_view view = {in, packet->len, l2};
  enum relay_fate fate = relay6_to_client(router_find, r, domain, &view, room, result);
  CHECK(!memcmp(in, packet->at, packet->len), "the packet in was written to");
  if (fate == RELAY_SENT) memcpy(out, room, result->len);
  free(in);
  free(room);
  return fate;
}

static void answer(struct bytes *in, const char *src, const char *message) {
  build6(in, &(struct say6){.src = src, .dst = SOURCE, .hops = 60, .sport = 547, .head = "6ab12345", .message = message});
}

/* Half the class and a quarter of the label come through, as in VPP. */
static void frame(struct bytes *want, const char *l2, unsigned port, const char *message) {
  static struct bytes packet;
  build6(&packet, &(struct say6){.src = LINK, .dst = PEER, .hops = 32, .sport = 547, .dport = port, .head = "6a010000", .message = message});
  lay(want, l2);
  memcpy(want->at + want->len, packet.at, packet.len);
  want->len += packet.len;
}

static void test_rows(void) {
  static struct bytes in, want;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
    const struct row *row = &rows[i];
    for (unsigned server = 0; server < 2; server++) {
      struct relay_router r;
      router_begin(&r, RELAY_IP6, 0);
      answer(&in, server ? SERVER1 : SERVER0, row->message);
      in.len += 3 * server; /* a trailer */
      enum relay_fate fate = relay(&r, 5, &in, 14, out, &result);
      CHECK(fate == row->fate, "%s: %s", row->what, relay_fate_name(fate));
      if (fate != RELAY_SENT) continue;
      CHECK(result.number == row->number, "%s: interface %u", row->what, result.number);
      frame(&want, row->l2, 546, row->out);
      same_bytes(row->what, out, result.len, &want);
    }
  }
}

static void test_rest(void) {
  static struct bytes in, want;
  uint8_t out[RELAY_ROOM];
  struct relay_result result;
  struct relay_router r;
  router_begin(&r, RELAY_IP6, 0);
  answer(&in, SERVER0, HEAD NUMBER "0009 000a" REPLY);
  CHECK(relay(&r, 6, &in, 14, out, &result) == RELAY_BAD_SERVER, "from another domain");
  answer(&in, LINK, HEAD NUMBER "0009 000a" REPLY);
  CHECK(relay(&r, 5, &in, 14, out, &result) == RELAY_BAD_SERVER, "from another address");
  for (unsigned chained = 0; chained < 2; chained++) {
    router_begin(&r, RELAY_IP6, chained ? RELAY_CHAINED : 0);
    answer(&in, SERVER0, HEAD NUMBER "0009 0022 0d 00*33");
    CHECK(relay(&r, 5, &in, 14, out, &result) == RELAY_SENT, "to a relay");
    frame(&want, PLAIN, chained ? 547 : 546, "0d 00*33");
    same_bytes("to a relay", out, result.len, &want);
  }
  answer(&in, SERVER0, HEAD NUMBER "0009 0000");
  CHECK(relay(&r, 5, &in, 14, out, &result) == RELAY_SENT && result.len == 14 + 48, "nothing to a relay");
  char message[256];
  snprintf(message, sizeof message, "%s %s 0009 %04x 07*%u", HEAD, "0012 0004 00000009", 2048 - 14 - 48 - 34 - 12, 2048 - 14 - 48 - 34 - 12);
  answer(&in, SERVER0, message);
  CHECK(relay(&r, 5, &in, 14, out, &result) == RELAY_SENT, "longest");
  CHECK(relay(&r, 5, &in, 15, out, &result) == RELAY_PACKET_TOO_BIG, "one more");
}

void test_relay6_client(void) {
  test_rows();
  test_rest();
}
