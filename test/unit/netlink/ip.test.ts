// Addresses as text and bytes: canonical forms of RFC 5952, refusals, words, prefixes.

import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes, formatMac, fromHex, parseMac, toHex } from '../../../src/lib/bytes.ts';
import {
  formatIp,
  formatWords,
  ipBytes,
  isLinkLocal6,
  isMulticast,
  maskBytes,
  parseIp,
  parsePrefix,
  wordsOf,
} from '../../../src/lib/ip.ts';

describe('addresses', () => {
  it.each([
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:0DB8::0001', '2001:db8::1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:0:2:3:0:0:4', '1::2:3:0:0:4'],
    ['1:2:3:4:5:6:0:8', '1:2:3:4:5:6:0:8'],
    ['::ffff:10.1.2.3', '::ffff:10.1.2.3'],
    ['64:ff9b::10.1.2.3', '64:ff9b::a01:203'],
    ['1::', '1::'],
    ['10.0.0.255', '10.0.0.255'],
  ])('%s is %s', (text, canonical) => {
    expect(formatIp(ipBytes(text))).toBe(canonical);
  });

  it.each([
    '',
    '1',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.01',
    '10.0.0.0.1',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '::12345',
    'fe80::1%eth0',
    '1.2.3.4::',
    '::1.2.3',
  ])('%s is no address', (text) => {
    expect(parseIp(text)).toBeUndefined();
    expect(() => ipBytes(text)).toThrow('not an IP address');
  });

  it('every address survives text and words, and Node agrees that it is one', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })),
        (bytes) => {
          const text = formatIp(bytes);
          expect(equalBytes(ipBytes(text), bytes)).toBe(true);
          expect(bytes.length === 4 ? isIPv4(text) : isIPv6(text)).toBe(true);
          const [a, b, c, d] = wordsOf(bytes) as unknown as [number, number, number, number];
          expect(formatWords(bytes.length === 4 ? 2 : 10, a, b, c, d)).toBe(text);
        },
      ),
    );
  });

  it('parsing agrees with Node on any text', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f:.]{0,20}$/), (text) => {
        expect(parseIp(text) !== undefined).toBe(isIPv4(text) || isIPv6(text));
      }),
    );
  });

  it('prefixes', () => {
    expect(parsePrefix('10.0.0.0/8')).toMatchObject({ family: 2, length: 8 });
    expect(parsePrefix('::/0')).toMatchObject({ family: 10, length: 0 });
    expect(parsePrefix('10.0.0.1')).toMatchObject({ length: 32 });
    for (const wrong of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/-1', '/8', 'x/8']) {
      expect(parsePrefix(wrong)).toBeUndefined();
    }
    expect(formatIp(maskBytes(ipBytes('10.255.255.255'), 9))).toBe('10.128.0.0');
    expect(formatIp(maskBytes(ipBytes('2001:db8:ffff::1'), 33))).toBe('2001:db8:8000::');
    expect(formatIp(maskBytes(ipBytes('10.1.2.3'), 0))).toBe('0.0.0.0');
  });

  it('multicast and link-local', () => {
    expect(
      ['223.255.255.255', '224.0.0.5', '239.1.1.1', '240.0.0.1', 'ff02::5', 'fe80::1'].map((ip) =>
        isMulticast(ipBytes(ip)),
      ),
    ).toEqual([false, true, true, false, true, false]);
    expect(['fe80::1', 'febf::1', 'fec0::1', '10.0.0.1'].map((ip) => isLinkLocal6(ipBytes(ip)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('bytes', () => {
  it('hexadecimal and MAC text', () => {
    expect(toHex(fromHex('00 ff:10'))).toBe('00ff10');
    expect(() => fromHex('0')).toThrow('not hexadecimal');
    expect(() => fromHex('zz')).toThrow('not hexadecimal');
    expect(formatMac(new Uint8Array([2, 0, 0xab]))).toBe('02:00:ab');
    expect(parseMac('02:00:AB')).toEqual(new Uint8Array([2, 0, 0xab]));
    expect(parseMac('02:0:ab')).toBeUndefined();
  });
});
