import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test, type TestContext } from 'node:test';
import type { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import { listen, type RendezvousError } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous/token';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { stayConnected, type Status } from './connection.ts';

const token = (role: 'server' | 'client', key = testSecret): Promise<string> =>
  createRoomToken({ key, room: 'desk', role, subject: `ada-${role}`, ttl: '1h' });

async function serve(t: TestContext, relay: string) {
  const listener = await listen({ relay, token: await token('server') }, async (transport) => {
    const server = new McpServer({ name: 'files', version: '1.0.0' });
    server.registerTool('hello', { description: 'Says hello.' }, () => ({
      content: [{ type: 'text', text: 'Hello.' }],
    }));
    await server.connect(transport);
  });
  t.after(() => listener.close());
  return listener;
}

test('a session follows the next one after the server restarts, and none after the signal', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const first = await serve(t, relay.ws);
  const sessions: Client[] = [];
  const statuses: Status[] = [];
  const handlers = {
    onsession: (client: Client) => void sessions.push(client),
    onstatus: (status: Status) => void statuses.push(status),
  };
  const abort = new AbortController();
  const done = stayConnected({ relay: relay.ws, token: await token('client') }, handlers, abort.signal);
  t.after(() => abort.abort());
  await eventually(() => sessions.length === 1);
  await first.close();
  await eventually(() => statuses.includes('waiting'));
  await serve(t, relay.ws);
  await eventually(() => sessions.length === 2);
  assert.deepEqual(await sessions[1]!.callTool({ name: 'hello' }), { content: [{ type: 'text', text: 'Hello.' }] });
  abort.abort();
  await done;
  assert.equal(sessions.length, 2);
  assert.deepEqual(statuses.slice(0, 3), ['connecting', 'connected', 'waiting']);
});

test('what another attempt would meet again ends it', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const wrong = await token('client', 'another key that the relay does not have');
  const handlers = { onsession: () => assert.fail('a session'), onstatus: () => {} };
  await assert.rejects(
    stayConnected({ relay: relay.ws, token: wrong }, handlers, new AbortController().signal),
    (error: RendezvousError) => error.code === 'token_invalid',
  );
});

test('docs/guides/errors.md shows this very file', async () => {
  const guide = await readFile(new URL('../../docs/guides/errors.md', import.meta.url), 'utf8');
  assert.ok(guide.includes(await readFile(new URL('connection.ts', import.meta.url), 'utf8')));
});
