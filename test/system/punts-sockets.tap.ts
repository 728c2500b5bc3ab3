/**
 * Punts to sockets as operators and their clients meet them: asked for twice, refused, replicated, not read. Numbers are those of
 * the punt manager's scenarios; what the datagrams are, byte for byte, is in puntsocket.tap.ts.
 */
import { ip } from './lab/netns.ts';
import { ODD_SOURCE } from './lab/oddframes.ts';
import { waitFor } from './lab/process.ts';
import { buildPuntClient, PuntClient } from './lab/puntclient.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { embeddedOnly, macIn } from './lab/puntscene.ts';
import { frameOf, ipPacket, PROTO, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { Pinger, ping, reachable, sendFrames, udpPackets } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** @param server what it connects to, for more room than others have */
async function addClient(lab: Lab, name: string, server?: string): Promise<PuntClient> {
  await buildPuntClient();
  const client = new PuntClient(`${lab.dir}/${name}`, server);
  lab.defer(() => client.stop());
  await client.ready();
  return client;
}

const toSocket = (name: string, port: number, socket: string, more: object = {}): Entry => ({
  ...{ name, type: 'to-host', netns: '', l3: 'ipv4', l4: 'udp', port, socket },
  ...more,
});

/** A frame for the router itself, which enters by the phy N from its wire. */
const into = async (lab: Lab, n: number, packet: Buffer): Promise<Buffer> =>
  frameOf(await macIn(lab, 'rtr', `p${n}`), ODD_SOURCE, packet);

const send = (lab: Lab, n: number, frame: Buffer): Promise<string> =>
  sendFrames(lab.ns(`h${n}`), 'eth0', [frame.toString('hex')]);

/** Waits until a client has got so many; then none comes any more, since what was sent behind them has come elsewhere. */
const hasGot = (client: PuntClient, count: number): Promise<boolean> =>
  waitFor(`${client.path} to have ${count} datagrams`, () => {
    const { length } = client.got();
    if (length !== count) throw new Error(`it has ${length}`);
    return true;
  });

system(
  '2 one port by the old key and spelling and by the new: one registration, there until both are deleted',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const client = await addClient(lab, 'c.sock');
    const add = async (name: string, l3: string): Promise<void> => {
      const message = { l3_protocol: l3, l4_protocol: 'UDP', port: 9000, socket_path: client.path };
      const file = ['punt', 'add', '--json-file', '-', '--netns', '', name];
      const done = await lcpd.ctl(file, { input: JSON.stringify(message) });
      t.equal(done.code, 0, `${name}: ${done.stdout}${done.stderr}`);
      await punts.is(name, 'CREATED');
    };
    const [older, newer] = [
      'vpp/config/v2/punt/tohost/l3/IPv4/l4/UDP/port/9000',
      'config/vpp/v2/tohost/l3/IPV4/l4/UDP/port/9000',
    ];
    const frame = await into(lab, 0, udpPacket('10.0.0.2', '10.0.0.1', 9000, Buffer.from('once')));
    const held = async () => (await lcpd.diff()).checked.punt ?? 0;
    await add(older, 'IPv4');
    t.equal(await held(), 1);
    await send(lab, 0, frame);
    await hasGot(client, 1);
    t.equal(client.got()[0]?.hex, frame.toString('hex'), 'the frame as it was sent');
    await add(newer, 'IPV4');
    t.equal(await held(), 1, 'there is one registration');
    t.same(await punts.objects(), Array(2).fill('punt socket udp4/9000'), 'which is both’s');
    await send(lab, 0, frame);
    t.ok(await reachable(lab.ns('h0'), '10.0.0.1'));
    t.equal(client.got().length, 2, 'one datagram for one packet');

    const host = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', 'udp port 9000');
    t.equal((await lcpd.ctl(['punt', 'del', older])).code, 0);
    await punts.is(older, 'DELETED');
    await lcpd.synced();
    t.equal(await held(), 1, 'one of both still wants it');
    await send(lab, 0, frame);
    await hasGot(client, 3);
    t.same(host.frames(), [], 'and the host has seen none of them');
    t.equal((await lcpd.ctl(['punt', 'del', newer])).code, 0);
    await punts.is(newer, 'DELETED');
    await lcpd.synced();
    t.equal(await held(), 0);
    await send(lab, 0, frame);
    t.same(await host.seen(1), [frame.toString('hex')], 'now it is the host’s');
    t.equal(client.got().length, 3);
  },
  embeddedOnly,
);

