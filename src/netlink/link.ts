// Link: an interface as `RTM_NEWLINK` tells it, and the request that makes or changes one.
//
// Invariants: a message of family AF_BRIDGE speaks about a bridge port and one of AF_INET6 about IPv6 settings: only
// AF_UNSPEC says that a device exists or is gone. `link` is an ifindex of this namespace only when `linkNetnsid` is
// absent. `flags` are ifi_flags (IFF_UP is the administrator's word, IFF_LOWER_UP and `carrier` the wire's).
// Reference: linux/if_link.h, linux/if.h; RFC 2863 for operstate.

import { parseMac } from '../lib/bytes.ts';
import { AF_INET6 } from '../lib/ip.ts';
import type { Wire } from './attr.ts';
import { AttributeCursor } from './attr.ts';
import type { MessageWriter } from './message.ts';
import { messageEnd } from './message.ts';
import * as k from './uapi.ts';

export interface VlanInfo {
  readonly id: number;
  /** 0x8100 or 0x88a8. */
  readonly protocol: number;
  /** VLAN_FLAG_*: 1 reorder header, 2 gvrp, 4 loose binding, 8 mvrp, 16 bridge binding. */
  readonly flags?: number;
}

export interface TunInfo {
  readonly type: 'tap' | 'tun';
  readonly persist: boolean;
  readonly vnetHdr: boolean;
  readonly packetInfo: boolean;
  readonly multiQueue: boolean;
}

/** What only links of one kind have; at most one member is set. */
export interface LinkInfo {
  readonly vlan?: VlanInfo;
  readonly vrf?: { readonly table: number };
  readonly tun?: TunInfo;
  readonly bridge?: { readonly vlanFiltering?: boolean; readonly stp?: boolean };
  readonly bond?: { readonly mode: number };
  readonly macvlan?: { readonly mode: number };
  /** Only in requests: the kernel tells the peer of a veth as `link` and `linkNetnsid`. */
  readonly veth?: { readonly peer?: string; readonly peerNetnsFd?: number };
}

export interface Link {
  readonly family: number;
  readonly ifindex: number;
  readonly name: string;
  readonly flags: number;
  /** ARPHRD_*: 1 Ethernet, 772 loopback, 65534 none (TUN). */
  readonly type: number;
  readonly mtu: number;
  readonly mac?: string;
  readonly operstate: number;
  readonly carrier?: boolean;
  readonly master?: number;
  /** Lower device or veth peer. */
  readonly link?: number;
  readonly linkNetnsid?: number;
  readonly kind?: string;
  /** `bond`, `team`, `bridge`, `vrf`, …: what kind of device `master` is. */
  readonly slaveKind?: string;
  /** Table of the VRF that `master` is; only where `slaveKind` is `vrf`. */
  readonly vrfTable?: number;
  /** The control plane's word that the port is to stay down; also RTM_NEWLINK notices of it. */
  readonly protoDown?: boolean;
  readonly alias?: string;
  /** IN6_ADDR_GEN_MODE_*: how IPv6 makes link-local addresses; absent where the device has no IPv6. */
  readonly addrGenMode?: number;
  readonly altnames: readonly string[];
  readonly info?: LinkInfo;
  readonly promiscuity: number;
  readonly minMtu: number;
  readonly maxMtu: number;
  /** Where a device went, in the RTM_DELLINK of a move; -1 when that namespace has no id here. */
  readonly newNetnsid?: number;
  readonly newIfindex?: number;
}

type Draft = { -readonly [K in keyof Link]: Link[K] };

