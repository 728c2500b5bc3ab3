// Derive: what the data plane should hold, as pure functions of kernel state, pairs and configuration.
//
// Nothing here remembers or changes anything but PathSet.resolved, a cache of what its legs come to.
// Where the kernel and a data plane think differently, this file says which one is followed:
//   * a leg counts while its device is up and not RTNH_F_DEAD (and has carrier where the interface
//     ignores routes with link down); a route without any such leg does not exist;
//   * a route that leaves by devices none of which is a host of ours is punted: the kernel decides;
//   * routes with tos are never the answer for a packet with tos 0, so they are left out;
//   * a leg with an encapsulation is punted: the data plane has no encapsulations yet.

import { AF_INET, AF_INET6, formatWords } from '../lib/ip.ts';
import type { Address } from '../netlink/address.ts';
import { NUD_VALID } from '../netlink/neighbour.ts';
import * as k from '../netlink/uapi.ts';
import type { Namespace } from './namespace.ts';
import { type Family, type Link, type Neighbour, type Path, SPECIAL, tableKey } from './objects.ts';
import type { Pairs } from './pairs.ts';
import type { Leg, PathSet } from './pathsets.ts';
import { type Routes, routeTosOf, routeTypeOf } from './routes.ts';

/** Kernel tables that packets are looked up in, in the order of the three default rules. */
export const LOOKUP_TABLES4 = [k.RT_TABLE_LOCAL, k.RT_TABLE_MAIN, k.RT_TABLE_DEFAULT];
/** IPv6 has no default table. */
export const LOOKUP_TABLES6 = [k.RT_TABLE_LOCAL, k.RT_TABLE_MAIN];

/** rtm_type to the special target; 0 for RTN_UNICAST, which has legs. */
const SPECIAL_OF: Readonly<Record<number, number>> = {
  [k.RTN_UNICAST]: 0,
  [k.RTN_LOCAL]: SPECIAL.local,
  [k.RTN_BROADCAST]: SPECIAL.broadcast,
  [k.RTN_ANYCAST]: SPECIAL.anycast,
  [k.RTN_MULTICAST]: SPECIAL.multicast,
  [k.RTN_BLACKHOLE]: SPECIAL.blackhole,
  [k.RTN_UNREACHABLE]: SPECIAL.unreachable,
  [k.RTN_PROHIBIT]: SPECIAL.prohibit,
  [k.RTN_THROW]: SPECIAL.throw,
};

/** PathSet.resolved of a set with at least one leg over a pair. */
export const RESOLVED_PATHS = 16;

const isUp = (ns: Namespace, ifindex: number): boolean => ((ns.links.get(ifindex)?.flags ?? 0) & k.IFF_UP) !== 0;

/** Whether the kernel sends by this leg now. */
const usable = (ns: Namespace, leg: Leg, family: Family): boolean => {
  if ((leg.flags & k.RTNH_F_DEAD) !== 0) return false;
  if (!isUp(ns, leg.ifindex)) return false;
  const conf = ns.netconf.get(leg.ifindex);
  // IPv4 ors the setting of all interfaces to each; IPv6 copies it to each when it is written
  const ignores =
    family === 6
      ? conf?.ignoreLinkdown6
      : conf?.ignoreLinkdown4 || ns.netconf.get(k.NETCONFA_IFINDEX_ALL)?.ignoreLinkdown4;
  return !ignores || ((ns.links.get(leg.ifindex)?.flags ?? 0) & k.IFF_LOWER_UP) !== 0;
};

/** Legs of a path set with nexthop objects and groups opened, weights multiplied; -1: blackhole. */
export const legsOf = (ns: Namespace, p: PathSet): Leg[] | 'blackhole' => {
  if (p.nhId === 0) return [...p.legs];
  const nh = ns.nexthops.get(p.nhId);
  if (nh === undefined) return [];
  if (nh.blackhole) return 'blackhole';
  const members = nh.group ?? [{ id: nh.id, weight: 1 }];
  const legs: Leg[] = [];
  for (const { id, weight } of members) {
    const member = ns.nexthops.get(id);
    if (member?.blackhole === true) return 'blackhole'; // the kernel allows it alone in a group only
    if (member?.oif === undefined || member.fdb) continue;
    const family = member.gateway === undefined ? 0 : member.family;
    legs.push({
      ifindex: member.oif,
      weight,
      flags: member.flags & k.RTNH_F_ONLINK,
      gatewayFamily: family,
      encapType: member.encapType ?? 0,
      gateway: [0, 0, 0, 0],
      ...(member.gateway === undefined ? {} : { gatewayText: member.gateway }),
    });
  }
  return legs;
};

/** Next hop of a leg in text, '' when attached. */
export const viaOf = (leg: Leg): string =>
  leg.gatewayText ?? (leg.gatewayFamily === 0 ? '' : formatWords(leg.gatewayFamily, ...leg.gateway));

