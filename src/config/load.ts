// Loading: YAML text to a Config, or to all of its errors at once, each with its line.
//
// Invariants: never throws on any text; nothing outside is touched; errors come in the order of their lines.
// Bounded: text size, alias expansion, number of errors. Line and column count from 1.
// Reference: YAML 1.2 core schema (so `yes` and `0660` are not what they were in YAML 1.1; hints say so).

import { readFileSync } from 'node:fs';
import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import { LcpError, messageOf, systemErrorOf } from '../lib/errors.ts';
import type { Config } from './config.ts';
import { type Finding, findingsOf, formatPath } from './findings.ts';
import { configSchema, keysAt, toConfig } from './schema.ts';
import { shapeProblem } from './shape.ts';
import { suggestion } from './suggest.ts';
import { crossProblems } from './validate.ts';
import { record } from './written.ts';

export interface ConfigError {
  readonly line: number;
  readonly column: number;
  /** Dotted: `pairs[1].host`; empty for an error of the whole text. */
  readonly path: string;
  readonly message: string;
  readonly hint: string;
}

export type LoadResult = { readonly config: Config } | { readonly errors: readonly ConfigError[] };

type Path = readonly PropertyKey[];
type ParsedDocument = ReturnType<typeof parseDocument>;

const MAX_TEXT_BYTES = 2 ** 20;
const MAX_ERRORS = 200;

/** Byte offset of the value at `path`, or of its key; of the nearest thing around it when it is not there. */
function offsetOf(document: ParsedDocument, path: Path, wantKey: boolean): number {
  let node: unknown = document.contents;
  let offset = isNode(node) && node.range ? node.range[0] : 0;
  for (const [i, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) return offset;
      const key = isNode(pair.key) ? pair.key.range?.[0] : undefined;
      const value = isNode(pair.value) ? pair.value.range?.[0] : undefined;
      const last = i === path.length - 1;
      // An empty value has a range behind its key, perhaps on another line: then the key is the better place.
      const empty = isScalar(pair.value) && pair.value.source === '';
      offset = (last && wantKey) || empty ? (key ?? offset) : (value ?? key ?? offset);
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      offset = isNode(node) && node.range ? node.range[0] : offset;
    } else {
      return offset;
    }
  }
  return offset;
}

// The parser's words where they say enough, ours where they do not.
const syntaxWords: Readonly<Record<string, { message?: string; hint: string }>> = {
  DUPLICATE_KEY: {
    message: 'this key is written twice',
    hint: 'keep one of them; all pairs, and all punts, go into one list',
  },
  TAB_AS_INDENT: { hint: 'indent with spaces' },
  BAD_INDENT: { hint: 'give the lines of one block the same indentation' },
  MULTIPLE_DOCS: { message: 'a second document begins here', hint: 'remove the "---" line' },
  NON_STRING_KEY: { message: 'this key is not a word', hint: 'write keys as plain words' },
};

function wholeTextError(message: string, hint: string): LoadResult {
  return { errors: [{ line: 1, column: 1, path: '', message, hint }] };
}

/** Of texts that are a part of a configuration only. */
export interface LoadPart {
  /** The keys that it may have. */
  readonly only: readonly string[];
  /** What stands in place of `netns:` when it has none. */
  readonly netns: string;
}

function partProblems(root: unknown, part: LoadPart): Finding[] {
  const keys = Object.keys(record(root)).filter((key) => !part.only.includes(key));
  const hint = `here only: ${part.only.join(', ')}`;
  return keys.map((key) => ({ path: [key], message: `"${key}" is of the configuration of lcpd`, hint, wantKey: true }));
}

