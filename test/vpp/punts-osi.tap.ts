/**
 * OSI protocols (IS-IS) to CNFs on a real VPP, with frames: what comes in by a phy reaches everybody who asked, besides the host of its pair,
 * and what they send leaves the phy, as it was; nothing of it is left behind. Interfaces of CNFs are in pairs here, because VPP makes
 * TAPs in the level qemu.
 */
import { writeFileSync } from 'node:fs';
import type { Osi } from '../../src/lcp/puntobjects.ts';
import { inNetns, ip } from '../system/lab/netns.ts';
import { hexOf, isisFrame, ODD_FILTER, oddFrames, typedFrame } from '../system/lab/oddframes.ts';
import { run, waitFor } from '../system/lab/process.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { PuntLab } from './lab/puntplane.ts';
import { type VppLab, vpp } from './lab.ts';

const ISIS = 0x83;
const PLUGINS = ['linux_cp', 'linux_cp_unittest', 'af_packet', 'osi', 'ppp', 'acl', 'abf'];
const osi = (from: string, to: string): Osi => ({ kind: 'punt', feature: 'osi', from, to, protocol: ISIS });

async function sniff(lab: VppLab, role: string): Promise<Sniffer> {
  return Sniffer.on(lab, lab.ns(role), 'eth0', 'in', ODD_FILTER);
}

vpp('scenario 22: IS-IS of a phy for two CNFs, and back; one that goes leaves the other as it is', async (t, lab) => {
  const p = await PuntLab.add(t, lab, { plugins: PLUGINS });
  const pairs = [];
  for (const [phy, host] of [
    ['host-p0', 't0'],
    ['host-c0', 't1'],
    ['host-p1', 't2'],
  ] as const)
    pairs.push(await p.addPair(phy, host));
  const counted = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await p.dataplane.counters()).map(({ name, value }) => [name, value]));
  const [one, two] = [await sniff(lab, 'cnf'), await sniff(lab, 'h1')];
  const host = await Sniffer.on(lab, lab.ns('t0'), 't0', 'in', ODD_FILTER);
  const plain = isisFrame();
  const hello = isisFrame('01:80:c2:00:00:14', 1400);
  const jumbo = typedFrame('09:00:2b:00:00:05', 0x8870, Buffer.from(`fefe0383${'1c'.repeat(1400)}`, 'hex'));
  const others = oddFrames('02:bb:00:00:00:01').filter((frame) => !frame.includes(Buffer.from('fefe0383', 'hex')));

  t.equal(p.dataplane.punts.unsupported.get('osi'), undefined);
  await p.put(osi('host-p0', 'host-c0'), osi('host-c0', 'host-p0'), osi('host-p0', 'host-p1'));
  t.match(p.dataplane.punts.notes(osi('host-p0', 'host-c0')), [/more than 2048 bytes .* host-p0 has an MTU of 9000/]);
  await p.real.ctl('set interface mtu packet 1500 host-p0');
  await waitFor('nothing to be in the way', () => p.dataplane.punts.notes(osi('host-p0', 'host-c0')).length === 0);
  await p.send('h0', ...others, plain, hello);
  t.same(await one.seen(2), hexOf([plain, hello]), 'IS-IS as it was, and nothing else');
  t.same(await two.seen(2), hexOf([plain, hello]), 'a copy for the other');
  t.same(
    (await host.seen(2)).filter((frame) => frame.includes('fefe0383')),
    hexOf([plain, hello]),
    'the host of the pair has it as ever',
  );

  const wire = await sniff(lab, 'h0');
  await p.send('cnf', plain, ...others);
  t.same(await wire.seen(1), hexOf([plain]), 'what the CNF sends is on the wire, and not back at it');
  await p.send('h1', plain);
  t.match(await counted(), { 'osi/sent': 5, 'osi/nobody': 0, 'osi/malformed': 0, 'osi/send-failed': 0 });
  t.same(wire.frames(), hexOf([plain]), 'who asked for one way has one way');

  const burst = Array.from({ length: 200 }, (_, i) => isisFrame('01:80:c2:00:00:15', 200 + i));
  await p.send('h0', ...burst);
  t.equal((await one.seen(202)).length, 202, 'a flood of 200, which is more than a socket of VPP holds, is whole');
  await two.seen(202);

  await ip(lab.ns('t0'), 'link', 'set', 't0', 'down');
  await ip(lab.ns('t0'), 'link', 'set', 't0', 'up');
  await waitFor('it to be read again', async () => {
    await p.send('h0', jumbo);
    return one.frames().includes(jumbo.toString('hex'));
  });
  t.pass('jumbo frames cross, too, and a host that was down is read again');

  await p.drop(osi('host-p0', 'host-p1'));
  const [before, theirs] = [one.frames().length, two.frames().length];
  await p.send('h0', plain);
  await waitFor('the one that is left to have it', () => one.frames().length === before + 1);
  t.equal(two.frames().length, theirs, 'the other has no more of it');

  await p.again();
  t.same(await p.keys(), [], 'it ends with lcpd, which makes it again');
  for (const pair of pairs) await p.put(pair);
  await p.put(osi('host-p0', 'host-c0'));
  await p.send('h0', plain);
  await waitFor('it to be there again', () => one.frames().length === before + 2);

  await p.real.ctl('delete host-interface name c0');
  await waitFor('it to go with its interface', async () => (await p.keys()).length === 0);
  await p.openDevice('c0');
  await waitFor('it to come back with it', async () => (await p.keys()).length === 1);
  await p.send('h0', plain);
  await waitFor('frames to cross again', () => one.frames().length === before + 3);
  await p.drop(osi('host-p0', 'host-c0'));
  await p.send('h0', plain);
  await host.seen(1);
  t.equal(one.frames().length, before + 3, 'what was taken back takes nothing any more');
  t.same(p.remarks, []);
});

