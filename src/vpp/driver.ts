// The VPP driver: lcp's contract (lcp/dataplane.ts) onto a running VPP, from outside it.
//
// Holds nothing but what a connection is read into (programme.ts); all of it goes with the connection. A VPP that ends is
// waited for, at first in short intervals, since a supervisor starts it again. One that must not be programmed is asked again
// now and then, and its reason is the cause of being down. VPP has no path lists of its own: the core sends routes of a set
// that changes again. Reference: docs/decisions on the VPP driver.

import type {
  AdjacencyRow,
  CounterRow,
  DataPlane,
  DataPlaneInfo,
  DataPlaneListener,
  HeldObject,
  LinkControl,
  LookupAnswer,
  MessageRow,
  Operation,
  OperationResult,
  PassThrough,
  PathAnswer,
  Phy,
  PhySource,
  RouteBatch,
  RouteFailure,
  Seen,
  SeenSource,
  TracedPacket,
} from '../lcp/dataplane.ts';
import type { RouteFamily } from '../lcp/objects.ts';
import { isProgrammingError, LcpError, messageOf } from '../lib/errors.ts';
import type { FoundRoute } from './lookup.ts';
import type { OpenOptions } from './open.ts';
import { ownSync, passThrough } from './passthrough.ts';
import { Programme } from './programme.ts';
import { VppPuntPlane } from './puntplane.ts';
import type { PairBackend } from './session.ts';
import { openSession } from './session.ts';
import { NO_COUNTER, Statistics } from './statistics.ts';

/** Wait before VPP is tried again: the first ones, as long as a restart may take, then twice as long each time. */
const RETRY_MS = 50;
const QUICK_RETRIES = 60;
const RETRY_MAX_MS = 5000;
/** The one after a refusal. */
const REFUSED_MS = 5000;
const POLL_MS = 1000;
const EIO = -5;
/** How an operator sees packets in VPP. */
const TRACING =
  '`vppctl trace add NODE 50`, then `vppctl show trace`, where NODE is what phys are read by (dpdk-input, virtio-input, ' +
  'af-packet-input); whole packets: `vppctl pcap trace rx tx drop max 1000 file NAME.pcap`, and `pcap trace off`';

export interface VppOptions {
  readonly open: OpenOptions;
  /** Unix socket that VPP hands its statistics over by. */
  readonly statsSocket: string;
  readonly pairBackend: PairBackend;
  /** Namespaces of hosts; the tables of the first keep their numbers in VPP. '' is lcpd's own. */
  readonly namespaces: readonly string[];
  /** Where VPP sends router solicitations and advertisements for hosts; '' leaves them to VPP. */
  readonly discoverySocket: string;
  /** Where VPP sends packets to groups that ABX may take; '' leaves them to VPP. */
  readonly groupSocket: string;
  /** Index of a kernel interface by its name, for the pair backend `attach`. */
  readonly ifindexOf: (netns: string, name: string) => number | undefined;
  /** How often interfaces are read for what VPP tells no event of. Default 1000. */
  readonly pollMs?: number;
}

export class VppDataPlane implements DataPlane {
  readonly name = 'vpp';
  readonly sharedPathSets = false;
  readonly hasAddresses = true;
  readonly servesLinks = true;
  readonly mergesLocal = true;
  readonly hostsEndWithIt: boolean;
  readonly unsupported = new Map<string, string>();
  readonly phys: PhySource = {
    byName: (phy): Phy | undefined => this.#programme?.interfaces.byName(phy),
    get: (ifindex): Phy | undefined => this.#programme?.interfaces.get(ifindex),
    names: (): Iterable<string> => this.#programme?.phyNames() ?? [],
  };
  readonly seen: SeenSource = {
    follow: (on) => {
      this.#isFollowed = on;
      this.#programme?.seen.follow(on);
    },
    get: (phy): Seen | undefined => this.#programme?.seen.get(phy),
    all: () => this.#programme?.seen.all() ?? [],
  };
  #isFollowed = false;
  #passThrough: PassThrough = { ethertypes: [], osi: [] };
  /** What of the above did not take, as it was told. */
  #gaps = new Map<string, string>();
  readonly #options: VppOptions;
  readonly #links: LinkControl;
  readonly punts = new VppPuntPlane(() =>
    this.#programme === undefined ? undefined : { punts: this.#programme.punts, statistics: this.#statistics },
  );
  #listener: DataPlaneListener | undefined;
  #programme: Programme | undefined;
  /** Of the session that the programme is of. */
  #statistics: Statistics | undefined;
  #generation = '';
  #closed = false;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Why it is down, as the listener knows; '' while it is up. */
  #told = '';

