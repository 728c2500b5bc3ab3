/**
 * Stories of the VPP driver on a fake VPP that ends, refuses and is another one than it should be.
 */
import { describe, expect, it } from 'vitest';
import { newRouteBatch, ROUTE_WORDS } from '../../../src/lcp/dataplane.ts';
import { SPECIAL } from '../../../src/lcp/objects.ts';
import { parsePrefix, wordsOf } from '../../../src/lib/ip.ts';
import { lcpItfPairAddDelV3 } from '../../../src/vpp/api/lcp.ts';
import { ipNeighborAddDel } from '../../../src/vpp/api/neighbor.ts';
import { ipRouteAddDelV2 } from '../../../src/vpp/api/route.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, FakeHosts, openDriver } from './driverlab.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake, until } from './lab.ts';

async function router(prepare: (fake: FakeVpp) => void = () => undefined) {
  const fake = await startFake((each) => {
    addPhys(each);
    prepare(each);
  });
  const opened = await openDriver(fake);
  const lab = contractLab(() => opened);
  return { fake, opened, lab, hosts: await lab.pairs() };
}

const count = (fake: FakeVpp, name: string): number => fake.seen.filter((seen) => seen === name).length;

describe('a VPP that ends', () => {
  it('is found again at once, as another one, with new numbers of its phys', async () => {
    const { fake, opened, lab } = await router();
    const { generation } = opened.dataplane.info();
    const t = await lab.put(lab.table(4, 254));
    await fake.close();
    await until(() => opened.states.at(-1) === 'down');
    expect(opened.causes.at(-1)).not.toBe('');
    expect(opened.dataplane.info().state).toBe('down');
    expect(opened.dataplane.phys.byName('wan0')).toBeUndefined();
    expect(await lab.one('set', lab.table(4, 254))).toMatchObject({ ok: false, code: 'DATAPLANE_DOWN' });
    expect(await lab.route(4, [t, '10.0.0.0/8', SPECIAL.blackhole])).toEqual({ failed: 1, ok: [false] });
    await expect(opened.dataplane.dump()).rejects.toMatchObject({ code: 'DATAPLANE_DOWN' });
    await new Promise((resolve) => setTimeout(resolve, 400));
    await fake.restart();
    fake.state.addInterface('first', 'dpdk', {});
    addPhys(fake);
    const since = performance.now();
    await until(() => opened.states.at(-1) === 'up');
    expect(performance.now() - since).toBeLessThan(200);
    expect(opened.dataplane.info().generation).not.toBe(generation);
    expect(opened.dataplane.phys.byName('wan0')?.ifindex).toBe(2);
    expect(opened.states).toEqual(['up', 'down', 'up']);
    expect((await opened.dataplane.dump()).filter(({ object }) => object.kind !== 'pathset')).toEqual([]);
  });

  it('in the middle of a batch fails what it has not answered, and no more', async () => {
    const { fake, opened, lab } = await router();
    const t = await lab.put(lab.table(4, 254));
    const p = await lab.put(lab.set(lab.leg(0, '10.0.0.2')));
    const batch = newRouteBatch(4, 6000);
    for (; batch.count < 6000; batch.count++) {
      const { bytes, length } = parsePrefix(`10.${batch.count >> 8}.${batch.count & 255}.0/24`) ?? {
        bytes: new Uint8Array(4),
        length: 0,
      };
      batch.words.set([t, p, length, ...wordsOf(bytes)], batch.count * ROUTE_WORDS);
    }
    fake.delay(ipRouteAddDelV2, 300, 3000);
    const applied = opened.dataplane.applyRoutes(batch);
    await until(() => count(fake, 'ip_route_add_del_v2') > 100);
    await fake.close();
    expect(await applied).toBe(6000);
    expect([...batch.results].every((result) => result < 0)).toBe(true);
    await until(() => opened.states.at(-1) === 'down');
    await fake.restart();
    addPhys(fake);
    await until(() => opened.states.at(-1) === 'up');
  });

  it('in the middle of a batch has the rest refused, whoever is up by then', async () => {
    const { fake, opened, lab } = await router();
    const { dataplane, hosts } = opened;
    const pair = { ...opened.pairs[0], host: 'e9' };
    let isAsked = false;
    let end: () => void = () => undefined;
    hosts.set = () => {
      isAsked = true;
      return new Promise<void>((resolve) => {
        end = resolve;
      });
    };
    const match = { by: 'port', family: 4, protocol: 17, port: 9000 } as const;
    const [first, second] = [pair, { kind: 'punt', feature: 'host', match } as const];
    const answers = dataplane.apply([first, second].map((object) => ({ op: 'set', object, handle: 0 })));
    await until(() => isAsked);
    await fake.restart();
    addPhys(fake);
    await until(() => opened.states.length === 3);
    expect(opened.states).toEqual(['up', 'down', 'up']);
    end();
    expect((await answers)[1]).toMatchObject({ ok: false, code: 'DATAPLANE_DOWN' });
    expect(count(fake, 'set_punt'), 'it was for the one that ended').toBe(0);
    expect(await lab.one('set', second)).toMatchObject({ ok: true });
    expect(count(fake, 'set_punt')).toBe(1);
  });

  it('and only the connection with it, is the same VPP', async () => {
    const { fake, opened, lab } = await router();
    const { generation } = opened.dataplane.info();
    await lab.put(lab.neighbour('10.0.0.2'));
    fake.garbage(new Uint8Array(64).fill(0xff));
    await until(() => opened.states.length === 3);
    expect(opened.states).toEqual(['up', 'down', 'up']);
    expect(opened.dataplane.info().generation).toBe(generation);
    expect(await lab.held('pair')).toHaveLength(2);
  });
});

