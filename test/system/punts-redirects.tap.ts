/**
 * Redirects of IP packets that no host has, on every data plane: they wait for their interface, each is there once, with what it takes
 * unchanged. Numbers are those of the punt manager's scenarios.
 */
import { writeFileSync } from 'node:fs';
import { ip } from './lab/netns.ts';
import { ODD_SOURCE } from './lab/oddframes.ts';
import { slowness } from './lab/process.ts';
import { Punts } from './lab/punts.ts';
import { macIn, phyMac, send } from './lab/puntscene.ts';
import { frameOf, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const redirect = (name: string, of: object) => ({ name, type: 'ip-redirect', netns: '', l3: 'ipv4', ...of });
/** A second from the interface on, by the clock of a machine that is not emulated. */
const LIMIT_MS = 1000 * slowness;

const redirectsOf = async (punts: Punts): Promise<string[]> =>
  (await punts.objects()).filter((object) => object.includes('redirect'));

/** VPP's own list of them, as `rx interface` by family, but for those of pairs; undefined where something else forwards. */
async function entries(lab: Lab): Promise<string[] | undefined> {
  if (lab.dataplane === 'embedded') return undefined;
  const found: string[] = [];
  for (const family of ['ip', 'ip6']) {
    const shown = await lab.vppctl(`show ${family} punt redirect`);
    for (const [, rx = ''] of shown.matchAll(/ rx (\S+)/g)) if (!/^p[01]$/.test(rx)) found.push(`${family} ${rx}`);
  }
  return found.sort();
}

/** A phy in no pair takes packets for itself: in VPP by addresses that it has. */
async function openBare(lab: Lab, n: number): Promise<void> {
  await ip(lab.ns('rtr'), 'link', 'set', `p${n}`, 'up');
  if (lab.dataplane === 'embedded') return;
  await lab.vppctl(`set interface ip address p${n} 10.0.${n}.1/24`);
  await lab.vppctl(`set interface ip address p${n} fd00:${n}::1/64`);
}

/** A frame that is for the bare phy N itself, from its wire, whose TTL would let it go no further than it came. */
async function towards(lab: Lab, n: number, family: 4 | 6, port: number): Promise<Buffer> {
  const [src, dst] = family === 4 ? [`10.0.${n}.9`, `10.0.${n}.1`] : [`fd00:${n}::9`, `fd00:${n}::1`];
  return frameOf(await phyMac(lab, n), ODD_SOURCE, udpPacket(src, dst, port, Buffer.alloc(20, port), 7));
}

/** The interface that packets are redirected to ends; its cable too where it is a device. */
async function takeAway(lab: Lab): Promise<void> {
  if (lab.dataplane === 'embedded') await ip(lab.ns('rtr'), 'link', 'del', 'p1');
  else await lab.vppctl('delete host-interface name p1');
}

/** There is one of its name again, in VPP at once under that name. */
async function giveBack(lab: Lab): Promise<void> {
  if (lab.dataplane === 'embedded') return lab.addCable(1);
  const script = `${lab.dir}/p1-again`;
  writeFileSync(script, 'create host-interface name p1\nset interface name host-p1 p1\n');
  await lab.vppctl(`exec ${script}`);
}

/** Its pair is whole again, and neighbours behind it are known. */
async function pairedAgain(lab: Lab): Promise<void> {
  await lab.waitLink('cp', 'e1');
  await lab.lcpd.waitPaired('p1');
  await lab.addressHost(1);
  for (const to of ['10.0.1.2', 'fd00:1::2']) await reachable(lab.ns('h0'), to);
  await lab.lcpd.synced();
}

/** A frame as it leaves by p1 to the host behind it. */
async function routed(lab: Lab, frame: Buffer): Promise<string> {
  const [at, by] = [await macIn(lab, 'h1', 'eth0'), await phyMac(lab, 1)];
  return `${at}${by}`.replaceAll(':', '') + frame.toString('hex').slice(24);
}

system(
  '8, 10 redirects wait for their interface by name, are there within a second of it, and wait again',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 2 });
    const lcpd = await punts.start();
    for (const n of [2, 3]) await openBare(lab, n);
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    const [two, three] = [
      redirect('two', { l3: 'all', rx: 'p2', tx: 'p1', 'next-hop': ['10.0.1.2', 'fd00:1::2'] }),
      redirect('three', { rx: 'p3', tx: 'p1' }),
    ];
    const wait = async (): Promise<void> => {
      await takeAway(lab);
      await lcpd.waitPair('p1', 'pending');
      if (punts.told('two').length === 0) await punts.configure(two, three);
      for (const name of ['two', 'three']) await punts.is(name, 'PENDING', /interface p1 does not exist/);
      await lcpd.synced();
      t.same([await redirectsOf(punts), (await entries(lab)) ?? []], [[], []], 'none is there');
    };
    const appear = async (): Promise<void> => {
      const begun = performance.now();
      await giveBack(lab);
      await punts.are('CREATED', 'two', 'three');
      const ms = Math.round(performance.now() - begun);
      t.ok(ms < LIMIT_MS, `created ${ms} ms after its interface`);
      await pairedAgain(lab);
    };
    const inVpp = ['ip p2', 'ip p3', 'ip6 p2'];
    for (const round of ['at first', 'and again']) {
      await wait();
      await appear();
      const objects = ['punt redirect ip4 p2', 'punt redirect ip4 p3', 'punt redirect ip6 p2'];
      t.same(
        await redirectsOf(punts),
        objects,
        `${round}: one by each interface and family, though they leave by the same`,
      );
      t.same((await entries(lab)) ?? inVpp, inVpp);
      const out = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', 'udp and (port 9100 or port 9101)');
      const [four, six, plain] = await Promise.all([
        towards(lab, 2, 4, 9100),
        towards(lab, 2, 6, 9100),
        towards(lab, 3, 4, 9101),
      ]);
      await send(lab, 2, four, six);
      await send(lab, 3, plain);
      const wanted = [await routed(lab, four), await routed(lab, six), plain.toString('hex')].sort();
      t.same(await out.seen(3), wanted, `${round}: to the next hop with its TTL, or as it came without one`);
      await out.stop();
    }
  },
);

