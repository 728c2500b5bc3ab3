// struct lcpfwd_port and struct lcpfwd_lookup_spec, byte by byte against the offsets of lcpfwd.h.

import { describe, expect, it } from 'vitest';
import {
  PORT,
  PORT_FOREIGN,
  PORT_KERNEL_FWD4,
  PORT_KERNEL_FWD6,
  PORT_L2,
  PORT_TUN,
  PORT_UP,
  SIZE,
} from '../../../src/forwarding/native.ts';
import {
  addressText,
  afOf,
  decodePorts,
  encodeLink,
  encodePair,
  encodeSpec,
  encodeSubif,
  type Lookups,
  macBytes,
} from '../../../src/forwarding/port.ts';
import type { Link, Pair } from '../../../src/lcp/objects.ts';
import { ipBytes, wordsOf } from '../../../src/lib/ip.ts';

const pair: Pair = {
  kind: 'pair',
  phy: 'wan0',
  phyIfindex: 0x01020304,
  host: 'e0',
  netns: 'cp',
  netnsId: '4:99',
  type: 'tap',
};
const link: Link = {
  kind: 'link',
  phy: 'wan0',
  phyIfindex: 7,
  hostIfindex: 9,
  netns: 'cp',
  up: true,
  mtu: 9000,
  phyMtu: 9000,
  mac: '02:00:00:00:00:42',
  carrier: true,
  promisc: true,
  host: 'renamed0',
  forwarding4: false,
  forwarding6: false,
  source4: '10.0.0.1',
  source6: 'fd00::1',
  lookup4: [],
  lookup6: [],
  parent: '',
  macs: [],
  l2: false,
  merged4: true,
  lookupMpls: [],
};

const NOTHING: Lookups = { v4: [], v6: [], merged4: true, mpls: 0 };
const MANY_MACS = Array.from({ length: 17 }, (_, i) => `02:00:5e:00:01:${(16 + i).toString(16)}`);

const hex = (bytes: Uint8Array, from: number, length: number): string =>
  Buffer.from(bytes.subarray(from, from + length)).toString('hex');
const text = (bytes: Uint8Array, from: number): string => {
  const end = bytes.indexOf(0, from);
  return Buffer.from(bytes.subarray(from, end)).toString();
};

describe('encodePair', () => {
  it('puts every member where the header has it', () => {
    const bytes = encodePair(pair, 0x0a0b0c0d, 'aa:bb:cc:dd:ee:ff', 1500);
    expect(bytes.length).toBe(SIZE.port);
    expect(hex(bytes, PORT.flags, 4)).toBe('00000000');
    expect(hex(bytes, PORT.phyIfindex, 4)).toBe('04030201');
    expect(hex(bytes, PORT.hostIfindex, 4)).toBe('0d0c0b0a');
    expect(hex(bytes, PORT.mtu, 4)).toBe('dc050000');
    expect(hex(bytes, PORT.mac, 8)).toBe('aabbccddeeff0000');
    expect([text(bytes, PORT.phy), text(bytes, PORT.host), text(bytes, PORT.netns)]).toEqual([
      'wan0',
      'e0',
      'cp@4:99@e0',
    ]);
  });

  it('marks a TUN, and leaves its MAC empty', () => {
    const bytes = encodePair({ ...pair, type: 'tun' }, 9, '', 1400);
    expect(hex(bytes, PORT.flags, 4)).toBe('02000000');
    expect(hex(bytes, PORT.mac, 6)).toBe('000000000000');
  });

  it('comes back through decodePorts, and its neighbours in the array too', () => {
    const two = { ...pair, phy: 'lan0', host: 'e1', netns: '', netnsId: '4:1', type: 'tun' } as const;
    const array = new Uint8Array(2 * SIZE.port);
    array.set(encodePair(pair, 9, '', 1500), 0);
    array.set(encodePair(two, 10, '', 1500), SIZE.port);
    new DataView(array.buffer).setUint32(PORT.id, 5, true);
    new DataView(array.buffer).setUint32(SIZE.port + PORT.id, 6, true);
    const none = { generation: 0n, mac: '00:00:00:00:00:00', mtu: 1500, wireUp: false, lender: 0 };
    const common = { ...none, flags: 0, phyIfindex: 0x01020304, parent: 0, tags: [] };
    expect(decodePorts(array, 2)).toEqual([
      {
        ...common,
        id: 5,
        hostIfindex: 9,
        phy: 'wan0',
        host: 'e0',
        configuredHost: 'e0',
        netns: 'cp',
        netnsId: '4:99',
        type: 'tap',
      },
      {
        ...common,
        flags: PORT_TUN,
        id: 6,
        hostIfindex: 10,
        phy: 'lan0',
        host: 'e1',
        configuredHost: 'e1',
        netns: '',
        netnsId: '4:1',
        type: 'tun',
      },
    ]);
    expect(decodePorts(array, 0)).toEqual([]);
  });

  it.each([
    ['a phy name', { phy: 'a2345678901234567890123456789012' }],
    ['a host name', { host: 'a234567890123456' }],
    ['a namespace name', { netns: 'n'.repeat(92) }],
    ['a name of many bytes', { phy: 'é'.repeat(16) }],
  ])('refuses %s that does not fit, rather than cutting it', (_, wrong) => {
    expect(() => encodePair({ ...pair, ...wrong }, 9, '', 1500)).toThrow(RangeError);
  });

  it('takes names that just fit', () => {
    const name = 'a23456789012345';
    const [port] = decodePorts(encodePair({ ...pair, phy: name, host: name }, 9, '', 1500), 1);
    expect([port?.phy, port?.host, port?.configuredHost]).toEqual([name, name, name]);
  });

  it('reads a name that fills its field to the last byte', () => {
    const bytes = encodePair(pair, 9, '', 1500);
    bytes.fill(0x78, PORT.phy, PORT.phy + 32);
    expect(decodePorts(bytes, 1)[0]).toMatchObject({ phy: 'x'.repeat(32), host: 'e0' });
  });
});