system(
  '5 ports and paths that a socket cannot have are refused by name; nothing is touched, whatever way they come',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const client = await addClient(lab, 'c.sock');
    const { path } = client;
    const good = toSocket('good', 9000, path);
    await punts.configure(good);
    await punts.is('good', 'CREATED');
    const before = JSON.stringify((await punts.rows()).map(({ id, objects, state }) => [id, objects, state]));
    const touched = async (): Promise<boolean> => {
      const now = (await punts.rows()).map(({ id, objects, state }) => [id, objects, state]);
      return JSON.stringify(now) !== before || (await lcpd.diff()).checked.punt !== 1;
    };
    const wrong: [string, Entry, RegExp][] = [
      ['port 0', toSocket('x', 0, path), /port: 0 is too small.*PUNT_INVALID/s],
      ['port 65535', toSocket('x', 65535, path), /port: port 65535 stands for all ports.*PUNT_INVALID/s],
      ['TCP', toSocket('x', 9001, path, { l4: 'tcp' }), /l4: TCP with a socket is not supported.*PUNT_INVALID/s],
      ['no family', { ...toSocket('x', 9001, path), l3: 'none' }, /l3: "none" is not one of.*PUNT_INVALID/s],
      ['an empty path', toSocket('x', 9001, ''), /socket: .*PUNT_INVALID/s],
      ['a path of 108 bytes', toSocket('x', 9001, `/${'x'.repeat(107)}`), /socket: .*PUNT_INVALID/s],
      ['its own path', toSocket('x', 9001, punts.server), /is the one that the data plane itself has.*PUNT_REFUSED/s],
      ['port 67', toSocket('x', 67, path), /UDP port 67 of IPv4 is used by .*: DHCP, .*PUNT_REFUSED/s],
      ['port 547', toSocket('x', 547, path, { l3: 'all' }), /UDP port 547 of IPv6 .*: DHCPv6, .*PUNT_REFUSED/s],
      ['port 4789', toSocket('x', 4789, path, { l3: 'ipv6' }), /UDP port 4789 of IPv6 .*: VXLAN, .*PUNT_REFUSED/s],
    ];
    for (const [what, entry, message] of wrong) {
      const done = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: JSON.stringify({ punts: [entry] }) });
      t.not(done.code, 0, `${what}: ${done.stderr.trim()}`);
      t.match(done.stderr, message, what);
      t.notOk(await touched(), `${what}: nothing is touched`);
      const withGood = { punts: [toSocket('y', 9002, path), entry] };
      const both = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: JSON.stringify(withGood) });
      t.not(both.code, 0, `${what}, and a good one`);
      t.notOk(await touched(), `${what}: nor is the good one beside it there`);
      if (!/PUNT_INVALID/.test(message.source)) continue;
      await t.rejects(
        punts.configure(good, entry),
        new RegExp(message.source.split(':')[0] ?? ''),
        `${what}, by reload`,
      );
      t.notOk(await touched(), `${what}: a reload is none`);
    }
    await punts.configure(good, toSocket('x', 67, path));
    await punts.is('x', 'FAILED', /UDP port 67 of IPv4 is used by .*DHCP/);
    t.same(await punts.objects(), ['punt socket udp4/9000'], 'what only this data plane cannot do fails, by itself');
    await send(lab, 0, await into(lab, 0, udpPacket('10.0.0.2', '10.0.0.1', 9000, Buffer.from('still'))));
    await hasGot(client, 1);
  },
  embeddedOnly,
);

