// The imported configuration as YAML, and the commands of Linux that take the place of VPP's in remarks.
//
// Invariants: what comes from a file is quoted in YAML unless it is a plain word, and stands in a comment only as
// shown() leaves it; a command is written only of words that a shell takes as they are. The size stays below what
// loadConfig reads.

import type { ImportedPair } from './import.ts';
import { type ImportNote, type Place, shown, type VppPair, type VppSetup } from './importsetup.ts';
import { formatSize, netnsProblem } from './names.ts';

/** For all comments about single lines; beyond, only lcpctl's own output has them. Pairs need less than 700 KB. */
const MAX_COMMENT_BYTES = 300_000;

/** A YAML scalar that is a string. */
export function scalar(text: string): string {
  const word = /^[A-Za-z][A-Za-z0-9_.-]*$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  if (word) return text;
  // Characters that are not seen, or turn the direction of writing, would make the file read otherwise than it is.
  return JSON.stringify(text).replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, (char) => {
    const code = (char.codePointAt(0) ?? 0).toString(16);
    return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
  });
}

/** `bootstrap.vpp:12` */
export function formatPlace({ file, line }: Place): string {
  return `${shown(file, 200)}:${line}`;
}

/** One line: `bootstrap.vpp:12: message` */
export function formatNote({ place, message }: ImportNote): string {
  const safe = shown(message, 500);
  return place === undefined ? safe : `${formatPlace(place)}: ${safe}`;
}

/** A command in the namespace of the pair; undefined when one of its words is not for a shell. */
function ipCommand(netns: string | undefined, ...words: string[]): string | undefined {
  const all = netns === undefined ? words : ['-n', netns, ...words];
  if (!all.every((word, i) => (word === '-n' && i === 0) || /^[A-Za-z0-9_][A-Za-z0-9_.:/@-]*$/.test(word)))
    return undefined;
  return `\`ip ${all.join(' ')}\``;
}

/** How to have the sub-interface `name`: by the VLAN device `device` on the host interface. */
export function vlanCommand(setup: VppSetup, name: string, device: string): string {
  const what = 'lcpd makes the sub-interface when there is a VLAN device of the same tags on the host interface';
  const sub = setup.subInterfaces.get(name);
  const parent = sub === undefined ? undefined : setup.pairs.get(sub.parent);
  if (sub === undefined || parent === undefined) return what;
  let link = parent.host;
  let tag = sub.outer;
  let protocol = sub.protocol;
  if (sub.inner !== undefined) {
    const outer = setup.outerOf(sub);
    if (outer === undefined) return `${what}, one for the outer tag and on that one for the inner tag`;
    link = setup.pairs.get(`${outer.parent}.${outer.id}`)?.host ?? `${parent.host}.${outer.id}`;
    tag = sub.inner;
    protocol = 'dot1q';
  }
  if (!/^[0-9]{1,4}$/.test(tag)) return what;
  const kind = protocol === 'dot1ad' ? ['protocol', '802.1ad'] : [];
  const words = ['link', 'add', 'link', link, 'name', device, 'type', 'vlan', ...kind, 'id', tag];
  const command = ipCommand(parent.netns, ...words);
  return command === undefined ? what : `${what}: ${command}`;
}

/** How to have a loopback: by a dummy device, whose addresses are for us. */
export function loopbackCommand({ host, netns }: VppPair): string {
  const command = ipCommand(netns, 'link', 'add', host, 'type', 'dummy');
  return `a dummy device does${command === undefined ? '' : `: ${command}`}`;
}

/** How to have an address that VPP had and lcp-sync carried over. */
export function addressCommand(address: string, { host, netns }: VppPair): string {
  const command = ipCommand(netns, 'address', 'add', address, 'dev', host);
  return `lcp-sync gave this address to Linux; now Linux has it first${command === undefined ? '' : `: ${command}`}`;
}

interface ImportDocument {
  readonly setup: VppSetup;
  readonly files: readonly string[];
  readonly pairs: readonly ImportedPair[];
  readonly notes: readonly ImportNote[];
  readonly rxBufferBytes: number | undefined;
}

function flow(pair: ImportedPair, defaultNetns: string | undefined, text: (value: string) => string): string {
  const { host, netns, type } = pair.from;
  const fields = [`phy: ${pair.phy === undefined ? 'PHY' : text(pair.phy)}`, `host: ${text(host)}`];
  if (netns !== undefined && netns !== defaultNetns) fields.push(`netns: ${text(netns)}`);
  if (type === 'tun') fields.push('type: tun');
  return `- { ${fields.join(', ')} }`;
}

/** The whole YAML text. */
export function formatImport({ setup, files, pairs, notes, rxBufferBytes }: ImportDocument): string {
  // A default namespace cannot be taken back for one pair, so it is written only when no pair is without one.
  const inForce = pairs.filter(({ problem }) => problem === undefined);
  const allNamed = inForce.every(({ from }) => from.netns !== undefined);
  const named = inForce.find(({ from }) => from.netns === setup.defaultNetns) !== undefined || inForce.length === 0;
  const usable = setup.defaultNetns !== undefined && netnsProblem(setup.defaultNetns) === undefined;
  const netns = allNamed && named && usable ? setup.defaultNetns : undefined;

  const lines = [
    '# A configuration of lcpd, made by `lcpctl config import` of',
    ...files.map((file) => `#   ${shown(file, 200)}`),
  ];
  lines.push('# Check it with `lcpd --config FILE --check`. Every key with its default is in lcpd.full.yaml.', '');
  if (netns !== undefined) lines.push(`netns: ${scalar(netns)}`, '');
  lines.push(inForce.length === 0 ? 'pairs: []' : 'pairs:');
  let bytes = 0;
  const fits = (comment: string) => {
    bytes += Buffer.byteLength(comment);
    return bytes <= MAX_COMMENT_BYTES;
  };
  for (const pair of pairs) {
    const where = ` # ${shown(pair.from.name)}, ${formatPlace(pair.from.place)}`;
    if (pair.problem === undefined) {
      lines.push(`  ${flow(pair, netns, scalar)}${fits(where) ? where : ''}`);
    } else {
      const comment = `  # ${flow(pair, netns, (value) => shown(scalar(value)))}${where}, see below`;
      if (fits(comment)) lines.push(comment);
    }
  }
  lines.push('');
  if (setup.routeNoPaths !== undefined) lines.push(`unpaired-routes: ${setup.routeNoPaths ? 'punt' : 'ignore'}`);
  if (setup.delStaticOnLinkDown) lines.push('del-static-on-link-down: true');
  if (setup.delDynamicOnLinkDown) lines.push('del-dynamic-on-link-down: true');
  if (rxBufferBytes !== undefined) lines.push(`netlink: { rx-buffer-bytes: ${formatSize(rxBufferBytes)} }`);
  const list = (title: string, open: boolean) => {
    const comments = notes.filter((note) => note.open === open).map((note) => `# - ${formatNote(note)}`);
    if (comments.length > 0) lines.push('', title, ...comments.filter(fits));
  };
  list('# Left to do:', true);
  list('# Without a counterpart, and why:', false);
  if (bytes > MAX_COMMENT_BYTES) lines.push('', '# There are more remarks: see the output of lcpctl.');
  return `${lines.join('\n').replaceAll(/\n{3,}/g, '\n\n')}\n`;
}
