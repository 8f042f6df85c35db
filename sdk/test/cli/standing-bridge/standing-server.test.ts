import assert from 'node:assert/strict';
import test from 'node:test';
import { array, assert as check, asyncProperty, constantFrom } from 'fast-check';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { settle, World } from './world.ts';

const result = (id: unknown, value: object = {}) => ({ id, result: value });

test('a session is lost: what is pending is answered at once, and the next session begins like the first', async () => {
  const world = new World();
  await world.begin();
  await world.send({ id: 1, method: 'logging/setLevel', params: { level: 'debug' } });
  world.server.say(result(1));
  for (const [id, uri] of [
    [2, 'a:1'],
    [3, 'a:2'],
  ] as const) {
    await world.send({ id, method: 'resources/subscribe', params: { uri } });
    world.server.say(result(id));
  }
  await world.send({ id: 4, method: 'resources/unsubscribe', params: { uri: 'a:1' } });
  world.server.say(result(4));
  await world.send({ id: 5, method: 'tools/call' });
  await world.lose();
  assert.equal(world.errorOf(5)?.code, 'session_lost');
  assert.equal(world.servers.length, 2, 'the next attempt follows at once');

  await world.send({ id: 6, method: 'tools/list' });
  assert.deepEqual(world.answers(6), []);
  await world.open();
  const [hello, ...rest] = world.server.received;
  assert.ok(hello && 'method' in hello && 'id' in hello);
  assert.deepEqual([hello.method, hello.params], ['initialize', { clientInfo: { name: 'c' } }]);
  assert.notEqual(hello.id, 'hello');
  assert.deepEqual(
    rest.map((message) => 'method' in message && [message.method, message.params]),
    [
      ['notifications/initialized', undefined],
      ['logging/setLevel', { level: 'debug' }],
      ['resources/subscribe', { uri: 'a:2' }],
      ['tools/list', undefined],
    ],
  );
  assert.deepEqual(world.notifications(), ['notifications/tools/list_changed', 'notifications/resources/updated']);
  assert.equal(world.answers('hello').length, 1, 'the client hears nothing of the second initialize');
  world.server.say(result(6));
  await settle();
  assert.equal(world.answers(6).length, 1);
});

test('a late answer to a server that is gone goes nowhere', async () => {
  const world = new World();
  await world.begin();
  world.server.say({ id: 0, method: 'sampling/createMessage' });
  await world.lose();
  const cancelled = world.toClient.at(-1);
  assert.ok(cancelled && 'method' in cancelled);
  assert.deepEqual([cancelled.method, cancelled.params?.['requestId']], ['notifications/cancelled', 0]);
  await world.open();
  world.server.say({ id: 0, method: 'roots/list' });
  await settle();
  const question = world.toClient.at(-1);
  assert.ok(question && 'method' in question && 'id' in question);
  assert.notEqual(question.id, 0, 'the client still has a request 0');
  await world.send(result(0, { late: true }));
  await world.send(result(question.id, { roots: [] }));
  const answers = world.server.received.filter((message) => !('method' in message));
  assert.deepEqual(answers, [{ jsonrpc: '2.0', id: 0, result: { roots: [] } }]);
});

test('while the server is away requests wait, and then an error says since when', async () => {
  const world = new World();
  await world.begin();
  await world.lose();
  await world.send({ id: 1, method: 'tools/call' });
  await world.clock.advance(19_999);
  assert.deepEqual(world.answers(1), []);
  await world.clock.advance(1);
  await settle();
  assert.match(world.errorOf(1)?.message ?? '', /has been away since \d{4}-/);
  assert.equal(world.ending, undefined);
  await world.send({ id: 2, method: 'tools/call' });
  await world.send({ method: 'notifications/cancelled', params: { requestId: 2 } });
  await world.open();
  assert.ok(!world.server.methods().includes('tools/call'));
});

