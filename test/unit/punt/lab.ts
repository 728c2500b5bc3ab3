// What punts depend on, made up: interfaces, namespaces, tables and a data plane that can do everything unless it is told.

import type { PuntEnv } from '../../../src/punt/env.ts';
import type { PuntRequest, PuntSpec } from '../../../src/punt/request.ts';

type Place = NonNullable<ReturnType<PuntEnv['interface']>>;

export interface FakeEnv extends PuntEnv {
  readonly interfaces: Map<string, Place>;
  readonly namespaces: Map<string, string>;
  readonly tables: Set<string>;
  readonly unsupported: Map<string, string>;
  opensPhys: boolean;
  allocCidr: string;
}

export const place = (of: Partial<Place> = {}): Place => ({
  ethernet: true,
  up: true,
  mtu: 1500,
  mac: '02:00:00:00:00:01',
  addresses: [],
  table4: 0,
  table6: 0,
  ifindex: 0,
  paired: false,
  ...of,
});

export function fakeEnv(): FakeEnv {
  const interfaces = new Map<string, Place>([
    ['eth0', place({ addresses: ['10.0.0.1/24', '2001:db8::1/64'] })],
    ['eth1', place({ addresses: ['10.1.0.1/24'] })],
  ]);
  const namespaces = new Map([
    ['', '4:1'],
    ['cp', '4:5'],
    ['c1', '4:2'],
    ['c2', '4:3'],
  ]);
  const tables = new Set<string>();
  const unsupported = new Map<string, string>();
  const env: FakeEnv = {
    interfaces,
    namespaces,
    tables,
    unsupported,
    opensPhys: false,
    plane: {
      get opensPhys() {
        return env.opensPhys;
      },
      unsupported,
      serverSocket: '/run/vpp/punt.sock',
      reasons: [{ name: 'ipsec4-no-such-tunnel', number: 2 }],
      notes: (punt) => (punt.feature === 'abx' && punt.from === 'eth1' ? ['half of it'] : []),
      takenBy: (match) => (match.by === 'port' && match.port === 4789 ? 'VXLAN' : undefined),
    },
    interface: (name) => interfaces.get(name),
    hasTable: (family, table) => table === 0 || table === 254 || tables.has(`${family} ${table}`),
    netns: (name) => namespaces.get(name),
    mirrored: 'cp',
    allocCidr: '192.168.111.0/24',
    memifDirectory: '/run/lcpd/memif',
  };
  return env;
}

/** A request of the label; netns: its CNF. */
export const ask = (label: string, spec: PuntSpec, of: Partial<PuntRequest> = {}): PuntRequest => ({
  id: { cnf: of.netns ?? '', key: 'config', label },
  netns: '',
  interconnect: 'tap',
  gso: false,
  spec,
  ...of,
});
