// RouteLegs: the legs of a route message to the interned path set of them.
//
// The nexthop object decides where there is one, not the legs that the kernel adds for readers that do
// not know it. IPv6 legs are sorted, because the kernel tells them in an order that means nothing.

import { MAX_ENCAP_LABELS, type RouteMessage } from '../netlink/route.ts';
import { RTPROT_KERNEL, RTPROT_STATIC } from '../netlink/uapi.ts';
import { MPLS, type RouteFamily } from './objects.ts';
import { type PathSet, PathSetKey, type PathSets } from './pathsets.ts';

/** linux-cp's del-static-on-link-down and del-dynamic-on-link-down: whose routes go with the carrier. */
export interface CarrierPolicy {
  readonly static: boolean;
  readonly dynamic: boolean;
}

/** Words that IPv6 legs are sorted by: device, gateway, number of labels, labels. */
const WORDS = 6 + MAX_ENCAP_LABELS;

/** Of a popped label whose TTL is not to be seen in the packet below. */
const PIPE_TTL = 255;

/** What an encapsulation with more labels than a leg can have counts as: no LWTUNNEL_ENCAP_* has this number. */
export const ENCAP_TOO_LONG = 0xffff;

export class RouteLegs {
  readonly #family: RouteFamily;
  readonly #sets: PathSets;
  readonly #key = new PathSetKey();
  /** Takes effect on what is told from then on. */
  carrierPolicy: CarrierPolicy = { static: false, dynamic: false };

  constructor(family: RouteFamily, sets: PathSets) {
    this.#family = family;
    this.#sets = sets;
  }

  /** The path set of a message. The caller counts its use with retain. */
  intern(m: RouteMessage): PathSet {
    const key = this.#key;
    const family = this.#family;
    key.begin(m.nhId, family === 4 && m.hasPrefsrc ? m.p0 : 0, family, this.#needsCarrier(m.protocol));
    if (m.nhId !== 0) return this.#sets.intern(key);
    if (family !== 6 || m.legs < 2) for (let i = 0; i < m.legs; i++) this.#addLeg(m, i);
    else for (const i of this.#order(m)) this.#addLeg(m, i);
    return this.#sets.intern(key);
  }

  #needsCarrier(protocol: number): boolean {
    if (protocol === RTPROT_KERNEL) return false; // what an address brings is a route of neither sort
    return protocol <= RTPROT_STATIC ? this.carrierPolicy.static : this.carrierPolicy.dynamic;
  }

  /** IPv6 tells siblings beginning with the one that changed, so their order means nothing: one is chosen. */
  #order(m: RouteMessage): number[] {
    const word = (i: number, j: number): number => {
      if (j === 0) return m.legOif[i] as number;
      if (j < 5) return m.legGateway[4 * i + j - 1] as number;
      const labels = m.legLabelCount[i] as number;
      if (j === 5) return labels;
      return j - 6 < labels ? (m.legLabels[MAX_ENCAP_LABELS * i + j - 6] as number) : 0;
    };
    return Array.from({ length: m.legs }, (_, i) => i).sort((a, b) => {
      for (let j = 0; j < WORDS; j++) if (word(a, j) !== word(b, j)) return word(a, j) - word(b, j);
      return 0;
    });
  }

  #addLeg(m: RouteMessage, i: number): void {
    const g = 4 * i;
    this.#key.leg(
      m.legOif[i] as number,
      m.legWeight[i] as number,
      m.legFlags[i] as number,
      m.legGatewayFamily[i] as number,
      m.tooManyLabels ? ENCAP_TOO_LONG : (m.legEncapType[i] as number),
      m.legGateway[g] as number,
      m.legGateway[g + 1] as number,
      m.legGateway[g + 2] as number,
      m.legGateway[g + 3] as number,
    );
    const labels = m.legLabelCount[i] as number;
    // what is popped keeps a TTL of its own only where the route says so; what is swapped has the label's
    const popped = labels === 0 && m.ttlPropagate === 0 ? PIPE_TTL : 0;
    const ttl = this.#family === MPLS ? popped : (m.legTtl[i] as number);
    if (labels !== 0 || ttl !== 0) this.#key.labels(ttl, m.legLabels, i * MAX_ENCAP_LABELS, labels);
  }
}
