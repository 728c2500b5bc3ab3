// The import of VPP's files: settings, files that name files, broken and hostile ones.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { importVpp } from '../../../src/config/import.ts';
import { formatNote } from '../../../src/config/importtext.ts';
import { LcpError } from '../../../src/lib/errors.ts';
import { imported, pairsOf, script, startupOnly } from './imported.ts';

describe('settings', () => {
  it('of a script are over those of startup.conf', () => {
    const result = imported({
      's.conf': 'unix { startup-config x.vpp } linux-cp { del-static-on-link-down } linux-nl { }',
      'x.vpp':
        'lcp param del-static-on-link-down off\nlcp param del-dynamic-on-link-down on\nlcp param route-no-paths off\n' +
        'lcp create host-a host-if e0',
    });
    expect(result.config).toMatchObject({
      delStaticOnLinkDown: false,
      delDynamicOnLinkDown: true,
      unpairedRoutes: 'ignore',
    });
    expect(result.incomplete).toBe(false);
  });

  it.each([
    [1000, 2 ** 18],
    [999_999_999_999, 2 ** 30],
  ])('a receive buffer of %d bytes becomes the nearest that lcpd takes', (value, expected) => {
    const { config, remarks } = startupOnly(`linux-nl { nl-rx-buffer-size ${value} }`);
    expect(config.netlink.rxBufferBytes).toBe(expected);
    expect(remarks).toContainEqual(expect.stringMatching(`^s.conf:1: nl-rx-buffer-size ${value}: lcpd takes`));
  });

  it.each([
    ['linux-cp { default netns }', 's.conf:1: linux-cp: "default" without "netns NAME"'],
    ['linux-cp {\n lcp-snyc }', 's.conf:2: linux-cp: "lcp-snyc" is not known'],
    ['linux-cp { constructor }', 's.conf:1: linux-cp: "constructor" is not known'],
    ['linux-cp { lcp-sync { } }', 's.conf:1: linux-cp: a block that is not known'],
    ['linux-nl { nl-rx-buffer-size 4G }', 's.conf:1: linux-nl: nl-rx-buffer-size without a number of bytes'],
    ['linux-nl { nl-batch-size }', 's.conf:1: linux-nl: nl-batch-size without a number'],
    ['unix { exec }', 's.conf:1: unix: "exec" without a file'],
    [
      'unix {\n\n exec no.vpp }',
      's.conf:3: no.vpp was not read (read no.vpp: no such file); give a copy of it with --exec',
    ],
  ])('%j is left to do', (text, expected) => {
    expect(startupOnly(text).left).toContain(expected);
  });

  it.each([
    ['lcp', 'x.vpp:1: lcp : not known'],
    ['lcp frobnicate', 'x.vpp:1: lcp frobnicate: not known'],
    ['lcp create', 'x.vpp:1: lcp create: no interface is named'],
    ['lcp create host-a', 'x.vpp:1: lcp create host-a: no "host-if NAME"'],
    ['lcp create host-a host-if', 'x.vpp:1: lcp create: "host-if" without a name'],
    ['lcp create host-a host-if e0 netns', 'x.vpp:1: lcp create: "netns" without a name'],
    ['lcp create host-a host-if e0 tpu', 'x.vpp:1: lcp create: "tpu" is not known'],
    ['lcp default', 'x.vpp:1: lcp default: neither "netns NAME" nor "clear netns"'],
    ['lcp lcp-sync yes', 'x.vpp:1: lcp lcp-sync: neither "on" nor "off"'],
    ['lcp param del-static-on-link-down', 'x.vpp:1: lcp param del-static-on-link-down: neither "on" nor "off"'],
    ['lcp param x on', 'x.vpp:1: lcp param: "x" is not known'],
    ['exec', 'x.vpp:1: exec without a file'],
  ])('%j in a script is left to do', (text, expected) => {
    expect(script(text).left).toContain(expected);
  });

  it('says which plugin was not enabled', () => {
    const says = (text: string) =>
      startupOnly(text).remarks.filter((remark) => remark.includes('is not enabled')).length;
    expect(says('plugins { plugin linux_cp_plugin.so { disable } }')).toBe(2);
    expect(says('plugins { plugin linux_cp_plugin.so { enable } }')).toBe(1);
    expect(says('plugins { plugin lcpng_if_plugin.so { enable } plugin lcpng_nl_plugin.so { enable } }')).toBe(0);
  });
});

