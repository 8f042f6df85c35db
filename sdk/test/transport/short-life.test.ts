import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { within } from '../../../test/support/wait.ts';

test('a CLOSE that comes with the end of the handshake is the reason of start(), and leaves nothing that keeps the process', async (t) => {
  const script = fileURLToPath(new URL('./short-life.ts', import.meta.url));
  const child = spawn(process.execPath, ['--conditions=mcp-rendezvous-source', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const [output] = await within(Promise.all([text(child.stdout), once(child, 'exit')]), 'it exits by itself', 60_000);
  assert.deepEqual(JSON.parse(output), ['onclose', 'peer_refused', 'closed']);
  assert.equal(child.exitCode, 0);
});
