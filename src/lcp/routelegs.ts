// RouteLegs: the legs of a route message to the interned path set of them, and the two compared.
//
// The nexthop object decides where there is one, not the legs that the kernel adds for readers that do
// not know it. IPv6 legs are sorted, because the kernel tells them in an order that means nothing.
// A leg is the same one whatever its weight and flags: those change without it (rt6_duplicate_nexthop).

import { AF_INET } from '../lib/ip.ts';
import { MAX_ENCAP_LABELS, type RouteMessage } from '../netlink/route.ts';
import {
  RTN_BLACKHOLE,
  RTN_UNICAST,
  RTNH_F_DEAD,
  RTNH_F_LINKDOWN,
  RTPROT_KERNEL,
  RTPROT_STATIC,
} from '../netlink/uapi.ts';
import { MPLS, type RouteFamily } from './objects.ts';
import { LOOPBACK_IFINDEX, type OwnGateways } from './owngateways.ts';
import {
  HEAD_WORDS,
  LEG_OWN_GATEWAY,
  LEG_WORDS,
  type Leg,
  type PathSet,
  PathSetKey,
  type PathSets,
} from './pathsets.ts';

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

/**
 * A route says that it is a blackhole while its nexthop object is one, and does not say when that changes: the object
 * decides. One that is a blackhole by itself is told with the object's legs; a blackhole object has the loopback.
 */
export const ownType = (m: RouteMessage): number =>
  m.nhId !== 0 && m.type === RTN_BLACKHOLE && (m.legs === 0 || m.legOif[0] === LOOPBACK_IFINDEX) ? RTN_UNICAST : m.type;

export class RouteLegs {
  readonly #family: RouteFamily;
  readonly #sets: PathSets;
  readonly #key = new PathSetKey();
  readonly #own: OwnGateways | undefined;
  /** Whether a leg with a gateway of our own was ever told. */
  #hasOwn = false;
  /** Takes effect on what is told from then on. */
  carrierPolicy: CarrierPolicy = { static: false, dynamic: false };

  constructor(family: RouteFamily, sets: PathSets, own?: OwnGateways) {
    this.#family = family;
    this.#sets = sets;
    this.#own = own;
  }

  /** The path set of a message. The caller counts its use with retain. */
  intern(m: RouteMessage): PathSet {
    const key = this.#key;
    const family = this.#family;
    const prefsrc = family === 4 && m.hasPrefsrc ? m.p0 : 0;
    // each leg of an IPv6 multipath route has metrics of its own, and a message shows those of one
    const metrics = family === 6 && m.nhId === 0 && m.legs > 0 && m.legGatewayFamily[0] !== 0 ? 0 : m.metrics;
    key.begin(m.nhId, prefsrc, family, this.#needsCarrier(m.protocol), metrics);
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
      this.#flagsOf(m, i),
      m.legGatewayFamily[i] as number,
      m.tooManyLabels ? ENCAP_TOO_LONG : (m.legEncapType[i] as number),
      m.legGateway[g] as number,
      m.legGateway[g + 1] as number,
      m.legGateway[g + 2] as number,
      m.legGateway[g + 3] as number,
    );
    const labels = m.legLabelCount[i] as number;
    const ttl = this.#ttlOf(m, i);
    if (labels !== 0 || ttl !== 0) this.#key.labels(ttl, m.legLabels, i * MAX_ENCAP_LABELS, labels);
  }

  #flagsOf(m: RouteMessage, i: number): number {
    const flags = (m.legFlags[i] as number) & ~LEG_OWN_GATEWAY;
    if (this.#own === undefined || m.legGatewayFamily[i] !== AF_INET) return flags;
    if (!this.#own.has(m.legOif[i] as number, m.legGateway[4 * i] as number, flags)) return flags;
    this.#hasOwn = true;
    return flags | LEG_OWN_GATEWAY;
  }

  /** Whether two sets differ in nothing that a message shows: only in whether gateways are used. */
  lookAlike(a: PathSet, b: PathSet | undefined): boolean {
    return a === b || (this.#hasOwn && this.#differsInFlags(a, b, LEG_OWN_GATEWAY));
  }

  /** Whether two sets differ at most in legs that are dead or without carrier: to IPv4 they are one. */
  equalButDead(a: PathSet, b: PathSet | undefined): boolean {
    return a === b || this.#differsInFlags(a, b, RTNH_F_DEAD | RTNH_F_LINKDOWN);
  }

  /** Whether two sets are the same but for those flags of their legs. */
  #differsInFlags(a: PathSet, b: PathSet | undefined, flags: number): boolean {
    if (b === undefined || a.words.length !== b.words.length) return false;
    const end = HEAD_WORDS + a.legs.length * LEG_WORDS;
    return a.words.every((word, i) => {
      const isFlags = i >= HEAD_WORDS && i < end && (i - HEAD_WORDS) % LEG_WORDS === 2;
      const differing = word ^ (b.words[i] as number);
      return (isFlags ? differing & ~flags : differing) === 0;
    });
  }

  #ttlOf(m: RouteMessage, i: number): number {
    if (this.#family !== MPLS) return m.legTtl[i] as number;
    // what is popped keeps a TTL of its own only where the route says so; what is swapped has the label's
    return m.legLabelCount[i] === 0 && m.ttlPropagate === 0 ? PIPE_TTL : 0;
  }

  /** Whether leg i of a message is this one; weighed: with its weight. */
  isLeg(leg: Leg, m: RouteMessage, i: number, weighed = false): boolean {
    if (weighed && leg.weight !== m.legWeight[i]) return false;
    if (leg.ifindex !== m.legOif[i] || !leg.gateway.every((w, j) => w === m.legGateway[4 * i + j])) return false;
    const { labels = [], ttl = 0 } = leg;
    if (labels.length !== m.legLabelCount[i] || ttl !== this.#ttlOf(m, i)) return false;
    return labels.every((label, j) => label === m.legLabels[MAX_ENCAP_LABELS * i + j]);
  }

  /** Whether a message tells all legs of a set, in any order. */
  areLegs(set: PathSet, m: RouteMessage): boolean {
    if (set.nhId !== m.nhId || set.legs.length !== m.legs) return false;
    return set.legs.every((leg) => this.isTold(leg, m));
  }

  /** Whether a message tells this leg. */
  isTold(leg: Leg, m: RouteMessage): boolean {
    for (let i = 0; i < m.legs; i++) if (this.isLeg(leg, m, i)) return true;
    return false;
  }

  /** The set of the legs that do not go, undefined when none is left or a nexthop object decides. */
  without(set: PathSet, goes: (leg: Leg) => boolean): PathSet | undefined {
    if (set.nhId !== 0) return undefined;
    const key = this.#key;
    key.begin(0, set.prefsrc, set.family, set.needsCarrier, set.metrics);
    set.legs.forEach((leg, index) => {
      if (goes(leg)) return;
      const w = set.words.subarray(HEAD_WORDS + index * LEG_WORDS);
      const [g0, g1, g2, g3] = leg.gateway;
      key.leg(w[0] as number, w[1] as number, leg.flags, leg.gatewayFamily, leg.encapType, g0, g1, g2, g3);
      if (leg.labels !== undefined) key.labels(leg.ttl ?? 0, leg.labels, 0, leg.labels.length);
    });
    return key.legCount === 0 ? undefined : this.#sets.intern(key);
  }
}
