/**
 * Punts over TAPs that a real VPP makes: one of each in two CNFs, with real frames, while lcpd and VPP are killed and started, and
 * nothing is left in the end. Numbers are those of the punt manager's scenarios.
 */
import { macOf } from '../../src/punt/names.ts';
import { ip } from '../system/lab/netns.ts';
import { hexOf, isisFrame, ODD_FILTER, ODD_SOURCE, oddFrames, ospfPacket } from '../system/lab/oddframes.ts';
import { waitFor } from '../system/lab/process.ts';
import {
  abxTap,
  allCreated,
  bridgeAll,
  hairpinTap,
  identities,
  isisTap,
  mirrorTap,
  oneOfEach,
  relayTap,
  TAPS,
  tapsIn,
  unnamedHairpinTap,
  Witnesses,
} from '../system/lab/puntlife.ts';
import { Punts } from '../system/lab/punts.ts';
import { addressesIn, bridge, macIn, neighbour } from '../system/lab/puntscene.ts';
import { frameOf } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { Pinger, ping, reachable, sendFrames, udpPackets } from '../system/lab/traffic.ts';
import { type Lab, system } from '../system/lab.ts';

const ISIS = hexOf([isisFrame()]);
const WAYS = [
  ['h0', '10.0.1.2'],
  ['h2', '10.9.9.3'],
  ['h4', '10.0.0.2'],
] as const;

/** What VPP has of punts, in its words; the counters beside interfaces and features are left out. */
async function inVpp(lab: Lab): Promise<Record<string, string[]>> {
  const lines = async (command: string, wanted: RegExp): Promise<string[]> =>
    (await lab.vppctl(command))
      .split('\n')
      .flatMap((line) => wanted.exec(line)?.[1] ?? [])
      .sort();
  return {
    interfaces: await lines('show interface', /^(\w\S+)/),
    xconnects: await lines('show mode', /(l2 xconnect \S+)/),
    mirrors: await lines('show interface span', /^(p\d.*)/),
    policies: await lines('show abf policy', /(policy:\d+)/),
    lists: await lines('show acl-plugin acl', /tag \{(.*)\}/),
    relays: await lines('show dhcp proxy', /(\d+\.\d+\.\d+\.\d+.*)/),
    redirects: await lines('show ip punt redirect', /( rx .*)/),
    policers: await lines('show policer', /Name "(.*?)"/),
    answers: await lines('show arp proxy', /(\d+\.\d+\.\d+\.\d+ - \S+)/),
  };
}

/** CNFs have new TAPs, which go where the old ones were. */
async function plug(lab: Lab): Promise<void> {
  const both = [['c1', TAPS.c1] as const, ['c2', [hairpinTap, 'hp0']] as const];
  for (const [role, taps] of both) for (const tap of taps) await ip(lab.ns(role), 'link', 'set', tap, 'master', 'br0');
}

/** Sends IS-IS by h1 and from the CNF, each to the other. */
async function isisBothWays(lab: Lab): Promise<string[][]> {
  const [cnf, wire] = [
    await Sniffer.on(lab, lab.ns('c2'), isisTap, 'in', ODD_FILTER),
    await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', ODD_FILTER),
  ];
  await sendFrames(lab.ns('h1'), 'eth0', ISIS);
  const inward = await cnf.seen(1);
  await sendFrames(lab.ns('c2'), isisTap, ISIS);
  const seen = [inward, await wire.seen(1)];
  for (const sniffer of [cnf, wire]) await sniffer.stop();
  return seen;
}

/** Sends odd frames by h2 and gives what leaves at h3. */
async function throughWire(lab: Lab, frames: readonly string[]): Promise<string[]> {
  const out = await Sniffer.on(lab, lab.ns('h3'), 'eth0', 'in', ODD_FILTER);
  await sendFrames(lab.ns('h2'), 'eth0', frames);
  const seen = await out.seen(frames.length);
  await out.stop();
  return seen;
}

