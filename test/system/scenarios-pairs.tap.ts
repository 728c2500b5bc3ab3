/**
 * Scenarios of pairs: frames cross them as they are in both directions, and pairs come and go without a trace.
 */
import { fileURLToPath } from 'node:url';
import type { AdjacencyRow, InterfaceRow, PairRow, PlanResult } from '../../src/lcp/view.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { inNetns, ip } from './lab/netns.ts';
import { Daemon, run, waitFor } from './lab/process.ts';
import { capture, ping, reachable, sendFrames } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** Frames in hex, in the order in which `tcpdump -xx` showed them. */
function frames(text: string): string[] {
  const found: string[] = [];
  for (const line of text.split('\n')) {
    const [, offset, bytes] = /^\s+0x([0-9a-f]{4}):\s+([0-9a-f ]+)$/.exec(line) ?? [];
    if (offset === undefined || bytes === undefined) continue;
    if (offset === '0000') found.push('');
    found[found.length - 1] += bytes.replaceAll(' ', '');
  }
  return found;
}

/** Frames that `from` sent and `to` received, whole, while `during` runs, until `last` has reached `to`. */
async function crossing(
  lab: Lab,
  name: string,
  ends: { from: [string, string]; to: [string, string]; filter: string; last: RegExp },
  during: () => Promise<unknown>,
): Promise<{ sent: string[]; received: string[] }> {
  const at = (end: [string, string], way: string) => ({
    ns: end[0],
    dev: end[1],
    filter: `-xx -Q ${way} ${ends.filter}`,
    logFile: `${lab.dir}/${name}-${way}.log`,
    until: ends.last,
  });
  let received = '';
  const sent = await capture(at(ends.from, 'out'), async () => {
    received = await capture(at(ends.to, 'in'), during);
  });
  return { sent: frames(sent), received: frames(received) };
}

const macOf = async (lab: Lab, role: string, dev: string): Promise<string> =>
  ((await lab.waitLink(role, dev)).address ?? '').replaceAll(':', '');

/** Of the received frames those that were sent, byte for byte. */
const ofThose = (sent: readonly string[], received: readonly string[]): string[] =>
  received.filter((frame) => sent.includes(frame));

/** What was sent from the first frame that was received on: the captures do not begin and end together. */
const alongside = (sent: readonly string[], received: readonly string[]): string[] => {
  const first = sent.indexOf(received[0] ?? '');
  return sent.slice(Math.max(first, 0), first + received.length);
};

