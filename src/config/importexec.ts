// A script of VPP's CLI read for lcpd: `lcp …`, and the commands that say what the interfaces in its lines are.
//
// Invariants: every line that begins with `lcp` is understood or named; of the other commands only those are read
// that explain a pair (its network interface, tags, addresses), the rest is counted. Commands may be abbreviated
// as in VPP (`set int ip addr`), arguments may not. Reference: VPP 26.06; `lcp param route-no-paths` of VyOS.

import { parsePrefix } from '../lib/ip.ts';
import { type Place, shown, type VppSetup } from './importsetup.ts';
import { syncReason } from './importstartup.ts';
import type { CliLine } from './importsyntax.ts';

/** True when `word` is `full` or the beginning of it, and long enough to be meant. */
const isCommand = (word: string | undefined, full: string, least = 3) =>
  word !== undefined && word.length >= Math.min(least, full.length) && full.startsWith(word);

const commandIs = (words: readonly string[], ...path: string[]) =>
  path.every((full, i) => isCommand(words[i], full, 2));

function switchOf(word: string | undefined): boolean | undefined {
  if (word === 'on' || word === 'enable') return true;
  if (word === 'off' || word === 'disable') return false;
  return undefined;
}

/** Each of these answers with what is left to do by hand, or undefined. */
function lcpCreate(setup: VppSetup, args: readonly string[], place: Place): string | undefined {
  let name: string | undefined;
  let host: string | undefined;
  let netns: string | undefined;
  let type: 'tap' | 'tun' = 'tap';
  for (let i = 0; i < args.length; i++) {
    const word = args[i] ?? '';
    if (word === 'host-if' || word === 'netns') {
      const value = args[++i];
      if (value === undefined) return `lcp create: "${word}" without a name`;
      if (word === 'host-if') host = value;
      else netns = value;
    } else if (word === 'tun' || word === 'tap') type = word;
    else if (name === undefined) name = word;
    else return `lcp create: "${shown(word)}" is not known`;
  }
  if (name === undefined) return 'lcp create: no interface is named';
  if (host === undefined) return `lcp create ${shown(name)}: no "host-if NAME"`;
  const earlier = setup.pairs.get(name);
  if (earlier !== undefined) {
    const where = `${shown(earlier.place.file, 200)}:${earlier.place.line}`;
    setup.note(place, `lcp create ${shown(name)}: VPP refuses it, ${where} has already made a pair of it`);
  } else if (setup.admit()) {
    setup.pairs.set(name, { name, host, netns: netns ?? setup.defaultNetns, type, place });
  }
  return undefined;
}

function lcpDelete(setup: VppSetup, name: string, place: Place): undefined {
  if (!setup.pairs.delete(name)) setup.note(place, `lcp delete ${shown(name)}: there is no such pair`);
}

function lcpDefault(setup: VppSetup, args: readonly string[]): string | undefined {
  if (args[0] === 'clear' && args[1] === 'netns') setup.defaultNetns = undefined;
  else if (args[0] === 'netns') setup.defaultNetns = args[1];
  else return 'lcp default: neither "netns NAME" nor "clear netns"';
  return undefined;
}

function lcpParam(setup: VppSetup, args: readonly string[]): string | undefined {
  const name = args[0] ?? '';
  const on = switchOf(args[1]);
  if (on === undefined) return `lcp param ${shown(name)}: neither "on" nor "off"`;
  if (name === 'del-static-on-link-down') setup.delStaticOnLinkDown = on;
  else if (name === 'del-dynamic-on-link-down') setup.delDynamicOnLinkDown = on;
  else if (name === 'route-no-paths') setup.routeNoPaths = on;
  else return `lcp param: "${shown(name)}" is not known`;
  return undefined;
}

function lcpSwitch(setup: VppSetup, name: string, value: string | undefined, place: Place): string | undefined {
  const on = switchOf(value);
  if (on === undefined) return `lcp ${name}: neither "on" nor "off"`;
  if (name === 'lcp-sync') {
    if (on && !setup.sync) setup.note(place, syncReason);
    setup.sync = on;
  } else if (name === 'lcp-auto-subint') {
    setup.autoSubint = on;
    const always = 'lcp-auto-subint off: no counterpart: lcpd mirrors every VLAN device on a host interface';
    if (!on) setup.note(place, always);
  } else {
    setup.note(place, 'lcp-sync-unnumbered: not needed: addresses come from Linux, borrowed ones too');
  }
  return undefined;
}

