import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { Bridge, type End } from '../../src/cli/bridge.ts';
import { Child } from '../../src/cli/child.ts';
import { HttpUpstream } from '../../src/cli/http/upstream.ts';
import { StandingServer } from '../../src/cli/standing-bridge/standing-server.ts';
import { Stdio } from '../../src/cli/stdio.ts';
import { startGateway } from './support/gateway.ts';
import { type Body, eachMessage, serve } from './support/http.ts';
import { answerToInitialize, type Asked, oddAnswer, question } from './support/odd-server.ts';
import { until } from './support/process.ts';

// What other bridges were reported to fail at, through each pair of ways in and out, over a data
// channel. What concerns one way only has a test of its own: stdout.test.ts, http/field.test.ts.

const text = JSON.stringify;
const events = { 'content-type': 'text/event-stream' };

/** An MCP client of a bridge. */
interface Client {
  /** Sends a text as one message. Resolves with the answer under this id. */
  raw(line: string, id: number | string): Promise<Body>;
  /** Answers what the server asks meanwhile. */
  ask(message: Body & { id: number | string }): Promise<Body>;
}

type Way = (t: TestContext, upstream: () => End) => Promise<Client>;

/** `connect`: a client on pipes. */
async function overStdio(t: TestContext, upstream: () => End): Promise<Client> {
  const input = new PassThrough();
  const output = new PassThrough();
  const received: Body[] = [];
  const write = (line: string) => void input.write(`${line}\n`);
  createInterface({ input: output }).on('line', (line) => {
    const message = JSON.parse(line) as Body;
    received.push(message);
    if (message.method === question.method) write(text({ jsonrpc: '2.0', id: message.id, result: {} }));
  });
  const bridge = new Bridge(new Stdio(input, output), upstream(), { onerror: () => {} });
  t.after(() => bridge.close(new Error('the test is over')));
  const raw = async (line: string, id: number | string): Promise<Body> => {
    const find = () => received.find((message) => message.id === id && message.method === undefined);
    write(line);
    await until(`an answer to ${id}`, () => find() !== undefined);
    const answer = find()!;
    received.splice(received.indexOf(answer), 1);
    return answer;
  };
  return { raw, ask: (message) => raw(text({ jsonrpc: '2.0', ...message }), message.id) };
}

/** `connect --http`: a client over HTTP, with one session. */
async function overHttp(t: TestContext, upstream: () => End): Promise<Client> {
  const { url } = await startGateway(t, upstream);
  const headers: Record<string, string> = {
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2025-11-25',
  };
  const post = (body: string) => fetch(url, { method: 'POST', headers, body });
  const raw = async (line: string, id: number | string): Promise<Body> => {
    const response = await post(line);
    // What is too long is not read, so that its status has to say what the answer is for.
    if (response.status === 413) return (await response.json()) as Body;
    const session = response.headers.get('mcp-session-id');
    if (session) headers['mcp-session-id'] = session;
    for await (const message of eachMessage(response)) {
      if (message.method === question.method) await post(text({ jsonrpc: '2.0', id: message.id, result: {} }));
      else if (message.id === id) return message;
    }
    return assert.fail(`no answer to ${line.slice(0, 100)}`);
  };
  return { raw, ask: (message) => raw(text({ jsonrpc: '2.0', ...message }), message.id) };
}

/** `expose -- command`. */
const command = async (): Promise<End> =>
  new Child({
    command: process.execPath,
    args: [fileURLToPath(new URL('./support/odd-server.ts', import.meta.url)), 'stdio'],
    env: process.env,
    onoutput: () => {},
  });