describe('a VPP that must not be programmed', () => {
  const refusals: [string, string, (fake: FakeVpp) => void, RegExp][] = [
    [
      'linux_nl',
      'linux-cp',
      ({ state }) => {
        state.plugins = [...state.plugins, 'linux_nl_plugin.so'];
      },
      /linux_nl.*disable linux_nl_plugin\.so/,
    ],
    [
      'no linux_cp',
      'linux-cp',
      (fake) => fake.remove('lcp_itf_pair_add_del', 'lcp_itf_pair_add_del_v2', 'lcp_itf_pair_add_del_v3'),
      /linux_cp is not loaded.*linux_cp_plugin\.so/,
    ],
    [
      'no linux_cp_unittest',
      'attach',
      ({ state }) => {
        state.plugins = ['linux_cp_plugin.so'];
      },
      /linux_cp_unittest/,
    ],
    ['another age', 'linux-cp', (fake) => fake.remove('fib_source_add'), /too old.*21\.06/],
  ];
  it.each(refusals)('is refused: %s', async (_name, backend, prepare, cause) => {
    const fake = await startFake(prepare);
    const opened = await openDriver(fake, new FakeHosts(fake), {
      pairBackend: backend === 'attach' ? 'attach' : 'linux-cp',
    });
    expect(opened.states).toEqual(['down']);
    expect(opened.causes[0]).toMatch(cause);
    expect(fake.state.sources.size, 'and nothing was changed in it').toBe(0);
  });

  it('because its socket may not be opened, says so once, and is taken when it may', async () => {
    const fake = await startFake(addPhys);
    await fake.close();
    const opened = await openDriver(fake);
    expect(opened.causes[0]).toMatch(/api\.sock/);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(opened.states).toEqual(['down']);
    await fake.listen();
    await until(() => opened.states.at(-1) === 'up');
    expect(opened.states).toEqual(['down', 'up']);
  });
});

describe('a refused object', () => {
  it('is that object alone, with VPP’s error, and can be asked for again', async () => {
    const { fake, opened, lab } = await router();
    fake.refuse(ipNeighborAddDel, -162, 1);
    const results = await opened.dataplane.apply([
      { op: 'set', object: lab.neighbour('10.0.0.2'), handle: 0 },
      { op: 'set', object: lab.neighbour('10.0.0.3'), handle: 0 },
    ]);
    expect(results).toMatchObject([
      { ok: false, code: 'REFUSED', message: expect.stringContaining('LIMIT_EXCEEDED') },
      { ok: true },
    ]);
    expect(await lab.held('neighbour')).toEqual(['wan0 10.0.0.3']);
    await lab.put(lab.neighbour('10.0.0.2'));
  });

  it('that is a pair, names what a host needs', async () => {
    const fake = await startFake(addPhys);
    const opened = await openDriver(fake);
    const lab = contractLab(() => opened);
    fake.refuse(lcpItfPairAddDelV3, -11, 1);
    const refused = await lab.one('set', opened.pairs[0]);
    expect(refused).toMatchObject({ ok: false, code: 'HOST_DEVICE', hint: expect.stringContaining('/dev/vhost-net') });
    expect(refused.message).toContain('SYSCALL_ERROR_1');
    await lab.put(opened.pairs[0]);
  });

  it('that is a route, has VPP’s number, and the driver tells its name', async () => {
    const { fake, opened, lab } = await router();
    const t = await lab.put(lab.table(4, 254));
    fake.refuse(ipRouteAddDelV2, -3, 1);
    const { ok } = await lab.route(4, [t, '10.1.0.0/16', SPECIAL.blackhole], [t, '10.2.0.0/16', SPECIAL.blackhole]);
    expect(ok).toEqual([false, true]);
    const first = { retval: -3, name: 'NO_SUCH_FIB', prefix: '10.1.0.0/16', count: 1 };
    expect(opened.dataplane.routeFailures()).toEqual([
      { ...first, hint: expect.stringContaining('the table is not in VPP'), time: expect.any(Number) },
    ]);
    fake.refuse(ipRouteAddDelV2, -56, 1);
    await lab.route(4, [t, '10.3.0.0/16', SPECIAL.blackhole]);
    fake.refuse(ipRouteAddDelV2, -3, 1);
    await lab.route(4, [t, '10.4.0.0/16', SPECIAL.blackhole]);
    expect(opened.dataplane.routeFailures().map(({ retval, prefix, count }) => [retval, prefix, count])).toEqual([
      [-3, '10.4.0.0/16', 2],
      [-56, '10.3.0.0/16', 1],
    ]);
  });

  it('that VPP swallowed is failed, its siblings are not', async () => {
    const { fake, lab } = await router();
    const t = await lab.put(lab.table(4, 254));
    fake.swallow(ipRouteAddDelV2, 1);
    const { ok } = await lab.route(4, [t, '10.1.0.0/16', SPECIAL.blackhole], [t, '10.2.0.0/16', SPECIAL.blackhole]);
    expect(ok).toEqual([false, true]);
  });
});
