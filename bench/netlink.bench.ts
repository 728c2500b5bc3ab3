// Netlink benchmark: decoding of route messages from captured bytes, and draining of a full socket queue.
//
// Invariants: runs in a network namespace of its own and deletes it; needs root. Each line is JSON
// {name, value, unit, target, ok}; the exit code is 1 when a target is missed. The routes are real ones that the
// kernel announced; decoding is measured with the same bytes again and again, draining including the decoding.

import { execFileSync } from 'node:child_process';
import { addAddress, newLink, setLink } from '../src/netlink/change.ts';
import { RtnlDumper } from '../src/netlink/dump.ts';
import { decodeLink } from '../src/netlink/link.ts';
import { forEachMessage, MessageBatch, MessageWriter } from '../src/netlink/message.ts';
import { netnsPath } from '../src/netlink/netns.ts';
import { RtnlRequester } from '../src/netlink/request.ts';
import { decodeRoute, RouteMessage } from '../src/netlink/route.ts';
import { encodeRoute } from '../src/netlink/routeobject.ts';
import { NetlinkSocket } from '../src/netlink/socket.ts';
import * as k from '../src/netlink/uapi.ts';

const QUEUED = 500_000;
const RUNS = 5;
const NAME = `lcpd-bench-nl-${process.pid}`;

function report(name: string, value: number, unit: string, target: number): void {
  const ok = value >= target;
  if (!ok) process.exitCode = 1;
  console.log(JSON.stringify({ name, value: Math.round(value), unit, target, ok }));
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

/** Sends `count` routes in large datagrams without asking for acks, so that the kernel is the only brake. */
async function load(socket: NetlinkSocket, type: number, count: number): Promise<void> {
  const perSend = 128;
  const flags = k.NLM_F_REQUEST | (type === k.RTM_NEWROUTE ? k.NLM_F_CREATE | k.NLM_F_REPLACE : 0);
  const writer = new MessageWriter(1 << 16);
  for (let from = 0; from < count; from += perSend) {
    writer.reset();
    for (let i = from; i < Math.min(count, from + perSend); i++) {
      const dst = `10.${(i >> 16) & 0xff}.${(i >> 8) & 0xff}.${i & 0xff}/32`;
      writer.begin(type, flags, 1);
      encodeRoute(writer, { dst, legs: [{ gateway: '192.0.2.2' }], protocol: k.RTPROT_BGP, priority: 20 });
      writer.finish();
    }
    socket.send(writer.written);
    if (from % (perSend * 256) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Copies every datagram of up to `limit` route messages into one batch. */
async function capture(netns: string, limit: number): Promise<MessageBatch> {
  const parts: Uint8Array[] = [];
  let messages = 0;
  const dumper = new RtnlDumper(new NetlinkSocket({ netns, slotSize: 32768, slots: 16 }));
  await dumper.dump(k.RTM_GETROUTE, { family: 2, table: k.RT_TABLE_MAIN }, (batch) => {
    if (messages >= limit) return;
    messages += batch.messages;
    for (let i = 0; i < batch.datagrams; i++) parts.push(batch.bytes.slice(batch.starts[i], batch.ends[i]));
  });
  dumper.close();
  const all = new MessageBatch(new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0)), parts.length);
  let at = 0;
  for (const part of parts) {
    all.bytes.set(part, at);
    all.add(at, at + part.length);
    at += part.length;
  }
  return all;
}

function benchDecode(batch: MessageBatch): void {
  const route = new RouteMessage();
  let check = 0;
  const decode = (_type: number, _flags: number, offset: number): boolean => {
    const ok = decodeRoute(batch, offset, route);
    check = (check + route.d0 + (route.legOif[0] as number)) | 0;
    return ok;
  };
  const rates: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    let messages = 0;
    const begun = performance.now();
    while (messages < 3_000_000) messages += forEachMessage(batch, decode);
    rates.push((1000 * messages) / (performance.now() - begun));
  }
  if (batch.malformed.total !== 0 || check === 0) throw new Error('the captured routes did not decode');
  report('netlink decode RTM_NEWROUTE, one core', median(rates), 'messages/s', 3_000_000);
}

async function benchDrain(netns: string, loader: NetlinkSocket): Promise<void> {
  const rates: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const listener = new NetlinkSocket({ netns, groups: [k.RTNLGRP_IPV4_ROUTE], receiveBuffer: 768 << 20 });
    await load(loader, run % 2 === 0 ? k.RTM_DELROUTE : k.RTM_NEWROUTE, QUEUED);
    const route = new RouteMessage();
    let messages = 0;
    const begun = performance.now();
    await new Promise<void>((resolve, reject) => {
      listener.start({
        onBatch: (batch) => {
          messages += forEachMessage(batch, (_type, _flags, offset) => decodeRoute(batch, offset, route));
          if (messages >= QUEUED) resolve();
        },
        onOverrun: () => reject(new Error(`the queue overran: ${listener.drops()} dropped`)),
        onFailed: reject,
      });
    });
    rates.push((1000 * messages) / (performance.now() - begun));
    listener.close();
  }
  report('netlink drain of a full queue, decoded', median(rates), 'messages/s', 600_000);
}

async function main(): Promise<void> {
  execFileSync('ip', ['netns', 'add', NAME]);
  try {
    const netns = netnsPath(NAME);
    const requester = new RtnlRequester(new NetlinkSocket({ netns }));
    await newLink(requester, { kind: 'veth', name: 'b0', info: { veth: { peer: 'b1' } } });
    const ifindexes: number[] = [];
    const dumper = new RtnlDumper(new NetlinkSocket({ netns, slotSize: 32768, slots: 16 }));
    await dumper.dump(k.RTM_GETLINK, { family: 0 }, (batch) =>
      forEachMessage(batch, (_type, _flags, offset) => {
        const link = decodeLink(batch, offset);
        if (link?.kind === 'veth') ifindexes.push(link.ifindex);
        return link !== undefined;
      }),
    );
    dumper.close();
    for (const ifindex of ifindexes) await setLink(requester, ifindex, { up: true });
    await addAddress(requester, { family: 2, ifindex: ifindexes[0] ?? 0, prefixlen: 24, local: '192.0.2.1' });
    requester.close();
    const loader = new NetlinkSocket({ netns });
    const begun = performance.now();
    await load(loader, k.RTM_NEWROUTE, QUEUED);
    const rate = (1000 * QUEUED) / (performance.now() - begun);
    console.log(
      JSON.stringify({ name: 'kernel accepts routes from one socket', value: Math.round(rate), unit: 'routes/s' }),
    );
    benchDecode(await capture(netns, 100_000));
    await benchDrain(netns, loader);
    loader.close();
  } finally {
    execFileSync('ip', ['netns', 'del', NAME]);
  }
}

await main();
