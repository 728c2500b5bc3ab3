// Names: how interconnects are named and addressed, so that both ends and every restart agree without asking.
//
// All follow from the interconnect's identity by FNV-1a: StoneWork's rules, by which its CNFs find their devices. 25 bits of
// hash name an interconnect, and the socket of a memif; who would be the second of a name is told (interconnects.ts).

/** FNV-1a of 32 bits over the UTF-8 bytes of a text. Reference: the FNV authors' page. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyzABCDEF';

/** Five letters of five bits each, the lowest last. */
export function hash5(text: string): string {
  const hash = fnv1a(text);
  let out = '';
  for (let shift = 20; shift >= 0; shift -= 5) out += ALPHABET[(hash >>> shift) & 31];
  return out;
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/** MAC of the data plane's side ('fd') or of the CNF's ('fe') of the interconnect with that default name. */
export function macOf(name: string, side: 'fd' | 'fe'): string {
  const hash = fnv1a(name);
  return ['02', side, ...[0, 8, 16, 24].map((shift) => hex((hash >>> shift) & 0xff))].join(':');
}

/** Identity of an interconnect: who it is for on the data plane's side, and where it leads. */
export const interconnectId = (vppSelector: string, cnfSelector: string): string => `${vppSelector}|${cnfSelector}`;

/** Default name of an interconnect. */
export const interconnectName = (link: 'tap' | 'memif', id: string): string => `${link}-${hash5(id)}`;

/** What makes a memif its request's own: its secret, and part of its socket's name. */
export const memifSuffix = (puntId: string, vppSelector: string): string => hash5(`${puntId}:${vppSelector}`);
