/**
 * The rules of docs/design.md, section 1, held by reading the sources: who may import whom, where FFI and streams may
 * be used, how long a file may grow, and which names hide the lack of one.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

function files(folder: string, endings: readonly string[]): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

const sources = files('src', ['.ts']);
const everything = ['src', 'test', 'bench', 'demo'].flatMap((folder) => files(folder, ['.ts', '.c', '.h']));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

interface Import {
  readonly from: string;
  /** A package, or a path from the repository's root. */
  readonly of: string;
  readonly typeOnly: boolean;
}

/** Static and dynamic imports and re-exports. The house style has one statement form for each, kept by the formatter. */
function importsOf(file: string, text: string): Import[] {
  const found: Import[] = [];
  const statement = /^\s*(import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)';?$|\bimport\(\s*'([^']+)'\s*\)/gm;
  for (const match of text.matchAll(statement)) {
    const name = match[3] ?? match[4] ?? '';
    const of = name.startsWith('.') ? normalize(join(dirname(file), name)) : name;
    found.push({ from: file, of, typeOnly: match[2] !== undefined });
  }
  return found;
}

const imports = sources.flatMap((file) => importsOf(file, read(file)));
/** '' for the files directly in src: they are the composition root. */
const folderOf = (file: string): string => (dirname(file) === 'src' ? '' : (file.split('/')[1] ?? ''));

/** What each folder may import besides itself and lib: a folder, or one file of it. */
const allowed: Record<string, readonly string[]> = {
  lib: [],
  config: [],
  netlink: [],
  lcp: ['netlink'],
  vpp: ['lcp/dataplane.ts', 'lcp/objects.ts', 'lcp/puntobjects.ts', 'lcp/puntplane.ts'],
  forwarding: ['lcp/dataplane.ts', 'lcp/objects.ts', 'lcp/puntobjects.ts', 'lcp/puntplane.ts'],
  punt: ['lcp/dataplane.ts', 'lcp/objects.ts', 'lcp/puntobjects.ts', 'lcp/puntplane.ts'],
  northbound: ['lcp/view.ts', 'punt'],
  cli: ['lcp/view.ts', 'northbound/protocol.ts'],
};

function permitted({ from, of }: Import): boolean {
  const folder = folderOf(from);
  if (folder === '') return true;
  const path = of.slice('src/'.length);
  const mayImport = [folder, ...(folder === 'lib' ? [] : ['lib']), ...(allowed[folder] ?? [])];
  return of.startsWith('src/') && mayImport.some((entry) => path === entry || path.startsWith(`${entry}/`));
}

describe('architecture', () => {
  it('reads imports of every form, so that the rules below see them', () => {
    const text = [
      "import a from 'x';",
      "import type { B } from '../lcp/b.ts';",
      'import {\n  c,\n  d,\n} from "./no.ts";'.replaceAll('"', "'"),
      "export { e } from './e.ts';",
      "import './side.ts';",
      "const f = await import('../vpp/f.ts');",
    ].join('\n');
    expect(importsOf('src/netlink/z.ts', text).map((i) => [i.of, i.typeOnly])).toEqual([
      ['x', false],
      ['src/lcp/b.ts', true],
      ['src/netlink/no.ts', false],
      ['src/netlink/e.ts', false],
      ['src/netlink/side.ts', false],
      ['src/vpp/f.ts', false],
    ]);
    expect(imports.length).toBeGreaterThan(20);
  });

  it('has no folder without import rules', () => {
    const folders = new Set(sources.map(folderOf));
    folders.delete('');
    expect([...folders].filter((folder) => !(folder in allowed))).toEqual([]);
  });

  it('imports only what each folder may', () => {
    const wrong = imports
      .filter((i) => i.of.startsWith('src/') && !permitted(i))
      .map((i) => `${i.from} imports ${i.of}`);
    expect(wrong).toEqual([]);
  });

  it('keeps sockets out of the core', () => {
    const wrong = imports.filter((i) => folderOf(i.from) === 'lcp' && !i.typeOnly && i.of === 'src/netlink/socket.ts');
    expect(wrong).toEqual([]);
  });

  it('leaves no import outside src', () => {
    const wrong = imports.filter((i) => i.from.startsWith('src/') && /^(\.\.|test|demo|bench)(\/|$)/.test(i.of));
    expect(wrong).toEqual([]);
  });

  it('calls C through koffi in at most five files', () => {
    const users = [...new Set(imports.filter((i) => i.of === 'koffi' && !i.typeOnly).map((i) => i.from))];
    expect(users.length, users.join(' ')).toBeLessThanOrEqual(5);
    expect(users.filter((file) => !['netlink', 'lib', 'forwarding', 'vpp'].includes(folderOf(file)))).toEqual([]);
  });

  it('uses rxjs in at most six files', () => {
    const users = [...new Set(imports.filter((i) => i.of === 'rxjs' || i.of.startsWith('rxjs/')).map((i) => i.from))];
    expect(users.length, users.join(' ')).toBeLessThanOrEqual(6);
  });

  it('uses declared dependencies only', () => {
    const manifest = JSON.parse(read('package.json')) as Record<string, Record<string, string> | undefined>;
    const declared = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
    const packages = imports.filter((i) => !i.of.startsWith('src/') && !i.of.startsWith('node:')).map((i) => i.of);
    const name = (of: string): string => of.split('/', of.startsWith('@') ? 2 : 1).join('/');
    expect([...new Set(packages.map(name))].filter((of) => !declared.includes(of))).toEqual([]);
  });

  it('has no file of more than 400 lines', () => {
    const long = everything
      .map((file) => [file, read(file).split('\n').length - 1] as const)
      .filter(([, n]) => n > 400);
    expect(long).toEqual([]);
  });

  it('has no file named after nothing', () => {
    const names = /^(utils?|helpers?|common|misc|manager|base|index)\.(ts|c|h)$|(Manager|Helper|Utils?)\.ts$/;
    expect(everything.filter((file) => names.test(basename(file)))).toEqual([]);
  });

  it('has no default export', () => {
    expect(sources.filter((file) => /^export default\b|\bas default\b/m.test(read(file)))).toEqual([]);
  });

  it('has no barrel: a file whose code is only re-exports', () => {
    const barrels = sources.filter((file) => {
      const code = read(file)
        .replace(/\/\*[\s\S]*?\*\//g, '')
        .replace(/^\s*\/\/.*$/gm, '')
        .trim();
      const statements = code
        .split(';')
        .map((s) => s.trim())
        .filter(Boolean);
      return statements.length > 0 && statements.every((s) => /^export\s[^=]*\sfrom\s'/.test(s));
    });
    expect(barrels).toEqual([]);
  });

  it('opens every source with a comment of at most 15 lines that says what it owns', () => {
    const wrong = everything.flatMap((file) => {
      const text = read(file).replace(/^#!.*\n/, '');
      const head = /^\/\*[\s\S]*?\*\/|^(?:\/\/.*\n)+/.exec(text)?.[0];
      if (head === undefined) return [`${file}: no head`];
      const lines = head.trimEnd().split('\n').length;
      // The delimiters' own lines do not count.
      return lines > 17 ? [`${file}: head of ${lines} lines`] : [];
    });
    expect(wrong).toEqual([]);
  });

  it('leaves nothing to do later', () => {
    const mark = /\b(TODO|FIXME|XXX)\b/;
    expect(everything.filter((file) => file.startsWith('src/') && mark.test(read(file)))).toEqual([]);
  });
});
