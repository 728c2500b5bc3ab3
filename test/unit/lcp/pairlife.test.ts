// Reconciler: pairs, namespaces and data planes that end and come again.

import { beforeEach, describe, expect, it } from 'vitest';
import { hostAlias } from '../../../src/lcp/pairs.ts';
import { PAIRS, type Router, router } from './router.ts';

const FAR = '10.0.1.2';

let r: Router;
const host = (name: string) => r.kernel().linkNamed(name);
const leaks = () => {
  const known = [...r.ns().pathsets.all()].map((p) => p.handle).filter((h) => h !== 0);
  expect([...r.dataplane.pathsets.keys()].sort()).toEqual(known.sort());
  for (const paths of r.dataplane.pathsets.values()) expect(paths.map((p) => p.phy)).not.toContain('');
};
const replacePhy = (name: string) => {
  const own = r.kernel('');
  const { mac, mtu } = own.linkNamed(name);
  own.delLink(own.linkNamed(name));
  return () => own.addLink(name, { mac, mtu });
};

beforeEach(async () => {
  r = await router();
  r.kernel().addRoute({ dst: '10.9.0.0/16', legs: [{ oif: host('e0').ifindex, gateway: FAR }] });
  await r.settle();
  r.dataplane.log.length = 0;
  r.dataplane.operations = 0;
  r.pairEvents.length = 0;
});

describe('a phy', () => {
  it('that goes leaves its host waiting, and comes back to it', async () => {
    const before = r.dataplane.text();
    const bring = replacePhy('wan0');
    await r.settle();
    expect(r.pairEvents).toEqual(['wan0 pending phy wan0 does not exist', 'wan0 detached']);
    expect(r.reconciler.pairs.reason('wan0')).toBe('phy wan0 does not exist');
    expect(host('e0').alias, 'the host keeps its addresses and sessions').toBe('lcpd wan0');
    expect(r.lookup('10.9.0.1')).toBe('special 9');
    leaks();
    r.pairEvents.length = 0;
    const back = bring();
    await r.settle();
    expect(r.pairEvents).toEqual(['wan0 wanted', 'wan0 paired']);
    expect(r.lookup('10.9.0.1')).toBe(`wan0 ${FAR} 1`);
    leaks();
    const same = (text: string) => text.replaceAll(/"phyIfindex":\d+/g, '');
    expect(same(r.dataplane.text())).toBe(same(before));
    expect(r.dataplane.text()).toContain(`"phyIfindex":${back.ifindex}`);
  });

  it('that is replaced between two rounds: its link, neighbours and path sets are stated anew', async () => {
    replacePhy('wan0')();
    await r.settle();
    const stated = r.dataplane.log.map((line) => line.split(' ').slice(0, 2).join(' '));
    expect(stated).toContain('set pair');
    expect(stated.filter((s) => s === 'set neighbour')).toHaveLength(2);
    expect(stated).toContain('set link');
    expect(stated).toContain('set pathset');
    expect(stated).not.toContain('delete pathset');
    expect(r.lookup('10.9.0.1')).toBe(`wan0 ${FAR} 1`);
    leaks();
  });

  it('with another carrier takes the host along', async () => {
    r.kernel('').setLink(r.kernel('').linkNamed('wan0'), { carrier: false });
    await r.settle();
    expect([host('e0').carrier, r.dataplane.links.get('wan0')?.carrier]).toEqual([false, false]);
    r.kernel('').setLink(r.kernel('').linkNamed('wan0'), { carrier: true });
    await r.settle();
    expect([host('e0').carrier, r.dataplane.links.get('wan0')?.carrier]).toEqual([true, true]);
  });
});

