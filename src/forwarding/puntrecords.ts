// struct lcpfwd_punt: punts, encoded and decoded. A punt is one record; an access list is one for itself and one for
// each of its rules, behind it. Numbers are checked here only for what a field cannot hold: the library checks the rest.

import { type AclRule, CLASSES, type Police, type Punt, type PuntMatch } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { ipBytes, parsePrefix } from '../lib/ip.ts';
import { native, SIZE } from './native.ts';
import { addressText, afOf, macBytes, macText } from './port.ts';

const TYPE = {
  xconnect: 1,
  span: 2,
  abx: 3,
  rule: 4,
  osi: 5,
  host: 6,
  socket: 7,
  redirect: 8,
  police: 9,
  proxy: 10,
} as const;
const BY = { port: 1, icmp6: 2, protocol: 3, reason: 4 } as const;
const RX = 1;
const TX = 2;
const PERMIT = 4;
const KBPS = 8;
const NEXTHOP = 16;
const MAC = 32;
const SCOPES: readonly Police['scope'][] = ['ipv4', 'ipv6', ...CLASSES];
const PATH_SIZE = 108;
/** Offsets within struct lcpfwd_punt. */
const AT = {
  af: 1,
  by: 2,
  flags: 3,
  from: 4,
  to: 6,
  fromGeneration: 8,
  toGeneration: 16,
  slot: 24,
  priority: 28,
  protocol: 32,
  scope: 33,
  number: 34,
  rate: 36,
  burst: 40,
  table: 44,
  mac: 48,
  sourceLength: 54,
  destinationLength: 55,
  source: 56,
  destination: 72,
  sourcePorts: 88,
  destinationPorts: 92,
  tcpMask: 96,
  tcpValue: 97,
  path: 100,
} as const;

/** What a record names: a port by its id and generation. */
export interface PortId {
  readonly id: number;
  readonly generation: bigint;
}

/** What names stand for when records are written. */
export interface PuntNames {
  /** Throws where there is no such port. */
  readonly port: (name: string) => PortId;
  /** MAC of whoever is at the other end of an interconnect, '' where neighbours have to be asked for. */
  readonly peer: (name: string) => string;
}

const refuse = (message: string): never => {
  throw new LcpError('REFUSED', { op: 'encode', key: 'punt', message });
};

let reasons: string[] | undefined;
/** Names of the reasons, by number. */
export const reasonNames = (): readonly string[] => {
  if (reasons === undefined) {
    reasons = [];
    for (;;) {
      const name = native().reasonName(reasons.length) as string | null;
      if (name === null) break;
      reasons.push(name);
    }
  }
  return reasons;
};

class Record {
  readonly bytes = new Uint8Array(SIZE.punt);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(type: number) {
    this.bytes[0] = type;
  }

  u8(at: number, value: number, what: string): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xff) refuse(`${what} ${value}`);
    this.bytes[at] = value;
    return this;
  }
  u16(at: number, value: number, what: string): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff) refuse(`${what} ${value}`);
    this.#view.setUint16(at, value, true);
    return this;
  }
  u32(at: number, value: number, what: string): this {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) refuse(`${what} ${value}`);
    this.#view.setUint32(at, value, true);
    return this;
  }
  port(at: number, generationAt: number, { id, generation }: PortId): this {
    this.#view.setUint16(at, id, true);
    this.#view.setBigUint64(generationAt, generation, true);
    return this;
  }
  from(port: PortId): this {
    return this.port(AT.from, AT.fromGeneration, port);
  }
  to(port: PortId): this {
    return this.port(AT.to, AT.toGeneration, port);
  }
  flags(value: number): this {
    this.bytes[AT.flags] = (this.bytes[AT.flags] as number) | value;
    return this;
  }
  mac(text: string): this {
    if (text === '') return this;
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text)) refuse(`MAC address ${text}`);
    this.bytes.set(macBytes(text), AT.mac);
    return this.flags(MAC);
  }
  address(at: number, text: string): this {
    this.bytes.set(ipBytes(text), at);
    return this;
  }
}

const withMatch = (record: Record, match: PuntMatch): Record => {
  record.u8(AT.by, BY[match.by], 'match');
  switch (match.by) {
    case 'port':
      return record
        .u8(AT.af, match.family, 'family')
        .u8(AT.protocol, match.protocol, 'protocol')
        .u16(AT.number, match.port, 'port');
    case 'icmp6':
      return record.u16(AT.number, match.type, 'type');
    case 'protocol':
      return record.u8(AT.af, match.family, 'family').u8(AT.protocol, match.protocol, 'protocol');
    case 'reason': {
      const number = reasonNames().indexOf(match.reason);
      if (number < 0) refuse(`unknown punt reason ${match.reason}: there are ${reasonNames().join(', ')}`);
      return record.u16(AT.number, number, 'reason');
    }
  }
};

