// FakeKernel: namespaces with links and addresses in memory, behind the seam of src/cnfnetns.ts. It does what Linux does where
// that matters: enslaving and setting down take IPv6 addresses along, a device that comes up makes its link-local address, a
// VRF that goes lets its ports go.
//
// Invariants: every request is recorded, refused ones too; `refuse` may refuse any. Each change is told to who listens.

import { type CnfStep, type CnfView, VRF_MARK } from '../../../src/cnfdevice.ts';
import type { CnfKernel, CnfSession } from '../../../src/cnfnetns.ts';
import type { Address } from '../../../src/netlink/address.ts';
import type { Link } from '../../../src/netlink/link.ts';
import { RtnlError } from '../../../src/netlink/request.ts';
import * as k from '../../../src/netlink/uapi.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export const ERRNO = { EEXIST: 17, ENODEV: 19, EINVAL: 22, EOPNOTSUPP: 95 } as const;

export class FakeNetns {
  readonly identity: string;
  readonly links: Mutable<Link>[] = [];
  addresses: Address[] = [];
  #lastIndex = 1;

  constructor(identity: string) {
    this.identity = identity;
  }

  link(name: string): Mutable<Link> {
    const found = this.links.find((link) => link.name === name);
    if (found === undefined) throw new Error(`no ${name}`);
    return found;
  }

  add(name: string, more: Partial<Link> = {}): Mutable<Link> {
    const link: Mutable<Link> = {
      ...{ family: 0, ifindex: ++this.#lastIndex, name, flags: 0, type: 1, mtu: 1500, mac: '02:fe:00:00:00:01' },
      ...{ operstate: 2, altnames: [], promiscuity: 0, minMtu: 68, maxMtu: 65535, addrGenMode: 0, ...more },
    };
    this.links.push(link);
    if ((link.flags & k.IFF_UP) !== 0) this.#cameUp(link);
    return link;
  }

  del(ifindex: number): void {
    const at = this.links.findIndex((link) => link.ifindex === ifindex);
    if (at < 0) throw new RtnlError(k.RTM_DELLINK, ERRNO.ENODEV);
    this.links.splice(at, 1);
    this.addresses = this.addresses.filter((address) => address.ifindex !== ifindex);
    for (const link of this.links) if (link.master === ifindex) this.#enslave(link, 0);
  }

  addAddress(ifindex: number, local: string, prefixlen: number, more: Partial<Address> = {}): void {
    const family = local.includes(':') ? 10 : 2;
    const same = (a: Address) =>
      a.ifindex === ifindex && a.local === local && (family === 10 || a.prefixlen === prefixlen);
    if (this.addresses.some(same)) throw new RtnlError(k.RTM_NEWADDR, ERRNO.EEXIST);
    const scope = local.startsWith('fe80') ? k.RT_SCOPE_LINK : 0;
    const lives = { preferredLft: 0xffffffff, validLft: 0xffffffff, flags: k.IFA_F_PERMANENT };
    this.addresses.push({ family, ifindex, prefixlen, local, address: local, scope, ...lives, ...more });
  }

  delAddress(ifindex: number, local: string, prefixlen?: number): void {
    const isIt = (a: Address) =>
      a.ifindex === ifindex && a.local === local && (prefixlen ?? a.prefixlen) === a.prefixlen;
    this.addresses = this.addresses.filter((a) => !isIt(a));
  }

  #cameUp(link: Link): void {
    if (link.addrGenMode !== k.IN6_ADDR_GEN_MODE_EUI64 || link.kind === 'vrf') return;
    this.delAddress(link.ifindex, 'fe80::fe:ff:fe00:1');
    this.addAddress(link.ifindex, 'fe80::fe:ff:fe00:1', 64, { proto: k.IFAPROT_KERNEL_LL });
  }

