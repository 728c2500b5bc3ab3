// `lcpctl config import`: VPP's startup.conf and scripts to a configuration of lcpd; needs no running lcpd.
//
// Invariants: the translation is a program of its own (../configimport), because it needs schema and YAML, which would
// make every start of lcpctl slow. Nothing is overwritten unasked, and a file is complete or not there. Standard output
// holds the configuration only, remarks go to standard error.

import { spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, linkSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { CliError, exitCodes } from './exit.ts';
import { print, printJson } from './output.ts';
import type { GlobalOptions } from './run.ts';
import { printable } from './table.ts';

const MAX_ANSWER_BYTES = 2 ** 26;

interface ImportOptions extends GlobalOptions {
  exec: string[];
  map: [string, string][];
  output?: string;
  force?: boolean;
}

interface Answer {
  readonly text: string;
  readonly notes: readonly { readonly text: string; readonly open: boolean }[];
  readonly pairs: number;
  readonly incomplete: boolean;
}

const append = (value: string, before: string[]) => [...before, value];

/** `GigabitEthernet0/8/0=wan0` */
function appendMap(value: string, before: [string, string][]): [string, string][] {
  const at = value.indexOf('=');
  const name = value.slice(0, Math.max(at, 0));
  const phy = value.slice(at + 1);
  if (name === '' || phy === '') throw new InvalidArgumentError('Write it like GigabitEthernet0/8/0=wan0.');
  if (before.some(([earlier]) => earlier === name)) throw new InvalidArgumentError(`${name} is mapped twice.`);
  return [...before, [name, phy]];
}

function translate(startup: string, options: ImportOptions): Answer {
  // Beside this file's folder, with the ending that this file has: .js as shipped, .ts from the sources.
  const program = fileURLToPath(new URL(`../configimport${import.meta.url.slice(-3)}`, import.meta.url));
  const request = JSON.stringify({ startup, scripts: options.exec, phys: options.map });
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [...process.execArgv, program, request], {
    encoding: 'utf8',
    maxBuffer: MAX_ANSWER_BYTES,
  });
  if (error !== undefined || status !== 0) {
    throw new CliError(exitCodes.refused, `the import failed: ${error?.message ?? stderr.trim()}`);
  }
  const answer = JSON.parse(stdout) as Answer | { error: string };
  if ('error' in answer) throw new CliError(exitCodes.usage, answer.error);
  return answer;
}

/** Writes `text` aside and puts it in place when all of it is there. */
function writeWhole(file: string, text: string, force: boolean): void {
  const aside = `${file}.${process.pid}.new`;
  try {
    const fd = openSync(aside, 'wx', 0o644);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    try {
      if (force) renameSync(aside, file);
      else linkSync(aside, file);
    } finally {
      rmSync(aside, { force: true });
    }
  } catch (thrown) {
    const { code, dest, message } = thrown as NodeJS.ErrnoException & { dest?: string };
    if (code === 'EEXIST' && dest === file)
      throw new CliError(exitCodes.usage, `${file} exists`, 'overwrite it with --force');
    throw new CliError(exitCodes.usage, `cannot write ${file}: ${message}`);
  }
}

function importConfig(startup: string, options: ImportOptions): void {
  const answer = translate(startup, options);
  for (const { text, open } of answer.notes) process.stderr.write(`${open ? 'left to do: ' : ''}${printable(text)}\n`);
  if (options.output !== undefined) writeWhole(options.output, answer.text, options.force === true);
  if (options.json === true) printJson(answer);
  else if (options.output === undefined) print(answer.text);
  const count = `${answer.pairs} pair${answer.pairs === 1 ? '' : 's'}`;
  const left = answer.notes.filter(({ open }) => open).length;
  process.stderr.write(answer.incomplete ? `incomplete: ${count}; ${left} left to do\n` : `complete: ${count}\n`);
  if (answer.incomplete) process.exitCode = exitCodes.different;
}

/** The `config` command. */
export function configCommand(): Command {
  return new Command('config').description('make configurations').addCommand(
    new Command('import')
      .description("a configuration from VPP's startup.conf and `lcp create` lines; exit 1 if something is left to do")
      .argument('<startup.conf>', "VPP's configuration; the scripts that it names are read too")
      .option('--exec <file>', 'a script of its CLI, or a copy of one that startup.conf names; repeatable', append, [])
      .option('--map <name=phy>', 'network interface that stands for one of VPP; repeatable', appendMap, [])
      .option('-o, --output <file>', 'write it there instead of to standard output')
      .option('--force', 'overwrite that file')
      .action((startup: string, _options: unknown, self: Command) =>
        importConfig(startup, self.optsWithGlobals<ImportOptions>()),
      ),
  );
}
