/**
 * Punts at random: a few dozen operations of everybody's on the embedded plane; at the end nothing is left behind: no port, no
 * TAP, no record. SEED=n repeats a run, OPS=n makes it longer.
 */
import type { PuntRow } from '../../src/punt/view.ts';
import { inNetns, ip, netnsExists, pidsIn } from './lab/netns.ts';
import { run, waitFor } from './lab/process.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { abx, bgp, embeddedOnly, ospf } from './lab/puntscene.ts';
import { Random } from './lab/random.ts';
import { reachable } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

const OPERATIONS = Number(process.env.OPS ?? 40);
const NAMES = ['a', 'b', 'c', 'd'];

function randomEntry(lab: Lab, random: Random, name: string): Entry {
  const phy = (): string => `p${random.below(4)}`;
  const netns = random.pick([lab.ns('c1'), lab.ns('c2'), '']);
  const interface1 = phy();
  return random.pick<Entry>([
    { name, type: 'hairpin-xconnect', netns, interfaces: [interface1, `p${(Number(interface1[1]) + 1) % 4}`] },
    {
      ...{ name, type: 'hairpin', netns, interface: interface1 },
      'hairpin-interface': { name: random.pick(['hp0', 'hp1']), addresses: ['10.5.0.1/24'] },
    },
    { name, type: 'span', netns, interface: interface1, direction: random.pick(['rx', 'tx', 'both']) },
    { ...abx(name, netns, random.pick([ospf, bgp])), interface: interface1 },
    { name, type: 'isisx', netns, interface: interface1 },
    { name, type: 'to-host', netns, l3: 'all', l4: 'udp', port: random.pick([9000, 9001]) },
    { name, type: 'ip-redirect', netns, l3: 'ipv4', tx: interface1, 'next-hop': ['10.0.1.2'] },
    { name, type: 'police', netns, scope: random.pick(['arp', 'ipv6']), rate: 100_000 },
    { name, type: 'dhcp-proxy', netns, l3: random.pick(['ipv4', 'all']) },
  ]);
}

system(
  '24, 25 punts at random: lcpctl, reload, namespaces, phys, deaths; whatever happened, nothing is left behind',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed} OPS=${OPERATIONS}`);
    const punts = new Punts(lab, { bare: 2 });
    for (const role of ['c1', 'c2']) await lab.addNetns(role);
    const lcpd = await punts.start();
    let configured: Entry[] = [];
    const reconfigured = (): Entry[] => {
      const name = random.pick(NAMES);
      const others = configured.filter((entry) => entry.name !== name);
      return random.chance(30) ? others : [...others, randomEntry(lab, random, name)];
    };
    const acts: Record<string, () => Promise<unknown>> = {
      add: async () => {
        const entry = randomEntry(lab, random, `by-hand-${random.pick(NAMES)}`);
        const done = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: JSON.stringify({ punts: [entry] }) });
        if (done.code !== 0) t.match(done.stderr, /PUNT_(EXISTS|BUSY|REFUSED)/, done.stderr.trim());
      },
      del: async () => {
        const rows = (await lcpd.json<PuntRow[]>(['punt', 'list'])).filter(({ source }) => source !== 'config');
        if (rows.length > 0) t.equal((await lcpd.ctl(['punt', 'del', random.pick(rows).id])).code, 0);
      },
      reload: async () => {
        configured = reconfigured();
        await punts.configure(...configured);
      },
      namespace: async () => {
        const role = random.pick(['c1', 'c2']);
        if (await netnsExists(lab.ns(role))) await lab.delNetns(role);
        else await lab.addNetns(role);
      },
      phy: async () => {
        const n = random.below(4);
        if ((await lab.link('rtr', `p${n}`)) === undefined) await lab.addCable(n);
        else await ip(lab.ns('rtr'), 'link', 'del', `p${n}`);
      },
      address: async () => {
        if ((await lab.link('cp', 'e0')) === undefined) return;
        await ip(lab.ns('cp'), 'address', 'replace', `10.0.${random.between(7, 9)}.1/24`, 'dev', 'e0');
      },
      restart: async () => {
        await lcpd.kill();
        if (random.chance(50)) configured = reconfigured();
        punts.write(...configured);
        await lcpd.start();
      },
      forwarder: async () => {
        const { pid } = (await lcpd.status()).dataplane;
        if (pid !== undefined && (await pidsIn(lab.ns('rtr'))).includes(pid)) process.kill(pid, 'SIGKILL');
      },
    };
    const weights = { add: 5, del: 3, reload: 5, namespace: 2, phy: 2, address: 1, restart: 1, forwarder: 1 };
    for (let i = 0; i < OPERATIONS; i++) {
      const what = random.weighted(weights);
      t.comment(`${i}: ${what}`);
      await acts[what]?.();
      if (random.chance(25)) await lcpd.synced();
    }
    for (const role of ['c1', 'c2']) if (!(await netnsExists(lab.ns(role)))) await lab.addNetns(role);
    for (const n of [0, 1, 2, 3]) if ((await lab.link('rtr', `p${n}`)) === undefined) await lab.addCable(n);
    for (const n of [0, 1]) {
      await lcpd.waitPair(`p${n}`, 'up');
      await lab.addressHost(n);
    }
    await lcpd.synced();
    t.same((await lcpd.diff()).differences, [], 'all is as it is asked for');
    const waiting = (await lcpd.json<PuntRow[]>(['punt', 'list'])).filter(({ state }) => state === 'INIT');
    t.same(waiting, [], 'nobody is on the way for ever');

    await punts.configure();
    for (const { id } of await lcpd.json<PuntRow[]>(['punt', 'list'])) await lcpd.ctl(['punt', 'del', id]);
    for (const role of ['c1', 'c2', 'rtr']) await punts.noTaps(role);
    await lcpd.synced();
    t.same(await lcpd.json<PuntRow[]>(['punt', 'list']), [], 'nobody asks for anything');
    const { checked, differences } = await lcpd.diff();
    t.same(differences, []);
    t.notOk(checked.punt, 'no punt is held');
    t.notOk(checked.interconnect, 'no interconnect either');
    const stats = await lcpd.json<{ object: string }[]>(['punt', 'stats']);
    t.same(
      stats.filter(({ object }) => object !== ''),
      [],
      'no record counts anything',
    );
    for (const n of [2, 3]) {
      const shown = await run(inNetns(lab.ns('rtr'), ['tc', 'qdisc', 'show', 'dev', `p${n}`]));
      t.notMatch(shown, /clsact/, `p${n} is its kernel's again`);
    }
    await waitFor('no pair but those of the configuration', async () => {
      const rows = await lcpd.json<{ phy: string }[]>(['show', 'pairs']);
      return (
        rows
          .map(({ phy }) => phy)
          .sort()
          .join() === 'p0,p1'
      );
    });
    t.ok(await reachable(lab.ns('h0'), '10.0.1.2'), 'and the router is one');
  },
  embeddedOnly,
);
