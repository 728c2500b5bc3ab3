// PuntMessage: one protobuf message in its JSON form, read field by field.
//
// Invariants: a field may be written in camelCase or as in the .proto, but once; null is absent, and so are the empty text
// and list; unknown fields are problems. Which field an entry's value came from is remembered, for its errors.
// Reference: the JSON mapping of proto3.

import { shown } from './fields.ts';
import type { PathProblem } from './names.ts';
import { suggestion } from './suggest.ts';
import { record } from './written.ts';

export type Path = readonly (string | number)[];

const camelOf = (name: string): string => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

export class PuntMessage {
  readonly path: Path;
  readonly problems: PathProblem[];
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #known: string[] = [];

  constructor(value: unknown, path: Path, problems: PathProblem[]) {
    this.path = path;
    this.problems = problems;
    this.#members = record(value);
    if (record(value) !== value)
      problems.push({
        path,
        message: `expected a map, found ${shown(value)}`,
        hint: 'give {…}',
      });
  }

  refuse(path: Path, message: string, hint: string): void {
    this.problems.push({ path, message, hint });
  }

  /** Where a field is, or would be. */
  at(name: string): Path {
    const written = [name, camelOf(name)].find((form) => Object.hasOwn(this.#members, form));
    return [...this.path, written ?? name];
  }

  /** Value of a field, undefined: not there. */
  field(name: string): unknown {
    const forms = [...new Set([name, camelOf(name)])];
    this.#known.push(...forms);
    const there = forms.filter((form) => Object.hasOwn(this.#members, form));
    if (there.length > 1) this.refuse(this.at(name), `${there.join(' and ')} are the same field`, 'write it once');
    const value = this.#members[there[0] ?? ''];
    const isEmpty = value === '' || value === null || (Array.isArray(value) && value.length === 0);
    return there.length === 0 || isEmpty ? undefined : value;
  }

  /** The same of a field for which the empty text is another thing than none: who has said it is told so. */
  stated(name: string): unknown {
    return this.field(name) ?? (this.#members[this.at(name).at(-1) ?? ''] === '' ? '' : undefined);
  }

  /** A whole number, which may be written as a text. What is none stays as it is, for the schema to refuse. */
  number(name: string): unknown {
    const value = this.field(name);
    return typeof value === 'string' && /^[0-9]{1,10}$/.test(value) ? Number(value) : value;
  }

  /** Word for a value of an enumeration, given by its name, in any case, or its number; undefined: not there or not known. */
  enumeration<T extends string>(name: string, values: Readonly<Record<string, readonly [number, T]>>): T | undefined {
    const value = this.field(name);
    if (value === undefined) return undefined;
    const found = Object.entries(values).find(
      ([key, [number]]) => value === number || (typeof value === 'string' && value.toUpperCase() === key),
    );
    if (found !== undefined) return found[1][1];
    const known = Object.keys(values);
    const hint = typeof value === 'string' ? suggestion(value, known) : `known: ${known.join(', ')}`;
    this.refuse(this.at(name), `${shown(value)} is not one of ${known.join(', ')}`, hint);
    return undefined;
  }

  /** A message in a field; undefined: not there. */
  inner(name: string): PuntMessage | undefined {
    const value = this.field(name);
    return value === undefined ? undefined : new PuntMessage(value, this.at(name), this.problems);
  }

  /** The messages of a field that is repeated. */
  repeated(name: string): PuntMessage[] {
    const value = this.field(name);
    if (value === undefined) return [];
    const at = this.at(name);
    if (Array.isArray(value)) return value.map((one, i) => new PuntMessage(one, [...at, i], this.problems));
    this.refuse(at, `expected a list, found ${shown(value)}`, 'give […]');
    return [];
  }

  /** Refuses the fields that nobody asked for. */
  end(): void {
    for (const key of Object.keys(this.#members))
      if (!this.#known.includes(key))
        this.refuse([...this.path, key], `unknown field ${shown(key)}`, suggestion(key, [...new Set(this.#known)]));
  }
}
