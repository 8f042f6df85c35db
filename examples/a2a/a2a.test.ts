import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { test, type TestContext } from 'node:test';
import { allBlocks, blocksTestedBy, root } from '../../test/documents/blocks.ts';

const [terminals, ...more] = blocksTestedBy(import.meta.filename);
const [agentLine = '', desktopLine = ''] = terminals?.body.trim().split('\n') ?? [];
const shown = allBlocks().find(({ document, language }) => document === 'examples/a2a/README.md' && language === '');

/** A line of the README, run from the top of the project. */
function run(t: TestContext, line: string, env: Record<string, string>) {
  const { PATH = '', HOME = '' } = process.env;
  const NODE_OPTIONS = '--conditions=mcp-rendezvous-source';
  const child = spawn('sh', ['-euc', `exec ${line.replace('npx node', '"$NODE"')}`], {
    cwd: root,
    env: { PATH, HOME, NODE_OPTIONS, NODE: process.execPath, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  return child;
}

test('an agent reads the files of a desktop that asked it something', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'notes-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'plans.md'), 'Sail around the world\n1. a boat');
  await writeFile(join(folder, 'shopping.txt'), 'A boat\nBread');

  const agent = run(t, agentLine, { PORT: '0' });
  const lines = createInterface({ input: agent.stdout });
  const [line] = (await once(lines, 'line', { signal: AbortSignal.timeout(60_000) })) as [string];
  const desktop = run(t, desktopLine.replace('~/notes', folder), { AGENT: line.replace('agent: ', '') });
  const [said, complaints, [code]] = await Promise.all([
    text(desktop.stdout),
    text(desktop.stderr),
    once(desktop, 'close', { signal: AbortSignal.timeout(60_000) }) as Promise<[number | null]>,
  ]);
  assert.equal(said, shown?.body, complaints);
  assert.deepEqual(more, []);
  assert.equal(code, 0); // by itself: the agent closed the session, and that ended the MCP server
  const ended = once(agent, 'close', { signal: AbortSignal.timeout(60_000) });
  agent.kill('SIGINT');
  assert.deepEqual(await ended, [0, null]);
});
