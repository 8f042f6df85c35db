import type { EngineName } from '../../test/support/engines.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { within } from '../../test/support/wait.ts';
import { compare, type Figure } from '../lib/compare.ts';
import type { Caller } from './caller.ts';
import { chromium } from './chromium.ts';
import { type Dialer, http, rendezvous, signalled, stdio } from './dialer.ts';

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

/** After so long V8 has compiled what a call goes through; before, whoever has more code is slower by a fifth. In milliseconds. */
const warmUpMs = 3000;

/** What an answer may take, in milliseconds: the machine may be busy. */
const answerMs = 60_000;

export type GroupName = EngineName | 'chromium';
export const groupNames: readonly GroupName[] = ['node-datachannel', 'werift', 'wrtc', 'chromium'];

/**
 * Wires side by side, one group for each engine: its raw channel, this package, and what else there is to compare it with. All of them
 * carry the same calls and answers, without an MCP server behind them, which would cost each of them the same.
 */
export async function measureTransports(groups: readonly GroupName[], budgetMs: number): Promise<WireRow[]> {
  const relay = await RelayProcess.start();
  const rows: WireRow[] = [];
  try {
    for (const group of groups) {
      const dialers = await dialersOf(group, relay);
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

/** The first one is what the others are measured against, and the second one is measured right behind it. */
async function dialersOf(group: GroupName, relay: RelayProcess): Promise<Dialer[]> {
  switch (group) {
    case 'node-datachannel':
      return [await signalled('raw', group), await rendezvous(group, relay), await http(), stdio()];
    case 'werift':
      return [await signalled('raw', group), await rendezvous(group, relay)];
    case 'wrtc':
      return [await signalled('raw', group), await rendezvous(group, relay), await signalled('simple-peer', group)];
    case 'chromium':
      return await chromium(relay);
  }
}

const connected = (dialer: Dialer): Promise<Caller> => within(dialer.connect(), `${dialer.name} answers`, answerMs);

async function measureGroup(dialers: readonly Dialer[], budgetMs: number): Promise<WireRow[]> {
  const connect = await compare(dialers, budgetMs, async (dialer) => {
    const start = performance.now();
    const caller = await connected(dialer);
    const took = performance.now() - start;
    await caller.close();
    return took;
  });
  const callers: Caller[] = [];
  for (const dialer of dialers) callers.push(await connected(dialer));
  try {
    for (const caller of callers) {
      await caller.roundTrip(warmUpMs);
      await caller.callsPerSecond(4, largeAnswer, warmUpMs / 2);
    }
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
