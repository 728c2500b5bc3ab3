// Pairs: what the configuration says, joined with what exists, and the way from a host to its phy.
//
// A pair is *pending* with a reason while its phy or namespace does not exist. Once made, its host
// stays when the phy goes (without carrier), so that addresses and sessions wait for the phy.
// A host is known by the ifindex the data plane answered, or after a restart by the alias that every
// host carries ("lcpd PHY"): names may change, the kernel's index within a namespace may not.

import type { Link } from '../netlink/link.ts';
import type { PhySource } from './dataplane.ts';
import type { Namespace } from './namespace.ts';
import type { HostType, Pair } from './objects.ts';

export interface PairSpec {
  readonly phy: string;
  readonly host: string;
  /** '' is lcpd's own namespace. */
  readonly netns: string;
  readonly type: HostType;
}

export const hostAlias = (phy: string): string => `lcpd ${phy}`;

/** Of the TAPs of interconnects, by which data planes find theirs: 'lcpd punt NAME'. */
const WIRE_ALIAS = 'lcpd punt ';

/** Whether it is the CNF's device of an interconnect. */
export const isWire = ({ kind, alias }: Link): boolean => kind === 'tun' && alias?.startsWith(WIRE_ALIAS) === true;

/** The phy whose host this link is, '' when it is none of ours. */
export const phyOfAlias = ({ kind, alias }: Link): string =>
  kind === 'tun' && alias?.startsWith('lcpd ') === true && !alias.startsWith(WIRE_ALIAS) ? alias.slice(5) : '';

/** What becomes of a route none of whose legs leaves by a pair. */
export type UnpairedRoutes = 'punt' | 'drop' | 'ignore';

export interface PairOutcome {
  readonly desired: Pair | undefined;
  /** Why there is none, or why it is detached. */
  readonly reason: string;
}

export class Pairs {
  readonly #specs = new Map<string, PairSpec>();
  readonly #hostOf = new Map<string, number>();
  readonly #netnsOf = new Map<string, string>();
  readonly #phyOf = new Map<string, string>();
  readonly #reasons = new Map<string, string>();
  unpairedRoutes: UnpairedRoutes = 'punt';

  /** The pairs to be; returns the phys whose specification came, went or changed. */
  configure(specs: readonly PairSpec[]): string[] {
    const changed: string[] = [];
    const next = new Map(specs.map((s) => [s.phy, s]));
    for (const phy of this.#specs.keys()) if (!next.has(phy)) changed.push(phy);
    for (const [phy, spec] of next) {
      const old = this.#specs.get(phy);
      if (old === undefined || JSON.stringify(old) !== JSON.stringify(spec)) changed.push(phy);
    }
    this.#specs.clear();
    for (const [phy, spec] of next) this.#specs.set(phy, spec);
    return changed;
  }

  spec(phy: string): PairSpec | undefined {
    return this.#specs.get(phy);
  }
  specs(): Iterable<PairSpec> {
    return this.#specs.values();
  }
  reason(phy: string): string {
    return this.#reasons.get(phy) ?? '';
  }

  /**
   * Joins a phy with the host that the data plane made for it, or a sub-interface with its VLAN device;
   * 0 parts them. Returns the former host.
   */
  join(phy: string, netns: string, hostIfindex: number): number {
    const before = this.#hostOf.get(phy) ?? 0;
    if (before !== 0) this.#phyOf.delete(`${this.#netnsOf.get(phy)} ${before}`);
    if (hostIfindex === 0) {
      this.#hostOf.delete(phy);
      this.#netnsOf.delete(phy);
    } else {
      this.#hostOf.set(phy, hostIfindex);
      this.#netnsOf.set(phy, netns);
      this.#phyOf.set(`${netns} ${hostIfindex}`, phy);
    }
    return before;
  }

  /** Ifindex of a phy's host, or of the VLAN device of a sub-interface; 0 when it has none. */
  host(phy: string): number {
    return this.#hostOf.get(phy) ?? 0;
  }

  /** The kernel interface of a phy or sub-interface, undefined when it has none. */
  device(phy: string): { netns: string; ifindex: number } | undefined {
    const ifindex = this.host(phy);
    if (ifindex === 0) return undefined;
    return { netns: this.#netnsOf.get(phy) ?? '', ifindex };
  }

  /** The phy behind a host interface, '' when it is no host. */
  phy(netns: string, ifindex: number): string {
    return this.#phyOf.get(`${netns} ${ifindex}`) ?? '';
  }

  /** What should be of a phy's pair. */
  derive(phy: string, phys: PhySource, namespaces: ReadonlyMap<string, Namespace>): PairOutcome {
    const outcome = this.#outcome(phy, phys, namespaces);
    if (outcome.reason === '') this.#reasons.delete(phy);
    else this.#reasons.set(phy, outcome.reason);
    return outcome;
  }

  #outcome(phy: string, phys: PhySource, namespaces: ReadonlyMap<string, Namespace>): PairOutcome {
    const spec = this.#specs.get(phy);
    if (spec === undefined) return { desired: undefined, reason: '' };
    const ns = namespaces.get(spec.netns);
    if (ns === undefined || ns.state === 'absent') {
      return { desired: undefined, reason: `network namespace ${spec.netns} does not exist` };
    }
    const base = {
      kind: 'pair',
      phy,
      host: spec.host,
      netns: spec.netns,
      netnsId: ns.identity,
      type: spec.type,
    } as const;
    const wire = phys.byName(phy);
    const missing =
      wire === undefined
        ? `phy ${phy} does not exist`
        : spec.type === 'tap' && !wire.ethernet
          ? `phy ${phy} is no Ethernet device: it needs type: tun`
          : spec.type === 'tun' && wire.ethernet
            ? `phy ${phy} is an Ethernet device: it needs type: tap`
            : '';
    if (missing === '' && wire !== undefined) return { desired: { ...base, phyIfindex: wire.ifindex }, reason: '' };
    // the host that exists waits for its phy; without one there is nothing to keep
    const exists = [...ns.links.values()].some((l) => phyOfAlias(l) === phy);
    return { desired: exists ? { ...base, phyIfindex: 0 } : undefined, reason: missing };
  }
}
