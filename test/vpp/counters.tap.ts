/**
 * What lcpctl shows of a real VPP's counters: they count the packets that were sent, those of the hosts too; VPP may end
 * while they are read, its statistics may be elsewhere, and nothing but the counters minds. And what VPP refuses is shown.
 */
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { CounterRow, FailureRow, InterfaceRow, LookupFound, PuntRow } from '../../src/lcp/view.ts';
import type { Lcpd } from '../system/lab/lcpd.ts';
import { inNetns, ip } from '../system/lab/netns.ts';
import { run, tryRun, waitFor } from '../system/lab/process.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { addVppRouter, openInterfaces } from './lab/router.ts';
import { vpp } from './lab.ts';

const counters = async (lcpd: Lcpd): Promise<Map<string, number>> =>
  new Map(
    (await lcpd.json<CounterRow[]>(['show', 'counters'])).map(({ phy, name, value }) => [`${phy} ${name}`, value]),
  );

/** Echo requests of 84 bytes, as many, whether they are answered or not. */
const ping = (ns: string, to: string, count: number, ...more: string[]) =>
  tryRun(inNetns(ns, ['ping', '-q', '-c', `${count}`, '-i', '0.01', '-W', '1', ...more, to]));

/** Neighbours of both hosts, as talk of theirs would have made them. */
async function resolve(t: Test, ns: (role: string) => string): Promise<void> {
  await ping(ns('h1'), '10.0.1.1', 1);
  await waitFor('packets to pass', async () => (await ping(ns('h0'), '10.0.1.2', 2)).code === 0);
  t.comment('packets pass');
}

/** VPP's own figure of an interface, from its command line. */
async function shown(real: RealVpp, name: string, what: string): Promise<number> {
  const { stdout } = await real.ctl(`show interface ${name}`);
  return Number(new RegExp(`${what} +(\\d+)`).exec(stdout)?.[1] ?? 0);
}

vpp('lcpctl shows what VPP counts: by phy, host, reason and route', async (t, lab) => {
  const { vpp: real, lcpd } = await addVppRouter(lab);
  const ns = (role: string) => lab.ns(role);
  await ip(ns('cp'), 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.2');
  await ip(ns('cp'), 'route', 'add', 'blackhole', '198.51.100.0/24');
  await lcpd.synced();
  await resolve(t, ns);
  const before = await counters(lcpd);
  await ping(ns('h0'), '192.0.2.9', 40);
  await ping(ns('h0'), '198.51.100.9', 7);
  await ping(ns('h0'), '10.0.1.2', 5, '-t', '1');
  const knock = `for i in $(seq 9); do echo x > /dev/udp/10.0.0.1/5555; done`;
  await run(inNetns(ns('h0'), ['bash', '-c', knock]));
  // the figures are those of one moment, VPP's command line is another one
  const after = await waitFor('the counters to be those that VPP shows', async () => {
    const found = await counters(lcpd);
    const same = await Promise.all(
      ['p0', 'p1'].map(async (dev) => {
        const name = `host-${dev}`;
        return (
          (await shown(real, name, 'rx packets')) === found.get(`${name} rx-packets`) &&
          (await shown(real, name, 'tx bytes')) === found.get(`${name} tx-bytes`) &&
          (await shown(real, name, 'drops')) === (found.get(`${name} drop-total`) ?? 0)
        );
      }),
    );
    return same.every(Boolean) && found;
  });
  const grown = (name: string): number => (after.get(name) ?? 0) - (before.get(name) ?? 0);
  t.ok(grown('host-p0 rx-packets') >= 40 + 7 + 5 + 9, `${grown('host-p0 rx-packets')} packets in by host-p0`);
  t.ok(grown('host-p0 ip4') >= 40 + 7 + 5 + 9, `${grown('host-p0 ip4')} of them IPv4`);
  t.ok(grown('host-p1 tx-packets') >= 40, `${grown('host-p1 tx-packets')} packets out by host-p1`);
  t.ok(grown('host-p1 tx-bytes') >= 40 * 98, `${grown('host-p1 tx-bytes')} bytes`);
  t.ok(grown('host-p0 host-tx-packets') >= 9, `${grown('host-p0 host-tx-packets')} packets given to the host e0`);
  t.equal(after.get('host-p0 punt-host'), after.get('host-p0 host-tx-packets'), 'which are what was punted');
  const errors = [...after].filter(([name]) => name.startsWith(' err/'));
  for (const [name, value] of errors) t.comment(`${name} ${value}`);
  t.ok(grown('host-p0 drop-total') >= 7, `${grown('host-p0 drop-total')} dropped, those of the blackhole too`);
  t.equal(after.get(' err/ip4-input/time_expired'), 5, 'a TTL that was used up is an error with its node');
  t.notOk(
    [...after.keys()].some((name) => /^host-e\d /.test(name)),
    'hosts are told with their phys',
  );

  const [routed, taken] = await lcpd.json<LookupFound[]>(['lookup', '192.0.2.9', '198.51.100.9']);
  t.match(routed, { prefix: '192.0.2.0/24', packets: 40, bytes: 40 * 84 }, 'the route forwarded these, and no other');
  t.match(taken, { prefix: '198.51.100.0/24', packets: 7, bytes: 7 * 84 }, 'and the blackhole took those');
  t.match((await lcpd.ctl(['lookup', '192.0.2.9'])).stdout, /40 packets, 3360 bytes\)/);
  const [wan] = await lcpd.json<InterfaceRow[]>(['show', 'interfaces']);
  t.match(wan, { phy: 'host-p0', host: 'e0' });
  t.ok((wan?.punts ?? 0) >= 9 && (wan?.drops ?? 0) >= 7, JSON.stringify(wan));
  const punts = await lcpd.json<PuntRow[]>(['show', 'punts']);
  t.ok((punts.find(({ phy, reason }) => phy === 'host-p0' && reason === 'host')?.packets ?? 0) >= 9);
  const all = await lcpd.json<CounterRow[]>(['show', 'counters', '--all']);
  t.equal(all.find(({ name }) => name === 'stats-unreadable')?.value, 0, 'all of it could be read');
  t.ok(all.some(({ phy, name, value }) => phy === 'host-p0' && name === 'rx-miss' && value === 0));

  const trace = await lcpd.ctl(['trace', '--count', '1']);
  t.equal(trace.code, 4, 'lcpctl trace does not wait for packets that never come');
  t.match(trace.stderr, /traced by VPP.*\[NOT_SUPPORTED\]/);
  const [, command = ''] = /`vppctl (trace add NODE 50)`/.exec(trace.stderr) ?? [];
  await real.ctl(command.replace('NODE', 'af-packet-input'));
  await ping(ns('h0'), '192.0.2.9', 1);
  const seen = await waitFor('VPP to have traced', async () => /Packet 1/.exec((await real.ctl('show trace')).stdout));
  t.ok(seen, 'and what it says instead works');
});

