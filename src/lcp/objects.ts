// The objects that the mirror knows, as plain data: what a data plane is asked to hold.
//
// Every object has a kind and a key that is unique within it. Keys use the operator's names (phy,
// namespace), never a kernel index, so that an object is the same one before and after a restart.
// Routes are bulk and never appear as objects: see prefixtable.ts and RouteBatch in dataplane.ts.

/** Address family as the data planes count it. */
export type Family = 4 | 6;

/** Kinds in the order in which they must exist; deletes go the other way. Routes come after pathset. */
export const KINDS = ['pair', 'table', 'link', 'neighbour', 'pathset'] as const;
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

/** What follows the host (up, mtu, mac, forwarding) and what follows the phy (carrier). */
export interface Link {
  readonly kind: 'link';
  readonly phy: string;
  readonly phyIfindex: number;
  readonly hostIfindex: number;
  readonly netns: string;
  readonly up: boolean;
  /** Layer 3 MTU in bytes. */
  readonly mtu: number;
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
  /** Kernel tables that a packet from the phy is looked up in, in order (keys of Table). */
  readonly lookup4: readonly string[];
  readonly lookup6: readonly string[];
}

/** One kernel routing table of one namespace and family. */
export interface Table {
  readonly kind: 'table';
  readonly netns: string;
  readonly family: Family;
  /** rtnetlink table id: 254 main, 255 local, 253 default. */
  readonly table: number;
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
  readonly phy: string;
  /** Next hop, '' when the destination itself is the neighbour. */
  readonly via: string;
  /** 1..65535 */
  readonly weight: number;
}

/** Legs that many routes share. Routes refer to it by the handle that the data plane gave it. */
export interface PathSet {
  readonly kind: 'pathset';
  /** Namespace and number: 'cp#17'. Not stable over a restart; equal sets are found by their paths. */
  readonly id: string;
  readonly paths: readonly Path[];
}

export type LcpObject = Pair | Link | Table | Neighbour | PathSet;

export const tableKey = (netns: string, family: Family, table: number): string => `${netns}/v${family}/${table}`;
export const neighbourKey = (phy: string, address: string): string => `${phy} ${address}`;

/** The key of an object within its kind. */
export function keyOf(o: LcpObject): string {
  switch (o.kind) {
    case 'pair':
    case 'link':
      return o.phy;
    case 'table':
      return tableKey(o.netns, o.family, o.table);
    case 'neighbour':
      return neighbourKey(o.phy, o.address);
    case 'pathset':
      return o.id;
  }
}

/** Canonical text of a path set's legs, by which equal ones are recognised after a restart. */
export const pathsText = (paths: readonly Path[]): string =>
  paths
    .map((p) => `${p.phy}|${p.via}|${p.weight}`)
    .sort()
    .join(',');

/** Whether two objects of one kind and key ask for the same thing. */
export function sameObject(a: LcpObject, b: LcpObject): boolean {
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
