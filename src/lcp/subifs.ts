// Subifs: VLAN devices on hosts become tagged sub-interfaces of their phys.
//
// A device counts when its lower device, or the lower device of that one, is the host of a TAP pair:
// dot1q, dot1ad, QinQ and QinAD, one or two tags, matched exactly. Anything deeper, a VLAN device on a
// bridge, bond or macvlan, or one whose lower device is in another namespace is left to the kernel.

import type { Link } from '../netlink/link.ts';
import type { Namespace } from './namespace.ts';
import type { Subif } from './objects.ts';
import type { Pairs } from './pairs.ts';

/** Most tags of a sub-interface. */
const MOST_TAGS = 2;
const TPID_DOT1AD = 0x88a8;

export interface FoundSubif {
  readonly object: Subif;
  /** The VLAN device. */
  readonly ifindex: number;
}

const tagText = (tag: number): string => `${tag >>> 16 === TPID_DOT1AD ? 'ad' : ''}${tag & 0xfff}`;

/** Sub-interface that a VLAN device stands for; undefined when it is none. */
const subifOf = (ns: Namespace, pairs: Pairs, device: Link): Subif | undefined => {
  const tags: number[] = [];
  let at: Link | undefined = device;
  while (at !== undefined && at.kind === 'vlan' && tags.length < MOST_TAGS) {
    const vlan: { id: number; protocol: number } | undefined = at.info?.vlan;
    if (vlan === undefined || at.link === undefined || at.linkNetnsid !== undefined) return undefined;
    tags.unshift(((vlan.protocol << 16) | vlan.id) >>> 0);
    const lower: Link | undefined = ns.links.get(at.link);
    const parent = lower === undefined ? '' : pairs.phy(ns.name, lower.ifindex);
    // the lower one may be a sub-interface itself: its tags come from its own lower device
    if (parent !== '' && pairs.spec(parent) !== undefined) {
      if (pairs.spec(parent)?.type !== 'tap') return undefined;
      const phy = `${parent}.${tags.map(tagText).join('.')}`;
      return { kind: 'subif', phy, parent, tags, netns: ns.name };
    }
    at = lower;
  }
  return undefined;
};

/** All sub-interfaces of a namespace's hosts, by name. */
export const deriveSubifs = (ns: Namespace, pairs: Pairs): Map<string, FoundSubif> => {
  const found = new Map<string, FoundSubif>();
  for (const link of [...ns.links.values()].sort((a, b) => a.ifindex - b.ifindex)) {
    if (link.kind !== 'vlan') continue;
    const object = subifOf(ns, pairs, link);
    // a phy of that name is a pair of its own, and has the name; so has the first of two ("eth0.5" 7, "eth0" 5.7)
    if (object !== undefined && pairs.spec(object.phy) === undefined && !found.has(object.phy)) {
      found.set(object.phy, { object, ifindex: link.ifindex });
    }
  }
  return found;
};
