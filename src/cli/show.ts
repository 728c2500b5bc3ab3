// `lcpctl show …`: the listings.

import { Command, Option } from 'commander';
import { parsePrefix } from '../lib/ip.ts';
import type { Methods } from '../northbound/protocol.ts';
import { parseCount, parseTable, requirePrefix } from './arguments.ts';
import { type ListMethod, listings } from './listing.ts';
import { jsonSink, tableSink } from './output.ts';
import { type GlobalOptions, withConnection } from './run.ts';

interface ShowOptions extends GlobalOptions {
  netns?: string;
  table?: number;
  family?: 'inet' | 'inet6' | 'mpls';
  prefix?: string;
  limit?: number;
  all?: boolean;
}

/** Parameters that lcpd itself takes; other filters are applied here. */
function paramsOf(method: ListMethod, options: ShowOptions): Methods[ListMethod]['params'] {
  if (method === 'counters') return options.all === true ? { all: true } : {};
  if (method !== 'routes') return {};
  const { netns, table, family, prefix, limit } = options;
  return {
    ...(netns === undefined ? {} : { netns }),
    ...(table === undefined ? {} : { table }),
    ...(family === undefined ? {} : { family }),
    ...(prefix === undefined ? {} : { prefix }),
    ...(limit === undefined ? {} : { limit }),
  };
}

/** Prints a listing. */
export async function showListing<M extends ListMethod>(method: M, options: ShowOptions): Promise<void> {
  const { columns, orders } = listings[method];
  await withConnection(options, async (connection) => {
    type Row = Methods[M]['event'];
    const sink = options.json === true ? jsonSink<Row>() : tableSink<Row>(columns, orders);
    const wanted = (row: Row) => options.netns === undefined || !('netns' in row) || row.netns === options.netns;
    await connection.call(method, paramsOf(method, options), (row) => {
      if (wanted(row)) sink.add(row);
    });
    sink.end();
  });
}

/** The `show` command with one subcommand a listing. */
export function showCommand(): Command {
  const command = new Command('show').description('list what lcpd knows');
  for (const method of Object.keys(listings) as ListMethod[]) {
    const listing = new Command(method).description(listings[method].summary);
    const hasNetns = listings[method].columns.some(({ title }) => title === 'NETNS');
    if (hasNetns) listing.option('--netns <name>', 'only this namespace ("" is that of lcpd)');
    if (method === 'counters') listing.option('--all', 'counters that are zero too');
    if (method === 'routes') {
      listing
        .option('--table <table>', 'only this table: a number, main, local or default', parseTable)
        .addOption(new Option('--family <family>', 'only this family').choices(['inet', 'inet6', 'mpls']))
        .option('--prefix <prefix>', 'only this prefix and those inside it', requirePrefix(parsePrefix))
        .option('--limit <rows>', 'at most so many', parseCount);
    }
    listing.action((_options: unknown, self: Command) => showListing(method, self.optsWithGlobals<ShowOptions>()));
    command.addCommand(listing);
  }
  return command;
}
