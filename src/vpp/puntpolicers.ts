// Policers of what is punted: one of a family, for all of it.
//
// Invariants: the policer has our name, by which it is found again with its rates. VPP puts the feature on as often as it is asked for and
// looks at no index: it is put on only where it is off, and taken off before its policer goes. One that is on without our
// policer is somebody else's. Reference: VPP's src/plugins/policer/ip_punt.h, policer_api.c, src/vnet/feature/feature.c.

import type { Police } from '../lcp/puntobjects.ts';
import { ipPuntPolice, policerAdd, policerDel, policerDumpV2, policerUpdate } from './api/policer.ts';
import { sse2QosActionType, sse2QosRateType } from './api/policertypes.ts';
import { featureIsEnabled } from './api/xconnect.ts';
import type { MessageValue } from './message.ts';
import { conflict, type PuntContext, type PuntPart, unable } from './puntparts.ts';

const { SSE2_QOS_RATE_API_KBPS: KBPS, SSE2_QOS_RATE_API_PPS: PPS } = sse2QosRateType.values;
const { SSE2_QOS_ACTION_API_DROP: DROP, SSE2_QOS_ACTION_API_TRANSMIT: TRANSMIT } = sse2QosActionType.values;
const ALL = 0xffff_ffff;
const MAX_RATE = 0xffff_ffff;
/** Last node of both arcs. */
const END = 'error-punt';
const SCOPES = ['ipv4', 'ipv6'] as const;
type Scope = (typeof SCOPES)[number];

/** Policers of VPP that are ours, by name. */
const nameOf = (scope: string): string => `lcpd punt ${scope}`;

const isScope = (scope: string): scope is Scope => SCOPES.some((each) => each === scope);

type Row = MessageValue<typeof policerDumpV2.details>;

function infosOf({ unit, rate, burst }: Police) {
  return {
    cir: rate,
    cb: BigInt(burst),
    rate_type: unit === 'pps' ? PPS : KBPS,
    conform_action: { type: TRANSMIT },
    exceed_action: { type: DROP },
    violate_action: { type: DROP },
  };
}

function policeOf(scope: Scope, row: Row): Police {
  const unit = row.rate_type === PPS ? 'pps' : 'kbps';
  return { kind: 'punt', feature: 'police', scope, unit, rate: row.cir, burst: Number(row.cb) };
}

export class PuntPolicers implements PuntPart<'police'> {
  readonly feature = 'police';
  readonly #at: PuntContext;

  constructor(at: PuntContext) {
    this.#at = at;
  }

  async #row(scope: Scope): Promise<Row | undefined> {
    const rows = await this.#at.client.dump(policerDumpV2, { policer_index: ALL });
    return rows.find(({ name }) => name === nameOf(scope));
  }

  /** VPP's index of our policer, which its dump does not tell: those that there are lie behind each other, with gaps. */
  async indexOf(scope: string): Promise<number | undefined> {
    const { client } = this.#at;
    const { length } = await client.dump(policerDumpV2, { policer_index: ALL });
    for (let index = 0, seen = 0; seen < length && index < 65_536; index++) {
      const [row] = await client.dump(policerDumpV2, { policer_index: index });
      if (row !== undefined) seen++;
      if (row?.name === nameOf(scope)) return index;
    }
    return undefined;
  }

  async #isOn(scope: Scope): Promise<boolean> {
    const arc_name = `ip${scope === 'ipv6' ? 6 : 4}-punt`;
    const isOn = async (feature_name: string): Promise<boolean> =>
      (await this.#at.client.request(featureIsEnabled, { sw_if_index: 0, arc_name, feature_name })).is_enabled;
    // of an arc that nothing was ever put on VPP says yes to everything, also to its end, which nobody puts on
    return (await isOn(`${arc_name}-policer`)) && !(await isOn(END));
  }

  async #put(scope: Scope, policer_index: number, is_add: boolean): Promise<void> {
    await this.#at.client.request(ipPuntPolice, { policer_index, is_add, is_ip6: scope === 'ipv6' }, { key: scope });
  }

  async set(punt: Police): Promise<void> {
    const { scope, rate, burst } = punt;
    if (!isScope(scope))
      throw unable(punt, NO_CLASSES, 'police ipv4 and ipv6 as a whole, or use the embedded data plane');
    if (!(rate >= 1 && rate <= MAX_RATE && burst >= 1))
      throw conflict(punt, 'a rate is from 1 to 4294967295, a burst at least 1', 'correct the limit');
    const { client } = this.#at;
    const infos = infosOf(punt);
    const there = await this.#row(scope);
    const isOn = await this.#isOn(scope);
    if (there === undefined && isOn) throw conflict(punt, `what VPP punts of ${scope} has another policer already`);
    if (there === undefined) {
      const made = await client.request(policerAdd, { name: nameOf(scope), infos }, { key: scope });
      await this.#put(scope, made.policer_index, true);
      return;
    }
    const policer_index = await this.indexOf(scope);
    if (policer_index === undefined) throw conflict(punt, `VPP's ${nameOf(scope)} cannot be found`);
    const { unit, rate: hasRate, burst: hasBurst } = policeOf(scope, there);
    if (unit !== punt.unit || hasRate !== rate || hasBurst !== burst)
      await client.request(policerUpdate, { policer_index, infos }, { key: scope });
    if (!isOn) await this.#put(scope, policer_index, true);
  }

  async delete({ scope }: Police): Promise<void> {
    if (!isScope(scope)) return;
    const policer_index = await this.indexOf(scope);
    if (policer_index === undefined) return;
    if (await this.#isOn(scope)) await this.#put(scope, policer_index, false);
    await this.#at.client.request(policerDel, { policer_index }, { key: scope });
  }

  async held(): Promise<Police[]> {
    const held: Police[] = [];
    for (const scope of SCOPES) {
      const row = await this.#row(scope);
      if (row !== undefined && (await this.#isOn(scope))) held.push(policeOf(scope, row));
    }
    return held;
  }
}

export const NO_CLASSES =
  'VPP has one policer for all that it punts of a family: most classes never come by it, and it tells none from another';
