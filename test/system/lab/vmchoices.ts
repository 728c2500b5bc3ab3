/**
 * What the kernel and the data plane choose in each VRF, for what comes in by a device, and for labels; and which
 * sub-interfaces there should be.
 */
import type { LookupPath, LookupRow, SubifRow } from '../../../src/lcp/view.ts';
import { canonical } from './addresses.ts';
import { type Choice, mismatch } from './choices.ts';
import type { Control } from './control.ts';
import { ipJson, parseIpJson } from './netns.ts';
import { tryRun } from './process.ts';

export interface Question {
  readonly address: string;
  /** Of a packet of the host's own in a VRF, or */
  readonly vrf?: string;
  /** of one that comes in by a device. */
  readonly iif?: string;
}

export const questionText = ({ address, vrf, iif }: Question): string =>
  `${address}${vrf === undefined ? '' : ` vrf ${vrf}`}${iif === undefined ? '' : ` iif ${iif}`}`;

interface LabelledChoice extends Choice {
  readonly labels?: string;
}

interface KernelLeg {
  readonly dev?: string;
  readonly via?: { readonly host: string };
  readonly gateway?: string;
  readonly flags?: readonly string[];
  readonly to?: string;
  readonly labels?: string;
  readonly type?: string;
}

/** What `ip route get` says when the kernel answers with an error. */
const refusals: Readonly<Record<string, string>> = {
  'Network is unreachable': 'none',
  'Invalid argument': 'blackhole',
  'No route to host': 'unreachable',
  'Permission denied': 'prohibit',
};

/** No address of ours or of a neighbour: where packets come from that are asked for by the device they come in by. */
const source = (address: string): string => (address.includes(':') ? 'fd98::9' : '203.0.113.9');

const getLine = ({ address, vrf, iif }: Question): string =>
  iif !== undefined
    ? `route get ${address} from ${source(address)} iif ${iif}`
    : `route get ${address}${vrf === undefined ? '' : ` vrf ${vrf}`}`;

/** In the order asked, by one process. */
export async function kernelAnswers(ns: string, questions: readonly Question[]): Promise<LabelledChoice[]> {
  const input = `${questions.map(getLine).join('\n')}\n`;
  const done = await tryRun(['ip', '-n', ns, '-json', '-force', '-batch', '-'], { input, timeoutMs: 120_000 });
  const answers = new Array<LabelledChoice | undefined>(questions.length);
  for (const match of done.stderr.matchAll(/RTNETLINK answers: (.+)\nCommand failed -:(\d+)/g)) {
    const type = refusals[match[1] ?? ''];
    if (type === undefined) throw new Error(`ip route get: ${match[0]}`);
    answers[Number(match[2]) - 1] = { type };
  }
  let at = 0;
  for (const line of done.stdout.split('\n').filter((text) => text.startsWith('['))) {
    while (answers[at] !== undefined) at++;
    const [route] = parseIpJson(line) as KernelLeg[];
    const via = route?.gateway ?? route?.via?.host;
    answers[at] = {
      type: route?.type ?? 'unicast',
      ...(via === undefined ? {} : { via: canonical(via) }),
      ...(route?.dev === undefined ? {} : { dev: route.dev }),
      ...(route?.labels === undefined ? {} : { labels: route.labels }),
    };
  }
  return questions.map((q, i) => {
    const answer = answers[i];
    if (answer === undefined) throw new Error(`ip ${getLine(q)} said nothing: ${done.stderr.slice(0, 500)}`);
    return answer;
  });
}

