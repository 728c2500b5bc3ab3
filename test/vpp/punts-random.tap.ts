/**
 * Punts at random on a real VPP with lcpd: requests of everybody's come and go, lcpd and VPP are killed, phys are deleted and made
 * again; at the end nothing is left in VPP. SEED=n repeats a run, OPS=n makes it longer.
 */
import { waitFor } from '../system/lab/process.ts';
import { Random } from '../system/lab/random.ts';
import { Life } from './lab/puntlife.ts';
import { type VppLab, vpp } from './lab.ts';

const OPERATIONS = Number(process.env.OPS ?? 30);
const NAMES = ['a', 'b', 'c', 'd'];
const BARE = ['p2', 'p3', 'p4'];

interface Entry {
  readonly name: string;
  readonly type: string;
  readonly [key: string]: unknown;
}

function randomEntry(lab: VppLab, random: Random, name: string): Entry {
  const at = { name, netns: lab.ns('c1'), interconnect: 'memif' };
  const own = { name, netns: '' };
  const bare = (): string => `host-${random.pick(BARE)}`;
  const socket = `${lab.dir}/client.sock`;
  const first = random.below(BARE.length);
  return random.pick<Entry>([
    { ...at, type: 'hairpin-xconnect', interfaces: [0, 1].map((n) => `host-${BARE[(first + n) % BARE.length]}`) },
    {
      ...{ ...at, type: 'hairpin', interface: bare() },
      'hairpin-interface': { name: random.pick(['hp0', 'hp1']), addresses: ['10.5.0.1/24'] },
    },
    { ...at, type: 'span', interface: random.pick(['host-p0', bare()]), direction: random.pick(['rx', 'tx', 'both']) },
    {
      ...{ ...at, type: 'abx', interface: `host-p${random.below(2)}` },
      ingress: [{ protocol: random.pick(['ospf', 'pim']), destination: random.pick(['local', 'any']) }],
    },
    { ...at, type: 'dhcp-proxy', l3: random.pick(['ipv4', 'all']) },
    { ...own, type: 'to-host', l3: 'all', l4: 'udp', port: random.pick([9000, 9001]) },
    { ...own, type: 'to-host', l3: random.pick(['ipv4', 'all']), l4: 'udp', port: 9001, socket },
    { ...own, type: 'ip-protocol', l3: 'ipv4', protocol: 'ospf', socket },
    { ...own, type: 'icmp6', 'icmp-type': 200, socket },
    { ...own, type: 'exception', reason: 'ipsec4-no-such-tunnel', ...random.pick([{ socket }, {}]) },
    { ...own, type: 'ip-redirect', l3: 'ipv4', rx: bare(), tx: 'host-p1', 'next-hop': ['10.0.1.2'] },
    { ...own, type: 'police', scope: random.pick(['ipv4', 'ipv6']), rate: random.pick([500, 1000]) },
  ]);
}

vpp(
  'scenarios 24, 25: punts at random on a VPP; whatever happened, nothing is left behind',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed} OPS=${OPERATIONS}`);
    const life = await Life.add(t, lab);
    const { lcpd, real } = life;
    const none = await life.inVpp();
    const gone = new Set<string>();
    let configured: Entry[] = [];
    const reconfigured = (): Entry[] => {
      const name = random.pick(NAMES);
      const others = configured.filter((entry) => entry.name !== name);
      return random.chance(30) ? others : [...others, randomEntry(lab, random, name)];
    };
    const back = async (): Promise<void> => {
      for (const dev of gone) await life.open(dev);
      gone.clear();
    };
    const acts: Record<string, () => Promise<unknown>> = {
      add: async () => {
        const entry = randomEntry(lab, random, `by-hand-${random.pick(NAMES)}`);
        const done = await lcpd.ctl(['punt', 'add', '--file', '-'], { input: JSON.stringify({ punts: [entry] }) });
        if (done.code !== 0) t.match(done.stderr, /PUNT_(EXISTS|BUSY|REFUSED)/, done.stderr.trim());
      },
      del: async () => {
        const rows = (await life.rows()).filter(({ source }) => source !== 'config');
        if (rows.length > 0) t.equal((await lcpd.ctl(['punt', 'del', random.pick(rows).id])).code, 0);
      },
      reload: async () => {
        configured = reconfigured();
        await life.reload(...configured);
      },
      phy: async () => {
        const dev = random.pick(BARE);
        if (gone.delete(dev)) return life.open(dev);
        gone.add(dev);
        return real.ctl(`delete host-interface name ${dev}`);
      },
      restart: async () => {
        await lcpd.kill();
        if (random.chance(50)) configured = reconfigured();
        life.write(...configured);
        await lcpd.start();
      },
      vpp: async () => {
        await real.kill();
        gone.clear();
        await life.vppStarts();
      },
    };
    const weights = { add: 5, del: 3, reload: 5, phy: 3, restart: 2, vpp: 1 };
    for (let i = 0; i < OPERATIONS; i++) {
      const what = random.weighted(weights);
      t.comment(`${i}: ${what}`);
      await acts[what]?.();
      if (random.chance(25)) await lcpd.synced();
    }
    await back();
    await lcpd.synced();
    const waiting = (await life.rows()).filter(({ state }) => state === 'INIT' || state === 'FAILED');
    t.same(waiting, [], 'nobody is on the way for ever');
    t.same((await lcpd.diff()).differences, [], 'all is as it is asked for');

    await life.reload();
    for (const { id } of await life.rows()) await lcpd.ctl(['punt', 'del', id]);
    await waitFor(
      'VPP to have nothing',
      async () => {
        const now = JSON.stringify(await life.inVpp());
        if (now !== JSON.stringify(none)) throw new Error(`${now} and not ${JSON.stringify(none)}`);
        return true;
      },
      { timeoutMs: 30_000 },
    );
    t.same(await life.rows(), [], 'nobody asks for anything');
    const { checked, differences } = await lcpd.diff();
    t.same(differences, []);
    t.notOk(checked.punt, 'no punt is held');
    t.notOk(checked.interconnect, 'no interconnect either');
  },
  { limitMs: 300_000 },
);