function lcp(setup: VppSetup, [name = '', ...args]: readonly string[], place: Place): string | undefined {
  if (name === 'lcp-sync' || name === 'lcp-auto-subint' || name === 'lcp-sync-unnumbered') {
    return lcpSwitch(setup, name, args[0], place);
  }
  if (isCommand(name, 'create', 2)) return lcpCreate(setup, args, place);
  if (isCommand(name, 'delete')) return lcpDelete(setup, args[0] ?? '', place);
  if (isCommand(name, 'default')) return lcpDefault(setup, args);
  if (isCommand(name, 'param')) return lcpParam(setup, args);
  if (!isCommand(name, 'ethertype') && !isCommand(name, 'osi-proto')) return `lcp ${shown(name)}: not known`;
  const why = 'not needed: lcpd hands frames of every protocol that it does not forward to the host';
  setup.note(place, `lcp ${name}: ${why}`);
  return undefined;
}

function createSubInterface(setup: VppSetup, args: readonly string[], place: Place): void {
  const [parent, id, ...rest] = args;
  if (parent === undefined || id === undefined || !/^[0-9]{1,10}$/.test(id)) return;
  const protocol = rest.includes('dot1ad') ? 'dot1ad' : 'dot1q';
  const at = rest.indexOf(protocol);
  const inner = rest.indexOf('inner-dot1q');
  const outer = at === -1 ? id : rest[at + 1];
  if (outer === undefined || !setup.admit()) return;
  setup.addSubInterface({
    parent,
    id,
    protocol,
    outer,
    inner: inner === -1 ? undefined : rest[inner + 1],
    paired: setup.autoSubint,
    place,
  });
}

const after = (words: readonly string[], key: string) => {
  const at = words.indexOf(key);
  return at === -1 ? undefined : words[at + 1];
};

/** Commands that make VPP's name for a network interface of Linux. */
function createNetdev(setup: VppSetup, words: readonly string[]): boolean {
  if (commandIs(words, 'create', 'host-interface')) {
    const netdev = after(words, 'name');
    if (netdev !== undefined && setup.admit()) setup.netdevs.set(`host-${netdev}`, netdev);
    return true;
  }
  if (!commandIs(words, 'create', 'interface') || (words[2] !== 'af_xdp' && words[2] !== 'rdma')) return false;
  const netdev = after(words, 'host-if');
  // Without a name VPP makes one that these files do not show.
  const name = after(words, 'name');
  if (netdev !== undefined && name !== undefined && setup.admit()) setup.netdevs.set(name, netdev);
  return true;
}

function setAddress(setup: VppSetup, args: readonly string[], place: Place): void {
  const [name, address] = args;
  if (name === undefined || address === undefined || name === 'del') return;
  if (parsePrefix(address) !== undefined && setup.admit()) setup.addresses.push({ name, address, place });
}

/** Reads one command; a script that it runs is put into `setup.scripts`. */
export function readCommand(setup: VppSetup, { line, words }: CliLine, file: string): void {
  const place = { file, line };
  if (words[0] === 'lcp') {
    const left = lcp(setup, words.slice(1), place);
    if (left !== undefined) setup.leave(place, left);
  } else if (words[0] === 'exec') {
    if (words[1] === undefined) setup.leave(place, 'exec without a file');
    else if (setup.admit()) setup.scripts.push({ file: words[1], place });
  } else if (commandIs(words, 'create', 'sub-interfaces')) {
    createSubInterface(setup, words.slice(2), place);
  } else if (commandIs(words, 'set', 'interface', 'ip', 'address')) {
    setAddress(setup, words.slice(4), place);
  } else if (!createNetdev(setup, words)) {
    const bvi = commandIs(words, 'set', 'interface', 'l2', 'bridge') && words.includes('bvi', 5);
    if (bvi && setup.admit()) setup.bridged.add(words[4] ?? '');
    setup.otherCommands++;
  }
}
