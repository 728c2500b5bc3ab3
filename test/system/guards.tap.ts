/**
 * Guards of phys: what keeps the kernel's own stack off a phy stands while the phy is a pair's, and not a moment longer, whoever has
 * died, been refused or been renamed meanwhile; and whose it is, where two lcpds are in one namespace. Those of punts are in
 * punts-deaths.tap.ts.
 */
import { fileURLToPath } from 'node:url';
import type { PuntRow } from '../../src/punt/view.ts';
import { Lcpd } from './lab/lcpd.ts';
import { inNetns, ip } from './lab/netns.ts';
import { Daemon, run, waitFor } from './lab/process.ts';
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

/** An lcpd beside others in rtr, with nothing but mirrors of phys that are in no pair. */
class Mirrors {
  readonly lcpd: Lcpd;
  readonly #lab: Lab;
  readonly #cnf: string;

  /** @param name of its folder and of its CNF's namespace */
  constructor(lab: Lab, name: string) {
    this.#lab = lab;
    this.#cnf = lab.ns(name);
    this.lcpd = new Lcpd({ ns: lab.ns('rtr'), dir: `${lab.dir}/${name}`, config: '' });
    lab.defer(() => this.lcpd.stop());
  }

  get socket(): string {
    return `${this.lcpd.dir}/fwd.sock`;
  }

