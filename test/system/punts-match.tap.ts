/**
 * Punts of what is for the router itself: to the host, redirected, policed; what is refused and why. Numbers are those of the
 * punt manager's scenarios; those of sockets (1, 4, 6, 11, 12) are in puntsocket.tap.ts, that of DHCP (23) in dhcprelay.tap.ts.
 */
import type { PuntRow } from '../../src/punt/view.ts';
import { inNetns, ip } from './lab/netns.ts';
import { hexOf, ODD_FILTER, ODD_SOURCE, typedFrame } from './lab/oddframes.ts';
import { run, waitFor } from './lab/process.ts';
import { Punts } from './lab/punts.ts';
import { embeddedOnly, macIn } from './lab/puntscene.ts';
import { frameOf, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { ping, reachable, sendFrames, traceroute } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const redirect = (name: string, of: object) => ({ name, type: 'ip-redirect', netns: '', l3: 'ipv4', ...of });

const objectsOf = async (punts: Punts): Promise<string[]> =>
  (await punts.lcpd.json<PuntRow[]>(['punt', 'list'])).flatMap(({ objects }) => objects).sort();

/** A frame that is for the phy N itself, from its wire. */
const towards = async (lab: Lab, n: number, dst: string, port: number): Promise<Buffer> =>
  frameOf(await macIn(lab, 'rtr', `p${n}`), ODD_SOURCE, udpPacket('192.0.2.9', dst, port, Buffer.alloc(20, port), 7));

system(
  '7, 8, 9, 10 IP redirects: wait for their interface, take what no host has, TTL and all; each once, over restarts too',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 2 });
    const lcpd = await punts.start();
    const [h1, rtr] = [lab.ns('h1'), lab.ns('rtr')];
    for (const n of [2, 3]) await ip(rtr, 'link', 'set', `p${n}`, 'up');
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    await ip(rtr, 'link', 'del', 'p1');
    const [two, three] = [
      redirect('two', { rx: 'p2', tx: 'p1', 'next-hop': ['10.0.1.2'] }),
      redirect('three', { rx: 'p3', tx: 'p1' }),
    ];
    await lcpd.waitPair('p1', 'pending');
    await punts.configure(two, three);
    await punts.is('two', 'PENDING', /interface p1 does not exist/);
    await punts.is('three', 'PENDING', /interface p1 does not exist/);
    const begun = performance.now();
    await lab.addCable(1);
    await punts.are('CREATED', 'two', 'three');
    t.comment(`created after ${Math.round(performance.now() - begun)} ms`);
    await lab.waitLink('cp', 'e1');
    await lab.addressHost(1);
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    t.same(
      (await objectsOf(punts)).filter((object) => object.includes('redirect')),
      ['punt redirect ip4 p2', 'punt redirect ip4 p3'],
      'one by each interface, though they leave by the same',
    );

    const out = await Sniffer.on(lab, h1, 'eth0', 'in', 'udp port 9100 or udp port 9101');
    const [byTwo, byThree] = [await towards(lab, 2, '203.0.113.5', 9100), await towards(lab, 3, '203.0.113.6', 9101)];
    await sendFrames(lab.ns('h2'), 'eth0', hexOf([byTwo]));
    await sendFrames(lab.ns('h3'), 'eth0', hexOf([byThree]));
    const seen = await out.seen(2);
    const [p1, at] = [await macIn(lab, 'rtr', 'p1'), await macIn(lab, 'h1', 'eth0')];
    const routed = `${at}${p1}`.replaceAll(':', '') + byTwo.toString('hex').slice(24);
    t.same(seen, [routed, byThree.toString('hex')].sort(), 'to the next hop with its TTL, or as it came without one');

    for (let i = 0; i < 5; i++) {
      await lcpd.kill();
      await lcpd.start();
      await lcpd.synced();
    }
    t.equal((await objectsOf(punts)).filter((object) => object.includes('redirect')).length, 2);
    await sendFrames(lab.ns('h2'), 'eth0', hexOf([byTwo]));
    t.equal((await out.seen(3)).length, 3, 'once each, as often as lcpd was started');
    await ip(rtr, 'link', 'del', 'p1');
    await punts.is('two', 'PENDING', /p1/);
    await lab.addCable(1);
    await punts.is('two', 'CREATED');
    await lab.waitLink('cp', 'e1');
    await lab.addressHost(1);
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    const after = await Sniffer.on(lab, h1, 'eth0', 'in', 'udp');
    await punts.configure(three);
    await punts.is('two', 'DELETED');
    await lcpd.synced();
    await sendFrames(lab.ns('h2'), 'eth0', hexOf([byTwo]));
    await sendFrames(lab.ns('h3'), 'eth0', hexOf([byThree]));
    t.same(await after.seen(1), [byThree.toString('hex')], 'what has gone redirects no more');

    await t.rejects(
      punts.configure(redirect('all', { l3: 'all', tx: 'p1', 'next-hop': ['10.0.1.2'] })),
      /next-hop.*IPv6|IPv6.*next/s,
      'ALL with one family',
    );
    const all = redirect('all', { l3: 'all', tx: 'p1', 'next-hop': ['10.0.1.2', 'fd00:1::2'] });
    await punts.configure(all, redirect('later', { tx: 'p0' }));
    await punts.is('all', 'CREATED');
    await punts.is('later', 'BUSY', /ip4\/any is busy/);
    t.same(
      (await objectsOf(punts)).filter((object) => object.includes('redirect')),
      ['punt redirect ip4 any', 'punt redirect ip6 any'],
    );
  },
  embeddedOnly,
);

