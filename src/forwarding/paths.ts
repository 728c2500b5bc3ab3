// struct lcpfwd_path: the legs of a path set, encoded and decoded.

import { MAX_LABELS, type Path } from '../lcp/objects.ts';
import { ipBytes } from '../lib/ip.ts';
import type { Devices } from './devices.ts';
import { native, SIZE } from './native.ts';
import { addressText, afOf } from './port.ts';

const MAX_PATHS = 256;
const COMPLETE = 1;
const PUNT = 2;
const LABELS = 24;
/** Phy of a leg whose port has ended: no device can have this name, so no desired leg equals it. */
export const ENDED_PHY = '/deleted';

/** A leg as the shared memory states it. */
export interface HeldPath extends Path {
  readonly complete: boolean;
}

const isLabel = (label: number): boolean => Number.isInteger(label) && label >= 0 && label < 2 ** 20;

/** What forbids a leg in words, undefined when nothing does. */
const objection = ({ labels, ttl }: Path): string | undefined => {
  if (labels !== undefined && (labels.length === 0 || labels.length > MAX_LABELS)) return `${labels.length} labels`;
  if (labels?.every(isLabel) === false) return `labels ${labels.join('/')}`;
  if (ttl !== undefined && !(Number.isInteger(ttl) && ttl >= 1 && ttl <= 255)) return `TTL ${ttl} of labels`;
  return undefined;
};

/** The legs for lcpfwd_pathlist_set, or why there can be none. Legs beyond what a path list holds are left out. */
export const encodePaths = (
  paths: readonly Path[],
  portId: (phy: string) => number | undefined,
): { bytes: Uint8Array; count: number } | { code: string; message: string } => {
  const count = Math.min(paths.length, MAX_PATHS);
  const bytes = new Uint8Array(count * SIZE.path);
  const view = new DataView(bytes.buffer);
  for (const [i, path] of paths.slice(0, count).entries()) {
    const at = i * SIZE.path;
    view.setUint16(at + 2, path.weight, true);
    if (path.phy === '') {
      bytes[at + 5] = PUNT;
      continue;
    }
    const port = portId(path.phy);
    if (port === undefined) return { code: 'PORT_REFUSED', message: `${path.phy} has no port` };
    const wrong = objection(path);
    if (wrong !== undefined) return { code: 'REFUSED', message: `${path.phy} ${path.via}: ${wrong}` };
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
      phy: flags & PUNT ? '' : (devices.byId(view.getUint16(at, true))?.phy ?? ENDED_PHY),
      via: af === 0 ? '' : addressText(af, words, (at + 8) / 4),
      weight: view.getUint16(at + 2, true),
      complete: (flags & COMPLETE) !== 0,
      ...(labels > 0 && { labels: [...words.subarray((at + LABELS) / 4, (at + LABELS) / 4 + labels)] }),
      ...(ttl > 0 && { ttl }),
    };
  });
};
