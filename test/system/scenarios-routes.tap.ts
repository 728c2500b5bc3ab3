/**
 * Scenarios of routes: metrics, legs, special routes, nexthop objects and what the kernel removes without a notice.
 */

import type { UnsupportedRow } from '../../src/lcp/view.ts';
import { canonical } from './lab/addresses.ts';
import type { Lcpd } from './lab/lcpd.ts';
import { legs, sameChoices } from './lab/legs.ts';
import { inNetns, ip, ipBatch, ipJson, sysctl } from './lab/netns.ts';
import { Daemon, run, waitFor } from './lab/process.ts';
import { ping, reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

/** Lines for cp that must all succeed. */
async function batch(lab: Lab, lines: readonly string[]): Promise<void> {
  const done = await ipBatch(lab.ns('cp'), lines);
  if (done.code !== 0) throw new Error(`ip -batch: ${done.stderr}`);
}

system('scenario 6: routes over a link that goes down', async (t, lab) => {
  await lab.addRouter();
  const cp = lab.ns('cp');
  const routes = [
    'default via 10.0.1.2',
    '10.66.0.0/24 via 10.0.1.2',
    'default via fd00:1::2',
    'fd00:66::/64 via fd00:1::2',
  ];
  const asked = ['192.0.2.9', '10.66.0.9', '2001:db8::9', 'fd00:66::9'];
  const add = (): Promise<void> =>
    batch(
      lab,
      routes.map((route) => `route add ${route}`),
    );
  await add();
  const over = ['10.0.1.2', '10.0.1.2', 'fd00:1::2', 'fd00:1::2'].map((via) => `e1 via ${via}`);
  await sameChoices(t, lab, asked, 'added', over);
  t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));

  const monitor = new Daemon('ip monitor', ['ip', '-n', cp, '-4', 'monitor', 'route'], `${lab.dir}/monitor.log`);
  lab.defer(() => monitor.stop());
  // a route that comes and goes shows that the monitor listens, and later that it has seen all before
  const marker = async (prefix: string): Promise<void> => {
    await waitFor('ip monitor to tell', async () => {
      await batch(lab, [`route replace blackhole ${prefix}`, `route del blackhole ${prefix}`]);
      return monitor.log().includes(`Deleted blackhole ${prefix}`);
    });
  };
  await marker('10.67.1.1');
  await ip(cp, 'link', 'set', 'e1', 'down');
  await marker('10.67.1.2');
  t.notMatch(monitor.log(), /10\.66\.0\.0/, 'the kernel says nothing of the IPv4 route that it removed');
  t.same(await legs(lab, asked), ['none', 'none', 'none', 'none'], 'all have left the data plane');
  const answer = (await ping(lab.ns('h0'), '10.66.0.9', { count: 1 })).text;
  if (lab.dataplane === 'embedded') t.match(answer, /Destination Net Unreachable/);
  else t.match(answer, / 0 received/, 'VPP says nothing of what it has no route for');

  await lab.addressHost(1);
  await lab.lcpd.waitPair('p1', 'up');
  await sameChoices(t, lab, asked, 'the link is up, the routes are not');
  await add();
  await sameChoices(t, lab, asked, 'added again', over);
});

