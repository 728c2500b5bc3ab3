// Logs: pino, one line a state change, one child logger an area (areas are folder names).
//
// Invariants: levels can change while running (reload), for all areas at once. Lines are written synchronously:
// a daemon that dies has said why. On a terminal a line is for eyes: `12:00:00.123 INFO lcp: pair up key=wan0`;
// anywhere else it is JSON, behind a `<N>` syslog priority when the reader is journald, so that `journalctl -p`
// works (sd-daemon(3)). Per-message facts are counters, not lines.

import { isatty } from 'node:tty';
import { type DestinationStream, type Logger as PinoLogger, pino } from 'pino';
import { LcpError } from './errors.ts';

export type Logger = PinoLogger;
export type LogStyle = 'pretty' | 'json' | 'journal';

export interface LogLevels {
  readonly level: string;
  readonly areas: Readonly<Record<string, string>>;
}

/** The loggers of one process. */
export interface Log {
  /** The logger of an area; the same one for the same name. */
  area(name: string): Logger;
  /** Changes the levels of all areas, those made before too. */
  setLevels(levels: LogLevels): void;
}

export interface LogOptions {
  readonly levels: LogLevels;
  /** Default: by the kind of file behind standard output. */
  readonly style?: LogStyle;
  /** Where lines go; default standard output. */
  readonly destination?: DestinationStream;
}

const levelNames: Readonly<Record<number, string>> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR' };

/** Syslog priorities (RFC 5424) of pino's levels. */
function priorityOf(level: number): number {
  if (level >= 60) return 2;
  if (level >= 50) return 3;
  if (level >= 40) return 4;
  return level >= 30 ? 6 : 7;
}

/** Control characters as escapes: a hostile interface name must not steer the reader's terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => JSON.stringify(char).slice(1, -1));
}

function formatValue(value: unknown): string {
  if (typeof value !== 'string') return printable(JSON.stringify(value) ?? 'undefined');
  return value === '' || /[\s"=]/.test(value) ? JSON.stringify(value) : printable(value);
}

/** One line for eyes from one of pino's JSON lines. Text that is not such a line comes back as it is. */
export function formatPretty(line: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const { time, level, area, msg, err, ...fields } = record;
  const clock = typeof time === 'number' ? new Date(time).toISOString().slice(11, 23) : '';
  const name = levelNames[Number(level)] ?? 'FATAL';
  const pairs = Object.entries(fields).map(([key, value]) => `${key}=${formatValue(value)}`);
  if (err !== undefined && err !== null && typeof err === 'object') {
    const { message, code, hint, stack } = err as Record<string, unknown>;
    pairs.push(`error=${formatValue(message)}`);
    if (code !== undefined) pairs.push(`code=${formatValue(code)}`);
    if (hint !== undefined) pairs.push(`hint=${formatValue(hint)}`);
    if (typeof stack === 'string') pairs.push(`\n${stack}`);
  }
  const text = [`${area ?? 'lcpd'}:`, printable(String(msg ?? '')), ...pairs].join(' ');
  return `${clock} ${name.padEnd(5)} ${text}\n`;
}

/** What a log line says of an error: no stack for what the operator may read, a stack for a bug. */
export function errorFields(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { message: String(thrown) };
  const cause = thrown.cause === undefined ? {} : { cause: errorFields(thrown.cause) };
  if (thrown instanceof LcpError) {
    const { code, op, key, errno, message, hint } = thrown;
    return { code, op, key, errno, message, hint, ...cause };
  }
  const { code, errno } = thrown as NodeJS.ErrnoException;
  return { message: thrown.message, code, errno, stack: thrown.stack, ...cause };
}

// A stream with this mark is told the level of each line, in `lastLevel`, before the line is written.
const metadata: unique symbol = Symbol.for('pino.metadata');

class LineStream implements DestinationStream {
  readonly [metadata] = true;
  lastLevel = 30;
  readonly #style: LogStyle;
  readonly #out: DestinationStream;

  constructor(style: LogStyle, out: DestinationStream) {
    this.#style = style;
    this.#out = out;
  }

  write(line: string): void {
    if (this.#style === 'pretty') this.#out.write(formatPretty(line));
    else if (this.#style === 'journal') this.#out.write(`<${priorityOf(this.lastLevel)}>${line}`);
    else this.#out.write(line);
  }
}

function styleOfStdout(): LogStyle {
  if (isatty(1)) return 'pretty';
  return process.env.JOURNAL_STREAM === undefined ? 'json' : 'journal';
}

/** Makes the loggers. Call once, in main. */
export function createLog(options: LogOptions): Log {
  const out = options.destination ?? pino.destination({ fd: 1, sync: true });
  const stream = new LineStream(options.style ?? styleOfStdout(), out);
  const root = pino(
    { base: null, level: options.levels.level, serializers: { err: errorFields }, messageKey: 'msg' },
    stream,
  );
  let levels = options.levels;
  const areas = new Map<string, Logger>();
  const levelOf = (name: string) => levels.areas[name] ?? levels.level;
  return {
    area(name) {
      let logger = areas.get(name);
      if (logger === undefined) {
        logger = root.child({ area: name }, { level: levelOf(name) });
        areas.set(name, logger);
      }
      return logger;
    },
    setLevels(next) {
      levels = next;
      root.level = next.level;
      for (const [name, logger] of areas) logger.level = levelOf(name);
    },
  };
}
