// Lookup: what VPP itself would find for an address, in the core's words.
//
// Invariants: VPP is asked, never a cache. Its neighbours are entries of their own, which are answered by what covers them,
// also those that an on-link route brings along into a table that its interface is not in (a leak between VRFs), which VPP
// shows without paths. What its interfaces have by themselves is told as the kernel has it: the own address in the local
// table, the rest on-link. Where VPP has nothing, or leads on, the next table of the question is asked.
// Reference: VPP's src/vnet/fib/fib_attached_export.c.

import type { LookupAnswer } from '../lcp/dataplane.ts';
import { type Family, MPLS, SPECIAL } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { ipBytes, maskBytes } from '../lib/ip.ts';
import { fibPathType } from './api/fibtypes.ts';
import { ipRouteLookupV2 } from './api/route.ts';
import type { VppClient } from './client.ts';
import type { LabelRoutes } from './labelroutes.ts';
import type { MessageValue } from './message.ts';
import { isMarked, pathsToHost, specialOf } from './paths.ts';
import type { PathTable } from './pathtable.ts';
import type { Sources } from './sources.ts';
import type { Held, Tables } from './tables.ts';
import { LOCAL } from './tables.ts';

const NO_SUCH_ENTRY = -6;
const NOTHING: LookupAnswer = { table: 0, target: SPECIAL.none, prefixlen: 0 };

/** With VPP's index of the counter of the entry that packets for the address find. */
export interface FoundRoute extends LookupAnswer {
  readonly statsIndex?: number;
}

export interface LookupParts {
  readonly client: VppClient;
  readonly sources: Sources;
  readonly tables: Tables;
  readonly paths: PathTable;
  /** Numbers of VPP's sources that stand for nothing that the kernel has: neighbours, defaults. */
  readonly neighbourSources: ReadonlySet<number>;
  readonly emptySources: ReadonlySet<number>;
}

type Found = MessageValue<typeof ipRouteLookupV2.reply>['route'];

/** What an address finds in tables, in order. */
export async function lookUp(
  parts: LookupParts,
  family: Family,
  handles: readonly number[],
  address: string,
): Promise<FoundRoute> {
  const held = handles.map((handle) => parts.tables.byHandle(handle)).filter((each) => each !== undefined);
  const steps = held.filter(({ table }) => table.table !== LOCAL);
  const only = steps.length === 0 ? held : steps;
  for (const step of only) {
    const answer = await inHome(parts, family, step, address);
    if (answer === undefined) continue;
    if (steps.length === 0 && answer.table !== step.handle) return NOTHING;
    return answer;
  }
  return NOTHING;
}

/** What an address finds in one home; undefined when it leads on. */
async function inHome(
  parts: LookupParts,
  family: Family,
  step: Held,
  address: string,
): Promise<FoundRoute | undefined> {
  const bytes = ipBytes(address);
  let statsIndex: number | undefined;
  for (let length = bytes.length * 8; length >= 0; ) {
    const found = await ask(parts.client, step.home.vpp, maskBytes(bytes, length), length);
    if (found === undefined) return undefined;
    // packets to a neighbour are counted at its own entry
    statsIndex ??= found.stats_index;
    if (!parts.neighbourSources.has(found.src)) {
      const answer = answerOf(parts, family, step, found);
      return answer && { ...answer, statsIndex };
    }
    length = found.prefix.len - 1;
  }
  return undefined;
}

async function ask(client: VppClient, table_id: number, address: Uint8Array, len: number): Promise<Found | undefined> {
  const input = { table_id, exact: 0, prefix: { address, len } };
  const { retval, route } = await client.request(ipRouteLookupV2, input, { accept: [NO_SUCH_ENTRY] });
  return retval === 0 ? route : undefined;
}

function answerOf(
  { sources, tables, paths, emptySources }: LookupParts,
  family: Family,
  { home, handle }: Held,
  found: Found,
): LookupAnswer | undefined {
  const prefixlen = found.prefix.len;
  const local = tables.heldAs(home.netns, family, LOCAL)?.handle ?? handle;
  if (emptySources.has(found.src)) return undefined;
  if (found.src === sources.local) return { table: local, target: paths.targetOfPaths(found.paths, family), prefixlen };
  const isReceived = found.paths.every(({ type }) => type === fibPathType.values.FIB_API_PATH_TYPE_LOCAL);
  const isOurs = found.src === sources.route || (found.src === sources.api && isMarked(found.paths));
  if (!isOurs && isReceived) return { table: local, target: SPECIAL.local, prefixlen };
  const isDropped = found.paths.every(({ type }) => type === fibPathType.values.FIB_API_PATH_TYPE_DROP);
  if (isDropped && !(isOurs && specialOf(found.paths) !== 0))
    return { table: handle, target: SPECIAL.blackhole, prefixlen };
  const isHost = prefixlen === (family === 6 ? 128 : 32);
  const shown = isHost ? pathsToHost(found.paths, found.prefix.address) : found.paths;
  const target = paths.targetOfPaths(shown, family);
  return target === SPECIAL.throw ? undefined : { table: handle, target, prefixlen };
}

/** The same for labels in decimal, in VPP's one table of them. Throws REFUSED for what is none. */
export async function lookUpLabels(
  routes: LabelRoutes,
  tables: Tables,
  handles: readonly number[],
  labels: readonly string[],
): Promise<LookupAnswer[]> {
  const found = new Map<number, LookupAnswer>();
  for (const handle of [...handles].reverse()) {
    const held = tables.byHandle(handle);
    if (held === undefined || held.table.family !== MPLS) continue;
    for (const [label, target] of await routes.targets(held.home))
      found.set(label, { table: handle, target, prefixlen: 20 });
  }
  return labels.map((text) => {
    if (!/^[0-9]{1,7}$/.test(text))
      throw new LcpError('REFUSED', { op: 'look up', key: text.slice(0, 64), message: 'not a label' });
    return found.get(Number(text)) ?? NOTHING;
  });
}
