/**
 * Mirrors (SPAN) on a real VPP whose readers are memifs: one that takes nothing costs what is mirrored not one frame, and nothing is
 * mirrored twice, wherever copies go. Numbers are those of the punt manager's scenarios.
 */
import type { Span } from '../../src/lcp/puntobjects.ts';
import { MemifClient } from '../system/lab/memifclient.ts';
import { waitFor } from '../system/lab/process.ts';
import { frameOf, udpPacket } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { PuntLab } from './lab/puntplane.ts';
import { type VppLab, vpp } from './lab.ts';

const FILTER = 'udp dst port 7000';
const NEIGHBOUR = '02:00:00:00:a1:02';
/** Slots of the client's ring. */
const RING = 64;
const span = (from: string, to: string, rx = true, tx = true): Span => ({
  kind: 'punt',
  feature: 'span',
  from,
  to,
  rx,
  tx,
});

async function addRouter(t: Parameters<typeof PuntLab.add>[0], lab: VppLab): Promise<PuntLab> {
  const p = await PuntLab.add(t, lab);
  await p.real.ctl(`set ip neighbor host-p1 10.0.1.2 ${NEIGHBOUR}`);
  return p;
}

/** A memif of the plane, and its slave. */
async function addReader(p: PuntLab, name: string): Promise<MemifClient> {
  const memif = p.memif(name);
  await p.put(memif);
  const client = await MemifClient.start(p.lab, memif.socket, memif.secret);
  await client.is(/^connected /);
  return client;
}

let sent = 0;

/** Frames of h0 to h1, each another one, as they come in by p0 and as they leave by p1. */
function transit(p: PuntLab, count: number): { readonly came: Buffer[]; readonly left: string[] } {
  const all = Array.from({ length: count }, () => Buffer.from(`number ${sent++} of them all`));
  const packets = (ttl: number) => all.map((data) => udpPacket('10.0.0.2', '10.0.1.2', 7000, data, ttl));
  const left = packets(63).map((packet) => frameOf(NEIGHBOUR, p.mac('host-p1'), packet).toString('hex'));
  return { came: packets(64).map((packet) => frameOf(p.mac('host-p0'), '02:00:00:00:a0:02', packet)), left };
}

const hexOf = (frames: readonly Buffer[]): string[] => frames.map((frame) => frame.toString('hex'));
/** Of the traffic, without what interfaces of VPP say by themselves. */
const meant = (got: readonly string[]): string[] =>
  got.filter((hex) => hex.includes(Buffer.from('number ').toString('hex')));

vpp('scenario 16: a mirror whose reader stops, dies or never came: every original goes on', async (t, lab) => {
  const p = await addRouter(t, lab);
  const out = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', FILTER);
  const expected: string[] = [];
  const through = async (count: number, what: string): Promise<void> => {
    const { came, left } = transit(p, count);
    expected.push(...left);
    for (let at = 0; at < count; at += 250) await p.send('h0', ...came.slice(at, at + 250));
    t.same(await out.seen(expected.length), expected.sort(), `${what}: each of ${count} is there, once`);
  };
  const stat = async (name: string): Promise<number> =>
    (await p.dataplane.punts.stats()).find((row) => row.object === 'interconnect memif-a' && row.name === name)
      ?.value ?? 0;

  await p.put(p.memif('memif-a'), span('host-p0', 'memif-a'));
  await through(500, 'nobody has connected yet');

  const client = await MemifClient.start(lab, p.memif('memif-a').socket, p.memif('memif-a').secret);
  await client.is(/^connected /);
  const { came, left } = transit(p, 20);
  expected.push(...left);
  await p.send('h0', ...came);
  await waitFor('copies', () => meant(client.got()).length >= 20);
  t.same(meant(client.got()).sort(), hexOf(came).sort(), 'one that reads has each, once, as it came in');

  client.signal('SIGSTOP');
  lab.defer(async () => client.signal('SIGCONT'));
  const before = await stat('tx-error');
  await through(1000, 'one that has stopped');
  const lost = (await stat('tx-error')) - before;
  t.ok(lost >= 1000 - RING - 1, `${lost} copies had no room, and are counted`);
  client.signal('SIGCONT');
  await waitFor('what its ring had', () => meant(client.got()).length > 20);
  await through(20, 'one that goes on');
  await waitFor('copies again', () => meant(client.got()).length >= 20 + 20);

  client.signal('SIGSTOP');
  await through(200, 'one that has stopped again');
  await client.stop();
  await through(500, 'one that has died');
  const next = await MemifClient.start(lab, p.memif('memif-a').socket, p.memif('memif-a').secret);
  await next.is(/^connected /);
  const last = transit(p, 20);
  expected.push(...last.left);
  await p.send('h0', ...last.came);
  await waitFor('copies for the next one', () => meant(next.got()).length >= 20);
  t.same(meant(next.got()).sort(), hexOf(last.came).sort(), 'the next one has its own, and nothing old');
  t.same(await out.seen(expected.length), expected.sort());
  t.same(p.remarks, []);
});

