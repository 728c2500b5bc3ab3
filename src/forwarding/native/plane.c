/* plane.c - names and sums of the counters of plane.h. Names are a public interface. */
#include "plane.h"

#include <errno.h>

#include "attachment.h"

static const char *const names[PLANE_COUNTERS] = {
    [PLANE_SOCKET + PUNT_TX] = "socket-tx",
    [PLANE_SOCKET + PUNT_TX_FULL] = "socket-tx-queue-full",
    [PLANE_SOCKET + PUNT_TX_NO_CLIENT] = "socket-tx-no-client",
    [PLANE_SOCKET + PUNT_TX_ERROR] = "socket-tx-error",
    [PLANE_SOCKET + PUNT_TX_OFFLOAD] = "socket-tx-offload-error",
    [PLANE_SOCKET + PUNT_RX] = "socket-rx",
    [PLANE_SOCKET + PUNT_RX_ERROR] = "socket-rx-error",
    [PLANE_SOCKET + PUNT_RX_LONG] = "socket-rx-too-long",
    [PLANE_SOCKET + PUNT_RX_SHORT] = "socket-rx-read-failure",
    [PLANE_SOCKET + PUNT_RX_ACTION] = "socket-rx-invalid-descriptor",
    [PLANE_SOCKET + PUNT_RX_INTERFACE] = "socket-rx-no-interface",
    [PLANE_SOCKET + PUNT_RX_DOWN] = "socket-rx-interface-down",
    [PLANE_RELAY + RELAY_SENT] = "dhcp-relay-sent",
    [PLANE_RELAY + RELAY_MALFORMED] = "dhcp-relay-malformed",
    [PLANE_RELAY + RELAY_NO_SERVER] = "dhcp-relay-no-server",
    [PLANE_RELAY + RELAY_PACKET_TOO_BIG] = "dhcp-relay-packet-too-big",
    [PLANE_RELAY + RELAY_NO_INTERFACE_ADDRESS] = "dhcp-relay-no-interface-address",
    [PLANE_RELAY + RELAY_NO_SOURCE_ADDRESS] = "dhcp-relay-no-source-address",
    [PLANE_RELAY + RELAY_WRONG_MESSAGE_TYPE] = "dhcp-relay-wrong-message-type",
    [PLANE_RELAY + RELAY_MAX_HOPS] = "dhcp-relay-max-hops",
    [PLANE_RELAY + RELAY_SPOOFED_GIADDR] = "dhcp-relay-spoofed-giaddr",
    [PLANE_RELAY + RELAY_NO_OPTION_82] = "dhcp-relay-no-option-82",
    [PLANE_RELAY + RELAY_BAD_OPTION_82_ADDRESS] = "dhcp-relay-bad-option-82-address",
    [PLANE_RELAY + RELAY_BAD_OPTION_82_INTERFACE] = "dhcp-relay-bad-option-82-interface",
    [PLANE_RELAY + RELAY_NO_RELAY_MESSAGE] = "dhcp-relay-no-relay-message",
    [PLANE_RELAY + RELAY_NO_INTERFACE_ID] = "dhcp-relay-no-interface-id",
    [PLANE_RELAY + RELAY_WRONG_INTERFACE_ID] = "dhcp-relay-wrong-interface-id",
    [PLANE_RELAY + RELAY_BAD_SERVER] = "dhcp-relay-bad-server",
    [PLANE_RELAY + RELAY_BAD_RELAY_ADDRESS] = "dhcp-relay-bad-relay-address",
    [PLANE_RELAY_CHECKSUM] = "dhcp-relay-bad-checksum",
    [PLANE_RELAY_UNSENT] = "dhcp-relay-unsent",
    [PLANE_RELAY_NOTE_82] = "dhcp-relay-option-82-error",
    [PLANE_RELAY_NOTE_VSS] = "dhcp-relay-vss-not-processed",
};

const char *lcpfwd_plane_counter_name(uint32_t which) { return which < PLANE_COUNTERS ? names[which] : NULL; }

int64_t lcpfwd_plane_counter(struct lcpfwd *f, uint32_t which) {
  const struct region_head *h = f->region.head;
  uint64_t sum = 0;
  if (which >= PLANE_COUNTERS) return -EINVAL;
  for (unsigned w = 0; w < h->workers; w++) sum += LOAD(&h->plane[w][which]);
  return (int64_t)sum;
}
