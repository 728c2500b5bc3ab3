/** The journal of punts: cut anywhere, full disks, damage, growth. */
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Punt } from '../../../src/lcp/puntobjects.ts';
import { Journal } from '../../../src/punt/journal.ts';
import { ask } from './lab.ts';

/** Thousands of records, each synced to a disk, would be a test of the disk. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

const span = (label: string) => ask(label, { type: 'span', interface: 'eth0', direction: 'both' });
const port = (n: number): Punt => ({
  kind: 'punt',
  feature: 'host',
  match: { by: 'port', family: 4, protocol: 17, port: n },
});

describe('the journal of punts', () => {
  let folder: string;
  let path: string;
  const opened: Journal[] = [];
  beforeEach(() => {
    folder = mkdtempSync(join(MEMORY, 'lcpd-journal-'));
    path = join(folder, 'state', 'punts.journal');
  });
  afterEach(() => {
    for (const journal of opened.splice(0)) journal.close();
    rmSync(folder, { recursive: true });
  });
  const open = (): Journal => {
    const journal = new Journal(path);
    opened.push(journal);
    return journal;
  };
  const shown = (j: Journal) => ({
    requests: j.requests.map(({ request, source }) => `${request.id.label} ${source}`),
    numbers: j.numbers,
    held: j.held('g1').map(({ punt, sure }) => [punt, sure]),
  });

  function fill(j: Journal): ReturnType<typeof shown>[] {
    const steps = [shown(j)];
    const step = (act: () => void) => {
      act();
      steps.push(shown(j));
    };
    step(() => j.keep(span('a'), 'cli'));
    step(() => j.renumber({ netns: { c1: 1 }, subnets: {}, priorities: {} }));
    step(() => j.keep(span('b'), 'etcd'));
    step(() => j.intend([port(1)], 'g1'));
    step(() => j.done([port(1)], [], 'g1'));
    step(() => j.drop('|config|a'));
    step(() => j.intend([port(2)], 'g1'));
    step(() => j.intend([port(1)], 'g1'));
    step(() => j.done([], [port(1)], 'g1'));
    return steps;
  }

  it('has after a restart what it had before', () => {
    const j = open();
    const steps = fill(j);
    const again = open();
    expect(shown(again)).toEqual(steps.at(-1));
    expect(again.cut).toBe(0);
    expect(again.held('another life')).toEqual([]);
    expect(again.held('g1')).toEqual([{ punt: port(2), generation: 'g1', sure: false }]);
  });

  it('cut at any byte is as it was before or after the step that the byte is of, never anything else', () => {
    const steps = fill(open()).map((step) => JSON.stringify(step));
    const whole = readFileSync(path);
    let last = 0;
    for (let size = 0; size <= whole.length; size++) {
      writeFileSync(path, whole.subarray(0, size));
      const j = open();
      const at = steps.indexOf(JSON.stringify(shown(j)), last);
      expect(at, `cut at byte ${size}`).toBeGreaterThanOrEqual(last);
      last = at;
      j.keep(span('after'), 'cli');
      j.close();
      const again = open();
      expect(again.requests.at(-1)?.request.id.label, 'and goes on').toBe('after');
      again.close();
    }
    expect(last).toBe(steps.length - 1);
  });

  it('says of damage in the middle where it is, and touches nothing', () => {
    fill(open());
    const bytes = readFileSync(path);
    const at = bytes.indexOf(10, 20) + 15;
    bytes[at] = (bytes[at] as number) ^ 1;
    writeFileSync(path, bytes);
    expect(() => open()).toThrow(
      expect.objectContaining({ code: 'PUNT_JOURNAL', message: expect.stringMatching(/damaged/) }),
    );
    expect(readFileSync(path)).toEqual(bytes);
  });

  it('does not take a file for one that is none', () => {
    open().close();
    truncateSync(path);
    appendFileSync(path, 'something else\n');
    expect(() => open()).toThrow(expect.objectContaining({ code: 'PUNT_JOURNAL' }));
    path = '/proc/no/such/place';
    expect(() => open()).toThrow(expect.objectContaining({ code: 'PUNT_JOURNAL' }));
  });

  it('that cannot be written refuses, and forgets nothing', () => {
    const j = open();
    j.keep(span('a'), 'cli');
    const size = statSync(path).size;
    j.close(); // the descriptor is gone: no write succeeds
    expect(() => j.keep(span('b'), 'cli')).toThrow(expect.objectContaining({ code: 'PUNT_JOURNAL' }));
    expect(j.requests.length).toBe(1);
    expect(statSync(path).size).toBe(size);
    expect(shown(open()).requests).toEqual(['a cli']);
  });

  it('of one that takes the place of another has both until the data plane has answered, over lives and when written anew', () => {
    const socket = (file: string): Punt => ({ ...port(9), feature: 'socket', path: `/run/t/${file}` }) as Punt;
    const [a, b] = [socket('a'), socket('b')];
    const j = open();
    j.done([a], [], 'g1');
    j.intend([b], 'g1');
    const both = [
      [a, false],
      [b, false],
    ];
    expect(shown(j).held).toEqual(both);
    j.intend([b], 'g1');
    expect(shown(open()).held, 'once each').toEqual(both);
    const size = statSync(path).size;
    for (let i = 0; i < 4000; i++) j.done([], [port(1)], 'g1');
    expect(statSync(path).size).toBeLessThan(size + 300 * 1024);
    expect(shown(open()).held).toEqual(both);
    j.done([b], [], 'g1');
    expect(shown(open()).held).toEqual([[b, true]]);
    j.intend([a], 'g2');
    expect([j.held('g1'), j.held('g2').length], 'another life has nothing of it').toEqual([[], 1]);
    j.done([], [a], 'g2');
    expect(open().held('g2')).toEqual([]);
  });

  it('does not grow without end, and is whole while it is written anew', () => {
    const j = open();
    j.keep(span('a'), 'cli');
    for (let i = 0; i < 4000; i++) {
      j.intend([port(i % 3)], 'g1');
      j.done([port(i % 3)], [], 'g1');
    }
    expect(statSync(path).size).toBeLessThan(300 * 1024);
    const again = open();
    expect(shown(again)).toEqual(shown(j));
    expect(again.held('g1').length).toBe(3);
    j.close();
    again.keep(span('z'), 'cli');
    expect(shown(open()).requests).toEqual(['a cli', 'z cli']);
  });
});
