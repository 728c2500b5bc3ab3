/**
 * Keys about what goes from VPP to Linux, and what crosses pairs.
 */
import { describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { applicableConfig, diffConfig } from '../../../src/config/diff.ts';
import { formatConfigErrors, loadConfig } from '../../../src/config/load.ts';

const VPP = 'dataplane: { driver: vpp }\n';
function configOf(text: string): Config {
  const loaded = loadConfig(text);
  if ('errors' in loaded) throw new Error(formatConfigErrors('text', loaded.errors));
  return loaded.config;
}
const errorsOf = (text: string): string[] => {
  const loaded = loadConfig(text);
  return 'errors' in loaded ? loaded.errors.map(({ message }) => message) : [];
};

describe('sync', () => {
  it('is off by itself, with unnumbered on for when it is not', () => {
    expect(configOf(VPP).sync).toEqual({ vppToLinux: false, unnumbered: true, autoSubint: false });
    const text = `${VPP}sync: { vpp-to-linux: true, unnumbered: false, auto-subint: true }`;
    expect(configOf(text).sync).toEqual({ vppToLinux: true, unnumbered: false, autoSubint: true });
  });

  it('is refused where there is nothing to sync, or only a part of it', () => {
    expect(errorsOf('sync: { vpp-to-linux: true }')).toEqual([
      'the embedded data plane has no state of its own that could go to Linux',
    ]);
    expect(errorsOf(`${VPP}sync: { auto-subint: true }`)).toEqual([
      'auto-subint is a part of vpp-to-linux, which is off',
    ]);
    expect(errorsOf('sync: { vpp-to-linux: false }')).toEqual([]);
    expect(errorsOf(`${VPP}sync: { vpp-to-linux: sometimes }`)).toHaveLength(1);
  });
});

describe('auto-pairs', () => {
  it('have the default namespace', () => {
    const text = `${VPP}netns: cp\nauto-pairs: [{ phy: host-*, host: "*" }, { phy: loop0, host: lo0, netns: b }]`;
    expect(configOf(text).autoPairs).toEqual([
      { phy: 'host-*', host: '*', netns: 'cp' },
      { phy: 'loop0', host: 'lo0', netns: 'b' },
    ]);
  });

  it.each([
    ['auto-pairs: [{ phy: a*, host: e* }]', 'the embedded data plane finds no interfaces by itself'],
    [`${VPP}auto-pairs: [{ phy: a*, host: e0 }]`, 'host e0 would be that of every interface a*'],
    [`${VPP}auto-pairs: [{ phy: a**, host: e* }]`, '"a**" has more than one "*"'],
    [`${VPP}auto-pairs: [{ phy: a*, host: "e/*" }]`, 'an interface name cannot contain "/"'],
    [`${VPP}auto-pairs: [{ phy: a*, host: sixteencharacter* }]`, 'the interface name has 17 bytes, at most 15 fit'],
  ])('%s', (text, message) => {
    expect(errorsOf(text)).toEqual([message]);
  });
});

describe('protocols that cross pairs', () => {
  const vpp = (text: string) => `dataplane: { driver: vpp, vpp: { ${text} } }`;

  it('are numbers or names, each once', () => {
    const { ethertypes, osi } = configOf(vpp('ethertypes: [0x88cc, lacp, lldp, 35020], osi: [isis, 0x81]')).dataplane
      .vpp;
    expect(ethertypes).toEqual([0x8809, 0x88cc]);
    expect(osi).toEqual([0x81, 0x83]);
  });

  it.each(['ethertypes: [0x5ff]', 'ethertypes: [0x10000]', 'ethertypes: [toString]', 'ethertypes: [1.5]', 'osi: [0]'])(
    'but not %s',
    (text) => {
      expect(errorsOf(vpp(text)).length).toBeGreaterThan(0);
    },
  );

  it('change by a reload, as all of this does', () => {
    const before = configOf(vpp('ethertypes: [lldp]'));
    const after = configOf(`${vpp('osi: [isis], socket: /run/other.sock')}\nsync: { vpp-to-linux: true }`);
    expect(diffConfig(before, after)).toMatchObject({
      live: ['sync', 'dataplane.vpp.ethertypes', 'dataplane.vpp.osi'],
      restartNeeded: ['dataplane.vpp'],
    });
    const { vpp: applied } = applicableConfig(before, after).dataplane;
    expect(applied).toMatchObject({ ethertypes: [], osi: [0x83], socket: '/run/vpp/api.sock' });
  });
});
