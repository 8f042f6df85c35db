import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { Child } from '../../src/cli/child.ts';
import { parseMessage } from '../../src/link/reading.ts';
import { Bridge } from '../../src/cli/bridge.ts';
import { HttpUpstream } from '../../src/cli/http/upstream.ts';
import { Stdio } from '../../src/cli/stdio.ts';
import { PassThrough } from 'node:stream';
import { startGateway } from './support/gateway.ts';
import { type Body, json, messages, post, result, serve } from './support/http.ts';
import { answersIn, malformedRequests, malformedResponses, obedient, seed } from './support/malformed.ts';
import { until } from './support/process.ts';
import { Session } from './support/session.ts';

/** Resolves when each of these has an answer. */
async function allAnswered(cases: readonly { id: string; line: string }[], answered: () => Set<unknown>) {
  const missing = () => cases.filter(({ id }) => !answered().has(id));
  const done = () => missing().length === 0;
  await until('an answer to each', done).catch(() => assert.fail(`No answer to ${missing()[0]?.line}`));
}

const idsOf = (session: Session) => new Set<unknown>(session.messages.map(({ id }) => id));

test(`a client's malformed request is answered under its id (seed ${seed})`, async (t) => {
  const session = new Session(t, obedient);
  const cases = malformedRequests('c');
  for (const { line } of cases) session.input.write(`${line}\n`);
  await allAnswered(cases, () => idsOf(session));
  assert.ok(session.messages.every(({ error }) => error !== undefined));
});

test("a server's malformed response: whoever waits for it gets it, or an error", async (t) => {
  const session = new Session(t, obedient);
  const cases = malformedResponses('c');
  for (const { id, line } of cases) session.send({ id, method: 'write', params: { text: `${line}\n` } });
  await allAnswered(cases, () => idsOf(session));
  assert.equal(session.messages.length, cases.length);
});

test("a server's malformed request is answered under its id", async (t) => {
  const session = new Session(t, obedient);
  const cases = malformedRequests('s');
  const text = cases.map(({ line }) => `${line}\n`).join('');
  session.send({ method: 'notifications/write', params: { text } });
  await allAnswered(cases, () => answersIn(session.logged));
  assert.deepEqual(session.messages, []);
});

test("a client's malformed response: the server that waits for it gets it, or an error", async (t) => {
  const session = new Session(t, obedient);
  const cases = malformedResponses('s');
  session.send({ method: 'notifications/ask', params: { ids: cases.map(({ id }) => id) } });
  await until('all questions', () => session.messages.length === cases.length);
  for (const { line } of cases) session.input.write(`${line}\n`);
  await allAnswered(cases, () => answersIn(session.logged));
});

test('what is neither a request nor a response is the answer where one is waited for', async (t) => {
  const session = new Session(t, obedient);
  session.send({ method: 'notifications/ask', params: { ids: ['s'] } });
  await until('the question', () => session.messages.length === 1);
  session.input.write('{"jsonrpc":"2.0","id":"s"}\n{"jsonrpc":"2.0","id":"c"}\n');
  await until('both answers', () => session.messages.length === 2 && answersIn(session.logged).has('s'));
  assert.deepEqual([session.messages[1]?.id, session.messages[1]?.error?.code], ['c', -32_600]);
});

const onlyItems = (t: TestContext) => {
  const lines: string[] = [];
  const [command, ...args] = obedient;
  const onoutput = (line: string) => void lines.push(line);
  return { lines, spawn: () => new Child({ command, args, env: process.env, onoutput }), t };
};

test('the same over HTTP: what a client posts, and what its server says', async (t) => {
  const { lines, spawn } = onlyItems(t);
  const { url, open } = await startGateway(t, spawn);
  const headers = await open();
  const raw = (body: string) =>
    fetch(url, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
      body,
    });
  for (const { id, line } of malformedRequests('c').slice(0, 40)) {
    const response = await raw(line);
    const body = (await response.json()) as Body;
    assert.deepEqual([response.status, body.id, typeof body.error?.message], [400, id, 'string'], line);
  }
  for (const { id, line } of malformedResponses('c').slice(0, 40)) {
    const asked = await post(url, { id, method: 'write', params: { text: `${line}\n` } }, headers);
    const [answer] = await messages(asked);
    assert.equal(answer?.id, id, line);
  }
  const answers = malformedResponses('s').slice(0, 40);
  await post(url, { method: 'notifications/ask', params: { ids: answers.map(({ id }) => id) } }, headers);
  for (const { line } of answers) await (await raw(line)).body?.cancel();
  await allAnswered(answers, () => answersIn(lines));
});

for (const form of ['JSON', 'events'] as const) {
  test(`the same from a server behind a URL, in ${form}`, async (t) => {
    const cases = new Map(
      malformedResponses('c')
        .slice(0, 40)
        .map(({ id, line }) => [id, line]),
    );
    const questions = malformedRequests('s').slice(0, 40);
    const toServer: unknown[] = [];
    const { url } = await serve(t, ({ response, body }) => {
      if (body.method === 'initialize') return json(response, result(body.id, { protocolVersion: '2025-11-25' }));
      if (body.method === undefined) toServer.push(body.id);
      if (body.id === undefined || body.method === undefined) return response.writeHead(202).end();
      if (form === 'JSON') {
        return response.writeHead(200, { 'content-type': 'application/json' }).end(cases.get(String(body.id)));
      }
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      // Stays open: the end of the stream would be an answer, too.
      const lines = body.id === 'c-0' ? questions.map(({ line }) => line) : [];
      return response.write([...lines, cases.get(String(body.id))].map((line) => `data: ${line}\n\n`).join(''));
    });
    const input = new PassThrough();
    const output = new PassThrough();
    const ids = new Set<unknown>();
    let text = '';
    output.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      for (const line of text.split('\n').slice(0, -1)) ids.add((JSON.parse(line) as Body).id);
    });
    const bridge = new Bridge(new Stdio(input, output), new HttpUpstream({ url, headers: {} }), { onerror: () => {} });
    t.after(() => bridge.close(new Error('the test is over')));
    const send = (message: object) => input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
    send({ id: 'first', method: 'initialize', params: {} });
    for (const id of cases.keys()) send({ id, method: 'x' });
    await allAnswered(
      [...cases].map(([id, line]) => ({ id, line })),
      () => ids,
    );
    if (form === 'events') await allAnswered(questions, () => new Set(toServer));
  });
}

test('the same over a data channel: the sender gets an error, or the one who waits here', () => {
  for (const { id, line } of malformedRequests('c')) {
    const parsed = parseMessage(line);
    assert.ok(parsed.type === 'invalid' && (parsed.reply?.id === id || parsed.instead?.id === id), line);
  }
  for (const { id, line } of malformedResponses('c')) {
    const parsed = parseMessage(line);
    const answer = parsed.type === 'message' ? parsed.message : parsed.instead;
    assert.ok(answer && 'id' in answer && answer.id === id, line);
  }
});

test('a notification whose params are null passes without them', async (t) => {
  const session = new Session(t, obedient);
  const line = '{"jsonrpc":"2.0","method":"notifications/hello","params":null}\n';
  session.send({ method: 'notifications/write', params: { text: line } });
  await until('it', () => session.messages.length === 1);
  assert.deepEqual(session.messages, [{ jsonrpc: '2.0', method: 'notifications/hello' }]);
});
