import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { SdkError } from '@modelcontextprotocol/client';
import type { WebRTCClientTransport } from 'mcp-rendezvous';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { type ClientKind, connect, type Session } from './clients.ts';
import { host, visitor } from './enter.ts';
import { answers, counterUri, largeText, poem, progressSteps, toolNames, type Witness } from './fixture.ts';
import type { ServerKind } from './servers.ts';

/** Every pair of an SDK's client and an SDK's server that has a protocol version in common, and the era that they agree on. */
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

/** The rest: v1 knows no version after 2025-11-25, and v2's `server.connect` serves no later one either. */
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

async function tools(session: Session): Promise<void> {
  assert.deepEqual((await session.tools()).toSorted(), toolNames);
  assert.equal((await session.call('echo', { text: 'Grüße 🙂' })).text, 'Grüße 🙂');
  assert.deepEqual((await session.call('add', { a: 2, b: 3 })).structured, { sum: 5 });
}

async function failures(session: Session, serverKind: ServerKind): Promise<void> {
  const failed = await session.call('fail');
  assert.equal(failed.isError, true);
  assert.equal(failed.text, 'it did not work');
  const threw = await session.call('throw');
  assert.equal(threw.isError, true);
  assert.match(threw.text, /it broke/);
  if (serverKind === 'v1') {
    // v1 answers with a result that is an error, v2 with a JSON-RPC error.
    const unknown = await session.call('nonsense');
    assert.equal(unknown.isError, true);
    assert.match(unknown.text, /nonsense/);
  } else {
    await assert.rejects(session.call('nonsense'), { code: -32_602, message: /nonsense/ });
  }
}

async function resources(session: Session): Promise<void> {
  assert.equal(await session.read(poem.uri), poem.text);
  await assert.rejects(session.read('text://nothing'), /text:\/\/nothing/);
  const updates: string[] = [];
  session.events.on('updated', (uri) => updates.push(uri));
  await session.call('touch');
  const unwatch = await session.watch(counterUri);
  assert.equal((await session.call('touch')).text, '2');
  await eventually(() => updates.length > 0);
  assert.equal(await session.read(counterUri), '2');
  await unwatch();
  await session.call('touch');
  assert.deepEqual(updates, [counterUri]);
}

async function progress(session: Session): Promise<void> {
  const steps: number[] = [];
  const { text } = await session.call('progress', {}, { onprogress: (step) => steps.push(step.progress) });
  assert.equal(text, 'done');
  assert.deepEqual(
    steps,
    Array.from({ length: progressSteps }, (_, index) => index + 1),
  );
}

async function cancellation(session: Session, witness: Witness): Promise<void> {
  const abort = new AbortController();
  const waiting = once(witness, 'waiting');
  const cancelled = once(witness, 'cancelled');
  const call = session.call('wait', {}, { signal: abort.signal });
  const rejected = assert.rejects(call, /enough/);
  await within(waiting, 'the tool runs');
  abort.abort(new Error('enough'));
  await rejected;
  await within(cancelled, 'the server hears of it');
  assert.equal((await session.call('echo', { text: 'next' })).text, 'next');
}

async function logging(session: Session): Promise<void> {
  const logged = once(session.events, 'log');
  await session.call('log');
  assert.deepEqual(await within(logged, 'the client hears what the server logs'), ['logged']);
}

/** Requests from the server in the legacy era, results that ask for input in the modern one: the tools' users see no difference. */
async function questions(session: Session): Promise<void> {
  const answered = async (name: string): Promise<unknown> => JSON.parse((await session.call(name)).text);
  assert.deepEqual(await answered('ask-sampling'), answers.sampling.content);
  assert.deepEqual(await answered('ask-elicitation'), answers.elicitation.content);
  assert.deepEqual(await answered('ask-roots'), answers.roots.roots);
}

async function identity(session: Session, transport: WebRTCClientTransport, room: string): Promise<void> {
  const { authInfo } = JSON.parse((await session.call('whoami')).text) as { authInfo: Record<string, unknown> };
  const { expiresAt, extra, ...rest } = authInfo;
  assert.deepEqual(rest, { token: '', clientId: 'ada', scopes: ['notes:read', 'notes:write'] });
  assert(typeof expiresAt === 'number' && expiresAt > Date.now() / 1000);
  const { jti, peerId, ...claims } = extra as Record<string, unknown>;
  assert.equal(typeof jti, 'string');
  assert.deepEqual(claims, { sub: 'ada', role: 'client', room, via: 'webrtc' });
  // Both ends of a session have the same name for it: the client's id in the room.
  assert.equal(typeof peerId, 'string');
  if (session.era === 'legacy') assert.equal(transport.sessionId, peerId);
}

async function manyCalls(session: Session): Promise<void> {
  const texts = Array.from({ length: 20 }, (_, index) => `${index} ${'x'.repeat(100 * (20 - index))}`);
  const results = await Promise.all(texts.map((text) => session.call('echo', { text })));
  assert.deepEqual(
    results.map(({ text }) => text),
    texts,
  );
}

async function close(session: Session, transport: WebRTCClientTransport, witness: Witness): Promise<void> {
  const closed = within(Promise.all([once(witness, 'closed'), once(session.events, 'closed')]), 'both sides close');
  await session.close();
  await closed;
  assert.equal(transport.state, 'closed');
  await assert.rejects(session.call('echo', { text: 'too late' }));
}
