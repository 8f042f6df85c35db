import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import test, { suite, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import zlib from 'node:zlib';
import { HeldTimers } from '../../../../test/support/held-timers.ts';
import { Bridge } from '../../../src/cli/bridge.ts';
import { Child } from '../../../src/cli/child.ts';
import { eventText, readEvents } from '../../../src/cli/http/sse.ts';
import { HttpUpstream } from '../../../src/cli/http/upstream.ts';
import { oneLine } from '../../../src/cli/jsonlines.ts';
import { Stdio } from '../../../src/cli/stdio.ts';
import { hello, startGateway } from '../support/gateway.ts';
import { type Body, eachMessage, type Exchange, json, messages, post, result, serve } from '../support/http.ts';
import { until } from '../support/process.ts';

const events = { 'content-type': 'text/event-stream' };

/** A client on pipes, bridged to a server behind a URL. */
class Client {
  readonly messages: Body[] = [];
  readonly errors: Error[] = [];
  readonly #input = new PassThrough();

  constructor(t: TestContext, url: URL, headers: Record<string, string> = {}) {
    const output = new PassThrough();
    let text = '';
    output.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (text + chunk).split('\n');
      text = lines.pop()!;
      for (const line of lines) this.messages.push(JSON.parse(line) as Body);
    });
    const onerror = (error: Error) => void this.errors.push(error);
    const bridge = new Bridge(new Stdio(this.#input, output), new HttpUpstream({ url, headers }), { onerror });
    t.after(() => bridge.close(new Error('the test is over')));
  }

  send(message: Body): void {
    this.#input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  async answer(id: number | string): Promise<Body> {
    const find = () => this.messages.find((message) => message.id === id && message.method === undefined);
    await until(`an answer to ${id}`, () => find() !== undefined);
    return find()!;
  }

  async request(message: Body & { id: number | string }): Promise<Body> {
    this.send(message);
    return await this.answer(message.id);
  }
}

const initialize = { id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25' } };
const initialized = { method: 'notifications/initialized' };

/** A server with sessions `s-1`, `s-2`, …; `more` answers what it does not know. */
function stateful(more: (exchange: Exchange) => unknown, seen: Exchange[] = []) {
  let sessions = 0;
  return (exchange: Exchange) => {
    const { request, response, body } = exchange;
    seen.push(exchange);
    if (body.method === 'initialize') {
      const session = { 'mcp-session-id': `s-${(sessions += 1)}` };
      return json(response, result(body.id, { protocolVersion: '2025-11-25' }), session);
    }
    if (body.method === 'notifications/initialized') return response.writeHead(202).end();
    if (request.method === 'DELETE') return response.writeHead(204).end();
    return more(exchange);
  };
}
const noStream = ({ request, response, body }: Exchange) =>
  request.method === 'GET' ? response.writeHead(405).end() : json(response, result(body.id));

for (const method of ['ping', 'roots/list']) {
  test(`--url: a server may send ${method} before it answers initialize`, async (t) => {
    let finish: ((answer: Exchange) => void) | undefined;
    const { url } = await serve(t, (exchange) => {
      const { response, body } = exchange;
      if (body.method === 'initialize') {
        response.writeHead(200, { ...events, 'mcp-session-id': 's-1' });
        response.write(eventText(JSON.stringify({ jsonrpc: '2.0', id: 'early', method })));
        finish = () => response.end(eventText(JSON.stringify(result(body.id, { protocolVersion: '2025-11-25' }))));
        return undefined;
      }
      if (body.id === 'early') {
        assert.equal(exchange.request.headers['mcp-session-id'], 's-1');
        finish?.(exchange);
      }
      return response.writeHead(202).end();
    });
    const client = new Client(t, url);
    client.send(initialize);
    await until('the question', () => client.messages.some((message) => message.method === method));
    client.send({ id: 'early', result: {} });
    assert.ok((await client.answer(0)).result);
  });

  test(`--http: a server may send ${method} before it answers initialize`, async (t) => {
    const code = `
      const say = (m) => console.log(JSON.stringify({ jsonrpc: '2.0', ...m }));
      let first;
      require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
        const { id, method } = JSON.parse(line);
        if (method === 'initialize') { first = id; say({ id: 'early', method: ${JSON.stringify(method)} }); }
        else if (id === 'early') say({ id: first, result: { protocolVersion: '2025-11-25' } });
        else say({ id, result: {} });
      });`;
    const { url } = await startGateway(
      t,
      () => new Child({ command: process.execPath, args: ['-e', code], env: process.env, onoutput: () => {} }),
    );
    const response = await post(url, hello);
    const headers = { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
    const stream = eachMessage(response);
    assert.equal((await stream.next()).value?.method, method);
    assert.equal((await post(url, { id: 'early', result: {} }, headers)).status, 202);
    assert.equal((await stream.next()).value?.result?.['protocolVersion'], '2025-11-25');
    assert.equal((await stream.next()).done, true);
    assert.equal((await messages(await post(url, { id: 2, method: 'x' }, headers)))[0]?.id, 2);
  });
}

test('every request says what sends it, and asks for no compression; a --header wins', async (t) => {
  const seen: Exchange[] = [];
  const { url } = await serve(t, stateful(noStream, seen));
  await new Client(t, url).request(initialize);
  await new Client(t, url, { 'user-agent': 'mine' }).request(initialize);
  const [first, second] = seen.map(({ request }) => request.headers);
  assert.match(first?.['user-agent'] ?? '', /^mcp-rendezvous\/\d/);
  assert.equal(first?.['accept-encoding'], 'identity');
  assert.equal(second?.['user-agent'], 'mine');
});

const codings = { gzip: zlib.gzipSync, deflate: zlib.deflateSync, br: zlib.brotliCompressSync };
for (const [coding, compress] of Object.entries(codings)) {
  test(`an answer in ${coding}, which was not asked for, is decoded`, async (t) => {
    const { url } = await serve(t, ({ response, body }) => {
      const headers = { 'content-encoding': coding };
      const answer = JSON.stringify(result(body.id, { text: 'ü' }));
      if (body.method === 'events')
        return response.writeHead(200, { ...events, ...headers }).end(compress(eventText(answer)));
      return response.writeHead(200, { 'content-type': 'application/json', ...headers }).end(compress(answer));
    });
    const client = new Client(t, url);
    assert.deepEqual((await client.request({ id: 1, method: 'events' })).result, { text: 'ü' });
    assert.deepEqual((await client.request({ id: 2, method: 'json' })).result, { text: 'ü' });
  });
}

test('an answer in a coding that nobody knows is an error', async (t) => {
  const { url } = await serve(t, ({ response }) =>
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'x' }).end('{}'),
  );
  assert.match((await new Client(t, url).request({ id: 1, method: 'x' })).error?.message ?? '', /Content-Encoding/);
});

test('a byte-order mark is skipped, in JSON and in events', async (t) => {
  const { url } = await serve(t, ({ response, body }) => {
    const answer = JSON.stringify(result(body.id));
    if (body.method === 'events') return response.writeHead(200, events).end(`\ufeff${eventText(answer)}`);
    return response.writeHead(200, { 'content-type': 'application/json' }).end(`\ufeff${answer}`);
  });
  const client = new Client(t, url);
  assert.deepEqual((await client.request({ id: 1, method: 'events' })).result, {});
  assert.deepEqual((await client.request({ id: 2, method: 'json' })).result, {});
});

test('the time that a stream asks for has bounds', async () => {
  const read = async (retry: string) => {
    for await (const { retryMs } of readEvents(new PassThrough().end(`retry: ${retry}\ndata: x\n\n`))) return retryMs;
    return undefined;
  };
  assert.equal(await read('3000000000'), 30_000);
  assert.equal(await read('9'.repeat(400)), 30_000);
  assert.equal(await read('0'), 100);
  assert.equal(await read('500'), 500);
  assert.equal(await read('-1'), undefined);
});

test('an event is read as soon as its last line has ended, however lines end', async () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const stream = new PassThrough();
    const read = readEvents(stream);
    // In pieces, and at once: which of them a reader gets together is Node's to decide.
    for (const [data, inPieces] of [
      ['one', true],
      ['two', false],
    ] as const) {
      const text = `data: ${data}${end}${end}`;
      for (const piece of inPieces ? text : [text]) stream.write(piece);
      const { value } = (await read.next()) as { value: { data: string } | undefined };
      assert.equal(value?.data, data, JSON.stringify(end));
    }
  }
});

