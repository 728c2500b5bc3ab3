/**
 * Punts of ports to the host, on every data plane. Numbers are those of the punt manager's scenarios; sockets are in
 * punts-sockets.tap.ts, redirects in punts-redirects.tap.ts.
 */
import { inNetns } from './lab/netns.ts';
import { Daemon, Hopeless, waitFor } from './lab/process.ts';
import { addPuntClient, hasGot } from './lab/puntclient.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { macIn, toSocket } from './lab/puntscene.ts';
import { frameOf, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { reachable, sendFrames } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const PORT = 9100;
const toHost: Entry = { name: 'host', type: 'to-host', netns: '', l3: 'all', l4: 'udp', port: PORT };

/** What a socket of Linux on all addresses of the router's hosts gets, as `address port text`. */
async function listen(lab: Lab): Promise<() => string[]> {
  const program = `
    const socket = require('node:dgram').createSocket('udp6');
    socket.on('message', (text, { address, port }) => console.log(address.replace('::ffff:', ''), port, String(text)));
    socket.bind(${PORT}, () => console.log('ready'));`;
  const daemon = new Daemon('listener', inNetns(lab.ns('cp'), ['node', '-e', program]), `${lab.dir}/listener.log`);
  lab.defer(() => daemon.stop());
  await waitFor('the listener to be bound', () => {
    if (!daemon.running) throw new Hopeless(daemon.log());
    return daemon.log().startsWith('ready');
  });
  return () => daemon.log().split('\n').slice(1, -1);
}

/** Family and TTL of frames, in hex. */
const ttls = (frames: readonly string[]): string[] =>
  frames.map((hex) => (hex.slice(24, 28) === '0800' ? `4 ${hex.slice(44, 46)}` : `6 ${hex.slice(42, 44)}`)).sort();
/** TTLs by which they tell who has answered. */
const [LINUX, VPP] = [
  ['4 40', '6 40'],
  ['4 ff', '6 ff'],
];

const UNREACHABLE = '(icmp[0] = 3 and icmp[1] = 3) or (icmp6 and ip6[40] = 1 and ip6[41] = 4)';

system(
  '7 a port to the host: a socket of Linux gets it with its source and TTL, beside whoever has it; taken back, it does not',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const [h0, cp] = [lab.ns('h0'), lab.ns('cp')];
    for (const to of ['10.0.0.1', 'fd00:0::1']) t.ok(await reachable(h0, to));
    const [router, own] = [await macIn(lab, 'cp', 'e0'), await macIn(lab, 'h0', 'eth0')];
    const sendBoth = async (text: string): Promise<string[]> => {
      const data = Buffer.from(text);
      const packets = [
        udpPacket('10.0.0.2', '10.0.0.1', PORT, data, 7),
        udpPacket('fd00:0::2', 'fd00:0::1', PORT, data, 7),
      ];
      const sent = packets.map((packet) => frameOf(router, own, packet).toString('hex'));
      await sendFrames(h0, 'eth0', sent);
      return sent.sort();
    };
    const answers = await Sniffer.on(lab, h0, 'eth0', 'in', UNREACHABLE);
    const arrives = await Sniffer.on(lab, cp, 'e0', 'in', `udp dst port ${PORT}`);
    const first = await sendBoth('nobody has a socket');
    t.same(ttls(await answers.seen(2)), LINUX, 'Linux answers for a port that nobody has');
    t.same(arrives.frames(), first);
    const got = await listen(lab);

    // Without the punt the port goes elsewhere: to a socket that has all of UDP, and on VPP to nobody, once an operator has told it
    // not to punt what it does not know, as one without linux_cp does not.
    const isVpp = lab.dataplane !== 'embedded';
    const client = await addPuntClient(lab, 'c.sock');
    const all = { type: 'ip-protocol', netns: '', l3: 'all', protocol: 'udp', socket: client.path };
    const others = isVpp ? [] : [{ name: 'all', ...all }];
    if (isVpp) for (const family of ['ipv4', 'ipv6']) await lab.vppctl(`set punt ${family} udp del all`);
    let sent = 0;
    const goElsewhere = async (text: string): Promise<void> => {
      const answered = answers.frames();
      const [had, heard] = [arrives.frames().length, got().length];
      await sendBoth(text);
      sent += 2;
      if (isVpp) {
        const now = ttls(await answers.seen(answered.length + 2));
        t.same(now, [...ttls(answered), ...VPP].sort(), `${text}: VPP itself answers that nobody has it`);
      } else await hasGot(client, sent);
      t.same([arrives.frames().length, got().length], [had, heard], `${text}: nothing arrives at the host`);
    };
    await punts.configure(...others);
    if (!isVpp) await punts.is('all', 'CREATED');
    await goElsewhere('before');

    await punts.configure(...others, toHost);
    await punts.is('host', 'CREATED');
    await lcpd.synced();
    t.same(
      (await punts.objects()).filter((object) => object.includes('host')),
      [`punt host udp4/${PORT}`, `punt host udp6/${PORT}`],
    );
    const answered = answers.frames().length;
    const frames = await sendBoth('to the host');
    t.same(await arrives.seen(4), [...first, ...frames].sort(), 'the host has both, TTL and all');
    const lines = await waitFor('the socket of Linux to have both', () => got().length >= 2 && got().sort());
    t.same(
      lines,
      ['10.0.0.2 9876 to the host', 'fd00::2 9876 to the host'],
      'and so has its socket, with their sources',
    );
    t.equal(answers.frames().length, answered, 'which nobody answers');
    sent += 2;
    if (!isVpp) await hasGot(client, sent);

    await punts.configure(...others);
    await punts.is('host', 'DELETED');
    await lcpd.synced();
    await goElsewhere('afterwards');
    await punts.configure(toSocket('other', PORT, client.path), toHost);
    await punts.is('other', 'CREATED');
    await punts.is('host', 'BUSY', /punt-to-host.udp4.9100 is busy: .*other has it/);
  },
);

