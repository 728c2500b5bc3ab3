// Every codec against bytes of a real kernel: read, written again, cut at every length, spoilt at random.

import { describe, expect, it } from 'vitest';
import { toHex } from '../../../src/lib/bytes.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { decodeAddress, encodeAddress } from '../../../src/netlink/address.ts';
import { AttributeCursor, type Wire, wireOf } from '../../../src/netlink/attr.ts';
import { formatRaw } from '../../../src/netlink/format.ts';
import { decodeLink, encodeLink } from '../../../src/netlink/link.ts';
import { batchOf, forEachMessage, MessageBatch, MessageWriter, walkMessages } from '../../../src/netlink/message.ts';
import { decodeMroute, isMrouteFamily } from '../../../src/netlink/mroute.ts';
import { decodeNeighbour, encodeNeighbour } from '../../../src/netlink/neighbour.ts';
import { decodeNetconf, encodeNetconf } from '../../../src/netlink/netconf.ts';
import { decodeNexthop, encodeNexthop } from '../../../src/netlink/nexthop.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { encodeRoute, type Route, routeToObject } from '../../../src/netlink/routeobject.ts';
import { decodeRule, encodeRule } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { captured, random } from './kernel.ts';

function decodeRouteObject(wire: Wire, offset: number): Route | undefined {
  const message = new RouteMessage();
  return decodeRoute(wire, offset, message) ? routeToObject(message) : undefined;
}

/** `readOnly` are fields that only the kernel tells. */
const linkOnlyRead = ['promiscuity', 'minMtu', 'maxMtu', 'slaveKind', 'vrfTable', 'newNetnsid', 'newIfindex'];
const familyOf = (bytes: Uint8Array) => bytes[k.NLMSG_HDRLEN] as number;
const codecs = [
  { name: 'link', type: k.RTM_NEWLINK, body: 16, decode: decodeLink, encode: encodeLink, readOnly: linkOnlyRead },
  { name: 'address', type: k.RTM_NEWADDR, body: 8, decode: decodeAddress, encode: encodeAddress, readOnly: [] },
  {
    name: 'neighbour',
    type: k.RTM_NEWNEIGH,
    body: 12,
    decode: decodeNeighbour,
    encode: encodeNeighbour,
    readOnly: ['master'],
  },
  { name: 'nexthop', type: k.RTM_NEWNEXTHOP, body: 8, decode: decodeNexthop, encode: encodeNexthop, readOnly: [] },
  { name: 'netconf', type: k.RTM_NEWNETCONF, body: 4, decode: decodeNetconf, encode: encodeNetconf, readOnly: [] },
  {
    name: 'route',
    type: k.RTM_NEWROUTE,
    body: 12,
    decode: decodeRouteObject,
    encode: encodeRoute,
    readOnly: ['expires'],
    only: (bytes: Uint8Array) => !isMrouteFamily(familyOf(bytes)),
  },
  { name: 'rule', type: k.RTM_NEWRULE, body: 12, decode: decodeRule, encode: encodeRule, readOnly: ['unknown'] },
  {
    name: 'mroute',
    type: k.RTM_NEWROUTE,
    body: 12,
    decode: decodeMroute,
    // Only the kernel makes them.
    encode: undefined,
    readOnly: [],
    only: (bytes: Uint8Array) => isMrouteFamily(familyOf(bytes)),
  },
];

function messagesOf(type: number, only: (bytes: Uint8Array) => boolean = () => true) {
  const found = captured.filter((message) => (message.type & ~3) === type && only(message.bytes));
  if (found.length === 0) throw new Error(`no captured message of type ${type}`);
  return found;
}

/** Attributes as `type:hex`, flag bits removed. */
function attributes(bytes: Uint8Array, body: number): string[] {
  const cursor = new AttributeCursor(wireOf(bytes), k.NLMSG_HDRLEN + body, bytes.length);
  const found: string[] = [];
  while (cursor.next()) {
    found.push(`${cursor.type}:${toHex(bytes.subarray(cursor.value, cursor.value + cursor.size))}`);
  }
  return found;
}

