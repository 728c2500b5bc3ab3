/**
 * Punts of the VPP driver on a real VPP, with packets: sockets, redirects, policers, exceptions, cross-connects, mirrors, ABX, proxy ARP,
 * memifs. Each is put on, seen to do what it should, and gone afterwards; restarts and interfaces that end leave nothing twice.
 */
import { existsSync } from 'node:fs';
import type { Interconnect, Punt, PuntMatch } from '../../src/lcp/puntobjects.ts';
import { inNetns, ip } from '../system/lab/netns.ts';
import { tryRun, waitFor } from '../system/lab/process.ts';
import { buildPuntClient, PuntClient, type Punted } from '../system/lab/puntclient.ts';
import { frameOf, PROTO, udpPacket } from '../system/lab/rawframes.ts';
import { rule } from '../unit/lcp/contractpunts.ts';
import { MULTICAST, PuntLab } from './lab/puntplane.ts';
import { type VppLab, vpp } from './lab.ts';

const port = (number: number, family: 4 | 6 = 4): PuntMatch => ({
  by: 'port',
  family,
  protocol: PROTO.udp,
  port: number,
});
const socket = (match: PuntMatch, path: string): Punt => ({ kind: 'punt', feature: 'socket', match, path });
const host = (match: PuntMatch): Punt => ({ kind: 'punt', feature: 'host', match });
const redirect = (rx: string, tx: string, nexthop = '', family: 4 | 6 = 4): Punt => ({
  kind: 'punt',
  feature: 'redirect',
  family,
  rx,
  tx,
  nexthop,
});
const xconnect = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'xconnect', from, to });
const span = (rx: boolean, tx: boolean): Punt => ({
  kind: 'punt',
  feature: 'span',
  from: 'host-p0',
  to: 'host-c0',
  rx,
  tx,
});
const NO_TUNNEL: PuntMatch = { by: 'reason', reason: 'ipsec4-no-such-tunnel' };

async function client(lab: VppLab, name: string): Promise<PuntClient> {
  await buildPuntClient();
  const made = new PuntClient(`${lab.dir}/${name}`);
  lab.defer(() => made.stop());
  await made.ready();
  return made;
}

const taken = new Map<PuntClient, number>();

/** What came since the last time, once there are so many. */
async function next(of: PuntClient, count: number): Promise<readonly Punted[]> {
  const from = taken.get(of) ?? 0;
  await waitFor('a punted packet', () => of.got().length >= from + count);
  taken.set(of, of.got().length);
  return of.got().slice(from);
}

vpp('scenarios 1, 3, 4, 5, 6: ports and protocols to sockets', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  t.equal(p.dataplane.punts.serverSocket, `${lab.dir}/punt.sock`, 'VPP tells its own end');
  const [c, d] = [await client(lab, 'c.sock'), await client(lab, 'd.sock')];
  await p.put(socket(port(9000), c.path));
  await p.send('h0', p.udp(9000));
  const [got] = await next(c, 1);
  t.equal(got?.hex, p.udp(9000).toString('hex'), 'the whole frame arrives, as it came');
  t.equal(got?.number, p.dataplane.port('host-p0'), 'with the interface that it came by');

  await p.put(socket(port(9000), d.path));
  await p.send('h0', p.udp(9000));
  t.equal((await next(d, 1)).length, 1, 'another path gets them from then on');

  const both = [socket(port(9001), c.path), socket(port(9001, 6), c.path)];
  await p.put(...both);
  await p.real.ctl('punt socket deregister ipv6 udp 9001');
  t.same(await p.keys(), ['socket udp4/9000', 'socket udp4/9001'], 'what went by hand is not held');
  await p.put(both[1] as Punt);
  t.match(await p.show('show punt socket registrations l4'), /ip6 UDP port 9001/, 'and is there again');

  const wrong = [port(0), port(65535), port(67), port(4789)].map((match) => socket(match, c.path));
  for (const each of [...wrong, socket(port(9002), ''), socket(port(9002), p.dataplane.punts.serverSocket)])
    t.notOk((await p.one('set', each))?.ok, 'what VPP would not do is refused');
  const unknown = await p.one('set', socket({ by: 'protocol', family: 4, protocol: 200 }, c.path));
  t.match(unknown, { ok: false, code: 'REFUSED' }, 'a request without an answer is found');

  const ospf = socket({ by: 'protocol', family: 4, protocol: PROTO.ospf }, c.path);
  await p.put(ospf);
  await p.send('h0', p.packet(PROTO.ospf, Buffer.from('hello'), 1));
  const [hello] = await next(c, 1);
  t.equal(hello?.hex.slice(44, 46), '01', 'OSPF with its TTL');
  await p.drop(socket(port(9000), d.path), ospf, ...both);
  t.same(await p.keys(), []);
  t.equal((await p.show('show punt socket registrations l4')).trim(), '', 'VPP has none of them');
});