function readInfoData(data: AttributeCursor, kind: string | undefined): LinkInfo | undefined {
  const values = new Map<number, number>();
  while (data.next()) {
    const isTunWord = kind === 'tun' && (data.type === k.IFLA_TUN_OWNER || data.type === k.IFLA_TUN_GROUP);
    if (kind === 'vlan' && data.type === k.IFLA_VLAN_PROTOCOL) values.set(data.type, data.u16be());
    else if (kind === 'vlan' && data.type === k.IFLA_VLAN_ID) values.set(data.type, data.u16());
    else if (kind === 'vlan' && data.type === k.IFLA_VLAN_FLAGS) values.set(data.type, data.u32());
    else if (kind === 'vrf' && data.type === k.IFLA_VRF_TABLE) values.set(data.type, data.u32());
    else if (kind === 'tun' && !isTunWord && data.type <= k.IFLA_TUN_MULTI_QUEUE) values.set(data.type, data.u8());
    else if (kind === 'bridge' && data.type === k.IFLA_BR_VLAN_FILTERING) values.set(data.type, data.u8());
    else if (kind === 'bridge' && data.type === k.IFLA_BR_STP_STATE) values.set(data.type, data.u32());
    else if (kind === 'bond' && data.type === k.IFLA_BOND_MODE) values.set(data.type, data.u8());
    else if (kind === 'macvlan' && data.type === k.IFLA_MACVLAN_MODE) values.set(data.type, data.u32());
  }
  const value = (type: number): number => values.get(type) ?? 0;
  switch (kind) {
    case 'vlan': {
      const flags = values.get(k.IFLA_VLAN_FLAGS);
      const vlan = { id: value(k.IFLA_VLAN_ID), protocol: value(k.IFLA_VLAN_PROTOCOL) };
      return { vlan: flags === undefined ? vlan : { ...vlan, flags } };
    }
    case 'vrf':
      return { vrf: { table: value(k.IFLA_VRF_TABLE) } };
    case 'tun':
      return {
        tun: {
          type: value(k.IFLA_TUN_TYPE) === 2 ? 'tap' : 'tun',
          persist: value(k.IFLA_TUN_PERSIST) !== 0,
          vnetHdr: value(k.IFLA_TUN_VNET_HDR) !== 0,
          packetInfo: value(k.IFLA_TUN_PI) !== 0,
          multiQueue: value(k.IFLA_TUN_MULTI_QUEUE) !== 0,
        },
      };
    case 'bridge': {
      const stp = value(k.IFLA_BR_STP_STATE) !== 0;
      const filtering = values.get(k.IFLA_BR_VLAN_FILTERING);
      return { bridge: filtering === undefined ? { stp } : { stp, vlanFiltering: filtering !== 0 } };
    }
    case 'bond':
      return { bond: { mode: value(k.IFLA_BOND_MODE) } };
    case 'macvlan':
      return { macvlan: { mode: value(k.IFLA_MACVLAN_MODE) } };
    default:
      return undefined;
  }
}

function readLinkInfo(outer: AttributeCursor, wire: Wire, draft: Draft): void {
  const info = outer.nested();
  let data: { start: number; end: number } | undefined;
  let slaveData: { start: number; end: number } | undefined;
  while (info.next()) {
    if (info.type === k.IFLA_INFO_KIND) draft.kind = info.string();
    else if (info.type === k.IFLA_INFO_SLAVE_KIND) draft.slaveKind = info.string();
    else if (info.type === k.IFLA_INFO_DATA) data = { start: info.value, end: info.value + info.size };
    else if (info.type === k.IFLA_INFO_SLAVE_DATA) slaveData = { start: info.value, end: info.value + info.size };
  }
  outer.adopt(info);
  // The kind tells how to read the data, so the data waits until the whole nest was seen.
  if (slaveData !== undefined && draft.slaveKind === 'vrf') {
    const port = new AttributeCursor(wire, slaveData.start, slaveData.end);
    while (port.next()) if (port.type === k.IFLA_VRF_PORT_TABLE) draft.vrfTable = port.u32();
    outer.adopt(port);
  }
  if (data === undefined) return;
  const cursor = new AttributeCursor(wire, data.start, data.end);
  const read = readInfoData(cursor, draft.kind);
  if (read !== undefined) draft.info = read;
  outer.adopt(cursor);
}

function readAfSpec(outer: AttributeCursor, draft: Draft): void {
  const families = outer.nested();
  while (families.next()) {
    if (families.type !== AF_INET6) continue;
    const settings = families.nested();
    while (settings.next()) if (settings.type === k.IFLA_INET6_ADDR_GEN_MODE) draft.addrGenMode = settings.u8();
    families.adopt(settings);
  }
  outer.adopt(families);
}

