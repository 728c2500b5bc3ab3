// Fields: what the schema is built of: values that are checked by a function, words in any spelling, sections.
//
// Invariants: what is wrong is reported as an issue that carries its hint along, for findings.ts.

import { z } from 'zod';
import type { Problem } from './names.ts';
import { suggestion } from './suggest.ts';

/** Reports a problem as an issue that carries its hint along. */
export function report(ctx: z.RefinementCtx, problem: Problem): void {
  ctx.addIssue({ code: 'custom', message: problem.message, params: { hint: problem.hint } });
}

/** A text without a problem. */
export function text(problemOf: (value: string) => Problem | undefined) {
  return z.string().superRefine((value, ctx) => {
    const problem = problemOf(value);
    if (problem !== undefined) report(ctx, problem);
  });
}

const isProblem = (value: unknown): value is Problem =>
  typeof value === 'object' && value !== null && 'message' in value && 'hint' in value;

/** What `read` makes of a value that has one of the types of `schema`. */
export function reading<V, T>(schema: z.ZodType<V>, read: (value: V) => T | Problem) {
  return schema.transform((value, ctx): T => {
    const made = read(value);
    if (!isProblem(made)) return made;
    report(ctx, made);
    return z.NEVER;
  });
}

/** `AF_UNIX` and `af-unix` are one word. */
export const plainWord = (value: string): string => value.toLowerCase().replaceAll('_', '-');

/** A value as it is shown in a message. */
export function shown(value: unknown): string {
  if (value === null) return 'nothing';
  if (typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a map';
  const whole = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return whole.length > 40 ? `${whole.slice(0, 40)}…` : whole;
}

/** One of some words, in capitals or not. */
export function word<const T extends string>(known: readonly T[]) {
  return reading<string, T>(z.string(), (value) => {
    const found = known.find((one) => one === plainWord(value));
    if (found !== undefined) return found;
    return { message: `${shown(value)} is not one of ${known.join(', ')}`, hint: suggestion(value, known) };
  });
}

/** A section: an object, or nothing. */
export function section<T extends z.ZodRawShape>(shape: T) {
  return z.preprocess((value) => value ?? {}, z.strictObject(shape));
}

/** A list, or nothing. */
export function list<T extends z.ZodType>(element: T, most: number) {
  return z.preprocess((value) => value ?? [], z.array(element).max(most));
}
