/* punt_reasons.c - names of the reasons that packets are punted for, and the counters that tell them. Names are a
 * public interface. The last four are VPP's: here they mean packets for the router itself that IPsec would take.
 */
#include <errno.h>

#include "attachment.h"
#include "punts.h"

static const char *const names[REASONS] = {
    [REASON_TTL] = "ttl-expired",          [REASON_MTU] = "mtu-exceeded",
    [REASON_NEIGHBOUR] = "no-neighbour",   [REASON_ROUTE] = "no-route",
    [REASON_UNREACHABLE] = "unreachable",  [REASON_PROHIBITED] = "prohibited",
    [REASON_OPTIONS] = "ip-options",       [REASON_PROTOCOL] = "unknown-protocol",
    [REASON_VLAN] = "unknown-vlan",        [REASON_LABEL] = "unknown-label",
    [REASON_KERNEL] = "kernel-route",      [REASON_IPSEC4_TUNNEL] = "ipsec4-no-such-tunnel",
    [REASON_IPSEC6_TUNNEL] = "ipsec6-no-such-tunnel", [REASON_IPSEC4_IKE] = "ipsec4-spi-o-udp-0",
    [REASON_IPSEC6_IKE] = "ipsec6-spi-o-udp-0",
};

static const struct {
  uint8_t counter, reason;
} told[] = {
    {COUNTER_PUNT_TTL, REASON_TTL},           {COUNTER_PUNT_MPLS_TTL, REASON_TTL},
    {COUNTER_PUNT_TOO_BIG, REASON_MTU},       {COUNTER_PUNT_MPLS_TOO_BIG, REASON_MTU},
    {COUNTER_PUNT_NO_NEIGHBOUR, REASON_NEIGHBOUR}, {COUNTER_PUNT_NO_ROUTE, REASON_ROUTE},
    {COUNTER_PUNT_UNREACHABLE, REASON_UNREACHABLE}, {COUNTER_PUNT_PROHIBIT, REASON_PROHIBITED},
    {COUNTER_PUNT_OPTIONS, REASON_OPTIONS},   {COUNTER_PUNT_UNKNOWN, REASON_PROTOCOL},
    {COUNTER_PUNT_VLAN, REASON_VLAN},         {COUNTER_PUNT_MPLS, REASON_LABEL},
    {COUNTER_PUNT_MPLS_NO_LABEL, REASON_LABEL}, {COUNTER_PUNT_KERNEL, REASON_KERNEL},
};
#define TOLD (sizeof told / sizeof *told)

unsigned punt_reason(enum counter why) {
  for (unsigned i = 0; i < TOLD; i++)
    if (told[i].counter == why)
      return told[i].reason;
  return REASONS;
}

const char *lcpfwd_reason_name(uint32_t reason) {
  return reason < REASONS ? names[reason] : NULL;
}

int64_t lcpfwd_reason_packets(struct lcpfwd *f, uint32_t reason) {
  const struct region_head *h = f->region.head;
  uint64_t sum = 0;
  if (reason >= REASON_COUNTED)
    return -1;
  for (unsigned i = 0; i < TOLD; i++)
    for (unsigned w = 0; told[i].reason == reason && w < h->workers; w++)
      for (unsigned port = 0; port < LCPFWD_MAX_PORTS; port++)
        sum += LOAD(&h->counters[w][port][told[i].counter]);
  return (int64_t)sum;
}
