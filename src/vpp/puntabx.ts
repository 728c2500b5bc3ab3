// ABX: IP packets of an interface that match leave by another one as they came: a list of rules, a policy with a path that
// keeps the frame's header (DVR), and its attachment, one of each for a family.
//
// Invariants: a policy of ours refers to a list of ours; its id follows from the key, or is the next one free. Repeated, a policy would get
// a second path, so it is made once, and taken off its interface before it ends: VPP falls over a policy that has ended
// while it is attached. Policies do not see groups: those are what PuntGroups is told of here. What differs from the original (D1 to D7):
// the destination MAC stays as it is, deny means "not punted". Reference: VPP's src/plugins/abf/abf_policy.c, abf_itf_attach.c.

import type { Family } from '../lcp/objects.ts';
import { type Abx, puntKey } from '../lcp/puntobjects.ts';
import { abfItfAttachAddDel, abfItfAttachDump, abfPolicyAddDel, abfPolicyDump } from './api/abf.ts';
import type { MessageValue } from './message.ts';
import { type PuntAcl, PuntAcls, rulesText } from './puntacls.ts';
import type { PuntGroups } from './puntgroups.ts';
import { conflict, type PuntContext, type PuntPart, pathOut, readPath } from './puntparts.ts';

const FAMILIES: readonly Family[] = [4, 6];
/** Ids of policies are from here on: a byte of our own, and 24 bits of the key's hash. */
const FIRST_ID = 0x6c00_0000;
const IDS = 0x100_0000;
const MAX_PRIORITY = 0x7fff_ffff;

type PolicyRow = MessageValue<typeof abfPolicyDump.details>['policy'];
type AttachRow = MessageValue<typeof abfItfAttachDump.details>['attach'];

/** FNV-1a, 24 bits. */
function hashOf(text: string): number {
  let hash = 0x811c_9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x0100_0193) >>> 0;
  return hash % IDS;
}

/** One family of an ABX as VPP has it; without an attachment it is half made. */
interface Made {
  readonly policy: PolicyRow;
  readonly acl: PuntAcl;
  readonly to: number;
  readonly attached: readonly AttachRow[];
}

interface State {
  readonly made: readonly Made[];
  readonly ids: ReadonlySet<number>;
  readonly acls: ReadonlyMap<number, PuntAcl>;
}

export class PuntAbx implements PuntPart<'abx'> {
  readonly feature = 'abx';
  readonly #at: PuntContext;
  readonly #acls: PuntAcls;
  readonly #groups: PuntGroups;

  constructor(at: PuntContext, groups: PuntGroups) {
    this.#at = at;
    this.#groups = groups;
    this.#acls = new PuntAcls(at.client);
  }

