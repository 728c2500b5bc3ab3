// Sources: what marks an entry of a VPP table as ours, and which VPP this is.
//
// Invariants: VPP keeps for each prefix one entry of every source and forwards by the one with the lowest priority. Ours
// are better than its interfaces' (3), because a kernel that prefers another route than the connected one says so, and
// only beaten by what must never be overridden (special, classify, proxy). Entries of sources that are not listed here
// are never touched. VPP cannot remove a source, and makes a second one for a name that is there: they are found by
// name. One that holds nothing is named after the moment when lcpd first met this VPP; it goes with VPP, so its name
// is VPP's generation. Reference: VPP's src/vnet/fib/fib_source.h.

import { LcpError } from '../lib/errors.ts';
import { fibSourceAdd, fibSourceDump } from './api/fib.ts';
import type { VppClient } from './client.ts';

export interface Sources {
  /** Routes of Linux' local table. */
  readonly local: number;
  /** All other routes. */
  readonly route: number;
  /** VPP's own: attaches on-link prefixes, and exempts what is looked up again. Ours there have a preference. */
  readonly api: number;
  /** VPP's own: addresses of its interfaces. */
  readonly interface: number;
  /** Changes when VPP was started anew. */
  readonly generation: string;
}

const OURS = { local: ['lcpd-local', 1], route: ['lcpd', 2] };
const OURS_ENTRIES = Object.entries(OURS) as [keyof typeof OURS, [string, number]][];
const GENERATION = 'lcpd-since-';
/** Worse than anything that VPP has by itself. */
const GENERATION_PRIORITY = 255;

/** Finds our sources, or makes them. Rejects with NOT_SUPPORTED when this VPP has none. */
export async function openSources(client: VppClient, now: () => number = Date.now): Promise<Sources> {
  const ids = new Map<string, number>();
  let generation = '';
  for (const { src } of await client.dump(fibSourceDump, {})) {
    if (!ids.has(src.name)) ids.set(src.name, src.id);
    if (generation === '' && src.name.startsWith(GENERATION)) generation = src.name.slice(GENERATION.length);
  }
  const make = async (name: string, priority: number): Promise<number> => {
    const { id } = await client.request(fibSourceAdd, { src: { priority, id: 0, name } }, { key: name });
    if (id === 0) throw new LcpError('REFUSED', { op: 'make route source', key: name, message: 'VPP has no more' });
    return id;
  };
  const made: Partial<Record<keyof typeof OURS, number>> = {};
  for (const [key, [name, priority]] of OURS_ENTRIES) made[key] = ids.get(name) ?? (await make(name, priority));
  if (generation === '') {
    generation = now().toString(16);
    await make(`${GENERATION}${generation}`, GENERATION_PRIORITY);
  }
  const own = (name: string): number => {
    const id = ids.get(name);
    if (id === undefined) throw new LcpError('NOT_SUPPORTED', { op: 'find route source', key: name });
    return id;
  };
  const { local = 0, route = 0 } = made;
  return { local, route, api: own('API'), interface: own('interface'), generation };
}
