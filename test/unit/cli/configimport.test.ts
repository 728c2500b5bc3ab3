// `lcpctl config import` as a process of its own: what goes where, how it exits, and that it overwrites nothing unasked.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { buildLcpctl } from './build.ts';

const directory = mkdtempSync(join(tmpdir(), 'lcpd-import-'));
const work = join(directory, 'work');
let main: string;

function importConfig(...args: string[]): { code: number | null; out: string; err: string } {
  const options = { cwd: work, encoding: 'utf8', timeout: 20_000 } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'config', 'import', ...args], options);
  return { code: status, out: stdout, err: stderr };
}

function configOf(text: string) {
  const loaded = loadConfig(text);
  if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

beforeAll(() => {
  main = buildLcpctl(directory);
  mkdirSync(work);
  const write = (name: string, text: string | Buffer) => writeFileSync(join(work, name), text);
  write(
    'startup.conf',
    'unix { exec boot.vpp }\nlinux-cp { default netns cp lcp-auto-subint }\nlinux-nl { nl-batch-size 64 }\n',
  );
  write('boot.vpp', 'lcp create host-eth0 host-if e0\nlcp create GigabitEthernet0/8/0 host-if e1\n');
  write('broken.conf', 'linux-cp {\n  default netns cp\n');
  write('latin1.conf', Buffer.from([0x61, 0xe9]));
  write('large.conf', Buffer.alloc(2 ** 20 + 1, ' '));
  spawnSync('mkfifo', [join(work, 'pipe.conf')]);
});

afterAll(() => rmSync(directory, { recursive: true }));

describe('lcpctl config import', () => {
  it('prints the configuration, and on standard error what is left to do, with status 1', () => {
    const { code, out, err } = importConfig('startup.conf');
    expect(code).toBe(1);
    expect(configOf(out).pairs).toEqual([{ phy: 'eth0', host: 'e0', netns: 'cp', type: 'tap' }]);
    const lines = err.trim().split('\n');
    expect(lines).toContainEqual(expect.stringMatching(/^startup.conf:3: nl-batch-size 64: no counterpart: /));
    expect(lines).toContainEqual(expect.stringMatching(/^left to do: boot.vpp:2: .*--map GigabitEthernet0\/8\/0=PHY/));
    expect(lines.at(-1)).toBe('incomplete: 1 pair; 1 left to do');
  });

  it('is complete with what was missing, with status 0', () => {
    const { code, out, err } = importConfig('startup.conf', '--map', 'GigabitEthernet0/8/0=lan0', '--exec', 'boot.vpp');
    expect([code, err.trim().split('\n').at(-1)]).toEqual([0, 'complete: 2 pairs']);
    expect(configOf(out).pairs.map(({ phy }) => phy)).toEqual(['eth0', 'lan0']);
  });

  it('writes a file, and over one only with --force', () => {
    const file = join(work, 'lcpd.yaml');
    const first = importConfig('startup.conf', '-o', 'lcpd.yaml');
    expect([first.code, first.out]).toEqual([1, '']);
    expect(configOf(readFileSync(file, 'utf8')).pairs.length).toBe(1);
    writeFileSync(file, 'mine\n');
    const second = importConfig('startup.conf', '-o', 'lcpd.yaml');
    expect([second.code, readFileSync(file, 'utf8')]).toEqual([2, 'mine\n']);
    expect(second.err).toContain('lcpctl: lcpd.yaml exists\n  hint: overwrite it with --force\n');
    expect(importConfig('startup.conf', '-o', 'lcpd.yaml', '--force').code).toBe(1);
    expect(configOf(readFileSync(file, 'utf8')).pairs.length).toBe(1);
    expect(readdirSync(work).filter((name) => name.startsWith('lcpd.yaml'))).toEqual(['lcpd.yaml']);
  });

  it('prints JSON for programs', () => {
    const { code, out } = importConfig('startup.conf', '--json');
    const answer = JSON.parse(out) as { text: string; notes: { text: string; open: boolean }[]; incomplete: boolean };
    expect([code, answer.incomplete, answer.notes.filter(({ open }) => open).length]).toEqual([1, true, 1]);
    expect(configOf(answer.text).netns).toBe('cp');
  });

  it.each([
    [['broken.conf'], /^lcpctl: .*\nbroken.conf:1:10: "\{" is not closed/],
    [['no.conf'], /^lcpctl: read no.conf: ENOENT/],
    [['latin1.conf'], /^lcpctl: read latin1.conf: .*(valid|encoded)/],
    [['large.conf'], /^lcpctl: read large.conf: it is larger than 1 MiB/],
    [['pipe.conf'], /^lcpctl: read pipe.conf: it is not a regular file/],
    [['/dev/zero'], /^lcpctl: read \/dev\/zero: it is not a regular file/],
    [['.'], /^lcpctl: read .: it is not a regular file/],
    [['startup.conf', '--exec', 'no.vpp'], /^lcpctl: read no.vpp: ENOENT/],
    [['startup.conf', '--map', 'x'], /^error: .*Write it like GigabitEthernet0\/8\/0=wan0/],
    [['startup.conf', '--map', 'x=a', '--map', 'x=b'], /^error: .*x is mapped twice/],
    [['startup.conf', '-o', 'no/lcpd.yaml'], /lcpctl: cannot write no\/lcpd.yaml: ENOENT/],
    [[], /missing required argument/],
  ])('%j is refused with status 2', (args, expected) => {
    const { code, out, err } = importConfig(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(expected);
  });
});
