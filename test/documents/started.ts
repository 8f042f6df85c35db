import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { blocksTestedBy, root } from './blocks.ts';

/** Starts an example as the one block of commands of its README does; it serves a page then. */
export async function assertStarts(t: TestContext, testFile: string): Promise<void> {
  const [block, ...more] = blocksTestedBy(testFile).filter(({ language }) => language === 'sh');
  assert.ok(block && more.length === 0);
  // The first line is what installed the programs that run this test.
  const [install, start = ''] = block.body.trim().split('\n');
  assert.equal(install, 'npm ci');
  const env = { ...process.env, NODE_OPTIONS: '--conditions=mcp-rendezvous-source', PORT: '0' };
  const child = spawn('sh', ['-euc', start], { cwd: root, env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  t.after(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(60_000) })) as [string];
  const [address = ''] = /http:\S+/.exec(line) ?? [];
  assert.equal((await fetch(address)).status, 200);
}
