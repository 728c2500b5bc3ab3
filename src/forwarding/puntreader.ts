// struct lcpfwd_punt: punts decoded, as puntrecords.ts has encoded them.

import type { AclRule, Police, Punt, PuntMatch } from '../lcp/puntobjects.ts';
import { policeScopes } from '../lib/policescopes.ts';
import { SIZE } from './native.ts';
import { addressText, macText } from './port.ts';
import { AT, BY, KBPS, MAC, NEXTHOP, PERMIT, RX, reasonNames, TX, TYPE } from './puntlayout.ts';

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
      const scope = policeScopes[r.u8(AT.scope)] as Police['scope'];
      return { kind, feature: 'police', scope, unit, rate: r.u32(AT.rate), burst: r.u32(AT.burst) };
    }
    case TYPE.proxy: {
      const [low, high] = [r.address(AT.source), r.address(AT.destination)];
      return { kind, feature: 'proxy', on: from, family: r.family, table: r.u32(AT.table), low, high };
    }
    case TYPE.relay: {
      const [source, server] = [r.address(AT.source), r.address(AT.destination)];
      const [table, serverTable] = [r.u32(AT.table), r.u32(AT.serverNumber)];
      return { kind, feature: 'dhcp-proxy', family: r.family, table, serverTable, server, source };
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
