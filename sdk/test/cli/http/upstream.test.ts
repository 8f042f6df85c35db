import assert from 'node:assert/strict';
import { once } from 'node:events';
import test, { type TestContext } from 'node:test';
import { HttpUpstream } from '../../../src/cli/http/upstream.ts';
import { TimeLimits } from '../../../../test/support/time-limits.ts';
import type { JsonRpcMessage } from '../../../src/link/message.ts';
import { type Body, type Exchange, json, result, serve } from '../support/http.ts';
import { until } from '../support/process.ts';

const initialize = { jsonrpc: '2.0', id: 0, method: 'initialize', params: {} } as const;
const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' } as const;
const call = (id: number | string, method: string, params: Record<string, unknown> = {}) =>
  ({ jsonrpc: '2.0', id, method, params }) as const;
const modern = (id: number, method: string, params: Record<string, unknown> = {}) =>
  call(id, method, { ...params, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } });
const events = { 'content-type': 'text/event-stream' };

/** An upstream, and what came of it. */
class Client {
  readonly upstream: HttpUpstream;
  readonly messages: { message: Body; related?: unknown }[] = [];
  readonly errors: Error[] = [];
  closed: unknown;

  constructor(t: TestContext, url: URL, headers: Record<string, string> = {}) {
    this.upstream = new HttpUpstream({ url, headers });
    this.upstream.onmessage = (message, meta) =>
      void this.messages.push({ message: message as Body, related: meta?.relatedRequestId });
    this.upstream.onerror = (error) => void this.errors.push(error);
    this.upstream.onclose = (error) => (this.closed = error ?? 'closed');
    t.after(() => this.upstream.close());
  }

  async answer(id: number | string): Promise<Body> {
    const find = () => this.messages.find(({ message }) => message.id === id && message.method === undefined);
    await until(`an answer to ${id}`, () => find() !== undefined);
    return find()!.message;
  }

  async request(message: JsonRpcMessage & { id: number | string }): Promise<Body> {
    await this.upstream.send(message);
    return await this.answer(message.id);
  }
}

/** A server of 2025-11-25 with one session; `more` answers what it does not know. */
const stateful =
  (more: (exchange: Exchange) => unknown, seen: Exchange[] = []) =>
  (exchange: Exchange) => {
    const { request, response, body } = exchange;
    seen.push(exchange);
    if (body.method === 'initialize') {
      return json(response, result(body.id, { protocolVersion: '2025-11-25' }), { 'mcp-session-id': 's-1' });
    }
    if (body.method === 'notifications/initialized') return response.writeHead(202).end();
    if (request.method === 'DELETE') return response.writeHead(204).end();
    return more(exchange);
  };
const noStream = ({ request, response, body }: Exchange) =>
  request.method === 'GET' ? response.writeHead(405).end() : json(response, result(body.id));

test('a session: its id and version go with everything after initialize, and it is ended', async (t) => {
  const seen: Exchange[] = [];
  const { url } = await serve(t, stateful(noStream, seen));
  const client = new Client(t, url, { authorization: 'Bearer x' });
  // All at once: none may overtake the first.
  await Promise.all([initialize, initialized, call('a', 'tools/list')].map((message) => client.upstream.send(message)));
  await client.answer('a');
  await until('its stream is asked for', () => seen.some(({ request }) => request.method === 'GET'));
  await client.upstream.close();
  const headers = seen.map(({ request: { method, headers: h }, body }) => [
    body.method ?? method,
    h['mcp-session-id'],
    h['mcp-protocol-version'],
    h['authorization'],
  ]);
  assert.deepEqual(headers[0], ['initialize', undefined, undefined, 'Bearer x']);
  assert.deepEqual(headers[1], ['notifications/initialized', 's-1', '2025-11-25', 'Bearer x']);
  assert.deepEqual(headers.at(-1), ['DELETE', 's-1', '2025-11-25', 'Bearer x']);
  assert.deepEqual(new Set(headers.slice(2, -1).map(([name]) => name)), new Set(['GET', 'tools/list']));
});

test('the server has forgotten the session: what is open fails, and the session ends', async (t) => {
  let forgotten = false;
  const { url } = await serve(
    t,
    stateful(({ request, response, body }) => {
      if (request.method === 'GET') return response.writeHead(405).end();
      if (forgotten)
        return json(response, { jsonrpc: '2.0', id: null, error: { code: -32_001, message: 'gone' } }, {}, 404);
      return json(response, result(body.id));
    }),
  );
  const client = new Client(t, url);
  await client.request(initialize);
  await client.request(call(1, 'tools/list'));
  forgotten = true;
  await assert.rejects(client.upstream.send(call(2, 'tools/list')), { code: 'session_expired', retryable: true });
  assert.equal((client.closed as { code: string }).code, 'session_expired');
});

