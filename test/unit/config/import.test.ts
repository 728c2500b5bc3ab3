// The import of VPP's files: whole routers, and what becomes of pairs, namespaces and sub-interfaces.

import { describe, expect, it } from 'vitest';
import { imported, pairsOf, script, startupOnly } from './imported.ts';

// In the shape of the files of a router with a boot script in parts and named cards.
const partsConf = `
unix {
  nodaemon
  log /var/log/vpp/vpp.log
  exec /etc/vpp/bootstrap.vpp
  cli-listen /run/vpp/cli.sock
}
api-segment { gid vpp }   # a comment { that } has braces
cpu { main-core 0 workers 3 }
plugins { path /usr/lib/x86_64-linux-gnu/vpp_plugins
  plugin default { disable }
  plugin linux_cp_plugin.so { enable } plugin linux_nl_plugin.so { enable } }
dpdk { dev 0000:0c:00.0 { name xe0 num-rx-desc 1024 }
  decimal-interface-names }
linux-cp { default netns dataplane lcp-sync lcp-auto-subint del-dynamic-on-link-down num-rx-queues 4 num-tx-queues 2 }
linux-nl { nl-rx-buffer-size 67108864 nl-batch-size 4096 nl-batch-delay-ms 10 }
`;
const partsBoot = `comment { Booting from
  more than { one } line }
set logging class linux-cp rate-limit 1000 level warn syslog-level notice
lcp default netns dataplane
lcp lcp-sync on
lcp lcp-auto-subint on

exec /etc/vpp/interfaces.vpp
exec parts/loopbacks.vpp
`;
const partsInterfaces = `
lcp create TenGigabitEthernetc/0/1 host-if xe1-0
lcp create xe0 host-if xe0-0
create sub TenGigabitEthernetc/0/1 100
set interface mtu packet 9000 TenGigabitEthernetc/0/1
set interface ip address TenGigabitEthernetc/0/1 192.0.2.1/31
`;
const partsFiles = {
  '/etc/vpp/startup.conf': partsConf,
  '/etc/vpp/bootstrap.vpp': partsBoot,
  '/etc/vpp/interfaces.vpp': partsInterfaces,
  '/etc/vpp/parts/loopbacks.vpp': 'create loopback interface instance 0\nlcp create loop0 host-if loop0\n',
};

