/**
 * What is changed in VPP goes to Linux: state, MTU, addresses, what unnumbered interfaces borrow; and protocols that cross
 * pairs once they are enabled. Writes are counted on both sides: `ip monitor` sees every change of the hosts, and
 * `lcpctl vpp trace` every message of lcpd's that changes VPP.
 *
 * Scenarios 4, 5, 11 and 12 of the acceptance list, as far as attached pairs show them: VLAN devices and VRFs of Linux are
 * not on every machine.
 */
import { readFileSync } from 'node:fs';
import type { Test } from 'tap';
import type { PairRow, UnsupportedRow } from '../../src/lcp/view.ts';
import type { Lcpd } from '../system/lab/lcpd.ts';
import { inNetns, ip, ipJson } from '../system/lab/netns.ts';
import { Daemon, waitFor } from '../system/lab/process.ts';
import { capture, reachable, sendFrames } from '../system/lab/traffic.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { addVppRouter, openInterfaces } from './lab/router.ts';
import { type VppLab, vpp } from './lab.ts';

const SYNC = 'sync: { vpp-to-linux: true }';
/** Messages about what interfaces are; routes and neighbours follow from Linux as ever. */
const STATE = / (sw_interface_set_|sw_interface_add_del_address|hw_interface_set_)/;
/** Twice the interval in which VPP is read, and a bit. */
const CALM_MS = 2500;

interface Host {
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly addr_info: readonly { local: string; prefixlen: number; scope: string }[];
}

async function host(cp: string, dev: string): Promise<Host> {
  const [found] = await ipJson<Host>(cp, 'address', 'show', 'dev', dev);
  if (found === undefined) throw new Error(`no ${dev}`);
  return found;
}

const addresses = async (cp: string, dev: string): Promise<string[]> =>
  (await host(cp, dev)).addr_info
    .filter(({ scope }) => scope === 'global')
    .map((a) => `${a.local}/${a.prefixlen}`)
    .sort();

async function say(vpp: RealVpp, ...lines: string[]): Promise<void> {
  for (const line of lines) {
    const { stdout, stderr } = await vpp.ctl(line);
    if (`${stdout}${stderr}`.trim() !== '') throw new Error(`VPP says to ${line}: ${stdout}${stderr}`);
  }
}

/** Messages of lcpd's so far that change VPP. */
async function sent(lcpd: Lcpd): Promise<string[]> {
  const rows = await lcpd.json<{ time: number; name: string; direction: string }[]>(['vpp', 'trace']);
  return rows
    .filter(({ name, direction }) => direction === 'sent' && /add_del|_set_|^lcp_.*enable|create|delete/.test(name))
    .map(({ name, time }) => `${time} ${name}`);
}

/** Changes of a link or its addresses that the kernel told while something was done, and then for a moment. */
class KernelNotices {
  readonly #daemon: Daemon;
  readonly #log: string;

