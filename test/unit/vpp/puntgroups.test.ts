/**
 * ABX to groups of the link on a fake VPP: what is registered and accepted follows from the ABX that VPP has, over restarts; what others
 * have stays theirs and is noted; frames go where rules say, or to their host.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { AclRule, Punt } from '../../../src/lcp/puntobjects.ts';
import { ipBytes } from '../../../src/lib/ip.ts';
import { UnixDatagram, unixAddress } from '../../../src/lib/unixdatagram.ts';
import { swInterfaceAddDelAddress, swInterfaceSetUnnumbered } from '../../../src/vpp/api/interface.ts';
import { puntSocketDeregister, puntSocketDump, puntSocketRegister, setPunt } from '../../../src/vpp/api/punt.ts';
import { frameOf, ipPacket } from '../../system/lab/rawframes.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { rule } from '../lcp/contractpunts.ts';
import { addPhys, openDriver } from './driverlab.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake, until } from './lab.ts';
import { abx, count, end, host, LAN, port, publish, rows, socket, tell, WAN } from './puntlab.ts';

let dir: string;
let server: UnixDatagram;
const [ours, theirs] = [() => join(dir, 'groups.sock'), () => join(dir, 'punt.sock')];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lcpgroups-'));
  server = new UnixDatagram();
  server.bind(theirs(), { gid: process.getgid?.() ?? 0, receiveBuffer: 1 << 20 });
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const ospf = (destination: string): AclRule => rule(destination, { protocol: 89 });
const udp = (destination: string, number: number): AclRule =>
  rule(destination, { protocol: 17, destinationPorts: [number, number] });
const OSPF = { by: 'protocol', family: 4, protocol: 89 } as const;
const IN = abx('wan0', 'lan0', [ospf('0.0.0.0/0'), ospf('ff02::5/128'), udp('224.0.0.2/32', 646)]);
const OUT = abx('lan0', 'wan0', [ospf('224.0.0.5/32')]);

const options = (fake: FakeVpp) => ({
  open: { transport: 'socket', socket: { path: fake.path, openTimeoutMs: 1000 }, shm: {}, apiFolders: [] } as const,
  groupSocket: ours(),
  pollMs: 30,
});

async function lab(prepare: (fake: FakeVpp) => void = () => undefined, more: object = {}, isPaired = false) {
  const fake = await startFake((each) => {
    addPhys(each);
    each.state.puntSocket = theirs();
    prepare(each);
  });
  const opened = await openDriver(fake, undefined, { ...options(fake), ...more });
  const of = contractLab(() => opened);
  if (isPaired) await of.pairs();
  return { fake, opened, lab: of, punts: opened.dataplane.punts };
}

/** As VPP's messages have them, read. */
const union = { l4: { af: 0, protocol: 0, port: 0 }, ip_proto: { af: 0, protocol: 0 }, exception: { id: 0 } };
const PROTOCOL = (protocol: number) => ({ type: 1, punt: { ...union, ip_proto: { af: 0, protocol } } });
const PORT = (number: number) => ({ type: 0, punt: { ...union, l4: { af: 0, protocol: 17, port: number } } });

/** What VPP hands to whom. */
const registered = (fake: FakeVpp): string[] =>
  [0, 1]
    .flatMap((type) => rows(fake, puntSocketDump, { type }))
    .map(({ punt, pathname }) => {
      const { l4, ip_proto } = (punt as { punt: Record<string, Record<string, number> | undefined> }).punt;
      const what = l4 === undefined ? `ip${ip_proto?.af} ${ip_proto?.protocol}` : `udp${l4.af} ${l4.port}`;
      return `${what} ${pathname === ours() ? 'ours' : String(pathname)}`;
    })
    .sort();
/** Multicast entries: key, and by which interfaces. */
const entries = (fake: FakeVpp): string[] =>
  [...fake.state.mroutes].map(([key, { paths }]) => {
    const inputs = (paths as { itf_flags: number; path: { sw_if_index: number } }[])
      .filter(({ itf_flags }) => (itf_flags & 2) !== 0)
      .map(({ path }) => path.sw_if_index);
    return `${key}: ${inputs.sort().join()}`;
  });
const hasTable = (fake: FakeVpp): boolean => fake.state.tables.has('4:251658238');

