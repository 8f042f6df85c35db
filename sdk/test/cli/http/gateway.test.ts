import assert from 'node:assert/strict';
import test from 'node:test';
import { brokenEnd } from '../../../src/cli/bridge.ts';
import { Child } from '../../../src/cli/child.ts';
import { HttpUpstream } from '../../../src/cli/http/upstream.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { hello, startGateway } from '../support/gateway.ts';
import { StandingServer } from '../../../src/cli/standing-bridge/standing-server.ts';
import { eachMessage, type Exchange, json, messages, post, postModern, result, serve } from '../support/http.ts';
import { runs, until } from '../support/process.ts';

test('a session: initialize, a call, a notification, DELETE', async (t) => {
  const { url, children, open } = await startGateway(t);
  const headers = await open();
  assert.match(headers['mcp-session-id'], /^[\x21-\x7e]{16,}$/);
  assert.equal((await post(url, { method: 'notifications/initialized' }, headers)).status, 202);
  const [answer] = await messages(await post(url, { id: 'a', method: 'echo', params: { text: 'ü' } }, headers));
  assert.deepEqual(answer, { jsonrpc: '2.0', id: 'a', result: { params: { text: 'ü' } } });
  const pid = children[0]!.pid!;
  assert.equal((await fetch(url, { method: 'DELETE', headers })).status, 200);
  await until('the end of its process', () => !runs(pid));
  assert.equal((await post(url, { id: 1, method: 'echo' }, headers)).status, 404);
});

test('sessions do not see each other', async (t) => {
  const { url, children, open } = await startGateway(t);
  const [first, second] = [await open(), await open()];
  assert.notEqual(first['mcp-session-id'], second['mcp-session-id']);
  const pids = await Promise.all(
    [first, second].map(async (headers) => {
      const [answer] = await messages(await post(url, { id: 7, method: 'seen' }, headers));
      return answer?.result?.['pid'];
    }),
  );
  assert.deepEqual(
    pids,
    children.map(({ pid }) => pid),
  );
});

test('what belongs to a call is on its stream, a question of the server among it', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  const progress = { id: 1, method: 'progress', params: { _meta: { progressToken: 'p' } } };
  const order = (await messages(await post(url, progress, headers))).map(({ method }) => method ?? 'answer');
  assert.deepEqual(order, ['notifications/progress', 'answer']);
  const stream = eachMessage(await post(url, { id: 2, method: 'ask' }, headers));
  assert.equal((await stream.next()).value?.method, 'sampling/createMessage');
  const answer = { id: 's-1', result: { text: 'yes' } };
  assert.equal((await post(url, answer, headers)).status, 202);
  assert.deepEqual((await stream.next()).value, {
    jsonrpc: '2.0',
    id: 2,
    result: { answer: { jsonrpc: '2.0', ...answer } },
  });
});

test('a message of the server goes to the stream of its request, even if another one is newer', async (t) => {
  const streams: Exchange[] = [];
  const upstream = await serve(t, (exchange) => {
    const { response, body } = exchange;
    if (body.method === 'initialize') return json(response, result(body.id, { protocolVersion: '2025-11-25' }));
    streams.push(exchange);
    return response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
  });
  const { url, open } = await startGateway(t, () => new HttpUpstream({ url: upstream.url, headers: {} }));
  const headers = await open();
  const answers: Response[] = [];
  for (const id of [1, 2]) {
    answers.push(await post(url, { id, method: 'x' }, headers));
    await until('the request', () => streams.length === id);
  }
  for (const [index, { response, body }] of streams.entries()) {
    const note = { jsonrpc: '2.0', method: 'notifications/note' };
    response.end(`data: ${JSON.stringify(note)}\n\ndata: ${JSON.stringify(result(body.id))}\n\n`);
    const order = (await messages(answers[index]!)).map(({ method, id }) => method ?? id);
    assert.deepEqual(order, ['notifications/note', body.id]);
  }
});

test('a stream that broke is resumed with Last-Event-ID; what came before is not repeated', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  const abort = new AbortController();
  const ids: string[] = [];
  const stream = eachMessage(await post(url, { id: 2, method: 'ask' }, headers, abort.signal), ids);
  assert.equal((await stream.next()).value?.method, 'sampling/createMessage');
  abort.abort();
  await assert.rejects(stream.next());
  await post(url, { id: 's-1', result: {} }, headers);
  const last = ids.at(-1) ?? '';
  const resume = () =>
    fetch(url, { headers: { ...headers, accept: 'text/event-stream', 'last-event-id': last } }).then(messages);
  const [answer, ...rest] = await resume();
  assert.equal(answer?.id, 2);
  assert.deepEqual(rest, []);
  assert.equal((await resume())[0]?.id, 2, 'and again, as nobody knows what arrived');
});