/** The link at `offset` (its nlmsghdr), or undefined when the message is malformed. */
export function decodeLink(wire: Wire, offset: number): Link | undefined {
  const end = messageEnd(wire, offset, 16);
  if (end < 0) return undefined;
  const body = offset + k.NLMSG_HDRLEN;
  const altnames: string[] = [];
  const draft: Draft = {
    family: wire.bytes[body] as number,
    type: wire.u16[(body >> 1) + 1] as number,
    ifindex: (wire.u32[(body >> 2) + 1] as number) | 0,
    flags: wire.u32[(body >> 2) + 2] as number,
    name: '',
    mtu: 0,
    operstate: 0,
    altnames,
    promiscuity: 0,
    minMtu: 0,
    maxMtu: 0,
  };
  const a = new AttributeCursor(wire, body + 16, end);
  while (a.next()) {
    switch (a.type) {
      case k.IFLA_IFNAME:
        draft.name = a.string();
        break;
      case k.IFLA_ADDRESS:
        if (a.size > 0) draft.mac = a.mac();
        break;
      case k.IFLA_MTU:
        draft.mtu = a.u32();
        break;
      case k.IFLA_LINK:
        draft.link = a.s32();
        break;
      case k.IFLA_LINK_NETNSID:
        draft.linkNetnsid = a.s32();
        break;
      case k.IFLA_MASTER:
        draft.master = a.u32();
        break;
      case k.IFLA_OPERSTATE:
        draft.operstate = a.u8();
        break;
      case k.IFLA_PROTO_DOWN:
        draft.protoDown = a.u8() !== 0;
        break;
      case k.IFLA_CARRIER:
        draft.carrier = a.u8() !== 0;
        break;
      case k.IFLA_IFALIAS:
        draft.alias = a.string();
        break;
      case k.IFLA_PROMISCUITY:
        draft.promiscuity = a.u32();
        break;
      case k.IFLA_MIN_MTU:
        draft.minMtu = a.u32();
        break;
      case k.IFLA_MAX_MTU:
        draft.maxMtu = a.u32();
        break;
      case k.IFLA_NEW_NETNSID:
        draft.newNetnsid = a.s32();
        break;
      case k.IFLA_NEW_IFINDEX:
        draft.newIfindex = a.s32();
        break;
      case k.IFLA_LINKINFO:
        readLinkInfo(a, wire, draft);
        break;
      case k.IFLA_AF_SPEC:
        // bridge ports have something else in it
        if (draft.family === k.AF_UNSPEC) readAfSpec(a, draft);
        break;
      case k.IFLA_PROP_LIST: {
        const names = a.nested();
        while (names.next()) if (names.type === k.IFLA_ALT_IFNAME) altnames.push(names.string());
        a.adopt(names);
        break;
      }
    }
  }
  return a.malformed ? undefined : draft;
}

/** What a link request may say; what is absent stays as it is. */
export interface LinkRequest {
  readonly family?: number;
  /** 0 or absent when a link is made or addressed by name. */
  readonly ifindex?: number;
  readonly type?: number;
  readonly flags?: number;
  /** Which bits of `flags` are meant. */
  readonly change?: number;
  readonly name?: string;
  readonly mtu?: number;
  readonly mac?: string;
  readonly link?: number;
  readonly linkNetnsid?: number;
  /** 0 releases the link from its master. */
  readonly master?: number;
  readonly carrier?: boolean;
  readonly operstate?: number;
  readonly protoDown?: boolean;
  /** The empty text removes the alias. */
  readonly alias?: string;
  /** IN6_ADDR_GEN_MODE_*; refused (EAFNOSUPPORT) where the device has no IPv6. */
  readonly addrGenMode?: number;
  readonly altnames?: readonly string[];
  /** Open descriptor of the namespace that the link is made in or moved to. */
  readonly netnsFd?: number;
  readonly kind?: string;
  readonly info?: LinkInfo;
}