describe('encodeLink', () => {
  it('puts every member where the header has it', () => {
    const bytes = encodeLink({ ...link, macs: ['02:00:5e:00:01:01', '02:00:5e:00:02:02'] }, 'tap', {
      v4: [1, 2, 3, 4, 5],
      v6: [6],
      merged4: true,
      mpls: 7,
    });
    expect(bytes.length).toBe(SIZE.port);
    expect(hex(bytes, PORT.flags, 4)).toBe('01000000');
    expect(hex(bytes, PORT.phyIfindex, 8)).toBe('0700000009000000');
    expect(hex(bytes, PORT.mtu, 4)).toBe('28230000');
    expect(hex(bytes, PORT.mac, 6)).toBe('020000000042');
    expect(hex(bytes, PORT.src4, 4)).toBe('0a000001');
    expect(hex(bytes, PORT.src6, 16)).toBe('fd000000000000000000000000000001');
    expect(hex(bytes, PORT.v4, SIZE.spec)).toBe('050001000100000002000000030000000400000005000000');
    expect(hex(bytes, PORT.v6, SIZE.spec)).toBe('010000000600000000000000000000000000000000000000');
    expect(hex(bytes, PORT.mpls, 8)).toBe('0700000000000002');
    expect(hex(bytes, PORT.more, 18)).toBe(`02005e00010102005e000202${'00'.repeat(6)}`);
    expect(text(bytes, PORT.host)).toBe('renamed0');
  });

  it.each([
    ['down', { up: false }, 'tap', 0],
    ['up', {}, 'tap', PORT_UP],
    ['a TUN', {}, 'tun', PORT_UP | PORT_TUN],
    ['the kernel forwards IPv4', { forwarding4: true }, 'tap', PORT_UP | PORT_KERNEL_FWD4],
    ['the host is bridged', { l2: true }, 'tap', PORT_UP | PORT_L2],
    ['more addresses than there is room for', { macs: MANY_MACS }, 'tap', PORT_UP | PORT_FOREIGN],
    ['as many as there is room for', { macs: MANY_MACS.slice(1) }, 'tap', PORT_UP],
    ['the kernel forwards IPv6', { forwarding6: true }, 'tap', PORT_UP | PORT_KERNEL_FWD6],
  ] as const)('flags: %s', (_, change, type, flags) => {
    expect(encodeLink({ ...link, ...change }, type, NOTHING)[PORT.flags]).toBe(flags);
  });

  it('without sources they are zero', () => {
    const bytes = encodeLink({ ...link, source4: '', source6: '' }, 'tap', NOTHING);
    expect(hex(bytes, PORT.src4, 20)).toBe('00'.repeat(20));
  });
});

describe('encodeSubif', () => {
  it('says its parent and tags, and comes back through decodePorts', () => {
    const phy = 'abcdefghijklmno.ad4094.4094';
    const bytes = encodeSubif(
      { kind: 'subif', phy, parent: 'abcdefghijklmno', tags: [0x88a8_0ffe, 0x8100_0ffe], netns: 'cp' },
      9,
    );
    expect(hex(bytes, PORT.parent, 12)).toBe('09000200fe0fa888fe0f0081');
    expect(text(bytes, PORT.phy)).toBe(phy);
    expect(decodePorts(bytes, 1)[0]).toMatchObject({
      phy,
      parent: 9,
      tags: [0x88a8_0ffe, 0x8100_0ffe],
      netns: 'cp',
      type: 'tap',
      flags: 0,
    });
  });
});

describe('encodeSpec', () => {
  it.each([
    ['two tables as one', [1, 2], true, '02000100'],
    ['one table has nothing to merge with', [1], true, '01000000'],
    ['one after the other', [1, 2], false, '02000000'],
    ['five tables at most', [1, 2, 3, 4, 5, 6], false, '05000000'],
  ] as const)('%s', (_, handles, merged, head) => {
    const bytes = encodeSpec(handles, merged);
    expect(bytes.length).toBe(SIZE.spec);
    expect(hex(bytes, 0, 4)).toBe(head);
    expect([...new Uint32Array(bytes.buffer, 4)].filter((h) => h !== 0)).toEqual(handles.slice(0, 5));
  });
});

describe('addresses', () => {
  it.each(['10.0.0.1', '255.255.255.255', '0.0.0.0', 'fe80::1', '::', '2001:db8::ffff'])(
    '%s there and back',
    (address) => {
      expect(addressText(afOf(address), wordsOf(ipBytes(address)), 0)).toBe(address);
    },
  );

  it('families as the library counts them', () => expect([afOf('10.0.0.1'), afOf('::1')]).toEqual([4, 6]));

  it('MAC addresses', () => {
    expect([...macBytes('00:1f:ff:0a:B0:09')]).toEqual([0, 0x1f, 0xff, 10, 0xb0, 9]);
    expect([...macBytes('')]).toEqual([0, 0, 0, 0, 0, 0]);
  });
});
