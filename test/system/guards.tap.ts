/**
 * Guards of phys: what keeps the kernel's own stack off a phy stands while the phy is a pair's, and not a moment longer, whoever has
 * died, been refused or been renamed meanwhile. Those of punts are in punts-deaths.tap.ts.
 */
import type { Lcpd } from './lab/lcpd.ts';
import { inNetns, ip } from './lab/netns.ts';
import { run, waitFor } from './lab/process.ts';
import { killForwarder } from './lab/puntlife.ts';
import { embeddedOnly } from './lab/puntscene.ts';
import { reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const isGuarded = async (lab: Lab, phy: string): Promise<boolean> =>
  /clsact/.test(await run(inNetns(lab.ns('rtr'), ['tc', 'qdisc', 'show', 'dev', phy])));

/** The kernel of the router answers on a phy, as on any device of its own. */
async function answers(lab: Lab, phy: string): Promise<boolean> {
  const rtr = lab.ns('rtr');
  await ip(rtr, 'address', 'replace', '10.0.0.1/24', 'dev', phy);
  await ip(rtr, 'link', 'set', phy, 'up');
  return reachable(lab.ns('h0'), '10.0.0.1');
}

/** lcpd and its forwarder are killed, and another configuration is there when lcpd starts again. */
async function bothDie(lcpd: Lcpd, config: string): Promise<void> {
  const { pid } = (await lcpd.status()).dataplane;
  await lcpd.kill();
  if (pid !== undefined) process.kill(pid, 'SIGKILL');
  lcpd.writeConfig(config);
  await lcpd.start();
  await lcpd.synced();
}

const without = (config: string, n: number): string => config.replace(new RegExp(`^  - \\{ phy: p${n},.*\\n`, 'm'), '');

system(
  'lcpd and the forwarder are killed, a pair is configured away: its phy is the kernel’s again',
  async (t, lab) => {
    const lcpd = await lab.addRouter();
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
    t.same([await isGuarded(lab, 'p0'), await isGuarded(lab, 'p1')], [true, true]);
    await bothDie(lcpd, without(lab.config(), 0));
    await lab.waitNoLink('cp', 'e0');
    await lcpd.waitPair('p1', 'up');
    t.same([await isGuarded(lab, 'p0'), await isGuarded(lab, 'p1')], [false, true], 'the other one’s stands');
    t.ok(await answers(lab, 'p0'), 'the kernel answers on it');
  },
  embeddedOnly,
);

system(
  'all pairs are configured away, with the namespace of their hosts: the phys are the kernel’s again',
  async (t, lab) => {
    const lcpd = await lab.addRouter();
    const config = without(without(lab.config(), 0), 1)
      .replace('pairs:', 'pairs: []')
      .replace(/^netns:.*\n/, '');
    await bothDie(lcpd, config);
    t.same([await isGuarded(lab, 'p0'), await isGuarded(lab, 'p1')], [false, false]);
    t.ok(await answers(lab, 'p0'), 'the kernel answers on one');
  },
  embeddedOnly,
);

system(
  'a pair whose host was refused is configured away: its phy is the kernel’s again',
  async (t, lab) => {
    const lcpd = await lab.addRouter({ ports: 3 });
    await killForwarder(lab);
    lcpd.writeConfig(without(lab.config({ ports: 3 }), 0));
    lcpd.daemon.signal('SIGHUP');
    await lab.waitNoLink('cp', 'e0');
    await ip(lab.ns('cp'), 'link', 'add', 'e0', 'type', 'veth', 'peer', 'name', 'e0peer');
    lcpd.writeConfig(lab.config({ ports: 3 }));
    lcpd.daemon.signal('SIGHUP');
    const refused = await waitFor('the host to be refused', async () => {
      const { reason = '' } = await lcpd.pair('p0');
      return /e0/.test(reason) ? reason : false;
    });
    t.comment(refused);
    lcpd.writeConfig(without(lab.config({ ports: 3 }), 0));
    lcpd.daemon.signal('SIGHUP');
    await waitFor('the guard to go', async () => !(await isGuarded(lab, 'p0')));
    t.ok(await lab.link('cp', 'e0'), 'what has the name of the host stays');
    t.ok(await answers(lab, 'p0'), 'the kernel answers on it');
  },
  embeddedOnly,
);

system(
  'a phy is renamed while it is a pair’s: under its new name it is the kernel’s',
  async (t, lab) => {
    const lcpd = await lab.addRouter();
    const rtr = lab.ns('rtr');
    await ip(rtr, 'link', 'set', 'p0', 'down');
    await ip(rtr, 'link', 'set', 'p0', 'name', 'q0');
    await lcpd.waitPair('p0', 'pending');
    await waitFor('the guard to go', async () => !(await isGuarded(lab, 'q0')));
    t.ok(await answers(lab, 'q0'), 'the kernel answers on it');
    await ip(rtr, 'link', 'set', 'q0', 'down');
    await ip(rtr, 'address', 'flush', 'dev', 'q0');
    await ip(rtr, 'link', 'set', 'q0', 'name', 'p0');
    await lcpd.waitPair('p0', 'up');
    t.ok(await isGuarded(lab, 'p0'), 'and the pair’s when it has its name back');
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'));
  },
  embeddedOnly,
);
