/**
 * Leaks on a fake VPP: on-link routes of other tables than their interface's are out while it changes, and back behind.
 */
import { describe, expect, it } from 'vitest';
import type { Address } from '../../../src/lcp/objects.ts';
import { SPECIAL } from '../../../src/lcp/objects.ts';
import { swInterfaceSetTable } from '../../../src/vpp/api/interface.ts';
import { API, changes, entries, lookup4, router } from './driverstories.ts';

const MAIN = [255, 254];
const VRF = [255, 100, 254];
const NET = '10.0.0.0/24';
const ROUTE = 'ip_route_add_del_v2';

/** An interface in table 100 with an address, tables to leak into, and what is sent by an act. */
const story = async () => {
  const r = await router();
  const { fake, lab, hosts } = r;
  const [main = 0, red = 0, blue = 0] = await Promise.all([254, 100, 200].map((id) => lab.put(lab.table(4, id))));
  const link = (tables: readonly number[], up = true) => ({ ...lab.link(hosts[0], lookup4(tables)), up });
  await lab.put(link(VRF));
  const onLink = await lab.put(lab.set(lab.leg(0, '')));
  const { phy } = r.opened.pairs[0];
  const address: Address = { kind: 'address', phy, family: 4, address: '10.0.0.1', prefixlen: 24, connected: true };
  await lab.put(address);
  const sent = async (act: () => Promise<unknown>) => {
    const since = fake.seen.length;
    await act();
    return changes(fake, since).filter((name) => /route|set_table|address|flags/.test(name) && !/mroute/.test(name));
  };
  const tables = () => [0, 100, 200].filter((id) => entries(fake, id)['0a000000/24']?.includes(API) === true);
  return { r, fake, lab, link, address, main, red, blue, onLink, sent, tables };
};

describe('routes of other tables to what is on the link of an interface', () => {
  it('are withdrawn before it gets another table, and put back behind', async () => {
    const { lab, link, red, blue, onLink, sent, tables } = await story();
    await lab.route(4, [red, NET, onLink], [blue, NET, onLink]);
    const said = await sent(() => lab.put(link(MAIN)));
    const moved = said.indexOf('sw_interface_set_table');
    // the first one ends table 100's way to the main table
    expect(said.slice(0, said.indexOf('sw_interface_add_del_address'))).toEqual([ROUTE, ROUTE, ROUTE]);
    // one that is put back is told twice
    expect(said.slice(moved).slice(-4)).toEqual([ROUTE, ROUTE, ROUTE, ROUTE]);
    expect(tables()).toEqual([100, 200]);
  });

  it('are out while it is stopped, started, and loses or gets an address; its own table’s stay', async () => {
    const { lab, link, address, red, blue, onLink, sent, tables } = await story();
    await lab.route(4, [red, NET, onLink], [blue, NET, onLink]);
    for (const [act, name] of [
      [() => lab.put(link(VRF, false)), 'sw_interface_set_flags'],
      [() => lab.put(link(VRF)), 'sw_interface_set_flags'],
      [() => lab.one('delete', address), 'sw_interface_add_del_address'],
      [() => lab.put(address), 'sw_interface_add_del_address'],
    ] as const) {
      const said = await sent(act);
      expect(said.slice(0, 2), name).toEqual([ROUTE, name]);
      expect(said.slice(-2), name).toEqual([ROUTE, ROUTE]);
      expect(tables(), name).toEqual([100, 200]);
    }
  });

  it('are so after a restart, too', async () => {
    const { r, lab, link, red, blue, onLink, sent, tables } = await story();
    await lab.route(4, [red, NET, onLink], [blue, NET, onLink]);
    await r.again();
    await r.opened.dataplane.dump();
    const said = await sent(() => lab.put(link(MAIN)));
    expect(said.filter((name) => name === ROUTE).length, 'both out, and told twice').toBeGreaterThanOrEqual(6);
    expect(tables()).toEqual([100, 200]);
  });

  it('are none by another interface, nor by a gateway: nothing is sent for those', async () => {
    const { lab, link, red, blue, onLink, sent, tables } = await story();
    const [gateway, other] = [await lab.put(lab.set(lab.leg(0, '10.0.0.2'))), await lab.put(lab.set(lab.leg(1, '')))];
    await lab.route(4, [red, NET, onLink], [blue, NET, gateway], [blue, '10.1.0.0/24', other]);
    expect(await sent(() => lab.put(link(VRF, false)))).toEqual(['sw_interface_set_flags']);
    expect(tables()).toEqual([100]);
  });

  it('that were removed or changed since stay so, and are back where VPP refuses the move', async () => {
    const { fake, lab, link, red, blue, onLink, tables } = await story();
    await lab.route(4, [red, NET, onLink], [blue, NET, onLink]);
    fake.refuse(swInterfaceSetTable, -1, 1);
    expect(await lab.one('set', link(MAIN))).toMatchObject({ ok: false });
    expect(tables()).toEqual([100, 200]);
    await lab.route(4, [blue, NET, SPECIAL.none]);
    await lab.put(link(MAIN));
    expect(tables()).toEqual([100]);
  });
});
