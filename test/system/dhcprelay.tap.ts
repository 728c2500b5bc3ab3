/**
 * The DHCP relay of the embedded data plane with programs that know nothing of it: ISC's dhclient behind a phy, dnsmasq
 * in the namespace of a CNF, over the interconnect that the request has brought along, IPv4 and IPv6. That link is one of the
 * router: client and server reach each other without the relay, too.
 */
import { addKea, addServer, DhcpClient, relayDevice } from './lab/dhcp.ts';
import { inNetns, ip, ipJson } from './lab/netns.ts';
import { run, waitFor } from './lab/process.ts';
import { killForwarder } from './lab/puntlife.ts';
import { addressesIn, withTaps } from './lab/puntscene.ts';
import { capture, ping, reachable, traceroute } from './lab/traffic.ts';
import { type Lab, system } from './lab.ts';

interface StatRow {
  readonly object: string;
  readonly name: string;
  readonly value: number;
}

const notVpp = { vpp: 'VPP has its own: test/vpp/relay.tap.ts', 'linux-cp': 'VPP has its own' };
const [OURS4, CNF4, OURS6, CNF6] = ['192.168.111.1', '192.168.111.2', 'fd6c:6370:6400::1', 'fd6c:6370:6400::2'];

interface Scene {
  readonly cnf: string;
  /** Name of the link on both sides. */
  readonly dev: string;
  readonly extra: string;
}

/** The router with a relay, and a CNF whose way to everybody is by it. */
async function addRelay(lab: Lab): Promise<Scene> {
  const cnf = await lab.addNetns('cnf');
  const extra = `punt: { state: ${lab.dir}/state }\npunts:\n  - { name: relay, netns: ${cnf}, type: dhcp-proxy, l3: all }\n`;
  await lab.addRouter({ extra });
  const dev = await relayDevice(cnf);
  await ip(cnf, 'route', 'add', 'default', 'via', OURS4);
  await ip(cnf, '-6', 'route', 'add', 'default', 'via', OURS6);
  return { cnf, dev, extra };
}

system(
  'dhclient gets its addresses from a dnsmasq in a CNF',
  async (t, lab) => {
    const { cnf, dev } = await addRelay(lab);
    const server = addServer(lab, cnf, dev);
    const client4 = new DhcpClient(lab, 4);
    const four = await client4.bound();
    t.match(four, /^BOUND 10\.0\.0\.1[0-5][0-9] 192\.168\.111\.2$/, four);
    await client4.stop();
    if (lab.dataplane !== 'embedded') {
      // it counts by interface, not by reason
      const passed = await lab.lcpd.json<StatRow[]>(['punt', 'stats']);
      for (const way of ['rx-packets', 'tx-packets']) {
        const count = passed.find(({ object, name }) => object === `interconnect ${dev}` && name === way)?.value ?? 0;
        t.ok(count >= 2, `${dev}, ${way}: ${count}`);
      }
      // VPP loses answers of servers that put the message before the interface, as dnsmasq does, and what is left to be summed by a device
      await server.stop();
      await run(inNetns(cnf, ['ethtool', '-K', dev, 'tx', 'off']));
      await run(inNetns(lab.ns('h0'), ['ethtool', '-K', 'eth0', 'tx', 'off']));
      addKea(lab, cnf, dev, CNF6);
      const client = new DhcpClient(lab, 6);
      t.match(await client.bound(), /^BOUND6 fd00::1[0-9a-f]{2} /, 'a lease by DHCPv6 from Kea');
      await client.stop();
      return;
    }
    const client6 = new DhcpClient(lab, 6);
    const six = await client6.bound();
    t.match(six, /^BOUND6 fd00::1[0-9a-f]{2} /, six);
    await client6.stop();
    const stats = await lab.lcpd.json<StatRow[]>(['punt', 'stats']);
    const sent = stats.find(({ name }) => name === 'dhcp-relay-sent');
    t.ok((sent?.value ?? 0) >= 8, `${sent?.value} packets relayed: four of each conversation`);
    const wrong = stats.filter(
      ({ name, value }) => name.startsWith('dhcp-relay-') && name !== 'dhcp-relay-sent' && value > 0,
    );
    t.same(wrong, [], 'and none refused');
    const servers = stats.filter(({ object, name }) => object.startsWith('punt dhcp-proxy ') && name === 'packets');
    t.equal(servers.length, 2);
    for (const { object, value } of servers) t.ok(value >= 2, `${object}: ${value} to the server`);
  },
  withTaps,
);

