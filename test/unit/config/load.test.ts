// The configuration loader: every error with its line, all at once, and no text that makes it throw.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { configInvalid, formatConfigErrors, loadConfig, readConfigFile } from '../../../src/config/load.ts';
import { schemaKeys } from '../../../src/config/schema.ts';
import { LcpError } from '../../../src/lib/errors.ts';

const full = readFileSync(new URL('../../../config/lcpd.full.yaml', import.meta.url), 'utf8');
const example = readFileSync(new URL('../../../config/lcpd.yaml', import.meta.url), 'utf8');

function configOf(text: string): Config {
  const result = loadConfig(text);
  if ('errors' in result) throw new Error(formatConfigErrors('text', result.errors));
  return result.config;
}

function errorsOf(text: string): string[] {
  const result = loadConfig(text);
  return 'errors' in result ? result.errors.map(({ line, path, message }) => `${line} ${path}: ${message}`) : [];
}

function hintsOf(text: string): string[] {
  const result = loadConfig(text);
  return 'errors' in result ? result.errors.map(({ hint }) => hint) : [];
}

describe('the shipped files', () => {
  it('full.yaml is the defaults', () => {
    expect(configOf(full)).toEqual(configOf(''));
  });

  it('full.yaml mentions every key of the schema', () => {
    expect(schemaKeys.length).toBeGreaterThan(20);
    for (const key of schemaKeys) {
      const name = key.split('.').at(-1);
      expect(full, key).toMatch(new RegExp(`^[ #-]*${name}:`, 'm'));
    }
  });

  it('full.yaml is valid with its commented keys switched on', () => {
    const on = full
      .replace('# netns: cp ', 'netns: cp ')
      .replaceAll(/^((?:auto-)?pairs|punts): \[\]/gm, '$1:')
      .replace(/areas: \{\}|# (?=group:)/g, (found) => (found.startsWith('#') ? '' : 'areas:'))
      .replaceAll(/^#( {2,10}(?:- )?[a-z][a-z0-9-]*:)/gm, ' $1')
      .replace('  #  netlink:', '    netlink:');
    const config = configOf(on.replace('driver: embedded', 'driver: vpp'));
    expect(config.pairs).toEqual([{ phy: 'wan0', host: 'e0', netns: 'cp2', type: 'tap' }]);
    expect(config.control.group).toBe('netadmin');
    expect(config.log.areas).toEqual({ netlink: 'debug' });
    expect(new Set(config.punts.map(({ spec }) => spec.type)).size).toBe(12);
  });

  it('the example is valid', () => {
    expect(configOf(example)).toMatchObject({
      netns: 'cp',
      pairs: [
        { phy: 'wan0', host: 'e0', netns: 'cp', type: 'tap' },
        { phy: 'lan0', host: 'e1', netns: 'cp2', type: 'tap' },
        { phy: 'tun7', host: 't0', netns: 'cp', type: 'tun' },
      ],
    });
  });
});

describe('values', () => {
  it('fills defaults, also the ones that depend on other values', () => {
    const config = configOf('control: { socket: /tmp/x/c.sock }\npairs: [{ phy: a, host: b }]');
    expect(config.dataplane).toEqual({
      driver: 'embedded',
      vpp: {
        socket: '/run/vpp/api.sock',
        transport: 'auto',
        statsSocket: '/run/vpp/stats.sock',
        pairBackend: 'linux-cp',
        ethertypes: [],
        osi: [],
        discoverySocket: '/tmp/x/nd.sock',
        groupSocket: '/tmp/x/groups.sock',
      },
      workers: 1,
      memoryBytes: 4 * 2 ** 30,
      socket: '/tmp/x/fwd.sock',
    });
    expect(config.control.mode).toBe(0o660);
    expect(config.pairs).toEqual([{ phy: 'a', host: 'b', netns: undefined, type: 'tap' }]);
  });

  it('keeps to the kernel in what happens to routes, unless told otherwise', () => {
    const routes = ({ unpairedRoutes, delStaticOnLinkDown, delDynamicOnLinkDown }: Config) => [
      unpairedRoutes,
      delStaticOnLinkDown,
      delDynamicOnLinkDown,
    ];
    expect(routes(configOf(''))).toEqual(['punt', false, false]);
    expect(routes(configOf('unpaired-routes: drop\ndel-static-on-link-down: true'))).toEqual(['drop', true, false]);
    const ignoring = configOf('unpaired-routes: ignore\ndel-dynamic-on-link-down: true');
    expect(routes(ignoring)).toEqual(['ignore', false, true]);
  });

  it('reads sizes with and without units', () => {
    expect(configOf('dataplane: { memory: 512 MiB }').dataplane.memoryBytes).toBe(512 * 2 ** 20);
    expect(configOf('netlink: { rx-buffer-bytes: 1048576 }').netlink.rxBufferBytes).toBe(2 ** 20);
  });

  it('takes a section with all its lines commented out as left out', () => {
    expect(configOf('pairs:\n#  - { phy: a, host: b }\nlog:\n')).toEqual(configOf(''));
  });
});

describe('errors', () => {
  // Each text with all of its errors, in order: line, path, message.
  const cases: [string, string, string[]][] = [
    ['unknown key', 'netns: a\nnetn: b', ['2 netn: unknown key "netn"']],
    ['unknown nested key', 'log:\n  level: info\n  lvl: x', ['3 log.lvl: unknown key "lvl"']],
    ['__proto__ as key', '__proto__: 1', ['1 __proto__: unknown key "__proto__"']],
    ['duplicate key', 'netns: a\n\nnetns: b', ['3 : this key is written twice']],
    ['list for a map', '- a', ['1 : expected a map, found a list']],
    ['text for the document', 'hello', ['1 : expected a map, found "hello"']],
    ['map for a list', 'pairs: {}', ['1 pairs: expected a list, found a map']],
    ['text for a pair', 'pairs:\n  - wan0', ['2 pairs[0]: expected a map, found "wan0"']],
    ['number for a name', 'netns: 5', ['1 netns: expected a text, found 5']],
    ['nothing for a name', 'pairs:\n  - phy: a\n    host:', ['3 pairs[0].host: expected a text, found nothing']],
    ['missing phy', 'pairs:\n  - host: e0', ['2 pairs[0].phy: "phy" is missing']],
    ['missing host', 'pairs:\n\n  - phy: a', ['3 pairs[0].host: "host" is missing']],
    ['wrong driver', 'dataplane: { driver: dpdk }', ['1 dataplane.driver: "dpdk" is not one of embedded, vpp']],
    ['wrong type', 'pairs: [{ phy: a, host: b, type: tapp }]', ['1 pairs[0].type: "tapp" is not one of tap, tun']],
    ['too few workers', 'dataplane:\n  workers: 0', ['2 dataplane.workers: 0 is too small']],
    ['too many workers', 'dataplane:\n  workers: 9', ['2 dataplane.workers: 9 is too large']],
    ['fraction', 'dataplane: { workers: 1.5 }', ['1 dataplane.workers: expected a whole number, found 1.5']],
    ['infinity', 'retry: { max-ms: .inf }', ['1 retry.max-ms: expected a number, found Infinity']],
    ['no size', 'dataplane: { memory: 4 gigs }', ['1 dataplane.memory: "4 gigs" is not a size']],
    [
      'size of a prototype',
      'dataplane: { memory: 4 constructor }',
      ['1 dataplane.memory: "4 constructor" is not a size'],
    ],
    ['size too small', 'dataplane: { memory: 1KiB }', ['1 dataplane.memory: the size is out of range: 1KiB']],
    ['old boolean', 'netlink: { neighbours: yes }', ['1 netlink.neighbours: expected true or false, found "yes"']],
    [
      'number in quotes',
      'netlink: { queue-messages: "5000" }',
      ['1 netlink.queue-messages: expected a number, found "5000"'],
    ],
    ['policy', 'unpaired-routes: accept', ['1 unpaired-routes: "accept" is not one of punt, drop, ignore']],
    ['policy of nothing', 'unpaired-routes:', ['1 unpaired-routes: nothing is not one of punt, drop, ignore']],
    [
      'switch in an old style',
      'del_static_on_link_down: true\ndel-dynamic-on-link-down: on',
      [
        '1 del_static_on_link_down: unknown key "del_static_on_link_down"',
        '2 del-dynamic-on-link-down: expected true or false, found "on"',
      ],
    ],
    ['mode as number', 'control: { mode: 0660 }', ['1 control.mode: expected a text, found 660']],
    [
      'mode without owner',
      'control: { mode: "0060" }',
      ['1 control.mode: not a file mode that lets the owner read and write'],
    ],
    ['group', 'control: { group: "a b" }', ['1 control.group: not a group name']],
    ['relative socket', 'control: { socket: a.sock }', ['1 control.socket: the socket path is not absolute']],
    ['directory as socket', 'control: { socket: /run/ }', ['1 control.socket: the socket path ends in "/"']],
    [
      'long socket',
      `control: { socket: /${'x'.repeat(107)} }`,
      ['1 control.socket: the socket path has 108 bytes, at most 107 fit'],
    ],
    [
      'NUL in socket',
      'control: { socket: "/a\\0b" }',
      ['1 control.socket: the socket path contains control characters'],
    ],
    [
      'one socket for both',
      'dataplane:\n  socket: /run/lcpd/lcpd.sock',
      ['2 dataplane.socket: /run/lcpd/lcpd.sock is the control socket'],
    ],
    ['level', 'log: { level: verbose }', ['1 log.level: "verbose" is not one of trace, debug, info, warn, error']],
    ['area', 'log: { areas: { netlnk: debug } }', ['1 log.areas.netlnk: unknown key "netlnk"']],
    [
      'level of an area',
      'log: { areas: { lcp: x } }',
      ['1 log.areas.lcp: "x" is not one of trace, debug, info, warn, error'],
    ],
    [
      'retry the wrong way',
      'retry:\n  initial-ms: 500\n  max-ms: 400',
      ['3 retry.max-ms: initial-ms (500) is more than max-ms (400)'],
    ],
    [
      'retry over the default',
      'retry:\n  initial-ms: 40000',
      ['2 retry.initial-ms: initial-ms (40000) is more than max-ms (30000)'],
    ],
    [
      'same phy twice',
      'pairs:\n  - { phy: a, host: b }\n  - { phy: a, host: c }',
      ['3 pairs[1].phy: phy a is already in pairs[0]'],
    ],
    [
      'same host twice in a namespace, written and by default',
      'netns: cp\npairs:\n  - { phy: a, host: e }\n  - { phy: b, host: e, netns: cp }',
      ['4 pairs[1].host: host e is already in pairs[0], in namespace cp'],
    ],
    [
      "same host twice in lcpd's own namespace",
      'pairs:\n  - { phy: a, host: e }\n  - { phy: b, host: e }',
      ["3 pairs[1].host: host e is already in pairs[0], in lcpd's own namespace"],
    ],
    [
      'host with the name of a phy',
      'pairs:\n  - { phy: a, host: b }\n  - { phy: b, host: c }',
      ["2 pairs[0].host: host b has the name of the phy in pairs[1], in lcpd's own namespace"],
    ],
    ['empty name', 'pairs: [{ phy: "", host: b }]', ['1 pairs[0].phy: the interface name is empty']],
    [
      'long name',
      `pairs: [{ phy: ${'x'.repeat(16)}, host: b }]`,
      ['1 pairs[0].phy: the interface name has 16 bytes, at most 15 fit'],
    ],
    [
      'long name in bytes',
      'pairs: [{ phy: éééééééé, host: b }]',
      ['1 pairs[0].phy: the interface name has 16 bytes, at most 15 fit'],
    ],
    ['dot', 'pairs: [{ phy: a, host: . }]', ['1 pairs[0].host: "." is not an interface name']],
    ['slash in name', 'pairs: [{ phy: a/b, host: c }]', ['1 pairs[0].phy: an interface name cannot contain "/"']],
    ['space in name', 'pairs: [{ phy: "a b", host: c }]', ['1 pairs[0].phy: an interface name cannot contain " "']],
    ['colon in name', 'pairs: [{ phy: "a:b", host: c }]', ['1 pairs[0].phy: an interface name cannot contain ":"']],
    ['pattern as name', 'pairs: [{ phy: a, host: "e%d" }]', ['1 pairs[0].host: an interface name cannot contain "%"']],
    ['loopback', 'pairs: [{ phy: lo, host: e0 }]', ['1 pairs[0].phy: the loopback interface cannot be in a pair']],
    [
      'sysctl name',
      'pairs: [{ phy: a, host: all }]',
      ['1 pairs[0].host: "all" is reserved by the kernel\'s sysctl tree'],
    ],
    ['netns path', 'netns: ../x', ['1 netns: "../x" is not a namespace name']],
    ['empty netns', 'netns: ""', ['1 netns: the namespace name is empty']],
    ['tab', 'log:\n\tlevel: info', ['2 : Tabs are not allowed as indentation']],
    ['unclosed', 'pairs: [{ phy: a\nlog: {}', ['2 ']],
    ['second document', 'netns: a\n---\nnetns: b', ['2 : a second document begins here']],
    ['unknown tag', 'netns: !x a', ['1 : Unresolved tag: !x']],
    [
      'unknown alias',
      'netns: *a',
      ['1 : the text cannot be read as YAML: Unresolved alias (the anchor must be set before the alias): a'],
    ],
    ['deep nesting', `a: ${'['.repeat(100_000)}`, ['1 : more than 32 levels of nesting']],
    ['deep nesting by dashes', `${'- '.repeat(100_000)}a`, ['1 : more than 32 levels of nesting']],
    ['wide map', Array.from({ length: 2000 }, (_, i) => `k${i}: 1`).join('\n'), ['1 : a map of more than 1024 keys']],
    ['large text', `#${'x'.repeat(2 ** 20)}`, ['1 : the configuration is larger than 1 MiB']],
  ];

  it.each(cases)('%s', (_name, text, expected) => {
    const errors = errorsOf(text);
    expect(errors.length).toBeGreaterThan(0);
    for (const [i, start] of expected.entries()) expect(errors[i]?.startsWith(start), errors[i]).toBe(true);
    if (!expected.includes('2 ')) expect(errors).toHaveLength(expected.length);
  });

  it('come all at once, in the order of their lines', () => {
    const errors = errorsOf(
      [
        'dataplane: { workers: 9 }',
        'netns: 7',
        'pairs:',
        '  - { phy: a, host: x/y }',
        '  - { phy: a, hots: b }',
        'retry: { initial-ms: 1, max-ms: 100 }',
        'colour: red',
      ].join('\n'),
    );
    expect(errors).toEqual([
      '1 dataplane.workers: 9 is too large',
      '2 netns: expected a text, found 7',
      '4 pairs[0].host: an interface name cannot contain "/"',
      '5 pairs[1].host: "host" is missing',
      '5 pairs[1].phy: phy a is already in pairs[0]',
      '5 pairs[1].hots: unknown key "hots"',
      '6 retry.initial-ms: 1 is too small',
      '7 colour: unknown key "colour"',
    ]);
  });

  it('carry hints that name the way out', () => {
    expect(hintsOf('pairs: [{ phy: a, host: b, tpye: tun }]')).toEqual(['did you mean "type"?']);
    expect(hintsOf('netlink: { rx_buffer_bytes: 1 }')).toEqual(['did you mean "rx-buffer-bytes"?']);
    expect(hintsOf('netlink: { rxBufferBytes: 1 }')).toEqual(['did you mean "rx-buffer-bytes"?']);
    expect(hintsOf('log: { level: inf }')).toEqual(['did you mean "info"?']);
    expect(hintsOf('control: { mode: 0660 }')[0]).toContain('in quotes');
    expect(hintsOf('zzzzzz: 1')[0]).toContain('dataplane');
  });

  it('are bounded in number', () => {
    const text = `pairs:\n${Array.from({ length: 900 }, () => '  - { phy: 1, host: 2 }').join('\n')}`;
    const errors = errorsOf(text);
    expect(errors).toHaveLength(201);
    expect(errors[200]).toMatch(/and 1600 more errors/);
  });

  it('print as one line each', () => {
    const result = loadConfig('a: 1\npairs: 5');
    if (!('errors' in result)) throw new Error('expected errors');
    expect(formatConfigErrors('f.yaml', result.errors)).toBe(
      'f.yaml:1:1: a: unknown key "a" (known: dataplane, netns, pairs, auto-pairs, sync, unpaired-routes, del-static-on-link-down, ' +
        'del-dynamic-on-link-down, punts, punt, control, log, netlink, retry)\n' +
        'f.yaml:2:8: pairs: expected a list, found 5 (begin each element with "- ")',
    );
    expect(configInvalid('f.yaml', result.errors)).toMatchObject({ code: 'CONFIG_INVALID', key: 'f.yaml' });
  });
});

describe('files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lcpd-config-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  it('are read', () => {
    writeFileSync(join(directory, 'a.yaml'), 'netns: cp\n');
    expect(readConfigFile(join(directory, 'a.yaml'))).toMatchObject({ config: { netns: 'cp' } });
  });

  it('must be UTF-8', () => {
    writeFileSync(join(directory, 'b.yaml'), Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]));
    expect(readConfigFile(join(directory, 'b.yaml'))).toMatchObject({
      errors: [{ message: 'the file is not UTF-8 text' }],
    });
  });

  it('that cannot be read are an LcpError', () => {
    expect(() => readConfigFile(join(directory, 'none'))).toThrowError(LcpError);
    expect(() => readConfigFile(directory)).toThrowError(/EISDIR/);
  });
});

