// struct lcpfwd_punt as bytes: what is where in a record, and what its numbers mean.

import { native } from './native.ts';

export const TYPE = {
  xconnect: 1,
  span: 2,
  abx: 3,
  rule: 4,
  osi: 5,
  host: 6,
  socket: 7,
  redirect: 8,
  police: 9,
  proxy: 10,
  relay: 11,
} as const;
export const BY = { port: 1, icmp6: 2, protocol: 3, reason: 4 } as const;
export const RX = 1;
export const TX = 2;
export const PERMIT = 4;
export const KBPS = 8;
export const NEXTHOP = 16;
export const MAC = 32;
export const PATH_SIZE = 108;
/** Offsets within struct lcpfwd_punt. */
export const AT = {
  af: 1,
  by: 2,
  flags: 3,
  from: 4,
  to: 6,
  fromGeneration: 8,
  toGeneration: 16,
  slot: 24,
  priority: 28,
  protocol: 32,
  scope: 33,
  number: 34,
  rate: 36,
  burst: 40,
  table: 44,
  mac: 48,
  sourceLength: 54,
  destinationLength: 55,
  source: 56,
  destination: 72,
  sourcePorts: 88,
  destinationPorts: 92,
  tcpMask: 96,
  tcpValue: 97,
  path: 100,
  relayTable: 100,
  relayLocal: 104,
  serverTable: 108,
  serverNumber: 112,
} as const;

let reasons: string[] | undefined;
/** Names of the reasons, by number. */
export const reasonNames = (): readonly string[] => {
  if (reasons === undefined) {
    reasons = [];
    for (;;) {
      const name = native().reasonName(reasons.length) as string | null;
      if (name === null) break;
      reasons.push(name);
    }
  }
  return reasons;
};
