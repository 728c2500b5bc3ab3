// Every message that lcpd knows of VPP's API.
//
// Invariants: what a message is answered with comes with it. A message that is in a table and not here is never looked
// up in a running VPP: test/unit/vpp/tables.test.ts compares both with VPP's definitions.

import type { Message } from '../message.ts';
import * as abf from './abf.ts';
import * as acl from './acl.ts';
import * as afpacket from './afpacket.ts';
import * as dhcp from './dhcp.ts';
import * as fib from './fib.ts';
import * as interfaces from './interface.ts';
import * as ip from './ip.ts';
import * as ippunt from './ippunt.ts';
import * as lcp from './lcp.ts';
import * as memclnt from './memclnt.ts';
import * as memif from './memif.ts';
import * as mpls from './mpls.ts';
import * as mroute from './mroute.ts';
import * as neighbor from './neighbor.ts';
import * as policer from './policer.ts';
import * as proxy from './proxy.ts';
import * as punt from './punt.ts';
import * as route from './route.ts';
import * as span from './span.ts';
import * as subinterface from './subinterface.ts';
import * as tap from './tap.ts';
import * as vpe from './vpe.ts';
import * as xconnect from './xconnect.ts';

const modules: readonly Readonly<Record<string, unknown>>[] = [
  abf,
  acl,
  afpacket,
  dhcp,
  fib,
  interfaces,
  ip,
  ippunt,
  lcp,
  memclnt,
  memif,
  mpls,
  mroute,
  neighbor,
  policer,
  proxy,
  punt,
  route,
  span,
  subinterface,
  tap,
  vpe,
  xconnect,
];

/** Whether something that a table exports is a message, and not one of its types. */
function isMessage(exported: unknown): exported is Message {
  return typeof exported === 'object' && exported !== null && 'crc' in exported && 'body' in exported;
}

/** What answers a message. */
export function answersOf(of: Message): readonly Message[] {
  return ['reply', 'details'].flatMap((part) => {
    const answer: unknown = (of as unknown as Readonly<Record<string, unknown>>)[part];
    return isMessage(answer) ? [answer] : [];
  });
}

/** Messages by VPP's names, with their answers. */
export const catalogue: ReadonlyMap<string, Message> = new Map(
  modules
    .flatMap((module) => Object.values(module).filter(isMessage))
    .flatMap((of) => [of, ...answersOf(of)])
    .map((of) => [of.name, of]),
);
