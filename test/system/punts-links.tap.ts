/**
 * Punts that are links to a CNF, with real frames: patched through, mirrored, by rules. Numbers are those of the punt
 * manager's scenarios.
 */

import { ip } from './lab/netns.ts';
import { hexOf, ODD_FILTER, oddFrames } from './lab/oddframes.ts';
import { waitFor } from './lab/process.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { addressesIn, bridge, embeddedOnly, macIn, neighbour } from './lab/puntscene.ts';
import { Sniffer } from './lab/sniffer.ts';
import { ping, reachable, sendFrames } from './lab/traffic.ts';
import { system } from './lab.ts';

/** Frames that two sniffers have seen, together. */
const union = (...sniffers: Sniffer[]): string[] => sniffers.flatMap((sniffer) => sniffer.frames()).sort();

system(
  "14 HAIRPIN_XCONNECT: every frame goes through the CNF and is what it was; then both are the router's again",
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const [h0, h1] = [lab.ns('h0'), lab.ns('h1')];
    t.ok(await reachable(h0, '10.0.1.2'), 'a router first');
    await punts.configure({ name: 'wire', type: 'hairpin-xconnect', netns: c1, interfaces: ['p0', 'p1'] });
    await punts.is('wire', 'CREATED');
    const taps = await punts.taps('c1');
    t.equal(taps.length, 2, `two TAPs: ${taps.join(' ')}`);
    for (const tap of taps) {
      t.match(tap, /^tap-[a-zA-F]{5}$/);
      t.match(await macIn(lab, 'c1', tap), /^02:fe:/, `${tap}: its MAC`);
    }
    t.same(
      punts.told('wire').map(({ state }) => state),
      ['INIT', 'CREATED'],
    );
    t.equal((await ping(h0, '10.0.0.1', { count: 2 })).received, 0, 'the router takes nothing any more');

    const at = await Promise.all(taps.map((tap) => Sniffer.on(lab, c1, tap, 'in', ODD_FILTER)));
    const odd = hexOf(oddFrames('02:bb:00:00:00:01'));
    await sendFrames(h0, 'eth0', odd);
    t.same(await Promise.any(at.map((sniffer) => sniffer.seen(odd.length))), odd, 'what comes in is there, unchanged');
    t.equal(union(...at).length, odd.length, 'on one of the two');

    await bridge(lab, 'c1', ...taps);
    const out = await Sniffer.on(lab, h1, 'eth0', 'in', ODD_FILTER);
    await sendFrames(h0, 'eth0', odd);
    t.same(await out.seen(odd.length), odd, 'and leaves by the other interface behind the bridge of the CNF');
    await ip(h0, 'address', 'add', '10.9.9.1/24', 'dev', 'eth0');
    await ip(h1, 'address', 'add', '10.9.9.2/24', 'dev', 'eth0');
    t.ok(await reachable(h0, '10.9.9.2'), 'hosts are on one wire');
    const many = await ping(h0, '10.9.9.2', { count: 50, bytes: 1472, dontFragment: true });
    t.equal(many.received, 50, 'with frames as large as the MTU');

    await punts.configure();
    await punts.noTaps('c1');
    await punts.is('wire', 'DELETED');
    t.ok(await reachable(h0, '10.0.1.2'), 'a router again');
    t.equal((await ping(h0, '10.9.9.2', { count: 2 })).received, 0, 'and no wire');
  },
  embeddedOnly,
);