vpp('scenarios 7, 8, 9, 10: ports to the host, redirects once and only once', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const any = redirect('', 'host-c0');
  const frame = p.udp(9100, 7);
  const arrive = () =>
    p.seen(
      'cnf',
      (hex) => hex === frame.toString('hex'),
      () => p.send('h0', frame),
    );
  t.match(await p.one('set', redirect('', 'host-tap1')), { ok: false, code: 'PHY_GONE' }, 'one to nowhere is refused');
  await p.put(host(port(9100)), any);
  t.equal((await arrive()).length, 1, 'the packet is there as it came, with its TTL');
  for (let i = 0; i < 5; i++) {
    await p.again(any, host(port(9100)));
    t.same(await p.keys(), ['host udp4/9100', 'redirect ip4 any'], 'a restart knows what it made');
    await p.put(any, host(port(9100)));
  }
  const entries = async () => ((await p.show('show ip punt redirect')).match(/ rx /g) ?? []).length;
  t.equal(await entries(), 1, 'there is one entry after five restarts');
  await p.put(redirect('host-p0', 'host-c0'), redirect('host-p1', 'host-c0'), redirect('', 'host-c0', '', 6));
  t.equal(await entries(), 3, 'and one for each interface beside it');
  await p.real.ctl('delete host-interface name p1');
  await waitFor('the entry of an interface to go with it', async () => (await entries()) === 2);
  t.equal((await p.keys()).includes('redirect ip4 host-p1'), false);
  await p.openDevice('p1');
  await waitFor('the entry to come back with its interface', async () => (await entries()) === 3);
  await p.drop(any, redirect('host-p0', 'host-c0'), redirect('host-p1', 'host-c0'), redirect('', 'host-c0', '', 6));
  t.equal((await arrive()).length, 0, 'nothing is redirected any more');
  t.notMatch(await p.show('show features verbose'), /ip4-punt-redirect:\s*\n\s+ip4-punt-redirect/);
  await p.drop(host(port(9100)));
  t.notMatch(await p.show('show udp ports'), /9100/);
  await p.real.ctl('ip punt redirect add rx host-p0 via host-c0');
  t.match(await p.one('set', redirect('host-p0', 'host-c0', '10.9.9.9')), { ok: false, code: 'REFUSED' });
  t.equal(await entries(), 1, 'what somebody else redirects stays');
});

vpp('scenarios 11, 12, 13: exceptions to a socket and the host, and a limit', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const c = await client(lab, 'c.sock');
  const esp = p.packet(PROTO.esp, Buffer.from('0000beef0000000100000000', 'hex'));
  await p.real.ctl('set interface ip address host-c0 10.9.0.1/24');
  await p.real.ctl('set ip neighbor host-c0 10.9.0.2 02:00:00:00:c0:02');
  // the copies of a packet that goes to several have no Ethernet header of their own
  await p.put(socket(NO_TUNNEL, c.path), host(NO_TUNNEL), redirect('', 'host-c0', '10.9.0.2'));
  const behind = (frame: Buffer) => frame.subarray(14).toString('hex');
  const copies = await p.seen(
    'cnf',
    (hex) => hex.slice(28) === behind(esp),
    () => p.send('h0', esp),
  );
  t.equal(copies.length, 1, 'the host gets an ESP packet of no tunnel');
  t.equal((await next(c, 1))[0]?.hex, esp.toString('hex'), 'and so does the socket');
  const stats = await p.dataplane.punts.stats();
  t.ok(
    stats.some(
      ({ object, name, value }) =>
        object === 'punt socket reason/ipsec4-no-such-tunnel' && name === 'packets' && value === 1,
    ),
    'it is counted',
  );
  const foo = await p.one('set', socket({ by: 'reason', reason: 'foo' }, c.path));
  t.match(foo, { ok: false, hint: /ipsec4-no-such-tunnel/ }, 'an unknown reason is refused with those that there are');

  const police: Punt = { kind: 'punt', feature: 'police', scope: 'ipv4', unit: 'pps', rate: 10, burst: 1000 };
  for (let i = 0; i < 3; i++) await p.put(police);
  // VPP takes a packet for 256 bytes
  const full = p.packet(PROTO.ospf, Buffer.alloc(236, 7));
  const sent = Array.from({ length: 25 }, () => full);
  const arrive = () =>
    p.seen(
      'cnf',
      (hex) => hex.slice(28) === behind(full),
      () => p.send('h0', ...sent),
    );
  const through = await arrive();
  t.ok(through.length >= 5 && through.length <= 20, `${through.length} of 25 pass a limit of 10 in a second`);
  const limited = (await p.dataplane.punts.stats()).filter(({ object }) => object === 'punt police ipv4');
  const of = (name: string) => limited.find((row) => row.name === name)?.value ?? -1;
  t.equal(of('conform-packets'), through.length, 'those that pass are counted');
  t.equal(of('conform-packets') + of('exceed-packets') + of('violate-packets'), 25, 'and all others');
  await p.again();
  t.ok((await p.keys()).includes('police ipv4'), 'a restart knows it by its name');
  await p.drop(police);
  t.equal((await arrive()).length, 25, 'without it all pass: it was on once');
  t.equal((await p.show('show policer')).includes('lcpd'), false);
});

