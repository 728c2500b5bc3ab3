/* relay.h - the DHCP relay: pure functions from one packet to the packets that come of it, IPv4 and IPv6.
 *
 * By default the bytes are those of VPP's dhcp plugin (26.06), which has two ends: to a server with the number of the
 * interface written into option 82 or 18, and back, where that number names the interface. Nothing is remembered in
 * between. What is read is hostile: every length is checked, what points out of its packet is not followed, and what
 * lies behind the IP packet is not looked at. Where VPP reads past an end, or sends what no server takes, we do not:
 * relay4.c and relay6.c say where. Packets in and out are whole IP packets with their hop count as it came: the caller
 * routes them like any other. It also says whether a UDP checksum is right (relay_checksum_ok): VPP drops what is not.
 * Reference: RFC 2131, 3046, 3527, 6607 (IPv4); RFC 8415, 6939, 6607 (IPv6).
 */
#ifndef RELAY_H
#define RELAY_H

#include <stdint.h>

#define RELAY_SERVERS 8u
#define RELAY_VSS_ID 128u  /* longest name of a VPN */
#define RELAY_BUFFER 2048u /* VPP's: a frame, and what is added to it, must fit */
#define RELAY_ROOM 2304u   /* bytes that any packet out fits into */

enum relay_family { RELAY_IP4 = 4, RELAY_IP6 = 6 };

/* All off: as VPP. */
enum relay_flags {
  RELAY_STRIP_82 = 1,  /* IPv4: takes the option 82 that is ours out of what goes to a client (RFC 3046 2.2) */
  RELAY_CHAINED = 2,   /* relays between us and the client. IPv4: a giaddr that is set is kept and nothing added; from
                        * port 67, a request is a request. IPv6: a reply to a relay goes to its port 547 */
  RELAY_BROADCAST = 4, /* IPv4: unicast to a client that does not ask for broadcast (RFC 1542 4.1.2) */
  RELAY_CHECKSUM = 8,  /* IPv4: UDP checksums instead of none. IPv6 has them always */
};

enum { RELAY_VSS_ASCII = 0, RELAY_VSS_VPN_ID = 1, RELAY_VSS_DEFAULT = 255 };

struct relay_vss {
  uint8_t present; /* 0: there is none */
  uint8_t type;
  uint8_t len; /* of id: 7 of a VPN-ID (OUI 3, index 4), 0 of the default VPN, at most RELAY_VSS_ID */
  uint8_t id[RELAY_VSS_ID];
};

struct relay_server {
  uint8_t address[16]; /* IPv4: the first four */
  uint32_t domain;     /* that it is reached in; the caller's number, only compared */
};

/* The relay of one domain (VRF) and family: who asks in it is the caller's business. */
struct relay_config {
  uint8_t family; /* enum relay_family */
  uint8_t flags;
  uint8_t n_servers;
  uint8_t source[16];
  struct relay_server server[RELAY_SERVERS];
  struct relay_vss vss;
};

/* A received IP packet. */
struct relay_view {
  const uint8_t *ip;
  uint32_t len; /* bytes there are, which may be more than the packet has */
  uint32_t l2;  /* bytes that were before it, with tags */
};

/* An interface with clients. In a domain without a relay config is NULL. */
struct relay_interface {
  const struct relay_config *config;
  uint32_t number;      /* that VPP calls sw_if_index */
  uint8_t has_address;  /* 0: there is none */
  uint8_t address[16];  /* the first one; to an IPv6 server the first one in 2000::/3 or fc00::/7 */
  uint8_t mac[6];       /* its own */
  uint8_t tags;         /* 0 to 2 */
  uint32_t tag[2];      /* outer first: TPID << 16 | VLAN id */
};

/* Fills *interface; 0: there is none of that number. */
typedef int relay_find(void *with, uint32_t number, struct relay_interface *interface);

enum relay_direction {
  RELAY_OTHER, /* not a whole UDP packet to a DHCP port */
  RELAY_TO_SERVER,
  RELAY_TO_CLIENT,
};

enum relay_fate {
  RELAY_SENT,
  RELAY_MALFORMED,
  RELAY_NO_SERVER,
  RELAY_PACKET_TOO_BIG,
  RELAY_NO_INTERFACE_ADDRESS,
  RELAY_NO_SOURCE_ADDRESS,
  RELAY_WRONG_MESSAGE_TYPE,
  RELAY_MAX_HOPS,
  RELAY_SPOOFED_GIADDR,
  RELAY_NO_OPTION_82,
  RELAY_BAD_OPTION_82_ADDRESS,
  RELAY_BAD_OPTION_82_INTERFACE,
  RELAY_NO_RELAY_MESSAGE,
  RELAY_NO_INTERFACE_ID,
  RELAY_WRONG_INTERFACE_ID,
  RELAY_BAD_SERVER,
  RELAY_BAD_RELAY_ADDRESS,
  RELAY_FATES
};

/* Worth counting, and no reason not to send. */
enum relay_notes {
  RELAY_NOTE_OPTION_82_ERROR = 1,   /* to a server without option 82: the options have no end */
  RELAY_NOTE_VSS_NOT_PROCESSED = 2, /* the server has given the VPN back without having looked at it (RFC 6607 4.2) */
};

/* Of RELAY_SENT only, but for notes. */
struct relay_result {
  uint8_t notes;
  uint8_t servers; /* to a server: how many the packet goes to */
  uint32_t number; /* to a client: the interface it leaves by */
  uint32_t len;
};

/* Which way a packet goes that has come for us. config: of the domain that it came in by, or NULL. */
enum relay_direction relay_direction(const struct relay_config *config, const struct relay_view *in);
/* The UDP checksum of a whole packet; right, too, where there is none. */
int relay_checksum_ok(const struct relay_view *in);
/* "no-server", ... */
const char *relay_fate_name(enum relay_fate fate);

/* A packet of a client that came in by rx; into out, RELAY_ROOM bytes, an IP packet to the first server. */
enum relay_fate relay4_to_server(const struct relay_interface *rx, const struct relay_view *in, uint8_t *out, struct relay_result *result);
/* mac: whom the frame came from. */
enum relay_fate relay6_to_server(const struct relay_interface *rx, const uint8_t *mac, const struct relay_view *in, uint8_t *out,
                                 struct relay_result *result);
/* Makes of a packet to one server the same to server i. */
void relay_readdress(const struct relay_config *config, unsigned i, uint8_t *ip);

/* A packet of a server; into out, RELAY_ROOM bytes, an Ethernet frame, tags included, for interface result->number. */
enum relay_fate relay4_to_client(relay_find *find, void *with, const struct relay_view *in, uint8_t *out, struct relay_result *result);
/* domain: that the packet came in by. */
enum relay_fate relay6_to_client(relay_find *find, void *with, uint32_t domain, const struct relay_view *in, uint8_t *out,
                                 struct relay_result *result);

#endif
