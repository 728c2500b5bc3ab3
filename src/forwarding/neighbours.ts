// struct lcpfwd_neighbour: usable neighbours, set, removed and dumped. They end with their port.

import type { HeldObject, OperationResult } from '../lcp/dataplane.ts';
import type { Neighbour } from '../lcp/objects.ts';
import { ipBytes } from '../lib/ip.ts';
import { errnoName } from '../lib/libc.ts';
import type { Devices } from './devices.ts';
import { native, SIZE } from './native.ts';
import { addressText, macBytes, macText } from './port.ts';

const DUMP_BATCH = 4096;
const NEIGH_DELETE = 1;
const ENOSPC = -28;

export const dumpNeighbours = (handle: bigint, devices: Devices): HeldObject[] => {
  const held: HeldObject[] = [];
  const bytes = new Uint8Array(DUMP_BATCH * SIZE.neighbour);
  const words = new Uint32Array(bytes.buffer);
  const view = new DataView(bytes.buffer);
  const cursor = new Uint32Array(1);
  for (;;) {
    const n = native().neighboursDump(handle, bytes, DUMP_BATCH, cursor) as number;
    if (n <= 0) return held;
    for (let i = 0; i < n; i++) {
      const at = i * SIZE.neighbour;
      const phy = devices.byId(view.getUint16(at, true))?.phy;
      if (phy === undefined) continue;
      const family = bytes[at + 2] === 6 ? 6 : 4;
      const mac = macText(bytes.subarray(at + 4, at + 10));
      held.push({
        object: { kind: 'neighbour', phy, family, address: addressText(family, words, (at + 12) / 4), mac },
      });
    }
  }
};

export const applyNeighbour = (handle: bigint, devices: Devices, n: Neighbour, remove: boolean): OperationResult => {
  const port = devices.port(n.phy);
  if (port === undefined) return remove ? { ok: true } : { ok: false, code: 'PORT_REFUSED', message: 'no port' };
  const bytes = new Uint8Array(SIZE.neighbour);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, port.id, true);
  bytes[2] = n.family;
  bytes[3] = remove ? NEIGH_DELETE : 0;
  bytes.set(macBytes(n.mac), 4);
  bytes.set(ipBytes(n.address), 12);
  const results = new Int32Array(1);
  native().neighboursApply(handle, bytes, 1, results);
  const errno = results[0] as number;
  if (errno >= 0) return { ok: true };
  const full = errno === ENOSPC;
  return {
    ok: false,
    code: full ? 'TABLES_FULL' : 'REFUSED',
    message: `neighbour ${n.address}: ${errnoName(errno)}`,
    hint: full ? 'raise dataplane.memory and restart the forwarder' : '',
  };
};
