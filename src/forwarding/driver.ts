// The embedded driver: lcp's contract (lcp/dataplane.ts) onto the forwarder's shared tables.
//
// Holds no state of its own besides the attachment, the ports' cache in Devices, the names of the tables
// and the map of punts; all of them are read back at attach. A forwarder that ends is started again; what it held
// is then gone and the core sends everything anew.

import type {
  DataPlane,
  DataPlaneInfo,
  DataPlaneListener,
  HeldObject,
  LinkControl,
  LookupAnswer,
  Operation,
  OperationResult,
  PathAnswer,
  RouteBatch,
  TracedPacket,
} from '../lcp/dataplane.ts';
import { newRouteBatch } from '../lcp/dataplane.ts';
import { type Link, MPLS, type PathSet, type RouteFamily, type Table, tableKey } from '../lcp/objects.ts';
import type { Punt } from '../lcp/puntobjects.ts';
import { isProgrammingError, LcpError, messageOf } from '../lib/errors.ts';
import { ipBytes } from '../lib/ip.ts';
import { errnoName } from '../lib/libc.ts';
import { Devices } from './devices.ts';
import { Forwarder, type ForwarderOptions } from './forwarder.ts';
import { Guards } from './guards.ts';
import { Interconnects } from './interconnects.ts';
import { deleteMroute, dumpMroutes, setMroute } from './mroutes.ts';
import { native, SIZE } from './native.ts';
import { applyNeighbour, dumpNeighbours } from './neighbours.ts';
import { readAdjacencies, readCounters, readTraces } from './observe.ts';
import { encodePaths, readPaths } from './paths.ts';
import { addressText, encodeSpec, labelBytes, MAX_LOOKUP_TABLES } from './port.ts';
import { EmbeddedPunts } from './punts.ts';

const MAX_TABLES = 4096;
const DUMP_BATCH = 4096;
const MAX_EVENTS = 256;
const RESTART_DELAY_MS = 200;
const RESTART_DELAY_MAX_MS = 10_000;
/** How tableKey names families. */
const FAMILY_OF: Readonly<Record<string, RouteFamily>> = { v4: 4, v6: 6, mpls: MPLS };

export interface EmbeddedOptions extends ForwarderOptions {
  /** Path of the punt socket; undefined: it has none. */
  readonly puntSocket?: string;
  /** Namespace of the tables that punts name by number, lcpd's own by default. */
  readonly tablesOf?: string;
}

type PuntOperation = Operation & { readonly object: Punt };
const isPunt = (operation: Operation | undefined): boolean => operation?.object.kind === 'punt';
/** Kinds whose ports or tables punts may name. */
const NAMED: ReadonlySet<string> = new Set(['pair', 'subif', 'interconnect', 'table']);

const refuse = (errno: number, what: string): OperationResult => ({
  ok: false,
  code: errno === -28 ? 'TABLES_FULL' : 'REFUSED',
  message: `${what}: ${errnoName(errno)}`,
  hint: errno === -28 ? 'raise dataplane.memory and restart the forwarder' : '',
});

export class EmbeddedDataPlane implements DataPlane {
  readonly name = 'embedded';
  readonly unsupported: ReadonlyMap<string, string> = new Map();
  readonly sharedPathSets = true;
  readonly hasAddresses = false;
  readonly servesLinks = false;
  readonly mergesLocal = false;
  readonly hostsEndWithIt = false;
  readonly #options: EmbeddedOptions;
  readonly #links: LinkControl;
  #listener: DataPlaneListener | undefined;
  #forwarder: Forwarder | undefined;
  #devices: Devices | undefined;
  #interconnects: Interconnects | undefined;
  readonly punts = new EmbeddedPunts(() => {
    const [forwarder, devices, interconnects] = [this.#forwarder, this.#devices, this.#interconnects];
    if (forwarder === undefined || devices === undefined || interconnects === undefined) return undefined;
    return {
      handle: forwarder.handle,
      devices,
      interconnects,
      table: (family, number) => this.#tables.get(tableKey(this.#options.tablesOf ?? '', family, number)) ?? 0,
    };
  });
  #tables = new Map<string, number>();
  #closed = false;
  #restart: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(options: EmbeddedOptions, links: LinkControl) {
    this.#options = options;
    this.#links = links;
  }

