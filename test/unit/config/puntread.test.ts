// Punts that are asked for over a door: errors of JSON by their own fields, entries and texts, and noise.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PuntConfig } from '../../../src/config/puntconfig.ts';
import { readPuntJson } from '../../../src/config/puntjson.ts';
import { readPuntEntry, readPuntText } from '../../../src/config/puntread.ts';

const asker = { cnf: 'c1', key: 'config/x', netns: 'c1' };
const own = { key: 'cli', netns: '' };

function errorsOf(value: unknown, by = asker): string[] {
  const read = readPuntJson(value, by);
  return 'errors' in read ? read.errors.map(({ path, message }) => `${path}: ${message}`) : [];
}
const request = (type: string, rest: object) => ({ label: 'x', punt_type: type, ...rest });
const abx = (...rules: object[]) => request('ABX', { abx: { vpp_interface: 'a', ingress_acl_rules: rules } });

const toHost = { l3_protocol: 'IPV4', l4_protocol: 'UDP', port: 9000, socket_path: '/tmp/s' };

describe('errors', () => {
  it.each<[unknown, string[]]>([
    [5, [': no message about a punt']],
    [{}, [': no message about a punt']],
    [[], [': 0 messages']],
    [{ punt_requests: 5 }, ['punt_requests: expected a list']],
    [{ punt_requests: [5] }, ['punt_requests[0]: expected a map, found 5']],
    [{ ...toHost, l3_protocol: 'UNDEFINED_L3' }, ['l3_protocol: "UNDEFINED_L3" is not one of IPV4, IPV6, ALL']],
    [{ ...toHost, l3_protocol: undefined }, ['l3_protocol: "l3_protocol" is missing']],
    [{ ...toHost, l4_protocol: 0 }, ['l4_protocol: 0 is not one of TCP, UDP']],
    [{ ...toHost, l4_protocol: 'TCP' }, ['l4_protocol: TCP with a socket is not supported']],
    [{ ...toHost, port: 0 }, ['port: 0 is too small']],
    [
      { ...toHost, port: 65_535 },
      ['port: port 65535 stands for all ports that nobody has, which a socket cannot have'],
    ],
    [{ ...toHost, port: '1.5' }, ['port: expected a number, found "1.5"']],
    [{ ...toHost, socket_path: 'a' }, ['socket_path: the socket path is not absolute']],
    [
      { ...toHost, socket_path: `/${'a'.repeat(107)}` },
      ['socket_path: the socket path has 108 bytes, at most 107 fit'],
    ],
    [{ ...toHost, socket_paht: 'a' }, ['socket_paht: unknown field "socket_paht"']],
    [{ ...toHost, socketPath: '/b' }, ['socket_path: socket_path and socketPath are the same field']],
    [
      JSON.parse('{"port": 1, "__proto__": {}}'),
      [
        '__proto__: unknown field "__proto__"',
        'l3_protocol: "l3_protocol" is missing',
        'l4_protocol: "l4_protocol" is missing',
      ],
    ],
    [{ reason: 'r', socket_path: '' }, ['socket_path: the socket path is empty']],
    [{ ...toHost, socket_path: '' }, ['socket_path: the socket path is empty']],
    [{ reason: 'r', socket_path: null }, []],
    [{ l3_protocol: 'IPV4', tx_interface: 't' }, ['next_hop: "next_hop" is missing']],
    [{ l3_protocol: 'IPV4', next_hop: '192.0.2.1' }, ['tx_interface: "tx_interface" is missing']],
    [
      { l3Protocol: 'ALL', txInterface: 't', nextHop: '192.0.2.1' },
      ['nextHop: l3 all needs a next hop of each family, and there is none of IPv6'],
    ],
    [
      { l3Protocol: 'IPV4', txInterface: 't', nextHop: '2001:db8::1' },
      ['nextHop: an IPv6 next hop cannot be that of l3 ipv4'],
    ],
    [{ l3Protocol: 'IPV4', txInterface: 't', nextHop: 5 }, ['nextHop: expected a text, found 5']],
    [{ label: 'x' }, ['punt_type: punt type NO_PUNT is not supported']],
    [request('NO_PUNT', {}), ['punt_type: punt type NO_PUNT is not supported']],
    [
      request('SPUN', {}),
      [
        'punt_type: "SPUN" is not one of HAIRPIN_XCONNECT, HAIRPIN, SPAN, ABX, PUNT_TO_SOCKET, DHCP_PROXY, ISISX, NO_PUNT',
      ],
    ],
    [request('SPAN', {}), ['span: "span" is missing']],
    [request('SPAN', { span: null }), ['span: "span" is missing']],
    [request('SPAN', { span: [] }), ['span: "span" is missing']],
    [request('SPAN', { span: {} }), ['span.vpp_interface: "vpp_interface" is missing']],
    [request('SPAN', { span: { vpp_interface: 'a' }, abx: {} }), ['abx: abx is not what punt_type says']],
    [
      request('SPAN', { span: { vpp_interface: 'a' }, interconnect_type: 'AF_UNIX' }),
      ['interconnect_type: interconnect link/type mismatch: span needs an interface, af-unix has none'],
    ],
    [
      request('HAIRPIN', { hairpin: { vpp_interface: 'a' } }),
      ['hairpin.hairpin_interface: "hairpin_interface" is missing'],
    ],
    [
      request('HAIRPIN', { hairpin: { vpp_interface: 'a', hairpin_interface: { vrf: -1 } } }),
      ['hairpin.hairpin_interface.name: "name" is missing', 'hairpin.hairpin_interface.vrf: -1 is too small'],
    ],
    [
      request('HAIRPIN_XCONNECT', { hairpinXConnect: { vpp_interface1: 'a', vpp_interface2: 'a' } }),
      ['hairpinXConnect.vpp_interface2: duplicate VPP selector vpp/interface/a'],
    ],
    [
      request('HAIRPIN_XCONNECT', { hairpinXConnect: { vpp_interface1: 'a' } }),
      ['hairpinXConnect.vpp_interface2: the interface name is empty'],
    ],
    [
      request('PUNT_TO_SOCKET', { interconnect_type: 2, puntToSocket: {} }),
      ['puntToSocket: one of toHost and exception is to be there'],
    ],
    [
      request('PUNT_TO_SOCKET', {
        interconnect_type: 2,
        puntToSocket: { toHost, exception: { reason: 'r', socket_path: '/s' } },
      }),
      ['puntToSocket: one of toHost and exception is to be there'],
    ],
    [
      request('PUNT_TO_SOCKET', { puntToSocket: { toHost } }),
      ['interconnect_type: interconnect link/type mismatch: a socket is reached by af-unix, not by tap'],
    ],
    [
      request('PUNT_TO_SOCKET', { interconnect_type: 'MEMIF', puntToSocket: { toHost } }),
      ['interconnect_type: interconnect link/type mismatch: a socket is reached by af-unix, not by memif'],
    ],
    [
      request('PUNT_TO_SOCKET', { interconnect_type: 2, puntToSocket: { exception: { reason: 'r' } } }),
      ['puntToSocket.exception.socket_path: "socket_path" is missing'],
    ],
    [request('ABX', { abx: { vpp_interface: 'a' } }), ['abx.ingress_acl_rules: without a rule nothing is punted']],
    [abx({ ip: { source_network: 'x' } }), ['abx.ingress_acl_rules[0].ip.source_network: "x" is not a network']],
    [
      abx({ ip: { source_network: '::/0', destination_network: '0.0.0.0/0' } }),
      [
        'abx.ingress_acl_rules[0].ip.destination_network: the source is IPv6 and the destination IPv4: no packet has both',
      ],
    ],
    [
      abx({ icmp: { icmpv6: true }, ip: { source_network: '10.0.0.0/8' } }),
      ['abx.ingress_acl_rules[0].ip.source_network: icmp6 is of IPv6, and source is IPv4'],
    ],
    [abx({ tcp: {}, udp: {} }), ['abx.ingress_acl_rules[0]: tcp and udp in one rule']],
    [
      abx({ tcp: {}, ip: { protocol: 17 } }),
      ['abx.ingress_acl_rules[0].ip.protocol: protocol 17 is not that of the rest of the rule'],
    ],
    [
      abx({ tcp: { source_port_range: { lower_port: 9, upper_port: 8 } } }),
      ['abx.ingress_acl_rules[0].tcp.source_port_range: the range "9-8" ends before it begins'],
    ],
    [
      abx({ tcp: { source_port_range: { upper_port: 65_536 } } }),
      ['abx.ingress_acl_rules[0].tcp.source_port_range: "0-65536" is not a port or a range of ports'],
    ],
    [
      abx({ icmp: { icmp_type_range: { first: 8 } } }),
      ['abx.ingress_acl_rules[0].icmp.icmp_type_range: the range "8-0" ends before it begins'],
    ],
    [abx({ icmp: { icmpv6: 'yes' } }), ['abx.ingress_acl_rules[0].icmp.icmpv6: expected true or false, found "yes"']],
    [
      abx({ tcp: { tcp_flags_value: 1 } }),
      ['abx.ingress_acl_rules[0].tcp.tcp_flags_value: value 1 has flags that mask 0 leaves out: no packet would match'],
    ],
    [abx({ macip_rule: {} }), ['abx.ingress_acl_rules[0].macip_rule: unknown field "macip_rule"']],
    [request('DHCP_PROXY', { dhcpProxy: { vrf: 2 ** 32 } }), ['dhcpProxy.vrf: 4294967296 is too large']],
  ])('%j', (message, expected) => {
    // What is undefined is not there, as it would not be in a text.
    expect(errorsOf(message === undefined ? message : JSON.parse(JSON.stringify(message)))).toEqual(expected);
  });

  it('of memif for the host itself', () => {
    const memif = request('SPAN', { interconnect_type: 'MEMIF', span: { vpp_interface: 'a' } });
    expect(errorsOf(memif, { ...asker, cnf: '' })).toEqual([
      'interconnect_type: it is not supported to punt with memif to the host itself, which does not speak it',
    ]);
  });
});