  constructor(options: VppOptions, links: LinkControl) {
    this.#options = options;
    this.#links = links;
    this.hostsEndWithIt = options.pairBackend === 'linux-cp';
  }

  connect(listener: DataPlaneListener): void {
    this.#listener = listener;
    void this.#open();
  }

  async #open(): Promise<void> {
    const { open, statsSocket, pairBackend, pollMs = POLL_MS } = this.#options;
    try {
      const session = await openSession(open, pairBackend);
      const onPhys = () => this.#listener?.onPhys();
      const onRemark = (what: string, message: string) => this.#listener?.onEvent({ event: 'remark', what, message });
      this.punts.memory.begin(session.sources.generation);
      // one that nobody has read yet is read after this
      const onReplaced = (phy: string) => {
        if (this.#programme !== undefined) this.readAgain(`${phy} was deleted and made again`);
      };
      const options = { ...this.#options, memory: this.punts.memory, onRemark, onReplaced };
      const programme = new Programme(session, this.#links, options, onPhys);
      try {
        await programme.open(pollMs);
        if (this.#isFollowed) await programme.seen.first();
        for (const [what, why] of await ownSync(session.client)) this.#remark(what, why, programme);
        await this.#pass(programme);
      } catch (error) {
        programme.close();
        throw error;
      }
      if (this.#closed) return programme.close();
      this.#programme = programme;
      this.#statistics = new Statistics(statsSocket, session.client);
      this.#failures = 0;
      this.#told = '';
      this.#generation = session.sources.generation;
      this.unsupported.clear();
      for (const [what, why] of [...programme.unsupported(), ...programme.remarks, ...this.#gaps])
        this.unsupported.set(what, why);
      this.#listener?.onState('up', `VPP ${session.version}, pid ${session.pid}, over ${session.transport}`);
      session.client.onEnd((error) => this.#lost(programme, error));
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      this.#again(error);
    }
  }

  /** Tries again later. Being down is told once, and again when VPP is there and must not be programmed. */
  #again(error: LcpError): void {
    const cause = error.hint === '' ? error.message : `${error.message} (${error.hint})`;
    const isRefused = !['VPP_CONNECT', 'DATAPLANE_DOWN', 'VPP_PROTOCOL', 'VPP_NO_ANSWER'].includes(error.code);
    const isTold = this.#told !== '' && (!isRefused || cause === this.#told);
    if (!isTold) {
      this.#told = cause;
      this.#listener?.onState('down', cause);
    }
    if (this.#closed) return;
    const waited = Math.max(0, Math.min(10, this.#failures++ - QUICK_RETRIES));
    const delay = isRefused ? REFUSED_MS : Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** waited);
    this.#retry = setTimeout(() => void this.#open(), delay);
  }

  #lost(programme: Programme, error: LcpError): void {
    if (programme !== this.#programme) return;
    programme.close();
    this.#statistics?.close();
    this.#programme = undefined;
    this.#again(error);
  }

  readAgain(cause: string): void {
    const programme = this.#programme;
    const error = new LcpError('DATAPLANE_DOWN', { op: 'read VPP again', key: 'vpp', message: cause });
    if (programme === undefined) throw error;
    this.#lost(programme, error);
  }

  async close(keep: boolean): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    const programme = this.#programme;
    if (programme === undefined) return;
    if (keep) await programme.punts.leave();
    else await programme.removeAll();
    this.#programme = undefined;
    this.#statistics?.close();
    programme.close();
  }

  passThrough(wanted: PassThrough): void {
    this.#passThrough = wanted;
    const programme = this.#programme;
    if (programme === undefined) return;
    this.#pass(programme).then(
      () => undefined,
      (error: unknown) => {
        // a session that has ended meanwhile is told by itself, and the next one does it again
        if (!(error instanceof LcpError)) throw error;
      },
    );
  }

  /** Enables what is to cross pairs; what does not is told once, and stays in the list of what VPP cannot do. */
  async #pass(programme: Programme): Promise<void> {
    const gaps = await programme.seen.alone(() => passThrough(programme.session.client, this.#passThrough));
    for (const what of this.#gaps.keys()) this.unsupported.delete(what);
    for (const [what, why] of gaps) {
      if (this.#gaps.get(what) !== why) this.#listener?.onEvent({ event: 'remark', what, message: why });
      this.unsupported.set(what, why);
    }
    this.#gaps = gaps;
  }

  #remark(what: string, message: string, programme: Programme): void {
    programme.remarks.set(what, message);
    this.#listener?.onEvent({ event: 'remark', what, message });
  }

  #up(): Programme {
    return this.#still(this.#programme);
  }

  async dump(): Promise<HeldObject[]> {
    const programme = this.#up();
    return programme.seen.alone(() => programme.dump());
  }

  async dumpRoutes(tableHandle: number, _family: RouteFamily, onBatch: (batch: RouteBatch) => void): Promise<void> {
    return this.#up().dumpRoutes(tableHandle, onBatch);
  }

  async apply(operations: readonly Operation[]): Promise<OperationResult[]> {
    const programme = this.#programme;
    if (programme === undefined) return this.#apply(programme, operations);
    return programme.seen.alone(() => this.#apply(programme, operations));
  }

  /** The session that a batch began with; who comes behind its end has not been read, and the journal names the one before. */
  #still(programme: Programme | undefined): Programme {
    if (programme !== undefined && programme === this.#programme) return programme;
    throw new LcpError('DATAPLANE_DOWN', { op: 'access', key: this.name, message: 'no session with VPP' });
  }

  async #apply(programme: Programme | undefined, operations: readonly Operation[]): Promise<OperationResult[]> {
    const results: OperationResult[] = [];
    let failure: OperationResult | undefined;
    try {
      await programme?.prepare(operations);
    } catch (error) {
      failure = refused(error);
    }
    for (const operation of operations) {
      // one failing object never stops its siblings; what it failed of is its own answer
      try {
        const result = await this.#still(programme).apply(operation);
        results.push(operation.object.kind === 'link' && result.ok ? (failure ?? result) : result);
      } catch (error) {
        results.push(refused(error));
      }
    }
    return results;
  }

  async applyRoutes(batch: RouteBatch): Promise<number> {
    if (this.#programme !== undefined) return this.#programme.applyRoutes(batch);
    batch.results.fill(EIO, 0, batch.count);
    return batch.count;
  }

  async lookup(
    family: RouteFamily,
    tables: readonly number[],
    _merged: boolean,
    addresses: readonly string[],
  ): Promise<LookupAnswer[]> {
    const found = await this.#up().lookup(family, tables, addresses);
    return this.#counted(found);
  }

  /** Adds what went by each entry. Where that cannot be read it is not known: counters() rejects with the reason. */
  async #counted(found: readonly FoundRoute[]): Promise<LookupAnswer[]> {
    const answers = found.map(({ table, target, prefixlen }) => ({ table, target, prefixlen }));
    try {
      const indices = found.map(({ statsIndex = NO_COUNTER }) => statsIndex);
      const counts = (await this.#statistics?.routes(indices)) ?? [];
      return answers.map((answer, n) => ({ ...answer, ...(counts[n] !== undefined && { counted: counts[n] }) }));
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      return answers;
    }
  }

  paths(handle: number): PathAnswer[] | undefined {
    return this.#programme?.pathAnswers(handle);
  }

  info(): DataPlaneInfo {
    const session = this.#programme?.session;
    return {
      driver: this.name,
      state: session === undefined ? 'down' : 'up',
      generation: this.#generation,
      ...(session !== undefined && { pid: session.pid, version: session.version, transport: session.transport }),
    };
  }

  /** sw_if_index. */
  port(phy: string): number | undefined {
    return this.#programme?.subifs.interface(phy)?.ifindex;
  }

  adjacencies(): AdjacencyRow[] {
    return this.#programme?.adjacencies() ?? [];
  }

  /** Rejects with DATAPLANE_DOWN, or with VPP_STATS and what is the matter with VPP's statistics. */
  async counters(): Promise<CounterRow[]> {
    const { subifs, punts } = this.#up();
    const owners = subifs.owners();
    const counted = (await this.#statistics?.rows((index) => owners.get(index))) ?? [];
    return [...counted, ...punts.discovery.rows(), ...punts.groups.rows(), ...punts.osi.rows()];
  }

  /** VPP's own packet trace is read by VPP's own commands. */
  traces(_after: number, _arm: number): TracedPacket[] {
    throw new LcpError('NOT_SUPPORTED', {
      op: 'trace',
      message: 'packets in VPP are traced by VPP',
      hint: `${TRACING}; lcpctl show counters has what VPP counts, and why it drops`,
    });
  }

  messages(): MessageRow[] {
    const rows = this.#programme?.session.client.trace.rows() ?? [];
    return rows.map((row) => ({ ...row, bytes: Buffer.from(row.bytes).toString('hex') }));
  }

  /** What VPP said of the routes that it refused. */
  routeFailures(): RouteFailure[] {
    return this.#programme?.routes.failures.all() ?? [];
  }
}

/** The answer to an operation that was refused. Throws what is a mistake in the program. */
function refused(error: unknown): OperationResult {
  if (isProgrammingError(error)) throw error;
  if (!(error instanceof LcpError)) return { ok: false, code: 'REFUSED', message: messageOf(error) };
  return { ok: false, code: error.code, message: error.message, hint: error.hint };
}
