// VPP: how soon the kernel's routes are in a real VPP, beside linux_nl and beside a bare client. Prints JSON lines.
//
// Invariants: /dev/shm is this program's own (bench/main.ts sees to that), so that VPPs have their memory where they have
// it by default and meet no other VPP of the machine. All of it goes in the end.
//
//   node --import tsx bench/vpp.ts [convergence] [coldstart] [barriers]

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RealVpp, vppPrefix } from '../test/vpp/lab/realvpp.ts';
import type { Figure } from './figure.ts';
import { writeRoutes } from './load.ts';
import { barriers } from './vpp/barriers.ts';
import { coldStarts } from './vpp/coldstart.ts';
import { convergence } from './vpp/converge.ts';

async function main(asked: readonly string[]): Promise<void> {
  const prefix = vppPrefix();
  if (prefix === undefined) throw new Error('no VPP');
  const dir = mkdtempSync(join(tmpdir(), 'lcpbench-vpp-'));
  const files = { add: join(dir, 'add'), del: join(dir, 'del') };
  const options = { prefix, dir };
  // where lcpd finds libvppapiclient of a VPP that is not installed
  process.env.LD_LIBRARY_PATH = dirname(new RealVpp({ ...options, netns: '', segment: '' }).library);
  const parts: Record<string, () => AsyncIterable<Figure>> = {
    convergence: () => convergence(options, files),
    coldstart: () => coldStarts(options, files.add),
    barriers: () => barriers(options),
  };
  try {
    writeRoutes(files.add, 'add');
    writeRoutes(files.del, 'del');
    for (const [name, part] of Object.entries(parts)) {
      if (asked.length > 0 && !asked.includes(name)) continue;
      for await (const figure of part()) console.log(JSON.stringify(figure));
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
}

await main(process.argv.slice(2));
