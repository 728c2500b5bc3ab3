// Test material: messages captured from Linux 6.18 and from Debian's user-mode-linux 6.1.176 (kernel-messages-6.1.json),
// and network namespaces of the tests' own.
//
// Invariants: a namespace is named lcpu-*, made and deleted by the test that uses it. A test that needs root says
// loudly that it was skipped where it is not.

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe } from 'vitest';
import { fromHex } from '../../../src/lib/bytes.ts';
import { netnsPath } from '../../../src/netlink/netns.ts';

export interface Captured {
  /** What `formatRaw` says about it; checked to be right by hand against `ip monitor`. */
  readonly line: string;
  readonly bytes: Uint8Array;
  readonly type: number;
}

const read = (file: string) =>
  JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as { line: string; hex: string }[];
// The second one has what only a kernel with more modules says: MPLS, VLANs, VRFs, bonds.
const raw = [...read('./kernel-messages.json'), ...read('./kernel-messages-6.1.json')];

export const captured: readonly Captured[] = raw.map(({ line, hex }) => {
  const bytes = fromHex(hex);
  return { line, bytes, type: new DataView(bytes.buffer).getUint16(4, true) };
});

/** The captured message whose line contains the text. */
export function capturedLike(text: string): Captured {
  const found = captured.find((message) => message.line.includes(text));
  if (found === undefined) throw new Error(`no captured message like ${text}`);
  return found;
}

export const isRoot = process.getuid?.() === 0;

/** A describe block that needs root and namespaces; where they are missing, it says so. */
export function describeRoot(name: string, body: () => void): void {
  if (isRoot) {
    describe(name, body);
    return;
  }
  process.stderr.write(`SKIPPED: ${name}: needs root for network namespaces\n`);
  describe.skip(`${name} (needs root)`, body);
}

let serial = 0;

export class TestNetns {
  readonly name = `lcpu-${process.pid}-${serial++}`;
  readonly path = netnsPath(this.name);

  add(): void {
    execFileSync('ip', ['netns', 'add', this.name]);
  }

  del(): void {
    execFileSync('ip', ['netns', 'del', this.name]);
  }

  /** Runs ip(8) commands, one a line, inside. */
  ip(commands: string): void {
    const lines = commands
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
    execFileSync('ip', ['-n', this.name, '-batch', '-'], { input: `${lines.join('\n')}\n`, stdio: 'pipe' });
  }
}

/** A namespace for a whole describe block. */
export function netnsForBlock(setup = ''): TestNetns {
  const netns = new TestNetns();
  beforeAll(() => {
    netns.add();
    if (setup !== '') netns.ip(setup);
  });
  afterAll(() => netns.del());
  return netns;
}

/** Waits until the condition holds; throws after the limit with what was waited for. */
export async function until(what: string, condition: () => boolean, limitMs = 5000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Numbers that a seed repeats (mulberry32). */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % below;
  };
}
