// An import of files that are texts of a test, with its result loaded as lcpd would.

import { expect } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { importVpp } from '../../../src/config/import.ts';
import { formatNote } from '../../../src/config/importtext.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { LcpError } from '../../../src/lib/errors.ts';

export interface Imported {
  text: string;
  config: Config;
  incomplete: boolean;
  /** `place: message` of what is left to do, and of the rest. */
  left: string[];
  remarks: string[];
}

/** Imports `files`: the first is startup.conf. */
export function imported(
  files: Record<string, string>,
  { scripts = [], map = {} }: { scripts?: string[]; map?: Record<string, string> } = {},
): Imported {
  const read = (file: string) => {
    const text = files[file];
    if (text === undefined) throw new LcpError('CONFIG_UNREADABLE', { op: 'read', key: file, message: 'no such file' });
    return text;
  };
  const startup = Object.keys(files)[0] ?? '';
  const result = importVpp({ startup, scripts, phys: new Map(Object.entries(map)), read });
  const loaded = loadConfig(result.text);
  if ('errors' in loaded) throw new Error(JSON.stringify(loaded.errors));
  expect(result.pairs).toBe(loaded.config.pairs.length);
  const notes = (open: boolean) => result.notes.filter((note) => note.open === open).map(formatNote);
  return { ...result, config: loaded.config, left: notes(true), remarks: notes(false) };
}

/** Only a script, under a startup.conf that runs it. */
export const script = (text: string, map: Record<string, string> = {}) =>
  imported({ 's.conf': 'unix { exec x.vpp }', 'x.vpp': text }, { map });

export const startupOnly = (text: string) => imported({ 's.conf': text });
export const pairsOf = ({ config }: Imported) =>
  config.pairs.map(({ phy, host, netns, type }) => `${phy} ${host} ${netns ?? '-'} ${type}`);
