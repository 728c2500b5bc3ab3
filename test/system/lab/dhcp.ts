/**
 * DHCP with programs that know nothing of lcpd: dnsmasq as the server of both families in the namespace of a CNF, or Kea of
 * IPv6, ISC's dhclient behind a phy.
 *
 * Invariants: a client configures its address itself, as on any host, and goes on renewing it until it is stopped. The server
 * says when it is to renew (option 58), since no lease of its is shorter than two minutes.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Lab } from '../lab.ts';
import { inNetns, ipJson } from './netns.ts';
import { Daemon, waitFor } from './process.ts';

/** Seconds from a lease of IPv4 to its renewal. */
const RENEW_S = 4;

/** The device of a relay's link, once the CNF's side has what it is to have: an address of each family. */
export const relayDevice = (cnf: string, addresses = 2): Promise<string> =>
  waitFor('the device of the CNF', async () => {
    const links = await ipJson<{ ifname: string; addr_info: { local: string }[] }>(cnf, 'address', 'show', 'up');
    return links.find(({ ifname, addr_info }) => ifname !== 'lo' && addr_info.length >= addresses)?.ifname;
  });

/** The server of both families for clients behind p0, on what the CNF's device is called. */
export function addServer(lab: Lab, cnf: string, dev: string): Daemon {
  const argv = ['dnsmasq', '--no-daemon', '--conf-file=/dev/null', '--port=0', '--log-dhcp', '--leasefile-ro'];
  const where = [`--interface=${dev}`, `--pid-file=${lab.dir}/dnsmasq.pid`, '--user=root', '--dhcp-authoritative'];
  const ranges = ['--dhcp-range=10.0.0.100,10.0.0.150,255.255.255.0,1h', '--dhcp-range=fd00:0::100,fd00:0::1ff,64,1h'];
  const renewal = `--dhcp-option=option:T1,${RENEW_S}`;
  const server = new Daemon('dnsmasq', inNetns(cnf, [...argv, ...where, ...ranges, renewal]), `${lab.dir}/dnsmasq.log`);
  lab.defer(() => server.stop());
  return server;
}

/** A server of IPv6 that puts the interface's number before the message, as VPP's relay wants it, on the CNF's own address. */
export function addKea(lab: Lab, cnf: string, dev: string, address: string): Daemon {
  const config = {
    'interfaces-config': { interfaces: [dev, `${dev}/${address}`] },
    'lease-database': { type: 'memfile', persist: false },
    'server-id': { type: 'EN', persist: false },
    subnet6: [{ subnet: 'fd00::/64', pools: [{ pool: 'fd00::100-fd00::1ff' }] }],
    loggers: [{ name: 'kea-dhcp6', severity: 'DEBUG', debuglevel: 40, output_options: [{ output: 'stdout' }] }],
  };
  const file = `${lab.dir}/kea.json`;
  writeFileSync(file, JSON.stringify({ Dhcp6: config }));
  const where = ['KEA_PIDFILE_DIR', 'KEA_LOCKFILE_DIR', 'KEA_DHCP_DATA_DIR'].map((name) => `${name}=${lab.dir}`);
  const server = new Daemon('kea', inNetns(cnf, ['env', ...where, 'kea-dhcp6', '-c', file]), `${lab.dir}/kea.log`);
  lab.defer(() => server.stop());
  return server;
}

export class DhcpClient {
  readonly #lab: Lab;
  readonly #family: 4 | 6;
  readonly #daemon: Daemon;

  /** A client on eth0 of h0. */
  constructor(lab: Lab, family: 4 | 6) {
    this.#lab = lab;
    this.#family = family;
    const script = `${lab.dir}/script${family}`;
    const words = '$reason $new_ip_address$new_ip6_address $new_dhcp_server_identifier';
    const address = 'ip address replace "$new_ip_address/24" dev "$interface"';
    const configure = `if [ -n "$new_ip_address" ]; then ${address}; ip route replace default via 10.0.0.1; fi`;
    writeFileSync(script, `#!/bin/sh\n${configure}\necho "${words}" >> ${this.#told}\n`);
    chmodSync(script, 0o755);
    const files = ['-sf', script, '-lf', `${lab.dir}/leases${family}`, '-pf', `${lab.dir}/dhclient${family}.pid`];
    const argv = ['dhclient', `-${family}`, '-d', '-v', '-cf', '/dev/null', ...files, 'eth0'];
    this.#daemon = new Daemon('dhclient', inNetns(lab.ns('h0'), argv), `${lab.dir}/dhclient${family}.log`);
    lab.defer(() => this.stop());
  }

  get #told(): string {
    return `${this.#lab.dir}/told${this.#family}`;
  }

  /** What it was told so far, a line each: 'BOUND 10.0.0.100 192.168.111.2'. */
  told(reason: 'BOUND' | 'BOUND6' | 'RENEW'): string[] {
    const text = existsSync(this.#told) ? readFileSync(this.#told, 'utf8') : '';
    return text.split('\n').filter((line) => line.startsWith(`${reason} `));
  }

  /** Its lease. */
  bound(): Promise<string> {
    return waitFor(`a lease by DHCPv${this.#family}`, () => this.told(this.#family === 4 ? 'BOUND' : 'BOUND6')[0], {
      timeoutMs: 40_000,
    });
  }

  /** A renewal from now on. */
  renewed(): Promise<string> {
    const before = this.told('RENEW').length;
    return waitFor('a renewal', () => this.told('RENEW')[before], { timeoutMs: 40_000 });
  }

  stop(): Promise<unknown> {
    return this.#daemon.stop();
  }
}
