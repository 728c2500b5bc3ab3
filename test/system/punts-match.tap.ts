/**
 * Punts beside what the router does anyhow: what is for it is limited, and what no punt asks for works as ever. Numbers are those of
 * the punt manager's scenarios; others are in punts-sockets (1, 2, 4, 5, 6, 21), punts-exceptions (11, 12, 16), punts-host (3, 5, 7, 21),
 * punts-redirects (8, 9, 10) and dhcprelay.tap.ts (23).
 */
import { Bird } from './lab/bird.ts';
import { inNetns, ip } from './lab/netns.ts';
import { hexOf, ODD_FILTER, typedFrame } from './lab/oddframes.ts';
import { run, waitFor } from './lab/process.ts';
import { addPuntClient, hasGot } from './lab/puntclient.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { into, send, toSocket } from './lab/puntscene.ts';
import { udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { ping, reachable, sendFrames, traceroute } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const redirect = (name: string, of: object): Entry => ({ name, type: 'ip-redirect', netns: '', l3: 'ipv4', ...of });

/** Its limits are in test/vpp/punts.tap.ts. */
const PACKETS_OF_256 = 'VPP limits packets as if each had 256 bytes';

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
  { not: { vpp: PACKETS_OF_256, 'linux-cp': PACKETS_OF_256 } },
);

/** A BIRD with one BGP session over eth0 or e0. */
async function speaker(lab: Lab, role: string, asn: number, own: string, peer: string, theirs: number): Promise<Bird> {
  const config = `router id ${own};
protocol device {}
protocol bgp peer {
  local ${own} as ${asn};
  neighbor ${peer} as ${theirs};
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 { import all; export none; };
}
`;
  const bird = await Bird.start({ ns: lab.ns(role), name: `${role}-bird`, config, dir: lab.dir });
  lab.defer(() => bird.stop());
  return bird;
}

const isEstablished = (bird: Bird): Promise<boolean> =>
  waitFor('BGP to be established', async () => {
    const found = (await bird.protocols()).find(({ name }) => name === 'peer');
    if (found?.info.startsWith('Established') !== true) throw new Error(JSON.stringify(found));
    return true;
  });

system(
  '29 the pair itself: what punts leave alone works as ever, both ways, with its TTL; a redirect of it is refused',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 1 });
    const lcpd = await punts.start();
    const [h0, h1, cp] = [lab.ns('h0'), lab.ns('h1'), lab.ns('cp')];
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    const client = await addPuntClient(lab, 'c.sock');
    const beside: Entry[] = [
      toSocket('port', 9000, client.path, { l3: 'all' }),
      { name: 'ospf', type: 'ip-protocol', netns: '', l3: 'ipv4', protocol: 'ospf', socket: client.path },
      { name: 'host', type: 'to-host', netns: '', l3: 'all', l4: 'udp', port: 9100 },
      redirect('bare', { rx: 'p2', tx: 'p1' }),
      { name: 'limit', type: 'police', netns: '', scope: 'ipv4', rate: 100_000, burst: 1000 },
    ];
    // where it can be had without a TAP of VPP's
    if (lab.dataplane === 'embedded') beside.push({ name: 'mirror', type: 'span', netns: '', interface: 'p0' });
    await punts.configure(...beside);
    await punts.are('CREATED', ...beside.map(({ name }) => name));
    await lcpd.synced();
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
    const out = await Sniffer.on(lab, h0, 'eth0', 'in', ODD_FILTER);
    await sendFrames(cp, 'e0', hexOf([lldp]));
    t.same(await out.seen(1), hexOf([lldp]), 'and leaves');
    const router = await speaker(lab, 'cp', 65_000, '10.0.0.1', '10.0.0.2', 65_001);
    const peer = await speaker(lab, 'h0', 65_001, '10.0.0.2', '10.0.0.1', 65_000);
    for (const bird of [router, peer]) t.ok(await isEstablished(bird), 'BGP');
    await send(lab, 0, await into(lab, 0, udpPacket('10.0.0.2', '10.0.0.1', 9000, Buffer.from('for the socket'))));
    await hasGot(client, 1);

    const no = redirect('no', { rx: 'p0', tx: 'p1', 'next-hop': ['10.0.1.2'] });
    await punts.configure(...beside, no);
    await punts.is('no', 'FAILED', /interface p0 is in a pair: what it punts goes to its host/);
    const words = ['ip-redirect', 'neither', 'l3=ipv4', 'rx=p0', 'tx=p1', '--netns', ''];
    const done = await lcpd.ctl(['punt', 'add', ...words]);
    t.not(done.code, 0);
    t.match(done.stderr, /interface p0 is in a pair/);
    t.ok(await reachable(h1, '10.0.0.2'));
    t.ok(await isEstablished(peer), 'BGP is there all the same');
  },
);
