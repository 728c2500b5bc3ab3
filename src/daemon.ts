// Daemon: the running whole. Builds core, driver and watchers from a configuration, wires their edges,
// and takes them down again: removing everything it made, or leaving forwarding as it is.

import type { Config } from './config/config.ts';
import { applicableConfig, diffConfig, puntOperations } from './config/diff.ts';
import { configInvalid, loadConfig, readConfigFile } from './config/load.ts';
import { makeDataPlane } from './dataplanes.ts';
import { AutoPairs } from './lcp/autopairs.ts';
import { type Core, StateChanges } from './lcp/core.ts';
import { CoreView, health } from './lcp/coreview.ts';
import type { DataPlane, DataPlaneEvent } from './lcp/dataplane.ts';
import type { Keepsake } from './lcp/keepsakes.ts';
import { Namespace } from './lcp/namespace.ts';
import { keyOf, type Pair } from './lcp/objects.ts';
import type { PairSpec } from './lcp/pairs.ts';
import { Pipeline } from './lcp/pipeline.ts';
import { Reconciler } from './lcp/reconcile.ts';
import type { KernelWrite } from './lcp/upward.ts';
import type { PlanResult } from './lcp/view.ts';
import type { Log, Logger } from './lib/log.ts';
import { KernelLinks } from './linkcontrol.ts';
import { NetnsWatch } from './netlink/netns.ts';
import { type ControlServer, openControl } from './northbound/control.ts';
import { Punting } from './punting.ts';
import { NamespaceWatcher } from './watcher.ts';

const STOP_TIMEOUT_MS = 5000;
/** A port that fails is made again, but not in a tight loop. */
const PORT_RETRY_MS = 500;

const specsOf = (config: Config): PairSpec[] =>
  config.pairs.map(({ phy, host, netns, type }) => ({ phy, host, netns: netns ?? '', type }));

export interface DaemonOptions {
  readonly configFile: string;
  readonly config: Config;
  readonly log: Log;
  readonly version: string;
  /** Told once, when the data plane holds everything for the first time. */
  readonly onReady: () => void;
}

export class Daemon {
  readonly #configFile: string;
  #config: Config;
  readonly #logs: Log;
  readonly #log: Logger;
  readonly #reconciler: Reconciler;
  readonly #pipeline: Pipeline;
  readonly #dataplane: DataPlane;
  readonly #links: KernelLinks;
  readonly #watchers = new Map<string, NamespaceWatcher>();
  readonly #changes = new StateChanges();
  readonly #core: Core;
  readonly #onReady: () => void;
  readonly #version: string;
  #control: ControlServer | undefined;
  #netnsWatch: NetnsWatch | undefined;
  readonly #auto = new AutoPairs();
  #punting: Punting | undefined;
  #up = false;
  #ready = false;
  #stopping = false;

