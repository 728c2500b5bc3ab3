// Router discovery over a fake VPP and real sockets: whose frames reach VPP's punt socket again, for which host, how many;
// what is in the way is told, and what others have stays theirs.

import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, onTestFinished, vi } from 'vitest';
import { UnixDatagram, unixAddress } from '../../../src/lib/unixdatagram.ts';
import { lcpItfHostType } from '../../../src/vpp/api/lcp.ts';
import * as punt from '../../../src/vpp/api/punt.ts';
import type { PuntContext } from '../../../src/vpp/puntparts.ts';
import type { PuntSockets } from '../../../src/vpp/puntsockets.ts';
import { RouterDiscovery } from '../../../src/vpp/routerdiscovery.ts';
import { contractLab } from '../lcp/contractlab.ts';
import { addPhys, openDriver } from './driverlab.ts';
import type { FakeVpp } from './fakevpp.ts';
import { startFake } from './lab.ts';
import { count, LAN, rows, socket, tell, WAN } from './puntlab.ts';

let dir: string;
let server: UnixDatagram;
let got: Buffer[];
const [ours, theirs] = [() => join(dir, 'nd.sock'), () => join(dir, 'punt.sock')];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'lcpnd-'));
  server = new UnixDatagram();
  server.bind(theirs(), { gid: process.getgid?.() ?? 0, receiveBuffer: 1 << 20 });
  got = [];
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

async function driver(prepare: (fake: FakeVpp) => void = () => undefined, more: object = {}) {
  const fake = await startFake((each) => {
    addPhys(each);
    each.state.puntSocket = theirs();
    prepare(each);
  });
  const opened = await openDriver(fake, undefined, {
    open: { transport: 'socket', socket: { path: fake.path, openTimeoutMs: 1000 }, shm: {}, apiFolders: [] },
    discoverySocket: ours(),
    ...more,
  });
  await contractLab(() => opened).pairs();
  return { fake, opened };
}

/** Both, as VPP lists them. */
const registered = (fake: FakeVpp) =>
  rows(fake, punt.puntSocketDump, { type: punt.puntType.values.PUNT_API_TYPE_L4 }).map((row) => JSON.stringify(row));

/** An Ethernet frame of ICMPv6. */
function frame(type: number, { tags = '', ethertype = '86dd', next = 58, length = 70 } = {}): Buffer {
  const head = Buffer.from(`33330000000102000000000a${tags}${ethertype}`, 'hex');
  const ip6 = Buffer.alloc(40);
  ip6[0] = 0x60;
  ip6[6] = next;
  ip6[7] = 255;
  const icmp = Buffer.alloc(length - 54);
  ip6.writeUInt16BE(icmp.length, 4);
  icmp[0] = type;
  return Buffer.concat([head, ip6, icmp]);
}

const described = (index: number, bytes: Uint8Array, action = 0): Buffer => {
  const descriptor = Buffer.alloc(8);
  descriptor.writeUInt32LE(index, 0);
  descriptor.writeUInt32LE(action, 4);
  return Buffer.concat([descriptor, bytes]);
};

/** Hosts of phys by sw_if_index; 3 is a sub-interface of WAN, 5 has a TUN. */
const HOSTS: Readonly<Record<number, number>> = { [WAN]: 11, [LAN]: 12, 5: 15 };

async function alone(): Promise<RouterDiscovery> {
  const { LCP_API_ITF_HOST_TAP: tap, LCP_API_ITF_HOST_TUN: tun } = lcpItfHostType.values;
  const at = {
    client: { error: undefined },
    interfaces: { get: (ifindex: number) => ({ parent: ifindex === 3 ? WAN : ifindex }) },
    pairs: {
      row: (ifindex: number) =>
        HOSTS[ifindex] === undefined
          ? undefined
          : { host_sw_if_index: HOSTS[ifindex], host_if_type: ifindex === 5 ? tun : tap },
    },
  };
  const sockets = { server: theirs(), dataSize: 2048, there: async () => undefined, register: async () => undefined };
  const made = new RouterDiscovery(at as unknown as PuntContext, sockets as unknown as PuntSockets, ours());
  onTestFinished(() => made.close());
  await made.open();
  expect(made.reason).toBe('');
  return made;
}

