// Figure: one measured value with its target, and the table that `make bench` closes with.

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What is to be reached; absent when the value only explains others. */
  readonly target?: number;
  /** 'most': at most the target. */
  readonly bound?: 'least' | 'most';
}

const reached = ({ value, target, bound }: Figure): boolean | undefined =>
  target === undefined ? undefined : bound === 'most' ? value <= target : value >= target;

const text = (value: number): string =>
  Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));

/** Says a figure as soon as it is known. */
export function tell(figure: Figure): Figure {
  const goal =
    figure.target === undefined ? '' : ` (target ${figure.bound === 'most' ? '≤' : '≥'} ${text(figure.target)})`;
  const mark = { true: 'ok  ', false: 'MISS', undefined: '    ' }[String(reached(figure))];
  console.log(`${mark} ${figure.name}: ${text(figure.value)} ${figure.unit}${goal}`);
  return figure;
}

/** The figures with a target once more, in one place; returns how many were missed. */
export function summary(figures: readonly Figure[]): number {
  const missed = figures.filter((f) => reached(f) === false);
  console.log(`\n${figures.filter((f) => f.target !== undefined).length} targets, ${missed.length} missed`);
  for (const figure of missed) tell(figure);
  return missed.length;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
