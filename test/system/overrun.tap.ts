/**
 * Overrun: the kernel drops notifications when lcpd does not read in time. It must notice, read again and be right,
 * and the packets must not notice.
 */

import { ipBatch } from './lab/netns.ts';
import { waitFor } from './lab/process.ts';
import { Pinger, reachable } from './lab/traffic.ts';
import { system } from './lab.ts';

const small = 'netlink: { rx-buffer-bytes: 256KiB }\n';
const route = (i: number): string => `172.${16 + (i >> 8)}.${i & 255}.0/24`;

system('notifications that were dropped are made good by reading again', async (t, lab) => {
  const lcpd = await lab.addRouter({ extra: small });
  const cp = lab.ns('cp');
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  const pinger = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping.log`);
  const count = 4000;
  const overruns = async (): Promise<number> => {
    const row = (await lcpd.status()).namespaces.find((n) => n.name === cp);
    if (row === undefined) throw new Error(`no namespace ${cp} in lcpctl status`);
    return row.overruns;
  };
  const before = await overruns();

  // Stopped, lcpd reads nothing: far more than its receive buffer is announced.
  lcpd.daemon.signal('SIGSTOP');
  try {
    const add = Array.from({ length: count }, (_, i) => `route add ${route(i)} via 10.0.${i % 2}.2`);
    const done = await ipBatch(cp, add);
    t.equal(done.code, 0, `${count} routes added while lcpd does not run`);
  } finally {
    lcpd.daemon.signal('SIGCONT');
  }
  await waitFor('the overrun to be counted', async () => (await overruns()) > before);
  await lcpd.synced();
  const all = await lcpd.lookup(Array.from({ length: count }, (_, i) => route(i).replace('.0/24', '.9')));
  const right = all.filter(
    (row, i) => 'prefix' in row && row.prefix === route(i) && row.paths[0]?.via === `10.0.${i % 2}.2`,
  );
  t.equal(right.length, count, 'every route is in the data plane');

  // The other way round: deletions that nobody heard of.
  const seen = await overruns();
  lcpd.daemon.signal('SIGSTOP');
  try {
    await ipBatch(
      cp,
      Array.from({ length: count }, (_, i) => `route del ${route(i)}`),
    );
  } finally {
    lcpd.daemon.signal('SIGCONT');
  }
  await waitFor('the next overrun to be counted', async () => (await overruns()) > seen);
  await lcpd.synced();
  const gone = await lcpd.lookup(
    [route(0), route(count / 2), route(count - 1)].map((prefix) => prefix.replace('.0/24', '.9')),
  );
  for (const row of gone) t.match(row, { type: 'none' }, `${row.address} has no route`);
  const ping = await pinger.stop();
  t.ok(ping.received > 10, `${ping.received} pings meanwhile`);
  t.equal(ping.lost, 0, 'none of them lost');
});

system('churn with a small buffer ends in agreement', async (t, lab) => {
  const lcpd = await lab.addRouter({ extra: small });
  const cp = lab.ns('cp');
  const lines: string[] = [];
  for (let i = 0; i < 20_000; i++) {
    const n = (i * 7919) % 3000;
    lines.push(i % 3 === 2 ? `route del ${route(n)}` : `route replace ${route(n)} via 10.0.${i % 2}.${2 + (i % 5)}`);
  }
  await ipBatch(cp, lines, true);
  await lcpd.synced();
  const status = await lcpd.status();
  const row = status.namespaces.find((n) => n.name === cp);
  t.ok((row?.messages ?? 0) > 0, `${row?.messages} messages read, ${row?.overruns} overruns, ${row?.resyncs} resyncs`);
  t.equal(status.health.state, 'ok');

  const again = await lcpd.ctl(['resync', '--dataplane']);
  if (lab.dataplane === 'embedded') t.match(again.stderr, /nobody but lcpd writes to the data plane embedded/);
  else t.equal(again.stdout, 'resync of the data plane vpp\n');
  await lcpd.synced();
  t.same((await lcpd.diff()).differences, [], 'read again, it is what it was');
});
