// The error table and the one error class.

import { describe, expect, it } from 'vitest';
import { errorTable, LcpError, messageOf, systemErrorOf } from '../../../src/lib/errors.ts';

describe('errorTable', () => {
  it('has a title and a hint for every code, in one style', () => {
    for (const [code, { title, hint }] of Object.entries(errorTable)) {
      expect(code).toMatch(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/);
      expect(title.length, code).toBeGreaterThan(5);
      expect(hint.length, code).toBeGreaterThan(5);
      expect(title, code).not.toMatch(/[.]$/);
    }
  });
});

describe('LcpError', () => {
  it('reads as a sentence and falls back to the table', () => {
    const error = new LcpError('CONTROL_IN_USE', { op: 'open control socket', key: '/run/x', errno: 98 });
    expect(error.message).toBe('open control socket /run/x: another lcpd serves this control socket');
    expect(error.hint).toBe(errorTable.CONTROL_IN_USE.hint);
    expect(error.retry).toBe('never');
    expect(error.errno).toBe(98);
  });

  it('keeps its cause, and a better message and hint', () => {
    const cause = new Error('why');
    const error = new LcpError('INTERNAL', { op: 'apply', message: 'm', hint: 'h', cause });
    expect([error.message, error.hint, error.cause]).toEqual(['apply: m', 'h', cause]);
  });
});

describe('what was thrown', () => {
  it('has a message and perhaps system fields', () => {
    expect(messageOf('x')).toBe('x');
    expect(messageOf(new Error('y'))).toBe('y');
    expect(systemErrorOf(Object.assign(new Error('z'), { code: 'EPERM', errno: -1 }))).toEqual({
      code: 'EPERM',
      errno: 1,
    });
    expect(systemErrorOf('x')).toEqual({});
  });
});