vpp('what VPP refuses is shown with its error, its age and the next try', async (t, lab) => {
  const { lcpd } = await addVppRouter(lab);
  t.same(await lcpd.json(['show', 'failures']), [], 'nothing at first');
  // a subnet that overlaps the one of the other interface
  await ip(lab.ns('cp'), 'address', 'add', '10.0.0.77/24', 'dev', 'e1');
  const [failure] = await waitFor('the refusal', async () => {
    const rows = await lcpd.json<FailureRow[]>(['show', 'failures']);
    return rows.length > 0 && rows;
  });
  t.match(failure, { kind: 'address', key: /host-p1 10\.0\.0\.77/, code: 'REFUSED', error: /ADDRESS_IN_USE/ });
  t.ok((failure?.ageMs ?? -1) >= 0 && (failure?.attempts ?? 0) > 0 && (failure?.retryMs ?? -1) >= 0);
  t.match((await lcpd.ctl(['show', 'failures'])).stdout, /address +host-p1 10\.0\.0\.77.*ADDRESS_IN_USE/);
  await ip(lab.ns('cp'), 'address', 'del', '10.0.0.77/24', 'dev', 'e1');
  await lcpd.synced();
  t.same(await lcpd.json(['show', 'failures']), [], 'and nothing when it is gone');
});

vpp('without statistics everything but the counters goes on', async (t, lab) => {
  const { vpp: real, lcpd } = await addVppRouter(lab);
  await lcpd.stop();
  const config = readFileSync(lcpd.configFile, 'utf8');
  lcpd.writeConfig(config.replace(real.statsSocket, `${real.dir}/elsewhere.sock`));
  await lcpd.start();
  await ip(lab.ns('cp'), 'route', 'add', '192.0.2.0/24', 'via', '10.0.1.2');
  await lcpd.synced();
  for (const what of ['counters', 'interfaces', 'punts']) {
    const { code, stderr } = await lcpd.ctl(['show', what]);
    t.equal(code, 4, `show ${what} fails`);
    t.match(stderr, /elsewhere\.sock: ENOENT \[VPP_STATS\]/);
    t.match(stderr, /dataplane\.vpp\.stats-socket/, 'and says what to look at');
  }
  const [found] = await lcpd.json<LookupFound[]>(['lookup', '192.0.2.9']);
  t.equal(found?.prefix, '192.0.2.0/24', 'lookups are answered');
  t.notOk(found !== undefined && 'packets' in found, 'without figures');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
  t.equal((await lcpd.status()).health.state, 'ok');
});

vpp('VPP is killed and started again while its counters are read', async (t, lab) => {
  const { vpp: real, lcpd } = await addVppRouter(lab);
  await resolve(t, (role) => lab.ns(role));
  await ping(lab.ns('h0'), '10.0.1.2', 200);
  const before = (await counters(lcpd)).get('host-p0 rx-packets') ?? 0;
  t.ok(before >= 200, `${before} packets before`);
  const { pid } = await lcpd.status();
  let isOver = false;
  const outcomes = new Map<string, number>();
  const reading = (async () => {
    while (!isOver) {
      const { code, stderr } = await lcpd.ctl(['show', 'counters']);
      const outcome = code === 0 ? 'counters' : (/\[([A-Z_]+)\]/.exec(stderr)?.[1] ?? `exit ${code}: ${stderr}`);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
  })();
  await waitFor('counters to be read', () => (outcomes.get('counters') ?? 0) > 2);
  await real.kill();
  await waitFor('a word that VPP is away', () => [...outcomes.keys()].some((outcome) => outcome !== 'counters'));
  await real.start();
  await openInterfaces(real, 2);
  await lcpd.synced();
  const after = await waitFor('the counters of the new VPP', async () => {
    const found = (await counters(lcpd)).get('host-p0 rx-packets') ?? 0;
    return found > 0 && found;
  });
  isOver = true;
  await reading;
  t.comment(JSON.stringify([...outcomes]));
  t.ok(after < before, `${after} packets in the new VPP: not what the old one left`);
  t.same(
    [...outcomes.keys()].filter((code) => !['counters', 'DATAPLANE_DOWN', 'VPP_STATS'].includes(code)),
    [],
    'every answer was counters, or that VPP or its statistics are away',
  );
  t.equal((await lcpd.status()).pid, pid, 'the same lcpd');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});