system(
  '15 HAIRPIN: waits for phy and table; then the router has an interface behind the CNF',
  async (t, lab) => {
    const hairpin = {
      ...{ name: 'hp', type: 'hairpin', netns: '', interface: 'p2' },
      'hairpin-interface': { name: 'hp0', addresses: ['10.5.0.1/24', 'fd05::1/64'], vrf: 5 },
    };
    const punts = new Punts(lab, { punts: [hairpin] });
    await punts.start();
    await punts.is('hp', 'PENDING', /interface p2 does not exist; table 5 for IPv4 does not exist; table 5 for IPv6/);
    t.same(await punts.taps('rtr'), [], 'nothing of it is there yet');
    await lab.addHost(2);
    // without a host that says what it is to be, a phy is the operator's
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    await punts.is('hp', 'PENDING', /^table 5 for IPv4 does not exist; table 5 for IPv6 does not exist$/);
    await ip(lab.ns('cp'), 'route', 'add', 'blackhole', '10.99.0.0/16', 'table', '5');
    await punts.is('hp', 'PENDING', /^table 5 for IPv6 does not exist$/);
    t.equal(await lab.link('cp', 'hp0'), undefined, 'no interface before its tables');
    await ip(lab.ns('cp'), '-6', 'route', 'add', 'blackhole', 'fd99::/64', 'table', '5');
    await punts.is('hp', 'CREATED');
    t.equal(await macIn(lab, 'cp', 'hp0'), '02:fd:41:2e:bf:97', 'its MAC follows from the name that it would have had');
    await waitFor('its addresses', async () => (await addressesIn(lab, 'cp', 'hp0')).length === 2);
    t.same(await addressesIn(lab, 'cp', 'hp0'), ['10.5.0.1/24', 'fd05::1/64']);
    const taps = await punts.taps('rtr');
    t.equal(taps.length, 2, taps.join(' '));
    t.equal(await macIn(lab, 'rtr', 'hp0'), '02:fe:41:2e:bf:97', "the CNF's side");

    const h2 = lab.ns('h2');
    await ip(h2, 'address', 'add', '10.5.0.2/24', 'dev', 'eth0');
    await ip(h2, 'address', 'add', 'fd05::2/64', 'dev', 'eth0');
    t.equal((await ping(h2, '10.5.0.1', { count: 2 })).received, 0, 'only through the CNF');
    await bridge(lab, 'rtr', ...taps);
    t.ok(await reachable(h2, '10.5.0.1'), 'the router answers there');
    t.ok(await reachable(h2, 'fd05::1'), 'by IPv6 too');
    await ip(h2, 'route', 'add', '10.0.0.0/24', 'via', '10.5.0.1');
    await ip(lab.ns('h0'), 'route', 'add', '10.5.0.0/24', 'via', '10.0.0.1');
    t.ok(await reachable(h2, '10.0.0.2'), 'and forwards between it and a pair');

    const mac = '02:11:22:33:44:55';
    await punts.configure({ ...hairpin, 'hairpin-interface': { ...hairpin['hairpin-interface'], mac } });
    await waitFor('its MAC to be the one that is given', async () => (await macIn(lab, 'cp', 'hp0')) === mac);
    await punts.is('hp', 'CREATED');
    t.equal(await macIn(lab, 'rtr', 'hp0'), '02:fe:41:2e:bf:97', "the CNF's side stays");
    await ip(h2, 'neighbour', 'flush', 'dev', 'eth0');
    t.equal(await neighbour(lab, 'h2', 'eth0', '10.5.0.1'), mac, 'the router answers by it');
    t.ok(await reachable(h2, '10.0.0.2'), 'and forwards');
    await punts.configure({
      ...hairpin,
      name: 'from-the-start',
      'hairpin-interface': { ...hairpin['hairpin-interface'], name: 'hp1', mac: '02:11:22:33:44:66' },
    });
    await punts.is('from-the-start', 'CREATED');
    t.equal(await macIn(lab, 'cp', 'hp1'), '02:11:22:33:44:66', 'so does one that is made with it');
    await lab.waitNoLink('cp', 'hp0');

    await punts.configure();
    await punts.noTaps('rtr');
    await lab.waitNoLink('cp', 'hp1');
    t.equal((await ping(h2, '10.5.0.1', { count: 2 })).received, 0);
  },
  embeddedOnly,
);

