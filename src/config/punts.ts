// The schema of one entry of `punts:`, and the request that it is.
//
// Invariants: strict, one shape for each type; each value is checked alone here, rules between values are in puntrules.ts,
// which looks at the same keys as they were written. What needs the data plane (its server socket, the ports that it uses
// itself, whether an interface is there) is the punt manager's to say. Sources: Ligato's punt plugin, StoneWork's punt
// manager, VPP's punt infrastructure.

import { z } from 'zod';
import { policeScopes } from '../lib/policescopes.ts';
import { list, reading, text, word } from './fields.ts';
import { ifnameProblem, netnsProblem, type Problem, vppInterfaceProblem } from './names.ts';
import {
  interconnectWords,
  l3Words,
  type PuntConfig,
  type PuntRuleConfig,
  type PuntSpecConfig,
  policeRates,
} from './puntconfig.ts';
import {
  ANY_RANGE,
  clientSocketProblem,
  interfaceAddress,
  labelProblem,
  network,
  nextHop,
  numberRange,
  protocolNumber,
  reasonProblem,
  unicastMac,
} from './puntvalues.ts';

const MAX_U32 = 0xffff_ffff;
const MAX_RULES = 1024;
const BURST_MS = 100;
/** A bucket that is smaller than a packet lets nothing through. */
export const LEAST_BURST_BYTES = 1500;

const numberOrName = z.union([z.int(), z.string()]);
const protocol = (least: number) => reading(numberOrName, (value) => protocolNumber(value, least));
const portRange = reading(numberOrName, (value) => numberRange(value, 65_535, 'a port or a range of ports'));
const byteRange = reading(numberOrName, (value) => numberRange(value, 255, 'a number of one byte or a range of them'));
const byte = z.int().min(0).max(255);
const vrf = z.int().min(0).max(MAX_U32).default(0);
const anInterface = text(vppInterfaceProblem);
const linkMtu = (value: number): number | Problem =>
  value === 0 || (value >= 68 && value <= 65_535)
    ? value
    : { message: `${value} is not an MTU`, hint: 'from 68 to 65535 bytes, or 0: as the link is made' };
const address = reading(z.string(), interfaceAddress);

const identity = {
  name: text(labelProblem),
  netns: text((name) => (name === '' ? undefined : netnsProblem(name))).optional(),
};
const overSocket = {
  ...identity,
  socket: text(clientSocketProblem).default(''),
  interconnect: word(interconnectWords).optional(),
};
const overLink = {
  ...identity,
  interconnect: word(interconnectWords).optional(),
  gso: z.boolean().default(false),
};
const inVrf = { vrf, 'without-cnf-vrf': z.boolean().default(false) };

const rule = z.strictObject({
  action: word(['permit', 'deny', 'reflect']).default('permit'),
  source: reading(z.string(), network).default('any'),
  destination: reading(z.string(), network).default('any'),
  protocol: protocol(0).default(0),
  'source-port': portRange.optional(),
  'destination-port': portRange.optional(),
  'tcp-flags': z.strictObject({ mask: byte, value: byte }).optional(),
  'icmp-type': byteRange.optional(),
  'icmp-code': byteRange.optional(),
});

const variants = {
  'to-host': z.strictObject({
    ...overSocket,
    type: z.literal('to-host'),
    l3: word(l3Words),
    l4: word(['udp', 'tcp']),
    port: z.int().min(1).max(65_535),
  }),
  'ip-protocol': z.strictObject({
    ...overSocket,
    type: z.literal('ip-protocol'),
    l3: word(l3Words),
    protocol: protocol(1),
  }),
  icmp6: z.strictObject({ ...overSocket, type: z.literal('icmp6'), 'icmp-type': byte }),
  exception: z.strictObject({ ...overSocket, type: z.literal('exception'), reason: text(reasonProblem) }),
  'ip-redirect': z.strictObject({
    ...identity,
    type: z.literal('ip-redirect'),
    l3: word(l3Words),
    rx: anInterface.optional(),
    tx: anInterface,
    'next-hop': list(reading(z.string(), nextHop), 2),
  }),
  police: z.strictObject({
    ...identity,
    type: z.literal('police'),
    scope: word(policeScopes),
    unit: word(['pps', 'kbps']).default('pps'),
    rate: z.int().min(1).max(MAX_U32).optional(),
    burst: z.int().min(1).max(MAX_U32).optional(),
  }),
  'hairpin-xconnect': z.strictObject({
    ...overLink,
    type: z.literal('hairpin-xconnect'),
    interfaces: z.tuple([anInterface, anInterface]),
  }),
  hairpin: z.strictObject({
    ...overLink,
    type: z.literal('hairpin'),
    interface: anInterface,
    'hairpin-interface': z.strictObject({
      name: text(ifnameProblem),
      mac: reading(z.string(), unicastMac).default(''),
      addresses: list(address, 64),
      vrf,
      'dhcp-client': z.boolean().default(false),
      mtu: reading(z.int(), linkMtu).default(0),
    }),
  }),
  span: z.strictObject({
    ...overLink,
    type: z.literal('span'),
    interface: anInterface,
    direction: word(['rx', 'tx', 'both']).default('both'),
  }),
  abx: z.strictObject({
    ...overLink,
    ...inVrf,
    type: z.literal('abx'),
    interface: anInterface,
    ingress: z.array(rule).max(MAX_RULES),
    egress: list(rule, MAX_RULES),
  }),
  'dhcp-proxy': z.strictObject({
    ...overLink,
    ...inVrf,
    type: z.literal('dhcp-proxy'),
    l3: word(l3Words).default('ipv4'),
  }),
  isisx: z.strictObject({ ...overLink, ...inVrf, type: z.literal('isisx'), interface: anInterface }),
};