system('scenario 8: special routes come and go, throw falls through', async (t, lab) => {
  await lab.addRouter();
  const h0 = lab.ns('h0');
  t.ok(await reachable(h0, '10.0.1.2'));
  t.ok(await reachable(h0, 'fd00:1::2'));
  await ip(lab.ns('h1'), 'address', 'add', '10.88.0.9/32', 'dev', 'lo');
  const special = ['blackhole', 'unreachable', 'prohibit'];
  const routes = special.flatMap((type, n) => [`${type} 10.66.${n}.0/24`, `${type} fd00:66:${n}::/64`]);
  const asked = special.flatMap((_, n) => [`10.66.${n}.9`, `fd00:66:${n}::9`]);
  await batch(
    lab,
    routes.map((route) => `route add ${route}`),
  );
  await sameChoices(
    t,
    lab,
    asked,
    'added',
    special.flatMap((type) => [type, type]),
  );
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['10.66.1.9', /Destination Host Unreachable/],
    ['10.66.2.9', /Packet filtered|Destination Host Prohibited/],
    ['fd00:66:1::9', /unreachable|No route/i],
    ['fd00:66:2::9', /Administratively prohibited/i],
  ];
  // VPP answers few of those that come soon after each other
  const many = lab.dataplane === 'embedded' ? { count: 1 } : { count: 5, intervalMs: 300 };
  for (const [address, answer] of refusals) t.match((await ping(h0, address, many)).text, answer, address);
  for (const address of ['10.66.0.9', 'fd00:66:0::9']) {
    t.notMatch((await ping(h0, address, { count: 1 })).text, /From/, `${address}: silence`);
  }
  await batch(
    lab,
    routes.map((route) => `route del ${route}`),
  );
  t.same(
    await legs(lab, asked),
    asked.map(() => 'none'),
    'nothing remains',
  );

  // Table 253 (default) is looked up behind main by IPv4's rules, none is by IPv6's: there throw ends in no route.
  await batch(lab, ['route add 10.88.0.0/16 via 10.0.1.2 table 253', 'route add 10.88.0.0/24 via 10.0.0.2']);
  t.same(await legs(lab, ['10.88.0.9']), ['e0 via 10.0.0.2']);
  await batch(lab, [
    'route replace throw 10.88.0.0/24',
    'route add throw fd00:88::/64',
    'route add default via fd00:1::2',
  ]);
  t.same(await legs(lab, ['10.88.0.9']), ['e1 via 10.0.1.2'], 'throw: the next table, not a drop');
  t.ok(await reachable(h0, '10.88.0.9'), 'and packets go there');
  await sameChoices(t, lab, ['10.88.0.9', '10.88.1.9', 'fd00:88::9', 'fd00:89::9'], 'throw');
});

const metrics = [20, 256, 1024];
const orders = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
];

system('scenario 17: the best metric is the active one, whichever goes first', async (t, lab) => {
  await lab.addRouter({ ports: 3 });
  // A prefix for each order of removal, in both families.
  const route = (order: number, metric: number, six: boolean): string =>
    six
      ? `fd00:70:${order}::/64 via fd00:${metric}::2 metric ${metrics[metric]}`
      : `10.70.${order}.0/24 via 10.0.${metric}.2 metric ${metrics[metric]}`;
  const asked = orders.flatMap((_, order) => [`10.70.${order}.9`, `fd00:70:${order}::9`]);
  const both = (change: (six: boolean) => string[]): string[] => [false, true].flatMap(change);
  await batch(
    lab,
    both((six) => orders.flatMap((_, order) => [2, 0, 1].map((m) => `route add ${route(order, m, six)}`))),
  );
  for (let step = 0; step <= 3; step++) {
    if (step > 0) {
      await batch(
        lab,
        both((six) => orders.map((order, n) => `route del ${route(n, order[step - 1] ?? 0, six)}`)),
      );
    }
    const best = orders.flatMap((order) => {
      const left = order.slice(step).sort()[0];
      return left === undefined
        ? ['none', 'none']
        : [`e${left} via 10.0.${left}.2`, `e${left} via ${canonical(`fd00:${left}::2`)}`];
    });
    await sameChoices(t, lab, asked, `${3 - step} of 3 left`, best);
  }
  await batch(lab, [
    'route add 10.71.0.0/24 via 10.0.1.2 metric 200 proto static',
    'route add 10.71.0.0/24 via 10.0.0.2 metric 20 proto bgp',
    'route add fd00:71::/64 via fd00:1::2 metric 200 proto static',
    'route add fd00:71::/64 via fd00:0::2 metric 20 proto bgp',
  ]);
  t.same(
    await legs(lab, ['10.71.0.9', 'fd00:71::9']),
    ['e0 via 10.0.0.2', 'e0 via fd00::2'],
    'static of metric 200 does not beat dynamic of metric 20',
  );
});