/** Ten datagrams a millisecond, for so long. */
const flood = async (ns: string, address: string, ms: number): Promise<{ sent: number; ms: number }> => {
  const program = `
    const socket = require('node:dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
    socket.on('error', () => undefined);
    const begun = performance.now();
    let [asked, sent] = [0, 0];
    const timer = setInterval(() => {
      const ms = performance.now() - begun;
      const due = Math.min(ms * 10 - asked, 200);
      if (ms <= ${ms}) for (let i = 0; i < due; i++, asked++) socket.send('x', 9, '${address}', () => { sent++; });
      else if (sent === asked) {
        clearInterval(timer);
        process.stdout.write(JSON.stringify({ sent, ms }));
        socket.close();
      }
    }, 1);`;
  return JSON.parse(await run(inNetns(ns, ['node', '-e', program]))) as { sent: number; ms: number };
};

/** What a kernel has got of UDP for ports that nobody has. */
async function noPorts(ns: string, family: 4 | 6): Promise<number> {
  if (family === 6) {
    const text = await run(inNetns(ns, ['cat', '/proc/net/snmp6']));
    return Number(/^Udp6NoPorts\s+(\d+)/m.exec(text)?.[1]);
  }
  const lines = (await run(inNetns(ns, ['cat', '/proc/net/snmp'])))
    .split('\n')
    .filter((line) => line.startsWith('Udp:'));
  const [titles = [], values = []] = lines.map((line) => line.split(' '));
  return Number(values[titles.indexOf('NoPorts')]);
}