it('registers and accepts what rules are about, and nothing is left of it', async () => {
  const { fake, lab: of, punts } = await lab();
  await of.put(IN);
  expect(registered(fake)).toEqual(['ip0 89 ours', 'ip1 89 ours', 'udp0 646 ours']);
  expect(entries(fake)).toEqual([
    expect.stringMatching(/^0 0 .*e0000000.*\/24: 1$/),
    expect.stringMatching(/^0 1 .*ff0000.*\/8: 1$/),
  ]);
  expect(punts.notes(IN)).toEqual([]);
  const again = count(fake, 'punt_socket_register');
  await of.put(IN);
  expect(count(fake, 'punt_socket_register')).toBe(again);
  await of.put(abx('wan0', 'lan0', [ospf('10.0.0.1/32')]));
  expect(registered(fake)).toEqual([]);
  expect(entries(fake).filter((entry) => entry.endsWith('1'))).toEqual([]);
});

it('has what a CNF sends from borrowed addresses looked up elsewhere, while it borrows them', async () => {
  const address = (each: FakeVpp, text: string, is_add: boolean) => {
    const told = { sw_if_index: WAN, is_add, del_all: false, prefix: { address: ipBytes(text), len: 24 } };
    tell(each, swInterfaceAddDelAddress, told);
  };
  const {
    fake,
    opened,
    lab: of,
    punts,
  } = await lab((each) => {
    address(each, '10.0.0.1', true);
    tell(each, swInterfaceSetUnnumbered, { sw_if_index: WAN, unnumbered_sw_if_index: LAN, is_add: true });
  });
  const own = () => entries(fake).filter((entry) => entry.includes('/64'));
  await of.put(OUT);
  expect(hasTable(fake)).toBe(true);
  expect(own()).toEqual([expect.stringMatching(/^0 0 0a000001.* e0000005.*\/64: 2$/)]);
  // what is borrowed is looked at each time interfaces are read
  address(fake, '10.0.7.1', true);
  await until(() => own().length === 2);
  address(fake, '10.0.7.1', false);
  await until(() => own().length === 1);
  await of.put(abx('lan0', 'wan0', [udp('224.0.0.0/24', 9999), ospf('224.0.0.6/32')]));
  expect(own()).toEqual([expect.stringMatching(/^0 0 0a000001.* e0000006/)]);
  const made = fake.state.commands.filter((cmd) => cmd.startsWith('ip mroute')).length;
  expect(punts.notes(abx('lan0', 'wan0', [udp('224.0.0.0/24', 9999)]))).toEqual([expect.stringContaining('name each')]);
  await opened.dataplane.close(true);
  const again = await openDriver(fake, undefined, options(fake));
  expect(own()).toHaveLength(1);
  // it is known, and not made anew
  expect(fake.state.commands.filter((cmd) => cmd.startsWith('ip mroute'))).toHaveLength(made);
  const [gone] = await again.dataplane.apply([{ op: 'delete', object: OUT, handle: 0 }]);
  expect(gone).toMatchObject({ ok: true });
  expect([own(), hasTable(fake)]).toEqual([[], false]);
});

it('finds all of it again after a restart, and lets go of what nobody wants any more', async () => {
  const { fake, opened, lab: of } = await lab();
  await of.put(IN);
  await opened.dataplane.close(true);
  expect(registered(fake)).toEqual([]);
  expect(existsSync(ours())).toBe(false);
  // an lcpd that was killed has left more than that
  for (const punt of [PROTOCOL(103), PROTOCOL(89)])
    tell(fake, puntSocketRegister, { header_version: 1, punt, pathname: ours() });
  const again = await openDriver(fake, undefined, options(fake));
  expect(registered(fake)).toEqual(['ip0 89 ours', 'ip1 89 ours', 'udp0 646 ours']);
  await again.dataplane.close(false);
  expect(registered(fake)).toEqual([]);
});

it('leaves to others what they have, notes it, and has it when it is free', async () => {
  const { fake, lab: of, punts } = await lab();
  await of.put(socket(OSPF, '/run/other.sock'));
  await of.put(host(port(646)));
  await of.put(IN);
  expect(registered(fake)).toEqual(['ip0 89 /run/other.sock', 'ip1 89 ours']);
  expect(punts.notes(IN)).toEqual([
    expect.stringMatching(/rule IPv4 OSPF any to any: .*VPP hands ip4\/89 to \/run\/other.sock, for somebody else/),
    expect.stringMatching(/port 646: VPP punts it to the host already/),
  ]);
  tell(fake, puntSocketDeregister, { punt: PROTOCOL(89) });
  tell(fake, setPunt, { is_add: false, punt: PORT(646) });
  await until(() => punts.notes(IN).length === 0);
  expect(registered(fake)).toEqual(['ip0 89 ours', 'ip1 89 ours', 'udp0 646 ours']);
});

