/**
 * Interconnects over memif without a VPP: the forwarder is the master, and a slave written from the protocol is the CNF. Numbers
 * are those of the punt manager's scenarios; with a VPP as the slave it is test/vpp/memifplane.tap.ts.
 */
import { existsSync, statSync } from 'node:fs';
import { memifSuffix } from '../../src/punt/names.ts';
import { MemifClient } from './lab/memifclient.ts';
import { pidsIn } from './lab/netns.ts';
import { hexOf, ODD_FILTER, ODD_SOURCE, oddFrames, typedFrame } from './lab/oddframes.ts';
import { waitFor } from './lab/process.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { abx, bgp, embeddedOnly, framesTo, ospf, toMac } from './lab/puntscene.ts';
import { frameOf, udpPacket } from './lab/rawframes.ts';
import { Sniffer } from './lab/sniffer.ts';
import { Pinger, reachable, sendFrames } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

interface Memif {
  readonly path: string;
  readonly secret: string;
  /** Of the interconnect. */
  readonly name: string;
  /** Of the CNF's side, and of the data plane's. */
  readonly mac: string;
  readonly gateway: string;
}

/** The memif of a punt by the selector of the data plane's side. */
async function memifOf(punts: Punts, punt: string, selector: string): Promise<Memif> {
  const row = (await punts.rows()).find(({ request }) => request.id.label === punt);
  const link = row?.links.find(({ vppSelector }) => vppSelector === selector);
  if (row === undefined || link === undefined) throw new Error(`${punt} has no link ${selector}`);
  const secret = memifSuffix(row.id, selector);
  return {
    path: `${punts.lab.dir}/memif/memif-${secret}.sock`,
    secret,
    name: link.vpp.name,
    mac: link.cnf.mac,
    gateway: link.vpp.mac,
  };
}

const connect = async (lab: Lab, { path, secret }: Memif): Promise<MemifClient> => {
  const client = await MemifClient.start(lab, path, secret);
  await client.is(/^connected /);
  return client;
};

/** As a CNF does whose master has ended: it tries until there is another one. */
const reconnect = (lab: Lab, memif: Memif): Promise<MemifClient> =>
  waitFor(`a master at ${memif.path}`, () =>
    connect(lab, memif).catch((thrown: Error) => {
      throw new Error(thrown.message);
    }),
  );

const has = (client: MemifClient, frames: readonly string[]): Promise<boolean> =>
  waitFor(`the CNF to have ${frames.length} frames`, () => {
    const got = client.got().sort();
    if (got.join() !== [...frames].sort().join()) throw new Error(`it has ${got.join(' ')}`);
    return true;
  });

const modeOf = (path: string): number => statSync(path).mode & 0o777;

