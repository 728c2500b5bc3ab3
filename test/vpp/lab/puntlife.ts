/**
 * PuntLife: a real VPP with lcpd and one punt of each sort that a VPP without vhost-net has, and what would tell that one of them was made
 * anew, or doubled, or is there in name only.
 *
 * Invariants: what VPP has is told in its own words, without the indices, which are another VPP's.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { PuntRow } from '../../../src/punt/view.ts';
import type { Lcpd } from '../../system/lab/lcpd.ts';
import { addVeth, ip } from '../../system/lab/netns.ts';
import { waitFor } from '../../system/lab/process.ts';
import { buildPuntClient, PuntClient } from '../../system/lab/puntclient.ts';
import { type Told, toldIn } from '../../system/lab/punts.ts';
import { reachable, udpPackets } from '../../system/lab/traffic.ts';
import type { VppLab } from '../lab.ts';
import type { RealVpp } from './realvpp.ts';
import { addVppRouter, openInterfaces } from './router.ts';

const BARE = ['p2', 'p3', 'p4'];
// biome-ignore lint/suspicious/noControlCharactersInRegex: VPP colours its tables
const COLOURS = /\u001b\[[0-9;]*m/g;
const NO_TUNNEL = 'ipsec4-no-such-tunnel';

/** Punts by name, of each sort. */
export function oneOfEach(lab: VppLab): object[] {
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
    { name: 'icmp6', type: 'icmp6', netns: '', 'icmp-type': 200, socket },
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

export class Life {
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

  /** With all that VPP is to have open, and no punts. */
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

  /** VPP opens a device of its namespace. */
  async open(dev: string): Promise<void> {
    const { code, stderr } = await this.real.ctl(`create host-interface name ${dev}`);
    if (code !== 0) throw new Error(`VPP does not open ${dev}: ${stderr}`);
    await this.real.ctl(`set interface state host-${dev} up`);
  }

  async #openBare(): Promise<void> {
    for (const dev of BARE) await this.open(dev);
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

  /** All states that were told of a punt since the log had that many bytes, the oldest first. */
  told(name: string, since: number): Told[] {
    return toldIn(readFileSync(this.log).subarray(since).toString(), name);
  }

  get log(): string {
    return `${this.lcpd.dir}/lcpd.log`;
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
