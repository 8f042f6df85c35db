import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StreamableHTTPClientTransport as HttpV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { type Exchange, json, post, result, serve } from '../sdk/test/cli/support/http.ts';
import { Cli, fromSource, mainFile, root, runs, until } from '../sdk/test/cli/support/process.ts';
import { Fixture } from './conformance/fixture.ts';
import { type ClientKind, connect, type Session, type Transport } from './mcp/clients.ts';
import { Witness } from './mcp/fixture.ts';
import { createServerV2 } from './mcp/server-v2.ts';
import { cancellation, failures, logging, manyCalls, progress, questions, resources, tools } from './mcp/steps.ts';
import { RelayProcess } from './support/relay.ts';
import { Room } from './support/room.ts';

const stdioServer = [
  process.execPath,
  ...fromSource,
  fileURLToPath(new URL('./mcp/stdio-server.ts', import.meta.url)),
] as [string, ...string[]];
const hello = {
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'c', version: '1' } },
};

void suite('the command line over HTTP', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  for (const [client, server, how, era] of [
    ['v1', 'url', 'http', 'legacy'],
    ['v2 auto', 'url', 'http', 'legacy'],
    ['v2 auto', 'url', 'stdio', 'legacy'],
    ['v1', 'url', 'stdio', 'legacy'],
    ['v2 legacy', 'url', 'stdio', 'legacy'],
    ['v1', 'command', 'http', 'legacy'],
    ['v2 legacy', 'command', 'http', 'legacy'],
    ['v2 auto', 'command', 'http', 'modern'],
    ['v2 modern', 'command', 'http', 'modern'],
    ['v2 modern', 'command', 'stdio', 'modern'],
  ] as const) {
    test(`a client ${client} over ${how}, a server that is a ${server}: an MCP session of the ${era} era`, async (t) => {
      const room = new Room(relay);
      const witness = new Witness();
      await share(t, room, server, witness);
      const session = await connect(client, await transport(t, room, how, client));
      t.after(() => session.close());
      assert.equal(session.era, era);
      await steps(t, session, witness, how);
    });
  }

  for (const how of ['http', 'stdio'] as const) {
    test(`messages of 5 MB, both ways, over ${how}`, async (t) => {
      const room = new Room(relay);
      await share(t, room, 'command', new Witness());
      const session = await connect('v2 legacy', await transport(t, room, how, 'v2 legacy'));
      t.after(() => session.close());
      const text = '€'.repeat(5_000_000 / 3);
      assert.ok((await session.call('echo', { text })).text === text);
    });
  }

  test('a connection that is lost and comes back: users see a pause and two lines', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t);
    const client = await room.connect(t);
    assert.equal((await client.request('initialize')).error, undefined);
    expose.process.kill('SIGSTOP');
    try {
      const answer = client.request('echo', { after: 'the pause' }, 60_000);
      await client.says('lost the connection to the server, restoring it…', 60_000);
      expose.process.kill('SIGCONT');
      assert.deepEqual((await answer).result, { params: { after: 'the pause' } });
    } finally {
      expose.process.kill('SIGCONT');
    }
    await client.says(/the connection is back \(path: \w+ over \w+\)/);
    assert.equal(client.stderr.split('\n').filter((line) => line.includes('the connection')).length, 2);
  });

  test('a relay that is gone: open sessions go on, new ones are told, and come when it is back', async (t) => {
    const own = await RelayProcess.start();
    t.after(() => own.stop());
    const room = new Room(own);
    await room.expose(t);
    const { url } = await gateway(t, room, '--timeout', '3');
    const headers = await begin(url);
    const port = new URL(own.url).port;
    await own.stop('SIGKILL');
    assert.match(await (await post(url, { id: 1, method: 'echo', params: { n: 1 } }, headers)).text(), /"n":1/);
    const refused = await post(url, hello);
    assert.equal(refused.headers.get('mcp-session-id'), null);
    assert.match(await refused.text(), /"code":"(relay_unreachable|connect_timeout|peer_absent)"/);
    const again = await RelayProcess.start({ RELAY_PORT: port });
    t.after(() => again.stop());
    await until('a new session', async () => (await post(url, hello)).headers.has('mcp-session-id'), 60_000);
    assert.match(await (await post(url, { id: 2, method: 'echo', params: { n: 2 } }, headers)).text(), /"n":2/);
  });

  test('an HTTP server that starts later, and again', async (t) => {
    const room = new Room(relay);
    const answer = ({ response, body }: Exchange) => json(response, result(body.id, { serverInfo: {} }));
    const first = await serve(t, answer);
    await first.stop();
    const expose = new Cli(t, ['expose', '--url', first.url.href], await room.env('server'));
    await expose.says(`nothing answers at ${first.url.href} yet (ECONNREFUSED)`);
    const client = await room.connect(t);
    assert.equal((await client.request('initialize')).error?.data?.code, 'server_unreachable');
    const second = await serve(t, answer, Number(first.url.port));
    assert.equal((await client.request('initialize')).error, undefined);
    await second.stop();
    assert.equal((await client.request('ping')).error?.data?.code, 'server_unreachable');
    await serve(t, answer, Number(first.url.port));
    assert.equal((await client.request('ping')).error, undefined);
  });

  test('an HTTP server that forgets its sessions: clients get an error, and a new session', async (t) => {
    const server = await Fixture.start();
    t.after(() => server.stop());
    const room = new Room(relay);
    const expose = new Cli(t, ['expose', '--url', server.url], await room.env('server'));
    const { url } = await gateway(t, room);
    const headers = await begin(url);
    await server.forget();
    const answer = await post(url, { id: 1, method: 'tools/list' }, headers);
    // The stream for what is unasked may have found out first, and the connection be closed.
    assert.match(await answer.text(), /session_(expired|closed)/);
    await expose.says(/was closed: The HTTP server has ended the MCP session \(404\)/);
    await until(
      'the end of the session',
      async () => (await post(url, { id: 2, method: 'ping' }, headers)).status === 404,
    );
    assert.equal((await begin(url))['mcp-protocol-version'], '2025-11-25');
  });

  test('connect --http is stopped: what is open is answered, and nothing is left', async (t) => {
    const room = new Room(relay);
    await room.expose(t);
    const { url, connect: program } = await gateway(t, room);
    const headers = await begin(url);
    const { result: seen } = JSON.parse(
      /data: (\{.*\})/.exec(await (await post(url, { id: 1, method: 'seen' }, headers)).text())?.[1] ?? '',
    ) as { result: { pid: number } };
    const silent = await post(url, { id: 2, method: 'silence' }, headers);
    program.process.kill('SIGTERM');
    assert.match(await silent.text(), /mcp-rendezvous was stopped.*session_closed/);
    assert.equal(await program.exit(), 143);
    await until('the end of its process', () => !runs(seen.pid), 60_000);
  });

  test('an address that is taken, or that others reach', async (t) => {
    const room = new Room(relay);
    const { url } = await gateway(t, room);
    for (const [address, message] of [
      [new URL(url).host, /cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\)/],
      ['0.0.0.0:0', /needs a bearer token \(MCP_RENDEZVOUS_HTTP_TOKEN or --http-token-file\).*--allow-host/],
    ] as const) {
      const program = new Cli(t, ['connect', '--http', address], await room.env('client'));
      assert.equal(await program.exit(), 2);
      assert.match(program.stderr, message);
      assert.deepEqual(program.messages, []);
    }
  });

  test('an endpoint with a bearer token, and the pages that may call it', async (t) => {
    const room = new Room(relay);
    await room.expose(t);
    const token = randomBytes(24).toString('base64');
    const directory = await mkdtemp(join(tmpdir(), 'http-token-'));
    t.after(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'token'), `${token}\n`);
    const origin = 'http://localhost:6274';
    const flags = ['--http-token-file', join(directory, 'token'), '--allow-origin', origin];
    const { url, connect: program } = await gateway(t, room, ...flags);
    const status = async (headers: Record<string, string>) => (await post(url, hello, headers)).status;
    const authorization = `Bearer ${token}`;
    assert.deepEqual([await status({}), await status({ authorization: `${authorization}x` })], [401, 401]);
    assert.equal(await status({ authorization, origin: 'http://localhost:6275' }), 403);
    assert.equal(await status({ authorization, origin }), 200);
    assert.ok(!program.stderr.includes(token));
  });

  async function share(t: TestContext, room: Room, server: 'url' | 'command', witness: Witness): Promise<void> {
    if (server === 'command') {
      const expose = await room.expose(t, stdioServer, '--discover');
      createInterface({ input: expose.process.stderr }).on('line', (line) => {
        const event = /witness: (waiting|cancelled|closed)/.exec(line)?.[1] as 'waiting' | undefined;
        if (event) witness.emit(event);
      });
      return;
    }
    const http = await Fixture.start(() => createServerV2(witness));
    t.after(() => http.stop());
    void new Cli(t, ['expose', '--url', http.url], await room.env('server'));
  }

  async function gateway(t: TestContext, room: Room, ...flags: string[]): Promise<{ url: string; connect: Cli }> {
    const program = new Cli(t, ['connect', '--http', '127.0.0.1:0', ...flags], await room.env('client'));
    await program.says(/at http:\S+\/mcp/);
    return { url: /at (http:\S+)/.exec(program.stderr)![1]!, connect: program };
  }

  async function transport(t: TestContext, room: Room, how: 'http' | 'stdio', client: ClientKind): Promise<Transport> {
    if (how === 'http') {
      const url = new URL((await gateway(t, room)).url);
      return client === 'v1' ? new HttpV1(url) : new HttpV2(url);
    }
    const env = await room.env('client');
    const args = [...fromSource, mainFile, 'connect'];
    const parameters = { command: process.execPath, args, cwd: root, env, stderr: 'ignore' as const };
    return client === 'v1' ? new StdioV1(parameters) : new StdioV2(parameters);
  }
});

async function steps(t: TestContext, session: Session, witness: Witness, how: 'http' | 'stdio'): Promise<void> {
  await t.test('tools', () => tools(session));
  await t.test('tools that fail, and one that is not there', () => failures(session, 'v2'));
  await t.test('resources, and updates of one that is subscribed to', () => resources(session));
  // Over any stdio, both SDKs drop progress that comes in one read with its result; cli.test.ts looks at the wire.
  if (how === 'http') await t.test('progress', () => progress(session));
  await t.test('cancellation', () => cancellation(session, witness));
  await t.test('logging', () => logging(session));
  await t.test('the server asks the client', () => questions(session));
  await t.test('20 calls at once', () => manyCalls(session));
}

/** Headers of a new session with the small fixture server. */
async function begin(url: string): Promise<Record<string, string>> {
  const response = await post(url, hello);
  const id = response.headers.get('mcp-session-id');
  assert.ok(id, await response.text());
  const headers = { 'mcp-session-id': id, 'mcp-protocol-version': '2025-11-25' };
  assert.equal((await post(url, { method: 'notifications/initialized' }, headers)).status, 202);
  return headers;
}
