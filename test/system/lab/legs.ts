/**
 * Legs: where the data plane sends packets, as short texts that a story can state: `e0 via 10.0.0.2`, several legs sorted
 * and joined by ` + `, or the type of what is not unicast.
 *
 * Invariants: IPv6 addresses are in canonical form; a weight is told when it is not 1.
 */
import type { Test } from 'tap';
import type { LookupRow } from '../../../src/lcp/view.ts';
import type { Lab } from '../lab.ts';
import { canonical } from './addresses.ts';
import { kernelChoices, mismatch } from './choices.ts';

export function textOf(row: LookupRow): string {
  if ('error' in row) return `${row.address}: ${row.error}`;
  if (row.type !== 'unicast') return row.type;
  const leg = ({ dev, via, weight }: (typeof row.paths)[number]): string =>
    `${dev}${via === undefined ? '' : ` via ${canonical(via)}`}${weight === 1 ? '' : ` weight ${weight}`}`;
  return row.paths.map(leg).sort().join(' + ');
}

/** The data plane's legs for each address, in order, once nothing is on its way. */
export async function legs(lab: Lab, addresses: readonly string[]): Promise<string[]> {
  await lab.lcpd.synced();
  return (await lab.lcpd.lookup(addresses)).map(textOf);
}

/**
 * Asserts that the kernel of cp and the data plane choose the same (of several legs one of them), and that the data plane
 * has exactly the expected legs where those are given.
 */
export async function sameChoices(
  t: Test,
  lab: Lab,
  addresses: readonly string[],
  when: string,
  expected?: readonly string[],
): Promise<void> {
  await lab.lcpd.synced();
  const asked = addresses.map(canonical);
  const rows = await lab.lcpd.lookup(asked);
  if (expected !== undefined) t.same(rows.map(textOf), expected, `${when}: the legs`);
  const kernel = await kernelChoices(lab.ns('cp'), asked);
  const wrong = asked.map((address, i) => {
    const [row, choice] = [rows[i], kernel.get(address)];
    return row === undefined || choice === undefined ? `${address}: no answer` : mismatch(row, choice);
  });
  t.same(
    wrong.filter((text) => text !== undefined),
    [],
    `${when}: as the kernel chooses`,
  );
}
