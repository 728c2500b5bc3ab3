// struct lcpfwd_mroute: multicast forwarding entries, encoded, decoded, set and dumped.
//
// A port that is deleted takes the entries along whose ingress it is and leaves the outputs of all others; dump
// says what is left. Outputs are a set: dumped in the order of their names.

import type { HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Mroute } from '../lcp/objects.ts';
import { ipBytes } from '../lib/ip.ts';
import { errnoName } from '../lib/libc.ts';
import type { Devices } from './devices.ts';
import { native, SIZE } from './native.ts';
import { addressText, type Port } from './port.ts';

const MAX_OUT = 64;
const HOST = 1;
const DUMP_BATCH = 256;
const ENOSPC = -28;
/** Offsets within struct lcpfwd_mroute. */
const AF = 2;
const FLAGS = 3;
const DOMAIN = 4;
const OUT_COUNT = 8;
const SOURCE = 16;
const GROUP = 32;
const OUT = 48;

const refused = (code: string, message: string, hint = ''): OperationResult => ({ ok: false, code, message, hint });

/** One number a namespace (FNV-1a): a collision only sends a packet to the kernel that need not go there. */
const domainOf = (port: Port, devices: Devices): number => {
  const { netnsId } = devices.byId(port.parent) ?? port;
  let hash = 0x811c9dc5;
  for (const c of `${port.netns}@${netnsId}`) hash = Math.imul(hash ^ (c.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash;
};

const encodeKey = (m: Mroute, port: Port): Uint8Array => {
  const bytes = new Uint8Array(SIZE.mroute);
  new DataView(bytes.buffer).setUint16(0, port.id, true);
  bytes[AF] = m.family;
  if (m.source !== '') bytes.set(ipBytes(m.source), SOURCE);
  bytes.set(ipBytes(m.group), GROUP);
  return bytes;
};

const nameOf = (m: Mroute): string => `multicast entry ${m.phy} ${m.source || '*'} ${m.group}`;

export const setMroute = (handle: bigint, devices: Devices, m: Mroute): OperationResult => {
  const port = devices.port(m.phy);
  if (port === undefined) return refused('PORT_REFUSED', `${nameOf(m)}: ${m.phy} has no port`);
  if (m.out.length > MAX_OUT) return refused('REFUSED', `${nameOf(m)}: ${m.out.length} outputs, at most ${MAX_OUT}`);
  const bytes = encodeKey(m, port);
  const view = new DataView(bytes.buffer);
  bytes[FLAGS] = m.host ? HOST : 0;
  view.setUint32(DOMAIN, domainOf(port, devices), true);
  view.setUint16(OUT_COUNT, m.out.length, true);
  for (const [i, phy] of m.out.entries()) {
    const out = devices.port(phy);
    if (out === undefined) return refused('PORT_REFUSED', `${nameOf(m)}: output ${phy} has no port`);
    view.setUint16(OUT + 2 * i, out.id, true);
  }
  const errno = native().mrouteSet(handle, bytes) as number;
  if (errno === ENOSPC)
    return refused('TABLES_FULL', `${nameOf(m)}: ENOSPC`, 'raise dataplane.memory and restart the forwarder');
  return errno < 0 ? refused('REFUSED', `${nameOf(m)}: ${errnoName(errno)}`) : { ok: true };
};

export const deleteMroute = (handle: bigint, devices: Devices, m: Mroute): OperationResult => {
  const port = devices.port(m.phy);
  if (port === undefined) return { ok: true }; // it went with its port
  const errno = native().mrouteDel(handle, encodeKey(m, port)) as number;
  return errno < 0 ? refused('REFUSED', `${nameOf(m)}: ${errnoName(errno)}`) : { ok: true };
};

/** All entries, with the names of their ports. */
export const dumpMroutes = (handle: bigint, devices: Devices): HeldObject[] => {
  const held: HeldObject[] = [];
  const bytes = new Uint8Array(DUMP_BATCH * SIZE.mroute);
  const words = new Uint32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  const cursor = new Uint32Array(2);
  const name = (at: number): string => devices.byId(view.getUint16(at, true))?.phy ?? '';
  for (;;) {
    const n = native().mroutesDump(handle, bytes, DUMP_BATCH, cursor) as number;
    if (n <= 0) return held;
    for (let at = 0; at < n * SIZE.mroute; at += SIZE.mroute) {
      const family = bytes[at + AF] === 6 ? 6 : 4;
      const any = bytes.subarray(at + SOURCE, at + GROUP).every((b) => b === 0);
      const source = any ? '' : addressText(family, words, (at + SOURCE) / 4);
      const group = addressText(family, words, (at + GROUP) / 4);
      const out = Array.from({ length: view.getUint16(at + OUT_COUNT, true) }, (_, i) => name(at + OUT + 2 * i)).sort();
      const host = ((bytes[at + FLAGS] as number) & HOST) !== 0;
      held.push({ object: { kind: 'mroute', phy: name(at), family, source, group, out, host } });
    }
  }
};
