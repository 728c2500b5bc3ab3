/**
 * The statistics of a real VPP with a worker: what we read is what VPP's own tool shows, counters count the packets
 * that were sent, readings hold while VPP changes its directory, and a VPP that has ended harms nobody.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import type { Test } from 'tap';
import { ipBytes } from '../../src/lib/ip.ts';
import { afPacketCreateV3 } from '../../src/vpp/api/afpacket.ts';
import * as itf from '../../src/vpp/api/interface.ts';
import { ipRouteLookupV2 } from '../../src/vpp/api/route.ts';
import { createLoopback, deleteLoopback } from '../../src/vpp/api/subinterface.ts';
import type { VppClient } from '../../src/vpp/client.ts';
import { VppStats } from '../../src/vpp/stats.ts';
import { errorCounters, interfaceCounters, routeCounters } from '../../src/vpp/statscounters.ts';
import type { StatRow } from '../../src/vpp/statssegment.ts';
import { addVeth, inNetns, ip } from '../system/lab/netns.ts';
import { run, waitFor } from '../system/lab/process.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { type VppLab, vpp } from './lab.ts';

/** A worker, and threads that sleep between their turns: the machine is not theirs alone. */
const worker = { startup: 'cpu { workers 1 }', unix: 'poll-sleep-usec 100' };

/** VPP's own reading of the same names: sums over threads, as `name index packets bytes`. */
async function shown(real: RealVpp, names: readonly string[]): Promise<string[]> {
  const text = await real.tool(
    'vpp_get_stats',
    'socket-name',
    real.statsSocket,
    'dump',
    ...names.map((name) => `^${name}`),
  );
  const sums = new Map<string, [packets: number, bytes: number]>();
  const others: string[] = [];
  for (const line of text.split('\n')) {
    const counter = /^\[(\d+) @ \d+\]: (\d+) packets(?:, (\d+) bytes)? (.*)$/.exec(line);
    const name = /^\[(\d+)\]: (.*) (\S+)$/.exec(line);
    if (counter !== null) {
      const [, index = '', packets = '', bytes = '0', of = ''] = counter;
      const sum = sums.get(`${of} ${index}`) ?? [0, 0];
      sums.set(`${of} ${index}`, [sum[0] + Number(packets), sum[1] + Number(bytes)]);
    } else if (name !== null) others.push(`${name[3]} ${name[1]} ${name[2]}`);
    else if (line !== '') throw new Error(`vpp_get_stats: ${line}`);
  }
  return [...others, ...[...sums].map(([key, [packets, bytes]]) => `${key} ${packets} ${bytes}`)].sort();
}

function lines(row: StatRow): string[] {
  if (row.kind === 'scalar') return [`${row.name} ${row.value}`];
  if (row.kind === 'names') return row.names.flatMap((name, i) => (name === '' ? [] : [`${row.name} ${i} ${name}`]));
  if (row.kind === 'simple') return [...row.values].map((value, i) => `${row.name} ${i} ${value} 0`);
  return [...row.packets].map((packets, i) => `${row.name} ${i} ${packets} ${row.bytes[i]}`);
}

/** VPP with a host interface, 10.9.0.1, and a machine behind it, 10.9.0.2. */
async function withHost(lab: VppLab): Promise<{ real: RealVpp; client: VppClient; index: number; netns: string }> {
  const netns = await lab.addNetns('devices');
  const host = await lab.addNetns('host');
  await addVeth({ ns: netns, dev: 'c0' }, { ns: host, dev: 'eth0' });
  await ip(netns, 'link', 'set', 'c0', 'up');
  await ip(host, 'link', 'set', 'eth0', 'up');
  await ip(host, 'address', 'add', '10.9.0.2/24', 'dev', 'eth0');
  const real = await lab.addVpp({ ...worker, netns });
  const client = await lab.connect(real, 'socket');
  const how = { mode: 1, host_if_name: 'c0', use_random_hw_addr: true, num_rx_queues: 1, num_tx_queues: 1 };
  const { sw_if_index: index } = await client.request(afPacketCreateV3, how);
  await client.request(itf.swInterfaceSetFlags, { sw_if_index: index, flags: 1 });
  const prefix = { address: ipBytes('10.9.0.1'), len: 24 };
  await client.request(itf.swInterfaceAddDelAddress, { sw_if_index: index, is_add: true, prefix });
  return { real, client, index, netns: host };
}

