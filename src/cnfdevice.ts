// CnfDevice: what stands between a device as it is in its namespace and as it should be: pure, from the kernel's view.
//
// What is asked for comes in the order in which it can be had: no link-local address of the kernel's own making before the
// device is up, its VRF before its addresses (enslaving takes IPv6 addresses away), up at last. A plan ends behind what changes
// the ground of the rest: the kernel is read again then. Addresses with a lifetime belong to a protocol (DHCP, SLAAC) and stay.

import { formatMac, parseMac } from './lib/bytes.ts';
import { AF_INET6, familyOf, formatIp, parsePrefix } from './lib/ip.ts';
import type { Address, AddressRequest } from './netlink/address.ts';
import type { LinkChange } from './netlink/change.ts';
import type { Link } from './netlink/link.ts';
import * as k from './netlink/uapi.ts';
import type { CnfDevice } from './punt/derive.ts';

/** Alias of the VRF devices that lcpd has made for punts: no others are ever deleted. */
export const VRF_MARK = 'lcpd punt';

/** The host device of an lcpd pair whose phy is an interconnect, as it should be. */
export interface CnfHost {
  readonly netns: string;
  readonly name: string;
  /** '': as it is. */
  readonly mac: string;
  /** 'address/length' */
  readonly addresses: readonly string[];
  /** Its VRF is the one of this table, where there is one; 0 and 254 are main. */
  readonly table: number;
  /** Bytes, 0: as it is. */
  readonly mtu: number;
}

export interface CnfWish {
  readonly netns: string;
  /** 'dev:ino'; '': whichever namespace has the name. */
  readonly netnsId: string;
  readonly name: string;
  /** '': as it is. */
  readonly mac: string;
  /** Bytes, 0: as it is. */
  readonly mtu: number;
  readonly addresses: readonly string[];
  /** Made where it is missing. */
  readonly vrf: { readonly name: string; readonly table: number } | undefined;
  /** Table whose VRF it belongs to, where there is one; 0: none. */
  readonly table: number;
  /** Whether the kernel is to give it no link-local address by itself. */
  readonly quiet: boolean;
}

export const wishOfDevice = (device: CnfDevice): CnfWish => ({ ...device, table: 0, quiet: true });

export const wishOfHost = ({ netns, name, mac, addresses, table, mtu }: CnfHost): CnfWish => ({
  ...{ netns, name, mac, addresses, mtu, netnsId: '', vrf: undefined, quiet: false },
  table: table === k.RT_TABLE_MAIN ? 0 : table,
});

/** A namespace as the kernel tells it. */
export interface CnfView {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
}

/** What this life of lcpd remembers of a device. */
export interface CnfMemory {
  /** A wish of it had addresses, so those that are there may be ours. */
  hadAddresses: boolean;
  /** VRF that we have put it into. */
  enslaved: number | undefined;
}

/** One request to the kernel. `text` says what it is for, the same words for the same thing. */
export type CnfStep = { readonly text: string } & (
  | { readonly what: 'vrf'; readonly name: string; readonly table: number }
  | { readonly what: 'set'; readonly ifindex: number; readonly change: LinkChange }
  | { readonly what: 'add' | 'remove'; readonly address: AddressRequest }
  | { readonly what: 'delete'; readonly ifindex: number }
);

export interface CnfPlan {
  /** Undefined: the device is not there. */
  readonly ifindex: number | undefined;
  readonly steps: readonly CnfStep[];
  /** What is in the way and no request can change; ''. */
  readonly obstacle: string;
}

const isUp = (link: Link): boolean => (link.flags & k.IFF_UP) !== 0;

export const isMarked = (link: Link): boolean => link.kind === 'vrf' && link.alias === VRF_MARK;

const set = (text: string, ifindex: number, change: LinkChange): CnfStep => ({ what: 'set', text, ifindex, change });

/** The link-local address that the kernel makes of a MAC address (RFC 4291, appendix A). */
function eui64(mac: string): string {
  const m = parseMac(mac);
  if (m === undefined || m.length !== 6) return '';
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = m;
  return formatIp(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]));
}

/** Stops the making of link-local addresses; what was made before, because the device was up already, goes first. */
function quietSteps({ name, quiet }: CnfWish, link: Link, own: readonly Address[]): CnfStep[] {
  const { ifindex, addrGenMode, mac = '' } = link;
  if (!quiet || addrGenMode === undefined || addrGenMode === k.IN6_ADDR_GEN_MODE_NONE) return [];
  const made = own.filter(
    // kernels before 5.18 do not say who made an address
    ({ proto, local }) => proto === k.IFAPROT_KERNEL_LL || (proto === undefined && local === eui64(mac)),
  );
  // the mode is what tells that they may be there, so it stays until they are gone
  if (made.length > 0) return made.map((address) => removal(name, address));
  const change = { addrGenMode: k.IN6_ADDR_GEN_MODE_NONE };
  return [set(`device ${name}: no link-local addresses by the kernel`, ifindex, change)];
}

function removal(name: string, { family, ifindex, prefixlen, local, address }: Address): CnfStep {
  const text = `device ${name}: without address ${local}/${prefixlen}`;
  return { what: 'remove', text, address: { family, ifindex, prefixlen, local, address } };
}

interface Mastered {
  readonly steps: readonly CnfStep[];
  readonly obstacle: string;
}

const NOTHING: Mastered = { steps: [], obstacle: '' };
const obstructed = (obstacle: string): Mastered => ({ steps: [], obstacle });

