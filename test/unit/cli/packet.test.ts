// Packet summaries: known packets, each also cut at every length, and noise.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { summarize } from '../../../src/cli/packet.ts';

const ether = 'ffffffffffff020000000001';
const v4 = (protocol: string, payload: string, fragment = '4000') =>
  `4500${(20 + payload.length / 2).toString(16).padStart(4, '0')}0001${fragment}40${protocol}00000a0000010a000002${payload}`;
const v6 = (next: string, payload: string) =>
  `60000000${(payload.length / 2).toString(16).padStart(4, '0')}${next}40` +
  `20010db8000000000000000000000001ff020000000000000000000000000001${payload}`;
const tcpSyn = `00b3c3500000000a000000006002ffff0000000002040 5b4`.replaceAll(' ', '');

// name, layer, bytes, what is expected behind the link-layer addresses
const packets: [string, 'ethernet' | 'ip', string, string][] = [
  [
    'ARP request',
    'ethernet',
    `${ether}080600010800060400010200000000010a0000010000000000000a000002`,
    'ARP who-has 10.0.0.2 tell 10.0.0.1',
  ],
  [
    'ARP reply',
    'ethernet',
    `${ether}080600010800060400020200000000090a0000020200000000010a000001`,
    'ARP reply 10.0.0.2 is-at 02:00:00:00:00:09',
  ],
  ['ARP of something else', 'ethernet', `${ether}08060001080206040001${'00'.repeat(20)}`, 'ARP, protocol 0x0802'],
  [
    'ping',
    'ip',
    v4('01', '0800f7fe00010002'),
    'IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 2, length 8, ttl 64',
  ],
  [
    'need to fragment',
    'ip',
    v4('01', '0304000000000578'),
    'IP 10.0.0.1 > 10.0.0.2: ICMP need to fragment, mtu 1400, length 8, ttl 64',
  ],
  ['time exceeded', 'ip', v4('01', '0b00000000000000'), 'IP 10.0.0.1 > 10.0.0.2: ICMP time exceeded, length 8, ttl 64'],
  [
    'redirect',
    'ip',
    v4('01', '050100000a000009'),
    'IP 10.0.0.1 > 10.0.0.2: ICMP redirect to 10.0.0.9, length 8, ttl 64',
  ],
  ['TCP SYN', 'ip', v4('06', tcpSyn), 'IP 10.0.0.1.179 > 10.0.0.2.50000: TCP [S], seq 10, win 65535, length 0, ttl 64'],
  [
    'TCP data',
    'ip',
    v4('06', '00b3c3500000000a0000000b5018ffff000000006869'),
    'IP 10.0.0.1.179 > 10.0.0.2.50000: TCP [P.], seq 10, ack 11, win 65535, length 2, ttl 64',
  ],
  ['UDP', 'ip', v4('11', '0035c350000a00006869'), 'IP 10.0.0.1.53 > 10.0.0.2.50000: UDP, length 2, ttl 64'],
  [
    'first fragment',
    'ip',
    v4('11', '0035c350000a00006869', '2000'),
    'IP 10.0.0.1.53 > 10.0.0.2.50000: UDP, length 2, ttl 64, frag 0+',
  ],
  ['later fragment', 'ip', v4('11', '6869', '0010'), 'IP 10.0.0.1 > 10.0.0.2: protocol 17, length 2, ttl 64, frag 128'],
  ['OSPF', 'ip', v4('59', '0201'), 'IP 10.0.0.1 > 10.0.0.2: OSPF, length 2, ttl 64'],
  ['bad header', 'ip', v4('11', '0035').replace('4500', '4100'), 'IP bad header length 4'],
  ['no IP', 'ip', '00', 'IP version 0'],
  [
    'neighbour solicitation',
    'ip',
    v6('3a', '8700000000000000fe80000000000000000000000000000a'),
    'IP6 2001:db8::1 > ff02::1: ICMP6 neighbour solicitation, target fe80::a, length 24, hlim 64',
  ],
  [
    'packet too big',
    'ip',
    v6('3a', '0200000000000500'),
    'IP6 2001:db8::1 > ff02::1: ICMP6 packet too big, mtu 1280, length 8, hlim 64',
  ],
  ['no route', 'ip', v6('3a', '01000000'), 'IP6 2001:db8::1 > ff02::1: ICMP6 no route, length 4, hlim 64'],
  [
    'MLD behind hop-by-hop',
    'ip',
    v6('00', '3a000502000001008f00000000000000'),
    'IP6 2001:db8::1 > ff02::1: ICMP6 multicast listener report v2, length 8, hlim 64',
  ],
  [
    'IPv6 fragment',
    'ip',
    v6('2c', '1100000900000001ffff'),
    'IP6 2001:db8::1 > ff02::1: protocol 17, length 2, hlim 64, frag 8+',
  ],
  [
    'VLAN',
    'ethernet',
    `${ether}8100000a0800${v4('01', '0800f7fe00010002')}`,
    'vlan 10, IP 10.0.0.1 > 10.0.0.2: ICMP echo request, id 1, seq 2, length 8, ttl 64',
  ],
  ['QinQ', 'ethernet', `${ether}88a80064810000c888cc`, 'vlan 100, vlan 200, LLDP'],
  ['802.3', 'ethernet', `${ether}00264242030000`, '802.3, length 38'],
  ['unknown type', 'ethernet', `${ether}1234`, 'ethertype 0x1234'],
];

describe('summarize', () => {
  it.each(packets)('%s', (_name, layer, hex, expected) => {
    const bytes = Buffer.from(hex, 'hex');
    const ends = layer === 'ethernet' ? '02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ' : '';
    expect(summarize(bytes, layer, bytes.length)).toBe(`${ends}${expected} (${bytes.length} bytes)`);
  });

  it.each(packets)('%s, cut at every length', (_name, layer, hex) => {
    const bytes = Buffer.from(hex, 'hex');
    for (let length = 0; length < bytes.length; length++) {
      const text = summarize(bytes.subarray(0, length), layer, bytes.length);
      expect(text).toMatch(/ \(\d+ bytes, \d+ shown\)$/);
      expect(text).not.toMatch(/undefined|NaN/);
    }
    if (bytes.length > 20)
      expect(summarize(bytes.subarray(0, 13), layer, 60)).toMatch(/^\[\|ether\]|^IP6? (\[\|ip6?\]|bad header)/);
  });

  it('takes any bytes, printing plain ASCII only', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 120 }),
        fc.constantFrom('ethernet' as const, 'ip' as const),
        fc.boolean(),
        (noise, layer, six) => {
          // Half of the noise looks like IP, so that the inner layers are reached.
          if (layer === 'ip' && noise.length > 0) noise[0] = six ? 0x60 : 0x45;
          return /^[\x20-\x7e]+$/.test(summarize(Buffer.from(noise), layer, noise.length));
        },
      ),
      { numRuns: 3000 },
    );
  });
});
