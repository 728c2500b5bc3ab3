// Bytes: hexadecimal and MAC text, alignment, and the byte order of this host.
//
// Invariants: nothing here allocates behind the caller's back except the returned value; offsets are bytes.
// The daemon reads kernel structures through typed arrays, so it only runs on little-endian hosts
// (x86-64, arm64); `assertLittleEndian` says so at start instead of showing wrong numbers later.

const HEX = Array.from({ length: 256 }, (_, value) => value.toString(16).padStart(2, '0'));

/** Rounds a byte length up to the 4-byte alignment of netlink headers and attributes. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/** True where typed arrays see the low byte of a word first. */
export function isLittleEndian(): boolean {
  return new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
}

/** Throws on a big-endian host, where the typed-array codecs would read swapped values. */
export function assertLittleEndian(): void {
  if (!isLittleEndian()) throw new Error('big-endian hosts are not supported: the codecs read words in host order');
}

/** Lower-case hexadecimal text of the bytes, without separators. */
export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += HEX[byte];
  return text;
}

/** Bytes of hexadecimal text; white space and colons are allowed. Throws on any other character or an odd count. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/[\s:]/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-fA-F]/.test(digits)) throw new Error(`not hexadecimal: ${text.slice(0, 40)}`);
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Link-layer address as text, `aa:bb:cc:dd:ee:ff`; any length, as IPoIB has 20 bytes and tunnels have 4. */
export function formatMac(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  let text = '';
  for (let i = 0; i < length; i++) text += (i === 0 ? '' : ':') + HEX[bytes[offset + i] ?? 0];
  return text;
}

/** Bytes of a link-layer address in text, or undefined when the text is not one. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!/^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2})*$/.test(text)) return undefined;
  return fromHex(text);
}

/** True when both have the same length and the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