test('without a server initialize is answered after --timeout, and the process stays for another try', async () => {
  const world = new World();
  await world.send({ id: 1, method: 'initialize', params: {} });
  await world.clock.advance(29_999);
  assert.deepEqual(world.answers(1), []);
  await world.clock.advance(1);
  await settle();
  assert.equal(world.errorOf(1)?.code, 'peer_absent');
  await world.send({ id: 2, method: 'initialize', params: {} });
  await world.open();
  assert.ok(world.answers(2)[0] && 'result' in world.answers(2)[0]!);
});

test('an attempt that fails is repeated with pauses, and its reason is in the error', async () => {
  const world = new World();
  await world.send({ id: 1, method: 'initialize', params: {} });
  await settle();
  for (let attempts = 1; attempts <= 5; attempts++) {
    assert.equal(world.servers.length, attempts);
    world.server.fail(new RendezvousError('relay_unreachable', 'No route.', { retryable: true }));
    await settle();
    await world.clock.advance(500 * 2 ** (attempts - 1));
  }
  await world.clock.advance(30_000);
  await settle();
  assert.match(world.errorOf(1)?.message ?? '', /No route\./);
});

const changes: [what: string, next: object, says: RegExp][] = [
  [
    'the protocol version',
    { hello: { protocolVersion: '2025-06-18', capabilities: { tools: { listChanged: true } } } },
    /speaks MCP 2025-06-18/,
  ],
  ['a capability', { hello: { protocolVersion: '2025-11-25', capabilities: { prompts: {} } } }, /"tools"/],
  ['a part of one', { hello: { protocolVersion: '2025-11-25', capabilities: { tools: {} } } }, /"tools\.listChanged"/],
  ['who it is', { peer: { subject: 'another' } }, /is another instead of server/],
];
for (const [what, next, says] of changes) {
  test(`what the client was told is gone, ${what}: the bridge says so and ends`, async () => {
    const world = new World();
    await world.begin();
    world.next = next;
    await world.lose();
    await world.send({ id: 1, method: 'tools/list' });
    await world.open();
    assert.match(world.errorOf(1)?.message ?? '', says);
    assert.match((await world.bridge.ended).error?.message ?? '', says);
  });
}

test('more than the client was told is told by list_changed', async () => {
  const world = new World();
  await world.begin();
  const capabilities = { tools: { listChanged: true }, prompts: { listChanged: true }, logging: {} };
  world.next = { hello: { protocolVersion: '2025-11-25', capabilities } };
  await world.lose();
  await world.open();
  assert.deepEqual(world.notifications(), ['notifications/tools/list_changed', 'notifications/prompts/list_changed']);
  assert.equal(world.ending, undefined);
});

test('a client of 2026-07-28 needs nothing to be repeated', async () => {
  const world = new World();
  await world.open();
  await world.send({ id: 1, method: 'tools/list' });
  await world.lose();
  assert.equal(world.errorOf(1)?.code, 'session_lost');
  await world.send({ id: 2, method: 'tools/list' });
  await world.open();
  assert.deepEqual(world.server.methods(), ['tools/list']);
});

test('it ends by a final verdict, by its client, and by nothing else', async () => {
  const kicked = new World();
  await kicked.begin();
  await kicked.lose('kicked');
  assert.equal((await kicked.bridge.ended).side, 'upstream');

  const expired = (renewable: boolean) => {
    const world = new World({ renewable });
    world.server.fail(new RendezvousError('token_expired', 'The token has expired.'));
    return world;
  };
  const fixed = expired(false);
  await settle();
  // So that a client that asks a moment later hears why.
  assert.equal(fixed.ending, undefined);
  await fixed.clock.advance(2_000);
  assert.equal((await fixed.bridge.ended).side, 'upstream');
  const renewed = expired(true);
  await settle();
  assert.equal(renewed.ending, undefined);

  const refused = new World();
  await refused.begin();
  // Perhaps because of a token that has expired: another attempt tells.
  await refused.lose('peer_refused');
  assert.equal(refused.ending, undefined);
  await refused.send({ id: 1, method: 'tools/list' });
  refused.server.fail(new RendezvousError('peer_refused', 'The invitation was revoked.'));
  assert.equal((await refused.bridge.ended).side, 'upstream');
  assert.equal(refused.errorOf(1)?.code, 'peer_refused');

  const left = new World();
  await left.begin();
  await left.leave();
  assert.equal((await left.bridge.ended).side, 'downstream');
  assert.equal(left.server.closed, true);
});

