/**
 * Sessions: the routing sessions of the router as its own daemons count them.
 * Reference: FRR `show bgp summary json`, `show ip ospf neighbor json`, `show ipv6 ospf6 neighbor json`.
 */
import type { Demo } from './demo.ts';

interface BgpPeer {
  readonly state: string;
  readonly connectionsEstablished: number;
  readonly connectionsDropped: number;
  readonly peerUptimeMsec: number;
}
interface BgpSummary {
  readonly ipv4Unicast?: { readonly peers: Record<string, BgpPeer> };
  readonly ipv6Unicast?: { readonly peers: Record<string, BgpPeer> };
}
interface Ospf4 {
  readonly neighbors: Record<string, readonly { nbrState?: string; state?: string }[]>;
}
interface Ospf6 {
  readonly neighbors: readonly { interfaceName: string; state: string }[];
}

export interface Sessions {
  readonly bgp: number;
  readonly ospf4: number;
  readonly ospf6: number;
  /** Those that are not up yet, readable. */
  readonly open: readonly string[];
  /** For each BGP session: how often it came up, how often it broke, since when it is up, ms. */
  readonly history: ReadonlyMap<string, { established: number; dropped: number; uptimeMs: number }>;
  /** BIRD's own view: protocol name to the time since which it is in its state. */
  readonly birdSince: ReadonlyMap<string, string>;
}

const expected = { bgp: 6, ospf4: 2, ospf6: 2 } as const;

export async function sessions({ router, left }: Demo): Promise<Sessions> {
  const summary = await router.json<BgpSummary>('show bgp summary');
  const peers = { ...summary.ipv4Unicast?.peers, ...summary.ipv6Unicast?.peers };
  const up = Object.entries(peers).filter(([, peer]) => peer.state === 'Established');
  const open = Object.entries(peers).flatMap(([name, peer]) =>
    peer.state === 'Established' ? [] : [`BGP ${name} ${peer.state}`],
  );

  const v4 = Object.values((await router.json<Ospf4>('show ip ospf neighbor')).neighbors).flat();
  const full4 = v4.filter((n) => (n.nbrState ?? n.state ?? '').startsWith('Full')).length;
  const v6 = (await router.json<Ospf6>('show ipv6 ospf6 neighbor')).neighbors ?? [];
  const full6 = v6.filter((n) => n.state === 'Full').length;
  if (up.length < expected.bgp && open.length === 0) open.push(`BGP ${up.length} of ${expected.bgp}`);
  if (full4 < expected.ospf4) open.push(`OSPFv2 ${full4} of ${expected.ospf4}`);
  if (full6 < expected.ospf6) open.push(`OSPFv3 ${full6} of ${expected.ospf6}`);

  const bird = (await left.protocols()).filter((p) => p.kind === 'BGP');
  for (const p of bird) if (p.info !== 'Established') open.push(`BIRD ${p.name} ${p.info}`);
  return {
    bgp: up.length,
    ospf4: full4,
    ospf6: full6,
    open,
    history: new Map(
      up.map(([name, p]) => [
        name,
        { established: p.connectionsEstablished, dropped: p.connectionsDropped, uptimeMs: p.peerUptimeMsec },
      ]),
    ),
    birdSince: new Map(bird.map((p) => [p.name, p.since])),
  };
}
