// Router: two fake kernels (lcpd's own namespace with the phys, `cp` with the hosts), the core and a fake data
// plane, wired as main does it but without timers, so that tests decide what is read when.
//
// Invariants: nothing happens outside the calls; the clock is a number. settle() goes on until nothing is left.

import type { Operation, OperationResult } from '../../../src/lcp/dataplane.ts';
import type { Keepsake } from '../../../src/lcp/keepsakes.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { FIRST_HANDLE, type Link, type Pair, SPECIAL, tableKey } from '../../../src/lcp/objects.ts';
import { hostAlias, type PairSpec } from '../../../src/lcp/pairs.ts';
import { type KernelDoor, Reconciler } from '../../../src/lcp/reconcile.ts';
import { NO_VRF } from '../../../src/lcp/rules.ts';
import { AF_INET6, familyOf } from '../../../src/lib/ip.ts';
import { SYNC_SCOPES, splitFamilies } from '../../../src/netlink/scopes.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeDataPlane } from './fakedataplane.ts';
import { FakeKernel } from './fakekernel.ts';
import { batchFrom, type Message } from './kernelbytes.ts';

export interface RouterOptions {
  readonly dataplane?: FakeDataPlane;
  readonly kernels?: Map<string, FakeKernel>;
  /** Another clock than `now`, in ms. */
  readonly clock?: () => number;
  /** What goes from the data plane to the kernels. */
  readonly write?: KernelDoor;
  /** How notices are cut into batches, and which are handed out twice. */
  readonly deliver?: (messages: Message[], apply: (part: Message[]) => void) => void;
}

const ENOUGH = 500;

export class Router {
  readonly kernels: Map<string, FakeKernel>;
  readonly namespaces = new Map<string, Namespace>();
  readonly dataplane: FakeDataPlane;
  readonly reconciler: Reconciler;
  readonly refused: string[] = [];
  readonly pairEvents: string[] = [];
  readonly restored: { pair: Pair; ifindex: number; keepsake: Keepsake }[] = [];
  readonly upward: string[] = [];
  readonly adopted: { objects: number; routes: number }[] = [];
  readonly #deliver: (messages: Message[], apply: (part: Message[]) => void) => void;
  now = 1000;

  constructor(options: RouterOptions = {}) {
    this.kernels =
      options.kernels ??
      new Map([
        ['', new FakeKernel(10)],
        ['cp', new FakeKernel(100)],
      ]);
    this.dataplane = options.dataplane ?? new FakeDataPlane(this.hosts());
    this.#deliver = options.deliver ?? ((messages, apply) => apply(messages));
    for (const name of this.kernels.keys()) this.namespaces.set(name, new Namespace(name));
    const observer = {
      onPair: (phy: string, state: string, reason: string) => this.pairEvents.push(`${phy} ${state} ${reason}`.trim()),
      onRefused: (o: Operation, _r: OperationResult, first: boolean) =>
        this.refused.push(`${o.op} ${o.object.kind}${first ? '' : ' again'}`),
      onHostAnew: (pair: Pair, ifindex: number, keepsake: Keepsake) => this.restored.push({ pair, ifindex, keepsake }),
      onUpward: (state: string, text: string, reason: string) => this.upward.push(`${state} ${text} ${reason}`.trim()),
      onAdopted: (summary: { objects: number; routes: number }) => this.adopted.push(summary),
    };
    this.reconciler = new Reconciler(
      this.dataplane,
      this.namespaces,
      { initialMs: 100, maxMs: 1000 },
      observer,
      options.clock ?? (() => this.now),
      options.write,
    );
    this.dataplane.connect({
      onState: (state) => {
        if (state === 'down') this.reconciler.lost();
      },
      onEvent: () => undefined,
      onPhys: () => this.reconciler.physChanged(),
    });
  }

  kernel(name = 'cp'): FakeKernel {
    const kernel = this.kernels.get(name);
    if (kernel === undefined) throw new Error(`no kernel ${name}`);
    return kernel;
  }
  ns(name = 'cp'): Namespace {
    const ns = this.namespaces.get(name);
    if (ns === undefined) throw new Error(`no namespace ${name}`);
    return ns;
  }

