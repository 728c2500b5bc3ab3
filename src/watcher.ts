// NamespaceWatcher: keeps one Namespace of the core filled by a netlink monitor, over the life of the namespace.
//
// absent ─ name appears ─► monitor: syncing ─► in-sync ─ vanished or replaced ─► cleared, absent ─► …
// What the core doubts is read again a moment later: the kernel tells an address's end before that of
// the routes that it takes along, and what is told needs no second reading.

import type { NamespaceSource } from './lcp/core.ts';
import { Namespace } from './lcp/namespace.ts';
import { isProgrammingError, messageOf } from './lib/errors.ts';
import type { Logger } from './lib/log.ts';
import { formatRaw } from './netlink/format.ts';
import { readMemberships } from './netlink/membership.ts';
import { forEachMessage, type MessageBatch } from './netlink/message.ts';
import { type MonitorStats, NetlinkMonitor } from './netlink/monitor.ts';
import { netnsIdentity } from './netlink/netns.ts';

const DOUBT_DELAY_MS = 15;
const REOPEN_DELAY_MS = 500;
/** How often the joined groups are read while there are multicast entries: nobody tells of a change. */
const MEMBERSHIP_MS = 1000;

export interface WatcherOptions {
  /** Path of the namespace's handle; undefined for lcpd's own. */
  readonly path: string | undefined;
  readonly rxBufferBytes: number;
  readonly queueMessages: number;
  /** Only links matter here: no host lives in it. */
  readonly linksOnly: boolean;
}

export interface WatcherEvents {
  /** The namespace's state changed: synced, lost, gone. */
  onState(ns: Namespace, cause: string): void;
  /** Sockets into the namespace must be let go. */
  onGone(ns: Namespace): void;
}

export class NamespaceWatcher implements NamespaceSource {
  readonly ns: Namespace;
  readonly #options: WatcherOptions;
  readonly #events: WatcherEvents;
  readonly #log: Logger;
  #monitor: NetlinkMonitor | undefined;
  #doubtTimer: NodeJS.Timeout | undefined;
  #reopenTimer: NodeJS.Timeout | undefined;
  #membershipTimer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Totals of monitors that ended. */
  readonly totals = { messages: 0, losses: 0, resyncs: 0, malformed: 0, drops: 0 };
  lastResync: { cause: string; ms: number; at: number } | undefined;
  #cause = 'start';

  constructor(ns: Namespace, options: WatcherOptions, events: WatcherEvents, log: Logger) {
    this.ns = ns;
    this.#options = options;
    this.#events = events;
    this.#log = log;
  }

  get linksOnly(): boolean {
    return this.#options.linksOnly;
  }

