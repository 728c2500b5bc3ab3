// `punts:` of the configuration: what each entry becomes.

import { describe, expect, expectTypeOf, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import type { PuntConfig } from '../../../src/config/puntconfig.ts';
import type { PuntRequest } from '../../../src/punt/request.ts';

const yaml = (entry: string) => `punts:\n  - { name: p, ${entry} }`;

function puntsOf(text: string): readonly PuntConfig[] {
  const result = loadConfig(text);
  if ('errors' in result) throw new Error(JSON.stringify(result.errors));
  return result.config.punts;
}

const specOf = (entry: string) => puntsOf(yaml(entry))[0]?.spec;

it('is the request that the punt manager takes', () => {
  expectTypeOf<PuntConfig>().toExtend<PuntRequest>();
  expectTypeOf<PuntRequest>().toExtend<PuntConfig>();
});

describe('an entry', () => {
  it('is known by its namespace and name, and is for the host itself where there is no namespace', () => {
    const entries = '[{ name: a, type: span, interface: x }, { name: a, netns: c2, type: span, interface: x }]';
    expect(puntsOf(`punts: ${entries}`).map(({ id, netns }) => [id, netns])).toEqual([
      [{ cnf: '', key: 'config', label: 'a' }, ''],
      [{ cnf: 'c2', key: 'config', label: 'a' }, 'c2'],
    ]);
    expect(puntsOf(`netns: cp\npunts: ${entries}`).map(({ id }) => id.cnf)).toEqual(['cp', 'c2']);
    const own = puntsOf('netns: cp\npunts: [{ name: a, type: span, interface: x, netns: "" }]');
    expect(own[0]).toMatchObject({ id: { cnf: '' }, netns: '' });
  });

  it.each<[string, unknown]>([
    [
      'type: to-host, l3: IPv4, l4: UDP, port: 9000, socket: /s',
      { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket: '/s' },
    ],
    [
      'type: to-host, l3: ALL, l4: tcp, port: 65535',
      { type: 'to-host', l3: 'all', l4: 'tcp', port: 65_535, socket: '' },
    ],
    [
      'type: ip-protocol, l3: IPV6, protocol: OSPF, socket: /s',
      { type: 'ip-protocol', l3: 'ipv6', protocol: 89, socket: '/s' },
    ],
    ['type: ip-protocol, l3: ipv4, protocol: "103"', { type: 'ip-protocol', l3: 'ipv4', protocol: 103, socket: '' }],
    ['type: icmp6, icmp-type: 135, socket: /s', { type: 'icmp6', icmpType: 135, socket: '/s' }],
    [
      'type: exception, reason: ipsec4-no-such-tunnel',
      { type: 'exception', reason: 'ipsec4-no-such-tunnel', socket: '' },
    ],
    [
      'type: ip-redirect, l3: all, tx: t, next-hop: ["2001:DB8::0:1", 192.0.2.1]',
      { type: 'ip-redirect', l3: 'all', rx: '', tx: 't', nextHops: ['2001:db8::1', '192.0.2.1'] },
    ],
    ['type: ip-redirect, l3: ipv4, rx: r, tx: t', { type: 'ip-redirect', l3: 'ipv4', rx: 'r', tx: 't', nextHops: [] }],
    ['type: police, scope: ipv4, rate: 1000', { type: 'police', scope: 'ipv4', unit: 'pps', rate: 1000, burst: 100 }],
    ['type: police, scope: bfd', { type: 'police', scope: 'bfd', unit: 'pps', rate: 20_000, burst: 100 }],
    ['type: police, scope: arp, rate: 2', { type: 'police', scope: 'arp', unit: 'pps', rate: 2, burst: 500 }],
    [
      'type: police, scope: bgp, rate: 8000, unit: KBPS',
      { type: 'police', scope: 'bgp', unit: 'kbps', rate: 8000, burst: 100_000 },
    ],
    [
      'type: police, scope: nd, rate: 1, unit: kbps',
      { type: 'police', scope: 'nd', unit: 'kbps', rate: 1, burst: 1500 },
    ],
    ['type: hairpin-xconnect, interfaces: [a, b]', { type: 'hairpin-xconnect', interfaces: ['a', 'b'] }],
    [
      'type: hairpin, interface: a, hairpin-interface: { name: h }',
      {
        type: 'hairpin',
        interface: 'a',
        hairpin: { name: 'h', mac: '', addresses: [], vrf: 0, dhcpClient: false, mtu: 0 },
      },
    ],
    [
      'type: hairpin, interface: a, hairpin-interface: { name: h, mac: 02-FD-00-00-00-01, addresses: [10.0.0.1/8, "2001:DB8::1/64"], vrf: 5, dhcp-client: true, mtu: 9000 }',
      {
        type: 'hairpin',
        interface: 'a',
        hairpin: {
          name: 'h',
          mac: '02:fd:00:00:00:01',
          addresses: ['10.0.0.1/8', '2001:db8::1/64'],
          vrf: 5,
          dhcpClient: true,
          mtu: 9000,
        },
      },
    ],
    ['type: span, interface: a', { type: 'span', interface: 'a', direction: 'both' }],
    ['type: dhcp-proxy', { type: 'dhcp-proxy', l3: 'ipv4', vrf: 0, withoutCnfVrf: false }],
    [
      'type: isisx, interface: a, vrf: 4294967295, without-cnf-vrf: true',
      { type: 'isisx', interface: 'a', vrf: 4_294_967_295, withoutCnfVrf: true },
    ],
  ])('%s', (entry, spec) => {
    expect(specOf(entry)).toEqual(spec);
  });

  it.each([
    ['type: to-host, l3: all, l4: udp, port: 1, socket: /s', 'af-unix', false],
    ['type: to-host, l3: all, l4: udp, port: 1, socket: /s, interconnect: AF_UNIX', 'af-unix', false],
    ['type: to-host, l3: all, l4: udp, port: 1', 'tap', false],
    ['type: span, interface: a', 'tap', false],
    ['type: span, interface: a, interconnect: MEMIF, netns: c, gso: true', 'memif', true],
    ['type: police, scope: ipv6, rate: 1', 'tap', false],
  ])('%s is reached by %s', (entry, interconnect, gso) => {
    expect(puntsOf(yaml(entry))[0]).toMatchObject({ interconnect, gso });
  });

  it('takes rules of an abx with words, networks, ranges and flags', () => {
    const rule = (text: string) => {
      const spec = specOf(`type: abx, interface: a, ingress: [${text}]`);
      return spec?.type === 'abx' ? spec.ingress[0] : undefined;
    };
    const all = {
      permit: true,
      source: 'any',
      destination: 'any',
      protocol: 0,
      sourcePorts: [0, 65_535],
      destinationPorts: [0, 65_535],
      flagsMask: 0,
      flagsValue: 0,
    };
    expect(rule('{}')).toEqual(all);
    expect(rule('{ action: Deny, source: "", destination: LOCAL, protocol: ospf }')).toEqual({
      ...all,
      permit: false,
      destination: 'local',
      protocol: 89,
    });
    expect(rule('{ source: 10.1.2.3/8, destination: 192.0.2.1, protocol: udp, source-port: 67 }')).toEqual({
      ...all,
      source: '10.0.0.0/8',
      destination: '192.0.2.1/32',
      protocol: 17,
      sourcePorts: [67, 67],
    });
    expect(
      rule('{ protocol: 6, source-port: 1024-65535, destination-port: "179", tcp-flags: { mask: 18, value: 2 } }'),
    ).toEqual({
      ...all,
      protocol: 6,
      sourcePorts: [1024, 65_535],
      destinationPorts: [179, 179],
      flagsMask: 18,
      flagsValue: 2,
    });
    expect(rule('{ protocol: ICMPv6, icmp-type: 133-137, icmp-code: 0 }')).toEqual({
      ...all,
      protocol: 58,
      sourcePorts: [133, 137],
      destinationPorts: [0, 0],
    });
    expect(specOf('type: abx, interface: a, vrf: 1, ingress: [{}], egress: [{ protocol: 89 }]')).toMatchObject({
      vrf: 1,
      withoutCnfVrf: false,
      egress: [{ protocol: 89 }],
    });
  });
});