/** In the order asked; one call for all that have the same VRF or device. */
export async function dataplaneAnswers(control: Control, questions: readonly Question[]): Promise<LookupRow[]> {
  const rows = new Array<LookupRow>(questions.length);
  const groups = new Map<string, (Question & { i: number })[]>();
  for (const [i, q] of questions.entries()) {
    const key = `${q.vrf ?? ''} ${q.iif ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), { ...q, i }]);
  }
  for (const group of groups.values()) {
    const { vrf, iif } = group[0] as Question;
    const where = iif !== undefined ? { iif } : vrf !== undefined ? { vrf } : {};
    const found = await control.rows('lookup', { addresses: group.map((q) => q.address), ...where });
    if (found.length !== group.length) throw new Error(`${found.length} answers for ${group.length} addresses`);
    group.forEach(({ i }, n) => {
      rows[i] = found[n] as LookupRow;
    });
  }
  return rows;
}

/** Why the data plane's answer is not the kernel's, or undefined. */
export function difference(question: Question, row: LookupRow, kernel: LabelledChoice): string | undefined {
  const text = `${questionText(question)}: kernel ${JSON.stringify(kernel)}, lcpd ${JSON.stringify(row)}`;
  if (question.iif !== undefined) {
    // A packet that comes in without a route is answered like one that is unreachable, and a source that the kernel
    // refuses looks like a blackhole.
    if (kernel.type === 'blackhole') return undefined;
    // Of equal IPv6 routes the kernel prefers one that leads back to where a packet comes from (ip6_pol_route_input).
    if (question.address.includes(':') && kernel.dev === question.iif) return undefined;
    if (!('error' in row) && kernel.type === 'unreachable' && (row.type === 'none' || row.type === 'throw'))
      return undefined;
  }
  const { labels, ...plain } = kernel;
  if (mismatch(row, plain) !== undefined) return text;
  if ('error' in row || row.type !== 'unicast') return undefined;
  const pushed = (p: LookupPath): string => (p.labels ?? []).join('/');
  return row.paths.some((p) => p.dev === kernel.dev && pushed(p) === (labels ?? '')) ? undefined : text;
}

interface KernelLabel extends KernelLeg {
  readonly dst: string;
  readonly nexthops?: readonly KernelLeg[];
}

const labelLeg = (dev: string, via: string | undefined, to: string): string =>
  `${to === '' ? '' : `as ${to} `}${via === undefined ? '' : `via ${canonical(via)} `}dev ${dev}`;

/**
 * What the kernel does with each label: its live legs, sorted. It may not have seen that a device lost its carrier and
 * drops then what it takes a leg over it for (mpls_output_possible): no such leg is live.
 */
async function kernelLabels(ns: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const carrier = new Set((await devices(ns)).filter((d) => d.flags.includes('LOWER_UP')).map((d) => d.ifname));
  for (const route of await ipJson<KernelLabel>(ns, '-M', 'route', 'show')) {
    const legs = (route.nexthops ?? [route]).filter(
      ({ dev = '', flags = [] }) => carrier.has(dev) && !flags.includes('dead') && !flags.includes('linkdown'),
    );
    found.set(
      route.dst,
      legs
        .map((l) => labelLeg(l.dev ?? '', l.via?.host, l.to ?? ''))
        .sort()
        .join(', '),
    );
  }
  return found;
}

const labelText = (row: LookupRow): string => {
  if ('error' in row) return row.error;
  if (row.type !== 'unicast' && row.type !== 'punt') return row.type === 'none' ? '' : row.type;
  return row.paths
    .map((p) => labelLeg(p.dev, p.via, (p.labels ?? []).join('/')))
    .sort()
    .join(', ');
};

/** Labels with which kernel and data plane do not do the same. */
export async function labelDifferences(ns: string, control: Control, asked: readonly number[]): Promise<string[]> {
  const kernel = await kernelLabels(ns);
  const addresses = [...new Set([...asked.map(String), ...kernel.keys()])];
  const rows = await control.rows('lookup', { addresses, mpls: true });
  return rows.flatMap((row) => {
    const [want, have] = [kernel.get(row.address) ?? '', labelText(row)];
    return want === have ? [] : [`label ${row.address}: kernel '${want}', lcpd '${have}' ${JSON.stringify(row)}`];
  });
}

export interface KernelDevice {
  readonly ifname: string;
  readonly link?: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly master?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: { readonly protocol?: string; readonly id?: number };
  };
}

export const devices = (ns: string): Promise<KernelDevice[]> => ipJson<KernelDevice>(ns, '-details', 'link');

/** Name of the phy of a host; undefined for any other device. */
const phyOf = (name: string): string | undefined => {
  const port = /^(?:e|uplink)(\d)$/.exec(name)?.[1];
  return port === undefined ? undefined : `p${port}`;
};

/** Sub-interfaces that VLAN devices stand for, as `name device tags mtu vrf state`. */
export function expectedSubifs(all: readonly KernelDevice[]): string[] {
  const byName = new Map(all.map((d) => [d.ifname, d]));
  return all.flatMap((device) => {
    const tags: string[] = [];
    let at: KernelDevice | undefined = device;
    while (at?.linkinfo?.info_kind === 'vlan') {
      const { protocol, id } = at.linkinfo.info_data ?? {};
      tags.unshift(`${protocol} ${id}`);
      at = byName.get(at.link ?? '');
    }
    const phy = phyOf(at?.ifname ?? '');
    if (phy === undefined || tags.length === 0 || tags.length > 2) return [];
    const name = [phy, ...tags.map((t) => t.replace('802.1Q ', '').replace('802.1ad ', 'ad'))].join('.');
    const master = byName.get(device.master ?? '');
    const vrf = master?.linkinfo?.info_kind === 'vrf' ? master.ifname : '';
    const state = device.flags.includes('UP') && device.flags.includes('LOWER_UP') ? 'up' : 'down';
    return [`${name} ${device.ifname} [${tags}] ${device.mtu} ${vrf} ${state}`];
  });
}

export const subifText = (s: SubifRow): string => `${s.name} ${s.host} [${s.tags}] ${s.mtu} ${s.vrf ?? ''} ${s.state}`;
