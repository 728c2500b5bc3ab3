// lcpctl as a process of its own against a control socket with a small router behind it: what it prints and how it exits.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultSocket } from '../../../src/cli/connection.ts';
import { defaultControlSocket } from '../../../src/config/config.ts';
import { createLog } from '../../../src/lib/log.ts';
import { type ControlServer, openControl } from '../../../src/northbound/control.ts';
import { type FakeView, fakeView } from '../northbound/fakeview.ts';
import { buildLcpctl, closure, root } from './build.ts';

const directory = mkdtempSync(join(tmpdir(), 'lcpd-cli-'));
const path = join(directory, 'lcpd.sock');

let main: string;
let view: FakeView;
let server: ControlServer;

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

function start(...args: string[]): ChildProcess {
  const { LCPD_SOCKET: _dropped, ...env } = process.env;
  const argv = [main, '--socket', path, ...args];
  return spawn(process.execPath, argv, { env, stdio: 'pipe' });
}

async function outcomeOf(child: ChildProcess, input?: string): Promise<Outcome> {
  let out = '';
  let err = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  child.stdin?.end(input ?? '');
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

const lcpctl = (...args: string[]) => outcomeOf(start(...args));

beforeAll(async () => {
  main = buildLcpctl(directory);
  view = fakeView();
  const log = createLog({ levels: { level: 'error', areas: {} } }).area('northbound');
  server = await openControl({ socket: path, view, log });
});

beforeEach(() => {
  view.differences = 0;
  view.synced = true;
  view.routeCount = 3;
});

afterAll(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

describe('listings', () => {
  it('status', async () => {
    const { code, out } = await lcpctl('status');
    expect(code).toBe(0);
    expect(out).toContain('lcpd        0.1.0, pid 4711, up 1 d 2 h\n');
    expect(out).toContain('health      degraded, 120 objects, 2 pending, 1 failed, oldest 12 s\n');
    expect(out).toContain('hint        bring wan1 up\n');
    expect(out).toContain('pid 4712, 1 worker, 12.0 MiB in use\n');
    expect(out).toMatch(/^NETNS {2}STATE {4}ROUTES4 /m);
    expect(out).toMatch(/^cp {5}in-sync {8}3 /m);
  });

  it('pairs, in the order of their numbers, with reasons', async () => {
    const { code, out } = await lcpctl('show', 'pairs');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'PHY    HOST  NETNS  TYPE  STATE    PORT  CARRIER   MTU  MAC                REASON',
        'wan2   e2    -      tun   up          1  yes      1500  02:00:00:00:00:01  -',
        'wan10  e10   cp     tap   pending     -  -           -  -                  phy wan10 does not exist',
        '',
      ].join('\n'),
    );
  });

  it('addresses, by value, of one namespace', async () => {
    const { out } = await lcpctl('show', 'addresses', '--netns', 'cp');
    expect(out.split('\n').map((line) => line.split(/ +/)[2])).toEqual([
      'ADDRESS',
      '10.0.0.3/24',
      '10.0.0.20/24',
      undefined,
    ]);
  });

  it.each([
    ['links', /^cp +2 {2}e0 +tun +up +1500/m],
    ['neighbours', /^cp +e0 +10\.0\.0\.9 +02:00:00:00:00:09 +reachable +yes/m],
    ['nexthops', /^cp +10 {2}unspec +group 1 weight 2/m],
    ['adjacencies', /^ 3 {2}wan0 +e0 +inet +10\.0\.0\.9 +complete +5 +500 +0200/m],
    ['punts', /^wan0 +for-us +7$/m],
    ['interfaces', /^wan0 +e0 +cp +1 +60 +2 +120 +1 +0$/m],
    ['routes', /^cp +254 {2}10\.0\.2\.0\/24 +unicast +bgp +20 +yes +yes +via 192\.0\.2\.1 dev e0/m],
  ])('%s', async (kind, expected) => {
    const { code, out, err } = await lcpctl('show', kind);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(expected);
  });

  it('the last messages with `vpp trace`; counters that are zero only with --all', async () => {
    expect((await lcpctl('vpp', 'trace')).out).toMatch(/sent +ip_route_add_del +9 +60 +- +00ff/);
    expect((await lcpctl('show', 'counters')).out).not.toContain('rx-giant');
    expect((await lcpctl('show', 'counters', '--all')).out).toMatch(/rx-giant +0/);
  });

  it('filters of routes reach lcpd', async () => {
    const asked: unknown[] = [];
    const { routes } = view;
    view.routes = (filter) => {
      asked.push(filter);
      return [];
    };
    const args = ['--table', 'main', '--family', 'inet', '--prefix', '10.0.0.0/8', '--netns', 'cp', '--limit', '5'];
    expect((await lcpctl('show', 'routes', ...args)).code).toBe(0);
    view.routes = routes;
    expect(asked).toEqual([{ netns: 'cp', table: 254, family: 'inet', prefix: '10.0.0.0/8', limit: 5 }]);
  });

  it('of many rows are printed as they come, and say so', async () => {
    view.routeCount = 25_000;
    const { code, out, err } = await lcpctl('show', 'routes');
    expect(code).toBe(0);
    expect(out.split('\n')).toHaveLength(25_002);
    expect(err).toContain('more than 20000 rows');
  });

  it('end quietly when their reader goes away', async () => {
    view.routeCount = 200_000;
    const child = start('show', 'routes', '--json');
    let err = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.stdout?.once('data', () => child.stdout?.destroy());
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect([code, err]).toEqual([0, '']);
  });
});

