/**
 * The life of punts: lcpd killed and started, the forwarder killed, things that come in any order, requests by hand. Numbers are
 * those of the punt manager's scenarios.
 */
import { inNetns, ip, pidsIn } from './lab/netns.ts';
import { run, waitFor } from './lab/process.ts';
import {
  allCreated,
  bareUp,
  bridgeAll,
  identities,
  killForwarder,
  oneOfEach,
  open,
  TAPS,
  tapsIn,
  WAYS,
  Witnesses,
} from './lab/puntlife.ts';
import { type Entry, Punts } from './lab/punts.ts';
import { abx, bgp, bridge, embeddedOnly, ospf } from './lab/puntscene.ts';
import { Random } from './lab/random.ts';
import { Pinger, reachable } from './lab/traffic.ts';
import { system } from './lab.ts';

/** As a file for lcpctl: JSON is YAML. */
const textOf = (...punts: readonly Entry[]): string => JSON.stringify({ punts });

system(
  '24 (a) one of each, lcpd killed and started: nobody notices; the forwarder killed: all is back as it was; nothing is doubled',
  async (t, lab) => {
    const punts = new Punts(lab, { bare: 3 });
    await lab.addNetns('c1');
    await lab.addNetns('c2');
    const lcpd = await punts.start();
    await bareUp(lab, 2, 3, 4);
    const entries = oneOfEach(lab);
    await punts.configure(...entries);
    await punts.are('CREATED', ...entries.map(({ name }) => name));
    const byHand = await lcpd.ctl(['punt', 'add', 'police', 'byhand', 'scope=arp', 'rate=50000', '--netns', '']);
    t.equal(byHand.code, 0, byHand.stdout + byHand.stderr);
    await punts.is('byhand', 'CREATED');

    await bridgeAll(lab);
    for (const [from, to] of WAYS) t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to}`);
    const witnesses = await Witnesses.add(lab);
    await witnesses.socket();
    const source = await witnesses.relay();

    const before = { c1: await tapsIn(lab, 'c1'), c2: await tapsIn(lab, 'c2'), rows: await identities(punts) };
    const same = async (what: string): Promise<void> => {
      t.same(await open(punts), [], `${what}: all are created`);
      t.same(await tapsIn(lab, 'c1'), before.c1, `${what}: the same TAPs`);
      t.same(await tapsIn(lab, 'c2'), before.c2, `${what}: in the other namespace too`);
      t.same(await identities(punts), before.rows, `${what}: names, MACs, addresses, objects`);
      t.same((await lcpd.diff()).differences, [], `${what}: lcpctl diff is empty`);
      await witnesses.socket();
      t.equal(await witnesses.relay(), source, `${what}: the client and the relay's server have what is theirs`);
    };
    const pingers = WAYS.map(([from, to]) => new Pinger(lab.ns(from), to, `${lab.dir}/ping-${from}.log`));
    for (const pinger of pingers) lab.defer(() => pinger.stop());
    for (const pinger of pingers) await pinger.answers(20);
    const created = punts.told('wire').length;
    await lcpd.kill();
    for (const pinger of pingers) await pinger.answers(20);
    await witnesses.socket();
    t.equal(await witnesses.relay(), source, 'without lcpd the client and the server have what is theirs');
    await lcpd.start();
    await allCreated(punts);
    await lcpd.synced();
    for (const pinger of pingers) await pinger.answers(20);
    for (const pinger of pingers) t.equal((await pinger.stop()).lost, 0, 'not a packet is lost');
    await same('lcpd killed');
    t.same(
      punts
        .told('wire')
        .slice(created)
        .map(({ state }) => state),
      ['INIT', 'CREATED'],
      'its next life tells it once',
    );

    await killForwarder(lab);
    for (const [from, to] of WAYS)
      t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to} by another forwarder`);
    await allCreated(punts);
    await lcpd.synced();
    await same('forwarder killed');

    const { pid } = (await lcpd.status()).dataplane;
    await lcpd.kill();
    process.kill(pid ?? 0, 'SIGKILL');
    await waitFor('no process to be left', async () => (await pidsIn(lab.ns('rtr'))).length === 0);
    await lcpd.start();
    await allCreated(punts);
    for (const [from, to] of WAYS)
      t.ok(await reachable(lab.ns(from), to), `${from} reaches ${to} in another life of both`);
    await lcpd.synced();
    await same('both killed');

    // what is configured away while lcpd is dead goes when it is back
    await lcpd.kill();
    punts.write(...entries.filter(({ name }) => name !== 'wire'));
    await lcpd.start();
    await punts.noTaps('c1');
    t.equal((await punts.rows()).length, entries.length);
    t.same(await tapsIn(lab, 'c2'), before.c2, 'the others stay');

    t.equal(await lcpd.stop(), 0);
    await punts.noTaps('c2');
    for (const n of [0, 2, 3, 4]) {
      const shown = await run(inNetns(lab.ns('rtr'), ['tc', 'qdisc', 'show', 'dev', `p${n}`]));
      t.notMatch(shown, /clsact/, `p${n} is its kernel's again`);
    }
    t.equal(await lab.link('cp', 'hp0'), undefined);
  },
  embeddedOnly,
);

