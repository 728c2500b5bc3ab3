/* relay4.c - the DHCP relay for IPv4. To a server: new addresses, giaddr, and option 82 in the place of the end of the
 * options: sub-option 1 the interface's number, 5 its address (link selection), 151 and 152 the VPN. Back: by the last
 * such option, to 255.255.255.255, port 68. Hops, TTL, ident and what the client sent as option 82 stay as they are.
 *
 * Byte for byte as VPP's dhcp4_proxy_node.c does it, but for what it leaves to chance. Behind the end of the options,
 * where a client has padded its message, VPP lengthens it by what was in the buffer before: here that is zeros.
 * A sub-option is in its option and an option in its packet, or it is not there; a trailer of the frame is not looked
 * at. A pad is one octet; VPP takes a length behind it, and behind an odd number finds no end. IP options never get to
 * VPP's relay (ip4-options punts them): here they are left out, so that a client does not route the relay's packets.
 * Each copy of a DISCOVER belongs to its own server's domain; in VPP to the first one's.
 */
#include "relay_udp.h"

enum { OPTION_PAD = 0, OPTION_TYPE = 53, OPTION_RELAY = 82, OPTION_END = 255 };
enum { SUB_CIRCUIT = 1, SUB_LINK = 5, SUB_VSS = 151, SUB_VSS_CONTROL = 152 };

#define IP_HEAD 20u
#define PORT_CLIENT 68u
#define DISCOVER 1u
#define ASKS_BROADCAST 0x8000u
/* Offsets in a message. */
#define HTYPE 1u
#define HLEN 2u
#define FLAGS 10u
#define YIADDR 16u
#define GIADDR 24u
#define CHADDR 28u
#define OPTIONS 240u
#define SHORTEST 300u   /* of a BOOTP message; old clients want it */
#define VPP_ADDS 27u    /* bytes that VPP wants free behind the packet */
#define NONE 0xffffffffu

/* The option behind the one at o; n where there is none. */
static uint32_t next_option(const uint8_t *m, uint32_t o, uint32_t n) {
  if (m[o] == OPTION_PAD) return o + 1;
  if (o + 1 >= n || m[o + 1] > n - o - 2) return n;
  return o + 2 + m[o + 1];
}

/* Where the options of a message of n bytes end, n: nowhere; and whether it is a DISCOVER. */
static uint32_t options_end(const uint8_t *m, uint32_t n, int *discover) {
  uint32_t o = OPTIONS;
  *discover = 0;
  while (o < n && m[o] != OPTION_END) {
    if (m[o] == OPTION_TYPE && o + 2 < n && m[o + 2] == DISCOVER) *discover = 1;
    o = next_option(m, o, n);
  }
  return o < n ? o : n;
}

/* Option 82 and the end; how much longer the message is with it. */
static uint32_t put_relay(const struct relay_interface *rx, uint8_t *o) {
  const struct relay_vss *vss = &rx->config->vss;
  uint32_t at = 14, id = vss->len < RELAY_VSS_ID ? vss->len : RELAY_VSS_ID;
  o[0] = OPTION_RELAY;
  o[2] = SUB_CIRCUIT;
  o[3] = 4;
  store_be16(o + 4, rx->number >> 16);
  store_be16(o + 6, rx->number & 0xffff);
  o[8] = SUB_LINK;
  o[9] = 4;
  memcpy(o + 10, rx->address, 4);
  if (vss->present) {
    o[at] = SUB_VSS;
    o[at + 1] = (uint8_t)(1 + id);
    o[at + 2] = (uint8_t)vss->type;
    memcpy(o + at + 3, vss->id, id);
    at += 3 + id;
    o[at] = SUB_VSS_CONTROL;
    o[at + 1] = 0;
    at += 2;
  }
  o[1] = (uint8_t)(at - 2);
  o[at] = OPTION_END;
  return at;
}

