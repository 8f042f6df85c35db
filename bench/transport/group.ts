import { argv } from 'node:process';
import { RelayProcess } from '../../test/support/relay.ts';
import { within } from '../../test/support/wait.ts';
import { rounds } from '../lib/compare.ts';
import type { Caller } from './caller.ts';
import { chromium } from './chromium.ts';
import { type Dialer, http, rendezvous, signalled, stdio } from './dialer.ts';
import type { GroupName } from './main.ts';

/** The client's process: measures the wires of one group, and tells its parent. */
const [name = '', budget] = argv.slice(2);

/** What was measured, wire by wire in the order of their names, round by round; see `WireRow`. */
export interface Rounds {
  names: string[];
  connect: number[][];
  roundTrip: number[][];
  calls: Record<string, number[][]>;
  throughput: number[][];
}

const concurrencies = [1, 16, 256];
const largeAnswer = 200_000;

/**
 * After so long V8 has compiled what a call goes through; before, whoever has more code is slower
 * by a fifth. In milliseconds.
 */
const warmUpMs = 3000;

/** What an answer may take, in milliseconds: the machine may be busy. */
const answerMs = 60_000;

/**
 * The first one is what the others are measured against, and the second one is measured right
 * behind it.
 */
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

async function measure(dialers: readonly Dialer[], budgetMs: number): Promise<Rounds> {
  const names = dialers.map((dialer) => dialer.name);
  const connect = await rounds(dialers, budgetMs, async (dialer) => {
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
    const roundTrip = await rounds(callers, budgetMs, (caller) => caller.roundTrip(400));
    const calls: Rounds['calls'] = {};
    for (const atOnce of concurrencies) {
      calls[atOnce] = await rounds(callers, budgetMs / 2, (caller) => caller.callsPerSecond(atOnce, 100, 400));
    }
    const throughput = await rounds(callers, budgetMs, async (caller) => {
      return ((await caller.callsPerSecond(4, largeAnswer, 600)) * largeAnswer) / 1e6;
    });
    return { names, connect, roundTrip, calls, throughput };
  } finally {
    for (const caller of callers) await caller.close();
  }
}

const relay = await RelayProcess.start();
const dialers = await dialersOf(name as GroupName, relay); // given by the parent
try {
  process.send?.(await measure(dialers, Number(budget)));
} finally {
  for (const dialer of dialers) await dialer.stop();
  await relay.stop('SIGKILL');
}
// Engines keep threads.
process.exit();
