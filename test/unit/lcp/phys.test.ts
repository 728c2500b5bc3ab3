/**
 * What a pair may be made on: interconnects that are there, and not what a data plane that has ended left of them.
 */
import { describe, expect, it } from 'vitest';
import { DeltaTable } from '../../../src/lcp/delta.ts';
import { Namespace } from '../../../src/lcp/namespace.ts';
import { KernelPhys } from '../../../src/lcp/phys.ts';
import { INTERCONNECT_PHY, type Interconnect, PLAIN_INTERCONNECT } from '../../../src/lcp/puntobjects.ts';
import * as bytes from './kernelbytes.ts';

const NAME = 'tap-aaaaa';
const link = (of: Partial<Interconnect>): Interconnect => ({
  kind: 'interconnect',
  name: NAME,
  link: 'tap',
  ...PLAIN_INTERCONNECT,
  ...of,
});
const whole = link({ mac: '02:fd:00:00:00:01' });

describe('interconnects as phys', () => {
  /** What the name means, given what is held, what is wished for, and the alias of a device here ('': it has none). */
  const phyOf = (held?: Interconnect, wished?: Interconnect, alias?: string): number | undefined => {
    const delta = new DeltaTable({ initialMs: 1, maxMs: 4 });
    const ns = new Namespace('');
    if (held !== undefined) delta.adopt([{ object: held, handle: 1 }]);
    if (wished !== undefined) delta.want('interconnect', NAME, wished);
    const device = { ifindex: 9, name: NAME, flags: 1, kind: 'tun', ...(alias ? { alias } : {}) };
    if (alias !== undefined) ns.apply(bytes.batchFrom([bytes.newLink(device)]));
    return new KernelPhys(ns, delta).byName(NAME)?.ifindex;
  };

  it('are those that have a port', () => {
    expect(phyOf(whole, whole)).toBe(INTERCONNECT_PHY);
    expect(phyOf({ ...whole, link: 'memif' })).toBe(INTERCONNECT_PHY);
    expect(phyOf(undefined, whole)).toBeUndefined();
  });

  it('are not TAPs that were left without one, nor devices that are opened as they are', () => {
    expect(phyOf(link({ netns: 'c1' }), whole)).toBeUndefined();
    expect(phyOf(link({ link: 'phy', phyIfindex: 4 }))).toBeUndefined();
  });

  it('are not the devices of CNFs that live here, nor others of their name', () => {
    expect(phyOf(undefined, undefined, `lcpd punt ${NAME}`), 'whose, is not known yet').toBeUndefined();
    expect(phyOf(undefined, whole, `lcpd punt ${NAME}`)).toBeUndefined();
    expect(phyOf(undefined, whole, ''), 'somebody else has the name').toBeUndefined();
    expect(phyOf(undefined, undefined, ''), 'a phy like any').toBe(9);
  });
});
