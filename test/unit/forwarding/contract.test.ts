// The contract suite on the embedded data plane: a real forwarder process, real veths, TAPs and namespaces.

import { afterAll, beforeAll } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import type { Pair } from '../../../src/lcp/objects.ts';
import { KernelLinks } from '../../../src/linkcontrol.ts';
import { contract } from '../lcp/contract.ts';
import { contractOfPunts, type OpenedWithPunts } from '../lcp/contractpunts.ts';
import { describeReal } from './lab.ts';
import { until, WatchedLab } from './watchedlab.ts';

const MEMORY = 256 << 20;

describeReal('a forwarder', () => {
  let lab: WatchedLab;
  let serial = 0;

  beforeAll(async () => {
    lab = new WatchedLab();
    await lab.watch();
  });
  afterAll(() => lab.close());

  const connected = async (socket: string): Promise<OpenedWithPunts> => {
    const links = new KernelLinks(lab.namespaces);
    const dataplane = new EmbeddedDataPlane({ socket, memoryBytes: MEMORY, workers: 1, startTimeoutMs: 5000 }, links);
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
    await until('the data plane tells its state', () => states.length > 0);
    if (states[0] !== 'up') throw new Error(`the forwarder does not start: ${causes.join()}`);
    const pair = (phy: string, host: string): Pair => ({
      kind: 'pair',
      phy,
      phyIfindex: lab.ifindex(lab.phys, phy),
      host,
      netns: lab.hosts,
      netnsId: lab.hostsIdentity,
      type: 'tap',
    });
    const pairs = [pair('wan0', 'e0'), pair('lan0', 'e1')] as const;
    return {
      dataplane,
      states,
      pairs,
      deviceExists: ({ name }) => lab.links(lab.hosts).includes(name),
      hostExists: ({ host }) => lab.links(lab.hosts).includes(host),
      again: async () => {
        await dataplane.close(true);
        links.close();
        return connected(socket);
      },
      cleanup: async () => {
        for (const { object, handle } of await dataplane.dump()) {
          if (object.kind !== 'pair' && object.kind !== 'interconnect') continue;
          await dataplane.apply([{ op: 'delete', object, handle: handle ?? 0 }]);
        }
        await dataplane.close(false);
        links.close();
      },
    };
  };

  contract('the embedded data plane', () => connected(`${lab.dir}/fwd-${serial++}.sock`));
  contractOfPunts('the embedded data plane', () => connected(`${lab.dir}/fwd-${serial++}.sock`));
});
