/**
 * The contract of lcp/dataplane.ts, kept by the VPP driver on a fake VPP, in which nothing is left when it lets go.
 */
import { expect } from 'vitest';
import { contract } from '../lcp/contract.ts';
import type { Opened } from '../lcp/contractlab.ts';
import { addPhys, type DriverLab, openDriver } from './driverlab.ts';
import { FakeStats, serveStats } from './fakestats.ts';
import { startFake } from './lab.ts';

const PUNT = 0x0eff_ffff;

/** With everything removed by the driver that made it, or by one that finds it. */
const open = async (isFound: boolean): Promise<Opened> => {
  const fake = await startFake(addPhys);
  const guarded = (opened: DriverLab): Opened => ({
    ...opened,
    again: async () => guarded(await opened.again()),
    cleanup: async () => {
      await (isFound ? await opened.again() : opened).cleanup();
      const { interfaces, pairs, tables, routes, mplsRoutes, mroutes } = fake.state;
      expect([...interfaces.values()].map(({ interface_name }) => interface_name)).toEqual(['local0', 'wan0', 'lan0']);
      expect([...tables.keys()].filter((key) => !key.endsWith(`:${PUNT}`))).toEqual(['4:0', '6:0']);
      expect([...routes.keys()].filter((key) => !key.includes(`:${PUNT} `))).toEqual([]);
      expect([pairs.size, mplsRoutes.size, mroutes.size]).toEqual([0, 0, 0]);
    },
  });
  const segment = new FakeStats().names('/if/names', ['local0', 'wan0', 'lan0']).simple('/if/drops', [[0, 1, 2]]);
  const { socket: statsSocket } = await serveStats(segment.build());
  return guarded(await openDriver(fake, undefined, { statsSocket }));
};

contract('the VPP data plane', () => open(false));
contract('the VPP data plane, found again,', () => open(true));
