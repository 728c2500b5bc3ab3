// Paths: the legs of a path set and the special targets, as VPP's paths, and back.
//
// Invariants: what is written can be told from what VPP shows. The number of a special target is the preference of its
// only path, which forwards nothing by it. A leg without next hop has the protocol of the route. Weights of VPP end at
// 255: larger ones are scaled, so that legs are told apart by their scaled weights. A leg into other tables is looked up
// again, and so is a punt leg of IPv6, in a table where everything is ours. IPv4 drops there as spoofed what is received
// in a table whose every source is received too: a punt leg is of type LOCAL, which makes all legs of its route local,
// and Linux chooses among them. VPP does not show is_uniform: TTL 0 says so.
// Reference: VPP's src/vnet/fib/fib_api.c.

import { type Family, MAX_LABELS, MPLS, type Path, type RouteFamily, SPECIAL } from '../lcp/objects.ts';
import { formatIp, ipBytes } from '../lib/ip.ts';
import { fibPathNhProto, fibPathType } from './api/fibtypes.ts';
import { NO_INTERFACE } from './interfaces.ts';
import type { FibPath, FibPathInput } from './routebatch.ts';
import { MAX_PATHS } from './routebatch.ts';

const { FIB_API_PATH_TYPE_NORMAL: NORMAL, FIB_API_PATH_TYPE_LOCAL: LOCAL } = fibPathType.values;
const { FIB_API_PATH_TYPE_DROP: DROP, FIB_API_PATH_TYPE_ICMP_UNREACH: UNREACH } = fibPathType.values;
const { FIB_API_PATH_TYPE_ICMP_PROHIBIT: PROHIBIT } = fibPathType.values;
const { FIB_API_PATH_NH_PROTO_IP4: IP4, FIB_API_PATH_NH_PROTO_IP6: IP6 } = fibPathNhProto.values;
const MAX_WEIGHT = 255;
const MAX_LABEL = 2 ** 20;
/** The label that stands for none: RFC 3032's implicit null. */
export const IMPLICIT_NULL = 3;
/** Preference of legs that VPP's source API has for us; all legs of a route have it, so that it prefers none. */
export const API_MARK = 77;
/** Phy of a leg whose interface has ended: none can have this name, so no desired leg equals it. */
export const ENDED_PHY = '/deleted';

/** What names stand for in VPP. */
export interface Places {
  ifindex(phy: string): number | undefined;
  phy(ifindex: number): string | undefined;
  /** VPP's table for packets that are looked up in these kernel tables, undefined when there is none. */
  lookupTable(family: Family, keys: readonly string[]): number | undefined;
  /** The kernel tables that a VPP table stands for. */
  lookupKeys(family: Family, table: number): readonly string[];
  /** The table in which everything is punted. */
  puntTable(family: Family): number;
}

/** Paths of a host route: a next hop that is the host itself is how VPP has an on-link leg to it. */
export const pathsToHost = (paths: readonly FibPath[], host: Uint8Array): FibPath[] =>
  paths.map((path) => {
    const isItself = Buffer.compare(path.nh.address.subarray(0, host.length), host) === 0;
    return isItself ? { ...path, nh: { ...path.nh, address: new Uint8Array(16) } } : path;
  });

/** Whether a leg's packets are looked up once more instead of leaving. */
export const isLookupLeg = ({ lookup4, lookup6 }: Path): boolean => lookup4 !== undefined || lookup6 !== undefined;
const isLabel = (label: number): boolean =>
  Number.isInteger(label) && label >= 0 && label < MAX_LABEL && label !== IMPLICIT_NULL;

