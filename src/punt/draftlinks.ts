// Drafts of what StoneWork's punt manager has: traffic of interfaces over links to a CNF.
//
// Reference: the punt types of its README; selectors, names and what may be shared are told in interconnects.ts.

import type { Punt } from '../lcp/puntobjects.ts';
import type { Allocations } from './allocations.ts';
import { type Draft, familiesOf, LinkMaker, type Obstacles } from './draft.ts';
import type { Link, LinkWish } from './interconnects.ts';
import type {
  AbxSpec,
  DhcpProxySpec,
  HairpinSpec,
  HairpinXconnectSpec,
  IsisxSpec,
  PuntRequest,
  SpanSpec,
} from './request.ts';
import { expandRules } from './rules.ts';

/** IS-IS, of the OSI protocols. */
const ISIS = 0x83;
const MAIN = 254;

const draft = (o: Obstacles, wishes: readonly LinkWish[], punts: Draft['punts']): Draft => {
  const { waits, refusals, uses, hint } = o;
  return { wishes, punts, waits, refusals, uses, hint };
};

const both = (a: string, b: string): Punt[] => [
  { kind: 'punt', feature: 'xconnect', from: a, to: b },
  { kind: 'punt', feature: 'xconnect', from: b, to: a },
];

const nameAt = (links: readonly Link[], i: number): string => (links[i] as Link).object.name;
const hostOf = (address: string): string => address.slice(0, address.indexOf('/'));
const vrfNameOf = (vrf: number, without: boolean): string => (vrf === 0 || without ? '' : `vrf${vrf}`);

type Draw<S> = (spec: S, request: PuntRequest, o: Obstacles, allocations: Allocations) => Draft;

export const draftHairpinXconnect: Draw<HairpinXconnectSpec> = ({ interfaces }, request, o, allocations) => {
  const maker = new LinkMaker(request, o, allocations);
  o.needs('xconnect');
  const wishes = interfaces.map((name) => maker.wish(`vpp/interface/${name}`, { mtu: o.interface(name)?.mtu ?? 0 }));
  return draft(o, wishes, (links) => interfaces.flatMap((name, i) => both(name, nameAt(links, i))));
};

export const draftHairpin: Draw<HairpinSpec> = (spec, request, o, allocations) => {
  const { interface: name, hairpin } = spec;
  const maker = new LinkMaker(request, o, allocations);
  o.needs('xconnect');
  const phy = o.interface(name);
  for (const family of [4, 6] as const) {
    if (hairpin.vrf !== 0 && hairpin.addresses.some((a) => a.includes(':') === (family === 6)))
      o.table(family, hairpin.vrf);
  }
  if (hairpin.dhcpClient) o.needs('link dhcp-client');
  const wishes = [
    maker.wish(`vpp/interface/${name}`, { mtu: phy?.mtu ?? 0 }),
    maker.wish(`vpp/hairpin/interface/${hairpin.name}`, {
      customName: hairpin.name,
      customMac: hairpin.mac,
      addresses: hairpin.addresses,
      table: hairpin.vrf,
      dhcpClient: hairpin.dhcpClient,
      mtu: hairpin.mtu,
    }),
  ];
  return draft(o, wishes, (links) => both(name, nameAt(links, 0)));
};

export const draftSpan: Draw<SpanSpec> = ({ interface: from, direction }, request, o, allocations) => {
  o.needs('span');
  const mtu = o.interface(from)?.mtu ?? 0;
  const wish = new LinkMaker(request, o, allocations).wish(`vpp/span/interface/${from}`, { multiplex: true, mtu });
  const [rx, tx] = [direction !== 'tx', direction !== 'rx'];
  return draft(o, [wish], (links) => [{ kind: 'punt', feature: 'span', from, to: nameAt(links, 0), rx, tx }]);
};

