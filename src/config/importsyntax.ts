// VPP's two texts, taken apart: startup.conf into words and blocks, a CLI script into lines of words.
//
// Invariants: never throws and does not recurse; a place is a line from 1 (and a column for errors). Depth is bounded
// here, size by whoever reads the file. In startup.conf `#` begins a comment where a word could begin, so `a#b` is a
// word; in a script it does at the beginning of a line, and `comment { … }` may span lines.
// Reference: VPP, "Getting started with the configuration" and its debug CLI.

import type { Problem } from './names.ts';

/** Where a text is not what it should be; line and column from 1. */
export interface SyntaxProblem extends Problem {
  readonly line: number;
  readonly column: number;
}

export type ConfItem =
  | { readonly kind: 'word'; readonly text: string; readonly line: number }
  | { readonly kind: 'block'; readonly items: readonly ConfItem[]; readonly line: number };

const MAX_DEPTH = 32;
const SPACE = /\s/;

/** A script's line that is a command, without the `vppctl` that a shell script has in front. */
export interface CliLine {
  readonly line: number;
  readonly words: readonly string[];
}

interface Token {
  /** A quoted brace is a word. */
  readonly kind: 'word' | '{' | '}';
  readonly text: string;
  readonly at: number;
}

/** Index after the last character of the quoted string that begins at `start`; undefined when its line ends first. */
function endOfQuoted(text: string, start: number): number | undefined {
  for (let i = start + 1; i < text.length && text[i] !== '\n'; i++) {
    if (text[i] === '"') return i + 1;
    if (text[i] === '\\' && text[i + 1] !== '\n') i++;
  }
  return undefined;
}

const unquoted = (text: string) => text.slice(1, -1).replace(/\\(.)/g, '$1');

/** The token at or after `from`; the index of a quote that is not closed; undefined at the end. */
function nextToken(text: string, from: number): Token | number | undefined {
  let i = from;
  while (i < text.length) {
    const char = text[i] ?? '';
    if (SPACE.test(char)) {
      i++;
    } else if (char === '#') {
      const end = text.indexOf('\n', i);
      i = end === -1 ? text.length : end;
    } else if (char === '{' || char === '}') {
      return { kind: char, text: char, at: i };
    } else if (char === '"') {
      const end = endOfQuoted(text, i);
      return end === undefined ? i : { kind: 'word', text: text.slice(i, end), at: i };
    } else {
      let end = i + 1;
      while (end < text.length && !/[\s{}]/.test(text[end] ?? '')) end++;
      return { kind: 'word', text: text.slice(i, end), at: i };
    }
  }
  return undefined;
}

/** The words and blocks of a startup.conf, or the first place where it is none. */
export function parseStartupConf(text: string): { items: readonly ConfItem[] } | { problem: SyntaxProblem } {
  type Open = { items: ConfItem[]; line: number; at: number };
  const root: Open = { items: [], line: 1, at: 0 };
  const open: Open[] = [root];
  let line = 1;
  let counted = 0;
  const moveTo = (at: number) => {
    for (; counted < at; counted++) if (text[counted] === '\n') line++;
  };
  const problemAt = (at: number, message: string, hint: string) => {
    const before = text.slice(0, at);
    const column = at - before.lastIndexOf('\n');
    return { problem: { line: before.split('\n').length, column, message, hint } };
  };
  for (let at = 0; ; ) {
    const token = nextToken(text, at);
    const inner = open.at(-1) ?? root;
    if (token === undefined) {
      if (inner === root) return { items: root.items };
      return problemAt(inner.at, '"{" is not closed', 'every "{" needs its "}"');
    }
    if (typeof token === 'number') return problemAt(token, 'the quoted text is not closed', 'end it on the same line');
    moveTo(token.at);
    at = token.at + token.text.length;
    if (token.kind === 'word') {
      const word = token.text.startsWith('"') ? unquoted(token.text) : token.text;
      inner.items.push({ kind: 'word', text: word, line });
    } else if (token.kind === '{') {
      if (open.length > MAX_DEPTH) {
        return problemAt(token.at, `more than ${MAX_DEPTH} blocks in each other`, 'look for a "{" that is not closed');
      }
      const items: ConfItem[] = [];
      inner.items.push({ kind: 'block', items, line });
      open.push({ items, line, at: token.at });
    } else if (open.length === 1) {
      return problemAt(token.at, '"}" without its "{"', 'remove it, or look for a "{" that is missing');
    } else {
      open.pop();
    }
  }
}

/** The commands of a CLI script (what `exec` runs), or the comment in it that has no end. */
export function parseCliScript(text: string): { lines: readonly CliLine[] } | { problem: SyntaxProblem } {
  const lines: CliLine[] = [];
  /** Braces open of a `comment { … }`, and where it began. */
  let depth = 0;
  let began = 0;
  for (const [i, content] of text.split('\n').entries()) {
    const words = content.split(/\s+/).filter((word) => word !== '');
    if (words[0] === 'vppctl') words.shift();
    const begins = depth === 0 && words[0] === 'comment';
    if (begins) began = i + 1;
    if (begins || depth > 0) {
      for (const char of content) {
        if (char === '{') depth++;
        else if (char === '}') depth = Math.max(0, depth - 1);
      }
      continue;
    }
    const first = words[0];
    if (first !== undefined && !first.startsWith('#')) lines.push({ line: i + 1, words });
  }
  if (depth === 0) return { lines };
  const message = 'the comment that begins here is not closed';
  return { problem: { line: began, column: 1, message, hint: 'every "{" needs its "}"' } };
}
