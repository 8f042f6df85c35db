import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import test, { type TestContext } from 'node:test';
import { Bridge, type End } from '../../src/cli/bridge.ts';
import { Child } from '../../src/cli/child.ts';
import type { CliError } from '../../src/cli/cli-error.ts';
import { writeMessage } from '../../src/cli/jsonlines.ts';
import { UnclaimedErrors } from '../../src/cli/unclaimed-errors.ts';
import type { JsonRpcError, JsonRpcId, JsonRpcMessage } from '../../src/link/message.ts';
import { startGateway } from './support/gateway.ts';
import { messages, post } from './support/http.ts';
import { answersIn, obedient } from './support/malformed.ts';
import { until } from './support/process.ts';
import { Session } from './support/session.ts';

/** A session of a server that writes these texts to its standard output, one for each request. */
async function written(t: TestContext, texts: readonly string[]): Promise<Session> {
  const session = new Session(t, obedient);
  for (const [index, text] of texts.entries()) session.send({ id: `c${index}`, method: 'write', params: { text } });
  return session;
}
const answer = (index: number) => `{"jsonrpc":"2.0","id":"c${index}","result":{"n":${index}}}`;

test('what stands before or behind a message on its line does not hide it', async (t) => {
  const session = await written(t, [
    `info: listening ${answer(0)}\n`,
    `\u001b[32m${answer(1)}\u001b[0m\n`,
    `\ufeff${answer(2)}\n`,
    `loaded {"a": {"b": "}"}} in 3 ms {${answer(3)}\n`,
    `${answer(4)}done\n`,
    `${answer(5)}{"jsonrpc":"2.0","method":"notifications/x"}\n`,
  ]);
  for (let index = 0; index < 6; index++) {
    assert.deepEqual((await session.answer(`c${index}`)).result, { n: index });
  }
  await until('the notification', () => session.messages.some(({ method }) => method === 'notifications/x'));
  assert.deepEqual(session.logged, ['info: listening', 'loaded {"a": {"b": "}"}} in 3 ms {', 'done']);
});

test('a log of what the server received is not taken for what it says', async (t) => {
  const session = new Session(t, obedient);
  const text = [
    'got {"jsonrpc":"2.0","id":"c","method":"write"}\n',
    'got {"jsonrpc":"2.0","method":"notifications/initialized"}\n',
    'asks {"jsonrpc":"2.0","id":"s","method":"ping"}\n',
  ].join('');
  session.send({ id: 'c', method: 'write', params: { text } });
  await until('the question', () => session.messages.length > 0);
  session.input.write('{"jsonrpc":"2.0","id":"s","result":{}}\n');
  await until('its answer', () => answersIn(session.logged).has('s'));
  assert.deepEqual(session.messages, [{ jsonrpc: '2.0', id: 's', method: 'ping' }]);
});

test('a batch is read as the messages that it holds', async (t) => {
  const session = new Session(t, obedient);
  const call = (id: string) => `{"jsonrpc":"2.0","id":"${id}","method":"echo"}`;
  session.input.write(`[${call('a')},5,${call('b')},{"jsonrpc":"2.0","id":"c","method":"echo","params":[]}]\n`);
  assert.deepEqual((await session.answer('a')).result, {});
  assert.deepEqual((await session.answer('b')).result, {});
  assert.equal((await session.answer('c')).error?.code, -32_600);
});

test('what is nested too deeply is answered, both ways', async (t) => {
  const deep = `${'[{"a":'.repeat(3_000)}1${'}]'.repeat(3_000)}`;
  const session = await written(t, [`{"jsonrpc":"2.0","id":"s","method":"x","params":{"a":${deep}}}\n`]);
  session.input.write(`{"jsonrpc":"2.0","id":"deep","method":"x","params":{"a":${deep}}}\n`);
  assert.match((await session.answer('deep')).error?.message ?? '', /nested deeper/);
  await until('the answer to the server', () => answersIn(session.logged).has('s'));
});