test('nobody answers, then somebody does', async (t) => {
  const { url, stop } = await serve(t, noStream);
  await stop();
  const client = new Client(t, url);
  await assert.rejects(client.upstream.send(modern(1, 'tools/list')), {
    code: 'server_unreachable',
    message: /does not answer \(ECONNREFUSED\)/,
  });
  await serve(t, noStream, Number(url.port));
  assert.deepEqual((await client.request(modern(2, 'tools/list'))).result, {});
});

test('answers that are not MCP have a reason', async (t) => {
  const statuses: Record<string, [number, RegExp]> = {
    a: [401, /401 Unauthorized: authentication required; pass a --header/],
    b: [404, /404 Not Found: check that the path of --url/],
    c: [500, /500 Internal Server Error\.$/],
    d: [200, /200 OK without a JSON-RPC message/],
    e: [302, /302 Found, to https:\/\/elsewhere\.example: pass that URL/],
  };
  const { url } = await serve(t, ({ response, body }) =>
    response
      .writeHead(statuses[body.method ?? '']?.[0] ?? 0, {
        'content-type': 'text/html',
        location: 'https://elsewhere.example/mcp?key=secret',
      })
      .end('<html>'),
  );
  const client = new Client(t, url);
  for (const [method, [status, message]] of Object.entries(statuses)) {
    const retryable = status === 500;
    await assert.rejects(client.upstream.send(modern(1, method)), { code: 'server_refused', message, retryable });
  }
});

test('an error without an id is the answer to the request that it was sent in answer to', async (t) => {
  const error = { code: -32_000, message: 'Server not initialized' };
  const { url } = await serve(t, ({ response }) => json(response, { jsonrpc: '2.0', id: null, error }, {}, 400));
  const client = new Client(t, url);
  assert.deepEqual(await client.request(modern(7, 'server/discover')), { jsonrpc: '2.0', id: 7, error });
});

test('a redirect is followed to the same server only, and the secret goes nowhere else', async (t) => {
  const elsewhere = await serve(t, () => assert.fail('nobody is to come here'));
  const seen: string[] = [];
  const { url } = await serve(t, ({ request, response, body }) => {
    seen.push(`${request.url} ${request.headers['x-key']?.toString()}`);
    if (request.url === '/mcp/') return json(response, result(body.id));
    const location = body.method === 'away' ? elsewhere.url.href : '/mcp/';
    return response.writeHead(307, { location }).end();
  });
  const client = new Client(t, url, { 'x-key': 'k' });
  await assert.rejects(client.upstream.send(modern(1, 'away')), { code: 'server_refused' });
  await client.request(modern(2, 'here'));
  await client.request(modern(3, 'here'));
  assert.deepEqual(seen, ['/mcp k', '/mcp k', '/mcp/ k', '/mcp/ k']);
});

test('what comes on the stream of a request belongs to it; characters and lines may be split anywhere', async (t) => {
  const { url } = await serve(t, async ({ response, body }) => {
    const note = { jsonrpc: '2.0', method: 'notifications/message', params: { data: 'ü🙂' } };
    const text = `: hello\r\n\r\nevent: message\rdata: ${JSON.stringify(note)}\r\rdata:${JSON.stringify(result(body.id)).replace('{', '{\ndata:')}\r\n\r\n`;
    response.writeHead(200, events);
    for (const byte of Buffer.from(text)) {
      await new Promise((resolve) => response.write(Buffer.of(byte), resolve));
    }
    response.end();
  });
  const client = new Client(t, url);
  await client.request(modern(4, 'tools/call'));
  assert.deepEqual(
    client.messages.map(({ message, related }) => [message.params ?? message.id, related]),
    [
      [{ data: 'ü🙂' }, 4],
      [4, undefined],
    ],
  );
});

test('a stream that breaks before the answer is resumed where it can be, and otherwise the answer is an error', async (t) => {
  const resumed: (string | undefined)[] = [];
  const { url } = await serve(
    t,
    stateful(({ request, response, body }) => {
      const last = request.headers['last-event-id']?.toString();
      if (last !== undefined) {
        resumed.push(last);
        return response.writeHead(200, events).end(`data: ${JSON.stringify(result('resumable'))}\n\n`);
      }
      if (request.method === 'GET') return response.writeHead(405).end();
      response.writeHead(200, events);
      return response.end(body.id === 'resumable' ? 'id: e-1\nretry: 10\ndata:\n\n' : 'data:\n\n');
    }),
  );
  const client = new Client(t, url);
  await client.request(initialize);
  assert.deepEqual((await client.request(call('resumable', 'x'))).result, {});
  assert.deepEqual(resumed, ['e-1']);
  const { error } = await client.request(call('lost', 'x'));
  assert.match(error?.message ?? '', /closed the connection before it answered. The request may have been carried out/);
  assert.equal((await client.request(modern(9, 'x'))).error?.data?.code, 'server_unreachable');
});