/** What forbids a leg in words, undefined when nothing does. */
export function objection(path: Path): string | undefined {
  const { phy, via, labels, ttl } = path;
  if (isLookupLeg(path) && (phy !== '' || via !== '' || labels !== undefined || ttl !== undefined))
    return 'a leg that is looked up again leaves by nothing';
  if (labels !== undefined && (labels.length === 0 || labels.length > MAX_LABELS)) return `${labels.length} labels`;
  if (labels?.every(isLabel) === false) return `labels ${labels.join('/')}`;
  if (ttl !== undefined && !(Number.isInteger(ttl) && ttl >= 1 && ttl <= 255)) return `TTL ${ttl} of labels`;
  return undefined;
}

/** Legs as VPP can have them: no more than it takes, in weights that it has. */
export function approximated(paths: readonly Path[]): readonly Path[] {
  const taken = paths.slice(0, MAX_PATHS);
  const most = Math.max(0, ...taken.map(({ weight }) => weight));
  if (most <= MAX_WEIGHT) return taken;
  return taken.map((path) => ({ ...path, weight: Math.max(1, Math.round((path.weight * MAX_WEIGHT) / most)) }));
}

const protoOf = (family: RouteFamily): number => (family === 6 ? IP6 : IP4);

const base = (family: RouteFamily): FibPathInput => ({
  sw_if_index: NO_INTERFACE,
  table_id: 0,
  rpf_id: 0,
  weight: 1,
  preference: 0,
  type: NORMAL,
  flags: 0,
  proto: protoOf(family),
  nh: {},
  n_labels: 0,
  label_stack: [],
});

/** What makes of a path one whose packets are punted. */
const punted = (family: RouteFamily, places: Places): FibPathInput =>
  family === 4 ? { type: LOCAL } : { table_id: places.puntTable(family === 6 ? 6 : 4) };

/** The only path of a special target. `next` is the VPP table that `throw` goes on with. */
export function specialPath(
  target: number,
  family: RouteFamily,
  next: number | undefined,
  places: Places,
): FibPathInput | undefined {
  const path = { ...base(family), preference: target };
  switch (target) {
    case SPECIAL.local:
    case SPECIAL.broadcast:
    case SPECIAL.anycast:
    case SPECIAL.multicast:
      return { ...path, type: LOCAL };
    case SPECIAL.blackhole:
      return { ...path, type: DROP };
    case SPECIAL.unreachable:
      return { ...path, type: UNREACH };
    case SPECIAL.prohibit:
      return { ...path, type: PROHIBIT };
    case SPECIAL.throw:
      return next === undefined ? { ...path, type: DROP } : { ...path, table_id: next };
    case SPECIAL.punt:
      return { ...path, ...punted(family, places) };
    default:
      return undefined;
  }
}

/** What a leg leaves with, outermost first; the route of a label whose packets are labelled on pops by implicit null. */
function labelStack(path: Path, popsOneOf: boolean): FibPathInput['label_stack'] {
  const { labels = [], ttl } = path;
  const mode = ttl === undefined ? { is_uniform: 1, ttl: 0, exp: 0 } : { is_uniform: 0, ttl, exp: 0 };
  const shown = labels.length === 0 && popsOneOf ? [IMPLICIT_NULL] : labels;
  return shown.map((label) => ({ ...mode, label }));
}

/** A path of VPP for a leg, undefined when its interface is not there. `popsOneOf`: for a label that is not the last. */
function legPath(path: Path, family: RouteFamily, popsOneOf: boolean, places: Places): FibPathInput | undefined {
  const { phy, via, weight } = path;
  const label_stack = labelStack(path, popsOneOf);
  const made = { ...base(family), weight, label_stack, n_labels: label_stack?.length ?? 0 };
  if (isLookupLeg(path)) {
    // Of a label's route VPP wants to know what is in the packets; those with IPv6 are not told apart.
    const six = family === 6 || (family === MPLS && (path.lookup4 ?? []).length === 0);
    const table = places.lookupTable(six ? 6 : 4, (six ? path.lookup6 : path.lookup4) ?? []);
    const proto = six ? IP6 : IP4;
    return table === undefined ? { ...made, proto, type: DROP } : { ...made, proto, table_id: table };
  }
  if (phy === '') return { ...made, ...punted(family, places) };
  const sw_if_index = places.ifindex(phy);
  if (sw_if_index === undefined) return undefined;
  if (via === '') return { ...made, sw_if_index };
  const address = ipBytes(via);
  return { ...made, sw_if_index, proto: address.length === 16 ? IP6 : IP4, nh: { address } };
}