vpp(
  'scenario 22: IS-IS of a sub-interface goes by its tag; without a pair, or the plugin, it says so',
  async (t, lab) => {
    const p = await PuntLab.add(t, lab, { plugins: PLUGINS });
    await p.addPair('host-p0', 't0');
    for (const line of [
      'create sub-interfaces host-p0 100',
      'set interface state host-p0.100 up',
      'create sub-interfaces host-t0 100',
      'set interface state host-t0.100 up',
      'test lcp add phy host-p0.100 host host-t0.100',
    ])
      await p.real.ctl(line);
    await waitFor('lcpd to see the sub-interface', () => p.dataplane.phys.byName('host-p0.100') !== undefined);
    const cnf = await sniff(lab, 'cnf');
    const plain = isisFrame();
    const tagged = Buffer.concat([plain.subarray(0, 12), Buffer.from('81000064', 'hex'), plain.subarray(12)]);
    await p.put(osi('host-p0.100', 'host-c0'));
    await p.send('h0', plain, tagged);
    t.same(await cnf.seen(1), hexOf([tagged]), 'its tag and all, and no others');
    await p.put(osi('host-p0', 'host-c0'));
    await p.send('h0', plain);
    t.same(await cnf.seen(2), hexOf([tagged, plain]).sort(), 'those of the device are its own');

    t.match(p.dataplane.punts.unsupported.get('osi unpaired'), /lcp_osi_proto_enable/);
    await p.put(osi('host-p1', 'host-c0'));
    t.match(p.dataplane.punts.notes(osi('host-p1', 'host-c0')), [/nothing of host-p1 is read: host-p1 is in no pair/]);
    t.match(await p.one('set', osi('host-p0', 'nowhere')), { ok: false, code: 'PHY_GONE' });
    t.match(await p.one('set', osi('host-p0', 'host-p0')), { ok: false, code: 'REFUSED' });
    t.match(await p.one('set', { ...osi('host-p0', 'host-p1'), protocol: 0x02 }), { ok: false, code: 'NOT_SUPPORTED' });
  },
);

vpp('scenario 22: a VPP without the plugin osi says what it lacks', async (t, lab) => {
  const bare = await PuntLab.add(t, lab, { plugins: PLUGINS.filter((name) => name !== 'osi') });
  t.match(bare.dataplane.punts.unsupported.get('osi'), /lcp_osi_proto_enable.*plugin osi/);
  t.match(await bare.one('set', osi('host-p0', 'host-c0')), {
    ok: false,
    code: 'NOT_SUPPORTED',
    message: /plugin osi/,
  });
});

vpp('what is read for CNFs ends with the session that it was asked of', async (t, lab) => {
  const p = await PuntLab.add(t, lab, { plugins: PLUGINS });
  await p.addPair('host-p0', 't0');
  const pair = await p.addPair('host-c0', 't1');
  const sockets = async (): Promise<number> =>
    (await run(inNetns(lab.ns('t1'), ['cat', '/proc/net/packet']))).trim().split('\n').length - 1;
  await p.put(osi('host-c0', 'host-p1'));
  t.equal(await sockets(), 1, 'the host of the CNF is read');
  // a session ends in the middle of a look at VPP's interfaces, by what it finds there
  const script = `${lab.dir}/again.vpp`;
  writeFileSync(script, 'delete host-interface name p0\ncreate host-interface name p0\n');
  await p.real.ctl(`exec ${script}`);
  await waitFor('the next session, which nobody has asked for anything yet', async () => (await sockets()) === 0);
  await p.up();
  t.same(await p.keys(), []);
  await p.put(pair, osi('host-c0', 'host-p1'));
  t.equal(await sockets(), 1, 'once');
});