system('scenario 1: a TAP pair passes both ways', async (t, lab) => {
  await lab.addRouter();
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  for (const address of ['10.0.0.2', 'fd00:0::2']) t.ok(await reachable(cp, address));
  const wire: [string, string] = [h0, 'eth0'];
  const host: [string, string] = [cp, 'e0'];
  const sentBy = [await macOf(lab, 'cp', 'e0'), await macOf(lab, 'h0', 'eth0')];

  const out = await crossing(
    lab,
    'out',
    { from: host, to: wire, filter: 'icmp or arp or icmp6', last: /who-has 10\.0\.0\.99/ },
    async () => {
      await ping(cp, '10.0.0.2', { count: 2, ttl: 37 });
      await ping(cp, 'fd00:0::2', { count: 2, ttl: 37 });
      await ping(cp, '224.0.0.77', { count: 1, ttl: 3, source: 'e0' });
      await ping(cp, 'ff02::77%e0', { count: 1 });
      await ping(cp, '10.0.0.99', { count: 1 });
    },
  );
  // destination, source, type and what tells the packet from others: TTL and protocol, or the multicast address
  const kinds: readonly (readonly [string, string])[] = [
    ['an IPv4 unicast, TTL 37', `^${sentBy[1]}${sentBy[0]}0800.{16}2501`],
    ['an IPv6 unicast, hop limit 37', `^${sentBy[1]}${sentBy[0]}86dd.{12}3a25`],
    ['an IPv4 multicast, TTL 3', `^01005e00004d${sentBy[0]}0800.{16}0301`],
    ['an IPv6 multicast', `^333300000077${sentBy[0]}86dd`],
    ['an ARP request', `^ffffffffffff${sentBy[0]}0806.{16}${sentBy[0]}.{20}0a000063`],
  ];
  for (const [what, shape] of kinds) {
    t.ok(
      out.received.some((frame) => new RegExp(shape).test(frame)),
      `${what} leaves by the phy`,
    );
  }
  // VPP sends some of its own, and answers ARP for us
  const isShared = lab.dataplane !== 'embedded';
  const left = isShared ? ofThose(out.sent, out.received) : out.received;
  t.same(left, alongside(out.sent, left), `all ${left.length} frames are what the host sent, byte for byte`);

  // UDP without a checksum, TTL 1, to a port that nobody has; an ARP request for us.
  const udp = `4500001c00004000011165cf0a0000020a000001${'c000fff300080000'}`;
  const asks = `${sentBy[1]}08060001080006040001${sentBy[1]}0a000002${'0'.repeat(12)}0a000001`;
  const back = await crossing(
    lab,
    'in',
    { from: wire, to: host, filter: 'arp or udp', last: /10\.0\.0\.1\.65523/ },
    async () => {
      await ip(cp, 'neighbour', 'flush', 'dev', 'e0');
      await ping(cp, '10.0.0.2', { count: 1 });
      await sendFrames(h0, 'eth0', [`ffffffffffff${asks}`.padEnd(120, '0'), `${sentBy[0]}${sentBy[1]}0800${udp}`]);
    },
  );
  const isAskedOfUs = (frame: string): boolean => frame.includes('08060001080006040001') && /0a000001/.test(frame);
  const arrives = (shape: string, what: string): void => {
    t.ok(
      back.received.some((frame) => new RegExp(shape).test(frame)),
      `${what} arrives at the host`,
    );
  };
  arrives(`^${sentBy[0]}${sentBy[1]}08060001080006040002`, 'an ARP reply');
  if (!isShared) arrives(`^ffffffffffff${sentBy[1]}08060001080006040001`, 'an ARP request for us');
  arrives(`^${sentBy[0]}${sentBy[1]}0800${udp}`, 'UDP to an unknown port, its TTL untouched,');
  const sent = isShared ? back.sent.filter((frame) => !isAskedOfUs(frame)) : back.sent;
  t.same(
    back.received,
    alongside(sent, back.received),
    `all ${back.received.length} frames are what the wire sent, byte for byte`,
  );
});

const TUN = 'a phy without Ethernet is a tunnel of VPP: test/qemu/tunnel.tap.ts';

const lacp = (source: string): string => `0180c2000002${source}88090101`.padEnd(248, 'a');
const lldp = (source: string): string => `0180c200000e${source}88cc0207`.padEnd(200, 'b');
/** 802.3 with a length, LLC fe fe 03, protocol discriminator 0x83. */
const isis = (source: string): string => `0180c2000014${source}0040fefe0383`.padEnd(28 + 128, 'c');
/** A hello too long for a length: EtherType 0x8870, then LLC. */
const jumboIsis = (source: string): string => `0180c2000014${source}8870fefe0383`.padEnd(2 * 8000, 'd');

async function crossBothWays(
  lab: Lab,
  name: string,
  filter: string,
  last: RegExp,
  make: (source: string) => string[],
): Promise<{ way: string; wanted: string[]; received: string[] }[]> {
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  const wire: [string, string] = [h0, 'eth0'];
  const host: [string, string] = [cp, 'e0'];
  const results = [];
  for (const [way, from, to, role] of [
    ['wire to host', wire, host, 'h0'],
    ['host to wire', host, wire, 'cp'],
  ] as const) {
    const wanted = make(await macOf(lab, role, from[1]));
    const { received } = await crossing(lab, `${name}-${role}`, { from, to, filter, last }, () =>
      sendFrames(from[0], from[1], wanted),
    );
    results.push({ way, wanted, received });
  }
  return results;
}

