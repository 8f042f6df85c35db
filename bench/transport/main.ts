import type { EngineName } from '../../test/support/engines.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { compare, type Figure } from '../lib/compare.ts';
import { type Dialer, http, raw, rendezvous, stdio } from './dialer.ts';
import { Caller } from './caller.ts';

/** What was measured of one wire. The ratios of `Figure` are to the first wire of its group: the raw channel of its engine. */
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

const concurrencies = [1, 16, 256];
const largeAnswer = 200_000;

/**
 * Wires side by side, for each engine: the raw channel, this package, Streamable HTTP and stdio. All of them carry the same calls and
 * answers, without an MCP server behind them, which would cost each of them the same.
 */
export async function measureTransports(engines: readonly EngineName[], budgetMs: number): Promise<WireRow[]> {
  const relay = await RelayProcess.start();
  const rows: WireRow[] = [];
  try {
    for (const engine of engines) {
      const dialers = [await raw(engine), await rendezvous(engine, relay), await http(), stdio()];
      try {
        rows.push(...(await measureGroup(dialers, budgetMs)));
      } finally {
        for (const dialer of dialers) await dialer.stop();
      }
    }
  } finally {
    await relay.stop('SIGKILL');
  }
  return rows;
}

async function measureGroup(dialers: readonly Dialer[], budgetMs: number): Promise<WireRow[]> {
  const connect = await compare(dialers, budgetMs, async (dialer) => {
    const start = performance.now();
    const caller = await Caller.connect(dialer);
    const took = performance.now() - start;
    await caller.close();
    return took;
  });
  const callers: Caller[] = [];
  for (const dialer of dialers) callers.push(await Caller.connect(dialer));
  try {
    for (const caller of callers) await caller.roundTrip(500);
    const roundTrip = await compare(callers, budgetMs, (caller) => caller.roundTrip(400));
    const calls: Record<number, Figure[]> = {};
    for (const atOnce of concurrencies) {
      calls[atOnce] = await compare(callers, budgetMs / 2, (caller) => caller.callsPerSecond(atOnce, 100, 400));
    }
    const throughput = await compare(callers, budgetMs, async (caller) => {
      return ((await caller.callsPerSecond(4, largeAnswer, 600)) * largeAnswer) / 1e6;
    });
    return dialers.flatMap(({ name }, index): WireRow[] => {
      const [a, b, c] = [connect[index], roundTrip[index], throughput[index]];
      if (!a || !b || !c) return [];
      const own = Object.fromEntries(
        Object.entries(calls).flatMap(([atOnce, figures]) => (figures[index] ? [[atOnce, figures[index]]] : [])),
      );
      return [{ name, connect: a, roundTrip: b, calls: own, throughput: c }];
    });
  } finally {
    for (const caller of callers) await caller.close();
  }
}
