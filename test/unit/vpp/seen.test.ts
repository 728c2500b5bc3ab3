/**
 * What the driver tells of changes that somebody else makes in VPP, and what it enables in it, on a fake VPP.
 */
import { describe, expect, it } from 'vitest';
import { ipBytes } from '../../../src/lib/ip.ts';
import { swInterfaceGetTable } from '../../../src/vpp/api/interface.ts';
import { ipAddressDump } from '../../../src/vpp/api/ip.ts';
import { lcpEthertypeGet } from '../../../src/vpp/api/lcp.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, FakeHosts, openDriver } from './driverlab.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake, until } from './lab.ts';

const POLL_MS = 20;

async function router(prepare: (fake: FakeVpp) => void = () => undefined) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  const opened = await openDriver(fake, new FakeHosts(fake), { pollMs: POLL_MS });
  const lab = contractLab(() => opened);
  await lab.pairs();
  const named = (name: string) => {
    const of = [...fake.state.interfaces.values()].find(({ interface_name }) => interface_name === name);
    if (of === undefined) throw new Error(`no ${name}`);
    return of;
  };
  return { fake, opened, lab, named, plane: opened.dataplane, seen: opened.dataplane.seen };
}

const count = (fake: FakeVpp, name: string): number => fake.seen.filter((seen) => seen === name).length;
const give = (
  of: { addresses: Map<string, { address: Uint8Array; len: number }> },
  text: string,
  len: number,
): void => {
  of.addresses.set(`${Buffer.from(ipBytes(text)).toString('hex')}/${len}`, { address: ipBytes(text), len });
};

describe("changes in VPP that are not lcpd's", () => {
  it('are told while they are followed: addresses, MTU, tables, what is borrowed', async () => {
    const { fake, opened, named, seen } = await router();
    give(named('wan0'), '10.3.0.1', 24);
    expect(seen.get('wan0')).toBeUndefined();
    const asked = count(fake, ipAddressDump.name);
    await new Promise((resolve) => setTimeout(resolve, 4 * POLL_MS));
    expect(count(fake, ipAddressDump.name), 'nothing is read while nobody wants it').toBe(asked);
    seen.follow(true);
    await until(() => seen.get('wan0')?.addresses?.get('10.3.0.1') === 24);
    expect(seen.get('wan0')).toMatchObject({ parent: '', tables: { 4: 'cp/v4/254', 6: 'cp/v6/254' }, up: false });
    const before = opened.news.phys;
    named('wan0').mtu = [1400, 0, 0, 0];
    named('wan0').table4 = 7;
    named('wan0').unnumbered = named('lan0').sw_if_index;
    give(named('lan0'), '10.4.0.1', 32);
    await until(() => seen.get('wan0')?.tables?.[4] === 'own 7');
    expect(seen.get('wan0')?.mtu).toBe(1400);
    expect(opened.news.phys).toBeGreaterThan(before);
    await until(() => seen.get('wan0')?.borrowed.size === 1);
    expect([...(seen.get('wan0')?.borrowed ?? [])]).toEqual([['10.4.0.1', 32]]);
    const news = opened.news.phys;
    const reads = count(fake, swInterfaceGetTable.name);
    await until(() => count(fake, swInterfaceGetTable.name) > reads + 8);
    expect(opened.news.phys, 'what is the same is no news').toBe(news);
    seen.follow(false);
  });

  it('are completed with what VPP does not do by itself: groups of the link, what to ask for neighbours with', async () => {
    const { fake, lab, named, plane, seen } = await router();
    await lab.put(lab.table(4, 254));
    named('wan0').flags = 3;
    seen.follow(true);
    await until(() => seen.get('wan0')?.up === true);
    const before = fake.state.mroutes.size;
    give(named('wan0'), '10.3.0.1', 24);
    await until(() => seen.get('wan0')?.addresses?.get('10.3.0.1') === 24);
    await until(() => fake.state.mroutes.size > before);
    const renewed = () => count(fake, 'ip_route_lookup_v2');
    await until(() => renewed() > 0);
    await new Promise((resolve) => setTimeout(resolve, 4 * POLL_MS));
    const looked = renewed();
    named('wan0').flags = 2;
    await until(() => seen.get('wan0')?.up === false);
    expect(renewed()).toBe(looked);
    named('wan0').flags = 3;
    await until(() => renewed() > looked);
    await new Promise((resolve) => setTimeout(resolve, 4 * POLL_MS));
    const mine = renewed();
    const one = {
      kind: 'address',
      phy: 'wan0',
      family: 4,
      prefixlen: 24,
      connected: true,
      address: '10.4.0.1',
    } as const;
    await plane.apply([{ op: 'set', object: one, handle: 0 }]);
    const after = renewed();
    expect(after).toBeGreaterThan(mine);
    await new Promise((resolve) => setTimeout(resolve, 4 * POLL_MS));
    expect(renewed(), 'what lcpd changed itself is not done twice').toBe(after);
  });

  it('are not read in the middle of a change of ours', async () => {
    const { lab, opened, seen, plane } = await router();
    seen.follow(true);
    await until(() => seen.get('wan0')?.addresses !== undefined);
    const main = await lab.put(lab.table(4, 254));
    expect(main).toBeGreaterThan(0);
    const wrong: string[] = [];
    const address = { kind: 'address', phy: 'wan0', family: 4, prefixlen: 24, connected: true } as const;
    for (let i = 0; i < 40; i++) {
      const one = { ...address, address: `10.9.${i}.1` };
      const [set] = await plane.apply([{ op: 'set', object: one, handle: 0 }]);
      expect(set?.ok).toBe(true);
      if (seen.get('wan0')?.addresses?.get(one.address) !== 24) wrong.push(one.address);
      await new Promise((resolve) => setTimeout(resolve, 3));
      if (seen.get('wan0')?.addresses?.get(one.address) !== 24) wrong.push(`${one.address} later`);
    }
    expect(wrong).toEqual([]);
    expect(opened.states).toEqual(['up']);
  });

  it('of sub-interfaces are told by the name of the core, another life of an index is another interface', async () => {
    const { fake, named, seen } = await router();
    const parent = named('wan0');
    const sub = { sub_id: 100, sub_if_flags: 18, sub_outer_vlan_id: 100, sub_inner_vlan_id: 0, sub_number_of_tags: 1 };
    fake.state.addInterface('wan0.100', 'sub', { sup_sw_if_index: parent.sw_if_index, type: 1, sub });
    seen.follow(true);
    await until(() => seen.get('wan0.100') !== undefined);
    expect(seen.get('wan0.100')).toMatchObject({ parent: 'wan0', tags: [0x81000064], subId: 100, paired: false });
    expect([...seen.all()].map(([phy]) => phy).sort()).toEqual(['lan0', 'wan0', 'wan0.100']);
  });

  it('are followed again in a VPP that was started again, before anything is asked of it', async () => {
    const { fake, opened, seen } = await router();
    seen.follow(true);
    await until(() => seen.get('wan0') !== undefined);
    await fake.close();
    await until(() => opened.states.at(-1) === 'down');
    expect(seen.get('wan0')).toBeUndefined();
    expect([...seen.all()]).toEqual([]);
  });
});