describe('whole routers', () => {
  it('a boot script in parts: scripts that scripts run, one default namespace, what has no counterpart', () => {
    const result = imported(partsFiles, { map: { xe0: 'enp12s0f0', 'TenGigabitEthernetc/0/1': 'enp12s0f1' } });
    expect(pairsOf(result)).toEqual(['enp12s0f1 xe1-0 dataplane tap', 'enp12s0f0 xe0-0 dataplane tap']);
    expect(result.config).toMatchObject({
      netns: 'dataplane',
      delStaticOnLinkDown: false,
      delDynamicOnLinkDown: true,
      unpairedRoutes: 'punt',
      netlink: { rxBufferBytes: 64 * 2 ** 20 },
    });
    expect([result.incomplete, result.left]).toEqual([false, []]);
    expect(result.remarks.map((remark) => remark.replace(/(: [^:]*).*/, '$1'))).toEqual([
      '/etc/vpp/startup.conf:15: lcp-sync',
      '/etc/vpp/startup.conf:15: num-rx-queues 4',
      '/etc/vpp/startup.conf:15: num-tx-queues 2',
      '/etc/vpp/startup.conf:16: nl-batch-size 4096',
      '/etc/vpp/startup.conf:16: nl-batch-delay-ms 10',
      '/etc/vpp/interfaces.vpp:4: TenGigabitEthernetc/0/1.100 needs no pair',
      '/etc/vpp/interfaces.vpp:6: lcp-sync gave this address to Linux; now Linux has it first',
      '/etc/vpp/parts/loopbacks.vpp:2: loop0 needs no pair',
      expect.stringMatching(/^routes out of unpaired interfaces: /),
      "3 commands of VPP's own (interfaces, routes, features) were not read",
    ]);
    const commands = result.remarks.flatMap((remark) => /`(.*)`/.exec(remark)?.[1] ?? []);
    expect(commands).toEqual([
      'ip -n dataplane link add link xe1-0 name xe1-0.100 type vlan id 100',
      'ip -n dataplane address add 192.0.2.1/31 dev xe1-0',
      'ip -n dataplane link add loop0 type dummy',
    ]);
  });

  it('without a mapping: the pairs wait in comments, with the card where the files name it', () => {
    const result = imported(partsFiles);
    expect([pairsOf(result), result.incomplete]).toEqual([[], true]);
    expect(result.left).toEqual([
      expect.stringMatching(
        /^\/etc\/vpp\/interfaces.vpp:2: .*--map TenGigabitEthernetc\/0\/1=PHY \(.* 0000:0c:00.1; see/,
      ),
      expect.stringMatching(/^\/etc\/vpp\/interfaces.vpp:3: .*--map xe0=PHY \(.* 0000:0c:00.0; see/),
    ]);
    expect(result.text).toContain('  # - { phy: PHY, host: xe0-0 } # xe0, /etc/vpp/interfaces.vpp:3, see below\n');
  });

  it('the template of a router distribution: settings, and pairs that its own program makes', () => {
    const text = `unix {\n  nodaemon\n  # exec /etc/vpp/bootstrap.vpp\n}\nplugins {\n  plugin default { disable }\n
      plugin linux_cp_plugin.so { enable }\n  plugin linux_nl_plugin.so { enable }\n}\ncrypto-engines { default { disable } }
      linux-cp {\n  lcp-sync\n  lcp-auto-subint\n  route-no-paths\n}\nlinux-nl {\n  nl-rx-buffer-size 268435456\n}\n`;
    const result = startupOnly(text);
    expect(result.config).toMatchObject({ unpairedRoutes: 'punt', netlink: { rxBufferBytes: 2 ** 28 }, pairs: [] });
    expect(result.text).toContain('\nunpaired-routes: punt\n');
    expect(result.left).toEqual([expect.stringMatching(/^no pair was found: .*--exec/)]);
    expect(result.remarks).toEqual([expect.stringMatching(/^s.conf:13: lcp-sync: not needed/)]);
  });

  it('network interfaces under VPP: their names are known without a mapping', () => {
    const result = script(
      [
        'vppctl create host-interface name eth0.7',
        'vppctl create host-interface name eth1 num-rx-queues 2',
        'create int rdma host-if enp1s0 name rd0 num-rx-queues 4',
        'create interface af_xdp host-if enp2s0 name xdp0',
        'lcp create host-eth0.7 host-if e0 netns cp',
        'lcp create host-eth1 netns cp host-if e1',
        'lcp create rd0 host-if e2 netns cp2 tun',
        'lcp create xdp0 host-if e3 netns cp',
      ].join('\n'),
    );
    expect(pairsOf(result)).toEqual(['eth0.7 e0 cp tap', 'eth1 e1 cp tap', 'enp1s0 e2 cp2 tun', 'enp2s0 e3 cp tap']);
    expect([result.incomplete, result.config.netns]).toEqual([false, undefined]);
  });
});

describe('namespaces', () => {
  it('a pair has the default of its line, and none before there was one', () => {
    const result = script(
      'lcp create host-a host-if e0\nlcp default netns cp\nlcp create host-b host-if e1\n' +
        'lcp default clear netns\nlcp create host-c host-if e2\nlcp default netns cp2\nlcp create host-d host-if e3',
    );
    expect(pairsOf(result)).toEqual(['a e0 - tap', 'b e1 cp tap', 'c e2 - tap', 'd e3 cp2 tap']);
  });

  it.each(['a/b', '..', 'x'.repeat(300)])('the default %j cannot be one, and its pairs say so', (netns) => {
    const result = script(
      `lcp default netns ${netns}\nlcp create host-a host-if e0\nlcp create host-b host-if e1 netns cp`,
    );
    expect(pairsOf(result)).toEqual(['b e1 cp tap']);
    expect(result.left).toEqual([expect.stringMatching(/^x.vpp:2: pair host-a, e0: netns: /)]);
  });
});

describe('pairs', () => {
  it.each([
    ['7', '', /^x.vpp:1: pair 7, e0: 7 is a sw_if_index: give --map 7=PHY/],
    ['BondEthernet0', '', /a bond is made by Linux for lcpd: give --map BondEthernet0=PHY/],
    ['GigabitEthernet0/8/0', '', /PCI device 0000:00:08.0; see \/sys\/bus\/pci\/devices\/0000:00:08.0\/net/],
    ['HundredGigabitEthernet1/af/0/1', '', /PCI device 0001:af:00.1;/],
    ['tap0', '', /--map tap0=PHY$/],
    ['loop1', 'set interface l2 bridge loop1 1 bvi', /lcpd does not bridge: make a bridge of Linux/],
    ['host-a/b', '', /an interface name cannot contain "\/"/],
    ['host-lo', '', /the loopback interface cannot be in a pair/],
    ['host-e0', '', /has the name of the phy in the pair of host-e0/],
  ])('%s is left to do', (name, more, expected) => {
    const result = script(`lcp create ${name} host-if e0\n${more}`);
    expect([pairsOf(result), result.incomplete]).toEqual([[], true]);
    expect(result.left).toEqual([expect.stringMatching(expected)]);
  });

  it('a mapping is over what the files say, also for names that need no pair', () => {
    const result = script('lcp create host-a host-if e0\nlcp create loop0 host-if e1\nlcp create a.5 host-if e2\n', {
      'host-a': 'b',
      loop0: 'dummy0',
      'a.5': 'v5',
    });
    expect(pairsOf(result)).toEqual(['b e0 - tap', 'dummy0 e1 - tap', 'v5 e2 - tap']);
    expect(result.left).toEqual([]);
  });

  it('a mapping that fits no line is said', () => {
    const result = script('lcp create host-a host-if e0', { GigabitEthernet0: 'b' });
    expect(result.left).toEqual(['--map GigabitEthernet0: there is no `lcp create` line of this name']);
  });

  it('two of one phy, or of one host: the second waits', () => {
    const result = script(
      'lcp create A host-if e0\nlcp create B host-if e1\nlcp create host-c host-if e0\nlcp create host-d host-if e0 netns x\n' +
        'lcp create host-d host-if e7',
      { A: 'p', B: 'p' },
    );
    expect(pairsOf(result)).toEqual(['p e0 - tap', 'd e0 x tap']);
    expect(result.left).toEqual([
      expect.stringMatching(/^x.vpp:2: pair B, e1: phy p is already in the pair of A/),
      expect.stringMatching(/^x.vpp:3: pair host-c, e0: host e0 is already in the pair of A/),
    ]);
    expect(result.remarks).toContain(
      'x.vpp:5: lcp create host-d: VPP refuses it, x.vpp:4 has already made a pair of it',
    );
  });

  it('a deleted pair is gone', () => {
    const result = script(
      'lcp create host-a host-if e0\nlcp delete host-a\nlcp del host-b\nlcp create host-c host-if e0',
    );
    expect(pairsOf(result)).toEqual(['c e0 - tap']);
    expect(result.remarks).toContain('x.vpp:3: lcp delete host-b: there is no such pair');
  });

  it('more than lcpd takes', () => {
    const lines = Array.from({ length: 1030 }, (_, i) => `lcp create host-p${i} host-if e${i}`);
    const result = script(lines.join('\n'));
    expect(result.config.pairs.length).toBe(1024);
    expect(result.left.length).toBe(6);
    expect(result.left[0]).toMatch(/^x.vpp:1025: .*at most 1024 pairs/);
  });
});

describe('sub-interfaces', () => {
  const commands = (text: string) => script(text).remarks.flatMap((remark) => /`ip (.*)`/.exec(remark)?.[1] ?? []);

  it('become commands that make the same tags on the host', () => {
    expect(
      commands(
        [
          'lcp create host-a host-if e0 netns cp',
          'create sub-interfaces host-a 10',
          'create sub host-a 20 dot1ad 200 exact-match',
          'create sub host-a 21 dot1ad 200 inner-dot1q 5 exact-match',
          'lcp create host-a.10 host-if e0.10',
          'lcp create host-a.20 host-if outer',
          'lcp create host-a.21 host-if inner',
        ].join('\n'),
      ),
    ).toEqual([
      '-n cp link add link e0 name e0.10 type vlan id 10',
      '-n cp link add link e0 name outer type vlan protocol 802.1ad id 200',
      '-n cp link add link outer name inner type vlan id 5',
    ]);
  });

  it('are paired without a line only while lcp-auto-subint is on', () => {
    const text = (state: string) => `lcp lcp-auto-subint ${state}\nlcp create host-a host-if e0\ncreate sub host-a 10`;
    expect(commands(text('on'))).toEqual(['link add link e0 name e0.10 type vlan id 10']);
    expect(commands(text('off'))).toEqual([]);
  });

  it.each(['create sub host-a 10 dot1q any exact-match', 'create sub host-a 10 dot1q 5 inner-dot1q 7 exact-match', ''])(
    'without known tags (%j) there is no command, and still no pair',
    (line) => {
      const result = script(`lcp create host-a host-if e0\n${line}\nlcp create host-a.10 host-if e0.10`);
      expect(pairsOf(result)).toEqual(['a e0 - tap']);
      expect(result.remarks.filter((remark) => /host-a.10 needs no pair/.test(remark)).length).toBe(1);
      expect(result.text).not.toContain('`ip');
    },
  );
});
