/**
 * The rules of a fake VPP for mirrors, lists of rules and the policies that use them. With VPP's defects: nothing of it ends with an
 * interface, a policy that is told again gets a second path, and one that has ended while it was attached makes VPP fall over.
 */
import { abfItfAttachAddDel, abfItfAttachDump, abfPolicyAddDel, abfPolicyDump } from '../../../src/vpp/api/abf.ts';
import { aclAddReplace, aclDel, aclDump } from '../../../src/vpp/api/acl.ts';
import { swInterfaceSpanDump, swInterfaceSpanEnableDisable } from '../../../src/vpp/api/span.ts';
import type { MessageValue } from '../../../src/vpp/message.ts';
import type { FakeState, Outcome, Values } from './fakestate.ts';
import { ERROR, hex, refused } from './fakestate.ts';

const ALL = 0xffff_ffff;
const INVALID_INTERFACE = -71;
const THERE = -116;
const IN_USE = -149;

type Policy = MessageValue<typeof abfPolicyAddDel>['policy'];
type Attach = MessageValue<typeof abfItfAttachAddDel>['attach'];

function addSpans(state: FakeState): void {
  const spans = new Map<string, Values>();
  state.rule(swInterfaceSpanEnableDisable, (input: MessageValue<typeof swInterfaceSpanEnableDisable>): Outcome => {
    const { sw_if_index_from: from, sw_if_index_to: to, state: how, is_l2 } = input;
    if (from === to || from === ALL || (to === ALL && how > 0)) return refused(INVALID_INTERFACE);
    const key = `${is_l2} ${from} ${to}`;
    if (how === 0) spans.delete(key);
    else spans.set(key, input);
    return {};
  });
  state.rule(swInterfaceSpanDump, ({ is_l2 }: MessageValue<typeof swInterfaceSpanDump>) => ({
    rows: [...spans.values()]
      .filter((each) => each.is_l2 === is_l2)
      .sort(
        (a, b) =>
          Number(a.sw_if_index_from) - Number(b.sw_if_index_from) ||
          Number(a.sw_if_index_to) - Number(b.sw_if_index_to),
      ),
  }));
}

export function addAclRules(state: FakeState): void {
  addSpans(state);
  const acls = new Map<number, Values>();
  const policies = new Map<number, Policy>();
  const attached = new Map<string, Attach>();

  state.rule(aclAddReplace, ({ acl_index, tag, r }: MessageValue<typeof aclAddReplace>): Outcome => {
    if (acl_index !== ALL && !acls.has(acl_index)) return { reply: { retval: ERROR.entry, acl_index } };
    let index = acl_index;
    if (index === ALL) for (index = 0; acls.has(index); ) index++;
    acls.set(index, { acl_index: index, tag, count: r.length, r });
    return { reply: { acl_index: index } };
  });
  state.rule(aclDel, ({ acl_index }: MessageValue<typeof aclDel>): Outcome => {
    if (!acls.has(acl_index)) return refused(ERROR.entry);
    if ([...attached.values()].some(({ policy_id }) => policies.get(policy_id)?.acl_index === acl_index))
      return refused(IN_USE);
    acls.delete(acl_index);
    return {};
  });
  state.rule(aclDump, ({ acl_index }: MessageValue<typeof aclDump>) => ({
    rows: [...acls.values()].filter((each) => [ALL, each.acl_index].includes(acl_index)),
  }));

  const text = (path: Policy['paths'][number]) =>
    `${path.type} ${path.sw_if_index} ${path.proto} ${hex(path.nh.address)}`;
  state.rule(abfPolicyAddDel, ({ is_add, policy }: MessageValue<typeof abfPolicyAddDel>): Outcome => {
    const there = policies.get(policy.policy_id);
    if (policy.paths.length === 0) return refused(ERROR.value);
    if (!is_add) {
      if (there === undefined) return refused(ERROR.value);
      const gone = new Set(policy.paths.map(text));
      const paths = there.paths.filter((each) => !gone.has(text(each)));
      const isAttached = [...attached.values()].some(({ policy_id }) => policy_id === policy.policy_id);
      if (paths.length === 0 && !isAttached) policies.delete(policy.policy_id);
      else policies.set(policy.policy_id, { ...there, paths });
      return {};
    }
    if (there !== undefined && there.acl_index !== policy.acl_index) return refused(ERROR.value);
    const paths = [...(there?.paths ?? []), ...policy.paths].sort((a, b) => a.sw_if_index - b.sw_if_index);
    policies.set(policy.policy_id, { ...policy, paths });
    return {};
  });
  state.rule(abfPolicyDump, () => ({
    rows: [...policies.values()].map((policy) => {
      if (policy.paths.length === 0) throw new Error('VPP falls over a policy that has ended while it is attached');
      return { policy: { ...policy, n_paths: policy.paths.length } };
    }),
  }));
  state.rule(abfItfAttachAddDel, ({ is_add, attach }: MessageValue<typeof abfItfAttachAddDel>): Outcome => {
    const key = `${attach.policy_id} ${attach.sw_if_index}`;
    if (!is_add) return attached.delete(key) ? {} : refused(ERROR.entry);
    if (!policies.has(attach.policy_id)) throw new Error('VPP asserts that the policy is there');
    if (attached.has(key)) return refused(THERE);
    attached.set(key, attach);
    return {};
  });
  state.rule(abfItfAttachDump, () => ({ rows: [...attached.values()].map((attach) => ({ attach })) }));
}
