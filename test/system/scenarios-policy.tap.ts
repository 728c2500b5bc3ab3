/**
 * Policies on the carrier: which routes the data plane gives up while a phy has none, though the kernel keeps them.
 */

import type { Lcpd } from './lab/lcpd.ts';
import { legs } from './lab/legs.ts';
import { ip, ipBatch, ipJson } from './lab/netns.ts';
import { ping, reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const routes = [
  'route add 10.91.0.0/24 via 10.0.1.2 proto static',
  'route add 10.92.0.0/24 via 10.0.1.2 proto bgp',
  'route add 10.93.0.0/24 nexthop via 10.0.0.2 nexthop via 10.0.1.2',
  'route add fd00:91::/64 via fd00:1::2 proto static',
  'route add fd00:92::/64 via fd00:1::2 proto ospf',
  // what is behind them, so that it is seen where packets go meanwhile
  'route add 10.88.0.0/13 via 10.0.0.2 metric 5 proto bgp',
];

const asked = {
  static: ['10.91.0.9', 'fd00:91::9'],
  dynamic: ['10.92.0.9', 'fd00:92::9'],
  bothLegs: ['10.93.0.9'],
  connected: ['10.0.1.2', 'fd00:1::2'],
};

const whole = {
  static: ['e1 via 10.0.1.2', 'e1 via fd00:1::2'],
  dynamic: ['e1 via 10.0.1.2', 'e1 via fd00:1::2'],
  bothLegs: ['e0 via 10.0.0.2 + e1 via 10.0.1.2'],
  connected: ['e1', 'e1'],
};
const withdrawn = ['e0 via 10.0.0.2', 'none'];
const fewer = { ...whole, bothLegs: ['e0 via 10.0.0.2'] };

type Held = typeof whole;

async function held(lab: Lab): Promise<Held> {
  const all = await legs(lab, Object.values(asked).flat());
  return { static: all.slice(0, 2), dynamic: all.slice(2, 4), bothLegs: all.slice(4, 5), connected: all.slice(5) };
}

async function carrier(lab: Lab, on: boolean): Promise<void> {
  await lab.setCarrier(1, on);
  // its addresses and default routes went with the link
  if (on) await ip(lab.ns('h1'), 'address', 'replace', 'fd00:1::2/64', 'dev', 'eth0');
  if (on) await ip(lab.ns('h1'), 'route', 'replace', 'default', 'via', '10.0.1.1');
}

async function reload(lcpd: Lcpd, config: string): Promise<void> {
  lcpd.writeConfig(config);
  const done = await lcpd.ctl(['reload']);
  if (done.code !== 0) throw new Error(`reload: ${done.stdout}${done.stderr}`);
}

const kernelRoutes = async (lab: Lab): Promise<number> => {
  const all = await ipJson<{ dst: string }>(lab.ns('cp'), 'route', 'show');
  return all.filter((route) => /^10\.(9[123]|88)\./.test(route.dst)).length;
};

system('del-static-on-link-down and del-dynamic-on-link-down', async (t, lab) => {
  const lcpd = await lab.addRouter({ extra: 'del-static-on-link-down: true\n' });
  const h0 = lab.ns('h0');
  const done = await ipBatch(lab.ns('cp'), routes);
  t.equal(done.code, 0, done.stderr);
  await ip(lab.ns('h1'), 'address', 'add', '10.91.0.9/32', 'dev', 'lo');
  t.ok(await reachable(h0, '10.91.0.9'));
  t.same(await held(lab), whole, 'with carrier all is as the kernel says');

  await carrier(lab, false);
  t.same(
    await held(lab),
    { ...fewer, static: withdrawn },
    'del-static: static ones go, connected and dynamic ones stay',
  );
  t.equal(await kernelRoutes(lab), 4, 'the kernel keeps them all');
  t.same((await lcpd.diff()).differences, [], 'which is no difference');

  // The policy changes while the carrier is away.
  await reload(lcpd, `${lab.config()}del-dynamic-on-link-down: true\n`);
  t.same(await held(lab), { ...whole, dynamic: withdrawn }, 'del-dynamic instead');
  await reload(lcpd, `${lab.config()}del-static-on-link-down: true\ndel-dynamic-on-link-down: true\n`);
  t.same(await held(lab), { ...fewer, static: withdrawn, dynamic: withdrawn }, 'both');
  t.same((await lcpd.diff()).differences, []);

  // A restart in this state finds it as it is.
  await lcpd.kill();
  await lcpd.start();
  t.same(await held(lab), { ...fewer, static: withdrawn, dynamic: withdrawn }, 'after a restart too');
  await reload(lcpd, lab.config());
  t.same(await held(lab), whole, 'neither: as the kernel has them, carrier or not');
  await reload(lcpd, `${lab.config()}del-static-on-link-down: true\ndel-dynamic-on-link-down: true\n`);

  await carrier(lab, true);
  t.same(await held(lab), whole, 'all return with the carrier');
  t.ok(await reachable(h0, '10.91.0.9'), 'and packets follow');
  t.equal((await ping(h0, '10.91.0.9', { count: 10 })).received, 10);
});
