// Link: what sets kinds and families apart, and kinds that the capturing kernel did not have (bytes after if_link.h).

import { describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/lib/bytes.ts';
import { wireOf } from '../../../src/netlink/attr.ts';
import { decodeLink, encodeLink, type LinkRequest } from '../../../src/netlink/link.ts';
import { MessageWriter } from '../../../src/netlink/message.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { capturedLike } from './kernel.ts';

const read = (like: string) => decodeLink(wireOf(capturedLike(like).bytes), 0);

function roundTrip(request: LinkRequest) {
  const writer = new MessageWriter().begin(k.RTM_NEWLINK, 0);
  encodeLink(writer, request);
  return decodeLink(wireOf(writer.finish().written.slice()), 0);
}

/** nlmsghdr and ifinfomsg (Ethernet, ifindex 9) in front of attributes in hexadecimal. */
function message(attributes: string): Uint8Array {
  const tail = fromHex(attributes);
  const bytes = new Uint8Array([
    ...fromHex('00000000 1000 0000 00000000 00000000 00 00 0100 09000000 43100100 00000000'),
    ...tail,
  ]);
  new DataView(bytes.buffer).setUint32(0, bytes.length, true);
  return bytes;
}

describe('links of the kernel', () => {
  it('veth with alias, alternative names and its peer', () => {
    expect(read('[LINK] 3: v0')).toMatchObject({
      family: k.AF_UNSPEC,
      ifindex: 3,
      name: 'v0',
      type: 1,
      mtu: 1500,
      kind: 'veth',
      link: 2,
      alias: 'up link',
      altnames: ['uplink-to-core', 'up0'],
      carrier: true,
      operstate: k.IF_OPER_UP,
      minMtu: 68,
      maxMtu: 65535,
    });
    expect(read('[LINK] 3: v0')?.linkNetnsid).toBeUndefined();
  });

  it('TAP and TUN differ by type; TUN has no link-layer address', () => {
    expect(read('[LINK] 5: tap0')).toMatchObject({
      kind: 'tun',
      info: { tun: { type: 'tap', persist: true } },
      carrier: false,
    });
    const tun = read('[LINK] 6: tun0');
    expect(tun).toMatchObject({ kind: 'tun', type: 65534, info: { tun: { type: 'tun', vnetHdr: false } } });
    expect(tun?.mac).toBeUndefined();
  });

  it('how link-local addresses are made, where there is IPv6', () => {
    expect(read('[LINK] 3: v0')?.addrGenMode).toBe(k.IN6_ADDR_GEN_MODE_EUI64);
    expect(read('[LINK] 2: v1@if3: bridge')?.addrGenMode).toBeUndefined();
    expect(roundTrip({ ifindex: 3, addrGenMode: k.IN6_ADDR_GEN_MODE_NONE })?.addrGenMode).toBe(1);
    expect(roundTrip({ ifindex: 3 })?.addrGenMode).toBeUndefined();
    // IFLA_AF_SPEC { AF_INET {}, AF_INET6 { IFLA_INET6_ADDR_GEN_MODE without a value } }
    expect(decodeLink(wireOf(message('1000 1a80 0400 0280 0800 0a80 0400 0800')), 0)).toBeUndefined();
  });

  it('a bridge port message is told apart from the device, in change and in deletion', () => {
    expect(read('[LINK] 2: v1@if3: bridge')).toMatchObject({ family: k.AF_BRIDGE, ifindex: 2, master: 4 });
    expect(read('[LINK] Deleted 2: v1@if3: bridge')).toMatchObject({ family: k.AF_BRIDGE });
    expect(read('[LINK] Deleted 4: br0')).toMatchObject({ family: k.AF_UNSPEC, kind: 'bridge' });
    expect(read('[LINK] 4: br0')).toMatchObject({ info: { bridge: { stp: false, vlanFiltering: false } } });
  });
});

describe('links of a kernel with more modules', () => {
  it('VLANs of both protocols and on each other, with their flags', () => {
    const vlan = (like: string) => [read(like)?.kind, read(like)?.link, read(like)?.info?.vlan];
    expect(vlan('[LINK] 12: d0.10@')).toEqual(['vlan', 9, { id: 10, protocol: 0x8100, flags: 1 }]);
    expect(vlan('[LINK] 13: d0.ad@')).toEqual(['vlan', 9, { id: 20, protocol: 0x88a8, flags: 1 }]);
    expect(vlan('[LINK] 14: d0.ad.30@')).toEqual(['vlan', 13, { id: 30, protocol: 0x8100, flags: 5 }]);
    expect(read('[LINK] Deleted 12: d0.10@')?.info?.vlan?.id).toBe(10);
    expect(read('[LINK] 12: d0.10@')?.linkNetnsid).toBeUndefined();
  });

  it('a VRF has its table, and so has what belongs to it; other masters are told by their kind', () => {
    expect(read('[LINK] 15: red')).toMatchObject({ kind: 'vrf', info: { vrf: { table: 100 } } });
    expect(read('[LINK] 10: d1')).toMatchObject({ kind: 'dummy', master: 15, slaveKind: 'vrf', vrfTable: 100 });
    const bonded = read('[LINK] 11: d2');
    expect([bonded?.master, bonded?.slaveKind, bonded?.vrfTable]).toEqual([16, 'bond', undefined]);
    expect(read('kind bond')).toMatchObject({ name: 'bond0', info: { bond: { mode: 1 } } });
    expect(read('[LINK] 17: mv0')).toMatchObject({ kind: 'macvlan', link: 9, info: { macvlan: { mode: 4 } } });
    const bridged = read('slave-kind bridge');
    expect([bridged?.slaveKind, bridged?.master, bridged?.vrfTable]).toEqual(['bridge', 4, undefined]);
  });

  it('what the control plane holds down says so', () => {
    expect(read('[LINK] 17: mv0')?.protoDown).toBe(false);
    expect(roundTrip({ ifindex: 3, protoDown: true })?.protoDown).toBe(true);
    expect(roundTrip({ ifindex: 3 })?.protoDown).toBeUndefined();
  });
});

describe('links after if_link.h', () => {
  it('vlan: protocol in network order, parent in IFLA_LINK', () => {
    const bytes = message(
      '0800 0500 04000000' + // IFLA_LINK 4
        '2400 1200' + // IFLA_LINKINFO
        '0900 0100 766c616e00 000000' + // kind vlan
        '1400 0200' + // data
        '0600 0100 6400 0000' + // id 100
        '0600 0500 88a8 0000', // 802.1ad
    );
    expect(decodeLink(wireOf(bytes), 0)).toMatchObject({
      link: 4,
      kind: 'vlan',
      info: { vlan: { id: 100, protocol: 0x88a8 } },
    });
  });

  it('data before the kind is read all the same', () => {
    const bytes = message('1800 1200 0c00 0200 0800 0100 e8030000 0800 0100 76726600');
    expect(decodeLink(wireOf(bytes), 0)).toMatchObject({ kind: 'vrf', info: { vrf: { table: 1000 } } });
  });

  it('bond and its slave, dummy, macvlan', () => {
    const bond = message('1900 1200 0900 0100 626f6e6400 000000 0900 0200 0500 0100 04');
    expect(decodeLink(wireOf(bond), 0)).toMatchObject({ kind: 'bond', info: { bond: { mode: 4 } } });
    expect(roundTrip({ ifindex: 1, kind: 'dummy', name: 'd0' })).toMatchObject({ kind: 'dummy', name: 'd0' });
    const slave = message('0800 0a00 07000000 1000 1200 0900 0400 626f6e6400 000000');
    expect(decodeLink(wireOf(slave), 0)).toMatchObject({ master: 7, slaveKind: 'bond' });
    expect(roundTrip({ kind: 'macvlan', info: { macvlan: { mode: 4 } } })).toMatchObject({
      info: { macvlan: { mode: 4 } },
    });
  });

  it('a move to another namespace tells where to', () => {
    const bytes = message('0800 2d00 02000000 0800 3100 2a000000 0800 2500 ffffffff');
    expect(decodeLink(wireOf(bytes), 0)).toMatchObject({ newNetnsid: 2, newIfindex: 42, linkNetnsid: -1 });
  });

  it('the data of a slave is read only where its kind is a VRF, also when the kind comes behind it', () => {
    const vrf = message('1800 1200 0c00 0500 0800 0100 e8030000 0800 0400 76726600');
    expect(decodeLink(wireOf(vrf), 0)).toMatchObject({ slaveKind: 'vrf', vrfTable: 1000 });
    const bond = message('1c00 1200 0c00 0500 0800 0100 e8030000 0900 0400 626f6e6400 000000');
    expect(decodeLink(wireOf(bond), 0)?.vrfTable).toBeUndefined();
    const short = message('1600 1200 0a00 0500 0600 0100 e803 0000 0800 0400 76726600 0000');
    expect(decodeLink(wireOf(short), 0)).toBeUndefined();
  });

  it('a malformed nest makes the message malformed', () => {
    expect(decodeLink(wireOf(message('1400 1200 0900 0100 766c616e00 000000 ff00 0200')), 0)).toBeUndefined();
  });

  it('a request with a wrong link-layer address is refused here', () => {
    expect(() => roundTrip({ mac: '02:00:zz' })).toThrow('not a link-layer address');
  });
});
