import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { Bridge, type End } from '../../src/cli/bridge.ts';
import { Child } from '../../src/cli/child.ts';
import { HttpUpstream } from '../../src/cli/http/upstream.ts';
import { Questions } from '../../src/cli/standing-bridge/questions.ts';
import { Stdio } from '../../src/cli/stdio.ts';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { World, settle } from './standing-bridge/world.ts';
import { startGateway } from './support/gateway.ts';
import { type Body, json, messages, post, postModern, result, serve } from './support/http.ts';
import { obedient } from './support/malformed.ts';
import { until } from './support/process.ts';
import { Session } from './support/session.ts';

/** The same id as a value of the other type. */
const twin = (id: string | number) => (typeof id === 'number' ? String(id) : Number(id));
const ids = [1, '2', 0, '-3', 2 ** 53 - 1, 'no number', '04', '5.0', ''];
const twinned = new Set(ids.filter((id) => String(twin(id)) === String(id)));

/** The line of a server that answers with an id of the other type. */
const lineFor = (id: string | number) =>
  `${JSON.stringify({ jsonrpc: '2.0', id: twinned.has(id) ? twin(id) : id, result: { of: id } })}\n`;

test('an answer whose id has another type gets to its request, over stdio', async (t) => {
  const session = new Session(t, obedient);
  for (const id of ids) session.send({ id, method: 'write', params: { text: lineFor(id) } });
  for (const id of ids) assert.deepEqual((await session.answer(id)).result, { of: id });
  assert.equal(session.messages.length, ids.length);
});

test('where requests of both types are open, an answer is for the one with its id', async (t) => {
  const session = new Session(t, obedient);
  session.send({ id: 7, method: 'silence' });
  session.send({ id: '7', method: 'write', params: { text: '{"jsonrpc":"2.0","id":"7","result":{"of":"text"}}\n' } });
  assert.deepEqual((await session.answer('7')).result, { of: 'text' });
  session.send({ method: 'notifications/write', params: { text: '{"jsonrpc":"2.0","id":"7","error":"broken"}\n' } });
  assert.equal((await session.answer(7)).error?.message, 'broken');
});

test("a client's answer whose id has another type gets to the server's request", async (t) => {
  const session = new Session(t, obedient);
  session.send({ method: 'notifications/ask', params: { ids: [0] } });
  await until('the question', () => session.messages.length === 1);
  session.send({ id: '0', result: {} });
  await until('the answer', () => session.logged.includes('answered {"jsonrpc":"2.0","id":0,"result":{}}'));
});

test('a session that is lost: a request whose answer had another type is not answered again', async () => {
  const world = new World();
  await world.begin();
  await world.send({ id: 1, method: 'tools/call' });
  world.server.say({ id: '1', result: {} });
  await settle();
  await world.lose();
  await settle();
  assert.deepEqual(world.answers(1), [{ jsonrpc: '2.0', id: 1, result: {} }]);
});

test('the same over HTTP, for clients of both eras', async (t) => {
  const [command, ...args] = obedient;
  const { url, open } = await startGateway(t, () => new Child({ command, args, env: process.env, onoutput: () => {} }));
  const session = await open();
  for (const id of ids) {
    const asked = await post(url, { id, method: 'write', params: { text: lineFor(id) } }, session);
    assert.deepEqual(
      (await messages(asked)).map((message) => [message.id, message.result]),
      [[id, { of: id }]],
    );
  }
  // On the shared connection the request has the id 1.
  const asked = await postModern(url, 'own', 'write', { params: { text: lineFor(1) } });
  const [answer] = await messages(asked);
  assert.deepEqual([answer?.id, answer?.result], ['own', { of: 1 }]);
});

for (const form of ['JSON', 'events'] as const) {
  test(`the same from a server behind a URL, in ${form}`, async (t) => {
    const { url } = await serve(t, ({ response, body }) => {
      if (body.method === 'initialize') return json(response, result(body.id, { protocolVersion: '2025-11-25' }));
      const line = lineFor(body.id!);
      const type = form === 'JSON' ? 'application/json' : 'text/event-stream';
      return response.writeHead(200, { 'content-type': type }).end(form === 'JSON' ? line : `data: ${line}\n\n`);
    });
    const output = new PassThrough();
    const input = new PassThrough();
    const answers: Body[] = [];
    let text = '';
    output.on('data', (chunk: Buffer) => {
      const lines = (text + chunk.toString()).split('\n');
      text = lines.pop() ?? '';
      answers.push(...lines.map((line) => JSON.parse(line) as Body));
    });
    const bridge = new Bridge(new Stdio(input, output), new HttpUpstream({ url, headers: {} }), { onerror: () => {} });
    t.after(() => bridge.close(new Error('the test is over')));
    for (const id of ids) input.write(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'x' })}\n`);
    input.end();
    await bridge.ended;
    assert.equal(answers.length, ids.length);
    for (const id of ids) assert.deepEqual(answers.find((answer) => answer.id === id)?.result, { of: id });
  });
}

test('a client that leaves requests of its server unanswered: the server is told, and no more are kept', async (t) => {
  const toClient: JsonRpcMessage[] = [];
  const toServer: JsonRpcMessage[] = [];
  const end = (sent: JsonRpcMessage[]): End => ({
    start: async () => {},
    send: async (message) => void sent.push(message),
    close: async () => {},
  });
  const server = end(toServer);
  const bridge = new Bridge(end(toClient), server, { onerror: () => {} });
  t.after(() => bridge.close(new Error('the test is over')));
  for (let id = 0; id < 1_500; id++) void server.onmessage?.({ jsonrpc: '2.0', id, method: 'ping' });
  await settle();
  assert.deepEqual([toClient.length, toServer.length], [1_000, 500]);
  const [refused] = toServer;
  assert.ok(refused && 'error' in refused);
  assert.deepEqual([refused.id, (refused.error.data as { code: string }).code], [1_000, 'busy']);
});

test('questions of servers that are gone, or that were cancelled, are not remembered without end', () => {
  const questions = new Questions();
  const ask = (id: number) => questions.ask({ jsonrpc: '2.0', id, method: 'ping' }).id;
  const cancel = (requestId: number) =>
    questions.cancelled({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId } });
  for (let id = 0; id < 1_500; id++) {
    assert.equal(ask(id), id);
    if (id % 2 === 0) cancel(id);
    else questions.drop('gone');
  }
  assert.equal(ask(0), 0, 'forgotten');
  assert.notEqual(ask(1_499), 1_499, 'the client may still answer it');
  assert.equal(questions.answered(1_498), undefined);
});
