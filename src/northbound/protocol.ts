// The control protocol: newline-delimited JSON over a unix stream socket. Types only, plus its limits.
//
//   client  {"id": 1, "method": "lookup", "params": {"addresses": ["192.0.2.1"]}}
//   lcpd    {"id": 1, "event": {…}}      none, one or many: rows of a list, or what is watched
//   lcpd    {"id": 1, "result": {…}}     or  {"id": 1, "error": {"code": "…", "message": "…", "hint": "…"}}
//   client  {"id": 1, "method": "cancel"}      ends request 1, which then answers
//
// Invariants: each request ends with exactly one result or error; requests of one client run side by side, so
// answers may overtake each other. An answer to something that had no readable id has the id null. Object members
// that a reader does not know are to be ignored. A client that has ended its writing side still gets its answers,
// but `watch` and `trace` end then.

import type {
  AddressRow,
  AdjacencyRow,
  CounterRow,
  DiffResult,
  FailureRow,
  InterfaceRow,
  LinkRow,
  LookupRequest,
  LookupRow,
  MessageRow,
  MrouteRow,
  NeighbourRow,
  NexthopRow,
  PairRow,
  PlanResult,
  PuntRow,
  ResyncResult,
  RouteFilter,
  RouteRow,
  RuleRow,
  StatusRow,
  SubifRow,
  TracePacket,
  TraceRequest,
  UnsupportedRow,
  WaitSyncedResult,
  WatchEvent,
} from '../lcp/view.ts';
import type { PuntChange, PuntReason, PuntRow as PuntRequestRow, PuntStat } from '../punt/view.ts';

/** Longest request line, bytes. A longer one is answered with an error and ends the connection. */
export const maxRequestBytes = 2 ** 20;

export type RequestId = number | string;

export interface Request {
  id: RequestId;
  method: string;
  params?: unknown;
}

export interface ErrorReply {
  /** A code of lib/errors.ts. */
  code: string;
  message: string;
  hint?: string;
}

export type Reply =
  | { id: RequestId; event: unknown }
  | { id: RequestId; result: unknown }
  | { id: RequestId | null; error: ErrorReply };

/** Result of a method whose rows came as events. */
export interface StreamEnd {
  /** Events sent. */
  rows: number;
  /** Ended by `cancel`, or because the client stopped writing. */
  cancelled?: boolean;
}

interface Method<P, E, R> {
  params: P;
  event: E;
  result: R;
}
type Unary<P, R> = Method<P, never, R>;
type Rows<P, E> = Method<P, E, StreamEnd>;
type None = Record<string, never>;

export type { PuntRequestRow };

/** Where packets of a punt can be looked at. */
export interface CaptureRow {
  /** '' is lcpd's own. */
  readonly netns: string;
  readonly device: string;
}

/**
 * What is to be added, as somebody wrote it: an entry of `punts:`, a text in YAML with `punts:`, or messages in the JSON of
 * Ligato and StoneWork (name: of a message without a label). netns: of what names none.
 */
export type PuntDocument =
  | { readonly entry: Readonly<Record<string, unknown>> }
  | { readonly text: string; readonly netns?: string }
  | { readonly json: unknown; readonly name?: string; readonly netns?: string };

/** Every method with its parameters, its events and its result. */
export interface Methods {
  status: Unary<None, StatusRow>;
  pairs: Rows<None, PairRow>;
  links: Rows<None, LinkRow>;
  addresses: Rows<None, AddressRow>;
  neighbours: Rows<None, NeighbourRow>;
  nexthops: Rows<None, NexthopRow>;
  rules: Rows<None, RuleRow>;
  subifs: Rows<None, SubifRow>;
  mroutes: Rows<None, MrouteRow>;
  unsupported: Rows<None, UnsupportedRow>;
  routes: Rows<RouteFilter, RouteRow>;
  adjacencies: Rows<None, AdjacencyRow>;
  interfaces: Rows<None, InterfaceRow>;
  counters: Rows<{ all?: boolean }, CounterRow>;
  punts: Rows<None, PuntRow>;
  failures: Rows<None, FailureRow>;
  messages: Rows<None, MessageRow>;
  lookup: Rows<LookupRequest, LookupRow>;
  diff: Unary<None, DiffResult>;
  waitSynced: Unary<{ timeoutMs: number }, WaitSyncedResult>;
  watch: Rows<None, WatchEvent>;
  trace: Rows<TraceRequest, TracePacket>;
  resync: Unary<{ netns?: string; dataplane?: boolean }, ResyncResult>;
  plan: Unary<{ configText: string }, PlanResult>;
  reload: Unary<None, PlanResult>;
  'punt.list': Rows<None, PuntRequestRow>;
  'punt.show': Unary<{ name: string }, PuntRequestRow>;
  'punt.add': Unary<PuntDocument, PuntRequestRow[]>;
  'punt.del': Unary<{ name: string }, PuntRequestRow>;
  'punt.reasons': Rows<None, PuntReason>;
  'punt.stats': Rows<None, PuntStat>;
  'punt.captures': Unary<{ name: string }, CaptureRow[]>;
  'punt.watch': Rows<None, PuntChange>;
}

export type MethodName = keyof Methods;
