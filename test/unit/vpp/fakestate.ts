/**
 * FakeState: what a fake VPP holds, and how it answers. Rules are VPP's where lcpd depends on them: which number is
 * refused, what deleting the absent says, what is in a table from the start. A message without a rule is refused as
 * VPP refuses what it lacks, so that no test passes by an answer that nobody thought of.
 */
import type { Message } from '../../../src/vpp/message.ts';
import { addAclRules } from './fakeacls.ts';
import { addCliRules } from './fakecli.ts';
import { addCnfRules } from './fakecnfs.ts';
import { addEntryRules } from './fakeentries.ts';
import { addFibRules } from './fakefib.ts';
import { addInterfaceRules } from './fakeinterfaces.ts';
import { addLcpRules } from './fakelcp.ts';
import { addPluginRules, PLUGINS } from './fakeplugins.ts';
import { addPuntRules } from './fakepunts.ts';

export type Values = Readonly<Record<string, unknown>>;

export interface Outcome {
  readonly rows?: readonly Values[];
  readonly reply?: Values;
  /** It says nothing at all. */
  readonly isSwallowed?: boolean;
}

export interface FakeEvent {
  readonly event: Message;
  readonly wanted: Message;
  readonly value: Values;
}

export interface FakeInterface {
  readonly sw_if_index: number;
  readonly sup_sw_if_index: number;
  interface_name: string;
  readonly dev: string;
  readonly type: number;
  l2_address: Uint8Array;
  flags: number;
  mtu: number[];
  link_mtu: number;
  tag: string;
  table4: number;
  table6: number;
  ip6: boolean;
  /** Secondary addresses, hexadecimal. */
  readonly macs: Set<string>;
  /** How often features are on its arcs: VPP puts one on again. */
  readonly features: Map<string, number>;
  linkLocal: Uint8Array;
  /** How often MPLS was enabled: VPP counts. */
  mpls: number;
  unnumbered: number;
  readonly addresses: Map<string, { readonly address: Uint8Array; readonly len: number }>;
  readonly sub: Values;
}

export interface FakePair {
  readonly phy_sw_if_index: number;
  readonly host_sw_if_index: number;
  readonly vif_index: number;
  readonly host_if_name: string;
  readonly host_if_type: number;
  readonly netns: string;
}

export const ERROR = {
  unspecified: -1,
  interface: -2,
  fib: -3,
  entry: -6,
  value: -7,
  unimplemented: -9,
  address: -105,
  exists: -81,
};

type Rule = (input: Values) => Outcome;

export const hex = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString('hex');
export const refused = (retval: number): Outcome => ({ reply: { retval } });

