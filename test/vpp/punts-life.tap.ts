/**
 * The life of punts on a real VPP with lcpd: one of each that a VPP without vhost-net has; VPP killed and started, lcpd killed and
 * started, both, also in the middle of it; nobody can say what is wanted. Numbers are those of the punt manager's scenarios.
 */
import { renameSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { PuntRow } from '../../src/punt/view.ts';
import type { Lcpd } from '../system/lab/lcpd.ts';
import { addVeth, ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { buildPuntClient, PuntClient } from '../system/lab/puntclient.ts';
import { Random } from '../system/lab/random.ts';
import { reachable, udpPackets } from '../system/lab/traffic.ts';
import type { RealVpp } from './lab/realvpp.ts';
import { addVppRouter, openInterfaces } from './lab/router.ts';
import { type VppLab, vpp } from './lab.ts';

const BARE = ['p2', 'p3', 'p4'];
// biome-ignore lint/suspicious/noControlCharactersInRegex: VPP colours its tables
const COLOURS = /\u001b\[[0-9;]*m/g;
const NO_TUNNEL = 'ipsec4-no-such-tunnel';

/** Punts by name, of each sort. */
function oneOfEach(lab: VppLab): object[] {
  const at = { netns: lab.ns('c1'), interconnect: 'memif' };
  const socket = `${lab.dir}/client.sock`;
  return [
    { name: 'wire', type: 'hairpin-xconnect', ...at, interfaces: ['host-p2', 'host-p3'] },
    { name: 'mirror', type: 'span', ...at, interface: 'host-p0' },
    {
      name: 'routing',
      type: 'abx',
      ...at,
      interface: 'host-p1',
      ingress: [
        { protocol: 'ospf', destination: 'local' },
        { protocol: 'pim', destination: 'any' },
      ],
      egress: [{ protocol: 'pim', source: 'local', destination: '224.0.0.13' }],
    },
    { name: 'relay', type: 'dhcp-proxy', ...at, l3: 'ipv4' },
    { name: 'host', type: 'to-host', netns: '', l3: 'all', l4: 'udp', port: 9000 },
    { name: 'socket', type: 'to-host', netns: '', l3: 'ipv4', l4: 'udp', port: 9001, socket },
    { name: 'protocol', type: 'ip-protocol', netns: '', l3: 'ipv4', protocol: 'ospf', socket },
    { name: 'reason', type: 'exception', netns: '', reason: NO_TUNNEL, socket },
    {
      name: 'redirect',
      type: 'ip-redirect',
      netns: '',
      l3: 'ipv4',
      rx: 'host-p4',
      tx: 'host-p1',
      'next-hop': ['10.0.1.2'],
    },
    { name: 'limit', type: 'police', netns: '', scope: 'ipv6', rate: 1000 },
  ];
}

class Life {
  readonly t: Test;
  readonly lab: VppLab;
  readonly real: RealVpp;
  readonly lcpd: Lcpd;
  readonly entries: readonly object[];
  readonly client: PuntClient;
  readonly #base: string;

  private constructor(t: Test, lab: VppLab, real: RealVpp, lcpd: Lcpd, base: string, client: PuntClient) {
    this.t = t;
    this.lab = lab;
    this.real = real;
    this.lcpd = lcpd;
    this.#base = base;
    this.client = client;
    this.entries = oneOfEach(lab);
  }

  static async add(t: Test, lab: VppLab): Promise<Life> {
    const startup = `punt { socket ${lab.dir}/punt.sock }`;
    const extra = `punt: { state: ${lab.dir}/state, memif-directory: ${lab.dir}/memif }`;
    await lab.addNetns('c1');
    const { vpp: real, lcpd, config } = await addVppRouter(lab, { startup, extra });
    for (const dev of BARE) {
      const host = await lab.addNetns(`h${dev.slice(1)}`);
      await addVeth({ ns: lab.ns('rtr'), dev }, { ns: host, dev: 'eth0' });
      await ip(lab.ns('rtr'), 'link', 'set', dev, 'up');
    }
    await buildPuntClient();
    const client = new PuntClient(`${lab.dir}/client.sock`);
    lab.defer(() => client.stop());
    await client.ready();
    const life = new Life(t, lab, real, lcpd, config, client);
    await life.#openBare();
    return life;
  }

  async #openBare(): Promise<void> {
    for (const dev of BARE) {
      await this.real.ctl(`create host-interface name ${dev}`);
      await this.real.ctl(`set interface state host-${dev} up`);
    }
  }

  /** A supervisor's part: VPP starts, and its script opens the interfaces. */
  async vppStarts(): Promise<void> {
    await this.real.start();
    await openInterfaces(this.real, 2);
    await this.#openBare();
  }

  write(...entries: readonly object[]): void {
    this.lcpd.writeConfig(`${this.#base}punts: ${JSON.stringify(entries)}\n`);
  }

  async reload(...entries: readonly object[]): Promise<void> {
    this.write(...entries);
    const done = await this.lcpd.ctl(['reload']);
    if (done.code !== 0) throw new Error(done.stdout + done.stderr);
  }

  rows(): Promise<PuntRow[]> {
    return this.lcpd.json<PuntRow[]>(['punt', 'list']);
  }

  created(): Promise<boolean> {
    return waitFor(
      'all to be created',
      async () => {
        const open = (await this.rows()).filter(({ state }) => state !== 'CREATED');
        if (open.length > 0)
          throw new Error(open.map(({ id, state, reasons }) => `${id} ${state} ${reasons}`).join('\n'));
        return true;
      },
      { timeoutMs: 30_000 },
    );
  }

  async identities(): Promise<string[]> {
    return (await this.rows()).map(({ id, links, objects }) => JSON.stringify([id, links, objects]));
  }

  async #lines(command: string, wanted: RegExp): Promise<string[]> {
    const { stdout } = await this.real.ctl(command);
    const lines = stdout.replace(COLOURS, '').split('\n');
    // in what order VPP made them is no difference
    return lines
      .flatMap((line) => {
        const found = wanted.exec(line);
        return found === null ? [] : [(found[1] ?? line).trim().replace(/ +/g, ' ')];
      })
      .sort();
  }

  /** What VPP has of all that, in its own words; indices, which are another VPP's, are left out. */
  async inVpp(): Promise<Record<string, string[]>> {
    return {
      interfaces: await this.#lines('show interface', /^(memif\S+|host-\S+)/),
      xconnects: await this.#lines('show mode', /(l2 xconnect.*)/),
      spans: await this.#lines('show interface span', /(host-\S+.*)/),
      policies: await this.#lines('show abf policy', /(policy:\d+)/),
      attached: await this.#lines('show abf attach host-p1', /(policy:\d+)/),
      groups: await this.#lines('show ip mfib', /^\((10\.\S+ 224\.0\.0\.13\/32)\)/),
      tables: await this.#lines('show ip table', /(lcpd groups)/),
      acls: await this.#lines('show acl-plugin acl', /tag \{(.*)\}/),
      sockets: await this.#lines('show punt socket registrations l4', /(punt|\d+.*sock)/),
      protocols: await this.#lines('show punt socket registrations ip', /(.*sock.*)/),
      ports: await this.#lines('show udp ports', /^\s*(900\d\s+ip[46]\s.*punt\S*)/),
      redirects: await this.#lines('show ip punt redirect', /( rx .*)/),
      policers: await this.#lines('show policer', /Name "(.*?)"/),
      police: await this.#lines('show interface features local0', /^\s*(ip6-punt-policer)/),
      relays: await this.#lines('show dhcp proxy', /(\d+\.\d+\.\d+\.\d+.*)/),
      memifs: await this.#lines('show memif', /(\/\S+\.sock)/),
    };
  }

  /** The same, once it is as wanted, or after some time: what follows addresses of VPP does when its interfaces are read again. */
  async settled(wanted: Record<string, string[]>): Promise<Record<string, string[]>> {
    const until = performance.now() + 5000;
    let found = await this.inVpp();
    while (JSON.stringify(found) !== JSON.stringify(wanted) && performance.now() < until) {
      await sleep(100);
      found = await this.inVpp();
    }
    return found;
  }

  /** A datagram for the port is the client's, and packets of others go through. */
  async works(what: string): Promise<void> {
    const before = this.client.got().length;
    await waitFor('a datagram at the client', async () => {
      await udpPackets(this.lab.ns('h0'), '10.0.0.1', 9001, 1, 1);
      return this.client.got().length > before;
    });
    this.t.ok(await reachable(this.lab.ns('h0'), '10.0.1.2'), `${what}: the client has its packets, others go through`);
  }
}

vpp(
  'scenario 24 (a), (b): one of each; lcpd killed, VPP killed, both: VPP has each of them once, as before',
  async (t, lab) => {
    const life = await Life.add(t, lab);
    const { lcpd, real, entries } = life;
    const none = await life.inVpp();
    await life.reload(...entries);
    await life.created();
    await lcpd.synced();
    const before = { rows: await life.identities(), vpp: await life.inVpp() };
    t.comment(JSON.stringify(before.vpp));
    for (const [name, found] of Object.entries(before.vpp))
      t.notSame(found, none[name], `${name} of VPP are other ones than without punts: ${found.join(', ')}`);
    await life.works('at first');
    const same = async (what: string): Promise<void> => {
      await life.created();
      await lcpd.synced();
      t.same(await life.identities(), before.rows, `${what}: names, MACs, addresses`);
      t.same(await life.settled(before.vpp), before.vpp, `${what}: VPP has each once`);
      t.same((await lcpd.diff()).differences, [], `${what}: lcpctl diff is empty`);
      await life.works(what);
    };
    await lcpd.kill();
    await life.works('without lcpd');
    await lcpd.start();
    await same('lcpd killed');
    await real.kill();
    await life.vppStarts();
    await same('VPP killed');
    await lcpd.kill();
    await real.kill();
    await life.vppStarts();
    await lcpd.start();
    await same('both killed');
    // what is configured away while lcpd is dead goes when it is back
    await lcpd.kill();
    life.write();
    await lcpd.start();
    await waitFor('all to be gone', async () => JSON.stringify(await life.inVpp()) === JSON.stringify(none));
    t.same(await life.inVpp(), none, 'nothing is left in VPP');
  },
  { limitMs: 300_000 },
);

vpp(
  'scenario 24 (c), (d): VPP, lcpd or both killed while all are made or taken away; then the file is away',
  async (t, lab) => {
    const random = Random.fromEnvironment();
    t.comment(`SEED=${random.seed}`);
    const life = await Life.add(t, lab);
    const { lcpd, real, entries } = life;
    const none = await life.inVpp();
    await life.reload(...entries);
    await life.created();
    await lcpd.synced();
    const all = await life.inVpp();
    const during = async (who: string): Promise<void> => {
      const done = lcpd.ctl(['reload']).catch(() => undefined);
      const ms = 50 + random.below(400);
      t.comment(`${who} after ${ms} ms`);
      await sleep(ms);
      if (who !== 'VPP') await lcpd.kill();
      if (who !== 'lcpd') await real.kill();
      await done;
      if (who !== 'lcpd') await life.vppStarts();
      if (who !== 'VPP') await lcpd.start();
    };
    for (const who of ['VPP', 'lcpd', 'both']) {
      life.write();
      await during(who);
      await life.reload();
      await waitFor('all to be gone', async () => JSON.stringify(await life.inVpp()) === JSON.stringify(none), {
        timeoutMs: 30_000,
      });
      await lcpd.synced();
      t.same(await life.inVpp(), none, `${who}, while they went: nothing is left`);
      life.write(...entries);
      await during(who);
      await life.reload(...entries);
      await life.created();
      await lcpd.synced();
      t.same(await life.settled(all), all, `${who}, while they came: each is there once`);
      await life.works(who);
    }
    const file = `${lcpd.dir}/lcpd.yaml`;
    const told = await life.identities();
    renameSync(file, `${file}.away`);
    t.not((await lcpd.ctl(['reload'])).code, 0, 'without its file a reload is refused');
    await real.kill();
    await life.vppStarts();
    await life.created();
    await lcpd.synced();
    t.same(await life.settled(all), all, 'and another VPP gets all back');
    t.same(await life.identities(), told);
    renameSync(`${file}.away`, file);
    await life.reload(...entries);
    await life.works('the file is back');
  },
  { limitMs: 300_000 },
);
