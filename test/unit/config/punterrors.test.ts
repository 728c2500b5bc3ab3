// `punts:` of the configuration: each rule, with the field and the words of its error.

import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { policeScopes } from '../../../src/lib/policescopes.ts';

const yaml = (entry: string) => `punts:\n  - { name: p, ${entry} }`;

function errorsOf(text: string): string[] {
  const result = loadConfig(text);
  return 'errors' in result ? result.errors.map(({ path, message }) => `${path}: ${message}`) : [];
}

const host = 'type: to-host, l3: ipv4, l4: udp, port: 9000';
const redirect = 'type: ip-redirect, tx: t';
const police = 'type: police, scope: ipv4';
const hairpin = 'type: hairpin, interface: a, hairpin-interface:';
const abx = 'type: abx, interface: a, ingress:';
const P = 'punts[0]';

describe('errors', () => {
  it.each<[string, string[]]>([
    [
      'type: hairpn',
      [
        `${P}.type: "hairpn" is not one of to-host, ip-protocol, icmp6, exception, ip-redirect, police, hairpin-xconnect, hairpin, span, abx, dhcp-proxy, isisx`,
      ],
    ],
    ['port: 1', [`${P}.type: "type" is missing`]],
    [`${host}, prot: 1`, [`${P}.prot: unknown key "prot"`]],
    [`${host}, rx: a`, [`${P}.rx: unknown key "rx"`]],
    [`${host}, netns: a/b`, [`${P}.netns: "a/b" is not a namespace name`]],
    ['type: to-host, l4: udp, port: 1', [`${P}.l3: "l3" is missing`]],
    ['type: to-host, l3: undefined_l3, l4: udp, port: 1', [`${P}.l3: "undefined_l3" is not one of ipv4, ipv6, all`]],
    ['type: to-host, l3: 4, l4: udp, port: 1', [`${P}.l3: expected a text, found 4`]],
    ['type: to-host, l3: ipv4, port: 1', [`${P}.l4: "l4" is missing`]],
    ['type: to-host, l3: ipv4, l4: sctp, port: 1', [`${P}.l4: "sctp" is not one of udp, tcp`]],
    ['type: to-host, l3: ipv4, l4: udp', [`${P}.port: "port" is missing`]],
    ['type: to-host, l3: ipv4, l4: udp, port: 0', [`${P}.port: 0 is too small`]],
    ['type: to-host, l3: ipv4, l4: udp, port: 65536', [`${P}.port: 65536 is too large`]],
    [
      'type: to-host, l3: ipv4, l4: udp, port: 65535, socket: /s',
      [`${P}.port: port 65535 stands for all ports that nobody has, which a socket cannot have`],
    ],
    ['type: to-host, l3: ipv4, l4: TCP, port: 1, socket: /s', [`${P}.l4: TCP with a socket is not supported`]],
    [`${host}, socket: ""`, [`${P}.socket: the socket path is empty`]],
    [`${host}, socket: tmp/s`, [`${P}.socket: the socket path is not absolute`]],
    [`${host}, socket: "@s"`, [`${P}.socket: packets cannot be punted to an abstract socket`]],
    [`${host}, socket: "\\0s"`, [`${P}.socket: packets cannot be punted to an abstract socket`]],
    [`${host}, socket: /${'x'.repeat(107)}`, [`${P}.socket: the socket path has 108 bytes, at most 107 fit`]],
    [`${host}, socket: "/a\\nb"`, [`${P}.socket: the socket path contains control characters`]],
    [
      `${host}, socket: /s, interconnect: tap`,
      [`${P}.interconnect: interconnect link/type mismatch: a socket is reached by af-unix, not by tap`],
    ],
    [
      `${host}, socket: /s, interconnect: MEMIF`,
      [`${P}.interconnect: interconnect link/type mismatch: a socket is reached by af-unix, not by memif`],
    ],
    [
      `${host}, interconnect: af-unix`,
      [`${P}.interconnect: interconnect link/type mismatch: af-unix leads to nothing without a socket`],
    ],
    ['type: ip-protocol, l3: ipv4, protocol: 0', [`${P}.protocol: 0 is not an IP protocol`]],
    ['type: ip-protocol, l3: ipv4, protocol: 256', [`${P}.protocol: 256 is not an IP protocol`]],
    ['type: ip-protocol, l3: ipv4, protocol: osfp', [`${P}.protocol: "osfp" is not an IP protocol`]],
    ['type: ip-protocol, l3: ipv4, protocol: constructor', [`${P}.protocol: "constructor" is not an IP protocol`]],
    ['type: ip-protocol, l3: ipv4, protocol: 1.5', [`${P}.protocol: expected a whole number or a text, found 1.5`]],
    ['type: ip-protocol, l3: ipv4', [`${P}.protocol: "protocol" is missing`]],
    ['type: icmp6, icmp-type: 256', [`${P}.icmp-type: 256 is too large`]],
    ['type: icmp6', [`${P}.icmp-type: "icmp-type" is missing`]],
    ['type: exception', [`${P}.reason: "reason" is missing`]],
    ['type: exception, reason: ""', [`${P}.reason: the reason is empty`]],
    ['type: exception, reason: "a b"', [`${P}.reason: "a b" is not the name of a punt reason`]],
    [`${redirect}`, [`${P}.l3: "l3" is missing`]],
    ['type: ip-redirect, l3: ipv4', [`${P}.tx: "tx" is missing`]],
    ['type: ip-redirect, l3: ipv4, tx: ""', [`${P}.tx: the interface name is empty`]],
    [`${redirect}, l3: ipv4, rx: "a b"`, [`${P}.rx: an interface name cannot contain " "`]],
    [`${redirect}, l3: ipv4, next-hop: [192.0.2.300]`, [`${P}.next-hop[0]: "192.0.2.300" is not an IP address`]],
    [`${redirect}, l3: ipv4, next-hop: [224.0.0.5]`, [`${P}.next-hop[0]: next hop 224.0.0.5 is a group of many`]],
    [`${redirect}, l3: ipv6, next-hop: ["::"]`, [`${P}.next-hop[0]: next hop :: stands for no address`]],
    [`${redirect}, l3: ipv4, next-hop: 192.0.2.1`, [`${P}.next-hop: expected a list, found "192.0.2.1"`]],
    [
      `${redirect}, l3: ipv4, next-hop: ["2001:db8::1"]`,
      [`${P}.next-hop[0]: an IPv6 next hop cannot be that of l3 ipv4`],
    ],
    [`${redirect}, l3: IPV6, next-hop: [192.0.2.1]`, [`${P}.next-hop[0]: an IPv4 next hop cannot be that of l3 ipv6`]],
    [
      `${redirect}, l3: all, next-hop: [192.0.2.1]`,
      [`${P}.next-hop: l3 all needs a next hop of each family, and there is none of IPv6`],
    ],
    [
      `${redirect}, l3: ALL, next-hop: ["2001:db8::1"]`,
      [`${P}.next-hop: l3 all needs a next hop of each family, and there is none of IPv4`],
    ],
    [`${redirect}, l3: ipv4, next-hop: [192.0.2.1, 192.0.2.2]`, [`${P}.next-hop[1]: a second IPv4 next hop`]],
    [`${redirect}, l3: all, next-hop: [a, b, c]`, [`${P}.next-hop: 3 are too many`]],
    ['type: police, scope: ipv5, rate: 1', [`${P}.scope: "ipv5" is not one of ${policeScopes.join(', ')}`]],
    [`${police}, unit: kbps`, [`${P}.rate: a limit in kbps needs a rate`]],
    [`${police}, rate: 0`, [`${P}.rate: 0 is too small`]],
    [`${police}, rate: 4294967296`, [`${P}.rate: 4294967296 is too large`]],
    [
      `${police}, rate: 1, burst: 0`,
      [`${P}.burst: 0 is too small`, `${P}.burst: 1 packets a second are less than one in 0 ms: nothing would pass`],
    ],
    [
      `${police}, rate: 9, burst: 100`,
      [`${P}.burst: 9 packets a second are less than one in 100 ms: nothing would pass`],
    ],
    [
      `${police}, rate: 9, unit: kbps, burst: 1499`,
      [`${P}.burst: a burst of 1499 bytes is less than a packet: it would never pass`],
    ],
    [`${police}, rate: 1, unit: mbps`, [`${P}.unit: "mbps" is not one of pps, kbps`]],
    [`${police}, rate: 1, interconnect: tap`, [`${P}.interconnect: unknown key "interconnect"`]],
    ['type: hairpin-xconnect, interfaces: [a]', [`${P}.interfaces: 1 are too few`]],
    ['type: hairpin-xconnect, interfaces: [a, b, c]', [`${P}.interfaces: 3 are too many`]],
    ['type: hairpin-xconnect, interfaces: [a, a]', [`${P}.interfaces[1]: duplicate VPP selector vpp/interface/a`]],
    ['type: hairpin-xconnect', [`${P}.interfaces: "interfaces" is missing`]],
    ['type: hairpin, interface: a', [`${P}.hairpin-interface: "hairpin-interface" is missing`]],
    [`${hairpin}`, [`${P}.hairpin-interface: expected a map, found nothing`]],
    [`${hairpin} {}`, [`${P}.hairpin-interface.name: "name" is missing`]],
    [
      `${hairpin} { name: x234567890123456 }`,
      [`${P}.hairpin-interface.name: the interface name has 16 bytes, at most 15 fit`],
    ],
    [
      `${hairpin} { name: a }`,
      [`${P}.hairpin-interface.name: duplicate VPP selector: a is the interface that is hairpinned`],
    ],
    [`${hairpin} { name: h, mac: 1:2 }`, [`${P}.hairpin-interface.mac: "1:2" is not a MAC address`]],
    [
      `${hairpin} { name: h, mac: 01:00:5e:00:00:01 }`,
      [`${P}.hairpin-interface.mac: MAC address 01:00:5e:00:00:01 is one of many stations`],
    ],
    [`${hairpin} { name: h, mac: "00:00:00:00:00:00" }`, [`${P}.hairpin-interface.mac: the MAC address is zero`]],
    [`${hairpin} { name: h, vrf: -1 }`, [`${P}.hairpin-interface.vrf: -1 is too small`]],
    [`${hairpin} { name: h, vrf: 4294967296 }`, [`${P}.hairpin-interface.vrf: 4294967296 is too large`]],
    [`${hairpin} { name: h, mtu: 67 }`, [`${P}.hairpin-interface.mtu: 67 is not an MTU`]],
    [`${hairpin} { name: h, mtu: 65536 }`, [`${P}.hairpin-interface.mtu: 65536 is not an MTU`]],
    [
      `${hairpin} { name: h, mtu: 1279, addresses: ["2001:db8::1/64"] }`,
      [`${P}.hairpin-interface.mtu: an interface with IPv6 addresses cannot have an MTU of 1279`],
    ],
    [
      `${hairpin} { name: h, addresses: [10.0.0.1] }`,
      [`${P}.hairpin-interface.addresses[0]: "10.0.0.1" is not an address with its length`],
    ],
    [
      `${hairpin} { name: h, addresses: [224.0.0.1/24] }`,
      [`${P}.hairpin-interface.addresses[0]: 224.0.0.1/24 cannot be the address of an interface`],
    ],
    [
      `${hairpin} { name: h, addresses: [10.0.0.1/8, 10.0.0.1/8] }`,
      [`${P}.hairpin-interface.addresses[1]: "10.0.0.1/8" is there twice`],
    ],
    [`${hairpin} { name: h, mak: 1 }`, [`${P}.hairpin-interface.mak: unknown key "mak"`]],
    ['type: span, interface: a, direction: in', [`${P}.direction: "in" is not one of rx, tx, both`]],
    [
      'type: span, interface: a, interconnect: AF_UNIX',
      [`${P}.interconnect: interconnect link/type mismatch: span needs an interface, af-unix has none`],
    ],
    [
      'type: span, interface: a, interconnect: memif',
      [`${P}.interconnect: it is not supported to punt with memif to the host itself, which does not speak it`],
    ],
    ['type: span, interface: a, gso: 1', [`${P}.gso: expected true or false, found 1`]],
    ['type: abx, interface: a', [`${P}.ingress: "ingress" is missing`]],
    [`${abx} []`, [`${P}.ingress: without a rule nothing is punted`]],
    [
      `${abx} [{ action: reflect }]`,
      [
        `${P}.ingress[0].action: reflect would make rules for answers, which packets that are punted do not have in the data plane`,
      ],
    ],
    [`${abx} [{ source: 10.0.0.0/33 }]`, [`${P}.ingress[0].source: "10.0.0.0/33" is not a network`]],
    [
      `${abx} [{ source: 10.0.0.0/8, destination: "::1" }]`,
      [`${P}.ingress[0].destination: the source is IPv4 and the destination IPv6: no packet has both`],
    ],
    [`${abx} [{ protocol: icmp, source: "::1" }]`, [`${P}.ingress[0].source: icmp is of IPv4, and source is IPv6`]],
    [
      `${abx} [{ protocol: icmp6, destination: 10.0.0.1 }]`,
      [`${P}.ingress[0].destination: icmp6 is of IPv6, and destination is IPv4`],
    ],
    [`${abx} [{ source-port: 1 }]`, [`${P}.ingress[0].source-port: source-port is of protocol tcp or udp`]],
    [
      `${abx} [{ protocol: udp, tcp-flags: { mask: 1, value: 1 } }]`,
      [`${P}.ingress[0].tcp-flags: tcp-flags is of protocol tcp`],
    ],
    [`${abx} [{ protocol: tcp, icmp-code: 1 }]`, [`${P}.ingress[0].icmp-code: icmp-code is of protocol icmp or icmp6`]],
    [
      `${abx} [{ protocol: tcp, source-port: 2-1 }]`,
      [`${P}.ingress[0].source-port: the range "2-1" ends before it begins`],
    ],
    [
      `${abx} [{ protocol: tcp, source-port: 65536 }]`,
      [`${P}.ingress[0].source-port: 65536 is not a port or a range of ports`],
    ],
    [
      `${abx} [{ protocol: icmp, icmp-type: 0-256 }]`,
      [`${P}.ingress[0].icmp-type: "0-256" is not a number of one byte or a range of them`],
    ],
    [
      `${abx} [{ protocol: tcp, tcp-flags: { mask: 2, value: 3 } }]`,
      [`${P}.ingress[0].tcp-flags.value: value 3 has flags that mask 2 leaves out: no packet would match`],
    ],
    [
      `${abx} [{ protocol: tcp, tcp-flags: { mask: 256, value: 0 } }]`,
      [`${P}.ingress[0].tcp-flags.mask: 256 is too large`],
    ],
    [`${abx} [{}], egress: [{ proto: 1 }]`, [`${P}.egress[0].proto: unknown key "proto"`]],
    ['type: dhcp-proxy, vrf: a', [`${P}.vrf: expected a number, found "a"`]],
    ['type: isisx', [`${P}.interface: "interface" is missing`]],
  ])('%s', (entry, expected) => {
    expect(errorsOf(yaml(entry))).toEqual(expect.arrayContaining(expected));
    expect(errorsOf(yaml(entry))).toHaveLength(expected.length);
  });

  it('of names', () => {
    const entry = (name: string, more = '') => `{ name: ${name}, type: span, interface: x${more} }`;
    expect(errorsOf('punts: [{ type: span, interface: x }]')).toEqual(['punts[0].name: "name" is missing']);
    expect(errorsOf(`punts: [${entry('""')}]`)).toEqual(['punts[0].name: the name is empty']);
    expect(errorsOf(`punts: [${entry('"a|b"')}]`)).toEqual(['punts[0].name: a name cannot contain "|"']);
    expect(errorsOf(`punts: [${entry('"a b"')}]`)).toEqual(['punts[0].name: a name cannot contain " "']);
    expect(errorsOf(`punts: [${entry('x'.repeat(128))}]`)).toEqual([
      'punts[0].name: the name has 128 bytes, at most 127 fit',
    ]);
    expect(errorsOf(`punts: [${entry('a')}, ${entry('b')}, ${entry('a')}]`)).toEqual([
      "punts[2].name: punt already exists: a is the name of punts[0], in lcpd's own namespace",
    ]);
    expect(errorsOf(`netns: cp\npunts: [${entry('a')}, ${entry('a', ', netns: cp')}]`)).toEqual([
      'punts[1].name: punt already exists: a is the name of punts[0], in namespace cp',
    ]);
    expect(errorsOf(`punts: [${entry('a')}, ${entry('a', ', netns: cp')}]`)).toEqual([]);
  });

  it('of memif to the host itself are gone with a namespace, also the one of all', () => {
    const text = 'punts: [{ name: a, type: span, interface: x, interconnect: memif }]';
    expect(errorsOf(text)).toHaveLength(1);
    expect(errorsOf(`netns: cp\n${text}`)).toEqual([]);
  });

  it('of settings', () => {
    expect(errorsOf('punt: { interconnect-alloc-cidr: 10.0.0.0/31 }')).toEqual([
      'punt.interconnect-alloc-cidr: "10.0.0.0/31" is not a prefix that subnets can be cut from',
    ]);
    expect(errorsOf('punt: { interconnect-alloc-cidr: 10.0.0.1/24 }')).toEqual([
      'punt.interconnect-alloc-cidr: 10.0.0.1/24 has host bits',
    ]);
    expect(errorsOf('punt: { state: lib, memif-directory: memif }')).toEqual([
      'punt.state: the path of the directory is not absolute',
      'punt.memif-directory: the path of the directory is not absolute',
    ]);
    expect(errorsOf('punt: { socket: /run/lcpd/lcpd.sock }')).toEqual([
      'punt.socket: /run/lcpd/lcpd.sock is the control socket',
    ]);
    expect(errorsOf('punt: { socket: /run/lcpd/fwd.sock }')).toEqual([
      "punt.socket: /run/lcpd/fwd.sock is the forwarder's socket",
    ]);
  });

  it('come all at once, with the line of each', () => {
    const text = `punts:
  - name: a
    type: to-host
    l3: ipx
    l4: tcp
    port: 0
    socket: rel
  - name: a
    type: abx
    interface: ""
    ingress: [{ source: x, tcp-flags: { mask: 1, value: 2 } }]
`;
    const result = loadConfig(text);
    expect('errors' in result && result.errors.map(({ line, path }) => `${line} ${path}`)).toEqual([
      '4 punts[0].l3',
      '5 punts[0].l4',
      '6 punts[0].port',
      '7 punts[0].socket',
      '8 punts[1].name',
      '10 punts[1].interface',
      '11 punts[1].ingress[0].source',
      '11 punts[1].ingress[0].tcp-flags',
      '11 punts[1].ingress[0].tcp-flags.value',
    ]);
  });

  it('carry hints that name the way out, from the keys of their type', () => {
    const hintsOf = (text: string) => {
      const result = loadConfig(text);
      return 'errors' in result ? result.errors.map(({ hint }) => hint) : [];
    };
    expect(hintsOf(yaml('type: hairpin_xconnect'))).toEqual(['did you mean "hairpin-xconnect"?']);
    expect(hintsOf(yaml('type: span, interface: a, dirction: rx'))).toEqual(['did you mean "direction"?']);
    expect(hintsOf(yaml('type: span, interface: a, zzzzzzzzzz: rx'))[0]).toBe(
      'known: name, netns, interconnect, gso, type, interface, direction',
    );
    expect(hintsOf(yaml('type: ip-protocol, l3: ipv4, protocol: osfp'))).toEqual(['did you mean "ospf"?']);
    expect(hintsOf(yaml(`${redirect}, l3: all, next-hop: [192.0.2.1]`))).toEqual(['give both, or say l3: ipv4']);
    expect(hintsOf(yaml(`${hairpin} { name: h, dhcp: true }`))).toEqual([
      'known: name, mac, addresses, vrf, dhcp-client, mtu',
    ]);
  });
});
