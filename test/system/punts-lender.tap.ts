/**
 * An interconnect that borrows the addresses of an interface: what its CNF sends by it, and no rule takes, is routed as if it had come
 * in by that interface. The CNF is c1; it has the router's own addresses there, so a replica of p2 brings it what is answered.
 */
import type { Test } from 'tap';
import type { CounterRow } from '../../src/lcp/view.ts';
import { ip, ipJson, sysctl } from './lab/netns.ts';
import { hexOf, ODD_FILTER, ODD_SOURCE, ospfPacket } from './lab/oddframes.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { abx, embeddedOnly, macIn, ospf } from './lab/puntscene.ts';
import { frameOf, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { Pinger, ping, reachable, sendFrames } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const FAR4 = '10.77.0.1';
const FAR6 = 'fd77::1';
const TTL = 64;

/** OSPF to the CNF, and OSPF of the CNF to the wire. */
const routing = (c1: string): Entry => ({ ...abx('routing', c1, ospf), egress: [{ protocol: 'ospf' }] });

/** What p2 brings for the CNF. */
const answers = (c1: string): Entry => ({
  ...{ name: 'answers', type: 'abx', netns: c1, interface: 'p2' },
  ingress: [
    { protocol: 'icmp', destination: '10.0.0.1/32' },
    { protocol: 'icmp6', destination: 'fd00::1/128' },
  ],
});

/** A router of three ports and phys in no pair behind; both far addresses are behind h1 and h2, and the main tables have them behind h1. */
async function farRouter(lab: Lab, bare = 0): Promise<Punts> {
  const punts = new Punts(lab, { ports: 3, bare });
  await punts.start();
  for (const role of ['h1', 'h2']) {
    await ip(lab.ns(role), 'address', 'add', `${FAR4}/32`, 'dev', 'lo');
    await ip(lab.ns(role), 'address', 'add', `${FAR6}/128`, 'dev', 'lo');
  }
  await ip(lab.ns('cp'), 'route', 'add', '10.77.0.0/16', 'via', '10.0.1.2');
  await ip(lab.ns('cp'), 'route', 'add', 'fd77::/64', 'via', 'fd00:1::2');
  for (const address of [FAR4, FAR6]) await reachable(lab.ns('h0'), address);
  return punts;
}

/** The device that replicates a phy's addresses in c1: by the first of them. */
const replica = async (lab: Lab, punts: Punts, address: string): Promise<string> => {
  for (const tap of await punts.taps('c1'))
    if ((await ip(lab.ns('c1'), 'address', 'show', 'dev', tap)).includes(` ${address}/`)) return tap;
  throw new Error(`no device with ${address} in c1`);
};

/** All that c1 does not know it sends by tap, to a neighbour that the data plane answers for. */
async function sendBy(lab: Lab, tap: string): Promise<void> {
  const c1 = lab.ns('c1');
  await ip(c1, 'route', 'replace', 'default', 'via', '10.0.0.2', 'dev', tap, 'src', '10.0.0.1');
  await ip(c1, '-6', 'route', 'replace', 'default', 'via', 'fd00::2', 'dev', tap, 'src', 'fd00::1');
}

const payload = Buffer.from('what no rule takes');
const packets = (ttl: number): Buffer[] => [
  udpPacket('10.0.0.1', FAR4, 7000, payload, ttl),
  udpPacket('fd00::1', FAR6, 7000, payload, ttl),
];

const counterOf = async (punts: Punts, phy: string, name: string): Promise<number> => {
  const rows = await punts.lcpd.json<CounterRow[]>(['show', 'counters']);
  return rows.filter((row) => row.phy === phy && row.name === name).reduce((sum, { value }) => sum + value, 0);
};

/** Every packet to the far addresses leaves by phy N: sniffed at its host, TTL less one, with the MACs of that link. */
async function leavesBy(
  t: Test,
  lab: Lab,
  tap: string,
  n: number,
  others: readonly number[],
  what: string,
): Promise<void> {
  const filter = 'udp port 7000';
  const at = await Sniffer.on(lab, lab.ns(`h${n}`), 'eth0', 'in', filter);
  const elsewhere = await Promise.all(others.map((o) => Sniffer.on(lab, lab.ns(`h${o}`), 'eth0', 'in', filter)));
  const own = (await macIn(lab, 'c1', tap)).replace('02:fe', '02:fd');
  await sendFrames(lab.ns('c1'), tap, hexOf(packets(TTL).map((p) => frameOf(own, ODD_SOURCE, p))));
  const [dst, src] = [await macIn(lab, `h${n}`, 'eth0'), await macIn(lab, 'cp', `e${n}`)];
  t.same(await at.seen(2), hexOf(packets(TTL - 1).map((p) => frameOf(dst, src, p))), what);
  for (const sniffer of elsewhere) t.same(sniffer.frames(), [], `${what}: and nowhere else`);
  for (const sniffer of [at, ...elsewhere]) await sniffer.stop();
}

system(
  'what a CNF sends and no rule takes is routed as if it came in by the interface whose addresses it has',
  async (t, lab) => {
    const c1 = await lab.addNetns('c1');
    const punts = await farRouter(lab);
    const { lcpd } = punts;
    await punts.configure(routing(c1), answers(c1));
    await punts.are('CREATED', 'routing', 'answers');
    const tap = await replica(lab, punts, '10.0.0.1');
    await sendBy(lab, tap);
    await leavesBy(t, lab, tap, 1, [0, 2], 'by the main tables');

    const wire = await Sniffer.on(lab, lab.ns('h0'), 'eth0', 'in', ODD_FILTER);
    const hello = frameOf('01:00:5e:00:00:05', ODD_SOURCE, ospfPacket('10.0.0.1', '224.0.0.5'));
    await sendFrames(c1, tap, hexOf([hello]));
    t.same(await wire.seen(1), hexOf([hello]), 'what a rule takes leaves as it came');

    const cp = lab.ns('cp');
    await ip(cp, 'route', 'add', '10.77.0.0/16', 'via', '10.0.2.2', 'table', '100');
    await ip(cp, 'route', 'add', 'fd77::/64', 'via', 'fd00:2::2', 'table', '100');
    await ip(cp, 'rule', 'add', 'iif', 'e0', 'lookup', '100', 'pref', '1000');
    await ip(cp, '-6', 'rule', 'add', 'iif', 'e0', 'lookup', '100', 'pref', '1000');
    await lcpd.synced();
    for (const address of [FAR4, FAR6]) t.ok(await reachable(c1, address), `${address} answers the CNF`);
    await leavesBy(t, lab, tap, 2, [0, 1], 'by the table of a rule for the interface');
    t.ok(await reachable(lab.ns('h1'), '10.0.2.2'), 'and others by theirs');

    // it drops packets from an address of its own, unless it is told not to
    await sysctl(c1, { [`net.ipv4.conf.${tap}.accept_local`]: 1 });
    const { text } = await ping(c1, FAR4, { count: 1, ttl: 1 });
    t.match(text, /From 10\.0\.0\.1 .*Time to live exceeded/, 'the CNF is told of its exceptions');
    t.match((await ping(c1, FAR6, { count: 1, ttl: 1 })).text, /From fd00::1 .*Hop limit/, 'of IPv6 too');

    // for the router itself: to the host of the interface
    await ip(c1, 'address', 'add', '10.66.0.1/32', 'dev', 'lo');
    const host = await Sniffer.on(lab, cp, 'e0', 'in', ODD_FILTER);
    const own = (await macIn(lab, 'c1', tap)).replace('02:fe', '02:fd');
    const toRouter = udpPacket('10.66.0.1', '10.0.1.1', 7001, payload);
    await sendFrames(c1, tap, hexOf([frameOf(own, ODD_SOURCE, toRouter)]));
    t.same(await host.seen(1), hexOf([frameOf(await macIn(lab, 'cp', 'e0'), ODD_SOURCE, toRouter)]), 'for the router');

    const pingers = [FAR4, FAR6].map((address, i) => new Pinger(c1, address, `${lab.dir}/ping-${i}.log`));
    for (const pinger of pingers) lab.defer(() => pinger.stop());
    for (const pinger of pingers) await pinger.answers(20);
    const devices = async () => ipJson<{ ifindex: number }>(c1, 'link');
    const before = { devices: await devices(), routed: await counterOf(punts, tap, 'forward-ip4') };
    await lcpd.kill();
    for (const pinger of pingers) await pinger.answers(50);
    await lcpd.start();
    await punts.are('CREATED', 'routing', 'answers');
    await lcpd.synced();
    for (const pinger of pingers) await pinger.answers(20);
    for (const pinger of pingers) t.equal((await pinger.stop()).lost, 0, 'not a packet is lost');
    t.same(await devices(), before.devices, 'nor is a device another one');
    t.ok((await counterOf(punts, tap, 'forward-ip4')) >= before.routed + 70, 'nor its port, which would count anew');
    await leavesBy(t, lab, tap, 2, [0, 1], 'as before');
  },
  embeddedOnly,
);

system(
  'the interface whose addresses a CNF has goes and comes: so does what is routed as its',
  async (t, lab) => {
    const c1 = await lab.addNetns('c1');
    const punts = await farRouter(lab, 1);
    const bare = { ...abx('bare', c1, ospf), interface: 'p3' };
    await punts.configure(routing(c1), bare);
    await punts.is('routing', 'CREATED');
    await punts.is('bare', 'PENDING', /interface p3 has no address/); // in no pair it has nothing to lend
    const first = await replica(lab, punts, '10.0.0.1');
    await leavesBy(t, lab, first, 1, [0, 2], 'at first');
    await ip(lab.ns('rtr'), 'link', 'del', 'p0');
    await punts.is('routing', 'PENDING', /p0/);
    await lab.addCable(0);
    await punts.lcpd.waitPair('p0', 'up');
    await punts.is('routing', 'CREATED');
    await punts.lcpd.synced();
    t.equal(await replica(lab, punts, '10.0.0.1'), first, 'by a device of the same name');
    await leavesBy(t, lab, first, 1, [0, 2], 'again');
    t.equal(await counterOf(punts, first, 'drop-no-lender'), 0, 'never without its lender');
  },
  embeddedOnly,
);
