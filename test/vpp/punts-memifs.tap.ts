/**
 * Memifs of punts on a real VPP, which is the master, with a slave written from the protocol as the CNF: frames cross both ways, who may
 * connect and who may not, and two requests that never share one. Numbers are those of the punt manager's scenarios.
 */
import { chmodSync, copyFileSync, existsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Punt } from '../../src/lcp/puntobjects.ts';
import { memifSuffix } from '../../src/punt/names.ts';
import type { PuntRow } from '../../src/punt/view.ts';
import { MemifClient, memifProgram } from '../system/lab/memifclient.ts';
import { hexOf, ODD_FILTER, oddFrames, ospfPacket, tcpPacket } from '../system/lab/oddframes.ts';
import { tryRun, waitFor } from '../system/lab/process.ts';
import { frameOf } from '../system/lab/rawframes.ts';
import { Sniffer } from '../system/lab/sniffer.ts';
import { sendFrames } from '../system/lab/traffic.ts';
import { PuntLab } from './lab/puntplane.ts';
import { addVppRouter } from './lab/router.ts';
import { type VppLab, vpp } from './lab.ts';

const NOBODY = 65534;
const DAEMON = 1;
const xconnect = (from: string, to: string): Punt => ({ kind: 'punt', feature: 'xconnect', from, to });
const modeOf = (path: string): number => statSync(path).mode & 0o777;

async function connect(lab: VppLab, path: string, secret: string): Promise<MemifClient> {
  const client = await MemifClient.start(lab, path, secret);
  await client.is(/^connected /);
  return client;
}

/** Frames that a kernel of the lab has not sent by itself. */
const odd = (client: MemifClient): string[] => client.got().filter((hex) => hex.slice(12, 24) === '02aa00000099');

const has = (client: MemifClient, frames: readonly string[]): Promise<boolean> =>
  waitFor(`the CNF to have ${frames.length} frames`, () => {
    const got = odd(client).sort();
    if (got.join() !== [...frames].sort().join()) throw new Error(`it has ${got.join(' ')}`);
    return true;
  });

vpp(
  'scenario 27: frames of every kind cross a memif, both ways, to the one slave that knows its secret',
  async (t, lab) => {
    const p = await PuntLab.add(t, lab);
    const [one, two] = [p.memif('memif-a'), p.memif('memif-b')];
    await p.put(one, two);
    t.not(one.socket, two.socket);
    await p.put(xconnect('host-p0', one.name), xconnect(one.name, 'host-p0'));
    await p.put(xconnect('host-p1', two.name), xconnect(two.name, 'host-p1'));

    for (const [secret, why] of [
      [two.secret, /incorrect secret/],
      ['', /secret required/],
    ] as const) {
      const wrong = await MemifClient.start(lab, one.socket, secret);
      t.match(await wrong.is(/^refused /), why, 'the secret of the other one, or none, is refused');
      t.equal(await wrong.ended(), 3);
    }
    const [first, second] = [await connect(lab, one.socket, one.secret), await connect(lab, two.socket, two.secret)];
    const third = await MemifClient.start(lab, one.socket, one.secret);
    t.match(await third.is(/^refused /), /already connected/, 'a slave has it for itself');

    const frames = hexOf(oddFrames('02:bb:00:00:00:01'));
    const seen: string[] = [];
    for (const [role, client, other] of [
      ['h0', first, second],
      ['h1', second, first],
    ] as const) {
      const before = [odd(client).length, odd(other).length];
      await sendFrames(lab.ns(role), 'eth0', frames);
      const came = await waitFor(`${frames.length} frames at the CNF`, () => {
        const got = odd(client).slice(before[0]);
        if (got.length < frames.length) throw new Error(`${got.length} came`);
        return got;
      });
      t.same([...came].sort(), frames, `${role}: at its CNF as they were sent, once`);
      const wire = await Sniffer.on(lab, lab.ns(role), 'eth0', 'in', ODD_FILTER);
      client.send(...came);
      t.same(await wire.seen(frames.length), frames, 'and back from it, as it sent them, once');
      await wire.stop();
      seen.push(...odd(other).slice(before[1]));
    }
    t.same(seen, [], 'nobody has frames of the other one');

    await first.stop();
    const again = await connect(lab, one.socket, one.secret);
    await sendFrames(lab.ns('h0'), 'eth0', frames.slice(0, 1));
    await has(again, frames.slice(0, 1));
    t.pass('a CNF that has died comes back');
    await p.again(...(['host-p0', 'host-p1'] as const).map((from, n) => xconnect(from, [one, two][n]?.name ?? '')));
    await p.put(one, two);
    await sendFrames(lab.ns('h0'), 'eth0', frames.slice(0, 1));
    await has(again, [...frames.slice(0, 1), ...frames.slice(0, 1)]);
    t.pass('another lcpd leaves it as it is');
    await p.drop(one);
    await again.is(/^closed /);
    t.same([existsSync(one.socket), existsSync(two.socket)], [false, true], 'one that goes takes its own socket');
    await p.put(one);
    await waitFor('what was on it to be back with it', async () => (await p.keys()).includes('xconnect host-p0'));
    await p.drop(xconnect('host-p0', one.name), xconnect(one.name, 'host-p0'), one, two);
    t.notMatch(await p.show('show memif'), /memif-[ab].sock/);
    t.same(p.remarks, []);
  },
);

