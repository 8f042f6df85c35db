import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { Bridge, type End } from '../../../src/cli/bridge.ts';
import type { AuditedCall, AuditLog } from '../../../src/cli/calls/audit-log.ts';
import { guarded } from '../../../src/cli/calls/guarded-end.ts';
import { toolFilter, type ToolLists } from '../../../src/cli/calls/tool-filter.ts';
import type { JsonRpcId, JsonRpcMessage } from '../../../src/link/message.ts';
import { until } from '../support/process.ts';

const peer = { id: 'p1', subject: 'ada', claims: { sub: 'ada', role: 'client', exp: 0, jti: 'j1' } } as const;

/** One side of a bridge that says what a test has it say. */
class Side implements End {
  onmessage?: End['onmessage'];
  onclose?: End['onclose'];
  readonly received: JsonRpcMessage[] = [];
  onreceived: (message: JsonRpcMessage) => void = () => {};

  async start(): Promise<void> {}
  async send(message: JsonRpcMessage): Promise<void> {
    this.received.push(message);
    this.onreceived(message);
  }
  async close(): Promise<void> {}

  async says(message: object): Promise<void> {
    await this.onmessage?.({ jsonrpc: '2.0', ...message } as JsonRpcMessage);
  }
}

/** A client and a server with a bridge in between, and the operator's rules before the server. */
function setUp(t: TestContext | undefined, lists: ToolLists = {}) {
  const [client, server] = [new Side(), new Side()];
  const calls: AuditedCall[] = [];
  const audit = { write: (call: AuditedCall) => void calls.push(call) } as AuditLog;
  const errors: string[] = [];
  const end = guarded(server, { tools: toolFilter(lists), audit }, peer, 'desk');
  const bridge = new Bridge(client, end, { onerror: ({ message }) => errors.push(message) });
  const close = () => bridge.close(new Error('the test is over'));
  t?.after(close);
  const answerTo = async (id: JsonRpcId) => {
    const find = () => client.received.find((message) => !('method' in message) && message.id === id);
    await until(`an answer to ${id}`, () => find() !== undefined);
    return find() as { result?: Record<string, unknown>; error?: { code: number; message: string; data?: unknown } };
  };
  return { client, server, calls, errors, close, answerTo };
}

const callOf = (id: JsonRpcId | undefined, name: unknown, more: object = {}) => ({
  ...(id === undefined ? {} : { id }),
  method: 'tools/call',
  params: { name, arguments: { secret: 'an argument' }, ...more },
});

const modern = { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } };

test('without rules the server is the same end', () => {
  const end = new Side();
  assert.equal(guarded(end, { tools: undefined, audit: undefined }, peer, 'desk'), end);
});

for (const [version, more] of [
  ['2025-11-25', {}],
  ['2026-07-28', modern],
] as const) {
  test(`${version}: a tool that is not shared is in no list, and a call of it is answered here`, async (t) => {
    const { client, server, calls, answerTo } = setUp(t, { allowTools: ['read*'], denyTools: ['read_secret'] });
    await client.says({ id: 1, method: 'tools/list', params: { ...more } });
    const tools = ['read', 'write', 'read_secret', 'read_it', 5].map((name) => ({ name, inputSchema: {} }));
    const rest = { nextCursor: 'c', ttlMs: 5, cacheScope: 'private' };
    await server.says({ id: 1, result: { tools: [...tools, null], ...rest } });
    const { result } = await answerTo(1);
    assert.deepEqual(result, { tools: [tools[0], tools[3]], ...rest });

    await client.says(callOf('c', 'read_secret', more));
    const { error } = await answerTo('c');
    assert.equal(error?.code, -32_602);
    assert.match(error?.message ?? '', /"read_secret" is not available/);
    assert.deepEqual(error?.data, { code: 'tool_not_allowed', retryable: false });
    await client.says(callOf('d', 'read', more));
    await server.says({ id: 'd', result: { content: [] } });
    assert.deepEqual((await answerTo('d')).result, { content: [] });
    assert.deepEqual(
      server.received.map((message) => 'id' in message && message.id),
      [1, 'd'],
    );
    assert.deepEqual(
      calls.map(({ tool, id, outcome }) => [tool, id, outcome]),
      [
        ['read_secret', 'c', 'denied'],
        ['read', 'd', 'ok'],
      ],
    );
  });
}

test('each call becomes a line with what came of it, and nothing of what was said', async (t) => {
  const { client, server, calls } = setUp(t);
  const answers: Record<string, object> = {
    ok: { result: { content: [{ text: 'a result' }] } },
    tool_error: { result: { content: [{ text: 'a result' }], isError: true } },
    error: { error: { code: -32_050, message: 'a reason' } },
    input_required: { result: { resultType: 'input_required', inputRequests: {} } },
    task: { result: { task: { taskId: 't' } } },
  };
  server.onreceived = (message) => {
    const answer = 'id' in message ? answers[message.id as string] : undefined;
    if (answer) void server.says({ id: (message as { id: JsonRpcId }).id, ...answer });
  };
  for (const id of Object.keys(answers)) await client.says(callOf(id, `tool ${id}`));
  await client.says(callOf('cancelled', 'slow'));
  await client.says({ method: 'notifications/cancelled', params: { requestId: 'cancelled' } });
  await client.says(callOf('unanswered', 'x'.repeat(1_000)));
  await client.says(callOf(7, undefined));
  await client.says(callOf('i'.repeat(1_000), 'a'));
  server.onclose?.();
  await until('all lines', () => calls.length === 9);
  assert.equal(calls.pop()?.id, 'i'.repeat(256));
  assert.deepEqual(
    calls.map(({ id, outcome }) => [id, outcome]),
    [...[...Object.keys(answers), 'cancelled', 'unanswered'].map((id) => [id, id]), [7, 'unanswered']],
  );
  assert.equal(calls[2]?.code, -32_050);
  assert.deepEqual([calls[6]?.tool, calls[7]?.tool], ['x'.repeat(256), null]);
  for (const call of calls) {
    const { time, durationMs, tool, id, outcome, code, ...who } = call;
    assert.deepEqual(who, { room: 'desk', subject: 'ada', jti: 'j1', peer: 'p1' });
    assert.ok(Number.isInteger(durationMs) && !Number.isNaN(Date.parse(time)), `${tool} ${id} ${outcome} ${code}`);
    assert.doesNotMatch(JSON.stringify(call), /an argument|a result|a reason/);
  }
});

