// The driver contract: what a data plane must do for the mirror. Both drivers pass the same suite,
// test/unit/lcp/contract.ts.
//
// Operations are idempotent and answered one by one, in order; deleting what is absent is success. A
// batch is for the life of the data plane that it began in: what is behind its end is refused.
// What a driver cannot do it names in `unsupported`, it never drops it in silence. Errors are
// values. A driver keeps caches (name -> index) that it rebuilds in connect; nothing else.

import type { Family, Kind, LcpObject, RouteFamily } from './objects.ts';
import type { PuntPlane } from './puntplane.ts';

export type DataPlaneState = 'down' | 'up';

/**
 * handle: what the data plane answered for the object before, 0 when nothing. For a table and a path
 * set it is the number that routes refer to, for a pair the ifindex of the host.
 */
export interface Operation {
  readonly op: 'set' | 'delete';
  readonly object: LcpObject;
  readonly handle: number;
}

/** Answer to one operation; see Operation for handle. */
export interface OperationResult {
  readonly ok: boolean;
  readonly handle?: number;
  /** Stable code of lib/errors.ts, text for the operator and what to do, when not ok. */
  readonly code?: string;
  readonly message?: string;
  readonly hint?: string;
}

/** Words of one route in a batch: table handle, target handle (0 deletes), prefix length, 4 words of address. */
export const ROUTE_WORDS = 7;

/**
 * Routes on their way to a data plane, packed: ROUTE_WORDS words each. Address words are raw loads
 * of the network-order bytes (IPv4 uses the first), bits beyond the prefix length are 0.
 */
export interface RouteBatch {
  readonly family: RouteFamily;
  readonly words: Uint32Array;
  count: number;
  /** Filled by the driver: 0 or a negative errno for each route. */
  readonly results: Int32Array;
}

/** Makes an empty batch that can hold capacity routes. */
export const newRouteBatch = (family: RouteFamily, capacity: number): RouteBatch => ({
  family,
  words: new Uint32Array(capacity * ROUTE_WORDS),
  count: 0,
  results: new Int32Array(capacity),
});

/** An object that the data plane holds and that is ours, with its handle. */
export interface HeldObject {
  readonly object: LcpObject;
  readonly handle?: number;
}

/** What an address lookup in the data plane's own tables gives. */
export interface LookupAnswer {
  /** Handle of the table, 0 when no route matched. */
  readonly table: number;
  readonly target: number;
  readonly prefixlen: number;
  /** What went by the entry that packets for the address find, where the data plane counts that and tells it. */
  readonly counted?: { readonly packets: number; readonly bytes: number };
}

export interface AdjacencyRow {
  readonly id: number;
  /** The data plane's number of the phy. */
  readonly port: number;
  readonly phy: string;
  readonly family: Family;
  readonly nexthop: string;
  /** dead: its port was deleted, path lists still name it. */
  readonly state: 'incomplete' | 'complete' | 'attached' | 'multicast' | 'dead';
  readonly rewrite: string;
  /** Absent where the data plane does not count them one by one. */
  readonly packets?: number;
  readonly bytes?: number;
}

export interface CounterRow {
  /** '' : of the data plane as a whole. */
  readonly phy: string;
  readonly name: string;
  readonly value: number;
}

/** An error that routes met, as the data plane told it. */
export interface RouteFailure {
  /** The data plane's number and name of it. */
  readonly retval: number;
  readonly name: string;
  /** What to do, '' when the name says it all. */
  readonly hint: string;
  /** The route that met it last, when (milliseconds since 1970), and how often it was met, tries again included. */
  readonly prefix: string;
  readonly time: number;
  readonly count: number;
}

export interface PathAnswer {
  /** '' : a leg that is punted. */
  readonly phy: string;
  readonly via: string;
  readonly weight: number;
  readonly complete: boolean;
  readonly labels?: readonly number[];
}

/** One packet as the data plane saw it. */
export interface TracedPacket {
  readonly seq: number;
  readonly timeNs: bigint;
  readonly inPhy: string;
  readonly outPhy: string;
  readonly fromHost: boolean;
  /** The counter that names its fate: 'forward', 'punt-arp', 'drop-ip4-checksum', … */
  readonly fate: string;
  readonly length: number;
  readonly adjacency: number;
  readonly target: number;
  readonly tableHandle: number;
  readonly bytes: Uint8Array;
}

