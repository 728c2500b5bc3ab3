// Drafts of what Ligato's punt plugin and VPP have: packets by port, protocol or reason, to a socket or to the host;
// redirects; policers. None of them has a link of its own.

import type { Punt, PuntMatch } from '../lcp/puntobjects.ts';
import { AF_INET, familyOf } from '../lib/ip.ts';
import { type Draft, familiesOf, linkless, matchName, type Obstacles } from './draft.ts';
import type { ExceptionSpec, Icmp6Spec, PoliceSpec, ProtocolSpec, RedirectSpec, ToHostSpec } from './request.ts';

export type MatchSpec = ToHostSpec | ProtocolSpec | Icmp6Spec | ExceptionSpec;
const TCP = 6;
const UDP = 17;
/** All that nobody has. */
const UNKNOWN_PORT = 65535;

function matchesOf(spec: MatchSpec): PuntMatch[] {
  switch (spec.type) {
    case 'to-host':
      return familiesOf(spec.l3).map((family) => ({
        by: 'port',
        family,
        protocol: spec.l4 === 'udp' ? UDP : TCP,
        port: spec.port,
      }));
    case 'ip-protocol':
      return familiesOf(spec.l3).map((family) => ({ by: 'protocol', family, protocol: spec.protocol }));
    case 'icmp6':
      return [{ by: 'icmp6', type: spec.icmpType }];
    case 'exception':
      return [{ by: 'reason', reason: spec.reason }];
  }
}

export function draftMatch(spec: MatchSpec, obstacles: Obstacles): Draft {
  const { plane } = obstacles.env;
  const { socket: path } = spec;
  const feature = path === '' ? 'host' : 'socket';
  const matches = matchesOf(spec);
  obstacles.needs(feature, ...new Set(matches.map(({ by }) => `${feature} ${by}`)));
  if (path !== '' && path === plane.serverSocket) {
    obstacles.refusals.push(`socket ${path} is the one that the data plane itself has`);
    obstacles.hint = 'give the path that the client is bound to';
  }
  for (const match of matches) {
    const taken = plane.takenBy(match);
    if (taken !== undefined) obstacles.refusals.push(`${matchName(match)} is used by the data plane itself: ${taken}`);
    if (match.by === 'port' && match.port === UNKNOWN_PORT) obstacles.needs(`${feature} unknown`);
    if (match.by === 'port' && match.protocol === TCP) obstacles.needs(`${feature} tcp`);
    if (match.by === 'reason' && !plane.reasons.some(({ name }) => name === match.reason)) {
      const known = plane.reasons.map(({ name }) => name).join(', ');
      obstacles.waits.push(`unknown punt reason ${match.reason}: the data plane has ${known || 'none'}`);
    }
  }
  const punts = matches.map(
    (match): Punt =>
      path === '' ? { kind: 'punt', feature: 'host', match } : { kind: 'punt', feature: 'socket', match, path },
  );
  return linkless(obstacles, punts);
}

export function draftRedirect(spec: RedirectSpec, obstacles: Obstacles): Draft {
  const { l3, rx, tx, nextHops } = spec;
  obstacles.needs('redirect');
  obstacles.interface(tx);
  if (rx !== '' && obstacles.interface(rx)?.paired === true) {
    obstacles.refusals.push(`interface ${rx} is in a pair: what it punts goes to its host`);
    obstacles.hint = `redirect other interfaces, or remove the pair of ${rx}`;
  }
  const hop = (family: 4 | 6): string => nextHops.find((h) => (familyOf(h) === AF_INET ? 4 : 6) === family) ?? '';
  const punts = familiesOf(l3).map(
    (family): Punt => ({ kind: 'punt', feature: 'redirect', family, rx, tx, nexthop: hop(family) }),
  );
  return linkless(obstacles, punts);
}

export function draftPolice(spec: PoliceSpec, obstacles: Obstacles): Draft {
  const { scope, unit, rate, burst } = spec;
  obstacles.needs('police');
  if (scope !== 'ipv4' && scope !== 'ipv6') obstacles.needs('police class');
  return linkless(obstacles, [{ kind: 'punt', feature: 'police', scope, unit, rate, burst }]);
}
