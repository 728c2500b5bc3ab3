/**
 * Programs and libraries of the tests that are C: compiled once a process into build/unit, whole or not at all.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const done = new Map<string, string>();

/** Path of what `cc` makes of a source beside this file. */
export function compiled(source: string, result: string, ...flags: readonly string[]): string {
  const known = done.get(result);
  if (known !== undefined) return known;
  const folder = fileURLToPath(new URL('../../../build/unit', import.meta.url));
  mkdirSync(folder, { recursive: true });
  // Other processes of the tests do the same at the same time.
  const half = `${folder}/${result}.${process.pid}`;
  execFileSync('cc', [...flags, '-o', half, fileURLToPath(new URL(source, import.meta.url))]);
  renameSync(half, `${folder}/${result}`);
  done.set(result, `${folder}/${result}`);
  return `${folder}/${result}`;
}