function encodeInfoData(w: MessageWriter, info: LinkInfo): void {
  const data = w.beginNest(k.IFLA_INFO_DATA);
  if (info.vlan !== undefined) {
    w.attrU16(k.IFLA_VLAN_ID, info.vlan.id).attrU16be(k.IFLA_VLAN_PROTOCOL, info.vlan.protocol);
    if (info.vlan.flags !== undefined) {
      // struct ifla_vlan_flags: flags, and which of them are meant
      w.attrBytes(k.IFLA_VLAN_FLAGS, new Uint8Array(new Uint32Array([info.vlan.flags, 0x1f]).buffer));
    }
  } else if (info.vrf !== undefined) {
    w.attrU32(k.IFLA_VRF_TABLE, info.vrf.table);
  } else if (info.tun !== undefined) {
    // Only for tests and display: the kernel makes TUN/TAP devices through /dev/net/tun, not through netlink.
    w.attrU8(k.IFLA_TUN_TYPE, info.tun.type === 'tap' ? 2 : 1).attrU8(k.IFLA_TUN_PI, Number(info.tun.packetInfo));
    w.attrU8(k.IFLA_TUN_VNET_HDR, Number(info.tun.vnetHdr)).attrU8(k.IFLA_TUN_PERSIST, Number(info.tun.persist));
    w.attrU8(k.IFLA_TUN_MULTI_QUEUE, Number(info.tun.multiQueue));
  } else if (info.bridge !== undefined) {
    if (info.bridge.stp !== undefined) w.attrU32(k.IFLA_BR_STP_STATE, Number(info.bridge.stp));
    if (info.bridge.vlanFiltering !== undefined) {
      w.attrU8(k.IFLA_BR_VLAN_FILTERING, Number(info.bridge.vlanFiltering));
    }
  } else if (info.bond !== undefined) {
    w.attrU8(k.IFLA_BOND_MODE, info.bond.mode);
  } else if (info.macvlan !== undefined) {
    w.attrU32(k.IFLA_MACVLAN_MODE, info.macvlan.mode);
  } else if (info.veth !== undefined) {
    const peer = w.beginNest(k.VETH_INFO_PEER);
    encodeLink(w, {
      ...(info.veth.peer === undefined ? {} : { name: info.veth.peer }),
      ...(info.veth.peerNetnsFd === undefined ? {} : { netnsFd: info.veth.peerNetnsFd }),
    });
    w.endNest(peer);
  }
  w.endNest(data);
}

/** Writes ifinfomsg and attributes. Throws on a MAC that is not one. */
export function encodeLink(w: MessageWriter, r: LinkRequest): void {
  w.u8(r.family ?? k.AF_UNSPEC)
    .u8(0)
    .u16(r.type ?? 0);
  w.u32(r.ifindex ?? 0)
    .u32(r.flags ?? 0)
    .u32(r.change ?? 0);
  if (r.name !== undefined) w.attrString(k.IFLA_IFNAME, r.name);
  if (r.mtu !== undefined) w.attrU32(k.IFLA_MTU, r.mtu);
  if (r.mac !== undefined) {
    const mac = parseMac(r.mac);
    if (mac === undefined) throw new Error(`not a link-layer address: ${r.mac.slice(0, 64)}`);
    w.attrBytes(k.IFLA_ADDRESS, mac);
  }
  if (r.link !== undefined) w.attrU32(k.IFLA_LINK, r.link);
  if (r.linkNetnsid !== undefined) w.attrU32(k.IFLA_LINK_NETNSID, r.linkNetnsid);
  if (r.master !== undefined) w.attrU32(k.IFLA_MASTER, r.master);
  if (r.operstate !== undefined) w.attrU8(k.IFLA_OPERSTATE, r.operstate);
  if (r.carrier !== undefined) w.attrU8(k.IFLA_CARRIER, Number(r.carrier));
  if (r.protoDown !== undefined) w.attrU8(k.IFLA_PROTO_DOWN, Number(r.protoDown));
  if (r.alias !== undefined) w.attrString(k.IFLA_IFALIAS, r.alias);
  if (r.netnsFd !== undefined) w.attrU32(k.IFLA_NET_NS_FD, r.netnsFd);
  if (r.altnames !== undefined && r.altnames.length > 0) {
    const list = w.beginNest(k.IFLA_PROP_LIST);
    for (const name of r.altnames) w.attrString(k.IFLA_ALT_IFNAME, name);
    w.endNest(list);
  }
  if (r.addrGenMode !== undefined) {
    const families = w.beginNest(k.IFLA_AF_SPEC);
    const settings = w.beginNest(AF_INET6);
    w.attrU8(k.IFLA_INET6_ADDR_GEN_MODE, r.addrGenMode);
    w.endNest(settings);
    w.endNest(families);
  }
  if (r.kind !== undefined) {
    const info = w.beginNest(k.IFLA_LINKINFO);
    w.attrString(k.IFLA_INFO_KIND, r.kind);
    if (r.info !== undefined) encodeInfoData(w, r.info);
    w.endNest(info);
  }
}
