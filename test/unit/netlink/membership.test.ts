// Membership: procfs text to groups, and the real files of this kernel.

import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseIgmp, parseIgmp6, readMemberships } from '../../../src/netlink/membership.ts';

const IGMP = `Idx	Device    : Count Querier	Group    Users Timer	Reporter
1	lo        :     1      V3
				010000E0     1 0:00000000		0
12	e0        :     3      V2
				0D0000E0     1 0:00000000		0
				0102EFEF     1 0:00000000		1
`;

const IGMP6 = `1    lo              ff020000000000000000000000000001     1 0000000C 0
12   e0              ff0200000000000000000001ff000001     2 00000004 0
`;

describe('procfs', () => {
  it('groups belong to the device above them', () => {
    expect(parseIgmp(IGMP)).toEqual(['1 224.0.0.1', '12 224.0.0.13', '12 239.239.2.1']);
    expect(parseIgmp6(IGMP6)).toEqual(['1 ff02::1', '12 ff02::1:ff00:1']);
  });

  it('cut anywhere, a line is whole or left out', () => {
    const all = new Set([...parseIgmp(IGMP), ...parseIgmp6(IGMP6)]);
    for (let n = 0; n < IGMP.length; n++) for (const m of parseIgmp(IGMP.slice(0, n))) expect(all).toContain(m);
    for (let n = 0; n < IGMP6.length; n++) for (const m of parseIgmp6(IGMP6.slice(0, n))) expect(all).toContain(m);
  });

  it('shows what a socket of ours has joined, and not what it has left', async () => {
    const lo = readFileSync('/proc/net/dev', 'utf8').includes(' lo:');
    expect(lo).toBe(true);
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    socket.addMembership('239.1.2.3', '127.0.0.1');
    expect([...readMemberships(undefined)]).toContain('1 239.1.2.3');
    socket.dropMembership('239.1.2.3', '127.0.0.1');
    expect([...readMemberships(undefined)]).not.toContain('1 239.1.2.3');
    socket.close();
  });
});
