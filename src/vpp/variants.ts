// Variants: what was another message in older VPPs, the newest first.
//
// Invariants: an operation is asked for in one form, that of the newest message, and answered in it; what an older
// message lacks is zero in the answer and refused when it is asked for. Which VPP has which is not written down: the
// first that this VPP has is taken. Reference: VPP's *.api files of 21.06 to 26.06.

import { LcpError } from '../lib/errors.ts';
import { afPacketCreateV2, afPacketCreateV3, afPacketMode } from './api/afpacket.ts';
import { ipTableAddDel, ipTableAddDelV2, setIpFlowHashV2, setIpFlowHashV3 } from './api/ip.ts';
import { lcpItfPairAddDel, lcpItfPairAddDelV2, lcpItfPairAddDelV3 } from './api/lcp.ts';
import { tapCreateV2, tapCreateV3 } from './api/tap.ts';
import type { RequestOptions, VppClient } from './client.ts';
import type { MessageInput, MessageValue, Request } from './message.ts';

type Values = Readonly<Record<string, unknown>>;

interface Older {
  readonly message: Request;
  /** What it does without being told, where the newest has a field for it. */
  readonly implied: Values;
}

/** A message and its older forms. */
export interface Variants<M extends Request> {
  readonly newest: M;
  readonly older: readonly Older[];
}

function older(message: Request, implied: Values = {}): Older {
  return { message, implied };
}

function variants<M extends Request>(newest: M, ...rest: readonly Older[]): Variants<M> {
  return { newest, older: rest };
}

export const pairAddDel = variants(lcpItfPairAddDelV3, older(lcpItfPairAddDelV2), older(lcpItfPairAddDel));
export const tableAddDel = variants(ipTableAddDelV2, older(ipTableAddDel, { create_mfib: true }));
export const tapCreate = variants(tapCreateV3, older(tapCreateV2, { num_tx_queues: 1 }));
export const afPacketCreate = variants(
  afPacketCreateV3,
  older(afPacketCreateV2, { num_tx_queues: 1, mode: afPacketMode.values.AF_PACKET_API_MODE_ETHERNET }),
);
export const flowHashSet = variants(setIpFlowHashV3, older(setIpFlowHashV2));

/** The first form that this VPP has; undefined when it has none. */
export function variantOf(client: VppClient, of: Variants<Request>): Request | undefined {
  return formOf(client, of)?.message;
}

function formOf(client: VppClient, of: Variants<Request>): Older | undefined {
  return [older(of.newest), ...of.older].find(({ message }) => client.unsupported(message) === undefined);
}

/** Why no form can be used; undefined when one can. */
export function variantUnsupported(client: VppClient, of: Variants<Request>): string | undefined {
  return variantOf(client, of) === undefined ? client.unsupported(of.newest) : undefined;
}

function isZero(value: unknown): boolean {
  return value === undefined || value === 0 || value === 0n || value === false || value === '';
}

/** Asks by the newest form that this VPP has. Rejects as VppClient.request, and with NOT_SUPPORTED when it has none. */
export async function requestVariant<M extends Request>(
  client: VppClient,
  of: Variants<M>,
  input: MessageInput<M>,
  options: RequestOptions = {},
): Promise<MessageValue<M['reply']>> {
  const { message, implied } = formOf(client, of) ?? older(of.newest);
  const given = Object.entries(input as Values);
  const lost = given.find(
    ([name, value]) => !(name in message.body.fields) && value !== implied[name] && !isZero(value),
  );
  if (lost !== undefined) {
    throw new LcpError('NOT_SUPPORTED', {
      op: of.newest.name,
      message: `this VPP has only ${message.name}, without ${lost[0]}`,
      ...(options.key === undefined ? {} : { key: options.key }),
    });
  }
  const known = Object.fromEntries(given.filter(([name]) => name in message.body.fields));
  const reply = (await client.request(message, known, options)) as Values;
  const zeros = Object.keys(of.newest.reply.body.fields).map((name) => [name, 0] as const);
  return { ...Object.fromEntries(zeros), ...reply } as MessageValue<M['reply']>;
}
