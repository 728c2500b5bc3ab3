// What the embedded plane shows of itself: adjacencies, counters, traced packets.

import type { AdjacencyRow, CounterRow, TracedPacket } from '../lcp/dataplane.ts';
import { toHex } from '../lib/bytes.ts';
import type { Devices } from './devices.ts';
import { native, SIZE } from './native.ts';
import { addressText } from './port.ts';

const STATES = ['incomplete', 'complete', 'attached', 'multicast', 'dead'] as const;
const BATCH = 256;

let names: string[] | undefined;
/** Names of all counters, by index. */
export const counterNames = (): string[] => {
  if (names === undefined) {
    const n = native();
    names = Array.from({ length: n.counterCount() as number }, (_, i) => n.counterName(i) as string);
  }
  return names;
};

export const readAdjacencies = (handle: bigint, devices: Devices): AdjacencyRow[] => {
  const rows: AdjacencyRow[] = [];
  const bytes = new Uint8Array(BATCH * SIZE.adjacency);
  const words = new Uint32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  const cursor = new Uint32Array(1);
  for (;;) {
    const n = native().adjacenciesDump(handle, bytes, BATCH, cursor) as number;
    if (n <= 0) return rows;
    for (let i = 0; i < n; i++) {
      const at = i * SIZE.adjacency;
      const af = bytes[at + 6] as number;
      const length = bytes[at + 24] as number;
      rows.push({
        id: view.getUint32(at, true),
        port: view.getUint16(at + 4, true),
        phy: devices.byId(view.getUint16(at + 4, true))?.phy ?? '',
        family: af === 6 ? 6 : 4,
        nexthop: STATES[bytes[at + 7] as number] === 'multicast' ? '' : addressText(af, words, (at + 8) / 4),
        state: STATES[bytes[at + 7] as number] ?? 'incomplete',
        rewrite: toHex(bytes.subarray(at + 28, at + 28 + length)),
        packets: Number(view.getBigUint64(at + 64, true)),
        bytes: Number(view.getBigUint64(at + 72, true)),
      });
    }
  }
};

export const readCounters = (handle: bigint, devices: Devices): CounterRow[] => {
  const all = counterNames();
  const values = new BigUint64Array(all.length);
  const rows: CounterRow[] = [];
  for (const port of devices.all()) {
    if ((native().counters(handle, port.id, values) as number) < 0) continue;
    all.forEach((name, i) => {
      rows.push({ phy: port.phy, name, value: Number(values[i]) });
    });
  }
  return rows;
};

export const readTraces = (handle: bigint, devices: Devices, after: number): TracedPacket[] => {
  const bytes = new Uint8Array(BATCH * SIZE.trace);
  const n = native().traces(handle, after, bytes, BATCH) as number;
  const view = new DataView(bytes.buffer);
  const all = counterNames();
  return Array.from({ length: Math.max(0, n) }, (_, i) => {
    const at = i * SIZE.trace;
    const caplen = Math.min(84, view.getUint32(at + 40, true));
    return {
      seq: Number(view.getBigUint64(at, true)),
      timeNs: view.getBigUint64(at + 8, true),
      inPhy: devices.byId(view.getUint16(at + 16, true))?.phy ?? '',
      outPhy: devices.byId(view.getUint16(at + 18, true))?.phy ?? '',
      fromHost: bytes[at + 20] !== 0,
      fate: all[view.getUint16(at + 22, true)] ?? '',
      length: view.getUint32(at + 24, true),
      tableHandle: view.getUint32(at + 28, true),
      target: view.getUint32(at + 32, true),
      adjacency: view.getUint32(at + 36, true),
      bytes: bytes.slice(at + 44, at + 44 + caplen),
    };
  });
};
