// Tables and orders.

import { describe, expect, it } from 'vitest';
import { listings } from '../../../src/cli/listing.ts';
import { byAddress, byName, byNumber, sorted } from '../../../src/cli/order.ts';
import { type Cell, displayWidth, formatTable, printable, TablePrinter } from '../../../src/cli/table.ts';
import { formatBytes, formatLookup } from '../../../src/cli/text.ts';
import { formatDuration } from '../../../src/cli/time.ts';

const columns = [
  { title: 'NAME', value: (row: Cell[]) => row[0] },
  { title: 'COUNT', value: (row: Cell[]) => row[1] },
  { title: 'NOTE', value: (row: Cell[]) => row[2] },
];

describe('tables', () => {
  it('align texts to the left and numbers to the right, with no blanks at the end', () => {
    expect(
      formatTable(columns, [
        ['a', 5, 'x'],
        ['long name', 12345, undefined],
        ['b', undefined, ''],
      ]),
    ).toBe(
      ['NAME       COUNT  NOTE', 'a              5  x', 'long name  12345  -', 'b              -  -', ''].join('\n'),
    );
  });

  it('of no rows have their titles', () => {
    expect(formatTable(columns, [])).toBe('NAME  COUNT  NOTE\n');
  });

  it('printed in parts have titles once and keep their widths', () => {
    const printer = new TablePrinter(columns);
    expect(printer.format([['abcdefgh', 1, 'x']])).toBe('NAME      COUNT  NOTE\nabcdefgh      1  x\n');
    expect(printer.format([['a', 2, 'y']])).toBe('a             2  y\n');
  });

  it('count columns of a terminal, not characters', () => {
    expect(['abc', '漢字', 'e\u0301', '', 'ü'].map(displayWidth)).toEqual([3, 4, 1, 0, 1]);
    const lines = formatTable(columns, [
      ['漢字', 1, 'x'],
      ['abcd', 1, 'x'],
    ]).split('\n');
    expect(lines[1]).toBe('漢字      1  x');
    expect(lines[2]).toBe('abcd      1  x');
  });

  it('show control characters as escapes, so a row stays a line', () => {
    expect(printable('a\u001b[31m\nb\u202e')).toBe('a\\x1b[31m\\x0ab\\u202e');
    expect(formatTable(columns, [['a\nb', 1, '\u0007']]).split('\n')).toHaveLength(3);
  });

  it('say yes and no', () => {
    expect(formatTable(columns, [[true, 1, false]])).toContain('yes       1  no');
  });
});

describe('orders', () => {
  it('sort names by their numbers', () => {
    expect(sorted(['e10', 'e2', 'wan', 'e1'], [byName((name) => name)])).toEqual(['e1', 'e2', 'e10', 'wan']);
  });

  it('sort addresses by value, IPv4 before IPv6, and what is none last', () => {
    const rows = [
      '2001:db8::1',
      '10.0.0.20',
      'x',
      '10.0.0.3',
      '10.0.0.0/24',
      '10.0.0.0/8',
      '9.0.0.0',
      '::/0',
      undefined,
    ];
    expect(sorted(rows, [byAddress((row) => row)])).toEqual([
      '9.0.0.0',
      '10.0.0.0/8',
      '10.0.0.0/24',
      '10.0.0.3',
      '10.0.0.20',
      '::/0',
      '2001:db8::1',
      'x',
      undefined,
    ]);
  });

  it('go on to the next where the first says equal', () => {
    const rows = [
      { a: 1, b: 2 },
      { a: 0, b: 3 },
      { a: 1, b: 1 },
    ];
    expect(sorted(rows, [byNumber((row) => row.a), byNumber((row) => row.b)]).map(({ b }) => b)).toEqual([3, 1, 2]);
  });
});

describe('units', () => {
  it('read as a person says them', () => {
    expect([0, 0.42, 12.4, 999, 1000, 61_000, 3_600_000, 93_784_000].map(formatDuration)).toEqual([
      '0 ms',
      '0.4 ms',
      '12 ms',
      '999 ms',
      '1 s',
      '1 min 1 s',
      '1 h 0 min',
      '1 d 2 h',
    ]);
    expect([0, 1023, 1024, 5 * 2 ** 30].map(formatBytes)).toEqual(['0 B', '1023 B', '1.0 KiB', '5.0 GiB']);
  });
});

describe('what is told of a data plane', () => {
  it('that refuses something: the error, for how long, and when it is tried again', () => {
    const pair = { kind: 'pair', key: 'wan0', error: 'no\nvhost', code: 'HOST_DEVICE', hint: 'modprobe vhost_net' };
    const rows = [
      { ...pair, ageMs: 184_000, attempts: 7, retryMs: 850 },
      { kind: 'route4', key: 'cp table 254 10.0.0.0/8', error: 'refused' },
    ];
    const cells = formatTable(listings.failures.columns, rows)
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/));
    expect(cells).toEqual([
      ['KIND', 'KEY', 'ERROR', 'CODE', 'AGE', 'TIMES', 'RETRY', 'HINT'],
      ['pair', 'wan0', 'no\\x0avhost', 'HOST_DEVICE', '3 min 4 s', '7', '850 ms', 'modprobe vhost_net'],
      ['route4', 'cp table 254 10.0.0.0/8', 'refused', '-', '-', '-', '-', '-'],
    ]);
  });

  it('that counts by route: packets and bytes, zero too', () => {
    const row = {
      address: '10.0.0.1',
      netns: 'cp',
      table: 254,
      prefix: '10.0.0.0/8',
      type: 'blackhole',
      paths: [],
    } as const;
    expect(formatLookup({ ...row, paths: [] })).toBe('10.0.0.1: 10.0.0.0/8 blackhole (table 254, netns cp)');
    expect(formatLookup({ ...row, paths: [], packets: 0, bytes: 0 })).toBe(
      '10.0.0.1: 10.0.0.0/8 blackhole (table 254, netns cp, 0 packets, 0 bytes)',
    );
  });

  it('that does not count by adjacency: nothing, and no zero', () => {
    const row = { id: 0, port: 1, phy: 'wan0', host: 'e0', family: 'inet', state: 'complete' } as const;
    const packets = listings.adjacencies.columns.find(({ title }) => title === 'PACKETS');
    expect([packets?.value(row), packets?.value({ ...row, packets: 0 })]).toEqual([undefined, 0]);
  });
});