vpp('scenario 27: the group that VPP runs with may connect, and nobody else', async (t, lab) => {
  const p = await PuntLab.add(t, lab, { unix: `gid ${NOBODY}` });
  const memif = p.memif('memif-a');
  const directory = dirname(memif.socket);
  // that of the unit in systemd/
  const umask = process.umask(0o077);
  try {
    await p.put(memif);
  } finally {
    process.umask(umask);
  }
  t.same([modeOf(directory), statSync(directory).gid], [0o750, NOBODY], 'the directory is for owner and group');
  t.equal(statSync(memif.socket).gid, NOBODY, 'the group is that of the socket');
  t.equal(modeOf(memif.socket) & 0o062, 0o060, 'which may write to it, and others may not');

  const program = `${lab.dir}/slave`;
  copyFileSync(await memifProgram(), program);
  chmodSync(program, 0o755);
  chmodSync(lab.dir, 0o711);
  const slave = (uid: number, gid: number) =>
    tryRun(['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', program, memif.socket, memif.secret]);
  t.match(await slave(DAEMON, NOBODY), { code: 0, stdout: /^connected / }, 'a CNF of the group');
  t.match(await slave(DAEMON, DAEMON), { code: 1, stderr: /Permission denied/ }, 'somebody else, who knows the secret');
  chmodSync(directory, 0o755);
  t.match(await slave(DAEMON, DAEMON), { code: 1, stderr: /Permission denied/ }, 'nor past the directory');

  // one that was there is its owner's matter
  await p.drop(memif);
  chmodSync(directory, 0o711);
  await p.again();
  await p.put(memif);
  t.equal(modeOf(directory), 0o711);
});

const abx = (lab: VppLab, name: string, rule: object): object => ({
  name,
  type: 'abx',
  netns: lab.ns('c1'),
  interconnect: 'memif',
  interface: 'host-p0',
  ingress: [rule],
});

vpp(
  'scenario 27: two ABX of one interface and one namespace have a memif each, and each its own packets',
  async (t, lab) => {
    await lab.addNetns('c1');
    const extra = `punt: { state: ${lab.dir}/state, memif-directory: ${lab.dir}/memif }`;
    const { vpp: real, lcpd, config } = await addVppRouter(lab, { extra });
    const entries = [
      abx(lab, 'routing', { protocol: 'ospf', destination: 'local' }),
      abx(lab, 'peering', { protocol: 'tcp', destination: 'local', 'destination-port': 179 }),
    ];
    const reload = async (...punts: readonly object[]): Promise<void> => {
      lcpd.writeConfig(`${config}punts: ${JSON.stringify(punts)}\n`);
      const done = await lcpd.ctl(['reload']);
      if (done.code !== 0) throw new Error(done.stdout + done.stderr);
    };
    const rows = (): Promise<PuntRow[]> => lcpd.json<PuntRow[]>(['punt', 'list']);
    const created = (count: number): Promise<PuntRow[]> =>
      waitFor(`${count} punts`, async () => {
        const all = await rows();
        if (all.length === count && all.every(({ state }) => state === 'CREATED')) return all;
        throw new Error(all.map(({ id, state, reasons }) => `${id} ${state} ${reasons}`).join('\n'));
      });
    await reload(...entries);
    const links = (await created(2)).map(({ id, links: [link], request }) => {
      const secret = memifSuffix(id, link?.vppSelector ?? '');
      return { label: request.id.label, name: link?.vpp.name ?? '', shared: link?.shared, secret };
    });
    const of = (label: string) => {
      const link = links.find((each) => each.label === label);
      if (link === undefined) throw new Error(`no link of ${label}`);
      return { ...link, path: `${lab.dir}/memif/memif-${link.secret}.sock` };
    };
    const [routing, peering] = [of('routing'), of('peering')];
    t.same([routing.shared, peering.shared], [false, false]);
    t.equal(new Set([routing.name, peering.name, routing.secret, peering.secret]).size, 4, 'a name and a secret each');
    const wrong = await MemifClient.start(lab, routing.path, peering.secret);
    await wrong.is(/^refused incorrect secret/);

    const [first, second] = [
      await connect(lab, routing.path, routing.secret),
      await connect(lab, peering.path, peering.secret),
    ];
    const mac = /Ethernet address ([0-9a-f:]{17})/.exec(
      (await real.ctl('show hardware-interfaces host-p0')).stdout,
    )?.[1];
    const frame = (packet: Buffer) => frameOf(mac ?? '', '02:00:00:00:a0:02', packet);
    const [ospf, bgp] = [frame(ospfPacket('10.0.0.2', '10.0.0.1')), frame(tcpPacket('10.0.0.2', '10.0.0.1', 179))];
    const hex = hexOf([ospf, bgp]);
    const [toFirst, toSecond] = [ospf, bgp].map((each) => each.toString('hex'));
    const packets = (client: MemifClient) => client.got().filter((each) => hex.includes(each));
    await waitFor('packets at both', async () => {
      await sendFrames(lab.ns('h0'), 'eth0', hex);
      return packets(first).length > 0 && packets(second).length > 0;
    });
    t.same([...new Set(packets(first))], [toFirst], 'each has what its rules say');
    t.same([...new Set(packets(second))], [toSecond], 'and nothing of the other one');

    await reload(...entries.slice(1));
    await first.is(/^closed /);
    await created(1);
    await waitFor('its socket to go', () => !existsSync(routing.path));
    const before = packets(second).length;
    await sendFrames(lab.ns('h0'), 'eth0', hex);
    await waitFor('packets of the other one', () => packets(second).length > before);
    t.pass('one that goes leaves the other as it is');
    await reload();
    await second.is(/^closed /);
    await waitFor('no socket to be left', () => !existsSync(peering.path));
    t.notMatch((await real.ctl('show memif')).stdout, /memif-\w{5}/);
  },
);
