// derive: from all requests, in the order of their age, to what data plane and CNFs should have.
//
//   request ─► draft (alone) ─► links (shared or refused) ─► claims ─► objects, merged where several ask for one
//
// Pure but for the numbers, which are kept in Allocations. Who came first wins; who is refused is looked at anew in every
// pass, so its turn comes by itself. Nothing of a request is made unless all of it can be.

import { isDeepStrictEqual } from 'node:util';
import { type AclRule, type Interconnect, PLAIN_INTERCONNECT, type Punt, puntKey } from '../lcp/puntobjects.ts';
import { formatIp, ipBytes, parsePrefix } from '../lib/ip.ts';
import type { Allocations } from './allocations.ts';
import { type Draft, Obstacles } from './draft.ts';
import { draftAbx, draftDhcpProxy, draftHairpin, draftHairpinXconnect, draftIsisx, draftSpan } from './draftlinks.ts';
import { draftMatch, draftPolice, draftRedirect } from './draftmatches.ts';
import type { PuntEnv } from './env.ts';
import { Interconnects, type Link } from './interconnects.ts';
import { idText, type PuntRequest } from './request.ts';

/** A device in a CNF's namespace, as it should be; the data plane makes it. */
export interface CnfDevice {
  readonly netns: string;
  readonly netnsId: string;
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** 'address/length' */
  readonly addresses: readonly string[];
  /** Device and table of its VRF. */
  readonly vrf: { readonly name: string; readonly table: number } | undefined;
}

/** An interconnect that the control plane is to have as an interface: its pair, and what its host is given. */
export interface RoutedEnd {
  readonly phy: string;
  /** Namespace of the host. */
  readonly netns: string;
  readonly mac: string;
  readonly addresses: readonly string[];
  readonly table: number;
  readonly mtu: number;
}

export interface Plan {
  readonly id: string;
  /** ready: all of it is among the objects below. */
  readonly state: 'ready' | 'pending' | 'busy' | 'refused';
  readonly reasons: readonly string[];
  readonly hint: string;
  /** What keeps packets from it though it is ready. */
  readonly notes: readonly string[];
  readonly links: readonly Link[];
  /** Names of interconnects, keys of punts. */
  readonly interconnects: readonly string[];
  readonly punts: readonly string[];
}

export interface Derived {
  readonly plans: ReadonlyMap<string, Plan>;
  readonly interconnects: ReadonlyMap<string, Interconnect>;
  readonly punts: ReadonlyMap<string, Punt>;
  readonly devices: readonly CnfDevice[];
  readonly routed: readonly RoutedEnd[];
  /** Whether the kept numbers are others than before. */
  readonly renumbered: boolean;
}

function draftOf(request: PuntRequest, o: Obstacles, allocations: Allocations): Draft {
  const { spec } = request;
  switch (spec.type) {
    case 'to-host':
    case 'ip-protocol':
    case 'icmp6':
    case 'exception':
      return draftMatch(spec, o);
    case 'ip-redirect':
      return draftRedirect(spec, o);
    case 'police':
      return draftPolice(spec, o);
    case 'hairpin-xconnect':
      return draftHairpinXconnect(spec, request, o, allocations);
    case 'hairpin':
      return draftHairpin(spec, request, o, allocations);
    case 'span':
      return draftSpan(spec, request, o, allocations);
    case 'abx':
      return draftAbx(spec, request, o, allocations);
    case 'isisx':
      return draftIsisx(spec, request, o, allocations);
    case 'dhcp-proxy':
      return draftDhcpProxy(spec, request, o, allocations);
  }
}

/** First and last address of the subnet that 'address/length' is in. */
function subnetOf(address: string): readonly [string, string] {
  const { bytes, length } = parsePrefix(address) as { bytes: Uint8Array; length: number };
  const low = Uint8Array.from(bytes);
  const high = Uint8Array.from(bytes);
  for (let bit = length; bit < bytes.length * 8; bit++) {
    const [at, mask] = [bit >> 3, 0x80 >> (bit & 7)];
    low[at] = (low[at] as number) & ~mask;
    high[at] = (high[at] as number) | mask;
  }
  return [formatIp(low), formatIp(high)];
}

const mergeRules = (a: readonly AclRule[], b: readonly AclRule[]): AclRule[] => [
  ...a,
  ...b.filter((rule) => !a.some((other) => isDeepStrictEqual(rule, other))),
];

