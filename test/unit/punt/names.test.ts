/** Names, MACs and numbers of interconnects: the vectors that a CNF written for StoneWork computes as well. */
import { describe, expect, it } from 'vitest';
import { Allocations } from '../../../src/punt/allocations.ts';
import { fnv1a, hash5, interconnectName, macOf, memifSuffix } from '../../../src/punt/names.ts';

describe('names of interconnects', () => {
  it('are those of the reference, with both MACs', () => {
    const vectors = [
      ['vpp/interface/eth0|netns::0', 'tap-zdizj', '02:fd:82:f5:5b:73', '02:fe:82:f5:5b:73'],
      ['vpp/span/interface/eth0|netns::0', 'tap-FzrjE', '02:fd:b4:67:25:98', '02:fe:b4:67:25:98'],
      ['vpp/vrf/0|netns::0', 'tap-kgwwj', '02:fd:35:5e:cd:9d', '02:fe:35:5e:cd:9d'],
      ['vpp/interface/eth0|netns::1', 'tap-jdimw', '02:fd:ba:8a:a4:60', '02:fe:ba:8a:a4:60'],
      ['vpp/hairpin/interface/hp0|netns::0', 'tap-clkss', '02:fd:41:2e:bf:97', '02:fe:41:2e:bf:97'],
    ] as const;
    for (const [id, name, vpp, cnf] of vectors) {
      expect(interconnectName('tap', id)).toBe(name);
      expect(macOf(name, 'fd')).toBe(vpp);
      expect(macOf(name, 'fe')).toBe(cnf);
    }
  });

  it('of a memif follow from who asks, so that it is never shared', () => {
    const suffix = memifSuffix('cnf1|config/mock/v1/mock1|singleton', 'vpp/interface/eth0');
    expect(suffix).toBe('ltkyn');
    expect(interconnectName('memif', `vpp/interface/eth0|memif::${suffix}`)).toBe('memif-EFDer');
  });

  it('hash as FNV-1a does, over bytes', () => {
    expect(fnv1a('')).toBe(0x811c9dc5);
    expect(fnv1a('a')).toBe(0xe40c292c);
    expect(fnv1a('é')).toBe(fnv1a('é'.normalize('NFC')));
    expect(hash5('')).toMatch(/^[a-zA-F]{5}$/);
  });
});

describe('kept numbers', () => {
  it('64 subnets of a /24, the 65th none, and what is let go is had again', () => {
    const all = new Allocations();
    all.begin();
    const cidr = '192.168.111.0/24';
    for (let i = 0; i < 64; i++) expect(all.subnet(`ic${i}`, cidr)?.vpp).toBe(`192.168.111.${4 * i + 1}/30`);
    expect(all.subnet('ic64', cidr)).toBeUndefined();
    all.end();
    all.begin();
    for (let i = 0; i < 64; i++) if (i !== 5) all.subnet(`ic${i}`, cidr);
    all.end();
    all.begin();
    for (let i = 0; i < 64; i++)
      if (i !== 5) expect(all.subnet(`ic${i}`, cidr)?.cnf).toBe(`192.168.111.${4 * i + 2}/30`);
    expect(all.subnet('new', cidr)).toEqual({ vpp: '192.168.111.21/30', cnf: '192.168.111.22/30' });
    expect(all.end()).toBe(true);
  });

  it('come and go without end', () => {
    const all = new Allocations();
    for (let i = 0; i < 1000; i++) {
      all.begin();
      expect(all.subnet(`ic${i}`, '10.0.0.0/29')?.vpp).toBe(`10.0.0.${1 + 4 * (i & 1)}/30`);
      all.end();
    }
  });

  it('are the same after they were stored, and two names of one namespace have one number', () => {
    const all = new Allocations();
    all.begin();
    expect(all.netns('', '4:1', '4:1')).toEqual({ id: 0, name: '' });
    expect(all.netns('own', '4:1', '4:1')).toEqual({ id: 0, name: '' });
    expect(all.netns('a', '4:2', '4:1')).toEqual({ id: 1, name: 'a' });
    expect(all.netns('b', '4:3', '4:1')).toEqual({ id: 2, name: 'b' });
    expect(all.netns('alias', '4:2', '4:1')).toEqual({ id: 1, name: 'a' });
    expect(all.netns('absent', undefined, '4:1')).toEqual({ id: 3, name: 'absent' });
    expect(all.priority('eth0', 'x')).toBe(1);
    expect(all.priority('eth0', 'y')).toBe(2);
    expect(all.priority('eth1', 'z')).toBe(1);
    all.end();
    const again = new Allocations(JSON.parse(JSON.stringify(all.state())));
    again.begin();
    expect(again.netns('b', '4:9', '4:1').id).toBe(2);
    expect(again.netns('absent', '4:7', '4:1').id).toBe(3);
    expect(again.priority('eth0', 'y')).toBe(2);
    expect(again.end(), 'what nobody asked for is let go').toBe(true);
  });
});