export interface DataPlaneInfo {
  readonly driver: string;
  readonly state: DataPlaneState;
  /** Changes when the data plane lost what it held. */
  readonly generation: string;
  readonly pid?: number;
  readonly workers?: number;
  readonly memoryUsed?: number;
  /** Release of a data plane that is another project's, and how it is spoken with. */
  readonly version?: string;
  readonly transport?: string;
}

/** A message between lcpd and a data plane with an API. */
export interface MessageRow {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly direction: 'sent' | 'received';
  readonly name: string;
  /** Messages that the row stands for: those sent in bulk are one row. */
  readonly count: number;
  /** Bytes of the message. */
  readonly length: number;
  /** The first bytes, hexadecimal. */
  readonly bytes: string;
  /** What was noticed about it. */
  readonly note: string;
}

/** Something the data plane asks the control plane to do. */
export type DataPlaneEvent =
  | { readonly event: 'neighbour-wanted'; readonly phy: string; readonly family: Family; readonly address: string }
  | { readonly event: 'port-error'; readonly phy: string; readonly errno: number }
  /** Something that the operator should know of. */
  | { readonly event: 'remark'; readonly what: string; readonly message: string };

export interface DataPlaneListener {
  /** Reported by connect and whenever it changes; down means: everything it held may be lost. */
  onState(state: DataPlaneState, cause: string): void;
  onEvent(event: DataPlaneEvent): void;
  /** Something that phys() tells has changed. */
  onPhys(): void;
}

/** The wire side of a pair, as whoever has it tells. */
export interface Phy {
  /** Kernel ifindex, or the data plane's own number of it; not 0. */
  readonly ifindex: number;
  readonly ethernet: boolean;
  readonly up: boolean;
  readonly carrier: boolean;
  /** Layer 3 MTU in bytes. */
  readonly mtu: number;
  /** Largest MTU that it takes, 0: not known. */
  readonly maxMtu: number;
  /** '' when it has none. */
  readonly mac: string;
}

/**
 * An interface as the data plane itself has it, where others may change it there. Interfaces are named as the core
 * does; tables by keys of Table, or 'own N' where the data plane's table N stands for none of the kernel's.
 */
export interface Seen {
  /** Another one: another interface of the same name. */
  readonly id: string;
  /** Phy of the pair that it is a sub-interface of, '' for a phy. */
  readonly parent: string;
  /** Of a sub-interface, outer first: see Subif. */
  readonly tags: readonly number[];
  /** The data plane's number of a sub-interface. */
  readonly subId: number;
  readonly up: boolean;
  /** Layer 3 MTU in bytes. */
  readonly mtu: number;
  /** Whether it is joined with an interface of the kernel. */
  readonly paired: boolean;
  /** Prefix length by address, link-local ones excepted; undefined until it was read. */
  readonly addresses: ReadonlyMap<string, number> | undefined;
  /** The same of the interface that an unnumbered one has its addresses from. */
  readonly borrowed: ReadonlyMap<string, number>;
  /** Tables that it is looked up in, undefined until they were read. */
  readonly tables: Readonly<Record<Family, string>> | undefined;
}

/** What a data plane with interfaces of its own has on them. Changes are told by onPhys, while it is followed. */
export interface SeenSource {
  follow(on: boolean): void;
  get(phy: string): Seen | undefined;
  /** All phys and sub-interfaces with what they are named. */
  all(): Iterable<readonly [phy: string, seen: Seen]>;
}

/** Protocols that a data plane hands on between phy and host only when it was told to, by number. */
export interface PassThrough {
  readonly ethertypes: readonly number[];
  /** OSI network layer protocols: 0x83 is IS-IS. */
  readonly osi: readonly number[];
}

/** Where phys live: lcpd's own network namespace, or a data plane with interfaces of its own. */
export interface PhySource {
  byName(phy: string): Phy | undefined;
  get(ifindex: number): Phy | undefined;
  /** Names of those that could be in a pair, where it knows; hosts of pairs are none. */
  names?(): Iterable<string>;
}