export class FakeState {
  readonly interfaces = new Map<number, FakeInterface>();
  readonly pairs = new Map<number, FakePair>();
  /** Tables by `4:ID`, `6:ID`, `mpls:ID`, with their names. */
  readonly tables = new Map<string, string>([
    ['4:0', 'ipv4-VRF:0'],
    ['6:0', 'ipv6-VRF:0'],
  ]);
  /** Routes by table, prefix and source, as they were given. */
  readonly routes = new Map<string, Values>();
  readonly mroutes = new Map<string, Values>();
  /** Commands that it was given. */
  readonly commands: string[] = [];
  readonly mplsRoutes = new Map<string, Values>();
  readonly neighbors = new Map<string, Values>();
  readonly sources = new Map<number, Values>();
  defaultNs = '';
  /** What `show plugins` names. */
  plugins = PLUGINS;
  /** Whether it takes ethertypes with their bytes the other way round, as VPP 26.06 does. */
  turnsEthertypes = true;
  /** What `show lcp` says. */
  showLcp = 'lcp lcp-auto-subint off\nlcp lcp-sync off\n';
  /** Path of the punt socket, '' where startup.conf has none. */
  puntSocket = '/run/vpp/punt.sock';
  /** Nodes that have UDP ports, by `4/9000`; and protocols. */
  readonly udpPorts = new Map<string, string>([['4/4500', 'ipsec4-tun-input']]);
  readonly protocols = new Map<string, string>([
    ['4/1', 'ip4-icmp-input'],
    ['4/17', 'ip4-udp-lookup'],
  ]);
  /** Nodes that get what is punted for a reason, in order. */
  readonly #sinks = new Map<number, string[]>([
    [1, ['linux-cp-punt']],
    [4, ['linux-cp-punt']],
  ]);
  /** Bridge domains by names of interfaces. */
  readonly bridged = new Map<string, number>();
  /** L2 cross-connects. */
  readonly crossed = new Map<number, number>();
  /** Namespaces that it finds. */
  readonly namespaces = new Set(['', 'cp', 'cnf']);
  taps: () => readonly Values[] = () => [];
  readonly #rules = new Map<string, Rule>();
  #events: FakeEvent[] = [];
  /** Indices of interfaces that are gone: VPP gives out the last one first. */
  readonly #freed: number[] = [];
  #nextInterface = 0;
  /** Network devices beside this VPP; any that is asked for when undefined. */
  devices: ReadonlySet<string> | undefined;

  constructor() {
    addInterfaceRules(this);
    addFibRules(this);
    addEntryRules(this);
    addPluginRules(this);
    addLcpRules(this);
    addCliRules(this);
    addPuntRules(this);
    addCnfRules(this);
    addAclRules(this);
    this.addInterface('local0', 'local', {});
  }

  /** How a message is answered. */
  rule(of: Message, rule: (input: never) => Outcome): void {
    this.#rules.set(of.name, rule as Rule);
  }

  handle(of: Message, input: Values): Outcome {
    return this.#rules.get(of.name)?.(input) ?? refused(ERROR.unimplemented);
  }

  emit(event: FakeEvent): void {
    this.#events.push(event);
  }

  takeEvents(): readonly FakeEvent[] {
    return this.#events.splice(0);
  }

  sinksOf(reason: number): readonly string[] {
    return this.#sinks.get(reason) ?? [];
  }

  addSink(reason: number, node: string): void {
    if (!this.sinksOf(reason).includes(node)) this.#sinks.set(reason, [...this.sinksOf(reason), node]);
  }

  removeSink(reason: number, node: string): void {
    this.#sinks.set(
      reason,
      this.sinksOf(reason).filter((each) => each !== node),
    );
  }

  /** Puts a feature on an arc once more, or takes it off once, as often as it is asked and not below nothing. */
  countFeature(index: number, key: string, enable: boolean): void {
    const features = this.interfaces.get(index)?.features;
    features?.set(key, Math.max(0, (features.get(key) ?? 0) + (enable ? 1 : -1)));
  }

  addInterface(name: string, dev: string, more: Partial<FakeInterface>): FakeInterface {
    const index = this.#freed.pop() ?? this.#nextInterface++;
    const made: FakeInterface = {
      sw_if_index: index,
      sup_sw_if_index: index,
      interface_name: name,
      dev,
      type: 0,
      l2_address: Uint8Array.of(0xde, 0xad, 0, 0, 0, index),
      flags: 0,
      mtu: [9000, 0, 0, 0],
      link_mtu: 9000,
      tag: '',
      table4: 0,
      table6: 0,
      ip6: false,
      macs: new Set(),
      features: new Map([['ip4-unicast ip4-not-enabled', 1]]),
      linkLocal: new Uint8Array(16),
      mpls: 0,
      unnumbered: 0xffff_ffff,
      addresses: new Map(),
      sub: {},
      ...more,
    };
    this.interfaces.set(index, made);
    return made;
  }

  removeInterface(index: number): void {
    this.interfaces.delete(index);
    this.pairs.delete(index);
    // what it cross-connects ends with where it goes to, and not what goes to it
    const to = this.crossed.get(index);
    if (to !== undefined) this.crossed.delete(to);
    this.crossed.delete(index);
    this.#freed.push(index);
  }

  /** Names of the messages that have a rule. */
  get ruled(): readonly string[] {
    return [...this.#rules.keys()];
  }
}
