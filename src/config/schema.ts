// The YAML schema: every key, its type, range and default.
//
// Invariants: objects are strict (an unknown key is an error); each value is checked alone here, rules between
// values are in validate.ts. A section written with nothing in it (`pairs:`) counts as left out, because that is
// what remains when all its lines are commented out. config/lcpd.full.yaml shows every key; a test compares.

import { z } from 'zod';
import {
  besideControl,
  type Config,
  defaultControlSocket,
  drivers,
  ethertypeNames,
  logAreas,
  logLevels,
  osiNames,
  pairBackends,
  stateDirectory,
  unpairedRoutes,
  vppTransports,
} from './config.ts';
import { list, reading, report, section, text } from './fields.ts';
import {
  directoryProblem,
  formatSize,
  ifnameProblem,
  netnsProblem,
  parseSize,
  patternProblem,
  socketPathProblem,
  vppInterfaceProblem,
} from './names.ts';
import { puntSchema, puntShape, toPunt } from './punts.ts';
import { allocationCidr } from './puntvalues.ts';
import { record } from './written.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A number of bytes, plain or with a binary unit. */
function size(least: number, most: number) {
  const hint = `write a size like "4GiB" or "512MiB", from ${formatSize(least)} to ${formatSize(most)}`;
  return z.unknown().transform((value, ctx) => {
    const bytes = typeof value === 'number' ? value : typeof value === 'string' ? parseSize(value) : undefined;
    if (bytes === undefined || !Number.isSafeInteger(bytes)) {
      report(ctx, { message: `${JSON.stringify(value) ?? 'this'} is not a size`, hint });
      return z.NEVER;
    }
    if (bytes < least || bytes > most) {
      report(ctx, { message: `the size is out of range: ${formatSize(bytes)}`, hint });
      return z.NEVER;
    }
    return bytes;
  });
}

const fileMode = z.string().transform((value, ctx) => {
  const mode = /^0?[0-7]{3}$/.test(value) ? Number.parseInt(value, 8) : undefined;
  if (mode === undefined || (mode & 0o600) !== 0o600) {
    report(ctx, { message: 'not a file mode that lets the owner read and write', hint: 'write it like "0660"' });
    return z.NEVER;
  }
  return mode;
});

const groupName = text((value) =>
  /^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9})$/i.test(value)
    ? undefined
    : { message: 'not a group name', hint: 'give a name from /etc/group or a group number in quotes' },
);

/** Numbers of protocols, each given as it is or by its name; no number twice. */
function protocols(names: Readonly<Record<string, number>>, least: number, most: number, what: string) {
  const hint = `give numbers like 0x${most.toString(16)}, or names: ${Object.keys(names).join(', ')}`;
  const number = z.union([z.int(), z.string()]).transform((value, ctx) => {
    const found = typeof value === 'number' ? value : Object.hasOwn(names, value) ? names[value] : undefined;
    if (found === undefined || found < least || found > most) {
      report(ctx, { message: `${JSON.stringify(value)} is not ${what}`, hint });
      return z.NEVER;
    }
    return found;
  });
  const all = z.array(number).max(64);
  return z.preprocess((value) => value ?? [], all).transform((values) => [...new Set(values)].sort((a, b) => a - b));
}

const ifname = text(ifnameProblem);
const netns = text(netnsProblem);
const level = z.enum(logLevels);

export const pairSchema = z.strictObject({
  phy: text(vppInterfaceProblem), // what a kernel device may be called is a rule of validate.ts
  host: ifname,
  netns: netns.optional(),
  type: z.enum(['tap', 'tun']).default('tap'),
});

export const autoPairSchema = z.strictObject({
  phy: text((value) => patternProblem(value, vppInterfaceProblem)),
  host: text((value) => patternProblem(value, ifnameProblem)),
  netns: netns.optional(),
});

export const configSchema = z.strictObject({
  dataplane: section({
    driver: z.enum(drivers).default('embedded'),
    vpp: section({
      socket: text(socketPathProblem).default('/run/vpp/api.sock'),
      transport: z.enum(vppTransports).default('auto'),
      'stats-socket': text(socketPathProblem).default('/run/vpp/stats.sock'),
      'pair-backend': z.enum(pairBackends).default('linux-cp'),
      ethertypes: protocols(ethertypeNames, 0x0600, 0xffff, 'an ethertype'),
      osi: protocols(osiNames, 1, 0xff, 'an OSI protocol'),
      'router-discovery': z.boolean().default(true),
    }),
    workers: z.int().min(1).max(8).default(1),
    memory: size(64 * MIB, 1024 * GIB).default(4 * GIB),
    socket: text(socketPathProblem).optional(),
  }),
  netns: netns.optional(),
  pairs: list(pairSchema, 1024),
  'auto-pairs': list(autoPairSchema, 64),
  sync: section({
    'vpp-to-linux': z.boolean().default(false),
    unnumbered: z.boolean().default(true),
    'auto-subint': z.boolean().default(false),
  }),
  'unpaired-routes': z.enum(unpairedRoutes).default('punt'),
  'del-static-on-link-down': z.boolean().default(false),
  'del-dynamic-on-link-down': z.boolean().default(false),
  punts: list(puntSchema, 1024),
  punt: section({
    socket: text(socketPathProblem).optional(),
    'interconnect-alloc-cidr': reading(z.string(), allocationCidr).default('192.168.111.0/24'),
    'memif-directory': text(directoryProblem).optional(),
    state: text(directoryProblem).optional(),
  }),
  control: section({
    socket: text(socketPathProblem).default(defaultControlSocket),
    mode: fileMode.default(0o660),
    group: groupName.optional(),
  }),
  log: section({
    level: level.default('info'),
    areas: z.preprocess((value) => value ?? {}, z.partialRecord(z.enum(logAreas), level)),
  }),
  netlink: section({
    'rx-buffer-bytes': size(4 * KIB, GIB).default(128 * MIB),
    'queue-messages': z.int().min(1024).max(16_777_216).default(262_144),
    neighbours: z.boolean().default(true),
  }),
  retry: section({
    'initial-ms': z.int().min(10).max(60_000).default(100),
    'max-ms': z.int().min(100).max(3_600_000).default(30_000),
  }),
});

