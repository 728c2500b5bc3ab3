// struct lcpfwd_port: encoding and decoding, with the objects that lcpd knows.

import type { HostType, Link, Pair } from '../lcp/objects.ts';
import { AF_INET6, familyOf, formatWords, ipBytes } from '../lib/ip.ts';
import { PORT, PORT_KERNEL_FWD4, PORT_KERNEL_FWD6, PORT_TUN, PORT_UP, SIZE } from './native.ts';

/** A port as the forwarder's shared memory states it. */
export interface Port {
  readonly id: number;
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
}

/** An IPv4 lookup in tables [0] and [1] is one LPM: Linux keeps local and main in one trie until it has custom rules. */
const MERGED_FAMILY = 4;

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

/** What port_add needs: names and indices; everything that follows the host comes with port_set. */
export const encodePair = (pair: Pair, hostIfindex: number, mac: string, mtu: number): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  view.setUint32(PORT.flags, pair.type === 'tun' ? PORT_TUN : 0, true);
  view.setUint32(PORT.phyIfindex, pair.phyIfindex, true);
  view.setUint32(PORT.hostIfindex, hostIfindex, true);
  view.setUint32(PORT.mtu, mtu, true);
  bytes.set(macBytes(mac), PORT.mac);
  writeText(bytes, PORT.phy, 16, pair.phy);
  writeText(bytes, PORT.host, 16, pair.host);
  // the namespace's identity goes along: the same name may be another namespace after a restart
  writeText(bytes, PORT.netns, 92, `${pair.netns}@${pair.netnsId}@${pair.host}`);
  return bytes;
};

/** What port_set needs. handles are those of link.lookup4 and link.lookup6. */
export const encodeLink = (
  link: Link,
  type: HostType,
  handles4: readonly number[],
  handles6: readonly number[],
): Uint8Array => {
  const bytes = new Uint8Array(SIZE.port);
  const view = new DataView(bytes.buffer);
  const flags =
    (link.up ? PORT_UP : 0) |
    (type === 'tun' ? PORT_TUN : 0) |
    (link.forwarding4 ? PORT_KERNEL_FWD4 : 0) |
    (link.forwarding6 ? PORT_KERNEL_FWD6 : 0);
  view.setUint32(PORT.flags, flags, true);
  view.setUint32(PORT.phyIfindex, link.phyIfindex, true);
  view.setUint32(PORT.hostIfindex, link.hostIfindex, true);
  view.setUint32(PORT.mtu, link.mtu, true);
  bytes.set(macBytes(link.mac), PORT.mac);
  if (link.source4 !== '') bytes.set(ipBytes(link.source4), PORT.src4);
  if (link.source6 !== '') bytes.set(ipBytes(link.source6), PORT.src6);
  bytes.set(encodeSpec(4, handles4), PORT.v4);
  bytes.set(encodeSpec(6, handles6), PORT.v6);
  writeText(bytes, PORT.host, 16, link.host);
  return bytes;
};

/** struct lcpfwd_lookup_spec. merged defaults to what Linux does for the family. */
export const encodeSpec = (
  family: number,
  handles: readonly number[],
  merged = family === MERGED_FAMILY && handles.length > 1,
): Uint8Array => {
  const bytes = new Uint8Array(SIZE.spec);
  const view = new DataView(bytes.buffer);
  const used = handles.slice(0, 4);
  view.setUint16(0, used.length, true);
  view.setUint16(2, merged ? 1 : 0, true);
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
    const [netns = '', netnsId = '', configuredHost = ''] = readText(b, PORT.netns, 92).split('@');
    ports.push({
      id: view.getUint32(PORT.id, true),
      flags,
      phyIfindex: view.getUint32(PORT.phyIfindex, true),
      hostIfindex: view.getUint32(PORT.hostIfindex, true),
      phy: readText(b, PORT.phy, 16),
      host: readText(b, PORT.host, 16),
      configuredHost,
      netns,
      netnsId,
      type: flags & PORT_TUN ? 'tun' : 'tap',
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