describe('entries and texts', () => {
  it('are those of the configuration', () => {
    const entry = { name: 'a', type: 'span', interface: 'x' };
    expect(readPuntEntry(entry, own)).toMatchObject({ punts: [{ id: { cnf: '', key: 'cli', label: 'a' } }] });
    expect(readPuntEntry({ ...entry, netns: 'n' }, own)).toMatchObject({ punts: [{ id: { cnf: 'n' }, netns: 'n' }] });
    expect(readPuntEntry({ ...entry, dirction: 1 }, own)).toEqual({
      errors: [{ path: 'dirction', message: 'unknown key "dirction"', hint: 'did you mean "direction"?' }],
    });
    expect(
      readPuntEntry(JSON.parse('{"name":"a","type":"span","interface":"x","__proto__":{"a":1}}'), own),
    ).toMatchObject({
      errors: [{ path: '__proto__' }],
    });
  });

  it('in YAML have lines, take the namespace of lcpd, and hold nothing else', () => {
    const text = 'punts:\n  - { name: a, type: span, interface: x }\n';
    expect(readPuntText(text, { key: 'cli', netns: 'cp' })).toMatchObject({
      punts: [{ id: { cnf: 'cp', key: 'cli', label: 'a' }, netns: 'cp' }],
    });
    expect(readPuntText(`netns: n\n${text}`, { key: 'cli', netns: 'cp' })).toMatchObject({ punts: [{ netns: 'n' }] });
    expect(readPuntText(`${text}log: { level: info }\n`, { key: 'cli', netns: 'cp' })).toEqual({
      errors: [
        { path: 'line 3: log', message: '"log" is of the configuration of lcpd', hint: 'here only: punts, netns' },
      ],
    });
    expect(readPuntText('', own)).toMatchObject({ errors: [{ path: 'punts', message: 'there is none' }] });
    expect(readPuntText('punts:\n  - { name: a, type: x }', own)).toMatchObject({
      errors: [{ path: 'line 2: punts[0].type' }],
    });
  });
});

