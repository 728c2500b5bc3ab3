// Definitions: message layouts made from VPP's own definitions, for messages whose CRC is not ours.
//
// Invariants: the text comes from a running VPP or a file and may be anything: what is not a definition is an error
// that names it, and a type is followed at most so deep. Codecs are made when they are asked for. Where a type has
// the shape of one of ours, ours is used, so that addresses stay addresses. What a field is by default is kept.
// Reference: VPP's src/tools/vppapigen/vppapigen_json.py, which writes *.api.json.

import { LcpError } from '../lib/errors.ts';
import { address, addressUnion, prefix } from './address.ts';
import type { Codec } from './codec.ts';
import * as basic from './codec.ts';
import type { Fields } from './compound.ts';
import { array, byteList, list, struct, union } from './compound.ts';
import type { Head, Message } from './message.ts';

/** Types inside types; VPP's deepest has six levels. */
const MAX_DEPTH = 16;

type Row = readonly unknown[];

const basics: Readonly<Record<string, Codec<unknown>>> = {
  u8: basic.u8,
  u16: basic.u16,
  u32: basic.u32,
  u64: basic.u64,
  i8: basic.i8,
  i16: basic.i16,
  i32: basic.i32,
  i64: basic.i64,
  f64: basic.f64,
  bool: basic.bool,
};

/** Codecs of ours that stand for a structure of VPP. */
const ours: readonly Codec<unknown>[] = [address, addressUnion, prefix];

