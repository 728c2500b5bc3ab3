// `make bench`: every figure in one run, with its target; exit status 1 when one is missed.
//
// node --import tsx bench/main.ts [netlink] [native] [mirror] [forwarding] [punt] [vpp]

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { vppPrefix } from '../test/vpp/lab/realvpp.ts';
import { type Figure, summary, tell } from './figure.ts';
import { forwarding } from './forwarding.ts';
import { mirror } from './mirror.ts';
import { punt } from './punt.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a benchmark that prints JSON lines {name, value, unit, target?, bound?} among others, and takes those. */
const child = async (argv: readonly string[]): Promise<Figure[]> => {
  const [command = '', ...args] = argv;
  const program = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(program, 'close');
  const figures: Figure[] = [];
  for await (const line of createInterface({ input: program.stdout })) {
    if (line.startsWith('{')) figures.push(tell(JSON.parse(line) as Figure));
    else if (line !== '') console.log(`     ${line}`);
  }
  const [code, signal] = await ended;
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code ?? signal}`);
  return figures;
};

/** The bench of a real VPP, which has a /dev/shm to itself. */
const vpp = async (): Promise<Figure[]> => {
  if (vppPrefix() === undefined) {
    console.log('SKIPPED: all figures of VPP: no VPP is installed, and VPP_PREFIX names none');
    return [];
  }
  await child(['make', '-s', '-C', 'src/vpp/native', 'bench']);
  const own = 'mount -t tmpfs shm /dev/shm && exec "$0" "$@"';
  return child(['unshare', '--mount', 'sh', '-c', own, process.execPath, '--import', 'tsx', 'bench/vpp.ts']);
};

const parts: Record<string, () => Promise<Figure[]>> = {
  netlink: () => child([process.execPath, '--import', 'tsx', 'bench/netlink.bench.ts']),
  native: () => child(['make', '-s', '-C', 'src/forwarding/native', 'bench']),
  mirror,
  forwarding,
  punt,
  vpp,
};

const asked = process.argv.slice(2);
const figures: Figure[] = [];
for (const [name, part] of Object.entries(parts)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  console.log(`\n${name}`);
  figures.push(...(await part()));
}
process.exitCode = summary(figures) === 0 ? 0 : 1;
