// Rules of an ABX, as far as they are about groups of the link: what VPP can hand over for them, which packets they take.
//
// Invariants: the first rule that fits decides, as in VPP's lists. What a rule says of groups and VPP cannot hand over is told by
// name, never left out silently; TCP knows no groups, so that it is no loss of a rule for any destination.
// Reference: RFC 5771, 4291; VPP's src/plugins/acl/public_inlines.h.

import type { Family } from '../lcp/objects.ts';
import { type Abx, type AclRule, type PuntMatch, puntKey } from '../lcp/puntobjects.ts';
import { formatIp, maskBytes, parsePrefix } from '../lib/ip.ts';
import type { IpPacket } from './ipframe.ts';
import { ANY_PORT, ICMP6, TCP, UDP } from './puntports.ts';

/** Of the link: what VPP is made to take on interfaces (linkgroups.ts), so that it is for the router itself. */
const LINK_GROUPS: Readonly<Record<Family, string>> = { 4: '224.0.0.0/24', 6: 'ff02::/16' };
const ALL_GROUPS: Readonly<Record<Family, string>> = { 4: '224.0.0.0/4', 6: 'ff00::/8' };
/** Ports of one rule that are registered one by one. */
const MOST_PORTS = 8;
const ICMP = 1;
const NAMES: Readonly<Record<number, string>> = {
  [ICMP]: 'ICMP',
  2: 'IGMP',
  [TCP]: 'TCP',
  [UDP]: 'UDP',
  [ICMP6]: 'ICMPv6',
  88: 'EIGRP',
  89: 'OSPF',
  103: 'PIM',
};
/** IPv4 groups of the link by protocol, and by port of UDP. */
const KNOWN: Readonly<Record<number, readonly string[]>> = {
  46: ['224.0.0.14'],
  88: ['224.0.0.10'],
  89: ['224.0.0.5', '224.0.0.6'],
  103: ['224.0.0.13'],
};
const KNOWN_PORTS: Readonly<Record<number, readonly string[]>> = {
  520: ['224.0.0.9'],
  646: ['224.0.0.2'],
  698: ['224.0.0.109'],
  1985: ['224.0.0.2', '224.0.0.102'],
  5353: ['224.0.0.251'],
  5355: ['224.0.0.252'],
};

interface Net {
  readonly bytes: Uint8Array;
  readonly length: number;
}

/** Prefixes that rules have were checked before; one that is none fits nothing. */
const netOf = (text: string): Net => parsePrefix(text) ?? { bytes: new Uint8Array(0), length: 0 };

const isIn = (address: Uint8Array, { bytes, length }: Net): boolean =>
  address.length === bytes.length && formatIp(maskBytes(address, length)) === formatIp(maskBytes(bytes, length));

const isWithin = (inner: Net, outer: Net): boolean => inner.length >= outer.length && isIn(inner.bytes, outer);
const overlap = (a: Net, b: Net): boolean => isWithin(a, b) || isWithin(b, a);

/** Whether packets to a group of the link are among those that a rule is about. */
const isOfLink = ({ family, destination }: AclRule): boolean => overlap(netOf(destination), netOf(LINK_GROUPS[family]));

/** The same of any group. */
const isOfGroups = ({ family, destination }: AclRule): boolean =>
  overlap(netOf(destination), netOf(ALL_GROUPS[family]));

/** Whether a rule is about nothing but groups. */
const isForGroups = ({ family, destination }: AclRule): boolean =>
  isWithin(netOf(destination), netOf(ALL_GROUPS[family]));

function isWide([first, last]: readonly [number, number]): boolean {
  return last - first >= MOST_PORTS;
}

/** What VPP has to hand over for a rule that permits, or why it cannot. */
function handedFor(rule: AclRule, takenBy: (match: PuntMatch) => string | undefined): PuntMatch[] | string {
  const { family, protocol, destinationPorts } = rule;
  if (!isOfLink(rule)) return `VPP is made to take groups of the link only, ${LINK_GROUPS[family]}`;
  if (protocol === 0) return 'VPP hands over single protocols, not all';
  if (protocol === TCP) return isForGroups(rule) ? 'TCP knows no groups' : [];
  let matches: PuntMatch[] = [{ by: 'protocol', family, protocol }];
  if (protocol === UDP) {
    if (isWide(destinationPorts)) return `VPP hands over single ports: name at most ${MOST_PORTS} destination ports`;
    const [first, last] = destinationPorts;
    if (first < 1 || last >= ANY_PORT) return 'VPP hands over ports from 1 to 65534';
    matches = Array.from({ length: last - first + 1 }, (_, i) => ({ by: 'port', family, protocol, port: first + i }));
  }
  const taken = matches.flatMap((match) => takenBy(match) ?? []);
  return taken.length === 0 ? matches : `VPP itself takes it: ${[...new Set(taken)].join(', ')}`;
}

