/**
 * docs/support-matrix.md names a test for each row: the file is there and has a story of that name.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const docs = new URL('../../docs/', import.meta.url);
const page = readFileSync(new URL('support-matrix.md', docs), 'utf8');
const rows = page.split('\n').filter((line) => /^\| (?!object \|)/.test(line));
const links = [...page.matchAll(/\[([^\]]+)\]\(([^)]+)\)/g)].map(([, story = '', path = '']) => ({ story, path }));

it('has a test in every row', () => {
  expect(rows.length).toBeGreaterThan(50);
  expect(rows.filter((row) => !/\| \[[^\]]+\]\([^)]+\) \|$/.test(row))).toEqual([]);
  expect(links).toHaveLength(rows.length);
});

it.each(links)('$story is in $path', ({ story, path }) => {
  const file = new URL(path, docs);
  expect(existsSync(file), `${path} is there`).toBe(true);
  expect(readFileSync(file, 'utf8')).toContain(story);
});

it('names every scenario of the tests', () => {
  const tests = new URL('../', import.meta.url);
  const files = ['system', 'vm'].flatMap((level) =>
    readdirSync(new URL(level, tests))
      .filter((f) => f.endsWith('.tap.ts'))
      .map((f) => new URL(`${level}/${f}`, tests)),
  );
  const stories = files.flatMap((file) => readFileSync(file, 'utf8').match(/scenario \d+:/g) ?? []);
  expect(stories.length).toBeGreaterThan(20);
  expect(stories.filter((name) => !page.includes(name))).toEqual([]);
});
