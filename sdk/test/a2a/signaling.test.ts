import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Message, Part, StreamResponse, Task, TaskState } from '@a2a-js/sdk';
import type { RendezvousError } from 'mcp-rendezvous-protocol';
import { type A2AAttributes, type A2ASource, A2ASignaling, signalMediaType } from '../../src/a2a/index.ts';
import { WebRTCClientTransport } from '../../src/transport/client.ts';
import { WebRTCServerTransport } from '../../src/transport/server.ts';
import type { Engine, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { eventually, within } from '../../../test/support/wait.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';

/** A message as it arrives: through JSON. */
const received = (attributes?: A2AAttributes): Message => {
  const message = Message.fromJSON({ messageId: '1', role: 'ROLE_AGENT', parts: [{ text: 'Hello' }] });
  return Message.fromJSON(JSON.parse(JSON.stringify(Message.toJSON({ ...message, ...attributes }))));
};
const statusUpdate = (attributes: A2AAttributes): StreamResponse =>
  StreamResponse.fromJSON(
    JSON.parse(JSON.stringify({ statusUpdate: { status: { message: Message.toJSON(received(attributes)) } } })),
  );
const taskWith = (attributes: A2AAttributes): Task => ({
  ...Task.fromJSON({ id: 't' }),
  status: { state: TaskState.TASK_STATE_WORKING, message: received(attributes), timestamp: undefined },
});

const offer = (gen: number): SignalMessage => ({ kind: 'offer', gen, sdp: `offer ${gen}` });
const answer = (gen: number): SignalMessage => ({ kind: 'answer', gen, sdp: `answer ${gen}` });

/** An agent's side whose answer to any offer goes into whatever `wrap` makes of it. */
function agentOf(wrap: (attributes: A2AAttributes) => A2ASource) {
  const heard: SignalMessage[] = [];
  const replies: A2ASource[] = [];
  const agent = new A2ASignaling((attributes) => void replies.push(wrap(attributes)));
  agent.onmessage = (message) => {
    heard.push(message);
    void agent.send(answer(message.gen));
  };
  const ask = async (attributes: A2AAttributes): Promise<A2ASource> => {
    agent.accept(received(attributes));
    await new Promise(setImmediate);
    return replies.at(-1)!;
  };
  return { agent, heard, ask };
}

const shapes: [name: string, wrap: (attributes: A2AAttributes) => A2ASource][] = [
  ['a message', received],
  ['a task', taskWith],
  [
    'a task with an artifact',
    (attributes) => ({ ...Task.fromJSON({ id: 't' }), artifacts: [{ ...artifact, ...attributes }] }),
  ],
  ['an event of a stream', statusUpdate],
  ['a task in a stream', (attributes) => ({ payload: { $case: 'task', value: taskWith(attributes) } })],
];
const artifact = { artifactId: '1', name: '', description: '', parts: [], metadata: undefined, extensions: [] };

for (const [name, wrap] of shapes) {
  test(`an offer in a message, its answer in ${name}`, async () => {
    const { agent, heard, ask } = agentOf(wrap);
    const desktop = new A2ASignaling(ask);
    const replies: SignalMessage[] = [];
    desktop.onmessage = (message) => void replies.push(message);
    await Promise.all([desktop.start('offerer'), agent.start('answerer')]);
    for (const gen of [1, 2]) {
      await desktop.send(offer(gen));
      await new Promise(setImmediate);
    }
    assert.deepEqual(heard, [offer(1), offer(2)]);
    assert.deepEqual(replies, [answer(1), answer(2)]);
  });
}

test('a whole MCP transport over A2A messages, and back after its connection is lost', async (t) => {
  const connections: RtcPeerConnection[] = [];
  const rtc: Engine = {
    ...weriftEngine,
    createPeerConnection(configuration) {
      const connection = weriftEngine.createPeerConnection(configuration);
      connections.push(connection);
      return connection;
    },
  };
  let reply = Promise.withResolvers<A2ASource>();
  const agent = new A2ASignaling((attributes) => reply.resolve(received(attributes)));
  let offers = 0;
  const desktop = new A2ASignaling(async (attributes) => {
    offers += 1;
    reply = Promise.withResolvers();
    agent.accept(received(attributes));
    return await reply.promise;
  });
  const server = new WebRTCServerTransport({ signaling: desktop, rtc });
  const client = new WebRTCClientTransport({ signaling: agent, rtc });
  t.after(() => Promise.all([server.close(), client.close()]));
  await within(Promise.all([server.start(), client.start()]), 'both connect');

  const heard: unknown[] = [];
  server.onmessage = (message) => void heard.push(message);
  const ping = (id: number) => ({ jsonrpc: '2.0', id, method: 'ping' }) as const;
  await client.send(ping(1));
  await eventually(() => heard.length === 1);
  for (const connection of connections) await connection.close();
  await client.send(ping(2));
  await eventually(() => heard.length === 2, 40_000);
  assert.deepEqual(heard, [ping(1), ping(2)]);
  assert.ok(offers > 1);
});

test('what was there before is not taken twice, and what is none of this side is left alone', async () => {
  const { agent, heard } = agentOf(received);
  const sent: A2AAttributes[] = [];
  const desktop = new A2ASignaling((attributes) => void sent.push(attributes));
  await desktop.start('offerer');
  await assert.rejects(desktop.send(offer(3)), { code: 'bad_signal' });
  const broken = Part.fromJSON({ data: { kind: 'offer', gen: 9 }, mediaType: signalMediaType });
  const message = { ...received(sent[0]), parts: [broken] };
  agent.accept(message);
  await agent.start('answerer');
  agent.accept(message);
  await new Promise(setImmediate);
  assert.deepEqual(heard, [offer(3)]);
});

test('a reply without an answer, a refusal, and a message that does not get through', async () => {
  const silent = new A2ASignaling(() => received());
  await silent.start('offerer');
  await assert.rejects(silent.send(offer(1)), (error: RendezvousError) => {
    assert.equal(error.code, 'bad_signal');
    assert.match(error.message, /extension/);
    return true;
  });

  const refusal: SignalMessage = { kind: 'bye', gen: 1, code: 'refused', message: 'not now' };
  const agent = new A2ASignaling((attributes) => desktop.accept(received(attributes)));
  const desktop: A2ASignaling = new A2ASignaling(() => agent.send(refusal));
  const heard: SignalMessage[] = [];
  desktop.onmessage = (message) => void heard.push(message);
  await agent.start('answerer');
  await desktop.start('offerer');
  await desktop.send(offer(1));
  await new Promise(setImmediate);
  assert.deepEqual(heard, [refusal]);

  const cause = new TypeError('fetch failed');
  const broken = new A2ASignaling(() => Promise.reject(cause));
  await broken.start('offerer');
  await assert.rejects(broken.send(offer(1)), { code: 'signaling_failed', cause });
});

test('a task without a history is one; what has not the form of the SDK is refused with a reason', async () => {
  const { agent, heard, ask } = agentOf(received);
  await agent.start('answerer');
  const desktop = new A2ASignaling(async (attributes) => {
    const { history: _, ...task } = taskWith({ metadata: {}, extensions: [] });
    const reply = (await ask(attributes)) as Message;
    return { ...task, status: { ...task.status!, message: reply } } as Task;
  });
  await desktop.start('offerer');
  await desktop.send(offer(1));
  assert.deepEqual(heard, [offer(1)]);
  for (const wrong of [{ messageId: '1', parts: 'none' }, { id: 't', artifacts: [{}] }, null]) {
    // Deliberately no source.
    assert.throws(() => agent.accept(wrong as unknown as A2ASource), { code: 'bad_signal', message: /fromJSON/ });
  }
});

test("a bye of the desktop's puts no agent to work", async () => {
  const sent: A2AAttributes[] = [];
  const desktop = new A2ASignaling((attributes) => void sent.push(attributes));
  await desktop.start('offerer');
  await desktop.send({ kind: 'bye', gen: 1, code: 'closed', message: 'closed' });
  assert.deepEqual(sent, []);
});

test('a closed channel says so once, and takes nothing', async () => {
  const desktop = new A2ASignaling(() => new Promise(() => {}));
  let closes = 0;
  desktop.onclose = () => (closes += 1);
  await desktop.start('offerer');
  const waiting = desktop.send(offer(1));
  await desktop.close();
  await desktop.close();
  await waiting; // it is not left hanging
  assert.equal(closes, 1);
  await assert.rejects(desktop.send(offer(2)), { code: 'signaling_failed' });
  await assert.rejects(new A2ASignaling(() => {}).send({ kind: 'candidate', gen: 1, candidate: { candidate: 'x' } }), {
    code: 'bad_option',
  });
});
