import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { execPath } from 'node:process';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { testFiles, tierOf } from './tiers.ts';

/**
 * Finds tests that a busy machine breaks: runs each file by itself, and stops all of its processes
 * again and again, for 1 to 3 s at random moments. It takes no CPU time that others need. Fails if
 * a file fails. Not on Windows, which cannot stop a process.
 *
 * Usage: node scripts/freeze.ts [--rounds n] [globs…]
 *
 * Without globs all files of the unit tier.
 */
const { values, positionals: globs } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '1' } },
});
const files = globs.length > 0 ? globSync(globs).toSorted() : testFiles().filter((file) => tierOf(file) === 'unit');

/** How long a file runs between two stops, and how long it stands still, in milliseconds. */
const runs = { least: 50, most: 1_500 };
const stands = { least: 1_000, most: 3_000 };
const randomIn = ({ least, most }: typeof runs): number => least + Math.random() * (most - least);
/** How many files run side by side: they stand still most of the time. */
const atOnce = 4;

/** Ends what is running, when this is interrupted. */
const running = new Set<() => void>();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    for (const end of running) end();
    process.exit(1);
  });
}

/** Resolves with the output of a file that fails, and with nothing for one that passes. */
async function freeze(file: string): Promise<string | undefined> {
  const child = spawn(
    execPath,
    ['--conditions=mcp-rendezvous-source', '--test', '--test-timeout=300000', '--test-reporter=spec', file],
    // A group of its own, to which signals are sent.
    { detached: true, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const output = text(child.stdout);
  const ended = new Promise<void>((resolve) => void child.once('close', () => resolve()));
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // It has just ended.
    }
  };
  const kill = () => signal('SIGKILL');
  running.add(kill);
  while (child.exitCode === null && child.signalCode === null) {
    await Promise.race([ended, sleep(randomIn(runs))]);
    signal('SIGSTOP');
    await sleep(randomIn(stands));
    signal('SIGCONT');
  }
  await ended;
  running.delete(kill);
  return child.exitCode === 0 ? undefined : await output;
}

const waiting = Array.from({ length: Number(values.rounds) }, () => files).flat();
const red: string[] = [];
const runNext = async (): Promise<void> => {
  for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) {
    const output = await freeze(file);
    console.log(output === undefined ? `green ${file}` : `RED   ${file}\n${output}`);
    if (output !== undefined) red.push(file);
  }
};
await Promise.all(Array.from({ length: atOnce }, runNext));
if (red.length > 0) {
  process.exitCode = 1;
  console.error(`\nRed: ${red.join(', ')}`);
}