system(
  '3, 5, 21 to the host: both families are two; what is wrong is refused by the name of its field and changes nothing',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const add = (...words: string[]) => lcpd.ctl(['punt', 'add', ...words, '--netns', '']);
    const good = await add('to-host', 'both', 'l3=all', 'l4=udp', 'port=9001');
    t.equal(good.code, 0, good.stdout + good.stderr);
    await punts.is('both', 'CREATED');
    const objects = ['punt host udp4/9001', 'punt host udp6/9001'];
    t.same(await punts.objects(), objects);
    const path = `socket=${lab.dir}/${'x'.repeat(108)}`;
    const wrong: [string, string[], RegExp][] = [
      ['port 0', ['to-host', 'x', 'l3=ipv4', 'l4=udp', 'port=0'], /port/],
      ['port 65536', ['to-host', 'x', 'l3=ipv4', 'l4=udp', 'port=65536'], /port/],
      ['TCP by a socket', ['to-host', 'x', 'l3=ipv4', 'l4=tcp', 'port=80', `socket=${lab.dir}/c`], /tcp|TCP/],
      ['a path that is too long', ['to-host', 'x', 'l3=ipv4', 'l4=udp', 'port=80', path], /socket/],
      ['no family', ['to-host', 'x', 'l4=udp', 'port=80'], /l3/],
      ['a family that is none', ['to-host', 'x', 'l3=ipv5', 'l4=udp', 'port=80'], /l3/],
      ['an unknown key', ['to-host', 'x', 'l3=ipv4', 'l4=udp', 'port=80', 'colour=red'], /colour/],
      ['a rate of 0', ['police', 'x', 'scope=ipv4', 'rate=0'], /rate/],
      ['the name twice', ['to-host', 'both', 'l3=ipv4', 'l4=udp', 'port=80'], /punt already exists/],
    ];
    for (const [what, words, message] of wrong) {
      const done = await add(...words);
      t.not(done.code, 0, what);
      t.match(done.stdout + done.stderr, message, `${what}: ${done.stderr.trim()}`);
    }
    t.same(await punts.objects(), objects, 'what was there is as it was');
    await punts.configure({ name: 'foo', type: 'exception', netns: '', reason: 'foo' });
    await punts.is('foo', 'PENDING', /unknown punt reason foo: the data plane has .*ipsec4-no-such-tunnel/);
    t.equal((await lcpd.ctl(['punt', 'del', 'both'])).code, 0);
    await punts.is('both', 'DELETED');
    t.same(await punts.objects(), []);
  },
);
