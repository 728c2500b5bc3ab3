// Exit codes of lcpctl, and the error that carries one.
//
// Invariants: a code is stable for ever (scripts match it). Standard error says why, standard output stays data.

export const exitCodes = {
  ok: 0,
  different: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** The table shown by --help. */
export const exitCodeHelp = `
Exit codes:
  0  done
  1  diff: there are differences; wait-synced: not synced in time;
     lookup: an address had no route, or was not an address;
     config import: incomplete, the remarks say what is left to do
  2  wrong usage, or a configuration that is not valid
  3  lcpd cannot be reached, or went away
  4  lcpd refused or could not do it

Environment:
  LCPD_SOCKET  control socket, like --socket`;

/** Ends lcpctl with a message on standard error. */
export class CliError extends Error {
  readonly exitCode: ExitCode;
  readonly hint: string | undefined;

  constructor(exitCode: ExitCode, message: string, hint?: string) {
    super(message);
    this.name = 'CliError';
    this.exitCode = exitCode;
    this.hint = hint;
  }
}