system(
  '11, 12 exceptions are replicated: the socket and the host get each packet, and so does who it is redirected to',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 1 });
    const lcpd = await punts.start();
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    const client = await addClient(lab, 'c.sock');
    const reason = 'ipsec4-no-such-tunnel';
    const exception = (name: string, of: object): Entry => ({ name, type: 'exception', netns: '', reason, ...of });
    const socket = exception('socket', { socket: client.path });
    const host = exception('host', {});
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    const esp = (dst: string): Buffer => {
      const payload = Buffer.concat([Buffer.from('0000beef00000001', 'hex'), Buffer.alloc(32, 9)]);
      return ipPacket({ src: '10.0.0.2', dst, proto: PROTO.esp, ttl: 9, payload });
    };
    const frame = await into(lab, 0, esp('10.0.0.1'));
    const e0 = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', 'ip proto 50');
    await send(lab, 0, frame);
    t.same(await e0.seen(1), [frame.toString('hex')], 'without a punt it is the host’s');

    await punts.configure(socket);
    await punts.is('socket', 'CREATED');
    const counted = (of: string): Promise<number> => punts.stat(`punt ${of} reason/${reason}`, 'packets');
    t.equal(await counted('socket'), 0);
    await send(lab, 0, frame);
    await hasGot(client, 1);
    t.equal(client.got()[0]?.hex, frame.toString('hex'));
    t.equal(e0.frames().length, 1, 'a socket takes it from the host');
    t.equal(await counted('socket'), 1, 'and it is counted by its reason');

    await punts.configure(socket, host);
    await punts.are('CREATED', 'socket', 'host');
    await send(lab, 0, frame);
    await hasGot(client, 2);
    t.equal(client.got()[1]?.hex, frame.toString('hex'));
    t.same(await e0.seen(2), Array(2).fill(frame.toString('hex')), 'both get it, unchanged, once each');
    t.same([await counted('socket'), await counted('host')], [2, 1], 'and each counts its own');

    // a phy in no pair has no address that ESP could be for, and a redirect instead of a host
    const redirect: Entry = { name: 'out', type: 'ip-redirect', netns: '', l3: 'ipv4', rx: 'p2', tx: 'p1' };
    const lost = exception('lost', { reason: 'no-route', socket: client.path });
    await punts.configure(socket, host, redirect, lost, exception('sent', { reason: 'no-route' }));
    await punts.are('CREATED', 'out', 'lost', 'sent');
    await lcpd.synced();
    const out = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', 'ip proto 50');
    const other = await into(lab, 2, esp('203.0.113.9'));
    await send(lab, 2, other);
    t.same(await out.seen(1), [other.toString('hex')], 'redirected as it came');
    await hasGot(client, 3);
    t.equal(client.got()[2]?.hex, other.toString('hex'), 'and the socket has it too');

    await punts.configure(host);
    await punts.is('socket', 'DELETED');
    await lcpd.synced();
    await send(lab, 0, frame);
    t.equal((await e0.seen(3)).length, 3, 'the host goes on when the socket has gone');
    t.equal(client.got().length, 3);
  },
  embeddedOnly,
);

system(
  '16 a client that reads no more: its packets are dropped and counted, nobody else loses one, and it has its place when it reads again',
  async (t, lab) => {
    const punts = new Punts(lab);
    await punts.start();
    const [slow, good] = [await addClient(lab, 'slow.sock'), await addClient(lab, 'good.sock', punts.server)];
    await punts.configure(toSocket('slow', 9000, slow.path), toSocket('good', 9001, good.path));
    await punts.are('CREATED', 'slow', 'good');
    const h0 = lab.ns('h0');
    t.ok(await reachable(h0, '10.0.1.2'));
    await udpPackets(h0, '10.0.0.1', 9000, 1, 1);
    await hasGot(slow, 1);

    slow.signal('SIGSTOP');
    lab.defer(async () => slow.signal('SIGCONT'));
    const [full, drops] = ['socket-tx-queue-full', 'drops'] as const;
    const pinger = new Pinger(h0, '10.0.1.2', `${lab.dir}/ping.log`);
    lab.defer(() => pinger.stop());
    await pinger.answers(10);
    const [MANY, SOME] = [20_000, 1000];
    await Promise.all([udpPackets(h0, '10.0.0.1', 9000, MANY, 20), udpPackets(h0, '10.0.0.1', 9001, SOME, 1)]);
    const slowOf = (name: string): Promise<number> => punts.stat('punt socket udp4/9000', name);
    await waitFor('all to be counted', async () => {
      const packets = await slowOf('packets');
      if (packets !== 1 + MANY) throw new Error(`there are ${packets}`);
      return true;
    });
    const lost = await slowOf(drops);
    t.ok(lost > MANY / 2, `${lost} of ${MANY} are dropped`);
    t.equal(await punts.stat('', full), lost, 'by name: there was no room for them');
    await hasGot(good, SOME);
    t.equal(await punts.stat('punt socket udp4/9001', drops), 0, 'the other client has lost none');
    await pinger.answers(10);
    t.equal((await pinger.stop()).lost, 0, 'nor has who only goes through');
    const local = await ping(h0, '10.0.0.1', { count: 20 });
    t.equal(local.received, 20, 'nor the host');

    slow.signal('SIGCONT');
    await hasGot(slow, 1 + MANY - lost);
    t.pass(`it has the ${MANY - lost} that there was room for`);
    await udpPackets(h0, '10.0.0.1', 9000, 10, 1);
    await hasGot(slow, 11 + MANY - lost);
    t.equal(await slowOf(drops), lost, 'and none is dropped any more');
  },
  embeddedOnly,
);