function intoVrf(wish: CnfWish, link: Link, vrf: Link): Mastered {
  const steps: CnfStep[] = [];
  if (isMarked(vrf) && !isUp(vrf)) steps.push(set(`VRF device ${vrf.name}: up`, vrf.ifindex, { up: true }));
  if (link.master !== vrf.ifindex)
    steps.push(set(`device ${wish.name}: into VRF ${vrf.name}`, link.ifindex, { master: vrf.ifindex }));
  return { steps, obstacle: '' };
}

/** What its VRF takes: the rest waits for it. */
function masterSteps(wish: CnfWish, link: Link, view: CnfView, memory: CnfMemory): Mastered {
  if (wish.vrf !== undefined) {
    const { name, table } = wish.vrf;
    const vrf = view.links.find((other) => other.name === name);
    if (vrf === undefined) {
      return { steps: [{ what: 'vrf', text: `VRF device ${name} of table ${table}`, name, table }], obstacle: '' };
    }
    const kind = vrf.kind ?? 'device of no kind';
    if (vrf.kind !== 'vrf') return obstructed(`${name} is to be a VRF device of table ${table}, and is a ${kind}`);
    const has = vrf.info?.vrf?.table ?? 0;
    if (has !== table) return obstructed(`VRF device ${name} is there with table ${has}, not with table ${table}`);
    return intoVrf(wish, link, vrf);
  }
  if (wish.table !== 0) {
    const ofTable = view.links.filter(({ kind, info }) => kind === 'vrf' && info?.vrf?.table === wish.table);
    // where two have it, the one that it is in is as good
    const vrf = ofTable.find(({ ifindex }) => ifindex === link.master) ?? ofTable[0];
    return vrf === undefined ? NOTHING : intoVrf(wish, link, vrf);
  }
  const master = view.links.find(({ ifindex }) => ifindex === link.master);
  // what others have put it into is theirs
  if (master === undefined || !(isMarked(master) || master.ifindex === memory.enslaved)) return NOTHING;
  return { steps: [set(`device ${wish.name}: out of VRF ${master.name}`, link.ifindex, { master: 0 })], obstacle: '' };
}

function addressSteps(wish: CnfWish, { ifindex }: Link, own: readonly Address[], memory: CnfMemory): Mastered {
  const wanted = new Map<string, AddressRequest>();
  for (const text of wish.addresses) {
    const prefix = parsePrefix(text);
    if (prefix === undefined) return obstructed(`not an address with its length: ${text}`);
    const local = formatIp(prefix.bytes);
    const family = familyOf(local);
    const flags = family === AF_INET6 ? k.IFA_F_NODAD : 0;
    wanted.set(`${local}/${prefix.length}`, { family, ifindex, prefixlen: prefix.length, local, flags });
  }
  const keyOf = ({ local, prefixlen }: Address): string => `${local}/${prefixlen}`;
  const has = new Set(own.map(keyOf));
  const missing = [...wanted].filter(([key]) => !has.has(key));
  const isOurs = ({ scope, flags }: Address): boolean =>
    memory.hadAddresses && scope === k.RT_SCOPE_UNIVERSE && (flags & k.IFA_F_PERMANENT) !== 0;
  const excess = own.filter((address) => !wanted.has(keyOf(address)));
  // IPv6 has an address once, whatever its length: the old one has to go first
  const before = excess.filter((a) => a.family === AF_INET6 && missing.some(([, { local }]) => local === a.local));
  const after = excess.filter((a) => !before.includes(a) && isOurs(a));
  const steps: CnfStep[] = [
    ...before.map((address) => removal(wish.name, address)),
    ...missing.map(
      ([key, address]): CnfStep => ({ what: 'add', text: `device ${wish.name}: address ${key}`, address }),
    ),
    ...after.map((address) => removal(wish.name, address)),
  ];
  return { steps, obstacle: '' };
}

/** What a device wants next; nothing more to do is a device without steps and obstacle. */
export function planOf(wish: CnfWish, view: CnfView, memory: CnfMemory): CnfPlan {
  const { name, mac, mtu } = wish;
  const link = view.links.find((other) => other.name === name);
  if (link === undefined) return { ifindex: undefined, steps: [], obstacle: '' };
  const { ifindex } = link;
  const own = view.addresses.filter((address) => address.ifindex === ifindex);
  const steps = quietSteps(wish, link, own);
  const bytes = mac === '' ? undefined : parseMac(mac);
  const wantedMac = bytes === undefined ? '' : formatMac(bytes);
  if (wantedMac !== '' && link.mac !== wantedMac) steps.push(set(`device ${name}: MAC ${mac}`, ifindex, { mac }));
  if (mtu !== 0 && link.mtu !== mtu) steps.push(set(`device ${name}: MTU ${mtu}`, ifindex, { mtu }));
  const mastered = masterSteps(wish, link, view, memory);
  steps.push(...mastered.steps);
  if (mastered.steps.length > 0 || mastered.obstacle !== '') return { ifindex, steps, obstacle: mastered.obstacle };
  const addressed = addressSteps(wish, link, own, memory);
  steps.push(...addressed.steps);
  if (!isUp(link)) steps.push(set(`device ${name}: up`, ifindex, { up: true }));
  return { ifindex, steps, obstacle: addressed.obstacle };
}

/** VRF devices of ours that nobody needs. Where lcpd had no wish in this life, only those that nothing is in. */
export function staleVrfs({ links }: CnfView, needed: ReadonlySet<string>, hadWishes: boolean): CnfStep[] {
  return links
    .filter((link) => isMarked(link) && !needed.has(link.name))
    .filter(({ ifindex }) => hadWishes || !links.some(({ master }) => master === ifindex))
    .map(({ ifindex, name }) => ({ what: 'delete', text: `VRF device ${name}: gone`, ifindex }));
}
