// Draft: what one request comes to, looked at alone: the links it wants, what is missing for it, what it will be made of.
//
// Pure: a function of the request, of what is there, and of the numbers that are kept. derive.ts joins the drafts of all.

import type { Punt, PuntMatch } from '../lcp/puntobjects.ts';
import type { Allocations } from './allocations.ts';
import type { PuntEnv } from './env.ts';
import type { Link, LinkWish } from './interconnects.ts';
import { memifSuffix } from './names.ts';
import { idText, type L3, type PuntRequest } from './request.ts';

export interface Draft {
  readonly wishes: readonly LinkWish[];
  /** Whether all of it may be there once what is waited for has come: the punts, given the links. */
  readonly punts: (links: readonly Link[]) => Punt[];
  /** What it waits for. */
  readonly waits: readonly string[];
  /** What can not be had, whatever comes: of this data plane, or of this configuration. */
  readonly refusals: readonly string[];
  readonly hint: string;
  /** Interfaces that it names. */
  readonly uses: readonly string[];
}

/** Collects what stands in the way of a request. */
export class Obstacles {
  readonly waits: string[] = [];
  readonly refusals: string[] = [];
  readonly uses: string[] = [];
  hint = '';
  readonly env: PuntEnv;

  constructor(env: PuntEnv) {
    this.env = env;
  }

  /** The interface, once it is there. */
  interface(name: string): ReturnType<PuntEnv['interface']> {
    const found = this.env.interface(name);
    if (found === undefined) this.waits.push(`interface ${name} does not exist`);
    this.uses.push(name);
    return found;
  }

  /** The first of these that the data plane cannot do, each a key of PuntPlane.unsupported. */
  needs(...features: readonly string[]): void {
    for (const feature of features) {
      const why = this.env.plane.unsupported.get(feature);
      if (why !== undefined) this.waits.push(`the data plane cannot do ${feature}: ${why}`);
    }
  }

  table(family: 4 | 6, table: number): void {
    if (!this.env.hasTable(family, table)) this.waits.push(`table ${table} for IPv${family} does not exist`);
  }
}

export const familiesOf = (l3: L3): readonly (4 | 6)[] => (l3 === 'ipv4' ? [4] : l3 === 'ipv6' ? [6] : [4, 6]);

const BARE = {
  multiplex: false,
  customName: '',
  customMac: '',
  customPeerMac: '',
  mtu: 0,
  addresses: [],
  lender: '',
  table: 0,
  dhcpClient: false,
  peerAddresses: [],
  vrfName: '',
} as const;

/** Makes the wishes of a request: where its CNF is, and what one link is besides. */
export class LinkMaker {
  readonly #request: PuntRequest;
  readonly #obstacles: Obstacles;
  readonly #allocations: Allocations;

  constructor(request: PuntRequest, obstacles: Obstacles, allocations: Allocations) {
    this.#request = request;
    this.#obstacles = obstacles;
    this.#allocations = allocations;
  }

  wish(vppSelector: string, of: Partial<LinkWish> = {}): LinkWish {
    const { netns, interconnect, gso, id } = this.#request;
    const { env } = this.#obstacles;
    if (interconnect === 'memif') {
      this.#obstacles.needs('link memif');
      const secret = memifSuffix(idText(id), vppSelector);
      return {
        ...BARE,
        vppSelector,
        cnfSelector: `memif::${secret}`,
        link: 'memif',
        netns: '',
        netnsId: '',
        gso: false,
        socket: `${env.memifDirectory}/memif-${secret}.sock`,
        secret,
        ...of,
        vrfName: '',
      };
    }
    this.#obstacles.needs('link tap');
    const identity = env.netns(netns);
    if (identity === undefined) {
      const wait = `network namespace ${netns} does not exist`;
      if (!this.#obstacles.waits.includes(wait)) this.#obstacles.waits.push(wait);
    }
    const { id: number, name } = this.#allocations.netns(netns, identity, env.netns(''));
    return {
      ...BARE,
      vppSelector,
      cnfSelector: `netns::${number}`,
      link: 'tap',
      netns: name,
      netnsId: identity ?? '',
      gso,
      socket: '',
      secret: '',
      ...of,
    };
  }
}

/** A draft without links. */
export function linkless(obstacles: Obstacles, punts: readonly Punt[]): Draft {
  const { waits, refusals, uses, hint } = obstacles;
  return { wishes: [], punts: () => [...punts], waits, refusals, uses, hint };
}

const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'TCP', 17: 'UDP' };

/** What a match is called in messages. */
export function matchName(match: PuntMatch): string {
  switch (match.by) {
    case 'port':
      return `${PROTOCOLS[match.protocol] ?? match.protocol} port ${match.port} of IPv${match.family}`;
    case 'icmp6':
      return `ICMPv6 type ${match.type}`;
    case 'protocol':
      return `IP protocol ${match.protocol} of IPv${match.family}`;
    case 'reason':
      return `reason ${match.reason}`;
  }
}
