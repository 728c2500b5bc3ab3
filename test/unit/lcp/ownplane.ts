// OwnPlane: a fake data plane with interfaces of its own, which somebody else changes, too; and the way to the fake kernels.
//
// Invariants: what is there (`there`) and what the driver knows of it (the cache behind `seen`) are two things: a change that is
// made behind lcpd's back is known after poll(). Like the driver for VPP it sends only what differs from what it knows, and
// each thing that it changes is a line of `changes`; each request to a kernel is one of Door.writes.

import type * as dp from '../../../src/lcp/dataplane.ts';
import { keyOf } from '../../../src/lcp/objects.ts';
import type { KernelWrite } from '../../../src/lcp/upward.ts';
import { FakeDataPlane, type Hosts } from './fakedataplane.ts';
import type { FakeKernel } from './fakekernel.ts';

export interface OwnInterface {
  ifindex: number;
  life: number;
  parent: string;
  tags: readonly number[];
  subId: number;
  up: boolean;
  mtu: number;
  mac: string;
  paired: boolean;
  addresses: Map<string, number>;
  borrowed: Map<string, number>;
  tables: { 4: string; 6: string };
}

const copy = (of: OwnInterface): OwnInterface => ({
  ...of,
  addresses: new Map(of.addresses),
  borrowed: new Map(of.borrowed),
  tables: { ...of.tables },
});

export class OwnPlane extends FakeDataPlane {
  /** By what the core calls them. */
  readonly there = new Map<string, OwnInterface>();
  /** What lcpd has changed. */
  readonly changes: string[] = [];
  isFollowed = false;
  #known = new Map<string, OwnInterface>();
  #told: dp.DataPlaneListener | undefined;

  constructor(hosts: Hosts) {
    super(hosts);
    this.hasAddresses = true;
  }

  readonly phys: dp.PhySource = {
    byName: (phy) => this.#phy(phy),
    get: (ifindex) => this.#phy([...this.#known].find(([, each]) => each.ifindex === ifindex)?.[0] ?? ''),
    names: () => [...this.#known].filter(([, { parent }]) => parent === '').map(([name]) => name),
  };

  readonly seen: dp.SeenSource = {
    follow: (on) => {
      this.isFollowed = on;
      if (on) this.poll();
    },
    get: (phy) => this.#seen(phy),
    all: () => [...this.#known.keys()].flatMap((phy) => [[phy, this.#seen(phy) as dp.Seen] as const]),
  };

  #phy(name: string): dp.Phy | undefined {
    const of = this.#known.get(name);
    if (of === undefined || of.parent !== '') return undefined;
    const { ifindex, up, mtu, mac } = of;
    return { ifindex, up, mtu, mac, ethernet: true, carrier: true, maxMtu: 0 };
  }

  #seen(phy: string): dp.Seen | undefined {
    const of = this.#known.get(phy);
    return of === undefined ? undefined : { ...of, id: `${of.ifindex}.${of.life}` };
  }

  add(name: string, ifindex: number, more: Partial<OwnInterface> = {}): void {
    const plain = { life: 0, parent: '', tags: [], subId: 0, up: false, mtu: 1500, mac: '', paired: false };
    const tables = { 4: 'cp/v4/254', 6: 'cp/v6/254' };
    this.there.set(name, { ifindex, ...plain, addresses: new Map(), borrowed: new Map(), tables, ...more });
  }

  own(name: string): OwnInterface {
    const of = this.there.get(name);
    if (of === undefined) throw new Error(`no interface ${name}`);
    return of;
  }

  /** The driver reads everything again. */
  poll(): void {
    this.#known = new Map([...this.there].map(([name, of]) => [name, copy(of)]));
    this.#told?.onPhys();
  }

  override connect(listener: dp.DataPlaneListener): void {
    this.#told = listener;
    super.connect(listener);
  }

  override async apply(operations: readonly dp.Operation[]): Promise<dp.OperationResult[]> {
    const results: dp.OperationResult[] = [];
    for (const operation of operations) {
      const [result = { ok: false }] = await super.apply([operation]);
      if (result.ok) this.#do(operation);
      results.push(result);
    }
    return results;
  }

