// `lcpctl punt …`: punts are asked for, listed, shown, counted and looked into.
//
// Invariants: what is asked for goes to lcpd as it was written: there is one reader of it, with one set of errors. The
// capture is loaded only when it is wanted (it calls C).

import { readFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import type { Methods, PuntDocument, PuntRequestRow } from '../northbound/protocol.ts';
import { parseCount, parseSecondsMs } from './arguments.ts';
import { CliError, exitCodes } from './exit.ts';
import { jsonSink, print, printJson, printJsonLine, tableSink } from './output.ts';
import {
  formatChange,
  formatPunt,
  formatReasons,
  formatState,
  formatStats,
  puntColumns,
  puntOrders,
} from './punttext.ts';
import { type GlobalOptions, withConnection } from './run.ts';

/** Largest file that fits a request line with all its escapes. */
const MAX_REQUEST_BYTES = 2 ** 20 - 1024;

interface AddOptions extends GlobalOptions {
  file?: string;
  jsonFile?: string;
  set: Readonly<Record<string, unknown>>;
  netns?: string;
}

/** Numbers and booleans as what they are: the schema of lcpd wants them so. */
function scalar(text: string): unknown {
  if (/^-?[0-9]{1,15}$/.test(text)) return Number(text);
  return text === 'true' ? true : text === 'false' ? false : text;
}

/** `port=9000`; a key that comes again makes a list. */
export function appendSetting(value: string, before: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const [, key, rest] = /^([a-z][a-z0-9-]*)=(.*)$/s.exec(value) ?? [];
  if (key === undefined || rest === undefined) throw new InvalidArgumentError('Write it like port=9000.');
  const listed = key === 'next-hop' || key === 'interfaces';
  const old = before[key];
  if (old !== undefined && !listed) throw new InvalidArgumentError(`${key} is there twice.`);
  const made = listed ? [...(Array.isArray(old) ? old : []), ...rest.split(',')] : scalar(rest);
  return { ...before, [key]: made };
}

function read(file: string): string {
  try {
    const text = readFileSync(file === '-' ? 0 : file, 'utf8');
    if (Buffer.byteLength(JSON.stringify(text)) <= MAX_REQUEST_BYTES) return text;
  } catch (thrown) {
    throw new CliError(exitCodes.usage, `cannot read ${file}: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
  throw new CliError(exitCodes.usage, `${file} is too large`);
}

function documentOf(type: string | undefined, name: string | undefined, options: AddOptions): PuntDocument {
  const { file, jsonFile, set } = options;
  const netns = options.netns === undefined ? {} : { netns: options.netns };
  // of a message the one word there may be is its name
  const said = jsonFile !== undefined && name === undefined ? undefined : type;
  const ways = [said, file, jsonFile].filter((way) => way !== undefined).length;
  const hint = 'lcpctl punt add TYPE NAME KEY=VALUE…, or --file FILE, or --json-file FILE [NAME]';
  if (ways !== 1) throw new CliError(exitCodes.usage, 'say what is to be added, in one way', hint);
  if (said !== undefined) {
    if (name === undefined) throw new CliError(exitCodes.usage, 'a punt needs a name', hint);
    return { entry: { ...set, type: said, name, ...netns } };
  }
  if (Object.keys(set).length > 0) throw new CliError(exitCodes.usage, 'a file says everything itself', hint);
  if (file !== undefined) return { text: read(file), ...netns };
  let json: unknown;
  try {
    json = JSON.parse(read(jsonFile ?? ''));
  } catch (thrown) {
    if (thrown instanceof CliError) throw thrown;
    throw new CliError(exitCodes.usage, `${jsonFile} is not JSON: ${(thrown as Error).message}`);
  }
  return { json, ...(type === undefined ? {} : { name: type }), ...netns };
}

async function add(type: string | undefined, rest: readonly string[], options: AddOptions): Promise<void> {
  const [name, ...settings] = rest;
  const set = settings.reduce<Record<string, unknown>>((before, value) => {
    try {
      return appendSetting(value, before);
    } catch (thrown) {
      throw new CliError(exitCodes.usage, `${value}: ${(thrown as Error).message}`);
    }
  }, {});
  const document = documentOf(type, name, { ...options, set });
  await withConnection(options, async (connection) => {
    const rows = await connection.call('punt.add', document);
    if (options.json === true) printJson(rows);
    else for (const row of rows) print(`${formatState({ id: row.id, state: row.state, reasons: row.reasons })}\n`);
  });
}

async function list(options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => {
    const sink = options.json === true ? jsonSink<PuntRequestRow>() : tableSink(puntColumns, puntOrders);
    await connection.call('punt.list', {}, (row) => sink.add(row));
    sink.end();
  });
}

async function show(name: string, options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => {
    const row = await connection.call('punt.show', { name });
    if (options.json === true) printJson(row);
    else print(formatPunt(row));
  });
}

async function del(name: string, options: GlobalOptions): Promise<void> {
  await withConnection(options, async (connection) => {
    const row = await connection.call('punt.del', { name });
    if (options.json === true) printJson(row);
    else print(`${formatState({ id: row.id, state: 'DELETED', reasons: [] })}\n`);
  });
}

async function rowsOf<M extends 'punt.reasons' | 'punt.stats'>(
  method: M,
  options: GlobalOptions,
  format: (rows: readonly Methods[M]['event'][]) => string,
  wanted: (row: Methods[M]['event']) => boolean = () => true,
): Promise<void> {
  await withConnection(options, async (connection) => {
    const rows = (await connection.rows(method, {})).filter(wanted);
    if (options.json === true) printJson(rows);
    else print(format(rows));
  });
}

async function stats(name: string | undefined, options: GlobalOptions): Promise<void> {
  let objects: readonly string[] | undefined;
  if (name !== undefined)
    objects = await withConnection(
      options,
      async (connection) => (await connection.call('punt.show', { name })).objects,
    );
  await rowsOf('punt.stats', options, formatStats, ({ object }) => objects === undefined || objects.includes(object));
}

async function watch(options: GlobalOptions): Promise<void> {
  await withConnection(options, (connection) =>
    connection.call('punt.watch', {}, (change) => {
      if (options.json === true) printJsonLine(change);
      else print(`${formatChange(change)}\n`);
    }),
  );
}

interface CaptureOptions extends GlobalOptions {
  write?: string;
  count?: number;
  seconds?: number;
  device?: string;
}

async function capture(name: string, options: CaptureOptions): Promise<void> {
  const places = await withConnection(options, async (connection) => {
    const [rows, { pid }] = await Promise.all([
      connection.call('punt.captures', { name }),
      connection.call('status', {}),
    ]);
    // A namespace without a name is that of lcpd, which need not be the one of lcpctl.
    return rows.map(({ netns, device }) => ({
      device,
      path: netns === '' ? `/proc/${pid}/ns/net` : `/run/netns/${netns}`,
    }));
  });
  const wanted = places.filter(({ device }) => options.device === undefined || device === options.device);
  if (wanted.length === 0) {
    const known = places.map(({ device }) => device).join(', ');
    throw new CliError(exitCodes.usage, `${name} has no device ${options.device ?? ''}`.trimEnd(), `known: ${known}`);
  }
  const { runCapture } = await import('./capture.ts');
  await runCapture(wanted, {
    file: options.write,
    count: options.count ?? Number.POSITIVE_INFINITY,
    ms: options.seconds,
    json: options.json === true,
  });
}

const command = (name: string, description: string): Command => new Command(name).description(description);

/** The `punt` command. */
export function puntCommand(): Command {
  return command('punt', 'packets for somebody else than the router')
    .addCommand(
      command('add', 'ask for a punt, which is remembered until `punt del`')
        .argument('[type]', 'to-host, ip-protocol, icmp6, exception, ip-redirect, police, span, dhcp-proxy, isisx, …')
        .argument('[rest...]', 'its name, and what lcpd.full.yaml shows for the type: l3=ipv4 l4=udp port=9000')
        .option('--file <file>', 'a text in YAML with punts:, as in the configuration; "-" is standard input')
        .option(
          '--json-file <file>',
          'messages in the JSON of Ligato and StoneWork, of which one may be named; "-" is standard input',
        )
        .option('--netns <name>', 'namespace of what names none ("" is that of lcpd)')
        .action((type: string | undefined, rest: string[], _options: unknown, self: Command) =>
          add(type, rest, self.optsWithGlobals<AddOptions>()),
        ),
    )
    .addCommand(
      command('del', 'take a punt back')
        .argument('<name>', 'its name, or its id')
        .action((name: string, _options: unknown, self: Command) => del(name, self.optsWithGlobals())),
    )
    .addCommand(
      command('list', 'all punts with their state').action((_options: unknown, self: Command) =>
        list(self.optsWithGlobals()),
      ),
    )
    .addCommand(
      command('show', 'all about one punt')
        .argument('<name>', 'its name, or its id')
        .action((name: string, _options: unknown, self: Command) => show(name, self.optsWithGlobals())),
    )
    .addCommand(
      command('reasons', 'what the data plane has a reason to punt for').action((_options: unknown, self: Command) =>
        rowsOf('punt.reasons', self.optsWithGlobals(), formatReasons),
      ),
    )
    .addCommand(
      command('stats', 'what became of the packets')
        .argument('[name]', 'of one punt only')
        .action((name: string | undefined, _options: unknown, self: Command) => stats(name, self.optsWithGlobals())),
    )
    .addCommand(
      command('watch', 'print changes of states and links until interrupted').action(
        (_options: unknown, self: Command) => watch(self.optsWithGlobals()),
      ),
    )
    .addCommand(
      command('capture', 'packets that a punt sees, as lines or as pcap; needs root')
        .argument('<name>', 'its name, or its id')
        .option('-w, --write <file>', 'write pcap with nanoseconds there; "-" is standard output')
        .option('-c, --count <packets>', 'stop after so many', parseCount)
        .option('--seconds <seconds>', 'stop after this time', parseSecondsMs)
        .option('--device <name>', 'only this one of its devices')
        .action((name: string, _options: unknown, self: Command) =>
          capture(name, self.optsWithGlobals<CaptureOptions>()),
        ),
    );
}
