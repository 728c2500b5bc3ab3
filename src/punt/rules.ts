// Rules of an ABX as the data plane takes them: networks instead of words, one family each.
//
// 'local' stands for the interface's addresses, 'any' and '' for every address of either family; what combines two families
// by that is left out, since no packet has both. A rule that names two families itself is refused by config/punts.ts.

import type { AclRule } from '../lcp/puntobjects.ts';
import { AF_INET, parsePrefix } from '../lib/ip.ts';
import type { RuleSpec } from './request.ts';

const PROTO_ICMP = 1;
const PROTO_ICMP6 = 58;

const familyOfPrefix = (prefix: string): 4 | 6 => (parsePrefix(prefix)?.family === AF_INET ? 4 : 6);

function networks(word: string, addresses: readonly string[]): string[] {
  if (word === 'any' || word === '') return ['0.0.0.0/0', '::/0'];
  if (word !== 'local') return [word.includes('/') ? word : `${word}/${word.includes(':') ? 128 : 32}`];
  return addresses.map((address) => {
    const [host = ''] = address.split('/');
    return `${host}/${host.includes(':') ? 128 : 32}`;
  });
}

/** The rules of an interface with these addresses ('address/length'), in order. */
export function expandRules(rules: readonly RuleSpec[], addresses: readonly string[]): AclRule[] {
  return rules.flatMap((rule) =>
    networks(rule.source, addresses).flatMap((source) =>
      networks(rule.destination, addresses).flatMap((destination) => {
        const family = familyOfPrefix(source);
        if (family !== familyOfPrefix(destination)) return [];
        if ((rule.protocol === PROTO_ICMP && family === 6) || (rule.protocol === PROTO_ICMP6 && family === 4))
          return [];
        return [{ ...rule, family, source, destination }];
      }),
    ),
  );
}
