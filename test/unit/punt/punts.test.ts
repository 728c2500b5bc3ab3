/**
 * Punts: who has what over restarts, and what somebody who died has left. That it holds whatever happens is in
 * properties.test.ts.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal } from '../../../src/punt/journal.ts';
import type { PuntRequest, ToHostSpec } from '../../../src/punt/request.ts';
import { ask } from './lab.ts';
import { World } from './world.ts';

const port = (label: string, socket: string, key = 'config'): PuntRequest => {
  const spec: ToHostSpec = { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket };
  return ask(label, spec, { id: { cnf: '', key, label } });
};

describe('punts over lives of lcpd', () => {
  let w: World;
  beforeEach(() => {
    w = new World(() => 99);
  });
  afterEach(() => w.end());
  const states = (): string[] => w.punts.list().map(({ id, state }) => `${id} ${state}`);
  const paths = (): string[] =>
    [...w.plane.held.values()].flatMap((o) => (o.kind === 'punt' && o.feature === 'socket' ? [o.path] : []));
  const configure = (...requests: PuntRequest[]): void => {
    w.configured = requests;
    w.punts.configure(requests);
  };

  it('who came first has it after a restart, wherever in the configuration who came later is', async () => {
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    configure(port('second', '/run/t/b.sock'), port('first', '/run/t/a.sock'));
    await w.quiet();
    const before = states();
    expect(before).toEqual(['|config|first CREATED', '|config|second BUSY']);
    w.again();
    await w.quiet();
    expect(states()).toEqual(before);
    expect(paths()).toEqual(['/run/t/a.sock']);
  });

  it('requests by hand and those of the configuration have one age', async () => {
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    w.punts.add(ask('limit', { type: 'police', scope: 'arp', unit: 'pps', rate: 100, burst: 100 }), 'cli');
    configure(port('first', '/run/t/a.sock'), port('third', '/run/t/c.sock'));
    await w.quiet();
    const before = states();
    w.again();
    await w.quiet();
    expect(states()).toEqual(before);
    expect(before.map((text) => text.split('|')[2])).toEqual(['first CREATED', 'limit CREATED', 'third BUSY']);
  });

  it('what was on its way when lcpd died, and nobody wants any more, is deleted', async () => {
    w.end();
    w = new World((below) => (below === 3 ? 2 : 99));
    configure(port('first', '/run/t/a.sock'));
    w.plane.trouble = { refuses: 0, kills: 0, dies: 0 };
    w.plane.killsBehind = true;
    await w.round();
    expect(paths()).toEqual(['/run/t/a.sock']);
    w.plane.killsBehind = false;
    w.configured = [];
    w.again();
    await w.quiet();
    expect(paths()).toEqual([]);
    w.journal.close();
    w.journal = new Journal(w.path);
    expect(w.journal.held(String(w.plane.generation))).toEqual([]);
  });

  it('what was refused to be taken back, and has gone by half, is made again when it is wanted again', async () => {
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    w.plane.trouble.refuses = 100;
    configure();
    await w.round();
    w.plane.held.clear();
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    expect([states(), paths()]).toEqual([['|config|first CREATED'], ['/run/t/a.sock']]);
    const [held] = w.journal.held(String(w.plane.generation));
    expect(held).toMatchObject({ sure: true });
  });

  it('so is what another was refused to take the place of', async () => {
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    w.plane.trouble.refuses = 100;
    configure(port('first', '/run/t/b.sock'));
    await w.round();
    w.plane.held.clear();
    configure(port('first', '/run/t/a.sock'));
    await w.quiet();
    expect([states(), paths()]).toEqual([['|config|first CREATED'], ['/run/t/a.sock']]);
  });

  it('what was refused, is there all the same and nobody wants any more, is deleted', async () => {
    w.end();
    w = new World((below) => (below === 3 ? 2 : 99));
    configure(port('first', '/run/t/a.sock'));
    w.plane.trouble.refuses = 100;
    await w.round();
    expect(states()).toEqual(['|config|first FAILED']);
    expect(paths()).toEqual(['/run/t/a.sock']);
    configure();
    await w.quiet();
    expect([states(), paths(), w.journal.held(String(w.plane.generation))]).toEqual([[], [], []]);
  });

  it.each([
    ['before', { kills: 100 }],
    ['behind', { kills: 0 }],
  ])('who dies %s one takes the place of another knows both', async (when, { kills }) => {
    for (const then of [[port('first', '/run/t/b.sock')], []]) {
      configure(port('first', '/run/t/a.sock'));
      await w.quiet();
      expect(paths()).toEqual(['/run/t/a.sock']);
      configure(port('first', '/run/t/b.sock'));
      w.plane.trouble.kills = kills;
      w.plane.killsBehind = kills === 0;
      await w.round();
      expect(paths()).toEqual([when === 'before' ? '/run/t/a.sock' : '/run/t/b.sock']);
      w.plane.killsBehind = false;
      configure(...then);
      await w.quiet();
      const wanted = then.length === 0 ? [] : ['/run/t/b.sock'];
      expect([paths(), states()]).toEqual([wanted, wanted.map(() => '|config|first CREATED')]);
      const held = w.journal.held(String(w.plane.generation));
      expect(held.map(({ sure }) => sure)).toEqual(wanted.map(() => true));
    }
  });
});
