/**
 * Punts by rules, over a link like the interface itself, with real frames; who shares it, and who is in the way. Numbers are
 * those of the punt manager's scenarios.
 */
import { ip } from './lab/netns.ts';
import { hexOf, isisFrame, ODD_FILTER, ODD_SOURCE, ospfPacket } from './lab/oddframes.ts';
import { slowness, waitFor } from './lab/process.ts';
import { Punts } from './lab/punts.ts';
import {
  abx,
  abxMac,
  addressesIn,
  bgp,
  framesTo,
  hasHairpin,
  lacks,
  macIn,
  neighbour,
  ospf,
  toMac,
  withTaps,
} from './lab/puntscene.ts';
import { frameOf } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { reachable, sendFrames } from './lab/traffic.ts';
import { system } from './lab.ts';

system(
  '17, 19 ABX: what its rules say and nothing else; it follows the addresses of the interface',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const [h0, cp] = [lab.ns('h0'), lab.ns('cp')];
    await punts.configure(abx('routing', c1, ospf));
    await punts.is('routing', 'CREATED');
    const [tap = '', ...more] = await punts.taps('c1');
    t.same(more, [], 'one TAP');
    const mac = await macIn(lab, 'c1', tap);
    t.match(mac, await abxMac(lab));
    t.same((await addressesIn(lab, 'c1', tap)).sort(), ['10.0.0.1/24', 'fd00::1/64'], 'the addresses of the interface');

    const cnf = await Sniffer.on(lab, c1, tap, 'in', ODD_FILTER);
    const host = await Sniffer.on(lab, cp, 'e0', 'in', ODD_FILTER);
    const { ospf4, ospf6, bgp: toBgp, ssh } = await framesTo(lab);
    await sendFrames(h0, 'eth0', hexOf([ospf4, ospf6, toBgp, ssh]));
    await host.seen(2);
    t.same(await cnf.seen(2), [toMac(ospf4, mac), toMac(ospf6, mac)].sort(), 'OSPF of both families, TTL and all');
    t.same(host.frames(), hexOf([toBgp, ssh]), 'the rest is for the router as ever');
    t.ok(await reachable(h0, '10.0.0.1'));

    const opposite = await punts.opposite(tap);
    t.match(opposite, /^02:fd:/);
    t.equal(
      await neighbour(lab, 'c1', tap, '10.0.0.9'),
      opposite,
      'who asks for a neighbour of the interface is answered',
    );
    if (!lacks(lab, 'proxy 6')) t.equal(await neighbour(lab, 'c1', tap, 'fd00::9'), opposite, 'by IPv6 too');
    t.ok(await reachable(h0, '10.0.1.2'), 'and nothing of it is in the way of the others');

    await ip(cp, 'address', 'del', '10.0.0.1/24', 'dev', 'e0');
    await ip(cp, 'address', 'add', '10.0.7.1/24', 'dev', 'e0');
    const begun = performance.now();
    await waitFor(
      'the CNF to have the other address',
      async () => (await addressesIn(lab, 'c1', tap)).sort().join() === '10.0.7.1/24,fd00::1/64',
    );
    t.ok(performance.now() - begun < 2000 * slowness, 'within two seconds');
    await punts.is('routing', 'CREATED');
    await punts.lcpd.synced();
    const moved = frameOf(await macIn(lab, 'cp', 'e0'), ODD_SOURCE, ospfPacket('10.0.7.2', '10.0.7.1'));
    await sendFrames(h0, 'eth0', hexOf([ospf4, moved]));
    await cnf.seen(3);
    t.ok(cnf.frames().includes(toMac(moved, mac)), 'rules follow');
    t.equal(cnf.frames().length, 3, "the old address is nobody's");
    t.equal(await neighbour(lab, 'c1', tap, '10.0.7.9'), opposite, 'and who is answered for');

    await ip(cp, 'address', 'flush', 'dev', 'e0', 'scope', 'global');
    await punts.is('routing', 'PENDING', /interface p0 has no address/);
    await punts.noTaps('c1');
    await lab.addressHost(0);
    await punts.is('routing', 'CREATED');
    t.same(await punts.taps('c1'), [tap], 'the same one again');
  },
  withTaps,
);

