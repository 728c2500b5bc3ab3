// Upward: what is changed in the data plane itself goes to the kernel (VPP → Linux).
//
// State, MTU, addresses, tables and sub-interfaces of every interface with a host are compared three ways (threeway.ts).
// What goes up is one request to the kernel; until the kernel shows it, the data plane's value is what is wished for, so
// nothing is sent down that would undo it. What goes down is not sent here: it is what wishes.ts derives from the kernel.
// Link-local addresses, MACs, routes and neighbours stay out: the kernel makes or learns its own.

import { isProgrammingError, messageOf } from '../lib/errors.ts';
import { ipBytes, wordsOf } from '../lib/ip.ts';
import { IFF_UP, RT_TABLE_LOCAL } from '../netlink/uapi.ts';
import type { Operation, Seen, SeenSource } from './dataplane.ts';
import type { DeltaTable, Row } from './delta.ts';
import type { Namespace } from './namespace.ts';
import { type Address, type Link, SPECIAL } from './objects.ts';
import type { Pairs } from './pairs.ts';
import type { FoundSubif } from './subifs.ts';
import { type Backoff, Threeway, type Verdict } from './threeway.ts';
import { type Subnet, UpwardAddresses } from './upwardaddresses.ts';
import { type Besides, type Send, UpwardSubifs } from './upwardsubifs.ts';
import { UpwardTables } from './upwardtables.ts';

export interface UpwardSettings {
  /** What is changed in the data plane goes to the kernel. */
  readonly on: boolean;
  /** So do the addresses that an unnumbered interface borrows. */
  readonly unnumbered: boolean;
  /** So do sub-interfaces that are made or deleted there. */
  readonly autoSubint: boolean;
}

/** One request to the kernel. text: for the log, 'e0 up', 'e0 10.0.0.1/24'. */
export type KernelWrite = { readonly netns: string; readonly ifindex: number; readonly text: string } & (
  | { readonly what: 'link'; readonly change: { up?: boolean; mtu?: number; master?: number } }
  /** Of one address: lengths that it gets and loses, and those that the kernel takes along, which it gets back. */
  | {
      readonly what: 'address';
      readonly address: string;
      readonly add: number[];
      readonly remove: number[];
      readonly again: readonly Subnet[];
    }
  /** A VLAN device on the link; protocol is a TPID. */
  | {
      readonly what: 'vlan';
      readonly name: string;
      readonly id: number;
      readonly protocol: number;
      readonly up: boolean;
    }
  | { readonly what: 'delete' }
);

export interface UpwardParts {
  readonly namespaces: ReadonlyMap<string, Namespace>;
  readonly pairs: Pairs;
  readonly delta: DeltaTable;
  readonly seen: () => SeenSource | undefined;
  readonly now: () => number;
  /** Rejects with the kernel's reason. */
  readonly write: (write: KernelWrite) => Promise<void>;
  /** A write was begun, or refused for the first time. */
  readonly told: (state: 'written' | 'refused', text: string, reason: string) => void;
  /** What is known of an interface has to be looked at again. */
  readonly again: () => void;
}

/** An interface of the data plane with its host in the kernel. */
export interface Joined {
  readonly phy: string;
  readonly seen: Seen;
  readonly ns: Namespace;
  readonly ifindex: number;
}

const upText = (up: boolean): string => (up ? 'up' : 'down');

export class Upward {
  readonly #parts: UpwardParts;
  readonly #values: Threeway;
  readonly #subifs: UpwardSubifs;
  readonly #tables: UpwardTables;
  readonly #addresses: UpwardAddresses;
  #settings: UpwardSettings = { on: false, unnumbered: true, autoSubint: false };
  /** Which interface of the data plane was meant by a name. */
  readonly #ids = new Map<string, string>();

  constructor(parts: UpwardParts, backoff: Backoff) {
    this.#parts = parts;
    this.#values = new Threeway(backoff);
    const send: Send = (...of) => this.#send(...of);
    this.#subifs = new UpwardSubifs(parts, this.#values, send);
    this.#tables = new UpwardTables(parts, this.#values, send);
    this.#addresses = new UpwardAddresses(parts, this.#values, send);
  }

  get settings(): UpwardSettings {
    return this.#settings;
  }

  /** Takes effect at once. What both sides agreed on before is what they have in common when it is turned on. */
  configure(settings: UpwardSettings, backoff: Backoff): void {
    const { on } = this.#settings;
    this.#settings = settings;
    this.#values.backoff = backoff;
    if (on !== settings.on) {
      this.lost();
      this.#parts.seen()?.follow(settings.on);
      if (settings.on) this.#assumeProgrammed();
    }
    this.#parts.again();
  }