/** What a path set comes to: its legs over pairs, or a special target, or 0 when nothing is usable. */
export const derivePathSet = (ns: Namespace, pairs: Pairs, p: PathSet): { target: number; paths: Path[] } => {
  const legs = legsOf(ns, p);
  if (legs === 'blackhole') return { target: SPECIAL.blackhole, paths: [] };
  const live = legs.filter((leg) => usable(ns, leg, p.family));
  if (live.length === 0) return { target: SPECIAL.none, paths: [] };
  const paths: Path[] = [];
  for (const leg of live) {
    const phy = pairs.phy(ns.name, leg.ifindex);
    if (phy !== '' && leg.encapType === 0) paths.push({ phy, via: viaOf(leg), weight: leg.weight });
  }
  return paths.length === 0 ? { target: SPECIAL.punt, paths } : { target: RESOLVED_PATHS, paths };
};

/**
 * The entry of a prefix that the kernel uses, 0 when none. resolve gives PathSet.resolved, derived
 * when it is not known yet.
 */
export const deriveRoute = (routes: Routes, record: number, resolve: (pathset: number) => number): number => {
  const t = routes.prefixes;
  for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
    const info = t.info[e] as number;
    if (routes.family === 4 && routeTosOf(info) !== 0) continue;
    const type = routeTypeOf(info);
    if (SPECIAL_OF[type] === undefined) continue;
    // IPv4 broadcast routes die with their device like unicast ones; the others are for us whatever
    const needsLegs = type === k.RTN_UNICAST || (type === k.RTN_BROADCAST && routes.family === 4);
    if (needsLegs && resolve(t.pathset[e] as number) === SPECIAL.none) continue;
    return e;
  }
  return 0;
};

/** Special target of an entry's type, 0 when its path set decides. */
export const specialOf = (info: number): number => SPECIAL_OF[routeTypeOf(info)] ?? 0;

/** Neighbour of a paired host that may be used; undefined otherwise. */
export const deriveNeighbour = (ns: Namespace, pairs: Pairs, key: string): Neighbour | undefined => {
  const n = ns.neighbours.get(key);
  if (n === undefined || (n.state & NUD_VALID) === 0 || n.lladdr === undefined) return undefined;
  if ((n.flags & k.NTF_PROXY) !== 0 || n.type !== k.RTN_UNICAST) return undefined;
  const phy = pairs.phy(ns.name, n.ifindex);
  if (phy === '' || !/^..(:..){5}$/.test(n.lladdr)) return undefined;
  if (!isUp(ns, n.ifindex)) return undefined;
  return { kind: 'neighbour', phy, family: n.family === AF_INET6 ? 6 : 4, address: n.dst, mac: n.lladdr };
};

/** Of several, always the same one: the order in which the kernel told them must not matter. */
const globalOn = (ns: Namespace, family: number, accept: (a: Address) => boolean): string => {
  let best: Address | undefined;
  for (const a of ns.addresses.values()) {
    if (a.family !== family || a.scope !== k.RT_SCOPE_UNIVERSE || !accept(a)) continue;
    if ((a.flags & (k.IFA_F_TENTATIVE | k.IFA_F_DADFAILED)) !== 0) continue;
    if (family === AF_INET && (a.flags & k.IFA_F_SECONDARY) !== 0) continue;
    const first =
      best === undefined || a.ifindex < best.ifindex || (a.ifindex === best.ifindex && a.local < best.local);
    if (first) best = a;
  }
  return best?.local ?? '';
};

/** The address that ICMP errors about packets from an interface come from: its own, else any of the router's. */
const sourceOf = (ns: Namespace, family: number, ifindex: number): string =>
  globalOn(ns, family, (a) => a.ifindex === ifindex) || globalOn(ns, family, () => true);

/** What phy and host should agree on; undefined while there is no such pair. */
export const deriveLink = (
  phy: string,
  phyIfindex: number,
  ns: Namespace,
  own: Namespace,
  hostIfindex: number,
): Link | undefined => {
  const host = ns.links.get(hostIfindex);
  const wire = own.links.get(phyIfindex);
  if (host === undefined || wire === undefined) return undefined;
  const conf = ns.netconf.get(hostIfindex);
  return {
    kind: 'link',
    phy,
    phyIfindex,
    hostIfindex,
    netns: ns.name,
    up: (host.flags & k.IFF_UP) !== 0,
    mtu: host.mtu,
    mac: host.mac ?? '',
    carrier: (wire.flags & k.IFF_LOWER_UP) !== 0,
    promisc: true,
    host: host.name,
    forwarding4: conf?.forwarding4 ?? false,
    forwarding6: conf?.forwarding6 ?? false,
    source4: sourceOf(ns, AF_INET, hostIfindex),
    source6: sourceOf(ns, AF_INET6, hostIfindex),
    lookup4: LOOKUP_TABLES4.map((t) => tableKey(ns.name, 4, t)),
    lookup6: LOOKUP_TABLES6.map((t) => tableKey(ns.name, 6, t)),
  };
};
