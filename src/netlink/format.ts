// Format: any rtnetlink message as one line of text, in the manner of `ip monitor`.
//
// Invariants: for people and logs only, never parsed; one line whatever the message holds: control characters of names
// are escaped. What is not known is shown as its number. Interfaces are `if7` unless a name is given.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Address } from './address.ts';
import { decodeAddress, LIFETIME_FOREVER } from './address.ts';
import { wireOf } from './attr.ts';
import type { Link } from './link.ts';
import { decodeLink } from './link.ts';
import { batchOf, walkMessages } from './message.ts';
import type { Mroute } from './mroute.ts';
import { decodeMroute, isMrouteFamily } from './mroute.ts';
import type { NameOf, NameTable } from './names.ts';
import { bitNames, deviceName, line, nameOr, PROTOCOL_NAMES, plain, ROUTE_TYPE_NAMES, TABLE_NAMES } from './names.ts';
import type { Neighbour } from './neighbour.ts';
import { decodeNeighbour } from './neighbour.ts';
import type { Netconf } from './netconf.ts';
import { decodeNetconf } from './netconf.ts';
import type { Nexthop, ResilientGroup } from './nexthop.ts';
import { decodeNexthop } from './nexthop.ts';
import { decodeRoute, ROUTE_FAMILIES, RouteMessage } from './route.ts';
import type { Route, RouteLeg } from './routeobject.ts';
import { routeToObject } from './routeobject.ts';
import type { Rule } from './rule.ts';
import { decodeRule, ruleText } from './rule.ts';
import * as k from './uapi.ts';

export type Decoded = Link | Address | Neighbour | Nexthop | Netconf | Route | Rule | Mroute;
export type { NameOf };

type Table = NameTable;

const SCOPE: Table = { 0: 'global', 200: 'site', 253: 'link', 254: 'host', 255: 'nowhere' };
const FAMILY: Table = { [AF_INET]: 'inet', [AF_INET6]: 'inet6', [k.AF_BRIDGE]: 'bridge', [k.AF_MPLS]: 'mpls' };
const OPERSTATE = ['UNKNOWN', 'NOTPRESENT', 'DOWN', 'LOWERLAYERDOWN', 'TESTING', 'DORMANT', 'UP'] as const;

const LINK_FLAGS: Table = {
  [k.IFF_LOOPBACK]: 'LOOPBACK',
  [k.IFF_BROADCAST]: 'BROADCAST',
  [k.IFF_POINTOPOINT]: 'POINTOPOINT',
  [k.IFF_MULTICAST]: 'MULTICAST',
  [k.IFF_NOARP]: 'NOARP',
  [k.IFF_ALLMULTI]: 'ALLMULTI',
  [k.IFF_PROMISC]: 'PROMISC',
  [k.IFF_MASTER]: 'MASTER',
  [k.IFF_SLAVE]: 'SLAVE',
  [k.IFF_DORMANT]: 'DORMANT',
  [k.IFF_UP]: 'UP',
  [k.IFF_RUNNING]: 'RUNNING',
  [k.IFF_LOWER_UP]: 'LOWER_UP',
};
const ADDRESS_FLAGS: Table = {
  [k.IFA_F_SECONDARY]: 'secondary',
  [k.IFA_F_NODAD]: 'nodad',
  [k.IFA_F_OPTIMISTIC]: 'optimistic',
  [k.IFA_F_DADFAILED]: 'dadfailed',
  [k.IFA_F_DEPRECATED]: 'deprecated',
  [k.IFA_F_TENTATIVE]: 'tentative',
  [k.IFA_F_MANAGETEMPADDR]: 'mngtmpaddr',
  [k.IFA_F_NOPREFIXROUTE]: 'noprefixroute',
};
const NEIGHBOUR_STATES: Table = {
  [k.NUD_INCOMPLETE]: 'INCOMPLETE',
  [k.NUD_REACHABLE]: 'REACHABLE',
  [k.NUD_STALE]: 'STALE',
  [k.NUD_DELAY]: 'DELAY',
  [k.NUD_PROBE]: 'PROBE',
  [k.NUD_FAILED]: 'FAILED',
  [k.NUD_NOARP]: 'NOARP',
  [k.NUD_PERMANENT]: 'PERMANENT',
};
const NEIGHBOUR_FLAGS: Table = {
  [k.NTF_USE]: 'use',
  [k.NTF_PROXY]: 'proxy',
  [k.NTF_EXT_LEARNED]: 'extern_learn',
  [k.NTF_OFFLOADED]: 'offload',
  [k.NTF_ROUTER]: 'router',
};
const LEG_FLAGS: Table = {
  [k.RTNH_F_DEAD]: 'dead',
  [k.RTNH_F_PERVASIVE]: 'pervasive',
  [k.RTNH_F_ONLINK]: 'onlink',
  [k.RTNH_F_OFFLOAD]: 'offload',
  [k.RTNH_F_LINKDOWN]: 'linkdown',
  [k.RTNH_F_UNRESOLVED]: 'unresolved',
  [k.RTNH_F_TRAP]: 'trap',
};

