// DeriveLink: how an interface of the data plane should be, from its host in the kernel.
//
// A packet that comes in by an interface is looked up as the kernel would for the host: by the rules of
// the namespace, in the table of the VRF that the host is enslaved to. A host that is a port of a bridge,
// bond or the like is no routed interface: every frame is the kernel's. Frames to the address of a
// macvlan device on the host (VRRP) are taken like those to its own.

import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import type { Address } from '../netlink/address.ts';
import type { Link as KernelLink } from '../netlink/link.ts';
import * as k from '../netlink/uapi.ts';
import type { Phy, PhySource } from './dataplane.ts';
import type { Namespace } from './namespace.ts';
import { type Family, type Link, MPLS, tableKey } from './objects.ts';
import type { Pairs } from './pairs.ts';
import { type Ingress, NO_VRF, vrfIngress } from './rules.ts';
import type { FoundSubif } from './subifs.ts';

/** MACVLAN_MODE_PASSTHRU: the device takes over its lower one. */
const MACVLAN_PASSTHRU = 8;

const masterOf = (ns: Namespace, link: KernelLink | undefined): KernelLink | undefined =>
  link?.master === undefined ? undefined : ns.links.get(link.master);

/** Ifindex of the VRF device that an interface belongs to or is itself, 0 when none. */
const vrfOf = (ns: Namespace, ifindex: number): number => {
  const link = ns.links.get(ifindex);
  if (link?.kind === 'vrf') return ifindex;
  const master = masterOf(ns, link);
  return master?.kind === 'vrf' ? master.ifindex : 0;
};

/** An interface as the rules see it. */
export const ingressOf = (ns: Namespace, ifindex: number): Ingress => {
  const name = ns.links.get(ifindex)?.name ?? '';
  const vrf = ns.links.get(vrfOf(ns, ifindex));
  return vrf === undefined ? { ...NO_VRF, name } : { ...vrfIngress(vrf), name };
};

/** The VRF of a name as the rules see what comes in by it; undefined when there is none. */
export const ingressOfVrf = (ns: Namespace, name: string): Ingress | undefined => {
  for (const l of ns.links.values()) {
    if (l.kind === 'vrf' && l.name === name) return vrfIngress(l);
  }
  return undefined;
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

/** The address that ICMP errors about packets from an interface come from: its own, else any of its VRF. */
const sourceOf = (ns: Namespace, family: number, ifindex: number): string => {
  const vrf = vrfOf(ns, ifindex);
  return (
    globalOn(ns, family, (a) => a.ifindex === ifindex) || globalOn(ns, family, (a) => vrfOf(ns, a.ifindex) === vrf)
  );
};

/** Devices that take frames of another device by an address of their own. */
export const macvlansOn = (ns: Namespace, ifindex: number): KernelLink[] =>
  [...ns.links.values()].filter((l) => l.kind === 'macvlan' && l.link === ifindex && l.linkNetnsid === undefined);

const macsOf = (ns: Namespace, host: KernelLink): string[] => {
  const macs = macvlansOn(ns, host.ifindex)
    .filter((l) => (l.flags & k.IFF_UP) !== 0 && l.mac !== undefined && l.mac !== host.mac)
    .map((l) => l.mac as string);
  return [...new Set(macs)].sort();
};

const isL2 = (ns: Namespace, host: KernelLink): boolean => {
  if (macvlansOn(ns, host.ifindex).some((l) => l.info?.macvlan?.mode === MACVLAN_PASSTHRU)) return true;
  return host.master !== undefined && masterOf(ns, host)?.kind !== 'vrf';
};

/** What an interface, pair or sub-interface, takes from its host; undefined when there is no such host. */
const fromHost = (ns: Namespace, hostIfindex: number) => {
  const host = ns.links.get(hostIfindex);
  if (host === undefined) return undefined;
  const setting = ns.settings.get(hostIfindex);
  const ingress = ingressOf(ns, hostIfindex);
  const order = (family: Family) => ns.rules.tablesFor(family, ingress);
  const keys = (family: Family) => order(family).tables.map((t) => tableKey(ns.name, family, t));
  return {
    hostIfindex,
    netns: ns.name,
    up: (host.flags & k.IFF_UP) !== 0,
    mtu: host.mtu,
    mac: host.mac ?? '',
    host: host.name,
    forwarding4: setting.forwarding4,
    forwarding6: setting.forwarding6,
    source4: sourceOf(ns, AF_INET, hostIfindex),
    source6: sourceOf(ns, AF_INET6, hostIfindex),
    macs: macsOf(ns, host),
    l2: isL2(ns, host),
    lookup4: keys(4),
    lookup6: keys(6),
    merged4: order(4).merged,
    lookupMpls: setting.mpls ? [tableKey(ns.name, MPLS, 0)] : [],
  };
};

/** Bytes of one VLAN tag. */
const TAG_BYTES = 4;
const TPID_DOT1Q = 0x8100;

/** What tags need beside the layer 3 MTU: every driver and packet socket has room for one of 802.1Q. */
const tagRoom = (tags: readonly number[]): number =>
  tags.length === 1 && (tags[0] as number) >>> 16 === TPID_DOT1Q ? 0 : TAG_BYTES * tags.length;

/** MTU that a phy must have for what its host and sub-interfaces send, as far as its driver allows. */
const phyMtuOf = (host: KernelLink, wire: Phy, ns: Namespace, subifs: readonly FoundSubif[]): number => {
  const wanted = subifs.map(({ object, ifindex }) => (ns.links.get(ifindex)?.mtu ?? 0) + tagRoom(object.tags));
  const most = wire.maxMtu === 0 ? Number.POSITIVE_INFINITY : wire.maxMtu;
  return Math.max(host.mtu, Math.min(most, Math.max(host.mtu, ...wanted)));
};

/** What phy and host should agree on; undefined while there is no such pair. subifs: those of the phy. */
export const deriveLink = (
  phy: string,
  phyIfindex: number,
  ns: Namespace,
  phys: PhySource,
  hostIfindex: number,
  subifs: readonly FoundSubif[] = [],
): Link | undefined => {
  const host = fromHost(ns, hostIfindex);
  const wire = phys.get(phyIfindex);
  if (host === undefined || wire === undefined) return undefined;
  const { carrier } = wire;
  const phyMtu = phyMtuOf(ns.links.get(hostIfindex) as KernelLink, wire, ns, subifs);
  return { kind: 'link', phy, parent: '', phyIfindex, phyMtu, carrier, promisc: true, ...host };
};

/** How a sub-interface should be: like its VLAN device. */
export const deriveSubifLink = (phy: string, parent: string, ns: Namespace, pairs: Pairs): Link | undefined => {
  const host = fromHost(ns, pairs.host(phy));
  if (host === undefined) return undefined;
  const carrier = ((ns.links.get(host.hostIfindex)?.flags ?? 0) & k.IFF_LOWER_UP) !== 0;
  return { kind: 'link', phy, parent, phyIfindex: 0, phyMtu: 0, carrier, promisc: true, ...host };
};