vpp('scenario 14: frames of every kind cross, and back', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const both = [xconnect('host-p0', 'host-c0'), xconnect('host-c0', 'host-p0')];
  await p.put(...both);
  const packet = udpPacket('10.0.0.2', '10.0.0.1', 53, Buffer.alloc(600, 1));
  const to = '02:00:00:00:00:99';
  const from = '02:00:00:00:a0:02';
  const frames = [
    frameOf(to, from, packet),
    frameOf(to, from, packet, [100]),
    frameOf('ff:ff:ff:ff:ff:ff', from, packet, [7, 8]),
    Buffer.concat([Buffer.from('0180c2000000020000 00a0020026424203'.replaceAll(' ', ''), 'hex'), Buffer.alloc(60)]),
  ];
  const wanted = frames.map((frame) => frame.toString('hex'));
  const isMeant = (hex: string) => wanted.includes(hex);
  const crossed = await p.seen('cnf', isMeant, () => p.send('h0', ...frames));
  t.same(crossed.sort(), [...wanted].sort(), `tagged, broadcast and ${MULTICAST} arrive unchanged`);
  const back = await p.seen('h0', isMeant, () => p.send('cnf', ...frames));
  t.same(back.sort(), [...wanted].sort(), 'and the other way');
  await p.again(...both);
  t.same(await p.keys(), ['xconnect host-c0', 'xconnect host-p0']);
  await p.drop(...both);
  t.notMatch(await p.show('show mode'), /l2 xconnect/, 'both are back at layer 3');
});

vpp('scenario 16: copies, once, of the direction that was asked for', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const frame = p.udp(9400).toString('hex');
  const copies = (isMeant: (hex: string) => boolean) => p.seen('cnf', isMeant, () => p.send('h0', p.udp(9400)));
  await p.put(span(true, false));
  t.equal((await copies((hex) => hex === frame)).length, 1, 'what comes in, once');
  await p.put(span(false, true));
  t.equal((await copies((hex) => hex === frame)).length, 0, 'and not where only what leaves is asked for');
  const echo = async () => tryRun(inNetns(lab.ns('h0'), ['ping', '-c', '2', '-W', '1', '10.0.0.1']));
  await ip(lab.ns('h0'), 'address', 'add', '10.0.0.2/24', 'dev', 'eth0');
  // VPP answers ARP and pings by itself: what it sends is mirrored
  const left = await p.seen('cnf', (hex) => hex.startsWith('02000000a002'), echo);
  t.ok(left.length > 0, `${left.length} frames that leave are mirrored`);
  await p.put(span(true, true));
  await p.real.ctl('delete host-interface name p0');
  await waitFor(
    'the mirror to go with its interface',
    async () => !(await p.show('show interface span')).includes('host-c0'),
  );
  t.same(p.remarks, [], 'nothing failed on the way');
  t.same(await p.keys(), []);
});

