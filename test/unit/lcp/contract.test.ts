// The contract suite on the fake data plane, so that what the core's tests believe of it is what drivers promise.

import type { Pair } from '../../../src/lcp/objects.ts';
import { contract } from './contract.ts';
import type { Opened } from './contractlab.ts';
import { FakeDataPlane } from './fakedataplane.ts';

const PHYS = [3, 4];

const open = async (late: boolean): Promise<Opened> => {
  const hosts = new Map<string, number>();
  let next = 100;
  const dataplane = new FakeDataPlane({
    make: (pair: Pair) => {
      if (!PHYS.includes(pair.phyIfindex)) return 0;
      const ifindex = hosts.get(pair.host) ?? next++;
      hosts.set(pair.host, ifindex);
      return ifindex;
    },
    remove: (pair: Pair) => hosts.delete(pair.host),
    agree: () => undefined,
  });
  dataplane.late = late;
  const pair = (phy: string, phyIfindex: number, host: string): Pair => ({
    kind: 'pair',
    phy,
    phyIfindex,
    host,
    netns: 'cp',
    netnsId: '4:1',
    type: 'tap',
  });
  const connected = (): Opened => {
    const states: string[] = [];
    dataplane.connect({ onState: (state) => states.push(state), onEvent: () => undefined, onPhys: () => undefined });
    return {
      dataplane,
      states,
      pairs: [pair('wan0', 3, 'e0'), pair('lan0', 4, 'e1')],
      hostExists: ({ host }) => hosts.has(host),
      again: async () => {
        await dataplane.close(true);
        return connected();
      },
      cleanup: () => dataplane.close(false),
    };
  };
  return connected();
};

contract('the fake data plane', () => open(false));
contract('the fake data plane, answering late,', () => open(true));
