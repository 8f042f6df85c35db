import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { engineNames } from '../support/engines.ts';
import { within } from '../support/wait.ts';
import { trials } from './trials.ts';

/** What failed comes again with the HOSTILE_SEED that the name of its suite has. */
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);

for (const engine of engineNames) {
  suite(`a relay in the middle of two peers with ${engine}, with HOSTILE_SEED=${seed}`, () => {
    let child: ChildProcess;
    const outcomes = new Map(
      trials(engine, seed).map(({ name }) => [name, Promise.withResolvers<string | undefined>()]),
    );

    before(() => {
      // In a process of its own, whose end does not matter: @roamhq/wrtc may crash behind it.
      child = fork(fileURLToPath(new URL('end.ts', import.meta.url)), [engine, String(seed)], {
        execArgv: ['--conditions=mcp-rendezvous-source'],
      });
      child.on('message', ({ name, problem }: { name: string; problem?: string }) =>
        outcomes.get(name)?.resolve(problem),
      );
      child.once('exit', (code, signal) =>
        outcomes.forEach(({ resolve }) => resolve(`the process ended: ${signal ?? code}`)),
      );
    });
    after(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    });

    for (const [name, { promise }] of outcomes) {
      test(name, async () => assert.equal(await within(promise, 'its outcome', 100_000), undefined));
    }
  });
}
