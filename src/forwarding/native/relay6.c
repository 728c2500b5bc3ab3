/* relay6.c - the DHCP relay for IPv6. To a server: RELAY-FORW with the message in option 9, then 18 the interface's
 * number, 79 the client's MAC (not behind another relay), 68 the VPN; from port 546, hop limit 32. Back: what is in
 * RELAY-REPL, to its peer-address, port 546, by Ethernet broadcast.
 *
 * Byte for byte as VPP's dhcp6_proxy_node.c does it, where that is what a server and a client can use. In VPP the hop
 * count behind another relay is octet 3 of that one's address and 1 (the header is overwritten before it is read); a
 * copy of a SOLICIT for a further server has the first one's checksum, and is lost; of a reply whose option 9 is
 * before 18 something else is sent; what is behind the UDP payload is taken for options, or put between them.
 */
#include "relay_udp.h"

enum { SOLICIT = 1, REQUEST = 3, CONFIRM, RENEW, REBIND, RELEASE = 8, DECLINE, INFORMATION_REQUEST = 11, RELAY_FORW, RELAY_REPL };
enum { OPTION_RELAY_MSG = 9, OPTION_INTERFACE_ID = 18, OPTION_VSS = 68, OPTION_CLIENT_MAC = 79 };

#define IP_HEAD 40u
#define PORT_CLIENT 546u
#define PORT_SERVER 547u
#define HOP_LIMIT 32u
/* A relay message: type, hop count, link-address, peer-address. */
#define HOPS 1u
#define LINK 2u
#define PEER 18u
#define RELAY_HEAD 34u
#define OPTION_HEAD 4u
#define VPP_ADDS 25u /* bytes that VPP wants free behind the packet */

static int from_client(unsigned type) {
  switch (type) {
    case SOLICIT: case REQUEST: case CONFIRM: case RENEW: case REBIND: case RELEASE: case DECLINE:
    case INFORMATION_REQUEST: case RELAY_FORW: return 1;
    default: return 0;
  }
}

/* 2000::/3, fc00::/7 */
static int beyond_link(const uint8_t *a) { return (a[0] & 0xe0) == 0x20 || (a[0] & 0xfe) == 0xfc; }

/* Head of an option; where its contents go. */
static uint8_t *put_option(uint8_t *at, unsigned code, uint32_t len) {
  store_be16(at, code);
  store_be16(at + 2, len);
  return at + OPTION_HEAD;
}

static uint8_t *put_number(uint8_t *at, uint32_t number) {
  at = put_option(at, OPTION_INTERFACE_ID, 4);
  store_be16(at, number >> 16);
  store_be16(at + 2, number & 0xffff);
  return at + 4;
}

static uint8_t *put_mac(uint8_t *at, const uint8_t *mac) {
  at = put_option(at, OPTION_CLIENT_MAC, 8);
  store_be16(at, 1); /* Ethernet */
  memcpy(at + 2, mac, 6);
  return at + 8;
}

static uint8_t *put_vss(uint8_t *at, const struct relay_vss *vss) {
  uint32_t id = vss->len < RELAY_VSS_ID ? vss->len : RELAY_VSS_ID;
  at = put_option(at, OPTION_VSS, 1 + id);
  *at = (uint8_t)vss->type;
  memcpy(at + 1, vss->id, id);
  return at + 1 + id;
}

/* IP and UDP headers before a message of n bytes, with class and label as given; dst is written, the sum is not. */
static void put_headers(uint8_t *ip, const uint8_t *src, const uint8_t *dst, unsigned src_port, unsigned dst_port, uint32_t n) {
  uint8_t *udp = ip + IP_HEAD;
  store_be16(ip + 4, UDP_HEAD + n);
  ip[6] = PROTO_UDP;
  ip[7] = HOP_LIMIT;
  memcpy(ip + 8, src, 16);
  memcpy(ip + 24, dst, 16);
  store_be16(udp, src_port);
  store_be16(udp + 2, dst_port);
  store_be16(udp + 4, UDP_HEAD + n);
  store16(udp + 6, 0);
}