system(
  '18 ABX and ISISX share the link of an interface and a namespace; another namespace has its own',
  async (t, lab) => {
    const punts = new Punts(lab);
    const [c1, c2] = [await lab.addNetns('c1'), await lab.addNetns('c2')];
    await punts.start();
    const h0 = lab.ns('h0');
    const isis = { name: 'isis', type: 'isisx', netns: c1, interface: 'p0' };
    await punts.configure(abx('ospf', c1, ospf), abx('bgp', c1, bgp), isis, abx('both', c2, ospf, bgp));
    await punts.are('CREATED', 'ospf', 'bgp', 'isis', 'both');
    const [tap1 = '', ...more1] = await punts.taps('c1');
    const [tap2 = '', ...more2] = await punts.taps('c2');
    t.same([...more1, ...more2], [], 'one TAP for each namespace');
    t.not(tap1, tap2);
    const [mac1, mac2] = [await macIn(lab, 'c1', tap1), await macIn(lab, 'c2', tap2)];
    t.equal(await neighbour(lab, 'c1', tap1, '10.0.0.9'), await punts.opposite(tap1));
    t.equal(await neighbour(lab, 'c2', tap2, '10.0.0.9'), await punts.opposite(tap2), 'both are answered');
    const shared = async (): Promise<string[]> =>
      (await punts.rows()).map(({ request, links }) => `${request.id.label} ${links.map((link) => link.shared)}`);
    t.same(await shared(), ['ospf true', 'bgp true', 'isis true', 'both false'], 'each is told whether it shares');

    const [one, two] = [
      await Sniffer.on(lab, c1, tap1, 'in', ODD_FILTER),
      await Sniffer.on(lab, c2, tap2, 'in', ODD_FILTER),
    ];
    const { ospf4, bgp: toBgp } = await framesTo(lab);
    await sendFrames(h0, 'eth0', hexOf([ospf4, toBgp, isisFrame()]));
    const first = [toMac(ospf4, mac1), toMac(toBgp, mac1), ...hexOf([isisFrame()])].sort();
    t.same(await one.seen(first.length), first, 'who came first has it, all in one link');
    t.same(two.frames(), [], 'the second in line gets what the first leaves');

    await punts.configure(abx('bgp', c1, bgp), isis, abx('both', c2, ospf, bgp));
    await punts.is('ospf', 'DELETED');
    await punts.lcpd.synced();
    t.same(await shared(), ['bgp true', 'isis true', 'both false'], 'two share it yet');
    await sendFrames(h0, 'eth0', hexOf([ospf4, toBgp]));
    t.same(await two.seen(1), [toMac(ospf4, mac2)], "OSPF is the next one's");
    await one.seen(first.length + 1);
    t.same(one.frames().filter((frame) => frame === toMac(toBgp, mac1)).length, 2, 'BGP is where it was');

    await punts.configure(abx('bgp', c1, bgp), abx('both', c2, ospf, bgp));
    await punts.is('isis', 'DELETED');
    t.same(await shared(), ['bgp false', 'both false'], 'and one has it alone');
    await punts.configure(abx('both', c2, ospf, bgp));
    await punts.noTaps('c1');
    t.same(await punts.taps('c2'), [tap2]);
    await sendFrames(h0, 'eth0', hexOf([toBgp]));
    await two.seen(2);
    await punts.configure();
    await punts.noTaps('c2');
    t.ok(await reachable(h0, '10.0.1.2'));
  },
  withTaps,
);

system(
  '21 conflicts: who is there stays, who comes later is told who is in the way, and has its turn',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const first = abx('first', c1, ospf);
    const hairpin = {
      ...{ name: 'second', type: 'hairpin', netns: c1, interface: 'p0' },
      'hairpin-interface': { name: 'hp0', addresses: ['10.5.0.1/24'] },
    };
    await punts.configure(first);
    await punts.is('first', 'CREATED');
    const taps = await punts.taps('c1');
    await punts.configure(first, hairpin);
    await punts.is('second', 'BUSY', /^VPP selector vpp\/interface\/p0 is busy/);
    t.same(await punts.taps('c1'), taps, 'nothing is made of it');
    t.same(
      punts.told('first').map(({ state }) => state),
      ['INIT', 'CREATED'],
      'the first one is not touched',
    );
    t.notOk(await hasHairpin(lab, 'hp0'));
    await t.rejects(punts.configure(first, first), /first.*twice|already|once/s, 'one name, twice');

    const relay = (name: string, netns: string) => ({ name, type: 'dhcp-proxy', netns });
    await punts.configure(first, hairpin, relay('dhcp1', c1), relay('dhcp2', ''));
    await punts.is('dhcp2', 'BUSY', /^VPP selector vpp\/vrf\/0 is busy/);
    const host = (name: string, socket: string) => ({
      name,
      type: 'to-host',
      l3: 'ipv4',
      l4: 'udp',
      port: 9000,
      socket,
    });
    await punts.configure(first, hairpin, host('sock1', `${lab.dir}/c1.sock`), host('sock2', `${lab.dir}/c2.sock`));
    await punts.is('sock2', 'BUSY', /udp4\/9000 is busy: .*\|sock1 has it/);

    await punts.configure(hairpin);
    await punts.is('first', 'DELETED');
    await punts.is('second', 'CREATED');
    await waitFor('the interface of the HAIRPIN', () => hasHairpin(lab, 'hp0'));
    t.same(
      punts.told('second').map(({ state }) => state),
      ['BUSY', 'INIT', 'CREATED'],
    );
  },
  withTaps,
);
