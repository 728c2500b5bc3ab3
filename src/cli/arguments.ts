// Arguments: texts of the command line to values, refused with a reason before lcpd is asked.

import { InvalidArgumentError } from 'commander';

const tableNames: Readonly<Record<string, number>> = { default: 253, main: 254, local: 255 };

/** A routing table: a number, or one of the kernel's own names. */
export function parseTable(text: string): number {
  const named = Object.hasOwn(tableNames, text) ? tableNames[text] : undefined;
  const table = named ?? (/^[0-9]{1,10}$/.test(text) ? Number(text) : -1);
  if (table < 0 || table > 0xffff_ffff) throw new InvalidArgumentError('Give a table number, main, local or default.');
  return table;
}

/** A count of at least one. */
export function parseCount(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new InvalidArgumentError('Give a whole number from 1.');
  return Number(text);
}

/** Seconds, with fractions, up to a day; the value is in ms. */
export function parseSecondsMs(text: string): number {
  const seconds = /^[0-9]+([.][0-9]+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds <= 86_400)) throw new InvalidArgumentError('Give seconds, from 0 to 86400.');
  return Math.round(seconds * 1000);
}

/** Checks a prefix or an address with the given parser, and leaves it as text. */
export function requirePrefix(parse: (text: string) => unknown): (text: string) => string {
  return (text) => {
    if (parse(text) === undefined) throw new InvalidArgumentError('Give an address or a prefix, like 192.0.2.0/24.');
    return text;
  };
}