  #do({ op, object }: dp.Operation): void {
    if (object.kind === 'subif') this.#doSubif(op, object.phy, object.parent, object.tags);
    const [known, there] = 'phy' in object ? [this.#known.get(object.phy), this.there.get(object.phy)] : [];
    if (known === undefined || there === undefined) return;
    if (object.kind === 'link' && op === 'set') {
      if (known.up !== object.up) this.changes.push(`${object.phy} ${object.up ? 'up' : 'down'}`);
      if (known.mtu !== object.mtu) this.changes.push(`${object.phy} mtu ${object.mtu}`);
      const tables = { 4: object.lookup4.find((t) => !t.endsWith('/255')) ?? '', 6: known.tables[6] };
      tables[6] = tables[4].replace('/v4/', '/v6/');
      if (known.tables[4] !== tables[4] || known.tables[6] !== tables[6])
        this.changes.push(`${object.phy} table ${tables[4]}`);
      if (known.up !== object.up) there.up = object.up;
      if (known.mtu !== object.mtu) there.mtu = object.mtu;
      Object.assign(there.tables, tables);
      there.mac = object.mac;
      Object.assign(known, { up: there.up, mtu: there.mtu, mac: there.mac, tables });
    }
    if (object.kind !== 'address') return;
    const { address, prefixlen } = object;
    const had = known.addresses.get(address);
    if (op === 'set' && had !== prefixlen) {
      this.changes.push(`set ${keyOf(object)}`);
      for (const each of [known, there]) each.addresses.set(address, prefixlen);
    }
    if (op === 'delete' && had === prefixlen) {
      this.changes.push(`delete ${keyOf(object)}`);
      for (const each of [known, there]) each.addresses.delete(address);
    }
  }

  #doSubif(op: 'set' | 'delete', phy: string, parent: string, tags: readonly number[]): void {
    if (op === 'set' && !this.there.has(phy)) {
      this.changes.push(`new ${phy}`);
      this.add(phy, 1000 + this.there.size, { parent, tags, subId: (tags[0] ?? 0) & 0xfff });
      this.#known.set(phy, copy(this.own(phy)));
    }
    if (op === 'delete' && this.there.delete(phy)) {
      this.changes.push(`without ${phy}`);
      this.#known.delete(phy);
    }
  }
}

/** The way from lcpd to the kernels. */
export class Door {
  /** Every request, as it is told to the operator. */
  readonly writes: string[] = [];
  /** Why the next ones are refused. */
  refusal = '';
  /** While it is shut, requests wait for open(). */
  isShut = false;
  readonly #waiting: (() => void)[] = [];
  readonly #kernel: (netns: string) => FakeKernel;
  /** Happens when an address has taken its secondaries along. */
  between: () => void = () => undefined;
  /** What the fake kernel cannot do by itself. */
  other: (write: KernelWrite) => void = () => undefined;

  constructor(kernel: (netns: string) => FakeKernel) {
    this.#kernel = kernel;
  }

  readonly write = async (write: KernelWrite): Promise<void> => {
    this.writes.push(write.text);
    if (this.isShut) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.refusal !== '') throw new Error(this.refusal);
    const kernel = this.#kernel(write.netns);
    const { ifindex } = write;
    const link = kernel.links.get(ifindex);
    if (write.what === 'link' && link !== undefined && write.change.master === undefined)
      kernel.setLink(link, write.change);
    else if (write.what === 'address') {
      const { address: local } = write;
      for (const prefixlen of write.add) kernel.addAddress({ ifindex, local, prefixlen });
      const remove = (gone: string, prefixlen: number) => {
        const found = kernel.addresses.find(
          (a) => a.ifindex === ifindex && a.local === gone && a.prefixlen === prefixlen,
        );
        if (found !== undefined) kernel.delAddress(found);
      };
      for (const prefixlen of write.remove) remove(local, prefixlen);
      this.between();
      for (const taken of write.again) kernel.addAddress({ ifindex, local: taken.local, prefixlen: taken.prefixlen });
    } else this.other(write);
  };

  /** Lets the first of those that wait go on, all of them with `all`. */
  open(all = false): void {
    for (const go of this.#waiting.splice(0, all ? this.#waiting.length : 1)) go();
  }
}
