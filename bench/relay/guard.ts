import type { Line } from '../lib/report.ts';
import { measureRelays } from './main.ts';

/**
 * What the relay costs, in multiples of the floor. The limits are far above what is measured at
 * rest (docs/internals/performance.md), because a few short rounds say little: they find a
 * multiple, not a tenth.
 */
export async function guardRelay(): Promise<Line[]> {
  const [floor, own] = await measureRelays('guard');
  return [
    { what: 'CPU per signal, × floor', measured: own?.signal.ratio.median ?? NaN, atMost: 2 },
    { what: 'CPU per join, × floor', measured: own?.join.ratio.median ?? NaN, atMost: 4.5 },
    {
      what: 'heap per idle peer, × floor',
      measured: (own?.memory?.heap ?? NaN) / (floor?.memory?.heap ?? NaN),
      atMost: 2,
    },
  ];
}