system(
  '9, 10 redirects are there once, over restarts too, by family and interface; what has gone redirects no more',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 2 });
    const lcpd = await punts.start();
    for (const n of [2, 3]) await openBare(lab, n);
    for (const to of ['10.0.1.2', 'fd00:1::2']) t.ok(await reachable(lab.ns('h0'), to));
    const all = redirect('all', { l3: 'all', tx: 'p1', 'next-hop': ['10.0.1.2', 'fd00:1::2'] });
    // any is all that the data plane has, which of its own the embedded one has where a punt names it
    const two = redirect('two', { l3: 'ipv6', rx: 'p2', tx: 'p1' });
    const three = redirect('three', { rx: 'p3', tx: 'p1' });
    await t.rejects(
      punts.configure(redirect('all', { l3: 'all', tx: 'p1', 'next-hop': ['10.0.1.2'] })),
      /next-hop.*IPv6|IPv6.*next/s,
      'ALL with one family',
    );
    await punts.configure(all, two, three, redirect('later', { tx: 'p0' }));
    await punts.are('CREATED', 'all', 'two', 'three');
    await punts.is('later', 'BUSY', /ip4\/any is busy/);
    await lcpd.synced();
    for (let i = 0; i < 5; i++) {
      await lcpd.kill();
      await lcpd.start();
      await lcpd.synced();
    }
    const objects = ['ip4 any', 'ip4 p3', 'ip6 any', 'ip6 p2'].map((what) => `punt redirect ${what}`);
    t.same(await redirectsOf(punts), objects);
    const held = await entries(lab);
    if (held !== undefined) t.equal(held.length, 4, `VPP has them once: ${held.join(', ')}`);
    const out = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', 'udp');
    const [four2, six2] = [await towards(lab, 2, 4, 9100), await towards(lab, 2, 6, 9100)];
    const [four3, six3] = [await towards(lab, 3, 4, 9101), await towards(lab, 3, 6, 9101)];
    const toHop = await Promise.all([four2, six3].map((frame) => routed(lab, frame)));
    const asCame = [six2, four3].map((frame) => frame.toString('hex'));
    const sendAll = async (): Promise<void> => {
      await send(lab, 2, four2, six2);
      await send(lab, 3, four3, six3);
    };
    await sendAll();
    t.same(await out.seen(4), [...toHop, ...asCame].sort(), 'once each; an interface’s own goes before any');
    await punts.configure(two, three);
    await punts.are('DELETED', 'all', 'later');
    await lcpd.synced();
    await sendAll();
    t.same(await out.seen(6), [...toHop, ...asCame, ...asCame].sort(), 'without any only what the others take');
    await punts.configure();
    await punts.are('DELETED', 'two', 'three');
    await lcpd.synced();
    await sendAll();
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    t.equal(out.frames().length, 6, 'and nothing in the end');
    t.same([await redirectsOf(punts), (await entries(lab)) ?? []], [[], []]);
  },
);
