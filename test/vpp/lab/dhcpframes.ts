/**
 * DHCP frames for the relay's tests: from words to hex, and what of a captured frame is the packet.
 *
 * Invariants: hex is lower case without blanks. Every message carries its case's mark, three octets of the transaction
 * id, by which what comes out is told apart. Sums are right unless a case says otherwise.
 * Reference: RFC 2131 2, RFC 8415 7 to 9, RFC 768.
 */

const word = (value: number): string => value.toString(16).padStart(4, '0');
const octets = (hex: string): number => hex.length / 2;

/** Replaces octets from offset `at`. */
export const splice = (hex: string, at: number, by: string): string =>
  hex.slice(0, 2 * at) + by + hex.slice(2 * at + by.length);

function sum(...parts: readonly string[]): string {
  let total = 0;
  for (const part of parts)
    for (let at = 0; at < part.length; at += 4) total += Number.parseInt(part.slice(at, at + 4).padEnd(4, '0'), 16);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return word(total ^ 0xffff);
}

/** An IPv4 packet with the checksum of its header. */
export function mend4(packet: string): string {
  const bare = splice(packet, 10, '0000');
  return splice(bare, 10, sum(bare.slice(0, 8 * Number.parseInt(packet[1] ?? '5', 16))));
}

function udpSum(addresses: string, udp: string): string {
  const bare = splice(udp, 6, '0000');
  const found = sum(addresses, '0011', word(octets(udp)), bare);
  return splice(bare, 6, found === '0000' ? 'ffff' : found);
}

const udp = (sport: number, dport: number, payload: string): string =>
  `${word(sport)}${word(dport)}${word(8 + octets(payload))}0000${payload}`;

export interface Message4 {
  /** Three octets. */
  readonly mark: string;
  /** Behind the cookie. */
  readonly options: string;
  readonly src?: string;
  readonly dst?: string;
  readonly sport?: number;
  readonly dport?: number;
  readonly op?: '01' | '02';
  readonly flags?: string;
  readonly giaddr?: string;
  readonly ipOptions?: string;
  /** Octets of the message that there are. */
  readonly cut?: number;
  /** With a UDP checksum. */
  readonly isSummed?: boolean;
}

/** An IPv4 packet: a client's to everybody, unless it says otherwise. */
export function packet4(m: Message4): string {
  const { src = '00000000', dst = 'ffffffff', ipOptions = '', giaddr = '00000000' } = m;
  const message =
    `${m.op ?? '01'}010603aa${m.mark}0005${m.flags ?? '0000'}${'00000000'}0a000063${'00000000'}${giaddr}` +
    `020000000a01${'00'.repeat(10)}${'73'.repeat(64)}${'66'.repeat(128)}63825363${m.options}`;
  const payload = message.slice(0, 2 * (m.cut ?? octets(message)));
  const bare = udp(m.sport ?? 68, m.dport ?? 67, payload);
  const upper = m.isSummed === true ? udpSum(src + dst, bare) : bare;
  const head = `4${(5 + octets(ipOptions) / 4).toString(16)}00${word(20 + octets(ipOptions) + octets(upper))}`;
  return mend4(`${head}1234000040110000${src}${dst}${ipOptions}${upper}`);
}

export interface Message6 {
  readonly message: string;
  readonly src?: string;
  readonly dst?: string;
  readonly sport?: number;
  readonly dport?: number;
  /** First four octets. */
  readonly head?: string;
}

/** 16 octets: the given first and last ones, and zeros between. */
export const address6 = (first: string, last: string): string => first + last.padStart(32 - first.length, '0');

/** An IPv6 packet: a client's to all relays and servers, unless it says otherwise. */
export function packet6(m: Message6): string {
  const { src = address6('fe80', '99'), dst = address6('ff02', '010002') } = m;
  const upper = udpSum(src + dst, udp(m.sport ?? 546, m.dport ?? 547, m.message));
  return `${m.head ?? '60000000'}${word(octets(upper))}1140${src}${dst}${upper}`;
}

/** In a frame; a tag is eight digits. */
export const frame = (dst: string, src: string, tags: readonly string[], packet: string): string =>
  `${dst}${src}${tags.join('')}${packet.startsWith('4') ? '0800' : '86dd'}${packet}`;

/** Offset of the packet in a frame. */
export function l3Of(hex: string): number {
  let at = 12;
  while (['8100', '88a8'].includes(hex.slice(2 * at, 2 * at + 4))) at += 4;
  return at + 2;
}

/** The frame up to the end of its IP packet. */
export function trimmed(hex: string): string {
  const l3 = l3Of(hex);
  const ip = hex.slice(2 * l3);
  const length = (at: number): number => Number.parseInt(ip.slice(2 * at, 2 * at + 4), 16);
  return hex.slice(0, 2 * (l3 + (ip.startsWith('4') ? length(2) : 40 + length(4))));
}

/** A packet with the last of its hops taken off, as routing does. */
export function oneHopLess(packet: string): string {
  const at = packet.startsWith('4') ? 8 : 7;
  const hops = Number.parseInt(packet.slice(2 * at, 2 * at + 2), 16) - 1;
  const less = splice(packet, at, hops.toString(16).padStart(2, '0'));
  return packet.startsWith('4') ? mend4(less) : less;
}

/** Whether the UDP checksum of an IPv6 packet is right. */
export function isSummed6(packet: string): boolean {
  const upper = packet.slice(80);
  return udpSum(packet.slice(16, 80), upper) === upper;
}

export function isUdp(hex: string): boolean {
  const ip = hex.slice(2 * l3Of(hex));
  return (ip.startsWith('4') ? ip.slice(18, 20) : ip.slice(12, 14)) === '11';
}

/** Frames of `tcpdump -xx`, each with the line that it printed before. */
export function framesOf(log: string): { line: string; hex: string }[] {
  const found: { line: string; hex: string }[] = [];
  for (const text of log.split('\n')) {
    const row = /^\s+0x[0-9a-f]+:\s+([0-9a-f ]+)/.exec(text);
    const last = found.at(-1);
    if (row === null) found.push({ line: text, hex: '' });
    else if (last !== undefined) last.hex += (row[1] ?? '').replaceAll(' ', '');
  }
  return found.filter(({ hex }) => hex !== '');
}
