// Unhonoured: what the kernel has and the data plane cannot follow: each listed once with its reason, all of it told as a
// difference unless the kernel gets the packets, and nothing else.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Core } from '../../../src/lcp/core.ts';
import { diff } from '../../../src/lcp/diff.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { unhonouredRows } from '../../../src/lcp/unhonoured.ts';
import { AF_INET, AF_INET6 } from '../../../src/lib/ip.ts';
import { SYNC_SCOPES } from '../../../src/netlink/scopes.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { type ExtraKernel, extraRouter } from './extrakernel.ts';
import * as bytes from './kernelbytes.ts';
import { batchFrom, type Message } from './kernelbytes.ts';
import type { Router } from './router.ts';

const GW = '10.0.0.2';
const cp = (...messages: Message[]) => {
  const ns = new Namespace('cp');
  ns.apply(batchFrom([bytes.newLink({ ifindex: 2, name: 'e0', flags: k.IFF_UP | k.IFF_LOWER_UP }), ...messages]));
  return ns;
};
const rows = (ns: Namespace) =>
  unhonouredRows(ns).map((r) => `${r.kind}: ${r.key}: ${r.reason}${r.differs ? '' : ' (punted)'}`);
const told = (...messages: Message[]) => rows(cp(...messages));
const legs = [{ oif: 2, gateway: GW }];