export type ParsedConfig = z.output<typeof configSchema>;

/** The Config of a checked document: other names, and the defaults that depend on other values. */
export function toConfig(parsed: ParsedConfig): Config {
  const { dataplane, control, log, netlink, retry } = parsed;
  return {
    dataplane: {
      driver: dataplane.driver,
      vpp: {
        socket: dataplane.vpp.socket,
        transport: dataplane.vpp.transport,
        statsSocket: dataplane.vpp['stats-socket'],
        pairBackend: dataplane.vpp['pair-backend'],
        ethertypes: dataplane.vpp.ethertypes,
        osi: dataplane.vpp.osi,
        discoverySocket: dataplane.vpp['router-discovery'] ? besideControl(control.socket, 'nd.sock') : '',
        groupSocket: besideControl(control.socket, 'groups.sock'),
      },
      workers: dataplane.workers,
      memoryBytes: dataplane.memory,
      socket: dataplane.socket ?? besideControl(control.socket, 'fwd.sock'),
    },
    netns: parsed.netns,
    pairs: parsed.pairs.map((pair) => ({
      phy: pair.phy,
      host: pair.host,
      netns: pair.netns ?? parsed.netns,
      type: pair.type,
    })),
    autoPairs: parsed['auto-pairs'].map(({ phy, host, netns }) => ({ phy, host, netns: netns ?? parsed.netns })),
    sync: {
      vppToLinux: parsed.sync['vpp-to-linux'],
      unnumbered: parsed.sync.unnumbered,
      autoSubint: parsed.sync['auto-subint'],
    },
    unpairedRoutes: parsed['unpaired-routes'],
    delStaticOnLinkDown: parsed['del-static-on-link-down'],
    delDynamicOnLinkDown: parsed['del-dynamic-on-link-down'],
    punts: parsed.punts.map((punt) => toPunt(punt, { key: 'config', netns: parsed.netns ?? '' })),
    punt: {
      socket: parsed.punt.socket ?? besideControl(control.socket, 'punt.sock'),
      interconnectAllocCidr: parsed.punt['interconnect-alloc-cidr'],
      memifDirectory: parsed.punt['memif-directory'] ?? besideControl(control.socket, 'memif'),
      state: parsed.punt.state ?? stateDirectory(control.socket),
    },
    control: { socket: control.socket, mode: control.mode, group: control.group },
    log: { level: log.level, areas: { ...log.areas } },
    netlink: {
      rxBufferBytes: netlink['rx-buffer-bytes'],
      queueMessages: netlink['queue-messages'],
      neighbours: netlink.neighbours,
    },
    retry: { initialMs: retry['initial-ms'], maxMs: retry['max-ms'] },
  };
}

function keysOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodObject) {
    return Object.entries(schema.shape as Record<string, z.ZodType>).flatMap(([key, value]) => [
      key,
      ...keysOf(value).map((inner) => `${key}.${inner}`),
    ]);
  }
  if (schema instanceof z.ZodPipe) return keysOf(schema.out as z.ZodType);
  if (schema instanceof z.ZodOptional) return keysOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodArray) return keysOf(schema.element as z.ZodType).map((inner) => `*.${inner}`);
  if (schema instanceof z.ZodDiscriminatedUnion)
    return [...new Set(schema.options.flatMap((option) => keysOf(option as z.ZodType)))];
  return [];
}

/** Every key of the schema, dotted, list elements as `*`: `dataplane`, `dataplane.driver`, `pairs.*.phy`, … */
export const schemaKeys: readonly string[] = keysOf(configSchema);

const keysWithin = (keys: readonly string[], path: readonly PropertyKey[]): string[] => {
  const start = path.map((step) => (typeof step === 'number' ? '*.' : `${String(step)}.`)).join('');
  const inside = keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length));
  return inside.filter((key) => !key.includes('.'));
};

/** The keys that may stand in the entry of a punt, at `path` within it. */
export function puntKeysAt(entry: unknown, path: readonly PropertyKey[]): string[] {
  return keysWithin(keysOf(puntShape(record(entry).type) ?? puntSchema), path);
}

/** The keys that may stand in the object at `path` (list indexes as numbers) of a document. */
export function keysAt(path: readonly PropertyKey[], document: unknown): string[] {
  if (path.join('.') === 'log.areas') return [...logAreas];
  const [first, index, ...within] = path;
  if (first !== 'punts' || typeof index !== 'number') return keysWithin(schemaKeys, path);
  const { punts } = record(document);
  return puntKeysAt(Array.isArray(punts) ? punts[index] : undefined, within);
}
