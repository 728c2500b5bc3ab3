// The control protocol: what well-behaved clients get, and what wrong requests are answered.

import { describe, expect, it } from 'vitest';
import { useControl } from './peer.ts';

const control = useControl();

describe('answers', () => {
  it('carry the id of their question, numbers and texts', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' }, { id: 'two', method: 'status', params: {} });
    expect((await peer.end(1)).result).toMatchObject({ version: '0.1.0', pid: 4711 });
    expect((await peer.end('two')).result).toMatchObject({ pid: 4711 });
  });

  it('of lists are rows and their number', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'pairs' });
    expect((await peer.end(1)).result).toEqual({ rows: 2 });
    expect(peer.messages.map(({ event }) => event?.phy)).toEqual(['wan10', 'wan2', undefined]);
  });

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
    'diff',
    'reload',
    'resync',
  ])('%s works without parameters', async (method) => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method });
    expect((await peer.end(1)).error).toBeUndefined();
  });

  it('of lookup are in the order asked, also the failed ones', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'lookup', params: { addresses: ['10.0.0.1', 'x', '203.0.113.1'], table: 10 } });
    await peer.end(1);
    expect(peer.messages.map(({ event }) => [event?.address, event?.table, event?.type, event?.error])).toEqual([
      ['10.0.0.1', 10, 'unicast', undefined],
      ['x', undefined, undefined, 'not an IP address'],
      ['203.0.113.1', undefined, 'none', undefined],
      [undefined, undefined, undefined, undefined],
    ]);
  });

  it('come while another request of the same client still runs', async () => {
    control().view.synced = false;
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'waitSynced', params: { timeoutMs: 60_000 } }, { id: 2, method: 'status' });
    await peer.end(2);
    expect(peer.messages.some(({ id }) => id === 1)).toBe(false);
  });

  it('reach a client that has ended its writing side', async () => {
    control().view.routeCount = 20_000;
    await control().start();
    const peer = await control().connect();
    peer.socket.end('{"id":1,"method":"routes"}\n{"id":2,"method":"status"}\n');
    expect((await peer.end(1)).result).toEqual({ rows: 20_000 });
    await peer.end(2);
    await peer.until(() => peer.closed);
  });

  it('pass on what the core refuses, with code and hint', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'resync', params: { netns: 'nowhere' } });
    expect((await peer.end(1)).error).toMatchObject({
      code: 'NO_SUCH_NETNS',
      hint: expect.stringContaining('lcpctl status'),
    });
  });

  it('say INTERNAL for a bug, which is logged with its stack and counted', async () => {
    control().view.punts = () => {
      throw new TypeError('a bug');
    };
    const { counters } = await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'punts' });
    expect((await peer.end(1)).error).toMatchObject({ code: 'INTERNAL' });
    expect(counters.internal).toBe(1);
    expect(JSON.parse(control().logged[0] ?? '{}').err.stack).toContain('TypeError: a bug');
    peer.send({ id: 2, method: 'status' });
    expect((await peer.end(2)).result).toBeDefined();
  });
});

describe('streams', () => {
  it('watch until cancelled, then detach', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 7, method: 'watch' });
    await peer.until(() => control().view.watchers.size === 1);
    for (const watcher of control().view.watchers) watcher({ time: 1, area: 'lcp', event: 'pair up', key: 'wan0' });
    await peer.until(() => peer.messages.length === 1);
    peer.send({ id: 7, method: 'cancel' });
    expect((await peer.end(7)).result).toEqual({ rows: 1, cancelled: true });
    expect(control().view.watchers.size).toBe(0);
    peer.send({ id: 7, method: 'status' });
    await peer.until(() => peer.messages.length === 3);
  });

  it('end when the client stops writing, and when it goes away', async () => {
    await control().start();
    const polite = await control().connect();
    polite.socket.end('{"id":1,"method":"watch"}\n');
    expect((await polite.end(1)).result).toEqual({ rows: 0, cancelled: true });
    const rude = await control().connect();
    rude.send(
      { id: 1, method: 'watch' },
      { id: 2, method: 'trace' },
      { id: 3, method: 'waitSynced', params: { timeoutMs: 60_000 } },
    );
    control().view.synced = false;
    await rude.until(() => control().view.watchers.size === 1 && control().view.traces.size === 1);
    rude.socket.destroy();
    await rude.until(() => control().view.watchers.size === 0 && control().view.traces.size === 0);
  });

  it('trace ends by itself after its count', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'trace', params: { count: 3 } });
    expect((await peer.end(1)).result).toEqual({ rows: 3 });
    expect(peer.messages).toHaveLength(4);
  });

  it('a wait is aborted by cancel', async () => {
    control().view.synced = false;
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'waitSynced', params: { timeoutMs: 60_000 } });
    await peer.until(() => control().view.waits.length === 1);
    peer.send({ id: 1, method: 'cancel' });
    expect((await peer.end(1)).error?.code).toBe('CONTROL_CANCELLED');
    expect(control().view.waits[0]?.aborted).toBe(true);
  });

  it('a walk over routes stops early when cancelled', async () => {
    control().view.routeCount = 5_000_000;
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'routes' });
    await peer.until(() => peer.messages.length > 100);
    peer.send({ id: 1, method: 'cancel' });
    expect((await peer.end(1)).result).toMatchObject({ cancelled: true });
    expect(control().view.routesMade).toBeLessThan(5_000_000);
  });
});