describe('rows', () => {
  it.each<[string, Message[], string[]]>([
    [
      'nothing of what is usual',
      [
        bytes.newRule({ family: AF_INET, priority: 0, table: 255 }),
        bytes.newRule({ family: AF_INET6, priority: 1000, l3mdev: true }),
        bytes.newRoute({ dst: '10.1.0.0/16', legs: [{ oif: 2, gateway: GW, labels: [100] }] }),
        bytes.newNexthop({ id: 1, oif: 2, gateway: GW, family: AF_INET, labels: [100] }),
      ],
      [],
    ],
    [
      'rules, of both families',
      [
        bytes.newRule({ family: AF_INET, priority: 5, table: 7, fwmark: 1, fwmask: 0xffffffff }),
        bytes.newRule({ family: AF_INET6, priority: 6, action: k.FR_ACT_PROHIBIT }),
      ],
      [
        'rule: ip rule 5: from all fwmark 0x1 lookup 7: the data plane cannot look at: fwmark',
        'rule: ip -6 rule 6: from all prohibit: the data plane has no rules that end a lookup',
      ],
    ],
    [
      'tables beyond the fifth, also if only one interface looks so far',
      [1, 2, 3, 4, 5, 6].map((table) => bytes.newRule({ family: AF_INET, priority: table, table, iifname: 'e0' })),
      ['rule: ip rule 6: from all iif e0 lookup 6: the data plane looks through 5 tables only'],
    ],
    [
      'source-specific routes',
      [bytes.newRoute({ dst: 'fd01::/16', src: 'fd02::/32', priority: 9, legs: [{ oif: 2 }] })],
      ['route6: fd01::/16 from fd02::/32 table 254 metric 9: the data plane has no source-specific routes'],
    ],
    [
      'routes with a tos, not those without',
      [bytes.newRoute({ dst: '10.1.0.0/16', tos: 16, legs }), bytes.newRoute({ dst: '10.1.0.0/16', legs })],
      ['route4: 10.1.0.0/16 tos 0x10 table 254: the data plane does not look at tos'],
    ],
    [
      'IPv6 routes of one metric with several gateways and with none, not those of other metrics',
      [
        ...[1, 2].map((metric) =>
          bytes.newRoute({
            dst: 'fd01::/16',
            priority: metric,
            legs: ['fd00::2', 'fd00::3'].map((gateway) => ({ oif: 2, gateway })),
          }),
        ),
        ...[2, 3].map((metric) => bytes.newRoute({ dst: 'fd01::/16', priority: metric, legs: [{ oif: 2 }] })),
      ],
      [
        'route6: fd01::/16 table 254 metric 2, with gateways and without: ' +
          'which of them the kernel takes follows from when their legs were added, which it does not tell',
      ],
    ],
    [
      'equal default routes, if they have gateways',
      [
        ...[GW, '10.0.0.3', '10.0.0.4'].map((gateway, i) =>
          bytes.newRoute({ dst: '0.0.0.0/0', priority: i < 2 ? 7 : 9, legs: [{ oif: 2, gateway }] }, k.NLM_F_CREATE),
        ),
        ...[1, 2].map((protocol) =>
          bytes.newRoute({ dst: '0.0.0.0/0', priority: 8, protocol, legs: [{ oif: 2 }] }, k.NLM_F_CREATE),
        ),
      ],
      [
        'route4: 2 equal default routes, table 254 metric 7: ' +
          'the kernel takes one whose gateway answers, the data plane the first',
      ],
    ],
    [
      'an encapsulation, once for all its routes',
      [
        bytes.newRoute({ dst: '10.1.0.0/16', legs, encapType: 5 }),
        bytes.newRoute({ dst: '10.2.0.0/16', legs: [{ oif: 2, gateway: '10.0.0.3' }], encapType: 5 }),
      ],
      ['encap: routes with encap seg6 dev e0: the data plane has no such encapsulation (punted)'],
    ],
    [
      'more labels than a leg can have',
      [
        bytes.newRoute({
          dst: '10.1.0.0/16',
          legs: [{ oif: 2, gateway: GW, labels: Array.from({ length: 9 }, () => 20) }],
        }),
      ],
      [
        'encap: routes with encap more labels than one leg can have dev e0: the data plane has no such encapsulation (punted)',
      ],
    ],
    [
      'a resilient group',
      [
        bytes.newNexthop({ id: 1, oif: 2, gateway: GW, family: AF_INET }),
        bytes.newNexthop({ id: 9, group: [{ id: 1, weight: 1 }], groupType: 1, resilient: { buckets: 32 } }),
      ],
      ["nexthop: nexthop id 9 type resilient: flows are spread by weight, not by the kernel's buckets (punted)"],
    ],
  ])('%s', (_, messages, expected) => expect(told(...messages)).toEqual(expected));

  it('an encapsulation of a nexthop object that routes use, not of one that none uses', () => {
    const labels = Array.from({ length: 9 }, () => 20);
    const object = bytes.newNexthop({ id: 1, oif: 2, gateway: GW, family: AF_INET, labels });
    expect(told(object)).toEqual([]);
    expect(told(object, bytes.newRoute({ dst: '10.1.0.0/16', nhId: 1 }))).toHaveLength(1);
    const blackhole = bytes.newNexthop({ id: 1, blackhole: true, family: AF_INET });
    expect(told(blackhole, bytes.newRoute({ dst: '10.1.0.0/16', nhId: 1 }))).toEqual([]);
  });

  it('end with what they tell of', () => {
    const tos = { dst: '10.1.0.0/16', tos: 16, legs };
    const seg6 = { dst: '10.2.0.0/16', legs, encapType: 5 };
    const source = { dst: 'fd01::/16', src: 'fd02::/32', legs: [{ oif: 2 }] };
    const rule = { family: AF_INET, priority: 5, table: 7, fwmark: 1 };
    const ns = cp(...[tos, seg6, source].map((r) => bytes.newRoute(r)), bytes.newRule(rule));
    expect(rows(ns)).toHaveLength(4);
    ns.apply(batchFrom([...[tos, seg6, source].map((r) => bytes.delRoute(r)), bytes.delRule(rule)]));
    expect(rows(ns)).toEqual([]);
  });

  it('are bounded', () => {
    const many = (of: (i: number) => Message) => Array.from({ length: 1100 }, (_, i) => of(i));
    const dst = (i: number) => `10.${i >> 8}.${i & 255}.0/24`;
    expect(told(...many((i) => bytes.newRoute({ dst: dst(i), tos: 16, legs })))).toHaveLength(1000);
    const src = (i: number) => `fd02:${i.toString(16)}::/32`;
    const sources = many((i) => bytes.newRoute({ dst: 'fd01::/16', src: src(i), legs: [{ oif: 2 }] }));
    expect(told(...sources)).toHaveLength(1000);
  });
});