it('keeps what it has from a socket that comes later, by name', async () => {
  const { fake, lab: of } = await lab();
  await of.put(IN);
  const refused = await of.one('set', socket(OSPF));
  expect(refused).toMatchObject({
    ok: false,
    code: 'REFUSED',
    message: expect.stringContaining('ABX takes packets to groups'),
  });
  expect(await of.one('set', host(port(646)))).toMatchObject({ ok: false, code: 'REFUSED' });
  expect(await of.one('set', socket(port(9000), ours()))).toMatchObject({
    ok: false,
    message: expect.stringContaining('own socket'),
  });
  expect(registered(fake)).toEqual(['ip0 89 ours', 'ip1 89 ours', 'udp0 646 ours']);
});

it.each([
  ['a VPP without a punt socket', (each: FakeVpp) => Object.assign(each.state, { puntSocket: '' }), {}, 'startup.conf'],
  ['a path that is a file', () => writeFileSync(ours(), 'mine'), {}, 'EADDRINUSE'],
  ['no socket', () => undefined, { groupSocket: '' }, 'no socket'],
])('is noted for each rule with %s, and its unicast part is there', async (_name, prepare, more, said) => {
  const { fake, lab: of, punts } = await lab(prepare, more);
  await of.put(IN);
  expect(registered(fake)).toEqual([]);
  expect(punts.notes(IN)).toHaveLength(3);
  expect(punts.notes(IN)[0]).toContain(said);
});

it('ends with an interface that VPP deletes, and comes back with it', async () => {
  const { fake, lab: of, opened } = await lab();
  await of.put(IN);
  end(fake, LAN);
  publish(fake);
  await until(() => registered(fake).length === 0);
  await until(() => entries(fake).every((entry) => !entry.endsWith('1')));
  fake.state.addInterface('lan0', 'dpdk', {});
  await until(() => registered(fake).length === 3);
  expect(opened.dataplane.info().state).toBe('up');
});

/** Frames that VPP gets back: where they leave, and what they are. */
async function given(frames: readonly Buffer[]): Promise<string[]> {
  const got: string[] = [];
  const buffer = Buffer.alloc(2048);
  const address = unixAddress(ours()) as Uint8Array;
  for (const frame of frames) {
    while (server.send(address, frame) !== 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const last = performance.now() + 150;
  while (performance.now() < last) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    for (let n = server.receive(buffer); n >= 0; n = server.receive(buffer))
      got.push(`${buffer.readUInt32LE(0)} ${buffer.readUInt32LE(4)} ${buffer.subarray(8, n).toString('hex')}`);
  }
  return got;
}

const described = (index: number, bytes: Uint8Array): Buffer => {
  const head = Buffer.alloc(8, 0xff);
  head.writeUInt32LE(index, 0);
  return Buffer.concat([head, bytes]);
};

it('hands frames on by the rules, and all else to the host of their pair', async () => {
  const { fake, lab: of } = await lab(undefined, {}, true);
  await of.put(IN as Punt);
  const hello = (dst: string, proto = 89) =>
    frameOf(
      '01:00:5e:00:00:05',
      '02:00:00:00:00:01',
      ipPacket({ src: '10.0.0.2', dst, proto, ttl: 1, payload: Buffer.alloc(24) }),
    );
  const [group, unicast, pim] = [hello('224.0.0.5'), hello('10.0.0.1'), hello('224.0.0.13', 103)];
  const hostOf = (phy: number) => (fake.state.pairs.get(phy) as { host_sw_if_index: number }).host_sw_if_index;
  const all = [described(WAN, group), described(WAN, unicast), described(WAN, pim), described(LAN, group)];
  expect(await given([...all, described(99, group), described(WAN, group.subarray(0, 30)), Buffer.alloc(3)])).toEqual([
    `${LAN} 0 ${group.toString('hex')}`,
    `${hostOf(WAN)} 0 ${unicast.toString('hex')}`,
    `${hostOf(WAN)} 0 ${pim.toString('hex')}`,
    `${hostOf(LAN)} 0 ${group.toString('hex')}`,
  ]);
  // pairs take groups anyhow
  await of.one('delete', IN);
  expect(entries(fake).filter((entry) => /\/24: .*1/.test(entry))).toHaveLength(1);
});
