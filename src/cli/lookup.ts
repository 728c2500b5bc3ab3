// `lcpctl lookup`: what the data plane does with a packet to an address.
//
// Invariants: answers are in the order of the questions. From standard input, addresses are asked in batches as
// they arrive, so that a slow writer gets each answer at once and a fast one does not wait for single answers.

import { Command } from 'commander';
import type { LookupRequest, LookupRow } from '../lcp/view.ts';
import { parseIp } from '../lib/ip.ts';
import { LineSplitter } from '../lib/lines.ts';
import { parseTable } from './arguments.ts';
import type { Connection } from './connection.ts';
import { CliError, exitCodes } from './exit.ts';
import { print, printJson, printJsonLine } from './output.ts';
import { type GlobalOptions, withConnection } from './run.ts';
import { formatLookup, isRouted } from './text.ts';

interface LookupOptions extends GlobalOptions {
  table?: number;
  netns?: string;
  vrf?: string;
  iif?: string;
  mpls?: boolean;
  stdin?: boolean;
}

const BATCH_ADDRESSES = 4096;
const MAX_LINE_BYTES = 256;

async function ask(connection: Connection, addresses: string[], options: LookupOptions): Promise<LookupRow[]> {
  const { table, netns, vrf, iif, mpls } = options;
  const request: LookupRequest = {
    addresses,
    ...(table === undefined ? {} : { table }),
    ...(netns === undefined ? {} : { netns }),
    ...(vrf === undefined ? {} : { vrf }),
    ...(iif === undefined ? {} : { iif }),
    ...(mpls === true ? { mpls } : {}),
  };
  return await connection.rows('lookup', request);
}

async function lookupArguments(addresses: string[], options: LookupOptions): Promise<boolean> {
  const right = (text: string) => (options.mpls === true ? /^[0-9]{1,7}$/.test(text) : parseIp(text) !== undefined);
  const wrong = addresses.find((address) => !right(address));
  if (wrong !== undefined) {
    const what = options.mpls === true ? 'a label' : 'an IP address';
    throw new CliError(exitCodes.usage, `not ${what}: ${wrong.slice(0, 64)}`);
  }
  return await withConnection(options, async (connection) => {
    const rows = await ask(connection, addresses, options);
    if (options.json === true) printJson(rows);
    else for (const row of rows) print(`${formatLookup(row)}\n`);
    return rows.every(isRouted);
  });
}

async function lookupStdin(options: LookupOptions): Promise<boolean> {
  return await withConnection(options, async (connection) => {
    const splitter = new LineSplitter(MAX_LINE_BYTES);
    let waiting: string[] = [];
    let allRouted = true;
    const take = (line: Buffer) => {
      const address = line.toString().trim();
      if (address !== '') waiting.push(address);
    };
    const flush = async () => {
      while (waiting.length > 0) {
        const rows = await ask(connection, waiting.slice(0, BATCH_ADDRESSES), options);
        waiting = waiting.slice(BATCH_ADDRESSES);
        for (const row of rows) {
          if (!isRouted(row)) allRouted = false;
          if (options.json === true) printJsonLine(row);
          else print(`${formatLookup(row)}\n`);
        }
      }
    };
    for await (const chunk of process.stdin) {
      if (!splitter.push(chunk as Buffer, take)) {
        throw new CliError(exitCodes.usage, `a line of standard input is longer than ${MAX_LINE_BYTES} bytes`);
      }
      await flush();
    }
    // The last line may lack its line feed.
    splitter.push(Buffer.from('\n'), take);
    await flush();
    return allRouted;
  });
}

export function lookupCommand(): Command {
  return new Command('lookup')
    .description('what the data plane does with packets to these addresses')
    .argument('[address...]', 'IPv4 or IPv6 addresses, or labels')
    .option('--stdin', 'read addresses from standard input, one a line')
    .option('--table <table>', 'look in this table: a number, main, local or default', parseTable)
    .option('--netns <name>', 'look in the tables of this namespace ("" is that of lcpd)')
    .option('--vrf <name>', 'as a packet that comes in by an interface of this VRF')
    .option('--iif <name>', 'as a packet that comes in by this interface of the namespace')
    .option('--mpls', 'the addresses are MPLS labels')
    .action(async (addresses: string[], _options: unknown, self: Command) => {
      const options = self.optsWithGlobals<LookupOptions>();
      if ((options.stdin === true) === addresses.length > 0) {
        throw new CliError(exitCodes.usage, 'give addresses, or --stdin, and not both');
      }
      const routed = options.stdin === true ? await lookupStdin(options) : await lookupArguments(addresses, options);
      if (!routed) process.exitCode = exitCodes.different;
    });
}