  constructor({ configFile, config, log, version, onReady }: DaemonOptions) {
    this.#configFile = configFile;
    this.#config = config;
    this.#logs = log;
    this.#log = log.area('lcp');
    this.#version = version;
    this.#onReady = onReady;
    const now = () => performance.now();
    const namespaces = new Map<string, Namespace>();
    this.#links = new KernelLinks(namespaces);
    this.#dataplane = makeDataPlane(config, this.#links);
    const write = (what: KernelWrite) => this.#links.write(what);
    this.#reconciler = new Reconciler(this.#dataplane, namespaces, config.retry, this.#observer(), now, write);
    this.#reconciler.onUpwardAgain = () => this.#pipeline.dataplane$.next('written to the kernel');
    this.#pipeline = new Pipeline(this.#reconciler, {
      mayRun: () => this.#up && this.#reconciler.ready,
      now,
      onInterrupted: (error) => this.#log.warn({ err: error }, 'round interrupted'),
    });
    this.#core = {
      reconciler: this.#reconciler,
      pipeline: this.#pipeline,
      dataplane: this.#dataplane,
      sources: this.#watchers,
      defaultNetns: () => this.#config.netns ?? this.#config.pairs[0]?.netns ?? '',
      now,
      autoPairProblems: this.#auto.problems,
    };
  }

  /** What is punted, where the data plane can be told. Throws LcpError PUNT_JOURNAL. */
  #openPunting(): Punting | undefined {
    const plane = this.#dataplane.punts;
    if (plane === undefined) return undefined;
    return new Punting({
      config: this.#config,
      reconciler: this.#reconciler,
      dataplane: this.#dataplane,
      plane,
      changes: this.#changes,
      log: this.#logs.area('punt'),
      now: this.#core.now,
      wake: (cause) => this.#pipeline.config$.next(cause),
      repair: () => !this.#stopping && this.#applyPairs(),
    });
  }

  #observer() {
    return {
      onPair: (phy: string, state: string, reason: string) => {
        this.#log.info({ phy, ...(reason ? { reason } : {}) }, state);
        this.#changes.publish('pair', state, phy, reason);
      },
      onRefused: (
        operation: { op: string; object: Parameters<typeof keyOf>[0] },
        result: { message?: string },
        first: boolean,
      ) => {
        const key = keyOf(operation.object);
        const fields = { op: operation.op, kind: operation.object.kind, key, reason: result.message };
        if (first) this.#log.warn(fields, 'refused');
        else this.#log.debug(fields, 'refused again');
        this.#changes.publish(operation.object.kind, 'refused', key, result.message);
      },
      onHostAnew: (pair: Pair, ifindex: number, keepsake: Keepsake) => void this.#restore(pair, ifindex, keepsake),
      onUpward: (state: 'written' | 'refused', text: string, reason: string) => {
        if (state === 'written') this.#log.info({ what: text }, 'changed in the data plane, written to the kernel');
        else this.#log.warn({ what: text, reason }, 'changed in the data plane, refused by the kernel');
        this.#changes.publish('sync', state, text, reason);
      },
      onAdopted: (summary: { objects: number; routes: number; ms: number }) => {
        this.#log.info({ ...summary, ms: Math.round(summary.ms) }, 'data plane read');
      },
    };
  }

  /** What a host of the data plane's former life had in the kernel is given to the one in its place. */
  async #restore({ phy, host }: Pair, ifindex: number, keepsake: Keepsake): Promise<void> {
    const refused = await this.#links.restore(ifindex, keepsake);
    const { devices, addresses, neighbours } = keepsake;
    const given = { devices: devices.length, addresses: addresses.length, neighbours: neighbours.length };
    this.#log[refused.length === 0 ? 'info' : 'warn']({ phy, host, ...given, refused }, 'host restored');
  }

  /** Whether the data plane has held everything at least once. */
  get ready(): boolean {
    return this.#ready;
  }

  /** One line about the state of everything, as systemd and lcpctl show it. */
  get statusLine(): string {
    const h = health(this.#core);
    if (h.state === 'degraded') {
      const age = Math.round((h.oldestMs ?? 0) / 1000);
      return `degraded ${h.failed} failed, oldest ${age} s: ${h.hint ?? 'see lcpctl status'}`;
    }
    return `${h.state} ${h.objects} objects`;
  }

  /** Opens the doors, then the sources. Throws LcpError when another lcpd is there. */
  async start(): Promise<void> {
    const startedAt = performance.now();
    const view = new CoreView({
      core: this.#core,
      changes: this.#changes,
      version: this.#version,
      startedAt,
      plan: (text) => this.#plan(text),
      reload: () => this.reload(),
    });
    const { socket, mode, group } = this.#config.control;
    // first, because it is what refuses a second lcpd: nothing is touched before
    this.#control = await openControl({ socket, mode, group, view, log: this.#logs.area('northbound') });
    this.#punting = this.#openPunting();
    if (this.#punting !== undefined) this.#control.punts = this.#punting.door;
    this.#pipeline.start();
    this.#applyRoutePolicies();
    this.#applySync();
    this.#applyPairs();
    this.#netnsWatch = new NetnsWatch(({ name, change }) => {
      if (change !== 'vanished') this.#watchers.get(name)?.open();
      this.#punting?.netnsChanged();
    });
    this.#dataplane.connect({
      onState: (state, cause) => {
        this.#up = state === 'up';
        if (state === 'up') {
          this.#punting?.punts.up();
          this.#auto.started();
          this.#applyPairs();
        }
        if (state !== 'up') this.#reconciler.lost();
        this.#logs
          .area(this.#config.dataplane.driver === 'vpp' ? 'vpp' : 'forwarding')
          [state === 'up' ? 'info' : 'warn']({ cause }, `data plane ${state}`);
        this.#changes.publish('dataplane', state, this.#dataplane.name, cause);
        this.#pipeline.dataplane$.next(cause);
      },
      onEvent: (event) => this.#onEvent(event),
      onPhys: () => {
        if (this.#config.autoPairs.length > 0) this.#applyPairs();
        this.#reconciler.physChanged();
        this.#punting?.punts.review();
        this.#pipeline.dataplane$.next('phys');
      },
    });
    void this.#announce();
  }

  /** Tells readiness once everything is in the data plane. */
  async #announce(): Promise<void> {
    while (!this.#ready && !this.#stopping) {
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (!this.#up || !this.#reconciler.ready || !this.#reconciler.adopted) continue;
      if (this.#pipeline.running || this.#reconciler.isDirty) continue;
      this.#ready = true;
      this.#onReady();
    }
  }

  #onEvent(event: DataPlaneEvent): void {
    if (this.#stopping) return;
    if (event.event === 'neighbour-wanted') {
      const device = this.#reconciler.pairs.device(event.phy);
      if (device !== undefined) void this.#links.solicit(device.netns, device.ifindex, event.address);
      return;
    }
    if (event.event === 'remark') {
      this.#log.warn({ what: event.what, reason: event.message }, 'the data plane cannot');
      this.#changes.publish('dataplane', 'cannot', event.what, event.message);
      return;
    }
    this.#log.warn({ phy: event.phy, errno: event.errno }, 'port failed');
    setTimeout(() => {
      this.#reconciler.delta.invalidate('pair', event.phy);
      this.#pipeline.dataplane$.next('port failed');
    }, PORT_RETRY_MS);
  }

  get #carrierPolicy() {
    return { static: this.#config.delStaticOnLinkDown, dynamic: this.#config.delDynamicOnLinkDown };
  }

  /** Routes that the kernel has are read again where another policy asks something else of them. */
  #applyRoutePolicies(): void {
    this.#reconciler.unpairedRoutes = this.#config.unpairedRoutes;
    const wanted = this.#carrierPolicy;
    for (const watcher of this.#watchers.values()) {
      const { carrierPolicy } = watcher.ns;
      if (carrierPolicy.static === wanted.static && carrierPolicy.dynamic === wanted.dynamic) continue;
      watcher.ns.carrierPolicy = wanted;
      watcher.resync('configuration');
    }
  }

  /** What goes from the data plane to the kernel, and what crosses pairs. */
  #applySync(): void {
    const { sync, retry, autoPairs, dataplane } = this.#config;
    const { vppToLinux: on, unnumbered, autoSubint } = sync;
    this.#reconciler.upward.configure({ on, unnumbered, autoSubint }, retry);
    this.#auto.configure(autoPairs.map(({ phy, host, netns }) => ({ phy, host, netns: netns ?? '' })));
    this.#dataplane.passThrough?.(dataplane.vpp);
  }

  /** The pairs that the configuration names, and those of interfaces that match its patterns. */
  #specs(): PairSpec[] {
    const named = specsOf(this.#config);
    const told = new Map(this.#auto.problems);
    const specs = [...named, ...this.#auto.specs(this.#dataplane.phys, named), ...(this.#punting?.pairSpecs() ?? [])];
    for (const [phy, reason] of this.#auto.problems) {
      if (told.get(phy) !== reason) this.#log.warn({ phy, reason }, 'no pair by its pattern');
    }
    return specs;
  }

  /** Makes pairs and watched namespaces those of the configuration. */
  #applyPairs(): void {
    const specs = this.#specs();
    for (const phy of this.#reconciler.pairs.configure(specs)) this.#reconciler.dirtyPair(phy);
    const places = [...specs, ...this.#config.autoPairs].map(({ netns }) => netns ?? '');
    const wanted = new Set(['', ...places, ...(this.#punting?.namespaces() ?? [])]);
    for (const name of wanted) this.#watch(name, !places.includes(name));
    for (const [name, watcher] of this.#watchers) {
      if (wanted.has(name)) continue;
      watcher.close();
      watcher.ns.state = 'absent';
      watcher.ns.clear();
      this.#links.release(name);
      this.#watchers.delete(name);
      this.#reconciler.namespaceChanged(watcher.ns);
    }
    this.#pipeline.config$.next('configuration');
  }

  #watch(name: string, linksOnly: boolean): void {
    const old = this.#watchers.get(name);
    if (old?.linksOnly === linksOnly) return;
    old?.close();
    const ns = old?.ns ?? this.#reconciler.namespaces.get(name) ?? new Namespace(name);
    ns.followsNeighbours = this.#config.netlink.neighbours;
    ns.carrierPolicy = this.#carrierPolicy;
    this.#reconciler.namespaces.set(name, ns);
    ns.onChange = () => this.#pipeline.kernel$.next('kernel');
    const watcher = new NamespaceWatcher(
      ns,
      {
        path: name === '' ? undefined : this.#links.netnsPath(name),
        rxBufferBytes: this.#config.netlink.rxBufferBytes,
        queueMessages: this.#config.netlink.queueMessages,
        linksOnly,
      },
      {
        onState: (changed, cause) => {
          this.#reconciler.namespaceChanged(changed);
          this.#changes.publish('netlink', changed.state, changed.name || '(own)', cause);
          this.#pipeline.kernel$.next(cause);
        },
        onGone: (gone) => this.#links.release(gone.name),
      },
      this.#logs.area('netlink'),
    );
    this.#watchers.set(name, watcher);
    watcher.open();
  }

  #plan(text: string): PlanResult {
    const loaded = loadConfig(text);
    if ('errors' in loaded) throw configInvalid('plan', loaded.errors);
    return this.#difference(loaded.config);
  }

  #difference(next: Config): PlanResult {
    const { pairs, punts, live, restartNeeded } = diffConfig(this.#config, next);
    const text = (p: { host: string; netns: string | undefined; type: string }): string =>
      `${p.type} ${p.host}${p.netns === undefined ? '' : ` in ${p.netns}`}`;
    return {
      operations: [
        ...pairs.removed.map((p) => ({ op: 'delete' as const, kind: 'pair', key: p.phy, detail: text(p) })),
        ...pairs.changed.map(({ from, to }) => ({
          op: 'update' as const,
          kind: 'pair',
          key: to.phy,
          detail: `${text(from)} becomes ${text(to)}`,
        })),
        ...pairs.added.map((p) => ({ op: 'add' as const, kind: 'pair', key: p.phy, detail: text(p) })),
        ...puntOperations(punts),
        ...live.map((key) => ({ op: 'update' as const, kind: 'setting', key })),
      ],
      restartNeeded: [...restartNeeded],
    };
  }

  /** Reads the file again and applies the difference. Throws LcpError and changes nothing when it is not valid. */
  reload(): PlanResult {
    const loaded = readConfigFile(this.#configFile);
    if ('errors' in loaded) throw configInvalid(this.#configFile, loaded.errors);
    const plan = this.#difference(loaded.config);
    this.#config = applicableConfig(this.#config, loaded.config);
    this.#logs.setLevels(this.#config.log);
    this.#reconciler.delta.retry = this.#config.retry;
    this.#applyRoutePolicies();
    this.#applySync();
    this.#punting?.configure(this.#config);
    this.#applyPairs();
    const { operations, restartNeeded } = plan;
    this.#log.info({ operations: operations.length, restartNeeded }, 'configuration reloaded');
    return plan;
  }

  /** Ends. leave: forwarding goes on as it is; otherwise everything that was made is removed. */
  async stop(leave: boolean): Promise<void> {
    this.#stopping = true;
    if (!leave) {
      for (const phy of this.#reconciler.pairs.configure([])) this.#reconciler.dirtyPair(phy);
      this.#punting?.punts.stop();
      this.#pipeline.config$.next('stop');
      const deadline = performance.now() + STOP_TIMEOUT_MS;
      const { delta } = this.#reconciler;
      const held = (): number =>
        (['pair', 'interconnect', 'punt'] as const).reduce((sum, kind) => sum + [...delta.rows(kind)].length, 0);
      while (this.#up && held() > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      if (held() > 0) this.#log.warn({ objects: held() }, 'not everything could be removed');
    }
    await this.#control?.close();
    this.#netnsWatch?.close();
    for (const watcher of this.#watchers.values()) watcher.close();
    await this.#punting?.close(leave);
    await this.#dataplane.close(leave);
    this.#links.close();
  }
}
