// Logs: levels by area, and the three styles.

import { describe, expect, it } from 'vitest';
import { LcpError } from '../../../src/lib/errors.ts';
import { createLog, formatPretty, type LogStyle } from '../../../src/lib/log.ts';

function capture(style: LogStyle, level = 'info', areas: Record<string, string> = {}) {
  const lines: string[] = [];
  const log = createLog({ levels: { level, areas }, style, destination: { write: (line) => void lines.push(line) } });
  return { log, lines };
}

describe('levels', () => {
  it('are one for all and one for an area, and change while running', () => {
    const { log, lines } = capture('json', 'info', { netlink: 'debug' });
    log.area('netlink').debug('a');
    log.area('lcp').debug('b');
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['a']);
    log.setLevels({ level: 'debug', areas: { netlink: 'error' } });
    log.area('netlink').warn('c');
    log.area('lcp').debug('d');
    log.area('config').debug('e');
    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['a', 'd', 'e']);
    expect(log.area('lcp')).toBe(log.area('lcp'));
  });
});

describe('styles', () => {
  it('JSON has area, fields and a whole error', () => {
    const { log, lines } = capture('json');
    const cause = Object.assign(new Error('no'), { code: 'EPERM' });
    log
      .area('lcp')
      .warn({ key: 'wan0', err: new LcpError('NOT_SUPPORTED', { op: 'add', key: 'x', cause }) }, 'pair failed');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 40,
      area: 'lcp',
      key: 'wan0',
      msg: 'pair failed',
      err: { code: 'NOT_SUPPORTED', op: 'add', cause: { message: 'no', code: 'EPERM' } },
    });
    expect(JSON.parse(lines[0] ?? '').err.stack).toBeUndefined();
  });

  it('journald gets a syslog priority in front', () => {
    const { log, lines } = capture('journal', 'trace');
    const area = log.area('lcp');
    for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const) area[level]('x');
    expect(lines.map((line) => line.slice(0, 4))).toEqual(['<7>{', '<7>{', '<6>{', '<4>{', '<3>{', '<2>{']);
  });

  it('a terminal gets one short line', () => {
    const { log, lines } = capture('pretty');
    log.area('lcp').info({ key: 'wan0', mtu: 1500, reason: 'a b' }, 'pair up');
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO {2}lcp: pair up key=wan0 mtu=1500 reason="a b"\n$/);
  });

  it('a terminal is not steered by names, and sees code, hint and the stack of a bug', () => {
    const line = formatPretty(
      JSON.stringify({
        time: 0,
        level: 50,
        area: 'lcp',
        msg: 'x\u001b[2J',
        name: '\u001b]0;',
        err: { message: 'm', code: 'C', hint: 'h i', stack: 's' },
      }),
    );
    expect(line).toBe('00:00:00.000 ERROR lcp: x\\u001b[2J name=\\u001b]0; error=m code=C hint="h i" \ns\n');
    expect(formatPretty('not json\n')).toBe('not json\n');
  });
});