describe('phys for pairs by pattern', () => {
  it('are those that are no host of a pair and no sub-interface', async () => {
    const { plane, fake } = await router(({ state }) => state.addInterface('tap0', 'tap', {}));
    await until(() => [...fake.state.pairs.keys()].length === 2);
    expect([...(plane.phys.names?.() ?? [])].sort()).toEqual(['lan0', 'tap0', 'wan0']);
  });
});

describe('protocols that cross pairs', () => {
  const enabled = (fake: FakeVpp): unknown => fake.state.handle(lcpEthertypeGet, {}).reply?.ethertypes;

  it.each([true, false])('are enabled as they are meant, by a VPP that turns the bytes round: %s', async (turns) => {
    const { fake, plane } = await router(({ state }) => {
      state.turnsEthertypes = turns;
    });
    plane.passThrough({ ethertypes: [0x8809, 0x88cc], osi: [] });
    await until(() => JSON.stringify(enabled(fake)) === JSON.stringify([0x8809, 0x88cc]));
    const sent = count(fake, 'lcp_ethertype_enable');
    plane.passThrough({ ethertypes: [0x8809, 0x88cc], osi: [] });
    const asked = count(fake, 'lcp_ethertype_get');
    await until(() => count(fake, 'lcp_ethertype_get') > asked);
    expect(count(fake, 'lcp_ethertype_enable'), 'once').toBe(sent);
  });

  it('that VPP has no way to hand on, or to forget, are listed and nothing fails', async () => {
    const { opened, plane } = await router();
    plane.passThrough({ ethertypes: [0x0800, 0x1234, 0x88cc], osi: [0x83] });
    await until(() => plane.unsupported.has('osi 0x83'));
    expect(plane.unsupported.get('ethertype 0x1234')).toContain('knows no such');
    expect(plane.unsupported.get('ethertype 0x0800')).toContain('does not let linux_cp');
    expect(plane.unsupported.get('osi 0x83')).toContain('osi_plugin.so');
    expect(plane.unsupported.has('ethertype 0x88cc')).toBe(false);
    plane.passThrough({ ethertypes: [], osi: [] });
    await until(() => plane.unsupported.has('ethertype 0x88cc'));
    expect(plane.unsupported.get('ethertype 0x88cc')).toContain('only forget it by a restart');
    expect(plane.unsupported.has('osi 0x83')).toBe(false);
    expect(opened.states).toEqual(['up']);
  });

  it('of OSI are enabled with the plugin', async () => {
    const { plane, fake } = await router(({ state }) => {
      state.plugins = [...state.plugins, 'osi_plugin.so'];
    });
    plane.passThrough({ ethertypes: [], osi: [0x83, 0x99] });
    await until(() => plane.unsupported.has('osi 0x99'));
    expect(plane.unsupported.has('osi 0x83')).toBe(false);
    expect(count(fake, 'lcp_osi_proto_enable')).toBe(2);
  });
});

it('linux_cp that writes to Linux itself is told', async () => {
  const { plane } = await router(({ state }) => {
    state.showLcp = 'lcp default netns \n\nlcp lcp-auto-subint on\nlcp lcp-sync on\nlcp lcp-sync-unnumbered on\n';
  });
  expect(plane.unsupported.get('lcp-sync')).toContain('lcp lcp-sync off');
  expect(plane.unsupported.get('lcp-auto-subint')).toContain('startup.conf');
});