describe('anything', () => {
  const keys = [
    'label',
    'punt_type',
    'puntType',
    'interconnect_type',
    'span',
    'abx',
    'hairpin',
    'hairpinXConnect',
    'puntToSocket',
    'toHost',
    'exception',
    'vpp_interface',
    'hairpin_interface',
    'name',
    'ip_addresses',
    'vrf',
    'ingress_acl_rules',
    'ip',
    'tcp',
    'icmp',
    'source_port_range',
    'lower_port',
    'l3_protocol',
    'port',
    'reason',
    'socket_path',
    'next_hop',
    'punt_requests',
    'type',
    'interface',
    'ingress',
    'interfaces',
    'hairpin-interface',
    'protocol',
    'next-hop',
    '__proto__',
    'constructor',
  ];
  const leaf = fc.oneof(
    fc.constantFrom(
      'ABX',
      'SPAN',
      'HAIRPIN',
      'hairpin',
      'abx',
      'PUNT_TO_SOCKET',
      'IPV4',
      'x',
      '',
      '/s',
      '1-2',
      'local',
      4,
      0,
      17,
      65_536,
      -1,
      1.5,
      null,
      true,
      Number.MAX_SAFE_INTEGER,
    ),
    fc.jsonValue({ maxDepth: 1 }) as fc.Arbitrary<unknown>,
  );
  const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      leaf,
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...keys), tie('tree'), { maxKeys: 6 }),
    ),
  }));

  it('is a request or has errors, and nothing is thrown', () => {
    fc.assert(
      fc.property(tree, (value) => {
        for (const read of [
          readPuntJson(value, asker),
          readPuntEntry(value, own),
          readPuntText(JSON.stringify(value), own),
        ]) {
          if ('punts' in read) expect(read.punts.length).toBeGreaterThan(0);
          else {
            expect(read.errors.length).toBeGreaterThan(0);
            for (const { message, hint } of read.errors) expect(message !== '' && hint !== '').toBe(true);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('valid is the same after it was written as an entry', () => {
    const range = (most: number) =>
      fc.tuple(fc.nat(most), fc.nat(most)).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
    const rule = fc.record({
      action: fc.constantFrom('permit', 'deny'),
      source: fc.constantFrom('any', 'local', '10.0.0.0/8', '10.1.2.3'),
      destination: fc.constantFrom('any', 'local', '192.0.2.0/24'),
      protocol: fc.constant('tcp'),
      'source-port': range(65_535),
      'destination-port': range(65_535),
    });
    const entry = fc.record({
      name: fc.constant('a'),
      type: fc.constant('abx'),
      interface: fc.constant('x'),
      vrf: fc.nat(0xffff_ffff),
      ingress: fc.array(rule, { minLength: 1, maxLength: 4 }),
    });
    fc.assert(
      fc.property(entry, (value) => {
        const read = readPuntEntry(value, own);
        if ('errors' in read) throw new Error(JSON.stringify(read.errors));
        const { spec } = read.punts[0] as PuntConfig;
        if (spec.type !== 'abx') throw new Error(spec.type);
        const again = {
          ...value,
          ingress: spec.ingress.map((r) => ({
            action: r.permit ? 'permit' : 'deny',
            source: r.source,
            destination: r.destination,
            protocol: r.protocol,
            'source-port': r.sourcePorts.join('-'),
            'destination-port': r.destinationPorts.join('-'),
          })),
        };
        expect(readPuntEntry(again, own)).toEqual(read);
      }),
      { numRuns: 100 },
    );
  });
});
