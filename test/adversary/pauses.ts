import type { Fault } from './storm.ts';

/** A stretch of time, in milliseconds since the epoch. */
export interface Stretch {
  from: number;
  until: number;
}

/** One fault, and when it was put right; at once where there is nothing to be put right. */
export interface Strike extends Stretch {
  fault: Fault;
  /** The relay that was killed. */
  relay?: number;
}

/** What an end says carries the session from then on; undefined: nothing does. */
export interface Carried {
  at: number;
  path: 'direct' | 'turn' | 'relayed' | undefined;
}

/** How long a pause may be where there is a way between the two ends. */
export const longestPauseMs = 4_000;
/** An end takes a path for dead after so much silence. */
const silentMs = 3_000;

/**
 * When there was no way at all between the two ends: a host's packets went nowhere, or no relay
 * lived while the path was gone that there had been.
 */
export function blackouts(strikes: readonly Strike[], relays: number, ends: readonly Carried[][]): Stretch[] {
  const hosts = strikes
    .filter(({ fault }) => fault === 'cable' || fault === 'silence')
    .map(({ from, until }) => ({ from, until }));
  const dead = Array.from({ length: relays }, (_, index) => strikes.filter(({ relay }) => relay === index));
  const withoutRelay = dead.reduce<Stretch[]>(common, [{ from: -Infinity, until: Infinity }]);
  return [...hosts, ...common(withoutRelay, withoutPath(strikes, ends))];
}

/** When the path between the hosts was gone: from a fault on until both ends have one again. */
function withoutPath(strikes: readonly Strike[], ends: readonly Carried[][]): Stretch[] {
  return strikes
    .filter(({ fault }) => fault !== 'signaling' && fault !== 'relay')
    .map((strike) => {
      const { from, until } = strike;
      return { from, until: endsPath(strike) ? Math.max(...ends.map((carried) => backAt(carried, from))) : until };
    });
}

/** What is shorter leaves the path that there was. */
const endsPath = ({ fault, from, until }: Strike): boolean =>
  fault === 'connection' || fault === 'address' || until - from >= silentMs;

const backAt = (carried: readonly Carried[], from: number): number =>
  carried.find(({ at, path }) => at > from && (path === 'direct' || path === 'turn'))?.at ?? Infinity;

/** What lies in both. */
const common = (some: readonly Stretch[], others: readonly Stretch[]): Stretch[] =>
  some.flatMap((one) =>
    others
      .map(({ from, until }) => ({ from: Math.max(one.from, from), until: Math.min(one.until, until) }))
      .filter(({ from, until }) => from < until),
  );

/**
 * What is left of a pause to account for: without the blackouts, and each fault by itself. A fault
 * that comes on top of another one makes the session begin anew.
 */
export function accountable(pause: Stretch, strikes: readonly Strike[], out: readonly Stretch[]): Stretch[] {
  const struck = strikes.map(({ from }) => from);
  const bounds = [pause.from, ...struck, ...out.flatMap(({ from, until }) => [from, until]), pause.until]
    .filter((at) => at >= pause.from && at <= pause.until)
    .toSorted((one, other) => one - other);
  return bounds
    .slice(1)
    .map((until, index) => ({ from: bounds[index]!, until }))
    .filter(
      ({ from, until }) => from < until && !out.some((blackout) => blackout.from <= from && blackout.until >= until),
    );
}

/** The longest pause that each kind of fault has brought, by what struck last before its end. */
export function longestByFault(
  pauses: readonly Stretch[],
  strikes: readonly Strike[],
  out: readonly Stretch[],
): Map<Fault | 'none', number> {
  const longest = new Map<Fault | 'none', number>();
  for (const { from, until } of pauses.flatMap((pause) => accountable(pause, strikes, out))) {
    const fault = strikes.findLast((strike) => strike.from < until)?.fault ?? 'none';
    longest.set(fault, Math.max(longest.get(fault) ?? 0, until - from));
  }
  return longest;
}
