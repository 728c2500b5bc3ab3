// Clients that disturb: slow, silent, or too many; the others do not notice.

import { describe, expect, it } from 'vitest';
import { traceOf } from './fakeview.ts';
import { useControl } from './peer.ts';

const control = useControl();

describe('clients that disturb', () => {
  it('half requests block nobody', async () => {
    await control().start();
    for (let i = 0; i < 20; i++) (await control().connect()).socket.write('{"id":1,"meth');
    const peer = await control().connect();
    peer.send({ id: 1, method: 'status' });
    expect((await peer.end(1)).result).toBeDefined();
  });

  it('a request may come byte by byte', async () => {
    await control().start();
    const peer = await control().connect();
    for (const char of '{"id":1,"method":"status"}\n') {
      peer.socket.write(char);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await peer.end(1)).result).toBeDefined();
  });

  it('more clients than allowed are told so, and counted; a place becomes free again', async () => {
    const server = await control().start({ maxClients: 3 });
    const first = [await control().connect(), await control().connect(), await control().connect()];
    const fourth = await control().connect();
    fourth.send({ id: 1, method: 'status' });
    await fourth.until(() => fourth.messages.length === 1);
    expect(fourth.messages[0]).toMatchObject({ id: null, error: { code: 'CONTROL_BUSY' } });
    fourth.socket.end();
    await fourth.until(() => fourth.closed);
    expect(server.counters).toMatchObject({ accepted: 3, refused: 1 });
    first[0]?.socket.destroy();
    await fourth.until(() => server.clients === 2);
    const fifth = await control().connect();
    fifth.send({ id: 1, method: 'status' });
    expect((await fifth.end(1)).result).toBeDefined();
  });

  it('a client that does not read what is pushed is dropped at 16 MiB; others go on', async () => {
    const { counters } = await control().start();
    const slow = await control().connect();
    slow.send({ id: 1, method: 'trace' });
    await slow.until(() => control().view.traces.size === 1);
    slow.socket.pause();
    const packet = traceOf(Buffer.alloc(3000));
    for (let i = 0; i < 10_000 && control().view.traces.size > 0; i++) {
      for (const push of control().view.traces) push(packet);
      if (i % 500 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await slow.until(() => control().view.traces.size === 0);
    expect(counters.slow).toBe(1);
    expect(control().logged.some((line) => line.includes('does not read'))).toBe(true);
    const other = await control().connect();
    other.send({ id: 1, method: 'status' });
    expect((await other.end(1)).result).toBeDefined();
  });

  it('a walk over routes waits for its reader, in bounded memory, and for a time only', async () => {
    control().view.routeCount = 5_000_000;
    const { counters } = await control().start({ stallMs: 200 });
    const slow = await control().connect();
    slow.socket.pause();
    slow.send({ id: 1, method: 'routes' });
    await slow.until(() => control().view.routesMade > 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    const made = control().view.routesMade;
    expect(made).toBeLessThan(50_000);
    const other = await control().connect();
    other.send({ id: 1, method: 'status' });
    expect((await other.end(1)).result).toBeDefined();
    await slow.until(() => counters.slow === 1);
    // The walk notices at its next step.
    expect(control().view.routesMade).toBeLessThanOrEqual(made + 1);
  });

  it('a walk goes on when its reader does', async () => {
    control().view.routeCount = 40_000;
    await control().start();
    const peer = await control().connect();
    peer.socket.pause();
    peer.send({ id: 1, method: 'routes' });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(control().view.routesMade).toBeLessThan(40_000);
    peer.socket.resume();
    expect((await peer.end(1)).result).toEqual({ rows: 40_000 });
    expect(peer.messages).toHaveLength(40_001);
  });
});