system(
  '25 whatever comes in whatever order, all is there at the end, each by PENDING, INIT and CREATED; so is the next namespace of a name',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed}`);
    await lab.addNetns('rtr');
    const punts = new Punts(lab);
    const entries: Entry[] = oneOfEach(lab).map((entry) =>
      entry.name === 'hairpin'
        ? { ...entry, 'hairpin-interface': { name: 'hp0', addresses: ['10.5.0.1/24'], vrf: 5 } }
        : entry,
    );
    const lcpd = punts.prepare(entries);
    await lcpd.start();
    const acts: [string, () => Promise<unknown>][] = [
      ['c1', () => lab.addNetns('c1')],
      ['c2', () => lab.addNetns('c2')],
      ...[0, 1, 2, 3, 4].map((n): [string, () => Promise<unknown>] => [`phy p${n}`, () => lab.addHost(n)]),
      [
        'the control plane, then its addresses and tables',
        async () => {
          await lab.addNetns('cp');
          await ip(lab.ns('cp'), 'route', 'add', 'blackhole', '10.99.0.0/16', 'table', '5');
        },
      ],
    ];
    const order: string[] = [];
    while (acts.length > 0) {
      const [[what, act] = ['', async () => undefined]] = acts.splice(random.below(acts.length), 1);
      order.push(what);
      await act();
      if (random.chance(50)) await lcpd.synced();
    }
    t.comment(order.join(', '));
    for (const n of [0, 1]) {
      await lab.waitLink('cp', `e${n}`);
      await lab.addressHost(n);
    }
    await bareUp(lab, 2, 3, 4);
    await punts.are('CREATED', ...entries.map(({ name }) => name));
    const { c1: inC1, c2: inC2 } = TAPS;
    t.same((await punts.taps('c1')).sort(), inC1);
    t.same((await punts.taps('c2')).sort(), inC2);
    for (const { name } of entries) {
      const states = punts.told(name).map(({ state }) => state);
      const waited = states.slice(0, -2);
      t.same(states.slice(-2), ['INIT', 'CREATED'], `${name}: ${states.join(' ')}`);
      t.ok(
        waited.every((state) => state === 'PENDING'),
        `${name}: waited, and was created once`,
      );
    }
    await bridge(lab, 'c1', ...inC1);
    await ip(lab.ns('h2'), 'address', 'add', '10.9.9.2/24', 'dev', 'eth0');
    await ip(lab.ns('h3'), 'address', 'add', '10.9.9.3/24', 'dev', 'eth0');
    t.ok(await reachable(lab.ns('h2'), '10.9.9.3'), 'through the CNF');

    await lab.delNetns('c1');
    await punts.is('wire', 'PENDING', /network namespace .*c1 does not exist/);
    t.same((await punts.taps('c2')).sort(), inC2, 'the other namespace has what it had');
    await lab.addNetns('c1');
    await punts.is('wire', 'CREATED');
    await waitFor('the TAPs to be in the next one', async () => (await punts.taps('c1')).sort().join() === inC1.join());
    await bridge(lab, 'c1', ...inC1);
    t.ok(await reachable(lab.ns('h2'), '10.9.9.3'), 'through the next CNF');

    // gone and back before anybody looks
    await run(['bash', '-c', `ip netns del ${lab.ns('c1')}; ip netns add ${lab.ns('c1')}`]);
    await waitFor(
      'the TAPs to be in the one after',
      async () => (await punts.taps('c1')).sort().join() === inC1.join(),
    );
    await bridge(lab, 'c1', ...inC1);
    t.ok(await reachable(lab.ns('h2'), '10.9.9.3'), 'through the one after');
    await punts.is('wire', 'CREATED');
  },
  embeddedOnly,
);

system(
  '18 by lcpctl: who shares a link is told so, and what is asked for by hand is remembered',
  async (t, lab) => {
    const punts = new Punts(lab);
    const c1 = await lab.addNetns('c1');
    const lcpd = await punts.start();
    const add = async (entry: Entry): Promise<void> => {
      const done = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: textOf(entry) });
      t.equal(done.code, 0, done.stdout + done.stderr);
      await punts.is(entry.name, 'CREATED');
    };
    await add(abx('ospf', c1, ospf));
    const watched = await punts.watch();
    await add({ name: 'isis', type: 'isisx', netns: c1, interface: 'p0' });
    const toldOf = (name: string): string[] =>
      watched(name).map(({ about, state, links }) => `${about} ${state} ${links.map((link) => link.shared)}`);
    await waitFor('the other one to be told', () => toldOf('ospf').length > 0);
    t.same(toldOf('ospf'), ['links CREATED true'], 'who shares its link now is told that, and nothing else');
    t.same(toldOf('isis'), ['state INIT true', 'state CREATED true']);
    t.equal((await lcpd.ctl(['punt', 'del', 'isis'])).code, 0);
    await waitFor('the end of it to be told', () => toldOf('ospf').length > 1);
    t.same(toldOf('ospf').slice(1), ['links CREATED false'], 'and when it has its link for itself again');
    t.same(toldOf('isis').slice(2), ['state DELETED true']);
    t.same(
      watched('ospf').map(({ links }) => links[0]?.cnf.mac),
      Array(2).fill((await punts.rows())[0]?.links[0]?.cnf.mac),
      'with all of the link',
    );
    const shared = async (): Promise<string[]> =>
      (await punts.rows()).map(({ id, links }) => `${id.split('|').at(-1)} ${links.map((link) => link.shared)}`);
    t.same(await shared(), ['ospf false']);
    await add(abx('bgp', c1, bgp));
    t.same(await shared(), ['ospf true', 'bgp true'], 'both are told');
    const again = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: textOf(abx('bgp', c1, bgp)) });
    t.not(again.code, 0);
    t.match(again.stderr, /punt already exists: .*\|bgp/);
    const hairpin = ['punt', 'add', 'hairpin-xconnect', 'wire', 'interfaces=p0,p1', '--netns', c1];
    const busy = await lcpd.ctl(hairpin);
    t.not(busy.code, 0);
    t.match(busy.stderr, /VPP selector vpp\/interface\/p0 is busy/);
    const taps = await tapsIn(lab, 'c1');
    t.equal(taps.length, 1);

    await lcpd.kill();
    await lcpd.start();
    await waitFor('both to be created', async () => (await open(punts)).length === 0 && (await shared()).length === 2);
    t.same(await shared(), ['ospf true', 'bgp true'], 'over a restart too');
    t.same(await tapsIn(lab, 'c1'), taps);
    t.equal((await lcpd.ctl(['punt', 'del', 'ospf'])).code, 0);
    t.same(await shared(), ['bgp false']);
    t.same(await tapsIn(lab, 'c1'), taps, 'the link stays while one needs it');
    t.equal((await lcpd.ctl(['punt', 'del', 'bgp'])).code, 0);
    await punts.noTaps('c1');
    t.equal((await lcpd.ctl(['punt', 'add', ...hairpin.slice(2)])).code, 0, 'and what was in its way is free');
    await punts.is('wire', 'CREATED');
  },
  embeddedOnly,
);
