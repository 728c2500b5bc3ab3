/**
 * Random operations on labels: the kernel's label table, IP routes and nexthop objects that push labels, settings.
 */
import type { Operation } from './churnpool.ts';
import { type VmPool, vmPool } from './vmpool.ts';

/** Few labels, so that they meet again. */
export const labels: readonly number[] = [16, 100, 101, 102, 103, 104, 500, 999];

const stack = (p: VmPool): string =>
  Array.from({ length: p.random.pick([1, 1, 1, 2, 3]) }, () => p.random.between(200, 205)).join('/');

/** One leg of a label's route: swap, pop, or the end of the path. */
function leg(p: VmPool): string {
  const r = p.random;
  if (r.chance(8)) return 'dev lo';
  if (r.chance(8)) return `dev ${p.vrf().name}`;
  const port = p.port();
  if (r.chance(5)) return `dev ${p.dev(port)}`;
  const six = p.six();
  const swap = r.chance(65) ? `as ${stack(p)} ` : '';
  return `${swap}via ${six ? 'inet6' : 'inet'} ${p.gateway(six, port)}${r.chance(70) ? ` dev ${p.dev(port)}` : ''}`;
}

export const mplsOperations: Readonly<Record<string, Operation>> = {
  leg: {
    weight: 40,
    needs: 'mpls',
    lines: (pool) => {
      const p = vmPool(pool);
      const r = p.random;
      const verb = r.pick(['add', 'replace', 'replace', 'change']);
      const ttl = r.chance(10) ? `ttl-propagate ${r.pick(['enabled', 'disabled'])} ` : '';
      return `@-M route ${verb} ${r.pick(labels)} ${ttl}${leg(p)}`;
    },
  },
  multipath: {
    weight: 25,
    needs: 'mpls',
    lines: (pool) => {
      const p = vmPool(pool);
      const legs = Array.from({ length: p.random.between(2, 3) }, () => `nexthop ${leg(p)}`);
      return `@-M route ${p.random.pick(['add', 'replace'])} ${p.random.pick(labels)} ${legs.join(' ')}`;
    },
  },
  deletion: { weight: 18, needs: 'mpls', lines: (p) => `@-M route del ${p.random.pick(labels)}` },
  // an IP route that pushes
  push: {
    weight: 30,
    needs: 'mpls',
    lines: (pool) => {
      const p = vmPool(pool);
      const six = p.six();
      const port = p.port();
      const ttl = p.random.chance(15) ? ` ttl ${p.random.between(1, 255)}` : '';
      const to = `via ${p.gateway(six, port)} dev ${p.dev(port)}`;
      // no equal default routes: the kernel's choice among those is another (churnroutes.ts)
      const prefix = p.prefix(six);
      const verb = p.random.pick(prefix === '0.0.0.0/0' ? ['add', 'replace'] : ['add', 'replace', 'append']);
      return `route ${verb} ${prefix}${p.table()} encap mpls ${stack(p)}${ttl} ${to}`;
    },
  },
  // legs with labels beside legs without
  pushMultipath: {
    weight: 10,
    needs: 'mpls',
    lines: (pool) => {
      const p = vmPool(pool);
      const six = p.six();
      const legs = Array.from({ length: 2 }, (_, i) => {
        const port = p.port();
        return `nexthop ${i === 0 ? `encap mpls ${stack(p)} ` : ''}via ${p.gateway(six, port)} dev ${p.dev(port)}`;
      });
      return `route replace ${p.prefix(six)}${p.table()} ${legs.join(' ')}`;
    },
  },
  nexthop: {
    weight: 12,
    needs: 'mpls',
    lines: (pool) => {
      const p = vmPool(pool);
      const six = p.six();
      const port = p.port();
      return `nexthop replace id ${p.nexthopId(six, false)} encap mpls ${stack(p)} via ${p.gateway(six, port)} dev ${p.dev(port)}`;
    },
  },
  input: {
    weight: 5,
    needs: 'mpls',
    lines: (pool) => `@sysctl net.mpls.conf.${vmPool(pool).dev()}.input=${pool.random.chance(70) ? 1 : 0}`,
  },
  // a smaller table loses what is beyond it
  platformLabels: {
    weight: 2,
    needs: 'mpls',
    lines: (pool) => {
      const size = pool.random.pick([0, 102, 600]);
      return [`@sysctl net.mpls.platform_labels=${size}`, '@sysctl net.mpls.platform_labels=1000'];
    },
  },
};