test('the client has left: one attempt that fails is the last', async () => {
  const world = new World();
  await world.send({ id: 1, method: 'initialize', params: {} });
  await world.leave();
  world.server.fail(new RendezvousError('relay_unreachable', 'No route.', { retryable: true }));
  assert.equal((await world.bridge.ended).error?.message, 'No route.');
  assert.equal(world.errorOf(1)?.code, 'relay_unreachable');
});

test('a server that ends each session at once is not asked again and again', async () => {
  const world = new World();
  await world.begin();
  for (let count = 0; count < 20; count++) {
    await world.open();
    await world.lose();
  }
  assert.ok(world.servers.length <= 3, `${world.servers.length} sessions`);
});

const actions = [
  'call',
  'call',
  'answer',
  'note',
  'ask',
  'answerServer',
  'cancel',
  'open',
  'fail',
  'lose',
  'second',
  'minute',
] as const;

test('whatever comes in which order: one answer to each request, none is sent twice, nobody hears of the past', async () => {
  await check(
    asyncProperty(array(constantFrom(...actions), { minLength: 20, maxLength: 80 }), async (steps) => {
      const world = new World();
      await world.begin();
      let count = 0;
      let late = 0;
      const asked: number[] = [];
      const cancelled = new Set<number>();
      for (const step of steps) {
        const { server } = world;
        switch (step) {
          case 'call':
            asked.push((count += 1));
            await world.send({ id: count, method: 'tools/call', params: { count } });
            break;
          case 'answer': {
            const open = server
              .requests()
              .find(({ id, method }) => method === 'tools/call' && !world.answers(id).length);
            if (open && !server.closed) server.say(result(open.id, { by: world.servers.length }));
            break;
          }
          case 'note':
            if (!server.closed) server.say({ method: 'notifications/message', params: {} });
            break;
          case 'ask':
            if (!server.closed) server.say({ id: 'q', method: 'ping' });
            break;
          case 'answerServer': {
            const question = world.toClient.find((message) => 'method' in message && 'id' in message);
            if (question && 'id' in question) await world.send(result(question.id, { late: (late += 1) }));
            break;
          }
          case 'cancel': {
            const open = asked.find((id) => world.answers(id).length === 0);
            if (open === undefined) break;
            cancelled.add(open);
            await world.send({ method: 'notifications/cancelled', params: { requestId: open } });
            break;
          }
          case 'open':
            await world.open();
            break;
          case 'fail':
            server.fail(new RendezvousError('relay_unreachable', 'No route.'));
            break;
          case 'lose':
            server.lose();
            break;
          case 'second':
            await world.clock.advance(1_000);
            break;
          case 'minute':
            await world.clock.advance(60_000);
            break;
        }
        await settle();
        assert.equal(world.ending, undefined);
      }
      world.server.lose();
      await settle();
      await world.clock.advance(60_000);
      await settle();
      const sent = world.servers.flatMap((server) => server.requests()).filter(({ method }) => method === 'tools/call');
      assert.equal(new Set(sent.map(({ id }) => id)).size, sent.length, 'none is sent twice');
      for (const id of asked) {
        const answers = world.answers(id).length;
        assert.ok(cancelled.has(id) ? answers <= 1 : answers === 1, `${answers} answers to ${id}`);
      }
      await world.bridge.close(new Error('the test is over'));
    }),
    { numRuns: 150, seed: 19 },
  );
});
