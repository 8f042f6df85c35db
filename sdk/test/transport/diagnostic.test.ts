import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createSecret,
  type DiagnosticEvent,
  type DiagnosticHandler,
  listen,
  MemorySignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';
import { eventually } from '../../../test/support/wait.ts';

/** Events in the order in which they came, each kind once. */
const kinds = (events: readonly DiagnosticEvent[]): string[] => [
  ...new Set(events.map((event) => (event.type === 'state' ? event.state : event.type))),
];

/** Fails unless these kinds came, in this order, others between them. */
function assertOrder(events: readonly DiagnosticEvent[], order: readonly string[]): void {
  assert.deepEqual(
    kinds(events).filter((kind) => order.includes(kind)),
    order,
    kinds(events).join(' '),
  );
}

test('ondiagnostic tells each step of both ends through a relay, and nothing that is secret', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const secret = createSecret();
  const tokens = {
    server: await testToken({ room: 'told', role: 'server' }),
    client: await testToken({ room: 'told', role: 'client' }),
  };
  const events = { server: [] as DiagnosticEvent[], client: [] as DiagnosticEvent[] };
  const told = (end: 'server' | 'client') => ({
    relay: relay.ws,
    token: tokens[end],
    secret,
    // On the relayed path a session is open before the channel is.
    paths: ['direct', 'turn'] as ('direct' | 'turn')[],
    ondiagnostic: (event: DiagnosticEvent) => void events[end].push(event),
  });
  const listener = await listen(told('server'), (transport) => transport.start());
  t.after(() => listener.close());
  const client = new WebRTCClientTransport(told('client'));
  await client.start();
  await eventually(() => [events.server, events.client].every((own) => kinds(own).includes('path_changed')));
  await client.close();
  await eventually(() => kinds(events.server).includes('closed'));

  const connected = ['channel_open', 'session_open', 'connected', 'path_changed', 'closed'];
  assertOrder(events.client, ['connecting', 'relay_open', 'joined', 'answer_received', ...connected]);
  assertOrder(events.server, [
    'relay_open',
    'joined',
    'peer',
    'connecting',
    'offer_received',
    'answer_sent',
    ...connected,
  ]);
  for (const end of ['server', 'client'] as const) {
    for (const kind of ['candidate', 'connection']) assert.ok(kinds(events[end]).includes(kind), `${end}: ${kind}`);
    const joined = events[end].find(({ type }) => type === 'joined');
    assert.deepEqual(joined, { ...joined, room: 'told', role: end });
    const opened = events[end].find(({ type }) => type === 'session_open');
    assert.deepEqual(opened, { ...opened, mode: 'framed' });
    const times = events[end].map(({ at }) => at);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
    const text = JSON.stringify(events[end]);
    for (const hidden of [secret, tokens.server, tokens.client, 'v=0', 'a=', '127.0.0.1', 'ufrag']) {
      assert.ok(!text.includes(hidden), `${end}: ${hidden.slice(0, 9)}`);
    }
  }
  // A listener's events say which client they are about.
  const self = events.client.find((event) => event.type === 'joined');
  for (const event of events.server) {
    const ofRoom = ['relay_open', 'joined'].includes(event.type);
    assert.equal(event.peer, ofRoom ? undefined : self?.type === 'joined' ? self.self : '', event.type);
  }
});

test('a relay that goes away is told with why', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const events: DiagnosticEvent[] = [];
  const token = await testToken({ room: 'lost', role: 'server' });
  const ondiagnostic: DiagnosticHandler = (event) => void events.push(event);
  const listener = await listen({ relay: relay.ws, token, ondiagnostic }, () => {});
  t.after(() => listener.close());
  await relay.stop();
  await eventually(() => events.some(({ type }) => type === 'relay_lost'));
  const lost = events.find(({ type }) => type === 'relay_lost');
  assert.equal(typeof (lost as { code?: unknown }).code, 'string');
});

test('over signaling of its own an end tells the same steps, without a relay', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const events: DiagnosticEvent[] = [];
  const client = new WebRTCClientTransport({ signaling: left, ondiagnostic: (event) => void events.push(event) });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
  assertOrder(events, ['connecting', 'offer_received', 'answer_sent', 'channel_open', 'session_open', 'connected']);
});

for (const [what, given, told] of [
  ['with a trace', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`],
  [
    'with one of a later version',
    `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01-more`,
    `01-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
  ],
  ['with a text', 'a text', undefined],
  ['without', undefined, undefined],
] as const) {
  test(`the first message of a session is told once by each end: ${what}`, async (t) => {
    const [left, right] = MemorySignaling.pair();
    const events = { left: [] as DiagnosticEvent[], right: [] as DiagnosticEvent[] };
    const client = new WebRTCClientTransport({
      signaling: left,
      ondiagnostic: (event) => void events.left.push(event),
    });
    const server = new WebRTCServerTransport({
      signaling: right,
      ondiagnostic: (event) => void events.right.push(event),
    });
    t.after(() => Promise.all([client.close(), server.close()]));
    const received: unknown[] = [];
    server.onmessage = (message) => received.push(message);
    await Promise.all([client.start(), server.start()]);
    const messages = [1, 2, 3].map(
      (id) => ({ jsonrpc: '2.0', id, method: 'ping', params: { _meta: { traceparent: given } } }) as const,
    );
    for (const message of messages) await client.send(message);
    await eventually(() => received.length === 3);
    const first = (own: DiagnosticEvent[]) =>
      own.filter(({ type }) => type === 'first_message').map(({ at: _, ...event }) => event);
    const rest = { type: 'first_message', ...(told === undefined ? {} : { traceparent: told }) };
    assert.deepEqual(first(events.left), [{ ...rest, side: 'local' }]);
    assert.deepEqual(first(events.right), [{ ...rest, side: 'remote' }]);
    assert.deepEqual(
      received,
      messages.map((message) => JSON.parse(JSON.stringify(message)) as unknown),
    );
  });
}

test('ondiagnostic must be a function', async () => {
  const ondiagnostic = 'log' as unknown as DiagnosticHandler; // what plain JavaScript can pass
  const [signaling] = MemorySignaling.pair();
  assert.throws(() => new WebRTCClientTransport({ signaling, ondiagnostic }), { code: 'bad_option' });
  await assert.rejects(
    listen({ relay: 'ws://127.0.0.1:1', token: 'a.b.c', ondiagnostic }, () => {}),
    { code: 'bad_option' },
  );
});
