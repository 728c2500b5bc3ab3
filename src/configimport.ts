// `lcpctl config import`, the part that needs the configuration's rules: a program of its own, run by lcpctl.
//
// Invariants: lcpctl stays small and quick because schema and YAML are loaded here only. One request in (JSON, the
// argument), one answer out (JSON, standard output); it reads regular files of bounded size, writes none.
// Exit status: 0 with an answer, also when that is an error; anything else is a defect.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { importVpp } from './config/import.ts';
import { formatNote } from './config/importtext.ts';
import { LcpError, messageOf } from './lib/errors.ts';

const MAX_FILE_BYTES = 2 ** 20;

function unreadable(file: string, message: string): LcpError {
  return new LcpError('CONFIG_UNREADABLE', { op: 'read', key: file, message });
}

function read(file: string): string {
  let fd: number;
  try {
    // A script may be named that is a pipe or a device: opening it must not wait.
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    throw unreadable(file, messageOf(thrown));
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw unreadable(file, 'it is not a regular file');
    if (stat.size > MAX_FILE_BYTES) throw unreadable(file, 'it is larger than 1 MiB');
    const bytes = readFileSync(fd);
    if (bytes.length > MAX_FILE_BYTES) throw unreadable(file, 'it is larger than 1 MiB');
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (thrown) {
    throw thrown instanceof LcpError ? thrown : unreadable(file, messageOf(thrown));
  } finally {
    closeSync(fd);
  }
}

interface Request {
  readonly startup: string;
  readonly scripts: readonly string[];
  readonly phys: readonly (readonly [string, string])[];
}

function answer(argument: string): object {
  const { startup, scripts, phys } = JSON.parse(argument) as Request;
  try {
    const { text, notes, pairs, incomplete } = importVpp({ startup, scripts, phys: new Map(phys), read });
    return { text, notes: notes.map((note) => ({ text: formatNote(note), open: note.open })), pairs, incomplete };
  } catch (thrown) {
    if (!(thrown instanceof LcpError)) throw thrown;
    return { error: thrown.message };
  }
}

process.stdout.write(JSON.stringify(answer(process.argv[2] ?? '{}')));
