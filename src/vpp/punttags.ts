// Tags of interconnects: by them those of ours are found again, in VPP's own list of interfaces.
//
// Invariants: a tag is the owner, cut to fit, and a digest of what VPP does not tell of the interface (the secret of a memif, the
// identity of a tap's namespace), so that another one is recognised as another. Anybody may write such a tag: it counts only on
// an interface of our two sorts.

import { createHash } from 'node:crypto';
import type { Interconnect } from '../lcp/puntobjects.ts';

const PREFIX = 'punt:';
/** Bytes of a tag without its end. */
const MOST = 63;
const TAG = /^punt:(.*)#([0-9a-f]{8})$/;

/** What VPP does not tell, in eight digits. */
export function digestOf({ link, secret, netnsId }: Pick<Interconnect, 'link' | 'secret' | 'netnsId'>): string {
  return createHash('sha256').update(`${link} ${secret} ${netnsId}`).digest('hex').slice(0, 8);
}

export function tagOf(of: Interconnect): string {
  const bytes = Buffer.from(`${PREFIX}${of.owner}`.replaceAll('\0', ' ')).subarray(0, MOST - 9);
  // a character that was cut in two is left out
  const text = bytes.toString().replace(/\ufffd$/, '');
  return `${text}#${digestOf(of)}`;
}

/** The parts of a tag of ours, undefined when it is none. */
export function parseTag(tag: string): { readonly owner: string; readonly digest: string } | undefined {
  const [, owner, digest] = TAG.exec(tag) ?? [];
  return owner === undefined || digest === undefined ? undefined : { owner, digest };
}
