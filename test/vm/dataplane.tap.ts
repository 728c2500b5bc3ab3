/**
 * Dataplane: the embedded one on this kernel, with its one processor: packets both ways, the guard, a table of routes.
 */
import { ipBatch } from '../system/lab/netns.ts';
import { run } from '../system/lab/process.ts';
import { Pinger, reachable } from '../system/lab/traffic.ts';
import { system } from '../system/lab.ts';

const routes = 10_000;

system('forwards, keeps the phy silent, and takes a table while it forwards', async (t, lab) => {
  const lcpd = await lab.addRouter();
  for (const address of ['10.0.1.2', 'fd00:1::2'])
    t.ok(await reachable(lab.ns('h0'), address), `transit to ${address}`);
  for (const direction of ['ingress', 'egress']) {
    const filters = await run(['tc', '-n', lab.ns('rtr'), 'filter', 'show', 'dev', 'p0', direction]);
    t.match(filters, /bpf .*lcpd/, `the guard on ${direction}`);
  }

  const pinger = new Pinger(lab.ns('h0'), '10.0.1.2', `${lab.dir}/ping.log`);
  await pinger.answers(10);
  const lines = Array.from({ length: routes }, (_, i) => `route add 100.${i >> 8}.${i & 255}.0/24 via 10.0.1.2`);
  const begin = performance.now();
  const done = await ipBatch(lab.ns('cp'), lines);
  t.equal(done.code, 0, 'ip -batch');
  const added = performance.now();
  await lcpd.synced(60);
  t.comment(
    `${routes} routes: ip -batch ${Math.round(added - begin)} ms, settled ${Math.round(performance.now() - added)} ms later`,
  );
  const last = `100.${(routes - 1) >> 8}.${(routes - 1) & 255}`;
  t.match(await lcpd.lookup([`${last}.1`]), [{ prefix: `${last}.0/24`, type: 'unicast' }], 'the last one is there');
  await pinger.answers(10);
  t.equal((await pinger.stop()).lost, 0, 'not a packet lost meanwhile');
});