test('an id that is taken is refused, so that neither request waits in vain', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  const first = eachMessage(await post(url, { id: 2, method: 'ask' }, headers));
  await first.next();
  const second = await post(url, { id: 2, method: 'echo' }, headers);
  assert.deepEqual([second.status, (await messages(second))[0]?.id], [400, 2]);
  await post(url, { id: 's-1', result: {} }, headers);
  assert.equal((await first.next()).value?.id, 2);
  assert.equal((await messages(await post(url, { id: 2, method: 'echo' }, headers)))[0]?.id, 2);
});

test('what the server says unasked is on the GET stream, from before it was there on', async (t) => {
  const code = `
    const say = (m) => console.log(JSON.stringify({ jsonrpc: '2.0', ...m }));
    process.stdin.once('data', () => {
      say({ id: 0, result: { protocolVersion: '2025-11-25' } });
      say({ method: 'notifications/one' });
      process.stdin.on('data', () => say({ method: 'notifications/two' }));
    });`;
  const { url, open } = await startGateway(t, () => {
    return new Child({ command: process.execPath, args: ['-e', code], env: process.env, onoutput: () => {} });
  });
  const headers = await open();
  const listen = await fetch(url, { headers: { ...headers, accept: 'text/event-stream' } });
  const stream = eachMessage(listen);
  assert.equal((await stream.next()).value?.method, 'notifications/one');
  await post(url, { method: 'notifications/initialized' }, headers);
  assert.equal((await stream.next()).value?.method, 'notifications/two');
});

test('the server dies: open calls get an error, and the session is over', async (t) => {
  const { url, children, open } = await startGateway(t);
  const headers = await open();
  const pending = post(url, { id: 1, method: 'silence' }, headers);
  const stream = await pending;
  process.kill(children[0]!.pid!, 'SIGKILL');
  const [answer] = await messages(stream);
  assert.match(JSON.stringify(answer), /was killed by SIGKILL.*server_exited/);
  await until('the end of the session', () =>
    fetch(url, { method: 'DELETE', headers }).then(({ status }) => status === 404),
  );
  await open();
});

test('a server that cannot be reached: initialize is answered with the reason, and begins no session', async (t) => {
  const { url } = await startGateway(
    t,
    () => new Child({ command: '/nowhere', args: [], env: {}, onoutput: () => {} }),
  );
  const response = await post(url, hello);
  assert.equal(response.headers.get('mcp-session-id'), null);
  assert.match(await response.text(), /command was not found.*server_failed/);
  const modern = await postModern(url, 1, 'tools/list');
  assert.match(await modern.text(), /command was not found.*server_failed/);
});

test('2026-07-28: clients share a connection, and each has its own ids', async (t) => {
  const { url, children } = await startGateway(t);
  const calls = ['a', 'b', 'c'].map((text) => postModern(url, 1, 'echo', { params: { text } }));
  const answers = await Promise.all(calls.map(async (call) => (await messages(await call))[0]));
  assert.deepEqual(
    answers.map((answer) => [answer?.id, (answer?.result?.['params'] as { text: string } | undefined)?.text]),
    [
      [1, 'a'],
      [1, 'b'],
      [1, 'c'],
    ],
  );
  assert.equal(children.length, 1);
  const progress = ['x', 'x', 'y'].map((progressToken) => postModern(url, 5, 'progress', { meta: { progressToken } }));
  for (const [index, call] of progress.entries()) {
    const [notification, answer] = await messages(await call);
    assert.deepEqual(notification?.params, { progressToken: ['x', 'x', 'y'][index], progress: 1 });
    assert.equal(answer?.id, 5);
  }
  const listening = await Promise.all([
    postModern(url, 'sub', 'subscriptions/listen'),
    postModern(url, 'sub', 'subscriptions/listen'),
  ]);
  for (const response of listening) {
    const { value } = await eachMessage(response).next();
    assert.deepEqual(value?.params, { _meta: { 'io.modelcontextprotocol/subscriptionId': 'sub' } });
  }
});

