import { setTimeout as sleep } from 'node:timers/promises';
import { type Figure, figures, rounds } from '../lib/compare.ts';
import { quantile } from '../lib/stats.ts';
import { StdioClient } from './client.ts';
import {
  type Contender,
  rendezvous,
  residentOf,
  stdio,
  supergateway,
  withBinaries,
  withoutBinaries,
} from './contenders.ts';

/** What one way to an MCP server costs. The ratios are to plain stdio, round by round. */
export interface BridgeRow {
  name: string;
  /** From spawning the client's process to the list of tools, in milliseconds. */
  start: Figure;
  /** A small call, one at a time, in milliseconds. */
  call: Figure;
  /** Results of a million characters, one at a time, in MB/s. */
  large: Figure;
  /** 2,000 calls that are written at once: those with a result, in calls/s. */
  burst: Figure;
  /** Resident memory after all of that, in MB, of the processes at both sides. */
  near: number;
  far: number;
}

const burstSize = 2_000;
/** A bridge that waits gives back what it does not need, within two looks of five seconds. */
const settleMs = 15_000;

/**
 * Ways to the same server side by side, each measure by turns. The far sides run all the time; a
 * client's session for the calls is opened once, and warm.
 *
 * @param quick fewer rounds
 */
export async function measureBridges(quick: boolean): Promise<BridgeRow[]> {
  const contenders: Contender[] = [];
  const clients: StdioClient[] = [];
  const budgetMs = quick ? 5_000 : 20_000;
  try {
    contenders.push(stdio());
    contenders.push(await rendezvous('mcp-rendezvous, node-datachannel', withBinaries()));
    contenders.push(await rendezvous('mcp-rendezvous, werift', withoutBinaries()));
    contenders.push(await supergateway());
    await rounds(contenders, 0, firstList); // files are read from the disk once
    const start = figures(await rounds(contenders, budgetMs, firstList));
    for (const contender of contenders) clients.push(await contender.open());
    for (const client of clients) for (let n = 0; n < 500; n++) await client.call('echo');
    const call = figures(await rounds(clients, budgetMs, roundTrip));
    const large = figures(await rounds(clients, budgetMs, throughput));
    const burst = figures(await rounds(clients, budgetMs, callsPerSecond));
    await sleep(settleMs);
    return contenders.map((contender, index) => ({
      name: contender.name,
      start: start[index]!,
      call: call[index]!,
      large: large[index]!,
      burst: burst[index]!,
      ...residentOf(contender, clients[index]!),
    }));
  } finally {
    for (const client of clients) await client.close();
    for (const contender of contenders) await contender.stop();
  }
}

async function firstList({ near }: Contender): Promise<number> {
  const began = performance.now();
  const client = new StdioClient(near);
  try {
    await client.begin();
    return performance.now() - began;
  } finally {
    await client.close();
  }
}

async function roundTrip(client: StdioClient): Promise<number> {
  const took: number[] = [];
  for (let n = 0; n < 300; n++) {
    const began = performance.now();
    await client.call('echo');
    took.push(performance.now() - began);
  }
  return quantile(took, 0.5);
}

async function throughput(client: StdioClient): Promise<number> {
  const results = 10;
  const began = performance.now();
  for (let n = 0; n < results; n++) await client.call('large');
  return results / ((performance.now() - began) / 1000);
}

async function callsPerSecond(client: StdioClient): Promise<number> {
  const began = performance.now();
  // mcp-remote answers some of them with an error on a busy machine ("fetch failed").
  const calls = await Promise.allSettled(Array.from({ length: burstSize }, () => client.call('echo')));
  const answered = calls.filter(({ status }) => status === 'fulfilled').length;
  return answered / ((performance.now() - began) / 1000);
}
