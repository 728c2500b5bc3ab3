// NetlinkMonitor: keeps a consumer in step with one network namespace: subscribe, dump, sweep, follow; again after loss.
//
// Invariants: notifications that arrive while a table is dumped are queued and handed out, in order, after that dump's
// end, so no older dump part ever overwrites a newer notification. `onDumpEnd(…, complete = true, …)` is the only
// permission to sweep, and only what the filter names: an interrupted or failed dump, or one during which
// notifications were lost, never gives it. After a loss everything is read again, with a growing pause between tries.
// All calls to the sink are on the main thread, one at a time; batches are valid during the call only.
// Reference: netlink(7); RFC 3549 section 3.

import type { DumpFilter } from './dump.ts';
import { RtnlDumper } from './dump.ts';
import type { MessageBatch } from './message.ts';
import { MalformedCounts, walkMessages } from './message.ts';
import { NETNS_DIR, NetnsWatch, netnsIdentity } from './netns.ts';
import { NotificationQueue } from './notificationqueue.ts';
import type { DumpKind } from './scopes.ts';
import {
  DUMP_REQUEST,
  LINK_GROUPS,
  MONITOR_GROUPS,
  SYNC_SCOPES,
  saysNoSuchTable,
  scopeName,
  splitFamilies,
} from './scopes.ts';
import { NetlinkSocket } from './socket.ts';
import type { NetlinkTransport } from './transport.ts';

/** Who is kept in step. An exception thrown in here is a bug and ends the process. */
export interface MonitorSink {
  /** Everything is about to be read: `start`, or why again. */
  onSyncStart(cause: string): void;
  /** What follows until the matching end, with `fromDump`, is what exists within the filter. */
  onDumpBegin(kind: DumpKind, filter: DumpFilter): void;
  /** Messages to apply; see `forEachMessage`. */
  onBatch(batch: MessageBatch): void;
  /** With `complete`, what the dump did not show within the filter is gone. */
  onDumpEnd(kind: DumpKind, complete: boolean, filter: DumpFilter): void;
  /** Every table was read completely and nothing was lost since. */
  onInSync(stats: MonitorStats): void;
  /** Notifications were lost or a dump failed: what is known may be old until the next `onInSync`. */
  onLost(cause: string): void;
  /** The end: closed by its owner (`closed`), the namespace is gone, or the socket failed. */
  onClosed(cause: string): void;
}

export interface Resync {
  readonly cause: string;
  readonly ms: number;
  readonly complete: boolean;
}

export interface MonitorStats {
  state: 'opening' | 'syncing' | 'lost' | 'in-sync' | 'closed';
  /** Messages seen, by nlmsg_type. */
  readonly byType: Map<number, number>;
  messages: number;
  /** Losses, whatever their cause. */
  losses: number;
  /** Messages that the kernel dropped (SO_MEMINFO). */
  drops: number;
  /** Dumps that NLM_F_DUMP_INTR spoilt. */
  interrupted: number;
  resyncs: number;
  /** The last ones, oldest first. */
  readonly lastResyncs: Resync[];
  rereads: number;
  /** Most notifications that waited for a dump. */
  queuePeak: number;
  /** Tables that this kernel does not have (`route mpls`, `mroute inet6`), and multicast groups (`group 29`). */
  readonly unsupported: Set<string>;
  readonly malformed: MalformedCounts;
}

export interface MonitorOptions {
  /** Path of the namespace; absent for our own. Below /run/netns it is watched, and its end is our end. */
  readonly netns?: string | undefined;
  /** Follow links and nothing else: a namespace whose routes are no concern. */
  readonly linksOnly?: boolean;
  /** SO_RCVBUFFORCE value in bytes. Default 64 MiB. */
  readonly receiveBuffer?: number;
  /** Notifications that may wait for a dump. Default 262,144 and 64 MiB. */
  readonly queueDatagrams?: number;
  readonly queueBytes?: number;
  /** First and longest pause before reading everything again, ms. Default 50 and 5000. */
  readonly backoffMs?: number;
  readonly maxBackoffMs?: number;
  /** Time without progress after which a dump has failed. Default 30 s. */
  readonly dumpTimeoutMs?: number;
  /** How often to read everything again over a transport that cannot report loss. Default 30 s. */
  readonly blindResyncMs?: number;
  /** Other transports than koffi sockets. */
  readonly openTransport?: (role: 'notifications' | 'dumps', malformed: MalformedCounts) => OpenedTransport;
}