/* An IP header without options before payload bytes, its addresses not yet written. */
static void put_ip(const uint8_t *ip, uint32_t payload, uint8_t *out) {
  memcpy(out, ip, IP_HEAD);
  out[0] = 0x45;
  store_be16(out + 2, IP_HEAD + payload);
  store16(out + 10, 0);
}

enum relay_fate relay4_to_server(const struct relay_interface *rx, const struct relay_view *in, uint8_t *out, struct relay_result *result) {
  static const uint8_t unset[4];
  const struct relay_config *config = rx->config;
  unsigned servers = relay_servers(config, RELAY_IP4);
  struct relay_udp udp;
  int discover;
  *result = (struct relay_result){0};
  if (!relay_parse(RELAY_IP4, in, &udp) || udp.len < UDP_HEAD + CHADDR) return RELAY_MALFORMED;
  if (!servers) return RELAY_NO_SERVER;
  if (in->l2 + (uint32_t)(udp.at - in->ip) + udp.len + VPP_ADDS > RELAY_BUFFER) return RELAY_PACKET_TOO_BIG;
  const uint8_t *m = udp.at + UDP_HEAD;
  uint32_t n = udp.len - UDP_HEAD, added = 0, end = options_end(m, n, &discover);
  int relayed = (config->flags & RELAY_CHAINED) && memcmp(m + GIADDR, unset, 4);
  if (relayed && (!memcmp(m + GIADDR, config->source, 4) || (rx->has_address && !memcmp(m + GIADDR, rx->address, 4))))
    return RELAY_SPOOFED_GIADDR;
  if (!relayed && end < n && !rx->has_address) return RELAY_NO_INTERFACE_ADDRESS;

  uint8_t *to = out + IP_HEAD, *copy = to + UDP_HEAD;
  memset(out, 0, RELAY_ROOM);
  memcpy(to, udp.at, udp.len);
  if (!relayed) {
    memcpy(copy + GIADDR, config->source, 4);
    if (end < n) added = put_relay(rx, copy + end);
    else result->notes |= RELAY_NOTE_OPTION_82_ERROR;
  }
  put_ip(in->ip, udp.len + added, out);
  memcpy(out + 12, config->source, 4);
  store_be16(to + 4, load_be16(to + 4) + added);
  store16(to + 6, config->flags & RELAY_CHECKSUM ? 0xffff : 0); /* none stays none */
  relay_readdress(config, 0, out);
  result->servers = (uint8_t)(discover ? servers : 1);
  result->len = IP_HEAD + udp.len + added;
  return RELAY_SENT;
}

/* What the options 82 of a reply say, the last one of each kind. */
struct relayed {
  uint32_t number, at, len; /* at: of the option that has both; 0: none */
  uint8_t address[4];
  uint8_t notes;
};

static void read_relay(const uint8_t *o, struct relayed *r, uint32_t at) {
  uint32_t end = 2u + o[1], circuit = 0, link = 0, vss = 0, control = 0;
  for (uint32_t s = 2; s + 2 <= end && o[s] != OPTION_END && o[s + 1] <= end - s - 2; s += 2u + o[s + 1]) {
    if (o[s] == SUB_CIRCUIT && o[s + 1] == 4) circuit = s;
    else if (o[s] == SUB_LINK && o[s + 1] == 4) link = s;
    else if (o[s] == SUB_VSS && o[s + 1] > 0) vss = s;
    else if (o[s] == SUB_VSS_CONTROL && o[s + 1] == 0) control = s;
  }
  if (circuit) r->number = load_be32(o + circuit + 2);
  if (link) memcpy(r->address, o + link + 2, 4);
  if (circuit && link) r->at = at, r->len = end;
  if (vss && control) r->notes |= RELAY_NOTE_VSS_NOT_PROCESSED;
}

static void read_options(const uint8_t *m, uint32_t n, struct relayed *r) {
  *r = (struct relayed){.number = NONE};
  for (uint32_t o = OPTIONS; o < n && m[o] != OPTION_END; o = next_option(m, o, n))
    if (m[o] == OPTION_RELAY && o + 2 <= n && m[o + 1] <= n - o - 2) read_relay(m + o, r, o);
}

