// Interconnects: which links between data plane and CNFs the requests of one pass ask for, and who shares them.
//
// The rules are StoneWork's: a selector of the data plane is had by one punt, unless all who want it can be multiplexed; of
// two that want the same selector and lead to the same CNF, one link serves both when they want the same of it. Nothing is taken
// when anything of a request is refused.

import { isDeepStrictEqual } from 'node:util';
import type { Interconnect } from '../lcp/puntobjects.ts';
import { interconnectId, interconnectName, macOf } from './names.ts';

/** What a request asks of one link. */
export interface LinkWish {
  /** 'vpp/interface/eth0', 'vpp/span/interface/eth0', 'vpp/vrf/0', … */
  readonly vppSelector: string;
  /** 'netns::0', 'memif::SUFFIX' */
  readonly cnfSelector: string;
  readonly link: 'tap' | 'memif';
  /** Whether others may have the selector, too. */
  readonly multiplex: boolean;
  readonly netns: string;
  readonly netnsId: string;
  readonly gso: boolean;
  readonly socket: string;
  readonly secret: string;
  /** '' : by the rules of names.ts. */
  readonly customName: string;
  readonly customMac: string;
  readonly customPeerMac: string;
  readonly mtu: number;
  /** Of the data plane's side. */
  readonly addresses: readonly string[];
  readonly lender: string;
  readonly table: number;
  readonly dhcpClient: boolean;
  /** Of the CNF's side. */
  readonly peerAddresses: readonly string[];
  /** Device of a VRF in the CNF's namespace, '' : none. */
  readonly vrfName: string;
}

export interface Link {
  readonly id: string;
  readonly wish: LinkWish;
  readonly object: Interconnect;
  /** Texts of the ids of the requests that use it, in their order. */
  readonly users: string[];
}

/** Why a request cannot have its links. busy: it could, once another one goes. */
export interface Refusal {
  readonly busy: boolean;
  readonly reason: string;
}

/** What two wishes for one link must agree in. Not gso: the first one says. */
const essence = (w: LinkWish) => [
  w.customName,
  w.customMac,
  w.customPeerMac,
  w.table,
  w.vrfName,
  w.dhcpClient,
  w.mtu,
  w.lender,
  w.addresses,
  w.peerAddresses,
];

function objectOf(id: string, wish: LinkWish, owner: string): Interconnect {
  const byRule = interconnectName(wish.link, id);
  return {
    kind: 'interconnect',
    name: wish.customName || byRule,
    link: wish.link,
    netns: wish.netns,
    netnsId: wish.netnsId,
    phyIfindex: 0,
    mac: wish.customMac || macOf(byRule, 'fd'),
    peerMac: wish.customPeerMac || macOf(byRule, 'fe'),
    mtu: wish.mtu,
    gso: wish.gso,
    socket: wish.socket,
    secret: wish.secret,
    addresses: wish.addresses,
    lender: wish.lender,
    table: wish.table,
    dhcpClient: wish.dhcpClient,
    owner: `punt:${owner}`,
  };
}

export class Interconnects {
  /** By selector of the data plane, then of the CNF. */
  readonly #bySelector = new Map<string, Map<string, Link>>();
  readonly #byName = new Map<string, Link>();
  /** Memifs: a socket is named by 25 bits, too. */
  readonly #bySocket = new Map<string, Link>();

  links(): Iterable<Link> {
    return this.#byName.values();
  }

  /** The links of a request, made or shared. */
  add(owner: string, wishes: readonly LinkWish[]): Link[] | Refusal {
    const selectors = new Set<string>();
    const lenders = new Set<string>();
    const names = new Set<string>();
    const sockets = new Set<string>();
    const links: Link[] = [];
    for (const wish of wishes) {
      const { vppSelector, lender, socket } = wish;
      if (selectors.has(vppSelector)) return { busy: false, reason: `duplicate VPP selector ${vppSelector}` };
      if (lenders.has(lender)) return { busy: false, reason: `duplicate request to proxy VPP interface ${lender}` };
      const link = this.#find(owner, wish);
      if ('reason' in link) return link;
      if (names.has(link.object.name)) return { busy: false, reason: `two links of the name ${link.object.name}` };
      if (sockets.has(socket)) return { busy: false, reason: `two links of the memif socket ${socket}` };
      selectors.add(vppSelector);
      names.add(link.object.name);
      if (socket !== '') sockets.add(socket);
      if (lender !== '') lenders.add(lender);
      links.push(link);
    }
    for (const link of links) {
      const { vppSelector, cnfSelector, socket } = link.wish;
      const others = this.#bySelector.get(vppSelector) ?? new Map<string, Link>();
      this.#bySelector.set(vppSelector, others.set(cnfSelector, link));
      this.#byName.set(link.object.name, link);
      if (socket !== '') this.#bySocket.set(socket, link);
      link.users.push(owner);
    }
    return links;
  }

  #find(owner: string, wish: LinkWish): Link | Refusal {
    const { vppSelector, cnfSelector } = wish;
    const others = this.#bySelector.get(vppSelector);
    for (const other of others?.values() ?? []) {
      if (!other.wish.multiplex || !wish.multiplex)
        return { busy: true, reason: `VPP selector ${vppSelector} is busy` };
    }
    const same = others?.get(cnfSelector);
    if (same !== undefined) {
      if (wish.link === 'tap' && same.wish.link === 'tap' && isDeepStrictEqual(essence(wish), essence(same.wish)))
        return same;
      return { busy: true, reason: `CNF selector ${cnfSelector} is busy` };
    }
    const id = interconnectId(vppSelector, cnfSelector);
    const object = objectOf(id, wish, owner);
    const taken = (what: string, by: Link): Refusal => ({
      busy: true,
      reason: `${what} is taken by ${by.users[0]}, for ${by.id}`,
    });
    const named = this.#byName.get(object.name);
    if (named !== undefined) return taken(`interconnect name ${object.name}`, named);
    const listening = this.#bySocket.get(wish.socket);
    if (listening !== undefined) return taken(`memif socket ${wish.socket}`, listening);
    return { id, wish, object, users: [] };
  }
}
