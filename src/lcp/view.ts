// View: everything that a door (control socket, and later REST, gRPC, metrics) may ask of the core.
//
// Invariants: rows are plain JSON values (no Map, bigint, Buffer, undefined inside arrays); addresses and prefixes
// are text in canonical form; times are ms, sizes bytes, unless the name says otherwise; `netns` is the configured
// name, and '' is lcpd's own namespace. Absent optional members mean "not known" or "does not apply".
// A View throws LcpError for what the operator may read; anything else is a programming error.

import type { MessageRow } from './dataplane.ts';
import type {
  AddressRow,
  AdjacencyRow,
  CounterRow,
  FailureRow,
  InterfaceRow,
  LinkRow,
  MrouteRow,
  NeighbourRow,
  NexthopRow,
  PairRow,
  PuntRow,
  RouteFilter,
  RouteRow,
  RuleRow,
  SubifRow,
  UnsupportedRow,
} from './rows.ts';

export type { MessageRow } from './dataplane.ts';
export type * from './rows.ts';

export type HealthState = 'ok' | 'degraded' | 'starting';

export interface HealthRow {
  state: HealthState;
  /** Objects desired. */
  objects: number;
  /** Objects whose last operation failed. */
  failed: number;
  /** Objects not yet in the data plane, the failed ones included. */
  pending: number;
  /** Age of the oldest failure. */
  oldestMs?: number;
  /** What the operator should do about the oldest failure. */
  hint?: string;
}

export interface DataplaneStatusRow {
  driver: string;
  state: 'up' | 'connecting' | 'down';
  /** Of the data plane's memory: a new value means that it restarted empty. */
  generation: string;
  pid?: number;
  workers?: number;
  /** Bytes of table memory in use. */
  memoryUsed?: number;
  /** Release of a data plane that is another project's, and how it is spoken with. */
  version?: string;
  transport?: string;
}

export interface NamespaceStatusRow {
  name: string;
  state: 'in-sync' | 'syncing' | 'absent';
  routes4: number;
  routes6: number;
  routesMpls: number;
  mroutes: number;
  /** Kernel state that the data plane cannot follow: lcpctl diff lists it. */
  unsupported: number;
  neighbours: number;
  links: number;
  /** Netlink messages received since start. */
  messages: number;
  /** Times the kernel dropped notifications (ENOBUFS). */
  overruns: number;
  resyncs: number;
  lastResync?: { cause: string; ms: number /** Unix time, ms. */; at: number };
  /** Messages not understood, skipped. */
  drops: number;
}

export interface RoundsRow {
  count: number;
  lastMs: number;
  maxMs: number;
  operations: number;
  failed: number;
}

export interface StatusRow {
  version: string;
  pid: number;
  uptimeMs: number;
  health: HealthRow;
  dataplane: DataplaneStatusRow;
  namespaces: NamespaceStatusRow[];
  rounds: RoundsRow;
}

export interface LookupRequest {
  addresses: string[];
  table?: number;
  netns?: string;
  /** As a packet that comes in by an interface of this VRF. */
  vrf?: string;
  /** As a packet that comes in by this interface of the namespace. */
  iif?: string;
  /** `addresses` are MPLS labels in decimal. */
  mpls?: boolean;
}

export type LookupType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'multicast'
  | 'blackhole'
  | 'unreachable'
  | 'prohibit'
  | 'throw'
  | 'punt'
  | 'none';

export interface LookupPath {
  via?: string;
  dev: string;
  weight: number;
  /** The adjacency has a rewrite, packets leave at once. */
  complete: boolean;
  /** MPLS labels that are pushed, outermost first. */
  labels?: number[];
  /** The share of this leg goes to the kernel: the device is no pair. */
  punted?: boolean;
}

export interface LookupFound {
  address: string;
  netns: string;
  table?: number;
  /** The longest matching prefix; absent when nothing matches. */
  prefix?: string;
  /** 'none' = no route in the data plane. */
  type: LookupType;
  paths: LookupPath[];
  /** What went by the data plane's entry for the address, where it counts that. */
  packets?: number;
  bytes?: number;
}

/** A single address that cannot be looked up (not an address, unknown table) does not spoil the others. */
export interface LookupFailed {
  address: string;
  error: string;
}

export type LookupRow = LookupFound | LookupFailed;

/** One object on which kernel, desired and actual do not agree. */
export interface DifferenceRow {
  kind: string;
  key: string;
  kernel?: string;
  desired?: string;
  actual?: string;
  reason: string;
}

