/**
 * Stories of the VPP driver on a fake VPP: what it sends, what it leaves alone, and how it comes back.
 */
import { describe, expect, it } from 'vitest';
import type { Table } from '../../../src/lcp/objects.ts';
import { SPECIAL } from '../../../src/lcp/objects.ts';
import { ipBytes } from '../../../src/lib/ip.ts';
import { API, entries, LOCAL_SOURCE, lookup4, ROUTE_SOURCE, router, vrf } from './driverstories.ts';

describe('on-link routes', () => {
  it('are of the source API, and change to a gateway and back without leaving anything', async () => {
    const { fake, lab } = await router();
    const t = await lab.put(lab.table(4, 254));
    const onLink = await lab.put(lab.set(lab.leg(0, '')));
    const gateway = await lab.put(lab.set(lab.leg(0, '10.0.0.2')));
    const shown = () => entries(fake, 0)['0a010000/16'];
    await lab.route(4, [t, '10.1.0.0/16', onLink]);
    expect(shown()).toEqual([API]);
    await lab.route(4, [t, '10.1.0.0/16', gateway]);
    expect(shown()).toEqual([ROUTE_SOURCE]);
    await lab.route(4, [t, '10.1.0.0/16', onLink]);
    expect(shown()).toEqual([API]);
    await lab.route(4, [t, '10.1.0.0/16', SPECIAL.none]);
    expect(shown()).toBeUndefined();
  });

  it('leaked into another table than their interface’s bring its neighbours along, which are no routes', async () => {
    const { fake, lab, hosts } = await router();
    const [main, red] = [await lab.put(lab.table(4, 254)), await lab.put(lab.table(4, 100))];
    await lab.put(lab.link(hosts[0], lookup4([255, 254])));
    const onLink = await lab.put(lab.set(lab.leg(0, '')));
    await lab.put(lab.neighbour('10.0.0.2'));
    await lab.route(4, [main, '10.0.0.0/24', onLink], [red, '10.0.0.0/24', onLink]);
    const shown = await lab.routes(red, 4);
    expect(shown).toHaveLength(1);
    for (const table of [main, red]) {
      const [there, absent] = await lab.find(4, [table], false, '10.0.0.2', '10.0.0.3');
      expect([there, absent]).toEqual([`${table} ${onLink}/24`, `${table} ${onLink}/24`]);
    }
    expect(entries(fake, 100)).toEqual({ '0a000000/24': [API] });
  });

  it('change to a gateway after a restart too, and routes of others of the same source stay', async () => {
    const r = await router();
    const { fake, lab } = r;
    const t = await lab.put(lab.table(4, 254));
    await lab.route(4, [t, '10.1.0.0/16', await lab.put(lab.set(lab.leg(0, '')))]);
    const theirs = fake.state.routes.get('4:0 0a010000/16 8') as { prefix: object; paths: object[] };
    const prefix = { address: ipBytes('10.9.0.0'), len: 16 };
    const paths = theirs.paths.map((path) => ({ ...path, preference: 0 }));
    fake.state.routes.set('4:0 0a090000/16 8', { ...theirs, prefix, paths });
    await r.again();
    await r.opened.dataplane.dump();
    expect(await lab.routes(t, 4)).toHaveLength(1);
    await lab.route(4, [t, '10.1.0.0/16', await lab.put(lab.set(lab.leg(0, '10.0.0.2')))]);
    await lab.one('delete', lab.table(4, 254), t);
    expect(entries(fake, 0)).toEqual({ '0a090000/16': [API] });
  });

  it('of a default route leave what leads on behind when they go', async () => {
    const { fake, lab, hosts } = await router();
    const main = await lab.put(lab.table(4, 254));
    const t = await lab.put(lab.table(4, 100));
    await lab.put(lab.link(hosts[0], lookup4(vrf)));
    const next = () =>
      (fake.state.routes.get('4:100 00000000/0 8') as { paths: { table_id: number; preference: number }[] }).paths[0];
    expect(next()).toMatchObject({ table_id: 0, preference: SPECIAL.throw });
    await lab.route(4, [main, '0.0.0.0/0', SPECIAL.blackhole]);
    await lab.route(4, [t, '0.0.0.0/0', await lab.put(lab.set(lab.leg(0, '')))]);
    expect(next()).not.toMatchObject({ preference: SPECIAL.throw });
    await lab.route(4, [t, '0.0.0.0/0', SPECIAL.none]);
    expect(next()).toMatchObject({ table_id: 0, preference: SPECIAL.throw });
    expect(await lab.find(4, [t, main], false, '9.9.9.9')).toEqual([`${main} ${SPECIAL.blackhole}/0`]);
  });
});

