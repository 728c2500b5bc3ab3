// Mroute: multicast entries as the kernel tells them, from real bytes and live, and through a monitor.

import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { wireOf } from '../../../src/netlink/attr.ts';
import { RtnlDumper } from '../../../src/netlink/dump.ts';
import { forEachMessage, MessageWriter } from '../../../src/netlink/message.ts';
import { NetlinkMonitor } from '../../../src/netlink/monitor.ts';
import { decodeMroute, type Mroute } from '../../../src/netlink/mroute.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { capturedLike, describeRoot, netnsForBlock, until } from './kernel.ts';
import { MulticastRouter } from './mfc.ts';
import { Model } from './model.ts';

const read = (like: string) => decodeMroute(wireOf(capturedLike(like).bytes), 0);

describe('multicast entries', () => {
  it('with source, outputs and thresholds', () => {
    expect(read('[MROUTE] (10.1.0.9, 239.1.1.2)')).toEqual({
      family: AF_INET,
      table: k.RT_TABLE_DEFAULT,
      source: '10.1.0.9',
      group: '239.1.1.2',
      iif: 3,
      oifs: [{ ifindex: 5, ttl: 5 }],
      unresolved: false,
      protocol: k.RTPROT_MROUTED,
      packets: 0n,
      bytes: 0n,
      wrongIf: 0n,
      lastUse: expect.any(BigInt),
    });
    const six = read('[MROUTE] (2001:db8:1::9, ff0e::1)');
    expect(six).toMatchObject({ family: AF_INET6, source: '2001:db8:1::9', group: 'ff0e::1', oifs: [{ ifindex: 5 }] });
  });

  it('without outputs, of any source, unresolved, and deleted', () => {
    expect(read('[MROUTE] (10.1.0.9, 239.1.1.3)')?.oifs).toEqual([]);
    expect(read('[MROUTE] (*, 239.1.1.4)')).toMatchObject({ source: '', oifs: [{ ifindex: 3 }, { ifindex: 5 }] });
    expect(read('[MROUTE] (*, ff0e::2)')).toMatchObject({ source: '', group: 'ff0e::2' });
    expect(read('239.9.9.9) unresolved')).toMatchObject({ unresolved: true, iif: 0, oifs: [], source: '10.1.0.1' });
    expect(read('Deleted (10.1.0.9, 239.1.1.1)')).toMatchObject({ iif: 0, group: '239.1.1.1' });
  });

  it('are no routes, and routes are no entries', () => {
    const message = new RouteMessage();
    expect(decodeRoute(wireOf(capturedLike('(10.1.0.9, 239.1.1.1)').bytes), 0, message)).toBe(true);
    expect([message.family, message.d0, message.dstLen, message.legs, message.oif]).toEqual([128, 0, 32, 0, 0]);
    expect(decodeMroute(wireOf(capturedLike('10.2.0.0/16 via').bytes), 0)).toBeUndefined();
  });

  it('with addresses of another size, broken outputs, short statistics or no group are malformed', () => {
    const message = (write: (w: MessageWriter) => void) => {
      const writer = new MessageWriter().begin(k.RTM_NEWROUTE, 0).u8(128).u8(32).u8(32).u8(0).u8(253).u8(17).u16(0x500);
      write(writer.u32(0));
      return decodeMroute(wireOf(writer.finish().written.slice()), 0);
    };
    const group = (w: MessageWriter) => w.attrBytes(k.RTA_DST, new Uint8Array([239, 1, 1, 1]));
    expect(message(group)).toMatchObject({ group: '239.1.1.1', source: '' });
    expect(message(() => undefined)).toBeUndefined();
    expect(message((w) => w.attrBytes(k.RTA_DST, new Uint8Array(16)))).toBeUndefined();
    expect(message((w) => group(w).attrBytes(k.RTA_SRC, new Uint8Array(5)))).toBeUndefined();
    expect(message((w) => group(w).attrBytes(k.RTA_MFC_STATS, new Uint8Array(23)))).toBeUndefined();
    expect(message((w) => group(w).attrBytes(k.RTA_EXPIRES, new Uint8Array(4)))).toBeUndefined();
    for (const length of [0, 7, 9, 0xffff]) {
      const hops = new Uint8Array([length & 255, length >> 8, 0, 1, 5, 0, 0, 0]);
      expect(message((w) => group(w).attrBytes(k.RTA_MULTIPATH, hops))).toBeUndefined();
    }
  });
});