export interface DiffResult {
  differences: DifferenceRow[];
  /** Objects compared, by kind. */
  checked: Record<string, number>;
  ms: number;
}

export interface WaitSyncedResult {
  synced: boolean;
  ms: number;
  /** What is still open, readable, bounded. */
  pending: string[];
}

export interface WatchEvent {
  /** Unix time, ms. */
  time: number;
  area: string;
  event: string;
  key: string;
  detail?: string;
}

export interface TraceRequest {
  /** Stop after so many packets; absent = until cancelled or `timeoutMs`. */
  count?: number;
  /** Transit packets too, not only punted and dropped ones. */
  all?: boolean;
  timeoutMs?: number;
}

/** One packet as the data plane saw it. */
export interface TracePacket {
  /** Unix time, ms, with fraction. */
  time: number;
  /** Interface it came in on (phy or host name). */
  rx: string;
  /** Interface it left by. */
  tx?: string;
  /** forward, punt, x-connect, drop. */
  action: string;
  /** Counter or punt reason. */
  reason?: string;
  /** The nodes it went through, in order: rx, fib, adjacency 7, tx … */
  path: string[];
  /** Whether `bytes` begins with an Ethernet header or directly with IP (TUN). */
  layer: 'ethernet' | 'ip';
  /** Length on the wire, bytes. */
  length: number;
  /** The first bytes, base64. */
  bytes: string;
}

export interface PlanOperation {
  op: 'add' | 'update' | 'delete';
  kind: string;
  key: string;
  detail?: string;
}

export interface PlanResult {
  operations: PlanOperation[];
  /** Configuration keys whose change takes effect only after a restart. */
  restartNeeded: string[];
}

export interface ResyncResult {
  /** Namespaces for which a resync was started. */
  namespaces: string[];
  /** Name of the data plane, where that is read again. */
  dataplane?: string;
}

export type MaybePromise<T> = T | Promise<T>;

/**
 * What the core offers. `watch` and `trace` push; the caller stops them. `routes` pulls, so that a slow client
 * slows the walk instead of filling memory: it must tolerate route changes between two steps.
 */
export interface View {
  status(): MaybePromise<StatusRow>;
  pairs(): MaybePromise<PairRow[]>;
  links(): MaybePromise<LinkRow[]>;
  addresses(): MaybePromise<AddressRow[]>;
  neighbours(): MaybePromise<NeighbourRow[]>;
  nexthops(): MaybePromise<NexthopRow[]>;
  rules(): MaybePromise<RuleRow[]>;
  subifs(): MaybePromise<SubifRow[]>;
  mroutes(): MaybePromise<MrouteRow[]>;
  unsupported(): MaybePromise<UnsupportedRow[]>;
  routes(filter: RouteFilter): Iterable<RouteRow> | AsyncIterable<RouteRow>;
  adjacencies(): MaybePromise<AdjacencyRow[]>;
  interfaces(): MaybePromise<InterfaceRow[]>;
  /** `all`: counters that are zero too. */
  counters(request: { all?: boolean }): MaybePromise<CounterRow[]>;
  punts(): MaybePromise<PuntRow[]>;
  /** What the data plane has refused and still refuses, oldest first. */
  failures(): MaybePromise<FailureRow[]>;
  /** The last messages between lcpd and the data plane. Throws NOT_SUPPORTED where there are none. */
  messages(): MaybePromise<MessageRow[]>;
  /** One row for each address, in the order asked. */
  lookup(request: LookupRequest): MaybePromise<LookupRow[]>;
  /** Re-reads kernel and data plane. */
  diff(): MaybePromise<DiffResult>;
  /** Resolves when synced or after `timeoutMs`; `signal` aborts when the client goes away. */
  waitSynced(request: { timeoutMs: number }, signal: AbortSignal): Promise<WaitSyncedResult>;
  /** Calls back for each state change until the returned function is called. */
  watch(onEvent: (event: WatchEvent) => void): () => void;
  /** Calls back for each packet until `signal` aborts; resolves when count or time is reached. */
  trace(request: TraceRequest, onPacket: (packet: TracePacket) => void, signal: AbortSignal): Promise<void>;
  resync(request: { netns?: string; dataplane?: boolean }): MaybePromise<ResyncResult>;
  /** What a reload with this text would do; throws LcpError CONFIG_INVALID with all messages when it is not valid. */
  plan(request: { configText: string }): MaybePromise<PlanResult>;
  /** Reads the configuration file again and applies the difference. */
  reload(): MaybePromise<PlanResult>;
}
