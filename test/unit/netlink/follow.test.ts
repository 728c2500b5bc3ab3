// The monitor on a real kernel: after anything that happens, what it told is what a fresh dump tells.

import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { MessageWriter } from '../../../src/netlink/message.ts';
import { NetlinkMonitor } from '../../../src/netlink/monitor.ts';
import { encodeRoute } from '../../../src/netlink/routeobject.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { describeRoot, netnsForBlock, random, TestNetns, until } from './kernel.ts';
import { freshDump, Model } from './model.ts';

const SETUP = `
  link add va type veth peer name vb
  link set lo up
  link set va up
  link set vb up
  addr add 10.1.0.1/24 dev va
  addr add 2001:db8:1::1/64 dev va nodad
`;

describeRoot('following a real kernel', () => {
  const netns = netnsForBlock(SETUP);

  const follow = async (model: Model, receiveBuffer?: number): Promise<NetlinkMonitor> => {
    const options = receiveBuffer === undefined ? {} : { receiveBuffer };
    const monitor = new NetlinkMonitor({ netns: netns.path, backoffMs: 5, ...options }, model);
    await monitor.start();
    await until('it is in sync', () => model.syncs > 0);
    return monitor;
  };

  /** Waits until the model is the kernel; kinds whose entries change by themselves are left out. */
  const agree = async (model: Model): Promise<void> => {
    const kinds = ['link', 'rule', 'nexthop', 'route'] as const;
    let last = '';
    let fresh = await freshDump(netns.path);
    const end = performance.now() + 8000;
    while (performance.now() < end) {
      last = JSON.stringify(model.content(...kinds));
      if (last === JSON.stringify(fresh.content(...kinds))) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
      fresh = await freshDump(netns.path);
    }
    expect(model.content(...kinds)).toEqual(fresh.content(...kinds));
  };

  it('starts with what is there', async () => {
    netns.ip('route add 10.2.0.0/16 via 10.1.0.2\n-6 route add 2001:db8:2::/48 via 2001:db8:1::2'.replace('-6 ', ''));
    const model = new Model();
    const monitor = await follow(model);
    await agree(model);
    expect(model.content('route').join()).toContain('2001:db8:2::/48');
    expect(model.content('address').join()).toContain('10.1.0.1/24');
    expect(monitor.stats.malformed.total).toBe(0);
    monitor.close();
  });

  it('names what this kernel lacks, once, and reads the rest', async () => {
    const model = new Model();
    const monitor = await follow(model);
    const mpls = existsSync('/proc/sys/net/mpls') ? [] : ['netconf mpls', 'route mpls'];
    expect([...monitor.stats.unsupported].filter((name) => name.includes('mpls'))).toEqual(mpls);
    expect([...monitor.stats.unsupported].filter((name) => name.startsWith('group'))).toEqual([]);
    expect(monitor.stats).toMatchObject({ state: 'in-sync', resyncs: 1, losses: 0 });
    // A kernel without MPLS shows its other routes instead: they must not be in that part, nor lost from theirs.
    const before = model.content('route');
    monitor.reread('route', { family: k.AF_MPLS });
    await until('it was read', () => model.log.at(-1) === 'end route 28 true');
    expect(model.content('route')).toEqual(before);
    expect(before.length).toBeGreaterThan(3);
    monitor.close();
  });

  it('follows links, addresses, nexthops and routes as they come and go', async () => {
    const model = new Model();
    const monitor = await follow(model);
    netns.ip(`
      link add br9 type bridge
      link set vb master br9
      link set br9 up
      nexthop add id 1 via 10.1.0.2 dev va
      nexthop add id 2 via 10.1.0.3 dev va
      nexthop add id 10 group 1,3/2
      route add 10.30.0.0/16 nhid 10
      route add 10.31.0.0/16 nexthop via 10.1.0.2 weight 2 nexthop via inet6 fe80::9 dev va
      route add blackhole 10.32.0.0/16 table 77
      route add 2001:db8:30::/48 via fe80::3 dev va metric 5
    `);
    await agree(model);
    netns.ip(`
      nexthop replace id 10 group 2
      route replace 10.31.0.0/16 via 10.1.0.9
      route del 10.32.0.0/16 table 77
      route del 2001:db8:30::/48 via fe80::3 dev va metric 5
      link set vb nomaster
      link del br9
    `);
    await agree(model);
    expect(model.log.filter((line) => line.startsWith('sync'))).toEqual(['sync start']);
    monitor.close();
  });

  it('silent removals are found by rereading the part they belong to', async () => {
    const model = new Model();
    const monitor = await follow(model);
    netns.ip('link add vc type veth peer name vd\nlink set vc up\nlink set vd up\naddr add 10.60.0.1/24 dev vc');
    netns.ip('route add 10.61.0.0/16 via 10.60.0.2');
    await until('the route is there', () => model.content('route').join().includes('10.61.0.0/16'));
    const vc = [...model.entries].find(([, entry]) => entry.kind === 'link' && entry.text.includes(': vc@'));
    const ifindex = Number(vc?.[0].split(' ').at(-1));
    // The kernel removes the IPv4 routes of a device that goes down without a word.
    netns.ip('link set vc down');
    await until('the link is seen down', () => !model.content('link').join().includes(`${ifindex}: vc@vd: <UP`));
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(model.content('route').join()).toContain('10.61.0.0/16');
    monitor.reread('route', { family: 2, oif: ifindex });
    await until('it is swept', () => !model.content('route').join().includes('10.61.0.0/16'));
    await agree(model);
    netns.ip('link del vc');
    monitor.close();
  });

  it('overruns of a small buffer during a storm end with exactly what the kernel holds', async () => {
    const seed = Number(process.env.STORM_SEED ?? Date.now() % 0x7fffffff);
    const next = random(seed);
    const model = new Model();
    const monitor = await follow(model, 4096);
    const loader = new NetlinkSocket({ netns: netns.path });
    const writer = new MessageWriter(1 << 16);
    for (let burst = 0; burst < 40; burst++) {
      writer.reset();
      for (let i = 0; i < 200; i++) {
        const add = next(3) > 0;
        writer.begin(
          add ? k.RTM_NEWROUTE : k.RTM_DELROUTE,
          k.NLM_F_REQUEST | (add ? k.NLM_F_CREATE | k.NLM_F_REPLACE : 0),
          1,
        );
        const gateway = next(2) === 0 ? '10.1.0.2' : '10.1.0.3';
        const dst = `10.${100 + next(4)}.${next(256)}.0/24`;
        encodeRoute(writer, {
          dst,
          legs: add ? [{ gateway }] : [],
          ...(add ? {} : { protocol: 0, scope: 255, type: 0 }),
        });
        writer.finish();
      }
      loader.send(writer.written);
      if (burst % 8 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await until(
      'it is in sync after the storm',
      () => monitor.stats.state === 'in-sync' && monitor.stats.losses > 0,
      15_000,
    );
    try {
      await agree(model);
    } catch (error) {
      throw new Error(`the model differs with STORM_SEED=${seed}`, { cause: error });
    }
    expect(monitor.stats.losses).toBeGreaterThan(0);
    expect(monitor.stats.drops).toBeGreaterThan(0);
    expect(model.log).toContain('lost overrun');
    expect(model.content('route').length).toBeGreaterThan(300);
    loader.close();
    monitor.close();
  });

  it('ends when its namespace is deleted, and its successor is followed by a new one', async () => {
    const one = new TestNetns();
    one.add();
    one.ip('link set lo up');
    const first = new Model();
    const monitor = new NetlinkMonitor({ netns: one.path }, first);
    await monitor.start();
    await until('it is in sync', () => first.syncs === 1);
    one.del();
    await until('it has ended', () => monitor.closed);
    expect(first.log.at(-1)).toBe(`closed network namespace ${one.name} vanished`);

    one.add();
    one.ip('link add vx type veth peer name vy');
    const second = new Model();
    const successor = new NetlinkMonitor({ netns: one.path }, second);
    await successor.start();
    await until('the new one is in sync', () => second.syncs === 1);
    expect(second.content('link').join()).toContain('vx@');
    one.del();
    one.add();
    await until('a replaced namespace is noticed', () => successor.closed);
    expect(second.log.at(-1)).toMatch(/^closed network namespace \S+ (replaced|vanished)$/);
    one.del();
    const absent = new NetlinkMonitor({ netns: one.path }, new Model());
    await expect(absent.start()).rejects.toThrow('ENOENT');
  });

  it('follows only links where nothing else matters', async () => {
    const model = new Model();
    const monitor = new NetlinkMonitor({ netns: netns.path, linksOnly: true }, model);
    await monitor.start();
    await until('it is in sync', () => model.syncs === 1);
    netns.ip('route add 10.99.0.0/16 via 10.1.0.2\nlink set va alias only');
    await until('the link change is heard', () => model.content('link').join().includes('alias only'));
    expect(model.content('route', 'address')).toEqual([]);
    expect(model.log.filter((line) => line.startsWith('begin'))).toEqual(['begin link 0']);
    monitor.close();
  });
});
