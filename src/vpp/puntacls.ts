// PuntAcls: VPP's lists of rules that are ours, one for each family of an ABX.
//
// Invariants: a list is ours by its tag, 'punt:abx4 MAC' or 'punt:abx6 MAC', where MAC is the destination that was asked for, as its dump
// does not show it otherwise. A list whose rules change is replaced at once, under its number.
// Reference: VPP's src/plugins/acl/acl.api.

import type { Family } from '../lcp/objects.ts';
import type { AclRule } from '../lcp/puntobjects.ts';
import { LcpError } from '../lib/errors.ts';
import { formatIp, parsePrefix } from '../lib/ip.ts';
import { aclAction, aclAddReplace, aclDel, aclDump } from './api/acl.ts';
import type { VppClient } from './client.ts';
import type { MessageValue } from './message.ts';

const ALL = 0xffff_ffff;
const { ACL_ACTION_API_DENY: DENY, ACL_ACTION_API_PERMIT: PERMIT } = aclAction.values;
const TAG = /^punt:abx([46])(?: ([0-9a-f:]{17}))?$/;

type Row = MessageValue<typeof aclDump.details>;

/** A list of ours. */
export interface PuntAcl {
  readonly index: number;
  readonly family: Family;
  readonly dstMac: string;
  readonly rules: readonly AclRule[];
}

function prefixOf(text: string) {
  const prefix = parsePrefix(text);
  if (prefix === undefined)
    throw new LcpError('REFUSED', { op: 'punt', key: text, message: 'not an address with a length' });
  return { address: prefix.bytes, len: prefix.length };
}

const told = (rule: AclRule) => ({
  is_permit: rule.permit ? PERMIT : DENY,
  src_prefix: prefixOf(rule.source),
  dst_prefix: prefixOf(rule.destination),
  proto: rule.protocol,
  srcport_or_icmptype_first: rule.sourcePorts[0],
  srcport_or_icmptype_last: rule.sourcePorts[1],
  dstport_or_icmpcode_first: rule.destinationPorts[0],
  dstport_or_icmpcode_last: rule.destinationPorts[1],
  tcp_flags_mask: rule.flagsMask,
  tcp_flags_value: rule.flagsValue,
});

const ruleOf = (row: Row['r'][number], family: Family): AclRule => ({
  permit: row.is_permit !== DENY,
  family,
  source: `${formatIp(row.src_prefix.address)}/${row.src_prefix.len}`,
  destination: `${formatIp(row.dst_prefix.address)}/${row.dst_prefix.len}`,
  protocol: row.proto,
  sourcePorts: [row.srcport_or_icmptype_first, row.srcport_or_icmptype_last],
  destinationPorts: [row.dstport_or_icmpcode_first, row.dstport_or_icmpcode_last],
  flagsMask: row.tcp_flags_mask,
  flagsValue: row.tcp_flags_value,
});

/** Rules as VPP shows them, so that the same ones are recognised however they were written. */
export const rulesText = (rules: readonly AclRule[]): string =>
  JSON.stringify(
    rules.map((rule) => {
      const { src_prefix, dst_prefix, ...rest } = told(rule);
      return [rest, ...[src_prefix, dst_prefix].map(({ address, len }) => `${formatIp(address)}/${len}`)];
    }),
  );

export class PuntAcls {
  readonly #client: VppClient;

  constructor(client: VppClient) {
    this.#client = client;
  }

  /** Lists of ours by VPP's number. */
  async read(): Promise<Map<number, PuntAcl>> {
    const rows = await this.#client.dump(aclDump, { acl_index: ALL });
    return new Map(
      rows.flatMap((row) => {
        const [, text, dstMac = ''] = TAG.exec(row.tag) ?? [];
        if (text === undefined) return [];
        const family = text === '6' ? 6 : 4;
        const rules = row.r.map((rule) => ruleOf(rule, family));
        return [[row.acl_index, { index: row.acl_index, family, dstMac, rules }] as const];
      }),
    );
  }

  /** Makes a list, or replaces one; VPP's number of it. */
  async put(family: Family, dstMac: string, rules: readonly AclRule[], index = ALL): Promise<number> {
    const tag = `punt:abx${family}${dstMac === '' ? '' : ` ${dstMac}`}`;
    const { acl_index } = await this.#client.request(
      aclAddReplace,
      { acl_index: index, tag, r: rules.map(told) },
      { key: tag },
    );
    return acl_index;
  }

  async delete(acl_index: number): Promise<void> {
    await this.#client.request(aclDel, { acl_index });
  }
}
