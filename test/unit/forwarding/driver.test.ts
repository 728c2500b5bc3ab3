// The embedded driver beyond the contract: forwarders that end, are busy, cannot start; hosts that look like phys.

import { afterEach, beforeEach, expect, it } from 'vitest';
import { EmbeddedDataPlane } from '../../../src/forwarding/driver.ts';
import {
  type DataPlaneEvent,
  type LinkChange,
  type LinkControl,
  type LinkFacts,
  newRouteBatch,
  ROUTE_WORDS,
} from '../../../src/lcp/dataplane.ts';
import type { Link, Pair, Path, Table } from '../../../src/lcp/objects.ts';
import { describeReal, Lab } from './lab.ts';
import { until } from './watchedlab.ts';

const MEMORY = 64 << 20;
const table: Table = { kind: 'table', netns: 'cp', family: 4, table: 254 };

describeReal('the embedded driver', () => {
  let lab: Lab;
  let opened: EmbeddedDataPlane[];
  let changes: { netns: string; ifindex: number; change: LinkChange }[];
  let links: LinkControl;

  beforeEach(() => {
    lab = new Lab();
    opened = [];
    changes = [];
    links = {
      set: async (netns, ifindex, change) => {
        changes.push({ netns, ifindex, change });
      },
      nameOf: () => undefined,
      all: () => [],
      marked: () => [],
      get: (netns, ifindex): LinkFacts | undefined =>
        netns === '' && ifindex === lab.ifindex(lab.phys, 'wan0')
          ? { name: 'wan0', up: true, carrier: true, mtu: 1400, mac: '02:00:00:00:00:77', promisc: false }
          : undefined,
      netnsPath: (netns) => `/run/netns/${netns}`,
    };
  });
  afterEach(async () => {
    for (const dataplane of opened) await dataplane.close(false);
    lab.close();
  });

  const connect = (socket = `${lab.dir}/fwd.sock`) => {
    const dataplane = new EmbeddedDataPlane({ socket, memoryBytes: MEMORY, workers: 1, startTimeoutMs: 3000 }, links);
    const states: string[] = [];
    const events: DataPlaneEvent[] = [];
    dataplane.connect({
      onState: (state, cause) => states.push(`${state}: ${cause}`),
      onEvent: (event) => events.push(event),
      onPhys: () => undefined,
    });
    opened.push(dataplane);
    return { dataplane, states, events };
  };
  const pair = (): Pair => ({
    kind: 'pair',
    phy: 'wan0',
    phyIfindex: lab.ifindex(lab.phys, 'wan0'),
    host: 'e0',
    netns: lab.hosts,
    netnsId: lab.hostsIdentity,
    type: 'tap',
  });

  it('starts a forwarder, and another when that one ends: down, then up, empty, of another generation', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    expect(states[0]).toMatch(/^up: started forwarder, pid \d+$/);
    await dataplane.apply([{ op: 'set', object: table, handle: 0 }]);
    const { generation, pid } = dataplane.info();
    process.kill(pid as number, 'SIGKILL');
    await until('it is up again', () => states.length >= 3);
    expect(states[1]).toBe('down: the forwarder has ended');
    expect(states[2]).toMatch(/^up: started/);
    expect(dataplane.info().pid).not.toBe(pid);
    expect(dataplane.info().generation).not.toBe(generation);
    expect(await dataplane.dump()).toEqual([]);
  });

  it('without a forwarder everything is an error value or says that it is down, nothing throws unnamed', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    process.kill(dataplane.info().pid as number, 'SIGKILL');
    await until('it is down', () => states.length === 2);
    expect(dataplane.info()).toEqual({ driver: 'embedded', state: 'down', generation: '' });
    const [result] = await dataplane.apply([{ op: 'set', object: table, handle: 0 }]);
    expect(result).toMatchObject({ ok: false, code: 'DATAPLANE_DOWN' });
    await expect(dataplane.dump()).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    expect(() => dataplane.lookup(4, [1], false, ['10.0.0.1'])).toThrow('the forwarder is not there');
    expect([dataplane.adjacencies(), dataplane.counters(), dataplane.traces(0, 1)]).toEqual([[], [], []]);
  });

  it('finds the forwarder that another left', async () => {
    const first = connect();
    await until('it is up', () => first.states.length === 1);
    const { pid } = first.dataplane.info();
    await first.dataplane.close(true);
    const second = connect();
    await until('it is up', () => second.states.length === 1);
    expect(second.states[0]).toBe(`up: found forwarder, pid ${pid}`);
  });

  it('two writers: the second is down with the reason, and takes over when the first lets go', async () => {
    const first = connect();
    await until('it is up', () => first.states.length === 1);
    const second = connect();
    await until('it is refused', () => second.states.length >= 1);
    expect(second.states[0]).toMatch(/^down: .*another lcpd/);
    await first.dataplane.close(true);
    await until('it takes over', () => second.states.at(-1)?.startsWith('up') === true);
  });

  it('a forwarder that cannot listen is down with its reason, and is tried again', async () => {
    const { states } = connect(`${lab.dir}/missing/fwd.sock`);
    await until('it is told', () => states.length >= 2);
    for (const state of states) expect(state).toMatch(/^down: start .*missing\/fwd.sock: exit status \d+$/);
  });

  it('a new host takes MTU, MAC and admin state of its phy, and says whose it is; a found one is left alone', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    const [made] = await dataplane.apply([{ op: 'set', object: pair(), handle: 0 }]);
    expect(made).toMatchObject({ ok: true, handle: lab.ifindex(lab.hosts, 'e0') });
    expect(changes).toEqual([
      {
        netns: lab.hosts,
        ifindex: made?.handle,
        change: { alias: 'lcpd wan0', mtu: 1400, up: true, promisc: true, mac: '02:00:00:00:00:77' },
      },
    ]);
    const known = links.get;
    const facts = known('', lab.ifindex(lab.phys, 'wan0'));
    links.get = (netns, ifindex) => (ifindex === made?.handle ? facts : known(netns, ifindex));
    await dataplane.apply([{ op: 'set', object: pair(), handle: made?.handle ?? 0 }]);
    expect(changes).toHaveLength(1);
  });

  it('a forwarder that ends while a device is being changed is an answer for that object', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    const [made] = await dataplane.apply([{ op: 'set', object: pair(), handle: 0 }]);
    const { pid } = dataplane.info();
    const known = links.get;
    const down = { name: 'x', up: false, carrier: false, mtu: 9000, mac: '02:00:00:00:00:78', promisc: false };
    links.get = (netns, ifindex) => (ifindex === made?.handle ? down : known(netns, ifindex));
    links.set = async () => {
      if (states.length > 1) return;
      process.kill(pid as number, 'SIGKILL');
      await until('its end is seen', () => states.length > 1);
    };
    const { phyIfindex, host, netns } = pair();
    const attributes = { up: true, mtu: 1500, phyMtu: 1500, mac: '02:00:00:00:00:78', carrier: true, promisc: true };
    const answers = { forwarding4: true, forwarding6: true, source4: '', source6: '', macs: [], l2: false };
    const lookups = { lookup4: [], lookup6: [], merged4: false, lookupMpls: [] };
    const named = { phy: 'wan0', parent: '', phyIfindex, hostIfindex: made?.handle ?? 0, host, netns };
    const link: Link = { kind: 'link', ...named, ...attributes, ...answers, ...lookups };
    const [result] = await dataplane.apply([{ op: 'set', object: link, handle: 0 }]);
    expect(result).toMatchObject({ ok: false, code: 'DATAPLANE_DOWN' });
    expect(states.slice(0, 2).map((s) => s.slice(0, 4))).toEqual(['up: ', 'down']);
  });

  it.each([
    ['namespace', { netns: 'lcpu-nobody' }, 'NETNS_GONE'],
    ['phy', { phyIfindex: 999_999 }, 'PHY_GONE'],
    ['host name that is taken', { host: 'lo' }, 'HOST_DEVICE'],
  ])('a pair with a wrong %s is refused with a reason', async (_, wrong, code) => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    const [result] = await dataplane.apply([{ op: 'set', object: { ...pair(), ...wrong }, handle: 0 }]);
    expect(result).toMatchObject({ ok: false, code });
    expect(result?.message).not.toBe('');
  });

  it('names of tables that a refused path set would have used are given back; a name used is not given away', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    const into = (key: string, weight = 1) => ({ phy: '', via: '', weight, lookup4: [key], lookup6: [] });
    const set = async (...paths: Path[]) => {
      const [result] = await dataplane.apply([
        { op: 'set', object: { kind: 'pathset', id: 'cp#1', paths }, handle: 0 },
      ]);
      return result;
    };
    const add = async (n: number) => {
      const [result] = await dataplane.apply([{ op: 'set', object: { ...table, table: n }, handle: 0 }]);
      return result?.handle ?? 0;
    };
    expect(await set(into('x'.repeat(116)))).toMatchObject({ ok: false, code: 'REFUSED' });
    for (let i = 0; i < 5000; i++) {
      const result = await set(into(`cp/v4/${i}`), into(`cp/v4/${i + 1}`, 0)); // more names than there are ids
      expect(result).toMatchObject({ ok: false, message: expect.stringContaining('EINVAL') });
    }
    expect(await set(into('cp/v4/7'))).toMatchObject({ ok: true });
    const others = [await add(1), await add(2)];
    const seven = await add(7);
    expect(others).not.toContain(seven);
    await dataplane.apply([{ op: 'delete', object: { ...table, table: 7 }, handle: seven }]);
    expect(await add(8)).not.toBe(seven);
    expect(await add(7)).toBe(seven);
  });

  it('memory that is used up is an answer for each route, with a hint, and what fits is kept', async () => {
    const { dataplane, states } = connect();
    await until('it is up', () => states.length === 1);
    const [t] = await dataplane.apply([{ op: 'set', object: { ...table, family: 6 }, handle: 0 }]);
    const batch = newRouteBatch(6, 4096);
    let refused = 0;
    let kept = 0;
    for (let round = 0; round < 800 && refused === 0; round++) {
      for (let i = 0; i < 4096; i++) {
        const n = round * 4096 + i;
        batch.words.set(
          [t?.handle ?? 0, 5, 128, Math.imul(n, 0x9e3779b1) >>> 0, Math.imul(n, 0x85ebca6b) >>> 0, n, ~n >>> 0],
          i * ROUTE_WORDS,
        );
      }
      batch.count = 4096;
      refused = dataplane.applyRoutes(batch);
      kept += 4096 - refused;
    }
    expect(refused).toBeGreaterThan(0);
    expect([...batch.results].filter((errno) => errno !== 0)).toEqual(new Array(refused).fill(-28));
    let shown = 0;
    await dataplane.dumpRoutes(t?.handle ?? 0, 6, (b) => {
      shown += b.count;
    });
    expect(shown).toBe(kept);
  });
});
