// The binding: sizes that are checked when the library is loaded, counters by name, and a region without a forwarder.

import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { buildPath, native, PORT, SIZE } from '../../../src/forwarding/native.ts';
import { counterNames } from '../../../src/forwarding/observe.ts';
import { encodeSpec } from '../../../src/forwarding/port.ts';
import { ipBytes } from '../../../src/lib/ip.ts';
import { errnoName } from '../../../src/lib/libc.ts';
import { describeReal } from './lab.ts';

const header = ['lcpfwd.h', 'lcpfwd_punt.h']
  .map((file) => new URL(`../../../src/forwarding/native/${file}`, import.meta.url))
  .map((url) => fs.readFileSync(fileURLToPath(url), 'utf8'))
  .join('');

/** Loads the binding in a process of its own and gives what it says. */
const load = (dir: string): string => {
  const module = new URL('../../../src/forwarding/native.ts', import.meta.url).href;
  const script = `import { native } from '${module}'; try { native(); console.log('loaded'); } catch (e) { console.log(e.code, e.message, '|', e.hint); }`;
  const env = { ...process.env, LCPD_BUILD_DIR: dir };
  return execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    encoding: 'utf8',
    env,
  });
};

it('sizes are those that the header tells', () => {
  const told = [...header.matchAll(/^struct lcpfwd_(\w+) \{ \/\* (\d+) bytes/gm)].map(([, name, size]) => [
    name,
    Number(size),
  ]);
  expect(Object.fromEntries(told)).toMatchObject({
    path: 56,
    route: 28,
    neighbour: 28,
    port: 368,
    event: 24,
    trace: 128,
    adjacency: 88,
    punt: 208,
  });
  const names: Readonly<Record<string, string>> = { lookup_spec: 'spec', lookup_result: 'result' };
  for (const [name, size] of told)
    expect(SIZE[(names[name as string] ?? name) as keyof typeof SIZE], String(name)).toBe(size);
});

it('offsets follow each other and end within the struct', () => {
  const offsets = Object.values(PORT);
  expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
  expect(PORT.netns + 92).toBeLessThanOrEqual(SIZE.port);
});

it('a library that is not there is an error with a hint', () => {
  const empty = fs.mkdtempSync('/tmp/lcpu-native-');
  try {
    expect(load(empty)).toMatch(/^NATIVE_LIBRARY .*has not been built \| run make native\n$/);
  } finally {
    fs.rmSync(empty, { recursive: true });
  }
});

describeReal('the library', () => {
  let handle: bigint;
  beforeEach(() => {
    handle = native().create(64n << 20n, 1) as bigint;
    expect(handle).not.toBe(0n);
  });
  afterEach(() => native().detach(handle));

  it('of another build is refused: its structs have other sizes', () => {
    const dir = fs.mkdtempSync('/tmp/lcpu-native-');
    try {
      fs.writeFileSync(`${dir}/other.c`, 'unsigned lcpfwd_sizeof(unsigned i) { return i == 5 ? 232 : 24; }\n');
      const symbols = [...header.matchAll(/^[\w ]+[ *](lcpfwd_\w+)\(/gm)]
        .map(([, name]) => name)
        .filter((n) => n !== 'lcpfwd_sizeof');
      fs.appendFileSync(`${dir}/other.c`, [...new Set(symbols)].map((n) => `void ${n}(void) {}\n`).join(''));
      execFileSync('cc', ['-shared', '-fPIC', '-o', `${dir}/liblcpfwd.so`, `${dir}/other.c`], { stdio: 'pipe' });
      expect(load(dir)).toMatch(
        /^NATIVE_LIBRARY .*struct lcpfwd_\w+ has \d+ bytes, expected \d+ \| .*run make native\n$/,
      );
    } finally {
      fs.rmSync(dir, { recursive: true });
    }
  });

  it('as it is, is taken', () => {
    expect(load(buildPath('').replace(/\/$/, ''))).toBe('loaded\n');
  });

  it('names its counters, each once', () => {
    const names = counterNames();
    expect(names.length).toBeGreaterThan(10);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9-]*$/);
  });

  it('answers refusals with errno, which have names', () => {
    const n = native();
    const errors = {
      'table of no family': n.tableAdd(handle, 5, 'x') as number,
      'table without a name': n.tableAdd(handle, 4, '') as number,
      'port that is not there': n.portDel(handle, 200) as number,
      'path list without legs': n.pathlistSet(handle, 0, new Uint8Array(0), 0) as number,
      'lookup of no family': n.lookup(
        handle,
        encodeSpec([], false),
        5,
        new Uint8Array(16),
        1,
        new Uint32Array(3),
      ) as number,
    };
    for (const [what, errno] of Object.entries(errors)) {
      expect(errno, what).toBeLessThan(0);
      expect(errnoName(errno), what).toMatch(/^E[A-Z0-9]+$/);
    }
  });

  it('keeps what is written at the offsets that the binding uses', () => {
    const n = native();
    const table = n.tableAdd(handle, 4, 'cp/v4/254') as number;
    expect(table).toBeGreaterThan(0);
    const words = new Uint32Array([table, 5, 8, 10, 0, 0, 0]);
    const results = new Int32Array(1);
    expect(n.routesApply(handle, words, 1, results)).toBe(0);
    const address = new Uint8Array(16);
    address.set(ipBytes('10.1.2.3'));
    const found = new Uint32Array(3);
    expect(n.lookup(handle, encodeSpec([table], false), 4, address, 1, found)).toBe(0);
    expect([...found]).toEqual([table, 5, 8]);
    const dumped = new Uint32Array(7 * 4);
    expect(n.routesDump(handle, table, dumped, 4, new Uint8Array(20))).toBe(1);
    expect([...dumped.subarray(0, 7)]).toEqual([...words]);
  });
});
