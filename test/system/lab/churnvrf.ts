/**
 * Random operations on VRF devices and rules: tables and devices that move, leaks, the order of lookups.
 *
 * Invariants: a packet of no interface is asked for, so no rule looks at `iif lo` or at a destination, and those that
 * look at what the data plane cannot see never match such a packet. Rules lead to one table more than VRFs need.
 */

import type { Operation, Pool } from './churnpool.ts';
import { bareMetric } from './churnroutes.ts';
import { ruleTable, vmPool } from './vmpool.ts';

const onOff = (p: Pool): string => (p.random.chance(25) ? 'down' : 'up');

export const vrfOperations: Readonly<Record<string, Operation>> = {
  creation: {
    weight: 25,
    needs: 'vrf',
    lines: (pool) => {
      const { name, table } = vmPool(pool).vrf();
      return [`link add ${name} type vrf table ${table}`, `link set ${name} up`];
    },
  },
  deletion: { weight: 5, needs: 'vrf', lines: (pool) => `link del ${vmPool(pool).vrf().name}` },
  state: { weight: 6, needs: 'vrf', lines: (pool) => `link set ${vmPool(pool).vrf().name} ${onOff(pool)}` },
  enslavement: {
    weight: 40,
    needs: 'vrf',
    lines: (pool) => {
      const p = vmPool(pool);
      const port = p.port();
      const line = `link set ${p.dev(port)} master ${p.vrf().name}`;
      return p.random.chance(75) ? [line, ...p.addresses(port)] : [line];
    },
  },
  release: {
    weight: 20,
    needs: 'vrf',
    lines: (pool) => {
      const p = vmPool(pool);
      const port = p.port();
      const line = `link set ${p.dev(port)} nomaster`;
      return p.random.chance(75) ? [line, ...p.addresses(port)] : [line];
    },
  },
  // what keeps packets of a VRF from the main table
  unreachableDefault: {
    weight: 12,
    needs: 'vrf',
    lines: (pool) => {
      const p = vmPool(pool);
      const what = `unreachable default table ${p.vrf().table} metric 4278198272`;
      return `${p.six() ? '@-6 ' : '@-4 '}route ${p.random.chance(65) ? 'add' : 'del'} ${what}`;
    },
  },
  // out of a port of any VRF, or of none
  leak: {
    weight: 25,
    needs: 'vrf',
    lines: (pool) => {
      const p = vmPool(pool);
      const six = p.six();
      const port = p.port();
      const bare = p.random.chance(50);
      const to = bare ? `dev ${p.dev(port)}${bareMetric(p, six)}` : `via ${p.gateway(six, port)} dev ${p.dev(port)}`;
      return `route replace ${p.prefix(six)} ${to} table ${p.vrf().table}`;
    },
  },
  // into a VRF: the packet is looked up again
  intoVrf: {
    weight: 20,
    needs: 'vrf',
    lines: (pool) => {
      const p = vmPool(pool);
      const six = p.six();
      const prefix = p.prefix(six);
      const table = p.random.chance(60) ? ` table ${p.vrf().table}` : '';
      const verb = p.random.pick(['add', 'replace', 'del']);
      return `route ${verb} ${prefix} dev ${p.vrf().name}${bareMetric(p, six)}${table}`;
    },
  },
};

/** The option of ip that says which rules. */
const family = (p: Pool): string => (p.random.chance(50) ? '@-4' : '@-6');

export const ruleOperations: Readonly<Record<string, Operation>> = {
  // the VRF's table first, then local: what `ip vrf` recommends
  localBehind: {
    weight: 10,
    lines: (p) => {
      const f = family(p);
      return [`${f} rule add pref 32765 lookup local`, `${f} rule del pref 0`];
    },
  },
  localInFront: {
    weight: 14,
    lines: (p) => {
      const f = family(p);
      return [`${f} rule add pref 0 lookup local`, `${f} rule del pref 32765`];
    },
  },
  plain: {
    weight: 20,
    lines: (p) => {
      const what = `pref ${p.random.pick([500, 1500, 33000])} lookup ${ruleTable}`;
      return `${family(p)} rule ${p.random.chance(50) ? 'add' : 'del'} ${what}`;
    },
  },
  iif: {
    weight: 20,
    lines: (pool) => {
      const p = vmPool(pool);
      const what = `pref ${p.random.pick([400, 1600])} iif ${p.dev()} lookup ${ruleTable}`;
      return `${family(p)} rule ${p.random.chance(50) ? 'add' : 'del'} ${what}`;
    },
  },
  l3mdev: {
    weight: 4,
    lines: (p) => {
      const f = family(p);
      return p.random.chance(30) ? `${f} rule del l3mdev pref 1000` : `${f} rule add l3mdev pref 1000`;
    },
  },
  // never the answer for a packet without a mark and a source
  foreign: {
    weight: 5,
    lines: (p) => {
      const what = p.random.pick([
        `fwmark 7 lookup ${ruleTable}`,
        `from ${p.six() ? 'fd99::/16' : '10.99.0.0/16'} lookup ${ruleTable}`,
      ]);
      return `${what.includes('::') ? '@-6' : '@-4'} rule ${p.random.chance(40) ? 'add' : 'del'} pref 700 ${what}`;
    },
  },
};
