// `lcpctl punt …` as a process of its own against a control socket with a PuntView that remembers.

import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createLog } from '../../../src/lib/log.ts';
import { type ControlServer, openControl } from '../../../src/northbound/control.ts';
import { puntDoor } from '../../../src/puntdoor.ts';
import { type FakePunts, fakePunts, rowOf } from '../northbound/fakepunts.ts';
import { fakeView } from '../northbound/fakeview.ts';
import { buildLcpctl } from './build.ts';

const directory = mkdtempSync(join(tmpdir(), 'lcpd-punt-'));
const path = join(directory, 'lcpd.sock');
const isRoot = process.getuid?.() === 0;
if (!isRoot) process.stderr.write('SKIPPED: not root, so nothing is captured\n');

let main: string;
let punts: FakePunts;
const servers: ControlServer[] = [];

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [main, '--socket', path, 'punt', ...args], { stdio: 'pipe' });
}

async function outcomeOf(child: ChildProcess, input = ''): Promise<Outcome> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (data: Buffer) => {
    out += data.toString('latin1');
  });
  child.stderr?.on('data', (data: Buffer) => {
    err += data.toString();
  });
  child.stdin?.end(input);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  return { code, out, err };
}

const punt = (...args: string[]) => outcomeOf(start(...args));
const addSpan = (name: string) => punt('add', 'span', name, 'interface=wan0');
const labels = () => [...punts.rows.values()].map(({ request }) => request.id.label);

function written(name: string, text: string): string {
  const file = join(directory, name);
  writeFileSync(file, text);
  return file;
}

beforeAll(async () => {
  main = buildLcpctl(directory);
  punts = fakePunts();
  const log = createLog({ levels: { level: 'error', areas: {} } }).area('northbound');
  const view = fakeView();
  const { status } = view;
  view.status = () => ({ ...(status() as Exclude<ReturnType<typeof status>, Promise<unknown>>), pid: process.pid });
  const server = await openControl({ socket: path, view, log });
  server.punts = puntDoor(punts, 'cli', () => 'cp');
  servers.push(server, await openControl({ socket: `${path}.none`, view, log }));
});

beforeEach(() => {
  punts.rows.clear();
  punts.refused.clear();
});

afterAll(async () => {
  for (const server of servers) await server.close();
  rmSync(directory, { recursive: true });
});

