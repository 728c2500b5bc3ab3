/**
 * Stories of the VPP driver on a fake VPP: what a restarted lcpd finds and sends, and what is no route.
 */
import { describe, expect, it } from 'vitest';
import type { LcpObject, Link, Path } from '../../../src/lcp/objects.ts';
import { MPLS, SPECIAL } from '../../../src/lcp/objects.ts';
import { changes, entries, LOCAL_SOURCE, lookup4, router, vrf } from './driverstories.ts';

describe('the limited broadcast', () => {
  it('goes to the host in every table that an interface is in, and is no route that is told', async () => {
    const r = await router();
    const { fake, lab, hosts } = r;
    const main = await lab.put(lab.table(4, 254));
    await lab.put(lab.table(4, 255));
    const red = await lab.put(lab.table(4, 100));
    const taken = () => [0, 100].map((id) => fake.state.routes.has(`4:${id} ffffffff/32 ${LOCAL_SOURCE}`));
    expect(taken()).toEqual([false, false]);
    await lab.put(lab.link(hosts[0], lookup4(vrf)));
    expect(taken()).toEqual([false, true]);
    await lab.put(lab.link(hosts[0], lookup4([255, 254])));
    expect(taken()).toEqual([true, true]);
    expect([await lab.routes(main, 4), await lab.routes(red, 4)]).toEqual([[], []]);
    await lab.one('delete', lab.table(4, 100), red);
    expect(taken()).toEqual([true, false]);
    await r.opened.dataplane.close(false);
    expect(taken()).toEqual([false, false]);
    expect([...fake.state.tables.values()].filter((name) => name.startsWith('lcpd'))).toEqual([]);
  });
});

describe('the prefix of an address', () => {
  it('is a route where the kernel has it, and none where VPP alone does', async () => {
    const { lab, hosts } = await router();
    const [main, red] = [await lab.put(lab.table(4, 254)), await lab.put(lab.table(4, 100))];
    await lab.put(lab.link(hosts[0], lookup4(vrf)));
    await lab.put({ kind: 'address', phy: 'wan0', family: 4, address: '10.0.0.1', prefixlen: 24, connected: true });
    expect(await lab.routes(red, 4)).toEqual([]);
    const onLink = await lab.put(lab.set(lab.leg(0, '')));
    await lab.route(4, [red, '10.0.0.0/24', onLink], [main, '10.0.0.0/24', onLink]);
    expect([(await lab.routes(red, 4)).length, (await lab.routes(main, 4)).length]).toEqual([1, 1]);
    await lab.route(4, [red, '10.0.0.0/24', SPECIAL.none]);
    expect([(await lab.routes(red, 4)).length, (await lab.routes(main, 4)).length]).toEqual([0, 1]);
  });
});

