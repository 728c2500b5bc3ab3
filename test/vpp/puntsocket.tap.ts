/**
 * The punt socket of a real VPP and the reference client: what datagrams are like in both directions, byte for byte. The
 * embedded data plane's own is held to the same by the same client (test/native/puntsock_inject.c).
 */
import type { Test } from 'tap';
import * as itf from '../../src/vpp/api/interface.ts';
import * as punt from '../../src/vpp/api/punt.ts';
import type { VppClient } from '../../src/vpp/client.ts';
import type { InputOf } from '../../src/vpp/codec.ts';
import { addVeth, ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { buildPuntClient, inject, PuntClient, type Punted } from '../system/lab/puntclient.ts';
import { frameOf, ipPacket, PROTO, udpPacket } from '../system/lab/rawframes.ts';
import { capture, sendFrames } from '../system/lab/traffic.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { openInterfaces } from './lab/router.ts';
import type { VppLab } from './lab.ts';
import { vpp } from './lab.ts';

const ALL = 0xffff_ffff;
const VLAN = 100;
/** Of hosts behind the phys. */
const HOST_MAC = ['02:00:00:00:a0:02', '02:00:00:00:a1:02'] as const;
const data = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff));

interface Plane {
  readonly real: RealVpp;
  readonly client: VppClient;
  /** Where its punt socket is. */
  readonly server: string;
  /** Indices and MACs by name. */
  readonly index: ReadonlyMap<string, number>;
  readonly mac: ReadonlyMap<string, string>;
}

/** VPP with p0, p0.100 and p1, of which p1 has a host that is known; no lcpd. */
async function addPlane(lab: VppLab): Promise<Plane> {
  const rtr = await lab.addNetns('rtr');
  for (const [n, mac] of HOST_MAC.entries()) {
    const host = await lab.addNetns(`h${n}`);
    await addVeth({ ns: rtr, dev: `p${n}` }, { ns: host, dev: 'eth0' });
    await addVeth({ ns: rtr, dev: `e${n}` }, { ns: host, dev: 'unused' });
    for (const dev of [`p${n}`, `e${n}`]) await ip(rtr, 'link', 'set', dev, 'up');
    await ip(host, 'link', 'set', 'eth0', 'address', mac, 'up');
  }
  const server = `${lab.dir}/punt.sock`;
  const real = await lab.addVpp({ netns: rtr, startup: `punt { socket ${server} }` });
  await openInterfaces(real, HOST_MAC.length);
  for (const line of [
    `create sub-interfaces host-p0 ${VLAN}`,
    `set interface state host-p0.${VLAN} up`,
    `set interface ip address host-p0.${VLAN} 10.5.0.1/24`,
    ...HOST_MAC.flatMap((mac, n) => [
      `set interface ip address host-p${n} 10.0.${n}.1/24`,
      `set interface ip address host-p${n} fd00:${n}::1/64`,
      `set ip neighbor host-p${n} 10.0.${n}.2 ${mac}`,
      `set ip neighbor host-p${n} fd00:${n}::2 ${mac}`,
    ]),
  ]) {
    const { code, stdout, stderr } = await real.ctl(line);
    if (code !== 0 || stdout.trim().includes('rror')) throw new Error(`${line}: ${stdout}${stderr}`);
  }
  const client = await lab.connect(real, 'socket');
  const rows = await client.dump(itf.swInterfaceDump, { sw_if_index: ALL });
  const macOf = (bytes: Uint8Array): string =>
    Buffer.from(bytes)
      .toString('hex')
      .replace(/..(?!$)/g, '$&:');
  return {
    real,
    client,
    server,
    index: new Map(rows.map((row) => [row.interface_name, row.sw_if_index])),
    mac: new Map(rows.map((row) => [row.interface_name, macOf(row.l2_address)])),
  };
}

const indexOf = (plane: Plane, name: string): number => plane.index.get(name) ?? Number.NaN;

async function reasonOf(client: VppClient, name: string): Promise<number> {
  const rows = await client.dump(punt.puntReasonDump, { reason: { id: 0, name } });
  return rows[0]?.reason.id ?? Number.NaN;
}

/** Registers for UDP ports, a protocol and a reason, and looks them up again. */
async function register(t: Test, { client, server }: Plane, path: string): Promise<void> {
  const id = await reasonOf(client, 'ipsec4-no-such-tunnel');
  const wanted: InputOf<typeof punt.punt>[] = [
    { type: 0, punt: { l4: { af: 0, protocol: PROTO.udp, port: 9000 } } },
    { type: 0, punt: { l4: { af: 1, protocol: PROTO.udp, port: 9000 } } },
    { type: 1, punt: { ip_proto: { af: 0, protocol: PROTO.ospf } } },
    { type: 2, punt: { exception: { id } } },
  ];
  for (const what of wanted) {
    const answer = await client.request(punt.puntSocketRegister, { header_version: 1, punt: what, pathname: path });
    t.equal(answer.pathname, server, 'VPP says where to inject');
  }
  for (const [type, count] of [2, 1, 1].entries()) {
    const rows = await client.dump(punt.puntSocketDump, { type });
    t.same(
      rows.map((row) => row.pathname),
      Array(count).fill(path),
      `registrations of type ${type}`,
    );
  }
}

