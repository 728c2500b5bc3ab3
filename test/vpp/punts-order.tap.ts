/**
 * Punts on a real VPP with lcpd, when what is asked for, interfaces, addresses and tables come in any order: scenario 25 of the punt
 * manager. SEED=n repeats a run.
 */
import { rmSync, statSync } from 'node:fs';
import { ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { Random } from '../system/lab/random.ts';
import { Life, oneOfEach } from './lab/puntlife.ts';
import type { VppLab } from './lab.ts';
import { vpp } from './lab.ts';

type Act = readonly [what: string, act: () => Promise<unknown>];

interface Named {
  readonly name: string;
}

/** One of each, and two that wait for tables. */
const entriesOf = (lab: VppLab): Named[] => [
  // the mirror of a bare phy: that of a pair gets its host's MTU, and so does the link, which is told by INIT and CREATED
  ...(oneOfEach(lab) as Named[]).map((entry) =>
    entry.name === 'mirror' ? ({ ...entry, interface: 'host-p3' } as Named) : entry,
  ),
  {
    ...{ name: 'hairpin', type: 'hairpin', netns: lab.ns('c1'), interconnect: 'memif', interface: 'host-p4' },
    'hairpin-interface': { name: 'hp0', mac: '02:11:22:33:44:55', addresses: ['10.5.0.1/24'], vrf: 5 },
  } as Named,
  { name: 'relay6', type: 'dhcp-proxy', netns: lab.ns('c1'), interconnect: 'memif', l3: 'ipv4', vrf: 6 } as Named,
];

/** Of no interface, address or table. */
const FREE = ['relay', 'host', 'socket', 'protocol', 'icmp6', 'reason', 'limit'];

vpp(
  'scenario 25: whatever comes in whatever order, each punt is PENDING, INIT and CREATED once, and VPP is the same in the end',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed}`);
    const life = await Life.add(t, lab);
    const { lcpd, real } = life;
    const cp = lab.ns('cp');
    const entries = entriesOf(lab);
    const none = await life.inVpp();

    const shuffled = <T>(list: readonly T[]): T[] => {
      const left = [...list];
      return list.map(() => left.splice(random.below(left.length), 1)[0] as T);
    };
    /** Of two relays who asks first has the first /30: that order alone is left as it is. */
    const inOrder = (acts: readonly Act[]): Act[] => {
      const names = ['relay', 'relay6'];
      const relays = names.flatMap((name) => acts.filter(([what]) => what === name));
      return acts.map((act) => (names.includes(act[0]) ? (relays.shift() as Act) : act));
    };
    let asked: Named[] = [];
    const items = entries.map(
      (entry): Act => [
        entry.name,
        async () => {
          asked = [...asked, entry];
          await life.reload(...asked);
        },
      ],
    );
    const grounds: readonly Act[] = [
      ...['p2', 'p3', 'p4'].map((dev): Act => [dev, () => life.open(dev)]),
      ...[0, 1].map(
        (n): Act => [
          `p${n} and its host`,
          async () => {
            for (const dev of shuffled([`p${n}`, `e${n}`])) await life.open(dev);
          },
        ],
      ),
      ['the address of e1', () => ip(cp, 'address', 'add', '10.0.1.1/24', 'dev', 'e1')],
      ['table 5', () => real.ctl('ip table add 5')],
      ['table 6', () => real.ctl('ip table add 6')],
    ];
    const orders: readonly [string, boolean, readonly Act[]][] = [
      ['items first', true, inOrder([...shuffled(items), ...shuffled(grounds)])],
      ['all at random', false, inOrder(shuffled([...items, ...grounds]))],
      ['and again', false, inOrder(shuffled([...items, ...grounds]))],
    ];

    const seen: Record<string, string[]>[] = [];
    for (const [what, isFirst, acts] of orders) {
      // another VPP that has nothing open, another lcpd that remembers nothing, and no address
      await lcpd.stop();
      await real.kill();
      rmSync(`${lab.dir}/state`, { recursive: true, force: true });
      await ip(cp, 'address', 'flush', 'dev', 'e1', 'scope', 'global');
      asked = [];
      life.write();
      await real.start();
      const since = statSync(life.log).size;
      await lcpd.start();
      t.comment(`${what}: ${acts.map(([name]) => name).join(', ')}`);
      for (const [, act] of acts) {
        await act();
        if (random.chance(30)) await lcpd.synced();
      }
      await life.created();
      await lcpd.synced();
      const found = await life.settled(seen[0] ?? none);
      seen.push(found);
      t.same((await lcpd.diff()).differences, [], `${what}: lcpctl diff is empty`);
      t.same(found, seen[0], `${what}: VPP is as with any other order`);
      t.match(
        (await real.ctl('show interface address')).stdout,
        /hp0 \(up\):\s+L3 10\.5\.0\.1\/24 ip4 table-id 5/,
        'the HAIRPIN is in its table',
      );
      t.match((await real.ctl('show hardware-interfaces hp0')).stdout, /02:11:22:33:44:55/, 'a MAC that is given');
      for (const { name } of entries) {
        const told = life.told(name, since);
        const states = told.map(({ state }) => state).filter((state, i, all) => state !== all[i - 1]);
        const text = `${what}, ${name}: ${told.map(({ state, reason }) => `${state} ${reason}`).join(', ')}`;
        const waits = states[0] === 'PENDING';
        t.same(states.slice(waits ? 1 : 0), ['INIT', 'CREATED'], text);
        if (isFirst) t.equal(waits, !FREE.includes(name), `${name}: ${waits ? 'waits' : 'has nothing to wait for'}`);
      }
    }

    await life.reload();
    await waitFor('all to be gone', async () => JSON.stringify(await life.inVpp()) === JSON.stringify(none), {
      timeoutMs: 30_000,
    });
    t.same(await life.inVpp(), none, 'nothing is left in VPP');
    for (const { name } of entries) t.equal(life.told(name, 0).at(-1)?.state, 'DELETED', `${name}: its end is told`);
  },
  { limitMs: 300_000 },
);
