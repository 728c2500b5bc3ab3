// Running a command: its connection, and how each way of ending becomes an exit code.

import { Connection } from './connection.ts';
import { CliError, exitCodes } from './exit.ts';
import { printable } from './table.ts';

export interface GlobalOptions {
  socket: string;
  json?: boolean;
}

/** Connects, runs `work`, disconnects. */
export async function withConnection<T>(
  options: GlobalOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await Connection.open(options.socket);
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}

/** Says on standard error why the command ends, and answers with its exit code. */
export function reportFailure(thrown: unknown): number {
  if (!(thrown instanceof CliError)) {
    process.stderr.write(`lcpctl: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
    return exitCodes.refused;
  }
  // A message may have lines of its own (errors of a configuration), each of which is made safe to print.
  const message = thrown.message.split('\n').map(printable).join('\n');
  process.stderr.write(`lcpctl: ${message}\n`);
  if (thrown.hint !== undefined) process.stderr.write(`  hint: ${printable(thrown.hint)}\n`);
  return thrown.exitCode;
}