describe('files', () => {
  it('given ones stand in for named ones of the same name, and are read once', () => {
    const result = imported(
      {
        'copy/s.conf': 'unix { exec /etc/vpp/boot.vpp }',
        'copy/boot.vpp': 'lcp create host-a host-if e0\nexec copy/boot.vpp',
      },
      { scripts: ['copy/boot.vpp'] },
    );
    expect([pairsOf(result), result.left, result.remarks.filter((remark) => /refuses/.test(remark))]).toEqual([
      ['a e0 - tap'],
      [],
      [],
    ]);
  });

  it('that the caller names must be there', () => {
    expect(() => imported({ 's.conf': '' }, { scripts: ['no.vpp'] })).toThrow(/read no.vpp: no such file/);
  });

  it('that run each other without end are bounded', () => {
    const read = (file: string) => (file === 's.conf' ? 'unix { exec 0 }' : `exec ${Number(file) + 1}`);
    const { notes } = importVpp({ startup: 's.conf', scripts: [], phys: new Map(), read });
    expect(notes.map(formatNote)).toContainEqual(expect.stringMatching(/^more than 64 scripts: 64 was not read/));
  });

  it.each([
    ['unix {\n  a { b }\n', /^.*\ns.conf:1:6: "{" is not closed/],
    ['unix { }\n }', /^.*\ns.conf:2:2: "}" without its "{"/],
    ['a\n "b c\n', /^.*\ns.conf:2:2: the quoted text is not closed/],
    ['"a\\', /^.*\ns.conf:1:1: the quoted text is not closed/],
    ['a '.repeat(10) + '{ '.repeat(1000), /^.*\ns.conf:1:85: more than 32 blocks in each other/],
  ])('%j is refused with its place', (text, expected) => {
    expect(() => startupOnly(text)).toThrow(expected);
    expect(() => startupOnly(text)).toThrow(LcpError);
  });

  it('a comment of a script that is not closed is refused with its place', () => {
    expect(() => script('lcp lcp-sync on\ncomment { a\nlcp create host-a host-if e0')).toThrow(
      /\nx.vpp:2:1: the comment/,
    );
  });

  it('words: quotes, braces that touch, comments only where a word could begin, carriage returns', () => {
    const result = startupOnly(
      'linux-cp{default netns "a{b"}# }\r\nx y#z { } "#" "\\"" linux-nl{nl-rx-buffer-size 1048576}\r\n',
    );
    expect(result.config.netns).toBe('a{b');
    expect(result.config.netlink.rxBufferBytes).toBe(2 ** 20);
  });
});

