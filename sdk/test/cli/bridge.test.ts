import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { HeldTimers } from '../../../test/support/held-timers.ts';
import { within } from '../../../test/support/wait.ts';
import { Bridge, brokenEnd, type End } from '../../src/cli/bridge.ts';
import { CliError } from '../../src/cli/cli-error.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { fixture, until } from './support/process.ts';
import { Session } from './support/session.ts';

test('messages pass as they are', async (t) => {
  const session = new Session(t, fixture());
  const params = { _meta: { progressToken: 'p-1', 'io.example/x': [1, null, { a: 'ü' }] }, text: 'é\u2028\n"' };
  assert.deepEqual(await session.request('echo', params), { jsonrpc: '2.0', id: 1, result: { params } });
  session.send({ id: 'a string', method: 'echo', params: {} });
  assert.deepEqual((await session.answer('a string')).result, { params: {} });
});

test('a notification before its answer stays before it', async (t) => {
  const session = new Session(t, fixture());
  await session.request('progress');
  assert.deepEqual(
    session.messages.map((message) => message.method ?? 'answer'),
    ['notifications/progress', 'answer'],
  );
});

test('a request of the server is answered by the client', async (t) => {
  const session = new Session(t, fixture());
  session.send({ id: 1, method: 'ask' });
  await until('the question', () => session.messages.some(({ method }) => method === 'sampling/createMessage'));
  session.send({ id: 's-1', result: { role: 'assistant' } });
  assert.deepEqual((await session.answer(1)).result, {
    answer: { jsonrpc: '2.0', id: 's-1', result: { role: 'assistant' } },
  });
});

test('the server dies during a call: the call fails, and the session ends', async (t) => {
  const session = new Session(t, fixture());
  session.send({ id: 1, method: 'silence' });
  const { error } = await session.request('exit').then(() => session.answer(1));
  assert.equal(error?.code, -32_000);
  assert.match(error?.message ?? '', /exited with code 3/);
  assert.deepEqual(error?.data, { code: 'server_exited', retryable: true });
  const ending = await session.ended();
  assert.equal(ending.side, 'upstream');
});

test('what the server said last arrives', async (t) => {
  const session = new Session(t, fixture());
  assert.deepEqual((await session.request('answer-and-exit')).result, { last: true });
  assert.equal((await session.ended()).side, 'upstream');
});

test('the server cannot be started: every request is told so', async (t) => {
  const session = new Session(t, ['/nowhere/to/be-found']);
  assert.match((await session.request('initialize')).error?.message ?? '', /was not found/);
  assert.match((await session.request('initialize')).error?.message ?? '', /was not found/);
  session.input.end();
  assert.equal((await session.ended()).side, 'upstream');
});

test('the client goes: the server gets an error for what it asked, and ends', async (t) => {
  const session = new Session(t, fixture());
  session.send({ id: 1, method: 'ask' });
  await until('the question', () => session.messages.some(({ method }) => method === 'sampling/createMessage'));
  session.input.end();
  // Its answer to request 1 repeats what it was told.
  const { answer } = (await session.answer(1)).result as {
    answer: { error: { code: number; data: { code: string } } };
  };
  assert.equal(answer.error.code, -32_000);
  assert.equal(answer.error.data.code, 'session_closed');
  assert.equal((await session.ended()).side, 'downstream');
});

test('the client closes its output at once: what it sent is delivered and answered', async (t) => {
  const session = new Session(t, fixture());
  for (let id = 1; id <= 50; id++) session.send({ id, method: 'echo', params: { id } });
  session.input.end();
  await session.ended();
  assert.deepEqual(
    session.messages.map(({ result }) => result),
    Array.from({ length: 50 }, (_, index) => ({ params: { id: index + 1 } })),
  );
});

test('the client cannot be written to any more', async (t) => {
  const session = new Session(t, fixture());
  await session.request('echo');
  session.output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
  const ending = await session.ended();
  assert.deepEqual([ending.side, ending.error], ['downstream', undefined]);
});

test('a cancelled request is not waited for', async (t) => {
  // How long the bridge waits for others, which is never over here.
  new HeldTimers(t, 5_000);
  const session = new Session(t, fixture());
  session.send({ id: 'c', method: 'silence' });
  session.send({ method: 'notifications/cancelled', params: { requestId: 'c' } });
  await session.request('echo');
  session.input.end();
  await within(session.ended(), 'the end of the session');
});

test('rubbish on stdout is logged and dropped', async (t) => {
  const session = new Session(t, fixture());
  assert.deepEqual((await session.request('rubbish')).result, {});
  assert.deepEqual(session.logged.slice(1), ['this is not JSON', '{"json":"but no JSON-RPC"}']);
  assert.equal(session.messages.length, 1);
});

test('rubbish of the client is reported and dropped', async (t) => {
  const session = new Session(t, fixture());
  session.input.write('hello?\n\n[]\n');
  await session.request('echo');
  assert.equal(session.errors.length, 2);
});

test('a flood on stderr does no harm', async (t) => {
  const session = new Session(t, fixture());
  assert.deepEqual((await session.request('flood')).result, {});
  await until('the last line', () => session.logged.some((line) => line.startsWith('xxx')));
  assert.equal(session.logged.filter((line) => line.startsWith('flood')).length, 2_000);
  assert.ok(session.logged.every((line) => line.length < 100_000));
});

