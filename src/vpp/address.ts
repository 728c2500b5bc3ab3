// Addresses as VPP's API has them, read into the bytes that the rest of lcpd uses.
//
// Invariants: an address is 4 or 16 bytes in network order, and its length says its family; the two numbers that
// VPP has for families are here and nowhere else. The union of both families is 16 bytes, IPv4 in the first four.
// Reference: VPP's src/vnet/ip/ip_types.api, src/vnet/ethernet/ethernet_types.api.

import type { Family } from '../lcp/objects.ts';
import { ipBytes, isLinkLocal6, maskBytes } from '../lib/ip.ts';
import type { Codec } from './codec.ts';
import { bytes, enumeration, u8, u16, unfit } from './codec.ts';
import { struct, union } from './compound.ts';

export const ip4Address = bytes(4);
export const ip6Address = bytes(16);
export const macAddress = bytes(6);

export const addressFamily = enumeration('address_family', u8, { ADDRESS_IP4: 0, ADDRESS_IP6: 1 });

const unionShape = union({ ip4: ip4Address, ip6: ip6Address });

/** Sixteen bytes that hold an address of either family; reading gives all of them. */
export const addressUnion: Codec<Uint8Array> = {
  shape: unionShape.shape,
  size: 16,
  fixed: true,
  read: (wire) => ip6Address.read(wire),
  write(wire, value) {
    const at = wire.room(16);
    wire.bytes.fill(0, at, at + 16);
    if (value === undefined) return;
    if (value.length !== 4 && value.length !== 16) throw unfit('address_union', `${value.length} bytes`);
    wire.bytes.set(value, at);
  },
};

/** An address with its family. One that is not given is 0.0.0.0. */
export const address: Codec<Uint8Array> = {
  shape: struct({ af: addressFamily, un: unionShape }).shape,
  size: 17,
  fixed: true,
  read(wire) {
    const at = wire.take(17);
    const isIp6 = wire.bytes[at] === addressFamily.values.ADDRESS_IP6;
    return wire.bytes.slice(at + 1, at + (isIp6 ? 17 : 5));
  },
  write(wire, value) {
    const isIp6 = value?.length === 16;
    addressFamily.write(wire, isIp6 ? addressFamily.values.ADDRESS_IP6 : addressFamily.values.ADDRESS_IP4);
    addressUnion.write(wire, value);
  },
};

export const prefix = struct({ address, len: u8 });
export const ip4Prefix = struct({ address: ip4Address, len: u8 });
export const ip6Prefix = struct({ address: ip6Address, len: u8 });

/** A group, or a source and a group; `grp_address_length` is 32 or 128 more with a source. */
export const mprefix = struct({
  af: addressFamily,
  grp_address_length: u16,
  grp_address: addressUnion,
  src_address: addressUnion,
});

/** Length of a host's prefix. */
export const maxLength = (family: Family): number => (family === 6 ? 128 : 32);

/** Whether an address is in the subnet of another. */
export const within = (address: string, of: string, length: number): boolean => {
  const [a, b] = [ipBytes(address), ipBytes(of)];
  return a.length === b.length && Buffer.compare(maskBytes(a, length), maskBytes(b, length)) === 0;
};

export const isLinkLocal = (address: string): boolean => address.includes(':') && isLinkLocal6(ipBytes(address));
