// Findings: what the schema has against a document, in the operator's words.
//
// Invariants: one finding a mistake, with the place where it is; never more than a bit of a value is repeated.

import type { z } from 'zod';
import { shown } from './fields.ts';
import { suggestion } from './suggest.ts';

type Path = readonly PropertyKey[];

/** `pairs[1].host` */
export function formatPath(path: Path): string {
  let text = '';
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`;
    else text += text === '' ? String(step) : `.${String(step)}`;
  }
  return text;
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a map',
  record: 'a map',
  array: 'a list',
  tuple: 'a list',
};

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (value === null || typeof value !== 'object' || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[step];
  }
  return value;
}

function typeHint(expected: string, value: unknown, path: Path): string {
  if (path.at(-1) === 'mode') return 'write it in quotes, like "0660": without them YAML reads a decimal number';
  if (value === null) return 'remove the key or give it a value';
  if (expected === 'string' && typeof value !== 'object') return 'write it in quotes';
  if (expected === 'boolean') return 'write true or false: "yes", "no", "on" and "off" are texts in YAML 1.2';
  if (typeof value === 'string' && value !== '' && Number.isFinite(Number(value))) return 'write it without quotes';
  if (expected === 'array') return 'begin each element with "- "';
  return `give ${typeNames[expected] ?? expected}`;
}

/** What is not there although it has to be. */
function missing(path: Path): Finding {
  const ofPair = path[0] === 'pairs' || path[0] === 'auto-pairs';
  const hint = ofPair ? 'every pair has a phy and a host' : 'give it: lcpd.full.yaml shows what each type of punt has';
  return { path, message: `"${String(path.at(-1))}" is missing`, hint };
}

export interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly hint: string;
  readonly wantKey?: boolean;
}

/** What one issue of the schema means to the operator. */
export function findingsOf(
  issue: z.core.$ZodIssue,
  root: unknown,
  keysAt: (path: readonly PropertyKey[], root: unknown) => string[],
): Finding[] {
  const { path } = issue;
  const value = valueAt(root, path);
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        path: [...path, key],
        message: `unknown key "${key}"`,
        hint: suggestion(key, keysAt(path, root)),
        wantKey: true,
      }));
    case 'invalid_key': {
      const key = String(path.at(-1));
      return [
        {
          path,
          message: `unknown key "${key}"`,
          hint: suggestion(key, keysAt(path.slice(0, -1), root)),
          wantKey: true,
        },
      ];
    }
    case 'invalid_type': {
      if (value === undefined) return [missing(path)];
      const wanted = typeNames[issue.expected] ?? issue.expected;
      const message = `expected ${wanted}, found ${shown(value)}`;
      return [{ path, message, hint: typeHint(issue.expected, value, path) }];
    }
    case 'invalid_value': {
      const known = issue.values.map(String);
      const hint = typeof value === 'string' ? suggestion(value, known) : `known: ${known.join(', ')}`;
      return [{ path, message: `${shown(value)} is not one of ${known.join(', ')}`, hint }];
    }
    case 'invalid_union': {
      if (value === undefined) return [missing(path)];
      // Of words that choose a shape, or of the few types that a value may have.
      const shapes = (issue as { options?: readonly unknown[] }).options;
      if (shapes === undefined)
        return [
          { path, message: `expected a whole number or a text, found ${shown(value)}`, hint: 'give one of them' },
        ];
      const known = shapes.map(String);
      const hint = typeof value === 'string' ? suggestion(value, known) : `known: ${known.join(', ')}`;
      return [{ path, message: `${shown(value)} is not one of ${known.join(', ')}`, hint }];
    }
    case 'too_small':
    case 'too_big': {
      const isLess = issue.code === 'too_small';
      const hint = isLess ? `the least is ${issue.minimum}` : `the most is ${issue.maximum}`;
      const what = isLess ? ['too small', 'too few'] : ['too large', 'too many'];
      if (Array.isArray(value)) return [{ path, message: `${value.length} are ${what[1]}`, hint }];
      // A text in place of a list is measured like one; that it is none another issue says.
      return typeof value === 'string' ? [] : [{ path, message: `${shown(value)} is ${what[0]}`, hint }];
    }
    default: {
      const params = issue.code === 'custom' ? issue.params : undefined;
      return [
        { path, message: issue.message, hint: typeof params?.hint === 'string' ? params.hint : 'see lcpd.full.yaml' },
      ];
    }
  }
}