/** Sends as VPP does, and waits until all were counted. */
async function give(to: RouterDiscovery, ...all: readonly Buffer[]): Promise<void> {
  const address = unixAddress(ours()) as Uint8Array;
  const total = () => Object.values(to.counts).reduce((sum, n) => sum + n, 0);
  const before = total();
  const buffer = Buffer.alloc(2048);
  const end = Date.now() + 5000;
  const turn = async () => {
    if (Date.now() > end) throw new Error(`not counted: ${JSON.stringify(to.counts)}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
    for (let n = server.receive(buffer); n >= 0; n = server.receive(buffer))
      got.push(Buffer.from(buffer.subarray(0, n)));
  };
  // what its socket cannot take now is for later
  for (const each of all) while (server.send(address, each) !== 0) await turn();
  while (total() < before + all.length) await turn();
  await turn();
}

it('hands frames on to the host of their pair, as they came', async () => {
  const discovery = await alone();
  const tagged = frame(134, { tags: '8100000a', length: 100 });
  await give(discovery, described(WAN, frame(134), 9), described(LAN, frame(133)), described(3, tagged));
  const expected = [described(11, frame(134)), described(12, frame(133)), described(11, tagged)];
  expect(got.map((each) => each.toString('hex'))).toEqual(expected.map((each) => each.toString('hex')));
});

it('drops what is something else, what has no host, and what is too much', async () => {
  const discovery = await alone();
  const strange = [
    Buffer.alloc(0),
    Buffer.alloc(7),
    described(WAN, Buffer.alloc(0)),
    described(WAN, frame(135)),
    described(WAN, frame(134, { next: 17 })),
    described(WAN, frame(134, { ethertype: '0800' })),
    described(WAN, frame(134).subarray(0, 61)),
    described(WAN, frame(134, { tags: '8100000a'.repeat(3) })),
    described(WAN, Buffer.alloc(66_000)),
  ];
  const long = frame(134, { length: 2049 });
  await give(discovery, ...strange);
  expect(discovery.counts).toMatchObject({ malformed: strange.length, 'to-host': 0 });
  await give(discovery, described(WAN, long));
  expect(discovery.counts).toMatchObject({ 'too-long': 1, 'to-host': 0 });
  await give(discovery, described(77, frame(134)), described(5, frame(134)));
  expect(discovery.counts).toMatchObject({ 'no-host': 2, 'to-host': 0 });
  await give(discovery, ...Array.from({ length: 4000 }, () => described(WAN, frame(134))));
  expect(discovery.counts['over-limit']).toBeGreaterThan(1000);
  expect(discovery.counts['to-host']).toBeGreaterThanOrEqual(900);
  const all = async () => {
    await give(discovery);
    expect(got, 'what VPP had no room for waited').toHaveLength(discovery.counts['to-host']);
  };
  await vi.waitFor(all, { interval: 1, timeout: 5000 });
  expect(discovery.rows()).toContainEqual({ phy: '', name: 'nd/malformed', value: strange.length });
});

it('asks VPP for nothing again after a restart, and takes it all back when it leaves nothing', async () => {
  const { fake, opened } = await driver();
  await opened.dataplane.close(true);
  expect(existsSync(ours())).toBe(false);
  const asked = count(fake, 'punt_socket_register');
  const again = await openDriver(fake, undefined, {
    open: { transport: 'socket', socket: { path: fake.path, openTimeoutMs: 1000 }, shm: {}, apiFolders: [] },
    discoverySocket: ours(),
  });
  // one is the question for VPP's own path
  expect(count(fake, 'punt_socket_register')).toBe(asked + 1);
  expect(registered(fake)).toHaveLength(2);
  await again.dataplane.close(false);
  expect(registered(fake)).toEqual([]);
});

it('leaves to others what they have, and says so', async () => {
  const other = { type: punt.puntType.values.PUNT_API_TYPE_L4, punt: { l4: { af: 1, protocol: 58, port: 134 } } };
  const { fake, opened } = await driver((each) => {
    tell(each, punt.puntSocketRegister, { header_version: 1, punt: other, pathname: '/run/other.sock' });
  });
  const why = [...opened.dataplane.unsupported].find(([what]) => what.startsWith('router advertisements'));
  expect(why?.[1]).toContain('/run/other.sock');
  expect(registered(fake).filter((row) => row.includes('/run/other.sock'))).toHaveLength(1);
});

it.each([
  ['a VPP without a punt socket', (each: FakeVpp) => Object.assign(each.state, { puntSocket: '' }), {}, 'startup.conf'],
  ['a path that is a file', () => writeFileSync(ours(), 'mine'), {}, 'EADDRINUSE'],
  ['a path that is too long', () => undefined, { discoverySocket: `/${'x'.repeat(107)}` }, 'at most 107 bytes'],
])('says why with %s', async (_name, prepare, more, said) => {
  const { opened } = await driver(prepare, more);
  const why = [...opened.dataplane.unsupported].find(([what]) => what.startsWith('router advertisements'));
  expect(why?.[1]).toContain(said);
});

it('is nothing where it is not wanted', async () => {
  const { fake, opened } = await driver(() => undefined, { discoverySocket: '' });
  expect(registered(fake)).toEqual([]);
  expect([...opened.dataplane.unsupported.keys()].filter((what) => what.startsWith('router'))).toEqual([]);
  const wanted = socket({ by: 'icmp6', type: 134 });
  const [refused] = await opened.dataplane.apply([{ op: 'set', object: wanted, handle: 0 }]);
  expect(refused).toMatchObject({ ok: false, message: expect.stringContaining('router discovery') });
});
