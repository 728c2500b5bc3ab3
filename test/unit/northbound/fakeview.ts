// A View with a small router in it, for the doors: rows of every kind, and handles to drive what is pushed.

import type { RouteRow, TracePacket, View, WatchEvent } from '../../../src/lcp/view.ts';
import { LcpError } from '../../../src/lib/errors.ts';

export interface FakeView extends View {
  /** Watchers that are attached now. */
  readonly watchers: Set<(event: WatchEvent) => void>;
  /** Traces that run now. */
  readonly traces: Set<(packet: TracePacket) => void>;
  /** Signals of waitSynced calls, in order. */
  readonly waits: AbortSignal[];
  /** Routes handed out by all walks. */
  routesMade: number;
  routeCount: number;
  synced: boolean;
  differences: number;
}

export function traceOf(bytes: Buffer): TracePacket {
  return {
    time: 1_700_000_000_000,
    rx: 'wan0',
    tx: 'lan0',
    action: 'forward',
    path: ['rx', 'fib', 'adjacency 3', 'tx'],
    layer: 'ip',
    length: bytes.length,
    bytes: bytes.toString('base64'),
  };
}

/** ICMP echo request from 10.0.0.1 to 10.0.0.2, ttl 63. */
export const echoRequest = Buffer.from('4500001c000100003f01000' + '00a0000010a0000020800f7fe00010002', 'hex');

function route(i: number): RouteRow {
  return {
    netns: 'cp',
    table: 254,
    prefix: `10.${(i >> 8) & 255}.${i & 255}.0/24`,
    type: 'unicast',
    protocol: 'bgp',
    metric: 20,
    paths: [{ via: '192.0.2.1', dev: 'e0', weight: 1 }],
    installed: true,
    best: true,
  };
}

