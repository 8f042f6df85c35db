import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  type JsonRpcMessage,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { testToken } from '../server/test/support/peer.ts';
import { MiddleRelay } from './support/middle.ts';
import { RelayProcess } from './support/relay.ts';
import { eventually } from './support/wait.ts';

const secret = 'OGAb1kJfd3Qzq2r0pVkqj2cYzvXq8Hn2';
const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello', params: { word: 'xylophone' } };

async function ends(t: TestContext, relay: string, options: { client?: string; server?: string }) {
  const room = 'trust';
  const side = async (role: 'client' | 'server'): Promise<TransportOptions> => {
    const given = options[role];
    return { relay, token: await testToken({ room, role }), ...(given === undefined ? {} : { secret: given }) };
  };
  const client = new WebRTCClientTransport(await side('client'));
  const server = new WebRTCServerTransport(await side('server'));
  t.after(() => Promise.all([client.close(), server.close()]));
  const received: JsonRpcMessage[] = [];
  for (const end of [client, server]) end.onmessage = (message) => received.push(message);
  return { client, server, received };
}

const mismatch = { name: 'RendezvousError', code: 'secret_mismatch' };

test('with the same secret at both ends they connect', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const { client, server, received } = await ends(t, relay.ws, { client: secret, server: secret });
  await Promise.all([client.start(), server.start()]);
  await client.send(hello);
  await eventually(() => received.length === 1);
});

for (const [what, options] of [
  ['different secrets', { client: secret, server: `${secret}!` }],
  ['a secret at the client only', { client: secret }],
  ['a secret at the server only', { server: secret }],
] as const) {
  test(`${what}: both ends refuse`, async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const { client, server, received } = await ends(t, relay.ws, options);
    await Promise.all([assert.rejects(client.start(), mismatch), assert.rejects(server.start(), mismatch)]);
    assert.deepEqual([client.state, server.state, received.length], ['closed', 'closed', 0]);
  });
}

test('a relay that swaps the fingerprints and sits in the middle is found out by both ends, before any message', async (t) => {
  const middle = await MiddleRelay.start();
  t.after(() => middle.stop());
  const { client, server, received } = await ends(t, middle.url, { client: secret, server: secret });
  await Promise.all([assert.rejects(client.start(), mismatch), assert.rejects(server.start(), mismatch)]);
  assert.equal(middle.pairs, 1, 'it was in the middle');
  assert.equal(received.length, 0);
  assert.doesNotMatch(middle.read.join(), /xylophone|jsonrpc/);
});

test('without a secret it is not, and reads everything: what SECURITY.md says', async (t) => {
  const middle = await MiddleRelay.start();
  t.after(() => middle.stop());
  const { client, server, received } = await ends(t, middle.url, {});
  await Promise.all([client.start(), server.start()]);
  await client.send(hello);
  await eventually(() => received.length === 1);
  assert.match(middle.read.join(), /xylophone/);
});