  async #read(): Promise<State> {
    const { client } = this.#at;
    const acls = await this.#acls.read();
    const policies = (await client.dump(abfPolicyDump, {})).map(({ policy }) => policy);
    const attached = (await client.dump(abfItfAttachDump, {})).map(({ attach }) => attach);
    const made = policies.flatMap((policy): Made[] => {
      const acl = acls.get(policy.acl_index);
      if (acl === undefined) return [];
      const of = attached.filter(({ policy_id }) => policy_id === policy.policy_id);
      return [{ policy, acl, to: readPath(policy.paths[0]).index, attached: of }];
    });
    return { made, ids: new Set(policies.map(({ policy_id }) => policy_id)), acls };
  }

  /** What there is of one family of an ABX: attached to its interface, or made for it. */
  #find({ made }: State, { from, to }: Abx, family: Family): Made | undefined {
    const at = this.#at;
    const fits = made.filter(({ acl, to: index }) => acl.family === family && at.name(index) === to);
    const isOn = (each: Made) => each.attached.some(({ sw_if_index }) => at.name(sw_if_index) === from);
    return fits.find(isOn);
  }

  #check(punt: Abx): void {
    this.#at.interface(punt.from);
    this.#at.interface(punt.to);
    if (punt.from === punt.to) throw conflict(punt, 'packets do not leave by where they came', 'name two interfaces');
    if (!(punt.priority >= 0 && punt.priority <= MAX_PRIORITY))
      throw conflict(punt, `a priority is from 0 to ${MAX_PRIORITY}`, 'correct the priority');
  }

  async set(punt: Abx): Promise<void> {
    this.#check(punt);
    for (const family of FAMILIES) {
      const state = await this.#read();
      const there = this.#find(state, punt, family);
      const rules = punt.rules.filter((rule) => rule.family === family);
      if (rules.length === 0) {
        if (there !== undefined) await this.#remove(there);
      } else if (there === undefined) {
        await this.#make(punt, family, state);
      } else {
        await this.#change(punt, there);
      }
    }
    this.#at.memory.keep(punt);
    await this.#groups.set(punt);
  }

  async #make(punt: Abx, family: Family, { ids }: State): Promise<void> {
    const key = puntKey(punt);
    const rules = punt.rules.filter((rule) => rule.family === family);
    const acl_index = await this.#acls.put(family, punt.dstMac, rules);
    let policy_id = FIRST_ID + hashOf(`${family} ${key}`);
    while (ids.has(policy_id)) policy_id = FIRST_ID + ((policy_id - FIRST_ID + 1) % IDS);
    const policy = { policy_id, acl_index, paths: [pathOut(this.#at.index(punt.to), family)] };
    const { client } = this.#at;
    await client.request(abfPolicyAddDel, { is_add: true, policy }, { key });
    await this.#attach(punt, { policy_id, sw_if_index: this.#at.index(punt.from), is_ipv6: family === 6 });
  }

  async #attach(punt: Abx, attach: Omit<AttachRow, 'priority'>): Promise<void> {
    const told = { is_add: true, attach: { ...attach, priority: punt.priority } };
    await this.#at.client.request(abfItfAttachAddDel, told, { key: puntKey(punt) });
  }

  async #change(punt: Abx, { acl, attached }: Made): Promise<void> {
    const rules = punt.rules.filter((rule) => rule.family === acl.family);
    if (rulesText(rules) !== rulesText(acl.rules) || punt.dstMac !== acl.dstMac)
      await this.#acls.put(acl.family, punt.dstMac, rules, acl.index);
    for (const attach of attached) {
      if (attach.priority === punt.priority || this.#at.name(attach.sw_if_index) !== punt.from) continue;
      await this.#detach(attach);
      await this.#attach(punt, attach);
    }
  }

  async #detach(attach: AttachRow): Promise<void> {
    await this.#at.client.request(abfItfAttachAddDel, { is_add: false, attach });
  }

  async #remove({ policy, acl, attached }: Made): Promise<void> {
    for (const attach of attached) await this.#detach(attach);
    const { policy_id, acl_index, paths } = policy;
    await this.#at.client.request(abfPolicyAddDel, { is_add: false, policy: { policy_id, acl_index, paths } });
    await this.#acls.delete(acl.index);
  }

  async delete(punt: Abx): Promise<void> {
    await this.#groups.delete(punt);
    const state = await this.#read();
    for (const family of FAMILIES) {
      const there = this.#find(state, punt, family);
      if (there !== undefined) await this.#remove(there);
    }
    this.#at.memory.drop(punt);
  }

  /** What is attached, put together again by interfaces. What was half made and can be nobody's goes. */
  async held(): Promise<Abx[]> {
    const state = await this.#read();
    await this.#removeHalves(state);
    const found = new Map<string, Abx>();
    for (const { acl, to: index, attached } of state.made) {
      for (const { sw_if_index, priority } of attached) {
        const [from, to] = [this.#at.subifs.name(sw_if_index), this.#at.subifs.name(index)];
        if (from === undefined || to === undefined) continue;
        const before = found.get(`${from} ${to}`);
        const rules = [...(before?.rules ?? []), ...acl.rules];
        const abx: Abx = { kind: 'punt', feature: 'abx', from, to, priority, rules, dstMac: acl.dstMac };
        found.set(`${from} ${to}`, abx);
      }
    }
    const held = [...found.values()].map((abx) => this.#asKnown(abx));
    await this.#groups.follow(held);
    return held;
  }

  /** In the words that it was asked for, where they say the same: VPP does not keep the order of the families. */
  #asKnown(abx: Abx): Abx {
    const [known] = this.#at.memory.known(abx);
    if (known === undefined || known.priority !== abx.priority || known.dstMac !== abx.dstMac) return abx;
    const of = ({ rules }: Abx, family: Family) => rulesText(rules.filter((rule) => rule.family === family));
    return FAMILIES.every((family) => of(known, family) === of(abx, family)) ? known : abx;
  }

  async #removeHalves({ made, acls }: State): Promise<void> {
    for (const each of made) if (each.attached.length === 0) await this.#remove(each);
    const used = new Set(made.map(({ acl }) => acl.index));
    for (const index of acls.keys()) if (!used.has(index)) await this.#acls.delete(index);
  }

  async gone(index: number): Promise<void> {
    await this.#groups.gone(index);
    const { made } = await this.#read();
    for (const each of made)
      if (each.to === index || each.attached.some(({ sw_if_index }) => sw_if_index === index)) await this.#remove(each);
  }
}
