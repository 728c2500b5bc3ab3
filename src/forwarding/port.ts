// struct lcpfwd_port: encoding and decoding, with the objects that lcpd knows.

import type { HostType, Link, Pair, Subif } from '../lcp/objects.ts';
import { AF_INET6, familyOf, formatWords, ipBytes } from '../lib/ip.ts';
import { PORT, PORT_FOREIGN, PORT_KERNEL_FWD4, PORT_KERNEL_FWD6, PORT_L2, PORT_TUN, PORT_UP, SIZE } from './native.ts';

/** A port as the forwarder's shared memory states it. */
export interface Port {
  readonly id: number;
  /** Another one: another port of the same id. */
  readonly generation: bigint;
  readonly flags: number;
  readonly phyIfindex: number;
  readonly hostIfindex: number;
  readonly phy: string;
  /** The host's name now. */
  readonly host: string;
  /** The name it was made with: what the configuration says. */
  readonly configuredHost: string;
  readonly netns: string;
  readonly netnsId: string;
  readonly type: HostType;
  /** Layer 3, in bytes. */
  readonly mtu: number;
  readonly mac: string;
  /** Of a memif: whether somebody is connected. */
  readonly wireUp: boolean;
  /** Port id whose layer 3 it borrows, LENDER_ABSENT: of one that is not there (any more), 0: nobody's. */
  readonly lender: number;
  /** Port id that this is a sub-interface of, 0: it has a phy. */
  readonly parent: number;
  /** As in Subif. */
  readonly tags: readonly number[];
}

/** What a link looks up in, as handles of tables. */
export interface Lookups {
  readonly v4: readonly number[];
  readonly v6: readonly number[];
  /** The first two of v4 are one longest-prefix match. */
  readonly merged4: boolean;
  /** Table of labels, 0: none. */
  readonly mpls: number;
}

const PHY_SIZE = 32;
const HOST_SIZE = 16;
const NETNS_SIZE = 92;
const MAC_SIZE = 6;
/** Further addresses of a port. With more of them it takes every frame, and the kernel tells which are its own. */
const MAX_MACS = 16;
/** Tables that one lookup walks. */
export const MAX_LOOKUP_TABLES = 5;
/** Until the link says better; the port is down as long. */
export const NEW_MTU = 1500;

const text = new TextDecoder();
const writeText = (bytes: Uint8Array, offset: number, size: number, value: string): void => {
  const encoded = new TextEncoder().encode(value);
  if (encoded.length >= size) throw new RangeError(`${value.slice(0, 40)}… does not fit into ${size - 1} bytes`);
  bytes.fill(0, offset, offset + size);
  bytes.set(encoded, offset);
};
const readText = (bytes: Uint8Array, offset: number, size: number): string => {
  const end = bytes.indexOf(0, offset);
  return text.decode(bytes.subarray(offset, end < 0 || end > offset + size ? offset + size : end));
};

/** Bytes of 'aa:bb:cc:dd:ee:ff'; zeros for ''. */
export const macBytes = (mac: string): Uint8Array =>
  mac === '' ? new Uint8Array(6) : Uint8Array.from(mac.split(':'), (h) => Number.parseInt(h, 16));

/** 'aa:bb:cc:dd:ee:ff' */
export const macText = (bytes: Uint8Array): string =>
  Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join(':');

/** What port_add needs: names and indices; everything that follows the host comes with port_set. */
export const encodePair = (pair: Pair, hostIfindex: number, mac: string, mtu: number): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  view.setUint32(PORT.flags, pair.type === 'tun' ? PORT_TUN : 0, true);
  view.setUint32(PORT.phyIfindex, pair.phyIfindex, true);
  view.setUint32(PORT.hostIfindex, hostIfindex, true);
  view.setUint32(PORT.mtu, mtu, true);
  bytes.set(macBytes(mac), PORT.mac);
  writeText(bytes, PORT.phy, PHY_SIZE, pair.phy);
  writeText(bytes, PORT.host, HOST_SIZE, pair.host);
  // the namespace's identity goes along: the same name may be another namespace after a restart
  writeText(bytes, PORT.netns, NETNS_SIZE, `${pair.netns}@${pair.netnsId}@${pair.host}`);
  return bytes;
};

/** What port_add needs for an interconnect. flags: PORT_* that stay for its life, and PORT_UP. */
export const encodeInterconnect = (
  name: string,
  flags: number,
  phyIfindex: number,
  mac: string,
  mtu: number,
): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  view.setUint32(PORT.flags, flags, true);
  view.setUint32(PORT.phyIfindex, phyIfindex, true);
  view.setUint32(PORT.mtu, mtu, true);
  bytes.set(macBytes(mac), PORT.mac);
  writeText(bytes, PORT.phy, PHY_SIZE, name);
  return bytes;
};

