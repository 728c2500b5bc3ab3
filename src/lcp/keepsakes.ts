// Keepsakes: what the kernel has on a host, kept for the time after a data plane that takes its hosts along when it ends.
//
// linux_cp's TAPs are of VPP's process: they vanish with it, and with them addresses, VLAN devices and permanent
// neighbours that somebody configured once. The kernel tells their end like any other, a moment before the device's.
// So an end counts only once the host has outlived it by a second; what had gone later than that is given back.
// Routes are left to whoever made them: FRR and BIRD put theirs back as soon as the address is there.

import type { Address } from '../netlink/address.ts';
import type { Link, VlanInfo } from '../netlink/link.ts';
import { type Neighbour, NUD_VALID } from '../netlink/neighbour.ts';
import * as k from '../netlink/uapi.ts';
import type { Namespace } from './namespace.ts';

/** How long the host must outlive an end for it to count, in ms. */
export const OUTLIVED_MS = 1000;

/** A device that is to be as it was: the host, or a VLAN device above it. */
export interface KeptDevice {
  readonly name: string;
  /** Device below it; '' for the host itself. */
  readonly below: string;
  readonly vlan?: VlanInfo;
  readonly up: boolean;
  readonly mtu: number;
  /** Name of the VRF, bridge or bond that it belonged to, '' for none. */
  readonly master: string;
}

export interface Keepsake {
  readonly netns: string;
  /** The host first, every other one behind that below it. */
  readonly devices: readonly KeptDevice[];
  /** With the name of the device in the place of its index; in the order of their making. */
  readonly addresses: readonly (readonly [device: string, address: Address])[];
  readonly neighbours: readonly (readonly [device: string, neighbour: Neighbour])[];
}

/** Something that was seen on a host. */
interface Item<T> {
  value: T;
  /** What it was before it changed, and when that was; a change shortly before the end is the end. */
  before: T;
  changedAt: number;
  /** When it was not seen any more. */
  goneAt: number | undefined;
}

interface Kept {
  readonly netns: string;
  readonly ifindex: number;
  readonly devices: Map<string, Item<KeptDevice>>;
  readonly addresses: Map<string, Item<readonly [string, Address]>>;
  readonly neighbours: Map<string, Item<readonly [string, Neighbour]>>;
}

const deviceOf = (ns: Namespace, link: Link, below: string): KeptDevice => ({
  name: link.name,
  below,
  ...(link.info?.vlan === undefined ? {} : { vlan: link.info.vlan }),
  up: (link.flags & k.IFF_UP) !== 0,
  mtu: link.mtu,
  master: link.master === undefined ? '' : (ns.links.get(link.master)?.name ?? ''),
});

/** The host and the VLAN devices on it, each behind that below it. */
function devicesOn(ns: Namespace, host: Link): [Link, KeptDevice][] {
  const found: [Link, KeptDevice][] = [[host, deviceOf(ns, host, '')]];
  for (let i = 0; i < found.length; i++) {
    const [below] = found[i] as [Link, KeptDevice];
    for (const link of ns.links.values()) {
      if (link.kind !== 'vlan' || link.link !== below.ifindex || link.linkNetnsid !== undefined) continue;
      found.push([link, deviceOf(ns, link, below.name)]);
    }
  }
  return found;
}

/** Brings what was kept up to what is seen now. */
function follow<T>(kept: Map<string, Item<T>>, seen: ReadonlyMap<string, T>, now: number): void {
  for (const [key, value] of seen) {
    const item = kept.get(key);
    if (item === undefined) kept.set(key, { value, before: value, changedAt: now, goneAt: undefined });
    else {
      item.goneAt = undefined;
      if (JSON.stringify(item.value) === JSON.stringify(value)) continue;
      if (now - item.changedAt > OUTLIVED_MS) item.before = item.value;
      item.changedAt = now;
      item.value = value;
    }
  }
  for (const [key, item] of kept) if (!seen.has(key)) item.goneAt ??= now;
  outlive(kept, now);
}

/** Drops what the host has outlived. */
function outlive<T>(kept: Map<string, Item<T>>, now: number): void {
  for (const [key, item] of kept) if (item.goneAt !== undefined && now - item.goneAt > OUTLIVED_MS) kept.delete(key);
}

const valuesAt = <T>(kept: ReadonlyMap<string, Item<T>>, now: number): T[] =>
  [...kept.values()].map((item) => (now - item.changedAt > OUTLIVED_MS ? item.value : item.before));

export class Keepsakes {
  readonly #now: () => number;
  readonly #kept = new Map<string, Kept>();
  /** When the data plane was lost, undefined while it is there. */
  #lostAt: number | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Sees a phy's host as it is now. A host that is not there is no news. */
  see(phy: string, ns: Namespace, ifindex: number): void {
    const host = ns.links.get(ifindex);
    if (host === undefined) return;
    this.#lostAt = undefined;
    const now = this.#now();
    let kept = this.#kept.get(phy);
    if (kept === undefined || kept.netns !== ns.name || kept.ifindex !== ifindex) {
      kept = { netns: ns.name, ifindex, devices: new Map(), addresses: new Map(), neighbours: new Map() };
      this.#kept.set(phy, kept);
    }
    const devices = devicesOn(ns, host);
    const nameOf = new Map(devices.map(([link]) => [link.ifindex, link.name]));
    const addresses = new Map<string, readonly [string, Address]>();
    for (const a of ns.addresses.values()) {
      const name = nameOf.get(a.ifindex);
      if (name !== undefined) addresses.set(`${name} ${a.local}/${a.prefixlen} ${a.address}`, [name, a]);
    }
    const neighbours = new Map<string, readonly [string, Neighbour]>();
    for (const n of ns.neighbours.values()) {
      const name = nameOf.get(n.ifindex);
      if (name === undefined || (n.state & k.NUD_PERMANENT) === 0 || (n.state & NUD_VALID) === 0) continue;
      neighbours.set(`${name} ${n.dst}`, [name, n]);
    }
    follow(kept.devices, new Map(devices.map(([, device]) => [device.name, device])), now);
    follow(kept.addresses, addresses, now);
    follow(kept.neighbours, neighbours, now);
  }

  /** The data plane was lost: what had gone long before stays gone. */
  lost(): void {
    this.#lostAt ??= this.#now();
    for (const kept of this.#kept.values()) {
      for (const items of [kept.devices, kept.addresses, kept.neighbours]) {
        outlive(items as Map<string, Item<unknown>>, this.#lostAt);
      }
    }
  }

  /** A phy has got a host: what another one before it had; undefined when it is the same one, or the first. */
  take(phy: string, netns: string, ifindex: number): Keepsake | undefined {
    const kept = this.#kept.get(phy);
    if (kept === undefined) return undefined;
    if (kept.netns === netns && kept.ifindex === ifindex && this.#lostAt === undefined) return undefined;
    this.#kept.delete(phy);
    if (kept.netns !== netns) return undefined;
    const now = this.#lostAt ?? this.#now();
    return {
      netns,
      devices: valuesAt(kept.devices, now),
      addresses: valuesAt(kept.addresses, now),
      neighbours: valuesAt(kept.neighbours, now),
    };
  }

  /** Its pair is gone by wish. */
  forget(phy: string): void {
    this.#kept.delete(phy);
  }
}
