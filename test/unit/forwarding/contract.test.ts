// The contract suite on the embedded data plane: a real forwarder process, real veths, TAPs and namespaces.

import { afterAll, beforeAll } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import type { Pair } from '../../../src/lcp/objects.ts';
import { createLog } from '../../../src/lib/log.ts';
import { KernelLinks } from '../../../src/linkcontrol.ts';
import { NamespaceWatcher } from '../../../src/watcher.ts';
import { contract } from '../lcp/contract.ts';
import { contractOfPunts, type OpenedWithPunts } from '../lcp/contractpunts.ts';
import { describeReal, Lab } from './lab.ts';

const MEMORY = 256 << 20;

describeReal('a forwarder', () => {
  let lab: Lab;
  let watchers: NamespaceWatcher[] = [];
  const namespaces = new Map<string, Namespace>();
  let serial = 0;

  const until = async (what: string, done: () => boolean) => {
    const end = Date.now() + 5000;
    while (!done()) {
      if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };

  beforeAll(async () => {
    lab = new Lab();
    const log = createLog({ levels: { level: 'silent', areas: {} }, style: 'json' }).area('netlink');
    for (const name of ['', lab.hosts]) {
      const ns = new Namespace(name);
      namespaces.set(name, ns);
      const options = {
        path: name === '' ? undefined : `/run/netns/${name}`,
        rxBufferBytes: 1 << 20,
        queueMessages: 4096,
        linksOnly: true,
      };
      const watcher = new NamespaceWatcher(ns, options, { onState: () => undefined, onGone: () => undefined }, log);
      watchers.push(watcher);
      watcher.open();
    }
    await until('both namespaces are read', () => watchers.every((w) => w.ns.state === 'in-sync'));
  });
  afterAll(() => {
    for (const watcher of watchers) watcher.close();
    watchers = [];
    lab.close();
  });

  const connected = async (socket: string): Promise<OpenedWithPunts> => {
    const links = new KernelLinks(namespaces);
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
