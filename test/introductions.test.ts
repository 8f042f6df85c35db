import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import {
  createSecret,
  type JsonRpcMessage,
  MemorySignaling,
  type TransportOptions,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import type { PeerClaims, Role } from 'mcp-rendezvous-protocol';
import type { RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { testToken } from '../server/test/support/peer.ts';
import { crossingRelay, type Tell } from './support/crossing.ts';
import { eventually } from './support/wait.ts';

const secret = createSecret();
const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello' };
const mismatch = { name: 'RendezvousError', code: 'secret_mismatch' };

interface Crossing {
  client?: Partial<RoomTokenOptions>;
  server?: Partial<RoomTokenOptions>;
  /** What the relay says to each role. */
  tell?: Partial<Record<Role, Tell>>;
  secret?: string;
}

async function cross(t: TestContext, crossing: Crossing) {
  const relay = await crossingRelay(t, crossing.tell);
  const side = async (role: Role): Promise<TransportOptions> => ({
    relay: relay.url,
    token: await testToken({ room: 'desk', role, issuer: 'https://a.example', ...crossing[role] }),
    ...(crossing.secret === undefined ? {} : { secret: crossing.secret }),
  });
  const client = new WebRTCClientTransport(await side('client'));
  const server = new WebRTCServerTransport(await side('server'));
  t.after(() => Promise.all([client.close(), server.close()]));
  const received: JsonRpcMessage[] = [];
  for (const end of [client, server]) end.onmessage = (message) => received.push(message);
  const serving = server.start();
  await relay.serverJoined;
  return { started: await Promise.allSettled([client.start(), serving]), client, server, received };
}

const as =
  (change: Partial<PeerClaims>): Tell =>
  (claims) => ({ ...claims, ...change });

const lies: [what: string, crossing: Crossing][] = [
  ['the client of one room to the server of another', { client: { room: 'other' } }],
  ['a client and a server of different issuers', { client: { issuer: 'https://b.example' } }],
  [
    'a client and a server of different issuers, and says of both what they expect',
    {
      client: { issuer: 'https://b.example' },
      tell: { client: as({ iss: 'https://b.example' }), server: as({ iss: 'https://a.example' }) },
    },
  ],
  ['a client of another issuer than the server was told', { tell: { server: as({ iss: 'https://b.example' }) } }],
  ['a server without the issuer that it has', { tell: { client: ({ iss: _, ...claims }) => claims } }],
  ['a client without an issuer and a server with one', { server: { issuer: 'desk' }, client: { issuer: '' } }],
  ['another server than the client was told', { tell: { client: as({ sub: 'server-2' }) } }],
  ['another client than the server was told', { tell: { server: as({ sub: 'client-2' }) } }],
  ['a client as a server', { tell: { server: as({ role: 'server' }) } }],
  ['a server as a client', { tell: { client: as({ role: 'client' }) } }],
  ['both under the swapped subjects', { tell: { client: as({ sub: 'client-1' }), server: as({ sub: 'server-1' }) } }],
  [
    'fields that are shifted against each other',
    { client: { room: 'k', issuer: 'des' }, server: { room: 'sk', issuer: 'de' } },
  ],
];

void suite('whom a relay introduces to whom', { concurrency: 2 }, () => {
  test('as the tokens say: they connect, with the secret', async (t) => {
    const { started, client, received } = await cross(t, { secret });
    assert.deepEqual(
      started.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    );
    await client.send(hello);
    await eventually(() => received.length === 1);
  });

  for (const [what, crossing] of lies) {
    test(`${what}: both ends refuse, though they have the same secret`, async (t) => {
      const { started, received } = await cross(t, { ...crossing, secret });
      for (const result of started) {
        assert.equal(result.status, 'rejected');
        assert.throws(() => {
          throw result.reason;
        }, mismatch);
      }
      assert.deepEqual(received, []);
    });
  }

  test('without a secret nobody finds out: what docs/security-model.md says', async (t) => {
    const { started } = await cross(t, { client: { room: 'other' } });
    assert.deepEqual(
      started.map(({ status }) => status),
      ['fulfilled', 'fulfilled'],
    );
  });
});

void suite('a signaling channel of one’s own has a name', () => {
  async function connect(t: TestContext, client: string | undefined, server: string | undefined) {
    const [near, far] = MemorySignaling.pair();
    const options = (signaling: MemorySignaling, context: string | undefined): TransportOptions => ({
      signaling,
      secret,
      ...(context === undefined ? {} : { context }),
    });
    const ends = [new WebRTCClientTransport(options(near, client)), new WebRTCServerTransport(options(far, server))];
    t.after(() => Promise.all(ends.map((end) => end.close())));
    return await Promise.allSettled(ends.map((end) => end.start()));
  }

  for (const [client, server] of [
    [undefined, undefined],
    ['ticket 4711', 'ticket 4711'],
  ]) {
    test(`the same at both ends (${client ?? 'none'}): they connect`, async (t) => {
      const started = await connect(t, client, server);
      assert.deepEqual(
        started.map(({ status }) => status),
        ['fulfilled', 'fulfilled'],
      );
    });
  }

  for (const [client, server] of [
    ['ticket 4711', 'ticket 4712'],
    ['ticket 4711', undefined],
    [undefined, 'ticket 4711'],
  ]) {
    test(`${client ?? 'none'} and ${server ?? 'none'}: both ends refuse, though they have the same secret`, async (t) => {
      for (const result of await connect(t, client, server)) {
        assert.equal(result.status, 'rejected');
        assert.equal((result.reason as { code?: string }).code, 'secret_mismatch');
      }
    });
  }

  test('one that is no text, or is for a relay, is refused', () => {
    const refused = { name: 'RendezvousError', code: 'bad_option', message: /context/ };
    const [signaling] = MemorySignaling.pair();
    for (const context of ['', 'x'.repeat(257), '\ud800', 7 as unknown as string]) {
      assert.throws(() => new WebRTCClientTransport({ signaling, context }), refused);
    }
    const relayed = { relay: 'ws://127.0.0.1:9', token: 'a.b.c', context: 'desk' } as TransportOptions;
    assert.throws(() => new WebRTCServerTransport(relayed), refused);
  });
});
