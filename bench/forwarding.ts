// Forwarding: 64-byte frames veth to veth, lcpfwd with one worker against the kernel between the same veths.
//
// The generator is pinned to one core, the forwarder to the other; the sink drops frames in its
// classifier and is counted by its interface. A veth hands frames over on the sender's core, so the
// kernel forwards on the generator's core: that is how it does it, and what a user would get.
// Kernel and lcpfwd alternate; medians are compared, loss is shown for both.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inNetns, ip, ipJson, sysctl } from '../test/system/lab/netns.ts';
import { run } from '../test/system/lab/process.ts';
import { type Figure, median, tell } from './figure.ts';
import { Router } from './router.ts';

const ROUNDS = 3;
const SECONDS = 4;
const pktgen = fileURLToPath(new URL('../build/bench/pktgen', import.meta.url));

interface Sent {
  readonly sent: number;
  readonly pps: number;
}
interface Counted {
  readonly packets: number;
  readonly seconds: number;
}
interface Outcome {
  readonly pps: number;
  readonly loss: number;
}

const macOf = async (ns: string, dev: string): Promise<string> =>
  (await ipJson<{ address: string }>(ns, 'link', 'show', dev))[0]?.address ?? '';

/** Sends through the router for a while and counts what arrives behind it. */
const measure = async (router: Router): Promise<Outcome> => {
  const [q0, q1] = router.peers;
  const mac = await macOf(router.rtr, 'p0');
  const count = run(inNetns(q1, [pktgen, 'count', '--if', 'q1', '--seconds', String(SECONDS + 1), '--drop']));
  const send = ['send', '--if', 'q0', '--dst-mac', mac, '--src', '10.0.0.2', '--dst', '10.0.1.2'];
  const sender = run(inNetns(q0, [pktgen, ...send, '--count', '1', '--seconds', String(SECONDS), '--cpu', '1']));
  const sent = JSON.parse(await sender) as Sent;
  const { packets } = JSON.parse(await count) as Counted;
  return { pps: packets / SECONDS, loss: 1 - packets / sent.sent };
};

/** The kernel between p0 and p1, with the addresses that the hosts have under lcpd. */
const kernel = async (router: Router): Promise<Outcome> => {
  const mac = await macOf(router.peers[1], 'q1');
  await sysctl(router.rtr, { 'net.ipv4.ip_forward': 1 });
  for (const n of [0, 1]) await ip(router.rtr, 'addr', 'add', `10.0.${n}.1/24`, 'dev', `p${n}`);
  await ip(router.rtr, 'neigh', 'replace', '10.0.1.2', 'lladdr', mac, 'dev', 'p1', 'nud', 'permanent');
  const outcome = await measure(router);
  for (const n of [0, 1]) await ip(router.rtr, 'addr', 'flush', 'dev', `p${n}`);
  await sysctl(router.rtr, { 'net.ipv4.ip_forward': 0 });
  return outcome;
};

const embedded = async (router: Router): Promise<Outcome> => {
  await router.start();
  const mac = await macOf(router.peers[1], 'q1');
  await ip(router.cp, 'neigh', 'replace', '10.0.1.2', 'lladdr', mac, 'dev', 'e1', 'nud', 'permanent');
  await router.lcpd.synced();
  const { pid } = (await router.lcpd.status()).dataplane;
  await run(['taskset', '-a', '-c', '-p', '0', String(pid)]);
  const outcome = await measure(router);
  await router.lcpd.stop();
  return outcome;
};

const cpus = (): number =>
  readFileSync('/proc/cpuinfo', 'utf8')
    .split('\n')
    .filter((l) => l.startsWith('processor')).length;

export async function forwarding(): Promise<Figure[]> {
  const router = new Router();
  await router.open();
  const kernels: Outcome[] = [];
  const ours: Outcome[] = [];
  try {
    for (let i = 0; i < ROUNDS; i++) {
      kernels.push(await kernel(router));
      ours.push(await embedded(router));
    }
  } finally {
    await router.close();
  }
  const pps = (outcomes: readonly Outcome[]): number => median(outcomes.map((o) => o.pps));
  const loss = (outcomes: readonly Outcome[]): number => 100 * median(outcomes.map((o) => o.loss));
  return [
    tell({ name: 'kernel forwards 64-byte frames veth to veth', value: pps(kernels), unit: 'packets/s' }),
    tell({ name: '  of the offered load it lost', value: loss(kernels), unit: '%' }),
    tell({ name: `lcpfwd, one worker, of ${cpus()} cores`, value: pps(ours), unit: 'packets/s' }),
    tell({ name: '  of the offered load it lost', value: loss(ours), unit: '%' }),
    tell({ name: 'forwarding: lcpfwd / kernel', value: pps(ours) / pps(kernels), unit: '×', target: 0.7 }),
  ];
}
