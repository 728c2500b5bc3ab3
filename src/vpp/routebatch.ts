// RouteEncoder and RouteRow: unicast routes in bulk, written to and read from the bytes of VPP's messages.
//
// Invariants: no object is made for a route. Offsets are taken once from the layout that this VPP has. Addresses are
// four words, the network-order bytes loaded as they lie on this host, as in netlink/route.ts; IPv4 uses the first.
// Paths are encoded once for a path set and copied into each of its routes. The older message has no source: its
// routes are of VPP's source API. Reference: VPP's src/vnet/ip/ip.api, src/vnet/fib/fib_types.api.

import { LcpError } from '../lib/errors.ts';
import { AF_INET, AF_INET6 } from '../lib/ip.ts';
import { addressFamily } from './address.ts';
import { fibPath } from './api/fibtypes.ts';
import type { FrameBatch } from './batch.ts';
import type { Bound } from './binding.ts';
import type { InputOf, ValueOf } from './codec.ts';
import type { StructCodec } from './compound.ts';
import { HEAD_SIZE, offsetOf } from './message.ts';
import { Wire } from './wire.ts';

export type FibPath = ValueOf<typeof fibPath>;
export type FibPathInput = InputOf<typeof fibPath>;

/** Paths as they lie in a message. */
export interface EncodedPaths {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Most paths of a route. */
export const MAX_PATHS = 255;

/** Bytes of the paths of a path set. Throws VPP_MESSAGE when one of them cannot be written. */
export function encodePaths(paths: readonly FibPathInput[]): EncodedPaths {
  if (paths.length > MAX_PATHS) {
    throw new LcpError('VPP_MESSAGE', {
      op: 'write paths',
      message: `${paths.length} paths are more than ${MAX_PATHS}`,
    });
  }
  const wire = new Wire(new Uint8Array(paths.length * fibPath.size));
  for (const path of paths) fibPath.write(wire, path);
  return { count: paths.length, bytes: wire.bytes };
}

/** What a route is written as, in VPP's terms. */
export interface RouteHow {
  readonly isAdd: boolean;
  /** Adds or removes the paths; otherwise replaces all of the source, or removes the entry. */
  readonly isMultipath: boolean;
  readonly tableId: number;
  /** Of fib_source_add; 0 is VPP's source API. */
  readonly source: number;
}

/** Offset of a field that routes must have, in this VPP's layout. */
function required(bound: Bound, field: string): number {
  const at = offsetOf(bound.layout, field);
  if (at >= 0) return at;
  throw new LcpError('NOT_SUPPORTED', { op: bound.message.name, message: `this VPP's message has no ${field}` });
}

/** Whether this VPP has paths as we know them; other ones cannot be copied. */
function checkPaths(bound: Bound): void {
  const route = bound.layout.body.fields.route as StructCodec | undefined;
  const last = Object.entries(route?.fields ?? {}).at(-1);
  if (last?.[0] === 'paths' && last[1].shape === `${fibPath.shape}[n_paths]`) return;
  throw new LcpError('NOT_SUPPORTED', { op: bound.message.name, message: 'this VPP has other paths in its routes' });
}

export class RouteEncoder {
  /** Whether routes have a source of their own. */
  readonly hasSource: boolean;
  readonly #template: Uint8Array;
  readonly #isAdd: number;
  readonly #isMultipath: number;
  readonly #table: number;
  readonly #family: number;
  readonly #address: number;
  readonly #length: number;
  readonly #paths: number;
  readonly #source: number;

  /** For ip_route_add_del or ip_route_add_del_v2 as bound. Throws NOT_SUPPORTED when they are too different. */
  constructor(bound: Bound) {
    checkPaths(bound);
    this.#isAdd = required(bound, 'is_add');
    this.#isMultipath = required(bound, 'is_multipath');
    this.#table = required(bound, 'route.table_id');
    this.#family = required(bound, 'route.prefix');
    this.#address = this.#family + 1;
    this.#length = required(bound, 'route.prefix.len');
    this.#paths = required(bound, 'route.n_paths');
    this.#source = offsetOf(bound.layout, 'route.src');
    this.hasSource = this.#source >= 0;
    this.#template = new Uint8Array(HEAD_SIZE.both + bound.layout.body.size);
  }

