// Moderation: a storm is read in steps of a millisecond; nothing is lost by it, and what comes alone is not delayed.

import { afterEach, expect, it } from 'vitest';
import { delRoute, replaceRoute } from '../../../src/netlink/change.ts';
import { walkMessages } from '../../../src/netlink/message.ts';
import { RtnlRequester } from '../../../src/netlink/request.ts';
import { NetlinkSocket, type NetlinkSocketOptions } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { describeRoot, netnsForBlock, until } from './kernel.ts';

describeRoot('a moderated NetlinkSocket', () => {
  const netns = netnsForBlock(`
    link add va type veth peer name vb
    link set va up
    link set vb up
    addr add 10.1.0.1/24 dev va
  `);
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const socket of open.splice(0)) socket.close();
  });

  const listen = (options: NetlinkSocketOptions) => {
    const socket = new NetlinkSocket({ netns: netns.path, groups: [k.RTNLGRP_IPV4_ROUTE], moderate: true, ...options });
    open.push(socket);
    const seen = { messages: 0, batches: 0, overruns: 0, moderated: 0 };
    socket.start({
      onBatch: (batch) => {
        seen.batches++;
        if (socket.moderating) seen.moderated++;
        walkMessages(batch, () => {
          seen.messages++;
          return true;
        });
      },
      onOverrun: () => {
        seen.overruns++;
      },
      onFailed: (error) => {
        throw error;
      },
    });
    return { socket, seen };
  };

  /** 2 × count notices. The requests go out one at a time, each from the ack of the one before: a notice a wake-up. */
  const storm = async (count: number): Promise<void> => {
    const requester = new RtnlRequester(new NetlinkSocket({ netns: netns.path }));
    open.push(requester);
    for (let i = 0; i < count; i++) {
      const route = { dst: `10.9.${i & 255}.0/24`, legs: [{ gateway: '10.1.0.2' }] };
      await replaceRoute(requester, route);
      await delRoute(requester, route);
    }
  };

  it('hears every message of a storm, in fewer and larger batches', async () => {
    const plain = listen({ moderate: false });
    const moderated = listen({});
    await storm(1500);
    await until('all notices', () => moderated.seen.messages === 3000 && plain.seen.messages === 3000);
    expect(moderated.seen.batches).toBeLessThan(plain.seen.batches / 3);
    expect(plain.socket.moderating).toBe(false);
  });

  it('waits for the next message again after a storm, and reads one that comes alone at once', async () => {
    const { socket, seen } = listen({});
    await storm(500);
    await until('the end of the storm', () => seen.messages === 1000 && !socket.moderating);
    const before = seen.batches;
    await storm(1);
    await until('two more', () => seen.messages === 1002);
    expect(socket.moderating).toBe(false);
    expect(seen.batches - before).toBeLessThanOrEqual(2);
  });

  it('says that messages may wait while it does not look', async () => {
    const { socket, seen } = listen({});
    const waiting = storm(500);
    await until('a storm', () => socket.moderating);
    await waiting;
    await until('all', () => seen.messages === 1000);
  });

  it('reports an overrun in the middle of a storm', async () => {
    const { socket, seen } = listen({ receiveBuffer: 2048 });
    const waiting = storm(300);
    await until('a storm', () => socket.moderating);
    const end = performance.now() + 30;
    const blocked = storm(50); // queued now, sent while nobody reads
    while (performance.now() < end);
    await Promise.all([waiting, blocked]);
    await until('the report', () => seen.overruns > 0);
    await until('the end', () => !socket.moderating);
    const before = seen.messages;
    await storm(1);
    await until('reception after it', () => seen.messages > before);
  });

  it('closes in the middle of a storm without a word more', async () => {
    const { socket, seen } = listen({});
    const waiting = storm(500);
    await until('a storm', () => socket.moderating);
    socket.close();
    const before = seen.messages;
    await waiting;
    expect(seen.messages).toBe(before);
    expect(socket.moderating).toBe(false);
  });
});