  constructor(lab: VppLab, cp: string) {
    this.#log = `${lab.dir}/monitor.log`;
    this.#daemon = new Daemon('ip monitor', inNetns(cp, ['ip', '-o', 'monitor', 'link', 'address']), this.#log);
    lab.defer(() => this.#daemon.stop());
  }

  lines(pattern: RegExp): string[] {
    return readFileSync(this.#log, 'utf8')
      .split('\n')
      .filter((line) => pattern.test(line));
  }

  ready(): Promise<boolean> {
    return waitFor('ip monitor', () => this.#daemon.running);
  }
}

const calm = () => new Promise((resolve) => setTimeout(resolve, CALM_MS));

async function quiet(t: Test, lcpd: Lcpd, what: string): Promise<void> {
  const before = await sent(lcpd);
  await calm();
  t.same(
    (await sent(lcpd)).filter((line) => !before.includes(line)),
    [],
    `${what}: nothing is sent to VPP`,
  );
}

vpp('scenario 11: what is changed in VPP goes to Linux, by one write each', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC });
  const cp = lab.ns('cp');
  await quiet(t, lcpd, 'after the start');
  const begun = await sent(lcpd);
  const notices = new KernelNotices(lab, cp);
  await notices.ready();
  await calm();
  for (const mtu of [4000, 1500, 9000]) {
    await say(vpp, `set interface mtu packet ${mtu} host-p0`);
    await waitFor(`e0 to have MTU ${mtu}`, async () => (await host(cp, 'e0')).mtu === mtu);
  }
  await say(vpp, 'set interface ip address host-p0 10.77.0.1/24', 'set interface ip address host-p0 fd77::1/64');
  await waitFor('the addresses', async () => (await addresses(cp, 'e0')).filter((a) => /77/.test(a)).length === 2);
  t.same(await addresses(cp, 'e0'), ['10.0.0.1/24', '10.77.0.1/24', 'fd00::1/64', 'fd77::1/64']);
  await ip(lab.ns('h0'), 'address', 'add', '10.77.0.2/24', 'dev', 'eth0');
  t.ok(await reachable(cp, '10.77.0.2'), 'a neighbour in the new subnet answers');
  t.ok(await reachable(lab.ns('h0'), '10.77.0.1'), 'and is answered');
  await say(vpp, 'set interface ip address del host-p0 10.77.0.1/24');
  await waitFor('the address to go', async () => !(await addresses(cp, 'e0')).includes('10.77.0.1/24'));
  await lcpd.synced();
  await calm();
  t.same(
    (await sent(lcpd)).filter((line) => !begun.includes(line) && STATE.test(line)),
    [],
    'nothing of it is sent to VPP',
  );
  const mtus = notices.lines(/: e0.* mtu \d+/).map((line) => / mtu (\d+)/.exec(line)?.[1]);
  t.same([...new Set(mtus)], ['4000', '1500', '9000'], 'Linux told of these MTUs, in this order');
  t.equal(mtus.length, 3, `and of each once: ${mtus}`);
  t.equal(notices.lines(/10\.77\.0\.1\/24/).length, 2, 'the IPv4 address came and went');
  t.equal(notices.lines(/fd77::1\/64/).length, 1, 'the IPv6 address came');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');

  t.comment('off: nothing follows; on: what differs does');
  const text = readFileSync(lcpd.configFile, 'utf8');
  lcpd.writeConfig(text.replace(SYNC, 'sync: { vpp-to-linux: false }'));
  lcpd.daemon.signal('SIGHUP');
  await calm();
  await say(vpp, 'set interface ip address host-p0 10.78.0.1/24');
  await calm();
  t.notOk((await addresses(cp, 'e0')).includes('10.78.0.1/24'), 'an address does not follow while it is off');
  lcpd.writeConfig(text);
  lcpd.daemon.signal('SIGHUP');
  await waitFor('the address to follow', async () => (await addresses(cp, 'e0')).includes('10.78.0.1/24'));
  await lcpd.synced();
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp('no endless UP/DOWN loop: an interface goes down and up in VPP, and so does its host, once', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC });
  const cp = lab.ns('cp');
  const notices = new KernelNotices(lab, cp);
  await notices.ready();
  await calm();
  const begun = await sent(lcpd);
  const isUp = async () => (await host(cp, 'e0')).flags.includes('UP');
  for (let i = 0; i < 3; i++) {
    await say(vpp, 'set interface state host-p0 down');
    await waitFor('e0 to be down', async () => !(await isUp()));
    await say(vpp, 'set interface state host-p0 up');
    await waitFor('e0 to be up', isUp);
  }
  await lcpd.synced();
  await calm();
  const states = notices.lines(/: e0[@:]/).map((line) => (/<[^>]*\bUP\b/.test(line) ? 'up' : 'down'));
  const turns = states.filter((state, i) => state !== states[i - 1]);
  t.same(turns, ['down', 'up', 'down', 'up', 'down', 'up'], `state of e0: ${states}`);
  const flags = (await sent(lcpd)).filter((line) => !begun.includes(line) && /set_flags/.test(line));
  t.same(flags, [], 'lcpd never set the state in VPP');
  t.match((await vpp.ctl('show interface host-p0')).stdout, /host-p0 +\d+ +up/);
  t.ok(await reachable(lab.ns('h1'), '10.0.0.2'), 'packets pass again');
  t.comment('and from Linux');
  await ip(cp, 'link', 'set', 'e0', 'down');
  await waitFor('host-p0 to be down', async () =>
    /host-p0 +\d+ +down/.test((await vpp.ctl('show interface host-p0')).stdout),
  );
  await ip(cp, 'link', 'set', 'e0', 'up');
  await waitFor('host-p0 to be up', async () =>
    /host-p0 +\d+ +up/.test((await vpp.ctl('show interface host-p0')).stdout),
  );
  await lcpd.synced();
  await calm();
  const both = (await sent(lcpd)).filter((line) => !begun.includes(line) && /set_flags/.test(line));
  t.equal(both.length, 2, 'one message to VPP for each');
  t.equal(await isUp(), true);
});

