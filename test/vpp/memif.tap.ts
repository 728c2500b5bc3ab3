/**
 * Our memif with a real VPP as its slave: pings of all lengths through every sort of ring, what is refused, either side
 * ending and coming back, and floods in which no frame goes missing unseen.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { waitFor } from '../system/lab/process.ts';
import { MemifMaster } from './lab/memifmaster.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { type VppLab, vpp } from './lab.ts';

const HOST = ['--ip', '10.9.0.2', '--mac', '02:00:00:00:00:02'];
const FLOOD = 1_000_000;

async function ask(real: RealVpp, line: string): Promise<string> {
  const { code, stdout, stderr } = await real.ctl(line);
  if (code !== 0) throw new Error(`${line}: ${stdout}${stderr}`);
  return stdout;
}

/** VPP's memif1/1, 10.9.0.1. */
async function addSlave(real: RealVpp, path: string, options = ''): Promise<void> {
  await ask(real, `create memif socket id 1 filename ${path}`);
  await ask(real, `create interface memif id 1 socket-id 1 slave ${options}`.trimEnd());
  await ask(real, 'set interface mac address memif1/1 02:00:00:00:00:01');
  await ask(real, 'set interface mtu packet 9000 memif1/1');
  await ask(real, 'set interface ip address memif1/1 10.9.0.1/24');
  await ask(real, 'set interface state memif1/1 up');
}

async function removeSlave(real: RealVpp): Promise<void> {
  await ask(real, 'delete interface memif memif1/1');
  await ask(real, 'delete memif socket id 1');
}

/**
 * Waits until each of 20 pings is answered within 20 ms: VPP counts as lost what comes later, as it does for want of a
 * neighbour or of a processor. Frames that are really lost are missed by the counters.
 */
async function pinged(real: RealVpp, size: number): Promise<boolean> {
  const line = `ping 10.9.0.2 size ${size} repeat 20 interval 0.02`;
  return waitFor(`20 answers of ${size} bytes`, async () => / 20 received/.test(await ask(real, line)), {
    timeoutMs: 30_000,
  });
}

/** A counter of memif1/1, as VPP shows it. */
async function counter(real: RealVpp, name: string): Promise<number> {
  const shown = await ask(real, 'show interface memif1/1');
  return Number(new RegExp(`${name}\\s+(\\d+)`).exec(shown)?.[1] ?? 0);
}

async function sameCounters(t: Test, real: RealVpp, master: MemifMaster, when: string): Promise<void> {
  const shown = { received: 0, receivedBytes: 0, sent: 0, sentBytes: 0 };
  const names = { received: 'tx packets', receivedBytes: 'tx bytes', sent: 'rx packets', sentBytes: 'rx bytes' };
  for (const name of ['received', 'receivedBytes', 'sent', 'sentBytes'] as const)
    shown[name] = await counter(real, names[name]);
  const ours = await master.end();
  t.match(ours, { ...shown, truncated: 0, busy: 0, down: 0 }, `counters of both sides are the same, ${when}`);
}

const kinds = [
  ['as VPP makes them', ''],
  ['copied', 'no-zero-copy'],
  ['short and narrow', 'no-zero-copy ring-size 64 buffer-size 512'],
  ['long', 'ring-size 16384'],
  ['many', 'rx-queues 4 tx-queues 4'],
  ['more than we have', 'rx-queues 12 tx-queues 12 ring-size 64'],
] as const;

vpp('pings of any length pass through rings of any sort', async (t, lab) => {
  const real = await lab.addVpp();
  for (const [i, [what, options]] of kinds.entries()) {
    const master = await MemifMaster.start(lab, `k${i}`, 'reflect', ...HOST, '--secret', 'geheim');
    await addSlave(real, master.path, `secret geheim ${options}`.trimEnd());
    t.match(await master.is('connected'), /^connected to VPP \S+, memif1\/1$/, what);
    for (const size of [64, 500, 2000, 8900]) t.ok(await pinged(real, size), `${size} bytes, ${what}`);
    await sameCounters(t, real, master, what);
    await removeSlave(real);
  }
});

vpp('both sides sleep between frames and wake each other', async (t, lab) => {
  const real = await lab.addVpp();
  const master = await MemifMaster.start(lab, 'int', 'reflect', ...HOST);
  await addSlave(real, master.path);
  await master.is('connected');
  await ask(real, 'set interface rx-mode memif1/1 interrupt');
  t.ok(await pinged(real, 64), 'answers do not wait for somebody to look');
  const totals = await master.end();
  t.ok(totals.sleeps > 20, `it slept ${totals.sleeps} times`);
});

