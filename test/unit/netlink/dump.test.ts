// Dumps: when they are complete and when not, and that each of them ends.

import { describe, expect, it } from 'vitest';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { forEachMessage } from '../../../src/netlink/message.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeTransport, route, type Sent } from './faketransport.ts';

const ignore = () => undefined;
const V4 = { family: 2 };

function script(...answers: ((transport: FakeTransport, sent: Sent) => void)[]) {
  const transport = new FakeTransport();
  transport.onSent = (sent) => answers[Math.min(transport.sent.length, answers.length) - 1]?.(transport, sent);
  return { transport, dumper: new RtnlDumper(transport, { timeoutMs: 40 }) };
}

/** A part with some routes, and flags of the test's choice. */
const part =
  (count: number, flags = 0) =>
  (transport: FakeTransport, sent: Sent) =>
    transport.say((w) => {
      for (let i = 0; i < count; i++) route(w, k.RTM_NEWROUTE, i, k.NLM_F_MULTI | flags, sent.sequence);
    });
const inTurn =
  (...steps: ((transport: FakeTransport, sent: Sent) => void)[]) =>
  (transport: FakeTransport, sent: Sent) => {
    for (const step of steps) step(transport, sent);
  };
const done =
  (errno = 0, flags = 0) =>
  (transport: FakeTransport, sent: Sent) =>
    transport.done(sent.sequence, errno, flags);

