// Load: the routes that benchmarks give to the kernel by `ip -batch`, and how long that takes.
//
// Route i leaves by the gateways 10.0.1.2 … in turn, so that some dozens of path sets serve all routes.

import { writeFileSync } from 'node:fs';
import { addNetns, addVeth, delNetns, ip } from '../test/system/lab/netns.ts';
import { run } from '../test/system/lab/process.ts';

export const ROUTES = 400_000;
/** Length of every route's prefix. */
export const PREFIX_LENGTH = 24;
export const NEXT_HOPS = 50;

/** The four bytes of route i. */
export const prefixOf = (i: number): [number, number, number, number] => [20 + (i >> 16), (i >> 8) & 255, i & 255, 0];

/** The last byte of route i's gateway, 10.0.1.N. */
export const gatewayOf = (i: number): number => 2 + (i % NEXT_HOPS);

/** Writes the lines for `ip -batch` that add or delete the first routes. */
export function writeRoutes(file: string, verb: 'add' | 'del', count = ROUTES): void {
  const lines: string[] = [];
  for (let i = 0; i < count; i++) {
    lines.push(`route ${verb} ${prefixOf(i).join('.')}/${PREFIX_LENGTH} via 10.0.1.${gatewayOf(i)}`);
  }
  writeFileSync(file, `${lines.join('\n')}\n`);
}

export const batch = (ns: string, file: string) => run(['ip', '-n', ns, '-batch', file], { timeoutMs: 300_000 });

export const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
};

/** What `ip -batch` takes where nobody listens, for the routes and for their withdrawal. */
export const alone = async (add: string, del: string): Promise<{ load: number; unload: number }> => {
  const ns = `lcpbench${process.pid}-alone`;
  await addNetns(ns);
  try {
    await addVeth({ ns, dev: 'e1' }, { ns, dev: 'x1' });
    for (const dev of ['e1', 'x1']) await ip(ns, 'link', 'set', dev, 'up');
    await ip(ns, 'addr', 'add', '10.0.1.1/24', 'dev', 'e1');
    return { load: await seconds(() => batch(ns, add)), unload: await seconds(() => batch(ns, del)) };
  } finally {
    await delNetns(ns);
  }
};