class Pass {
  readonly #env: PuntEnv;
  readonly #allocations: Allocations;
  readonly #shared = new Interconnects();
  /** Who has a punt of a key that one only may have: what it is there. */
  readonly #claims = new Map<string, { readonly punt: Punt; readonly id: string }>();
  readonly #plans = new Map<string, Plan>();
  readonly #interconnects = new Map<string, Interconnect>();
  readonly #punts = new Map<string, Punt>();
  readonly #readyLinks = new Set<Link>();

  constructor(env: PuntEnv, allocations: Allocations) {
    this.#env = env;
    this.#allocations = allocations;
  }

  request(request: PuntRequest): void {
    const id = idText(request.id);
    const obstacles = new Obstacles(this.#env);
    const draft = draftOf(request, obstacles, this.#allocations);
    const { waits, refusals, hint } = draft;
    const plan = { id, hint, notes: [], links: [], interconnects: [], punts: [] };
    if (refusals.length > 0) {
      this.#plans.set(id, { ...plan, state: 'refused', reasons: refusals });
      return;
    }
    const links = this.#shared.add(id, draft.wishes);
    if ('reason' in links) {
      this.#plans.set(id, { ...plan, state: links.busy ? 'busy' : 'refused', reasons: [links.reason] });
      return;
    }
    const twice = links.find((link) => this.#isTwice(link));
    if (twice !== undefined) {
      const { name } = twice.object;
      const reason = `${name} of the router and ${name} of the CNF would be in one namespace`;
      const advice = 'give the CNF a namespace of its own (netns), where no host of the router is';
      this.#plans.set(id, { ...plan, state: 'refused', reasons: [reason], hint: advice });
      return;
    }
    const punts = draft.punts(links);
    const taken = this.#claim(id, punts);
    if (taken !== undefined) {
      this.#plans.set(id, { ...plan, state: 'busy', reasons: [taken] });
      return;
    }
    if (waits.length > 0) {
      this.#plans.set(id, { ...plan, state: 'pending', reasons: [...new Set(waits)], links });
      return;
    }
    const bare = this.#openPhys(draft.uses);
    for (const link of links) {
      this.#interconnects.set(link.object.name, link.object);
      this.#readyLinks.add(link);
    }
    for (const punt of punts) this.#put(punt);
    this.#plans.set(id, {
      ...plan,
      state: 'ready',
      reasons: [],
      notes: [...this.#down(draft.uses), ...punts.flatMap((punt) => this.#env.plane.notes(punt))],
      links,
      interconnects: [...bare, ...links.map(({ object }) => object.name)],
      punts: punts.map(puntKey),
    });
  }

  /** Nobody but who owns it sets an interface up; a bare phy looks as if it were the punt's. */
  #down(uses: readonly string[]): string[] {
    return [...new Set(uses)].flatMap((name) => {
      const found = this.#env.interface(name);
      if (found === undefined || found.up) return [];
      if (found.paired) return [`interface ${name} is down, as its host is`];
      return [`phy ${name} is down, and in no pair whose host would set it up`];
    });
  }

  /** A packet's way to the router itself goes to one place; what has links has claimed by them. */
  #claim(id: string, punts: readonly Punt[]): string | undefined {
    const claims = punts.flatMap((punt): { key: string; punt: Punt; what: string }[] => {
      if (punt.feature === 'socket' || punt.feature === 'host') {
        const { match } = punt;
        // reasons are replicated: each feature by itself
        const key = puntKey(match.by === 'reason' ? punt : { kind: 'punt', feature: 'host', match });
        return [{ key, punt, what: `VPP selector vpp/punt-to-${punt.feature}/${puntKey(punt).split(' ')[1]}` }];
      }
      if (punt.feature === 'redirect' || punt.feature === 'police')
        return [{ key: puntKey(punt), punt, what: `VPP selector vpp/${puntKey(punt).replaceAll(' ', '/')}` }];
      return [];
    });
    for (const { key, punt, what } of claims) {
      const other = this.#claims.get(key);
      if (other !== undefined && !isDeepStrictEqual(other.punt, punt)) return `${what} is busy: ${other.id} has it`;
    }
    for (const { key, punt } of claims) if (!this.#claims.has(key)) this.#claims.set(key, { punt, id });
    return undefined;
  }

  /** Interfaces in no pair are opened where the data plane has none by itself. */
  #openPhys(uses: readonly string[]): string[] {
    if (!this.#env.plane.opensPhys) return [];
    return uses.flatMap((name) => {
      const { ifindex = 0, mac = '' } = this.#env.interface(name) ?? {};
      if (ifindex === 0) return [];
      this.#interconnects.set(name, {
        kind: 'interconnect',
        name,
        link: 'phy',
        ...PLAIN_INTERCONNECT,
        phyIfindex: ifindex,
        mac,
      });
      return [name];
    });
  }

  #put(punt: Punt): void {
    const key = puntKey(punt);
    const other = this.#punts.get(key);
    if (other?.feature === 'abx' && punt.feature === 'abx')
      this.#punts.set(key, { ...other, rules: mergeRules(other.rules, punt.rules) });
    else if (other?.feature === 'span' && punt.feature === 'span')
      this.#punts.set(key, { ...other, rx: other.rx || punt.rx, tx: other.tx || punt.tx });
    else this.#punts.set(key, punt);
  }

  /**
   * Whether a link's layer 3 is a pair on it. Where the CNF lives in the router's own namespace, the kernel has both ends of
   * the subnet, and routes by itself what is for either.
   */
  #isRouted({ wish }: Link): boolean {
    const { plane, netns, mirrored } = this.#env;
    if (!plane.opensPhys) return false;
    return wish.customName !== '' || (wish.addresses.length > 0 && wish.netnsId !== netns(mirrored));
  }

  /** Whether a link's device and the host of its layer 3 would be of one name and namespace. */
  #isTwice(link: Link): boolean {
    const { object, wish } = link;
    const there = this.#env.netns(this.#env.mirrored);
    return object.link === 'tap' && wish.netnsId === there && there !== undefined && this.#isRouted(link);
  }

  /** Who asks on an interconnect for what is behind the data plane is answered by it. */
  #proxies(): void {
    const { plane } = this.#env;
    for (const link of this.#readyLinks) {
      const { object, wish } = link;
      const whole = wish.lender === '' ? [] : wish.peerAddresses.map(subnetOf);
      // a data plane without interfaces of its own has no address there either
      const own = plane.opensPhys && !this.#isRouted(link) ? wish.addresses.map((a) => a.slice(0, a.indexOf('/'))) : [];
      for (const [low, high] of [...whole, ...own.map((a) => [a, a] as const)]) {
        const family = low.includes(':') ? 6 : 4;
        if (plane.unsupported.has('proxy') || plane.unsupported.has(`proxy ${family}`)) continue;
        if (family === 6 && ipBytes(low)[0] === 0xfe) continue;
        this.#put({ kind: 'punt', feature: 'proxy', on: object.name, family, table: wish.table, low, high });
      }
    }
  }

  finish(): Derived {
    this.#proxies();
    const devices: CnfDevice[] = [];
    const routed: RoutedEnd[] = [];
    for (const link of this.#readyLinks) {
      const { object, wish } = link;
      const { name, netns, netnsId, mac, peerMac, mtu } = object;
      const vrf = wish.vrfName === '' ? undefined : { name: wish.vrfName, table: wish.table };
      if (object.link === 'tap')
        devices.push({ netns, netnsId, name, mac: peerMac, mtu, addresses: wish.peerAddresses, vrf });
      if (this.#isRouted(link))
        routed.push({ phy: name, netns: this.#env.mirrored, mac, addresses: wish.addresses, table: wish.table, mtu });
    }
    return {
      plans: this.#plans,
      interconnects: this.#interconnects,
      punts: this.#punts,
      devices,
      routed,
      renumbered: this.#allocations.end(),
    };
  }
}

/** Everything that should be, given what is. Requests in the order of their age. heldIn: namespaces that something is in yet. */
export function derivePunts(
  requests: readonly PuntRequest[],
  env: PuntEnv,
  allocations: Allocations,
  heldIn: readonly string[] = [],
): Derived {
  const pass = (): Derived => {
    allocations.begin(heldIn);
    const all = new Pass(env, allocations);
    for (const request of requests) all.request(request);
    return all.finish();
  };
  const derived = pass();
  // numbers that nobody has any more are free only behind a pass
  const isShort = allocations.freed && [...derived.plans.values()].some(({ state }) => state === 'refused');
  return isShort ? { ...pass(), renumbered: true } : derived;
}
