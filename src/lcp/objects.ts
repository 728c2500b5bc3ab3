// The objects that the mirror knows, as plain data: what a data plane is asked to hold.
//
// Every object has a kind and a key that is unique within it. Keys use the operator's names (phy,
// namespace), never a kernel index, so that an object is the same one before and after a restart.
// Routes are bulk and never appear as objects: see prefixtable.ts and RouteBatch in dataplane.ts.

import { isDeepStrictEqual } from 'node:util';
import { type Interconnect, type Punt, puntKey } from './puntobjects.ts';

/** Address family as the data planes count it. */
export type Family = 4 | 6;
/** AF_MPLS: routes that are found by label. Their "address" is the label in the upper 20 bits of the first word. */
export const MPLS = 28;
/** What a routing table may be of. */
export type RouteFamily = Family | typeof MPLS;

/** Kinds in the order in which they must exist; deletes go the other way. Routes come after pathset. */
export const KINDS = [
  'pair',
  'table',
  'subif',
  'link',
  'address',
  'neighbour',
  'pathset',
  'mroute',
  'interconnect',
  'punt',
] as const;
export type Kind = (typeof KINDS)[number];

export type HostType = 'tap' | 'tun';

/** A phy joined with its host interface. */
export interface Pair {
  readonly kind: 'pair';
  readonly phy: string;
  /** Index of the phy in lcpd's own namespace; 0 detaches: the host stays, without carrier. */
  readonly phyIfindex: number;
  readonly host: string;
  /** Name of the host's namespace; '' is lcpd's own. */
  readonly netns: string;
  /** "dev:ino" of that namespace: another identity under the same name is another namespace. */
  readonly netnsId: string;
  readonly type: HostType;
}

/**
 * A tagged sub-interface of a pair: a VLAN device that the control plane made on the host. Wherever an
 * object names a phy, it may name a sub-interface instead.
 */
export interface Subif {
  readonly kind: 'subif';
  /** Its own name: the parent's, then '.' and each tag, outer first: 'eth0.100', 'eth0.ad5.7'. */
  readonly phy: string;
  /** The pair's phy. */
  readonly parent: string;
  /** Outer first, one or two: TPID (0x8100, 0x88a8) * 65536 + VLAN id. Matched exactly. */
  readonly tags: readonly number[];
  readonly netns: string;
}

/** What follows the host (up, mtu, mac, forwarding) and what follows the phy (carrier). */
export interface Link {
  readonly kind: 'link';
  readonly phy: string;
  /** Phy of the pair that this is a sub-interface of, '' for a pair itself. */
  readonly parent: string;
  /** 0 for a sub-interface: it has no device in lcpd's namespace. */
  readonly phyIfindex: number;
  readonly hostIfindex: number;
  readonly netns: string;
  readonly up: boolean;
  /** Layer 3 MTU in bytes. */
  readonly mtu: number;
  /** MTU of the phy's device: the host's, or what the tags of its sub-interfaces need besides; 0 for those. */
  readonly phyMtu: number;
  /** 'aa:bb:cc:dd:ee:ff', '' on a TUN. */
  readonly mac: string;
  readonly carrier: boolean;
  readonly promisc: boolean;
  /** The host's current name: it may have been renamed since the pair was made. */
  readonly host: string;
  /** Whether the host's kernel forwards and so answers punted exceptions itself. */
  readonly forwarding4: boolean;
  readonly forwarding6: boolean;
  /** Addresses that the data plane may use as source of ICMP errors, '' when the host has none. */
  readonly source4: string;
  readonly source6: string;
  /** Further unicast addresses that frames are taken by: of macvlan devices on the host (VRRP). */
  readonly macs: readonly string[];
  /** The host belongs to a bridge, bond or the like: every frame is the kernel's, nothing is routed. */
  readonly l2: boolean;
  /** Kernel tables that a packet from the phy is looked up in, in order (keys of Table). */
  readonly lookup4: readonly string[];
  readonly lookup6: readonly string[];
  /** The first two of lookup4 are one longest-prefix match: Linux without custom rules. */
  readonly merged4: boolean;
  /** The label table where the interface takes MPLS packets, else nothing. */
  readonly lookupMpls: readonly string[];
}

/** One kernel routing table of one namespace and family. */
export interface Table {
  readonly kind: 'table';
  readonly netns: string;
  readonly family: RouteFamily;
  /** rtnetlink table id: 254 main, 255 local, 253 default; 0 for MPLS, which has one. */
  readonly table: number;
}

/**
 * An address of a host, for data planes that hold interface addresses besides the routes of the local table (to
 * answer ARP and ND, to have a source for what they send).
 */
export interface Address {
  readonly kind: 'address';
  readonly phy: string;
  readonly family: Family;
  readonly address: string;
  readonly prefixlen: number;
  /** The kernel's best route for its prefix is the on-link one by this interface; otherwise only the address is ours. */
  readonly connected: boolean;
}