function formatLink(l: Link, nameOf: NameOf): string {
  const lower = l.link === undefined ? '' : l.linkNetnsid === undefined ? deviceName(nameOf, l.link) : `if${l.link}`;
  return line(
    `${l.ifindex}: ${plain(l.name)}${lower === '' ? '' : `@${lower}`}:`,
    l.family !== k.AF_UNSPEC && nameOr(FAMILY, l.family),
    `<${bitNames(LINK_FLAGS, l.flags).join(',')}>`,
    `mtu ${l.mtu} state ${OPERSTATE[l.operstate] ?? l.operstate}`,
    l.carrier === false && 'no-carrier',
    l.master !== undefined && `master ${deviceName(nameOf, l.master)}`,
    l.mac !== undefined && `address ${l.mac}`,
    l.linkNetnsid !== undefined && `link-netnsid ${l.linkNetnsid}`,
    l.slaveKind !== undefined && `slave-kind ${plain(l.slaveKind)}`,
    l.vrfTable !== undefined && `vrf-table ${l.vrfTable}`,
    l.protoDown === true && 'protodown',
    l.kind !== undefined && `kind ${plain(l.kind)}`,
    l.info !== undefined && plain(JSON.stringify(Object.values(l.info)[0])),
    l.alias !== undefined && `alias ${plain(l.alias)}`,
    ...l.altnames.map((name) => `altname ${plain(name)}`),
    l.newNetnsid !== undefined && `new-netnsid ${l.newNetnsid}`,
    l.newIfindex !== undefined && `new-ifindex ${l.newIfindex}`,
  );
}

function lifetime(seconds: number): string {
  return seconds === LIFETIME_FOREVER ? 'forever' : `${seconds}sec`;
}

function formatAddress(a: Address, nameOf: NameOf): string {
  const local = a.address === a.local ? a.local : `${a.local} peer ${a.address}`;
  return line(
    `${deviceName(nameOf, a.ifindex)} ${nameOr(FAMILY, a.family)} ${local}/${a.prefixlen}`,
    a.broadcast !== undefined && `brd ${a.broadcast}`,
    `scope ${nameOr(SCOPE, a.scope)}`,
    ...bitNames(ADDRESS_FLAGS, a.flags),
    a.label !== undefined && plain(a.label),
    `valid_lft ${lifetime(a.validLft)} preferred_lft ${lifetime(a.preferredLft)}`,
  );
}

function formatNeighbour(n: Neighbour, nameOf: NameOf): string {
  return line(
    n.dst === '' ? nameOr(FAMILY, n.family) : n.dst,
    `dev ${deviceName(nameOf, n.ifindex)}`,
    n.lladdr !== undefined && `lladdr ${n.lladdr}`,
    n.vlan !== undefined && `vlan ${n.vlan}`,
    n.master !== undefined && `master ${deviceName(nameOf, n.master)}`,
    ...bitNames(NEIGHBOUR_FLAGS, n.flags),
    n.state === k.NUD_NONE ? 'NONE' : bitNames(NEIGHBOUR_STATES, n.state).join(','),
  );
}

const ENCAP: Table = {
  [k.LWTUNNEL_ENCAP_MPLS]: 'mpls',
  [k.LWTUNNEL_ENCAP_IP]: 'ip',
  [k.LWTUNNEL_ENCAP_IP6]: 'ip6',
  [k.LWTUNNEL_ENCAP_SEG6]: 'seg6',
  [k.LWTUNNEL_ENCAP_BPF]: 'bpf',
  [k.LWTUNNEL_ENCAP_SEG6_LOCAL]: 'seg6local',
};

function encapText(type: number | undefined): string {
  return type === undefined ? '' : `encap ${nameOr(ENCAP, type)}`;
}