describe('hostile files', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'lcp',
      'create',
      'host-if',
      'netns',
      'tun',
      'default',
      'exec',
      'comment',
      'sub',
      'set',
      'interface',
    ),
    fc.constantFrom(
      'ip',
      'address',
      '10.0.0.1/8',
      'host-a',
      'host-a.5',
      'e0',
      'loop0',
      'dot1q',
      'inner-dot1q',
      '5',
      '{',
      '}',
    ),
    fc.constantFrom(
      'linux-cp',
      'linux-nl',
      'unix',
      'dpdk',
      'dev',
      'name',
      'lcp-sync',
      'lcp-auto-subint',
      'on',
      '"',
      '#',
    ),
    fc.constantFrom(
      'null',
      'true',
      '- a',
      '*a',
      '&a',
      '`id`',
      '$(id)',
      "'",
      ':',
      '[',
      '\u0000',
      '\u2028',
      '\u202e',
      '\ufeff',
    ),
    fc.string({ unit: 'binary', maxLength: 20 }),
  );
  const text = fc
    .array(fc.tuple(word, fc.constantFrom(' ', '\n', ' ', '')), { maxLength: 60 })
    .map((all) => all.flat().join(''));
  const line = fc
    .tuple(
      fc.constantFrom('lcp create', 'lcp default netns', 'create sub', 'set int ip address'),
      fc.array(word, { maxLength: 6 }),
    )
    .map(([command, words]) => `${command} ${words.join(' ')}`);

  it('end in a configuration, or in an error with a place', () => {
    fc.assert(
      fc.property(text, fc.array(line, { maxLength: 20 }), text, (conf, lines, noise) => {
        try {
          imported({ 's.conf': conf, 'x.vpp': `${lines.join('\n')}\n${noise}` }, { scripts: ['x.vpp'] });
        } catch (thrown) {
          if (!(thrown instanceof LcpError) || !/\n(s.conf|x.vpp):\d+:\d+: /.test(thrown.message)) throw thrown;
        }
      }),
      { numRuns: 1500 },
    );
  });

  it('leave no control character in the text, and no command that a shell would take apart', () => {
    const names = ['\u{e0001}', '\u0007', '$(reboot)', '`id`', '\u202e', '-x', 'é'];
    const lines = names.flatMap((name, i) => [
      `lcp create host-p${i}${name} host-if e${name}`,
      `create sub host-p${i}${name} 5`,
      `lcp create host-p${i}${name}.5 host-if f${name}`,
      `lcp create loop${i} host-if ${name}`,
      `lcp create host-q${i} host-if e${name}`,
      `lcp ${name}`,
    ]);
    const { text: yaml, config, remarks } = script(`lcp lcp-sync on\n${lines.join('\n')}`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not be there
    expect(yaml).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    // What turns the direction of writing may be in a name, and is an escape in the text.
    expect(yaml).not.toContain('\u202e');
    expect(yaml).toContain('host: "e\\u202e"');
    expect(config.pairs.map(({ host }) => host)).toEqual(expect.arrayContaining(['e\u202e', 'eé', 'e\u{e0001}']));
    const commands = remarks.flatMap((remark) => /`(ip .*)`/.exec(remark)?.[1] ?? []);
    expect(commands.length).toBeGreaterThan(0);
    expect(commands.filter((command) => !/^ip( -n)?( [A-Za-z0-9_][A-Za-z0-9_.:/@-]*)+$/.test(command))).toEqual([]);
  });

  it('of the largest size are read in bounded time and text', () => {
    const many = (of: (i: number) => string) => Array.from({ length: 30_000 }, (_, i) => of(i)).join('\n');
    const nested = `lcp lcp-auto-subint on\nlcp create a host-if e0\n${many((i) => `create sub a ${i} dot1q ${i} inner-dot1q 6`)}`;
    const began = performance.now();
    expect(script(nested).left.length).toBeGreaterThan(1);
    const result = script(
      `${many((i) => `lcp create x${i} host-if e${i}`)}\n${many((i) => `create sub x${i} 5 dot1q 5 inner-dot1q 6`)}`,
    );
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(result.text.length).toBeLessThan(2 ** 20);
    expect(result.left.at(-1)).toMatch(/more than 20000 interfaces/);
    const long = '\u4e2d'.repeat(300);
    const wide = imported({
      's.conf': `unix { exec ${long} }`,
      [long]: `${'lcp create GE9 '.repeat(2)}\n${many((i) => `lcp create host-p${i} host-if e${i} netns ${'"'.repeat(250)}${i}`)}\n${many((i) => `lcp ${i}${long}`).slice(0, 2 ** 20)}`,
    });
    expect(wide.text).toMatch(/\n# There are more remarks: see the output of lcpctl.\n$/);
    expect(wide.config.pairs.length).toBe(1024);
    expect(() => startupOnly('{'.repeat(2 ** 20))).toThrow(/more than 32 blocks/);
    expect(startupOnly('a {} '.repeat(2 ** 17)).left.length).toBe(1);
  });
});