  /** What a data plane does to the kernels: hosts are made as TAPs and TUNs with an alias. */
  hosts() {
    return {
      make: (pair: Pair): number => {
        const kernel = this.kernels.get(pair.netns);
        const phy = this.kernel('').links.get(pair.phyIfindex);
        if (kernel === undefined || phy === undefined) return 0;
        for (const l of kernel.links.values()) if (l.name === pair.host && l.kind === 'tun') return l.ifindex;
        const { mtu, up, mac, type } = phy;
        const more = { mtu, up, type, mac: pair.type === 'tap' ? mac : '', alias: hostAlias(pair.phy) };
        const host = kernel.addLink(pair.host, { ...more, kind: 'tun', tunType: pair.type });
        this.deliver(pair.netns);
        return host.ifindex;
      },
      remove: (pair: Pair, ifindex: number): void => {
        const kernel = this.kernels.get(pair.netns);
        const host = kernel?.links.get(ifindex);
        if (host === undefined) return;
        kernel?.delLink(host);
        this.deliver(pair.netns);
      },
      agree: (link: Link): void => {
        const phy = this.kernel('').links.get(link.phyIfindex);
        const host = this.kernels.get(link.netns)?.links.get(link.hostIfindex);
        if (
          phy !== undefined &&
          (phy.mtu !== link.phyMtu || phy.up !== link.up || (link.mac !== '' && phy.mac !== link.mac))
        ) {
          this.kernel('').setLink(phy, {
            mtu: link.phyMtu,
            up: link.up,
            ...(link.mac === '' ? {} : { mac: link.mac }),
          });
          this.deliver('');
        }
        if (host !== undefined && host.carrier !== link.carrier) {
          this.kernel(link.netns).setLink(host, { carrier: link.carrier });
          this.deliver(link.netns);
        }
      },
    };
  }

  /** Hands the kernel's notices to the mirror. */
  deliver(name: string): void {
    const messages = this.kernels.get(name)?.take() ?? [];
    const ns = this.namespaces.get(name);
    if (ns === undefined || messages.length === 0) return;
    this.#deliver(messages, (part) => ns.apply(batchFrom(part)));
  }

  /** Reads one part of a kernel again. */
  dump(name: string, kind: (typeof SYNC_SCOPES)[number][0], scope: { family: number; oif?: number }): void {
    const ns = this.ns(name);
    ns.dumpBegin(kind, scope);
    const messages = this.kernel(name).dump(kind, scope);
    if (messages.length > 0) ns.apply(batchFrom(messages, true));
    ns.dumpEnd(kind, true, scope);
  }

  /** Reads a whole namespace, as after a start or an overrun: what was told is lost, or handed out after the dumps. */
  resync(name: string, told: 'lost' | 'queued' = 'lost'): void {
    if (told === 'lost') this.kernel(name).take();
    this.ns(name).state = 'syncing';
    for (const [kind, family] of SYNC_SCOPES) this.dump(name, kind, { family });
    const ns = this.ns(name);
    ns.identity = `4:${name.length + 1000}`;
    ns.state = 'in-sync';
    ns.known = true;
    this.reconciler.namespaceChanged(ns);
  }

  start(specs: readonly PairSpec[]): void {
    for (const name of this.kernels.keys()) this.resync(name);
    this.configure(specs);
  }

  configure(specs: readonly PairSpec[]): void {
    for (const phy of this.reconciler.pairs.configure(specs)) this.reconciler.dirtyPair(phy);
  }

  /** Reads again what the mirror doubts. */
  readDoubts(): boolean {
    let some = false;
    for (const [name, ns] of this.namespaces) {
      const doubts = ns.doubts.take();
      for (const { kind, scope } of doubts) {
        some = true;
        for (const part of splitFamilies(kind, scope)) this.dump(name, kind, part);
      }
    }
    return some;
  }

  /** Runs rounds until nothing is told, doubted, dirty or waiting for its retry. */
  async settle(): Promise<void> {
    for (let i = 0; i < ENOUGH; i++) {
      for (const name of this.kernels.keys()) this.deliver(name);
      const doubted = this.readDoubts();
      if (this.reconciler.isDirty || !this.reconciler.adopted) {
        await this.reconciler.round();
        continue;
      }
      if (doubted || [...this.kernels.values()].some((kernel) => kernel.told.length > 0)) continue;
      const at = this.reconciler.nextRetryAt();
      if (at === undefined) return;
      this.now = Math.max(at, this.now + 1);
      this.reconciler.retryRoutes();
    }
    throw new Error(`not settled after ${ENOUGH} rounds: ${JSON.stringify(this.reconciler.delta.failures())}`);
  }

