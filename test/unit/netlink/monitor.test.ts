// The monitor's state machine with a kernel that the test plays: interruptions, losses, bounds, order.

import { describe, expect, it } from 'vitest';
import { forEachMessage } from '../../../src/netlink/message.ts';
import { type MonitorOptions, NetlinkMonitor } from '../../../src/netlink/monitor.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeTransport, route, type Sent } from './faketransport.ts';
import { until } from './kernel.ts';
import { Model } from './model.ts';

/** A monitor over two fakes. Every dump is answered with nothing and DONE unless the test says otherwise. */
function fake(options: MonitorOptions & { overrun?: boolean } = {}) {
  const model = new Model();
  const routes: string[] = [];
  const message = new RouteMessage();
  const onBatch = model.onBatch.bind(model);
  model.onBatch = (batch) => {
    forEachMessage(batch, (type, _flags, offset) => {
      if (decodeRoute(batch, offset, message)) {
        routes.push(
          `${batch.fromDump ? 'dump' : 'note'} ${type === k.RTM_NEWROUTE ? '+' : '-'}${(message.d0 >> 8) & 255}`,
        );
      }
      return true;
    });
    onBatch(batch);
  };
  const notes = new FakeTransport({ overrun: options.overrun ?? true });
  const dumps = new FakeTransport();
  const { overrun: _, ...rest } = options;
  const monitor = new NetlinkMonitor(
    { backoffMs: 1, maxBackoffMs: 4, openTransport: (role) => (role === 'dumps' ? dumps : notes), ...rest },
    model,
  );
  const answer: { route: (sent: Sent) => void; other: (sent: Sent) => void } = {
    route: (sent) => dumps.done(sent.sequence),
    other: (sent) => dumps.done(sent.sequence),
  };
  dumps.onSent = (sent) => {
    if (sent.type === k.RTM_GETROUTE && sent.body[0] === 2) answer.route(sent);
    else answer.other(sent);
  };
  const note = (type: number, n: number) => notes.say((w) => route(w, type, n));
  return { model, monitor, notes, dumps, answer, note, routes };
}

