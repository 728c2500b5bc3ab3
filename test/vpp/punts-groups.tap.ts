/**
 * ABX to groups of the link on a real VPP, with packets: what a rule takes reaches the CNF and leaves its phy as it was, all else of the
 * protocol the host of its pair; others keep what they have; restarts and interfaces that end leave nothing behind.
 */
import type { AclRule, Punt } from '../../src/lcp/puntobjects.ts';
import { acceptGroups } from '../../src/vpp/linkgroups.ts';
import { addVeth, ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { buildPuntClient, PuntClient } from '../system/lab/puntclient.ts';
import { frameOf, ipPacket, PROTO, udpPacket } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { rule } from '../unit/lcp/contractpunts.ts';
import { PuntLab } from './lab/puntplane.ts';
import { type VppLab, vpp } from './lab.ts';

const PHY_MAC = '02:00:00:00:a0:02';
const CNF_MAC = '02:00:00:00:c0:02';
const LDP = 646;
const OSPF4 = { by: 'protocol', family: 4, protocol: PROTO.ospf } as const;

async function buildClient(lab: VppLab): Promise<PuntClient> {
  await buildPuntClient();
  const made = new PuntClient(`${lab.dir}/c.sock`);
  lab.defer(() => made.stop());
  await made.ready();
  return made;
}

/** MAC of a group. */
function groupMac(group: string): string {
  if (group.includes(':')) return `33:33:00:00:00:0${group.slice(-1)}`;
  return `01:00:5e:00:00:${Number(group.split('.')[3]).toString(16).padStart(2, '0')}`;
}

const hello = (src: string, dst: string, mac: string, proto: number = PROTO.ospf): Buffer =>
  frameOf(
    groupMac(dst),
    mac,
    ipPacket({ src, dst, proto, ttl: 1, payload: Buffer.from(`hello of ${src}, of 40 bytes or so`) }),
  );

const abx = (from: string, to: string, rules: readonly AclRule[]): Punt & { feature: 'abx' } => ({
  kind: 'punt',
  feature: 'abx',
  from,
  to,
  priority: 5,
  rules,
  dstMac: '',
});
const ospf = (destination: string): AclRule => rule(destination, { protocol: PROTO.ospf });
const udp = (destination: string, port: number): AclRule =>
  rule(destination, { protocol: PROTO.udp, destinationPorts: [port, port] });
const IN = abx('host-p0', 'host-c0', [ospf('0.0.0.0/0'), ospf('::/0'), udp('224.0.0.2/32', LDP)]);
const OUT = abx('host-c0', 'host-p0', [ospf('0.0.0.0/0'), ospf('ff02::/16'), udp('0.0.0.0/0', LDP)]);

/** A lab whose phys are in pairs with hosts t0 and t1, and whose CNF borrows the addresses of p0. */
async function addPairs(t: Parameters<typeof PuntLab.add>[0], lab: VppLab): Promise<PuntLab> {
  const p = await PuntLab.add(t, lab);
  const rtr = lab.ns('rtr');
  for (const n of [0, 1]) {
    const host = await lab.addNetns(`t${n}`);
    await addVeth({ ns: rtr, dev: `t${n}` }, { ns: host, dev: 'eth0' });
    await ip(rtr, 'link', 'set', `t${n}`, 'up');
    await ip(host, 'link', 'set', 'eth0', 'up');
    await p.openDevice(`t${n}`);
    await p.real.ctl(`test lcp add phy host-p${n} host host-t${n}`);
  }
  await p.real.ctl('set interface ip address host-p1 fd00:1::1/64');
  const client = await lab.connect(p.real, 'socket');
  // as those of pairs do with lcpd
  for (const dev of ['host-p0', 'host-p1'])
    for (const family of [4, 6] as const) await acceptGroups(client, p.dataplane.port(dev) ?? -1, 0, family);
  await p.real.ctl('set interface unnumbered host-c0 use host-p0');
  await p.again();
  return p;
}

/** Which of the frames arrive behind which interface while they are sent, once for each: 'ROLE NUMBER'. */
async function arrivals(p: PuntLab, from: string, frames: readonly Buffer[], at: readonly string[]): Promise<string[]> {
  const wanted = frames.map((frame) => frame.toString('hex'));
  const numberOf = (hex: string) => wanted.findIndex((each) => hex.startsWith(each));
  let listening = 0;
  let send: () => void = () => undefined;
  const all = new Promise<void>((resolve) => {
    send = resolve;
  });
  const sent = all.then(() => p.send(from, ...frames));
  const found = at.map(async (role) => {
    const during = () => {
      if (++listening === at.length) send();
      return sent;
    };
    const seen = await p.seen(role, (hex) => numberOf(hex) >= 0, during);
    return seen.map((hex) => `${role} ${numberOf(hex)}`);
  });
  return (await Promise.all(found)).flat().sort();
}

const IN_FRAMES = [
  hello('10.0.0.2', '224.0.0.5', PHY_MAC),
  hello('fe80::2', 'ff02::5', PHY_MAC),
  frameOf(groupMac('224.0.0.2'), PHY_MAC, udpPacket('10.0.0.2', '224.0.0.2', LDP, Buffer.alloc(30, 1), 1)),
];
const OUT_FRAMES = [
  hello('10.0.0.1', '224.0.0.5', CNF_MAC),
  hello('fe80::c2', 'ff02::5', CNF_MAC),
  frameOf(groupMac('224.0.0.2'), CNF_MAC, udpPacket('10.0.0.1', '224.0.0.2', LDP, Buffer.alloc(30, 2), 1)),
];
const PIM = hello('10.0.0.2', '224.0.0.13', PHY_MAC, 103);
const OTHER = [hello('10.0.1.2', '224.0.0.5', '02:00:00:00:a1:02'), hello('fe80::12', 'ff02::5', '02:00:00:00:a1:02')];
const SIDES = ['cnf', 'h0', 'h1', 't0', 't1'];

vpp('scenarios 17, 18: ABX takes groups of the link by its rules, both ways, and no more', async (t, lab) => {
  const p = await addPairs(t, lab);
  const registered = async () =>
    `${await p.show('show punt socket registrations l4')}${await p.show('show punt socket registrations ip')}`.trim();
  const mfib = async () =>
    `${await p.show('show ip mfib')}${await p.show('show ip6 mfib')}`.replace(/index:\d+|to:\[[0-9:]+\]/g, '');
  const counters = async (): Promise<Record<string, number>> =>
    Object.fromEntries((await p.dataplane.counters()).map(({ name, value }) => [name, value]));
  const before = { mfib: await mfib(), tables: await p.show('show ip table') };
  const unicast = p.packet(PROTO.ospf, Buffer.from('database description'), 1);

  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['t0 0', 't0 1', 't0 2'], 'without it all is for the host');
  await p.put(IN, OUT);
  t.same(p.dataplane.punts.notes(IN), [], 'nothing is left out of it');
  t.same(p.dataplane.punts.notes(OUT), []);
  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['cnf 0', 'cnf 1', 'cnf 2'], 'hellos, TTL 1 and all, for the CNF');
  t.same(await arrivals(p, 'cnf', OUT_FRAMES, SIDES), ['h0 0', 'h0 1', 'h0 2'], 'and from it, out of its phy');
  t.same(await arrivals(p, 'h0', [unicast, PIM], SIDES), ['cnf 0', 't0 1'], 'unicast as ever; no rule is about PIM');
  t.same(await arrivals(p, 'h1', OTHER, SIDES), ['t1 0', 't1 1'], 'those of another interface are for its own host');
  const counted = await counters();
  t.match(
    counted,
    { 'abx-groups/by-rule': 6, 'abx-groups/to-host': 2, 'abx-groups/send-failed': 0 },
    'all are counted',
  );

  const flood = Array.from({ length: 100 }, (_, i) => hello(`10.0.0.${100 + i}`, '224.0.0.5', PHY_MAC));
  const cnf = await Sniffer.on(lab, lab.ns('cnf'), 'eth0', 'in', 'ip proto 89 and src net 10.0.0.0/24');
  await p.send('h0', ...flood);
  t.equal((await cnf.seen(flood.length)).length, flood.length, 'a flood is more than a socket queues, and is whole');
  await cnf.stop();

  await p.again();
  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['cnf 0', 'cnf 1', 'cnf 2'], 'a restart has it back by itself');
  t.same(await arrivals(p, 'cnf', OUT_FRAMES, SIDES), ['h0 0', 'h0 1', 'h0 2']);
  t.same(await p.keys(), ['abx host-c0 host-p0', 'abx host-p0 host-c0']);
  await p.put(abx('host-p0', 'host-c0', [ospf('224.0.0.6/32')]));
  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['t0 0', 't0 1', 't0 2'], 'rules that go take nothing any more');
  await p.dataplane.close(true);
  t.equal(await registered(), '', 'without lcpd VPP treats them as ever');
  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['t0 0', 't0 1', 't0 2']);
  await p.again();

  await p.drop(IN, OUT);
  t.equal(await registered(), '', 'no registration is left');
  t.equal(await mfib(), before.mfib, 'no entry either');
  t.equal(await p.show('show ip table'), before.tables, 'nor a table');
  t.same(await arrivals(p, 'h0', IN_FRAMES, SIDES), ['t0 0', 't0 1', 't0 2'], 'they are for the host again');
  t.same(p.remarks, []);
});