system(
  '27 ABX over memif: a socket and a secret for each, never shared; either side may die; nothing is left of what ends',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    const h0 = lab.ns('h0');
    const entries: Entry[] = [abx('routing', c1, ospf), abx('peering', c1, bgp)].map((entry) => ({
      ...entry,
      interconnect: 'memif',
    }));
    await punts.configure(...entries);
    await punts.are('CREATED', 'routing', 'peering');
    const routing = await memifOf(punts, 'routing', 'vpp/interface/p0');
    const peering = await memifOf(punts, 'peering', 'vpp/interface/p0');
    t.not(routing.path, peering.path);
    t.not(routing.name, peering.name);
    t.ok(
      (await punts.rows()).every(({ links }) => links.length === 1 && links[0]?.shared === false),
      'two of one namespace on one interface have a memif each',
    );
    for (const { path, secret, name } of [routing, peering]) {
      t.match(secret, /^[a-zA-F]{5}$/);
      t.match(name, /^memif-[a-zA-F]{5}$/);
      t.equal(modeOf(path), 0o660, 'owner and group may connect');
    }
    t.equal(modeOf(`${lab.dir}/memif`), 0o750);
    t.same(await punts.taps('c1'), [], 'and no TAP');

    const wrong = await MemifClient.start(lab, routing.path, peering.secret);
    await wrong.is(/^refused /);
    t.equal(await wrong.ended(), 3, 'the secret of the other one is refused');
    const first = await connect(lab, routing);
    const second = await connect(lab, peering);
    const third = await MemifClient.start(lab, routing.path, routing.secret);
    t.match(await third.is(/^refused /), /already connected/, 'a slave has it for itself');

    const { ospf4, ospf6, bgp: toBgp, ssh } = await framesTo(lab);
    const host = await Sniffer.on(lab, lab.ns('cp'), 'e0', 'in', ODD_FILTER);
    const all = hexOf([ospf4, ospf6, toBgp, ssh]);
    await sendFrames(h0, 'eth0', all);
    await has(first, [toMac(ospf4, routing.mac), toMac(ospf6, routing.mac)]);
    await has(second, [toMac(toBgp, peering.mac)]);
    t.same(await host.seen(1), hexOf([ssh]), 'each CNF has what its rules say, and the router the rest');

    const ask = Buffer.from(`0001080006040001${routing.mac.replaceAll(':', '')}0a0000010000000000000a000009`, 'hex');
    first.send(typedFrame('ff:ff:ff:ff:ff:ff', 0x0806, ask, routing.mac).toString('hex'));
    const answered = await waitFor('an ARP answer', () => first.got().find((hex) => hex.slice(24, 28) === '0806'));
    t.equal(answered.slice(40, 44), '0002', 'who asks for a neighbour of the interface is answered');
    t.equal(answered.slice(56, 64), '0a000009');

    await first.stop();
    const again = await connect(lab, routing);
    t.pass('a CNF that has died comes back');
    await lcpd.kill();
    await sendFrames(h0, 'eth0', hexOf([ospf4, toBgp]));
    await has(again, [toMac(ospf4, routing.mac)]);
    await has(second, [toMac(toBgp, peering.mac), toMac(toBgp, peering.mac)]);
    t.pass('packets go on without lcpd');
    await lcpd.start();
    await lcpd.synced();
    t.same((await memifOf(punts, 'routing', 'vpp/interface/p0')).path, routing.path);
    await sendFrames(h0, 'eth0', hexOf([ospf4]));
    await has(again, Array(2).fill(toMac(ospf4, routing.mac)));

    const { pid = 0 } = (await lcpd.status()).dataplane;
    process.kill(pid, 'SIGKILL');
    await waitFor('the forwarder to end', async () => !(await pidsIn(lab.ns('rtr'))).includes(pid));
    await again.is(/^closed /);
    await second.is(/^closed /);
    const [next, other] = [await reconnect(lab, routing), await reconnect(lab, peering)];
    await lcpd.synced();
    await lcpd.waitPair('p0', 'up');
    await reachable(h0, '10.0.0.1');
    await sendFrames(h0, 'eth0', hexOf([ospf4, toBgp]));
    await has(next, [toMac(ospf4, routing.mac)]);
    await has(other, [toMac(toBgp, peering.mac)]);
    t.pass('another forwarder is the master as the one before');

    await punts.configure(...entries.slice(1));
    await punts.is('routing', 'DELETED');
    t.match(await next.is(/^closed /), /closed \S/, 'its slave is told');
    await waitFor('its socket to go', () => !existsSync(routing.path));
    t.ok(existsSync(peering.path), 'the other one stays');
    await sendFrames(h0, 'eth0', hexOf([toBgp]));
    await has(other, Array(2).fill(toMac(toBgp, peering.mac)));
    await punts.configure();
    await waitFor('no socket to be left', () => !existsSync(peering.path));
    t.ok(await reachable(h0, '10.0.1.2'));
  },
  embeddedOnly,
);

system(
  '14, 27 HAIRPIN_XCONNECT over memif: frames of every kind, both ways, unchanged',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    await punts.configure({
      ...{ name: 'wire', type: 'hairpin-xconnect', netns: c1, interfaces: ['p0', 'p1'] },
      interconnect: 'memif',
    });
    await punts.is('wire', 'CREATED');
    const ends = [0, 1].map((n) => memifOf(punts, 'wire', `vpp/interface/p${n}`));
    const [left, right] = [await connect(lab, (await ends[0]) as Memif), await connect(lab, (await ends[1]) as Memif)];
    const odd = hexOf(oddFrames('02:bb:00:00:00:01'));
    for (const [from, to, near, far] of [
      ['h0', 'h1', left, right],
      ['h1', 'h0', right, left],
    ] as const) {
      const out = await Sniffer.on(lab, lab.ns(to), 'eth0', 'in', ODD_FILTER);
      await sendFrames(lab.ns(from), 'eth0', odd);
      const came = await waitFor(`${odd.length} frames at the CNF`, () => {
        const got = near.got().filter((hex) => hex.slice(12, 24) === '02aa00000099');
        if (got.length < odd.length) throw new Error(`${got.length} came`);
        return got;
      });
      t.same([...came].sort(), odd, `${from}: at the CNF as they were sent, once`);
      far.send(...came);
      t.same(await out.seen(odd.length), odd, `and behind it at ${to}`);
    }
  },
  embeddedOnly,
);

