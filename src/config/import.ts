// Import: a VPP with linux_cp to a configuration of lcpd, with every line that has no counterpart and why.
//
// Invariants: the text passes loadConfig, whatever the files hold; a pair that would not is commented out with the
// reason. Scripts run where they are named, as VPP does it, none twice, and only so many. Nothing is guessed: what a VPP
// name stands for is said by a line of the files or by the caller, else the pair waits, commented out.

import { basename, dirname, isAbsolute, join } from 'node:path/posix';
import { LcpError } from '../lib/errors.ts';
import { readCommand } from './importexec.ts';
import { type ImportNote, shown, type VppPair, VppSetup } from './importsetup.ts';
import { readStartup } from './importstartup.ts';
import { parseCliScript, parseStartupConf, type SyntaxProblem } from './importsyntax.ts';
import { addressCommand, formatImport, loopbackCommand, vlanCommand } from './importtext.ts';
import { configInvalid, loadConfig } from './load.ts';
import { formatSize } from './names.ts';
import { pairSchema } from './schema.ts';
import { crossProblems } from './validate.ts';

export interface ImportRequest {
  /** Path of startup.conf. */
  readonly startup: string;
  /** Scripts besides those that startup.conf names; one stands in for a named one of the same file name. */
  readonly scripts: readonly string[];
  /** Network interfaces by VPP name, over what the files say. */
  readonly phys: ReadonlyMap<string, string>;
  /** The text of a file. Throws an LcpError when it cannot be read. */
  readonly read: (file: string) => string;
}

export interface ImportResult {
  /** The configuration, YAML. */
  readonly text: string;
  readonly notes: readonly ImportNote[];
  /** Pairs that are in force in `text`. */
  readonly pairs: number;
  /** Something is left to do, see the notes that are `open`. */
  readonly incomplete: boolean;
}

/** A pair as it will be written. `problem`: it is commented out, and why. */
export interface ImportedPair {
  readonly from: VppPair;
  readonly phy: string | undefined;
  problem: string | undefined;
}

const MAX_SCRIPTS = 64;
const MAX_PAIRS = 1024;
const MIN_RX_BUFFER_BYTES = 2 ** 18;
const MAX_RX_BUFFER_BYTES = 2 ** 30;

function invalid(file: string, { line, column, message, hint }: SyntaxProblem): LcpError {
  return configInvalid(file, [{ line, column, path: '', message, hint }]);
}

class Reader {
  readonly setup = new VppSetup();
  readonly files: string[] = [];
  readonly #request: ImportRequest;

  constructor(request: ImportRequest) {
    this.#request = request;
  }

  readAll(): void {
    const { startup, scripts } = this.#request;
    this.files.push(startup);
    const parsed = parseStartupConf(this.#request.read(startup));
    if ('problem' in parsed) throw invalid(startup, parsed.problem);
    readStartup(this.setup, parsed.items, startup);
    this.#runNamed();
    for (const file of scripts) this.#run(file);
  }

  /** Runs the scripts that the file just read names, each with those that it names itself. */
  #runNamed(): void {
    for (const { file, place } of this.setup.scripts.splice(0)) {
      const given = this.#request.scripts.find((script) => basename(script) === basename(file));
      const path = given ?? (isAbsolute(file) ? file : join(dirname(place.file), file));
      try {
        this.#run(path);
      } catch (thrown) {
        if (!(thrown instanceof LcpError) || thrown.code !== 'CONFIG_UNREADABLE' || given !== undefined) throw thrown;
        const message = `${shown(path, 200)} was not read (${shown(thrown.message, 200)}); give a copy of it with --exec`;
        this.setup.leave(place, message);
      }
    }
  }

  #run(file: string): void {
    if (this.files.includes(file)) return;
    if (this.files.length > MAX_SCRIPTS) {
      this.setup.leave(undefined, `more than ${MAX_SCRIPTS} scripts: ${shown(file, 200)} was not read`);
      return;
    }
    const text = this.#request.read(file);
    this.files.push(file);
    const parsed = parseCliScript(text);
    if ('problem' in parsed) throw invalid(file, parsed.problem);
    for (const line of parsed.lines) {
      readCommand(this.setup, line, file);
      this.#runNamed();
    }
  }
}