  /** Hands out what the kernels told and runs one round. */
  async round(): Promise<void> {
    for (const name of this.kernels.keys()) this.deliver(name);
    await this.reconciler.round();
  }

  /** A restarted lcpd: the same kernels and data plane, everything else read anew. */
  successor(): Router {
    const next = new Router({ kernels: this.kernels, dataplane: this.dataplane });
    next.start([...this.reconciler.pairs.specs()]);
    return next;
  }

  #handles(family: 4 | 6): number[] {
    const ns = this.reconciler.namespaces.get('cp');
    return (ns?.rules.tablesFor(family, NO_VRF).tables ?? [])
      .map((t) => this.reconciler.delta.row('table', tableKey('cp', family, t))?.handle ?? 0)
      .filter((h) => h !== 0);
  }

  /** What the data plane does with packets for an address. */
  lookup(address: string): string {
    const family = familyOf(address) === AF_INET6 ? 6 : 4;
    const answer = this.dataplane.lookup(family, this.#handles(family), family === 4, [address])[0];
    const target = answer?.target ?? 0;
    if (target === SPECIAL.none) return 'none';
    if (target < FIRST_HANDLE) return `special ${target}`;
    return (this.dataplane.paths(target) ?? [])
      .map((p) => `${p.phy} ${p.via} ${p.weight}`)
      .sort()
      .join(', ');
  }

  /** The same as the kernel would do it, in the data plane's words. */
  kernelLookup(address: string): string {
    const answer = this.kernel().routeGet(address);
    if (answer === undefined) return 'none';
    if (answer.type !== k.RTN_UNICAST) return `special ${SPECIAL_OF_TYPE[answer.type]}`;
    const legs = answer.legs.map((l) => ({
      ...l,
      phy:
        this.kernel()
          .links.get(l.oif)
          ?.alias?.replace(/^lcpd /, '') ?? '',
    }));
    if (legs.every((l) => l.phy === '')) return `special ${SPECIAL.punt}`;
    return legs
      .map((l) => `${l.phy} ${l.phy === '' ? '' : l.gateway} ${l.weight}`)
      .sort()
      .join(', ');
  }
}

const SPECIAL_OF_TYPE: Readonly<Record<number, number>> = {
  [k.RTN_LOCAL]: SPECIAL.local,
  [k.RTN_BROADCAST]: SPECIAL.broadcast,
  [k.RTN_BLACKHOLE]: SPECIAL.blackhole,
  [k.RTN_UNREACHABLE]: SPECIAL.unreachable,
  [k.RTN_PROHIBIT]: SPECIAL.prohibit,
};

export const PAIRS: readonly PairSpec[] = [
  { phy: 'wan0', host: 'e0', netns: 'cp', type: 'tap' },
  { phy: 'lan0', host: 'e1', netns: 'cp', type: 'tap' },
];

/** A router with two pairs, addresses on both hosts and a neighbour behind each; settled. */
export const router = async (options: RouterOptions = {}): Promise<Router> => {
  const r = new Router(options);
  r.kernel('').addLink('wan0');
  r.kernel('').addLink('lan0');
  r.kernel().addLink('lo', { kind: 'lo', type: 772, mac: '' });
  r.start(PAIRS);
  await r.settle();
  const e0 = r.kernel().linkNamed('e0').ifindex;
  const e1 = r.kernel().linkNamed('e1').ifindex;
  for (const [ifindex, net] of [
    [e0, 1],
    [e1, 2],
  ] as const) {
    r.kernel().addAddress({ ifindex, local: `10.0.${net}.1`, prefixlen: 24 });
    r.kernel().addAddress({ ifindex, local: `fd00:${net}::1`, prefixlen: 64 });
    r.kernel().setNeighbour({ ifindex, dst: `10.0.${net}.2`, lladdr: `02:00:00:00:0${net}:02` });
    r.kernel().setNeighbour({ ifindex, dst: `fd00:${net}::2`, lladdr: `02:00:00:00:0${net}:02` });
  }
  await r.settle();
  return r;
};