/** 'OSPF any to 224.0.0.5/32' */
function ruleText({ family, source, destination, protocol, destinationPorts: [first, last] }: AclRule): string {
  const word = (prefix: string) => (prefix.endsWith('/0') ? 'any' : prefix);
  const name = protocol === 0 ? 'any protocol' : (NAMES[protocol] ?? `protocol ${protocol}`);
  const ports = first === 0 && last === ANY_PORT ? '' : ` port ${first}${last === first ? '' : `-${last}`}`;
  return `IPv${family} ${name} ${word(source)} to ${word(destination)}${ports}`;
}

/** What VPP is to hand over for an ABX. */
export function handedOf({ rules }: Abx, takenBy: (match: PuntMatch) => string | undefined): PuntMatch[] {
  return rules.flatMap((rule) => {
    const handed = rule.permit && isOfGroups(rule) ? handedFor(rule, takenBy) : [];
    return typeof handed === 'string' ? [] : handed;
  });
}

/**
 * What of an ABX does not reach groups, a line for each rule. `why` is what is in the way of a match, '' for nothing. isBorrowing: it is
 * about what a CNF sends from the addresses of where it leads to.
 */
export function gapsOfGroups(
  abx: Abx,
  takenBy: (match: PuntMatch) => string | undefined,
  why: (match: PuntMatch) => string,
  isBorrowing: boolean,
): string[] {
  const told = (rule: AclRule, reason: string) =>
    `${puntKey(abx)}: packets to groups are not taken by the rule ${ruleText(rule)}: ${reason}`;
  return abx.rules.flatMap((rule) => {
    const handed = rule.permit && isOfGroups(rule) ? handedFor(rule, takenBy) : [];
    if (typeof handed === 'string') return [told(rule, handed)];
    const reasons = [...new Set(handed.map(why))].filter((reason) => reason !== '');
    const isUnknown = isBorrowing && rule.family === 4 && handed.length > 0 && knownGroups(rule).length === 0;
    if (isUnknown) reasons.push(`from addresses of ${abx.to} VPP takes single groups only: name each`);
    return reasons.map((reason) => told(rule, reason));
  });
}

/** IPv4 groups of the link that packets of a rule may be for, as far as they are known one by one. */
export function knownGroups({
  family,
  permit,
  protocol,
  destination,
  destinationPorts: [first, last],
}: AclRule): string[] {
  const net = netOf(destination);
  if (family !== 4 || !permit) return [];
  if (net.length === 32) return isWithin(net, netOf(LINK_GROUPS[4])) ? [formatIp(net.bytes)] : [];
  const ofPorts = Object.entries(KNOWN_PORTS).filter(([port]) => Number(port) >= first && Number(port) <= last);
  const all = protocol === UDP ? ofPorts.flatMap(([, groups]) => groups) : (KNOWN[protocol] ?? []);
  return all.filter((group) => isIn(netOf(group).bytes, net));
}

/** Whether a packet is for a group of the link. */
export const isForLinkGroup = ({ family, destination }: IpPacket): boolean =>
  isIn(destination, netOf(LINK_GROUPS[family]));

const inRange = (port: number, [first, last]: readonly [number, number]): boolean => port >= first && port <= last;
const isAll = ([first, last]: readonly [number, number]): boolean => first === 0 && last === ANY_PORT;

function fits(rule: AclRule, { family, source, destination, protocol, ports }: IpPacket): boolean {
  if (rule.family !== family || (rule.protocol !== 0 && rule.protocol !== protocol)) return false;
  if (!isIn(source, netOf(rule.source)) || !isIn(destination, netOf(rule.destination))) return false;
  if (rule.protocol !== UDP || (isAll(rule.sourcePorts) && isAll(rule.destinationPorts))) return true;
  return ports !== undefined && inRange(ports[0], rule.sourcePorts) && inRange(ports[1], rule.destinationPorts);
}

/** Whether an ABX takes a packet. */
export const takes = ({ rules }: Abx, packet: IpPacket): boolean =>
  rules.find((rule) => fits(rule, packet))?.permit === true;