function checkDocument(text: string, part?: LoadPart): LoadResult {
  const lines = new LineCounter();
  const shape = shapeProblem(text);
  if (shape !== undefined) {
    const line = text.slice(0, shape.offset).split('\n').length;
    const column = shape.offset - text.lastIndexOf('\n', shape.offset - 1);
    return { errors: [{ line, column, path: '', message: shape.message, hint: shape.hint }] };
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true, stringKeys: true });
  const errors: ConfigError[] = [];
  const add = (offset: number, path: string, message: string, hint: string) => {
    const { line, col } = lines.linePos(offset);
    errors.push({ line: Math.max(1, line), column: Math.max(1, col), path, message, hint });
  };
  for (const error of [...document.errors, ...document.warnings]) {
    const words = syntaxWords[error.code];
    add(error.pos[0], '', words?.message ?? error.message, words?.hint ?? 'this is not valid YAML');
  }
  const broken = document.errors.some((error) => error.code !== 'DUPLICATE_KEY');
  // What the parser made of broken text would give errors that are not the operator's.
  if (!broken) {
    const written: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
    const isPart = part !== undefined && part.netns !== '' && record(written) === written;
    const root = isPart ? { netns: part.netns, ...written } : written;
    const parsed = configSchema.safeParse(root);
    if (parsed.success && Object.hasOwn(root as object, '__proto__')) {
      add(0, '__proto__', 'unknown key "__proto__"', suggestion('__proto__', keysAt([], root)));
    }
    const findings: Finding[] = [
      ...(parsed.error?.issues ?? []).flatMap((issue) => findingsOf(issue, root, keysAt)),
      ...crossProblems(root),
      ...(part === undefined ? [] : partProblems(root, part)),
    ];
    for (const { path, message, hint, wantKey } of findings) {
      add(offsetOf(document, path, wantKey === true), formatPath(path), message, hint);
    }
    if (errors.length === 0 && parsed.success) return { config: toConfig(parsed.data) };
  }
  errors.sort((a, b) => a.line - b.line || a.column - b.column);
  const more = errors.length - MAX_ERRORS;
  const last = errors[MAX_ERRORS];
  if (more <= 0 || last === undefined) return { errors };
  const note = { ...last, path: '', message: `and ${more} more errors`, hint: 'correct the ones before' };
  return { errors: [...errors.slice(0, MAX_ERRORS), note] };
}

/** Checks a whole configuration text, or one that is a part of it. */
export function loadConfig(text: string, part?: LoadPart): LoadResult {
  if (Buffer.byteLength(text) > MAX_TEXT_BYTES) {
    return wholeTextError('the configuration is larger than 1 MiB', 'this is probably not the configuration file');
  }
  try {
    return checkDocument(text, part);
  } catch (thrown) {
    // Aliases are resolved last, and unknown ones or bombs of them are refused by throwing, without a place.
    return wholeTextError(
      `the text cannot be read as YAML: ${messageOf(thrown)}`,
      'write values out instead of aliases',
    );
  }
}

/** One line for each error: `lcpd.yaml:7:5: pairs[1].host: message (hint)`. */
export function formatConfigErrors(file: string, errors: readonly ConfigError[]): string {
  return errors
    .map(({ line, column, path, message, hint }) => {
      const where = path === '' ? '' : `${path}: `;
      return `${file}:${line}:${column}: ${where}${message} (${hint})`;
    })
    .join('\n');
}

/** The errors as one LcpError, for the places that throw. */
export function configInvalid(file: string, errors: readonly ConfigError[]): LcpError {
  const count = `${errors.length} error${errors.length === 1 ? '' : 's'}`;
  const message = `${count}\n${formatConfigErrors(file, errors)}`;
  return new LcpError('CONFIG_INVALID', { op: 'check configuration', key: file, message });
}

/**
 * Reads and checks a configuration file.
 *
 * @throws LcpError CONFIG_UNREADABLE when the file cannot be read
 */
export function readConfigFile(file: string): LoadResult {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (thrown) {
    throw new LcpError('CONFIG_UNREADABLE', {
      op: 'read configuration',
      key: file,
      message: messageOf(thrown),
      cause: thrown,
      ...systemErrorOf(thrown),
    });
  }
  try {
    return loadConfig(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return wholeTextError('the file is not UTF-8 text', 'save it as UTF-8');
  }
}
