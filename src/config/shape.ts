// Shape of a YAML text before it is composed: how deep it nests and how wide its maps are.
//
// Why: the composer of the yaml library recurses once a level and compares each key of a map with all others.
// 100,000 brackets exhaust the stack in a place where V8 ends the process instead of throwing, and a map of
// 100,000 keys takes minutes. The syntax tree below it is built without recursion, so it is looked at first.

import { type CST, Parser } from 'yaml';

const MAX_DEPTH = 32;
const MAX_MAP_KEYS = 1024;

export interface ShapeProblem {
  /** Byte offset in the text. */
  readonly offset: number;
  readonly message: string;
  readonly hint: string;
}

/** The first place where the text is deeper or wider than any configuration is, or undefined. */
export function shapeProblem(text: string): ShapeProblem | undefined {
  const open: { token: CST.Token; depth: number }[] = [];
  for (const token of new Parser().parse(text)) open.push({ token, depth: 0 });
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { token, depth } = next;
    if (depth > MAX_DEPTH) {
      const message = `more than ${MAX_DEPTH} levels of nesting`;
      return { offset: token.offset, message, hint: 'no setting is that deep; look for a bracket that is not closed' };
    }
    if (token.type === 'document' && token.value !== undefined) open.push({ token: token.value, depth });
    if (token.type !== 'block-map' && token.type !== 'block-seq' && token.type !== 'flow-collection') continue;
    if (token.type !== 'block-seq' && token.items.length > MAX_MAP_KEYS && !isFlowList(token)) {
      return {
        offset: token.offset,
        message: `a map of more than ${MAX_MAP_KEYS} keys`,
        hint: 'no setting has that many',
      };
    }
    for (const item of token.items) {
      if (item.key) open.push({ token: item.key, depth: depth + 1 });
      if (item.value) open.push({ token: item.value, depth: depth + 1 });
    }
  }
  return undefined;
}

function isFlowList(token: CST.BlockMap | CST.FlowCollection): boolean {
  return token.type === 'flow-collection' && token.start.source === '[';
}