export function fakeView(): FakeView {
  const view: FakeView = {
    watchers: new Set(),
    traces: new Set(),
    waits: [],
    routesMade: 0,
    routeCount: 3,
    synced: true,
    differences: 0,
    status: () => ({
      version: '0.1.0',
      pid: 4711,
      uptimeMs: 93_784_000,
      health: { state: 'degraded', objects: 120, failed: 1, pending: 2, oldestMs: 12_000, hint: 'bring wan1 up' },
      dataplane: { driver: 'embedded', state: 'up', generation: '2', pid: 4712, workers: 1, memoryUsed: 12 * 2 ** 20 },
      namespaces: [
        {
          name: 'cp',
          state: 'in-sync',
          routes4: 3,
          routesMpls: 0,
          mroutes: 0,
          unsupported: 0,
          routes6: 1,
          neighbours: 2,
          links: 3,
          messages: 42,
          overruns: 0,
          resyncs: 1,
          lastResync: { cause: 'start', ms: 7, at: 1_700_000_000_000 },
          drops: 0,
        },
      ],
      rounds: { count: 10, lastMs: 0.42, maxMs: 12, operations: 99, failed: 1 },
    }),
    pairs: () => [
      { phy: 'wan10', host: 'e10', netns: 'cp', type: 'tap', state: 'pending', reason: 'phy wan10 does not exist' },
      {
        phy: 'wan2',
        host: 'e2',
        netns: '',
        type: 'tun',
        state: 'up',
        phyIfindex: 4,
        hostIfindex: 5,
        port: 1,
        mac: '02:00:00:00:00:01',
        mtu: 1500,
        carrier: true,
      },
    ],
    links: () => [
      { netns: 'cp', ifindex: 2, name: 'e0', kind: 'tun', mtu: 1500, flags: ['UP', 'LOWER_UP'], operstate: 'up' },
    ],
    addresses: () => [
      { netns: 'cp', dev: 'e0', address: '10.0.0.20/24', scope: 'global', flags: ['permanent'] },
      { netns: 'cp', dev: 'e0', address: '10.0.0.3/24', scope: 'global', flags: [] },
      { netns: 'other', dev: 'e9', address: '2001:db8::1/64', scope: 'global', flags: [] },
    ],
    neighbours: () => [
      { netns: 'cp', dev: 'e0', address: '10.0.0.9', mac: '02:00:00:00:00:09', state: 'reachable', installed: true },
    ],
    rules: () => [
      { netns: 'cp', family: 'inet', priority: 0, rule: 'from all lookup local', honoured: true },
      { netns: 'cp', family: 'inet', priority: 5, rule: 'from 10.0.0.0/8 lookup 7', honoured: false, reason: 'from' },
    ],
    subifs: () => [
      { name: 'wan2.100', phy: 'wan2', netns: 'cp', host: 'e2.100', tags: ['802.1Q 100'], state: 'up', port: 3 },
    ],
    mroutes: () => [
      { netns: 'cp', source: '10.0.0.9', group: '239.1.1.1', iif: 'e0', oifs: ['e1'], installed: true, host: false },
    ],
    unsupported: () => [{ netns: 'cp', kind: 'rule', key: '5: from 10.0.0.0/8', reason: 'from', differs: true }],
    nexthops: () => [
      { netns: 'cp', id: 1, family: 'inet', via: '10.0.0.9', dev: 'e0' },
      { netns: 'cp', id: 10, family: 'unspec', group: [{ id: 1, weight: 2 }] },
      { netns: 'cp', id: 11, family: 'inet', blackhole: true },
    ],
    *routes(filter) {
      const count = Math.min(filter.limit ?? Number.POSITIVE_INFINITY, view.routeCount);
      for (let i = 0; i < count; i++) {
        view.routesMade++;
        yield route(i);
      }
    },
    adjacencies: () => [
      {
        id: 3,
        port: 1,
        phy: 'wan0',
        host: 'e0',
        family: 'inet',
        nexthop: '10.0.0.9',
        state: 'complete',
        rewrite: '020000000009020000000001',
        packets: 5,
        bytes: 500,
      },
    ],
    interfaces: () => [
      {
        phy: 'wan0',
        host: 'e0',
        netns: 'cp',
        rxPackets: 1,
        rxBytes: 60,
        txPackets: 2,
        txBytes: 120,
        punts: 1,
        drops: 0,
      },
    ],
    counters: ({ all }) => [
      { phy: 'wan0', name: 'rx-runt', value: 3 },
      ...(all === true ? [{ phy: 'wan0', name: 'rx-giant', value: 0 }] : []),
    ],
    punts: () => [{ phy: 'wan0', reason: 'for-us', packets: 7 }],
    failures: () => [
      { kind: 'pair', key: 'wan10', error: 'no vhost', code: 'HOST_DEVICE', ageMs: 12_000, attempts: 4, retryMs: 800 },
    ],
    messages: () => [
      { time: 0, direction: 'sent', name: 'ip_route_add_del', count: 9, length: 60, bytes: '00ff', note: '' },
    ],
    lookup: ({ addresses, table }) =>
      addresses.map((address) => {
        if (address.startsWith('x')) return { address, error: 'not an IP address' };
        if (address.startsWith('203.')) return { address, netns: 'cp', type: 'none', paths: [] };
        return {
          address,
          netns: 'cp',
          table: table ?? 254,
          prefix: '10.0.0.0/8',
          type: 'unicast',
          paths: [
            { via: '192.0.2.1', dev: 'wan0', weight: 1, complete: true },
            { via: '192.0.2.2', dev: 'wan1', weight: 2, complete: false },
          ],
        };
      }),
    diff: () => ({
      differences: Array.from({ length: view.differences }, (_, i) => ({
        kind: 'route',
        key: `cp 254 10.${i}.0.0/16`,
        kernel: 'via 192.0.2.1',
        reason: 'missing in the data plane',
      })),
      checked: { route: 3, neighbour: 1 },
      ms: 4,
    }),
    waitSynced: async ({ timeoutMs }, signal) => {
      view.waits.push(signal);
      if (view.synced) return { synced: true, ms: 1, pending: [] };
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        });
      });
      return { synced: false, ms: timeoutMs, pending: ['pair wan10: phy wan10 does not exist'] };
    },
    watch(onEvent) {
      view.watchers.add(onEvent);
      return () => view.watchers.delete(onEvent);
    },
    async trace({ count }, onPacket, signal) {
      if (count !== undefined) {
        for (let i = 0; i < count; i++) onPacket(traceOf(echoRequest));
        return;
      }
      view.traces.add(onPacket);
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      view.traces.delete(onPacket);
    },
    resync: ({ netns, dataplane }) => {
      if (dataplane === true) return { namespaces: [], dataplane: 'vpp' };
      if (netns === 'nowhere') throw new LcpError('NO_SUCH_NETNS', { op: 'resync', key: netns });
      return { namespaces: netns === undefined ? ['', 'cp'] : [netns] };
    },
    plan: ({ configText }) => {
      if (configText.includes('wrong')) {
        throw new LcpError('CONFIG_INVALID', { op: 'plan', message: '1 error\nconfig:1:1: unknown key "wrong"' });
      }
      return {
        operations: [{ op: 'add', kind: 'pair', key: 'wan3', detail: 'host e3' }],
        restartNeeded: ['dataplane.workers'],
      };
    },
    reload: () => ({ operations: [], restartNeeded: [] }),
  };
  return view;
}
