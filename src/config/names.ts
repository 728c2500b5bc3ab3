// Names and paths that the configuration may hold: what the kernel would accept, and say why where it would not.
//
// Each function answers with what is wrong, or undefined. Reference: dev_valid_name() in net/core/dev.c,
// ip-netns(8), unix(7).

/** What is wrong with a value and what to do about it. */
export interface Problem {
  readonly message: string;
  readonly hint: string;
}

/** A problem of the value at `path` of a document. */
export interface PathProblem extends Problem {
  readonly path: readonly (string | number)[];
}

const IFNAMSIZ = 16;
const NAME_MAX = 255;
const SUN_PATH_BYTES = 108;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a name with control characters is what we look for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f]/;

/** Linux interface names: 1..15 bytes, no slash, colon or white space, and no name that the kernel uses itself. */
export function ifnameProblem(name: string): Problem | undefined {
  const hint = 'an interface name has 1 to 15 bytes without "/", ":", "%" and white space';
  if (name === '') return { message: 'the interface name is empty', hint };
  const bytes = Buffer.byteLength(name);
  if (bytes >= IFNAMSIZ) return { message: `the interface name has ${bytes} bytes, at most 15 fit`, hint };
  if (name === '.' || name === '..') return { message: `"${name}" is not an interface name`, hint };
  const bad = /[/:%\s]/.exec(name) ?? UNPRINTABLE.exec(name);
  if (bad !== null) return { message: `an interface name cannot contain ${JSON.stringify(bad[0])}`, hint };
  if (name === 'all' || name === 'default') {
    return { message: `"${name}" is reserved by the kernel's sysctl tree`, hint: 'choose another name' };
  }
  if (name === 'lo') return { message: 'the loopback interface cannot be in a pair', hint: 'choose another name' };
  return undefined;
}

/** Names of VPP's interfaces: GigabitEthernet0/8/0, host-eth0, loop0.100; at most 63 bytes without white space. */
export function vppInterfaceProblem(name: string): Problem | undefined {
  const hint = 'give the name that `vppctl show interface` shows';
  if (name === '') return { message: 'the interface name is empty', hint };
  const bad = /\s/.exec(name) ?? UNPRINTABLE.exec(name);
  if (bad !== null) return { message: `an interface name cannot contain ${JSON.stringify(bad[0])}`, hint };
  const bytes = Buffer.byteLength(name);
  if (bytes > 63) return { message: `the interface name has ${bytes} bytes, VPP has at most 63`, hint };
  return undefined;
}

/** Patterns of names: a name that may have one '*'. What is left must be a part of a name. */
export function patternProblem(pattern: string, problemOf: (name: string) => Problem | undefined): Problem | undefined {
  const stars = pattern.split('*').length - 1;
  if (stars > 1) return { message: `"${pattern}" has more than one "*"`, hint: 'one "*" stands for any characters' };
  return problemOf(stars === 0 ? pattern : pattern.replace('*', '0'));
}

/** Network namespace names: what can be a file in /run/netns. */
export function netnsProblem(name: string): Problem | undefined {
  const hint = 'give the name that `ip netns` shows; leave the key out for the namespace of lcpd itself';
  if (name === '') return { message: 'the namespace name is empty', hint };
  if (name === '.' || name === '..' || name.includes('/')) {
    return { message: `"${name}" is not a namespace name`, hint };
  }
  if (UNPRINTABLE.test(name)) return { message: 'a namespace name cannot contain control characters', hint };
  if (Buffer.byteLength(name) > NAME_MAX) return { message: 'the namespace name is longer than 255 bytes', hint };
  return undefined;
}

/** Paths of unix stream sockets. */
export function socketPathProblem(path: string): Problem | undefined {
  const hint = 'give an absolute path of at most 107 bytes, e.g. /run/lcpd/lcpd.sock';
  if (!path.startsWith('/')) return { message: 'the socket path is not absolute', hint };
  if (path.endsWith('/')) return { message: 'the socket path ends in "/"', hint };
  if (UNPRINTABLE.test(path)) return { message: 'the socket path contains control characters', hint };
  const bytes = Buffer.byteLength(path);
  if (bytes >= SUN_PATH_BYTES) return { message: `the socket path has ${bytes} bytes, at most 107 fit`, hint };
  return undefined;
}

/** Paths of directories that lcpd makes; sockets in them have names of up to 32 bytes. */
export function directoryProblem(path: string): Problem | undefined {
  const hint = 'give an absolute path of at most 75 bytes, e.g. /var/lib/lcpd';
  if (!path.startsWith('/')) return { message: 'the path of the directory is not absolute', hint };
  if (UNPRINTABLE.test(path)) return { message: 'the path of the directory contains control characters', hint };
  const bytes = Buffer.byteLength(path);
  return bytes > 75 ? { message: `the path of the directory has ${bytes} bytes, at most 75 fit`, hint } : undefined;
}

const units: Readonly<Record<string, number>> = { '': 1, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };

/** Bytes of `4GiB`, `512 MiB` or `1048576`; undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^([0-9]{1,15}) ?([A-Za-z]*)$/.exec(text);
  const unit = units[match?.[2] ?? ''];
  if (match === null || unit === undefined || !Object.hasOwn(units, match[2] ?? '')) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** `4GiB` of 4294967296: the largest unit that divides it. */
export function formatSize(bytes: number): string {
  const unit = ['TiB', 'GiB', 'MiB', 'KiB'].find((name) => bytes % (units[name] ?? 1) === 0 && bytes > 0);
  return unit === undefined ? `${bytes}B` : `${bytes / (units[unit] ?? 1)}${unit}`;
}
