/**
 * Decoded: what the codecs of src/netlink make of a namespace's objects, and requests that go out by them.
 *
 * Invariant: a message that a codec calls malformed, or a dump that is not complete, throws: the kernel is right.
 */
import { RtnlDumper } from '../../src/netlink/dump.ts';
import type { Link } from '../../src/netlink/link.ts';
import { decodeLink } from '../../src/netlink/link.ts';
import { forEachMessage, type MessageBatch } from '../../src/netlink/message.ts';
import { netnsPath } from '../../src/netlink/netns.ts';
import { decodeNexthop, type Nexthop } from '../../src/netlink/nexthop.ts';
import { RtnlRequester } from '../../src/netlink/request.ts';
import { decodeRoute, RouteMessage } from '../../src/netlink/route.ts';
import { type Route, routeToObject } from '../../src/netlink/routeobject.ts';
import { decodeRule, type Rule } from '../../src/netlink/rule.ts';
import { NetlinkSocket } from '../../src/netlink/socket.ts';
import * as k from '../../src/netlink/uapi.ts';

async function dump<T>(
  ns: string,
  types: readonly [request: number, answer: number],
  family: number,
  decode: (batch: MessageBatch, offset: number) => T | undefined,
): Promise<T[]> {
  const dumper = new RtnlDumper(new NetlinkSocket({ netns: netnsPath(ns), slotSize: 32768 }));
  const found: T[] = [];
  const malformed: string[] = [];
  try {
    const result = await dumper.dump(types[0], { family }, (batch) => {
      forEachMessage(batch, (type, _flags, offset, length) => {
        const object = type === types[1] ? decode(batch, offset) : undefined;
        if (object === undefined) {
          malformed.push(`type ${type}: ${Buffer.from(batch.bytes.subarray(offset, offset + length)).toString('hex')}`);
        } else found.push(object);
        return true;
      });
    });
    if (!result.complete || result.absent) throw new Error(`dump ${types[0]}: ${JSON.stringify(result)}`);
  } finally {
    dumper.close();
  }
  if (malformed.length > 0) throw new Error(`cannot be decoded: ${malformed.join('\n')}`);
  return found;
}

export const links = (ns: string): Promise<Link[]> => dump(ns, [k.RTM_GETLINK, k.RTM_NEWLINK], 0, decodeLink);

export const rules = (ns: string, family: number): Promise<Rule[]> =>
  dump(ns, [k.RTM_GETRULE, k.RTM_NEWRULE], family, decodeRule);

export const nexthops = (ns: string): Promise<Nexthop[]> =>
  dump(ns, [k.RTM_GETNEXTHOP, k.RTM_NEWNEXTHOP], 0, decodeNexthop);

export function routes(ns: string, family: number): Promise<Route[]> {
  const message = new RouteMessage();
  return dump(ns, [k.RTM_GETROUTE, k.RTM_NEWROUTE], family, (batch, offset) =>
    decodeRoute(batch, offset, message) ? routeToObject(message) : undefined,
  );
}

/** Writes into a namespace through our own encoders. */
export async function request(ns: string, change: (requester: RtnlRequester) => Promise<void>): Promise<void> {
  const requester = new RtnlRequester(new NetlinkSocket({ netns: netnsPath(ns) }));
  try {
    await change(requester);
  } finally {
    requester.close();
  }
}
