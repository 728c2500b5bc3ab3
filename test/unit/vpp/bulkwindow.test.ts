/**
 * The window that bulks share: never more than its size waits, bulks go in their order, and none is forgotten at the end.
 */
import { describe, expect, it } from 'vitest';
import { ipRouteAddDelV2 } from '../../../src/vpp/api/route.ts';
import { createLoopback } from '../../../src/vpp/api/subinterface.ts';
import { FrameBatch } from '../../../src/vpp/batch.ts';
import { BulkWindow } from '../../../src/vpp/bulkwindow.ts';
import { encodePaths, RouteEncoder } from '../../../src/vpp/routebatch.ts';
import { connectTo, startFake } from './lab.ts';

/** A bulk that only notes what it may send. */
class User {
  readonly stretches: number[] = [];
  unsent: number;
  failure = '';
  constructor(unsent: number) {
    this.unsent = unsent;
  }
  sendStretch(count: number): void {
    this.stretches.push(count);
    this.unsent -= count;
  }
  fail(error: Error): void {
    this.failure = error.message;
  }
}

const ended = (window: BulkWindow, count: number): void => {
  for (let i = 0; i < count; i++) window.ended();
};

describe('the window of bulks', () => {
  it('is filled in stretches, and again as requests end', () => {
    const window = new BulkWindow(8);
    const user = new User(13);
    window.add(user);
    expect(user.stretches).toEqual([2, 2, 2, 2]);
    ended(window, 1);
    expect(user.stretches).toHaveLength(4);
    ended(window, 1);
    expect(user.stretches).toHaveLength(5);
    ended(window, 8);
    expect([user.stretches, user.unsent]).toEqual([[2, 2, 2, 2, 2, 2, 1], 0]);
  });

  it('is shared: the next bulk has what the one before leaves, and not before it', () => {
    const window = new BulkWindow(8);
    const users = [new User(9), new User(5), new User(1)] as const;
    for (const user of users) window.add(user);
    expect(users.map(({ unsent }) => unsent)).toEqual([1, 5, 1]);
    ended(window, 2);
    expect(users.map(({ unsent }) => unsent)).toEqual([0, 5, 1]);
    ended(window, 1);
    expect(users.map(({ unsent }) => unsent)).toEqual([0, 3, 1]);
    ended(window, 4);
    expect(users.map(({ unsent }) => unsent)).toEqual([0, 0, 0]);
  });

  it('of less than a stretch lets one go at a time', () => {
    const window = new BulkWindow(1);
    const user = new User(3);
    window.add(user);
    expect(user.unsent).toBe(2);
    ended(window, 2);
    expect(user.unsent).toBe(0);
  });

  it('fails what has sent nothing with the session', async () => {
    const fake = await startFake();
    const client = await connectTo(fake, { window: 8 });
    await client.request(createLoopback, {});
    fake.swallow(ipRouteAddDelV2);
    const bulks = [0, 1].map(async () => {
      const batch = new FrameBatch(ipRouteAddDelV2);
      const encoder = new RouteEncoder(client.binding.bound(ipRouteAddDelV2));
      const how = { isAdd: true, isMultipath: false, tableId: 0, source: 0 };
      for (let i = 0; i < 50; i++) encoder.add(batch, how, 2, 32, i, 0, 0, 0, encodePaths([{ sw_if_index: 1 }]));
      return client.bulk(batch, { retvals: new Int32Array(50) });
    });
    const outcomes = Promise.allSettled(bulks);
    await fake.restart();
    const reasons = (await outcomes).map((each) => (each.status === 'rejected' ? (each.reason as Error) : undefined));
    expect(reasons).toMatchObject([{ code: 'DATAPLANE_DOWN' }, { code: 'DATAPLANE_DOWN' }]);
  });
});
