// The routes of a data plane that is a Map: keys, lookups and texts of prefixes and labels.

import type { LookupAnswer } from '../../../src/lcp/dataplane.ts';
import { MAX_LABELS, MPLS, type Path, type RouteFamily, SPECIAL } from '../../../src/lcp/objects.ts';
import { AF_INET, AF_INET6, formatWords, ipBytes, maskBytes, maxPrefixLength, wordsOf } from '../../../src/lib/ip.ts';

const LABEL_BITS = 20;
const IMPLICIT_NULL = 3;
export const MAX_LOOKUP_TABLES = 5;

export interface FakeRouteRow {
  readonly words: readonly number[];
  readonly plen: number;
  target: number;
  /** Legs as they were when the route was set, where path sets are not shared. */
  copied: readonly Path[] | undefined;
}

export type FakeRoutes = ReadonlyMap<number, ReadonlyMap<string, FakeRouteRow>>;

export const wordCount = (family: RouteFamily): number => (family === 6 ? 4 : 1);
export const rowKey = (words: ArrayLike<number>, at: number, family: RouteFamily, plen: number): string =>
  `${Array.from({ length: wordCount(family) }, (_, i) => words[at + i]).join('.')}/${plen}`;

const afOf = (family: RouteFamily): number => (family === 6 ? AF_INET6 : AF_INET);
/** A label as the address of a route: network order, in the upper 20 bits. */
const labelBytes = (label: number): Uint8Array =>
  Uint8Array.of(label >>> 12, (label >>> 4) & 0xff, (label << 4) & 0xff, 0);
const labelOf = (word: number): number => ((word & 0xff) << 12) | (((word >>> 8) & 0xff) << 4) | ((word >>> 20) & 0xf);
const isLabel = (label: number): boolean =>
  Number.isInteger(label) && label >= 0 && label < 2 ** LABEL_BITS && label !== IMPLICIT_NULL;

/** Does a leg into other tables say nothing else, and not too many of them? */
const lookupsFit = ({ phy, via, labels, ttl, lookup4, lookup6 }: Path): boolean =>
  (lookup4 === undefined && lookup6 === undefined) ||
  (phy === '' &&
    via === '' &&
    labels === undefined &&
    ttl === undefined &&
    Math.max(lookup4?.length ?? 0, lookup6?.length ?? 0) <= MAX_LOOKUP_TABLES);

/** Can packets bear what a leg says? */
export const legFits = (path: Path): boolean => lookupsFit(path) && labelsFit(path);
const labelsFit = ({ labels, ttl }: Path): boolean =>
  (labels === undefined || (labels.length > 0 && labels.length <= MAX_LABELS && labels.every(isLabel))) &&
  (ttl === undefined || (Number.isInteger(ttl) && ttl >= 1 && ttl <= 255));

/** Is it a prefix of the family, without bits behind its length? */
export const isPrefix = (words: Uint32Array, at: number, family: RouteFamily, plen: number): boolean => {
  if (family === MPLS ? plen !== LABEL_BITS : plen > maxPrefixLength(afOf(family))) return false;
  const address = new Uint8Array(words.slice(at, at + wordCount(family)).buffer);
  return maskBytes(address, plen).every((b, i) => b === address[i]);
};

export const prefixText = (family: RouteFamily, [a0 = 0, a1, a2, a3]: readonly number[], plen: number): string =>
  family === MPLS ? String(labelOf(a0)) : `${formatWords(afOf(family), a0, a1, a2, a3)}/${plen}`;

const longest = (
  routes: FakeRoutes,
  family: RouteFamily,
  tables: readonly number[],
  address: string,
): LookupAnswer | undefined => {
  const bytes = family === MPLS ? labelBytes(Number(address)) : ipBytes(address);
  for (let prefixlen = family === MPLS ? LABEL_BITS : bytes.length * 8; prefixlen >= 0; prefixlen--) {
    const key = rowKey(wordsOf(maskBytes(bytes, prefixlen)), 0, family, prefixlen);
    for (const table of tables) {
      const row = routes.get(table)?.get(key);
      if (row !== undefined) return { table, target: row.target, prefixlen };
    }
  }
  return undefined;
};

/** What the contract says of lookup. */
export const lookupIn = (
  routes: FakeRoutes,
  family: RouteFamily,
  tables: readonly number[],
  merged: boolean,
  addresses: readonly string[],
): LookupAnswer[] => {
  const rounds = merged ? [tables.slice(0, 2), ...tables.slice(2).map((t) => [t])] : tables.map((t) => [t]);
  return addresses.map((address) => {
    for (const round of rounds) {
      const answer = longest(routes, family, round, address);
      if (answer !== undefined && answer.target !== SPECIAL.throw) return answer;
    }
    return { table: 0, target: 0, prefixlen: 0 };
  });
};

/** Whether this is TPID * 65536 + VLAN id. */
export const isTag = (tag: number): boolean =>
  [0x8100, 0x88a8].includes(tag >>> 16) && (tag & 0xffff) >= 1 && (tag & 0xffff) <= 4094;
