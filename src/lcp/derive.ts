// Derive: what the data plane should hold, as pure functions of kernel state, pairs and configuration.
//
// Nothing here remembers or changes anything but PathSet.resolved, a cache of what its legs come to.
// Where the kernel and a data plane think differently, this file says which one is followed:
//   * a leg counts while its device is up and not RTNH_F_DEAD (and has carrier where the interface
//     ignores routes with link down, and always for MPLS); a route without any such leg does not exist;
//   * a leg that leaves by a device that is no host of ours, or with an encapsulation other than MPLS,
//     is the kernel's: its share of the packets is punted (or as `unpaired-routes` says);
//   * routes with tos are never the answer for a packet with tos 0, so they are left out.
// Links are in derivelink.ts.

import { formatMac } from '../lib/bytes.ts';
import { AF_INET6, formatWords } from '../lib/ip.ts';
import { NUD_VALID } from '../netlink/neighbour.ts';
import * as k from '../netlink/uapi.ts';
import type { Namespace } from './namespace.ts';
import {
  type Family,
  MAX_LABELS,
  MPLS,
  type Neighbour,
  type Path,
  type RouteFamily,
  SPECIAL,
  tableKey,
} from './objects.ts';
import type { Pairs } from './pairs.ts';
import { LEG_OWN_GATEWAY, type Leg, type PathSet } from './pathsets.ts';
import { preferenceOf, routeTosOf, routeTypeOf } from './prefixtable.ts';
import { ENCAP_TOO_LONG } from './routelegs.ts';
import type { Routes } from './routes.ts';
import { type Ingress, NO_VRF, vrfIngress } from './rules.ts';

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

const flagsOf = (ns: Namespace, ifindex: number): number => ns.links.get(ifindex)?.flags ?? 0;
const isUp = (ns: Namespace, ifindex: number): boolean => (flagsOf(ns, ifindex) & k.IFF_UP) !== 0;

/** Whether the kernel sends by this leg now. */
export const usable = (ns: Namespace, leg: Leg, p: PathSet): boolean => {
  if ((leg.flags & k.RTNH_F_DEAD) !== 0) return false;
  if (!isUp(ns, leg.ifindex)) return false;
  const needsCarrier = p.needsCarrier || p.family === MPLS || ns.settings.needsCarrier(p.family, leg.ifindex);
  return !needsCarrier || (flagsOf(ns, leg.ifindex) & k.IFF_LOWER_UP) !== 0;
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
      flags: (member.flags & k.RTNH_F_ONLINK) | (ns.nexthops.hasOwnGateway(member.id) ? LEG_OWN_GATEWAY : 0),
      gatewayFamily: family,
      encapType: member.tooManyLabels ? ENCAP_TOO_LONG : (member.encapType ?? 0),
      gateway: [0, 0, 0, 0],
      ...(member.gateway === undefined ? {} : { gatewayText: member.gateway }),
      ...(member.labels.length === 0 ? {} : { labels: member.labels }),
      ...(member.ttl === 0 ? {} : { ttl: member.ttl }),
    });
  }
  return legs;
};

/** Next hop of a leg in text, '' when attached. */
export const viaOf = (leg: Leg): string => {
  if ((leg.flags & LEG_OWN_GATEWAY) !== 0) return '';
  if (leg.gatewayFamily === k.AF_PACKET) return formatMac(new Uint8Array(Uint32Array.from(leg.gateway).buffer), 0, 6);
  return leg.gatewayText ?? (leg.gatewayFamily === 0 ? '' : formatWords(leg.gatewayFamily, ...leg.gateway));
};

/** Whether the data plane can put in front of a packet what this leg wants. */
export const canEncapsulate = ({ encapType, labels = [] }: Leg): boolean =>
  encapType === 0 || (encapType === k.LWTUNNEL_ENCAP_MPLS && labels.length > 0 && labels.length <= MAX_LABELS);

/**
 * Where a leg that only names a device leads to another lookup: a VRF device (leaked routes, labels of a
 * VPN), and for a label the loopback, by which the kernel takes the packet below as come in.
 */
