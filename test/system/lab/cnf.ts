/**
 * Cnf: a namespace of a CNF as a story needs it: the keeper of its devices running in this process, wishes for devices, and
 * what iproute2 sees of them.
 */
import type { Test } from 'tap';
import { CnfDevices } from '../../../src/cnfdevices.ts';
import type { CnfState } from '../../../src/cnfkeeper.ts';
import { createLog } from '../../../src/lib/log.ts';
import { netnsIdentity, netnsPath } from '../../../src/netlink/netns.ts';
import type { CnfDevice } from '../../../src/punt/derive.ts';
import type { Lab } from '../lab.ts';
import { ipJson } from './netns.ts';
import { waitFor } from './process.ts';

export interface SeenDevice {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly ifalias?: string;
  readonly inet6_addr_gen_mode?: string;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly table?: number } };
  readonly addr_info: readonly { readonly local: string; readonly prefixlen: number; readonly nodad?: boolean }[];
}

/** A keeper that ends with the lab; its lines are the test's comments. */
export function addKeeper(t: Test, lab: Lab): CnfDevices {
  const destination = { write: (line: string) => void t.comment(line.trimEnd()) };
  const log = createLog({ levels: { level: 'info', areas: {} }, style: 'pretty', destination });
  const keeper = new CnfDevices({ log: log.area('punt') });
  lab.defer(() => keeper.close());
  return keeper;
}

/** Namespace of a full name as the kernel knows it. */
export function identityOf(netns: string): string {
  const identity = netnsIdentity(netnsPath(netns));
  if (identity === undefined) throw new Error(`no namespace ${netns}`);
  return identity;
}

export const cnfDevice = (netns: string, name: string, n: number, more: Partial<CnfDevice> = {}): CnfDevice => ({
  ...{ netns, netnsId: identityOf(netns), name, mac: `02:fe:00:00:00:0${n}`, mtu: 1400, vrf: undefined },
  addresses: [`10.50.${n}.2/30`, `fd5${n}::2/64`],
  ...more,
});

/** A device as `ip link` and `ip address` show it: each has what the other leaves out. */
export async function seen(netns: string, name: string): Promise<SeenDevice | undefined> {
  const [links, addressed] = await Promise.all([
    ipJson<SeenDevice>(netns, '-details', 'link'),
    ipJson<SeenDevice>(netns, 'address'),
  ]);
  const link = links.find((device) => device.ifname === name);
  const addr_info = addressed.find((device) => device.ifname === name)?.addr_info ?? [];
  return link === undefined ? undefined : { ...link, addr_info };
}

/** Its addresses, those of the link too. */
export async function addressesOf(netns: string, name: string): Promise<string[]> {
  const { addr_info = [] } = (await seen(netns, name)) ?? {};
  return addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

export const settled = (keeper: CnfDevices, netns: string, name: string): Promise<boolean> =>
  waitFor(`${name} to be settled`, () => {
    const state = keeper.state(netns, name);
    if (state !== 'settled') throw new Error(`it is ${JSON.stringify(state)}`);
    return true;
  });

/** Waits for a reason. */
export const refused = (keeper: CnfDevices, netns: string, name: string): Promise<Exclude<CnfState, string>> =>
  waitFor(`${name} to be refused`, () => {
    const state = keeper.state(netns, name);
    return typeof state === 'object' ? state : undefined;
  });

/** Waits until a device has these addresses and no other, in any order, and this master. */
export const whole = (
  netns: string,
  name: string,
  addresses: readonly string[],
  master?: string,
): Promise<SeenDevice> =>
  waitFor(`${name} to have ${addresses.join(' ')}`, async () => {
    const device = await seen(netns, name);
    const has = (device?.addr_info ?? []).map(({ local, prefixlen }) => `${local}/${prefixlen}`);
    const isWhole = device?.flags.includes('UP') === true && device.master === master;
    if (isWhole && has.sort().join(' ') === [...addresses].sort().join(' ')) return device;
    throw new Error(`it is ${JSON.stringify(device)}`);
  });
