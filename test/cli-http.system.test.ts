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
import { type Exchange, json, messages, post, postModern, result, serve } from '../sdk/test/cli/support/http.ts';
import { Cli, fixture, fromSource, mainFile, root, runs, until } from '../sdk/test/cli/support/process.ts';
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
      await client.says('lost the connection to the server, reconnecting…', 60_000);
      expose.process.kill('SIGCONT');
      assert.deepEqual((await answer).result, { params: { after: 'the pause' } });
    } finally {
      expose.process.kill('SIGCONT');
    }
    await client.says(/reconnected \(path: (relayed|\w+ over \w+)\)/);
    // A machine that stands still may bring another pause, with two lines of its own.
    const said = Array.from(client.stderr.matchAll(/lost the connection|reconnected/g), ([what]) => what);
    for (const [at, what] of said.entries()) assert.equal(what, at % 2 === 0 ? 'lost the connection' : 'reconnected');
  });

  test('a relay that is gone: open sessions go on, new ones are told, and come when it is back', async (t) => {
    const own = await RelayProcess.start();
    t.after(() => own.stop());
    const room = new Room(own);
    const expose = await room.expose(t, fixture(), '--debug');
    const { url, connect: program } = await gateway(t, room, '--timeout', '15', '--debug');
    const headers = await begin(url);
    // A session that is still on the relayed path waits for the relay.
    for (const end of [expose, program]) await end.says(/path_changed .*path=direct/);
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
    await expose.says(`${first.url.href} does not answer yet (ECONNREFUSED)`);
    const client = await room.connect(t);
    assert.equal((await client.request('initialize')).error?.data?.code, 'server_unreachable');
    const second = await serve(t, answer, Number(first.url.port));
    assert.equal((await client.request('initialize')).error, undefined);
    await second.stop();
    assert.equal((await client.request('ping')).error?.data?.code, 'server_unreachable');
    await serve(t, answer, Number(first.url.port));
    assert.equal((await client.request('ping')).error, undefined);
  });

  test('connect --http outlives its server: the same session goes on with the next one', async (t) => {
    const room = new Room(relay);
    let expose = await room.expose(t);
    const { url } = await gateway(t, room, '--wait', '60');
    const headers = await begin(url);
    const pids = new Set<unknown>();
    for (let restarts = 0; restarts <= 2; restarts++) {
      pids.add((await resultOf(() => post(url, { id: 'legacy', method: 'seen' }, headers)))['pid']);
      pids.add((await resultOf(() => postModern(url, 'modern', 'seen')))['pid']);
      if (restarts === 2) break;
      const pending = [post(url, { id: 'p', method: 'silence' }, headers), postModern(url, 'p', 'silence')];
      await messages(await post(url, { id: 'behind it', method: 'echo' }, headers));
      await messages(await postModern(url, 'behind it', 'echo'));
      expose.process.kill('SIGTERM');
      for (const lost of pending) assert.match(await (await lost).text(), /session_(lost|closed)/);
      await expose.exit();
      expose = await room.expose(t);
    }
    assert.equal(pids.size, 6, 'each time other server processes');
  });

  test('an HTTP server that forgets its sessions: clients get an error, and their session goes on', async (t) => {
    const server = await Fixture.start();
    t.after(() => server.stop());
    const room = new Room(relay);
    const expose = new Cli(t, ['expose', '--url', server.url], await room.env('server'));
    const { url } = await gateway(t, room);
    const headers = await begin(url);
    await server.forget();
    const answer = await post(url, { id: 1, method: 'tools/list' }, headers);
    // The stream for what is unasked may have found out first, and the session be closed, or lost
    // with the request in it.
    assert.match(await answer.text(), /session_(expired|closed|lost)/);
    await expose.says(/was closed: The HTTP server ended the MCP session \(404\)/);
    const listed = await messages(await post(url, { id: 2, method: 'tools/list' }, headers));
    assert.ok(
      listed.some((one) => one.id === 2 && one.result),
      JSON.stringify(listed),
    );
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
      ['0.0.0.0:0', /Set a bearer token \(MCP_RENDEZVOUS_HTTP_TOKEN or --http-token-file\).*--allow-host/],
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
  // Over any stdio, both SDKs drop progress that comes in one read with its result;
  // cli.system.test.ts looks at the wire.
  if (how === 'http') await t.test('progress', () => progress(session));
  await t.test('cancellation', () => cancellation(session, witness));
  await t.test('logging', () => logging(session));
  await t.test('the server asks the client', () => questions(session));
  await t.test('20 calls at once', () => manyCalls(session));
}

/** Calls until there is a result: the first call may reach the server that is about to end. */
async function resultOf(call: () => Promise<Response>): Promise<Record<string, unknown>> {
  while (true) {
    // Changes of the server's lists may come before.
    const answer = (await messages(await call())).find(({ id }) => id !== undefined);
    if (answer?.result) return answer.result;
    assert.match(JSON.stringify(answer), /session_(lost|closed)/);
  }
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
