// Requests: acks, refusals in the kernel's own words, time limits, order; and every change on a real kernel.

import { closeSync, openSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { type Address, decodeAddress } from '../../../src/netlink/address.ts';
import * as change from '../../../src/netlink/change.ts';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { decodeLink, type Link } from '../../../src/netlink/link.ts';
import { forEachMessage, type MessageBatch } from '../../../src/netlink/message.ts';
import { decodeNeighbour, type Neighbour } from '../../../src/netlink/neighbour.ts';
import { decodeNexthop, type Nexthop } from '../../../src/netlink/nexthop.ts';
import { RtnlError, RtnlRequester } from '../../../src/netlink/request.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { type Route, type RouteRequest, routeToObject } from '../../../src/netlink/routeobject.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeTransport } from './faketransport.ts';
import { describeRoot, netnsForBlock, TestNetns } from './kernel.ts';

const empty = () => undefined;

describe('requester', () => {
  it('settles each request by its own number, in whatever order the answers come', async () => {
    const transport = new FakeTransport();
    const requester = new RtnlRequester(transport);
    const first = requester.ack(k.RTM_NEWADDR, 0, empty);
    const second = requester.ack(k.RTM_NEWROUTE, 0, empty);
    const [a, b] = transport.sent;
    transport.error(b as never, 17);
    transport.error(a as never, 0);
    await expect(second).rejects.toMatchObject({ code: 'EEXIST', errno: 17, messageType: k.RTM_NEWROUTE });
    await expect(first).resolves.toBeUndefined();
  });

  it('sends at most 64 before answers come, and the rest in order', async () => {
    const transport = new FakeTransport();
    const requester = new RtnlRequester(transport);
    const all = Array.from({ length: 100 }, (_, i) => requester.ack(100 + i, 0, empty));
    expect(transport.sent.length).toBe(64);
    for (let i = 0; i < 100; i++) transport.error(transport.sent[i] as never, 0);
    await Promise.all(all);
    expect(transport.sent.map((sent) => sent.type)).toEqual(Array.from({ length: 100 }, (_, i) => 100 + i));
  });

  it('gives up after the time limit, and ignores the answer that comes too late', async () => {
    const transport = new FakeTransport();
    const requester = new RtnlRequester(transport, { timeoutMs: 20 });
    await expect(requester.ack(k.RTM_NEWADDR, 0, empty)).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    transport.error(transport.sent[0] as never, 0);
    const next = requester.ack(k.RTM_NEWADDR, 0, empty);
    transport.error(transport.sent[1] as never, 0);
    await next;
  });

  it('fails what was on its way when answers were lost, and all when it is closed', async () => {
    const transport = new FakeTransport();
    const requester = new RtnlRequester(transport);
    const lost = requester.ack(k.RTM_NEWADDR, 0, empty);
    transport.receiver?.onOverrun('overrun');
    await expect(lost).rejects.toMatchObject({ code: 'ENOBUFS' });
    const many = Array.from({ length: 70 }, () => requester.ack(k.RTM_NEWADDR, 0, empty));
    requester.close();
    for (const one of await Promise.allSettled(many))
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'ECANCELED' } });
    await expect(requester.ack(k.RTM_NEWADDR, 0, empty)).rejects.toMatchObject({ code: 'ECANCELED' });
    expect(transport.closed).toBe(true);
  });

  it('rejects when the request cannot be written or sent', async () => {
    const transport = new FakeTransport();
    const requester = new RtnlRequester(transport);
    await expect(change.setLink(requester, 1, { mac: 'no' })).rejects.toThrow('not a link-layer address');
    transport.onSent = () => {
      throw new Error('no buffer');
    };
    await expect(requester.ack(k.RTM_NEWADDR, 0, empty)).rejects.toThrow('no buffer');
  });

  it('counts an error message without its error as malformed', () => {
    const transport = new FakeTransport();
    new RtnlRequester(transport);
    transport.say((w) => w.begin(k.NLMSG_ERROR, 0, 1).finish());
    expect([...transport.malformed.byType]).toEqual([[k.NLMSG_ERROR, 1]]);
  });
});