vpp('scenario 12: an unnumbered interface has the borrowed address in Linux, or not', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC });
  const cp = lab.ns('cp');
  await vpp.ctl('create loopback interface');
  await say(vpp, 'set interface state loop0 up', 'set interface ip address loop0 10.99.0.1/32');
  await ip(cp, 'address', 'flush', 'dev', 'e1', 'scope', 'global');
  await lcpd.synced();
  await say(vpp, 'set interface unnumbered host-p1 use loop0');
  await waitFor('the borrowed address', async () => (await addresses(cp, 'e1')).includes('10.99.0.1/32'));
  await quiet(t, lcpd, 'with a borrowed address');
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
  const text = readFileSync(lcpd.configFile, 'utf8');
  lcpd.writeConfig(text.replace(SYNC, 'sync: { vpp-to-linux: true, unnumbered: false }'));
  lcpd.daemon.signal('SIGHUP');
  await waitFor('it to go', async () => !(await addresses(cp, 'e1')).includes('10.99.0.1/32'));
  await quiet(t, lcpd, 'without');
  lcpd.writeConfig(text);
  lcpd.daemon.signal('SIGHUP');
  await waitFor('it to come back', async () => (await addresses(cp, 'e1')).includes('10.99.0.1/32'));
  await say(vpp, 'set interface unnumbered del host-p1');
  await waitFor('it to end with the loan', async () => !(await addresses(cp, 'e1')).includes('10.99.0.1/32'));
});

vpp('lcpd away: what Linux changed meanwhile holds, what only VPP has goes to Linux', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC });
  const cp = lab.ns('cp');
  await ip(cp, 'address', 'add', '10.55.0.1/24', 'dev', 'e0');
  await lcpd.synced();
  await lcpd.kill();
  await ip(cp, 'address', 'del', '10.55.0.1/24', 'dev', 'e0');
  await ip(cp, 'link', 'set', 'e1', 'mtu', '1400');
  await say(vpp, 'set interface ip address host-p0 10.56.0.1/24');
  await lcpd.start();
  await lcpd.synced();
  await calm();
  t.same(
    (await addresses(cp, 'e0')).filter((a) => /^10\.5/.test(a)),
    ['10.56.0.1/24'],
  );
  const shown = (await vpp.ctl('show interface address host-p0')).stdout;
  t.notMatch(shown, /10\.55\.0\.1/);
  t.match(shown, /10\.56\.0\.1/);
  t.equal((await host(cp, 'e1')).mtu, 1400);
  t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
});

vpp(
  'VPP killed and started again: Linux is right, and its state is not that of a VPP that has just begun',
  async (t, lab) => {
    const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC });
    const cp = lab.ns('cp');
    const before = [await addresses(cp, 'e0'), (await host(cp, 'e0')).mtu];
    await vpp.restart();
    await openInterfaces(vpp, 2);
    await waitFor('host-p0 to have its address', async () =>
      /10\.0\.0\.1/.test((await vpp.ctl('show interface address host-p0')).stdout),
    );
    await lcpd.synced();
    await calm();
    t.same([await addresses(cp, 'e0'), (await host(cp, 'e0')).mtu], before);
    t.equal((await host(cp, 'e0')).flags.includes('UP'), true);
    t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
  },
);

const LLDP = '0180c200000e02000000001188cc0207'.padEnd(120, 'b');
const ISIS = '0180c2000014020000000012003cfefe0383'.padEnd(28 + 120, 'c');

