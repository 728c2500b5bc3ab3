// Punt: 64-byte UDP packets for the router itself, from a phy to its host, and to a program by a punt socket; the same on a real
// VPP where there is one; and what a limit costs that nothing exceeds.
//
// The generator is pinned to one core, the forwarder to the other. No generator on one core offers more than either takes to
// a host, so that way is measured by the processor time that RATE packets a second cost the forwarder; the
// host's kernel drops them in a classifier. The program is offered more than it gets, and only reads. Rounds alternate, medians are compared.

import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inNetns, ipJson } from '../test/system/lab/netns.ts';
import { run } from '../test/system/lab/process.ts';
import { vppPrefix } from '../test/vpp/lab/realvpp.ts';
import { type Figure, median, tell } from './figure.ts';
import { Router } from './router.ts';

const ROUNDS = 3;
const SECONDS = 3;
/** Packets a second to a host. */
const RATE = 100_000;
/** Where pktgen's packets are for: discard. */
const PORT = 9;
const client = join(tmpdir(), `lcpbench${process.pid}.client`);
const pktgen = fileURLToPath(new URL('../build/bench/pktgen', import.meta.url));

type Way = 'host' | 'limited' | 'socket';

const configOf = (way: Way): string => {
  const socket = `{ name: s, type: to-host, l3: ipv4, l4: udp, port: ${PORT}, socket: ${client} }`;
  const limit = '{ name: l, type: police, scope: ipv4, rate: 4000000000 }';
  return way === 'host' ? '' : `punts: [ ${way === 'socket' ? socket : limit} ]`;
};

/** Processor time of all threads of a process, in seconds: the first word of schedstat, nanoseconds. */
function processorTime(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((tid) => `/proc/${pid}/task/${tid}/schedstat`);
  return threads.reduce((sum, file) => sum + Number(readFileSync(file, 'utf8').split(' ')[0]) / 1e9, 0);
}

/** Packets a second that arrive at the program, or a second of the forwarder's processor time at the host. */
async function measure(way: Way, vpp: boolean): Promise<number> {
  const router = new Router({ vpp, extra: configOf(way) });
  await router.open();
  try {
    await router.start();
    if (way !== 'host') await router.lcpd.ctl(['wait-synced', '--timeout', '10']);
    const { pid } = (await router.lcpd.status()).dataplane;
    if (pid === undefined) throw new Error('the data plane has ended');
    await run(['taskset', '-a', '-c', '-p', '0', String(pid)]);
    const [{ address = '' } = {}] = await ipJson<{ address: string }>(router.rtr, 'link', 'show', 'p0');
    const counter =
      way === 'socket'
        ? run([pktgen, 'drain', '--if', client, '--seconds', String(SECONDS + 1)])
        : run(inNetns(router.cp, [pktgen, 'count', '--if', 'e0', '--seconds', String(SECONDS + 1), '--drop']));
    const to = ['--dst-mac', address, '--src', '10.0.0.2', '--dst', '10.0.0.1', '--seconds', String(SECONDS)];
    const rate = way === 'socket' ? [] : ['--pps', String(RATE)];
    const before = processorTime(pid);
    await run(inNetns(router.peers[0], [pktgen, 'send', '--if', 'q0', ...to, ...rate, '--cpu', '1']));
    const spent = processorTime(pid) - before;
    const { packets } = JSON.parse(await counter) as { packets: number };
    if (way === 'socket') return packets / SECONDS;
    if (packets < RATE) throw new Error(`only ${packets} of ${RATE * SECONDS} packets have arrived`);
    return packets / spent;
  } finally {
    await router.close();
  }
}

export async function punt(): Promise<Figure[]> {
  const names: Record<Way, string> = {
    host: 'to the host',
    limited: 'to the host, with a limit',
    socket: 'to a socket',
  };
  const planes = vppPrefix() === undefined ? [false] : [false, true];
  const got = new Map<string, number[]>();
  for (let i = 0; i < ROUNDS; i++) {
    for (const vpp of planes) {
      for (const way of ['host', 'limited', 'socket'] as const) {
        if (vpp && way === 'limited') continue; // of VPP's own no figure is asked
        const key = `${vpp ? 'VPP' : 'lcpfwd'} punts ${names[way]}`;
        got.set(key, [...(got.get(key) ?? []), await measure(way, vpp)]);
      }
    }
  }
  const pps = (key: string): number => median(got.get(key) ?? []);
  const figures = [...got.keys()].map((name) =>
    tell({ name, value: pps(name), unit: name.endsWith('socket') ? 'packets/s' : 'packets/s of processor time' }),
  );
  const cost = 100 * (1 - pps('lcpfwd punts to the host, with a limit') / pps('lcpfwd punts to the host'));
  figures.push(tell({ name: 'cost of policing', value: cost, unit: '%', target: 10, bound: 'most' }));
  if (vppPrefix() === undefined) {
    console.log('SKIPPED: punts beside VPP: no VPP is installed, and VPP_PREFIX names none');
    return figures;
  }
  for (const way of ['host', 'socket'] as const) {
    const value = pps(`lcpfwd punts ${names[way]}`) / pps(`VPP punts ${names[way]}`);
    figures.push(tell({ name: `punting ${names[way]}: lcpfwd / VPP`, value, unit: '×', target: 1 }));
  }
  return figures;
}