test('an answer that breaks off is an error', async (t) => {
  const { url } = await serve(t, ({ response }) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' });
    response.write('{', () => response.destroy());
  });
  const client = new Client(t, url);
  await assert.rejects(client.upstream.send(modern(1, 'x')), { code: 'server_unreachable', retryable: true });
});

test('what the server says unasked comes over a stream of its own, which is opened again', async (t) => {
  const gets: (string | undefined)[] = [];
  const { url } = await serve(
    t,
    stateful(({ request, response, body }) => {
      if (request.method !== 'GET') return json(response, result(body.id));
      gets.push(request.headers['last-event-id']?.toString());
      response.writeHead(200, events);
      const note = JSON.stringify({ jsonrpc: '2.0', method: `notifications/${gets.length}` });
      const breaks = gets.length === 1;
      return response.write(`id: ${gets.length}\nretry: 10\ndata: ${note}\n\n`, () => breaks && response.destroy());
    }),
  );
  const client = new Client(t, url);
  await client.request(initialize);
  await client.upstream.send(initialized);
  await until('two of them', () => client.messages.length === 3);
  assert.deepEqual(
    client.messages.slice(1).map(({ message, related }) => [message.method, related]),
    [
      ['notifications/1', undefined],
      ['notifications/2', undefined],
    ],
  );
  assert.deepEqual(gets, [undefined, '1']);
});

test('2026-07-28: a request is cancelled by closing it, and nobody gets an error', async (t) => {
  const asked = Promise.withResolvers<Exchange>();
  const { url } = await serve(t, (exchange) => asked.resolve(exchange));
  const client = new Client(t, url);
  const sent = client.upstream.send(modern(1, 'tools/call', { name: 'größe' }));
  const { request, response } = await asked.promise;
  assert.equal(request.headers['mcp-method'], 'tools/call');
  assert.equal(request.headers['mcp-name'], `=?base64?${Buffer.from('größe').toString('base64')}?=`);
  const closed = once(response, 'close');
  await client.upstream.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } });
  await Promise.all([closed, sent]);
  assert.deepEqual([client.messages, client.errors], [[], []]);
});

test('closing ends what is under way', async (t) => {
  const asked = Promise.withResolvers<Exchange>();
  const { url } = await serve(t, (exchange) => asked.resolve(exchange));
  const client = new Client(t, url);
  const sent = client.upstream.send(modern(1, 'tools/call'));
  const { response } = await asked.promise;
  const closed = once(response, 'close');
  await client.upstream.close();
  await assert.rejects(sent, { code: 'session_closed' });
  await closed;
});

test('an event of many lines is too long as a whole', async (t) => {
  const line = `data: ${'x'.repeat(1024 * 1024)}\n`;
  const cut = Promise.withResolvers<void>();
  const { url } = await serve(t, ({ response }) => {
    response.writeHead(200, events).once('close', cut.resolve);
    const more = () => response.write(line, (error) => error ?? more());
    more();
  });
  const client = new Client(t, url);
  assert.equal((await client.request(modern(1, 'x'))).error?.data?.code, 'message_too_large');
  await cut.promise;
});

test('a stream that ends again and again without a word is asked for once a second', async (t) => {
  let gets = 0;
  const { url } = await serve(
    t,
    stateful(({ request, response }) => {
      if (request.method === 'GET') gets += 1;
      return response.writeHead(200, events).end(': nothing\n\n');
    }),
  );
  const client = new Client(t, url);
  await client.request(initialize);
  await client.upstream.send(initialized);
  // 6 s; with a wait that doubles, the seventh would come after 61 s.
  await until('the seventh', () => gets === 7, 40_000);
});

test('a server that takes nothing: what waits is bounded, and no notification is waited for for ever', async (t) => {
  let stuck = true;
  const acceptance = new TimeLimits(t, 30_000);
  const { url } = await serve(
    t,
    stateful(({ request, response, body }) => {
      if (request.method === 'GET') return response.writeHead(405).end();
      if (body.method === 'notifications/x' && stuck) return undefined;
      return json(response, result(body.id));
    }),
  );
  const client = new Client(t, url);
  await client.request(initialize);
  const note = { jsonrpc: '2.0', method: 'notifications/x' } as const;
  const first = client.upstream.send(note);
  const params = { text: 'x'.repeat(8 * 1024 * 1024) };
  const waiting = Array.from({ length: 7 }, () => client.upstream.send({ ...note, params }));
  await assert.rejects(client.upstream.send({ ...note, params }), { code: 'not_read', retryable: true });
  const last = client.request(call('last', 'x'));
  await until('all are under way', () => acceptance.running === 1 + waiting.length);
  acceptance.expire();
  await assert.rejects(first, { code: 'not_read' });
  stuck = false;
  await Promise.allSettled(waiting);
  assert.deepEqual((await last).result, {});
  await client.upstream.send({ ...note, params });
});