vpp('counters are those that VPP shows, and count packets', async (t, lab) => {
  const { real, client, index, netns } = await withHost(lab);
  const stats = await VppStats.open(real.statsSocket);
  const before = (await interfaceCounters(stats)).find(({ swIfIndex }) => swIfIndex === index);
  await run(inNetns(netns, ['ping', '-q', '-c', '20', '-i', '0.01', '-s', '100', '10.9.0.1']));
  // A time to live that ends here: an error of VPP's graph.
  await run(inNetns(netns, ['ip', 'route', 'add', '10.10.0.0/16', 'via', '10.9.0.1']));
  await run(inNetns(netns, ['ping', '-q', '-c', '5', '-i', '0.01', '-W', '1', '-t', '1', '10.10.0.1'])).catch(() => '');
  await waitFor('the packets to be counted', async () => {
    const after = (await interfaceCounters(stats)).find(({ swIfIndex }) => swIfIndex === index);
    t.comment(JSON.stringify(after));
    return (after?.rx.packets ?? 0) >= (before?.rx.packets ?? 0) + 25;
  });
  const after = (await interfaceCounters(stats)).find(({ swIfIndex }) => swIfIndex === index);
  t.equal(after?.name, 'host-c0');
  const [rx, tx] = [after?.rx, after?.tx];
  t.ok((tx?.packets ?? 0) >= 20, `${tx?.packets} packets, ${tx?.bytes} bytes out`);
  t.ok((rx?.bytes ?? 0) >= 20 * 142, `${rx?.packets} packets, ${rx?.bytes} bytes in`);
  t.ok((after?.packets.ip4 ?? 0) >= 25, `${after?.packets.ip4} of them IPv4`);

  const { route } = await client.request(ipRouteLookupV2, {
    exact: 1,
    prefix: { address: ipBytes('10.9.0.1'), len: 32 },
  });
  const [counted, unknown] = (await routeCounters(stats, [route.stats_index, 5_000_000])) ?? [];
  t.ok((counted?.packets ?? 0) >= 20, `${counted?.packets} packets by the route to VPP's own address`);
  t.same(unknown, { packets: 0, bytes: 0 }, 'an index beyond the counters is none');
  const errors = await errorCounters(stats);
  t.comment(JSON.stringify(errors));
  t.ok(errors.length > 0, 'errors that happened are told');

  const names = ['/if/', '/err/', '/interfaces/', '/net/', '/node/'];
  // What else is on the wire (router solicitations) may come in between: then both are read again.
  const same = await waitFor('both readings to agree', async () => {
    const [theirs, ours] = [await shown(real, names), await stats.read(/^\/(if|err|interfaces|net|node)\//)];
    const all = ours.flatMap(lines).sort();
    return JSON.stringify(all) === JSON.stringify(theirs) && all;
  });
  t.ok(same.length > 1000, `${same.length} counters and names are what vpp_get_stats shows`);
  t.ok(
    same.some((line) => /^\/if\/rx \d+ [1-9]/.test(line)),
    'not all of them zero',
  );
  t.equal(stats.counters.damaged, 0, 'no entry pointed anywhere else');
  const threads = (await stats.read('/sys/num_worker_threads'))[0];
  t.match(threads, { kind: 'scalar', value: 1 }, 'with a worker beside the main thread');
  const from = performance.now();
  for (let i = 0; i < 20; i++) await stats.read('/if');
  t.comment(`a reading of the interfaces takes ${((performance.now() - from) / 20).toFixed(2)} ms`);
  stats.close();
});

async function comeAndGo(client: VppClient, until: () => boolean): Promise<number> {
  let rounds = 0;
  for (; !until(); rounds++) {
    const made = await Promise.all(Array.from({ length: 20 }, () => client.request(createLoopback, {})));
    await Promise.all(made.map(({ sw_if_index }) => client.request(deleteLoopback, { sw_if_index })));
    await sleep(1);
  }
  return rounds;
}

async function readThrough(t: Test, stats: VppStats, count: number): Promise<void> {
  const wrong: string[] = [];
  for (let i = 0; i < count; i++) {
    // VPP's answers about the interfaces are to be heard in between.
    await turn();
    for (const { swIfIndex, name } of await interfaceCounters(stats)) {
      if (!(swIfIndex === 0 ? name === 'local0' : /^loop\d+$/.test(name))) wrong.push(`${swIfIndex} ${name}`);
    }
  }
  t.same(wrong, [], `${count} readings have interfaces in them and nothing else`);
}

vpp('readings hold while interfaces come and go; VPP ends and another one begins', async (t, lab) => {
  const real = await lab.addVpp(worker);
  const client = await lab.connect(real, 'socket');
  const stats = await VppStats.open(real.statsSocket);
  let isOver = false;
  const rounds = comeAndGo(client, () => isOver);
  await readThrough(t, stats, 300);
  isOver = true;
  t.ok((await rounds) > 1, `while ${20 * (await rounds)} interfaces came and went`);
  t.comment(JSON.stringify(stats.counters));
  client.close();
  await real.kill();
  const left = await stats.read('/if/names').catch((error: unknown) => error);
  t.comment(`of a VPP that has ended: ${Array.isArray(left) ? 'the last counters' : String(left)}`);
  await t.rejects(VppStats.open(real.statsSocket), { code: 'VPP_STATS', message: /ECONNREFUSED/ });
  stats.close();
  await real.start();
  const again = await VppStats.open(real.statsSocket);
  t.same(
    (await interfaceCounters(again)).map(({ name }) => name),
    ['local0'],
  );
  again.close();
});