/** The link of ABX and ISISX: unnumbered to the phy, whose addresses the CNF has as well. */
function replica(spec: AbxSpec | IsisxSpec, request: PuntRequest, o: Obstacles, allocations: Allocations) {
  const { interface: name, vrf, withoutCnfVrf } = spec;
  const phy = o.interface(name);
  const addresses = phy?.addresses ?? [];
  if (phy !== undefined && addresses.length === 0) o.waits.push(`interface ${name} has no address`);
  const families = new Set(addresses.map((a) => (a.includes(':') ? 6 : 4)));
  for (const family of families) {
    const table = family === 4 ? phy?.table4 : phy?.table6;
    const wait = `interface ${name} is not in VRF ${vrf}`;
    if ((table === MAIN ? 0 : table) !== vrf && !o.waits.includes(wait)) o.waits.push(wait);
  }
  const wish = new LinkMaker(request, o, allocations).wish(`vpp/interface/${name}`, {
    multiplex: true,
    lender: name,
    // frames that keep their destination reach a device only by the MAC that they are sent to
    customPeerMac: o.env.plane.unsupported.has('abx dst-mac') ? (phy?.mac ?? '') : '',
    mtu: phy?.mtu ?? 0,
    table: vrf,
    peerAddresses: addresses,
    vrfName: vrfNameOf(vrf, withoutCnfVrf),
  });
  return { addresses, wish };
}

export const draftAbx: Draw<AbxSpec> = (spec, request, o, allocations) => {
  o.needs('abx');
  const { interface: phy } = spec;
  const { addresses, wish } = replica(spec, request, o, allocations);
  const ingress = expandRules(spec.ingress, addresses);
  const egress = expandRules(spec.egress, addresses);
  return draft(o, [wish], (links) => {
    const { id, object } = links[0] as Link;
    const priority = allocations.priority(phy, id);
    const abx = { kind: 'punt', feature: 'abx', priority } as const;
    return [
      ...(ingress.length === 0 ? [] : [{ ...abx, from: phy, to: object.name, rules: ingress, dstMac: object.peerMac }]),
      ...(egress.length === 0 ? [] : [{ ...abx, from: object.name, to: phy, rules: egress, dstMac: '' }]),
    ];
  });
};

export const draftIsisx: Draw<IsisxSpec> = (spec, request, o, allocations) => {
  o.needs('osi', `osi ${request.interconnect}`);
  const { interface: phy } = spec;
  const { wish } = replica(spec, request, o, allocations);
  const needsPair = o.env.plane.unsupported.get('osi unpaired');
  if (needsPair !== undefined && o.env.interface(phy)?.paired === false)
    o.waits.push(`interface ${phy} is in no pair: ${needsPair}`);
  return draft(o, [wish], (links) => [
    { kind: 'punt', feature: 'osi', from: phy, to: nameAt(links, 0), protocol: ISIS },
    { kind: 'punt', feature: 'osi', from: nameAt(links, 0), to: phy, protocol: ISIS },
  ]);
};

export const draftDhcpProxy: Draw<DhcpProxySpec> = (spec, request, o, allocations) => {
  const { vrf, withoutCnfVrf } = spec;
  const families = familiesOf(spec.l3);
  o.needs('dhcp-proxy', ...families.map((family) => `dhcp-proxy ${family}`));
  if (vrf !== 0) for (const family of families) o.table(family, vrf);
  const bare = new LinkMaker(request, o, allocations).wish(`vpp/vrf/${vrf}`);
  const id = `${bare.vppSelector}|${bare.cnfSelector}`;
  const { allocCidr } = o.env;
  const subnet4 = allocations.subnet(id, allocCidr);
  if (subnet4 === undefined)
    o.refusals.push(`failed to allocate subnet for interconnect: all of ${allocCidr} is in use`);
  const subnets = families.flatMap((family) => (family === 6 ? allocations.subnet6(id) : (subnet4 ?? [])));
  const wish = {
    ...bare,
    table: vrf,
    addresses: subnets.map(({ vpp }) => vpp),
    peerAddresses: subnets.map(({ cnf }) => cnf),
    vrfName: bare.link === 'memif' ? '' : vrfNameOf(vrf, withoutCnfVrf),
  };
  return draft(o, [wish], () =>
    subnets.map(({ vpp, cnf }) => ({
      kind: 'punt',
      feature: 'dhcp-proxy',
      family: vpp.includes(':') ? 6 : 4,
      table: vrf,
      serverTable: vrf,
      server: hostOf(cnf),
      source: hostOf(vpp),
    })),
  );
};