vpp('a slave that may not connect is told why, and one that may does after that', async (t, lab) => {
  const real = await lab.addVpp();
  const master = await MemifMaster.start(lab, 'no', 'reflect', ...HOST, '--secret', 'geheim');
  const reason = async (options: string, why: string): Promise<void> => {
    await ask(real, `create memif socket id 1 filename ${master.path}`);
    await ask(real, `create interface memif socket-id 1 slave ${options}`);
    const name = /memif1\/\d+/.exec(await ask(real, 'show interface'))?.[0] ?? '';
    await ask(real, `set interface state ${name} up`);
    const said = async () => (await ask(real, 'show memif')).includes(`remote-disc-reason "${why}"`);
    await waitFor(`VPP to hear: ${why}`, said, { timeoutMs: 8_000 });
    t.pass(why);
    await ask(real, `delete interface memif ${name}`);
    await ask(real, 'delete memif socket id 1');
  };
  await reason('id 1', 'secret required');
  await reason('id 1 secret falsch', 'incorrect secret');
  await reason('id 2 secret geheim', 'unmatched interface id');
  await reason('id 1 secret geheim mode ip', 'mode mismatch');
  await addSlave(real, master.path, 'secret geheim');
  await master.is('connected');
  const other = await lab.addVpp();
  await ask(other, `create memif socket id 1 filename ${master.path}`);
  await ask(other, 'create interface memif id 1 socket-id 1 slave secret geheim');
  await ask(other, 'set interface state memif1/1 up');
  const refused = async () => (await ask(other, 'show memif')).includes('remote-disc-reason "already connected"');
  await waitFor('the second slave to be refused', refused, { timeoutMs: 8_000 });
  t.ok(await pinged(real, 64), 'the first notices nothing');
});

vpp('either side may end and come back', async (t, lab) => {
  const real = await lab.addVpp();
  const start = () => MemifMaster.start(lab, 'back', 'reflect', ...HOST);
  let master = await start();
  const works = async (when: string): Promise<void> => {
    await master.is('connected');
    t.ok(await pinged(real, 2000), when);
  };
  await addSlave(real, master.path);
  await works('at first');
  await removeSlave(real);
  t.match(await master.is('not connected'), /the slave has disconnected: interface deleted/, 'VPP has said why');
  await addSlave(real, master.path);
  await works('after the interface was deleted');
  await real.restart();
  await addSlave(real, master.path);
  await works('after VPP was killed');
  await master.kill();
  master = await start();
  await works('after we were killed: the socket that was left is replaced');
  await master.end();
  master = await start();
  await works('after we ended');
});

/** UDP from VPP to 10.9.0.2, by VPP's packet generator. */
async function vppFlood(lab: VppLab, real: RealVpp): Promise<void> {
  const file = join(lab.dir, 'flood.cli');
  writeFileSync(
    file,
    `create packet-generator interface pg0
set interface ip address pg0 10.8.0.1/24
set interface state pg0 up
set ip neighbor memif1/1 10.9.0.2 02:00:00:00:00:02 static
packet-generator new { name flood limit ${FLOOD} size 46-46 interface pg0 node ip4-input data { UDP: 10.8.0.2 -> 10.9.0.2 UDP: 9 -> 9 length 26 incrementing 18 } }
packet-generator enable-stream flood
`,
  );
  await ask(real, `exec ${file}`);
}

vpp('no frame of a flood goes missing unseen, either way', async (t, lab) => {
  const real = await lab.addVpp();
  const count = await MemifMaster.start(lab, 'count', 'count');
  await addSlave(real, count.path);
  await count.is('connected');
  await vppFlood(lab, real);
  await waitFor('VPP to have sent them', async () => (await counter(real, 'tx packets')) >= FLOOD);
  const full = Number(/no tx slot: (\d+)/.exec(await ask(real, 'show hardware-interfaces memif1/1'))?.[1]);
  const taken = await count.end();
  t.comment(
    `from VPP: ${Math.round(taken.received / taken.seconds)}/s, ${taken.receiveNs} ns each, ${full} met a full ring`,
  );
  t.equal(taken.truncated, 0, 'all are whole');
  t.equal(taken.received + full, FLOOD, 'all that VPP has put into the ring are here');
  await removeSlave(real);
  const flood = ['--dst', '10.8.0.2', '--dst-mac', '02:00:00:00:00:01', '--packets', `${FLOOD}`];
  const master = await MemifMaster.start(lab, 'send', 'send', ...HOST, ...flood);
  await addSlave(real, master.path);
  await waitFor('all to be sent', () => master.state === 'sent', { timeoutMs: 60_000 });
  await waitFor('VPP to have read its ring', async () => (await counter(real, 'rx packets')) >= FLOOD);
  const given = await master.end();
  t.comment(
    `to VPP: ${Math.round(given.sent / given.seconds)}/s, ${given.sendNs} ns each, ${given.busy} times no room`,
  );
  t.equal(given.sent, FLOOD, 'all were sent');
  t.equal(await counter(real, 'rx packets'), FLOOD, 'all are in VPP, none twice');
});