  connect(listener: DataPlaneListener): void {
    this.#listener = listener;
    void this.#open();
  }

  async #open(): Promise<void> {
    try {
      const forwarder = await Forwarder.open(this.#options);
      if (this.#closed) {
        forwarder.close(!forwarder.found);
        return;
      }
      this.#forwarder = forwarder;
      this.#devices = new Devices(forwarder, this.#links, new Guards(this.#options.socket));
      this.#interconnects = new Interconnects(forwarder, this.#links, this.#devices);
      this.#interconnects.rebind(); // a former life may have died between a lender and who borrows of it
      this.#readTables();
      const { puntSocket = '' } = this.#options;
      this.punts.open(puntSocket, forwarder.openPuntSocket(puntSocket));
      this.punts.attach();
      forwarder.watch(
        () => this.#drainEvents(),
        () => this.#lost('the forwarder has ended'),
      );
      this.#failures = 0;
      const { pid, recovered } = forwarder.info();
      const how = forwarder.found ? 'found' : 'started';
      this.#listener?.onState('up', `${how} forwarder, pid ${pid}${recovered ? ', tables recovered' : ''}`);
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.#again(error.message);
    }
  }

  #again(cause: string): void {
    this.#listener?.onState('down', cause);
    if (this.#closed) return;
    const delay = Math.min(RESTART_DELAY_MAX_MS, RESTART_DELAY_MS * 2 ** Math.min(this.#failures++, 10));
    this.#restart = setTimeout(() => void this.#open(), delay);
  }

  #lost(cause: string): void {
    this.#forwarder?.close(false);
    this.#forwarder = undefined;
    this.#devices = this.#interconnects = undefined;
    this.#tables.clear();
    this.#again(cause);
  }

  async close(keep: boolean): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#restart);
    this.#forwarder?.close(!keep);
    this.#forwarder = undefined;
  }

  #readTables(): void {
    this.#tables.clear();
    const af = new Uint32Array(1);
    const name = new Uint8Array(128);
    for (let id = 1; id < MAX_TABLES; id++) {
      if ((native().tableGet(this.#attached().handle, id, af, name, new Uint32Array(1)) as number) !== 0) continue;
      this.#tables.set(new TextDecoder().decode(name.subarray(0, name.indexOf(0))), id);
    }
  }

  #attached(): Forwarder {
    if (this.#forwarder === undefined) {
      throw new LcpError('DATAPLANE_DOWN', { op: 'access', key: this.name, message: 'the forwarder is not there' });
    }
    return this.#forwarder;
  }

  #drainEvents(): void {
    const forwarder = this.#forwarder;
    if (forwarder === undefined) return;
    const bytes = new Uint8Array(MAX_EVENTS * SIZE.event);
    const words = new Uint32Array(bytes.buffer);
    const view = new DataView(bytes.buffer);
    const count = native().events(forwarder.handle, bytes, MAX_EVENTS) as number;
    for (let i = 0; i < count; i++) {
      const at = i * SIZE.event;
      const phy = this.#devices?.byId(view.getUint16(at + 2, true))?.phy;
      if (phy === undefined) continue;
      const type = view.getUint16(at, true);
      const af = bytes[at + 4] === 6 ? 6 : 4;
      if (type === 1) {
        const address = addressText(af, words, (at + 8) / 4);
        this.#listener?.onEvent({ event: 'neighbour-wanted', phy, family: af, address });
      } else if (type === 3) {
        this.#listener?.onEvent({ event: 'port-error', phy, errno: view.getInt32(at + 8, true) });
      }
    }
  }

