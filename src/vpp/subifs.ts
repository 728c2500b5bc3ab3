// Subifs: tagged sub-interfaces of pairs, and what names stand for which interface of VPP.
//
// Invariants: a sub-interface is told by its parent and its tags; VPP names it by a number, the core by its tags, so that
// names of the core are translated here and nowhere else. VPP matches the tags exactly, which it needs to route.
// Reference: VPP's src/vnet/ethernet/interface.c, subif.

import type { HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Subif } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { subIfFlags } from './api/interfacetypes.ts';
import { createSubif, deleteSubif } from './api/subinterface.ts';
import type { VppClient } from './client.ts';
import type { Interface, Interfaces } from './interfaces.ts';
import type { Pairs } from './pairs.ts';

const DOT1Q = 0x8100;
const DOT1AD = 0x88a8;
const MAX_VLAN = 4094;
const { SUB_IF_API_FLAG_ONE_TAG: ONE_TAG, SUB_IF_API_FLAG_TWO_TAGS: TWO_TAGS } = subIfFlags.values;
const { SUB_IF_API_FLAG_DOT1AD: OUTER_AD, SUB_IF_API_FLAG_EXACT_MATCH: EXACT } = subIfFlags.values;

const tpid = (tag: number): number => Math.floor(tag / 0x1_0000);
const vlan = (tag: number): number => tag % 0x1_0000;

/** What the core names a sub-interface: its parent and the tags. */
const nameOf = (parent: string, tags: readonly number[]): string =>
  [parent, ...tags.map((tag) => (tpid(tag) === DOT1AD ? `ad${vlan(tag)}` : `${vlan(tag)}`))].join('.');

/** VPP's number of a sub-interface, which its name ends with: the VLAN, or both in decimal behind each other. */
const subIdOf = ([outer = 0, inner]: readonly number[]): number => {
  const kind = tpid(outer) === DOT1AD ? 1_000_000_000 : 0;
  return kind + (inner === undefined ? vlan(outer) : vlan(outer) * 10_000 + vlan(inner));
};

export class Subifs {
  readonly #client: VppClient;
  readonly #interfaces: Interfaces;
  readonly #pairs: Pairs;
  /** What the core asked for, by its name. */
  readonly #asked = new Map<string, Subif>();

  constructor(client: VppClient, interfaces: Interfaces, pairs: Pairs) {
    this.#client = client;
    this.#interfaces = interfaces;
    this.#pairs = pairs;
  }

