// Model: a consumer of a monitor that keeps everything in Maps, and says what a fresh dump of the kernel would hold.

import { decodeAddress } from '../../../src/netlink/address.ts';
import { type DumpFilter, RtnlDumper } from '../../../src/netlink/dump.ts';
import { formatMessage } from '../../../src/netlink/format.ts';
import { decodeLink } from '../../../src/netlink/link.ts';
import { forEachMessage, type MessageBatch } from '../../../src/netlink/message.ts';
import type { MonitorSink, MonitorStats } from '../../../src/netlink/monitor.ts';
import { decodeMroute, isMrouteFamily } from '../../../src/netlink/mroute.ts';
import { decodeNeighbour } from '../../../src/netlink/neighbour.ts';
import { decodeNexthop } from '../../../src/netlink/nexthop.ts';
import { decodeRoute, RouteMessage } from '../../../src/netlink/route.ts';
import { routeToObject } from '../../../src/netlink/routeobject.ts';
import { decodeRule, ruleText } from '../../../src/netlink/rule.ts';
import { DUMP_REQUEST, type DumpKind, SYNC_SCOPES, saysNoSuchTable } from '../../../src/netlink/scopes.ts';
import { NetlinkSocket } from '../../../src/netlink/socket.ts';
import * as k from '../../../src/netlink/uapi.ts';

interface Entry {
  readonly kind: DumpKind;
  readonly family: number;
  readonly oif: number | undefined;
  readonly text: string;
  /** Number of the dump or replay that showed it last. */
  seen: number;
}

const message = new RouteMessage();

/** Key and content of a message; undefined when this model does not keep it. */
function read(batch: MessageBatch, type: number, offset: number): (Omit<Entry, 'seen'> & { key: string }) | undefined {
  const entry = (kind: DumpKind, family: number, key: string, oif: number | undefined, object: object) => {
    const text = formatMessage(type & ~3, 0, object as never);
    return { kind, family, key: `${kind} ${family} ${key}`, oif, text };
  };
  switch (type & ~3) {
    case k.RTM_NEWLINK: {
      const link = decodeLink(batch, offset);
      return link === undefined || link.family !== 0 ? undefined : entry('link', 0, `${link.ifindex}`, undefined, link);
    }
    case k.RTM_NEWADDR: {
      const a = decodeAddress(batch, offset);
      return a && entry('address', a.family, `${a.ifindex} ${a.local}/${a.prefixlen}`, a.ifindex, { ...a, flags: 0 });
    }
    case k.RTM_NEWNEIGH: {
      const n = decodeNeighbour(batch, offset);
      if (n === undefined || n.family === k.AF_BRIDGE) return undefined;
      return entry('neighbour', n.family, `${n.ifindex} ${n.dst}`, n.ifindex, n);
    }
    case k.RTM_NEWNEXTHOP: {
      const n = decodeNexthop(batch, offset);
      return n && entry('nexthop', 0, `${n.id}`, n.oif, n);
    }
    case k.RTM_NEWROUTE: {
      if (!decodeRoute(batch, offset, message)) throw new Error('a route of the kernel did not decode');
      if (isMrouteFamily(message.family)) {
        const m = decodeMroute(batch, offset);
        // The counters and the input, which the kernel forgets with its interface, are no part of the entry's identity.
        return m && entry('mroute', message.family, `${m.table} ${m.source} ${m.group}`, undefined, m);
      }
      const told = routeToObject(message);
      // Carrier loss marks legs without a message: RTNH_F_* are the link's state, not the route's.
      const r = { ...told, flags: 0, legs: told.legs.map((leg) => ({ ...leg, flags: 0 })) };
      // IPv6 keeps routes without gateway once for each device, beside each other under one prefix and metric.
      if (r.family === 10 && !r.multipath && r.legs[0]?.gateway === undefined) {
        return entry('route', 10, `${r.table} ${r.dst} ${r.priority} dev ${r.legs[0]?.oif}`, r.legs[0]?.oif, r);
      }
      return entry('route', r.family, `${r.table} ${r.dst} ${r.tos} ${r.priority}`, r.legs[0]?.oif, r);
    }
    case k.RTM_NEWRULE: {
      const r = decodeRule(batch, offset);
      return r && entry('rule', r.family, `${r.priority} ${ruleText(r)}`, undefined, { ...r, flags: 0 });
    }
    default:
      return undefined;
  }
}

export class Model implements MonitorSink {
  readonly entries = new Map<string, Entry>();
  readonly log: string[] = [];
  syncs = 0;
  stats: MonitorStats | undefined;
  #dump = 0;

  onSyncStart(cause: string): void {
    this.log.push(`sync ${cause}`);
  }

  onDumpBegin(kind: DumpKind, filter: DumpFilter): void {
    this.#dump++;
    this.log.push(`begin ${kind} ${filter.family}`);
  }

  onBatch(batch: MessageBatch): void {
    forEachMessage(batch, (type, _flags, offset) => {
      const found = read(batch, type, offset);
      if (found === undefined) return true;
      if (type % 4 === 1) this.entries.delete(found.key);
      else this.entries.set(found.key, { ...found, seen: this.#dump });
      return true;
    });
  }

  onDumpEnd(kind: DumpKind, complete: boolean, filter: DumpFilter): void {
    this.log.push(`end ${kind} ${filter.family} ${complete}`);
    if (!complete) return;
    for (const [key, entry] of this.entries) {
      if (entry.kind !== kind || entry.family !== filter.family) continue;
      if (filter.oif !== undefined && entry.oif !== filter.oif) continue;
      if (entry.seen !== this.#dump) this.entries.delete(key);
    }
  }

  onInSync(stats: MonitorStats): void {
    this.syncs++;
    this.stats = stats;
    this.log.push('in sync');
  }

  onLost(cause: string): void {
    this.log.push(`lost ${cause}`);
  }

  onClosed(cause: string): void {
    this.log.push(`closed ${cause}`);
  }

  /** Content of some kinds, sorted. Neighbours are left out where their states age. */
  content(...kinds: DumpKind[]): string[] {
    return [...this.entries.values()]
      .filter((entry) => kinds.includes(entry.kind))
      .map((entry) => entry.text)
      .sort();
  }
}

/** What the kernel holds now, as a model. */
export async function freshDump(netns: string): Promise<Model> {
  const dumper = new RtnlDumper(new NetlinkSocket({ netns, slotSize: 32768, slots: 16 }));
  const model = new Model();
  for (const [kind, family] of SYNC_SCOPES) {
    const result = await dumper.dump(DUMP_REQUEST[kind], { family }, (batch) => model.onBatch(batch));
    if (!result.complete && !saysNoSuchTable(kind, family, result.error))
      throw new Error(`fresh dump of ${kind} failed: errno ${result.error}`);
  }
  dumper.close();
  return model;
}