system('scenario 4: LACP and LLDP cross the pair', async (t, lab) => {
  await lab.addRouter();
  const filter = 'ether proto 0x8809 or ether proto 0x88cc';
  for (const { way, wanted, received } of await crossBothWays(lab, 'l2', filter, /LLDP/, (s) => [lacp(s), lldp(s)])) {
    t.same(received, wanted, `${way}: both, as they were sent`);
  }
});

system('scenario 5: IS-IS crosses the pair, in 802.3 LLC and as a jumbo of 0x8870', async (t, lab) => {
  const lcpd = await lab.addRouter();
  await ip(lab.ns('h0'), 'link', 'set', 'eth0', 'mtu', '9000');
  await ip(lab.ns('cp'), 'link', 'set', 'e0', 'mtu', '9000');
  if (lab.dataplane === 'embedded') await lab.waitLink('rtr', 'p0', (link) => link.mtu === 9000);
  else for (const dev of lab.phyDevices(0)) await ip(lab.ns('rtr'), 'link', 'set', dev, 'mtu', '9000');
  await lcpd.synced();
  const make = (s: string): string[] => [isis(s), jumboIsis(s)];
  const to = 'ether dst 01:80:c2:00:00:14';
  for (const { way, wanted, received } of await crossBothWays(lab, 'osi', to, /dddd dddd dddd\n/, make)) {
    t.same(ofThose(wanted, received), wanted, `${way}: both, as they were sent`);
  }
});

async function reload(lcpd: Lcpd, config: string): Promise<void> {
  lcpd.writeConfig(config);
  const done = await lcpd.ctl(['reload']);
  if (done.code !== 0) throw new Error(`reload: ${done.stdout}${done.stderr}`);
}

const without = (config: string, phy: string): string => config.replace(new RegExp(`.*phy: ${phy},.*\n`), '');

async function startTunPeer(lab: Lab, dev: string): Promise<void> {
  const program = fileURLToPath(new URL('./lab/tunpeer.ts', import.meta.url));
  const command = inNetns(lab.ns('rtr'), ['node', '--import', 'tsx', program, dev]);
  const peer = new Daemon('tunpeer', command, `${lab.dir}/tunpeer.log`);
  lab.defer(() => peer.stop('SIGKILL'));
  await lab.waitLink('rtr', dev);
}

/** A router with an Ethernet phy p0 and a point-to-point phy p1, running with the pairs of `config`. */
async function addMixed(lab: Lab, config: (all: string) => string): Promise<{ lcpd: Lcpd; all: string }> {
  await lab.addNetns('rtr');
  await lab.addNetns('cp');
  await lab.addHost(0);
  await startTunPeer(lab, 'p1');
  const all = lab.config({ types: ['tap', 'tun'] });
  const lcpd = lab.addLcpd(config(all));
  await lcpd.start();
  return { lcpd, all };
}

async function addressTun(lab: Lab): Promise<void> {
  const cp = lab.ns('cp');
  await lab.waitLink('cp', 'e1');
  await ip(cp, 'link', 'set', 'e1', 'up');
  await ip(cp, 'address', 'replace', '192.0.2.1', 'peer', '192.0.2.2', 'dev', 'e1');
  await ip(cp, 'address', 'replace', '2001:db8:7::1/64', 'dev', 'e1');
  await ip(cp, 'route', 'replace', '198.51.100.0/24', 'dev', 'e1');
  await lab.lcpd.waitPair('p1', 'up');
}