  #find(parent: string, tags: readonly number[]): Interface | undefined {
    const index = this.#interfaces.byName(parent)?.ifindex;
    for (const each of this.#interfaces.all()) {
      if (each.parent === index && each.ifindex !== index && each.tags.join() === tags.join()) return each;
    }
    return undefined;
  }

  /** The interface that a name of the core stands for. */
  interface(phy: string): Interface | undefined {
    const asked = this.#asked.get(phy);
    if (asked !== undefined) return this.#find(asked.parent, asked.tags);
    const named = this.#interfaces.byName(phy);
    if (named !== undefined && named.parent === named.ifindex) return named;
    for (const each of this.#interfaces.all()) if (this.phyOf(each) === phy) return each;
    return undefined;
  }

  /** The core's name of an interface, undefined when there is none. */
  name(ifindex: number): string | undefined {
    const found = this.#interfaces.get(ifindex);
    return found === undefined ? undefined : this.phyOf(found);
  }

  phyOf(of: Interface): string {
    if (of.parent === of.ifindex) return of.name;
    const parent = this.#interfaces.get(of.parent)?.name ?? '';
    const tagged = of.tags.join();
    const usual = nameOf(parent, of.tags);
    const asked = this.#asked.get(usual);
    if (asked?.parent === parent && asked.tags.join() === tagged) return usual;
    for (const { phy, parent: name, tags } of this.#asked.values()) {
      if (name === parent && tags.join() === tagged) return phy;
    }
    return usual;
  }

  /** The core's names of all interfaces that VPP has: hosts by their phys, `isHost`. By sw_if_index. */
  owners(): Map<number, { readonly phy: string; readonly isHost: boolean }> {
    const hosts = this.#pairs.hosts();
    return new Map(
      [...this.#interfaces.all()].map((each) => {
        const phy = this.#interfaces.get(hosts.get(each.ifindex) ?? 0);
        return [each.ifindex, { phy: this.phyOf(phy ?? each), isHost: phy !== undefined }];
      }),
    );
  }

  /** Sub-interfaces of pairs. Whose they are VPP does not tell: with a pair the control plane's VLAN devices are. */
  held(): HeldObject[] {
    const held: HeldObject[] = [];
    for (const each of this.#interfaces.all()) {
      if (each.parent === each.ifindex || each.tags.length === 0 || !this.#isOurs(each)) continue;
      const parent = this.#interfaces.get(each.parent);
      const pair = this.#pairs.held().find(({ object }) => object.kind === 'pair' && object.phy === parent?.name);
      if (parent === undefined || pair?.object.kind !== 'pair') continue;
      const { netns } = pair.object;
      held.push({ object: { kind: 'subif', phy: this.phyOf(each), parent: parent.name, tags: each.tags, netns } });
    }
    return held;
  }

  /** One that was asked for, or that has the number that we give. */
  #isOurs(of: Interface): boolean {
    return this.#asked.has(this.phyOf(of)) || of.subId === subIdOf(of.tags);
  }

  async set(subif: Subif): Promise<OperationResult> {
    const refuse = (message: string): never => {
      throw new LcpError('PORT_REFUSED', { op: 'make sub-interface', key: subif.phy, message });
    };
    const parent = this.#interfaces.byName(subif.parent);
    if (parent === undefined || !this.#pairs.has(subif.parent)) return refuse(`${subif.parent} has no pair`);
    const { tags } = subif;
    const [outer = 0, inner] = tags;
    if (tags.length < 1 || tags.length > 2) return refuse(`${tags.length} tags`);
    if (![DOT1Q, DOT1AD].includes(tpid(outer)) || (inner !== undefined && tpid(inner) !== DOT1Q))
      return refuse('VPP knows only 802.1Q and 802.1ad, the latter outside');
    if (tags.some((tag) => vlan(tag) < 1 || vlan(tag) > MAX_VLAN)) return refuse('a VLAN id is from 1 to 4094');
    const there = this.#find(subif.parent, tags);
    if (there !== undefined && this.phyOf(there) !== subif.phy && this.#asked.has(this.phyOf(there)))
      return refuse(`${this.phyOf(there)} has the same tags`);
    const before = this.#asked.get(subif.phy);
    if (before !== undefined && before.tags.join() !== tags.join()) await this.delete(before);
    this.#asked.set(subif.phy, subif);
    if (there !== undefined) return { ok: true };
    try {
      await this.#make(parent.ifindex, subif.phy, tags);
    } catch (error) {
      this.#asked.delete(subif.phy);
      throw error;
    }
    return { ok: true };
  }

  /** The sub-interface of a host that a sub-interface of its phy is joined with; its name in VPP. */
  async hostSide(of: Interface): Promise<string> {
    const host = this.#pairs.row(of.parent)?.host_sw_if_index;
    const parent = host === undefined ? undefined : this.#interfaces.get(host);
    if (parent === undefined)
      throw new LcpError('PORT_REFUSED', { op: 'make sub-interface', key: this.phyOf(of), message: 'no host' });
    if (this.#find(parent.name, of.tags) === undefined) await this.#make(parent.ifindex, this.phyOf(of), of.tags);
    return this.#find(parent.name, of.tags)?.name ?? '';
  }

  async #make(sw_if_index: number, phy: string, tags: readonly number[]): Promise<void> {
    const [outer = 0, inner] = tags;
    await this.#client.request(
      createSubif,
      {
        sw_if_index,
        sub_id: subIdOf(tags),
        sub_if_flags: EXACT | (inner === undefined ? ONE_TAG : TWO_TAGS) | (tpid(outer) === DOT1AD ? OUTER_AD : 0),
        outer_vlan_id: vlan(outer),
        inner_vlan_id: inner === undefined ? 0 : vlan(inner),
      },
      { key: phy },
    );
    await this.#interfaces.refresh();
  }

  /** Removes a sub-interface with its pair. */
  async delete(subif: Subif): Promise<OperationResult> {
    const there = this.interface(subif.phy);
    this.#asked.delete(subif.phy);
    if (there === undefined || there.parent === there.ifindex) return { ok: true };
    const host = this.#pairs.row(there.ifindex)?.host_sw_if_index;
    await this.#pairs.deleteSub(there.ifindex, subif.phy);
    // linux_cp takes the host's with the pair, one that we made stays
    for (const sw_if_index of [there.ifindex, host]) {
      if (sw_if_index === undefined || this.#interfaces.get(sw_if_index) === undefined) continue;
      await this.#client.request(deleteSubif, { sw_if_index }, { key: subif.phy, accept: [-2] });
    }
    await this.#interfaces.refresh();
    return { ok: true };
  }

  /** Names of the sub-interfaces of a phy that are ours. */
  of(parent: string): readonly Subif[] {
    return this.held().flatMap(({ object }) => (object.kind === 'subif' && object.parent === parent ? [object] : []));
  }

  /** Whether a name stands for a phy with a pair, or for a sub-interface of one. */
  isUsable(phy: string): boolean {
    const found = this.interface(phy);
    if (found === undefined) return false;
    return this.#pairs.has(this.#interfaces.get(found.parent)?.name ?? '');
  }
}
