/**
 * A VPP driver on a fake VPP, with the kernel links of the hosts that the fake has made.
 */
import { statSync } from 'node:fs';
import { onTestFinished } from 'vitest';
import type { LinkChange, LinkControl, LinkFacts } from '../../../src/lcp/dataplane.ts';
import type { Pair } from '../../../src/lcp/objects.ts';
import { VppDataPlane, type VppOptions } from '../../../src/vpp/driver.ts';
import type { Opened, Otherwise } from '../lcp/contractlab.ts';
import type { FakePair } from './fakestate.ts';
import type { FakeVpp } from './fakevpp.ts';
import { until } from './lab.ts';

/** In what VPP is another sort of data plane. */
export const OTHERWISE: readonly Otherwise[] = [
  'joined-local',
  'lasting-pairs',
  'shared-neighbours',
  'reserved-labels',
  'any-tables',
  'foreign-trace',
];

const NETNS_PATH = '/proc/self/ns/net';
export const netnsIdentity = (): string => {
  const { dev, ino } = statSync(NETNS_PATH);
  return `${dev}:${ino}`;
};

/** The hosts of a fake VPP's pairs, as the kernel has them. */
export class FakeHosts implements LinkControl {
  readonly #fake: FakeVpp;
  readonly #aliases = new Map<string, string>();

  constructor(fake: FakeVpp) {
    this.#fake = fake;
  }

  #pairs(): readonly FakePair[] {
    return [...this.#fake.state.pairs.values()];
  }

  async set(_netns: string, ifindex: number, change: LinkChange): Promise<void> {
    const host = this.#pairs().find(({ vif_index }) => vif_index === ifindex)?.host_if_name;
    if (host === undefined) throw new Error(`no link ${ifindex}`);
    if (change.alias !== undefined) this.#aliases.set(host, change.alias);
  }

  get(_netns: string, ifindex: number): LinkFacts | undefined {
    const pair = this.#pairs().find(({ vif_index }) => vif_index === ifindex);
    if (pair === undefined) return undefined;
    return { name: pair.host_if_name, up: true, carrier: true, mtu: 1500, mac: '', promisc: false };
  }

  nameOf(_netns: string, alias: string): string | undefined {
    return this.#pairs().find(({ host_if_name }) => this.#aliases.get(host_if_name) === alias)?.host_if_name;
  }

  /** Only the embedded plane marks devices that are no hosts. */
  all(): [] {
    return [];
  }

  marked(): [] {
    return [];
  }

  netnsPath(): string {
    return NETNS_PATH;
  }

  exists(host: string): boolean {
    return this.#pairs().some(({ host_if_name }) => host_if_name === host);
  }
}

export interface DriverLab extends Opened {
  readonly dataplane: VppDataPlane;
  readonly causes: readonly string[];
  readonly hosts: FakeHosts;
  /** How often the phys were said to have changed. */
  readonly news: { phys: number };
  again(): Promise<DriverLab>;
}

/** Phys of the fake, made when it is new. */
export function addPhys({ state }: FakeVpp): void {
  for (const name of ['wan0', 'lan0']) state.addInterface(name, 'dpdk', {});
}

/** Connects a driver; it is up, or has said why not. */
export async function openDriver(
  fake: FakeVpp,
  hosts = new FakeHosts(fake),
  options: Partial<VppOptions> = {},
): Promise<DriverLab> {
  const dataplane = new VppDataPlane(
    {
      open: {
        transport: 'socket',
        socket: { path: fake.path, openTimeoutMs: 1000 },
        shm: {},
        probeMs: 60,
        apiFolders: [],
      },
      statsSocket: `${fake.path}.stats`,
      pairBackend: 'linux-cp',
      discoverySocket: '',
      groupSocket: '',
      namespaces: ['cp'],
      ifindexOf: () => undefined,
      ...options,
    },
    hosts,
  );
  const states: string[] = [];
  const causes: string[] = [];
  const news = { phys: 0 };
  dataplane.connect({
    onState: (state, cause) => {
      states.push(state);
      causes.push(cause);
    },
    onEvent: () => undefined,
    onPhys: () => news.phys++,
  });
  onTestFinished(() => dataplane.close(true));
  await until(() => states.length > 0);
  const pair = (phy: string, host: string): Pair => ({
    kind: 'pair',
    phy,
    phyIfindex: dataplane.phys.byName(phy)?.ifindex ?? -1,
    host,
    netns: 'cp',
    netnsId: netnsIdentity(),
    type: 'tap',
  });
  return {
    dataplane,
    otherwise: OTHERWISE,
    states,
    causes,
    hosts,
    news,
    pairs: [pair('wan0', 'e0'), pair('lan0', 'e1')],
    hostExists: ({ host }) => hosts.exists(host),
    again: async () => {
      await dataplane.close(true);
      return openDriver(fake, hosts, options);
    },
    cleanup: () => dataplane.close(false),
  };
}
