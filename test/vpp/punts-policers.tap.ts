/**
 * Policers of punts on a real VPP, under a flood: how many pass, of which size, in either unit, and what is counted. Numbers are those of
 * the punt manager's scenarios.
 */
import type { Police, Punt } from '../../src/lcp/puntobjects.ts';
import { ip } from '../system/lab/netns.ts';
import { PROTO } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { flood, type Stream } from './lab/flood.ts';
import { PuntLab } from './lab/puntplane.ts';
import { type VppLab, vpp } from './lab.ts';

const PORT = 9100;
const CNF_MAC = '02:00:00:00:c0:02';

const police = (unit: Police['unit'], rate: number, burst: number, scope: Police['scope'] = 'ipv4'): Police => ({
  kind: 'punt',
  feature: 'police',
  scope,
  unit,
  rate,
  burst,
});
const host = (family: 4 | 6): Punt => ({
  kind: 'punt',
  feature: 'host',
  match: { by: 'port', family, protocol: PROTO.udp, port: PORT },
});
const redirect = (family: 4 | 6, nexthop: string): Punt => ({
  kind: 'punt',
  feature: 'redirect',
  family,
  rx: '',
  tx: 'host-c0',
  nexthop,
});
const to4 = (bytes: number, perSecond: number): Stream => ({ to: '10.0.0.1', port: PORT, bytes, perSecond });
const to6 = (bytes: number, perSecond: number): Stream => ({ to: 'fd00:0::1', port: PORT, bytes, perSecond });

/** A VPP that punts the port of both families to the CNF. */
async function addFlooded(t: Parameters<typeof PuntLab.add>[0], lab: VppLab): Promise<PuntLab> {
  const p = await PuntLab.add(t, lab);
  await ip(lab.ns('h0'), 'address', 'add', '10.0.0.2/24', 'dev', 'eth0');
  await ip(lab.ns('h0'), 'address', 'add', 'fd00:0::2/64', 'dev', 'eth0', 'nodad');
  for (const line of [
    'set interface ip address host-c0 10.9.0.1/24',
    'set interface ip address host-c0 fd09::1/64',
    `set ip neighbor host-c0 10.9.0.2 ${CNF_MAC}`,
    `set ip neighbor host-c0 fd09::2 ${CNF_MAC}`,
  ])
    await p.real.ctl(line);
  await p.put(host(4), host(6), redirect(4, '10.9.0.2'), redirect(6, 'fd09::2'));
  return p;
}

interface Passed {
  readonly seconds: number;
  /** IPv4 packets that VPP has taken in: a VPP that was without a processor for a while loses what its ring has no room for. */
  readonly came: number;
  /** At the CNF, by family. */
  readonly four: number;
  readonly six: number;
}

/** IPv4 packets by host-p0 so far. */
async function taken(p: PuntLab): Promise<number> {
  return Number(/^\s+ip4\s+(\d+)/m.exec(await p.show('show interface host-p0'))?.[1] ?? 0);
}

async function passed(p: PuntLab, seconds: number, ...streams: readonly Stream[]): Promise<Passed> {
  const cnf = await Sniffer.on(p.lab, p.lab.ns('cnf'), 'eth0', 'in', `udp port ${PORT}`);
  const before = await taken(p);
  const done = await flood(p.lab.ns('h0'), seconds, ...streams);
  // one that comes behind them all: what has not been seen by then is not to come
  const end = p.udp(PORT, 1, 'fd00:0::1');
  await p.send('h0', end);
  const packet = (hex: string) => hex.slice(28);
  await cnf.has((hex) => packet(hex) === end.subarray(14).toString('hex'));
  await cnf.stop();
  const came = (await taken(p)) - before;
  p.t.comment(`of ${done.sent.join(' and ')} sent in ${done.seconds} s ${came} of IPv4 were taken in`);
  const frames = cnf.frames();
  const four = frames.filter((hex) => hex.slice(24, 28) === '0800').length;
  return { seconds: done.seconds, came, four, six: frames.length - four - 1 };
}