describe('tables', () => {
  it('of a VRF have the routes of the local table while an interface is looked up so', async () => {
    const { fake, lab, hosts } = await router();
    const local = await lab.put(lab.table(4, 255));
    await lab.put(lab.table(4, 254));
    await lab.put(lab.table(4, 100));
    await lab.route(4, [local, '10.0.0.1/32', SPECIAL.local], [local, '10.0.0.255/32', SPECIAL.broadcast]);
    expect(entries(fake, 0)).toEqual({ '0a000001/32': [LOCAL_SOURCE], '0a0000ff/32': [LOCAL_SOURCE] });
    await lab.put(lab.link(hosts[0], lookup4(vrf)));
    const copies = { '0a000001/32': [LOCAL_SOURCE], '0a0000ff/32': [LOCAL_SOURCE] };
    expect(entries(fake, 100)).toEqual({ ...copies, '00000000/0': [API] });
    await lab.route(4, [local, '10.0.0.2/32', SPECIAL.local], [local, '10.0.0.255/32', SPECIAL.none]);
    expect(Object.keys(entries(fake, 100)).sort()).toEqual(['00000000/0', '0a000001/32', '0a000002/32']);
    await lab.put(lab.link(hosts[0], lookup4([255, 254])));
    expect(entries(fake, 100)).toEqual({});
  });

  it('lead on to those behind them, and thrown prefixes with them, whatever comes and goes behind', async () => {
    const { fake, lab, hosts } = await router();
    const [red, main] = [await lab.put(lab.table(4, 100)), await lab.put(lab.table(4, 254))];
    await lab.route(4, [red, '10.1.0.0/16', SPECIAL.throw]);
    const leads = (prefix: string, source: number) =>
      (
        fake.state.routes.get(`4:100 ${prefix} ${source}`) as
          | { paths: { table_id: number; type: number }[] }
          | undefined
      )?.paths[0];
    expect(leads('0a010000/16', ROUTE_SOURCE), 'nowhere yet: a drop').toMatchObject({ type: 2 });
    await lab.put(lab.link(hosts[0], lookup4([255, 100, 253, 254])));
    expect(leads('00000000/0', API)).toMatchObject({ table_id: 0, type: 0 });
    expect(leads('0a010000/16', ROUTE_SOURCE)).toMatchObject({ table_id: 0, type: 0 });
    const between = await lab.put(lab.table(4, 253));
    expect(leads('00000000/0', API)).toMatchObject({ table_id: 253 });
    expect(leads('0a010000/16', ROUTE_SOURCE)).toMatchObject({ table_id: 253 });
    await lab.one('delete', lab.table(4, 253), between);
    expect(leads('00000000/0', API)).toMatchObject({ table_id: 0 });
    expect(leads('0a010000/16', ROUTE_SOURCE)).toMatchObject({ table_id: 0 });
    expect(main).toBeGreaterThan(0);
  });

  it('of other namespaces have numbers of their own, which a restart finds by name', async () => {
    const r = await router();
    const { fake, lab } = r;
    const table: Table = { kind: 'table', netns: 'blue', family: 4, table: 254 };
    const t = await lab.put(table);
    await lab.route(4, [t, '10.0.0.0/8', SPECIAL.prohibit]);
    const id = 0x0f00_0000;
    expect(fake.state.tables.get(`4:${id}`)).toBe('lcpd blue/v4/254');
    expect(entries(fake, id)).toEqual({ '0a000000/8': [ROUTE_SOURCE] });
    await r.again();
    expect(await lab.held('table')).toEqual([`blue/v4/254 ${t}`]);
    expect(await lab.routes(t, 4)).toHaveLength(1);
  });

  it('that the operator made are used, and stay', async () => {
    const { fake, lab } = await router(({ state }) => state.tables.set('4:100', 'customers'));
    const t = await lab.put(lab.table(4, 100));
    await lab.route(4, [t, '10.0.0.0/8', SPECIAL.prohibit]);
    await lab.one('delete', lab.table(4, 100), t);
    expect(fake.state.tables.get('4:100')).toBe('customers');
    expect(entries(fake, 100)).toEqual({});
  });
});