for (const status of [400, 409]) {
  test(`a stream that broke is asked for again after ${status}`, async (t) => {
    let gets = 0;
    const { url } = await serve(
      t,
      stateful(({ request, response, body }) => {
        if (request.method !== 'GET') return json(response, result(body.id));
        gets += 1;
        if (gets === 2) return response.writeHead(status).end();
        response.writeHead(200, events);
        const note = JSON.stringify({ jsonrpc: '2.0', method: `notifications/${gets}` });
        return response.write(`id: ${gets}\nretry: 100\n${eventText(note)}`, () => gets === 1 && response.destroy());
      }),
    );
    const client = new Client(t, url);
    await client.request(initialize);
    client.send(initialized);
    const second = () => client.messages.some(({ method }) => method === 'notifications/3');
    await until('what comes on the third stream', second);
  });
}

test('U+2028 and U+2029 in an event are escaped', () => {
  const text = oneLine({ jsonrpc: '2.0', id: 1, result: { text: 'a\u2028b\u2029c' } });
  assert.doesNotMatch(text, /[\u2028\u2029]/);
  assert.deepEqual(JSON.parse(text), { jsonrpc: '2.0', id: 1, result: { text: 'a\u2028b\u2029c' } });
});

test('U+2028 in an event of the gateway is escaped', async (t) => {
  const { url, open } = await startGateway(t);
  const response = await post(url, { id: 1, method: 'echo', params: { text: 'a\u2028b' } }, await open());
  assert.match(await response.text(), /a\\u2028b/);
});

