/**
 * Failures: what the demo breaks while a ping runs ten milliseconds apart: a link, and lcpd itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ip } from '../test/system/lab/netns.ts';
import { waitFor } from '../test/system/lab/process.ts';
import { Pinger, ping } from '../test/system/lab/traffic.ts';
import { expect, grew, interfaces, noDifference } from './checks.ts';
import { type Demo, dir } from './demo.ts';
import { sessions } from './sessions.ts';
import { host, ns } from './topology.ts';

const intervalMs = 10;
/** End of a cable at the right for each phy. */
const farEnd = { lan0: 'up0', lan1: 'up1' } as const;

const legs = async ({ lcpd }: Demo): Promise<number> => {
  const [row] = await lcpd.lookup([host.right.v4]);
  return row !== undefined && 'paths' in row ? row.paths.length : 0;
};

/** Takes down the link that the ping uses; the time to recover is what the ping lost in a row. */
export async function linkFailure(demo: Demo): Promise<string> {
  const { lcpd } = demo;
  const before = await interfaces(lcpd);
  await ping(ns.lefthost, host.right.v4, { count: 40, intervalMs: 5 });
  const after = await interfaces(lcpd);
  const used = grew('lan0', 'txPackets', before, after) > grew('lan1', 'txPackets', before, after) ? 'lan0' : 'lan1';
  const other = used === 'lan0' ? 'lan1' : 'lan0';

  const pinger = new Pinger(ns.lefthost, host.right.v4, `${dir}/ping-link.log`, { intervalMs });
  await pinger.answers(50);
  await ip(ns.right, 'link', 'set', farEnd[used], 'down');
  await waitFor('one leg to be left', async () => (await legs(demo)) === 1);
  const turned = await interfaces(lcpd);
  // Long enough for FRR to forget the group of both legs, see its configuration.
  await pinger.answers(250);
  const moved = grew(other, 'txPackets', turned, await interfaces(lcpd));
  const result = await pinger.stop();
  expect(moved >= 40, `the ping did not move to ${other}: ${moved} packets`);
  const ms = result.longestGap * intervalMs;
  expect(ms <= 2000, `it took ${ms} ms to reroute`);

  await ip(ns.right, 'link', 'set', farEnd[used], 'up');
  const back = performance.now();
  await waitFor('both legs again', async () => (await legs(demo)) === 2, { timeoutMs: 30_000 });
  const seconds = ((performance.now() - back) / 1000).toFixed(1);
  return `${used} down: rerouted to ${other}, ${result.lost} of ${result.sent} pings lost (${ms} ms); up: both legs after ${seconds} s`;
}

/** SIGKILL, a while without lcpd, start again: sessions and the ping must not notice. */
export async function killed(demo: Demo): Promise<string> {
  const { lcpd } = demo;
  const before = await waitFor(
    'all sessions',
    async () => {
      const now = await sessions(demo);
      if (now.open.length > 0) throw new Error(now.open.join(', '));
      return now;
    },
    { timeoutMs: 30_000 },
  );
  await lcpd.synced();
  const pinger4 = new Pinger(ns.lefthost, host.right.v4, `${dir}/ping-kill4.log`, { intervalMs });
  const pinger6 = new Pinger(ns.lefthost, host.right.v6, `${dir}/ping-kill6.log`, { intervalMs });
  await pinger4.answers(50);
  await lcpd.kill();
  const dead = performance.now();
  await pinger4.answers(100);
  // A change that lcpd must find when it comes back.
  await ip(ns.cp, 'route', 'add', '198.51.100.0/24', 'via', '10.0.1.2');
  const starting = performance.now();
  await lcpd.start();
  await lcpd.synced();
  const ms = performance.now() - starting;
  const [row] = await lcpd.lookup(['198.51.100.1']);
  expect(
    row !== undefined && 'prefix' in row && row.prefix === '198.51.100.0/24',
    `a route made while lcpd was dead: ${JSON.stringify(row)}`,
  );
  await ip(ns.cp, 'route', 'del', '198.51.100.0/24');
  const difference = await noDifference(lcpd);
  await pinger4.answers(50);
  await pinger6.answers(50);
  const [four, six] = await Promise.all([pinger4.stop(), pinger6.stop()]);
  expect(four.lost + six.lost === 0, `lost ${four.lost} of ${four.sent} and ${six.lost} of ${six.sent} pings`);
  // Longer than a BGP hold time since the kill.
  await sleep(Math.max(0, 9_500 - (performance.now() - dead)));
  const after = await sessions(demo);
  expect(after.open.length === 0, `sessions lost: ${after.open.join(', ')}`);
  for (const [name, was] of before.history) {
    const is = after.history.get(name);
    expect(
      is !== undefined && is.established === was.established && is.dropped === was.dropped,
      `BGP ${name} was broken`,
    );
    expect(is.uptimeMs > was.uptimeMs, `BGP ${name} started anew`);
  }
  for (const [name, since] of before.birdSince)
    expect(after.birdSince.get(name) === since, `BIRD ${name} started anew`);
  const sent = four.sent + six.sent;
  return `SIGKILL and restart (in sync after ${ms.toFixed(0)} ms): 0 of ${sent} pings lost, ${before.history.size} BGP sessions unbroken; ${difference}`;
}
