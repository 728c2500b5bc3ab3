/**
 * Random operations on devices that are no pairs, and on what becomes of a host that they take over: dummy, bond,
 * macvlan, bridge, GRE.
 */
import type { Operation } from './churnpool.ts';
import { plainDevices, type VmPool, vmPool } from './vmpool.ts';

const made: Readonly<Record<string, (p: VmPool) => string>> = {
  d0: () => 'link add d0 type dummy',
  bond0: (p) => `link add bond0 type bond mode ${p.random.pick(['active-backup', 'balance-rr'])}`,
  m0: (p) =>
    `link add link ${p.dev(p.host())} name m0 type macvlan mode ${p.random.pick(['bridge', 'bridge', 'private'])}`,
  br0: () => 'link add br0 type bridge',
  gre7: (p) => `link add gre7 type gre local 10.0.${p.host()}.1 remote 10.0.${p.host()}.2 ttl 64`,
};

export const deviceOperations: Readonly<Record<string, Operation>> = {
  creation: {
    weight: 30,
    needs: 'dummy',
    lines: (pool) => {
      const p = vmPool(pool);
      const name = p.random.pick(plainDevices);
      return [made[name]?.(p) ?? '', `link set ${name} up`, ...p.addresses(p.portOf(name))];
    },
  },
  state: {
    weight: 12,
    needs: 'dummy',
    lines: (p) => `link set ${p.random.pick(plainDevices)} ${p.random.chance(40) ? 'down' : 'up'}`,
  },
  deletion: { weight: 8, needs: 'dummy', lines: (p) => `link del ${p.random.pick(plainDevices)}` },
  rename: {
    weight: 4,
    lines: (pool) => {
      const [old, name] = vmPool(pool).renameHost(vmPool(pool).host());
      return [`link set ${old} down`, `link set ${old} name ${name}`, `link set ${name} up`];
    },
  },
  // a member of a bond must be down, and is up when it is one
  intoBond: {
    weight: 6,
    needs: 'bond',
    lines: (pool) => {
      const dev = vmPool(pool).dev(vmPool(pool).host());
      return [`link set ${dev} down`, `link set ${dev} master bond0`];
    },
  },
  intoBridge: {
    weight: 6,
    needs: 'bridge',
    lines: (pool) => `link set ${vmPool(pool).dev(vmPool(pool).host())} master br0`,
  },
  out: {
    weight: 16,
    needs: 'bridge',
    lines: (pool) => {
      const p = vmPool(pool);
      const host = p.host();
      return [`link set ${p.dev(host)} nomaster`, `link set ${p.dev(host)} up`, ...p.addresses(host)];
    },
  },
};
