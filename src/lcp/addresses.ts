// Addresses: those of a namespace that a data plane should have on its interfaces, as a pure function of kernel state.
//
// An address counts once the kernel uses it: neither tentative nor found to be somebody else's. Its prefix is
// on-link by it only where the kernel says so: not with a peer, with noprefixroute, or when the route was deleted
// or another one is better, in the tables that what comes in by the interface is looked up in (a rule may put some in
// front of the one with the prefix).

import { AF_INET6, ipBytes, isLinkLocal6, maskBytes, parseIp, wordsOf } from '../lib/ip.ts';
import type { Address as KernelAddress } from '../netlink/address.ts';
import * as k from '../netlink/uapi.ts';
import { ingressOf, macvlansOn } from './derivelink.ts';
import type { Namespace } from './namespace.ts';
import type { Address } from './objects.ts';
import type { Pairs } from './pairs.ts';
import { routeTypeOf } from './prefixtable.ts';
import type { Routes } from './routes.ts';

const RUNNING = k.IFF_UP | k.IFF_LOWER_UP;
const UNUSABLE = k.IFA_F_TENTATIVE | k.IFA_F_DADFAILED;

/** The entry that the kernel uses for a prefix, 0 when none. */
type Best = (ns: Namespace, routes: Routes, record: number) => number;

/** Whether an entry is on-link by an interface alone. */
const isOnLinkBy = (ns: Namespace, { prefixes: t }: Routes, entry: number, ifindex: number): boolean => {
  if (routeTypeOf(t.info[entry] as number) !== k.RTN_UNICAST) return false;
  const legs = ns.pathsets.get(t.pathset[entry] as number)?.legs ?? [];
  return legs.length === 1 && legs[0]?.ifindex === ifindex && legs[0].gatewayFamily === 0;
};

/** The first entry of a table that covers a prefix, the longest one, with its length; undefined when the next table is asked. */
const covering = (
  ns: Namespace,
  routes: Routes,
  best: Best,
  table: number,
  bytes: Uint8Array,
  longest: number,
): { entry: number; length: number } | undefined => {
  const t = routes.prefixes;
  for (let length = longest; length >= 0; length--) {
    const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = wordsOf(maskBytes(bytes, length));
    const record = t.find(table, length, a0, ...(t.words === 4 ? [a1, a2, a3] : []));
    const entry = record === 0 ? 0 : best(ns, routes, record);
    if (entry === 0) continue;
    return routeTypeOf(t.info[entry] as number) === k.RTN_THROW ? undefined : { entry, length };
  }
  return undefined;
};

/** Whether the route that the kernel uses for the prefix of an address is the on-link one by its interface. */
const isConnected = (ns: Namespace, a: KernelAddress, best: Best): boolean => {
  const family = a.family === AF_INET6 ? 6 : 4;
  const routes = ns.routesOf(family);
  const bytes = parseIp(a.local);
  if (bytes === undefined) return false;
  for (const table of ns.rules.tablesFor(family, ingressOf(ns, a.ifindex)).tables) {
    const found = table === k.RT_TABLE_LOCAL ? undefined : covering(ns, routes, best, table, bytes, a.prefixlen);
    if (found !== undefined) return found.length === a.prefixlen && isOnLinkBy(ns, routes, found.entry, a.ifindex);
  }
  return false;
};

/**
 * The phy of an address: of its device, or of the device below the macvlan that it is on (VRRP), '' when there is none. A
 * macvlan without carrier is a virtual router's whose master is another. A data plane has one link-local address an interface, which is
 * the device's own.
 */
const phyOf = (ns: Namespace, pairs: Pairs, { ifindex, local }: KernelAddress): string => {
  const phy = pairs.phy(ns.name, ifindex);
  const link = phy === '' ? ns.links.get(ifindex) : undefined;
  if (link?.link === undefined || !macvlansOn(ns, link.link).includes(link) || (link.flags & RUNNING) !== RUNNING)
    return phy;
  return local.includes(':') && isLinkLocal6(ipBytes(local)) ? '' : pairs.phy(ns.name, link.link);
};

/** Addresses of a namespace's hosts, of the VLAN devices on them, and of macvlans on both. */
export const deriveAddresses = (ns: Namespace, pairs: Pairs, best: Best): Address[] => {
  const found: Address[] = [];
  for (const a of ns.addresses.values()) {
    const phy = phyOf(ns, pairs, a);
    if (phy === '' || (a.flags & UNUSABLE) !== 0) continue;
    found.push({
      kind: 'address',
      phy,
      family: a.family === AF_INET6 ? 6 : 4,
      address: a.local,
      prefixlen: a.prefixlen,
      connected: isConnected(ns, a, best),
    });
  }
  return found;
};
