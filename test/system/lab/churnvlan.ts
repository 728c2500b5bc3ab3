/**
 * Random operations on VLAN devices: they come, go, move and change their size with what is below them.
 */
import type { Operation } from './churnpool.ts';
import { type VmPool, vlans, vmPool } from './vmpool.ts';

const anyVlan = (p: VmPool) => p.random.pick(vlans);

export const vlanOperations: Readonly<Record<string, Operation>> = {
  creation: {
    weight: 40,
    needs: 'vlan',
    lines: (pool) => {
      const p = vmPool(pool);
      const { name, lower, protocol, id } = anyVlan(p);
      const below = typeof lower === 'number' ? p.dev(lower) : lower;
      const add = `link add link ${below} name ${name} type vlan proto ${protocol} id ${id}`;
      return p.random.chance(85) ? [add, `link set ${name} up`, ...p.addresses(p.portOf(name))] : [add];
    },
  },
  deletion: { weight: 8, needs: 'vlan', lines: (pool) => `link del ${anyVlan(vmPool(pool)).name}` },
  state: {
    weight: 12,
    needs: 'vlan',
    lines: (pool) => `link set ${anyVlan(vmPool(pool)).name} ${pool.random.chance(30) ? 'down' : 'up'}`,
  },
  // a device takes the carrier, the size and at times the state of what is below it
  lowerMtu: {
    weight: 5,
    needs: 'vlan',
    lines: (pool) => {
      const p = vmPool(pool);
      return `link set ${p.dev(p.host())} mtu ${p.random.pick([1500, 1500, 1504, 1508, 1400])}`;
    },
  },
  mtu: {
    weight: 3,
    needs: 'vlan',
    lines: (pool) => `link set ${anyVlan(vmPool(pool)).name} mtu ${pool.random.pick([1500, 1496, 1300, 2000])}`,
  },
  lowerState: {
    weight: 4,
    needs: 'vlan',
    lines: (pool) => {
      const p = vmPool(pool);
      const dev = p.dev(p.host());
      return [`link set ${dev} down`, `link set ${dev} up`];
    },
  },
};