/** What to look at to find the network interface that VPP calls so. */
function identify(setup: VppSetup, name: string): string {
  const match = /^[A-Za-z]*Ethernet((?:[0-9a-f]{1,4}\/)?[0-9a-f]{1,2}\/[0-9a-f]{1,2}\/[0-9a-f])$/.exec(name);
  const parts = match?.[1]?.split('/') ?? [];
  const [slot = '', device = '', bus = '', domain = '0'] = parts.reverse();
  const named = `${domain.padStart(4, '0')}:${bus.padStart(2, '0')}:${device.padStart(2, '0')}.${slot}`;
  const pci = setup.pciAddresses.get(name) ?? (match === null ? undefined : named);
  if (pci === undefined) return '';
  const folder = /^[0-9a-f:.]{1,20}$/i.test(pci) ? `; see /sys/bus/pci/devices/${pci}/net` : '';
  return ` (PCI device ${shown(pci)}${folder} once a driver of the kernel has it)`;
}

function phyOf(setup: VppSetup, name: string, phys: ReadonlyMap<string, string>): string | undefined {
  return phys.get(name) ?? setup.netdevs.get(name) ?? (isSub(setup, name) ? undefined : /^host-(.+)$/.exec(name)?.[1]);
}

const isSub = (setup: VppSetup, name: string) => setup.subInterfaces.has(name) || /.\.[0-9]{1,10}$/.test(name);

function withoutPhy(setup: VppSetup, name: string): string {
  const give = `give --map ${shown(name)}=PHY`;
  if (/^[0-9]+$/.test(name)) return `${name} is a sw_if_index: ${give} with the network interface that it stands for`;
  if (setup.bridged.has(name)) return `lcpd does not bridge: make a bridge of Linux and ${give} with it`;
  if (/^BondEthernet[0-9]+$/.test(name)) return `a bond is made by Linux for lcpd: ${give} with the bond device`;
  return `the files do not say which network interface of Linux it is: ${give}${identify(setup, name)}`;
}

/** Comments out what no valid configuration holds: names, and pairs that stand in each other's way. */
function checkPairs(pairs: readonly ImportedPair[]): void {
  for (const pair of pairs) {
    if (pair.phy === undefined || pair.problem !== undefined) continue;
    const { host, netns } = pair.from;
    const parsed = pairSchema.safeParse({ phy: pair.phy, host, ...(netns === undefined ? {} : { netns }) });
    const issue = parsed.error?.issues[0];
    if (issue !== undefined) pair.problem = `${issue.path.join('.')}: ${issue.message}`;
  }
  for (;;) {
    const good = pairs.filter(({ phy, problem }) => phy !== undefined && problem === undefined);
    const document = { pairs: good.map(({ phy, from }) => ({ phy, host: from.host, netns: from.netns })) };
    const found = crossProblems(document);
    for (const { path, message, hint } of found) {
      const pair = good[Number(path[1])];
      if (pair !== undefined)
        pair.problem = `${message.replace(/pairs\[(\d+)\]/, (_, i) => placeOf(good[Number(i)]))} (${hint})`;
    }
    for (const pair of good.slice(MAX_PAIRS)) pair.problem = `lcpd takes at most ${MAX_PAIRS} pairs`;
    if (found.length === 0) return;
  }
}

const placeOf = (pair: ImportedPair | undefined) =>
  pair === undefined ? 'another pair' : `the pair of ${shown(pair.from.name)}`;

function notePlugins(setup: VppSetup): void {
  for (const plugin of ['linux_cp', 'linux_nl']) {
    if (setup.plugins.get(plugin) === true) continue;
    const does =
      plugin === 'linux_cp' ? 'its pairs were not made' : 'the kernel was not mirrored; lcpd always mirrors it';
    setup.note(undefined, `${plugin} is not enabled in plugins { }: in VPP ${does}`);
  }
}

