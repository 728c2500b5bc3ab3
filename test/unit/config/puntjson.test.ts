// Punts in the JSON of Ligato's and StoneWork's messages: what they become, and how many at once.

import { describe, expect, it } from 'vitest';
import type { PuntConfig } from '../../../src/config/puntconfig.ts';
import { readPuntJson } from '../../../src/config/puntjson.ts';

const asker = { cnf: 'c1', key: 'config/x', netns: 'c1' };

function puntsOf(value: unknown, by = asker): readonly PuntConfig[] {
  const read = readPuntJson(value, by);
  if ('errors' in read) throw new Error(JSON.stringify(read.errors));
  return read.punts;
}

const specOf = (value: unknown) => puntsOf(value)[0]?.spec;

function errorsOf(value: unknown, by = asker): string[] {
  const read = readPuntJson(value, by);
  return 'errors' in read ? read.errors.map(({ path, message }) => `${path}: ${message}`) : [];
}

const request = (type: string, rest: object) => ({ label: 'x', punt_type: type, ...rest });
const abx = (...rules: object[]) => request('ABX', { abx: { vpp_interface: 'a', ingress_acl_rules: rules } });

describe('a message', () => {
  it('of Ligato, in either spelling, is known by its model', () => {
    const snake = { l3_protocol: 'IPV4', l4_protocol: 'UDP', port: 9000, socket_path: '/tmp/s' };
    const camel = { l3Protocol: 'IPv4', l4Protocol: 17, port: '9000', socketPath: '/tmp/s' };
    expect(puntsOf(snake)).toEqual(puntsOf(camel));
    expect(puntsOf(snake)).toEqual([
      {
        id: { cnf: 'c1', key: 'config/x', label: 'tohost/l3/ipv4/l4/udp/port/9000' },
        netns: 'c1',
        interconnect: 'af-unix',
        gso: false,
        spec: { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 9000, socket: '/tmp/s' },
      },
    ]);
    expect(puntsOf({ l3_protocol: 10, l4_protocol: 6, port: 65_535, socket_path: null })[0]).toMatchObject({
      interconnect: 'tap',
      spec: { l3: 'all', l4: 'tcp', socket: '' },
    });
  });

  it('of a redirect may have a length behind its next hop', () => {
    const redirect = { l3_protocol: 'IPV6', rx_interface: 'r', tx_interface: 't', next_hop: '2001:db8::1/64' };
    expect(puntsOf(redirect)[0]).toMatchObject({
      id: { label: 'ipredirect/l3/ipv6/rx/r/tx/t' },
      spec: { type: 'ip-redirect', l3: 'ipv6', rx: 'r', tx: 't', nextHops: ['2001:db8::1'] },
    });
  });

  it('of an exception', () => {
    expect(specOf({ reason: 'ipsec4-spi-0', socketPath: '/s' })).toEqual({
      type: 'exception',
      reason: 'ipsec4-spi-0',
      socket: '/s',
    });
  });

  it.each<[object, object]>([
    [
      request('HAIRPIN_XCONNECT', { hairpinXConnect: { vpp_interface1: 'a', vppInterface2: 'b' } }),
      { type: 'hairpin-xconnect', interfaces: ['a', 'b'] },
    ],
    [
      request('hairpin', {
        hairpin: {
          vppInterface: 'a',
          hairpinInterface: {
            name: 'h',
            physAddress: '02:00:00:00:00:01',
            ipAddresses: ['10.0.0.1/24'],
            vrf: 5,
            withDhcpClient: true,
            mtu: 1400,
          },
        },
      }),
      {
        type: 'hairpin',
        interface: 'a',
        hairpin: {
          name: 'h',
          mac: '02:00:00:00:00:01',
          addresses: ['10.0.0.1/24'],
          vrf: 5,
          dhcpClient: true,
          mtu: 1400,
        },
      },
    ],
    [request('SPAN', { span: { vpp_interface: 'a' } }), { type: 'span', interface: 'a', direction: 'both' }],
    [
      request('DHCP_PROXY', { dhcpProxy: { vrf: '7' } }),
      { type: 'dhcp-proxy', l3: 'ipv4', vrf: 7, withoutCnfVrf: false },
    ],
    [
      request('ISISX', { isisx: { vpp_interface: 'a', withoutCnfVrf: true } }),
      { type: 'isisx', interface: 'a', vrf: 0, withoutCnfVrf: true },
    ],
    [
      {
        label: 'x',
        puntType: 5,
        interconnectType: 2,
        puntToSocket: { toHost: { l3_protocol: 4, l4_protocol: 'UDP', port: 1, socket_path: '/s' } },
      },
      { type: 'to-host', l3: 'ipv4', l4: 'udp', port: 1, socket: '/s' },
    ],
    [
      request('PUNT_TO_SOCKET', {
        interconnect_type: 'AF_UNIX',
        puntToSocket: { exception: { reason: 'r', socket_path: '/s' } },
      }),
      { type: 'exception', reason: 'r', socket: '/s' },
    ],
  ])('%j', (message, spec) => {
    expect(puntsOf(message)[0]?.id.label).toBe('x');
    expect(specOf(message)).toEqual(spec);
  });

  it('has its link and segments as it says', () => {
    expect(puntsOf(request('SPAN', { span: { vpp_interface: 'a' } }))[0]).toMatchObject({
      interconnect: 'tap',
      gso: false,
    });
    const memif = request('SPAN', { interconnect_type: 'MEMIF', enableGso: true, span: { vpp_interface: 'a' } });
    expect(puntsOf(memif)[0]).toMatchObject({ interconnect: 'memif', gso: true });
    expect(puntsOf({ punt_type: 'SPAN', span: { vpp_interface: 'a' } })[0]?.id.label).toBe('span');
  });

  it('of an abx has rules with ranges as their .proto says', () => {
    const rules = (...all: object[]) => {
      const spec = specOf(abx(...all));
      return spec?.type === 'abx'
        ? spec.ingress.map((r) => [
            r.protocol,
            r.source,
            r.destination,
            ...r.sourcePorts,
            ...r.destinationPorts,
            r.flagsMask,
            r.flagsValue,
          ])
        : [];
    };
    expect(
      rules(
        {},
        { ip: { sourceNetwork: '10.0.0.1/8', destination_network: 'local', protocol: 89 } },
        {
          tcp: {
            destination_port_range: { lower_port: 179 },
            source_port_range: {},
            tcp_flags_mask: 18,
            tcpFlagsValue: 2,
          },
        },
        { udp: { sourcePortRange: { lowerPort: 67, upperPort: 68 } } },
        { icmp: { icmp_type_range: { first: 8, last: 8 }, icmpCodeRange: { last: 255 } } },
        { icmp: { icmpv6: true, icmp_type_range: { last: 65_535 } } },
        { other: { protocol: 47 } },
      ),
    ).toEqual([
      [0, 'any', 'any', 0, 65_535, 0, 65_535, 0, 0],
      [89, '10.0.0.0/8', 'local', 0, 65_535, 0, 65_535, 0, 0],
      [6, 'any', 'any', 0, 65_535, 179, 179, 18, 2],
      [17, 'any', 'any', 67, 68, 0, 65_535, 0, 0],
      [1, 'any', 'any', 8, 8, 0, 255, 0, 0],
      [58, 'any', 'any', 0, 255, 0, 65_535, 0, 0],
      [47, 'any', 'any', 0, 65_535, 0, 65_535, 0, 0],
    ]);
  });

  it('may be one of many', () => {
    const many = {
      punt_requests: [
        request('SPAN', { span: { vppInterface: 'a' } }),
        { ...request('SPAN', { span: { vppInterface: 'b' } }), label: 'y' },
      ],
    };
    expect(puntsOf(many).map(({ id }) => id.label)).toEqual(['x', 'y']);
    expect(puntsOf(many.punt_requests)).toEqual(puntsOf(many));
    expect(errorsOf({ puntRequests: [many.punt_requests[0], many.punt_requests[0]] })).toEqual([
      'puntRequests[1].label: punt already exists: x',
    ]);
  });
});
