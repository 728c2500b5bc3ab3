/**
 * The punt socket of the embedded data plane and the reference client: what datagrams are like in both directions, byte
 * for byte, as test/vpp/puntsocket.tap.ts says of VPP's with the same client.
 */
import type { Test } from 'tap';
import type { PairRow } from '../../src/lcp/rows.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { ip } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { buildPuntClient, inject, PuntClient, type Punted } from './lab/puntclient.ts';
import { frameOf, ipPacket, PROTO, udpPacket } from './lab/rawframes.ts';
import { capture, reachable, sendFrames } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const data = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 7 + 1) & 0xff));
const puntsTo = (path: string): string => `punts:
  - { name: port, type: to-host, l3: all, l4: udp, port: 9000, socket: ${path} }
  - { name: protocol, type: ip-protocol, l3: ipv4, protocol: ospf, socket: ${path} }
  - { name: reason, type: exception, reason: ttl-expired, socket: ${path} }
`;

interface Story {
  readonly lab: Lab;
  readonly lcpd: Lcpd;
  readonly server: string;
  readonly mac: string;
  readonly hosts: readonly string[];
  /** Numbers by interface, as lcpctl shows them. */
  readonly number: ReadonlyMap<string, number>;
}

async function addStory(lab: Lab): Promise<Story> {
  const server = `${lab.dir}/punt.sock`;
  const lcpd = await lab.addRouter({ extra: `punt: { socket: ${server} }\n${puntsTo(`${lab.dir}/client.sock`)}` });
  const hosts = await Promise.all([0, 1].map(async (n) => (await lab.waitLink(`h${n}`, 'eth0')).address ?? ''));
  for (const n of [0, 1])
    for (const to of [`10.0.${1 - n}.2`, `fd00:${1 - n}::2`]) await reachable(lab.ns(`h${n}`), to);
  const pairs = await lcpd.json<PairRow[]>(['show', 'pairs']);
  const number = new Map(pairs.map(({ phy, port = 0 }) => [phy, port]));
  return { lab, lcpd, server, mac: (await lab.waitLink('cp', 'e0')).address ?? '', hosts, number };
}

const numberOf = ({ number }: Story, name: string): number => {
  const found = number.get(name);
  if (found === undefined) throw new Error(`${name} has no number`);
  return found;
};

/** Frames that are punted, and the interface that each is said to come from. */
function punted(story: Story): { what: string; number: number; frame: Buffer }[] {
  const packets: [string, Buffer][] = [
    ['IPv4 and UDP', udpPacket('10.0.0.2', '10.0.0.1', 9000, data(100))],
    ['IPv4 and UDP, as long as it gets', udpPacket('10.0.0.2', '10.0.0.1', 9000, data(1472), 1)],
    ['IPv6 and UDP', udpPacket('fd00:0::2', 'fd00:0::1', 9000, data(101))],
    ['a protocol', ipPacket({ src: '10.0.0.2', dst: '10.0.0.1', proto: PROTO.ospf, ttl: 1, payload: data(64) })],
    ['a reason', udpPacket('10.0.0.2', '10.0.1.2', 33434, data(30), 1)],
  ];
  return packets.map(([what, packet]) => ({
    what,
    number: numberOf(story, 'p0'),
    frame: frameOf(story.mac, story.hosts[0] ?? '', packet),
  }));
}

