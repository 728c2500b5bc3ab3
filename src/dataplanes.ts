// Data planes: the driver that a configuration asks for, with what it needs of the kernel.

import type { Config } from './config/config.ts';
import { EmbeddedDataPlane } from './forwarding/driver.ts';
import type { DataPlane } from './lcp/dataplane.ts';
import type { KernelLinks } from './linkcontrol.ts';
import { VppDataPlane } from './vpp/driver.ts';

const START_TIMEOUT_MS = 5000;

/** The namespaces of hosts, the default one first; '' is lcpd's own. */
const namespacesOf = ({ netns, pairs, autoPairs }: Config): string[] => {
  const names = [...(netns === undefined ? [] : [netns]), ...[...pairs, ...autoPairs].map((pair) => pair.netns ?? '')];
  return [...new Set(names)];
};

/** Makes the driver; nothing is opened before its connect. */
export function makeDataPlane(config: Config, links: KernelLinks): DataPlane {
  const { driver, socket, memoryBytes, workers, vpp } = config.dataplane;
  if (driver === 'embedded') {
    const tablesOf = config.netns ?? '';
    const puntSocket = config.punt.socket;
    return new EmbeddedDataPlane(
      { socket, memoryBytes, workers, startTimeoutMs: START_TIMEOUT_MS, puntSocket, tablesOf },
      links,
    );
  }
  return new VppDataPlane(
    {
      open: { transport: vpp.transport, socket: { path: vpp.socket }, shm: { socket: vpp.socket } },
      statsSocket: vpp.statsSocket,
      pairBackend: vpp.pairBackend,
      discoverySocket: vpp.discoverySocket,
      groupSocket: vpp.groupSocket,
      namespaces: namespacesOf(config),
      ifindexOf: (netns, name) => links.ifindexOf(netns, name),
    },
    links,
  );
}