describe('a host', () => {
  it('is followed by its phy', async () => {
    r.kernel().setLink(host('e0'), { mtu: 9000, mac: '02:00:00:00:00:99', up: false });
    await r.settle();
    expect(r.kernel('').linkNamed('wan0')).toMatchObject({ mtu: 9000, mac: '02:00:00:00:00:99', up: false });
  });

  it('is put right again when somebody else changes the phy', async () => {
    r.kernel('').setLink(r.kernel('').linkNamed('wan0'), { mtu: 1280 });
    await r.settle();
    expect(r.kernel('').linkNamed('wan0').mtu).toBe(1500);
  });

  it('deleted under us is made again, without leaving anything behind', async () => {
    const old = host('e0').ifindex;
    r.kernel().delLink(host('e0'));
    await r.settle();
    expect(host('e0').ifindex).not.toBe(old);
    expect(r.reconciler.pairs.host('wan0')).toBe(host('e0').ifindex);
    expect(r.lookup('10.0.1.9')).toBe('none');
    leaks();
  });

  it('deleted when nobody wants it any more: the port goes too', async () => {
    r.kernel().delLink(host('e0'));
    r.configure(PAIRS.slice(1));
    await r.settle();
    expect([...r.dataplane.pairs.keys()]).toEqual(['lan0']);
  });

  it.each([
    ['another name', { host: 'new0', netns: 'cp' }],
    ['another namespace', { host: 'e0', netns: '' }],
  ])('that shall have %s: the old one is removed first', async (_, change) => {
    const [wan, lan] = PAIRS;
    if (wan === undefined || lan === undefined) throw new Error('no pairs');
    r.configure([{ ...wan, ...change }, lan]);
    await r.settle();
    const where = { ...wan, ...change };
    expect([...r.kernel().links.values()].filter((l) => l.alias === 'lcpd wan0')).toHaveLength(
      change.netns === 'cp' ? 1 : 0,
    );
    expect(r.kernel(where.netns).linkNamed(where.host).alias).toBe('lcpd wan0');
    expect(r.dataplane.log.filter((line) => line.includes('pair wan0'))).toEqual(['delete pair wan0', 'set pair wan0']);
    leaks();
  });

  it('renamed is the same host', async () => {
    r.kernel().setLink(host('e0'), { name: 'uplink' });
    await r.settle();
    expect(r.dataplane.log).toEqual(['set link wan0']);
    expect(r.dataplane.links.get('wan0')?.host).toBe('uplink');
  });

  it('of ours without a port, found at a start, is adopted or removed', async () => {
    r.kernel().addLink('stray', { kind: 'tun', tunType: 'tap', alias: hostAlias('gone0') });
    r.deliver('cp');
    const next = r.successor();
    await next.settle();
    expect(() => host('stray')).toThrow('no link');
    expect(next.dataplane.pairs.size).toBe(2);
  });
});

describe('sources of ICMP', () => {
  it('change everywhere when the address they came from goes', async () => {
    const e1 = host('e1').ifindex;
    for (const a of r.kernel().addresses.filter((o) => o.ifindex === e1)) r.kernel().delAddress(a);
    await r.settle();
    expect(r.dataplane.links.get('lan0')?.source4, 'another host’s address').toBe('10.0.1.1');
    for (const a of r.kernel().addresses.filter((o) => o.local === '10.0.1.1')) r.kernel().delAddress(a);
    await r.settle();
    expect(r.dataplane.links.get('lan0')?.source4).toBe('');
  });
});

describe('a namespace', () => {
  it('that goes takes its pairs along; when it comes again they are made again', async () => {
    const ns = r.ns();
    const lost = r.kernel();
    for (const l of [...lost.links.values()]) lost.delLink(l);
    for (const route of [...lost.routes.all()]) lost.routes.drop(route);
    lost.take();
    ns.state = 'absent';
    ns.clear();
    r.reconciler.namespaceChanged(ns);
    await r.settle();
    expect(r.reconciler.pairs.reason('wan0')).toBe('network namespace cp does not exist');
    expect([r.dataplane.pairs.size, r.dataplane.pathsets.size, r.dataplane.neighbours.size]).toEqual([0, 0, 0]);
    expect([...r.dataplane.tables.values()].filter((t) => t.netns === 'cp')).toEqual([]);
    r.kernel().addLink('lo', { kind: 'lo', type: 772, mac: '' });
    r.resync('cp');
    await r.settle();
    expect([...r.dataplane.pairs.keys()].sort()).toEqual(['lan0', 'wan0']);
    expect(r.reconciler.pairs.reason('wan0')).toBe('');
  });
});