vpp(
  'scenario 16: no frame is mirrored twice: a sink that is mirrored, two sources, both ways, a circle',
  async (t, lab) => {
    const p = await addRouter(t, lab);
    const [a, b] = [await addReader(p, 'memif-a'), await addReader(p, 'memif-b')];
    const out = await Sniffer.on(lab, lab.ns('h1'), 'eth0', 'in', FILTER);
    const back = await Sniffer.on(lab, lab.ns('h0'), 'eth0', 'in', FILTER);
    const originals: string[] = [];
    const copies: string[] = [];
    /** All that was ever seen is what was expected so far: what comes twice, and late, is found by the next look. */
    const mirrored = async (what: string): Promise<void> => {
      await waitFor(`${copies.length} copies`, () => meant(a.got()).length >= copies.length);
      t.same(await out.seen(originals.length), originals.sort(), `${what}: originals, once`);
      t.same(meant(a.got()).sort(), copies.sort(), `${what}: copies, once`);
    };
    /** Of what is sent: what leaves is the second list. */
    const send = async (count: number): Promise<readonly [came: string[], left: string[]]> => {
      const { came, left } = transit(p, count);
      originals.push(...left);
      await p.send('h0', ...came);
      return [hexOf(came), left];
    };

    await p.put(span('host-p0', 'memif-a'), span('memif-a', 'memif-b'));
    copies.push(...(await send(10))[0]);
    await mirrored('a sink that is mirrored');
    const own = transit(p, 1).came[0]?.toString('hex') ?? '';
    a.send(own);
    await waitFor('what the sink itself sends', () => meant(b.got()).length > 0);
    t.same(meant(b.got()), [own], 'what the sink itself sends is mirrored, and no copy of a copy');

    await p.put(span('host-p1', 'memif-a'));
    copies.push(...(await send(10)).flat());
    await mirrored('two sources, one sink');
    t.same(meant(b.got()), [own]);

    await p.drop(span('memif-a', 'memif-b'), span('host-p1', 'memif-a'));
    await p.put(span('host-p0', 'memif-b'));
    const [both] = await send(10);
    copies.push(...both);
    await mirrored('one source, two sinks');
    await waitFor('copies at the other', () => meant(b.got()).length > 10);
    t.same(meant(b.got()).sort(), [own, ...both].sort());

    await p.drop(span('host-p0', 'memif-b'), span('host-p0', 'memif-a'));
    const circle = [span('host-p0', 'host-p1', true, false), span('host-p1', 'host-p0', false, true)];
    await p.put(...circle, span('host-p0', 'memif-a'));
    const [came, left] = await send(10);
    originals.push(...came);
    copies.push(...came);
    await mirrored('a circle');
    t.same(await back.seen(left.length), left.sort(), 'a circle: one of each that left, at the other end');
    await p.drop(...circle);
    copies.push(...(await send(1))[0]);
    await mirrored('and behind it');
    t.same([back.frames(), meant(b.got()).length], [left, 11]);
    t.same(p.remarks, []);
  },
);