/** Attributes whose kernel form holds more than we read: the whole nest need not be equal, what we wrote must be. */
const PARTIAL = new Set([
  `${k.RTM_NEWLINK} ${k.IFLA_LINKINFO}`,
  `${k.RTM_NEWLINK} ${k.IFLA_AF_SPEC}`,
  `${k.RTM_NEWADDR} ${k.IFA_CACHEINFO}`,
  `${k.RTM_NEWNEXTHOP} ${k.NHA_RES_GROUP}`,
  `${k.RTM_NEWROUTE} ${k.RTA_METRICS}`,
]);
/** Kernels leave out what they do not need to say. */
const OURS_ONLY = new Set([`${k.RTM_NEWADDR} ${k.IFA_LOCAL}`, `${k.RTM_NEWLINK} ${k.IFLA_PROP_LIST}`]);

/** More labels than are kept, or an encapsulation that is not: what is written again is less. */
const isCut = (line: string) => /\/\.\.\.|encap (?!mpls)/.test(line);
/** What only the kernel writes has no encoder to test. */
const itWrites = (encode: unknown, name: string, body: () => void) => {
  if (encode !== undefined) it(name, body);
};

for (const { name, type, body, decode, encode, readOnly, only } of codecs) {
  describe(`codec of ${name}`, () => {
    itWrites(encode, 'reads what the kernel said, writes it again, and reads the same', () => {
      for (const { bytes, line } of messagesOf(type, only)) {
        if (isCut(line)) continue;
        const first = decode(wireOf(bytes), 0);
        expect(first, line).toBeDefined();
        const writer = new MessageWriter().begin(type, 0);
        (encode as (w: MessageWriter, o: unknown) => void)(writer, first);
        const again = writer.finish().written;
        const second = decode(wireOf(again), 0) as object;
        for (const [key, value] of Object.entries(first as object)) {
          if ((readOnly as readonly string[]).includes(key)) continue;
          if (key === 'legs') {
            const plain = (legs: Route['legs']) => legs.map(({ encapType: _, ...leg }) => leg);
            // With a nexthop id the path is the object's, and the kernel refuses both in one request.
            if ((first as Route).nhId === undefined) expect(plain((second as Route).legs), line).toEqual(plain(value));
          } else if (key !== 'multipath' || (first as Route).nhId === undefined) {
            expect((second as Record<string, unknown>)[key], `${key} of ${line}`).toEqual(value);
          }
        }
      }
    });

    itWrites(encode, 'writes attributes with the very bytes of the kernel', () => {
      for (const { bytes, line } of messagesOf(type, only)) {
        if (isCut(line)) continue;
        const writer = new MessageWriter().begin(type, 0);
        (encode as (w: MessageWriter, o: unknown) => void)(writer, decode(wireOf(bytes), 0));
        const theirs = attributes(bytes, body);
        for (const ours of attributes(writer.finish().written, body)) {
          const key = `${type} ${ours.split(':')[0]}`;
          if (PARTIAL.has(key) || OURS_ONLY.has(key)) continue;
          expect(theirs, line).toContain(ours);
        }
      }
    });

    it('survives being cut at every length: never throws, and a cut header or body is malformed', () => {
      for (const { bytes } of messagesOf(type, only)) {
        for (let length = 0; length < bytes.length; length++) {
          const cut = wireOf(bytes.slice(0, length));
          expect(decode(cut, 0)).toBeUndefined();
          // The same cut with a header that admits to it: only the attributes can be wrong now.
          if (length < k.NLMSG_HDRLEN) continue;
          const honest = bytes.slice(0, length);
          new DataView(honest.buffer).setUint32(0, length, true);
          expect(() => decode(wireOf(honest), 0)).not.toThrow();
          // netconfmsg is a single byte; all other bodies are whole or malformed.
          if (length < k.NLMSG_HDRLEN + (name === 'netconf' ? 1 : body))
            expect(decode(wireOf(honest), 0)).toBeUndefined();
        }
      }
    });

    it('finds every attribute that claims more than there is', () => {
      for (const { bytes, line } of messagesOf(type, only)) {
        const cursor = new AttributeCursor(wireOf(bytes), k.NLMSG_HDRLEN + body, bytes.length);
        while (cursor.next()) {
          for (const wrong of [0, 1, 3, bytes.length - cursor.value + 5, 0xffff]) {
            const spoilt = bytes.slice();
            new DataView(spoilt.buffer).setUint16(cursor.value - 4, wrong, true);
            expect(decode(wireOf(spoilt), 0), `${line} attribute ${cursor.type} length ${wrong}`).toBeUndefined();
          }
        }
      }
    });

    it('ignores attributes that it does not know', () => {
      for (const { bytes } of messagesOf(type, only)) {
        const writer = new MessageWriter().raw(bytes).attrBytes(0x3abc, new Uint8Array([1, 2, 3]));
        const extended = writer.attrBytes(0x3abd | k.NLA_F_NESTED, new Uint8Array(0)).written.slice();
        new DataView(extended.buffer).setUint32(0, extended.length, true);
        const known = (object: unknown) => ({ ...(object as object), unknown: undefined });
        expect(known(decode(wireOf(extended), 0))).toEqual(known(decode(wireOf(bytes), 0)));
      }
    });

    it('survives random damage, and so does its formatting', () => {
      const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 0x7fffffff);
      const next = random(seed);
      const messages = messagesOf(type, only);
      try {
        for (let round = 0; round < 4000; round++) {
          const spoilt = (messages[next(messages.length)] as (typeof messages)[number]).bytes.slice();
          for (let hits = 1 + next(4); hits > 0; hits--) spoilt[next(spoilt.length)] = next(256);
          decode(wireOf(spoilt), 0);
          for (const line of formatRaw(spoilt)) expect(line).not.toMatch(/[^\x20-\x7e]/);
        }
      } catch (error) {
        throw new Error(`failed with FUZZ_SEED=${seed}`, { cause: error });
      }
    });
  });
}