  async dump(): Promise<HeldObject[]> {
    const { handle } = this.#attached();
    const devices = this.#devices as Devices;
    devices.refresh();
    const held: HeldObject[] = [...devices.heldPairs(), ...devices.heldSubifs()];
    for (const [name, id] of this.#tables) {
      const [, netns = '', text = '', table] = /^(.*)\/(v4|v6|mpls)\/([0-9]+)$/.exec(name) ?? [];
      const family = FAMILY_OF[text];
      if (family === undefined) continue;
      held.push({ object: { kind: 'table', netns, family, table: Number(table) }, handle: id });
    }
    held.push(...dumpNeighbours(handle, devices), ...dumpMroutes(handle, devices));
    held.push(...(this.#interconnects as Interconnects).held(), ...this.punts.held());
    const end = native().pathlistEnd(handle) as number;
    for (let id = 16; id < end; id++) {
      const paths = readPaths(handle, devices, id);
      if (paths === undefined) continue;
      const object: PathSet = { kind: 'pathset', id: `held#${id}`, paths };
      held.push({ object, handle: id });
    }
    return held;
  }

  async dumpRoutes(tableHandle: number, family: RouteFamily, onBatch: (batch: RouteBatch) => void): Promise<void> {
    const batch = newRouteBatch(family, DUMP_BATCH);
    const cursor = new Uint8Array(20);
    for (;;) {
      const n = native().routesDump(this.#attached().handle, tableHandle, batch.words, DUMP_BATCH, cursor) as number;
      if (n < 0) {
        throw new LcpError('REFUSED', { op: 'dump', key: `table ${tableHandle}`, message: errnoName(n) });
      }
      if (n === 0) return;
      batch.count = n;
      onBatch(batch);
    }
  }

  async apply(operations: readonly Operation[]): Promise<OperationResult[]> {
    const results: OperationResult[] = [];
    const forwarder = this.#forwarder;
    while (results.length < operations.length) {
      const punts: PuntOperation[] = [];
      for (let at = results.length; isPunt(operations[at]); at++) punts.push(operations[at] as PuntOperation);
      if (forwarder === undefined || forwarder !== this.#forwarder)
        results.push({ ok: false, code: 'DATAPLANE_DOWN', message: 'the forwarder is not there' });
      else if (punts.length > 0) results.push(...this.punts.apply(punts));
      else results.push(await this.#answered(operations[results.length] as Operation));
    }
    return results;
  }

  /** One failing object never stops its siblings; what it failed of is its own answer. */
  async #answered(operation: Operation): Promise<OperationResult> {
    try {
      const result = await this.#applyOne(operation);
      if (NAMED.has(operation.object.kind)) {
        this.#interconnects?.rebind();
        this.punts.rebind();
      }
      return result;
    } catch (error) {
      if (isProgrammingError(error)) throw error;
      const code = error instanceof LcpError ? error.code : 'REFUSED';
      return { ok: false, code, message: messageOf(error) };
    }
  }

  async #applyOne({ op, object, handle }: Operation): Promise<OperationResult> {
    const devices = this.#devices as Devices;
    switch (object.kind) {
      case 'pair':
        return op === 'set' ? devices.setPair(object, handle) : devices.deletePair(object, handle);
      case 'subif':
        return op === 'set' ? devices.setSubif(object) : devices.deleteSubif(object);
      case 'link':
        if (op === 'delete') return { ok: true }; // it goes with its pair
        return this.#setLink(object);
      case 'table':
        return op === 'set' ? this.#addTable(object) : this.#deleteTable(object, handle);
      case 'address':
        return { ok: true }; // the routes of the local table say it all
      case 'neighbour':
        return applyNeighbour(this.#attached().handle, devices, object, op === 'delete');
      case 'pathset':
        return op === 'set' ? this.#setPathSet(object, handle) : this.#deletePathSet(handle);
      case 'interconnect': {
        const interconnects = this.#interconnects as Interconnects;
        return op === 'set' ? interconnects.set(object) : interconnects.delete(object);
      }
      case 'punt':
        return this.punts.apply([{ op, object }])[0] as OperationResult;
      case 'mroute':
        return (op === 'set' ? setMroute : deleteMroute)(this.#attached().handle, devices, object);
    }
  }

  async #setLink(link: Link): Promise<OperationResult> {
    const most = Math.max(link.lookup4.length, link.lookup6.length);
    if (most > MAX_LOOKUP_TABLES) {
      return { ok: false, code: 'PORT_REFUSED', message: `${link.phy} looks up in ${most} tables` };
    }
    const handles = (keys: readonly string[]) => keys.map((k) => this.#tables.get(k)).filter((h) => h !== undefined);
    return (this.#devices as Devices).setLink(link, {
      v4: handles(link.lookup4),
      v6: handles(link.lookup6),
      // a table that is not there yet must not let its neighbours become one
      merged4: link.merged4 && handles(link.lookup4.slice(0, 2)).length === 2,
      mpls: handles(link.lookupMpls)[0] ?? 0,
    });
  }

  #addTable(table: Table): OperationResult {
    const key = tableKey(table.netns, table.family, table.table);
    const id = native().tableAdd(this.#attached().handle, table.family, key) as number;
    if (id < 0) return refuse(id, `table ${key}`);
    this.#tables.set(key, id);
    return { ok: true, handle: id };
  }

  #deleteTable(table: Table, handle: number): OperationResult {
    const errno = native().tableDel(this.#attached().handle, handle) as number;
    if (errno < 0 && errno !== -2) return refuse(errno, `table ${handle}`);
    this.#tables.delete(tableKey(table.netns, table.family, table.table));
    return { ok: true };
  }

  #setPathSet(set: PathSet, handle: number): OperationResult {
    const forwarder = this.#attached().handle;
    const named: number[] = [];
    const encoded = encodePaths(set.paths, {
      port: (phy) => this.#devices?.port(phy)?.id,
      table: (family, key) => {
        const id = native().tableName(forwarder, family, key) as number;
        if (id > 0 && !this.#tables.has(key)) named.push(id);
        return id;
      },
    });
    const id =
      'code' in encoded ? 0 : (native().pathlistSet(forwarder, handle, encoded.bytes, encoded.count) as number);
    // names that no leg has taken go again; the others stay, whatever is asked here
    if (id <= 0) for (const table of named) native().tableDel(forwarder, table);
    if ('code' in encoded) return { ok: false, ...encoded };
    if (id < 0) return refuse(id, `path set of ${encoded.count} legs`);
    return { ok: true, handle: handle === 0 ? id : handle };
  }

  #deletePathSet(handle: number): OperationResult {
    const errno = native().pathlistDel(this.#attached().handle, handle) as number;
    return errno < 0 && errno !== -2 ? refuse(errno, `path set ${handle}`) : { ok: true };
  }

  applyRoutes(batch: RouteBatch): number {
    return native().routesApply(this.#attached().handle, batch.words, batch.count, batch.results) as number;
  }

  lookup(
    family: RouteFamily,
    tables: readonly number[],
    merged: boolean,
    addresses: readonly string[],
  ): LookupAnswer[] {
    const bytes = new Uint8Array(addresses.length * 16);
    addresses.forEach((a, i) => {
      bytes.set(family === MPLS ? labelBytes(a) : ipBytes(a), i * 16);
    });
    const out = new Uint32Array(addresses.length * 3);
    const spec = encodeSpec(tables, merged);
    const errno = native().lookup(this.#attached().handle, spec, family, bytes, addresses.length, out) as number;
    if (errno < 0) throw new LcpError('REFUSED', { op: 'lookup', key: String(family), message: errnoName(errno) });
    return addresses.map((_, i) => ({
      table: out[3 * i] as number,
      target: out[3 * i + 1] as number,
      prefixlen: out[3 * i + 2] as number,
    }));
  }

  paths(handle: number): PathAnswer[] | undefined {
    const { handle: forwarder } = this.#attached();
    return readPaths(forwarder, this.#devices as Devices, handle);
  }

  info(): DataPlaneInfo {
    const forwarder = this.#forwarder;
    if (forwarder === undefined) return { driver: this.name, state: 'down', generation: '' };
    const { generation, pid, workers, memoryUsed } = forwarder.info();
    return { driver: this.name, state: 'up', generation, pid, workers, memoryUsed };
  }

  port(phy: string): number | undefined {
    return this.#devices?.port(phy)?.id;
  }

  adjacencies() {
    return this.#devices === undefined ? [] : readAdjacencies(this.#attached().handle, this.#devices);
  }

  counters() {
    return this.#devices === undefined ? [] : readCounters(this.#attached().handle, this.#devices);
  }

  traces(after: number, arm: number): TracedPacket[] {
    if (this.#devices === undefined) return [];
    const { handle } = this.#attached();
    if (arm > 0) native().traceArm(handle, arm);
    return readTraces(handle, this.#devices, after);
  }
}
