// ExtraKernel: a FakeKernel with objects beside those that it plays: VLAN and VRF devices, rules, label routes, multicast
// entries. It only remembers what it was told to tell, so that dumps show it, and does nothing in silence.
//
// Invariants: a key is one object; what is put again replaces it. An object of an ifindex that the FakeKernel plays
// (a host that is enslaved) is shown in its place.

import type { DumpKind, DumpScope } from '../../../src/lcp/doubts.ts';
import type { LinkRequest } from '../../../src/netlink/link.ts';
import type { NeighbourRequest } from '../../../src/netlink/neighbour.ts';
import type { RuleRequest } from '../../../src/netlink/rule.ts';
import * as k from '../../../src/netlink/uapi.ts';
import { FakeKernel } from './fakekernel.ts';
import type { Message, MrouteText, RouteText } from './kernelbytes.ts';
import * as bytes from './kernelbytes.ts';
import { type Router, type RouterOptions, router } from './router.ts';

interface Extra {
  readonly kind: DumpKind;
  readonly family: number;
  readonly shown: Message;
  readonly gone: Message | undefined;
  readonly oifs: readonly number[];
}

export class ExtraKernel extends FakeKernel {
  readonly #extras = new Map<string, Extra>();

  #put(key: string, extra: Omit<Extra, 'oifs'> & { oifs?: readonly number[] }, told = extra.shown): () => void {
    this.#extras.set(key, { oifs: [], ...extra });
    this.told.push(told);
    return () => {
      this.#extras.delete(key);
      if (extra.gone !== undefined) this.told.push(extra.gone);
    };
  }

  override dump(kind: DumpKind, scope: DumpScope): Message[] {
    const shown = [...this.#extras.values()].filter(
      (e) =>
        e.kind === kind &&
        (scope.family === 0 || e.family === scope.family) &&
        (scope.oif === undefined || e.oifs.includes(scope.oif)),
    );
    const plain = super.dump(kind, scope);
    return [...(kind === 'link' ? plain.filter((m) => !this.#plays(m)) : plain), ...shown.map((e) => e.shown)];
  }

  /** Whether a link that the FakeKernel shows is shown here: ifi_index is behind nlmsghdr, family and type. */
  #plays(link: Message): boolean {
    return this.#extras.has(`link ${new DataView(link.buffer, link.byteOffset).getInt32(20, true)}`);
  }

  /** A link that is up; returns what takes it away. */
  put(link: LinkRequest): () => void {
    const whole = { flags: k.IFF_UP | k.IFF_LOWER_UP, mtu: 1500, type: 1, ...link };
    const [shown, gone] = [bytes.newLink(whole), bytes.delLink(whole)];
    return this.#put(`link ${link.ifindex}`, { kind: 'link', family: 0, shown, gone });
  }

  vlan(ifindex: number, link: number, id: number, more: Partial<LinkRequest> & { protocol?: number } = {}): () => void {
    const { protocol = 0x8100, ...rest } = more;
    const mac = '02:00:00:00:01:00';
    return this.put({
      ifindex,
      name: `v${ifindex}`,
      link,
      kind: 'vlan',
      info: { vlan: { id, protocol } },
      mac,
      ...rest,
    });
  }

  vrf(ifindex: number, name: string, table: number): () => void {
    return this.put({ ifindex, name, kind: 'vrf', info: { vrf: { table } } });
  }

  /** A host of the FakeKernel with another master; 0 releases it. */
  enslave(name: string, master: number): void {
    const { ifindex, mac, mtu, type, alias = '' } = this.linkNamed(name);
    const tun = { type: 'tap', persist: true, vnetHdr: true, packetInfo: false, multiQueue: false } as const;
    const more = master === 0 ? {} : { master };
    this.put({ ifindex, name, mac, mtu, type, alias, kind: 'tun', info: { tun }, ...more });
  }

  rule(rule: RuleRequest): () => void {
    const whole = { family: 2, ...rule };
    const [shown, gone] = [bytes.newRule(whole), bytes.delRule(whole)];
    return this.#put(`rule ${JSON.stringify(whole)}`, { kind: 'rule', family: whole.family, shown, gone });
  }

  /** Those that Linux starts with. */
  defaultRules(): void {
    for (const family of [2, 10]) {
      for (const [priority, table] of [
        [0, 255],
        [32766, 254],
        [32767, 253],
      ] as const) {
        if (family === 2 || table !== 253) this.rule({ family, priority, table, protocol: k.RTPROT_KERNEL });
      }
    }
  }

  route(route: RouteText): () => void {
    const family = route.family ?? (route.dst.includes(':') ? 10 : 2);
    const oifs = (route.legs ?? []).flatMap((l) => (l.oif === undefined ? [] : [l.oif]));
    const [shown, gone] = [bytes.newRoute(route, 0), bytes.delRoute(route)];
    const key = `route ${family} ${route.dst} ${route.table ?? 254}`;
    return this.#put(key, { kind: 'route', family, shown, gone, oifs }, bytes.newRoute(route));
  }

  neighbour(n: NeighbourRequest): () => void {
    const whole = { state: k.NUD_REACHABLE, type: k.RTN_UNICAST, ...n };
    const [shown, gone] = [bytes.newNeighbour(whole), bytes.delNeighbour(whole)];
    return this.#put(`neighbour ${n.ifindex} ${n.dst}`, { kind: 'neighbour', family: n.family ?? 2, shown, gone });
  }

  mroute(m: MrouteText): () => void {
    const family = m.group.includes(':') ? k.RTNL_FAMILY_IP6MR : k.RTNL_FAMILY_IPMR;
    const [shown, gone] = [bytes.newMroute(m), bytes.delMroute(m)];
    return this.#put(`mroute ${m.table ?? ''} ${m.source ?? ''} ${m.group}`, { kind: 'mroute', family, shown, gone });
  }

  /** Whether an interface takes labels. */
  mpls(ifindex: number, input: boolean): void {
    const shown = bytes.newNetconf({ family: k.AF_MPLS, ifindex, input });
    this.#put(`mpls ${ifindex}`, { kind: 'netconf', family: k.AF_MPLS, shown, gone: undefined });
  }
}

/** The usual router (router.ts) on such a kernel; settled, with an empty log. */
export const extraRouter = async (
  rules = false,
  options: RouterOptions = {},
): Promise<{ r: Router; kernel: ExtraKernel }> => {
  const kernel = new ExtraKernel(100);
  if (rules) kernel.defaultRules();
  const r = await router({
    ...options,
    kernels: new Map<string, FakeKernel>([
      ['', new FakeKernel(10)],
      ['cp', kernel],
    ]),
  });
  r.dataplane.log.length = 0;
  r.dataplane.operations = 0;
  return { r, kernel };
};