describe('monitor', () => {
  it('reads every table in the order of dependence, then is in sync', async () => {
    const { model, monitor, notes, dumps } = fake();
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(model.log.filter((line) => line.startsWith('begin'))).toEqual([
      'begin link 0',
      'begin rule 2',
      'begin rule 10',
      'begin netconf 2',
      'begin netconf 10',
      'begin netconf 28',
      'begin address 2',
      'begin address 10',
      'begin nexthop 0',
      'begin neighbour 2',
      'begin neighbour 10',
      'begin route 2',
      'begin route 10',
      'begin route 28',
      'begin mroute 128',
      'begin mroute 129',
    ]);
    expect([model.log[0], model.log.at(-1)]).toEqual(['sync start', 'in sync']);
    expect(monitor.stats).toMatchObject({ state: 'in-sync', resyncs: 1, losses: 0 });
    monitor.close();
    expect([notes.closed, dumps.closed, monitor.closed, model.log.at(-1)]).toEqual([true, true, true, 'closed closed']);
    monitor.close();
    expect(model.log.filter((line) => line.startsWith('closed')).length).toBe(1);
  });

  it('keeps notifications back until the dump is over, and then hands them out in order', async () => {
    const { model, monitor, dumps, answer, note, routes } = fake();
    answer.route = (sent) => {
      dumps.say((w) => route(w, k.RTM_NEWROUTE, 1, k.NLM_F_MULTI, sent.sequence));
      note(k.RTM_DELROUTE, 1);
      note(k.RTM_NEWROUTE, 2);
      // An older part than the notifications: it must not win over them.
      dumps.say((w) => route(w, k.RTM_NEWROUTE, 3, k.NLM_F_MULTI, sent.sequence));
      note(k.RTM_DELROUTE, 3);
      dumps.done(sent.sequence);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(routes).toEqual(['dump +1', 'dump +3', 'note -1', 'note +2', 'note -3']);
    expect(model.content('route')).toEqual(['[ROUTE] 10.2.0.0/16 dev if3 table main proto static']);
    expect(monitor.stats.queuePeak).toBe(3);
    note(k.RTM_NEWROUTE, 4);
    expect(routes.at(-1)).toBe('note +4');
    monitor.close();
  });

  it('repeats an interrupted dump, gives no sweep permission for it, and the others only once', async () => {
    const { model, monitor, dumps, answer } = fake();
    let tries = 0;
    answer.route = (sent) => {
      tries++;
      dumps.say((w) => route(w, k.RTM_NEWROUTE, tries, k.NLM_F_MULTI, sent.sequence));
      dumps.done(sent.sequence, 0, tries < 3 ? k.NLM_F_DUMP_INTR : 0);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(model.log.filter((line) => line.includes(' route 2 ') || line.endsWith(' route 2'))).toEqual([
      'begin route 2',
      'end route 2 false',
      'begin route 2',
      'end route 2 false',
      'begin route 2',
      'end route 2 true',
    ]);
    expect(model.log.filter((line) => line === 'begin link 0').length).toBe(1);
    expect(monitor.stats.interrupted).toBe(2);
    // Only what the complete one showed is left.
    expect(model.content('route')).toEqual(['[ROUTE] 10.3.0.0/16 dev if3 table main proto static']);
    monitor.close();
  });

  it('reads everything again when a dump fails or is interrupted for ever', async () => {
    for (const [errno, flags, words] of [
      [12, 0, 'dump of route failed: errno 12'],
      [0, k.NLM_F_DUMP_INTR, 'dump of route interrupted again and again'],
    ] as const) {
      const { model, monitor, dumps, answer } = fake();
      answer.route = (sent) => dumps.done(sent.sequence, errno, flags);
      await monitor.start();
      await until('it has given up once', () => model.log.includes(`lost ${words}`));
      expect(model.syncs).toBe(0);
      expect(model.log).not.toContain('end route 2 true');
      expect(model.log).not.toContain('begin route 10');
      answer.route = (sent) => dumps.done(sent.sequence);
      await until('it is in sync', () => model.syncs === 1);
      expect(model.log).toContain(`sync ${words}`);
      const outcomes = monitor.stats.lastResyncs.map((one) => one.complete);
      expect([outcomes[0], outcomes.at(-1)]).toEqual([false, true]);
      monitor.close();
    }
  });

  it('a table that the kernel lacks is empty, not an error', async () => {
    const { model, monitor, dumps, answer } = fake();
    answer.other = (sent) => {
      if (sent.type === k.RTM_GETNEXTHOP) dumps.error(sent, 95);
      else dumps.done(sent.sequence);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(model.log).toContain('end nexthop 0 true');
    expect([...monitor.stats.unsupported]).toEqual(['nexthop']);
    monitor.close();
  });

  it('rules, MPLS and multicast that a kernel refuses, in whatever words, are not there', async () => {
    for (const errno of [2, 22, 95, 97]) {
      const { model, monitor, dumps, answer } = fake();
      answer.other = (sent) => {
        const family = sent.body[0] as number;
        if (sent.type === k.RTM_GETRULE || family >= k.AF_MPLS) dumps.error(sent, errno);
        else dumps.done(sent.sequence);
      };
      await monitor.start();
      await until('it is in sync', () => model.syncs === 1);
      for (const part of ['rule 10', 'netconf 28', 'route 28', 'mroute 128']) {
        expect(model.log).toContain(`end ${part} true`);
      }
      const names = ['rule inet', 'rule inet6', 'netconf mpls', 'route mpls', 'mroute inet', 'mroute inet6'];
      expect([...monitor.stats.unsupported]).toEqual(names);
      expect(monitor.stats).toMatchObject({ resyncs: 1, losses: 0 });
      // A module that was loaded meanwhile is noticed at the next sync.
      answer.other = (sent) => dumps.done(sent.sequence);
      monitor.resync('test');
      await until('it is in sync again', () => model.syncs === 2);
      expect([...monitor.stats.unsupported]).toEqual([]);
      monitor.close();
    }
  });

  it('what a kernel shows instead of a family that it lacks is not applied and sweeps nothing else', async () => {
    const { model, monitor, dumps, answer, routes } = fake();
    answer.route = (sent) => {
      dumps.say((w) => route(w, k.RTM_NEWROUTE, 1, k.NLM_F_MULTI, sent.sequence));
      dumps.done(sent.sequence);
    };
    answer.other = (sent) => {
      if (sent.type === k.RTM_GETROUTE && (sent.body[0] as number) >= 128) {
        dumps.say((w) => route(w, k.RTM_NEWROUTE, 77, k.NLM_F_MULTI, sent.sequence));
        dumps.done(sent.sequence, 0, k.NLM_F_DUMP_INTR);
      } else {
        dumps.done(sent.sequence);
      }
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(routes).toEqual(['dump +1']);
    expect(model.content('route')).toEqual(['[ROUTE] 10.1.0.0/16 dev if3 table main proto static']);
    expect([...monitor.stats.unsupported]).toEqual(['mroute inet', 'mroute inet6']);
    expect(monitor.stats.interrupted).toBe(0);
    monitor.close();
  });

  it('loss during a dump takes the sweep permission away, and everything is read again', async () => {
    const { model, monitor, notes, dumps, answer } = fake();
    answer.route = (sent) => {
      if (model.log.filter((line) => line === 'begin route 2').length === 1) notes.receiver?.onOverrun('overrun');
      dumps.done(sent.sequence);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(model.log.filter((line) => line.startsWith('end route 2 '))).toEqual([
      'end route 2 false',
      'end route 2 true',
    ]);
    expect(model.log).toContain('sync overrun');
    expect(monitor.stats).toMatchObject({ losses: 1, resyncs: 2 });
    monitor.close();
  });

  it('loss in the quiet state is told, and everything is read again', async () => {
    const { model, monitor, notes } = fake();
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    notes.dropped = 7;
    notes.receiver?.onOverrun('overrun');
    notes.receiver?.onOverrun('overrun');
    expect(monitor.stats).toMatchObject({ state: 'lost', drops: 7, losses: 2 });
    await until('it is in sync again', () => model.syncs === 2);
    expect(model.log.filter((line) => line === 'lost overrun').length).toBe(1);
    monitor.close();
  });

  it('drops that the socket did not tell about yet are found at the end of a sync', async () => {
    const { model, monitor, notes, dumps, answer } = fake();
    answer.route = (sent) => {
      notes.dropped = 1;
      dumps.done(sent.sequence);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(monitor.stats.resyncs).toBe(2);
    expect(model.log).toContain('lost overrun');
    monitor.close();
  });

  it('too many notifications during a dump are a loss, not memory', async () => {
    const { model, monitor, dumps, answer, note } = fake({ queueDatagrams: 10 });
    answer.route = (sent) => {
      if (model.log.filter((line) => line === 'begin route 2').length === 1) {
        for (let i = 0; i < 50; i++) note(k.RTM_NEWROUTE, i);
      }
      dumps.done(sent.sequence);
    };
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    expect(model.log).toContain('lost too many notifications during a dump');
    expect(model.log).toContain('end route 2 false');
    expect(monitor.stats.queuePeak).toBeLessThanOrEqual(10);
    monitor.close();
  });

  it('the pause between syncs grows and has a limit', async () => {
    const { model, monitor, dumps, answer } = fake({ backoffMs: 10, maxBackoffMs: 40 });
    const begun: number[] = [];
    answer.route = (sent) => dumps.done(sent.sequence, 12);
    const started = model.onSyncStart.bind(model);
    model.onSyncStart = (cause) => {
      begun.push(performance.now());
      started(cause);
    };
    await monitor.start();
    await until('it has tried six times', () => begun.length === 6);
    const pauses = begun.slice(1).map((at, i) => at - (begun[i] as number));
    for (const [i, least] of [9, 19, 39, 39, 39].entries()) expect(pauses[i]).toBeGreaterThan(least);
    expect(Math.max(...pauses)).toBeLessThan(300);
    monitor.close();
  });

  it('rereads one part once, however often it was asked for before it began, and sweeps only that', async () => {
    const { model, monitor, dumps, answer, note } = fake();
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    note(k.RTM_NEWROUTE, 1);
    note(k.RTM_NEWROUTE, 2);
    answer.route = (sent) => {
      dumps.say((w) => route(w, k.RTM_NEWROUTE, 2, k.NLM_F_MULTI, sent.sequence));
      dumps.done(sent.sequence);
    };
    monitor.reread('link', { family: 0 });
    for (let i = 0; i < 5; i++) monitor.reread('route', { family: 2, oif: 3 });
    monitor.reread('route', { family: 0, oif: 9 });
    await until('all are done', () => model.log.at(-1) === 'end route 28 true');
    const count = (line: string) => model.log.filter((one) => one === line).length;
    // One of the first sync, one for interface 3, one for interface 9.
    expect([count('begin route 2'), count('begin route 10'), monitor.stats.rereads]).toEqual([3, 2, 5]);
    expect(model.content('route')).toEqual(['[ROUTE] 10.2.0.0/16 dev if3 table main proto static']);
    monitor.close();
    monitor.reread('link', { family: 0 });
  });

  it('over a transport that cannot report loss reads everything again from time to time', async () => {
    const { model, monitor } = fake({ overrun: false, blindResyncMs: 20 });
    await monitor.start();
    await until('it has read everything three times', () => model.syncs === 3);
    expect(model.log).toContain('sync this transport cannot report loss');
    monitor.close();
  });

  it('a broken socket ends it; closing in the middle of a dump does so in silence', async () => {
    const broken = fake();
    await broken.monitor.start();
    await until('it is in sync', () => broken.model.syncs === 1);
    broken.notes.receiver?.onFailed(new Error('socket failed'));
    expect(broken.model.log.at(-1)).toBe('closed socket failed');
    const midway = fake();
    midway.answer.route = () => midway.monitor.close();
    await midway.monitor.start();
    await until('it is closed', () => midway.monitor.closed);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(midway.model.log.at(-1)).toBe('closed closed');
  });

  it('rejects when a socket cannot be opened, and closes the other', async () => {
    const notes = new FakeTransport();
    const openTransport = (role: string) => {
      if (role === 'dumps') throw new Error('no more descriptors');
      return notes;
    };
    const monitor = new NetlinkMonitor({ openTransport }, new Model());
    await expect(monitor.start()).rejects.toThrow('no more descriptors');
    expect(notes.closed).toBe(true);
  });

  it('closed before its sockets are open, it closes them and never begins', async () => {
    const { monitor, notes, dumps, model } = fake();
    const starting = monitor.start();
    monitor.close();
    await starting;
    expect([notes.closed, dumps.closed, model.log]).toEqual([true, true, ['closed closed']]);
  });
});
