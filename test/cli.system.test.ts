import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { Client as ClientV2 } from '@modelcontextprotocol/client';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { decodeJwt } from 'jose';
import { Cli, fixture, fromSource, mainFile, root, runs, until } from '../sdk/test/cli/support/process.ts';
import { RelayProcess } from './support/relay.ts';
import { Room, sharedFixture } from './support/room.ts';

const everything = ['npx', '-y', '@modelcontextprotocol/server-everything'] as [string, ...string[]];

/** How an MCP client is configured to start `connect`. */
const stdio = async (room: Room) => ({
  command: process.execPath,
  args: [...fromSource, mainFile, 'connect'],
  cwd: root,
  env: await room.env('client'),
  stderr: 'ignore' as const,
});

void suite('the command line', { concurrency: 3 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  test('what expose prints is ready to paste, and carries no token', async (t) => {
    const room = new Room(relay);
    const env = await room.env('server', 'desktop-1');
    const expose = new Cli(t, ['expose', '--debug', '--', ...fixture()], env);
    await expose.says('"<client token>"');
    await expose.says(`in room ${room.name} as desktop-1 through ${relay.ws}\n`);
    const entry = JSON.parse(/^\{.*^\}/ms.exec(expose.stderr)?.[0] ?? '') as { mcpServers: object };
    assert.deepEqual(entry, {
      mcpServers: {
        [room.name]: {
          command: 'node',
          args: [mainFile, 'connect', '--relay', relay.ws],
          env: { MCP_RENDEZVOUS_TOKEN: '<client token>' },
        },
      },
    });
    assert.ok(!expose.stderr.includes(env.MCP_RENDEZVOUS_TOKEN));
  });

  test('two clients get a process each, which does not see the token', async (t) => {
    const { room, client, pid, expose } = await sharedFixture(t, relay);
    const other = await room.connect(t, 'another');
    const { pid: otherPid, variables } = (await other.request('seen')).result as { pid: number; variables: string[] };
    assert.notEqual(pid, otherPid);
    assert.ok(variables.includes('PATH') && !variables.includes('MCP_RENDEZVOUS_TOKEN'));
    await expose.says('client another connected');
    await other.says('connected to server');
    client.process.stdin.end();
    assert.equal(await client.exit(), 0);
    await until('the end of its process', () => !runs(pid));
    assert.deepEqual((await other.request('echo', { text: 'ü' })).result, { params: { text: 'ü' } });
  });

  test('two processes with one token live side by side', async (t) => {
    const { room, client } = await sharedFixture(t, relay);
    const twin = await room.connect(t);
    await twin.request('seen');
    assert.deepEqual((await client.request('echo')).result, {});
  });

  test('the client comes first: its requests wait for the server', async (t) => {
    const room = new Room(relay);
    const client = await room.connect(t);
    const answer = client.request('echo', { early: true });
    await client.says('connecting');
    await room.expose(t);
    assert.deepEqual((await answer).result, { params: { early: true } });
  });

  test('requests of the server reach the client and come back', async (t) => {
    const { client } = await sharedFixture(t, relay);
    client.send({ id: 'q', method: 'ask' });
    const asked = () => client.messages.find((message) => 'method' in message);
    await until('the question', () => asked() !== undefined);
    assert.deepEqual(asked(), { jsonrpc: '2.0', id: 's-1', method: 'sampling/createMessage', params: {} });
    client.send({ id: 's-1', result: { text: 'yes' } });
    const { result } = await client.answer('q');
    assert.deepEqual(result, { answer: { jsonrpc: '2.0', id: 's-1', result: { text: 'yes' } } });
  });

  test('the server dies during a call: every call gets an error, and others go on', async (t) => {
    const { room, client, expose } = await sharedFixture(t, relay);
    const other = await room.connect(t, 'another');
    await other.request('seen');
    client.send({ id: 'pending', method: 'silence' });
    client.send({ id: 'fatal', method: 'exit' });
    for (const id of ['pending', 'fatal']) {
      const { error } = await client.answer(id);
      assert.match(error?.message ?? '', /exited with code 3/);
      assert.deepEqual(error?.data, { code: 'server_exited', retryable: true });
    }
    await expose.says(/client client was closed: .*exited with code 3/);
    // The client goes on: the next call has another process.
    assert.deepEqual((await client.request('echo')).result, {});
    assert.deepEqual((await other.request('echo')).result, {});
    const again = await room.connect(t);
    assert.deepEqual((await again.request('echo')).result, {});
  });

  test('no server comes: the client is told after --timeout', async (t) => {
    const room = new Room(relay);
    const client = await room.connect(t, 'lonely', '--timeout', '10');
    const { error } = await client.request('initialize');
    assert.equal(error?.data?.code, 'peer_absent');
    assert.match(error?.message ?? '', /Connecting timed out after 10 s\. No MCP server joined the room/);
    assert.match(client.stderr, /room "[^"]+" is empty, waiting for its server/);
    // It stays for another try.
    await (await room.expose(t)).says('sharing');
    assert.deepEqual((await client.request('echo')).result, {});
  });

  test('the client leaves while connecting', async (t) => {
    const room = new Room(relay);
    const client = await room.connect(t);
    await client.says('connecting');
    client.process.stdin.end();
    assert.equal(await client.exit(), 0);
  });

  test('all that was sent before the end of input is answered', async (t) => {
    const { room } = await sharedFixture(t, relay);
    const client = await room.connect(t, 'hasty');
    for (let id = 1; id <= 20; id++) client.send({ id, method: 'echo', params: { id } });
    client.process.stdin.end();
    assert.equal(await client.exit(), 0);
    assert.equal(client.messages.length, 20);
  });

  test('a token that the relay does not take: both sides say so', async (t) => {
    const room = new Room(relay, { key: 'another secret, as long as the first' });
    const [expose, client] = [await room.expose(t), await room.connect(t)];
    assert.equal((await client.request('initialize')).error?.data?.code, 'token_invalid');
    assert.equal(await client.exit(), 1);
    assert.equal(await expose.exit(), 1);
    assert.match(expose.stderr, /token/);
  });

  test('a command that gives such tokens, and has never given another one: the same', async (t) => {
    const room = new Room(relay, { key: 'another secret, as long as the first' });
    const { MCP_RENDEZVOUS_TOKEN: GIVEN, ...env } = await room.env('client');
    const client = new Cli(t, ['connect', '--token-command', 'echo $GIVEN'], { ...env, GIVEN });
    assert.equal((await client.request('initialize')).error?.data?.code, 'token_invalid');
    assert.equal(await client.exit(), 1);
  });

  test('a command that wraps the token: it says what is wrong', async (t) => {
    const { MCP_RENDEZVOUS_TOKEN: token, ...env } = await new Room(relay).env('client');
    const given = { ...env, GIVEN: JSON.stringify({ token }) };
    const client = new Cli(t, ['connect', '--token-command', 'echo "$GIVEN"'], given);
    assert.equal(await client.exit(), 2);
    assert.match(client.stderr, /complete token and nothing else, such as JSON around it/);
  });

  test('a token that ends while the server is shared: expose says so and ends', async (t) => {
    // Long enough for a busy machine to start the process.
    const room = new Room(relay, { ttl: 15 });
    const expose = await room.expose(t);
    assert.equal(await expose.exit(), 1);
    assert.match(expose.stderr.trimEnd().split('\n').at(-1) ?? '', /expired/);
  });

  test('a token file is read again, so that a fresh token keeps the place', async (t) => {
    const room = new Room(relay);
    const directory = mkdtempSync(join(tmpdir(), 'cli-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'token');
    // Long enough for a busy machine to start the process.
    const first = await room.token('server', 'server', 12);
    writeFileSync(file, first);
    const expose = new Cli(t, ['expose', '--relay', relay.url, '--token-file', file, '--', ...fixture()]);
    await expose.says('sharing');
    writeFileSync(file, await room.token('server', 'server', 600));
    const end = (decodeJwt(first).exp ?? 0) * 1000 + 3_000;
    await until('a moment after the end of the first token', () => Date.now() > end);
    const client = await room.connect(t);
    assert.deepEqual((await client.request('echo')).result, {});
  });

  test('the same server elsewhere takes over: the first one says so and ends', async (t) => {
    const room = new Room(relay);
    const first = await room.expose(t);
    await first.says('sharing');
    await room.expose(t);
    assert.equal(await first.exit(), 1);
    assert.match(first.stderr.trimEnd().split('\n').at(-1) ?? '', /replaced|elsewhere/i);
  });

  test('a command that ends while nobody is connected ends expose', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t, [process.execPath, '-e', 'setTimeout(() => process.exit(5), 1500)']);
    assert.equal(await expose.exit(), 1);
    assert.match(expose.stderr.trimEnd().split('\n').at(-1) ?? '', /exited with code 5/);
  });

  test('a server that knows nothing before initialize survives server/discover', async (t) => {
    const { client } = await sharedFixture(t, relay, fixture('strict'));
    assert.deepEqual((await client.request('echo')).result, {});
  });

  test('server/discover before initialize is declined on behalf of the server, and passed on with --discover', async (t) => {
    const room = new Room(relay);
    await room.expose(t, fixture('strict'));
    const client = await room.connect(t);
    assert.deepEqual((await client.request('server/discover')).error, { code: -32_601, message: 'Method not found' });
    assert.equal((await client.request('initialize')).error, undefined);
    const modern = new Room(relay);
    await modern.expose(t, fixture('strict'), '--discover');
    const other = await modern.connect(t);
    assert.match((await other.request('server/discover')).error?.message ?? '', /exited with code 9/);
  });

  for (const sdk of ['v1', 'v2'] as const) {
    test(`server-everything, used by the MCP SDK's ${sdk} client through its stdio transport`, async (t) => {
      const room = new Room(relay);
      await room.expose(t, everything);
      const client =
        sdk === 'v1' ? new ClientV1({ name: 'c', version: '1' }) : new ClientV2({ name: 'c', version: '1' });
      t.after(() => client.close());
      const parameters = await stdio(room);
      await (client instanceof ClientV1
        ? client.connect(new StdioV1(parameters))
        : client.connect(new StdioV2(parameters)));

      const { tools } = await client.listTools();
      assert.ok(tools.some(({ name }) => name === 'echo'));
      const echo = await client.callTool({ name: 'echo', arguments: { message: 'grüß dich' } });
      assert.deepEqual(echo.content, [{ type: 'text', text: 'Echo: grüß dich' }]);
      const { resources } = await client.listResources();
      const { contents } = await client.readResource({ uri: resources[0]!.uri });
      assert.ok('text' in contents[0]! && contents[0].text.length > 100);

      const steps: number[] = [];
      const options = { onprogress: ({ progress }: { progress: number }) => void steps.push(progress) };
      const long = { name: 'trigger-long-running-operation', arguments: { duration: 6, steps: 6 } };
      await (client instanceof ClientV1 ? client.callTool(long, undefined, options) : client.callTool(long, options));
      // Both SDKs drop a progress notification that arrives in one read with its result, as the
      // last one may, over any stdio, and the one before it on a busy machine; that all of them
      // pass is seen on the wire, below.
      assert.deepEqual(steps.slice(0, 2), [1, 2]);

      const failed = await client.callTool({ name: 'echo', arguments: { message: 7 } });
      assert.equal(failed.isError, true);
    });
  }

  test('server-everything: every progress notification arrives, before its result', async (t) => {
    const room = new Room(relay);
    await room.expose(t, everything);
    const client = await room.connect(t);
    const clientInfo = { name: 'c', version: '1' };
    await client.request('initialize', { protocolVersion: '2025-06-18', capabilities: {}, clientInfo });
    client.send({ method: 'notifications/initialized' });
    const calls = 20;
    for (let call = 1; call <= calls; call++) {
      const seen = client.messages.length;
      await client.request('tools/call', {
        name: 'trigger-long-running-operation',
        arguments: { duration: 0.03, steps: 3 },
        _meta: { progressToken: call },
      });
      // The server speaks of other things meanwhile: those are not counted.
      const order = client.messages.slice(seen).flatMap((message): unknown[] => {
        if (!('method' in message)) return ['result'];
        if (message.method !== 'notifications/progress') return [];
        return [[message.params?.['progressToken'], message.params?.['progress']]];
      });
      assert.deepEqual(order, [[call, 1], [call, 2], [call, 3], 'result']);
    }
  });

  test('server-filesystem: a file is read, and one outside is refused', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'cli-'));
    t.after(() => rmSync(directory, { recursive: true }));
    writeFileSync(join(directory, 'note.txt'), 'made of 日本語');
    const room = new Room(relay);
    await room.expose(t, ['npx', '-y', '@modelcontextprotocol/server-filesystem', directory]);
    const client = new ClientV1({ name: 'c', version: '1' });
    t.after(() => client.close());
    await client.connect(new StdioV1(await stdio(room)));
    const read = (path: string) => client.callTool({ name: 'read_text_file', arguments: { path } });
    const note = await read(join(directory, 'note.txt'));
    assert.deepEqual(note.content, [{ type: 'text', text: 'made of 日本語' }]);
    assert.equal((await read('/etc/hostname')).isError, true);
  });
});
