/* relay.c - what the DHCP relay does alike for both families: packets taken apart, sums, the frame around a reply.
 * Reference: RFC 768, RFC 8200 8.1; ports of RFC 2131 and RFC 8415.
 */
#include "relay_udp.h"

#define PORT4_SERVER 67u
#define PORT4_CLIENT 68u
#define PORT6_CLIENT 546u
#define PORT6_SERVER 547u

static const char *const names[RELAY_FATES] = {
    [RELAY_SENT] = "sent",
    [RELAY_MALFORMED] = "malformed",
    [RELAY_NO_SERVER] = "no-server",
    [RELAY_PACKET_TOO_BIG] = "packet-too-big",
    [RELAY_NO_INTERFACE_ADDRESS] = "no-interface-address",
    [RELAY_NO_SOURCE_ADDRESS] = "no-source-address",
    [RELAY_WRONG_MESSAGE_TYPE] = "wrong-message-type",
    [RELAY_MAX_HOPS] = "max-hops",
    [RELAY_SPOOFED_GIADDR] = "spoofed-giaddr",
    [RELAY_NO_OPTION_82] = "no-option-82",
    [RELAY_BAD_OPTION_82_ADDRESS] = "bad-option-82-address",
    [RELAY_BAD_OPTION_82_INTERFACE] = "bad-option-82-interface",
    [RELAY_NO_RELAY_MESSAGE] = "no-relay-message",
    [RELAY_NO_INTERFACE_ID] = "no-interface-id",
    [RELAY_WRONG_INTERFACE_ID] = "wrong-interface-id",
    [RELAY_BAD_SERVER] = "bad-server",
    [RELAY_BAD_RELAY_ADDRESS] = "bad-relay-address",
};

const char *relay_fate_name(enum relay_fate fate) { return fate < RELAY_FATES ? names[fate] : "unknown"; }

static int parse4(const struct relay_view *in, struct relay_udp *udp) {
  if (in->len < 20 || in->ip[0] >> 4 != 4) return 0;
  uint32_t head = (in->ip[0] & 15u) * 4u, total = load_be16(in->ip + 2);
  if (head < 20 || total < head + UDP_HEAD || total > in->len) return 0;
  if (in->ip[9] != PROTO_UDP || (load_be16(in->ip + 6) & 0x3fff)) return 0;
  *udp = (struct relay_udp){in->ip + head, total - head};
  return 1;
}

static int parse6(const struct relay_view *in, struct relay_udp *udp) {
  if (in->len < 40 || in->ip[0] >> 4 != 6) return 0;
  uint32_t payload = load_be16(in->ip + 4);
  if (payload < UDP_HEAD || payload > in->len - 40 || in->ip[6] != PROTO_UDP) return 0;
  *udp = (struct relay_udp){in->ip + 40, payload};
  return 1;
}

int relay_parse(enum relay_family family, const struct relay_view *in, struct relay_udp *udp) {
  if (!(family == RELAY_IP4 ? parse4(in, udp) : parse6(in, udp))) return 0;
  uint32_t claimed = load_be16(udp->at + 4);
  return claimed >= UDP_HEAD && claimed <= udp->len;
}

static uint64_t sum_of(enum relay_family family, const uint8_t *ip, const uint8_t *udp, uint32_t n) {
  uint8_t pseudo[4] = {0, PROTO_UDP, (uint8_t)(n >> 8), (uint8_t)n};
  uint64_t sum = family == RELAY_IP4 ? checksum_add(0, ip + 12, 8) : checksum_add(0, ip + 8, 32);
  return checksum_add(checksum_add(sum, pseudo, 4), udp, n);
}

uint16_t relay_sum(enum relay_family family, const uint8_t *ip, const uint8_t *udp, uint32_t n) {
  uint64_t sum = sum_of(family, ip, udp, n) + (uint16_t)~load16(udp + 6);
  uint16_t folded = (uint16_t)~checksum_fold(sum);
  return folded ? folded : 0xffff;
}

int relay_checksum_ok(const struct relay_view *in) {
  enum relay_family family = in->len && in->ip[0] >> 4 == 6 ? RELAY_IP6 : RELAY_IP4;
  struct relay_udp udp;
  if (!relay_parse(family, in, &udp)) return 0;
  return !load16(udp.at + 6) || checksum_fold(sum_of(family, in->ip, udp.at, load_be16(udp.at + 4))) == 0xffff;
}

enum relay_direction relay_direction(const struct relay_config *config, const struct relay_view *in) {
  enum relay_family family = in->len && in->ip[0] >> 4 == 6 ? RELAY_IP6 : RELAY_IP4;
  struct relay_udp udp;
  if (!relay_parse(family, in, &udp)) return RELAY_OTHER;
  unsigned src = load_be16(udp.at), dst = load_be16(udp.at + 2), type = udp.len > UDP_HEAD ? udp.at[UDP_HEAD] : 0;
  if (dst == (family == RELAY_IP4 ? PORT4_CLIENT : PORT6_CLIENT)) return RELAY_TO_CLIENT;
  if (dst != (family == RELAY_IP4 ? PORT4_SERVER : PORT6_SERVER)) return RELAY_OTHER;
  if (family == RELAY_IP6) return type == 13 ? RELAY_TO_CLIENT : RELAY_TO_SERVER;
  if (src != PORT4_SERVER) return RELAY_TO_SERVER;
  return config && (config->flags & RELAY_CHAINED) && type == 1 ? RELAY_TO_SERVER : RELAY_TO_CLIENT;
}

void relay_readdress(const struct relay_config *config, unsigned i, uint8_t *ip) {
  if (config->family == RELAY_IP4) {
    uint8_t *udp = ip + 20;
    memcpy(ip + 16, config->server[i].address, 4);
    store16(ip + 10, 0);
    store16(ip + 10, checksum(ip, 20));
    if (load16(udp + 6)) store16(udp + 6, relay_sum(RELAY_IP4, ip, udp, load_be16(udp + 4)));
  } else {
    memcpy(ip + 24, config->server[i].address, 16);
    store16(ip + 46, relay_sum(RELAY_IP6, ip, ip + 40, load_be16(ip + 44)));
  }
}

unsigned relay_servers(const struct relay_config *config, enum relay_family family) {
  if (!config || config->family != family) return 0;
  return config->n_servers < RELAY_SERVERS ? config->n_servers : RELAY_SERVERS;
}

uint32_t relay_l2(const struct relay_interface *interface, const uint8_t *dst, unsigned type, uint8_t *out) {
  uint32_t at = 12;
  memcpy(out, dst, 6);
  memcpy(out + 6, interface->mac, 6);
  for (unsigned i = 0; i < interface->tags && i < 2; i++, at += VLAN_TAG) {
    store_be16(out + at, interface->tag[i] >> 16);
    store_be16(out + at + 2, interface->tag[i] & 0xffff);
  }
  store_be16(out + at, type);
  return at + 2;
}
