// Copies: what the homes of one kernel table say together, so that the core sees all of them as one.
//
// Invariants: a route is told as it is when every home has it alike. A prefix that some home has otherwise, or not at all, or
// that only a copy has, is told with a target that nobody can want: the core then sends that route to all of them, or
// removes it from all. So a copy that lcpd left half-filled when it was killed is completed like any other table.

import { newRouteBatch, ROUTE_WORDS, type RouteBatch } from '../lcp/dataplane.ts';

const prefixOf = (words: Uint32Array, at: number): string => words.subarray(at + 2, at + ROUTE_WORDS).join();

/** Targets by prefix. */
function targetsOf(batches: readonly RouteBatch[]): Map<string, number> {
  const found = new Map<string, number>();
  for (const { words, count } of batches)
    for (let at = 0; at < count * ROUTE_WORDS; at += ROUTE_WORDS)
      found.set(prefixOf(words, at), words[at + 1] as number);
  return found;
}

/** The routes of a home as all copies of it have them, too; `unwanted` is the target of those that differ. */
export function agreed(
  home: readonly RouteBatch[],
  copies: readonly (readonly RouteBatch[])[],
  unwanted: () => number,
): RouteBatch[] {
  if (copies.length === 0) return [...home];
  const all = [...home];
  const known = targetsOf(home);
  for (const copy of copies) {
    const found = targetsOf(copy);
    for (const { words, count } of home) {
      for (let at = 0; at < count * ROUTE_WORDS; at += ROUTE_WORDS) {
        const key = prefixOf(words, at);
        if (found.get(key) !== known.get(key)) words[at + 1] = unwanted();
      }
    }
    for (const { family, words, count } of copy) {
      const more = newRouteBatch(family, count);
      for (let at = 0; at < count * ROUTE_WORDS; at += ROUTE_WORDS) {
        const key = prefixOf(words, at);
        if (known.has(key)) continue;
        known.set(key, unwanted());
        more.words.set(words.subarray(at, at + ROUTE_WORDS), more.count * ROUTE_WORDS);
        more.words[more.count++ * ROUTE_WORDS + 1] = unwanted();
      }
      if (more.count > 0) all.push(more);
    }
  }
  return all;
}
