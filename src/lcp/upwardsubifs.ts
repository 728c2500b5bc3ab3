// UpwardSubifs: sub-interfaces that somebody makes in the data plane get a VLAN device in the kernel, and end with theirs.
//
// A sub-interface is known by its parent and its tags on both sides. Its device is named as VPP's operators expect,
// HOST.SUB-ID, on the host of the parent; one with two tags is on the device of the outer one, which must be there. What is
// then made of the device is the same as of any other VLAN device. One whose parent is away is neither made nor removed.

import { IFF_UP } from '../netlink/uapi.ts';
import type { Seen, SeenSource } from './dataplane.ts';
import type { Namespace } from './namespace.ts';
import type { FoundSubif } from './subifs.ts';
import type { Threeway } from './threeway.ts';
import type { KernelWrite, UpwardParts } from './upward.ts';

const THERE = 'there';
/** Longest name of a Linux interface, in bytes. */
const NAME_BYTES = 15;

/** Keys and values that a write touches besides, and leaves as they were. */
export type Besides = readonly (readonly [key: string, value: string])[];

export type Send = (
  key: string,
  kernel: string,
  own: string,
  written: string,
  write: KernelWrite,
  besides?: Besides,
) => void;

/** What one sub-interface is on both sides. */
interface Sides {
  readonly phy: string;
  readonly parent: string;
  readonly ns: Namespace;
  readonly seen: Seen | undefined;
  readonly found: FoundSubif | undefined;
  /** What its device is to be on: the host, or the device of an outer tag. */
  readonly below: number | 'host' | 'later' | 'none';
}

const keyOf = (parent: string, phy: string): string => `${parent} subif ${phy}`;

export class UpwardSubifs {
  readonly #parts: UpwardParts;
  readonly #values: Threeway;
  readonly #send: Send;
  /** Names of those that the data plane has and the kernel is to get. */
  readonly #kept = new Set<string>();

  constructor(parts: UpwardParts, values: Threeway, send: Send) {
    this.#parts = parts;
    this.#values = values;
    this.#send = send;
  }

  keeps(phy: string): boolean {
    return this.#kept.has(phy);
  }

  /** The data plane was read. One that it has joined with a host had a device, whatever became of that meanwhile. */
  adopted(): void {
    for (const [phy, { parent, paired }] of this.#parts.seen()?.all() ?? []) {
      if (parent !== '' && paired) this.#values.programmed(keyOf(parent, phy), THERE, THERE);
    }
  }

  /** Looks at all of them; without a source at none. */
  review(source: SeenSource | undefined, subifsOf: (ns: Namespace) => ReadonlyMap<string, FoundSubif>): void {
    this.#kept.clear();
    if (source === undefined) return;
    const { pairs, namespaces } = this.#parts;
    for (const { phy: parent, netns, type } of pairs.specs()) {
      const ns = namespaces.get(netns);
      if (ns === undefined || type !== 'tap' || pairs.host(parent) === 0) continue;
      if (source.get(parent) === undefined || !ns.links.has(pairs.host(parent))) continue;
      const own = new Map<string, Seen>();
      for (const [phy, seen] of source.all()) if (seen.parent === parent && seen.tags.length > 0) own.set(phy, seen);
      const devices = new Map([...subifsOf(ns)].filter(([, { object }]) => object.parent === parent));
      const prefix = keyOf(parent, '');
      const known = [...this.#values.keys(prefix)].map((key) => key.slice(prefix.length));
      for (const phy of new Set([...own.keys(), ...devices.keys(), ...known])) {
        const outer = phy.slice(0, phy.lastIndexOf('.'));
        // the device of an outer one that is there will come
        const below = outer === parent ? 'host' : (devices.get(outer)?.ifindex ?? (own.has(outer) ? 'later' : 'none'));
        this.#review({ phy, parent, ns, seen: own.get(phy), found: devices.get(phy), below });
      }
    }
  }

  #review(sides: Sides): void {
    const { phy, parent, ns, seen, found } = sides;
    const [kernel, own] = [found === undefined ? '' : THERE, seen === undefined ? '' : THERE];
    const key = keyOf(parent, phy);
    const verdict = this.#values.judge(key, kernel, own, this.#parts.now(), '');
    if (seen !== undefined && (verdict === 'up' || verdict === 'wait')) this.#kept.add(phy);
    if (verdict !== 'up' || ns.state !== 'in-sync') return;
    if (seen !== undefined) this.#make(key, sides, seen);
    else if (found !== undefined) {
      const name = ns.links.get(found.ifindex)?.name;
      this.#send(key, kernel, own, '', {
        netns: ns.name,
        ifindex: found.ifindex,
        text: `without ${name}`,
        what: 'delete',
      });
    }
  }

  #make(key: string, sides: Sides, seen: Seen): void {
    const { phy, parent, ns } = sides;
    const host = this.#parts.pairs.host(parent);
    const name = `${ns.links.get(host)?.name}.${seen.subId}`;
    const below = sides.below === 'host' ? host : sides.below;
    if (below === 'later') return;
    const refuse = (reason: string): void => {
      const text = `VLAN device ${name} for ${phy}`;
      if (this.#values.refused(key, '', THERE, `${text}: ${reason}`, this.#parts.now()))
        this.#parts.told('refused', text, reason);
    };
    if (below === 'none') {
      refuse('there is no sub-interface with the outer tag alone, on whose VLAN device it could be: make that, too');
      return;
    }
    if (Buffer.byteLength(name) > NAME_BYTES) {
      refuse(`the name has more than ${NAME_BYTES} bytes: choose a shorter host or a smaller sub-id`);
      return;
    }
    if ([...ns.links.values()].some((link) => link.name === name)) {
      refuse(`namespace ${ns.name || "(lcpd's own)"} has another interface of that name`);
      return;
    }
    const tag = seen.tags.at(-1) ?? 0;
    // a device is only up while that below it is
    const up = seen.up && ((ns.links.get(below)?.flags ?? 0) & IFF_UP) !== 0;
    const vlan = { id: tag & 0xfff, protocol: tag >>> 16, name, up };
    this.#send(key, '', THERE, THERE, { netns: ns.name, ifindex: below, text: `new ${name}`, what: 'vlan', ...vlan });
  }
}
