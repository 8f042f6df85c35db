import { type Sample, sample } from './stats.ts';

/** What one measure says of one contender. */
export interface Figure {
  value: Sample;
  /**
   * Round by round against the first contender, so that what slows the machine down for a while
   * slows both.
   */
  ratio: Sample;
}

/**
 * Measures contenders in turn, again and again, each round in another order, until the time is
 * over.
 *
 * @param budgetMs after which no other round begins; at least three are run
 * @returns what was measured of each contender, in their order, round by round
 */
export async function rounds<T>(
  contenders: readonly T[],
  budgetMs: number,
  measure: (contender: T) => Promise<number>,
): Promise<number[][]> {
  const end = performance.now() + budgetMs;
  const values: number[][] = contenders.map(() => []);
  const order = contenders.map((_, index) => index);
  for (let round = 0; round < leastRounds || performance.now() < end; round++) {
    for (const index of order) values[index]?.push(await measure(contenders[index] as T));
    order.push(order.shift() ?? 0);
  }
  return values;
}

const leastRounds = 3;

/** A figure for each contender, against the first one. */
export function figures(values: readonly (readonly number[])[]): Figure[] {
  const [reference = []] = values;
  return values.map((own) => ({
    value: sample(own),
    ratio: sample(own.map((value, round) => value / (reference[round] ?? NaN))),
  }));
}

/** Both: see {@link rounds}. */
export async function compare<T>(...how: Parameters<typeof rounds<T>>): Promise<Figure[]> {
  return figures(await rounds(...how));
}
