// LabelRoutes: routes of MPLS labels, each of which is two entries in VPP: for a label that is the last one, and for
// one that is not.
//
// Invariants: VPP keeps no source of label routes, so that a label table of ours is all ours. The route is as the entry for the last
// label says; the other one pops by an implicit null what the former pops by having no label. Labels are few: they
// are requests of their own, sent together. Reference: VPP's src/vnet/mpls/mpls_api.c.

import { newRouteBatch, ROUTE_WORDS, type RouteBatch } from '../lcp/dataplane.ts';
import { MPLS, SPECIAL } from '../lcp/objects.ts';
import { LcpError } from '../lib/errors.ts';
import { fibPath } from './api/fibtypes.ts';
import { mplsRouteAddDel, mplsRouteDump } from './api/mpls.ts';
import type { VppClient } from './client.ts';
import type { PathTable } from './pathtable.ts';
import type { EncodedPaths, FibPath } from './routebatch.ts';
import type { Home } from './tables.ts';
import { Wire } from './wire.ts';

const ENOENT = -2;
const EINVAL = -22;
const EIO = -5;
/** Bits of a label prefix. */
const LABEL_BITS = 20;
/** Labels below have a meaning of their own (RFC 3032), which VPP serves by itself in every table. */
const FIRST_LABEL = 16;
/** Of what VPP takes the payload behind a last label to be: an IPv4 packet. */
const PAYLOAD_IP4 = 0;

/** The label of a route's first address word. */
const labelOf = (word: number): number => {
  const bytes = new Uint8Array(Uint32Array.of(word).buffer);
  return (((bytes[0] as number) << 12) | ((bytes[1] as number) << 4) | ((bytes[2] as number) >> 4)) >>> 0;
};

const wordOf = (label: number): number =>
  new Uint32Array(Uint8Array.of(label >>> 12, (label >>> 4) & 0xff, (label << 4) & 0xff, 0).buffer)[0] as number;

const decoded = ({ bytes, count }: EncodedPaths): FibPath[] => {
  const wire = new Wire(bytes);
  return Array.from({ length: count }, () => fibPath.read(wire));
};

export class LabelRoutes {
  readonly #client: VppClient;
  readonly #paths: PathTable;

  constructor(client: VppClient, paths: PathTable) {
    this.#client = client;
    this.#paths = paths;
  }

  /** Fills batch.results; how many failed. `homeOf` finds the table of a handle. */
  async apply(batch: RouteBatch, homeOf: (handle: number) => Home | undefined): Promise<number> {
    const results = await Promise.all(
      Array.from({ length: batch.count }, (_, i) => {
        const [handle = 0, target = 0, length = 0, word = 0] = batch.words.subarray(
          i * ROUTE_WORDS,
          (i + 1) * ROUTE_WORDS,
        );
        return this.#applyOne(homeOf(handle), target, length, word);
      }),
    );
    batch.results.set(results);
    return results.filter((result) => result !== 0).length;
  }

  async #applyOne(home: Home | undefined, target: number, length: number, word: number): Promise<number> {
    if (home === undefined || home.family !== MPLS) return ENOENT;
    if (length !== LABEL_BITS || (target !== SPECIAL.none && !this.#paths.has(target))) return EINVAL;
    const label = labelOf(word);
    if (label < FIRST_LABEL) return 0;
    const results = await Promise.all([
      this.#entry(home, label, true, target),
      this.#entry(home, label, false, target),
    ]);
    return results.find((result) => result !== 0) ?? 0;
  }

  async #entry({ vpp }: Home, label: number, isLast: boolean, target: number): Promise<number> {
    const encoded =
      target === SPECIAL.none ? undefined : this.#paths.encoded(target, isLast ? 'last' : 'labelled', undefined);
    if (target !== SPECIAL.none && encoded === undefined) return EINVAL;
    const mr_paths = encoded === undefined ? [] : decoded(encoded);
    const mr_route = {
      mr_table_id: vpp,
      mr_label: label,
      mr_eos: isLast ? 1 : 0,
      mr_eos_proto: mr_paths[0]?.proto ?? PAYLOAD_IP4,
      mr_is_multicast: false,
      mr_n_paths: mr_paths.length,
      mr_paths,
    };
    try {
      await this.#client.request(mplsRouteAddDel, { mr_is_add: mr_paths.length > 0, mr_is_multipath: false, mr_route });
      return 0;
    } catch (error) {
      if (!(error instanceof LcpError)) throw error;
      return error.retval ?? EIO;
    }
  }

  /** Targets of the labels in a table. */
  async targets({ vpp }: Home): Promise<Map<number, number>> {
    const found = new Map<number, number>();
    for (const { mr_route } of await this.#client.dump(mplsRouteDump, { table: { mt_table_id: vpp, mt_name: '' } })) {
      const { mr_table_id, mr_label, mr_eos, mr_paths } = mr_route;
      if (mr_table_id !== vpp || mr_eos !== 1 || mr_label < FIRST_LABEL) continue;
      found.set(mr_label, this.#paths.targetOfPaths(mr_paths, MPLS));
    }
    return found;
  }

  /** Routes of a label table, in one batch. */
  async read(home: Home, handle: number): Promise<RouteBatch[]> {
    const targets = await this.targets(home);
    if (targets.size === 0) return [];
    const batch = newRouteBatch(MPLS, targets.size);
    for (const [label, target] of targets)
      batch.words.set([handle, target, LABEL_BITS, wordOf(label)], batch.count++ * ROUTE_WORDS);
    return [batch];
  }

  /** Removes every label of a table. */
  async clear(home: Home): Promise<void> {
    for (const label of (await this.targets(home)).keys()) {
      await this.#applyOne(home, SPECIAL.none, LABEL_BITS, wordOf(label));
    }
  }
}