describe('add', () => {
  it('takes keys and values, numbers as numbers, and the namespace of lcpd', async () => {
    const args = ['to-host', 'dns', 'l3=IPV4', 'l4=udp', 'port=9000', 'socket=/run/s'];
    expect(await punt('add', ...args)).toEqual({ code: 0, out: 'cp|cli|dns CREATED\n', err: '' });
    expect(punts.find('dns')).toMatchObject({
      source: 'cli',
      request: {
        id: { cnf: 'cp', key: 'cli', label: 'dns' },
        netns: 'cp',
        interconnect: 'af-unix',
        spec: { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket: '/run/s' },
      },
    });
  });

  it('takes lists, booleans and another namespace', async () => {
    await punt('add', 'hairpin-xconnect', 'x', 'interfaces=a,b', 'gso=true', '--netns', 'c2');
    await punt(
      'add',
      'ip-redirect',
      'r',
      'l3=all',
      'tx=t',
      'next-hop=192.0.2.1',
      'next-hop=2001:db8::1',
      '--netns',
      '',
    );
    expect(punts.find('x')?.request).toMatchObject({ netns: 'c2', gso: true, spec: { interfaces: ['a', 'b'] } });
    expect(punts.find('r')?.request).toMatchObject({ netns: '', spec: { nextHops: ['192.0.2.1', '2001:db8::1'] } });
  });

  it('takes a text in YAML, from a file or standard input', async () => {
    const text =
      'punts:\n  - { name: a, type: span, interface: x }\n  - { name: b, netns: n, type: span, interface: y }\n';
    expect((await punt('add', '--file', written('p.yaml', text))).out).toBe('cp|cli|a CREATED\nn|cli|b CREATED\n');
    punts.rows.clear();
    expect((await outcomeOf(start('add', '--file', '-', '--netns', 'm'), text)).out).toBe(
      'm|cli|a CREATED\nn|cli|b CREATED\n',
    );
  });

  it('takes messages of Ligato and StoneWork', async () => {
    const message = { l3_protocol: 'IPV4', l4_protocol: 'UDP', port: 9000, socket_path: '/tmp/s' };
    const { code, out } = await outcomeOf(start('add', '--json-file', '-', '--json'), JSON.stringify(message));
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject([{ id: 'cp|cli|tohost/l3/ipv4/l4/udp/port/9000', type: 'to-host' }]);
    const named = await outcomeOf(start('add', '--json-file', '-', 'old/key'), JSON.stringify(message));
    expect(named).toMatchObject({ code: 0, out: 'cp|cli|old/key CREATED\n' });
  });

  it('exits 2 with every error by its field, and nothing is added', async () => {
    const wrong = await punt('add', 'to-host', 'a', 'l3=ipx', 'l4=tcp', 'port=0', 'socket=s');
    expect([wrong.code, wrong.out]).toEqual([2, '']);
    expect(wrong.err).toMatch(/4 errors\n(.*\n)*l3: "ipx" is not one of ipv4, ipv6, all/);
    expect(wrong.err).toContain('\nport: 0 is too small (the least is 1)\n');
    expect(wrong.err).toContain('[PUNT_INVALID]');
    const file = await punt('add', '--file', written('w.yaml', 'punts:\n  - { name: a, type: span }\n'));
    expect([file.code, file.err]).toEqual([
      2,
      expect.stringContaining('line 2: punts[0].interface: "interface" is missing'),
    ]);
    const json = await punt('add', '--json-file', written('w.json', '{"label":"x","punt_type":"SPAN","span":{}}'));
    expect([json.code, json.err]).toEqual([
      2,
      expect.stringContaining('span.vpp_interface: "vpp_interface" is missing'),
    ]);
    expect(labels()).toEqual([]);
  });

  it('exits 4 when lcpd refuses, and of several none stays', async () => {
    expect((await addSpan('a')).code).toBe(0);
    const twice = await addSpan('a');
    expect([twice.code, twice.err]).toEqual([4, expect.stringContaining('[PUNT_EXISTS]')]);
    punts.refused.add('c');
    const text = `punts: [${['b', 'd', 'c'].map((name) => `{ name: ${name}, type: span, interface: x }`).join(', ')}]`;
    const { code, err } = await punt('add', '--file', written('three.yaml', text));
    expect([code, err]).toEqual([4, expect.stringContaining('port 67 is used by DHCP [PUNT_REFUSED]')]);
    expect(labels()).toEqual(['a']);
  });

  it.each<[string, string[], string]>([
    ['nothing', [], 'say what is to be added, in one way'],
    ['a type without a name', ['span'], 'a punt needs a name'],
    ['two ways', ['span', 'a', '--file', 'x'], 'say what is to be added, in one way'],
    ['no setting', ['span', 'a', 'interface'], 'interface: Write it like port=9000.'],
    ['a setting twice', ['span', 'a', 'vrf=1', 'vrf=2'], 'vrf=2: vrf is there twice.'],
    ['no such file', ['--file', '/nowhere/x'], 'cannot read /nowhere/x'],
  ])('wrong usage: %s', async (_name, args, message) => {
    const { code, err } = await punt('add', ...args);
    expect([code, err]).toEqual([2, expect.stringContaining(message)]);
  });

  it('wrong usage: what is not JSON', async () => {
    expect(await punt('add', '--json-file', written('n.json', '{'))).toMatchObject({
      code: 2,
      err: expect.stringContaining('is not JSON'),
    });
  });
});

