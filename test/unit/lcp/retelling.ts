// Retelling: the same news of a kernel, told in another way: cut into other batches, more than once, or in another order
// where Linux could have had that order too.
//
// Invariants: what depends on one another keeps its order. Links, addresses, nexthop objects and settings are walls:
// between two of them neighbours and the routes of each family are independent; rules and multicast entries always.

import * as k from '../../../src/netlink/uapi.ts';
import { type Message, seeded } from './kernelbytes.ts';

/** Hands messages on in its own way. */
export type Retelling = (messages: Message[], apply: (part: Message[]) => void) => void;

const typeOf = (m: Message): number => (m[4] as number) | ((m[5] as number) << 8);
const familyOf = (m: Message): number => m[k.NLMSG_HDRLEN] as number;

const ROUTES: readonly number[] = [k.RTM_NEWROUTE, k.RTM_DELROUTE];
const isMroute = (m: Message): boolean =>
  ROUTES.includes(typeOf(m)) && [k.RTNL_FAMILY_IPMR, k.RTNL_FAMILY_IP6MR].includes(familyOf(m));
const isRule = (m: Message): boolean => typeOf(m) === k.RTM_NEWRULE || typeOf(m) === k.RTM_DELRULE;

/** What keeps its order among its like only; undefined: a wall. */
const laneOf = (m: Message): string | undefined => {
  if (ROUTES.includes(typeOf(m))) return `route ${familyOf(m)}`;
  return typeOf(m) === k.RTM_NEWNEIGH || typeOf(m) === k.RTM_DELNEIGH ? 'neighbour' : undefined;
};

type Pick = (below: number) => number;

/** All of them, in an order that is one of each. */
const merge = (lanes: readonly (readonly Message[])[], pick: Pick): Message[] => {
  const rest = lanes.filter((lane) => lane.length > 0).map((lane) => [...lane]);
  const out: Message[] = [];
  while (rest.length > 0) {
    const i = pick(rest.length);
    const lane = rest[i] as Message[];
    out.push(lane.shift() as Message);
    if (lane.length === 0) rest.splice(i, 1);
  }
  return out;
};

const shuffle = (messages: readonly Message[], pick: Pick): Message[] => {
  const bound: Message[] = [];
  let lanes = new Map<string, Message[]>();
  const wall = (): void => {
    bound.push(...merge([...lanes.values()], pick));
    lanes = new Map();
  };
  for (const m of messages.filter((o) => !isMroute(o) && !isRule(o))) {
    const lane = laneOf(m);
    if (lane === undefined) {
      wall();
      bound.push(m);
    } else {
      lanes.set(lane, [...(lanes.get(lane) ?? []), m]);
    }
  }
  wall();
  return merge([bound, messages.filter(isMroute), messages.filter(isRule)], pick);
};

/** Batches of any size; twice: some of them are handed out twice. */
export const cutAtRandom = (seed: number, twice: boolean): Retelling => {
  const pick = seeded(seed);
  return (messages, apply) => {
    for (let i = 0; i < messages.length; ) {
      const part = messages.slice(i, i + 1 + pick(5));
      i += part.length;
      apply(part);
      if (twice && pick(2) === 0) apply(part);
    }
  };
};

export const eachTwice: Retelling = (messages, apply) => {
  apply(messages.flatMap((m) => [m, m]));
};

/** Remembers what was told, so that a stretch of it can be told again. */
export class Recorder {
  #told: (() => void)[] = [];
  readonly deliver: Retelling = (messages, apply) => {
    this.#told.push(() => apply(messages));
    apply(messages);
  };

  /** The stretch begins with what was not told yet. */
  begin(): void {
    this.#told = [];
  }

  /** Tells the stretch again. */
  tellAgain(): void {
    for (const tell of this.#told) tell();
  }
}

/** Independent ones in any order, and batches of any size. */
export const shuffled = (seed: number): Retelling => {
  const pick = seeded(seed);
  const cut = cutAtRandom(seed + 1, false);
  return (messages, apply) => cut(shuffle(messages, pick), apply);
};
