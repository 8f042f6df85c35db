import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EngineName } from '../../test/support/engines.ts';
import { type Figure, figures } from '../lib/compare.ts';
import type { Rounds } from './group.ts';

/**
 * What was measured of one wire. The ratios of `Figure` are to the first wire of its group: the raw
 * channel of its engine.
 */
export interface WireRow {
  name: string;
  /** From nothing to the first answer, in milliseconds. */
  connect: Figure;
  /** A small call, in milliseconds. */
  roundTrip: Figure;
  /** Calls per second with so many at a time. */
  calls: Record<number, Figure>;
  /** Answers of 200,000 characters, in MB/s. */
  throughput: Figure;
}

export type GroupName = EngineName | 'chromium';
export const groupNames: readonly GroupName[] = ['node-datachannel', 'werift', 'wrtc', 'chromium'];

const group = fileURLToPath(new URL('group.ts', import.meta.url));

/**
 * Wires side by side, one group for each engine: its raw channel, this package, and what else there
 * is to compare it with. All of them carry the same calls and answers, without an MCP server behind
 * them, which would cost each of them the same.
 *
 * @param times each group in as many pairs of processes, one after the other: where things lie in a
 *   process's memory lasts as long as it does, and makes a tenth of a call or more
 * @param budgetMs of each measure, in all of them together
 */
export async function measureTransports(
  groups: readonly GroupName[],
  times: number,
  budgetMs: number,
): Promise<WireRow[]> {
  const rows: WireRow[] = [];
  for (const name of groups) {
    const measured: Rounds[] = [];
    for (let time = 0; time < times; time++) measured.push(await measureGroup(name, budgetMs / times));
    rows.push(...rowsOf(measured));
  }
  return rows;
}

async function measureGroup(name: GroupName, budgetMs: number): Promise<Rounds> {
  const child = spawn(process.execPath, ['--conditions=mcp-rendezvous-source', group, name, String(budgetMs)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const exited = once(child, 'exit');
  const said = await Promise.race([once(child, 'message'), exited.then(() => undefined)]);
  if (!said) throw new Error(`${name} could not be measured`);
  await exited;
  return said[0] as Rounds; // its own
}

/** Of all pairs of processes as if it were one. */
function rowsOf(measured: readonly Rounds[]): WireRow[] {
  const all = (which: (rounds: Rounds) => number[][]): Figure[] => {
    const [first = [], ...others] = measured.map(which);
    return figures(first.map((own, index) => own.concat(...others.map((other) => other[index] ?? []))));
  };
  const connect = all((rounds) => rounds.connect);
  const roundTrip = all((rounds) => rounds.roundTrip);
  const throughput = all((rounds) => rounds.throughput);
  const [{ names, calls } = { names: [], calls: {} }] = measured;
  const concurrent = Object.keys(calls).map((atOnce) => [atOnce, all((rounds) => rounds.calls[atOnce] ?? [])] as const);
  return names.flatMap((name, index): WireRow[] => {
    const [a, b, c] = [connect[index], roundTrip[index], throughput[index]];
    if (!a || !b || !c) return [];
    const own = concurrent.flatMap(([atOnce, { [index]: figure }]) => (figure ? [[atOnce, figure] as const] : []));
    return [{ name, connect: a, roundTrip: b, calls: Object.fromEntries(own), throughput: c }];
  });
}