const innerIngress = (ns: Namespace, leg: Leg, family: RouteFamily): Ingress | undefined => {
  const device = ns.links.get(leg.ifindex);
  if (device === undefined || leg.gatewayFamily !== 0 || leg.encapType !== 0 || leg.labels !== undefined)
    return undefined;
  if (family === MPLS && (device.flags & k.IFF_LOOPBACK) !== 0) return NO_VRF;
  return device.kind === 'vrf' ? vrfIngress(device) : undefined;
};

/** A leg as the data plane has it; phy '' and no lookup where the kernel must send. */
export const pathOf = (ns: Namespace, pairs: Pairs, leg: Leg, family: RouteFamily): Path => {
  const inner = innerIngress(ns, leg, family);
  if (inner !== undefined) {
    const keys = (f: Family) => ns.rules.tablesFor(f, inner).tables.map((t) => tableKey(ns.name, f, t));
    return { phy: '', via: '', weight: leg.weight, lookup4: keys(4), lookup6: keys(6) };
  }
  // a labelled packet has no destination that could be the neighbour: its next hop is told, as an IP address
  const reachable = family === MPLS ? leg.gatewayFamily !== 0 && leg.gatewayFamily !== k.AF_PACKET : true;
  const phy = reachable && canEncapsulate(leg) ? pairs.phy(ns.name, leg.ifindex) : '';
  if (phy === '') return { phy, via: '', weight: leg.weight };
  return {
    phy,
    via: viaOf(leg),
    weight: leg.weight,
    ...(leg.labels === undefined || leg.labels.length === 0 ? {} : { labels: leg.labels }),
    ...(leg.ttl === undefined ? {} : { ttl: leg.ttl }),
  };
};

/** Whether only the kernel can use a leg. */
export const isKernels = (path: Path): boolean => path.phy === '' && path.lookup4 === undefined;

/** Where a route leads none of whose legs is over a pair. */
const UNPAIRED = { punt: SPECIAL.punt, drop: SPECIAL.blackhole, ignore: SPECIAL.none } as const;

/** What a path set comes to: its legs, or a special target, or 0 when nothing is usable. */
export const derivePathSet = (ns: Namespace, pairs: Pairs, p: PathSet): { target: number; paths: Path[] } => {
  const legs = legsOf(ns, p);
  if (legs === 'blackhole') return { target: SPECIAL.blackhole, paths: [] };
  const live = legs.filter((leg) => usable(ns, leg, p));
  if (live.length === 0) return { target: ns.cleared.outlive(p) ? SPECIAL.blackhole : SPECIAL.none, paths: [] };
  const paths = live.map((leg) => pathOf(ns, pairs, leg, p.family));
  if (paths.every(isKernels)) return { target: UNPAIRED[pairs.unpairedRoutes], paths: [] };
  // only the kernel can use the other legs; who does not want it to gets the rest alone
  const wanted = pairs.unpairedRoutes === 'punt' ? paths : paths.filter((path) => !isKernels(path));
  return { target: RESOLVED_PATHS, paths: wanted };
};

/**
 * The entry of a prefix that the kernel uses, 0 when none. resolve gives PathSet.resolved, derived
 * when it is not known yet.
 */
export const deriveRoute = (routes: Routes, record: number, resolve: (pathset: number) => number): number => {
  const t = routes.prefixes;
  const first = t.priority[t.head[record] as number];
  let best = 0;
  for (let e = t.head[record] as number; e !== 0; e = t.next[e] as number) {
    // IPv6 (find_rr_leaf): the most preferred of the lowest metric, else of all others whatever their metric
    if (best !== 0 && t.priority[best] === first && t.priority[e] !== first) break;
    const info = t.info[e] as number;
    if (routes.family === 4 && routeTosOf(info) !== 0) continue;
    const type = routeTypeOf(info);
    if (SPECIAL_OF[type] === undefined) continue;
    // IPv4 broadcast routes die with their device like unicast ones; the others are for us whatever
    const needsLegs = type === k.RTN_UNICAST || (type === k.RTN_BROADCAST && routes.family === 4);
    const target = needsLegs ? resolve(t.pathset[e] as number) : RESOLVED_PATHS;
    if (target === SPECIAL.none) continue;
    // a nexthop object that is a blackhole ends the kernel's search among equals, whatever was found before
    if (routes.family !== 6 || (target === SPECIAL.blackhole && routes.nexthopOf(e) !== 0)) return e;
    if (best === 0 || preferenceOf(info) > preferenceOf(t.info[best] as number)) best = e;
  }
  return best;
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
