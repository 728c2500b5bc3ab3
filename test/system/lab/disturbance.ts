/**
 * Disturbance: what happens to lcpd while the kernel changes: it is killed, its data plane is, it loses notifications,
 * is told to read again, loses the namespace.
 *
 * Invariants: each plays the lines that it is given, all of them, and leaves a running lcpd. Nothing waits for the
 * mirror to be in step: that is the caller's to do, and what is tested.
 */
import type { Lab } from '../lab.ts';
import { allNexthops } from './churnlinks.ts';
import type { Pool } from './churnpool.ts';
import { addVeth, ip } from './netns.ts';
import { waitFor } from './process.ts';
import { play } from './script.ts';

export interface Site {
  readonly lab: Lab;
  readonly pool: Pool;
}

/** Devices that are no pairs: what leaves by them is for the kernel. */
export const unpaired: readonly string[] = ['u0'];

/** Made in the router's namespace, with their other ends in `far`. */
export async function addUnpaired(lab: Lab): Promise<void> {
  for (const dev of unpaired) {
    await addVeth({ ns: lab.ns('cp'), dev }, { ns: lab.ns('far'), dev });
    for (const role of ['cp', 'far']) await ip(lab.ns(role), 'link', 'set', dev, 'up');
  }
}

type Disturbance = (site: Site, lines: readonly string[]) => Promise<void>;

/** Far more than a small receive buffer holds; nothing is left of it. */
const flood = (lines: number): string[] =>
  Array.from(
    { length: lines },
    (_, i) => `route ${i % 2 === 0 ? 'add' : 'del'} 198.18.${(i >> 1) & 255}.0/24 dev lo table 7`,
  );

const ns = (lab: Lab) => (role: string) => lab.ns(role);
const halves = (lines: readonly string[]): [readonly string[], readonly string[]] => {
  const middle = lines.length >> 1;
  return [lines.slice(0, middle), lines.slice(middle)];
};

/** All hosts up and addressed, all cables in, every nexthop object there: so that there is something to choose from. */
export async function heal({ lab, pool }: Site): Promise<void> {
  const lines: string[] = [];
  for (let n = 0; n < pool.ports; n++) {
    const dev = pool.dev(n);
    lines.push(`@h${n} link set eth0 up`, `@sysctl net.ipv6.conf.${dev}.disable_ipv6=0`);
    lines.push(`link set ${dev} mtu 1500`, `link set ${dev} up`);
    lines.push(`address replace 10.0.${n}.1/24 dev ${dev}`, `address replace fd00:${n}::1/64 dev ${dev}`);
  }
  await play(
    ns(lab),
    lines.filter((line) => line.startsWith('@')),
  );
  await play(ns(lab), [...lines.filter((line) => !line.startsWith('@')), ...allNexthops(pool)]);
}

export const disturbances: Readonly<Record<string, { readonly weight: number; readonly play: Disturbance }>> = {
  'lcpd killed': {
    weight: 4,
    play: async ({ lab }, lines) => {
      const [before, after] = halves(lines);
      await play(ns(lab), before);
      await lab.lcpd.kill();
      await play(ns(lab), after);
      await lab.lcpd.start();
    },
  },
  'lcpfwd killed': {
    weight: 4,
    play: async ({ lab }, lines) => {
      const [before, after] = halves(lines);
      await play(ns(lab), before);
      const { pid } = (await lab.lcpd.status()).dataplane;
      if (pid === undefined) throw new Error('lcpd does not say which process its forwarder is');
      process.kill(pid, 'SIGKILL');
      await play(ns(lab), after);
      // its memory is taken apart before its sockets are closed: until then nobody can know
      await waitFor(
        'another forwarder',
        async () => ![pid, undefined].includes((await lab.lcpd.status()).dataplane.pid),
      );
    },
  },
  overrun: {
    weight: 6,
    play: async ({ lab }, lines) => {
      const [before, after] = halves(lines);
      lab.lcpd.daemon.signal('SIGSTOP');
      try {
        await play(ns(lab), [...before, ...flood(1200), ...after]);
      } finally {
        lab.lcpd.daemon.signal('SIGCONT');
      }
    },
  },
  resync: {
    weight: 5,
    play: async ({ lab }, lines) => {
      await Promise.all([lab.lcpd.json(['resync']), play(ns(lab), lines)]);
    },
  },
  'namespace replaced': {
    weight: 1,
    play: async (site, lines) => {
      const { lab, pool } = site;
      // first, so that their names in `far` are free: the kernel takes a namespace apart some time after its end
      for (const dev of unpaired) await ip(lab.ns('far'), 'link', 'del', dev);
      await lab.delNetns('cp');
      await lab.addNetns('cp', true);
      await addUnpaired(lab);
      pool.forgetNames();
      for (let n = 0; n < pool.ports; n++) await lab.waitLink('cp', `e${n}`);
      await heal(site);
      await play(ns(lab), lines);
    },
  },
};
