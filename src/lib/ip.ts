// IP addresses and prefixes: text (RFC 5952, RFC 4291) to and from network-order bytes and packed words.
//
// Invariants: an address is 4 or 16 bytes in network order. "Words" are plain little-endian loads of those
// bytes (no byte swap): cheap to load, compare and store, not to be compared by size. IPv4 uses word 0 only.
// Text produced is canonical, so equal addresses are equal strings. No zones (`%eth0`): the ifindex is its own field.

export const AF_INET = 2;
export const AF_INET6 = 10;

export interface Prefix {
  readonly family: number;
  readonly bytes: Uint8Array;
  /** Prefix length in bits. */
  readonly length: number;
}

/** Dotted text of the four bytes at `offset`. */
export function formatIpv4(bytes: Uint8Array, offset = 0): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** RFC 5952 text of the sixteen bytes at `offset`; IPv4-mapped addresses get the dotted tail. */
export function formatIpv6(bytes: Uint8Array, offset = 0): string {
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[offset + i] ?? 0) << 8) | (bytes[offset + i + 1] ?? 0));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) {
    return `::ffff:${formatIpv4(bytes, offset + 12)}`;
  }
  let bestStart = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && groups[end] === 0) end++;
    if (end - i > bestLength) {
      bestStart = i;
      bestLength = end - i;
    }
    if (end > i) i = end;
  }
  const text = groups.map((group) => group.toString(16));
  if (bestStart < 0) return text.join(':');
  return `${text.slice(0, bestStart).join(':')}::${text.slice(bestStart + bestLength).join(':')}`;
}

/** Canonical text of a 4- or 16-byte address. Throws on any other length: that is a caller's mistake. */
export function formatIp(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  if (length === 4) return formatIpv4(bytes, offset);
  if (length === 16) return formatIpv6(bytes, offset);
  throw new RangeError(`an IP address has 4 or 16 bytes, not ${length}`);
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [i, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[i] = Number(part);
  }
  return bytes;
}

function parseGroups(text: string): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (i === parts.length - 1 && part.includes('.')) {
      const tail = parseIpv4(part);
      if (tail === undefined) return undefined;
      groups.push(((tail[0] ?? 0) << 8) | (tail[1] ?? 0), ((tail[2] ?? 0) << 8) | (tail[3] ?? 0));
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const gap = text.indexOf('::');
  const head = parseGroups(gap < 0 ? text : text.slice(0, gap));
  const tail = gap < 0 ? [] : parseGroups(text.slice(gap + 2));
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
  // A dotted tail is only legal at the very end, so never in front of the gap.
  if (gap >= 0 && text.slice(0, gap).includes('.')) return undefined;
  const bytes = new Uint8Array(16);
  const groups = [...head, ...new Array<number>(gap < 0 ? 0 : missing).fill(0), ...tail];
  for (const [i, group] of groups.entries()) {
    bytes[2 * i] = group >> 8;
    bytes[2 * i + 1] = group & 0xff;
  }
  return bytes;
}

/** Network-order bytes of an address in text, or undefined when the text is not one. */
export function parseIp(text: string): Uint8Array | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

/** Like {@link parseIp}; throws, for addresses that were checked before. */
export function ipBytes(text: string): Uint8Array {
  const bytes = parseIp(text);
  if (bytes === undefined) throw new Error(`not an IP address: ${text.slice(0, 64)}`);
  return bytes;
}

/** AF_INET or AF_INET6 of an address in text. */
export function familyOf(text: string): number {
  return text.includes(':') ? AF_INET6 : AF_INET;
}

/** Bits of an address: 32 or 128. */
export function maxPrefixLength(family: number): number {
  return family === AF_INET6 ? 128 : 32;
}

/** `10.0.0.0/8` or a bare address (host prefix), or undefined when it is neither. Host bits are kept. */
export function parsePrefix(text: string): Prefix | undefined {
  const slash = text.indexOf('/');
  const bytes = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (bytes === undefined) return undefined;
  const family = bytes.length === 16 ? AF_INET6 : AF_INET;
  if (slash < 0) return { family, bytes, length: maxPrefixLength(family) };
  const digits = text.slice(slash + 1);
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > maxPrefixLength(family)) return undefined;
  return { family, bytes, length: Number(digits) };
}

/** The address with every bit behind the prefix length cleared, as new bytes. */
export function maskBytes(bytes: Uint8Array, length: number): Uint8Array {
  const masked = bytes.slice();
  for (let i = 0; i < masked.length; i++) {
    const bits = Math.min(8, Math.max(0, length - 8 * i));
    masked[i] = (masked[i] ?? 0) & (0xff << (8 - bits));
  }
  return masked;
}

/** The four words of an address; words behind an IPv4 address are 0. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(4);
  new Uint8Array(words.buffer).set(bytes.subarray(0, 16));
  return words;
}

const scratchWords = new Uint32Array(4);
const scratchBytes = new Uint8Array(scratchWords.buffer);

/** Canonical text of an address held in words. */
export function formatWords(family: number, w0: number, w1 = 0, w2 = 0, w3 = 0): string {
  scratchWords[0] = w0;
  scratchWords[1] = w1;
  scratchWords[2] = w2;
  scratchWords[3] = w3;
  return family === AF_INET6 ? formatIpv6(scratchBytes) : formatIpv4(scratchBytes);
}

/** True for 224.0.0.0/4 and ff00::/8. */
export function isMulticast(bytes: Uint8Array): boolean {
  const first = bytes[0] ?? 0;
  return bytes.length === 16 ? first === 0xff : first >= 224 && first < 240;
}

/** True for fe80::/10. */
export function isLinkLocal6(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;
}