function invalid(key: string, message: string): LcpError {
  return new LcpError('VPP_API', { op: 'read definition', key, message });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A message as VPP defines it. */
export interface Definition extends Message {
  /** What fields are when nothing is said about them, by name; only of the message's own fields. */
  readonly defaults: Readonly<Record<string, number | boolean>>;
}

export class Definitions {
  readonly #messages = new Map<string, Row>();
  readonly #types = new Map<string, Codec<unknown>>();
  readonly #rows = new Map<string, { readonly kind: string; readonly row: unknown }>();

  /** Adds what a module defines. Throws VPP_API when it is no module. */
  add(module: unknown): void {
    if (!isRecord(module)) throw invalid('module', 'not an object');
    for (const kind of ['types', 'unions', 'enums', 'enumflags', 'messages']) {
      const rows = module[kind] ?? [];
      if (!Array.isArray(rows)) throw invalid(kind, 'not a list');
      for (const row of rows as unknown[]) {
        if (!Array.isArray(row) || typeof row[0] !== 'string') throw invalid(kind, 'a row without a name');
        if (kind === 'messages') this.#messages.set(row[0], row);
        else this.#rows.set(row[0], { kind, row });
      }
    }
    const aliases = module.aliases ?? {};
    if (!isRecord(aliases)) throw invalid('aliases', 'not an object');
    for (const [name, row] of Object.entries(aliases)) this.#rows.set(name, { kind: 'aliases', row });
  }

  /** Definitions from JSON text: one module, or a list of them as get_api_json answers. */
  static parse(text: string): Definitions {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      throw new LcpError('VPP_API', { op: 'read definition', message: 'not JSON', cause: error });
    }
    const definitions = new Definitions();
    for (const module of Array.isArray(parsed) ? (parsed as unknown[]) : [parsed]) definitions.add(module);
    return definitions;
  }

  get size(): number {
    return this.#messages.size;
  }

  /** CRC of a message; undefined when it is not defined. */
  crcOf(name: string): string | undefined {
    const options = this.#messages.get(name)?.at(-1);
    return isRecord(options) && typeof options.crc === 'string' ? crcText(options.crc) : undefined;
  }

  /** The layout of a message; undefined when it is not defined. Throws VPP_API when the definition is none. */
  message(name: string): Definition | undefined {
    const row = this.#messages.get(name);
    const crc = this.crcOf(name);
    if (row === undefined || crc === undefined) return undefined;
    const all = fieldRows(name, row.slice(1));
    if (all[0]?.[1] !== '_vl_msg_id') throw invalid(name, 'no message id');
    const names = all.slice(1, 3).map(([, field]) => field);
    const head = headOf(names);
    const own = all.slice(1 + (head === 'both' ? 2 : head === 'none' ? 0 : 1));
    const defaults: Record<string, number | boolean> = {};
    for (const [, field, ...rest] of own) {
      const value = defaultOf(rest.find(isRecord));
      if (value !== undefined) defaults[field] = value;
    }
    return { name, crc, head, body: struct(this.#fields(name, own, 0)), defaults };
  }

  #fields(owner: string, rows: readonly FieldRow[], depth: number): Fields {
    const fields: Record<string, Codec<unknown>> = {};
    for (const row of rows) fields[row[1]] = this.#field(`${owner}.${row[1]}`, row, depth);
    return fields;
  }

  #field(key: string, [type, , ...rest]: FieldRow, depth: number): Codec<unknown> {
    const [length, counter] = rest.filter((part) => !isRecord(part));
    if (length === undefined) return this.#type(key, type, depth);
    if (typeof length !== 'number' || !Number.isInteger(length) || length < 0 || length > 65536) {
      throw invalid(key, `no length: ${JSON.stringify(length)}`);
    }
    if (type === 'string') return length === 0 ? basic.varString : basic.string(length);
    const element = this.#type(key, type, depth);
    if (typeof counter === 'string') return type === 'u8' ? byteList(element, counter) : list(element, counter);
    if (length === 0) throw invalid(key, 'a list without its counter');
    return type === 'u8' ? basic.bytes(length) : array(element, length);
  }

  #type(key: string, type: string, depth: number): Codec<unknown> {
    const known = basics[type];
    if (known !== undefined) return known;
    const name = /^vl_api_(\w+)_t$/.exec(type)?.[1] ?? type;
    const made = this.#types.get(name);
    if (made !== undefined) return made;
    const defined = this.#rows.get(name);
    if (defined === undefined) throw invalid(key, `no type ${type}`);
    if (depth >= MAX_DEPTH) throw invalid(key, 'types too deep');
    const codec = this.#define(name, defined.kind, defined.row, depth + 1);
    const same = ours.find((own) => own.shape === codec.shape) ?? codec;
    this.#types.set(name, same);
    return same;
  }

  #define(name: string, kind: string, row: unknown, depth: number): Codec<unknown> {
    if (kind === 'aliases') {
      if (!isRecord(row) || typeof row.type !== 'string') throw invalid(name, 'not an alias');
      return this.#field(name, [row.type, name, ...(row.length === undefined ? [] : [row.length])], depth);
    }
    const rest = (row as Row).slice(1);
    if (kind === 'types') return struct(this.#fields(name, fieldRows(name, rest), depth));
    if (kind === 'unions') return union(this.#fields(name, fieldRows(name, rest), depth));
    const options = rest.at(-1);
    const base = isRecord(options) && typeof options.enumtype === 'string' ? basics[options.enumtype] : undefined;
    if (base === undefined || !('least' in base)) throw invalid(name, 'an enumeration of no integer');
    const values: Record<string, number> = {};
    for (const member of rest.slice(0, -1)) {
      if (!Array.isArray(member) || typeof member[0] !== 'string' || typeof member[1] !== 'number') {
        throw invalid(name, 'a member without a name');
      }
      values[member[0]] = member[1];
    }
    return basic.enumeration(name, base as basic.IntegerCodec, values);
  }
}

type FieldRow = readonly [type: string, name: string, ...rest: unknown[]];

/** The rows that are fields; options stand behind them. */
function fieldRows(owner: string, rows: readonly unknown[]): readonly FieldRow[] {
  return rows.filter(Array.isArray).map((row: Row) => {
    if (typeof row[0] === 'string' && typeof row[1] === 'string') return row as FieldRow;
    throw invalid(owner, 'a field without type and name');
  });
}

function headOf(names: readonly string[]): Head {
  if (names[0] === 'context') return 'context';
  if (names[0] !== 'client_index') return 'none';
  return names[1] === 'context' ? 'both' : 'client';
}

/** CRCs are told as `0x9c5e1c2f`, without leading zeros. */
function crcText(crc: string): string {
  return crc.replace(/^0x/, '').toLowerCase().padStart(8, '0');
}

function defaultOf(options: Readonly<Record<string, unknown>> | undefined): number | boolean | undefined {
  const value = options?.default;
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return value === 'true' ? true : value === 'false' ? false : undefined;
}