describe('lcpctl diff', () => {
  let r: Router;
  let kernel: ExtraKernel;
  /** The core as main wires it, as far as a comparison looks at it. */
  const core = (): Core => {
    const sources = new Map(
      [...r.namespaces].map(([name, ns]) => {
        const snapshot = async () => {
          const fresh = new Namespace(name);
          for (const [kind, family] of SYNC_SCOPES) {
            fresh.dumpBegin(kind, { family });
            const messages = r.kernel(name).dump(kind, { family });
            if (messages.length > 0) fresh.apply(batchFrom(messages, true));
            fresh.dumpEnd(kind, true, { family });
          }
          return fresh;
        };
        return [name, { ns, settled: true, snapshot }];
      }),
    );
    return {
      reconciler: r.reconciler,
      pipeline: { running: false },
      dataplane: {
        info: () => r.dataplane.info(),
        // links are no objects of their own for the drivers
        dump: async () => (await r.dataplane.dump()).filter((h) => h.object.kind !== 'link'),
        dumpRoutes: (...args: Parameters<typeof r.dataplane.dumpRoutes>) => r.dataplane.dumpRoutes(...args),
        paths: (handle: number) => r.dataplane.paths(handle),
      },
      sources,
      defaultNetns: () => 'cp',
      now: () => r.now,
    } as unknown as Core;
  };
  const differences = async () => (await diff(core())).differences.map((d) => `${d.kind} ${d.key}: ${d.reason}`);

  beforeEach(async () => {
    ({ r, kernel } = await extraRouter(true));
  });

  it('is empty with VRFs, VLANs, labels, multicast and punted encapsulations', async () => {
    const e0 = kernel.linkNamed('e0').ifindex;
    const e1 = kernel.linkNamed('e1').ifindex;
    kernel.rule({ priority: 1000, l3mdev: true });
    kernel.vrf(20, 'red', 10);
    kernel.vlan(500, e0, 100);
    kernel.route({ family: k.AF_MPLS, dst: '100', legs: [{ oif: e0, gateway: '10.0.1.2', labels: [200] }] });
    kernel.route({ dst: '10.8.0.0/16', legs: [{ oif: 500, gateway: '10.0.1.2' }], encapType: 5 });
    kernel.route({ dst: 'fd99::/64', legs: [{ oif: e0, gateway: 'fd00:1::2', labels: [16] }] });
    kernel.mroute({ source: '10.0.1.9', group: '239.1.1.1', iif: e0, oifs: [{ ifindex: e1 }] });
    await r.settle();
    expect(await differences()).toEqual([]);
    expect(unhonouredRows(r.ns())).toHaveLength(1);
  });

  it('has exactly what is not honoured and not punted', async () => {
    const e0 = kernel.linkNamed('e0').ifindex;
    kernel.rule({ priority: 5, table: 7, fwmark: 1 });
    kernel.route({ dst: '10.8.0.0/16', tos: 16, legs: [{ oif: e0, gateway: '10.0.1.2' }] });
    kernel.route({ dst: 'fd98::/64', src: 'fd02::/32', priority: 9, legs: [{ oif: e0 }] });
    kernel.route({ dst: '10.9.0.0/16', legs: [{ oif: e0, gateway: '10.0.1.2' }], encapType: 5 });
    await r.settle();
    expect(await differences()).toEqual([
      'rule cp ip rule 5: from all fwmark 0x1/0x0 lookup 7: unsupported: the data plane cannot look at: fwmark',
      'route6 cp fd98::/64 from fd02::/32 table 254 metric 9: unsupported: the data plane has no source-specific routes',
      'route4 cp 10.8.0.0/16 tos 0x10 table 254: unsupported: the data plane does not look at tos',
    ]);
  });

  it('finds a rule and a multicast entry that the mirror missed', async () => {
    kernel.rule({ priority: 100, table: 42 });
    kernel.mroute({ source: '10.0.1.9', group: '239.1.1.1', iif: 999 });
    kernel.take();
    expect((await differences()).map((d) => d.split(' ').slice(0, 2).join(' '))).toEqual([
      'kernel rule',
      'kernel mroute',
    ]);
  });
});
