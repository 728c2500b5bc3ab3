/**
 * Pairs of every sort on a real VPP: a TUN of an ipip tunnel beside the TAP of its phy, and a VLAN; they come and go by the
 * configuration and leave nothing.
 */
import type { Test } from 'tap';
import { Lcpd } from '../system/lab/lcpd.ts';
import { ip } from '../system/lab/netns.ts';
import { waitFor } from '../system/lab/process.ts';
import { capture, ping, reachable } from '../system/lab/traffic.ts';
import { type VppLab, vpp } from '../vpp/lab.ts';
import { Wire } from './lab/wire.ts';

/** Every processor in here is emulated. */
const slow = { limitMs: 500_000 };
const TAP = '  - { phy: host-p0, host: e0 }\n';
const TUN = '  - { phy: ipip0, host: t0, type: tun }\n';

class Router {
  readonly wire: Wire;
  readonly lcpd: Lcpd;
  readonly #config: (pairs: string) => string;

  constructor(lab: VppLab, wire: Wire) {
    const { vpp: ns, cp } = wire.namespaces;
    const { socket, statsSocket } = wire.vpp;
    this.wire = wire;
    this.#config = (pairs) => `
control: { socket: ${lab.dir}/lcpd/lcpd.sock }
dataplane:
  driver: vpp
  vpp: { socket: ${socket}, transport: socket, stats-socket: ${statsSocket} }
netns: ${cp}
pairs:${pairs === '' ? ' []' : `\n${pairs}`}
`;
    this.lcpd = new Lcpd({ ns, dir: `${lab.dir}/lcpd`, config: this.#config(TAP + TUN), startLimitMs: 120_000 });
    lab.defer(() => this.lcpd.stop());
  }

  async reload(pairs: string): Promise<void> {
    this.lcpd.writeConfig(this.#config(pairs));
    const done = await this.lcpd.ctl(['reload'], { timeoutMs: 60_000 });
    if (done.code !== 0) throw new Error(`reload: ${done.stdout}${done.stderr}`);
  }

  async ctl(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.wire.vpp.ctl(line);
    if (code !== 0) throw new Error(`${line}: ${stderr}`);
    return stdout;
  }

  /** Hosts up and addressed, and the neighbour's ends. */
  async address(): Promise<void> {
    const { cp } = this.wire.namespaces;
    for (const [phy, host, addresses] of [
      ['host-p0', 'e0', ['10.0.0.1/24']],
      ['ipip0', 't0', ['10.9.0.1/30', '2001:db8:9::1/64']],
    ] as const) {
      await this.lcpd.waitPair(phy, 'up', 60_000);
      await ip(cp, 'link', 'set', host, 'up');
      for (const address of addresses) await ip(cp, 'addr', 'replace', address, 'dev', host);
    }
    await this.lcpd.synced(60);
  }
}

async function start(lab: VppLab): Promise<Router> {
  const wire = await Wire.start(lab);
  const { far } = wire.namespaces;
  const router = new Router(lab, wire);
  await router.ctl('create ipip tunnel src 10.0.0.1 dst 10.0.0.2');
  await router.ctl('set interface state ipip0 up');
  for (const [dev, mode, address] of [
    ['t4', 'ipip', '10.9.0.2/30'],
    ['t6', 'sit', '2001:db8:9::2/64'],
  ] as const) {
    await ip(far, 'link', 'add', dev, 'type', mode, 'local', '10.0.0.2', 'remote', '10.0.0.1');
    await ip(far, 'link', 'set', dev, 'up');
    await ip(far, 'addr', 'add', address, 'dev', dev);
  }
  await router.lcpd.start();
  return router;
}

/** Echo requests with a TTL that must arrive as it was sent, both ways. */
async function untouched(t: Test, lab: VppLab, { wire }: Router): Promise<void> {
  const { cp, far } = wire.namespaces;
  const ways = [
    ['IPv4, host to tunnel', cp, '10.9.0.2', far, 't4', 'icmp', /ttl 37/],
    ['IPv4, tunnel to host', far, '10.9.0.1', cp, 't0', 'icmp', /ttl 37/],
    ['IPv6, host to tunnel', cp, '2001:db8:9::2', far, 't6', 'icmp6', /hlim 37/],
    ['IPv6, tunnel to host', far, '2001:db8:9::1', cp, 't0', 'icmp6', /hlim 37/],
  ] as const;
  for (const [what, from, to, at, dev, filter, until] of ways) {
    t.ok(await reachable(from, to, 60_000), `${what}: answered`);
    const where = { ns: at, dev, filter: `-v ${filter}`, until, logFile: `${lab.dir}/${dev}-${filter}.log` };
    const seen = await capture(where, () => ping(from, to, { count: 5, ttl: 37, intervalMs: 200 }));
    t.match(seen, until, `${what}: its TTL is as it was sent`);
  }
}

vpp(
  'scenario 2: a TUN pair over a tunnel of VPP, beside the TAP pair of its phy',
  async (t, lab) => {
    const router = await start(lab);
    await router.address();
    await untouched(t, lab, router);
    t.same((await router.lcpd.diff()).differences, [], 'lcpctl diff is empty');
  },
  slow,
);

vpp(
  'scenario 3: pairs of every sort come and go and leave nothing',
  async (t, lab) => {
    const router = await start(lab);
    const { lcpd, wire } = router;
    const { cp } = wire.namespaces;
    const hosts = async (): Promise<string[]> => [...(await wire.links()).keys()].sort();
    for (const round of ['once', 'and again']) {
      await router.address();
      await ip(cp, 'link', 'add', 'link', 'e0', 'name', 'v20', 'type', 'vlan', 'id', '20');
      await ip(cp, 'link', 'set', 'v20', 'up');
      await ip(cp, 'addr', 'add', '10.2.0.1/24', 'dev', 'v20');
      await lcpd.synced(60);
      t.same(await hosts(), ['e0', 't0', 'v20'], `${round}: every host is there`);
      t.match(await router.ctl('show lcp'), /host-p0.*e0[\s\S]*ipip0.*t0/, 'and every pair');
      await router.reload(TAP + TUN);
      await lcpd.synced(60);
      t.same(await hosts(), ['e0', 't0', 'v20'], 'the same configuration changes nothing');

      await ip(cp, 'link', 'del', 'v20');
      await lcpd.synced(60);
      await router.reload(TAP);
      await waitFor('the TUN to go', async () => (await hosts()).join() === 'e0', { timeoutMs: 60_000 });
      await router.reload('');
      await waitFor('the TAP to go', async () => (await hosts()).length === 0, { timeoutMs: 60_000 });
      const interfaces = await router.ctl('show interface');
      t.notMatch(interfaces, /tap\d|host-p0\.20/, 'VPP has no host and no sub-interface any more');
      t.notMatch(await router.ctl('show interface address'), /10\.|2001:/, 'and no address');
      t.same((await lcpd.diff()).differences, [], 'lcpctl diff is empty');
      await router.reload(TAP + TUN);
    }
  },
  slow,
);