describe('restarts', () => {
  it('of lcpd with nothing changed send nothing', async () => {
    await r.successor().settle();
    expect([r.dataplane.log, r.dataplane.operations]).toEqual([[], 0]);
  });

  it('of lcpd find what changed meanwhile, and nothing else is touched', async () => {
    const add = (dst: string) => r.kernel().addRoute({ dst, legs: [{ oif: host('e0').ifindex, gateway: FAR }] });
    add('10.6.0.0/16');
    await r.settle();
    r.dataplane.operations = 0;
    add('10.8.0.0/16');
    const gone = [...r.kernel().routes.all()].find((route) => route.dst === '10.9.0.0/16');
    if (gone !== undefined) r.kernel().routes.drop(gone);
    const next = r.successor();
    await next.settle();
    expect([next.lookup('10.8.0.1'), next.lookup('10.9.0.1')]).toEqual([`wan0 ${FAR} 1`, 'none']);
    expect(r.dataplane.operations, 'one added, one removed, by the path set that is there').toBe(2);
  });

  it('of lcpd remove path sets and tables that nobody needs', async () => {
    await r.dataplane.apply([
      {
        op: 'set',
        object: { kind: 'pathset', id: 'x', paths: [{ phy: 'lan0', via: '10.0.2.77', weight: 5 }] },
        handle: 0,
      },
      { op: 'set', object: { kind: 'table', netns: 'gone', family: 4, table: 254 }, handle: 0 },
    ]);
    const next = r.successor();
    await next.settle();
    expect([...r.dataplane.tables.values()].map((t) => t.netns)).not.toContain('gone');
    expect([...r.dataplane.pathsets.values()].flat().map((p) => p.via)).not.toContain('10.0.2.77');
    expect(next.adopted).toHaveLength(1);
  });

  it.each([
    ['keeps everything: nothing is sent', true],
    ['lost everything: all of it is sent', false],
  ])('of the data plane that %s', async (_, keep) => {
    const before = r.dataplane.text();
    r.dataplane.restart(keep);
    await r.settle();
    expect(r.dataplane.text()).toBe(before);
    expect(r.dataplane.operations > 0).toBe(!keep);
    leaks();
  });

  it('of the data plane while a pair is taken back: its host, which nobody has any more, goes', async () => {
    r.dataplane.restart(false);
    r.configure(PAIRS.slice(1));
    await r.settle();
    expect(() => host('e0')).toThrow('no link');
    expect([...r.dataplane.pairs.keys()]).toEqual(['lan0']);
    leaks();
  });

  it('of the data plane while legs change: what it gets is what is', async () => {
    r.kernel().setNexthop({ id: 1, oif: host('e0').ifindex, gateway: FAR });
    r.kernel().addRoute({ dst: '10.7.0.0/16', nhId: 1 });
    await r.settle();
    r.dataplane.restart(false);
    r.kernel().setNexthop({ id: 1, oif: host('e1').ifindex, gateway: '10.0.2.2' });
    await r.settle();
    expect(r.lookup('10.7.0.1')).toBe('lan0 10.0.2.2 1');
    leaks();
  });

  it('with detached hosts: the phy comes back to a restarted lcpd', async () => {
    const bring = replacePhy('wan0');
    await r.settle();
    const next = r.successor();
    await next.settle();
    expect(next.reconciler.pairs.reason('wan0')).toBe('phy wan0 does not exist');
    bring();
    await next.settle();
    expect(next.lookup('10.9.0.1')).toBe(`wan0 ${FAR} 1`);
    expect([...r.dataplane.pairs.keys()].sort()).toEqual(['lan0', 'wan0']);
  });
});