describe('any text', () => {
  const seeds = [full, example, 'pairs: [{ phy: a, host: b }]\nlog: &x { level: info }\nretry: *x'];
  const pieces = [
    '[',
    ']',
    '{',
    '}',
    ': ',
    '- ',
    '\n',
    '\t',
    '"',
    "'",
    '&a ',
    '*a',
    '!!x ',
    '|',
    '>',
    '#',
    '? ',
    '---\n',
    '\0',
    '\u2028',
    '<<: ',
    '999999999999999999999',
    '.nan',
    '~',
    '%YAML 9\n',
    'ÿ',
  ];

  it('never throws, and answers with a config or with errors that have a line', () => {
    const mutation = fc.record({ at: fc.nat(), cut: fc.nat(12), put: fc.constantFrom(...pieces, '') });
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.array(mutation, { minLength: 1, maxLength: 6 }), (seed, mutations) => {
        let text = seed;
        for (const { at, cut, put } of mutations) {
          const start = at % (text.length + 1);
          text = text.slice(0, start) + put + text.slice(start + cut);
        }
        const lines = text.split(/\r?\n/).length;
        const result = loadConfig(text);
        if ('config' in result) return result.config.control.socket.startsWith('/');
        return result.errors.length > 0 && result.errors.every(({ line }) => line >= 1 && line <= lines + 1);
      }),
      { numRuns: 600 },
    );
  });

  it('never throws for noise', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const result = loadConfig(text);
        return 'config' in result || result.errors.length > 0;
      }),
      { numRuns: 300 },
    );
  });
});
