import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { SdkError } from '@modelcontextprotocol/client';
import type { WebRTCClientTransport } from 'mcp-rendezvous';
import { RelayProcess } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { type ClientKind, connect, type Session } from './clients.ts';
import { host, visitor } from './enter.ts';
import { largeText, type Witness } from './fixture.ts';
import type { ServerKind } from './servers.ts';
import { cancellation, failures, logging, manyCalls, progress, questions, resources, tools } from './steps.ts';

/**
 * Every pair of an SDK's client and an SDK's server that has a protocol version in common, and the
 * era that they agree on.
 */
const pairs: [ClientKind, ServerKind, Session['era']][] = [
  ['v1', 'v1', 'legacy'],
  ['v1', 'v2', 'legacy'],
  ['v1', 'v2 serveStdio', 'legacy'],
  ['v2 legacy', 'v1', 'legacy'],
  ['v2 legacy', 'v2', 'legacy'],
  ['v2 legacy', 'v2 serveStdio', 'legacy'],
  ['v2 auto', 'v1', 'legacy'],
  ['v2 auto', 'v2', 'legacy'],
  ['v2 auto', 'v2 serveStdio', 'modern'],
  ['v2 modern', 'v2 serveStdio', 'modern'],
];

/**
 * The rest: v1 knows no version after 2025-11-25, and v2's `server.connect` serves no later one
 * either.
 */
const strangers: [ClientKind, ServerKind][] = [
  ['v2 modern', 'v1'],
  ['v2 modern', 'v2'],
];

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

for (const [clientKind, serverKind, era] of pairs) {
  suite(`client ${clientKind}, server ${serverKind}`, () => {
    test(`an MCP session of the ${era} era, from its first message to its close`, async (t) => {
      const name = `${clientKind} to ${serverKind}`;
      const [, witness] = await host(t, relay.ws, name, serverKind);
      const transport = await visitor(t, relay.ws, name, { subject: 'ada', scope: 'notes:read notes:write' });
      const session = await connect(clientKind, transport);
      assert.equal(session.era, era);

      await t.test('tools', () => tools(session));
      await t.test('tools that fail, and one that is not there', () => failures(session, serverKind));
      await t.test('resources, and updates of one that is subscribed to', () => resources(session));
      await t.test('progress', () => progress(session));
      await t.test('cancellation', () => cancellation(session, witness));
      await t.test('logging', () => logging(session));
      await t.test('the server asks the client', () => questions(session));
      await t.test('who the client is', () => identity(session, transport, name));
      await t.test('200 KB', async () => assert.equal((await session.call('large')).text, largeText));
      await t.test('20 calls at once', () => manyCalls(session));
      await t.test('an orderly close', () => close(session, transport, witness));
    });
  });
}

for (const [clientKind, serverKind] of strangers) {
  test(`client ${clientKind}, server ${serverKind}: they have no version in common, and the client says so`, async (t) => {
    const name = `${clientKind} to ${serverKind}`;
    const [, witness] = await host(t, relay.ws, name, serverKind);
    const closed = once(witness, 'closed');
    await assert.rejects(connect(clientKind, await visitor(t, relay.ws, name)), (error) => {
      assert(error instanceof SdkError);
      assert.equal(error.code, 'ERA_NEGOTIATION_FAILED');
      return true;
    });
    await within(closed, 'the server hears that the client is gone');
  });
}

async function identity(session: Session, transport: WebRTCClientTransport, room: string): Promise<void> {
  const { authInfo } = JSON.parse((await session.call('whoami')).text) as { authInfo: Record<string, unknown> };
  const { expiresAt, extra, ...rest } = authInfo;
  assert.deepEqual(rest, { token: '', clientId: 'ada', scopes: ['notes:read', 'notes:write'] });
  assert(typeof expiresAt === 'number' && expiresAt > Date.now() / 1000);
  const { jti, peerId, ...claims } = extra as Record<string, unknown>;
  assert.equal(typeof jti, 'string');
  assert.deepEqual(claims, { sub: 'ada', role: 'client', room, via: 'webrtc' });
  assert.equal(typeof peerId, 'string');
  // A client's is set by the handshake, which the era after it does not have.
  if (session.era === 'legacy') assert.match(transport.sessionId ?? '', /^[\w-]{22}$/);
}

async function close(session: Session, transport: WebRTCClientTransport, witness: Witness): Promise<void> {
  const closed = within(Promise.all([once(witness, 'closed'), once(session.events, 'closed')]), 'both sides close');
  await session.close();
  await closed;
  assert.equal(transport.state, 'closed');
  await assert.rejects(session.call('echo', { text: 'too late' }));
}