  /** Makes these the phys that it mirrors. */
  async mirror(...phys: readonly string[]): Promise<void> {
    const { dir } = this.lcpd;
    const punts = phys.map((phy) => ({ name: phy, type: 'span', netns: this.#cnf, interface: phy }));
    this.lcpd.writeConfig(`dataplane: { driver: embedded, memory: 256MiB }
control: { socket: ${dir}/lcpd.sock }
pairs: []
punt: { state: ${dir}/state }
punts: ${JSON.stringify(punts)}
`);
    if (this.lcpd.running) {
      const done = await this.lcpd.ctl(['reload']);
      if (done.code !== 0) throw new Error(done.stdout + done.stderr);
    } else {
      await this.lcpd.start();
    }
  }

  async states(): Promise<string[]> {
    const rows = await this.lcpd.json<PuntRow[]>(['punt', 'list']);
    return rows.map(({ id, state, reasons }) => [id.split('|').at(-1), state, ...reasons].join(' ')).sort();
  }

  is(...wanted: readonly RegExp[]): Promise<true> {
    return waitFor(`mirrors to be ${wanted.join(' ')}`, async () => {
      const states = await this.states();
      if (states.length === wanted.length && wanted.every((text, i) => text.test(states[i] ?? ''))) return true;
      throw new Error(`they are ${states.join('; ')}`);
    });
  }

  /** lcpd and its forwarder, at once. */
  async die(): Promise<void> {
    const { pid } = (await this.lcpd.status()).dataplane;
    await this.lcpd.kill();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    const gone = async (): Promise<boolean> =>
      !(await run(inNetns(this.#lab.ns('rtr'), ['cat', '/proc/net/unix']))).includes(`${this.socket}\n`);
    await waitFor('its forwarder to end', gone);
  }
}

async function guardedPhys(lab: Lab): Promise<string> {
  const phys = ['p0', 'p1', 'p2', 'p3'];
  const guarded = await Promise.all(phys.map((phy) => isGuarded(lab, phy)));
  return phys.filter((_, i) => guarded[i]).join(' ');
}

/** Two that mirror two phys each. */
async function addTwo(lab: Lab): Promise<readonly [Mirrors, Mirrors]> {
  for (const role of ['rtr', 'one', 'two']) await lab.addNetns(role);
  for (const n of [0, 1, 2, 3]) await lab.addHost(n);
  const [one, two] = [new Mirrors(lab, 'one'), new Mirrors(lab, 'two')];
  await one.mirror('p0', 'p1');
  await two.mirror('p2', 'p3');
  for (const [mirrors, a, b] of [
    [one, 'p0', 'p1'],
    [two, 'p2', 'p3'],
  ] as const)
    await mirrors.is(new RegExp(`^${a} CREATED`), new RegExp(`^${b} CREATED`));
  return [one, two];
}

system(
  'two lcpds in one namespace, each killed with its forwarder: each clears what itself has left, whether the other one lives or not',
  async (t, lab) => {
    const [one, two] = await addTwo(lab);
    t.equal(await guardedPhys(lab), 'p0 p1 p2 p3');
    await two.die();
    await one.die();
    t.equal(await guardedPhys(lab), 'p0 p1 p2 p3', 'guards outlive both');
    await two.mirror('p2');
    await two.is(/^p2 CREATED/);
    await two.lcpd.synced();
    t.equal(await guardedPhys(lab), 'p0 p1 p2', 'p3 was its own; those of the other one, who is dead, stay');
    await one.mirror('p1');
    await one.is(/^p1 CREATED/);
    await one.lcpd.synced();
    t.equal(await guardedPhys(lab), 'p1 p2', 'who is back clears p0');
    t.ok(await answers(lab, 'p0'), 'which is the kernel’s again');
    t.equal(await one.lcpd.stop(), 0);
    t.equal(await guardedPhys(lab), 'p2', 'a clean end takes nobody else’s along');
  },
  embeddedOnly,
);

system(
  'a phy of another lcpd that lives is refused by name; it is had when that one has gone',
  async (t, lab) => {
    const [one, two] = await addTwo(lab);
    await two.mirror('p1', 'p2', 'p3');
    await two.is(
      new RegExp(`^p1 FAILED .*p1 is a phy of the lcpd with dataplane.socket ${one.socket}`),
      /^p2 C/,
      /^p3 C/,
    );
    t.match((await two.lcpd.json<{ code: string }[]>(['show', 'failures']))[0], { code: 'PHY_TAKEN' });
    await two.mirror('p2', 'p3');
    await two.is(/^p2 CREATED/, /^p3 CREATED/);
    t.equal(await guardedPhys(lab), 'p0 p1 p2 p3', 'who was refused leaves it as it is');
    t.same(await one.states(), ['p0 CREATED', 'p1 CREATED']);
    await two.mirror('p1', 'p2', 'p3');
    await two.is(/^p1 FAILED/, /^p2 C/, /^p3 C/);
    await one.die();
    await two.is(/^p1 CREATED/, /^p2 C/, /^p3 C/);
    await two.mirror();
    await two.lcpd.synced();
    t.equal(await guardedPhys(lab), 'p0', 'what it took over was its own');
  },
  embeddedOnly,
);

const nativeModule = fileURLToPath(new URL('../../src/forwarding/native.ts', import.meta.url));

/** As versions did that named no owner. */
async function guardNamelessly(lab: Lab, phy: string): Promise<void> {
  const { ifindex } = await lab.waitLink('rtr', phy);
  const program = `import { native } from '${nativeModule}'; process.exitCode = -native().phyGuard(${ifindex}, 1, '');`;
  await run(inNetns(lab.ns('rtr'), ['node', '--import', 'tsx', '--input-type=module', '-e', program]));
}

system(
  'guards of a version that did not say whose they are: taken over with the phy, and cleared where nobody uses it',
  async (t, lab) => {
    for (const role of ['rtr', 'one']) await lab.addNetns(role);
    for (const n of [0, 1, 2, 3]) await lab.addHost(n);
    for (const phy of ['p0', 'p1', 'p2']) await guardNamelessly(lab, phy);
    await ip(lab.ns('rtr'), 'link', 'set', 'p2', 'up');
    // a forwarder of that version, as far as anybody can see
    const user = new Daemon('tcpdump', inNetns(lab.ns('rtr'), ['tcpdump', '-i', 'p2', '-n']), `${lab.dir}/tcpdump.log`);
    lab.defer(() => user.stop());
    await waitFor('it to have its socket', () => user.log().includes('listening on'));
    const one = new Mirrors(lab, 'one');
    await one.mirror('p0');
    await one.is(/^p0 CREATED/);
    await waitFor('the guard of p1 to go', async () => (await guardedPhys(lab)) === 'p0 p2');
    await one.mirror();
    await waitFor('the guard of p0 to go', async () => (await guardedPhys(lab)) === 'p2');
    await user.stop();
    await one.lcpd.kill();
    await one.mirror();
    await waitFor('the guard of p2 to go', async () => (await guardedPhys(lab)) === '');
    t.pass('none is left');
  },
  embeddedOnly,
);
