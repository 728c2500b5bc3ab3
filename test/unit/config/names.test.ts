// Names, sizes and suggestions.

import { describe, expect, it } from 'vitest';
import { formatSize, ifnameProblem, netnsProblem, parseSize } from '../../../src/config/names.ts';
import { nearest } from '../../../src/config/suggest.ts';

describe('names', () => {
  it('takes what the kernel takes', () => {
    for (const name of ['e0', 'x'.repeat(15), 'eth0.100', 'wan-a_b', '...', 'é'])
      expect(ifnameProblem(name)).toBeUndefined();
    for (const name of ['cp', 'a b', 'x'.repeat(255)]) expect(netnsProblem(name)).toBeUndefined();
  });

  it('refuses what steers a terminal', () => {
    expect(ifnameProblem('a\u001b[m')).toBeDefined();
    expect(netnsProblem('a\n')).toBeDefined();
  });
});

describe('sizes', () => {
  it.each([
    ['0', 0],
    ['1B', 1],
    ['1KiB', 1024],
    ['3 MiB', 3 * 2 ** 20],
    ['2TiB', 2 * 2 ** 40],
    ['4GB', undefined],
    ['4gib', undefined],
    ['-1', undefined],
    ['1.5GiB', undefined],
    ['', undefined],
    ['999999999999999TiB', undefined],
  ])('%s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it('come back in their largest unit', () => {
    expect([1, 1024, 1536, 2 ** 32].map(formatSize)).toEqual(['1B', '1KiB', '1536B', '4GiB']);
  });
});

describe('nearest', () => {
  it('finds a typing error and leaves another word alone', () => {
    const known = ['workers', 'memory', 'driver', 'socket'];
    expect(nearest('wrokers', known)).toBe('workers');
    expect(nearest('Memory', known)).toBe('memory');
    expect(nearest('scoket', known)).toBe('socket');
    expect(nearest('hugepages', known)).toBeUndefined();
    expect(nearest('x'.repeat(1000), known)).toBeUndefined();
  });
});