static int is_server(const struct relay_config *config, unsigned servers, const uint8_t *address) {
  for (unsigned i = 0; i < servers; i++)
    if (!memcmp(config->server[i].address, address, 4)) return 1;
  return 0;
}

/* Takes out what is at r->at, of n bytes; how many there are then. */
static uint32_t strip(uint8_t *m, uint32_t n, const struct relayed *r) {
  uint32_t less = n - r->len, shortest = n < SHORTEST ? n : SHORTEST;
  memmove(m + r->at, m + r->at + r->len, n - r->at - r->len);
  memset(m + less, 0, r->len);
  return less < shortest ? shortest : less;
}

/* Does the client take unicast before it has its address, and is it known which? */
static int by_unicast(const uint8_t *m) {
  static const uint8_t none[6];
  return !(load_be16(m + FLAGS) & ASKS_BROADCAST) && m[HTYPE] == 1 && m[HLEN] == 6 && load_be32(m + YIADDR) != 0 &&
         !(m[CHADDR] & 1) && memcmp(m + CHADDR, none, 6);
}

enum relay_fate relay4_to_client(relay_find *find, void *with, const struct relay_view *in, uint8_t *out, struct relay_result *result) {
  static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  struct relay_interface tx;
  struct relayed r;
  struct relay_udp udp;
  *result = (struct relay_result){0};
  if (!relay_parse(RELAY_IP4, in, &udp)) return RELAY_MALFORMED;
  if (in->l2 + (uint32_t)(udp.at - in->ip) + udp.len > RELAY_BUFFER) return RELAY_PACKET_TOO_BIG;
  const uint8_t *m = udp.at + UDP_HEAD;
  uint32_t n = udp.len - UDP_HEAD, claimed = load_be16(udp.at + 4), kept = n;
  read_options(m, n, &r);
  result->notes = r.notes;
  if (r.number == NONE) return RELAY_NO_OPTION_82;
  if (load_be32(r.address) == 0) return RELAY_BAD_OPTION_82_ADDRESS;
  if (!find(with, r.number, &tx)) return RELAY_BAD_OPTION_82_INTERFACE;
  unsigned servers = relay_servers(tx.config, RELAY_IP4);
  if (!servers) return RELAY_NO_SERVER;
  if (!is_server(tx.config, servers, in->ip + 12)) return RELAY_BAD_SERVER;
  if (!tx.has_address) return RELAY_NO_INTERFACE_ADDRESS;
  if (memcmp(r.address, tx.address, 4)) return RELAY_BAD_RELAY_ADDRESS;

  unsigned flags = tx.config->flags;
  int unicast = (flags & RELAY_BROADCAST) && by_unicast(m);
  uint32_t l2 = relay_l2(&tx, unicast ? m + CHADDR : everybody, TYPE_IP4, out);
  uint8_t *ip = out + l2, *to = ip + IP_HEAD;
  memcpy(to, udp.at, udp.len);
  /* A message that ends before its packet is left alone. */
  if ((flags & RELAY_STRIP_82) && r.at && claimed == udp.len) {
    kept = strip(to + UDP_HEAD, n, &r);
    store_be16(to + 4, UDP_HEAD + kept);
  }
  put_ip(in->ip, UDP_HEAD + kept, ip);
  memcpy(ip + 12, tx.address, 4);
  if (unicast) memcpy(ip + 16, m + YIADDR, 4);
  else memset(ip + 16, 0xff, 4);
  store16(ip + 10, checksum(ip, IP_HEAD));
  store_be16(to + 2, PORT_CLIENT);
  store16(to + 6, 0);
  if (flags & RELAY_CHECKSUM) store16(to + 6, relay_sum(RELAY_IP4, ip, to, load_be16(to + 4)));
  result->number = r.number;
  result->len = l2 + IP_HEAD + UDP_HEAD + kept;
  return RELAY_SENT;
}
