import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { AgentCard, Message, Part, StreamResponse, Task, TaskState } from '@a2a-js/sdk';
import type { RendezvousError } from 'mcp-rendezvous-protocol';
import {
  type A2ASource,
  A2ASignaling,
  agentExtension,
  extensionUri,
  invitationPart,
  readInvitation,
} from '../../src/a2a/index.ts';
import { WebRTCClientTransport } from '../../src/transport/client.ts';
import { WebRTCServerTransport } from '../../src/transport/server.ts';
import type { Engine, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { eventually, within } from '../../../test/support/wait.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';

/** A message as it arrives: through JSON. */
const received = (...parts: Part[]): Message =>
  Message.fromJSON(
    JSON.parse(JSON.stringify(Message.toJSON({ ...Message.fromJSON({ messageId: '1', role: 'ROLE_AGENT' }), parts }))),
  );
const statusUpdate = (part: Part): StreamResponse =>
  StreamResponse.fromJSON(
    JSON.parse(JSON.stringify({ statusUpdate: { status: { message: Message.toJSON(received(part)) } } })),
  );
const taskWith = (part: Part): Task => ({
  ...Task.fromJSON({ id: 't' }),
  status: { state: TaskState.TASK_STATE_WORKING, message: received(part), timestamp: undefined },
});

const offer = (gen: number): SignalMessage => ({ kind: 'offer', gen, sdp: `offer ${gen}` });
const answer = (gen: number): SignalMessage => ({ kind: 'answer', gen, sdp: `answer ${gen}` });

/** An agent's side whose answer to any offer goes into whatever `wrap` makes of it. */
function agentOf(wrap: (part: Part) => A2ASource) {
  const heard: SignalMessage[] = [];
  const replies: A2ASource[] = [];
  const agent = new A2ASignaling((part) => void replies.push(wrap(part)));
  agent.onmessage = (message) => {
    heard.push(message);
    void agent.send(answer(message.gen));
  };
  const ask = async (part: Part): Promise<A2ASource> => {
    agent.accept(received(Part.fromJSON({ text: 'Hello' }), part));
    await new Promise(setImmediate);
    return replies.at(-1)!;
  };
  return { agent, heard, ask };
}

const shapes: [name: string, wrap: (part: Part) => A2ASource][] = [
  ['a message', received],
  ['a task', taskWith],
  [
    'a task with an artifact',
    (part) => ({ ...Task.fromJSON({ id: 't' }), artifacts: [{ ...artifact, parts: [part] }] }),
  ],
  ['an event of a stream', statusUpdate],
  ['a task in a stream', (part) => ({ payload: { $case: 'task', value: taskWith(part) } })],
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
  const agent = new A2ASignaling((part) => reply.resolve(received(part)));
  let offers = 0;
  const desktop = new A2ASignaling(async (part) => {
    offers += 1;
    reply = Promise.withResolvers();
    agent.accept(received(part));
    return await reply.promise;
  });
  const server = new WebRTCServerTransport({ signaling: desktop, rtc });
  const client = new WebRTCClientTransport({ signaling: agent, rtc });
  t.after(() => Promise.all([server.close(), client.close()]));
  await within(Promise.all([server.start(), client.start()]), 'both connect', 20_000);

  const heard: unknown[] = [];
  server.onmessage = (message) => void heard.push(message);
  const ping = (id: number) => ({ jsonrpc: '2.0', id, method: 'ping' }) as const;
  await client.send(ping(1));
  await eventually(() => heard.length === 1, 20_000);
  for (const connection of connections) await connection.close();
  await client.send(ping(2));
  await eventually(() => heard.length === 2, 40_000);
  assert.deepEqual(heard, [ping(1), ping(2)]);
  assert.ok(offers > 1);
});

test('docs/a2a.md shows what the code reads', async () => {
  const text = await readFile(new URL('../../../docs/a2a.md', import.meta.url), 'utf8');
  const examples = Array.from(text.matchAll(/^```json\n(.*?)^```$/gms), ([, json]) => JSON.parse(json ?? '') as object);
  const [card, question, reply, invitation, ...more] = examples;
  assert.deepEqual(more, []);
  const { capabilities } = AgentCard.fromJSON(card);
  assert.deepEqual(capabilities?.extensions, [agentExtension()]);
  const agent = new A2ASignaling(() => {});
  const heard: SignalMessage[] = [];
  agent.onmessage = (message) => void heard.push(message);
  agent.accept(Message.fromJSON(question));
  await agent.start('answerer');
  const desktop = new A2ASignaling(() => Message.fromJSON(reply));
  desktop.onmessage = agent.onmessage;
  await desktop.start('offerer');
  await desktop.send(offer(1));
  await new Promise(setImmediate);
  assert.deepEqual(
    heard.map(({ kind }) => kind),
    ['offer', 'answer'],
  );
  for (const message of [question, reply]) assert.deepEqual(Message.fromJSON(message).extensions, [extensionUri]);
  assert.equal(readInvitation(received(Part.fromJSON(invitation)))?.relay, 'wss://relay.example');
});

test('what was there before is not taken twice, and what is none of this side is left alone', async () => {
  const { agent, heard } = agentOf(received);
  const parts: Part[] = [];
  const desktop = new A2ASignaling((part) => void parts.push(part));
  await desktop.start('offerer');
  await assert.rejects(desktop.send(offer(3)), { code: 'bad_signal' });
  const message = received(
    ...parts,
    Part.fromJSON({ data: { kind: 'offer', gen: 9 }, mediaType: parts[0]!.mediaType }),
  );
  agent.accept(message);
  await agent.start('answerer');
  agent.accept(message);
  await new Promise(setImmediate);
  assert.deepEqual(heard, [offer(3)]);
});

test('a reply without an answer, a refusal, and a message that does not get through', async () => {
  const silent = new A2ASignaling(() => received(Part.fromJSON({ text: 'Hello?' })));
  await silent.start('offerer');
  await assert.rejects(silent.send(offer(1)), (error: RendezvousError) => {
    assert.equal(error.code, 'bad_signal');
    assert.match(error.message, /extension/);
    return true;
  });

  const refusal: SignalMessage = { kind: 'bye', gen: 1, code: 'refused', message: 'not now' };
  const agent = new A2ASignaling((part) => desktop.accept(received(part)));
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
  const desktop = new A2ASignaling(async (part) => {
    const { history: _, ...task } = taskWith(Part.fromJSON({ text: 'working' }));
    const reply = (await ask(part)) as Message;
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
  const parts: Part[] = [];
  const desktop = new A2ASignaling((part) => void parts.push(part));
  await desktop.start('offerer');
  await desktop.send({ kind: 'bye', gen: 1, code: 'closed', message: 'closed' });
  assert.deepEqual(parts, []);
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

test('an invitation to a room', () => {
  const invitation = { relay: 'wss://relay.example', token: 'a.b.c' };
  assert.deepEqual(
    readInvitation(received(Part.fromJSON({ text: 'Come in' }), invitationPart(invitation))),
    invitation,
  );
  assert.equal(readInvitation(received(Part.fromJSON({ text: 'Come in' }))), undefined);
  for (const wrong of [
    { relay: 'file:///etc/passwd', token: 'a' },
    { relay: 'wss://relay.example' },
    'wss://relay.example',
  ]) {
    const part = Part.fromJSON({ data: wrong, mediaType: invitationPart(invitation).mediaType });
    assert.equal(readInvitation(received(part)), undefined);
  }
});

test('the extension as an agent card has it', () => {
  assert.equal(agentExtension().uri, extensionUri);
  assert.equal(agentExtension().required, false);
});