describe('what is there', () => {
  it('is listed, by name', async () => {
    await addSpan('b10');
    await addSpan('b2');
    const row = punts.find('b2');
    if (row === undefined) throw new Error('b2');
    punts.rows.set(row.id, rowOf(row.request, 'config', { state: 'PENDING', reasons: ['no wan0', 'no vrf'] }));
    const down = punts.find('b10');
    if (down !== undefined) punts.rows.set(down.id, { ...down, notes: ['phy wan0 is down'] });
    const { out } = await punt('list');
    expect(out.split('\n').map((line) => line.trimEnd())).toEqual([
      'NAME  CNF  TYPE  STATE    SOURCE  WHAT       LINKS  REASON',
      'b2    cp   span  PENDING  config  wan0 both  -      no wan0; no vrf',
      'b10   cp   span  CREATED  cli     wan0 both  -      phy wan0 is down',
      '',
    ]);
    expect(JSON.parse((await punt('list', '--json')).out)).toHaveLength(2);
    expect((await punt('show', 'b10')).out).toContain('note      phy wan0 is down\n');
  });

  it('is shown in full, with its links', async () => {
    await addSpan('a');
    const row = punts.find('a');
    if (row === undefined) throw new Error('a');
    const end = { name: 'tap-x', mac: '02:fd:00:00:00:01', addresses: ['10.0.0.1/30'], vrf: 5, vrfName: 'vrf5' };
    const link = { vppSelector: 'vpp/span/interface/wan0', cnfSelector: 'netns::0', vpp: end, cnf: end, shared: true };
    punts.rows.set(row.id, { ...row, reasons: ['why\u001b'], hint: 'do this', links: [link] });
    const { out } = await punt('show', 'a');
    expect(out).toContain('id        cp|cli|a\n');
    expect(out).toContain('reason    why\\x1b\n');
    expect(out).toContain('hint      do this\n');
    expect(out).toContain('link      vpp/span/interface/wan0 | netns::0 (shared)\n');
    expect(out).toContain('outside tap-x 02:fd:00:00:00:01 10.0.0.1/30 vrf 5 vrf5\n');
    expect(JSON.parse((await punt('show', 'cp|cli|a', '--json')).out)).toMatchObject({ hint: 'do this' });
  });

  it('is counted, all or one', async () => {
    await addSpan('a');
    expect((await punt('stats')).out).toMatch(/punt of a +packets +5\npunt of b +packets +6\n/);
    expect((await punt('stats', 'a')).out).not.toContain('punt of b');
    expect((await punt('reasons')).out).toMatch(/ipsec4-spi-0 +3 +7 +700\nother +4 +- +-\n/);
    expect(JSON.parse((await punt('reasons', '--json')).out)).toHaveLength(2);
  });

  it('is taken back, unless the configuration asks for it', async () => {
    await addSpan('a');
    expect(await punt('del', 'a')).toEqual({ code: 0, out: 'cp|cli|a DELETED\n', err: '' });
    const gone = await punt('del', 'a');
    expect([gone.code, gone.err]).toEqual([4, expect.stringContaining('[PUNT_UNKNOWN]')]);
    expect((await punt('show', 'a')).err).toContain('[PUNT_UNKNOWN]');
    await addSpan('b');
    const row = punts.find('b');
    if (row !== undefined) punts.rows.set(row.id, { ...row, source: 'config' });
    expect((await punt('del', 'b')).err).toContain('[PUNT_CONFIGURED]');
  });

  it('is watched until interrupted', async () => {
    const child = start('watch');
    const line = () =>
      new Promise<string>((resolve) => child.stdout?.once('data', (data: Buffer) => resolve(String(data))));
    const first = line();
    while (punts.watchers.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await addSpan('a');
    expect(await first).toBe('cp|cli|a INIT: asked for\n');
    const end = { name: 'tap-a', mac: '02:fd:0:0:0:1', addresses: [], vrf: 0, vrfName: '' };
    const cnf = { ...end, mac: '02:fe:0:0:0:1', addresses: ['10.0.0.1/24'], vrf: 5, vrfName: 'vrf5' };
    const link = { vppSelector: 'vpp/interface/p0', cnfSelector: 'netns::1', vpp: end, cnf, shared: true };
    const second = line();
    for (const watcher of punts.watchers)
      watcher({ id: 'cp|cli|a', about: 'links', state: 'CREATED', reasons: [], links: [link] });
    expect(await second).toBe(
      'cp|cli|a has other links: tap-a 02:fd:0:0:0:1 - tap-a 02:fe:0:0:0:1 10.0.0.1/24 vrf 5 vrf5 (shared)\n',
    );
    child.kill('SIGKILL');
    while (punts.watchers.size > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('is not there without a punt manager', async () => {
    const child = spawn(process.execPath, [main, '--socket', `${path}.none`, 'punt', 'list'], { stdio: 'pipe' });
    expect(await outcomeOf(child)).toMatchObject({
      code: 4,
      err: expect.stringContaining('this lcpd has no punt manager'),
    });
  });
});

describe('capture', () => {
  it('of a device that is not its own, or not there, is refused', async () => {
    await addSpan('a');
    const other = await punt('capture', 'a', '--device', 'eth9');
    expect([other.code, other.err]).toEqual([2, expect.stringContaining('known: lo')]);
    punts.device = 'nowhere0';
    const gone = await punt('capture', 'a', '--seconds', '1');
    punts.device = 'lo';
    expect([gone.code, gone.err]).toEqual([4, expect.stringContaining('cannot capture')]);
    expect((await punt('capture', 'b')).err).toContain('[PUNT_UNKNOWN]');
  });

  /** Captures while datagrams with a mark of their own are sent to this machine. */
  async function captured(mark: string, ...args: string[]): Promise<Outcome> {
    await addSpan('a');
    const child = start('capture', 'a', ...args);
    const sender = createSocket('udp4');
    const timer = setInterval(() => sender.send(mark, 9, '127.0.0.1'), 20);
    const outcome = await outcomeOf(child);
    clearInterval(timer);
    sender.close();
    return outcome;
  }

  it.skipIf(!isRoot)('writes pcap with nanoseconds and the time of now', async () => {
    const file = join(directory, 'a.pcap');
    const before = Math.floor(Date.now() / 1000);
    const { code, err } = await captured('lcpd-mark-1', '-w', file, '--seconds', '2');
    expect([code, err]).toEqual([
      0,
      expect.stringMatching(/^capturing on lo\n[1-9][0-9]* packets captured, 0 dropped/),
    ]);
    const pcap = readFileSync(file);
    expect([pcap.readUInt32LE(0), pcap.readUInt16LE(4), pcap.readUInt16LE(6), pcap.readUInt32LE(20)]).toEqual([
      0xa1b23c4d, 2, 4, 1,
    ]);
    let marked = 0;
    let at = 24;
    while (at < pcap.length) {
      const [seconds, nanoseconds, kept, length] = [0, 4, 8, 12].map((o) => pcap.readUInt32LE(at + o)) as [
        number,
        number,
        number,
        number,
      ];
      expect(seconds).toBeGreaterThanOrEqual(before);
      expect(seconds).toBeLessThan(before + 60);
      expect(nanoseconds).toBeLessThan(1e9);
      expect(length).toBe(kept);
      if (pcap.subarray(at + 16, at + 16 + kept).includes('lcpd-mark-1')) marked++;
      at += 16 + kept;
    }
    expect(at).toBe(pcap.length);
    expect(marked).toBeGreaterThan(0);
  });

  it.skipIf(!isRoot)('prints so many lines, and writes to standard output', async () => {
    const lines = await captured('lcpd-mark-2', '-c', '3');
    expect(lines.code).toBe(0);
    expect(lines.out.trimEnd().split('\n')).toHaveLength(3);
    expect(lines.out).toMatch(/^[0-9:.]{12} lo: /);
    expect(lines.err).toContain('3 packets captured');
    const { out } = await captured('lcpd-mark-3', '-c', '2', '-w', '-');
    expect(Buffer.from(out, 'latin1').readUInt32LE(0)).toBe(0xa1b23c4d);
  });

  it.skipIf(!isRoot)('has written what it saw when it is interrupted', async () => {
    await addSpan('a');
    const file = join(directory, 'b.pcap');
    const child = start('capture', 'a', '-w', file);
    const ended = outcomeOf(child);
    await new Promise((resolve) => child.stderr?.once('data', resolve));
    child.kill('SIGINT');
    expect((await ended).code).toBe(0);
    expect(readFileSync(file).readUInt32LE(0)).toBe(0xa1b23c4d);
  });
});
