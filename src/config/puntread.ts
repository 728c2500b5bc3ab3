// Reading punts that are asked for over a door: one entry as an object, or a text with `punts:`.
//
// Invariants: never throws on any value; the same schema and rules as for the configuration, all errors at once.

import { type Finding, findingsOf, formatPath } from './findings.ts';
import { loadConfig } from './load.ts';
import type { PuntConfig } from './puntconfig.ts';
import { puntProblems } from './puntrules.ts';
import { type PuntAsker, puntSchema, toPunt } from './punts.ts';
import { puntKeysAt } from './schema.ts';
import { record } from './written.ts';

export interface PuntError {
  /** Dotted, as somebody wrote it: `abx.ingress_acl_rules[0].ip`; '' for all of it. */
  readonly path: string;
  readonly message: string;
  readonly hint: string;
}

export type PuntsRead = { readonly punts: readonly PuntConfig[] } | { readonly errors: readonly PuntError[] };

/** What is wrong with an entry, or its request. */
export function checkEntry(entry: unknown, asker: PuntAsker): PuntConfig | readonly Finding[] {
  const parsed = puntSchema.safeParse(entry);
  const { netns, __proto__: foreign } = Object.fromEntries(Object.entries(record(entry)));
  const cnf = asker.cnf ?? (typeof netns === 'string' ? netns : asker.netns);
  const findings: Finding[] = [
    ...(parsed.error?.issues ?? []).flatMap((issue) =>
      findingsOf(issue, entry, (path, root) => puntKeysAt(root, path)),
    ),
    ...puntProblems(entry, cnf),
  ];
  if (parsed.success && foreign !== undefined && Object.hasOwn(record(entry), '__proto__'))
    findings.push({ path: ['__proto__'], message: 'unknown key "__proto__"', hint: 'remove it' });
  return findings.length === 0 && parsed.success ? toPunt(parsed.data, asker) : findings;
}

/** An entry of `punts:` as an object. */
export function readPuntEntry(entry: unknown, asker: PuntAsker): PuntsRead {
  const checked = checkEntry(entry, asker);
  if ('id' in checked) return { punts: [checked] };
  return { errors: checked.map(({ path, message, hint }) => ({ path: formatPath(path), message, hint })) };
}

/** A text in YAML with `punts:`, and perhaps with `netns:` for those that name none. */
export function readPuntText(text: string, asker: PuntAsker): PuntsRead {
  const loaded = loadConfig(text, { only: ['punts', 'netns'], netns: asker.netns });
  if ('errors' in loaded)
    return {
      errors: loaded.errors.map(({ line, path, message, hint }) => ({
        path: `line ${line}${path === '' ? '' : `: ${path}`}`,
        message,
        hint,
      })),
    };
  const { punts } = loaded.config;
  if (punts.length === 0)
    return { errors: [{ path: 'punts', message: 'there is none', hint: 'write `punts:` and a list' }] };
  return {
    punts: punts.map((punt) => ({
      ...punt,
      id: { cnf: asker.cnf ?? punt.id.cnf, key: asker.key, label: punt.id.label },
    })),
  };
}
