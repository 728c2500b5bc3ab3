/**
 * Our tables are VPP's definitions: every field, size, number and CRC of 26.06, from the facts in the file beside.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { answersOf, catalogue } from '../../../src/vpp/api/catalogue.ts';
import { ipRouteAddDelV2, ipRouteV2Details } from '../../../src/vpp/api/route.ts';
import { Definitions } from '../../../src/vpp/definitions.ts';
import { nameCrc, offsetOf } from '../../../src/vpp/message.ts';

const text = readFileSync(new URL('definitions-26.06.json', import.meta.url), 'utf8');
const definitions = Definitions.parse(text);

describe('tables of messages', () => {
  it('has every message with the CRC, the head and the layout that VPP has', () => {
    const differing = [...catalogue.values()].flatMap((message) => {
      const theirs = definitions.message(message.name);
      if (theirs === undefined) return [`${message.name} is not in VPP`];
      const ours = [nameCrc(message), message.head, message.body.shape, message.body.size].join(' ');
      const same = ours === [nameCrc(theirs), theirs.head, theirs.body.shape, theirs.body.size].join(' ');
      return same ? [] : [`${ours}\n${nameCrc(theirs)} ${theirs.head} ${theirs.body.shape}`];
    });
    expect(differing).toEqual([]);
    expect(catalogue.size).toBe(definitions.size);
    expect(catalogue.size).toBeGreaterThan(250);
  });

  it('has in the catalogue what any table exports', async () => {
    const folder = new URL('../../../src/vpp/api/', import.meta.url);
    for (const file of readdirSync(folder)) {
      const exported = (await import(new URL(file, folder).href)) as Record<string, { name?: string; crc?: string }>;
      for (const one of Object.values(exported)) {
        if (one.crc !== undefined) expect(catalogue.get(one.name ?? ''), one.name).toBe(one);
      }
    }
  });

  it('answers every request', () => {
    for (const message of catalogue.values()) {
      if ('answer' in message) expect(answersOf(message).length, message.name).toBeGreaterThan(0);
    }
  });

  it('knows where the fields of fixed messages lie', () => {
    const offsets = ['is_add', 'is_multipath', 'route.table_id', 'route.prefix', 'route.prefix.len', 'route.src'];
    expect(offsets.map((path) => offsetOf(ipRouteAddDelV2, path))).toEqual([10, 11, 12, 20, 37, 39]);
    expect(offsetOf(ipRouteAddDelV2, 'route.paths')).toBe(40);
    expect(offsetOf(ipRouteV2Details, 'route.table_id')).toBe(6);
    for (const path of ['nothing', 'route.nothing', 'is_add.more', 'route.paths.type']) {
      expect(offsetOf(ipRouteAddDelV2, path), path).toBe(-1);
    }
  });
});

describe('definitions', () => {
  it('refuses what is none, and says which', () => {
    for (const bad of [
      '',
      '{',
      '3',
      '[3]',
      '{"types": 3}',
      '{"messages": [3]}',
      '{"messages": [[]]}',
      '{"aliases": []}',
    ]) {
      expect(() => Definitions.parse(bad), bad).toThrow(/read definition/);
    }
    const row = (...fields: unknown[]): string =>
      JSON.stringify({ messages: [['m', ['u16', '_vl_msg_id'], ['u32', 'context'], ...fields, { crc: '0x1' }]] });
    for (const field of [
      ['nothing', 'x'],
      ['u8'],
      ['u8', 'x', -1],
      ['u8', 'x', 0],
      ['u8', 'x', 0, 'none'],
      ['u8', 'x', 'y'],
    ]) {
      expect(() => Definitions.parse(row(field)).message('m'), JSON.stringify(field)).toThrow(/read definition/);
    }
    expect(() => Definitions.parse(row(['string', 'x', 0], ['u8', 'y'])).message('m')).toThrow(/after one that varies/);
    expect(Definitions.parse(row(['u8', 'x'])).message('m')).toMatchObject({ crc: '00000001', head: 'context' });
    expect(Definitions.parse(row()).message('other')).toBeUndefined();
  });

  it('does not follow a type into itself for ever', () => {
    const loop = {
      types: [['a', ['vl_api_a_t', 'a']]],
      messages: [['m', ['u16', '_vl_msg_id'], ['vl_api_a_t', 'a'], { crc: '0x1' }]],
    };
    expect(() => Definitions.parse(JSON.stringify(loop)).message('m')).toThrow(/too deep/);
  });
});