vpp(
  'scenarios 17, 18: ABX to groups beside what others have, without pairs, until its interface goes',
  async (t, lab) => {
    const p = await PuntLab.add(t, lab);
    const client = await buildClient(lab);
    const registrations = () => p.show('show punt socket registrations ip');
    const only = abx('host-p0', 'host-c0', [
      ospf('224.0.0.0/24'),
      ospf('ff02::5/128'),
      rule('224.0.0.0/24', { protocol: 2 }),
    ]);
    const taken: Punt = { kind: 'punt', feature: 'socket', match: OSPF4, path: client.path };

    await p.put(taken, only);
    t.match(p.dataplane.punts.notes(only), [
      new RegExp(`IPv4 OSPF any to 224.0.0.0/24: .*VPP hands ip4/89 to ${client.path}, for somebody else`),
      /IPv4 IGMP any to 224.0.0.0\/24: VPP itself takes it: IGMP/,
    ]);
    t.same(
      await arrivals(p, 'h0', IN_FRAMES.slice(0, 2), ['cnf', 'h1']),
      ['cnf 1'],
      'what is free is taken all the same',
    );
    t.match(await p.one('set', { ...taken, match: { ...OSPF4, family: 6 } }), {
      ok: false,
      code: 'REFUSED',
      message: /ABX/,
    });
    await p.drop(taken);
    await waitFor('what was let go to be taken', () => p.dataplane.punts.notes(only).length === 1);
    t.same(await arrivals(p, 'h0', IN_FRAMES.slice(0, 2), ['cnf', 'h1']), ['cnf 0', 'cnf 1'], 'then all of it is');
    t.match(await p.one('set', taken), { ok: false, code: 'REFUSED', message: /ABX/ }, 'and kept, by name');

    const garbage = [Buffer.alloc(3), Buffer.alloc(60, 0xff), IN_FRAMES[0]?.subarray(0, 30) ?? Buffer.alloc(0)];
    await p.send('h0', ...garbage.filter((each) => each.length > 14));
    await p.real.ctl('delete host-interface name c0');
    await waitFor(
      'registrations to go with the interface',
      async () => !(await registrations()).includes('groups.sock'),
    );
    t.notMatch(await p.show('show ip mfib'), /lcpd groups/);
    await p.openDevice('c0');
    await waitFor('them to come back with it', async () => (await registrations()).includes('groups.sock'));
    t.same(await arrivals(p, 'h0', IN_FRAMES.slice(0, 2), ['cnf', 'h1']), ['cnf 0', 'cnf 1']);
    await p.drop(only);
    t.notMatch(await registrations(), /groups.sock/);
    t.notMatch(await p.show('show ip mfib 224.0.0.0/24'), /host-/, 'the phy takes them no more');
    t.same(p.remarks, []);
  },
);