const long = JSON.stringify('y\\"{}[],:'.repeat(1_000_000));
const shapes: Record<string, (id: string, rest: string) => string> = {
  first: (id, rest) => `{"jsonrpc":"2.0","id":${id},${rest}}`,
  last: (id, rest) => `{${rest},"jsonrpc":"2.0","id": ${id} }`,
  'in the middle': (id, rest) => `{"x":{"id":99},"y":${long}, "id" :${id},${rest},"z":[{"id":98}]}`,
};
for (const [place, shape] of Object.entries(shapes)) {
  test(`a line that is too long, its id ${place}: what it is about is answered, and the session goes on`, async (t) => {
    const session = new Session(t, obedient);
    session.send({ id: 'c', method: 'silence' });
    session.send({ method: 'notifications/ask', params: { ids: ['s'] } });
    await until('the question', () => session.messages.length === 1);
    session.input.write(`${shape('7', `"method":"echo","params":{"t":${long}}`)}\n`);
    session.input.write(`${shape('"s"', `"result":{"t":${long}}`)}\n`);
    session.input.write(`{"jsonrpc":"2.0","method":"notifications/x","params":{"t":${long}}}\n`);
    const { error } = await session.answer(7);
    assert.deepEqual([error?.code, error?.data?.code], [-32_000, 'message_too_large']);
    await until('an answer to the server', () => answersIn(session.logged).has('s'));
    assert.deepEqual((await session.request('echo')).result, {});
  });
}

test('a server that closes its standard output and lives: what is pending ends, and so does the session', async (t) => {
  const code = `
    require('readline').createInterface({ input: process.stdin }).on('line', () => require('fs').closeSync(1));
    setInterval(() => {}, 60_000)`;
  const session = new Session(t, [process.execPath, '-e', code]);
  session.send({ id: 1, method: 'x' });
  const { error } = await session.answer(1);
  assert.deepEqual(
    [error?.data?.code, error?.message],
    ['server_exited', 'The MCP server closed its standard output.'],
  );
  const { side, error: reason } = await session.ended();
  assert.deepEqual([side, (reason as CliError).code], ['upstream', 'server_exited']);
});

test('an error without an id answers the only request that it can be about', async (t) => {
  const { url, open } = await startGateway(t, () => {
    const [command, ...args] = obedient;
    return new Child({ command, args, env: process.env, onoutput: () => {} });
  });
  const headers = await open();
  const text = '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}\n';
  const [first] = await messages(await post(url, { id: 7, method: 'write', params: { text } }, headers));
  assert.deepEqual(first, { jsonrpc: '2.0', id: 7, error: { code: -32_700, message: 'Parse error' } });
});

test('errors without an id find their requests as the others are answered', () => {
  const pending = new Set<JsonRpcId>([1, 2, 3, 4]);
  const claimed: [JsonRpcId, string][] = [];
  const errors = new UnclaimedErrors(pending, (id, { error }) => {
    pending.delete(id);
    claimed.push([id, error.message]);
  });
  const error = (message: string): JsonRpcError => ({ jsonrpc: '2.0', error: { code: 1, message } });
  const answered = (id: number) => {
    pending.delete(id);
    errors.check();
  };
  assert.equal(errors.add(error('a')), true);
  pending.add(5);
  assert.equal(errors.add(error('b')), true);
  answered(2);
  answered(3);
  assert.deepEqual(claimed, []);
  answered(4);
  assert.deepEqual(claimed, [
    [1, 'a'],
    [5, 'b'],
  ]);
  assert.equal(errors.add(error('c')), false, 'nobody waits');
});

test('an answer that cannot be handed over becomes an error', async () => {
  const taken: JsonRpcMessage[] = [];
  const input = new PassThrough();
  const deep: Record<string, unknown> = {};
  deep['itself'] = deep;
  const downstream: End = {
    start: async () => {},
    close: async () => {},
    async send(message) {
      await writeMessage(input, message);
      taken.push(message);
    },
  };
  const upstream: End = { start: async () => {}, close: async () => {}, send: async () => {} };
  const bridge = new Bridge(downstream, upstream, { onerror: () => {} });
  await downstream.onmessage?.({ jsonrpc: '2.0', id: 1, method: 'x' });
  await upstream.onmessage?.({ jsonrpc: '2.0', id: 1, result: deep });
  assert.deepEqual(
    taken.map((message) => 'error' in message && message.id),
    [1],
  );
  await bridge.close(new Error('the test is over'));
});