system(
  'scenario 2: a TUN pair, whichever pair came first',
  async (t, lab) => {
    const { lcpd, all } = await addMixed(lab, (config) => without(config, 'p0'));
    const cp = lab.ns('cp');
    // The peer answers with the TTL that reached it, so what comes back went both ways untouched.
    const untouched = async (when: string): Promise<void> => {
      for (const address of ['192.0.2.2', '2001:db8:7::2']) {
        t.ok(await reachable(cp, address), `${when}: ${address} answers the kernel`);
        const { text, lost } = await ping(cp, address, { count: 5, ttl: 37 });
        t.equal(lost, 0, `${when}: ${address}, without a gap`);
        t.match(text, /ttl=37 /, `${when}: ${address}: TTL unchanged both ways`);
      }
    };
    await addressTun(lab);
    await untouched('the TUN pair alone');
    await reload(lcpd, all);
    await lab.waitLink('cp', 'e0');
    await lab.addressHost(0);
    await lcpd.waitPair('p0', 'up');
    await untouched('with a TAP pair after it');
    t.ok(await reachable(lab.ns('h0'), '198.51.100.7'), 'transit from Ethernet');
    const { text } = await ping(lab.ns('h0'), '198.51.100.7', { count: 1, ttl: 64 });
    t.match(text, /ttl=62 /, 'transit loses one each way');
    await reload(lcpd, without(all, 'p1'));
    await lab.waitNoLink('cp', 'e1');
    await reload(lcpd, all);
    await addressTun(lab);
    await untouched('with a TAP pair before it');
  },
  { not: { vpp: TUN, 'linux-cp': TUN } },
);

system(
  'scenario 3: pairs come and go in reverse order and leave nothing',
  async (t, lab) => {
    const { lcpd, all } = await addMixed(lab, (config) =>
      without(without(config, 'p0'), 'p1').replace('pairs:', 'pairs: []'),
    );
    const none = without(without(all, 'p0'), 'p1').replace('pairs:', 'pairs: []');
    const devices = async (role: string): Promise<string> =>
      (await run(['ip', '-n', lab.ns(role), '-brief', 'link']))
        .replaceAll(/[@ ].*/g, '')
        .trim()
        .replaceAll('\n', ' ');
    const guard = (phy: string): Promise<string> => run(['tc', '-n', lab.ns('rtr'), 'qdisc', 'show', 'dev', phy]);
    const before = await devices('cp');
    t.notMatch(before, /\be\d/, 'no host at first');

    await reload(lcpd, without(all, 'p1'));
    t.equal((await lab.waitLink('cp', 'e0')).flags.includes('BROADCAST'), true, 'a TAP pair');
    await reload(lcpd, all);
    t.equal((await lab.waitLink('cp', 'e1')).flags.includes('POINTOPOINT'), true, 'a TUN pair');
    await lcpd.synced();
    const rows = await lcpd.json<PairRow[]>(['show', 'pairs']);
    t.same(rows.map((row) => `${row.phy} ${row.host} ${row.type}`).sort(), ['p0 e0 tap', 'p1 e1 tun']);
    t.match(await guard('p0'), /clsact/, 'the phy is guarded');

    const links = [await lab.waitLink('cp', 'e0'), await lab.waitLink('cp', 'e1')].map((link) => link.ifindex);
    const plan = await lcpd.json<PlanResult>(['plan', lcpd.configFile]);
    t.same(plan.operations, [], 'the same again has nothing to do');
    const sent = (await lcpd.status()).rounds.operations;
    await reload(lcpd, all);
    await lcpd.synced();
    t.equal((await lcpd.status()).rounds.operations, sent, 'and does nothing');
    t.same(
      [await lab.waitLink('cp', 'e0'), await lab.waitLink('cp', 'e1')].map((link) => link.ifindex),
      links,
    );

    await reload(lcpd, without(all, 'p1'));
    await lab.waitNoLink('cp', 'e1');
    t.ok(await lab.link('cp', 'e0'), 'the other one stays');
    await reload(lcpd, none);
    await lab.waitNoLink('cp', 'e0');
    await lcpd.synced();
    t.equal(await devices('cp'), before, 'nothing is left in the kernel');
    for (const phy of ['p0', 'p1']) {
      await waitFor(`the guard of ${phy} to go`, async () => !(await guard(phy)).includes('clsact'));
    }
    t.same(await lcpd.json<PairRow[]>(['show', 'pairs']), [], 'no pair');
    t.same(await lcpd.json<InterfaceRow[]>(['show', 'interfaces']), [], 'no interface in the data plane');
    t.same(await lcpd.json<AdjacencyRow[]>(['show', 'adjacencies']), [], 'no adjacency');
  },
  { not: { vpp: TUN, 'linux-cp': TUN } },
);
