// NetlinkSocket on a real kernel: each trap of netlink and of polling through koffi has its test here.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import koffi from 'koffi';
import { afterEach, expect, it } from 'vitest';
import { delRoute, replaceRoute } from '../../../src/netlink/change.ts';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { forEachMessage, type MessageBatch, MessageWriter, walkMessages } from '../../../src/netlink/message.ts';
import { RtnlRequester } from '../../../src/netlink/request.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { NetlinkSocket, type NetlinkSocketOptions } from '../../../src/netlink/socket.ts';
import { NetlinkSocketError } from '../../../src/netlink/transport.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { describeRoot, netnsForBlock, until } from './kernel.ts';

describeRoot('NetlinkSocket', () => {
  const netns = netnsForBlock(`
    link add va type veth peer name vb
    link set va up
    link set vb up
    link set lo up
    addr add 10.1.0.1/24 dev va
  `);
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const socket of open.splice(0)) socket.close();
  });

  function listen(options: NetlinkSocketOptions, onType?: (type: number) => void) {
    const socket = new NetlinkSocket({ netns: netns.path, ...options });
    open.push(socket);
    const seen = { types: [] as number[], overruns: [] as string[], failed: [] as Error[] };
    socket.start({
      onBatch: (batch) => {
        walkMessages(batch, (type) => {
          seen.types.push(type);
          onType?.(type);
          return true;
        });
      },
      onOverrun: (cause) => seen.overruns.push(cause),
      onFailed: (error) => seen.failed.push(error),
    });
    return { socket, seen };
  }

  function requester(): RtnlRequester {
    const made = new RtnlRequester(new NetlinkSocket({ netns: netns.path }));
    open.push(made);
    return made;
  }

  const churn = async (count: number): Promise<void> => {
    const r = requester();
    for (let i = 0; i < count; i++) {
      const route = { dst: `10.9.${i & 255}.0/24`, legs: [{ gateway: '10.1.0.2' }] };
      await replaceRoute(r, route);
      await delRoute(r, route);
    }
  };

  it('opens inside the namespace, with the options that the layers above rely on', () => {
    const socket = new NetlinkSocket({ netns: netns.path });
    open.push(socket);
    expect(socket.capabilities).toEqual({
      overrun: true,
      anyGroup: true,
      strictCheck: true,
      extendedAck: true,
      netns: true,
    });
    expect(socket.portId).toBeGreaterThan(0);
    expect(socket.receiveBufferForced).toBe(true);
    expect(socket.receiveBuffer).toBe(2 * (64 << 20));
  });

  it('hears groups above 31 (nexthop)', async () => {
    const { seen } = listen({ groups: [k.RTNLGRP_NEXTHOP] });
    netns.ip('nexthop add id 77 via 10.1.0.7 dev va');
    await until('the nexthop is heard', () => seen.types.includes(k.RTM_NEWNEXTHOP));
    expect(seen.types).toEqual([k.RTM_NEWNEXTHOP]);
  });

  it('refuses a group that does not exist, by name, and leaves no descriptor behind', () => {
    expect(() => new NetlinkSocket({ netns: netns.path, groups: [9999] })).toThrow(NetlinkSocketError);
    expect(() => new NetlinkSocket({ netns: netns.path, groups: [9999] })).toThrow('EINVAL (group 9999)');
  });

  it('does without an optional group that does not exist, says which, and hears the others', async () => {
    const socket = new NetlinkSocket({ netns: netns.path, optionalGroups: [9999, k.RTNLGRP_IPV4_RULE, 8888] });
    open.push(socket);
    expect(socket.missingGroups).toEqual([9999, 8888]);
    let heard = 0;
    const onBatch = (batch: MessageBatch) => {
      heard += forEachMessage(batch, (type) => type === k.RTM_NEWRULE);
    };
    socket.start({ onBatch, onOverrun: () => undefined, onFailed: () => undefined });
    netns.ip('rule add pref 77 table 77');
    await until('the rule is heard', () => heard === 1);
    expect(() => socket.join(9999)).toThrow('EINVAL (group 9999)');
  });

  it('without the right for SO_RCVBUFFORCE takes what net.core.rmem_max allows, and says so', () => {
    const limited = (() => {
      process.seteuid?.(65534);
      try {
        return new NetlinkSocket({ receiveBuffer: 1 << 30 });
      } finally {
        process.seteuid?.(0);
      }
    })();
    open.push(limited);
    expect(limited.receiveBufferForced).toBe(false);
    expect(limited.receiveBuffer).toBeGreaterThan(0);
    expect(limited.receiveBuffer).toBeLessThan(1 << 30);
  });

  it('reports an overrun once its queue is empty, counts the drops, and goes on hearing', async () => {
    const { socket, seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE], receiveBuffer: 4096 });
    // Sent without giving the loop a turn, so that nobody reads meanwhile.
    netns.ip(Array.from({ length: 200 }, (_, i) => `route add 10.20.${i}.0/24 via 10.1.0.2`).join('\n'));
    await until('the overrun is reported', () => seen.overruns.length > 0);
    expect(seen.overruns).toEqual(['overrun']);
    expect(socket.counters.overruns).toBe(1);
    expect(socket.drops()).toBe(200 - seen.types.length);
    expect(seen.types.length).toBeGreaterThan(0);
    const before = seen.types.length;
    netns.ip('route add 10.21.0.0/16 via 10.1.0.2');
    await until('a route is heard again', () => seen.types.length > before);
    // And it reports the next one too: the poll was started again.
    netns.ip(Array.from({ length: 200 }, (_, i) => `route del 10.20.${i}.0/24`).join('\n'));
    await until('the second overrun is reported', () => seen.overruns.length === 2);
    expect(seen.failed).toEqual([]);
  });

  it('reports an overrun also where the queue ends with the last read of a wake-up', async () => {
    for (let slots = 1; slots <= 24; slots++) {
      const { socket, seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE], receiveBuffer: 65_536, slots });
      const op = slots % 2 === 1 ? 'add' : 'del';
      netns.ip(Array.from({ length: 250 }, (_, i) => `route ${op} 10.20.${i}.0/24 via 10.1.0.2`).join('\n'));
      await until(`the overrun is reported, ${slots} slots`, () => seen.overruns.length === 1);
      socket.close();
    }
  });

  it('an exception in the receiver is not lost, and hearing goes on', async () => {
    const saved = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const caught: Error[] = [];
    process.on('uncaughtException', (error) => caught.push(error));
    try {
      let bad = true;
      const { seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE] }, () => {
        if (bad) throw new Error('a bug in the receiver');
      });
      netns.ip('route add 10.22.0.0/16 via 10.1.0.2');
      await until('the exception surfaces', () => caught.length > 0);
      expect(caught.map((error) => error.message)).toEqual(['a bug in the receiver']);
      bad = false;
      netns.ip('route add 10.23.0.0/16 via 10.1.0.2');
      await until('the next route is heard', () => seen.types.length === 2);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of saved) process.on('uncaughtException', listener);
    }
  });

  it('keeps its poll handle through garbage collections', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    const { seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE] });
    for (let i = 0; i < 5; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    netns.ip('route add 10.24.0.0/16 via 10.1.0.2');
    await until('the route is heard', () => seen.types.length === 1);
  });

  it('discards a datagram longer than its slot and reports it as loss', async () => {
    const { socket, seen } = listen({ groups: [k.RTNLGRP_LINK], slotSize: 512 });
    netns.ip('link set va alias x');
    await until('the loss is reported', () => seen.overruns.length > 0);
    expect(seen.overruns[0]).toBe('truncated datagram');
    expect(socket.counters.truncated).toBeGreaterThan(0);
    expect(seen.types).toEqual([]);
  });

  it('does not believe another process', async () => {
    const { socket, seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE] });
    const stranger = new NetlinkSocket({ netns: netns.path });
    open.push(stranger);
    const libc = koffi.load('libc.so.6');
    const sendto = libc.func('int64_t sendto(int, const void *, size_t, int, const void *, uint32_t)');
    const lie = new MessageWriter().begin(k.RTM_DELROUTE, 0).u32(0).u32(0).u32(0).finish().written;
    const to = new Uint8Array(12);
    to[0] = k.AF_NETLINK;
    new DataView(to.buffer).setUint32(4, socket.portId, true);
    expect(Number(sendto(stranger.fd, lie, lie.length, 0, to, 12))).toBe(lie.length);
    await until('the datagram came', () => socket.counters.foreign === 1);
    netns.ip('route add 10.25.0.0/16 via 10.1.0.2');
    await until('the kernel is believed', () => seen.types.length === 1);
    expect(seen.types).toEqual([k.RTM_NEWROUTE]);
  });

  it('acks are capped: a refused request comes back as its header only', async () => {
    let flags = 0;
    let length = 0;
    const socket = new NetlinkSocket({ netns: netns.path });
    open.push(socket);
    socket.start({
      onBatch: (batch) => {
        walkMessages(batch, (_type, f, _offset, l) => {
          flags = f;
          length = l;
          return true;
        });
      },
      onOverrun: () => undefined,
      onFailed: () => undefined,
    });
    const request = new MessageWriter().begin(k.RTM_DELLINK, k.NLM_F_REQUEST | k.NLM_F_ACK, 1);
    request.u32(0).u32(4242).u32(0).u32(0).attrString(k.IFLA_IFALIAS, 'x'.repeat(200));
    socket.send(request.finish().written);
    await until('the refusal came', () => length > 0);
    expect(flags & k.NLM_F_CAPPED).toBe(k.NLM_F_CAPPED);
    expect(length).toBeLessThan(200);
  });

  it('strict checking: the kernel filters a dump by table and by interface', async () => {
    netns.ip('route add 10.30.0.0/16 via 10.1.0.2 table 1234\nroute add 10.31.0.0/16 dev lo table 1234');
    const dumper = new RtnlDumper(new NetlinkSocket({ netns: netns.path, slotSize: 32768, slots: 4 }));
    open.push(dumper);
    const route = new RouteMessage();
    const tables: number[] = [];
    const collect = async (filter: { family: number; table?: number; oif?: number }) => {
      tables.length = 0;
      const result = await dumper.dump(k.RTM_GETROUTE, filter, (batch) => {
        forEachMessage(batch, (_type, _flags, offset) => {
          const ok = decodeRoute(batch, offset, route);
          tables.push(route.table);
          return ok;
        });
      });
      expect(result).toMatchObject({ complete: true, error: 0, messages: tables.length });
      return tables.length;
    };
    expect(await collect({ family: 2, table: 1234 })).toBe(2);
    expect(new Set(tables)).toEqual(new Set([1234]));
    expect(await collect({ family: 2, table: 1234, oif: 1 })).toBe(1);
    expect(await collect({ family: 2, table: 4321 })).toBe(0);
    expect(await collect({ family: 2, oif: 99999 })).toBe(0);
  });

  it('may be closed from within its own receiver, twice, and is silent afterwards', async () => {
    const { socket, seen } = listen({ groups: [k.RTNLGRP_IPV4_ROUTE] }, () => {
      socket.close();
      socket.close();
    });
    await churn(20);
    expect(seen.types.length).toBeGreaterThan(0);
    const count = seen.types.length;
    await churn(20);
    expect(seen.types.length).toBe(count);
    expect(() => socket.send(new Uint8Array(16))).toThrow('closed');
    expect(socket.drops()).toBe(0);
  });

  it('starts once', () => {
    const { socket } = listen({});
    expect(() =>
      socket.start({ onBatch: () => undefined, onOverrun: () => undefined, onFailed: () => undefined }),
    ).toThrow('already started');
  });
});