system(
  '7, 14, 15, 16, 17, 22, 23, 24: one of each over TAPs, as frames and the CNFs see it; lcpd killed, VPP killed; then nothing is left',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 3 });
    const [c1, c2] = [await lab.addNetns('c1'), await lab.addNetns('c2')];
    const lcpd = await punts.start();
    const none = await inVpp(lab);
    await punts.configure(...oneOfEach(lab));
    await allCreated(punts);
    t.same((await punts.taps('c1')).sort(), TAPS.c1, 'two TAPs named by their hash');
    t.same((await punts.taps('c2')).sort(), TAPS.c2, 'and those of the other CNF');
    for (const tap of [...TAPS.c1, relayTap, mirrorTap, hairpinTap])
      t.match(await macIn(lab, TAPS.c1.includes(tap) ? 'c1' : 'c2', tap), /^02:fe:/, `${tap}: its MAC`);
    t.equal(
      await macIn(lab, 'c2', 'hp0'),
      macOf(unnamedHairpinTap, 'fe'),
      'the MAC follows from the name it would have had',
    );
    t.equal(await macIn(lab, 'c2', abxTap), await macIn(lab, 'cp', 'e0'), 'that of an ABX is that of its phy');
    t.same((await addressesIn(lab, 'c2', abxTap)).sort(), ['10.0.0.1/24', 'fd00::1/64'], 'with its addresses');
    t.same(await addressesIn(lab, 'c2', relayTap), ['192.168.111.2/30'], 'a relay has a /30');
    t.match(await lab.vppctl('show interface address'), /hp0 \(up\):\s+L3 10\.5\.0\.1\/24/, 'VPP is behind the CNF');

    const [h0, h1, h4] = [lab.ns('h0'), lab.ns('h1'), lab.ns('h4')];
    const odd = hexOf(oddFrames('02:bb:00:00:00:01'));
    const at = await Promise.all(TAPS.c1.map((tap) => Sniffer.on(lab, c1, tap, 'in', ODD_FILTER)));
    await sendFrames(lab.ns('h2'), 'eth0', odd);
    t.same(await Promise.any(at.map((sniffer) => sniffer.seen(odd.length))), odd, 'frames of every kind, unchanged');
    t.equal(at.flatMap((sniffer) => sniffer.frames()).length, odd.length, 'on one of the two TAPs');
    t.equal((await ping(h4, '10.0.0.2', { count: 1 })).received, 0, 'a HAIRPIN is only through its CNF');
    await bridgeAll(lab);
    t.same(await throughWire(lab, odd), odd, 'and leave by the other phy');
    await ip(h4, 'route', 'add', '10.0.0.0/24', 'via', '10.5.0.1');
    for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to}`);
    const large = await ping(lab.ns('h2'), '10.9.9.3', { count: 20, bytes: 1472, dontFragment: true });
    t.equal(large.received, 20, 'with frames as large as the MTU');

    const filter = 'icmp[0] = 8 or icmp[0] = 0';
    const mirror = await Sniffer.on(lab, c2, mirrorTap, 'in', filter);
    const wire = [await Sniffer.on(lab, h0, 'eth0', 'in', filter), await Sniffer.on(lab, h0, 'eth0', 'out', filter)];
    t.equal((await ping(h0, '10.0.1.2', { count: 20, bytes: 1400 })).received, 20, 'what is mirrored goes on');
    const copies = await mirror.seen(40);
    t.same(copies, wire.flatMap((sniffer) => sniffer.frames()).sort(), 'each frame once, both ways, as on the wire');

    const ospf = frameOf(await macIn(lab, 'cp', 'e0'), ODD_SOURCE, ospfPacket('10.0.0.2', '10.0.0.1', 1)).toString(
      'hex',
    );
    const cnf = await Sniffer.on(lab, c2, abxTap, 'in', ODD_FILTER);
    const host = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', ODD_FILTER);
    await sendFrames(h0, 'eth0', [ospf]);
    t.same(await cnf.seen(1), [ospf], 'the CNF has OSPF, TTL 1 and all');
    t.same(host.frames(), [], 'and the host does not');

    t.same(await isisBothWays(lab), [ISIS, ISIS], 'IS-IS reaches the CNF, and what it sends the wire');

    const redirected = await Sniffer.on(lab, h1, 'eth0', 'in', 'udp dst port 9000');
    await udpPackets(h4, '10.5.0.1', 9000, 1, 1);
    const [datagram = ''] = await redirected.seen(1);
    t.equal(datagram.slice(52, 68), '0a0500020a050001', 'a port for the host is redirected, source and all');

    const witnesses = await Witnesses.add(lab);
    // VPP drops the first packet for a neighbour, which it asks for then: clients of DHCP ask again, this one does not
    const meet = (): Promise<string> => neighbour(lab, 'c2', relayTap, '192.168.111.1');
    await meet();
    await witnesses.socket();
    t.equal(await witnesses.relay(), 'c0a86f01', 'a DISCOVER comes from the /30 of the relay');

    const all = await inVpp(lab);
    for (const [what, found] of Object.entries(all))
      t.notSame(found, none[what], `${what}: ${found.filter((line) => !none[what]?.includes(line)).join('; ')}`);
    const before = { c1: await tapsIn(lab, 'c1'), c2: await tapsIn(lab, 'c2'), rows: await identities(punts) };
    const pingers = WAYS.map(
      ([from, to]) => new Pinger(lab.ns(from), to, `${lab.dir}/ping-${from}.log`, { intervalMs: 500 }),
    );
    for (const pinger of pingers) lab.defer(() => pinger.stop());
    for (const pinger of pingers) await pinger.answers(3);
    await lcpd.kill();
    for (const pinger of pingers) await pinger.answers(3);
    await lcpd.start();
    await allCreated(punts);
    await lcpd.synced();
    for (const pinger of pingers) await pinger.answers(3);
    for (const pinger of pingers) t.equal((await pinger.stop()).lost, 0, 'lcpd killed: not a packet is lost');
    t.same(await tapsIn(lab, 'c1'), before.c1, 'the same TAPs');
    t.same(await tapsIn(lab, 'c2'), before.c2, 'in the other CNF too');
    t.same(await identities(punts), before.rows, 'names, MACs, addresses, objects');
    t.same(await inVpp(lab), all, 'VPP has each once');
    t.same(await isisBothWays(lab), [ISIS, ISIS], 'and IS-IS goes on');
    await witnesses.socket();
    await witnesses.relay();

    await lab.dataplaneEnded();
    await waitFor(
      'VPP to have all of it',
      async () => {
        const now = JSON.stringify(await inVpp(lab));
        if (now !== JSON.stringify(all)) throw new Error(`it has ${now}`);
        return true;
      },
      // a VPP in emulation takes its time to start, and lcpd to fill it
      { timeoutMs: 40_000 },
    );
    await allCreated(punts);
    await lcpd.synced();
    t.same((await punts.taps('c1')).sort(), TAPS.c1, 'VPP killed: TAPs of the same names');
    t.same(await identities(punts), before.rows, 'as before');
    await plug(lab);
    await witnesses.listenAgain();
    await meet();
    for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `VPP killed: ${from} reaches ${to}`);
    t.same(await throughWire(lab, odd), odd, 'frames of every kind are what they were');
    await witnesses.socket();
    t.equal(await witnesses.relay(), 'c0a86f01');
    t.same(await isisBothWays(lab), [ISIS, ISIS]);
    t.same((await addressesIn(lab, 'c2', abxTap)).sort(), ['10.0.0.1/24', 'fd00::1/64']);

    await lab.delNetns('c1');
    await punts.is('wire', 'PENDING', /network namespace .*c1 does not exist/);
    t.same((await punts.taps('c2')).sort(), TAPS.c2, 'a CNF that goes takes its TAPs, and no others');
    await lab.addNetns('c1');
    await allCreated(punts);
    t.same((await punts.taps('c1')).sort(), TAPS.c1, 'they are in the next one of its name');
    await bridge(lab, 'c1', ...TAPS.c1);
    t.ok(await reachable(lab.ns('h2'), '10.9.9.3'), 'through which frames go');

    await punts.configure();
    await punts.noTaps('c1');
    await punts.noTaps('c2');
    await lcpd.synced();
    t.same(await inVpp(lab), none, 'nothing is left in VPP');
    t.ok(await reachable(h0, '10.0.1.2'), 'which goes on');
    t.equal((await ping(lab.ns('h2'), '10.9.9.3', { count: 1 })).received, 0, 'and there is no wire any more');
  },
);
