import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import type { MeasuredProcess } from './process.ts';

/**
 * How long instructions are counted, and for how long there is work at the least, in milliseconds:
 * perf takes a moment to begin.
 */
const countedMs = 2000;
export const workMs = 2500;

/**
 * Instructions of these processes, user's and kernel's, for each second of what goes on meanwhile;
 * undefined without `perf` or the right to use it. CPU time moves with what else the machine does;
 * instructions do not.
 */
export async function instructionsPerSecond(processes: readonly MeasuredProcess[]): Promise<number | undefined> {
  const pids = processes.map(({ pid }) => pid).join(',');
  const counted = ['-x', ',', '-e', 'instructions', '-p', pids, 'sleep', String(countedMs / 1000)];
  const perf = spawn('perf', ['stat', ...counted], { stdio: ['ignore', 'ignore', 'pipe'] });
  const said = text(perf.stderr);
  const failed = new Promise<undefined>((resolve) => perf.once('error', () => resolve(undefined)));
  const report = await Promise.race([said, failed]);
  const count = Number(/^(\d+),[^,]*,instructions/m.exec(report ?? '')?.[1] ?? NaN);
  return Number.isNaN(count) ? undefined : (count * 1000) / countedMs;
}
