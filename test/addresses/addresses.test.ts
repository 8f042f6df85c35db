import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';

interface Seen {
  server: string;
  client: string;
  addresses: number;
  signals: number;
  ms?: number;
}

interface Result {
  seen: Seen[];
  /** The addresses in a description, by engine. */
  described: Record<string, string[]>;
  /** What was said by a session after each change of the addresses, in characters. */
  stayed: number[];
  errors: string[];
}

test('hosts with 300 addresses connect, by few signals, with both engines', async () => {
  const program = fileURLToPath(new URL('network.ts', import.meta.url));
  const user = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', program];
  const { stdout } = await promisify(execFile)('unshare', [...user, '--net', ...node]);
  const { seen, described, stayed, errors } = JSON.parse(stdout) as Result;
  for (const { server, client, ms, signals } of seen)
    console.log(`# ${server} ← ${client}: ${ms} ms, ${signals} signals`);
  for (const { server, client, ms, signals } of seen) {
    const what = `${server} ← ${client}: ${ms} ms, ${signals} signals`;

    assert.ok(ms !== undefined && ms < 10_000, what);
    assert.ok(signals <= 30, what);
  }
  // For peers that know no candidates beside a description.
  for (const [engine, addresses] of Object.entries(described)) {
    assert.ok(new Set(addresses).size <= 8 && addresses.includes('10.99.0.1'), `${engine}: ${addresses.join(', ')}`);
  }
  assert.equal(Object.keys(described).length, 3);
  assert.equal(stayed.length, 8);
  assert.ok(
    stayed.every((said) => said > 100),
    `a session went on: ${stayed.join(', ')}`,
  );
  assert.equal(seen.length, 6);
  assert.deepEqual(errors, []);
});