test('a client cannot hide a call behind another one with the same id', async (t) => {
  const { client, calls, close } = setUp(t);
  await client.says(callOf(1, 'first'));
  await client.says(callOf(1, 'second'));
  await close();
  assert.deepEqual(
    calls.map(({ tool }) => tool),
    ['first', 'second'],
  );
});

test('a list of tools is without them whatever the client has done to its request', async (t) => {
  const { client, server } = setUp(t, { denyTools: ['hidden'] });
  const listed = { tools: [{ name: 'hidden' }, { name: 'seen' }] };
  await client.says({ id: 1, method: 'tools/list' });
  await client.says({ method: 'notifications/cancelled', params: { requestId: 1 } });
  await client.says({ id: 2, method: 'tools/list' });
  await client.says({ id: 2, method: 'ping' });
  await Promise.all([1, 2, '2', 3].map((id) => server.says({ id, result: listed })));
  await until('the answers', () => client.received.length >= 4);
  assert.doesNotMatch(JSON.stringify(client.received), /hidden/);
});

/** What readers of JSON other than this one could take for a call of the tool `hidden`. */
const disguised: object[] = [
  callOf(undefined, 'hidden'),
  { id: 1, method: 'tools/call', params: { name: 'seen', Name: 'hidden' } },
  { id: 1, method: 'tools/call', params: { NAME: 'hidden', name: 'seen' } },
  { id: 1, method: 'ping', Method: 'tools/call', params: { name: 'hidden' } },
  { id: 1, method: 'tools/call', params: { name: 'seen' }, Params: { name: 'hidden' } },
  { id: 1, method: 'tools/call', params: { name: 'seen' }, 'param\u017f': { name: 'hidden' } },
  { id: 1, result: {}, METHOD: 'tools/call', params: { name: 'hidden' } },
  { ID: 1, method: 'notifications/x', params: { name: 'hidden' }, Method: 'tools/call' },
];
const disguises: object[] = [
  ...disguised,
  callOf(1, ['hidden']),
  callOf(1, null),
  callOf(1, 'hidden '),
  { id: 1, method: 'tools/call' },
];

test('nothing that could be read as a call of a tool that is not shared reaches the server', async (t) => {
  const { client, server } = setUp(t, { allowTools: ['seen'] });
  for (const message of disguises) await client.says(message);
  await client.says({ id: 'last', method: 'ping' });
  await until('the last one', () => server.received.length > 0);
  assert.deepEqual(server.received, [{ jsonrpc: '2.0', id: 'last', method: 'ping' }]);
});

test('without lists, nothing that could be read as a call without a line, or with the line of another one, reaches it', async (t) => {
  const { client, server, calls } = setUp(t);
  for (const message of disguised) await client.says(message);
  await client.says({ id: 'last', method: 'ping' });
  await until('the last one', () => server.received.length > 0);
  assert.deepEqual(server.received, [{ jsonrpc: '2.0', id: 'last', method: 'ping' }]);
  assert.ok(calls.every(({ outcome }) => outcome === 'denied'));
});

test('whatever is called: the server gets the tools that are shared, and each call one answer and one line', async () => {
  const names = fc.constantFrom('seen', 'hidden', 'see', 'SEEN', 'seen_2', 'hidden_2');
  const ids = fc.uniqueArray(fc.oneof(fc.nat(50), fc.string({ maxLength: 4 })), {
    minLength: 1,
    maxLength: 20,
    selector: String,
  });
  const property = fc.asyncProperty(ids, fc.array(names, { minLength: 20, maxLength: 20 }), async (all, tools) => {
    const { client, server, calls, close } = setUp(undefined, { allowTools: ['seen*'], denyTools: ['*_2'] });
    server.onreceived = (message) => {
      if ('id' in message && message.id !== undefined) void server.says({ id: message.id, result: {} });
    };
    await Promise.all(all.map((id, index) => client.says(callOf(id, tools[index]))));
    await close();
    const seen = server.received.map((message) => ('params' in message ? message.params?.['name'] : undefined));
    assert.ok(seen.every((name) => name === 'seen'));
    const answers = client.received.map((message) => ('id' in message ? message.id : undefined));
    assert.deepEqual([answers.length, new Set(answers)], [all.length, new Set(all)]);
    const expected = all.map((id, index) => [id, tools[index], tools[index] === 'seen' ? 'ok' : 'denied']);
    const lines = calls.map(({ id, tool, outcome }) => [id, tool, outcome]);
    assert.deepEqual([lines.length, new Set(lines.map(String))], [all.length, new Set(expected.map(String))]);
  });
  await fc.assert(property, { seed: 22, numRuns: 100 });
});
