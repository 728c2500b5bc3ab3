#!/usr/bin/env node
// lcpctl: asks lcpd over its control socket and shows the answers; `config import` needs no lcpd.
//
// Invariants: starts fast, so nothing heavy is imported (no logger, schema, YAML or FFI library); standard output
// holds data only; a reader that goes away (`| head`) ends it quietly. Exit codes: exit.ts.

import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { parseCount, parseSecondsMs } from './arguments.ts';
import { configCommand } from './configimport.ts';
import { defaultSocket } from './connection.ts';
import { CliError, exitCodeHelp, exitCodes } from './exit.ts';
import { lookupCommand } from './lookup.ts';
import { print, printJson, printJsonLine } from './output.ts';
import { puntCommand } from './punt.ts';
import { type GlobalOptions, reportFailure, withConnection } from './run.ts';
import { showCommand, showListing } from './show.ts';
import { printable } from './table.ts';
import { formatDiff, formatPlan, formatResync, formatStatus, formatTrace, formatWatch } from './text.ts';
import { formatDuration } from './time.ts';

/** Largest configuration that fits a request line with all its escapes. */
const MAX_PLAN_REQUEST_BYTES = 2 ** 20 - 1024;

function version(): string {
  const file = new URL('../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

function show<T>(options: GlobalOptions, value: T, format: (value: T) => string): void {
  if (options.json === true) printJson(value);
  else print(format(value));
}

async function status(options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => show(options, await connection.call('status', {}), formatStatus));
}

async function diff(options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => {
    const result = await connection.call('diff', {});
    show(options, result, formatDiff);
    if (result.differences.length > 0) process.exitCode = exitCodes.different;
  });
}

async function waitSynced(options: GlobalOptions & { timeout: number }): Promise<void> {
  await withConnection(options, async (connection) => {
    const result = await connection.call('waitSynced', { timeoutMs: options.timeout });
    show(options, result, ({ synced, ms, pending }) => {
      if (synced) return `synced after ${formatDuration(ms)}\n`;
      return `not synced after ${formatDuration(ms)}\n${pending.map((line) => `  ${printable(line)}\n`).join('')}`;
    });
    if (!result.synced) process.exitCode = exitCodes.different;
  });
}

async function watch(options: GlobalOptions): Promise<void> {
  await withConnection(options, (connection) =>
    connection.call('watch', {}, (event) => {
      if (options.json === true) printJsonLine(event);
      else print(`${formatWatch(event)}\n`);
    }),
  );
}

async function trace(options: GlobalOptions & { count?: number; all?: boolean; timeout?: number }): Promise<void> {
  const request = {
    ...(options.count === undefined ? {} : { count: options.count }),
    ...(options.all === true ? { all: true } : {}),
    ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
  };
  await withConnection(options, (connection) =>
    connection.call('trace', request, (packet) => {
      if (options.json === true) printJsonLine(packet);
      else print(`${formatTrace(packet)}\n`);
    }),
  );
}

async function resync(options: GlobalOptions & { netns?: string; dataplane?: boolean }): Promise<void> {
  const { netns, dataplane } = options;
  if (netns !== undefined && dataplane === true)
    throw new CliError(exitCodes.usage, "a namespace is the kernel's: say either --netns or --dataplane");
  const request = { ...(netns === undefined ? {} : { netns }), ...(dataplane === true ? { dataplane } : {}) };
  await withConnection(options, async (connection) =>
    show(options, await connection.call('resync', request), formatResync),
  );
}

async function plan(file: string, options: GlobalOptions): Promise<void> {
  let configText: string;
  try {
    configText = readFileSync(file, 'utf8');
  } catch (thrown) {
    throw new CliError(exitCodes.usage, `cannot read ${file}: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  if (Buffer.byteLength(JSON.stringify(configText)) > MAX_PLAN_REQUEST_BYTES) {
    throw new CliError(exitCodes.usage, `${file} is too large to be a configuration`);
  }
  await withConnection(options, async (connection) => {
    show(options, await connection.call('plan', { configText }), formatPlan);
  });
}

async function reload(options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => show(options, await connection.call('reload', {}), formatPlan));
}

function command(name: string, description: string): Command {
  return new Command(name).description(description);
}

function program(): Command {
  return new Command('lcpctl')
    .description('asks the Linux control plane daemon and shows the answers')
    .version(version())
    .addOption(new Option('--socket <path>', 'control socket of lcpd').env('LCPD_SOCKET').default(defaultSocket))
    .option('--json', 'print JSON: one document, or one a line for watch, trace and lookup --stdin')
    .addHelpText('after', exitCodeHelp)
    .addCommand(
      command('status', 'health, data plane and namespaces').action((_options: unknown, self: Command) =>
        status(self.optsWithGlobals()),
      ),
    )
    .addCommand(showCommand())
    .addCommand(lookupCommand())
    .addCommand(puntCommand())
    .addCommand(configCommand())
    .addCommand(
      command('diff', 'read kernel and data plane again and compare; exit 1 if they differ').action(
        (_options: unknown, self: Command) => diff(self.optsWithGlobals()),
      ),
    )
    .addCommand(
      command('wait-synced', 'wait until everything is in the data plane; exit 1 if it is not in time')
        .option('--timeout <seconds>', 'how long', parseSecondsMs, 30_000)
        .action((_options: unknown, self: Command) => waitSynced(self.optsWithGlobals())),
    )
    .addCommand(
      command('watch', 'print state changes until interrupted').action((_options: unknown, self: Command) =>
        watch(self.optsWithGlobals()),
      ),
    )
    .addCommand(
      command('trace', 'print packets and the path each took: punted and dropped ones, or all')
        .option('--count <packets>', 'stop after so many', parseCount)
        .option('--timeout <seconds>', 'stop after this time', parseSecondsMs)
        .option('--all', 'forwarded packets too')
        .action((_options: unknown, self: Command) => trace(self.optsWithGlobals())),
    )
    .addCommand(
      command('vpp', 'the data plane VPP').addCommand(
        command('trace', 'the last messages between lcpd and VPP; the same as `show messages`').action(
          (_options: unknown, self: Command) => showListing('messages', self.optsWithGlobals()),
        ),
      ),
    )
    .addCommand(
      command('resync', 'read the kernel again, or the data plane, and compare')
        .option('--netns <name>', 'only this namespace ("" is that of lcpd)')
        .option('--dataplane', 'read the data plane instead, and put right what others have changed there (VPP)')
        .action((_options: unknown, self: Command) => resync(self.optsWithGlobals())),
    )
    .addCommand(
      command('plan', 'what a reload with this configuration would do; changes nothing')
        .argument('<file>', 'configuration file')
        .action((file: string, _options: unknown, self: Command) => plan(file, self.optsWithGlobals())),
    )
    .addCommand(
      command('reload', 'read the configuration file again and apply what changed').action(
        (_options: unknown, self: Command) => reload(self.optsWithGlobals()),
      ),
    );
}

/** Subcommands inherit neither of these when they are made on their own. */
function prepare(command: Command): void {
  command.exitOverride().configureHelp({ showGlobalOptions: true });
  for (const sub of command.commands) prepare(sub);
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader has what it wanted.
  if (error.code === 'EPIPE') process.exit(exitCodes.ok);
  throw error;
});

const lcpctl = program();
prepare(lcpctl);
try {
  await lcpctl.parseAsync();
} catch (thrown) {
  // Commander has already said what is wrong with the usage; --help and --version come here with code 0.
  if (thrown instanceof CommanderError) process.exitCode = thrown.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  else process.exitCode = reportFailure(thrown);
}