/** A label stack as `ip` writes it, outermost first. */
function labelText(word: string, labels: readonly number[] | undefined, ttl = 0, isCut = false): string {
  if (labels === undefined || labels.length === 0) return '';
  return `${word} ${labels.join('/')}${isCut ? '/...' : ''}${ttl === 0 ? '' : ` ttl ${ttl}`}`;
}

function resilientText(r: ResilientGroup): string {
  const seconds = (ticks: number) => ticks / k.USER_HZ;
  return `buckets ${r.buckets} idle_timer ${seconds(r.idleTimer)} unbalanced_timer ${seconds(r.unbalancedTimer)}`;
}

function formatNexthop(n: Nexthop, nameOf: NameOf): string {
  return line(
    `id ${n.id}`,
    n.group !== undefined && `group ${n.group.map((m) => `${m.id},${m.weight}`).join('/')}`,
    n.groupType === k.NEXTHOP_GRP_TYPE_RES && 'type resilient',
    n.resilient !== undefined && resilientText(n.resilient),
    n.blackhole && 'blackhole',
    labelText('encap mpls', n.labels, n.ttl, n.tooManyLabels),
    n.labels.length === 0 && encapText(n.encapType),
    n.gateway !== undefined && `via ${n.gateway}`,
    n.oif !== undefined && `dev ${deviceName(nameOf, n.oif)}`,
    n.fdb && 'fdb',
    `proto ${nameOr(PROTOCOL_NAMES, n.protocol)}`,
    ...bitNames(LEG_FLAGS, n.flags),
  );
}

function formatNetconf(n: Netconf, nameOf: NameOf): string {
  const where =
    n.ifindex === k.NETCONFA_IFINDEX_ALL ? 'all' : n.ifindex === k.NETCONFA_IFINDEX_DEFAULT ? 'default' : '';
  const flag = (name: string, value: boolean | undefined) => value !== undefined && `${name} ${value ? 'on' : 'off'}`;
  return line(
    nameOr(FAMILY, n.family),
    where === '' ? `dev ${deviceName(nameOf, n.ifindex)}` : where,
    flag('forwarding', n.forwarding),
    flag('ignore_routes_with_linkdown', n.ignoreRoutesWithLinkdown),
    n.rpFilter !== undefined && `rp_filter ${n.rpFilter}`,
    flag('mc_forwarding', n.mcForwarding),
    flag('proxy_neigh', n.proxyNeigh),
    flag('input', n.input),
  );
}

function formatLeg(leg: RouteLeg, family: number, nameOf: NameOf): string {
  const word = family === k.AF_MPLS ? 'as to' : 'encap mpls';
  return line(
    labelText(word, leg.labels, leg.ttl, leg.tooManyLabels),
    leg.labels === undefined && encapText(leg.encapType),
    leg.gateway !== undefined && `via ${leg.gateway}`,
    leg.oif !== undefined && `dev ${deviceName(nameOf, leg.oif)}`,
    ...bitNames(LEG_FLAGS, leg.flags),
  );
}

function formatRoute(r: Route, nameOf: NameOf): string {
  const single = r.multipath ? undefined : r.legs[0];
  return line(
    r.type !== k.RTN_UNICAST && nameOr(ROUTE_TYPE_NAMES, r.type),
    r.family === k.AF_MPLS ? `label ${r.dst}` : r.dst,
    r.src !== undefined && `from ${r.src}`,
    r.tos !== 0 && `tos 0x${r.tos.toString(16)}`,
    r.nhId !== undefined && `nhid ${r.nhId}`,
    single !== undefined && formatLeg(single, r.family, nameOf),
    `table ${nameOr(TABLE_NAMES, r.table)} proto ${nameOr(PROTOCOL_NAMES, r.protocol)}`,
    r.scope !== k.RT_SCOPE_UNIVERSE && `scope ${nameOr(SCOPE, r.scope)}`,
    r.prefsrc !== undefined && `src ${r.prefsrc}`,
    r.priority !== 0 && `metric ${r.priority}`,
    r.mtu !== undefined && `mtu ${r.mtu}`,
    r.ttlPropagate !== undefined && `ttl-propagate ${r.ttlPropagate ? 'enabled' : 'disabled'}`,
    r.expires !== undefined && `expires ${Math.round(r.expires / k.USER_HZ)}sec`,
    (r.flags & k.RTM_F_CLONED) !== 0 && 'cache',
    ...(r.multipath ? r.legs.map((leg) => `nexthop ${formatLeg(leg, r.family, nameOf)} weight ${leg.weight}`) : []),
  );
}