describe('--json', () => {
  it.each([
    'pairs',
    'links',
    'addresses',
    'neighbours',
    'nexthops',
    'routes',
    'adjacencies',
    'interfaces',
    'counters',
    'punts',
    'failures',
    'messages',
  ])('show %s is one array', async (kind) => {
    const { code, out } = await lcpctl('show', kind, '--json');
    expect(code).toBe(0);
    const rows = JSON.parse(out) as unknown[];
    expect(rows.length).toBeGreaterThan(0);
  });

  it('an empty listing is an empty array', async () => {
    view.routeCount = 0;
    expect((await lcpctl('--json', 'show', 'routes')).out).toBe('[]\n');
  });

  it.each([['status'], ['diff'], ['wait-synced'], ['resync'], ['reload'], ['lookup', '10.0.0.1']])(
    '%s is one document',
    async (...args) => {
      const { code, out } = await lcpctl(...args, '--json');
      expect(code).toBe(0);
      expect(typeof JSON.parse(out)).toBe('object');
    },
  );
});

describe('lookup', () => {
  it('prints prefix and paths', async () => {
    const { code, out } = await lcpctl('lookup', '10.0.0.1', '--table', '10');
    expect(code).toBe(0);
    expect(out).toBe(
      '10.0.0.1: 10.0.0.0/8 unicast via 192.0.2.1 dev wan0 weight 1, via 192.0.2.2 dev wan1 weight 2 incomplete (table 10, netns cp)\n',
    );
  });

  it('exits 1 when an address has no route', async () => {
    const { code, out } = await lcpctl('lookup', '10.0.0.1', '203.0.113.1');
    expect(code).toBe(1);
    expect(out).toContain('203.0.113.1: no route (netns cp)\n');
  });

  it('refuses what is no address before asking', async () => {
    const { code, err } = await lcpctl('lookup', '10.0.0.300');
    expect([code, err]).toEqual([2, 'lcpctl: not an IP address: 10.0.0.300\n']);
    expect((await lcpctl('lookup')).code).toBe(2);
    expect((await lcpctl('lookup', '--stdin', '10.0.0.1')).code).toBe(2);
  });

  it('reads a full list from standard input and answers in order', async () => {
    const addresses = Array.from({ length: 10_000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`);
    const { code, out } = await outcomeOf(start('lookup', '--stdin', '--json'), addresses.join('\n'));
    expect(code).toBe(0);
    const rows = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { address: string });
    expect(rows.map(({ address }) => address)).toEqual(addresses);
  });

  it('answers each line of standard input at once', async () => {
    const child = start('lookup', '--stdin');
    child.stdin?.write('10.0.0.1\n');
    const first = await new Promise<Buffer>((resolve) => child.stdout?.once('data', resolve));
    expect(first.toString()).toMatch(/^10\.0\.0\.1: /);
    const { code, out } = await outcomeOf(child, 'x\n');
    expect([code, out]).toEqual([1, 'x: error: not an IP address\n']);
  });
});

describe('actions', () => {
  it('diff exits 1 if there is any', async () => {
    expect(await lcpctl('diff')).toMatchObject({
      code: 0,
      out: '0 differences; compared 3 route, 1 neighbour in 4 ms\n',
    });
    view.differences = 2;
    const { code, out } = await lcpctl('diff');
    expect(code).toBe(1);
    expect(out).toMatch(/^route {2}cp 254 10\.1\.0\.0\/16 +via 192\.0\.2\.1 /m);
    expect(out).toMatch(/^2 differences;/m);
    view.differences = 1;
    const json = await lcpctl('diff', '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out).differences).toHaveLength(1);
  });

  it('wait-synced exits 1 when it is not in time', async () => {
    expect(await lcpctl('wait-synced')).toMatchObject({ code: 0, out: 'synced after 1 ms\n' });
    view.synced = false;
    expect(await lcpctl('wait-synced', '--timeout', '0.05')).toMatchObject({
      code: 1,
      out: 'not synced after 50 ms\n  pair wan10: phy wan10 does not exist\n',
    });
  });

  it.each(['', '--netns cp', '--dataplane'])('resync %s names what is read again', async (words) => {
    const what = { '': '(own), cp', '--netns cp': 'cp' }[words] ?? 'the data plane vpp';
    expect(await lcpctl('resync', ...words.split(' ').filter(Boolean))).toMatchObject({ out: `resync of ${what}\n` });
  });

  it('plan shows operations and what needs a restart', async () => {
    const file = join(directory, 'new.yaml');
    writeFileSync(file, 'netns: cp\n');
    const { code, out } = await lcpctl('plan', file);
    expect(code).toBe(0);
    expect(out).toMatch(/^add {2}pair {2}wan3 {2}host e3$/m);
    expect(out).toContain('only after a restart of lcpd: dataplane.workers\n');
  });

  it('plan exits 2 for a configuration that is not valid, not there, or too large', async () => {
    const file = join(directory, 'wrong.yaml');
    writeFileSync(file, 'wrong: 1\n');
    const { code, err } = await lcpctl('plan', file);
    expect(code).toBe(2);
    expect(err).toContain('\nconfig:1:1: unknown key "wrong"');
    expect((await lcpctl('plan', join(directory, 'none.yaml'))).code).toBe(2);
    writeFileSync(file, '#'.repeat(2 ** 20));
    expect(await lcpctl('plan', file)).toMatchObject({ code: 2, err: expect.stringContaining('too large') });
  });

  it('trace prints a line a packet and stops after its count', async () => {
    const { code, out } = await lcpctl('trace', '--count', '2');
    expect(code).toBe(0);
    const lines = out.trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(
      / wan0 > lan0 forward: IP 10\.0\.0\.1 > 10\.0\.0\.2: ICMP echo request, id 1, seq 2, length 8, ttl 63 \(28 bytes\) \[rx, fib, adjacency 3, tx\]$/,
    );
    const json = await lcpctl('trace', '--count', '2', '--json');
    expect(
      json.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).rx),
    ).toEqual(['wan0', 'wan0']);
  });

  it.each([false, true])('watch prints events as they happen (--json: %s)', async (json) => {
    const child = start('watch', ...(json ? ['--json'] : []));
    while (view.watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const line = new Promise<Buffer>((resolve) => child.stdout?.once('data', resolve));
    for (const watcher of view.watchers)
      watcher({ time: 0, area: 'lcp', event: 'pair up', key: 'wan\u001b0', detail: 'port 1' });
    const text = (await line).toString();
    if (json) expect(JSON.parse(text)).toMatchObject({ event: 'pair up', key: 'wan\u001b0' });
    else expect(text).toMatch(/^\d\d:\d\d:\d\d\.000 lcp: pair up wan\\x1b0 port 1\n$/);
    child.kill('SIGINT');
    await new Promise((resolve) => child.on('close', resolve));
    while (view.watchers.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });
});

describe('exit codes', () => {
  it('are in --help, of each command', async () => {
    const { code, out } = await lcpctl('--help');
    expect(code).toBe(0);
    for (let i = 0; i <= 4; i++) expect(out).toMatch(new RegExp(`^  ${i}  `, 'm'));
    expect((await lcpctl('show', 'routes', '--help')).out).toMatch(/--json[\s\S]*|--prefix/);
    expect((await lcpctl('--version')).out.trim()).toBe(
      JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
    );
  });

  it.each([
    [['bogus']],
    [['show', 'bogus']],
    [['show']],
    [['status', 'extra']],
    [['status', '--bogus']],
    [['lookup', '10.0.0.1', '--table', 'x']],
    [['show', 'routes', '--prefix', '10.0.0.0/99']],
    [['trace', '--count', '0']],
    [['wait-synced', '--timeout', '-1']],
    [['plan']],
  ])('2 for %j', async (args) => {
    const { code, out, err } = await lcpctl(...args);
    expect([code, out]).toEqual([2, '']);
    expect(err).not.toBe('');
  });

  it('3 with a hint where nobody serves', async () => {
    const { code, out, err } = await lcpctl('status', '--socket', join(directory, 'none.sock'));
    expect([code, out]).toEqual([3, '']);
    expect(err).toMatch(/cannot reach lcpd at .*none\.sock: ENOENT\n {2}hint: is lcpd running/);
    expect((await lcpctl('status', '--socket', main)).code).toBe(3);
  });

  it('3 when lcpd goes away in the middle, or talks nonsense', async () => {
    for (const answer of ['', 'nonsense\n', '{"id":1,"event":{}}\n']) {
      const other = join(directory, 'other.sock');
      const broken = createServer((socket) => socket.once('data', () => socket.end(answer)));
      await new Promise<void>((resolve) => broken.listen(other, resolve));
      const { code, err } = await lcpctl('status', '--socket', other);
      broken.close();
      expect(code).toBe(3);
      expect(err).toContain('lost lcpd');
    }
  });

  it('4 where lcpd refuses', async () => {
    const { code, err } = await lcpctl('resync', '--netns', 'nowhere');
    expect(code).toBe(4);
    expect(err).toMatch(/NO_SUCH_NETNS\]\n {2}hint: /);
  });

  it('4 where too many clients are connected', async () => {
    const other = join(directory, 'full.sock');
    const log = createLog({ levels: { level: 'error', areas: {} } }).area('northbound');
    const full = await openControl({ socket: other, view, log, maxClients: 0 });
    const { code, err } = await lcpctl('status', '--socket', other);
    await full.close();
    expect(code).toBe(4);
    expect(err).toContain('CONTROL_BUSY');
  });
});

describe('the process', () => {
  it('takes the socket from LCPD_SOCKET', () => {
    const env = { ...process.env, LCPD_SOCKET: join(directory, 'env.sock') };
    const { stderr, status } = spawnSync(process.execPath, [main, 'status'], { env, encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stderr).toContain('env.sock');
  });

  it('has the default socket of lcpd', () => {
    expect(defaultSocket).toBe(defaultControlSocket);
  });

  it('imports nothing heavy', () => {
    expect([...closure.packages].filter((name) => !name.startsWith('node:'))).toEqual(['commander']);
    expect(closure.files.size).toBeGreaterThan(10);
  });
});