test('2026-07-28: a client that closes its request cancels it', async (t) => {
  const { url, lines } = await startGateway(t);
  await messages(await postModern(url, 1, 'echo')); // number 1 on the connection
  const abort = new AbortController();
  const silent = postModern(url, 9, 'silence', {}, abort.signal);
  const gone = assert.rejects(silent);
  await messages(await postModern(url, 1, 'echo'));
  abort.abort();
  await gone;
  await until('the server hears of it', () => lines.includes('cancelled 2'));
});

test('2026-07-28: errors have the HTTP status that the specification asks for', async (t) => {
  const { url } = await startGateway(t);
  const status = async (call: Promise<Response>) => {
    const response = await call;
    const [answer] = await messages(response);
    return [response.status, answer?.error?.code, answer?.id];
  };
  assert.deepEqual(await status(postModern(url, 3, 'nonsense')), [404, -32_601, 3]);
  const meta = { 'io.modelcontextprotocol/clientCapabilities': undefined };
  assert.deepEqual(await status(postModern(url, 3, 'echo', { meta })), [400, -32_602, 3]);
  for (const headers of [{ 'mcp-method': 'other' }, { 'mcp-protocol-version': '2026-08-01' }]) {
    assert.deepEqual(await status(postModern(url, 3, 'echo', { headers })), [400, -32_020, 3]);
  }
  const params = { name: 'größe' };
  assert.deepEqual(await status(postModern(url, 3, 'tools/call', { params })), [400, -32_020, 3]);
  const wrong = { 'mcp-name': '=?base64?Z3LDtsOfZQ===?=' };
  assert.deepEqual(await status(postModern(url, 3, 'tools/call', { params, headers: wrong })), [400, -32_020, 3]);
  const right = { 'mcp-name': `=?base64?${Buffer.from('größe').toString('base64')}?=` };
  assert.deepEqual(await status(postModern(url, 3, 'tools/call', { params, headers: right })), [404, -32_601, 3]);
});

test('2026-07-28: the connection dies, and the next request opens another one', async (t) => {
  const { url, children } = await startGateway(t);
  await messages(await postModern(url, 1, 'echo'));
  const pending = postModern(url, 2, 'silence');
  await messages(await postModern(url, 1, 'echo'));
  process.kill(children[0]!.pid!, 'SIGKILL');
  assert.match(await (await pending).text(), /session_closed|server_exited/);
  const [answer] = await messages(await postModern(url, 3, 'echo'));
  assert.equal(answer?.id, 3);
  assert.equal(children.length, 2);
});

test('requests that are refused before anybody is asked', async (t) => {
  const { url, children, open } = await startGateway(t);
  const plain = (path: string, init: RequestInit = {}) => fetch(new URL(path, url), init).then(({ status }) => status);
  const body = JSON.stringify({ jsonrpc: '2.0', ...hello });
  const both = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
  const cases: [number, string, RequestInit?][] = [
    [404, '/'],
    [405, '/mcp', { method: 'PUT' }],
    [
      406,
      '/mcp',
      { method: 'POST', body, headers: { 'content-type': 'application/json', accept: 'application/json' } },
    ],
    [415, '/mcp', { method: 'POST', body, headers: { ...both, 'content-type': 'text/plain' } }],
    [400, '/mcp', { method: 'POST', body: '{', headers: both }],
    [400, '/mcp', { method: 'POST', body: '[]', headers: both }],
    [400, '/mcp', { method: 'POST', body: '{"id":null,"method":"x","jsonrpc":"2.0"}', headers: both }],
    [400, '/mcp', { method: 'POST', body: body.replace('initialize', 'tools/list'), headers: both }],
    [413, '/mcp', { method: 'POST', body: `"${'x'.repeat(11 * 1024 * 1024)}"`, headers: both }],
    [400, '/mcp', { headers: { accept: 'text/event-stream' } }],
    [406, '/mcp', { headers: { accept: 'text/html' } }],
    [405, '/mcp', { headers: { accept: 'text/event-stream', 'mcp-protocol-version': '2026-07-28' } }],
    [400, '/mcp', { method: 'DELETE' }],
  ];
  for (const [status, path, init] of cases) {
    assert.equal(await plain(path, init), status, JSON.stringify(init)?.slice(0, 200));
  }
  assert.equal(children.length, 0);
  const headers = await open();
  const unknown = { ...headers, 'mcp-session-id': 'x' };
  assert.equal((await post(url, { id: 1, method: 'echo' }, unknown)).status, 404);
  assert.equal(
    (await post(url, { id: 1, method: 'echo' }, { ...headers, 'mcp-protocol-version': '1900-01-01' })).status,
    400,
  );
});