test('a character split across reads arrives whole, both ways', async (t) => {
  const session = new Session(t, fixture());
  const text = 'naïve 日本語 🦊';
  assert.deepEqual((await session.request('bytewise', { text })).result, { text });
  for (const byte of Buffer.from(
    `${JSON.stringify({ jsonrpc: '2.0', id: 'b', method: 'echo', params: { text } })}\r\n`,
  )) {
    session.input.write(Buffer.of(byte));
  }
  assert.deepEqual((await session.answer('b')).result, { params: { text } });
});

test('a last line without an end is a message', async (t) => {
  const session = new Session(t, fixture());
  session.input.end(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'echo' }));
  assert.deepEqual((await session.answer(1)).result, {});
});

for (const [form, id] of [
  ['first', 1],
  ['last', 'a "string"'],
] as const) {
  test(`an answer that is too long, its id ${form}: it is an error, and the session goes on`, async (t) => {
    const session = new Session(t, fixture());
    session.send({ id: 'open', method: 'ask' });
    session.send({ id, method: 'huge', params: { form } });
    const { error } = await session.answer(id);
    assert.deepEqual([error?.code, error?.data?.code], [-32_000, 'message_too_large']);
    session.send({ id: 's-1', result: {} });
    assert.ok((await session.answer('open')).result);
  });
}

test('a server that does not read: its clients wait, up to a bound', async (t) => {
  const session = new Session(t, [process.execPath, '-e', 'setInterval(() => {}, 60_000)']);
  const text = 'z'.repeat(1_000_000);
  for (let id = 1; id <= 80; id++) session.send({ id, method: 'echo', params: { text } });
  // The reader stops far before 80 MB are in memory.
  await until('a pause', () => session.input.isPaused());
  assert.ok(session.input.readableLength + session.input.writableLength > 70_000_000);
});

test('requests are intercepted where that is asked for', async (t) => {
  const session = new Session(t, fixture('strict'), {
    intercept: ({ id, method }) =>
      method === 'server/discover' ? { jsonrpc: '2.0', id, result: { mine: true } } : undefined,
  });
  assert.deepEqual((await session.request('server/discover')).result, { mine: true });
  assert.equal((await session.request('initialize')).error, undefined);
});

test('what is on its way when one side dies arrives', async () => {
  const arrived: JsonRpcMessage[] = [];
  let closed = false;
  const slow: End = {
    start: async () => {},
    close: async () => void (closed = true),
    async send(message) {
      await setImmediate();
      if (!closed) arrived.push(message);
    },
  };
  const upstream: End = { start: async () => {}, close: async () => {}, send: async () => {} };
  const bridge = new Bridge(slow, upstream, { onerror: () => {} });
  await setImmediate();
  void slow.onmessage?.({ jsonrpc: '2.0', id: 1, method: 'a' });
  void slow.onmessage?.({ jsonrpc: '2.0', id: 2, method: 'b' });
  void upstream.onmessage?.({ jsonrpc: '2.0', id: 1, result: {} });
  upstream.onclose?.();
  assert.deepEqual(await bridge.ended, { side: 'upstream', error: undefined });
  assert.deepEqual(
    arrived.map((message) => 'id' in message && message.id),
    [1, 2],
  );
});

test('an end that cannot be opened: the reason ends both sides', async () => {
  const reason = new CliError('session_closed', 'for no reason');
  assert.deepEqual(await new Bridge(brokenEnd(reason), brokenEnd(reason), { onerror: () => {} }).ended, {
    side: 'upstream',
    error: reason,
  });
});

for (const [side, id] of [
  ['upstream', 1],
  ['downstream', 's-1'],
] as const) {
  test(`the connection of ${side} is lost: what is open gets the reason, which comes with onerror`, async () => {
    const answers: JsonRpcMessage[] = [];
    const end = (): End => ({
      start: async () => {},
      close: async () => {},
      send: async (message) => void ('method' in message || answers.push(message)),
    });
    const [downstream, upstream] = [end(), end()];
    const bridge = new Bridge(downstream, upstream, { onerror: () => {} });
    await setImmediate();
    const [lost, asking] = side === 'upstream' ? [upstream, downstream] : [downstream, upstream];
    await asking.onmessage?.({ jsonrpc: '2.0', id, method: 'a' });
    const reason = new RendezvousError('session_lost', 'Carried out or not: nobody knows.');
    lost.onerror?.(new Error('another one, before'));
    lost.onerror?.(reason);
    lost.onclose?.();
    assert.deepEqual(await bridge.ended, { side, error: reason });
    const error = { code: -32_000, message: reason.message, data: { code: 'session_lost', retryable: false } };
    assert.deepEqual(answers, [{ jsonrpc: '2.0', id, error }]);
  });
}

test('an error that was long before the end is not its reason', async () => {
  const end = (): End => ({ start: async () => {}, close: async () => {}, send: async () => {} });
  const upstream = end();
  const bridge = new Bridge(end(), upstream, { onerror: () => {} });
  await setImmediate();
  upstream.onerror?.(new Error('a message was dropped'));
  await setImmediate();
  upstream.onclose?.();
  assert.deepEqual(await bridge.ended, { side: 'upstream', error: undefined });
});

test('an id that would not come back as it was, or would fill the memory, is refused', async (t) => {
  const session = new Session(t, fixture());
  const long = 'x'.repeat(2_000);
  session.send({ id: long, method: 'silence' });
  assert.match((await session.answer(long)).error?.message ?? '', /at most 1024/);
  session.input.write('{"jsonrpc":"2.0","id":9007199254740993,"method":"echo"}\n');
  await until('the refusal', () => session.messages.length === 2);
  const { id, error } = session.messages[1]!;
  assert.deepEqual([id, error?.code], [undefined, -32_600]);
  assert.match(error?.message ?? '', /2\^53/);
});