  /** Adds a route to a batch. `family` is AF_INET or AF_INET6, `length` the prefix length in bits. */
  add(
    batch: FrameBatch,
    how: RouteHow,
    family: number,
    length: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    paths: EncodedPaths,
  ): void {
    const fixed = this.#template.length;
    const at = batch.add(fixed + paths.bytes.length);
    const { bytes, view } = batch;
    bytes.set(this.#template, at);
    bytes[at + this.#isAdd] = how.isAdd ? 1 : 0;
    bytes[at + this.#isMultipath] = how.isMultipath ? 1 : 0;
    view.setUint32(at + this.#table, how.tableId);
    bytes[at + this.#length] = length;
    bytes[at + this.#paths] = paths.count;
    if (this.#source >= 0) bytes[at + this.#source] = how.source;
    view.setUint32(at + this.#address, w0, true);
    if (family === AF_INET6) {
      bytes[at + this.#family] = addressFamily.values.ADDRESS_IP6;
      view.setUint32(at + this.#address + 4, w1, true);
      view.setUint32(at + this.#address + 8, w2, true);
      view.setUint32(at + this.#address + 12, w3, true);
    }
    bytes.set(paths.bytes, at + fixed);
  }
}

/** One row of ip_route_dump or ip_route_v2_dump, read into an object that is used again for the next row. */
export class RouteRow {
  tableId = 0;
  /** Where its counters are in the stats segment. */
  statsIndex = 0;
  /** AF_INET or AF_INET6. */
  family = 0;
  /** Bits. */
  length = 0;
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;
  /** The best source of the entry; 0 where the message does not say. */
  source = 0;
  paths = 0;
  /** Where the paths lie in the row's bytes. */
  pathsAt = 0;
  readonly #wire = new Wire(new Uint8Array(0));
  readonly #offsets: readonly number[];
  readonly #source: number;
  readonly #fixed: number;

  /** For ip_route_details or ip_route_v2_details as bound. Throws NOT_SUPPORTED when they are too different. */
  constructor(bound: Bound) {
    checkPaths(bound);
    const fields = ['route.table_id', 'route.stats_index', 'route.prefix', 'route.prefix.len', 'route.n_paths'];
    this.#offsets = fields.map((field) => required(bound, field));
    this.#source = offsetOf(bound.layout, 'route.src');
    this.#fixed = HEAD_SIZE.context + bound.layout.body.size;
  }

  /** Reads the row between two offsets. Throws VPP_PROTOCOL when it is shorter than it says. */
  read(bytes: Uint8Array, view: DataView, at: number, end: number): this {
    const [table = 0, stats = 0, prefix = 0, length = 0, paths = 0] = this.#offsets;
    this.#wire.aim(at, end, bytes).take(this.#fixed);
    this.paths = bytes[at + paths] as number;
    this.pathsAt = this.#wire.take(this.paths * fibPath.size);
    this.tableId = view.getUint32(at + table);
    this.statsIndex = view.getUint32(at + stats);
    const isIp6 = bytes[at + prefix] === addressFamily.values.ADDRESS_IP6;
    this.family = isIp6 ? AF_INET6 : AF_INET;
    this.length = bytes[at + length] as number;
    if (this.length > (isIp6 ? 128 : 32)) {
      throw new LcpError('VPP_PROTOCOL', { op: 'read route', message: `a prefix of ${this.length} bits` });
    }
    this.source = this.#source < 0 ? 0 : (bytes[at + this.#source] as number);
    const address = at + prefix + 1;
    this.w0 = view.getUint32(address, true);
    this.w1 = isIp6 ? view.getUint32(address + 4, true) : 0;
    this.w2 = isIp6 ? view.getUint32(address + 8, true) : 0;
    this.w3 = isIp6 ? view.getUint32(address + 12, true) : 0;
    return this;
  }

  /** The paths as objects, while the row's bytes are valid. */
  decodePaths(): readonly FibPath[] {
    this.#wire.at = this.pathsAt;
    return Array.from({ length: this.paths }, () => fibPath.read(this.#wire));
  }
}
