import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { readConnection } from '../../src/cli/connection-flags.ts';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';

test('a token of the environment is a fixed one, and that of a file is read again', async (t) => {
  const key = 'a secret that is at least 32 bytes long';
  const token = await createRoomToken({ key, room: 'desk', role: 'client', subject: 'c', ttl: 60 });
  const relay = 'wss://relay.example';
  const env = { MCP_RENDEZVOUS_TOKEN: `${token}\n` };
  assert.deepEqual(readConnection({ relay }, env, 'client'), { relay, token, room: 'desk', subject: 'c' });
  const directory = mkdtempSync(join(tmpdir(), 'options-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, token);
  const { token: source } = readConnection({ relay, tokenFile }, {}, 'client');
  assert.ok(typeof source === 'function');
  writeFileSync(tokenFile, 'another');
  assert.equal(await source(), 'another');
});
