/**
 * Exceptions to sockets and hosts, and clients that do not read, on the embedded data plane. Numbers are those of the punt
 * manager's scenarios; VPP's, whose copies for a host lose their Ethernet header, are in test/vpp/punts.tap.ts.
 */
import { ip } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { addPuntClient, hasGot } from './lab/puntclient.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { embeddedOnly, into, send, toSocket } from './lab/puntscene.ts';
import { ipPacket, PROTO } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { Pinger, ping, reachable, udpPackets } from './lab/traffic.ts';
import { system } from './lab.ts';

system(
  '11, 12 exceptions are replicated: the socket and the host get each packet, and so does who it is redirected to',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 1 });
    const lcpd = await punts.start();
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    const client = await addPuntClient(lab, 'c.sock');
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
    const [slow, good] = [await addPuntClient(lab, 'slow.sock'), await addPuntClient(lab, 'good.sock', punts.server)];
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
