// struct lcpfwd_path: the legs of a path set, encoded and decoded.
//
// A leg into other tables names them: the forwarder keeps what a name means as long as a leg uses it, so a leg
// may be set before its tables and outlive them, and finds nothing meanwhile.

import { type Family, MAX_LABELS, type Path } from '../lcp/objects.ts';
import { ipBytes } from '../lib/ip.ts';
import { errnoName } from '../lib/libc.ts';
import type { Devices } from './devices.ts';
import { native, SIZE } from './native.ts';
import { addressText, afOf, MAX_LOOKUP_TABLES } from './port.ts';

const MAX_PATHS = 256;
const COMPLETE = 1;
const PUNT = 2;
const LOOKUP = 4;
const LABELS = 24;
const TABLES4 = 24;
const TABLES6 = 34;
const NAME_SIZE = 120;
/** Phy of a leg whose port has ended: no device can have this name, so no desired leg equals it. */
export const ENDED_PHY = '/deleted';

/** A leg as the shared memory states it. */
export interface HeldPath extends Path {
  readonly complete: boolean;
}

const isLabel = (label: number): boolean => Number.isInteger(label) && label >= 0 && label < 2 ** 20;

const isLookup = ({ lookup4, lookup6 }: Path): boolean => lookup4 !== undefined || lookup6 !== undefined;

/** What forbids a leg in words, undefined when nothing does. */
const objection = (path: Path): string | undefined => {
  const { phy, via, labels, ttl, lookup4 = [], lookup6 = [] } = path;
  if (isLookup(path) && (phy !== '' || via !== '' || labels !== undefined || ttl !== undefined))
    return 'a leg that is looked up again leaves by nothing';
  const most = Math.max(lookup4.length, lookup6.length);
  if (most > MAX_LOOKUP_TABLES) return `looked up in ${most} tables`;
  if (labels !== undefined && (labels.length === 0 || labels.length > MAX_LABELS)) return `${labels.length} labels`;
  if (labels?.every(isLabel) === false) return `labels ${labels.join('/')}`;
  if (ttl !== undefined && !(Number.isInteger(ttl) && ttl >= 1 && ttl <= 255)) return `TTL ${ttl} of labels`;
  return undefined;
};

/** Ids that names stand for. */
export interface PathNames {
  readonly port: (phy: string) => number | undefined;
  /** Of a table that need not exist: a negative errno where it can have none. */
  readonly table: (family: Family, key: string) => number;
}

/** The legs for lcpfwd_pathlist_set, or why there can be none. Legs beyond what a path list holds are left out. */
export const encodePaths = (
  paths: readonly Path[],
  names: PathNames,
): { bytes: Uint8Array; count: number } | { code: string; message: string } => {
  const count = Math.min(paths.length, MAX_PATHS);
  const bytes = new Uint8Array(count * SIZE.path);
  const view = new DataView(bytes.buffer);
  for (const [i, path] of paths.slice(0, count).entries()) {
    const at = i * SIZE.path;
    view.setUint16(at + 2, path.weight, true);
    const wrong = objection(path);
    if (path.phy === '' && wrong === undefined) {
      bytes[at + 5] = isLookup(path) ? LOOKUP : PUNT;
      for (const [family, keys = [], field] of [
        [4, path.lookup4, TABLES4] as const,
        [6, path.lookup6, TABLES6] as const,
      ])
        for (const [k, key] of keys.entries()) {
          const id = names.table(family, key);
          if (id < 0)
            return { code: id === -28 ? 'TABLES_FULL' : 'REFUSED', message: `table ${key}: ${errnoName(id)}` };
          view.setUint16(at + field + 2 * k, id, true);
        }
      continue;
    }
    const port = names.port(path.phy);
    if (port === undefined && wrong === undefined) return { code: 'PORT_REFUSED', message: `${path.phy} has no port` };
    if (port === undefined || wrong !== undefined)
      return { code: 'REFUSED', message: `${path.phy} ${path.via}: ${wrong}` };
    view.setUint16(at, port, true);
    if (path.via !== '') {
      bytes[at + 4] = afOf(path.via);
      bytes.set(ipBytes(path.via), at + 8);
    }
    bytes[at + 6] = path.labels?.length ?? 0;
    bytes[at + 7] = path.ttl ?? 0;
    path.labels?.forEach((label, k) => {
      view.setUint32(at + LABELS + 4 * k, label, true);
    });
  }
  return { bytes, count };
};

/** Keys of the tables that a leg names. */
const readTables = (handle: bigint, view: DataView, at: number): string[] => {
  const name = new Uint8Array(NAME_SIZE);
  const keys: string[] = [];
  for (let k = 0; k < MAX_LOOKUP_TABLES; k++) {
    const id = view.getUint16(at + 2 * k, true);
    if (id === 0) break;
    native().tableGet(handle, id, new Uint32Array(1), name, new Uint32Array(1));
    keys.push(new TextDecoder().decode(name.subarray(0, name.indexOf(0))));
  }
  return keys;
};

/** The legs that a path list has; undefined when there is none of that id. */
export const readPaths = (handle: bigint, devices: Devices, pathlist: number): HeldPath[] | undefined => {
  const bytes = new Uint8Array(MAX_PATHS * SIZE.path);
  const n = native().pathlistGet(handle, pathlist, bytes, MAX_PATHS, new Uint32Array(1)) as number;
  if (n < 0) return undefined;
  const view = new DataView(bytes.buffer);
  const words = new Uint32Array(bytes.buffer);
  return Array.from({ length: n }, (_, i) => {
    const at = i * SIZE.path;
    const [af = 0, flags = 0, labels = 0, ttl = 0] = bytes.subarray(at + 4, at + 8);
    return {
      phy: flags & (PUNT | LOOKUP) ? '' : (devices.byId(view.getUint16(at, true))?.phy ?? ENDED_PHY),
      via: af === 0 ? '' : addressText(af, words, (at + 8) / 4),
      weight: view.getUint16(at + 2, true),
      complete: (flags & COMPLETE) !== 0,
      ...(labels > 0 && { labels: [...words.subarray((at + LABELS) / 4, (at + LABELS) / 4 + labels)] }),
      ...(ttl > 0 && { ttl }),
      ...((flags & LOOKUP) !== 0 && {
        lookup4: readTables(handle, view, at + TABLES4),
        lookup6: readTables(handle, view, at + TABLES6),
      }),
    };
  });
};
