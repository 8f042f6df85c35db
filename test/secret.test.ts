import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  createSecret,
  type JsonRpcMessage,
  listen,
  MemorySignaling,
  type SecretSource,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { testToken } from '../server/test/support/peer.ts';
import { MiddleRelay } from './support/middle.ts';
import { RelayProcess } from './support/relay.ts';
import { eventually } from './support/wait.ts';

const secret = createSecret();
const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello', params: { word: 'xylophone' } };

async function ends(t: TestContext, relay: string, options: { client?: string; server?: string | SecretSource }) {
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

test('without a secret it is not, and reads everything: what SECURITY.md says', async (t) => {
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
  const connect = async (subject: string, own: string | undefined) => {
    const token = await testToken({ room: 'each', role: 'client', subject });
    const client = new WebRTCClientTransport({ relay: relay.ws, token, ...(own === undefined ? {} : { secret: own }) });
    t.after(() => client.close());
    await client.start();
  };
  await connect('ada', secrets.get('ada'));
  await connect('bob', secrets.get('bob'));
  await connect('carol', undefined);
  await assert.rejects(connect('bob', secrets.get('ada')), mismatch);
  await assert.rejects(connect('carol', secrets.get('ada')), mismatch);
  await assert.rejects(connect('ada', undefined), mismatch);
  await assert.rejects(connect('eve', undefined), { name: 'RendezvousError', code: 'peer_refused' });
  assert.deepEqual(asked, ['ada', 'bob', 'carol', 'bob', 'carol', 'ada', 'eve']);
});

test('a function that tells no secret but something else refuses the client, and says why', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const { client, server } = await ends(t, relay.ws, { client: secret, server: () => 'a passphrase' });
  await Promise.all([
    assert.rejects(client.start(), { code: 'peer_refused' }),
    assert.rejects(server.start(), { code: 'bad_option', message: /createSecret\(\)/ }),
  ]);
});

test('only a server behind a relay may have a function', () => {
  const refused = { name: 'RendezvousError', code: 'bad_option' };
  const options = { secret: () => secret };
  const [signaling] = MemorySignaling.pair();
  const place = { relay: 'ws://127.0.0.1:9', token: 'a.b.c' };
  assert.throws(() => new WebRTCClientTransport({ ...place, ...options }), refused);
  assert.throws(() => new WebRTCServerTransport({ signaling, ...options }), refused);
});