  /** What the data plane was given last is the base of what is found in it now. */
  #assumeProgrammed(): void {
    for (const { actual } of this.#parts.delta.rows('link')) {
      if (actual?.kind !== 'link') continue;
      this.#values.programmed(`${actual.phy} up`, upText(actual.up), upText(actual.up));
      this.#values.programmed(`${actual.phy} mtu`, `${actual.mtu}`, `${actual.mtu}`);
    }
  }

  /** The data plane was lost: nothing is agreed on any more. */
  lost(): void {
    this.#values.drop('');
    this.#ids.clear();
    this.#addresses.clear();
  }

  /**
   * The data plane was read, its routes too. An address of which it has our local route was the kernel's: if that has it no
   * more, somebody took it away meanwhile. Any other is the data plane's own, and so is a sub-interface without a host.
   */
  adopted(): void {
    if (!this.#settings.on) return;
    for (const { actual } of this.#parts.delta.rows('address')) {
      if (actual?.kind !== 'address' || !this.#hasLocalRoute(actual)) continue;
      const length = `${actual.prefixlen}`;
      const key = `${actual.phy} address ${actual.address}`;
      this.#values.programmed(key, length, length);
    }
    this.#subifs.adopted();
  }

  #hasLocalRoute({ phy, family, address }: Address): boolean {
    const { pairs, namespaces } = this.#parts;
    const netns = pairs.spec(phy)?.netns ?? pairs.device(phy)?.netns ?? this.#netnsOfSubif(phy);
    const routes = namespaces.get(netns)?.routesOf(family);
    if (routes === undefined) return false;
    const t = routes.prefixes;
    const [a0 = 0, a1 = 0, a2 = 0, a3 = 0] = wordsOf(ipBytes(address));
    // one in a VRF has its local routes in the table of that
    return [RT_TABLE_LOCAL, ...routes.tables()].some((table) => {
      const record = t.find(table, family === 6 ? 128 : 32, a0, ...(t.words === 4 ? [a1, a2, a3] : []));
      return record !== 0 && t.actual[record] === SPECIAL.local;
    });
  }

  #netnsOfSubif(phy: string): string {
    const subif = this.#parts.delta.row('subif', phy)?.actual;
    return subif?.kind === 'subif' ? subif.netns : '';
  }

  /** The interface that a name stands for, when both sides have it and can be compared; what was known of another is forgotten. */
  #joined(phy: string): Joined | undefined {
    const { pairs, namespaces } = this.#parts;
    const seen = this.#settings.on ? this.#parts.seen()?.get(phy) : undefined;
    const device = pairs.device(phy);
    const ns = device === undefined ? undefined : namespaces.get(device.netns);
    if (seen === undefined || device === undefined || ns?.links.has(device.ifindex) !== true) return undefined;
    if (pairs.spec(seen.parent || phy) === undefined) return undefined;
    const id = `${seen.id} ${device.netns} ${device.ifindex}`;
    const before = this.#ids.get(phy);
    if (before !== id) {
      // what is known of a sub-interface that is being made was written down before it had a device
      if (before !== undefined) this.#values.drop(`${phy} `);
      this.#ids.set(phy, id);
    }
    return { phy, seen, ns, ifindex: device.ifindex };
  }

  /** An interface has no host any more. */
  parted(phy: string): void {
    this.#ids.delete(phy);
    this.#values.drop(`${phy} `);
    for (const key of [...this.#ids.keys()]) if (key.startsWith(`${phy}.`)) this.parted(key);
  }

  /** The link that is to be wished for: the kernel's, with what is on its way up as the data plane has it. */
  link(link: Link): Link {
    const joined = this.#joined(link.phy);
    if (joined === undefined) return link;
    const { phy, seen } = joined;
    const up = this.#attribute(joined, 'up', upText(link.up), upText(seen.up), upText(seen.up), { up: seen.up });
    const mtu = this.#clamped(joined, seen.mtu);
    const takesMtu = this.#attribute(joined, 'mtu', `${link.mtu}`, `${seen.mtu}`, `${mtu}`, { mtu });
    const phyMtu = takesMtu && link.parent === '' ? seen.mtu : link.phyMtu;
    const row = this.#parts.delta.row('link', phy);
    // what is there already is not sent, what differs is
    if (row?.actual?.kind === 'link') {
      const found = { ...row.actual, up: seen.up, mtu: seen.mtu, ...(takesMtu && { phyMtu }) };
      this.#parts.delta.hold(found, row.handle);
      // its tables would be put back to what follows from the VRF that the host is about to leave
      if (this.#tables.isMoving(phy)) return found;
    }
    return { ...link, ...(up && { up: seen.up }), ...(takesMtu && { mtu: seen.mtu, phyMtu }) };
  }

  /** A VLAN device has at most the MTU of the device below it. */
  #clamped({ seen, ns, ifindex }: Joined, mtu: number): number {
    const below = seen.parent === '' ? undefined : ns.links.get(ifindex)?.link;
    return Math.min(mtu, (below === undefined ? undefined : ns.links.get(below)?.mtu) ?? mtu);
  }

  /** Whether the data plane's value of a link's attribute holds; one that goes up is sent. */
  #attribute(
    joined: Joined,
    what: 'up' | 'mtu',
    kernel: string,
    own: string,
    written: string,
    change: { up?: boolean; mtu?: number },
  ): boolean {
    const key = `${joined.phy} ${what}`;
    const verdict = this.#judge(joined, key, kernel, own);
    if (verdict !== 'up') return verdict === 'wait';
    if (written === kernel) {
      this.#values.programmed(key, kernel, own);
      return false;
    }
    // the kernel takes the VLAN devices of a device along: what is left to do shows then
    const { parent } = joined.seen;
    if (parent !== '' && (this.#values.isFlying(`${parent} ${what}`) || this.#isAhead(parent, what))) return true;
    const name = joined.ns.links.get(joined.ifindex)?.name;
    const text = `${name} ${what === 'up' ? own : `mtu ${written}`}`;
    this.#send(key, kernel, own, written, { ...this.#place(joined), text, what: 'link', change });
    return true;
  }

  /** Whether an interface was changed in the data plane and that has not gone up yet. */
  #isAhead(phy: string, what: 'up' | 'mtu'): boolean {
    const joined = this.#joined(phy);
    const link = joined?.ns.links.get(joined.ifindex);
    if (joined === undefined || link === undefined) return false;
    const { seen } = joined;
    const [kernel, own] =
      what === 'up' ? [upText((link.flags & IFF_UP) !== 0), upText(seen.up)] : [`${link.mtu}`, `${seen.mtu}`];
    return this.#judge(joined, `${phy} ${what}`, kernel, own) === 'up';
  }

  #place({ ns, ifindex }: Joined): { netns: string; ifindex: number } {
    return { netns: ns.name, ifindex };
  }

  /** While a namespace is read again, what is known of the kernel may be old: what could go up waits. */
  #judge({ ns }: Joined, key: string, kernel: string, own: string, assumed?: string): Verdict {
    const verdict = this.#values.judge(key, kernel, own, this.#parts.now(), assumed);
    return verdict === 'up' && ns.state !== 'in-sync' ? 'wait' : verdict;
  }

  #send(key: string, kernel: string, own: string, written: string, write: KernelWrite, besides: Besides = []): void {
    const { now, told, again } = this.#parts;
    const values = this.#values;
    const flights = [[key, values.begin(key, kernel, own, written)] as const];
    for (const [other, value] of besides) flights.push([other, values.begin(other, value, value, value)]);
    told('written', write.text, '');
    this.#parts
      .write(write)
      .then(
        () => {
          for (const [each, flight] of flights) values.acked(each, flight, now());
        },
        (error: unknown) => {
          if (isProgrammingError(error)) throw error;
          const reason = messageOf(error);
          for (const [each, flight] of flights) {
            const isNew = values.failed(each, flight, `${write.text}: ${reason}`, now());
            if (isNew && each === key) told('refused', write.text, reason);
          }
        },
      )
      .finally(again);
  }

  /** Looks at everything but links, and sends what goes up. Before wishes are made of addresses and sub-interfaces. */
  review(subifsOf: (ns: Namespace) => ReadonlyMap<string, FoundSubif>): void {
    this.#addresses.clear();
    const source = this.#parts.seen();
    if (!this.#settings.on || source === undefined) return;
    for (const [phy] of source.all()) {
      const joined = this.#joined(phy);
      if (joined === undefined) continue;
      this.#addresses.review(joined, this.#settings.unnumbered);
      this.#tables.review(joined);
    }
    this.#subifs.review(this.#settings.autoSubint ? source : undefined, subifsOf);
  }

  /** Refusals that nobody has looked at again are about what is gone. After links were derived. */
  reviewed(): void {
    this.#values.purge(this.#parts.now());
  }

  /** Whether an address in the data plane is to stay although the kernel does not have it: it is on its way there. */
  keepsAddress(row: Row): boolean {
    return this.#addresses.keeps(row.key);
  }

  /** Whether a sub-interface is to stay although no VLAN device stands for it. */
  keepsSubif(phy: string): boolean {
    return this.#subifs.keeps(phy);
  }

  /** Whether the data plane must not get an address although the kernel has it. */
  withholds(address: Address): boolean {
    return this.#addresses.withholds(address);
  }

  /** The data plane has done what it was asked for. */
  settled({ object, op }: Operation): void {
    if (!this.#settings.on) return;
    const joined = object.kind === 'link' || object.kind === 'address' ? this.#joined(object.phy) : undefined;
    if (joined === undefined) return;
    const { ns, ifindex } = joined;
    if (object.kind === 'link' && op === 'set') {
      const link = ns.links.get(ifindex);
      // what was only as the data plane had it is not the kernel's yet
      if (link !== undefined && ((link.flags & IFF_UP) !== 0) === object.up)
        this.#values.programmed(`${object.phy} up`, upText(object.up), upText(object.up));
      if (link?.mtu === object.mtu) this.#values.programmed(`${object.phy} mtu`, `${object.mtu}`, `${object.mtu}`);
      this.#tables.programmed(joined);
    }
    if (object.kind === 'address') this.#addresses.programmed(joined, object.address);
  }

  /** What could not be written, with when it was refused first. */
  failures(): { readonly key: string; readonly message: string; readonly since: number }[] {
    return [...this.#values.refusals()].map(([key, { message, since }]) => ({ key, message, since }));
  }

  /** Writes on their way. */
  get flights(): number {
    return this.#values.flights;
  }

  nextAt(): number | undefined {
    return this.#values.nextAt();
  }
}