/** Whether a leg reaches its packets' own destination on the wire: VPP must know such a prefix as attached. */
export const isOnLink = (paths: readonly Path[]): boolean => paths.some(({ phy, via }) => phy !== '' && via === '');

/** Whether packets by some leg are looked up once more. */
export const leadsOn = (paths: readonly Path[], family: RouteFamily): boolean =>
  paths.some((path) => isLookupLeg(path) || (family !== 4 && path.phy === ''));

/**
 * VPP's paths for legs; undefined when an interface of theirs is not there. `popsOneOf` as in legPath. On-link legs come last:
 * VPP takes from the last path whether the prefix is attached.
 */
export function pathsOf(
  paths: readonly Path[],
  family: RouteFamily,
  popsOneOf: boolean,
  places: Places,
): FibPathInput[] | undefined {
  const isAttached = ({ phy, via }: Path): number => (phy !== '' && via === '' ? 1 : 0);
  const ordered = approximated(paths).toSorted((a, b) => isAttached(a) - isAttached(b));
  const preference = isOnLink(paths) || leadsOn(paths, family) ? API_MARK : 0;
  const made = ordered.map((path) => legPath(path, family, popsOneOf, places));
  if (!made.every((path) => path !== undefined)) return undefined;
  return made.map((path) => ({ ...path, preference }));
}

/** Whether an entry of VPP's source API is ours. */
export const isMarked = ([first]: readonly FibPath[]): boolean =>
  first?.preference === API_MARK || first?.preference === SPECIAL.throw || first?.preference === SPECIAL.punt;

/** The special target that the paths of a route of ours stand for, 0 when they are legs. */
export function specialOf(paths: readonly FibPath[]): number {
  const [only, second] = paths;
  return only === undefined || second !== undefined || only.preference > SPECIAL.punt ? 0 : only.preference;
}

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** The leg that a path of VPP stands for. */
function legOf(path: FibPath, family: Family, places: Places): Path {
  const { weight, nh } = path;
  if (path.sw_if_index === NO_INTERFACE && path.type === LOCAL) return { phy: '', via: '', weight };
  if (path.sw_if_index === NO_INTERFACE && path.type === NORMAL) {
    if (path.table_id === places.puntTable(family)) return { phy: '', via: '', weight };
    const keys = places.lookupKeys(family, path.table_id);
    return { phy: '', via: '', weight, lookup4: family === 4 ? keys : [], lookup6: family === 6 ? keys : [] };
  }
  // beside a punt leg of IPv4 every leg is received
  const isLeg = path.type === NORMAL || path.type === LOCAL;
  const phy = isLeg ? (places.phy(path.sw_if_index) ?? ENDED_PHY) : ENDED_PHY;
  const stack = path.label_stack.slice(0, path.n_labels);
  const labels = stack.map(({ label }) => label).filter((label) => label !== IMPLICIT_NULL);
  const ttl = stack[0]?.ttl ?? 0;
  return {
    phy,
    via: isZero(nh.address) ? '' : formatIp(nh.address, 0, path.proto === IP6 ? 16 : 4),
    weight,
    ...(labels.length > 0 && { labels }),
    ...(ttl > 0 && { ttl }),
  };
}

/** The legs that paths of VPP stand for. */
export const legsOf = (paths: readonly FibPath[], family: RouteFamily, places: Places): Path[] =>
  paths.map((path) => legOf(path, family === MPLS ? (path.proto === IP6 ? 6 : 4) : family, places));