describe('wrong requests', () => {
  // Each with the code of its answer; the connection stays.
  const cases: [string, string, string, unknown][] = [
    ['not JSON', 'hello', 'CONTROL_BAD_REQUEST', null],
    ['half an object', '{"id":1', 'CONTROL_BAD_REQUEST', null],
    ['a list', '[1]', 'CONTROL_BAD_REQUEST', null],
    ['null', 'null', 'CONTROL_BAD_REQUEST', null],
    ['no id', '{"method":"status"}', 'CONTROL_BAD_REQUEST', null],
    ['a strange id', '{"id":{},"method":"status"}', 'CONTROL_BAD_REQUEST', null],
    ['a long id', `{"id":"${'x'.repeat(65)}","method":"status"}`, 'CONTROL_BAD_REQUEST', null],
    ['no method', '{"id":5}', 'CONTROL_BAD_REQUEST', 5],
    ['an unknown method', '{"id":5,"method":"reboot"}', 'CONTROL_UNKNOWN_METHOD', 5],
    ['a method of Object', '{"id":5,"method":"toString"}', 'CONTROL_UNKNOWN_METHOD', 5],
    ['a method of the prototype', '{"id":5,"method":"__proto__"}', 'CONTROL_UNKNOWN_METHOD', 5],
    ['params of another type', '{"id":5,"method":"status","params":[1]}', 'CONTROL_BAD_PARAMS', 5],
    ['an unknown param', '{"id":5,"method":"status","params":{"x":1}}', 'CONTROL_BAD_PARAMS', 5],
    ['a param out of range', '{"id":5,"method":"routes","params":{"table":-1}}', 'CONTROL_BAD_PARAMS', 5],
    ['a bad prefix', '{"id":5,"method":"routes","params":{"prefix":"10.0.0.0/33"}}', 'CONTROL_BAD_PARAMS', 5],
    ['a missing param', '{"id":5,"method":"waitSynced"}', 'CONTROL_BAD_PARAMS', 5],
    ['no addresses', '{"id":5,"method":"lookup","params":{}}', 'CONTROL_BAD_PARAMS', 5],
    ['a cancel of nothing', '{"id":5,"method":"cancel"}', 'CONTROL_NOT_RUNNING', 5],
    [
      'deep nesting',
      `{"id":5,"method":"status","params":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
      'CONTROL_BAD_PARAMS',
      5,
    ],
  ];

  it.each(cases)('%s', async (_name, line, code, id) => {
    const { counters } = await control().start();
    const peer = await control().connect();
    peer.socket.write(`${line}\n{"id":99,"method":"status"}\n`);
    expect((await peer.end(99)).result).toBeDefined();
    expect(peer.messages[0]).toMatchObject({ id, error: { code } });
    expect(counters.bad).toBe(1);
  });

  it('bytes that are not UTF-8', async () => {
    await control().start();
    const peer = await control().connect();
    peer.socket.write(Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]));
    await peer.until(() => peer.messages.length === 1);
    expect(peer.messages[0]).toMatchObject({ id: null, error: { code: 'CONTROL_BAD_REQUEST' } });
  });

  it('an id that is still running', async () => {
    await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'watch' }, { id: 1, method: 'status' });
    expect((await peer.end(1)).error?.code).toBe('CONTROL_BAD_REQUEST');
    expect(control().view.watchers.size).toBe(1);
  });

  it('more requests at once than are allowed', async () => {
    await control().start();
    const peer = await control().connect();
    for (let id = 0; id < 40; id++) peer.send({ id, method: 'watch' });
    await peer.until(() => peer.messages.length === 8);
    expect(peer.messages.every(({ error }) => error?.code === 'CONTROL_BUSY')).toBe(true);
    expect(control().view.watchers.size).toBe(32);
  });

  it('a half request at the end of the connection', async () => {
    await control().start();
    const peer = await control().connect();
    peer.socket.end('{"id":1,"method":"sta');
    await peer.until(() => peer.closed);
    expect(peer.messages).toMatchObject([{ id: null, error: { code: 'CONTROL_BAD_REQUEST' } }]);
  });

  it('an oversized line: answered, then closed', async () => {
    const { counters } = await control().start();
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' });
    await peer.end(1);
    peer.socket.write(`{"id":2,"method":"${'x'.repeat(2 ** 20)}`);
    await peer.until(() => peer.messages.length === 2);
    expect(peer.messages[1]).toMatchObject({ id: null, error: { code: 'CONTROL_TOO_LARGE' } });
    peer.socket.end('more');
    await peer.until(() => peer.closed);
    expect(counters.oversized).toBe(1);
  });

  it('a lookup of 50,000 addresses fits', async () => {
    await control().start();
    const peer = await control().connect();
    const addresses = Array.from({ length: 50_000 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
    peer.send({ id: 1, method: 'lookup', params: { addresses } });
    expect((await peer.end(1)).result).toEqual({ rows: 50_000 });
  });

  it('noise of any kind leaves the server alive', async () => {
    await control().start();
    let seed = 42;
    const random = () => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return seed;
    };
    for (let i = 0; i < 50; i++) {
      const noise = Buffer.from(Array.from({ length: 500 }, () => (random() % 9 === 0 ? 0x0a : random() & 255)));
      (await control().connect()).socket.end(noise);
    }
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' });
    expect((await peer.end(1)).result).toBeDefined();
  });
});
