// Rows: what the doors show of kernel objects and of the data plane, one interface a listing.
//
// Invariants: those of view.ts, which exports them.

export interface PairRow {
  phy: string;
  host: string;
  netns: string;
  type: 'tap' | 'tun';
  state: 'up' | 'down' | 'pending' | 'failed';
  /** Why it is pending or failed. */
  reason?: string;
  phyIfindex?: number;
  hostIfindex?: number;
  /** Data plane port number. */
  port?: number;
  mac?: string;
  mtu?: number;
  carrier?: boolean;
}

export interface LinkRow {
  netns: string;
  ifindex: number;
  name: string;
  /** IFLA_INFO_KIND (tun, veth, vlan, …); absent for plain devices. */
  kind?: string;
  mac?: string;
  mtu: number;
  /** Flag names as `ip link` prints them: UP, LOWER_UP, BROADCAST, … */
  flags: string[];
  operstate: string;
  /** Name of the master (bridge, VRF, bond). */
  master?: string;
  /** Name of the lower device (vlan, macvlan, …). */
  link?: string;
}

export interface AddressRow {
  netns: string;
  dev: string;
  /** With prefix length: 192.0.2.1/24. */
  address: string;
  peer?: string;
  scope: string;
  flags: string[];
}

export interface NeighbourRow {
  netns: string;
  dev: string;
  address: string;
  mac?: string;
  /** NUD state names in lower case, as `ip neigh`: reachable, stale, permanent, failed, … */
  state: string;
  installed: boolean;
}

export interface NexthopRow {
  netns: string;
  id: number;
  family: 'inet' | 'inet6' | 'unspec';
  via?: string;
  dev?: string;
  blackhole?: boolean;
  /** Members when this is a group. */
  group?: { id: number; weight: number }[];
}

/** A policy routing rule (`ip rule`). */
export interface RuleRow {
  netns: string;
  family: 'inet' | 'inet6';
  priority: number;
  /** As `ip rule` prints it. */
  rule: string;
  /** The data plane follows it, or it does not concern what is forwarded. */
  honoured: boolean;
  /** Why not. */
  reason?: string;
}

/** A tagged sub-interface: a VLAN device on a host. */
export interface SubifRow {
  name: string;
  phy: string;
  netns: string;
  /** The VLAN device, '' while it is being joined. */
  host: string;
  /** Outer first: '802.1Q 100', '802.1ad 5'. */
  tags: string[];
  state: 'up' | 'down' | 'pending' | 'failed';
  reason?: string;
  port?: number;
  mtu?: number;
  mac?: string;
  /** The VRF that it belongs to. */
  vrf?: string;
}

/** A multicast forwarding entry of the kernel. */
export interface MrouteRow {
  netns: string;
  /** '*' : any source. */
  source: string;
  group: string;
  iif: string;
  oifs: string[];
  /** The data plane replicates. */
  installed: boolean;
  /** The host gets every packet too. */
  host: boolean;
  reason?: string;
}

/** Kernel state that the data plane cannot follow. */
export interface UnsupportedRow {
  netns: string;
  kind: string;
  key: string;
  reason: string;
  /** Packets may go otherwise than the kernel would send them: `diff` lists it too. */
  differs: boolean;
}

export interface PathRow {
  via?: string;
  dev: string;
  weight: number;
  /** onlink, dead, linkdown, … */
  flags?: string[];
  /** MPLS labels that the packet leaves with, outermost first. */
  labels?: number[];
  /** The data plane leaves this leg to the kernel. */
  punted?: boolean;
}

export interface RouteFilter {
  netns?: string;
  table?: number;
  family?: 'inet' | 'inet6' | 'mpls';
  /** Rows equal to or inside this prefix. */
  prefix?: string;
  /** At most so many rows. */
  limit?: number;
}

export interface RouteRow {
  netns: string;
  table: number;
  prefix: string;
  /** unicast, local, broadcast, multicast, blackhole, unreachable, prohibit, throw, … */
  type: string;
  /** Routing protocol name or number: kernel, bgp, ospf, static, … */
  protocol: string;
  metric: number;
  paths: PathRow[];
  /** The data plane has it. */
  installed: boolean;
  /** It is the one that the kernel uses for its prefix. */
  best: boolean;
  /** Why it is not installed. */
  reason?: string;
}

export interface AdjacencyRow {
  id: number;
  port: number;
  phy: string;
  host: string;
  family: 'inet' | 'inet6' | 'any';
  /** Next hop address; absent for the glean and multicast adjacencies. */
  nexthop?: string;
  state: string;
  /** Link-layer header in hex. */
  rewrite?: string;
  /** What was sent by it; absent where the data plane does not count that. */
  packets?: number;
  bytes?: number;
}

export interface InterfaceRow {
  phy: string;
  host: string;
  netns: string;
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  /** Packets given to the host interface. */
  punts: number;
  drops: number;
}

export interface CounterRow {
  /** '' : of the data plane as a whole. */
  phy: string;
  name: string;
  value: number;
}

export interface PuntRow {
  phy: string;
  reason: string;
  packets: number;
}

/** Something that the data plane refused. It is tried again, and goes from here when it is taken or no longer wanted. */
export interface FailureRow {
  /** Kind of object as `diff` has it; `routes` for what the data plane said of refused routes altogether. */
  kind: string;
  key: string;
  error: string;
  /** Stable code of the error, where it has one. */
  code?: string;
  /** What to do. */
  hint?: string;
  /** Since the first refusal in a row; of `routes` since the last. */
  ageMs?: number;
  /** Times it was refused. */
  attempts?: number;
  /** Until the next try; 0 when it is due. */
  retryMs?: number;
}