  #flush6(ifindex: number): void {
    this.addresses = this.addresses.filter((a) => a.ifindex !== ifindex || a.family !== 10);
  }

  #enslave(link: Mutable<Link>, master: number): void {
    if (master === 0) delete link.master;
    else link.master = master;
    if ((link.flags & k.IFF_UP) === 0) return;
    this.#flush6(link.ifindex);
    this.#cameUp(link);
  }

  setUp(link: Mutable<Link>, up: boolean): void {
    if (up === ((link.flags & k.IFF_UP) !== 0)) return;
    link.flags = up ? link.flags | k.IFF_UP : link.flags & ~k.IFF_UP;
    if (up) this.#cameUp(link);
    else this.#flush6(link.ifindex);
  }

  do(step: CnfStep): void {
    switch (step.what) {
      case 'vrf': {
        if (this.links.some(({ name }) => name === step.name)) throw new RtnlError(k.RTM_NEWLINK, ERRNO.EEXIST);
        const info = { vrf: { table: step.table } };
        this.add(step.name, { kind: 'vrf', info, alias: VRF_MARK, flags: k.IFF_UP });
        return;
      }
      case 'set': {
        const link = this.links.find(({ ifindex }) => ifindex === step.ifindex);
        if (link === undefined) throw new RtnlError(k.RTM_NEWLINK, ERRNO.ENODEV);
        const { up, master, ...rest } = step.change;
        Object.assign(link, rest);
        if (master !== undefined) this.#enslave(link, master);
        if (up !== undefined) this.setUp(link, up);
        return;
      }
      case 'add':
        this.addAddress(step.address.ifindex, step.address.local, step.address.prefixlen);
        return;
      case 'remove':
        this.delAddress(step.address.ifindex, step.address.local, step.address.prefixlen);
        return;
      case 'delete':
        this.del(step.ifindex);
    }
  }

  /** What matters at the end, a line each. */
  text(): string[] {
    const nameOf = (ifindex: number | undefined) => this.links.find((link) => link.ifindex === ifindex)?.name;
    return this.links
      .map((link) => {
        const of = this.addresses.filter(({ ifindex }) => ifindex === link.ifindex);
        const addresses = of.map(({ local, prefixlen }) => `${local}/${prefixlen}`).sort();
        const master = link.master === undefined ? [] : [`in ${nameOf(link.master)}`];
        const state = (link.flags & k.IFF_UP) === 0 ? 'down' : 'up';
        const own = link.kind === 'vrf' ? [`table ${link.info?.vrf?.table}`] : [link.mac, `mtu ${link.mtu}`];
        return [link.name, state, ...own, ...master, ...addresses].join(' ');
      })
      .sort();
  }
}

export class FakeKernel implements CnfKernel {
  readonly #namespaces = new Map<string, FakeNetns>();
  readonly #listeners = new Set<{ readonly ns: FakeNetns; readonly onNotice: () => void }>();
  #onName: (netns: string) => void = () => undefined;
  /** Whether it tells of names that mean another namespace. */
  tells = true;
  /** 'netns: text' of every request, those refused with '!' in front. */
  readonly requests: string[] = [];
  /** Names of namespaces, one for each reading. */
  readonly readings: string[] = [];
  /** Namespaces opened and not closed. */
  get opened(): number {
    return this.#listeners.size;
  }
  /** errno of a refusal, or an error that is none; the number counts all requests from 0. */
  refuse: (step: CnfStep, count: number) => number | Error | undefined = () => undefined;
  /** Whether a reading comes to its end. */
  readable: () => boolean = () => true;
  #count = 0;

  addNetns(name: string, identity: string): FakeNetns {
    const ns = new FakeNetns(identity);
    this.#namespaces.set(name, ns);
    if (this.tells) this.#onName(name);
    return ns;
  }

  delNetns(name: string): void {
    this.#namespaces.delete(name);
    if (this.tells) this.#onName(name);
  }

  /** Tells that something changed. */
  notice(ns: FakeNetns): void {
    for (const listener of [...this.#listeners]) if (listener.ns === ns) listener.onNotice();
  }

  identity(netns: string): string | undefined {
    return this.#namespaces.get(netns)?.identity;
  }

  names(): string[] {
    return [...this.#namespaces.keys()].filter((name) => name !== '');
  }

  watch(onChange: (netns: string) => void): { close(): void } {
    this.#onName = onChange;
    return { close: () => undefined };
  }

  open(netns: string, onNotice: () => void): CnfSession {
    const ns = this.#namespaces.get(netns);
    if (ns === undefined) throw new Error(`no ${netns}`);
    const listener = { ns, onNotice };
    this.#listeners.add(listener);
    return {
      read: async (): Promise<CnfView | undefined> => {
        this.readings.push(netns);
        await undefined;
        return this.readable() ? { links: ns.links.map((l) => ({ ...l })), addresses: [...ns.addresses] } : undefined;
      },
      do: async (step) => {
        await undefined;
        const refusal = this.refuse(step, this.#count++);
        this.requests.push(`${refusal === undefined ? '' : '!'}${netns}: ${step.text}`);
        if (refusal instanceof Error) throw refusal;
        if (refusal !== undefined) throw new RtnlError(k.RTM_NEWLINK, refusal, 'told so');
        ns.do(step);
        this.notice(ns);
      },
      close: () => this.#listeners.delete(listener),
    };
  }
}