  /** Begins, or looks again whether the namespace is there. Idempotent. */
  open(): void {
    if (this.#closed || this.#monitor !== undefined) return;
    const identity = netnsIdentity(this.#options.path ?? '/proc/self/ns/net');
    if (identity === undefined) {
      this.#absent(`network namespace ${this.ns.name} does not exist`);
      return;
    }
    this.ns.identity = identity;
    this.ns.state = 'syncing';
    const monitor = new NetlinkMonitor(
      {
        netns: this.#options.path,
        receiveBuffer: this.#options.rxBufferBytes,
        queueDatagrams: this.#options.queueMessages,
        linksOnly: this.#options.linksOnly,
      },
      {
        onSyncStart: (cause) => {
          this.#cause = cause;
        },
        onDumpBegin: (kind, filter) => this.ns.dumpBegin(kind, filter),
        onBatch: (batch) => {
          if (this.#log.isLevelEnabled('trace')) this.#trace(batch);
          this.ns.apply(batch);
          if (this.ns.doubts.size > 0) this.#scheduleDoubts();
          if (this.ns.mroutes.byKey.size > 0) this.#followMemberships();
        },
        onDumpEnd: (kind, complete, filter) => {
          this.ns.dumpEnd(kind, complete, filter);
          if (this.ns.doubts.size > 0) this.#scheduleDoubts();
        },
        onInSync: (stats) => this.#inSync(stats),
        onLost: (cause) => {
          this.ns.state = 'syncing';
          this.#log.warn({ netns: this.ns.name, cause }, 'lost');
          this.#events.onState(this.ns, `lost: ${cause}`);
        },
        onClosed: (cause) => this.#ended(cause),
      },
    );
    this.#monitor = monitor;
    monitor.start().catch((error: unknown) => {
      if (this.#monitor === monitor) this.#monitor = undefined;
      this.#absent(messageOf(error));
      this.#log.warn({ netns: this.ns.name, error: messageOf(error) }, 'cannot be opened');
      if (!this.#closed) this.#reopenTimer = setTimeout(() => this.open(), REOPEN_DELAY_MS);
    });
  }

  /** One line for each message, like `ip monitor`. */
  #trace(batch: MessageBatch): void {
    const name = (ifindex: number) => this.ns.links.get(ifindex)?.name;
    forEachMessage(batch, (_type, flags, offset, length) => {
      for (const message of formatRaw(batch.bytes.subarray(offset, offset + length), name)) {
        this.#log.trace({ netns: this.ns.name, flags, dump: batch.fromDump }, message);
      }
      return true;
    });
  }

  #inSync(stats: MonitorStats): void {
    const last = stats.lastResyncs.at(-1);
    this.lastResync = { cause: this.#cause, ms: Math.round(last?.ms ?? 0), at: Date.now() };
    this.ns.state = 'in-sync';
    this.ns.known = true;
    const routes = this.ns.routes4.prefixes.entryCount + this.ns.routes6.prefixes.entryCount;
    this.#log.info({ netns: this.ns.name, cause: this.#cause, ms: this.lastResync.ms, routes }, 'in sync');
    this.#events.onState(this.ns, `in sync (${this.#cause})`);
  }

  #absent(cause: string): void {
    this.ns.state = 'absent';
    this.ns.known = true;
    this.#events.onState(this.ns, cause);
  }

  #ended(cause: string): void {
    const stats = this.#monitor?.stats;
    if (stats !== undefined) {
      this.totals.messages += stats.messages;
      this.totals.losses += stats.losses;
      this.totals.resyncs += stats.resyncs;
      this.totals.malformed += stats.malformed.total;
      this.totals.drops += stats.drops;
    }
    this.#monitor = undefined;
    clearTimeout(this.#doubtTimer);
    this.#doubtTimer = undefined;
    if (this.#closed) return;
    this.#log.info({ netns: this.ns.name, cause }, 'gone');
    this.ns.state = 'absent';
    this.ns.clear();
    this.#events.onGone(this.ns);
    this.#absent(cause);
    // replaced, or only the socket failed: there may be a namespace to open at once
    this.#reopenTimer = setTimeout(() => this.open(), 0);
  }

  #scheduleDoubts(): void {
    if (this.#options.linksOnly) {
      this.ns.doubts.clear(); // what hangs on the links there is no concern of ours
      return;
    }
    this.#doubtTimer ??= setTimeout(() => {
      this.#doubtTimer = undefined;
      for (const { kind, scope } of this.ns.doubts.take()) this.#monitor?.reread(kind, scope);
    }, DOUBT_DELAY_MS);
  }

  /** Groups that the host has joined matter only to multicast entries. */
  #followMemberships(): void {
    if (this.#membershipTimer !== undefined || this.#closed) return;
    const look = (): void => {
      this.#membershipTimer = undefined;
      if (this.#closed || this.ns.state === 'absent' || this.ns.mroutes.byKey.size === 0) return;
      try {
        this.ns.mroutes.setJoined(readMemberships(this.#options.path));
        if (this.ns.mroutes.dirty.size > 0) this.ns.onChange();
      } catch (error) {
        // the namespace has just gone, and its monitor will say so
        if (isProgrammingError(error)) throw error;
        this.#log.debug({ netns: this.ns.name, error: messageOf(error) }, 'memberships cannot be read');
      }
      this.#membershipTimer = setTimeout(look, MEMBERSHIP_MS);
    };
    look();
  }

  /** Whether everything that the kernel has told was applied and nothing is being read again. */
  get settled(): boolean {
    if (this.ns.state === 'absent') return true;
    return (
      this.ns.state === 'in-sync' &&
      this.ns.doubts.size === 0 &&
      this.#doubtTimer === undefined &&
      this.#monitor?.busy === false
    );
  }

  /** Counters over all monitors of this namespace. */
  get counters(): { messages: number; losses: number; resyncs: number; malformed: number; drops: number } {
    const s = this.#monitor?.stats;
    const t = this.totals;
    return {
      messages: t.messages + (s?.messages ?? 0),
      losses: t.losses + (s?.losses ?? 0),
      resyncs: t.resyncs + (s?.resyncs ?? 0),
      malformed: t.malformed + (s?.malformed.total ?? 0),
      drops: t.drops + (s?.drops ?? 0),
    };
  }

  /** Reads the namespace once more into a state of its own: what a comparison believes. */
  snapshot(): Promise<Namespace | undefined> {
    if (this.ns.state === 'absent') return Promise.resolve(undefined);
    const fresh = new Namespace(this.ns.name);
    fresh.followsNeighbours = this.ns.followsNeighbours;
    fresh.carrierPolicy = this.ns.carrierPolicy;
    const { path, rxBufferBytes, queueMessages, linksOnly } = this.#options;
    return new Promise((resolve, reject) => {
      const monitor = new NetlinkMonitor(
        { netns: path, receiveBuffer: rxBufferBytes, queueDatagrams: queueMessages, linksOnly },
        {
          onSyncStart: () => undefined,
          onDumpBegin: (kind, filter) => fresh.dumpBegin(kind, filter),
          onBatch: (batch) => fresh.apply(batch),
          onDumpEnd: (kind, complete, filter) => fresh.dumpEnd(kind, complete, filter),
          onInSync: () => {
            resolve(fresh);
            monitor.close();
          },
          onLost: () => undefined,
          onClosed: () => resolve(undefined),
        },
      );
      monitor.start().catch(reject);
    });
  }

  /** Reads everything again. */
  resync(cause: string): void {
    this.#monitor?.resync(cause);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#doubtTimer);
    clearTimeout(this.#reopenTimer);
    clearTimeout(this.#membershipTimer);
    this.#monitor?.close();
  }
}