test('there are only so many sessions', async (t) => {
  const silent = await serve(t, () => {});
  const { url } = await startGateway(t, () => new HttpUpstream({ url: silent.url, headers: {} }));
  const abort = new AbortController();
  // Aborted below.
  const waiting = Array.from({ length: 100 }, () => post(url, hello, {}, abort.signal).catch(() => {}));
  let said = '';
  await until('the last one', async () => {
    const soon = AbortSignal.timeout(2_000);
    // It has got a session, whose server is silent.
    const response = await post(url, hello, {}, soon).catch(() => undefined);
    if (response?.status === 503) said = await response.text().catch(() => '');
    return said !== '';
  });
  assert.match(said, /The limit of 100 sessions is reached/);
  abort.abort();
  await Promise.all(waiting);
  // Those who did not wait for the answer have no session.
  await until('a free place', async () => {
    const soon = AbortSignal.timeout(2_000);
    // The same: it has got a place.
    return (await post(url, hello, {}, soon).catch(() => undefined))?.status !== 503;
  });
});

test('a hundred who left without a word: the session that was idle for longest makes room', async (t) => {
  const { url, open } = await startGateway(t, () => new HttpUpstream({ url: upstream.url, headers: {} }));
  const upstream = await serve(t, ({ request, response, body }) => {
    if (request.method !== 'POST' || body.method === 'silence') return undefined;
    return json(response, result(body.id, { protocolVersion: '2025-11-25' }));
  });
  const [busy, oldest, second] = [await open(), await open(), await open()];
  const pending = post(url, { id: 1, method: 'silence' }, busy);
  await Promise.all(Array.from({ length: 97 }, open));
  await messages(await post(url, { id: 1, method: 'echo' }, second));
  await open();
  const status = async (headers: Record<string, string>) =>
    (await post(url, { id: 2, method: 'echo' }, headers)).status;
  assert.deepEqual([await status(oldest), await status(second), await status(busy)], [404, 200, 200]);
  await (await pending).body?.cancel();
});

test('a server that takes no more: the client is told, and the session that was idle for longest makes room', async (t) => {
  const upstream = await serve(t, ({ response, body }) =>
    json(response, result(body.id, { protocolVersion: '2025-11-25' })),
  );
  let busy = false;
  const session = () =>
    busy
      ? brokenEnd(new RendezvousError('busy', 'Try again later.', { retryable: true }))
      : new HttpUpstream({ url: upstream.url, headers: {} });
  const { url, open } = await startGateway(
    t,
    () =>
      new StandingServer({
        connect: session,
        waitMs: 20_000,
        timeoutMs: 30_000,
        renewable: () => false,
        say: () => {},
      }),
  );
  const [oldest, second] = [await open(), await open()];
  busy = true;
  const refused = await post(url, hello);
  assert.match(await refused.text(), /"code":"busy","retryable":true/);
  const status = async (headers: Record<string, string>) =>
    (await post(url, { id: 2, method: 'echo' }, headers)).status;
  await until('the place', async () => (await status(oldest)) === 404);
  busy = false;
  assert.equal(await status(second), 200);
  await open();
});

test('an id that would not come back as it was is refused', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = { ...(await open()), 'content-type': 'application/json', accept: '*/*' };
  const unsafe = '9007199254740993';
  const ask = (body: string) => fetch(url, { method: 'POST', headers, body });
  const response = await ask(`{"jsonrpc":"2.0","id":${unsafe},"method":"echo"}`);
  assert.equal(response.status, 400);
  const { id, error } = (await response.json()) as { id: unknown; error: { code: number; message: string } };
  assert.deepEqual([id, error.code], [null, -32_600]);
  assert.match(error.message, /2\^53.*string\.$/);
  assert.equal((await ask(`{"jsonrpc":"2.0","id":"${'x'.repeat(2_000)}","method":"echo"}`)).status, 400);
});

test('a rejection ends with one full stop', async (t) => {
  const { url } = await startGateway(t);
  const headers = { 'content-type': 'application/json', accept: '*/*' };
  const response = await fetch(url, { method: 'POST', headers, body: `"${'x'.repeat(11 * 1024 * 1024)}"` });
  assert.match(((await response.json()) as { error: { message: string } }).error.message, /[^.]\.$/);
});