describe('a dump', () => {
  it('is complete when the kernel ended it without error and without interruption', async () => {
    const { dumper, transport } = script(inTurn(part(3), part(2), done()));
    const types: number[] = [];
    let fromDump = true;
    const result = await dumper.dump(k.RTM_GETROUTE, V4, (batch) => {
      fromDump &&= batch.fromDump;
      forEachMessage(batch, (type) => types.push(type) > 0);
    });
    expect(result).toEqual({ complete: true, interrupted: false, error: 0, reason: '', messages: 5, absent: false });
    expect(types).toEqual(Array.from({ length: 5 }, () => k.RTM_NEWROUTE));
    expect(fromDump).toBe(true);
    expect(transport.sent[0]).toMatchObject({ type: k.RTM_GETROUTE, flags: k.NLM_F_REQUEST | k.NLM_F_DUMP });
  });

  it.each([
    ['first part', inTurn(part(3, k.NLM_F_DUMP_INTR), part(2), done())],
    ['last part', inTurn(part(3), part(2, k.NLM_F_DUMP_INTR), done())],
    ['DONE only', inTurn(part(3), done(0, k.NLM_F_DUMP_INTR))],
  ])('is interrupted when the mark is on the %s', async (_where, answer) => {
    const { dumper } = script(answer);
    expect(await dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({
      complete: false,
      interrupted: true,
      error: 0,
    });
  });

  it('has failed when DONE carries an error, or ERROR comes instead', async () => {
    const failing = script(inTurn(part(3), done(12)), (transport, sent) => transport.error(sent, 1));
    const first = await failing.dumper.dump(k.RTM_GETROUTE, V4, ignore);
    expect(first).toMatchObject({ complete: false, error: 12, messages: 3 });
    expect(await failing.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, error: 1 });
  });

  it('is tried again while the kernel is busy, but not for ever', async () => {
    const busy = (transport: FakeTransport, sent: Sent) => transport.error(sent, 16);
    const { dumper, transport } = script(busy, busy, inTurn(part(1), done()));
    expect(await dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: true, messages: 1 });
    expect(transport.sent.length).toBe(3);
    const stuck = script(busy);
    expect(await stuck.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, error: 16 });
    expect(stuck.transport.sent.length).toBe(10);
  });

  it('of a table or device that is not there is a complete dump of nothing; without filter it is a failure', async () => {
    for (const errno of [2, 19]) {
      const refuse = (transport: FakeTransport, sent: Sent) => transport.error(sent, errno);
      const { dumper } = script(refuse);
      expect(await dumper.dump(k.RTM_GETROUTE, { ...V4, table: 9 }, ignore)).toMatchObject({
        complete: true,
        error: 0,
      });
      expect(await dumper.dump(k.RTM_GETROUTE, { ...V4, oif: 9 }, ignore)).toMatchObject({ complete: true, error: 0 });
      expect(await dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, error: errno });
    }
  });

  it('of a family that the kernel lacks is answered with others: nothing is handed out, nothing exists', async () => {
    const answer = inTurn(part(3, k.NLM_F_DUMP_INTR), part(2), done(12));
    const { dumper, transport } = script(answer);
    let handed = 0;
    const count = () => {
      handed++;
    };
    for (const family of [k.RTNL_FAMILY_IPMR, k.RTNL_FAMILY_IP6MR]) {
      const result = await dumper.dump(k.RTM_GETROUTE, { family }, count);
      expect(result).toEqual({ complete: true, interrupted: false, error: 0, reason: '', messages: 5, absent: true });
    }
    expect(transport.sent.map(({ body }) => body[0])).toEqual([128, 129]);
    // A kernel does not learn these while it runs: it is not asked again.
    expect(await dumper.dump(k.RTM_GETROUTE, { family: 129 }, count)).toMatchObject({ complete: true, absent: true });
    expect([transport.sent.length, handed]).toEqual([2, 0]);
    // The family itself is handed out, and its interruption counts.
    expect(await dumper.dump(k.RTM_GETROUTE, V4, count)).toMatchObject({ complete: false, absent: false, error: 12 });
    expect(handed).toBe(3);
  });

  it('of another family that is lost on the way is no answer', async () => {
    const lost = script(inTurn(part(1), (transport) => transport.receiver?.onOverrun('overrun')));
    const result = await lost.dumper.dump(k.RTM_GETROUTE, { family: k.RTNL_FAMILY_IPMR }, ignore);
    expect(result).toMatchObject({ complete: false, absent: false, error: 105 });
    const silent = script(part(1));
    const late = await silent.dumper.dump(k.RTM_GETROUTE, { family: k.RTNL_FAMILY_IPMR }, ignore);
    expect(late).toMatchObject({ complete: false, absent: false, error: 110 });
  });

  it('of MPLS routes is asked for only where MPLS has settings, and asked again each time', async () => {
    const settings = (family: number) => (transport: FakeTransport, sent: Sent) =>
      transport.say((w) =>
        w.begin(k.RTM_NEWNETCONF, k.NLM_F_MULTI, sent.sequence).u32(family).attrU32(k.NETCONFA_IFINDEX, 1).finish(),
      );
    const refused = (transport: FakeTransport, sent: Sent) => transport.error(sent, 95);
    const { dumper, transport } = script(refused, inTurn(settings(2), done()), inTurn(settings(28), done()), done());
    const ask = () => dumper.dump(k.RTM_GETROUTE, { family: k.AF_MPLS }, ignore);
    expect(await ask()).toMatchObject({ complete: true, absent: true });
    expect(await ask()).toMatchObject({ complete: true, absent: true });
    expect(await ask()).toMatchObject({ complete: true, absent: false });
    const { RTM_GETNETCONF: settingsAsked, RTM_GETROUTE: routesAsked } = k;
    expect(transport.sent.map(({ type }) => type)).toEqual([settingsAsked, settingsAsked, settingsAsked, routesAsked]);
  });

  it('that stops coming has failed, and its late parts do not spoil the next', async () => {
    const { dumper, transport } = script(part(3), () => {
      const [first, second] = transport.sent as [Sent, Sent];
      part(2)(transport, first);
      transport.done(first.sequence);
      part(1)(transport, second);
      transport.done(second.sequence);
    });
    expect(await dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, error: 110, messages: 3 });
    let seen = 0;
    const result = await dumper.dump(k.RTM_GETROUTE, V4, (batch) => {
      seen += forEachMessage(batch, () => true);
    });
    expect(seen).toBe(1);
    // What came between was not ours: to be sure, this one is asked for again.
    expect(result).toMatchObject({ complete: false, interrupted: true, messages: 1 });
  });

  it('waits for the one before it', async () => {
    const { dumper, transport } = script(ignore);
    const first = dumper.dump(k.RTM_GETLINK, { family: 0 }, ignore);
    const second = dumper.dump(k.RTM_GETADDR, V4, ignore);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(transport.sent.map((sent) => sent.type)).toEqual([k.RTM_GETLINK]);
    transport.done(transport.sent[0]?.sequence ?? 0);
    await first;
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(transport.sent.map((sent) => sent.type)).toEqual([k.RTM_GETLINK, k.RTM_GETADDR]);
    transport.done(transport.sent[1]?.sequence ?? 0);
    expect(await second).toMatchObject({ complete: true });
  });

  it('ends incomplete on loss, on a broken socket and on closing', async () => {
    const lost = script((transport) => transport.receiver?.onOverrun('overrun'));
    expect(await lost.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({
      complete: false,
      error: 105,
      reason: 'overrun',
    });
    const broken = script((transport) => transport.receiver?.onFailed(new Error('gone')));
    expect(await broken.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, reason: 'gone' });
    const unsendable = script(() => {
      throw new Error('cannot send');
    });
    expect(await unsendable.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({
      complete: false,
      reason: 'cannot send',
    });
    const closing = script(part(1));
    const running = closing.dumper.dump(k.RTM_GETROUTE, V4, ignore);
    await new Promise((resolve) => setTimeout(resolve, 5));
    closing.dumper.close();
    expect(await running).toMatchObject({ complete: false, error: 125 });
    expect(await closing.dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: false, error: 125 });
    expect(closing.transport.closed).toBe(true);
  });

  it('is only asked of tables that exist', async () => {
    const { dumper } = script(inTurn(part(1), done()));
    expect(() => dumper.dump(k.RTM_NEWNSID, V4, ignore)).toThrow('no dump of message type');
    expect(await dumper.dump(k.RTM_GETROUTE, V4, ignore)).toMatchObject({ complete: true });
  });
});