export type OpenedTransport = NetlinkTransport | Promise<NetlinkTransport>;

/** Tries of one dump that changes under us, before everything is read again. */
const DUMP_TRIES = 8;
const KEPT_RESYNCS = 32;
/** Losses further apart than this are not one storm: the pause starts small again. */
const CALM_MS = 10_000;

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class NetlinkMonitor {
  readonly stats: MonitorStats;
  readonly #options: MonitorOptions;
  readonly #sink: MonitorSink;
  readonly #queue: NotificationQueue;
  readonly #rereads = new Map<string, readonly [DumpKind, DumpFilter]>();
  #notifications: NetlinkTransport | undefined;
  #dumper: RtnlDumper | undefined;
  #watch: NetnsWatch | undefined;
  #blindTimer: NodeJS.Timeout | undefined;
  /** Why everything must be read again; undefined when it need not. */
  #wanted: string | undefined;
  #dumping = false;
  #working = false;
  #lastSyncAt = Number.NEGATIVE_INFINITY;
  #backoffMs = 0;

  constructor(options: MonitorOptions, sink: MonitorSink) {
    this.#options = options;
    this.#sink = sink;
    const malformed = new MalformedCounts();
    this.#queue = new NotificationQueue(
      { datagrams: options.queueDatagrams ?? 1 << 18, bytes: options.queueBytes ?? 64 << 20 },
      malformed,
    );
    this.stats = {
      state: 'opening',
      byType: new Map(),
      messages: 0,
      losses: 0,
      drops: 0,
      interrupted: 0,
      resyncs: 0,
      lastResyncs: [],
      rereads: 0,
      queuePeak: 0,
      unsupported: new Set(),
      malformed,
    };
  }

  /** Whether something is being read again, or waits to be read. */
  get busy(): boolean {
    const unread = this.#notifications?.moderating === true;
    // what the kernel has dropped and nobody was told of yet
    const untold = (this.#notifications?.drops() ?? 0) !== this.stats.drops;
    return this.#working || this.#wanted !== undefined || this.#rereads.size > 0 || unread || untold;
  }

  get closed(): boolean {
    return this.stats.state === 'closed';
  }

  /** Opens the sockets and starts the first sync. Rejects when they cannot be opened (no such namespace, no right). */
  async start(): Promise<void> {
    const open = this.#options.openTransport ?? ((role, malformed) => this.#openSocket(role, malformed));
    // Taken before the sockets are opened: one that differs later belongs to another namespace than theirs.
    const identity = this.#options.netns === undefined ? undefined : netnsIdentity(this.#options.netns);
    const notifications = await open('notifications', this.stats.malformed);
    let dumps: NetlinkTransport;
    try {
      dumps = await open('dumps', this.stats.malformed);
    } catch (error) {
      notifications.close();
      throw error;
    }
    if (this.closed) {
      notifications.close();
      dumps.close();
      return;
    }
    this.#notifications = notifications;
    const timeout = this.#options.dumpTimeoutMs;
    this.#dumper = new RtnlDumper(dumps, timeout === undefined ? {} : { timeoutMs: timeout });
    // Started (and bound to its groups) before the first dump is asked for: nothing falls in between.
    notifications.start({
      onBatch: (batch) => this.#onNotifications(batch),
      onOverrun: (cause) => this.#lost(cause),
      onFailed: (error) => this.close(error.message),
    });
    this.#watchNetns(identity);
    if (this.closed) return;
    if (!notifications.capabilities.overrun) {
      const period = this.#options.blindResyncMs ?? 30_000;
      this.#blindTimer = setInterval(() => this.resync('this transport cannot report loss'), period);
    }
    this.#wanted = 'start';
    this.#kick();
  }

  #openSocket(role: 'notifications' | 'dumps', malformed: MalformedCounts): NetlinkTransport {
    const { netns, receiveBuffer } = this.#options;
    if (role === 'dumps') return new NetlinkSocket({ netns, malformed, slotSize: 32768, slots: 16 });
    const size = receiveBuffer === undefined ? {} : { receiveBuffer };
    const optionalGroups = this.#options.linksOnly === true ? [] : MONITOR_GROUPS;
    const groups = { groups: LINK_GROUPS, optionalGroups };
    const socket = new NetlinkSocket({ netns, malformed, ...groups, moderate: true, ...size });
    for (const group of socket.missingGroups) this.stats.unsupported.add(`group ${group}`);
    return socket;
  }

  /** The socket keeps a deleted namespace alive and silent, so its end must be learnt from its name. */
  #watchNetns(identity: string | undefined): void {
    const file = this.#options.netns;
    if (file?.startsWith(`${NETNS_DIR}/`) !== true) return;
    const name = file.slice(NETNS_DIR.length + 1);
    this.#watch = new NetnsWatch((event) => {
      if (event.name !== name || (event.change === 'appeared' && event.identity === identity)) return;
      this.close(`network namespace ${name} ${event.change}`);
    });
    if (netnsIdentity(file) !== identity) this.close(`network namespace ${name} replaced`);
  }

  readonly #count = (type: number): boolean => {
    this.stats.byType.set(type, (this.stats.byType.get(type) ?? 0) + 1);
    return true;
  };

  #onNotifications(batch: MessageBatch): void {
    batch.fromDump = false;
    this.stats.messages += walkMessages(batch, this.#count);
    if (!this.#dumping) {
      this.#sink.onBatch(batch);
    } else if (!this.#queue.push(batch)) {
      this.#queue.clear();
      this.#lost('too many notifications during a dump');
    }
  }

  #lost(cause: string): void {
    if (this.closed) return;
    this.stats.losses++;
    this.stats.drops = this.#notifications?.drops() ?? 0;
    this.#want(cause);
  }

  #want(cause: string): void {
    if (this.closed || this.#wanted !== undefined) return;
    this.#wanted = cause;
    this.stats.state = 'lost';
    this.#sink.onLost(cause);
    this.#kick();
  }

  /** Reads everything again. Asked for twice before it begins, it happens once. */
  resync(cause: string): void {
    this.#want(cause);
  }

  /**
   * Reads the part of one table again that the filter names, and ends with `onDumpEnd(kind, complete, filter)`. The
   * same part asked for again before it begins is read once; a sync that begins meanwhile covers it instead. With
   * family 0, tables that the kernel keeps by family are read in two parts, each with its own end.
   */
  reread(kind: DumpKind, filter: DumpFilter): void {
    if (this.closed) return;
    for (const part of splitFamilies(kind, filter)) {
      this.#rereads.set(`${kind} ${part.family} ${part.oif ?? ''} ${part.table ?? ''}`, [kind, part]);
    }
    this.#kick();
  }

  #kick(): void {
    if (this.#working || this.#dumper === undefined) return;
    this.#working = true;
    this.#work().catch((error: unknown) => {
      // Only a bug in the sink or here gets to this place; it must not be lost in a promise.
      setImmediate(() => {
        throw error;
      });
    });
  }

  async #work(): Promise<void> {
    try {
      while (!this.closed) {
        if (this.#wanted !== undefined) {
          await this.#sync();
          continue;
        }
        const next = this.#rereads.entries().next();
        if (next.done === true) return;
        const [key, [kind, filter]] = next.value;
        this.#rereads.delete(key);
        this.stats.rereads++;
        const failure = await this.#dump(kind, filter);
        if (failure !== undefined) this.#want(failure);
      }
    } finally {
      this.#working = false;
    }
  }

  /** Waits as long as syncs that follow each other closely must. */
  async #holdBack(): Promise<void> {
    const since = performance.now() - this.#lastSyncAt;
    const first = this.#options.backoffMs ?? 50;
    const most = this.#options.maxBackoffMs ?? 5000;
    this.#backoffMs = since > CALM_MS ? 0 : Math.min(most, Math.max(first, 2 * this.#backoffMs));
    if (this.#backoffMs > 0) await pause(this.#backoffMs);
    this.#lastSyncAt = performance.now();
  }

  async #sync(): Promise<void> {
    await this.#holdBack();
    if (this.closed) return;
    const cause = this.#wanted ?? 'start';
    this.#wanted = undefined;
    this.#rereads.clear();
    this.stats.state = 'syncing';
    this.#sink.onSyncStart(cause);
    const begun = performance.now();
    const dropsBefore = this.#notifications?.drops() ?? 0;
    let failure: string | undefined;
    for (const [kind, family] of SYNC_SCOPES) {
      if (this.#options.linksOnly === true && kind !== 'link') continue;
      failure = await this.#dump(kind, { family });
      if (failure !== undefined || this.closed) break;
    }
    if (this.closed) return;
    // Loss that the socket will only report when its queue is read empty.
    const drops = this.#notifications?.drops() ?? 0;
    this.stats.drops = drops;
    if (failure === undefined && drops !== dropsBefore) failure = 'overrun';
    this.stats.resyncs++;
    this.stats.lastResyncs.push({ cause, ms: performance.now() - begun, complete: failure === undefined });
    if (this.stats.lastResyncs.length > KEPT_RESYNCS) this.stats.lastResyncs.shift();
    if (failure !== undefined) {
      this.#want(failure);
    } else if (this.#wanted === undefined) {
      this.stats.state = 'in-sync';
      this.#sink.onInSync(this.stats);
    }
  }

  /** Dumps one scope until it is complete; otherwise returns why not. */
  async #dump(kind: DumpKind, filter: DumpFilter): Promise<string | undefined> {
    for (let attempt = 1; ; attempt++) {
      this.#dumping = true;
      this.#sink.onDumpBegin(kind, filter);
      const result = await (this.#dumper as RtnlDumper).dump(DUMP_REQUEST[kind], filter, (batch) => {
        if (this.closed) return;
        this.stats.messages += batch.messages;
        this.#sink.onBatch(batch);
      });
      if (this.closed) return undefined;
      const absent = result.absent || saysNoSuchTable(kind, filter.family, result.error);
      if (absent) this.stats.unsupported.add(scopeName(kind, filter.family));
      else if (result.complete) this.stats.unsupported.delete(scopeName(kind, filter.family));
      if (result.interrupted) this.stats.interrupted++;
      const complete = (result.complete || absent) && this.#wanted === undefined;
      this.#sink.onDumpEnd(kind, complete, filter);
      await this.#replay();
      if (complete || this.closed) return undefined;
      if (this.#wanted !== undefined) return this.#wanted;
      if (!result.interrupted || attempt === DUMP_TRIES) {
        const why = result.interrupted ? 'interrupted again and again' : `failed: errno ${result.error}`;
        return `dump of ${kind} ${why}${result.reason === '' ? '' : ` (${result.reason})`}`;
      }
      await pause((this.#options.backoffMs ?? 50) * attempt);
    }
  }

  /** Hands out what waited. In parts, so that timers and sockets get their turn; what arrives meanwhile joins the end. */
  async #replay(): Promise<void> {
    this.stats.queuePeak = this.#queue.peak;
    while (!this.closed && this.#queue.shift((batch) => this.#sink.onBatch(batch))) {
      if (this.#queue.datagrams > 0) await nextTurn();
    }
    this.#dumping = false;
  }

  /** Closes both sockets; the sink hears `onClosed` and nothing more. */
  close(cause = 'closed'): void {
    if (this.closed) return;
    this.stats.state = 'closed';
    clearInterval(this.#blindTimer);
    this.#watch?.close();
    this.#notifications?.close();
    this.#dumper?.close();
    this.#queue.clear();
    this.#rereads.clear();
    this.#sink.onClosed(cause);
  }
}