system(
  '16 SPAN: each frame once, as it was on the wire; by direction; nothing is left when its interface goes',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const [h0, rtr] = [lab.ns('h0'), lab.ns('rtr')];
    const span = (direction: string, n = 0) => ({
      ...{ name: `span${n}`, type: 'span', netns: n === 0 ? '' : c1, interface: `p${n}`, direction },
    });
    // so that the learning of neighbours is over
    t.ok(await reachable(h0, '10.0.1.2'));
    await punts.configure(span('both'), span('both', 1));
    await punts.are('CREATED', 'span0', 'span1');
    const [tap0 = '', ...others] = await punts.taps('rtr');
    const [tap1 = ''] = await punts.taps('c1');
    t.same(others, []);
    const filter = 'icmp[0] = 8 or icmp[0] = 0';
    const [wireOut, wireIn] = [
      await Sniffer.on(lab, h0, 'eth0', 'out', filter),
      await Sniffer.on(lab, h0, 'eth0', 'in', filter),
    ];
    const far = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', filter);
    const mirror0 = await Sniffer.on(lab, rtr, tap0, 'in', filter);
    const mirror1 = await Sniffer.on(lab, c1, tap1, 'in', filter);
    t.equal((await ping(h0, '10.0.1.2', { count: 20, bytes: 1400 })).received, 20, 'the router goes on');
    await mirror0.seen(40);
    await mirror1.seen(40);
    t.same(mirror0.frames(), union(wireOut, wireIn), 'both ways, each once, as it is on the wire');
    const onFar = new Set(far.frames());
    t.equal(mirror1.frames().filter((frame) => onFar.has(frame)).length, 20, 'the other side: what left there');

    const tagged = await Sniffer.on(lab, rtr, tap0, 'in', ODD_FILTER);
    const odd = hexOf(oddFrames('02:bb:00:00:00:01'));
    await sendFrames(h0, 'eth0', odd);
    t.same(await tagged.seen(odd.length), odd, 'frames of every kind, also those that the router does not take');

    for (const [direction, only] of [
      ['rx', wireOut],
      ['tx', wireIn],
    ] as const) {
      await punts.configure(span(direction));
      await waitFor(`span0 to be ${direction}`, async () => (await punts.taps('c1')).length === 0);
      await punts.lcpd.synced();
      const before = { mirror: mirror0.frames().length, wire: only.frames().length };
      await ping(h0, '10.0.1.2', { count: 10 });
      await mirror0.seen(before.mirror + 10);
      await only.seen(before.wire + 10);
      const more = mirror0.frames().length - before.mirror;
      t.equal(more, only.frames().length - before.wire, `${direction}: only that`);
      t.equal(more, 10);
    }

    await ip(rtr, 'link', 'del', 'p0');
    await punts.is('span0', 'PENDING', /p0/);
    await punts.noTaps('rtr');
    await lab.addCable(0);
    await lab.waitLink('cp', 'e0');
    await lab.addressHost(0);
    await punts.is('span0', 'CREATED');
    t.ok(await reachable(h0, '10.0.1.2'), 'all is back with the interface');
    t.same(await punts.taps('rtr'), [tap0], 'under the same name');
  },
  embeddedOnly,
);

system(
  '26 interconnects that do not fit are refused by name; what the data plane lacks is waited for by name',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const socket = `${lab.dir}/c.sock`;
    const refused: [string, Entry, RegExp][] = [
      [
        'a socket by TAP',
        { name: 'x', type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket, interconnect: 'tap' },
        /interconnect/,
      ],
      [
        'a socket by memif',
        { name: 'x', type: 'exception', reason: 'r', socket, interconnect: 'memif' },
        /interconnect/,
      ],
      ['SPAN by AF_UNIX', { name: 'x', type: 'span', interface: 'p0', interconnect: 'af-unix' }, /interconnect/],
      ['HAIRPIN without its interface', { name: 'x', type: 'hairpin', interface: 'p0' }, /hairpin-interface/],
      ['ABX without rules', { name: 'x', type: 'abx', interface: 'p0' }, /ingress/],
      [
        'one interface twice',
        { name: 'x', type: 'hairpin-xconnect', interfaces: ['p0', 'p0'] },
        /duplicate VPP selector vpp\/interface\/p0/,
      ],
      ['a type that is none', { name: 'x', type: 'no-punt' }, /type/],
    ];
    for (const [what, entry, message] of refused) await t.rejects(punts.configure(entry), message, what);
    t.same(punts.told('x'), [], 'nothing came of them');
    await punts.configure({
      name: 'm',
      type: 'hairpin',
      netns: c1,
      interface: 'p0',
      'hairpin-interface': { name: 'hp9', 'dhcp-client': true },
    });
    await punts.is('m', 'PENDING', /link dhcp-client: .*run a DHCP client on its host/);
    t.same(await punts.taps('c1'), []);
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  },
  embeddedOnly,
);