test('initialize twice: the first session is ended, and the second one has a stream', async (t) => {
  const seen: Exchange[] = [];
  const streams: string[] = [];
  const { url } = await serve(
    t,
    stateful(({ request, response, body }) => {
      if (request.method !== 'GET') return json(response, result(body.id));
      streams.push(String(request.headers['mcp-session-id']));
      return response.writeHead(200, events).flushHeaders();
    }, seen),
  );
  const client = new Client(t, url);
  for (const id of ['first', 'second']) {
    await client.request({ ...initialize, id });
    client.send(initialized);
    await until('a stream', () => streams.length === (id === 'first' ? 1 : 2));
  }
  await client.request({ id: 'x', method: 'tools/list' });
  assert.deepEqual(streams, ['s-1', 's-2']);
  const of = (name: string) => seen.filter(({ request, body }) => (body.method ?? request.method) === name);
  assert.deepEqual(
    [...of('DELETE'), ...of('tools/list')].map(({ request }) => request.headers['mcp-session-id']),
    ['s-1', 's-2'],
  );
  assert.equal(of('initialize')[1]?.request.headers['mcp-session-id'], undefined);
});

test('an answer without the id that was asked for is an answer all the same, on a stream that stays open', async (t) => {
  const { url } = await serve(t, ({ response, body }) => {
    response.writeHead(200, events);
    const id = body.method === 'invented' ? 'server-error' : null;
    response.write(eventText(JSON.stringify({ jsonrpc: '2.0', id, error: { code: -32_600, message: 'What?' } })));
  });
  const client = new Client(t, url);
  assert.equal((await client.request({ id: 1, method: 'null' })).error?.message, 'What?');
  assert.equal((await client.request({ id: 2, method: 'invented' })).error?.message, 'What?');
});

test('403 does not blame credentials alone', async (t) => {
  const { url } = await serve(t, ({ response }) => response.writeHead(403).end());
  assert.match((await new Client(t, url).request({ id: 1, method: 'x' })).error?.message ?? '', /firewall/);
});

void suite('a notification that is never accepted', () => {
  /** How long later messages wait. */
  const holdMs = 1_000;

  test('holds up later messages for a moment, and once', async (t) => {
    const holds = new HeldTimers(t, holdMs);
    const stuck: Exchange[] = [];
    const cancelled = Promise.withResolvers<void>();
    const { url } = await serve(
      t,
      stateful(({ response, body, ...exchange }) => {
        if (body.method === 'notifications/stuck') return stuck.push({ response, body, ...exchange });
        if (body.method === 'slow') return once(response, 'close');
        if (body.method === 'notifications/cancelled') {
          cancelled.resolve();
          return response.writeHead(202).end();
        }
        return json(response, result(body.id));
      }),
    );
    const client = new Client(t, url);
    await client.request(initialize);
    client.send({ id: 'slow', method: 'slow' });
    for (let count = 0; count < 20; count++) client.send({ method: 'notifications/stuck' });
    client.send({ method: 'notifications/cancelled', params: { requestId: 'slow' } });
    await until('the wait', () => holds.held === 1);
    holds.fire();
    await client.request({ id: 'x', method: 'x' });
    await cancelled.promise;
    assert.equal(holds.held, 0);
    for (const { response } of stuck) response.writeHead(202).end();
  });

  test('that is accepted keeps its place', async (t) => {
    // However late that is.
    new HeldTimers(t, holdMs);
    const order: string[] = [];
    const { url } = await serve(
      t,
      stateful(async ({ response, body }) => {
        if (body.method === 'notifications/x') await delay(50);
        order.push(String(body.method));
        return body.id === undefined ? response.writeHead(202).end() : json(response, result(body.id));
      }),
    );
    const client = new Client(t, url);
    await client.request(initialize);
    client.send({ method: 'notifications/x' });
    await client.request({ id: 1, method: 'y' });
    assert.deepEqual(order, ['notifications/x', 'y']);
  });
});