system('scenario 18: IPv6 legs come and go one by one, IPv4 entries shadow each other', async (t, lab) => {
  await lab.addRouter({ ports: 3 });
  const six = 'fd00:72::/64';
  const four = '10.72.0.0/24';
  const steps: readonly (readonly [string, string, string])[] = [
    [
      `route add ${six} nexthop via fd00:0::2 nexthop via fd00:1::2 nexthop via fd00:2::2`,
      'fd00:72::9',
      'e0 via fd00::2 + e1 via fd00:1::2 + e2 via fd00:2::2',
    ],
    [`route del ${six} via fd00:1::2`, 'fd00:72::9', 'e0 via fd00::2 + e2 via fd00:2::2'],
    [`route append ${six} via fd00:1::3`, 'fd00:72::9', 'e0 via fd00::2 + e1 via fd00:1::3 + e2 via fd00:2::2'],
    [`route replace ${six} via fd00:1::2`, 'fd00:72::9', 'e1 via fd00:1::2'],
    [`route del ${six}`, 'fd00:72::9', 'none'],
    [`route add ${four} via 10.0.0.2`, '10.72.0.9', 'e0 via 10.0.0.2'],
    [`route append ${four} via 10.0.1.2`, '10.72.0.9', 'e0 via 10.0.0.2'],
    [`route append ${four} via 10.0.2.2`, '10.72.0.9', 'e0 via 10.0.0.2'],
    [`route del ${four} via 10.0.1.2`, '10.72.0.9', 'e0 via 10.0.0.2'],
    [`route del ${four} via 10.0.0.2`, '10.72.0.9', 'e2 via 10.0.2.2'],
    [`route prepend ${four} via 10.0.1.3`, '10.72.0.9', 'e1 via 10.0.1.3'],
    [`route replace ${four} via 10.0.0.3`, '10.72.0.9', 'e0 via 10.0.0.3'],
    [`route del ${four} via 10.0.0.3`, '10.72.0.9', 'e2 via 10.0.2.2'],
    [`route del ${four}`, '10.72.0.9', 'none'],
  ];
  for (const [line, address, expected] of steps) {
    await batch(lab, [line]);
    await sameChoices(t, lab, [address], line, [expected]);
  }
});

/** Ids of the nexthop objects that the kernel has, and that lcpd believes it has. */
async function nexthopIds(lab: Lab, lcpd: Lcpd): Promise<[number[], number[]]> {
  const kernel = (await ipJson<{ id: number }>(lab.ns('cp'), 'nexthop')).map((n) => n.id).sort();
  await lcpd.synced();
  const ours = (await lcpd.json<{ id: number }[]>(['show', 'nexthops'])).map((n) => n.id).sort();
  return [kernel, ours];
}