const ruleRecord = (rule: AclRule): Record => {
  const record = new Record(TYPE.rule).u8(AT.af, rule.family, 'family').flags(rule.permit ? PERMIT : 0);
  for (const [text, at, lengthAt] of [
    [rule.source, AT.source, AT.sourceLength],
    [rule.destination, AT.destination, AT.destinationLength],
  ] as const) {
    const prefix = parsePrefix(text);
    if (prefix === undefined || prefix.bytes.length !== (rule.family === 4 ? 4 : 16))
      refuse(`IPv${rule.family} ${text}`);
    else record.bytes.set(prefix.bytes, at);
    record.u8(lengthAt, prefix?.length ?? 0, 'prefix length');
  }
  for (const i of [0, 1] as const)
    record
      .u16(AT.sourcePorts + 2 * i, rule.sourcePorts[i], 'source port')
      .u16(AT.destinationPorts + 2 * i, rule.destinationPorts[i], 'destination port');
  return record
    .u8(AT.protocol, rule.protocol, 'protocol')
    .u8(AT.tcpMask, rule.flagsMask, 'TCP flags')
    .u8(AT.tcpValue, rule.flagsValue, 'TCP flags');
};

const records = (p: Punt, names: PuntNames): Record[] => {
  switch (p.feature) {
    case 'xconnect':
      return [new Record(TYPE.xconnect).from(names.port(p.from)).to(names.port(p.to))];
    case 'span':
      return [
        new Record(TYPE.span)
          .from(names.port(p.from))
          .to(names.port(p.to))
          .flags((p.rx ? RX : 0) | (p.tx ? TX : 0)),
      ];
    case 'abx': {
      const abx = new Record(TYPE.abx).from(names.port(p.from)).to(names.port(p.to)).mac(p.dstMac);
      return [abx.u32(AT.priority, p.priority, 'priority'), ...p.rules.map(ruleRecord)];
    }
    case 'osi':
      return [
        new Record(TYPE.osi).from(names.port(p.from)).to(names.port(p.to)).u8(AT.protocol, p.protocol, 'protocol'),
      ];
    case 'host':
      return [withMatch(new Record(TYPE.host), p.match)];
    case 'socket': {
      const path = new TextEncoder().encode(p.path);
      if (path.length >= PATH_SIZE || path.includes(0)) refuse(`path ${p.path}`);
      const record = withMatch(new Record(TYPE.socket), p.match);
      record.bytes.set(path, AT.path);
      return [record];
    }
    case 'redirect': {
      const record = new Record(TYPE.redirect).u8(AT.af, p.family, 'family').to(names.port(p.tx));
      if (p.rx !== '') record.from(names.port(p.rx));
      if (p.nexthop === '') return [record];
      if (afOf(p.nexthop) !== p.family) refuse(`next hop ${p.nexthop} is not IPv${p.family}`);
      return [record.address(AT.destination, p.nexthop).mac(names.peer(p.tx)).flags(NEXTHOP)];
    }
    case 'police':
      return [
        new Record(TYPE.police)
          .u8(AT.scope, SCOPES.indexOf(p.scope), `class ${p.scope}`)
          .flags(p.unit === 'kbps' ? KBPS : 0)
          .u32(AT.rate, p.rate, 'rate')
          .u32(AT.burst, p.burst, 'burst'),
      ];
    case 'proxy':
      return [
        new Record(TYPE.proxy)
          .from(names.port(p.on))
          .u8(AT.af, p.family, 'family')
          .u32(AT.table, p.table, 'table')
          .address(AT.source, p.low)
          .address(AT.destination, p.high),
      ];
    case 'dhcp-proxy':
      return refuse('DHCP relaying is not there');
  }
};

/** The records of a punt, without slot. Throws LcpError where there can be none. */
export const encodePunt = (p: Punt, names: PuntNames): Uint8Array => {
  let all: Record[];
  try {
    all = records(p, names);
  } catch (error) {
    if (error instanceof LcpError) throw error;
    return refuse((error as Error).message); // a text that is no address
  }
  const bytes = new Uint8Array(all.length * SIZE.punt);
  all.forEach((record, i) => {
    bytes.set(record.bytes, i * SIZE.punt);
  });
  return bytes;
};

/** Slot of the counters of the punt whose first record is at byte. */
export const slotOf = (bytes: Uint8Array, at = 0): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at + AT.slot, true);
export const setSlot = (bytes: Uint8Array, slot: number): void =>
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(AT.slot, slot, true);