/** Frames that are punted, and the interface that each is said to come from. */
function punted(plane: Plane): { what: string; number: number; frame: Buffer }[] {
  const [dst, src] = [plane.mac.get('host-p0') ?? '', HOST_MAC[0]];
  const esp = Buffer.concat([Buffer.from('0102030400000001', 'hex'), data(60)]);
  const packets: [string, Buffer, number?][] = [
    ['IPv4 and UDP', udpPacket('10.0.0.2', '10.0.0.1', 9000, data(100))],
    ['IPv4 and UDP, as long as it gets', udpPacket('10.0.0.2', '10.0.0.1', 9000, data(1472), 1)],
    ['IPv6 and UDP', udpPacket('fd00:0::2', 'fd00:0::1', 9000, data(101))],
    ['a tagged frame', udpPacket('10.5.0.2', '10.5.0.1', 9000, data(64)), VLAN],
    ['a protocol', ipPacket({ src: '10.0.0.2', dst: '10.0.0.1', proto: PROTO.ospf, ttl: 1, payload: data(64) })],
    ['an exception', ipPacket({ src: '10.0.0.2', dst: '10.0.0.1', proto: PROTO.esp, payload: esp })],
  ];
  return packets.map(([what, packet, tag]) => ({
    what,
    number: indexOf(plane, tag === undefined ? 'host-p0' : `host-p0.${tag}`),
    frame: frameOf(dst, src, packet, tag === undefined ? [] : [tag]),
  }));
}

async function receives(t: Test, lab: VppLab, plane: Plane, receiver: PuntClient): Promise<void> {
  let seen = receiver.got().length;
  for (const { what, number, frame } of punted(plane)) {
    await sendFrames(lab.ns('h0'), 'eth0', [frame.toString('hex')]);
    const got = await waitFor(`${what} to be punted`, () => receiver.got().slice(seen)[0], { timeoutMs: 10_000 });
    const expected: Punted = { number, action: 0, from: plane.server, hex: frame.toString('hex') };
    t.same(got, expected, `${what}: rx interface, action 0, and the frame as it was sent`);
    seen++;
  }
}

/** Bytes of the frames that tcpdump printed. */
const printed = (text: string): string[] =>
  text
    .split(/\n(?=\S)/)
    .map((frame) =>
      [...frame.matchAll(/\t0x[0-9a-f]+: {2}([0-9a-f ]+)/g)].map((m) => m[1]?.replaceAll(' ', '')).join(''),
    )
    .filter((hex) => hex !== '');

/** The one frame that leaves by p1 when a packet is injected. */
async function leaves(lab: VppLab, filter: string, during: () => Promise<unknown>): Promise<string> {
  const logFile = `${lab.dir}/${filter.replaceAll(/\W/g, '-')}.log`;
  const at = { ns: lab.ns('h1'), dev: 'eth0', logFile, until: /0x0000/ };
  const text = await capture({ ...at, filter: `-xx -Q in ${filter}` }, during);
  const frames = printed(text);
  return frames.length === 1 ? (frames[0] ?? '') : `${frames.length} frames: ${text}`;
}

async function injects(t: Test, lab: VppLab, plane: Plane): Promise<void> {
  const { server } = plane;
  const [p0, p1] = [indexOf(plane, 'host-p0'), indexOf(plane, 'host-p1')];
  const mac = plane.mac.get('host-p1') ?? '';
  const odd = frameOf(
    '02:00:00:00:00:01',
    '02:00:00:00:00:02',
    udpPacket('192.0.2.1', '192.0.2.2', 7001, data(80), 9),
    [7],
  );
  const l2 = await leaves(lab, 'ether src 02:00:00:00:00:02', () => inject(server, 'l2', p1, odd));
  t.equal(l2, odd.toString('hex'), 'PUNT_L2: the frame, as it is, out of the interface');
  for (const [action, packet, port] of [
    ['ip4', udpPacket('10.0.0.2', '10.0.1.2', 7002, data(80), 5), 7002],
    ['ip6', udpPacket('fd00:0::2', 'fd00:1::2', 7003, data(80), 5), 7003],
  ] as const) {
    const routed = await leaves(lab, `udp port ${port}`, () => inject(server, action, p0, packet));
    const expected = frameOf(HOST_MAC[1], mac, packet).toString('hex');
    t.equal(routed, expected, `PUNT_${action.toUpperCase()}_ROUTED: looked up, its TTL untouched`);
  }
}

/** How often VPP's punt socket counted an error of this name. */
async function counted(real: RealVpp, name: string): Promise<number> {
  const { stdout } = await real.ctl('show errors');
  return Number(new RegExp(`^ *(\\d+) +punt-socket-rx +${name}`, 'm').exec(stdout)?.[1] ?? 0);
}

async function refuses(t: Test, { real, server }: Plane): Promise<void> {
  await inject(server, 7, 1, data(60));
  await waitFor(
    'an action that there is not to be counted',
    async () => (await counted(real, 'invalid packet descriptor')) === 1,
  );
  await inject(server, 'ip4', 1, data(20));
  await waitFor('28 bytes to be counted', async () => (await counted(real, 'socket read failure')) === 1);
  t.pass('28 bytes and unknown actions are refused under the names that ours are refused under');
}

vpp('the punt socket of VPP, to and from a client written from the wire format', async (t, lab) => {
  await buildPuntClient();
  const plane = await addPlane(lab);
  const receiver = new PuntClient(`${lab.dir}/client.sock`);
  lab.defer(() => receiver.stop());
  await receiver.ready();
  await register(t, plane, receiver.path);
  await receives(t, lab, plane, receiver);
  await injects(t, lab, plane);
  await refuses(t, plane);
  const connected = new PuntClient(`${lab.dir}/connected.sock`, plane.server);
  lab.defer(() => connected.stop());
  await connected.ready();
  await register(t, plane, connected.path);
  await receives(t, lab, plane, connected);
});
