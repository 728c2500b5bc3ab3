/**
 * Protocol lab: the namespaces, cables and routers that protocols.ts describes, started.
 */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';
import type { Lab } from '../lab.ts';
import { Bird } from './bird.ts';
import { Frr, type FrrDaemon } from './frr.ts';
import type { Lcpd } from './lcpd.ts';
import { addVeth, ip, ipJson, pidsIn, sysctl } from './netns.ts';
import { waitFor } from './process.ts';
import {
  addresses,
  backupConfig,
  eastConfig,
  routerConfig,
  routerDaemons,
  sourceNet,
  virtual,
  virtualMac,
  vrid,
  westConfig,
  westDaemons,
} from './protocols.ts';

export interface ProtocolLab {
  readonly lcpd: Lcpd;
  readonly router: Frr;
  readonly west: Frr;
  readonly east: Bird;
  readonly backup: Frr;
}

async function addAddresses(ns: string, ...sides: (1 | 2 | 3)[]): Promise<void> {
  for (const address of addresses(...sides)) {
    await ip(ns, 'address', 'add', `${address}/${address.includes(':') ? 128 : 32}`, 'dev', 'lo');
  }
}

/** Forwards, and learns its routes by protocols alone. */
async function makeRouter(ns: string): Promise<void> {
  await sysctl(ns, { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  await ip(ns, 'route', 'del', 'default');
  await ip(ns, '-6', 'route', 'del', 'default');
}

/** As a router's kernel: its routes are its daemons' business, not those of other routers' advertisements. */
const ignoreAdvertisements = (ns: string, ...devs: string[]): Promise<void> =>
  sysctl(ns, Object.fromEntries(devs.map((dev) => [`net.ipv6.conf.${dev}.accept_ra`, 0])));

/** The macvlan devices that vrrpd wants: it finds them by their address. */
async function addVrrpDevices(ns: string, dev: string): Promise<void> {
  // The real interface must not answer for the virtual router's address with its own MAC address.
  await sysctl(ns, { [`net.ipv4.conf.${dev}.arp_ignore`]: 1, [`net.ipv4.conf.${dev}.arp_announce`]: 2 });
  for (const [name, mac, own] of [
    [`vrrp4-${vrid}`, virtualMac.v4, [`${virtual.v4}/24`]],
    [`vrrp6-${vrid}`, virtualMac.v6, [`${virtual.linkLocal}/64`, `${virtual.v6}/64`]],
  ] as const) {
    await ip(ns, 'link', 'add', name, 'link', dev, 'type', 'macvlan', 'mode', 'bridge');
    await ip(ns, 'link', 'set', 'dev', name, 'address', mac, 'addrgenmode', 'none');
    for (const address of own) await ip(ns, 'address', 'add', address, 'dev', name);
    await ip(ns, 'link', 'set', 'dev', name, 'up');
  }
}

/** h2 becomes the LAN: a bridge that is the client too, and the backup router behind it. */
async function makeLan(lab: Lab): Promise<void> {
  const h2 = lab.ns('h2');
  const backup = await lab.addNetns('backup', true);
  await ip(h2, 'address', 'flush', 'dev', 'eth0');
  await ip(h2, 'link', 'add', 'br0', 'type', 'bridge', 'mcast_snooping', '0');
  await addVeth({ ns: h2, dev: 'b0' }, { ns: backup, dev: 'lan0' });
  for (const port of ['eth0', 'b0']) await ip(h2, 'link', 'set', port, 'master', 'br0', 'up');
  await ip(h2, 'link', 'set', 'br0', 'up');
  await ip(h2, 'address', 'add', '10.0.2.2/24', 'dev', 'br0');
  await ip(h2, 'address', 'add', 'fd00:2::2/64', 'dev', 'br0');
  await ip(h2, 'route', 'add', 'default', 'via', virtual.v4);
  await ip(h2, '-6', 'route', 'replace', 'default', 'via', virtual.v6);
  await ignoreAdvertisements(backup, 'default', 'lan0');
  await ip(backup, 'link', 'set', 'lan0', 'up');
  await ip(backup, 'address', 'add', '10.0.2.3/24', 'dev', 'lan0');
  await ip(backup, 'address', 'add', 'fd00:2::3/64', 'dev', 'lan0');
  await addVrrpDevices(backup, 'lan0');
}

/** A multicast source behind west. */
async function addSource(lab: Lab): Promise<void> {
  const [src, west] = [await lab.addNetns('src'), lab.ns('h0')];
  await addVeth({ ns: src, dev: 'eth0' }, { ns: west, dev: 'lan0' });
  await ip(src, 'link', 'set', 'eth0', 'up');
  await ip(west, 'link', 'set', 'lan0', 'up');
  await ip(src, 'address', 'add', `${sourceNet.host}/24`, 'dev', 'eth0');
  await ip(west, 'address', 'add', `${sourceNet.router}/24`, 'dev', 'lan0');
  await ip(src, 'route', 'add', 'default', 'via', sourceNet.router);
}

async function linkLocal(ns: string, dev: string): Promise<string> {
  return waitFor(`a link-local address on ${dev}`, async () => {
    const [link] = await ipJson<{ addr_info: { local: string; scope: string }[] }>(
      ns,
      '-6',
      'address',
      'show',
      'dev',
      dev,
    );
    return link?.addr_info.find((a) => a.scope === 'link')?.local;
  });
}

/** Above the load: routers have processors of their own, and frr.service asks for as much. */
const priority = -10;

/**
 * What runs in the namespace goes before others. A daemon has a session of its own, and where the kernel schedules by
 * session it is that which must come first. Reference: sched(7), "autogroup".
 */
async function prefer(ns: string): Promise<void> {
  for (const pid of await pidsIn(ns)) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) setPriority(Number(thread), priority);
    const session = `/proc/${pid}/autogroup`;
    if (existsSync(session)) writeFileSync(session, String(priority));
  }
}

export async function build(lab: Lab): Promise<ProtocolLab> {
  const lcpd = await lab.addRouter({ ports: 3 });
  const [cp, h0, h1] = [lab.ns('cp'), lab.ns('h0'), lab.ns('h1')];
  await ignoreAdvertisements(cp, 'default', 'e0', 'e1', 'e2');
  await Promise.all([makeRouter(h0), makeRouter(h1), makeLan(lab), addSource(lab)]);
  await Promise.all([addAddresses(h0, 1, 3), addAddresses(h1, 2, 3), addVrrpDevices(cp, 'e2')]);
  const frr = async (ns: string, daemons: readonly FrrDaemon[], config: string): Promise<Frr> => {
    const started = await Frr.start({ ns, name: ns, daemons, config, dir: lab.dir });
    lab.defer(() => started.stop());
    return started;
  };
  const startEast = async (): Promise<Bird> => {
    const config = eastConfig(await linkLocal(h1, 'eth0'), await linkLocal(cp, 'e1'));
    const bird = await Bird.start({ ns: h1, name: 'east', config, dir: lab.dir });
    lab.defer(() => bird.stop());
    return bird;
  };
  const [router, west, backup, east] = await Promise.all([
    frr(cp, routerDaemons, routerConfig()),
    frr(h0, westDaemons, westConfig()),
    frr(lab.ns('backup'), ['vrrpd'], backupConfig()),
    startEast(),
  ]);
  for (const role of ['rtr', 'cp', 'h0', 'h1', 'backup']) await prefer(lab.ns(role));
  return { lcpd, router, west, east, backup };
}
