/**
 * What watchers of punts are told, and when: links that change while the state does not, and the end of a punt, which is told while
 * all of it is there yet. On data planes with interfaces of their own and without.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AbxSpec, HairpinSpec, PuntRequest } from '../../../src/punt/request.ts';
import type { PuntChange } from '../../../src/punt/view.ts';
import { ask, place } from './lab.ts';
import { World } from './world.ts';

const ospf = {
  ...{ permit: true, source: 'any', destination: 'local', protocol: 89, flagsMask: 0, flagsValue: 0 },
  ...{ sourcePorts: [0, 65535] as const, destinationPorts: [0, 65535] as const },
};
const abx: AbxSpec = { type: 'abx', interface: 'eth0', vrf: 0, withoutCnfVrf: false, ingress: [ospf], egress: [] };
const routing = ask('routing', abx, { netns: 'c1' });
const isis = ask('isis', { type: 'isisx', interface: 'eth0', vrf: 0, withoutCnfVrf: false }, { netns: 'c1' });
const hairpin = (of: Partial<HairpinSpec['hairpin']> = {}): PuntRequest =>
  ask(
    'hairpin',
    {
      type: 'hairpin',
      interface: 'eth1',
      hairpin: { name: 'hp0', mac: '', addresses: ['10.5.0.1/24'], vrf: 0, dhcpClient: false, mtu: 0, ...of },
    },
    { netns: 'c1' },
  );

describe.each([
  ['a data plane with interfaces of its own', false],
  ['a data plane that opens phys', true],
])('what is told of punts on %s', (_, opensPhys) => {
  let w: World;
  beforeEach(() => {
    w = new World(() => 99);
    w.env.opensPhys = opensPhys;
    w.env.allocCidr = '192.168.111.0/24';
  });
  afterEach(() => w.end());

  const configure = async (...requests: PuntRequest[]): Promise<void> => {
    w.configured = requests;
    w.punts.configure(requests);
    await w.quiet();
  };
  /** What was told of a punt since the last time that it was asked for. */
  const told = (label: string): PuntChange[] => {
    const own = w.changes.filter(({ id }) => id.endsWith(`|${label}`));
    const others = w.changes.filter((change) => !own.includes(change));
    w.changes.splice(0, w.changes.length, ...others);
    return own;
  };
  const shared = (changes: PuntChange[]): string[] =>
    changes.map(({ about, state, links }) => [about, state, ...links.map((link) => link.shared)].join(' '));
  const rowLinks = (label: string) => w.punts.find(label).links;

  it('who shares a link is told when another one joins, and when it leaves; its state stays', async () => {
    await configure(routing);
    expect(shared(told('routing'))).toEqual(['state INIT false', 'state CREATED false']);
    await configure(routing, isis);
    const [joined, ...more] = told('routing');
    expect(shared(joined ? [joined, ...more] : [])).toEqual(['links CREATED true']);
    expect(joined?.links, 'as the row has them').toEqual(rowLinks('routing'));
    expect(shared(told('isis'))).toEqual(['state INIT true', 'state CREATED true']);
    await configure(routing);
    expect(shared(told('routing'))).toEqual(['links CREATED false']);
    expect(shared(told('isis'))).toEqual(['state DELETED true']);
    await configure(routing, isis);
    for (const label of ['routing', 'isis']) told(label);
    await configure(isis);
    // the link is marked as that of the one that is left
    expect(shared(told('isis'))).toEqual(['state INIT false', 'state CREATED false']);
    expect(shared(told('routing'))).toEqual(['state DELETED true']);
    for (let i = 0; i < 3; i++) await w.quiet();
    expect(w.changes, 'and once').toEqual([]);
  });

  it('another MAC, name and address are told with the state that they bring', async () => {
    await configure(hairpin());
    const ends = (change: PuntChange | undefined) =>
      change?.links.map(({ vpp }) => [vpp.name, vpp.mac, ...vpp.addresses].join(' '))[1];
    const [, created] = told('hairpin');
    expect(ends(created)).toMatch(/^hp0 02:fd:(..:){3}.. 10\.5\.0\.1\/24$/);
    await configure(hairpin({ mac: '02:11:22:33:44:55' }));
    const another = told('hairpin');
    expect(another.map(({ state }) => state)).toEqual(['INIT', 'CREATED']);
    expect(another.map(ends)).toEqual(Array(2).fill('hp0 02:11:22:33:44:55 10.5.0.1/24'));
    await configure(hairpin({ name: 'hp1', addresses: ['10.6.0.1/24'] }));
    expect(ends(told('hairpin').at(-1))).toMatch(/^hp1 02:fd:(..:){3}.. 10\.6\.0\.1\/24$/);
  });

  it('so are those of one that waits', async () => {
    w.env.interfaces.delete('eth1');
    await configure(hairpin());
    expect(told('hairpin').map(({ about, state }) => `${about} ${state}`)).toEqual(['state PENDING']);
    await configure(hairpin({ mac: '02:11:22:33:44:55' }));
    const [change, ...more] = told('hairpin');
    expect([change, more]).toMatchObject([{ about: 'links', state: 'PENDING' }, []]);
    expect(change?.reasons).toEqual(['interface eth1 does not exist']);
    expect(change?.links[1]?.vpp.mac).toBe('02:11:22:33:44:55');
    w.env.interfaces.set('eth1', place({ addresses: ['10.1.0.1/24'] }));
    await w.quiet();
    expect(told('hairpin').map(({ about, state }) => `${about} ${state}`)).toEqual(['state INIT', 'state CREATED']);
  });

  it('DELETED is told while the data plane, and the namespaces of CNFs, have all of it', async () => {
    const all = [
      routing,
      isis,
      hairpin(),
      ask('relay', { type: 'dhcp-proxy', l3: 'ipv4', vrf: 0, withoutCnfVrf: false }, { netns: 'c2' }),
      ask('mirror', { type: 'span', interface: 'eth0', direction: 'both' }, { netns: 'c2' }),
      ask('memif', { type: 'span', interface: 'eth1', direction: 'both' }, { interconnect: 'memif' }),
      ask('socket', { type: 'to-host', l3: 'all', l4: 'udp', port: 9000, socket: '/run/t/a.sock' }),
      ask('limit', { type: 'police', scope: 'ipv6', unit: 'pps', rate: 100, burst: 100 }),
    ];
    const ended: string[] = [];
    const missed: string[] = [];
    const held = (): string[] => [...w.plane.held.keys()];
    let objects = new Map<string, readonly string[]>();
    const watch = (): void => {
      w.punts.watch(({ id, state }) => {
        if (state !== 'DELETED') return;
        ended.push(id);
        const there = new Set(held());
        missed.push(...(objects.get(id) ?? ['its row']).filter((object) => !there.has(object)));
        const names = new Set(w.devices.map(({ name }) => `interconnect ${name}`));
        const taps = (objects.get(id) ?? []).filter((o) => /^interconnect (tap-|hp)/.test(o));
        missed.push(...taps.filter((tap) => !names.has(tap)).map((tap) => `device of ${tap}`));
      });
    };
    const made = async (): Promise<void> => {
      await configure(...all);
      const rows = w.punts.list();
      expect(rows.map(({ id, state }) => `${id} ${state}`)).toEqual(rows.map(({ id }) => `${id} CREATED`));
      objects = new Map(rows.map((row) => [row.id, row.objects]));
      expect([...objects.values()].flat().length).toBeGreaterThan(2 * all.length);
      ended.length = 0;
    };
    watch();
    const ids = (): string[] => [...objects.keys()].sort();

    await made();
    await configure();
    expect([[...ended].sort(), missed, held()], 'configured away').toEqual([ids(), [], []]);

    await made();
    w.punts.stop();
    await w.quiet();
    expect([[...ended].sort(), missed, held()], 'lcpd ends').toEqual([ids(), [], []]);

    w.again();
    watch();
    await configure();
    for (const request of all) w.punts.add(request, 'cli');
    await w.quiet();
    objects = new Map(w.punts.list().map((row) => [row.id, row.objects]));
    ended.length = 0;
    for (const id of [...objects.keys()]) {
      w.punts.del(id);
      await w.quiet();
      expect([ended.splice(0), missed], `by hand: ${id}`).toEqual([[id], []]);
    }
    expect(held()).toEqual([]);
  });
});