vpp('scenarios 17, 18: ABX takes what its rules say, TTL and all', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const abx = (rules = [rule('10.0.0.1/32', { protocol: PROTO.ospf })]): Punt => ({
    kind: 'punt',
    feature: 'abx',
    from: 'host-p0',
    to: 'host-c0',
    priority: 5,
    rules,
    dstMac: '',
  });
  const ospf = p.packet(PROTO.ospf, Buffer.from('hello ospf'), 1);
  const other = p.udp(9500, 1);
  const wanted = [ospf, other].map((frame) => frame.toString('hex'));
  const arrive = () =>
    p.seen(
      'cnf',
      (hex) => wanted.includes(hex),
      () => p.send('h0', ospf, other),
    );
  await p.put(abx());
  t.same(await arrive(), [wanted[0]], 'the protocol of the rule, with TTL 1, and nothing else');
  const more = abx([
    rule('10.0.0.1/32', { protocol: PROTO.ospf }),
    rule('10.0.0.0/24', { protocol: PROTO.udp }),
    rule('fd00::/64'),
  ]);
  await p.put(more);
  t.same((await arrive()).sort(), [...wanted].sort(), 'another rule takes what it says, too');
  await p.again();
  t.same(await p.keys(), ['abx host-p0 host-c0'], 'a restart knows it by its tag');
  await p.put(more, abx([rule('10.0.0.0/24', { protocol: PROTO.udp })]));
  t.same(await arrive(), [wanted[1]], 'rules that go take nothing any more');
  await p.drop(abx());
  t.same([await arrive(), (await p.show('show abf policy')).trim()], [[], '']);
  t.notMatch(await p.show('show acl-plugin acl'), /punt/);
});

vpp('proxy ARP for the neighbours of a phy', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  await p.real.ctl('set interface unnumbered host-c0 use host-p0');
  const cnf = lab.ns('cnf');
  await ip(cnf, 'address', 'add', '10.0.0.1/24', 'dev', 'eth0');
  const answered = async (address: string): Promise<boolean> => {
    await tryRun(inNetns(cnf, ['ping', '-c', '1', '-W', '1', address]));
    return (await ip(cnf, 'neighbour', 'show', address)).includes(p.mac('host-c0'));
  };
  t.notOk(await answered('10.0.0.9'), 'nobody answers without it');
  const proxy: Punt = {
    kind: 'punt',
    feature: 'proxy',
    on: 'host-c0',
    family: 4,
    table: 0,
    low: '10.0.0.0',
    high: '10.0.0.255',
  };
  await p.put(proxy);
  t.ok(await answered('10.0.0.10'), 'VPP does with it');
  await p.drop(proxy);
  t.notOk(await answered('10.0.0.11'));
});

vpp('scenarios 15, 24, 27: interconnects over memif, found again, gone with their sockets', async (t, lab) => {
  const p = await PuntLab.add(t, lab);
  const memif: Interconnect = {
    kind: 'interconnect',
    name: 'memif-EFDer',
    link: 'memif',
    netns: '',
    netnsId: '',
    phyIfindex: 0,
    mac: '02:fd:00:00:00:01',
    peerMac: '',
    mtu: 1400,
    gso: false,
    socket: `${lab.dir}/memif/memif-ltkyn.sock`,
    secret: 'ltkyn',
    addresses: ['10.5.0.1/24', 'fd05::1/64'],
    lender: '',
    table: 5,
    dhcpClient: false,
    owner: 'cnf1|item|one',
  };
  t.match(await p.one('set', memif), { ok: false, code: 'REFUSED' }, 'it waits for its table');
  t.notOk(p.dataplane.punts.hasTable(4, 5));
  await p.real.ctl('ip table add 5');
  await p.real.ctl('ip6 table add 5');
  await waitFor('the table to be seen', () => p.dataplane.punts.hasTable(4, 5));
  await p.put(memif);
  const index = p.dataplane.port(memif.name);
  const shown = async () => p.show(`show interface address`);
  t.match(
    await shown(),
    /memif-EFDer \(up\):\s+L3 10.5.0.1\/24 ip4 table-id 5/,
    'named, up, its table before its address',
  );
  t.match(await p.show('show memif'), /memif-ltkyn\.sock/);
  t.ok(existsSync(memif.socket), 'its peer finds the socket');
  await p.put(xconnect('host-p0', memif.name));
  await p.again();
  const held = (await p.dataplane.dump()).map(({ object }) => object);
  t.match(held, [{ ...memif, secret: '' }], 'found again by its tag, all but the secret');
  t.same(await p.keys(), ['xconnect host-p0'], 'and what is on it, without a journal');
  await p.put(memif);
  t.equal(p.dataplane.port(memif.name), index, 'it is the same one');
  await p.drop(memif);
  t.notMatch(await p.show('show mode'), /l2 xconnect/, 'what was on it went first');
  t.notMatch(await p.show('show memif'), /ltkyn/, 'its socket went with it');
  if (existsSync('/dev/vhost-net')) return;
  const tap = await p.one('set', {
    ...memif,
    name: 'tap-zdizj',
    link: 'tap',
    socket: '',
    secret: '',
    table: 0,
    peerMac: '02:fe:00:00:00:01',
    netnsId: p.netnsId,
  });
  t.match(
    tap,
    { ok: false, code: 'HOST_DEVICE', hint: /vhost/ },
    'a tap without /dev/vhost-net is refused with what to do',
  );
});