async function receives(t: Test, story: Story, receiver: PuntClient): Promise<void> {
  let seen = receiver.got().length;
  for (const { what, number, frame } of punted(story)) {
    await sendFrames(story.lab.ns('h0'), 'eth0', [frame.toString('hex')]);
    const got = await waitFor(`${what} to be punted`, () => receiver.got().slice(seen)[0], { timeoutMs: 10_000 });
    const expected: Punted = { number, action: 0, from: story.server, hex: frame.toString('hex') };
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
async function leaves({ lab }: Story, filter: string, during: () => Promise<unknown>): Promise<string> {
  const logFile = `${lab.dir}/${filter.replaceAll(/\W/g, '-')}.log`;
  const at = { ns: lab.ns('h1'), dev: 'eth0', logFile, until: /0x0000/ };
  const text = await capture({ ...at, filter: `-xx -Q in ${filter}` }, during);
  const frames = printed(text);
  return frames.length === 1 ? (frames[0] ?? '') : `${frames.length} frames: ${text}`;
}

async function injects(t: Test, story: Story): Promise<void> {
  const { lab, server } = story;
  const [p0, p1] = [numberOf(story, 'p0'), numberOf(story, 'p1')];
  const { address: mac = '' } = await lab.waitLink('cp', 'e1');
  const [far, near] = ['02:00:00:00:00:01', '02:00:00:00:00:02'];
  const odd = frameOf(far, near, udpPacket('192.0.2.1', '192.0.2.2', 7001, data(80), 9), [7]);
  const l2 = await leaves(story, `ether src ${near}`, () => inject(server, 'l2', p1, odd));
  t.equal(l2, odd.toString('hex'), 'PUNT_L2: the frame, as it is, out of the interface');
  for (const [action, packet, port] of [
    ['ip4', udpPacket('10.0.0.2', '10.0.1.2', 7002, data(80), 5), 7002],
    ['ip6', udpPacket('fd00:0::2', 'fd00:1::2', 7003, data(80), 5), 7003],
  ] as const) {
    const routed = await leaves(story, `udp port ${port}`, () => inject(server, action, p0, packet));
    const expected = frameOf(story.hosts[1] ?? '', mac, packet).toString('hex');
    t.equal(routed, expected, `PUNT_${action.toUpperCase()}_ROUTED: looked up, its TTL untouched`);
  }
}

interface StatRow {
  readonly object: string;
  readonly name: string;
  readonly value: number;
}

async function counted({ lcpd }: Story, name: string, object = ''): Promise<number> {
  const rows = await lcpd.json<StatRow[]>(['punt', 'stats']);
  return rows.find((row) => row.object === object && row.name === name)?.value ?? -1;
}

async function refuses(t: Test, story: Story): Promise<void> {
  const { lab, server } = story;
  const refused: [string, () => Promise<unknown>][] = [
    ['socket-rx-invalid-descriptor', () => inject(server, 7, 1, data(60))],
    ['socket-rx-read-failure', () => inject(server, 'ip4', 1, data(20))],
    ['socket-rx-no-interface', () => inject(server, 'l2', 250, data(60))],
    ['socket-rx-no-interface', () => inject(server, 'l2', 0xffff_ffff, data(60))],
  ];
  for (const [name, send] of refused) {
    const before = await counted(story, name);
    await send();
    await waitFor(`${name} to be counted`, async () => (await counted(story, name)) === before + 1);
    t.pass(name);
  }
  await ip(lab.ns('cp'), 'link', 'set', 'e1', 'down');
  await story.lcpd.waitPair('p1', 'down');
  await inject(server, 'l2', numberOf(story, 'p1'), data(60));
  await waitFor('the state to be looked at', async () => (await counted(story, 'socket-rx-interface-down')) === 1);
  await ip(lab.ns('cp'), 'link', 'set', 'e1', 'up');
  await lab.addressHost(1);
  await story.lcpd.waitPair('p1', 'up');
  await reachable(lab.ns('h0'), '10.0.1.2');
}

system(
  '1 the punt socket, to and from a client written from the wire format',
  async (t, lab) => {
    await buildPuntClient();
    const story = await addStory(lab);
    const receiver = new PuntClient(`${lab.dir}/client.sock`);
    lab.defer(() => receiver.stop());
    await receiver.ready();
    await receives(t, story, receiver);
    await injects(t, story);
    await refuses(t, story);
    t.ok(await reachable(lab.ns('h0'), '10.0.0.1'), 'what is not for a client is the host’s still');
    await receiver.stop();
    await sendFrames(lab.ns('h0'), 'eth0', [punted(story)[0]?.frame.toString('hex') ?? '']);
    await waitFor('a client that is gone to be counted', async () => (await counted(story, 'socket-tx-no-client')) > 0);
    t.ok((await counted(story, 'drops', 'punt socket udp4/9000')) > 0, 'with its punt too');

    const connected = new PuntClient(receiver.path, story.server);
    lab.defer(() => connected.stop());
    await connected.ready();
    await receives(t, story, connected);
    await connected.stop();
    const again = new PuntClient(receiver.path);
    lab.defer(() => again.stop());
    await again.ready();
    await story.lcpd.daemon.stop('SIGKILL');
    await sendFrames(lab.ns('h0'), 'eth0', [punted(story)[0]?.frame.toString('hex') ?? '']);
    await waitFor('packets to go on without lcpd', () => again.got().length === 1);
    await story.lcpd.start();
    await story.lcpd.synced();
    await receives(t, story, again);
  },
  { not: { vpp: 'VPP has its own: test/vpp/puntsocket.tap.ts', 'linux-cp': 'VPP has its own' } },
);