/** `expose --url`, to a server that answers with events; the stream of a request stays open. */
async function endpoint(t: TestContext): Promise<End> {
  let first: ((text: string) => void) | undefined;
  const { url } = await serve(t, ({ response, body }) => {
    const asked = body as Asked;
    if (asked.method === undefined && asked.id === question.id) first?.('');
    if (asked.id === undefined || asked.method === undefined) return response.writeHead(202).end();
    const mark = '\ufeff';
    const say = (data: string): void => {
      response.write(data.startsWith(mark) ? `${mark}data: ${data.slice(mark.length)}\n\n` : `data: ${data}\n\n`);
    };
    response.writeHead(200, { ...events, 'mcp-session-id': 's' });
    if (!asked.params?.ask) return say(oddAnswer(asked));
    first = () => say(answerToInitialize(asked.id));
    return say(text(question));
  });
  return new HttpUpstream({ url, headers: {} });
}

const ways = { connect: overStdio, 'connect --http': overHttp } satisfies Record<string, Way>;
const servers = { 'expose -- command': command, 'expose --url': endpoint };

/** Sessions to a server, each with a data channel and a bridge at the far side. */
async function farSide(t: TestContext, server: (t: TestContext) => Promise<End>): Promise<() => End> {
  const connect = (): WebRTCClientTransport => {
    const [here, there] = MemorySignaling.pair();
    const far = new WebRTCServerTransport({ signaling: there });
    void server(t).then((end) => {
      const bridge = new Bridge(far, end, { onerror: () => {} });
      t.after(() => bridge.close(new Error('the test is over')));
    });
    return new WebRTCClientTransport({ signaling: here });
  };
  const options = { waitMs: 60_000, timeoutMs: 60_000, renewable: () => false, say: () => {} };
  return () => new StandingServer({ ...options, connect });
}

const initialize = {
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: {} },
};

for (const [way, open] of Object.entries(ways)) {
  for (const [what, server] of Object.entries(servers)) {
    void suite(`${way}, ${what}`, () => {
      test('what the field has, one after the other in one session', async (t) => {
        const client = await open(t, await farSide(t, server));
        const works = async () => {
          const answer = await client.ask({ id: 'works', method: 'echo', params: { text: 'still' } });
          assert.deepEqual(answer.result, { text: 'still' });
        };
        const asks = { ...initialize, params: { ...initialize.params, ask: true } };
        const first = await client.ask({ id: 0, ...asks });
        assert.ok(first.result, 'initialize, of a server that asks something first');

        // Of the server: each is answered with what is in it, or with an error.
        const kept = ['result beside "error": null', 'byte-order mark'];
        for (const method of kept)
          assert.deepEqual((await client.ask({ id: method, method })).result, { text: 'kept' }, method);
        const separators = await client.ask({ id: 1, method: 'line separators' });
        assert.deepEqual(separators.result, { text: 'a\u2028b\u2029c' });
        for (const method of [
          'result that is no object',
          'error without an id',
          'error that is a text',
          'result that is too deep',
          'result that is too long',
        ]) {
          assert.ok((await client.ask({ id: method, method })).error, method);
          await works();
        }

        // Of the client.
        for (const [id, line] of Object.entries({
          null: '{"jsonrpc":"2.0","id":"null","method":"echo","params":null}',
          list: '{"jsonrpc":"2.0","id":"list","method":"echo","params":[]}',
          number: '{"jsonrpc":"2.0","id":"number","method":5}',
          version: '{"id":"version","method":"echo"}',
          deep: `{"jsonrpc":"2.0","id":"deep","method":"echo","params":{"a":${'['.repeat(3_000)}${']'.repeat(3_000)}}}`,
        })) {
          const { error } = await client.raw(line, id);
          assert.equal(error?.code, -32_600, id);
        }
        const long = 'x'.repeat(11 * 1024 * 1024);
        const refused = await client.ask({ id: 'long', method: 'echo', params: { text: long } });
        assert.ok(refused.error, 'a request that is too long');
        const again = await client.ask({ id: 'again', ...initialize });
        assert.ok(again.result ?? again.error, 'initialize twice');
        await works();
      });
    });
  }
}