system(
  '16 SPAN to a memif whose slave takes nothing: copies are dropped and counted, and what is copied goes on',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const h0 = lab.ns('h0');
    t.ok(await reachable(h0, '10.0.1.2'));
    await punts.configure({ name: 'copy', type: 'span', netns: c1, interface: 'p0', interconnect: 'memif' });
    await punts.is('copy', 'CREATED');
    const memif = await memifOf(punts, 'copy', 'vpp/span/interface/p0');
    const drops = (): Promise<number> => punts.stat(`interconnect ${memif.name}`, 'drops');
    const cnf = await connect(lab, memif);
    const pinger = new Pinger(h0, '10.0.1.2', `${lab.dir}/ping.log`);
    lab.defer(() => pinger.stop());
    await pinger.answers(20);
    await waitFor('copies', () => cnf.got().length >= 40);
    t.equal(await drops(), 0, 'one that reads has them all');
    cnf.signal('SIGSTOP');
    lab.defer(async () => cnf.signal('SIGCONT'));
    await waitFor('its ring to be full', async () => (await drops()) > 0);
    await pinger.answers(100);
    const lost = await drops();
    t.ok(lost >= 200, `${lost} copies had no room`);
    const before = cnf.got().length;
    cnf.signal('SIGCONT');
    await waitFor('copies again', () => cnf.got().length > before + 64);
    const { lost: missing } = await pinger.stop();
    t.equal(missing, 0, 'not one packet that was copied is lost');
    const still = await drops();
    await reachable(h0, '10.0.1.2');
    t.equal(await drops(), still, 'and it takes all again');
  },
  embeddedOnly,
);

system(
  '23 DHCP_PROXY over memif: the link is an interface of the router, with neighbours and routes, until it goes',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    await punts.start();
    const h0 = lab.ns('h0');
    await punts.configure({ name: 'relay', type: 'dhcp-proxy', netns: c1, l3: 'ipv4', interconnect: 'memif' });
    await punts.is('relay', 'CREATED');
    const memif = await memifOf(punts, 'relay', 'vpp/vrf/0');
    await lab.waitLink('cp', memif.name);
    const cnf = await connect(lab, memif);
    const [mine, ours] = [memif.mac, memif.gateway].map((mac) => mac.replaceAll(':', ''));
    const ask = Buffer.from(`0001080006040001${mine}c0a86f02000000000000c0a86f01`, 'hex');
    const question = typedFrame('ff:ff:ff:ff:ff:ff', 0x0806, ask, memif.mac).toString('hex');
    cnf.send(question);
    const answer = await waitFor('an ARP answer', () => cnf.got().find((hex) => hex.slice(40, 44) === '0002'));
    t.equal(answer.slice(44, 64), `${ours}c0a86f01`, 'the kernel answers for its address');

    t.ok(await reachable(h0, '10.0.0.1'), 'the client is known');
    const arrived = await Sniffer.on(lab, h0, 'eth0', 'in', 'udp port 7000');
    cnf.send(
      frameOf(memif.gateway, memif.mac, udpPacket('192.168.111.2', '10.0.0.2', 7000, Buffer.from('x'))).toString('hex'),
    );
    const [routed = ''] = await arrived.seen(1);
    t.equal(routed.slice(44, 46), '3f', 'what the CNF sends to a client is routed, TTL less one');
    const back = udpPacket('10.0.0.2', '192.168.111.2', 7001, Buffer.from('y'));
    await sendFrames(h0, 'eth0', [
      frameOf((await lab.waitLink('cp', 'e0')).address ?? '', ODD_SOURCE, back).toString('hex'),
    ]);
    const came = await waitFor('a packet of the client', () => cnf.got().find((hex) => hex.endsWith('79')));
    t.equal(came.slice(0, 24), `${mine}${ours}`, 'and what a client sends reaches it');
    t.equal(came.slice(44, 46), '3f');

    const { pid = 0 } = (await punts.lcpd.status()).dataplane;
    process.kill(pid, 'SIGKILL');
    await cnf.is(/^closed /);
    const next = await reconnect(lab, memif);
    await punts.lcpd.synced();
    next.send(question); // the kernel has lost its neighbours with the carrier
    await waitFor('a packet of the client at the next life', async () => {
      await sendFrames(h0, 'eth0', [
        frameOf((await lab.waitLink('cp', 'e0')).address ?? '', ODD_SOURCE, back).toString('hex'),
      ]);
      return next.got().some((hex) => hex.endsWith('79'));
    });
    t.pass('over the forwarder’s death too');
    await punts.configure();
    await lab.waitNoLink('cp', memif.name);
    await waitFor('no socket to be left', () => !existsSync(memif.path));
  },
  embeddedOnly,
);