system(
  '13 policing: so many packets a second reach the host, all are counted, the other family is not limited',
  async (t, lab) => {
    const punts = new Punts(lab);
    const lcpd = await punts.start();
    const [h0, cp] = [lab.ns('h0'), lab.ns('cp')];
    t.ok(await reachable(h0, '10.0.0.1'));
    const limit = { name: 'limit', type: 'police', netns: '', scope: 'ipv4', rate: 1000, burst: 100 };
    for (let i = 0; i < 3; i++) await punts.configure(limit);
    await punts.is('limit', 'CREATED');
    const stat = async (name: string): Promise<number> => {
      const rows = await lcpd.json<{ object: string; name: string; value: number }[]>(['punt', 'stats']);
      return rows.find((row) => row.object === 'punt police ipv4' && row.name === name)?.value ?? Number.NaN;
    };
    const before = { conform: await stat('conform-packets'), exceed: await stat('exceed-packets') };
    const got4 = await noPorts(cp, 4);
    const { sent, ms } = await flood(h0, '10.0.0.1', 4000);
    const counted = async () => {
      const conform = (await stat('conform-packets')) - before.conform;
      return { conform, exceed: (await stat('exceed-packets')) - before.exceed };
    };
    const { conform, exceed } = await waitFor('all to be counted', async () => {
      const now = await counted();
      if (now.conform + now.exceed < sent) throw new Error(`${sent} were sent, ${JSON.stringify(now)}`);
      return now;
    });
    t.ok(sent > 5000, `${sent} packets in ${Math.round(ms)} ms`);
    const expected = 100 + ms;
    t.ok(Math.abs(conform - expected) < expected / 10, `${conform} conform, of ${Math.round(expected)} that may`);
    t.ok(exceed > 0, `${exceed} are too many`);
    const reached = (await noPorts(cp, 4)) - got4;
    t.ok(reached <= conform && reached > conform * 0.95, `${reached} reach the kernel`);

    const got6 = await noPorts(cp, 6);
    const six = await flood(h0, 'fd00:0::1', 1000);
    await waitFor('those of IPv6 to arrive', async () => (await noPorts(cp, 6)) - got6 > 1500);
    t.ok((await noPorts(cp, 6)) - got6 > 1500, `of ${six.sent} of IPv6 more than the limit arrive`);
    await punts.configure();
    await punts.is('limit', 'DELETED');
    const { sent: free } = await flood(h0, '10.0.0.1', 1000);
    t.ok((await noPorts(cp, 4)) - got4 - reached > 1500, `without it more than the limit of ${free} arrive`);
  },
  embeddedOnly,
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
    t.same(await objectsOf(punts), objects);
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
    t.same(await objectsOf(punts), objects, 'what was there is as it was');
    await punts.configure({ name: 'foo', type: 'exception', netns: '', reason: 'foo' });
    await punts.is('foo', 'PENDING', /unknown punt reason foo: the data plane has .*ipsec4-no-such-tunnel/);
    t.equal((await lcpd.ctl(['punt', 'del', 'both'])).code, 0);
    await punts.is('both', 'DELETED');
    t.same(await objectsOf(punts), []);
  },
  embeddedOnly,
);

system(
  '29 the pair itself: what punts leave alone works as ever, both ways, with its TTL; a redirect of it is refused',
  async (t, lab) => {
    const punts = new Punts(lab, { punts: [{ name: 'mirror', type: 'span', netns: '', interface: 'p0' }] });
    await punts.start();
    const [h0, h1, cp] = [lab.ns('h0'), lab.ns('h1'), lab.ns('cp')];
    await punts.is('mirror', 'CREATED');
    t.ok(await reachable(h0, '10.0.1.2'));
    for (const to of ['10.0.0.1', 'fd00:0::1']) t.ok(await reachable(h0, to), `${to} answers`);
    for (const to of ['10.0.0.2', 'fd00:0::2']) t.ok(await reachable(cp, to), `the host reaches ${to}`);
    t.same(await traceroute(h0, '10.0.1.2'), ['10.0.0.1', '10.0.1.2'], 'traceroute sees the router');
    const { text } = await ping(h0, '10.0.0.1', { count: 1 });
    t.match(text, /ttl=64/, 'with the TTL that the host gave it');
    const host = await Sniffer.on(lab, cp, 'e0', 'in', ODD_FILTER);
    const lldp = typedFrame('01:80:c2:00:00:0e', 0x88cc, Buffer.alloc(60, 2));
    await sendFrames(h0, 'eth0', hexOf([lldp]));
    t.same(await host.seen(1), hexOf([lldp]), 'LLDP is there');
    await punts.configure(redirect('no', { rx: 'p0', tx: 'p1', 'next-hop': ['10.0.1.2'] }));
    await punts.is('no', 'FAILED', /interface p0 is in a pair: what it punts goes to its host/);
    const done = await punts.lcpd.ctl([
      'punt',
      'add',
      'ip-redirect',
      'neither',
      'l3=ipv4',
      'rx=p0',
      'tx=p1',
      '--netns',
      '',
    ]);
    t.not(done.code, 0);
    t.match(done.stderr, /interface p0 is in a pair/);
    t.ok(await reachable(h1, '10.0.0.2'));
  },
  embeddedOnly,
);
