/**
 * The contract of lcp/puntplane.ts, kept by the VPP driver on a fake VPP, in which nothing is left when it lets go.
 */
import { expect } from 'vitest';
import { contractOfPunts, type OpenedWithPunts } from '../lcp/contractpunts.ts';
import { addPhys, type DriverLab, openDriver } from './driverlab.ts';
import { FakeStats, serveStats } from './fakestats.ts';
import { startFake } from './lab.ts';

/** With everything removed by the driver that made it, or by one that finds it. */
const open = async (isFound: boolean): Promise<OpenedWithPunts> => {
  const fake = await startFake(addPhys);
  const guarded = (opened: DriverLab): OpenedWithPunts => ({
    ...opened,
    deviceExists: ({ name }) => fake.state.taps().some(({ host_if_name }) => host_if_name === name),
    again: async () => guarded(await opened.again()),
    cleanup: async () => {
      await (isFound ? await opened.again() : opened).cleanup();
      const { interfaces, crossed } = fake.state;
      expect([...interfaces.values()].map(({ interface_name }) => interface_name)).toEqual(['local0', 'wan0', 'lan0']);
      expect([fake.state.taps(), crossed.size]).toEqual([[], 0]);
    },
  });
  const segment = new FakeStats().names('/if/names', ['local0', 'wan0', 'lan0']);
  const { socket: statsSocket } = await serveStats(segment.build());
  return guarded(await openDriver(fake, undefined, { statsSocket }));
};

contractOfPunts('the VPP data plane', () => open(false));
contractOfPunts('the VPP data plane, found again,', () => open(true));
