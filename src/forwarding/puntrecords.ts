// struct lcpfwd_punt: punts encoded. A punt is one record; an access list is one for itself and one for
// each of its rules, behind it. Numbers are checked here only for what a field cannot hold: the library checks the rest.

import type { AclRule, Punt, PuntMatch } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { ipBytes, parsePrefix } from '../lib/ip.ts';
import { policeScopes } from '../lib/policescopes.ts';
import { SIZE } from './native.ts';
import { afOf, macBytes } from './port.ts';
import { AT, BY, KBPS, MAC, NEXTHOP, PATH_SIZE, PERMIT, RX, reasonNames, TX, TYPE } from './puntlayout.ts';

/** The kernel's table of its own addresses, and those numbers that mean main. */
const LOCAL = 255;
const MAIN = 254;
const mainOr = (table: number): number => (table === 0 ? MAIN : table);

/** What a record names: a port by its id and generation. */
export interface PortId {
  readonly id: number;
  readonly generation: bigint;
}

/** What names stand for when records are written. */
export interface PuntNames {
  /** Throws where there is no such port. */
  readonly port: (name: string) => PortId;
  /** Id of a table of the kernel's, 0: there is none. */
  readonly table: (family: 4 | 6, number: number) => number;
  /** The interconnect on whose subnet an address is, but for its own: with the MAC of whoever is there. */
  readonly behind: (address: string) => { readonly name: string; readonly peerMac: string } | undefined;
  /** MAC of whoever is at the other end of an interconnect, '' where neighbours have to be asked for. */
  readonly peer: (name: string) => string;
}

const refuse = (message: string): never => {
  throw new LcpError('REFUSED', { op: 'encode', key: 'punt', message });
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
          .u8(AT.scope, policeScopes.indexOf(p.scope), `class ${p.scope}`)
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
    case 'dhcp-proxy': {
      const { family, table, serverTable, server, source } = p;
      if (afOf(server) !== family || afOf(source) !== family) refuse(`${server} by ${source} is not IPv${family}`);
      const record = new Record(TYPE.relay)
        .u8(AT.af, family, 'family')
        .u32(AT.table, table, 'table')
        .u32(AT.serverNumber, serverTable, 'table')
        .u32(AT.relayTable, names.table(family, mainOr(table)), 'table')
        .u32(AT.relayLocal, names.table(family, LOCAL), 'table')
        .u32(AT.serverTable, names.table(family, mainOr(serverTable)), 'table')
        .address(AT.source, source)
        .address(AT.destination, server);
      const peer = names.behind(server);
      return [peer === undefined ? record : record.to(names.port(peer.name)).mac(peer.peerMac)];
    }
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
