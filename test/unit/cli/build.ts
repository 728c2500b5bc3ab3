// lcpctl built as it is shipped, from its own files only: what else is in the tree, or broken, does not matter.

import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Files that a source file needs at run time (types are gone then), itself included; and the packages. */
function closureOf(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string) => {
    if (files.has(file)) return;
    files.add(file);
    for (const match of readFileSync(file, 'utf8').matchAll(/^(?:import|export) (?!type )[^;]*?from '([^']+)'/gm)) {
      const target = match[1] ?? '';
      if (target.startsWith('.')) visit(join(file, '..', target));
      else packages.add(target);
    }
  };
  visit(entry);
  return { files, packages };
}

/** What lcpctl is made of. */
export const closure = closureOf(join(root, 'src/cli/main.ts'));

/** What `lcpctl config import` starts besides. */
const importClosure = closureOf(join(root, 'src/configimport.ts'));

/** What `lcpctl punt capture` loads besides. */
const captureClosure = closureOf(join(root, 'src/cli/capture.ts'));

/**
 * Makes the JavaScript that is shipped, of lcpctl and its import alone, so that a process starts as fast as it does there.
 * Returns its main file, somewhere in `directory`.
 */
export function buildLcpctl(directory: string): string {
  // A file on its own does not know that its package is of modules.
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  for (const file of new Set([...closure.files, ...importClosure.files, ...captureClosure.files])) {
    const target = join(directory, 'dist', relative(join(root, 'src'), file)).replace(/ts$/, 'js');
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(
      target,
      ts.transpileModule(readFileSync(file, 'utf8'), { compilerOptions, fileName: file }).outputText,
    );
  }
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'));
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  return join(directory, 'dist/cli/main.js');
}