const RULE_FLAGS: Table = {
  [k.FIB_RULE_UNRESOLVED]: '[unresolved]',
  [k.FIB_RULE_IIF_DETACHED]: '[iif detached]',
  [k.FIB_RULE_OIF_DETACHED]: '[oif detached]',
};

function formatRule(r: Rule): string {
  return line(
    r.family !== AF_INET && nameOr(FAMILY, r.family),
    `${r.priority}:`,
    ruleText(r),
    ...bitNames(RULE_FLAGS, r.flags),
  );
}

function formatMroute(m: Mroute, nameOf: NameOf): string {
  return line(
    `(${m.source === '' ? '*' : m.source}, ${m.group === '' ? '*' : m.group})`,
    m.iif !== 0 && `iif ${deviceName(nameOf, m.iif)}`,
    m.unresolved && 'unresolved',
    ...m.oifs.map(({ ifindex, ttl }) => `oif ${deviceName(nameOf, ifindex)}${ttl > 1 ? ` ttl ${ttl}` : ''}`),
    `table ${nameOr(TABLE_NAMES, m.table)} proto ${nameOr(PROTOCOL_NAMES, m.protocol)}`,
  );
}

const noNames: NameOf = () => undefined;

/** A decoded message as one line. `flags` are the NLM_F_* of its header. */
export function formatMessage(type: number, flags: number, decoded: Decoded, nameOf: NameOf = noNames): string {
  const verb = line(
    (type - k.RTM_BASE) % 4 === 1 && 'Deleted',
    (flags & k.NLM_F_REPLACE) !== 0 && 'Replaced',
    (flags & k.NLM_F_APPEND) !== 0 && 'Appended',
  );
  switch (type & ~3) {
    case k.RTM_NEWLINK:
      return line('[LINK]', verb, formatLink(decoded as Link, nameOf));
    case k.RTM_NEWADDR:
      return line('[ADDR]', verb, formatAddress(decoded as Address, nameOf));
    case k.RTM_NEWROUTE:
      if ('oifs' in decoded) return line('[MROUTE]', verb, formatMroute(decoded, nameOf));
      return line('[ROUTE]', verb, formatRoute(decoded as Route, nameOf));
    case k.RTM_NEWRULE:
      return line('[RULE]', verb, formatRule(decoded as Rule));
    case k.RTM_NEWNEIGH:
      return line('[NEIGH]', verb, formatNeighbour(decoded as Neighbour, nameOf));
    case k.RTM_NEWNEXTHOP:
      return line('[NEXTHOP]', verb, formatNexthop(decoded as Nexthop, nameOf));
    case k.RTM_NEWNETCONF:
      return line('[NETCONF]', verb, formatNetconf(decoded as Netconf, nameOf));
    default:
      return line(`[${type}]`, verb);
  }
}

const scratch = new RouteMessage();

function decodeAny(type: number, bytes: Uint8Array): Decoded | undefined {
  const wire = wireOf(bytes);
  switch (type & ~3) {
    case k.RTM_NEWLINK:
      return decodeLink(wire, 0);
    case k.RTM_NEWADDR:
      return decodeAddress(wire, 0);
    case k.RTM_NEWROUTE: {
      if (!decodeRoute(wire, 0, scratch)) return undefined;
      if (isMrouteFamily(scratch.family)) return decodeMroute(wire, 0);
      return ROUTE_FAMILIES.includes(scratch.family) ? routeToObject(scratch) : undefined;
    }
    case k.RTM_NEWRULE:
      return decodeRule(wire, 0);
    case k.RTM_NEWNEIGH:
      return decodeNeighbour(wire, 0);
    case k.RTM_NEWNEXTHOP:
      return decodeNexthop(wire, 0);
    case k.RTM_NEWNETCONF:
      return decodeNetconf(wire, 0);
    default:
      return undefined;
  }
}

/** Every message in the bytes as a line; unknown and malformed ones with their type and length. Never throws. */
export function formatRaw(bytes: Uint8Array, nameOf: NameOf = noNames): string[] {
  const batch = batchOf(bytes);
  const lines: string[] = [];
  walkMessages(batch, (type, flags, offset, length) => {
    const decoded = type < k.RTM_BASE ? undefined : decodeAny(type, batch.bytes.slice(offset, offset + length));
    if (decoded !== undefined) lines.push(formatMessage(type, flags, decoded, nameOf));
    else lines.push(`[${type}] flags 0x${flags.toString(16)} length ${length}: not decoded`);
    return true;
  });
  if (batch.malformed.total > 0) lines.push(`${batch.malformed.total} malformed`);
  return lines;
}