describe('captured messages', () => {
  it('are shown as they were when they were captured', () => {
    for (const { bytes, line } of captured) expect(formatRaw(bytes)).toEqual([line]);
  });

  it('cover both families and every kind', () => {
    const families = new Set(messagesOf(k.RTM_NEWROUTE).map(({ bytes }) => bytes[k.NLMSG_HDRLEN]));
    expect(families).toEqual(new Set([AF_INET, AF_INET6, k.AF_MPLS, k.RTNL_FAMILY_IPMR, k.RTNL_FAMILY_IP6MR]));
  });
});

describe('batches', () => {
  it('visit every message in order, and skip control messages for consumers', () => {
    const writer = new MessageWriter().begin(k.RTM_NEWADDR, 0).u32(0).u32(0).finish();
    writer.begin(k.NLMSG_DONE, 2).u32(0).finish().begin(k.RTM_NEWNEIGH, 0).u32(0).u32(0).u32(0).finish();
    const types: number[] = [];
    const batch = batchOf(writer.written.slice());
    expect(walkMessages(batch, (type) => types.push(type) > 0)).toBe(3);
    expect(forEachMessage(batch, (type) => types.push(type) > 0)).toBe(2);
    expect(types).toEqual([k.RTM_NEWADDR, k.NLMSG_DONE, k.RTM_NEWNEIGH, k.RTM_NEWADDR, k.RTM_NEWNEIGH]);
    expect(batch.malformed.total).toBe(0);
  });

  it('count a message with an impossible length, drop the rest of that datagram, and go on with the next', () => {
    const good = new MessageWriter().begin(k.RTM_NEWADDR, 0).u32(0).u32(0).finish().written.slice();
    for (const length of [0, 15, good.length + 1, 0xffffffff]) {
      const all = new Uint8Array(3 * good.length);
      for (let i = 0; i < 3; i++) all.set(good, i * good.length);
      new DataView(all.buffer).setUint32(good.length, length, true);
      // One datagram with two messages, the second spoilt, and one datagram behind it.
      const batch = new MessageBatch(all, 2);
      batch.add(0, 2 * good.length);
      batch.add(2 * good.length, 3 * good.length);
      expect(walkMessages(batch, () => true)).toBe(2);
      expect([...batch.malformed.byType]).toEqual([[k.RTM_NEWADDR, 1]]);
    }
  });

  it('count what the handler refuses, by type', () => {
    const batch = batchOf(new MessageWriter().begin(k.RTM_NEWADDR, 0).u32(0).u32(0).finish().written.slice());
    forEachMessage(batch, () => false);
    expect([...batch.malformed.byType]).toEqual([[k.RTM_NEWADDR, 1]]);
  });

  it('count a tail that is shorter than a header', () => {
    const batch = batchOf(new Uint8Array(12));
    expect(walkMessages(batch, () => true)).toBe(0);
    expect(batch.malformed.total).toBe(1);
  });
});