/** The pairs that lcpd is to have, and remarks about those that it needs not have. */
function translatePairs(setup: VppSetup, phys: ReadonlyMap<string, string>): ImportedPair[] {
  const pairs: ImportedPair[] = [];
  for (const from of setup.pairs.values()) {
    const { name, place } = from;
    const phy = phyOf(setup, name, phys);
    if (phy === undefined && isSub(setup, name)) {
      setup.note(place, `${shown(name)} needs no pair: ${vlanCommand(setup, name, from.host)}`);
    } else if (phy === undefined && /^loop[0-9]+$/.test(name) && !setup.bridged.has(name)) {
      setup.note(place, `${shown(name)} needs no pair: ${loopbackCommand(from)}`);
    } else {
      pairs.push({ from, phy, problem: phy === undefined ? withoutPhy(setup, name) : undefined });
    }
  }
  for (const [name, sub] of setup.subInterfaces) {
    const parent = setup.pairs.get(sub.parent);
    if (!sub.paired || parent === undefined || setup.pairs.has(name)) continue;
    setup.note(sub.place, `${shown(name)} needs no pair: ${vlanCommand(setup, name, `${parent.host}.${sub.id}`)}`);
  }
  checkPairs(pairs);
  for (const { from, problem } of pairs) {
    if (problem !== undefined) setup.leave(from.place, `pair ${shown(from.name)}, ${shown(from.host)}: ${problem}`);
  }
  if (pairs.length === 0) {
    setup.leave(
      undefined,
      'no pair was found: name the scripts that hold `lcp create` lines with --exec, or write pairs',
    );
  }
  return pairs;
}

function rxBufferBytes(setup: VppSetup): number | undefined {
  if (setup.rxBufferBytes === undefined) return undefined;
  const { value, place } = setup.rxBufferBytes;
  const bytes = Math.min(Math.max(value, MIN_RX_BUFFER_BYTES), MAX_RX_BUFFER_BYTES);
  if (bytes !== value)
    setup.note(place, `nl-rx-buffer-size ${value}: lcpd takes ${formatSize(bytes)}, the nearest it can`);
  return bytes;
}

/**
 * Translates.
 *
 * @throws LcpError CONFIG_INVALID when a file is not what VPP would read; CONFIG_UNREADABLE when a file that the
 * caller names cannot be read
 */
export function importVpp(request: ImportRequest): ImportResult {
  const reader = new Reader(request);
  reader.readAll();
  const { setup, files } = reader;
  notePlugins(setup);
  const pairs = translatePairs(setup, request.phys);
  for (const name of request.phys.keys()) {
    if (!setup.pairs.has(name)) {
      setup.leave(undefined, `--map ${shown(name)}: there is no \`lcp create\` line of this name`);
    }
  }
  if (setup.sync) {
    for (const { name, address, place } of setup.addresses) {
      const pair = setup.pairs.get(name);
      if (pair !== undefined) setup.note(place, addressCommand(address, pair));
    }
  }
  if (setup.routeNoPaths === undefined) {
    const message = 'routes out of unpaired interfaces: VPP leaves them out; lcpd hands their packets to the kernel';
    setup.note(undefined, `${message} (unpaired-routes: punt), unless you write unpaired-routes: ignore`);
  }
  if (setup.otherCommands > 0) {
    setup.note(undefined, `${setup.otherCommands} commands of VPP's own (interfaces, routes, features) were not read`);
  }
  const rxBuffer = rxBufferBytes(setup);
  const notes = setup.finish(files);
  const text = formatImport({ setup, files, pairs, notes, rxBufferBytes: rxBuffer });
  const loaded = loadConfig(text);
  if ('errors' in loaded) throw configInvalid('the imported configuration', loaded.errors);
  return { text, notes, pairs: loaded.config.pairs.length, incomplete: notes.some(({ open }) => open) };
}
