/**
 * Stories of the VPP driver on a fake VPP: tables from which some interfaces go on to another table than others do.
 */
import { describe, expect, it } from 'vitest';
import { type LcpObject, SPECIAL } from '../../../src/lcp/objects.ts';
import { ipRouteAddDelV2 } from '../../../src/vpp/api/route.ts';
import { changes, entries, lookup4, ROUTE_SOURCE, router } from './driverstories.ts';
import type { FakeVpp } from './fakevpp.ts';

/** Where two interfaces have a rule in front of the one's VRF. */
const PLAIN = [255, 77, 254];
const RED = [255, 77, 100, 254];

/** Kernel tables behind each other that packets of an interface find, by VPP's tables. */
function wayOf({ state }: FakeVpp, ifindex: number): string[] {
  const names: string[] = [];
  let id: number | undefined = state.interfaces.get(ifindex)?.table4;
  while (id !== undefined && names.length < 9) {
    names.push(id === 0 ? 'main' : (state.tables.get(`4:${id}`) ?? `${id}?`).replace('lcpd cp/v4/', ''));
    const leads = state.routes.get(`4:${id} 00000000/0 8`) as { paths: { table_id: number }[] } | undefined;
    id = leads?.paths[0]?.table_id;
  }
  return names;
}

/** A row of routes with its address as text. */
const readable = (row: string): string =>
  row.replace(/^[0-9]+/, (word) => new Uint8Array(Uint32Array.of(Number(word)).buffer).join('.'));

const story = async () => {
  const r = await router();
  const { fake, lab, hosts } = r;
  const [, second] = r.opened.pairs;
  const first = (tables: readonly number[]): LcpObject => lab.link(hosts[0], lookup4(tables));
  const other = (tables: readonly number[]): LcpObject =>
    lab.link(hosts[1], { phy: second.phy, phyIfindex: second.phyIfindex, host: 'e1', ...lookup4(tables) });
  const [, t77 = 0, red = 0, main = 0] = await Promise.all([255, 77, 100, 254].map((id) => lab.put(lab.table(4, id))));
  const ways = () => [1, 2].map((ifindex) => wayOf(fake, ifindex).join(' '));
  /** VPP's number of the copy. */
  const copy = () => Number([...fake.state.tables].find(([, name]) => name.includes('#'))?.[0].split(':')[1]);
  return { r, fake, lab, first, other, t77, red, main, ways, copy };
};