system('scenario 19: nexthop objects and groups, with nexthop_compat_mode 0', async (t, lab) => {
  const lcpd = await lab.addRouter({ ports: 4 });
  const cp = lab.ns('cp');
  await sysctl(cp, { 'net.ipv4.nexthop_compat_mode': 0 });
  await batch(lab, [
    ...[0, 1, 2, 3].flatMap((n) => [
      `nexthop add id ${n + 1} via 10.0.${n}.2 dev e${n}`,
      `nexthop add id ${n + 11} via fd00:${n}::2 dev e${n}`,
    ]),
    'nexthop add id 21 group 1/2,3',
    'nexthop add id 22 group 11/12',
    'nexthop add id 23 group 3/4',
    'route add 10.73.0.0/24 nhid 1',
    'route add 10.73.1.0/24 nhid 21',
    'route add fd00:73::/64 nhid 22',
    'route add 10.73.2.0/24 nhid 23',
  ]);
  const asked = ['10.73.0.9', '10.73.1.9', 'fd00:73::9', '10.73.2.9'];
  const last = 'e2 via 10.0.2.2 + e3 via 10.0.3.2';
  t.same(await legs(lab, asked), [
    'e0 via 10.0.0.2',
    'e0 via 10.0.0.2 + e1 via 10.0.1.2 weight 3',
    'e0 via fd00::2 + e1 via fd00:1::2',
    last,
  ]);
  const monitor = new Daemon('ip monitor', ['ip', '-n', cp, 'monitor', 'route'], `${lab.dir}/monitor.log`);
  lab.defer(() => monitor.stop());
  await waitFor('ip monitor to tell', async () => {
    await batch(lab, ['route replace blackhole 10.67.1.1', 'route del blackhole 10.67.1.1']);
    return monitor.log().includes('10.67.1.1');
  });
  await batch(lab, ['nexthop replace id 1 via 10.0.2.3 dev e2', 'nexthop replace id 11 via fd00:2::3 dev e2']);
  t.same(
    await legs(lab, asked),
    ['e2 via 10.0.2.3', 'e1 via 10.0.1.2 weight 3 + e2 via 10.0.2.3', 'e1 via fd00:1::2 + e2 via fd00:2::3', last],
    'objects replaced: route and groups follow',
  );
  await batch(lab, ['nexthop replace id 21 group 2/3,2', 'nexthop replace id 22 group 13']);
  t.same(
    await legs(lab, asked),
    ['e2 via 10.0.2.3', 'e1 via 10.0.1.2 + e2 via 10.0.2.2 weight 2', 'e2 via fd00:2::2', last],
    'groups replaced',
  );
  t.notMatch(monitor.log(), /10\.73|fd00:73/, 'with no notice of a route');
  await sameChoices(t, lab, asked, 'replaced');

  await batch(lab, ['nexthop add id 24 group 3/4 type resilient buckets 8']);
  await lcpd.synced();
  // what a data plane never does is of a kind of its own
  const told = (await lcpd.json<UnsupportedRow[]>(['show', 'unsupported'])).filter(({ kind }) => kind !== 'vpp');
  t.same(
    told.map((row) => row.key),
    ['nexthop id 24 type resilient'],
    'a resilient group is told to be another sort',
  );
  await batch(lab, ['nexthop del id 24']);

  if (lab.dataplane === 'linux-cp') {
    t.comment('NOT TOLD: carrier and devices that go, which these phys of VPP do not follow');
    return;
  }
  await lab.setCarrier(1, false);
  await waitFor('the leg over e1 to go', async () => !(await legs(lab, asked)).join().includes('e1'));
  await sameChoices(t, lab, asked, 'carrier lost');
  const [kernel, ours] = await nexthopIds(lab, lcpd);
  t.same(ours, kernel, `the objects that the kernel kept: ${kernel.join(' ')}`);
  await lab.setCarrier(1, true);
  await sameChoices(t, lab, asked, 'carrier back: the kernel makes none anew');

  // one that is attached is nobody's to make again
  if (lab.dataplane === 'embedded') {
    await ip(cp, 'link', 'del', 'e3');
    await lab.waitLink('cp', 'e3');
    await lab.addressHost(3);
    await lcpd.waitPair('p3', 'up');
    t.same((await legs(lab, asked))[3], 'e2 via 10.0.2.2', 'a device removed takes its leg');
  } else await ip(cp, 'link', 'set', 'e3', 'down');
  await ip(cp, 'link', 'set', 'e2', 'down');
  await waitFor('the last legs to go', async () => (await legs(lab, asked)).every((leg) => leg === 'none'));
  await sameChoices(t, lab, asked, 'a link down');
  const [fewer, same] = await nexthopIds(lab, lcpd);
  t.same(same, fewer, `the objects that are left: ${fewer.join(' ')}`);
});

system('scenario 20: an IPv4 prefix by an IPv6 link-local gateway', async (t, lab) => {
  await lab.addRouter();
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  await ip(h1, 'address', 'add', '10.74.0.9/32', 'dev', 'lo');
  const [link] = await ipJson<{ addr_info: { local?: string; scope: string }[] }>(h1, '-6', 'address', 'show', 'eth0');
  const local = link?.addr_info.find((a) => a.scope === 'link')?.local ?? '';
  t.match(local, /^fe80::/);
  // the only IPv4 neighbour of that phy would not do
  await ip(cp, 'address', 'del', '10.0.1.1/24', 'dev', 'e1');
  await ip(cp, 'route', 'add', '10.74.0.0/24', 'via', 'inet6', local, 'dev', 'e1');
  await sameChoices(t, lab, ['10.74.0.9'], 'via inet6', [`e1 via ${local}`]);
  await ip(h1, 'route', 'replace', '10.0.0.0/24', 'via', 'inet6', 'fd00:1::1', 'dev', 'eth0');
  t.ok(await reachable(h0, '10.74.0.9'), 'forwarded over the IPv6 neighbour');
  t.equal((await ping(h0, '10.74.0.9', { count: 20, intervalMs: 10 })).received, 20, 'every packet');
});