vpp('scenarios 4 and 5: LLDP and IS-IS cross a pair once they are enabled, and are read back', async (t, lab) => {
  const plugins = ['linux_cp', 'linux_cp_unittest', 'af_packet', 'tap', 'ping', 'osi', 'ppp'];
  const { vpp, lcpd } = await addVppRouter(lab, { extra: SYNC, plugins });
  const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
  const filter = '-e ether proto 0x88cc or (ether[12:2] <= 1500 and ether[14:2] = 0xfefe)';
  const text = readFileSync(lcpd.configFile, 'utf8');
  const crossed = async (from: [string, string], to: [string, string], until: RegExp | undefined): Promise<string> => {
    const send = async () => {
      for (let i = 0; i < 3; i++) await sendFrames(from[0], from[1], [LLDP, ISIS]);
      if (until === undefined) await calm();
    };
    return capture(
      { ns: to[0], dev: to[1], filter: `-Q in ${filter}`, logFile: `${lab.dir}/l2.log`, ...(until && { until }) },
      send,
    );
  };
  const wire: [string, string] = [h0, 'eth0'];
  const inside: [string, string] = [cp, 'e0'];
  t.notMatch(await crossed(wire, inside, undefined), /LLDP/, 'nothing crosses before');
  lcpd.writeConfig(
    text.replace('pair-backend: attach', 'pair-backend: attach, ethertypes: [lldp, 0x8809, 0x1234], osi: [isis]'),
  );
  lcpd.daemon.signal('SIGHUP');
  const types = async () => (await vpp.ctl('show lcp ethertype')).stdout;
  await waitFor('VPP to have them', async () => /lldp|88cc/i.test(await types()));
  t.comment((await types()).trim());
  const unsupported = async () =>
    (await lcpd.json<UnsupportedRow[]>(['show', 'unsupported']))
      .filter(({ kind }) => kind === 'vpp')
      .map(({ key }) => key);
  await waitFor('the gap to be listed', async () => (await unsupported()).includes('ethertype 0x1234'));
  t.notOk((await unsupported()).includes('ethertype 0x88cc'));
  t.notOk((await unsupported()).includes('osi 0x83'));
  t.match((await vpp.ctl('show lcp osi-proto')).stdout, /0x83/);
  for (const [from, to] of [
    [wire, inside],
    [inside, wire],
  ] as const) {
    const seen = await crossed(from, to, /0xfefe|OSI|IS-IS|ISO/);
    t.match(seen, /LLDP/, `LLDP from ${from[1]} to ${to[1]}`);
    t.match(seen, /OSI|IS-IS|ISO/i, `IS-IS from ${from[1]} to ${to[1]}`);
  }
  t.comment('they are enabled again in a VPP that was started again');
  await vpp.restart();
  await openInterfaces(vpp, 2);
  await waitFor('VPP to have them again', async () => /lldp|88cc/i.test(await types()));
  t.comment('what is not asked for any more stays, and is told');
  lcpd.writeConfig(text);
  lcpd.daemon.signal('SIGHUP');
  await waitFor('the rest to be listed', async () => (await unsupported()).includes('ethertype 0x88cc'));
});

vpp('without the plugin osi IS-IS is a gap and no failure', async (t, lab) => {
  const { lcpd } = await addVppRouter(lab, { passThrough: 'osi: [isis]' });
  const rows = await lcpd.json<UnsupportedRow[]>(['show', 'unsupported']);
  t.match(rows.find(({ key }) => key === 'osi 0x83')?.reason, /plugin osi/);
  t.equal((await lcpd.status()).health.state, 'ok');
});

vpp('lcp-sync of VPP itself is told', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab);
  await lcpd.stop();
  await say(vpp, 'lcp lcp-sync on');
  await lcpd.start();
  await lcpd.synced();
  const rows = await lcpd.json<UnsupportedRow[]>(['show', 'unsupported']);
  t.match(rows.find(({ key }) => key === 'lcp-sync')?.reason, /lcp-sync off/);
  await say(vpp, 'lcp lcp-sync off');
});

vpp('interfaces that match a pattern get a pair, and lose it with themselves', async (t, lab) => {
  const { vpp, lcpd } = await addVppRouter(lab, {
    pairs: 'pairs: []\nauto-pairs: [{ phy: "host-p*", host: "e*" }]',
  });
  const pairs = async () =>
    (await lcpd.json<PairRow[]>(['show', 'pairs'])).map(({ phy, host }) => `${phy} ${host}`).sort();
  t.same(await pairs(), ['host-p0 e0', 'host-p1 e1']);
  await lcpd.stop();
  await lcpd.start();
  await lcpd.synced();
  t.same(await pairs(), ['host-p0 e0', 'host-p1 e1'], 'after a restart too');
  await vpp.restart();
  await openInterfaces(vpp, 2);
  await lcpd.waitPair('host-p1', 'up');
  await lcpd.synced();
  await say(vpp, 'delete host-interface name p1');
  await waitFor('its pair to go', async () => (await pairs()).length === 1);
  t.same(await pairs(), ['host-p0 e0']);
});
