// `make bench`: every figure in one run, with its target; exit status 1 when one is missed.
//
// node --import tsx bench/main.ts [netlink] [native] [mirror] [forwarding]

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Figure, summary, tell } from './figure.ts';
import { forwarding } from './forwarding.ts';
import { mirror } from './mirror.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a benchmark that prints JSON lines {name, value, unit, target?, bound?} among others, and takes those. */
const child = (argv: readonly string[]): Figure[] => {
  const [command = '', ...args] = argv;
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const figures: Figure[] = [];
  for (const line of done.stdout.split('\n')) {
    if (line.startsWith('{')) figures.push(tell(JSON.parse(line) as Figure));
    else if (line !== '') console.log(`     ${line}`);
  }
  if (done.status !== 0) throw new Error(`${argv.join(' ')} ended with ${done.status ?? done.signal}`);
  return figures;
};

const parts: Record<string, () => Figure[] | Promise<Figure[]>> = {
  netlink: () => child([process.execPath, '--import', 'tsx', 'bench/netlink.bench.ts']),
  native: () => child(['make', '-s', '-C', 'src/forwarding/native', 'bench']),
  mirror,
  forwarding,
};

const asked = process.argv.slice(2);
const figures: Figure[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n${name}`);
  figures.push(...(await part()));
}
process.exitCode = summary(figures) === 0 ? 0 : 1;
