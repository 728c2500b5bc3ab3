// Convergence: from `ip -batch` to the FIB of a VPP, by lcpd and by linux_nl, and what either has missed in the end.
//
// Invariants: both get the same lines and are asked the same; a table is at rest when it has all routes (or none of
// them), or when its number of routes does not change any more. Every round sets both up anew, and has a load without
// either, so that what the machine does besides falls on all three.

import { type Figure, median } from '../figure.ts';
import { alone, batch, ROUTES } from '../load.ts';
import { LcpdSide, NativeSide, type Side, type SideOptions } from './sides.ts';

const ROUNDS = 3;

interface Way {
  /** Until the table is at rest, seconds from the start of `ip -batch`. */
  readonly seconds: number;
  /** Routes that are wrong then. */
  readonly wrong: number;
}

interface Outcome {
  readonly load: Way;
  readonly unload: Way;
}

async function way(side: Side, file: string, full: boolean): Promise<Way> {
  const begun = performance.now();
  const loading = batch(side.cp, file);
  const [rest] = await Promise.all([side.probe.rest(full), loading]);
  return { seconds: (rest.at - begun) / 1000, wrong: full ? ROUTES - rest.routes : rest.routes };
}

async function outcome(side: Side, files: { add: string; del: string }): Promise<Outcome> {
  return { load: await way(side, files.add, true), unload: await way(side, files.del, false) };
}

/** What lcpd lost of the kernel's notices, and how often it had to read the kernel again. */
async function lost({ lcpd, cp }: LcpdSide): Promise<number> {
  const { namespaces } = await lcpd.status();
  const row = namespaces.find(({ name }) => name === cp);
  if (row === undefined) throw new Error(`lcpd has no namespace ${cp}`);
  return row.overruns + row.resyncs - 1;
}

/** `files` are the lines for `ip -batch`. */
export async function* convergence(options: SideOptions, files: { add: string; del: string }): AsyncGenerator<Figure> {
  const base: { load: number; unload: number }[] = [];
  const natives: Outcome[] = [];
  const ours: Outcome[] = [];
  let losses = 0;
  for (let i = 0; i < ROUNDS; i++) {
    base.push(await alone(files.add, files.del));
    const native = await NativeSide.open(options);
    try {
      natives.push(await outcome(native, files));
    } finally {
      await native.close();
    }
    const side = await LcpdSide.open({ ...options, transport: 'auto' });
    try {
      await side.start();
      ours.push(await outcome(side, files));
      losses += await lost(side);
    } finally {
      await side.close();
    }
  }
  const seconds = (outcomes: readonly Outcome[], which: keyof Outcome): number =>
    median(outcomes.map((each) => each[which].seconds));
  const wrong = (outcomes: readonly Outcome[], which: keyof Outcome): number =>
    Math.max(...outcomes.map((each) => each[which].wrong));
  const most = { unit: '', target: 0, bound: 'most' } as const;
  const bare = median(base.map(({ load }) => load));
  yield* [
    { name: 'ip -batch alone, 400,000 routes', value: bare, unit: 's' },
    { name: 'until they are in VPP by linux_nl', value: seconds(natives, 'load'), unit: 's' },
    { name: 'until they are in VPP by lcpd', value: seconds(ours, 'load'), unit: 's' },
    {
      name: 'load: linux_nl / lcpd',
      value: seconds(natives, 'load') / seconds(ours, 'load'),
      unit: '×',
      target: 1.5,
    },
    // nothing is in VPP before `ip` has said it
    { name: 'the most that could be: linux_nl / ip -batch alone', value: seconds(natives, 'load') / bare, unit: '×' },
    { name: 'ip -batch alone, their withdrawal', value: median(base.map(({ unload }) => unload)), unit: 's' },
    { name: 'until they are gone by linux_nl', value: seconds(natives, 'unload'), unit: 's' },
    { name: 'until they are gone by lcpd', value: seconds(ours, 'unload'), unit: 's' },
    { name: 'routes that linux_nl lacks after the load, worst round', value: wrong(natives, 'load'), unit: '' },
    { name: 'routes that linux_nl keeps after the withdrawal, worst round', value: wrong(natives, 'unload'), unit: '' },
    { name: 'routes that lcpd lacks after the load, worst round', value: wrong(ours, 'load'), ...most },
    { name: 'routes that lcpd keeps after the withdrawal, worst round', value: wrong(ours, 'unload'), ...most },
    { name: 'overruns and resyncs of lcpd, all rounds', value: losses, ...most },
  ];
}
