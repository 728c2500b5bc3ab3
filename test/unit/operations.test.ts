/**
 * docs/operations.md is the operator's page: it has every error code with the words that lcpd uses, and no other.
 */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { errorTable } from '../../src/lib/errors.ts';

const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8');

it('lists every error code with what happened and what to do', () => {
  const rows = [...page.matchAll(/^\| ([A-Z][A-Z_]+) \| (.+) \| (.+) \|$/gm)].map(([, code, title, hint]) => [
    code,
    title,
    hint,
  ]);
  expect(rows).toEqual(Object.entries(errorTable).map(([code, { title, hint }]) => [code, title, hint]));
});
