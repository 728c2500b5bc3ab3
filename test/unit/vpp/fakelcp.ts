/**
 * The rules of a fake VPP for unnumbered interfaces, and for protocols that linux_cp hands on.
 */
import { swInterfaceSetUnnumbered } from '../../../src/vpp/api/interface.ts';
import { ipUnnumberedDump } from '../../../src/vpp/api/ip.ts';
import * as lcp from '../../../src/vpp/api/lcp.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FakeState, Outcome } from './fakestate.ts';
import { ERROR, refused } from './fakestate.ts';

const NONE = 0xffff_ffff;
/** Ethertypes that VPP has a name for, and those of them that it keeps. */
const KNOWN = [0x0800, 0x0806, 0x8100, 0x86dd, 0x8808, 0x8809, 0x8870, 0x88cc];
const KEPT = [0x0800, 0x0806, 0x86dd];
const OSI = [0x81, 0x82, 0x83];
const REGISTERED = -31;
const DISABLED = -30;

export function addLcpRules(state: FakeState): void {
  state.rule(
    swInterfaceSetUnnumbered,
    ({ sw_if_index, unnumbered_sw_if_index, is_add }: MessageValue<typeof swInterfaceSetUnnumbered>): Outcome => {
      // the one that borrows is the second, whatever the names say
      const [lender, borrower] = [state.interfaces.get(sw_if_index), state.interfaces.get(unnumbered_sw_if_index)];
      if (lender === undefined) return refused(-10);
      if (borrower === undefined) return refused(ERROR.interface);
      borrower.unnumbered = is_add ? sw_if_index : NONE;
      return {};
    },
  );
  state.rule(ipUnnumberedDump, ({ sw_if_index: asked }: MessageValue<typeof ipUnnumberedDump>) => ({
    rows: [...state.interfaces.values()]
      .filter(({ unnumbered, sw_if_index }) => unnumbered !== NONE && (asked === NONE || asked === sw_if_index))
      .map(({ sw_if_index, unnumbered }) => ({ sw_if_index, ip_sw_if_index: unnumbered })),
  }));

  const types = new Set<number>();
  state.rule(lcp.lcpEthertypeEnable, ({ ethertype }: MessageValue<typeof lcp.lcpEthertypeEnable>): Outcome => {
    // VPP forgets to turn the bytes round
    const meant = state.turnsEthertypes ? ((ethertype & 0xff) << 8) | (ethertype >>> 8) : ethertype;
    if (!KNOWN.includes(meant)) return refused(ERROR.value);
    if (KEPT.includes(meant)) return refused(REGISTERED);
    types.add(meant);
    return {};
  });
  state.rule(lcp.lcpEthertypeGet, () => ({
    reply: { count: types.size, ethertypes: [...types].sort((a, b) => a - b) },
  }));
  const protocols = new Set<number>();
  state.rule(lcp.lcpOsiProtoEnable, ({ osi_proto }: MessageValue<typeof lcp.lcpOsiProtoEnable>): Outcome => {
    if (!state.plugins.includes('osi_plugin.so')) return refused(DISABLED);
    if (!OSI.includes(osi_proto)) return refused(REGISTERED);
    protocols.add(osi_proto);
    return {};
  });
  state.rule(lcp.lcpOsiProtoGet, () => ({
    reply: { count: protocols.size, osi_protos: Uint8Array.from([...protocols].sort()) },
  }));
}