for (const six of [false, true]) {
  const family = six ? 'IPv6' : 'IPv4';
  system(`scenario 23: routes out of a device that is no pair: punt, drop, ignore (${family})`, async (t, lab) => {
    const lcpd = await lab.addRouter({ kernelForwards: true });
    const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
    // Far: behind a cable of the kernel's own. h1 has the same address: who answers tells where packets went.
    const far = await lab.addNetns('far');
    const [net, address, less] = six
      ? ['fd00:9::', 'fd00:75:1::9', 'fd00:75::/32']
      : ['10.0.9.', '10.75.1.9', '10.75.0.0/16'];
    const host = six ? '128' : '32';
    const length = six ? '64' : '24';
    await ip(cp, 'link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', far);
    for (const [ns, dev, n] of [
      [cp, 'w0', 1],
      [far, 'eth0', 2],
    ] as const) {
      await ip(ns, 'link', 'set', dev, 'up');
      await ip(ns, 'address', 'add', `${net}${n}/${length}`, 'dev', dev);
    }
    await ip(far, 'route', 'add', 'default', 'via', `${net}1`);
    for (const ns of [far, lab.ns('h1')]) await ip(ns, 'address', 'add', `${address}/${host}`, 'dev', 'lo');
    const viaPair = six ? 'fd00:1::2' : '10.0.1.2';
    await ip(cp, 'route', 'add', less, 'via', viaPair);
    await ip(cp, 'route', 'add', `${address}/${host}`, 'via', `${net}2`);
    t.ok(await reachable(h0, viaPair));

    const answeredBy = async (): Promise<string> => {
      const seen = new Map<string, number>();
      for (const role of ['far', 'h1']) seen.set(role, await received(lab.ns(role)));
      const { received: answers } = await ping(h0, address, { count: 5, intervalMs: 20 });
      if (answers === 0) return 'nobody';
      for (const [role, before] of seen) if ((await received(lab.ns(role))) - before >= 5) return role;
      return 'somebody else';
    };
    const policy = async (name: string, expected: string): Promise<void> => {
      lcpd.writeConfig(`${lab.config()}unpaired-routes: ${name}\n`);
      const done = await lcpd.ctl(['reload']);
      t.equal(done.code, 0, `reload with ${name}: ${done.stderr}`);
      t.same(await legs(lab, [address]), [expected], `${name}: ${expected}`);
      t.same((await lcpd.diff()).differences, [], `${name}: no difference`);
    };
    t.same(await legs(lab, [address]), ['punt'], 'punt is the default');
    t.ok(await reachable(h0, address));
    t.equal(await answeredBy(), 'far', 'the kernel sends where its route says');
    await policy('drop', 'blackhole');
    t.equal(await answeredBy(), 'nobody', 'drop: silence');
    await policy('ignore', `e1 via ${viaPair}`);
    t.equal(await answeredBy(), 'h1', 'ignore: the less specific route');
    await policy('punt', 'punt');
    t.equal(await answeredBy(), 'far', 'and back');
  });
}

/** Echo requests that the kernel of a namespace got, both families. */
async function received(ns: string): Promise<number> {
  const text = await run(inNetns(ns, ['cat', '/proc/net/snmp', '/proc/net/snmp6']));
  const [titles, values] = text
    .split('\n')
    .filter((line) => line.startsWith('Icmp:'))
    .map((line) => line.split(' '));
  const four = values?.[titles?.indexOf('InEchos') ?? -1];
  const six = /Icmp6InEchos\s+(\d+)/.exec(text)?.[1];
  if (four === undefined || six === undefined) throw new Error('the kernel shows no counters of ICMP');
  return Number(four) + Number(six);
}