class Reader {
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset);
  }
  u8(at: number): number {
    return this.#bytes[at] as number;
  }
  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  has(flag: number): boolean {
    return (this.u8(AT.flags) & flag) !== 0;
  }
  get family(): 4 | 6 {
    return this.u8(AT.af) === 6 ? 6 : 4;
  }
  address(at: number): string {
    return addressText(this.family, this.#words, at / 4);
  }
  range(at: number): [number, number] {
    return [this.u16(at), this.u16(at + 2)];
  }
  mac(): string {
    return this.has(MAC) ? macText(this.#bytes.subarray(AT.mac, AT.mac + 6)) : '';
  }
  path(): string {
    const end = this.#bytes.indexOf(0, AT.path);
    return new TextDecoder().decode(this.#bytes.subarray(AT.path, end));
  }
}

const readMatch = (r: Reader): PuntMatch => {
  switch (r.u8(AT.by)) {
    case BY.port:
      return { by: 'port', family: r.family, protocol: r.u8(AT.protocol), port: r.u16(AT.number) };
    case BY.icmp6:
      return { by: 'icmp6', type: r.u16(AT.number) };
    case BY.protocol:
      return { by: 'protocol', family: r.family, protocol: r.u8(AT.protocol) };
    default:
      return { by: 'reason', reason: reasonNames()[r.u16(AT.number)] ?? '' };
  }
};

const readRule = (r: Reader): AclRule => ({
  permit: r.has(PERMIT),
  family: r.family,
  source: `${r.address(AT.source)}/${r.u8(AT.sourceLength)}`,
  destination: `${r.address(AT.destination)}/${r.u8(AT.destinationLength)}`,
  protocol: r.u8(AT.protocol),
  sourcePorts: r.range(AT.sourcePorts),
  destinationPorts: r.range(AT.destinationPorts),
  flagsMask: r.u8(AT.tcpMask),
  flagsValue: r.u8(AT.tcpValue),
});

const readPunt = (r: Reader, rules: readonly AclRule[], nameOf: (id: number) => string): Punt | undefined => {
  const kind = 'punt';
  const from = nameOf(r.u16(AT.from));
  const to = nameOf(r.u16(AT.to));
  switch (r.u8(0)) {
    case TYPE.xconnect:
      return { kind, feature: 'xconnect', from, to };
    case TYPE.span:
      return { kind, feature: 'span', from, to, rx: r.has(RX), tx: r.has(TX) };
    case TYPE.abx:
      return { kind, feature: 'abx', from, to, priority: r.u32(AT.priority), rules, dstMac: r.mac() };
    case TYPE.osi:
      return { kind, feature: 'osi', from, to, protocol: r.u8(AT.protocol) };
    case TYPE.host:
      return { kind, feature: 'host', match: readMatch(r) };
    case TYPE.socket:
      return { kind, feature: 'socket', match: readMatch(r), path: r.path() };
    case TYPE.redirect: {
      const nexthop = r.has(NEXTHOP) ? r.address(AT.destination) : '';
      return { kind, feature: 'redirect', family: r.family, rx: from, tx: to, nexthop };
    }
    case TYPE.police: {
      const unit = r.has(KBPS) ? 'kbps' : 'pps';
      const scope = SCOPES[r.u8(AT.scope)] as Police['scope'];
      return { kind, feature: 'police', scope, unit, rate: r.u32(AT.rate), burst: r.u32(AT.burst) };
    }
    case TYPE.proxy: {
      const [low, high] = [r.address(AT.source), r.address(AT.destination)];
      return { kind, feature: 'proxy', on: from, family: r.family, table: r.u32(AT.table), low, high };
    }
    default:
      return undefined;
  }
};

/** The punts of count records, each with its own. nameOf: of a port's id, '' for 0. */
export const decodePunts = (
  bytes: Uint8Array,
  count: number,
  nameOf: (id: number) => string,
): { punt: Punt; bytes: Uint8Array }[] => {
  const decoded: { punt: Punt; bytes: Uint8Array }[] = [];
  for (let i = 0; i < count; ) {
    const first = i++;
    const at = (k: number) => bytes.subarray(k * SIZE.punt, (k + 1) * SIZE.punt);
    const rules: AclRule[] = [];
    for (; i < count && at(i)[0] === TYPE.rule; i++) rules.push(readRule(new Reader(at(i))));
    const punt = readPunt(new Reader(at(first)), rules, nameOf);
    if (punt !== undefined) decoded.push({ punt, bytes: bytes.slice(first * SIZE.punt, i * SIZE.punt) });
  }
  return decoded;
};