describeRoot('changes of a real kernel', () => {
  const netns = netnsForBlock();
  const open: { close(): void }[] = [];
  afterAll(() => {
    for (const one of open) one.close();
  });
  let made: RtnlRequester | undefined;
  const requester = (): RtnlRequester => {
    if (made === undefined) {
      made = new RtnlRequester(new NetlinkSocket({ netns: netns.path }));
      open.push(made);
    }
    return made;
  };

  async function dump<T>(
    path: string,
    type: number,
    family: number,
    decode: (b: MessageBatch, o: number) => T | undefined,
  ): Promise<T[]> {
    const dumper = new RtnlDumper(new NetlinkSocket({ netns: path, slotSize: 32768, slots: 4 }));
    const found: T[] = [];
    const result = await dumper.dump(type, { family }, (batch) =>
      forEachMessage(batch, (_type, _flags, offset) => {
        const one = decode(batch, offset);
        if (one !== undefined) found.push(one);
        return one !== undefined;
      }),
    );
    dumper.close();
    expect(result).toMatchObject({ complete: true, messages: found.length });
    return found;
  }
  const links = (path = netns.path): Promise<Link[]> => dump(path, k.RTM_GETLINK, 0, decodeLink);
  const link = async (name: string): Promise<Link> => {
    const found = (await links()).find((one) => one.name === name);
    if (found === undefined) throw new Error(`no link ${name}`);
    return found;
  };
  const addresses = (family: number): Promise<Address[]> => dump(netns.path, k.RTM_GETADDR, family, decodeAddress);
  const neighbours = (): Promise<Neighbour[]> => dump(netns.path, k.RTM_GETNEIGH, 2, decodeNeighbour);
  const nexthops = (): Promise<Nexthop[]> => dump(netns.path, k.RTM_GETNEXTHOP, 0, decodeNexthop);
  const message = new RouteMessage();
  const routes = (family: number): Promise<Route[]> =>
    dump(netns.path, k.RTM_GETROUTE, family, (b, o) =>
      decodeRoute(b, o, message) ? routeToObject(message) : undefined,
    );
  const route = async (dst: string): Promise<Route | undefined> =>
    (await routes(dst.includes(':') ? 10 : 2)).find((one) => one.dst === dst);

  it('links: made, changed in every respect, renamed, moved, deleted', async () => {
    const r = requester();
    await change.newLink(r, { kind: 'veth', name: 'v0', mtu: 2000, info: { veth: { peer: 'v1' } } });
    await change.newLink(r, { kind: 'bridge', name: 'br0', info: { bridge: { stp: true } } });
    const { ifindex } = await link('v0');
    const bridge = await link('br0');
    expect(bridge.info?.bridge?.stp).toBe(true);
    await change.setLink(r, ifindex, {
      up: true,
      mtu: 1400,
      mac: '02:00:00:00:00:aa',
      promisc: true,
      alias: 'core',
      master: bridge.ifindex,
    });
    await change.setLink(r, (await link('v1')).ifindex, { up: true });
    expect(await link('v0')).toMatchObject({
      mtu: 1400,
      mac: '02:00:00:00:00:aa',
      alias: 'core',
      master: bridge.ifindex,
      slaveKind: 'bridge',
    });
    expect((await link('v0')).flags & (k.IFF_UP | k.IFF_PROMISC)).toBe(k.IFF_UP | k.IFF_PROMISC);
    await change.setLink(r, ifindex, { up: false, promisc: false, alias: '', master: 0 });
    await change.setLink(r, ifindex, { name: 'renamed' });
    const renamed = await link('renamed');
    expect(renamed.flags & (k.IFF_UP | k.IFF_PROMISC)).toBe(0);
    expect([renamed.alias, renamed.master]).toEqual([undefined, undefined]);

    const other = new TestNetns();
    other.add();
    const netnsFd = openSync(other.path, 'r');
    await change.setLink(r, ifindex, { netnsFd });
    closeSync(netnsFd);
    const moved = (await links(other.path)).find((one) => one.name === 'renamed');
    expect(moved).toMatchObject({ kind: 'veth', linkNetnsid: 0 });
    other.del();
    await change.delLink(r, bridge.ifindex);
    expect((await links()).some((one) => one.name === 'br0')).toBe(false);
  });

  it('carrier of a device that allows it', async () => {
    netns.ip('tuntap add t0 mode tap\nlink set t0 up');
    const { ifindex } = await link('t0');
    await expect(change.setLink(requester(), ifindex, { carrier: true })).rejects.toThrow(RtnlError);
    await change.delLink(requester(), ifindex);
  });

  it('addresses of both families', async () => {
    const r = requester();
    await change.newLink(r, { kind: 'veth', name: 'w0', info: { veth: { peer: 'w1' } } });
    const { ifindex } = await link('w0');
    for (const name of ['w0', 'w1', 'lo']) await change.setLink(r, (await link(name)).ifindex, { up: true });
    const four = { family: 2, ifindex, prefixlen: 24, local: '10.1.0.1', broadcast: '10.1.0.255', label: 'w0:x' };
    const six = {
      family: 10,
      ifindex,
      prefixlen: 64,
      local: '2001:db8:1::1',
      flags: k.IFA_F_NODAD,
      validLft: 5000,
      preferredLft: 4000,
    };
    await change.addAddress(r, four);
    await change.addAddress(r, six);
    await expect(change.addAddress(r, four)).rejects.toMatchObject({ code: 'EEXIST' });
    expect(await addresses(2)).toContainEqual(expect.objectContaining(four));
    expect((await addresses(10)).find((one) => one.local === six.local)).toMatchObject({
      prefixlen: 64,
      validLft: 5000,
    });
    const second = { family: 2, ifindex, prefixlen: 32, local: '10.7.0.1', address: '10.7.0.2' };
    await change.addAddress(r, second);
    expect(await addresses(2)).toContainEqual(expect.objectContaining(second));
    await change.delAddress(r, second);
    expect((await addresses(2)).some((one) => one.local === '10.7.0.1')).toBe(false);
  });

  it('routes of every shape, replaced, appended, deleted', async () => {
    const r = requester();
    const { ifindex: oif } = await link('w0');
    const shapes: readonly RouteRequest[] = [
      { dst: '10.20.0.0/16', legs: [{ gateway: '10.1.0.2' }], priority: 7, protocol: k.RTPROT_BGP, table: 1000 },
      { dst: '10.21.0.0/16', legs: [{ oif }], scope: k.RT_SCOPE_LINK, prefsrc: '10.1.0.1', mtu: 1300 },
      {
        dst: '10.22.0.0/16',
        legs: [
          { gateway: '10.1.0.2', oif, weight: 3 },
          { gateway: 'fe80::9', oif, weight: 1 },
        ],
      },
      { dst: '10.23.0.0/16', legs: [{ gateway: 'fe80::7', oif }] },
      { dst: '10.24.0.0/16', type: k.RTN_BLACKHOLE },
      { dst: '10.25.0.0/16', type: k.RTN_PROHIBIT },
      { dst: '2001:db8:20::/48', legs: [{ gateway: '2001:db8:1::2', oif }], priority: 5 },
      {
        dst: '2001:db8:21::/48',
        legs: [
          { gateway: 'fe80::7', oif, weight: 2 },
          { gateway: 'fe80::8', oif, weight: 4 },
        ],
      },
      { dst: '2001:db8:22::/48', type: k.RTN_UNREACHABLE },
    ];
    for (const shape of shapes) {
      await change.addRoute(r, shape);
      await expect(change.addRoute(r, shape)).rejects.toMatchObject({ code: 'EEXIST' });
      const found = await route(shape.dst);
      const { legs, ...rest } = shape;
      expect(found).toMatchObject(rest);
      const byGateway = (x: { gateway?: string }, y: { gateway?: string }) =>
        (x.gateway ?? '') < (y.gateway ?? '') ? -1 : 1;
      if (legs !== undefined)
        expect([...(found as Route).legs].sort(byGateway)).toMatchObject([...legs].sort(byGateway));
    }
    await change.replaceRoute(r, { dst: '10.22.0.0/16', legs: [{ gateway: '10.1.0.9' }] });
    expect((await route('10.22.0.0/16'))?.legs).toMatchObject([{ gateway: '10.1.0.9' }]);
    await change.appendRoute(r, { dst: '2001:db8:20::/48', legs: [{ gateway: 'fe80::3', oif }], priority: 5 });
    expect((await route('2001:db8:20::/48'))?.legs.length).toBe(2);
    for (const { dst, ...rest } of shapes)
      await change.delRoute(r, { dst, ...(rest.table === undefined ? {} : { table: rest.table }) });
    for (const { dst } of shapes) if (!dst.startsWith('2001:db8:20')) expect(await route(dst)).toBeUndefined();
    await expect(change.delRoute(r, { dst: '10.24.0.0/16' })).rejects.toMatchObject({ code: 'ESRCH' });
  });

  it('neighbours, and asking the kernel to resolve one', async () => {
    const r = requester();
    const { ifindex } = await link('w0');
    const entry = { family: 2, ifindex, dst: '10.1.0.50', lladdr: '02:00:00:00:00:50', state: k.NUD_PERMANENT };
    await change.newNeighbour(r, entry);
    expect(await neighbours()).toContainEqual(expect.objectContaining(entry));
    await change.delNeighbour(r, entry);
    await change.useNeighbour(r, ifindex, '10.1.0.60');
    const asked = (await neighbours()).find((one) => one.dst === '10.1.0.60');
    expect(asked?.state).toBe(k.NUD_INCOMPLETE);
  });

  it('nexthops, groups and the routes on them', async () => {
    const r = requester();
    const { ifindex: oif } = await link('w0');
    await change.newNexthop(r, { id: 1, family: 2, oif, gateway: '10.1.0.2', protocol: k.RTPROT_ZEBRA });
    await change.newNexthop(r, { id: 2, family: 10, oif, gateway: 'fe80::2' });
    await change.newNexthop(r, { id: 3, family: 2, blackhole: true });
    const group = [
      { id: 1, weight: 3 },
      { id: 2, weight: 200 },
    ];
    await change.newNexthop(r, { id: 10, group });
    const resilient = { buckets: 8, idleTimer: 1200, unbalancedTimer: 0 };
    await change.newNexthop(r, { id: 11, group: [{ id: 1, weight: 1 }], groupType: k.NEXTHOP_GRP_TYPE_RES, resilient });
    const found = await nexthops();
    expect(found.find((one) => one.id === 1)).toMatchObject({
      family: 2,
      oif,
      gateway: '10.1.0.2',
      protocol: k.RTPROT_ZEBRA,
      blackhole: false,
    });
    expect(found.find((one) => one.id === 3)).toMatchObject({ blackhole: true });
    expect(found.find((one) => one.id === 10)).toMatchObject({ group, groupType: 0 });
    expect(found.find((one) => one.id === 11)).toMatchObject({
      groupType: 1,
      resilient: { buckets: 8, idleTimer: 1200 },
    });
    await change.addRoute(r, { dst: '10.40.0.0/16', nhId: 10 });
    expect(await route('10.40.0.0/16')).toMatchObject({ nhId: 10, legs: [{ weight: 3 }, { weight: 200 }] });
    for (const id of [11, 10, 3, 2, 1]) await change.delNexthop(r, id);
    expect(await nexthops()).toEqual([]);
    expect(await route('10.40.0.0/16')).toBeUndefined();
  });

  it('nexthop groups with weights of two bytes, where the kernel has them', async () => {
    const r = requester();
    const { ifindex: oif } = await link('w0');
    await change.newNexthop(r, { id: 1, family: 2, oif, gateway: '10.1.0.2' });
    await change.newNexthop(r, { id: 2, family: 2, oif, gateway: '10.1.0.3' });
    const group = [
      { id: 1, weight: 257 },
      { id: 2, weight: 65535 },
    ];
    try {
      await change.newNexthop(r, { id: 10, group });
      expect((await nexthops()).find((one) => one.id === 10)?.group).toEqual(group);
    } catch (error) {
      // Before Linux 6.12 the second byte was reserved.
      expect(error).toMatchObject({ code: 'EINVAL' });
      process.stderr.write('SKIPPED: nexthop weights above 256: this kernel has one byte for them\n');
    }
    await change.newNexthop(r, { id: 11, fdb: true, family: 2, gateway: '10.1.0.4' });
    expect((await nexthops()).find((one) => one.id === 11)).toMatchObject({ fdb: true, labels: [], ttl: 0 });
    for (const one of await nexthops()) if (one.group === undefined) await change.delNexthop(r, one.id);
    expect(await nexthops()).toEqual([]);
  });

  it("a refusal carries the kernel's words, its errno, and where in the request it is", async () => {
    const r = requester();
    const failure = await change
      .addRoute(r, { dst: '10.50.0.0/16', legs: [{ gateway: '192.0.2.9' }] })
      .catch((error) => error);
    expect(failure).toBeInstanceOf(RtnlError);
    expect(failure).toMatchObject({ code: 'ENETUNREACH', errno: 101, reason: 'Nexthop has invalid gateway' });
    expect(failure.message).toBe('rtnetlink request 24: ENETUNREACH: Nexthop has invalid gateway');
    const pointed = await r
      .ack(k.RTM_NEWLINK, k.NLM_F_CREATE, (w) =>
        w.u32(0).u32(0).u32(0).u32(0).attrString(k.IFLA_IFNAME, 'a-name-that-is-too-long'),
      )
      .catch((error) => error);
    expect(pointed).toMatchObject({ code: 'ERANGE', offset: 32 });
  });
});