describeRoot('multicast entries of a real kernel', () => {
  const netns = netnsForBlock(`
    link add va type veth peer name vb
    link add vc type veth peer name vd
    link set va up
    link set vb up
    link set vc up
    link set vd up
    addr add 10.1.0.1/24 dev va
    route add 239.0.0.0/8 dev va
  `);
  const ifindex: Record<string, number> = {};
  let routers: MulticastRouter[] = [];

  beforeAll(() => {
    for (const name of ['va', 'vc']) {
      const text = execFileSync('ip', ['-n', netns.name, '-o', 'link', 'show', name], { encoding: 'utf8' });
      ifindex[name] = Number.parseInt(text, 10);
    }
  });
  afterAll(() => {
    for (const router of routers) router.close();
  });

  /** Undefined, said aloud, where the kernel cannot route IPv6 multicast (Debian's user-mode-linux). */
  const openSix = (ifindexes: readonly number[]): MulticastRouter | undefined => {
    try {
      return new MulticastRouter(netns.path, AF_INET6, ifindexes);
    } catch (error) {
      expect((error as Error).message).toContain('ENOPROTOOPT');
      process.stderr.write('SKIPPED: IPv6 multicast entries: this kernel has no CONFIG_IPV6_MROUTE\n');
      return undefined;
    }
  };

  const dump = async (family: number): Promise<Mroute[]> => {
    const dumper = new RtnlDumper(new NetlinkSocket({ netns: netns.path, slotSize: 32768, slots: 16 }));
    const found: Mroute[] = [];
    const result = await dumper.dump(k.RTM_GETROUTE, { family }, (batch) =>
      forEachMessage(batch, (_type, _flags, offset) => {
        const m = decodeMroute(batch, offset);
        if (m !== undefined) found.push(m);
        return m !== undefined;
      }),
    );
    dumper.close();
    expect(result).toMatchObject({ complete: true, absent: false });
    return found;
  };

  it('come by notice and by dump, count their packets, and go with their router', async () => {
    const model = new Model();
    const monitor = new NetlinkMonitor({ netns: netns.path, backoffMs: 5 }, model);
    await monitor.start();
    await until('it is in sync', () => model.syncs > 0);
    const { va, vc } = ifindex as { va: number; vc: number };
    const four = new MulticastRouter(netns.path, AF_INET, [va, vc]);
    const six = openSix([va, vc]);
    routers = six === undefined ? [four] : [four, six];
    four.add('10.1.0.1', '239.1.1.1', va, { [vc]: 1 });
    four.add('10.1.0.9', '239.1.1.2', va, { [vc]: 32 });
    four.add('', '239.1.1.3', va, { [va]: 1, [vc]: 1 });
    six?.add('2001:db8::9', 'ff0e::1', va, { [vc]: 1 });
    six?.add('', 'ff0e::2', va, { [va]: 1, [vc]: 1 });
    const name = (index: number) => `if${index}`;
    const tail = (table: string) => `table ${table} proto mrouted`;
    const expected = [
      `[MROUTE] (*, 239.1.1.3) iif ${name(va)} oif ${name(va)} oif ${name(vc)} ${tail('default')}`,
      `[MROUTE] (*, ff0e::2) iif ${name(va)} oif ${name(va)} oif ${name(vc)} ${tail('main')}`,
      `[MROUTE] (10.1.0.1, 239.1.1.1) iif ${name(va)} oif ${name(vc)} ${tail('default')}`,
      `[MROUTE] (10.1.0.9, 239.1.1.2) iif ${name(va)} oif ${name(vc)} ttl 32 ${tail('default')}`,
      `[MROUTE] (2001:db8::9, ff0e::1) iif ${name(va)} oif ${name(vc)} ${tail('main')}`,
    ].filter((line) => six !== undefined || !line.includes('ff0e'));
    await until('all were told', () => model.content('mroute').length === expected.length);
    expect(model.content('mroute')).toEqual(expected);
    expect((await dump(k.RTNL_FAMILY_IPMR)).map((m) => m.group).sort()).toEqual([
      '239.1.1.1',
      '239.1.1.2',
      '239.1.1.3',
    ]);
    if (six === undefined) expect([...monitor.stats.unsupported]).toContain('mroute inet6');
    else expect((await dump(k.RTNL_FAMILY_IP6MR)).map((m) => m.group).sort()).toEqual(['ff0e::1', 'ff0e::2']);

    const send = (to: string) =>
      execFileSync('ip', ['netns', 'exec', netns.name, 'bash', '-c', `echo lcpd > /dev/udp/${to}/9`]);
    send('239.1.1.1');
    const counted = (await dump(k.RTNL_FAMILY_IPMR)).find((m) => m.group === '239.1.1.1');
    // IPv4 and UDP headers, and the five bytes with their line end.
    expect([counted?.packets, counted?.bytes]).toEqual([1n, 33n]);
    expect(counted?.lastUse).toBeLessThan(100n);

    send('239.9.9.9');
    await until('the unresolved one was told', () => model.content('mroute').join().includes('239.9.9.9'));
    expect(model.content('mroute').join()).toContain('(10.1.0.1, 239.9.9.9) unresolved');

    four.del('10.1.0.9', '239.1.1.2', va);
    await until('the deleted one is gone', () => !model.content('mroute').join().includes('239.1.1.2'));
    for (const router of routers.splice(0)) router.close();
    await until('all are gone', () => model.content('mroute').length === 0);
    expect(await dump(k.RTNL_FAMILY_IPMR)).toEqual([]);
    monitor.close();
  });

  it('lose an interface that ends without a word: the dump tells what is left', async () => {
    netns.ip('link add ve type veth peer name vf\nlink set ve up');
    const text = execFileSync('ip', ['-n', netns.name, '-o', 'link', 'show', 've'], { encoding: 'utf8' });
    const ve = Number.parseInt(text, 10);
    const { va, vc } = ifindex as { va: number; vc: number };
    const router = new MulticastRouter(netns.path, AF_INET, [va, vc, ve]);
    routers = [router];
    router.add('10.1.0.1', '239.2.2.2', va, { [vc]: 1, [ve]: 1 });
    router.add('10.1.0.1', '239.2.2.3', ve, { [vc]: 1 });
    const model = new Model();
    const monitor = new NetlinkMonitor({ netns: netns.path, backoffMs: 5 }, model);
    await monitor.start();
    await until('it is in sync', () => model.syncs > 0);
    const told = model.content('mroute');
    netns.ip('link del ve');
    await until('the end of the link was told', () => !model.content('link').join().includes(' ve@'));
    expect(model.content('mroute')).toEqual(told);
    const found = await dump(k.RTNL_FAMILY_IPMR);
    expect(found.find((m) => m.group === '239.2.2.2')?.oifs).toEqual([{ ifindex: vc, ttl: 1 }]);
    expect(found.find((m) => m.group === '239.2.2.3')?.iif).toBe(0);
    monitor.reread('mroute', { family: 0 });
    await until('the model knows', () => model.content('mroute').join() !== told.join());
    monitor.close();
  });
});
