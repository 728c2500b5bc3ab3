// What may be policed of the packets for the router itself: a family as a whole, or a class of them.

/** Classes, of which each may have a policer. Their order is that of LCPFWD_SCOPE_* in the shared memory. */
export const CLASSES = [
  'arp',
  'nd',
  'icmp',
  'bgp',
  'ospf',
  'ldp',
  'bfd',
  'ssh',
  'snmp',
  'dhcp',
  'lacp',
  'lldp',
  'isis',
  'ttl',
  'unknown',
] as const;

export const policeScopes = ['ipv4', 'ipv6', ...CLASSES] as const;
export type PoliceScope = (typeof policeScopes)[number];