/** What the plane counts of a policer. */
async function counted(p: PuntLab, scope: string) {
  const rows = (await p.dataplane.punts.stats()).filter(({ object }) => object === `punt police ${scope}`);
  const of = (name: string): number => rows.find((row) => row.name === name)?.value ?? 0;
  const sum = (what: string): number => of(`exceed-${what}`) + of(`violate-${what}`);
  return {
    rows: rows.length,
    conform: of('conform-packets'),
    conformBytes: of('conform-bytes'),
    dropped: sum('packets'),
    droppedBytes: sum('bytes'),
  };
}

const isNear = (is: number, want: number): boolean => is > want * 0.9 && is < want * 1.1;

vpp('scenario 13: a limit of 1000 packets a second under a flood, IPv6 beside it without one', async (t, lab) => {
  const p = await addFlooded(t, lab);
  // a VPP that is without a processor for longer than the burst loses what it might have let pass
  const limit = police('pps', 1000, 500);
  for (let i = 0; i < 3; i++) await p.put(limit);
  const features = () => p.show('show interface features local0');
  t.equal((await features()).match(/ip4-punt-policer/g)?.length, 1, 'told three times it is on once');

  const both = await passed(p, 5, to4(256, 3000), to6(256, 300));
  const allowed = 1000 * both.seconds + 500;
  t.ok(isNear(both.four, allowed), `${both.four} pass, ${Math.round(allowed)} may`);
  t.ok(isNear(both.six, 300 * both.seconds), `of IPv6 ${both.six} do`);
  const four = await counted(p, 'ipv4');
  t.ok(isNear(four.conform, both.four), `${four.conform} are counted as passed`);
  t.equal(four.conform + four.dropped, both.came, 'each that came is counted');
  t.equal((await counted(p, 'ipv6')).rows, 0, 'of what has no limit there is nothing to be told');

  // the same as bytes, and IPv6 with one that it keeps within
  const limits = [police('kbps', 2048, 128_000), police('kbps', 8000, 500_000, 'ipv6')];
  await p.put(...limits);
  const bytes = await passed(p, 5, to4(256, 3000), to6(256, 300));
  const allowedBytes = 256_000 * bytes.seconds + 128_000;
  t.ok(isNear(bytes.four * 256, allowedBytes), `${bytes.four * 256} bytes pass, ${Math.round(allowedBytes)} may`);
  const after = await counted(p, 'ipv4');
  t.ok(isNear(after.conform, bytes.four), `${after.conform} are counted as passed, from nought with another limit`);
  t.equal(after.conform + after.dropped, bytes.came, 'each that came is counted');
  t.equal(after.conformBytes + after.droppedBytes, 256 * bytes.came, 'with its bytes from the IP header on');
  const six = await counted(p, 'ipv6');
  t.ok(isNear(six.conform, 300 * bytes.seconds), `${six.conform} of IPv6 are counted`);
  t.same([isNear(bytes.six, six.conform), six.dropped], [true, 0], 'none of which is dropped');

  await p.drop(...limits);
  t.notMatch(await features(), /punt-policer/);
  t.notMatch(await p.show('show policer'), /lcpd/);
  const free = await passed(p, 1, to4(256, 3000));
  t.ok(free.four > free.came * 0.8, `without a limit ${free.four} of ${free.came} pass`);
  t.same(p.remarks, []);
});

vpp(
  'scenario 13: VPP takes packets for 256 bytes where they are limited by number, and not by bits',
  async (t, lab) => {
    const p = await addFlooded(t, lab);
    // 200 packets of 256 bytes a second, as VPP sees them; bursts are the same too
    const limits = [police('pps', 200, 1000), police('kbps', 410, 51_200)];
    for (const limit of limits) {
      for (const [bytes, perSecond] of [
        [64, 2500],
        [256, 1000],
        [1024, 400],
      ] as const) {
        // made anew, it begins with all of its burst
        await p.put(limit);
        const { four, seconds } = await passed(p, 3, to4(bytes, perSecond));
        const allowed = Math.round((51_200 * seconds + 51_200) / bytes);
        t.ok(isNear(four, allowed), `${limit.unit}, ${bytes} bytes: ${four} pass, ${allowed} of that size may`);
        await p.drop(limit);
      }
    }
    const [byNumber, byBits] = limits.map((limit) => p.dataplane.punts.notes(limit));
    t.match(byNumber, [/256 bytes/], 'who limits their number is told');
    t.same(byBits, [], 'a limit of bits is what it says');
  },
);
