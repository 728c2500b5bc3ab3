// Orders in which rows are shown: names with their numbers as numbers, addresses by value.

import { parsePrefix } from '../lib/ip.ts';

export type Order<Row> = (a: Row, b: Row) => number;

const collator = new Intl.Collator('en', { numeric: true });

/** By a name: e2 before e10. */
export function byName<Row>(nameOf: (row: Row) => string): Order<Row> {
  return (a, b) => collator.compare(nameOf(a), nameOf(b));
}

export function byNumber<Row>(numberOf: (row: Row) => number): Order<Row> {
  return (a, b) => numberOf(a) - numberOf(b);
}

/** Text whose plain order is the order of addresses: IPv4 first, by value, then by prefix length. */
function addressKey(text: string): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) return `~${text}`;
  const family = prefix.bytes.length === 4 ? '4' : '6';
  return `${family}${Buffer.from(prefix.bytes).toString('hex')}${String(prefix.length).padStart(3, '0')}`;
}

/** By an address or prefix in text; what is neither comes last. */
export function byAddress<Row>(addressOf: (row: Row) => string | undefined): Order<Row> {
  // A sort asks for each key many times, and making one costs a parse.
  const keys = new Map<string, string>();
  const keyOf = (row: Row) => {
    const text = addressOf(row) ?? '';
    let key = keys.get(text);
    if (key === undefined) {
      key = addressKey(text);
      keys.set(text, key);
    }
    return key;
  };
  return (a, b) => {
    const left = keyOf(a);
    const right = keyOf(b);
    return left < right ? -1 : left > right ? 1 : 0;
  };
}

/** A sorted copy: by the first order, then the second, … */
export function sorted<Row>(rows: readonly Row[], orders: readonly Order<Row>[]): Row[] {
  return [...rows].sort((a, b) => {
    for (const order of orders) {
      const result = order(a, b);
      if (result !== 0) return result;
    }
    return 0;
  });
}