enum relay_fate relay6_to_server(const struct relay_interface *rx, const uint8_t *mac, const struct relay_view *in, uint8_t *out,
                                 struct relay_result *result) {
  const struct relay_config *config = rx->config;
  unsigned servers = relay_servers(config, RELAY_IP6);
  struct relay_udp udp;
  *result = (struct relay_result){0};
  if (!relay_parse(RELAY_IP6, in, &udp)) return RELAY_MALFORMED;
  const uint8_t *m = udp.at + UDP_HEAD, *client = in->ip + 8;
  uint32_t n = load_be16(udp.at + 4) - UDP_HEAD;
  if (n < 1) return RELAY_MALFORMED;
  if (!from_client(m[0])) return RELAY_WRONG_MESSAGE_TYPE;
  if (!servers) return RELAY_NO_SERVER;
  int relayed = m[0] == RELAY_FORW, has_link = !(relayed && beyond_link(client));
  if (relayed && n < RELAY_HEAD) return RELAY_MALFORMED;
  if (relayed && m[HOPS] + 1u >= HOP_LIMIT) return RELAY_MAX_HOPS;
  if (has_link && !rx->has_address) return RELAY_NO_INTERFACE_ADDRESS;
  if (in->l2 + IP_HEAD + udp.len + VPP_ADDS > RELAY_BUFFER) return RELAY_PACKET_TOO_BIG;
  if (!rx->has_address) return RELAY_NO_SOURCE_ADDRESS;

  uint8_t *relay = out + IP_HEAD + UDP_HEAD, *at = relay + RELAY_HEAD;
  memset(out, 0, RELAY_ROOM);
  out[0] = 0x60;
  relay[0] = RELAY_FORW;
  relay[HOPS] = (uint8_t)(relayed ? m[HOPS] + 1 : 0);
  if (has_link) memcpy(relay + LINK, rx->address, 16);
  memcpy(relay + PEER, client, 16);
  at = put_option(at, OPTION_RELAY_MSG, n);
  memcpy(at, m, n);
  at = put_number(at + n, rx->number);
  if (!relayed) at = put_mac(at, mac);
  if (config->vss.present) at = put_vss(at, &config->vss);
  put_headers(out, config->source, config->server[0].address, PORT_CLIENT, PORT_SERVER, (uint32_t)(at - relay));
  relay_readdress(config, 0, out);
  result->servers = (uint8_t)(m[0] == SOLICIT ? servers : 1);
  result->len = (uint32_t)(at - out);
  return RELAY_SENT;
}

static int is_server(const struct relay_config *config, unsigned servers, const uint8_t *address, uint32_t domain) {
  for (unsigned i = 0; i < servers; i++)
    if (config->server[i].domain == domain && !memcmp(config->server[i].address, address, 16)) return 1;
  return 0;
}

/* What a RELAY-REPL of n bytes has for us: the interface, and the message at *at. An option that overruns is not there. */
static enum relay_fate read_reply(relay_find *find, void *with, const uint8_t *m, uint32_t n, struct relay_interface *tx, uint32_t *number,
                                  const uint8_t **at, uint32_t *len) {
  int has_interface = 0;
  *at = NULL;
  for (uint32_t o = RELAY_HEAD; o + OPTION_HEAD <= n && !(*at && has_interface);) {
    unsigned code = load_be16(m + o);
    uint32_t size = load_be16(m + o + 2);
    o += OPTION_HEAD;
    if (size > n - o) break;
    if (code == OPTION_INTERFACE_ID) {
      *number = size == 4 ? load_be32(m + o) : *number;
      has_interface = find(with, *number, tx);
      if (!has_interface) return RELAY_WRONG_INTERFACE_ID;
    }
    if (code == OPTION_RELAY_MSG) *at = m + o, *len = size;
    o += size;
  }
  if (!*at) return RELAY_NO_RELAY_MESSAGE;
  return has_interface ? RELAY_SENT : RELAY_NO_INTERFACE_ID;
}

enum relay_fate relay6_to_client(relay_find *find, void *with, uint32_t domain, const struct relay_view *in, uint8_t *out,
                                 struct relay_result *result) {
  static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  struct relay_interface tx;
  struct relay_udp udp;
  const uint8_t *message;
  uint32_t len = 0, number = 0xffffffffu;
  *result = (struct relay_result){0};
  if (!relay_parse(RELAY_IP6, in, &udp)) return RELAY_MALFORMED;
  const uint8_t *m = udp.at + UDP_HEAD;
  uint32_t n = udp.len - UDP_HEAD;
  if (n < 1) return RELAY_MALFORMED;
  if (m[0] != RELAY_REPL) return RELAY_WRONG_MESSAGE_TYPE;
  if (n < RELAY_HEAD) return RELAY_MALFORMED;
  if (in->l2 + IP_HEAD + udp.len > RELAY_BUFFER) return RELAY_PACKET_TOO_BIG;
  if (m[HOPS] > HOP_LIMIT) return RELAY_MAX_HOPS;
  enum relay_fate fate = read_reply(find, with, m, n, &tx, &number, &message, &len);
  if (fate != RELAY_SENT) return fate;
  unsigned servers = relay_servers(tx.config, RELAY_IP6);
  if (!servers) return RELAY_NO_SERVER;
  if (!is_server(tx.config, servers, in->ip + 8, domain)) return RELAY_BAD_SERVER;
  if (!tx.has_address) return RELAY_NO_INTERFACE_ADDRESS;

  int to_relay = (tx.config->flags & RELAY_CHAINED) && len && message[0] == RELAY_REPL;
  uint32_t l2 = relay_l2(&tx, everybody, TYPE_IP6, out);
  uint8_t *ip = out + l2, *to = ip + IP_HEAD;
  /* VPP keeps these bits: of the class the upper half, of the flow label the upper four. */
  ip[0] = in->ip[0];
  ip[1] = in->ip[1] & 0x0f;
  ip[2] = ip[3] = 0;
  put_headers(ip, tx.address, m + PEER, PORT_SERVER, to_relay ? PORT_SERVER : PORT_CLIENT, len);
  memcpy(to + UDP_HEAD, message, len);
  store16(to + 6, relay_sum(RELAY_IP6, ip, to, UDP_HEAD + len));
  result->number = number;
  result->len = l2 + IP_HEAD + UDP_HEAD + len;
  return RELAY_SENT;
}
