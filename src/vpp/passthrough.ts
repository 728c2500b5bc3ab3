// PassThrough: protocols beside IP and ARP that linux_cp hands on between phy and host once it was told their number.
//
// Invariants: what VPP has is asked before and after, and only that counts: VPP 26.06 takes ethertypes with their bytes the
// other way round than it tells them. What did not take is a gap with its reason, never a failure of the rest. VPP has no
// way to take one back, so what was enabled and is not asked for any more is told, too. All of it ends with VPP.
// Reference: VPP's src/plugins/linux-cp/lcp_api.c, lcp_interface.c; src/vnet/ethernet/types.def.

import type { PassThrough } from '../lcp/dataplane.ts';
import { LcpError } from '../lib/errors.ts';
import { lcpEthertypeEnable, lcpEthertypeGet, lcpOsiProtoEnable, lcpOsiProtoGet } from './api/lcp.ts';
import { cliInband } from './api/vpe.ts';
import type { VppClient } from './client.ts';

const ISIS = 0x83;
const INVALID_VALUE = -7;
const FEATURE_DISABLED = -30;
const INVALID_REGISTRATION = -31;
const UNIMPLEMENTED = -3;

const REASONS: Readonly<Record<number, string>> = {
  [INVALID_VALUE]: 'VPP knows no such protocol',
  [FEATURE_DISABLED]:
    'the plugin osi is not loaded: enable osi_plugin.so and ppp_plugin.so, which it needs, in startup.conf',
  [INVALID_REGISTRATION]: 'VPP does not let linux_cp have it: a node of its own does, or it is none of OSI',
  [UNIMPLEMENTED]: 'this linux_cp has no node for it',
};

const hex = (value: number, digits: number): string => `0x${value.toString(16).padStart(digits, '0')}`;
const swapped = (value: number): number => ((value & 0xff) << 8) | (value >>> 8);

/** One of the two sorts of number. */
interface Sort {
  readonly word: string;
  readonly digits: number;
  /** Why this VPP has none of it. */
  readonly missing: string | undefined;
  /** Those that punts enable (puntosi.ts): they may be there without being asked for here. */
  readonly punted: readonly number[];
  /** Ways to ask for a number, the next where one had no effect. */
  readonly enable: readonly ((value: number) => Promise<number>)[];
  readonly enabled: () => Promise<readonly number[]>;
}

async function bring(sort: Sort, wanted: readonly number[], gaps: Map<string, string>): Promise<void> {
  const { word, digits, missing } = sort;
  const nameOf = (value: number) => `${word} ${hex(value, digits)}`;
  if (missing !== undefined) {
    for (const value of wanted) gaps.set(nameOf(value), `it does not cross pairs: ${missing}`);
    return;
  }
  let has = new Set(await sort.enabled());
  for (const value of wanted) {
    let retval = 0;
    for (const enable of sort.enable) {
      if (has.has(value)) break;
      retval = await enable(value);
      if (retval === 0) has = new Set(await sort.enabled());
    }
    if (has.has(value)) continue;
    const reason =
      retval === 0 ? 'VPP said yes and does not show it' : (REASONS[retval] ?? `VPP refused it (${retval})`);
    gaps.set(nameOf(value), `it does not cross pairs: ${reason}`);
  }
  for (const value of has) {
    if (wanted.includes(value) || sort.punted.includes(value)) continue;
    gaps.set(nameOf(value), 'VPP has it enabled, which lcpd is not asked for, and can only forget it by a restart');
  }
}

/** Enables what is wanted; what did not take, or is there without being wanted, with the reason. */
export async function passThrough(client: VppClient, { ethertypes, osi }: PassThrough): Promise<Map<string, string>> {
  const gaps = new Map<string, string>();
  const accept = Object.keys(REASONS).map(Number);
  const enableType = async (ethertype: number): Promise<number> =>
    (await client.request(lcpEthertypeEnable, { ethertype }, { accept })).retval;
  const sorts: readonly (readonly [Sort, readonly number[]])[] = [
    [
      {
        word: 'ethertype',
        digits: 4,
        missing: client.unsupported(lcpEthertypeEnable) ?? client.unsupported(lcpEthertypeGet),
        punted: [],
        enable: [enableType, (value) => enableType(swapped(value))],
        enabled: async () => (await client.request(lcpEthertypeGet, {})).ethertypes,
      },
      ethertypes,
    ],
    [
      {
        word: 'osi',
        digits: 2,
        missing: client.unsupported(lcpOsiProtoEnable) ?? client.unsupported(lcpOsiProtoGet),
        punted: [ISIS],
        enable: [async (osi_proto) => (await client.request(lcpOsiProtoEnable, { osi_proto }, { accept })).retval],
        enabled: async () => [...(await client.request(lcpOsiProtoGet, {})).osi_protos],
      },
      osi,
    ],
  ];
  for (const [sort, wanted] of sorts) {
    try {
      await bring(sort, wanted, gaps);
    } catch (error) {
      // one that ends with the session is told by that
      if (!(error instanceof LcpError) || client.error !== undefined) throw error;
      for (const value of wanted)
        gaps.set(`${sort.word} ${hex(value, sort.digits)}`, `it does not cross pairs: ${error.message}`);
    }
  }
  return gaps;
}

/** What linux_cp itself writes to the kernel, which lcpd does: two who do it undo each other's changes. */
export async function ownSync(client: VppClient): Promise<Map<string, string>> {
  const { reply } = await client.request(cliInband, { cmd: 'show lcp' });
  const found = new Map<string, string>();
  for (const option of ['lcp-sync', 'lcp-auto-subint']) {
    if (!new RegExp(`^lcp ${option} on$`, 'm').test(reply)) continue;
    const advice = `take it out of linux-cp {} of VPP's startup.conf, or say \`lcp ${option} off\`; lcpd has its own: sync`;
    found.set(option, `linux_cp of VPP has it on and writes to Linux behind lcpd's back: ${advice}`);
  }
  return found;
}