export const puntSchema = z.discriminatedUnion('type', [
  variants['to-host'],
  variants['ip-protocol'],
  variants.icmp6,
  variants.exception,
  variants['ip-redirect'],
  variants.police,
  variants['hairpin-xconnect'],
  variants.hairpin,
  variants.span,
  variants.abx,
  variants['dhcp-proxy'],
  variants.isisx,
]);

export type ParsedPunt = z.output<typeof puntSchema>;
type ParsedRule = z.output<typeof rule>;

/** The shape of a type's entry, undefined for a word that is none. */
export function puntShape(type: unknown): z.ZodObject | undefined {
  return typeof type === 'string' && Object.hasOwn(variants, type)
    ? variants[type as keyof typeof variants]
    : undefined;
}

function ruleOf(parsed: ParsedRule): PuntRuleConfig {
  const { action, source, destination, protocol } = parsed;
  return {
    permit: action === 'permit',
    source,
    destination,
    protocol,
    sourcePorts: parsed['source-port'] ?? parsed['icmp-type'] ?? ANY_RANGE,
    destinationPorts: parsed['destination-port'] ?? parsed['icmp-code'] ?? ANY_RANGE,
    flagsMask: parsed['tcp-flags']?.mask ?? 0,
    flagsValue: parsed['tcp-flags']?.value ?? 0,
  };
}

/** What a rate lets through at once when nothing is said: a tenth of a second of it. */
function burstOf(unit: 'pps' | 'kbps', rate: number): number {
  if (unit === 'pps') return Math.max(BURST_MS, Math.ceil(1000 / rate));
  return Math.min(MAX_U32, Math.max(LEAST_BURST_BYTES, Math.ceil((rate * BURST_MS) / 8)));
}

function specOf(parsed: ParsedPunt): PuntSpecConfig {
  switch (parsed.type) {
    case 'to-host': {
      const { type, l3, l4, port, socket } = parsed;
      return { type, l3, l4, port, socket };
    }
    case 'ip-protocol':
      return { type: parsed.type, l3: parsed.l3, protocol: parsed.protocol, socket: parsed.socket };
    case 'icmp6':
      return { type: parsed.type, icmpType: parsed['icmp-type'], socket: parsed.socket };
    case 'exception':
      return { type: parsed.type, reason: parsed.reason, socket: parsed.socket };
    case 'ip-redirect':
      return { type: parsed.type, l3: parsed.l3, rx: parsed.rx ?? '', tx: parsed.tx, nextHops: parsed['next-hop'] };
    case 'police': {
      const { type, scope, unit } = parsed;
      const rate = parsed.rate ?? policeRates[scope];
      return { type, scope, unit, rate, burst: parsed.burst ?? burstOf(unit, rate) };
    }
    case 'hairpin-xconnect':
      return { type: parsed.type, interfaces: parsed.interfaces };
    case 'hairpin': {
      const { name, mac, addresses, vrf, mtu, 'dhcp-client': dhcpClient } = parsed['hairpin-interface'];
      return {
        type: parsed.type,
        interface: parsed.interface,
        hairpin: { name, mac, addresses, vrf, dhcpClient, mtu },
      };
    }
    case 'span':
      return { type: parsed.type, interface: parsed.interface, direction: parsed.direction };
    case 'abx': {
      const { type, vrf, 'without-cnf-vrf': withoutCnfVrf } = parsed;
      const ingress = parsed.ingress.map(ruleOf);
      const egress = parsed.egress.map(ruleOf);
      return { type, interface: parsed.interface, vrf, withoutCnfVrf, ingress, egress };
    }
    case 'dhcp-proxy':
      return { type: parsed.type, l3: parsed.l3, vrf: parsed.vrf, withoutCnfVrf: parsed['without-cnf-vrf'] };
    case 'isisx': {
      const { type, vrf, 'without-cnf-vrf': withoutCnfVrf } = parsed;
      return { type, interface: parsed.interface, vrf, withoutCnfVrf };
    }
  }
}

/** Who asks, where the entry does not say it. */
export interface PuntAsker {
  /** '' is the host itself; undefined: the namespace. */
  readonly cnf?: string | undefined;
  /** The item that asks. */
  readonly key: string;
  /** Namespace of an entry that names none, '' is lcpd's own. */
  readonly netns: string;
}

/** The request of a checked entry. */
export function toPunt(parsed: ParsedPunt, asker: PuntAsker): PuntConfig {
  const netns = parsed.netns ?? asker.netns;
  const socket = 'socket' in parsed && parsed.socket !== '';
  return {
    id: { cnf: asker.cnf ?? netns, key: asker.key, label: parsed.name },
    netns,
    interconnect: socket ? 'af-unix' : (('interconnect' in parsed ? parsed.interconnect : undefined) ?? 'tap'),
    gso: 'gso' in parsed && parsed.gso,
    spec: specOf(parsed),
  };
}