system(
  'dhclient renews its lease by unicast to the CNF, over the deaths of lcpd and of the forwarder too',
  async (t, lab) => {
    const { cnf, dev } = await addRelay(lab);
    const server = addServer(lab, cnf, dev);
    await ip(lab.ns('h0'), 'address', 'del', '10.0.0.2/24', 'dev', 'eth0');
    const client = new DhcpClient(lab, 4);
    const bound = await client.bound();
    const address = bound.split(' ')[1] ?? '';
    const acks = (): number => server.log().split(`DHCPREQUEST(${dev}) ${address}`).length - 1;
    const before = acks();
    const seen = await capture(
      {
        ns: cnf,
        dev,
        filter: 'udp port 67',
        logFile: `${lab.dir}/renewal.log`,
        until: /\.67 > .*\.68: BOOTP\/DHCP, Reply/,
      },
      () => client.renewed(),
    );
    t.match(client.told('RENEW')[0], `RENEW ${address} ${CNF4}`);
    t.ok(acks() > before, 'the server was asked again');
    const asked = `${address}.68 > ${CNF4}.67: BOOTP/DHCP, Request`;
    t.ok(seen.includes(asked), `by the client itself, not by the relay: ${asked}`);
    t.ok(seen.includes(`${CNF4}.67 > ${address}.68: BOOTP/DHCP, Reply`), 'and answered it');
    t.notOk(seen.includes(`${OURS4}.67`), 'without the relay');

    await lab.lcpd.kill();
    t.ok(await client.renewed(), 'without lcpd');
    await lab.lcpd.start();
    await lab.lcpd.synced();
    t.ok(await client.renewed(), 'with another one');
    await killForwarder(lab);
    await lab.lcpd.synced();
    t.ok(await client.renewed(), 'by another forwarder');
    await client.stop();
    t.match(await new DhcpClient(lab, 6).bound(), /^BOUND6 /, 'whose relay is as the one before');
  },
  { not: notVpp },
);

/** What the kernel and the data plane would do with a packet: 'DEV [via GATEWAY]', or 'local'. */
async function ways(lab: Lab, address: string): Promise<readonly [kernel: string, dataplane: string]> {
  await lab.lcpd.synced();
  const [route] = await ipJson<{ type?: string; dev: string; gateway?: string }>(lab.ns('cp'), 'route', 'get', address);
  const [row] = await lab.lcpd.lookup([address]);
  if (row === undefined || 'error' in row) throw new Error(JSON.stringify(row));
  const text = (dev = '', via = ''): string => `${dev}${via && ` via ${via}`}`;
  const [path] = row.paths;
  return [
    route?.type === 'local' ? 'local' : text(route?.dev, route?.gateway),
    row.type === 'local' ? 'local' : text(path?.dev, path?.via),
  ];
}

