// The contract suite on a real VPP, whose API socket LCPD_VPP_API names, and LCPD_VPP_STATS that of its statistics, with
// loopbacks wan0, lan0, host-e0 and host-e1.
// test/vpp/driver.tap.ts runs it.

import { describe } from 'vitest';
import type { Pair } from '../../../src/lcp/objects.ts';
import { VppDataPlane } from '../../../src/vpp/driver.ts';
import { contract } from '../lcp/contract.ts';
import type { Opened } from '../lcp/contractlab.ts';
import { OTHERWISE } from './driverlab.ts';
import { FakeLinks } from './fakelinks.ts';
import { until } from './lab.ts';

const path = process.env.LCPD_VPP_API ?? '';
const statsSocket = process.env.LCPD_VPP_STATS ?? '';

const connected = async (links: FakeLinks): Promise<Opened> => {
  const dataplane = new VppDataPlane(
    {
      open: { transport: 'socket', socket: { path }, shm: {} },
      statsSocket,
      pairBackend: 'attach',
      discoverySocket: '',
      groupSocket: '',
      namespaces: ['cp'],
      ifindexOf: (_netns, name) => links.ifindexOf(name),
    },
    links,
  );
  const states: string[] = [];
  const causes: string[] = [];
  dataplane.connect({
    onState: (state, cause) => {
      states.push(state);
      causes.push(cause);
    },
    onEvent: () => undefined,
    onPhys: () => undefined,
  });
  await until(() => states.length > 0);
  if (states[0] !== 'up') throw new Error(causes.join());
  const pair = (phy: string, host: string): Pair => ({
    kind: 'pair',
    phy,
    phyIfindex: dataplane.phys.byName(phy)?.ifindex ?? -1,
    host,
    netns: 'cp',
    netnsId: links.identity,
    type: 'tap',
  });
  return {
    dataplane,
    otherwise: OTHERWISE,
    states,
    pairs: [pair('wan0', 'e0'), pair('lan0', 'e1')],
    hostExists: async ({ phy }) =>
      (await dataplane.dump()).some(({ object }) => object.kind === 'pair' && object.phy === phy),
    again: async () => {
      await dataplane.close(true);
      return connected(links);
    },
    cleanup: () => dataplane.close(false),
  };
};

const why = path === '' ? 'LCPD_VPP_API names no VPP; make test-vpp does' : undefined;
if (why !== undefined) process.stderr.write(`SKIPPED: the contract on a real VPP: ${why}\n`);

describe.skipIf(why !== undefined)('a real VPP', () => {
  contract('the VPP data plane', () => {
    const links = new FakeLinks();
    links.add('e0', 101);
    links.add('e1', 102);
    return connected(links);
  });
});