describe('a restart of lcpd', () => {
  it('sends nothing when nothing changed', async () => {
    const r = await router();
    const { fake, lab, hosts } = r;
    const objects: LcpObject[] = [];
    const put = async (object: LcpObject, handle = 0) => {
      objects.push(object);
      return lab.put(object, handle);
    };
    const [local, main] = [await put(lab.table(4, 255)), await put(lab.table(4, 254))];
    const [red, labels] = [await put(lab.table(4, 100)), await put(lab.table(MPLS, 0))];
    const [first, second] = r.opened.pairs;
    await put({ kind: 'subif', phy: 'wan0.100', parent: 'wan0', tags: [0x8100_0064], netns: 'cp' });
    const link: Partial<Link> = { ...lookup4([255, 254]), lookupMpls: ['cp/mpls/0'] };
    await put(lab.link(hosts[0], link));
    const own = { phy: second.phy, phyIfindex: second.phyIfindex, host: second.host };
    await put(lab.link(hosts[1], { ...own, ...lookup4(vrf) }));
    for (const [phy, address, prefixlen, connected] of [
      [first.phy, '10.0.0.1', 24, true],
      [first.phy, '10.0.9.1', 24, false],
      [second.phy, 'fd00::1', 64, true],
      [second.phy, 'fe80::1', 64, true],
    ] as const)
      await put({ kind: 'address', phy, family: address.includes(':') ? 6 : 4, address, prefixlen, connected });
    await put(lab.neighbour('10.0.0.2'));
    await put({
      kind: 'mroute',
      phy: first.phy,
      family: 4,
      source: '10.0.0.9',
      group: '239.1.1.1',
      out: [second.phy],
      host: true,
    });
    const sets: Path[][] = [
      [lab.leg(0, '10.0.0.2', 3), lab.leg(1, '10.0.1.2', 1)],
      [lab.leg(0, '')],
      [{ ...lab.leg(0, '10.0.0.2'), labels: [100, 200], ttl: 64 }],
      [lab.leg(1, 'fe80::2', 65535), lab.leg(0, '10.0.0.2', 257)],
    ];
    const handles: number[] = [];
    for (const paths of sets) handles.push(await put(lab.set(...paths)));
    const [ecmp = 0, onLink = 0, labelled = 0, scaled = 0] = handles;
    await lab.route(
      4,
      [local, '10.0.0.1/32', SPECIAL.local],
      [local, '10.0.0.255/32', SPECIAL.broadcast],
      [main, '10.0.0.0/24', onLink],
      [main, '10.1.0.0/16', ecmp],
      [main, '10.2.0.0/16', onLink],
      [main, '10.3.0.0/16', labelled],
      [main, '10.4.0.0/16', scaled],
      [red, '10.5.0.0/16', SPECIAL.throw],
      [red, '10.6.0.0/16', SPECIAL.punt],
    );
    await lab.route(MPLS, [labels, '100', labelled]);
    const held = async () =>
      (await r.opened.dataplane.dump())
        .map(({ object }) => JSON.stringify(object))
        .filter((text) => !text.includes('"pathset"'))
        .sort();
    const tables = async () => Promise.all([local, main, red].map((t) => lab.routes(t, 4)));
    const before = {
      tables: (await tables()).map((rows) => rows.map((row) => row.split(' ')[0])),
      entries: [0, 100].map((t) => entries(fake, t)),
    };
    await r.again();
    const since = fake.seen.length;
    const shown = await held();
    expect(shown.some((text) => text.includes('"10.0.0.1"'))).toBe(true);
    expect((await tables()).map((rows) => rows.map((row) => row.split(' ')[0]))).toEqual(before.tables);
    // the core states what it wants: pairs, links and all, as it does where it cannot tell
    for (const pair of r.opened.pairs) await lab.put(pair);
    for (const object of objects) await lab.put(object);
    expect(changes(fake, since)).toEqual([]);
    expect([0, 100].map((t) => entries(fake, t))).toEqual(before.entries);
  });

  it('gives sets that VPP has in other weights the handle that their routes have', async () => {
    const r = await router();
    const { lab } = r;
    const t = await lab.put(lab.table(4, 254));
    const paths = [lab.leg(0, '10.0.0.2', 65535), lab.leg(1, '10.0.1.2', 300)];
    const p = await lab.put(lab.set(...paths));
    await lab.route(4, [t, '10.1.0.0/16', p]);
    await r.again();
    const held = (await r.opened.dataplane.dump()).find(({ object }) => object.kind === 'pathset');
    expect(held?.object).toMatchObject({ paths: [{ weight: 255 }, { weight: 1 }] });
    expect(await lab.put(lab.set(...paths)), 'the same').toBe(held?.handle);
    await lab.one('delete', lab.set(), held?.handle);
    expect(await lab.find(4, [t], false, '10.1.0.1')).toEqual([`${t} ${held?.handle}/16`]);
    expect(r.opened.dataplane.paths(held?.handle ?? 0)?.map(({ weight }) => weight)).toEqual([65535, 300]);
  });
});