/** What port_add needs for a sub-interface. */
export const encodeSubif = (subif: Subif, parent: number): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  view.setUint32(PORT.mtu, NEW_MTU, true);
  view.setUint16(PORT.parent, parent, true);
  bytes[PORT.tags] = subif.tags.length;
  subif.tags.slice(0, 2).forEach((tag, i) => {
    view.setUint32(PORT.tag + 4 * i, tag, true);
  });
  writeText(bytes, PORT.phy, PHY_SIZE, subif.phy);
  writeText(bytes, PORT.netns, NETNS_SIZE, subif.netns);
  return bytes;
};

/** What port_set needs. lookups: the handles of link's tables. */
export const encodeLink = (link: Link, type: HostType, lookups: Lookups): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  const flags =
    (link.up ? PORT_UP : 0) |
    (type === 'tun' ? PORT_TUN : 0) |
    (link.forwarding4 ? PORT_KERNEL_FWD4 : 0) |
    (link.forwarding6 ? PORT_KERNEL_FWD6 : 0) |
    (link.l2 ? PORT_L2 : 0) |
    (link.macs.length > MAX_MACS ? PORT_FOREIGN : 0);
  view.setUint32(PORT.flags, flags, true);
  view.setUint32(PORT.phyIfindex, link.phyIfindex, true);
  view.setUint32(PORT.hostIfindex, link.hostIfindex, true);
  view.setUint32(PORT.mtu, link.mtu, true);
  bytes.set(macBytes(link.mac), PORT.mac);
  if (link.source4 !== '') bytes.set(ipBytes(link.source4), PORT.src4);
  if (link.source6 !== '') bytes.set(ipBytes(link.source6), PORT.src6);
  bytes.set(encodeSpec(lookups.v4, lookups.merged4), PORT.v4);
  bytes.set(encodeSpec(lookups.v6, false), PORT.v6);
  view.setUint32(PORT.mpls, lookups.mpls, true);
  const more = link.macs.slice(0, MAX_MACS);
  bytes[PORT.macs] = more.length;
  more.forEach((mac, i) => {
    bytes.set(macBytes(mac), PORT.more + MAC_SIZE * i);
  });
  writeText(bytes, PORT.host, HOST_SIZE, link.host);
  return bytes;
};

/** struct lcpfwd_lookup_spec. merged means nothing for less than two tables. */
export const encodeSpec = (handles: readonly number[], merged: boolean): Uint8Array => {
  const bytes = new Uint8Array(SIZE.spec);
  const view = new DataView(bytes.buffer);
  const used = handles.slice(0, MAX_LOOKUP_TABLES);
  view.setUint16(0, used.length, true);
  view.setUint16(2, merged && used.length > 1 ? 1 : 0, true);
  used.forEach((h, i) => {
    view.setUint32(4 + 4 * i, h, true);
  });
  return bytes;
};

/** All ports in an array of struct lcpfwd_port. */
export const decodePorts = (bytes: Uint8Array, count: number): Port[] => {
  const ports: Port[] = [];
  for (let i = 0; i < count; i++) {
    const b = bytes.subarray(i * SIZE.port, (i + 1) * SIZE.port);
    const view = new DataView(b.buffer, b.byteOffset, b.byteLength);
    const flags = view.getUint32(PORT.flags, true);
    const [netns = '', netnsId = '', configuredHost = ''] = readText(b, PORT.netns, NETNS_SIZE).split('@');
    ports.push({
      id: view.getUint32(PORT.id, true),
      generation: view.getBigUint64(PORT.generation, true),
      flags,
      phyIfindex: view.getUint32(PORT.phyIfindex, true),
      hostIfindex: view.getUint32(PORT.hostIfindex, true),
      phy: readText(b, PORT.phy, PHY_SIZE),
      host: readText(b, PORT.host, HOST_SIZE),
      configuredHost,
      netns,
      netnsId,
      mtu: view.getUint32(PORT.mtu, true),
      wireUp: view.getUint32(PORT.wireUp, true) !== 0,
      lender: view.getUint32(PORT.lender, true),
      mac: macText(b.subarray(PORT.mac, PORT.mac + 6)),
      type: flags & PORT_TUN ? 'tun' : 'tap',
      parent: view.getUint16(PORT.parent, true),
      tags: Array.from({ length: b[PORT.tags] as number }, (_, k) => view.getUint32(PORT.tag + 4 * k, true)),
    });
  }
  return ports;
};

/** Canonical text of 4 or 16 address bytes in the library's structs; af is 4 or 6. */
export const addressText = (af: number, words: Uint32Array, at: number): string =>
  af === 6
    ? formatWords(AF_INET6, words[at] as number, words[at + 1], words[at + 2], words[at + 3])
    : formatWords(2, words[at] as number);

/** 4 or 6, as the library counts families. */
export const afOf = (address: string): 4 | 6 => (familyOf(address) === AF_INET6 ? 6 : 4);

/** A label as the address of a route: network order, in the upper 20 bits. */
export const labelBytes = (text: string): Uint8Array => {
  const label = Number(text);
  if (!/^[0-9]{1,7}$/.test(text) || label >= 2 ** 20) throw new Error(`not a label: ${text.slice(0, 64)}`);
  return Uint8Array.of(label >>> 12, (label >>> 4) & 0xff, (label << 4) & 0xff, 0);
};