describe('a table that interfaces go on from differently', () => {
  it('has a copy with all that it has, which follows it and goes with the last who needs it', async () => {
    const { fake, lab, first, other, t77, ways, copy } = await story();
    const [onLink, via] = [await lab.put(lab.set(lab.leg(0, ''))), await lab.put(lab.set(lab.leg(0, '10.0.0.2')))];
    await lab.route(4, [t77, '10.1.0.0/16', via], [t77, '10.2.0.0/16', onLink], [t77, '10.3.0.0/16', SPECIAL.throw]);
    await lab.put(first(PLAIN));
    await lab.put(other(RED));
    expect(ways()).toEqual(['77 main', '77 #1 100 main']);
    const routes = (id: number) => ({ ...entries(fake, id) });
    expect(routes(copy())).toEqual(routes(77));
    const thrown = fake.state.routes.get(`4:${copy()} 0a030000/16 ${ROUTE_SOURCE}`) as { paths: object[] };
    expect(thrown.paths[0], 'what is thrown goes on as its interfaces do').toMatchObject({ table_id: 100 });
    await lab.route(4, [t77, '10.1.0.0/16', SPECIAL.none], [t77, '10.4.0.0/16', SPECIAL.blackhole]);
    expect(Object.keys(routes(copy()))).toContain('0a040000/16');
    expect(routes(copy())).toEqual(routes(77));
    await lab.put(other(PLAIN));
    expect(ways()).toEqual(['77 main', '77 main']);
    expect([...fake.state.tables.values()].filter((name) => name.includes('#'))).toEqual([]);
  });

  it('is parted, and joined again, by tables that come and go behind it', async () => {
    const { fake, lab, first, other, red, ways } = await story();
    await lab.one('delete', lab.table(4, 100), red);
    await lab.put(first(PLAIN));
    await lab.put(other(RED));
    expect(ways()).toEqual(['77 main', '77 main']);
    const again = await lab.put(lab.table(4, 100));
    expect(ways(), 'the interface is moved though its link says nothing new').toEqual(['77 main', '77 #1 100 main']);
    await lab.one('delete', lab.table(4, 100), again);
    expect(ways()).toEqual(['77 main', '77 main']);
    expect([...fake.state.tables.values()].some((name) => name.includes('#'))).toBe(false);
  });

  it('is read as one: what a copy has otherwise, lacks or has besides is told as what nobody wants', async () => {
    const { fake, lab, first, other, t77, copy } = await story();
    const via = await lab.put(lab.set(lab.leg(0, '10.0.0.2')));
    await lab.route(4, [t77, '10.1.0.0/16', via], [t77, '10.2.0.0/16', via], [t77, '10.3.0.0/16', via]);
    await lab.put(first(PLAIN));
    await lab.put(other(RED));
    const whole = (await lab.routes(t77, 4)).sort();
    expect(whole).toHaveLength(3);
    const key = (prefix: string) => `4:${copy()} ${prefix} ${ROUTE_SOURCE}`;
    const there = fake.state.routes.get(key('0a010000/16')) as { prefix: object; paths: { nh: object }[] };
    fake.state.routes.delete(key('0a020000/16'));
    const elsewhere = there.paths.map((path) => ({ ...path, sw_if_index: 2 }));
    fake.state.routes.set(key('0a010000/16'), { ...there, paths: elsewhere });
    const prefix = { address: Uint8Array.of(10, 9, 0, 0), len: 16 };
    fake.state.routes.set(key('0a090000/16'), { ...there, prefix });
    const odd = (await lab.routes(t77, 4)).map(readable).filter((row) => !row.endsWith(` ${via}`));
    expect(odd.map((row) => row.split(' ')[0]).sort()).toEqual(['10.1.0.0/16', '10.2.0.0/16', '10.9.0.0/16']);
    await lab.route(4, [t77, '10.1.0.0/16', via], [t77, '10.2.0.0/16', via], [t77, '10.9.0.0/16', SPECIAL.none]);
    expect((await lab.routes(t77, 4)).sort()).toEqual(whole);
  });

  it('of a restarted lcpd is as it was, whichever interface is told first, and nothing is sent', async () => {
    for (const isReversed of [false, true]) {
      const { r, fake, lab, first, other, t77, ways } = await story();
      const via = await lab.put(lab.set(lab.leg(0, '10.0.0.2')));
      await lab.route(4, [t77, '10.1.0.0/16', via]);
      await lab.put(first(PLAIN));
      await lab.put(other(RED));
      const [before, since] = [ways(), fake.seen.length];
      await r.again();
      await r.opened.dataplane.dump();
      for (const pair of r.opened.pairs) await lab.put(pair);
      for (const id of [255, 77, 100, 254]) await lab.put(lab.table(4, id));
      for (const link of isReversed ? [other(RED), first(PLAIN)] : [first(PLAIN), other(RED)]) await lab.put(link);
      expect(ways()).toEqual(before);
      expect(changes(fake, since)).toEqual([]);
      expect(await lab.routes(t77, 4)).toHaveLength(1);
    }
  });

  it('whose rules went while lcpd was away loses its copy, and nothing of it is left at the end', async () => {
    const { r, fake, lab, first, other, ways } = await story();
    await lab.put(first(PLAIN));
    await lab.put(other(RED));
    await r.again();
    await r.opened.dataplane.dump();
    for (const pair of r.opened.pairs) await lab.put(pair);
    for (const link of [first([255, 254]), other([255, 254])]) await lab.put(link);
    expect(ways()).toEqual(['main', 'main']);
    expect([...fake.state.tables.values()].filter((name) => name.includes('#'))).toEqual([]);
    await lab.put(other(RED));
    await lab.put(first(PLAIN));
    await r.opened.dataplane.close(false);
    expect([...fake.state.tables.values()].filter((name) => name.startsWith('lcpd'))).toEqual([]);
  });

  it('that cannot be copied fails the interface that needs it, which then can be asked for again', async () => {
    const { fake, lab, first, other, t77, ways } = await story();
    const via = await lab.put(lab.set(lab.leg(0, '10.0.0.2')));
    await lab.route(4, [t77, '10.1.0.0/16', via]);
    await lab.put(first(PLAIN));
    fake.refuse(ipRouteAddDelV2, -1, 1);
    expect(await lab.one('set', other(RED))).toMatchObject({ ok: false });
    expect(ways()[0]).toBe('77 main');
    await lab.put(other(RED));
    expect(ways()).toEqual(['77 main', '77 #1 100 main']);
    expect((await lab.routes(t77, 4)).map(readable)).toEqual([`10.1.0.0/16 ${via}`]);
  });
});
