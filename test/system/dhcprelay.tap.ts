/**
 * The DHCP relay of the embedded data plane with programs that know nothing of it: ISC's dhclient behind a phy, dnsmasq
 * in the namespace of a CNF, over the interconnect that the request has brought along, IPv4 and IPv6.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { inNetns, ipJson } from './lab/netns.ts';
import { Daemon, waitFor } from './lab/process.ts';
import { type Lab, system } from './lab.ts';

interface StatRow {
  readonly object: string;
  readonly name: string;
  readonly value: number;
}

/** The server of both families for clients behind p0, on what the CNF's device is called. */
function addServer(lab: Lab, cnf: string, dev: string): Daemon {
  const argv = ['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0', '--log-dhcp', '--leasefile-ro'];
  const where = [`--interface=${dev}`, `--pid-file=${lab.dir}/dnsmasq.pid`, '--user=root', '--dhcp-authoritative'];
  const ranges = ['--dhcp-range=10.0.0.100,10.0.0.150,255.255.255.0,1h', '--dhcp-range=fd00:0::100,fd00:0::1ff,64,1h'];
  const server = new Daemon('dnsmasq', inNetns(cnf, [...argv, ...where, ...ranges]), `${lab.dir}/dnsmasq.log`);
  lab.defer(() => server.stop());
  return server;
}

/** What a client is told, which it does not configure: 'BOUND 10.0.0.100 FROM'. */
async function lease(lab: Lab, family: 4 | 6): Promise<string> {
  const [told, script] = [`${lab.dir}/told${family}`, `${lab.dir}/script${family}`];
  const words = '$reason $new_ip_address$new_ip6_address $new_dhcp_server_identifier';
  writeFileSync(script, `#!/bin/sh\necho "${words}" >> ${told}\n`);
  chmodSync(script, 0o755);
  const files = ['-sf', script, '-lf', `${lab.dir}/leases${family}`, '-pf', `${lab.dir}/dhclient${family}.pid`];
  const argv = ['dhclient', `-${family}`, '-d', '-v', '-cf', '/dev/null', ...files, 'eth0'];
  const client = new Daemon('dhclient', inNetns(lab.ns('h0'), argv), `${lab.dir}/dhclient${family}.log`);
  try {
    return await waitFor(
      `a lease by DHCPv${family}`,
      () => existsSync(told) && /^BOUND6? .*$/m.exec(readFileSync(told, 'utf8'))?.[0],
      { timeoutMs: 40_000 },
    );
  } finally {
    await client.stop();
  }
}

system(
  'dhclient gets its addresses from a dnsmasq in a CNF',
  async (t, lab) => {
    const cnf = await lab.addNetns('cnf');
    const extra = `punts:\n  - { name: relay, netns: ${cnf}, type: dhcp-proxy, l3: all }\n`;
    const lcpd = await lab.addRouter({ extra });
    const dev = await waitFor('the device of the CNF', async () => {
      const links = await ipJson<{ ifname: string; addr_info: { local: string }[] }>(cnf, 'address', 'show', 'up');
      return links.find(({ ifname, addr_info }) => ifname !== 'lo' && addr_info.length >= 2)?.ifname;
    });
    addServer(lab, cnf, dev);
    const four = await lease(lab, 4);
    t.match(four, /^BOUND 10\.0\.0\.1[0-5][0-9] /, four);
    const six = await lease(lab, 6);
    t.match(six, /^BOUND6 fd00::1[0-9a-f]{2} /, six);
    const stats = await lcpd.json<StatRow[]>(['punt', 'stats']);
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
  { not: { vpp: 'VPP has its own: test/vpp/relay.tap.ts', 'linux-cp': 'VPP has its own' } },
);