/** A usable neighbour (NUD_VALID with a link-layer address) on a host interface. */
export interface Neighbour {
  readonly kind: 'neighbour';
  readonly phy: string;
  readonly family: Family;
  readonly address: string;
  readonly mac: string;
}

/** One leg of a path set. */
export interface Path {
  /** '' : the leg leaves by a device that is no pair, so its packets are punted. */
  readonly phy: string;
  /** Next hop, '' when the destination itself is the neighbour. */
  readonly via: string;
  /** 1..65535 */
  readonly weight: number;
  /** Labels that the packet leaves with, outermost first; absent: none. A route of MPLS replaces its label by them. */
  readonly labels?: readonly number[];
  /** TTL of pushed labels in the pipe model; absent: TTL is propagated (RFC 3443 uniform model). */
  readonly ttl?: number;
  /**
   * Instead of leaving, the packet is looked up once more, in these tables by its family: a leg into a
   * VRF. phy and via are ''. Labels are popped before, an IP packet keeps its TTL.
   */
  readonly lookup4?: readonly string[];
  readonly lookup6?: readonly string[];
}

/** Most labels of one leg. */
export const MAX_LABELS = 8;

/** Legs that many routes share. Routes refer to it by the handle that the data plane gave it. */
export interface PathSet {
  readonly kind: 'pathset';
  /** Namespace and number: 'cp#17'. Not stable over a restart; equal sets are found by their paths. */
  readonly id: string;
  readonly paths: readonly Path[];
}

/** A multicast forwarding entry: what comes in by phy from source to group leaves by each of out. */
export interface Mroute {
  readonly kind: 'mroute';
  /** Where the packets must come in. */
  readonly phy: string;
  readonly family: Family;
  /** '' : any source. */
  readonly source: string;
  readonly group: string;
  readonly out: readonly string[];
  /** Every packet also goes to the host: it has joined the group, or some output is no pair. */
  readonly host: boolean;
}

export type LcpObject = Pair | Subif | Link | Table | Address | Neighbour | PathSet | Mroute | Interconnect | Punt;

export const tableKey = (netns: string, family: RouteFamily, table: number): string =>
  `${netns}/${family === MPLS ? 'mpls' : `v${family}`}/${table}`;
export const mrouteKey = (phy: string, source: string, group: string): string => `${phy} ${source || '*'} ${group}`;
export const addressKey = (phy: string, address: string, prefixlen: number): string => `${phy} ${address}/${prefixlen}`;
export const neighbourKey = (phy: string, address: string): string => `${phy} ${address}`;

/** The key of an object within its kind. */
export function keyOf(o: LcpObject): string {
  switch (o.kind) {
    case 'pair':
    case 'subif':
    case 'link':
      return o.phy;
    case 'table':
      return tableKey(o.netns, o.family, o.table);
    case 'address':
      return addressKey(o.phy, o.address, o.prefixlen);
    case 'neighbour':
      return neighbourKey(o.phy, o.address);
    case 'pathset':
      return o.id;
    case 'mroute':
      return mrouteKey(o.phy, o.source, o.group);
    case 'interconnect':
      return o.name;
    case 'punt':
      return puntKey(o);
  }
}

const lookupText = ({ lookup4, lookup6 }: Path): string =>
  lookup4 === undefined && lookup6 === undefined ? '' : `|${lookup4?.join(' ')}|${lookup6?.join(' ')}`;

/** Canonical text of a path set's legs, by which equal ones are recognised after a restart. */
export const pathsText = (paths: readonly Path[]): string =>
  paths
    .map((p) => `${p.phy}|${p.via}|${p.weight}|${p.labels?.join('/') ?? ''}|${p.ttl ?? ''}${lookupText(p)}`)
    .sort()
    .join(',');

/** Whether two objects of one kind and key ask for the same thing. */
export function sameObject(a: LcpObject, b: LcpObject): boolean {
  if (a.kind === 'punt') return isDeepStrictEqual(a, b);
  if (a.kind === 'pathset' && b.kind === 'pathset') return pathsText(a.paths) === pathsText(b.paths);
  const x = a as unknown as Record<string, unknown>;
  const y = b as unknown as Record<string, unknown>;
  for (const key of Object.keys(x)) {
    const u = x[key];
    const v = y[key];
    if (u === v) continue;
    if (!Array.isArray(u) || !Array.isArray(v) || u.length !== v.length || u.some((w, i) => w !== v[i])) return false;
  }
  return true;
}

/** Where a route leads when it is no path set: the numbers below 16 of a target. */
export const SPECIAL = {
  none: 0,
  local: 1,
  broadcast: 2,
  anycast: 3,
  multicast: 4,
  blackhole: 5,
  unreachable: 6,
  prohibit: 7,
  throw: 8,
  /** The route leaves by a device that is no pair: the kernel decides. */
  punt: 9,
} as const;
export type SpecialName = keyof typeof SPECIAL;
export const SPECIAL_NAMES = Object.keys(SPECIAL) as SpecialName[];
/** First handle of a path set. */
export const FIRST_HANDLE = 16;