system(
  'the link of a relay is an interface of the router: routed both ways, with addresses, ICMP errors and the kernel’s own routes',
  async (t, lab) => {
    const { cnf, dev, extra } = await addRelay(lab);
    const [cp, h0] = [lab.ns('cp'), lab.ns('h0')];
    t.same(await addressesIn(lab, 'cp', dev), [`${OURS4}/30`, `${OURS6}/126`]);
    for (const address of [CNF4, CNF6]) t.ok(await reachable(h0, address), `a client reaches ${address}`);
    for (const address of [OURS4, OURS6, '10.0.0.2', 'fd00:0::2', '10.0.1.2', 'fd00:1::2'])
      t.ok(await reachable(cnf, address), `the CNF reaches ${address}`);
    t.same(await traceroute(cnf, '10.0.0.2'), [OURS4, '10.0.0.2'], 'by a router that says where it is');
    t.same(await traceroute(cnf, 'fd00:0::2'), [OURS6, 'fd00::2']);
    t.same(await traceroute(h0, CNF4), ['10.0.0.1', CNF4]);
    const { text } = await ping(cnf, '203.0.113.9', { count: 1 });
    t.match(text, new RegExp(`From ${OURS4} .*Net Unreachable`));

    for (const [address, way] of [
      [CNF4, dev],
      [CNF6, dev],
      [OURS4, 'local'],
      [OURS6, 'local'],
    ] as const)
      t.same(await ways(lab, address), [way, way], `${address}: ${way}`);
    await ip(cp, 'route', 'add', `${CNF4}/32`, 'via', '10.0.1.2');
    t.same(await ways(lab, CNF4), ['e1 via 10.0.1.2', 'e1 via 10.0.1.2'], 'a more specific route is');
    await ip(cp, 'route', 'del', `${CNF4}/32`);
    await ip(cp, 'route', 'add', '192.168.111.0/30', 'via', '10.0.1.2', 'metric', '50');
    t.same(await ways(lab, CNF4), [dev, dev], 'one of another metric is not');
    await ip(cp, 'route', 'del', '192.168.111.0/30', 'metric', '50');
    await ip(cp, 'route', 'prepend', '192.168.111.0/30', 'via', '10.0.1.2');
    t.same(await ways(lab, CNF4), ['e1 via 10.0.1.2', 'e1 via 10.0.1.2'], 'one that was put in front is');
    await ip(cp, 'route', 'del', '192.168.111.0/30', 'via', '10.0.1.2');
    t.same(await ways(lab, CNF4), [dev, dev]);

    await ip(cp, 'address', 'flush', 'dev', dev);
    await waitFor('the addresses to be back', async () => (await addressesIn(lab, 'cp', dev)).length === 2);
    await ip(cp, 'link', 'set', dev, 'down');
    for (const address of [CNF4, CNF6]) t.ok(await reachable(h0, address), `who changes it is put right: ${address}`);

    lab.lcpd.writeConfig(lab.config({ extra: extra.replace(/punts:[\s\S]*$/, '') }));
    t.equal((await lab.lcpd.ctl(['reload'])).code, 0);
    await lab.waitNoLink('cnf', dev);
    await lab.waitNoLink('cp', dev);
    for (const address of [CNF4, OURS4]) t.notMatch(await ip(cp, 'route', 'show', 'table', 'all'), address);
    await lab.lcpd.synced();
    const held = await lab.lcpd.json<{ phy: string }[]>(['show', 'pairs']);
    t.same(held.map(({ phy }) => phy).sort(), ['p0', 'p1'], 'nothing is left of it');
  },
  { not: notVpp },
);

system(
  'a relay whose CNF lives where the router’s own addresses are: the kernel has both ends, and routes what is for either',
  async (t, lab) => {
    const extra = (cp: string): string =>
      `punt: { state: ${lab.dir}/state }\npunts:\n  - { name: relay, netns: ${cp}, type: dhcp-proxy, l3: ipv4 }\n`;
    await lab.addRouter({ extra: extra(lab.ns('cp')) });
    const cp = lab.ns('cp');
    const dev = await waitFor(
      'the device',
      async () =>
        (await ipJson<{ ifname: string; ifalias?: string }>(cp, 'link')).find(({ ifalias }) =>
          /^lcpd punt /.test(ifalias ?? ''),
        )?.ifname,
    );
    await waitFor('its address', async () => (await addressesIn(lab, 'cp', dev)).includes(`${CNF4}/30`));
    addServer(lab, cp, dev);
    t.match(await new DhcpClient(lab, 4).bound(), /^BOUND 10\.0\.0\.1[0-5][0-9] 192\.168\.111\.2$/);
    t.ok(await reachable(lab.ns('h0'), CNF4), 'and a client reaches the server without the relay');
    t.same(await addressesIn(lab, 'cp', dev), [`${CNF4}/30`], 'its device is the CNF’s');
  },
  { not: notVpp },
);
