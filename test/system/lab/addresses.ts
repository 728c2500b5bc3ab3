/**
 * Addresses: text to number and back, for choosing addresses at the edges of prefixes.
 * Independent of src/lib/ip.ts on purpose: it judges what that one made. Reference: RFC 5952.
 */
import { SocketAddress } from 'node:net';

export type Bits = 32 | 128;

export const bitsOf = (address: string): Bits => (address.includes(':') ? 128 : 32);

export function toNumber(address: string): bigint {
  if (!address.includes(':')) return address.split('.').reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const [head = '', tail] = address.split('::');
  const words = (text: string): string[] => text.split(':').filter((word) => word !== '');
  const [a, b] = [words(head), words(tail ?? '')];
  const zeros = tail === undefined ? 0 : 8 - a.length - b.length;
  return [...a, ...Array<string>(zeros).fill('0'), ...b].reduce((sum, word) => sum * 65_536n + BigInt(`0x${word}`), 0n);
}

export function toText(value: bigint, bits: Bits): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
  const words = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
  return canonical(words.join(':'));
}

/** The shortest form, as iproute2 prints it. */
export const canonical = (address: string): string =>
  address.includes(':') ? new SocketAddress({ address, family: 'ipv6' }).address : address;

/** First and last address of a prefix such as 10.0.0.0/8; without a length it is one address. */
export function range(prefix: string): { first: bigint; last: bigint; bits: Bits } {
  const [address = '', length] = prefix.split('/');
  const bits = bitsOf(address);
  const host = (1n << BigInt(bits - Number(length ?? bits))) - 1n;
  const first = toNumber(address) & ~host & ((1n << BigInt(bits)) - 1n);
  return { first, last: first | host, bits };
}
