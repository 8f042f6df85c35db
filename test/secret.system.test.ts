import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  createSecret,
  type JsonRpcMessage,
  listen,
  MemorySignaling,
  type RendezvousError,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { testToken } from '../server/test/support/peer.ts';
import { connect } from './mcp/clients.ts';
import { largeText, Witness } from './mcp/fixture.ts';
import { serve } from './mcp/servers.ts';
import { MiddleRelay } from './support/middle.ts';
import { RelayProcess } from './support/relay.ts';
import { eventually } from './support/wait.ts';

const secret = createSecret();
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
  ['different secrets', { client: secret, server: createSecret() }],
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

test('without a secret it is not, and reads everything: what docs/security-model.md says', async (t) => {
  const middle = await MiddleRelay.start();
  t.after(() => middle.stop());
  const { client, server, received } = await ends(t, middle.url, {});
  await Promise.all([client.start(), server.start()]);
  await client.send(hello);
  await eventually(() => received.length === 1);
  assert.match(middle.read.join(), /xylophone/);
});

test('a server has a secret for each client, which its function tells', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const secrets = new Map([
    ['ada', createSecret()],
    ['bob', createSecret()],
  ]);
  const asked: string[] = [];
  const listener = await listen(
    {
      relay: relay.ws,
      token: await testToken({ room: 'each', role: 'server' }),
      secret: async ({ subject }) => {
        asked.push(subject);
        if (subject === 'eve') throw new Error('Eve is not invited.');
        return secrets.get(subject);
      },
    },
    (transport) => transport.start(),
  );
  t.after(() => listener.close());
  listener.onerror = () => {}; // the sides that are refused below
  const join = async (subject: string, own: string | undefined) => {
    const token = await testToken({ room: 'each', role: 'client', subject });
    const client = new WebRTCClientTransport({ relay: relay.ws, token, ...(own === undefined ? {} : { secret: own }) });
    t.after(() => client.close());
    await client.start();
  };
  await join('ada', secrets.get('ada'));
  await join('bob', secrets.get('bob'));
  await join('carol', undefined);
  await assert.rejects(join('bob', secrets.get('ada')), mismatch);
  await assert.rejects(join('carol', secrets.get('ada')), mismatch);
  await assert.rejects(join('ada', undefined), mismatch);
  await assert.rejects(join('eve', undefined), { name: 'RendezvousError', code: 'peer_refused' });
  assert.deepEqual(asked, ['ada', 'bob', 'carol', 'bob', 'carol', 'ada', 'eve']);
});

test('a function that tells no secret but something else refuses the client, and the server hears why', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const token = await testToken({ room: 'trust', role: 'server' });
  const options = { relay: relay.ws, token, secret: () => 'a passphrase' };
  const listener = await listen(options, (transport) => transport.start());
  t.after(() => listener.close());
  const errors: RendezvousError[] = [];
  listener.onerror = (error) => errors.push(error);
  const { client } = await ends(t, relay.ws, { client: secret });
  await assert.rejects(client.start(), { code: 'peer_refused' });
  await eventually(() => errors.length > 0);
  assert.equal(errors[0]?.code, 'bad_option');
  assert.match(errors[0].message, /createSecret\(\)/);
});

test('only a server behind a relay may have a function', () => {
  const refused = { name: 'RendezvousError', code: 'bad_option' };
  const options = { secret: () => secret };
  const [signaling] = MemorySignaling.pair();
  const place = { relay: 'ws://127.0.0.1:9', token: 'a.b.c' };
  assert.throws(() => new WebRTCClientTransport({ ...place, ...options }), refused);
  assert.throws(() => new WebRTCServerTransport({ signaling, ...options }), refused);
});

for (const [clientKind, serverKind] of [
  ['v1', 'v1'],
  ['v1', 'v2'],
  ['v2 legacy', 'v1'],
  ['v2 modern', 'v2 serveStdio'],
] as const) {
  test(`an MCP client of ${clientKind} and a server of ${serverKind}: with the same secret only`, async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const options = { relay: relay.ws, token: await testToken({ room: 'mcp', role: 'server' }), secret };
    const listener = await listen(options, (transport) => serve(serverKind, transport, new Witness()));
    t.after(() => listener.close());
    listener.onerror = () => {}; // the clients that are refused below
    const client = async (own: string | undefined) => {
      const token = await testToken({ room: 'mcp', role: 'client' });
      const transport = new WebRTCClientTransport({ ...options, token, secret: own! });
      t.after(() => transport.close());
      return await connect(clientKind, transport);
    };
    const session = await client(secret);
    assert.equal((await session.call('large')).text, largeText);
    for (const other of [createSecret(), undefined]) await assert.rejects(client(other), mismatch);
  });
}