export interface DataPlane {
  readonly name: string;
  /** Kinds or features it cannot do, with the reason. */
  readonly unsupported: ReadonlyMap<Kind | string, string>;
  /** Whether setting a path set changes all routes that use it; if not, the core sends those again. */
  readonly sharedPathSets: boolean;
  /** Whether it holds addresses of interfaces (kind `address`); the routes of the local table are told anyway. */
  readonly hasAddresses: boolean;
  /** Whether it looks up multicast and IPv6 link-local destinations by interface, so that tables have no routes to them. */
  readonly servesLinks: boolean;
  /**
   * Whether table local and the one looked up behind it are one longest-prefix match whatever the rules, and of two
   * routes for one prefix only that of table local can be dumped.
   */
  readonly mergesLocal: boolean;
  /** Whether hosts vanish with it, so that what the kernel had on them has to be given back. */
  readonly hostsEndWithIt: boolean;
  /** Its interfaces, where phys are its own and no kernel devices. */
  readonly phys?: PhySource;
  /** Its interfaces as they are there, where they can be changed there. */
  readonly seen?: SeenSource;
  /** What it punts, where it can be told what to punt (kinds `interconnect` and `punt`). */
  readonly punts?: PuntPlane;

  /** Begins to bring it up; onState tells when. Calls again by itself after it went down. */
  connect(listener: DataPlaneListener): void;
  /** Lets go. keep: leave forwarding as it is; otherwise remove what is ours and end what we started. */
  close(keep: boolean): Promise<void>;

  /** Everything of ours that it holds now, except routes. */
  dump(): Promise<HeldObject[]>;
  /** All routes of a table, in batches; target words hold handles. */
  dumpRoutes(tableHandle: number, family: RouteFamily, onBatch: (batch: RouteBatch) => void): Promise<void>;

  apply(operations: readonly Operation[]): Promise<OperationResult[]>;
  /** Fills batch.results; returns how many failed. A driver may answer at once or later. */
  applyRoutes(batch: RouteBatch): number | Promise<number>;

  /** What packets for these addresses (canonical text; labels in decimal) from a port with these tables would find. */
  lookup(
    family: RouteFamily,
    tables: readonly number[],
    merged: boolean,
    addresses: readonly string[],
  ): LookupAnswer[] | Promise<LookupAnswer[]>;
  /** Legs behind a path set handle, undefined when there is none. */
  paths(handle: number): PathAnswer[] | undefined;

  info(): DataPlaneInfo;
  /** Its number of a phy, undefined when it has none. */
  port(phy: string): number | undefined;
  adjacencies(): AdjacencyRow[];
  /** Rejects when they cannot be read: none is not the same as zero. */
  counters(): CounterRow[] | Promise<CounterRow[]>;
  /** What routes were refused with while it is up, where it tells more than a number each; the last one first. */
  routeFailures?(): RouteFailure[];
  /** Packets after a sequence number, oldest first. arm: record every one of the next n. Throws NOT_SUPPORTED. */
  traces(after: number, arm: number): TracedPacket[];
  /** Says which protocols to hand on, where that has to be said; now and whenever it comes up. */
  passThrough?(wanted: PassThrough): void;
  /**
   * Goes down and comes up again, with nothing changed, so that what it holds is read and what somebody else changed is put right;
   * where others can. Throws DATAPLANE_DOWN.
   */
  readAgain?(cause: string): void;
  /** The last messages, oldest first, where there are any. */
  messages?(): MessageRow[];
}

/** Kernel links, handed to a driver by the composition root (drivers do not speak netlink). */
export interface LinkControl {
  /** Resolves when the kernel state shows the change, so that nothing is derived from the time before it. */
  set(netns: string, ifindex: number, change: LinkChange): Promise<void>;
  /** The link as the mirror knows it. */
  get(netns: string, ifindex: number): LinkFacts | undefined;
  /** Present name of the link with an alias: a host of ours may have been renamed. */
  nameOf(netns: string, alias: string): string | undefined;
  /** Links whose alias begins so, in all namespaces that are known. */
  marked(prefix: string): Iterable<MarkedLink>;
  /** Links of a namespace as the mirror knows them. */
  all(netns: string): Iterable<{ readonly ifindex: number; readonly name: string }>;
  /** Absolute path of a namespace's handle: /run/netns/NAME or /proc/self/ns/net. */
  netnsPath(netns: string): string;
}

export interface MarkedLink {
  readonly netns: string;
  readonly netnsId: string;
  readonly ifindex: number;
  readonly name: string;
  readonly alias: string;
}

export interface LinkChange {
  up?: boolean;
  mtu?: number;
  mac?: string;
  carrier?: boolean;
  promisc?: boolean;
  alias?: string;
}

export interface LinkFacts {
  readonly name: string;
  readonly up: boolean;
  readonly carrier: boolean;
  readonly mtu: number;
  /** '' when it has none. */
  readonly mac: string;
  readonly promisc: boolean;
}
