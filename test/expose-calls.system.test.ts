import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jwtPayload } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { StdioClientTransport as StdioV2 } from '@modelcontextprotocol/client/stdio';
import { StdioClientTransport as StdioV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import type { AuditedCall } from '../sdk/src/cli/calls/audit-log.ts';
import { Cli, fromSource, mainFile, root, until } from '../sdk/test/cli/support/process.ts';
import { Fixture } from './conformance/fixture.ts';
import { connect, type Session } from './mcp/clients.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { Room } from './support/room.ts';
import { namedBlocks, Terminal } from './support/terminal.ts';

const stdioServer = [
  process.execPath,
  ...fromSource,
  fileURLToPath(new URL('./mcp/stdio-server.ts', import.meta.url)),
] as [string, ...string[]];

async function directoryOf(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'calls-'));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

const linesOf = async (file: string): Promise<AuditedCall[]> =>
  (await readFile(file, 'utf8').catch(() => ''))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as AuditedCall);

/** The lines, once there are so many. */
async function audited(file: string, count: number): Promise<AuditedCall[]> {
  await until(`${count} lines`, async () => (await linesOf(file)).length >= count);
  return await linesOf(file);
}

/** An SDK's client whose server is `connect`. */
async function clientOf(t: TestContext, kind: 'v1' | 'v2 modern', env: Record<string, string>): Promise<Session> {
  const args = [...fromSource, mainFile, 'connect'];
  const parameters = { command: process.execPath, args, cwd: root, env, stderr: 'ignore' as const };
  const session = await connect(kind, kind === 'v1' ? new StdioV1(parameters) : new StdioV2(parameters));
  t.after(() => session.close());
  return session;
}

void suite('what an operator wants of calls', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  test('the command of the document: tools are hidden and denied, and calls become lines', async (t) => {
    const terminal = new Terminal(t);
    const page = await readFile(join(root, 'docs/guides/command-line.md'), 'utf8');
    await writeFile(join(terminal.folder, 'relay.key'), testSecret, { mode: 0o600 });
    const command =
      namedBlocks(page, { 'wss://relay.example': relay.ws }).get('sh expose') ??
      assert.fail('The document has no block "sh expose"');
    const sharing = terminal.start(command.replace(' expose ', ' expose --print-invitation '));
    const session = await clientOf(t, 'v1', { MCP_RENDEZVOUS_INVITATION: await sharing.says(/^(mcpr1\S+)$/m) });
    const tools = await session.tools();
    assert.ok(tools.length > 3 && tools.every((tool) => tool === 'echo' || tool.startsWith('get-')), tools.join());
    assert.ok(!tools.includes('get-env'));
    await assert.rejects(session.call('get-env'), { code: -32_602, message: /is not available here/ });
    const lines = await audited(join(terminal.folder, 'audit.jsonl'), 1);
    assert.deepEqual([lines.length, lines[0]?.tool, lines[0]?.outcome], [1, 'get-env', 'denied']);
  });

  for (const [kind, server] of [
    ['v1', 'a command'],
    ['v2 modern', '--url'],
  ] as const) {
    test(`${server} and a client ${kind}: a line says whose call it was, and what came of it`, async (t) => {
      const room = new Room(relay);
      const audit = join(await directoryOf(t), 'audit.jsonl');
      const [good, bad, denied] =
        server === '--url'
          ? ['test_simple_text', 'test_error_handling', 'test_image_content']
          : ['echo', 'fail', 'add'];
      const flags = ['--allow-tools', `${good},x`, '--allow-tools', `${bad.slice(0, -1)}*`, '--audit', audit];
      if (server === '--url') {
        const http = await Fixture.start();
        t.after(() => http.stop());
        void new Cli(t, ['expose', ...flags, '--url', http.url], await room.env('server'));
      } else await room.expose(t, stdioServer, '--discover', ...flags);
      const env = await room.env('client', 'ann');
      const session = await clientOf(t, kind, env);
      assert.equal(session.era, kind === 'v1' ? 'legacy' : 'modern');
      assert.deepEqual((await session.tools()).toSorted(), [good, bad].toSorted());
      assert.equal((await session.call(good, { text: 'a secret' })).isError, false);
      assert.equal((await session.call(bad)).isError, true);
      await assert.rejects(session.call(denied, { a: 1, b: 2 }), { code: -32_602, message: /is not available here/ });
      const lines = await audited(audit, 3);
      assert.deepEqual(
        lines.map(({ tool, outcome }) => [tool, outcome]),
        [
          [good, 'ok'],
          [bad, 'tool_error'],
          [denied, 'denied'],
        ],
      );
      const { jti } = jwtPayload(env.MCP_RENDEZVOUS_TOKEN) ?? {};
      for (const line of lines) assert.deepEqual([line.room, line.subject, line.jti], [room.name, 'ann', jti]);
      assert.ok(!(await readFile(audit, 'utf8')).includes('a secret'));
      assert.equal((await stat(audit)).mode & 0o777, 0o600);
    });
  }

  test('--config: lists of an entry beside those of the command, and one audit', async (t) => {
    const directory = await directoryOf(t);
    const [config, audit] = [join(directory, 'mcp.json'), join(directory, 'audit.jsonl')];
    const prefix = `${crypto.randomUUID()}-`;
    const [command, ...args] = stdioServer;
    const servers = {
      one: { command, args, rendezvous: { tokenEnv: 'ONE', denyTools: ['fail'] } },
      two: { command, args, rendezvous: { tokenEnv: 'TWO', allowTools: ['add', 'fail'] } },
    };
    await writeFile(config, JSON.stringify({ mcpServers: servers }));
    const token = (name: string, role: 'server' | 'client') =>
      createRoomToken({ key: testSecret, room: prefix + name, role, subject: role, ttl: 600 });
    const env = { ONE: await token('one', 'server'), TWO: await token('two', 'server') };
    const flags = ['--deny-tools', 'thr*', '--audit', audit];
    const expose = new Cli(t, ['expose', '--relay', relay.url, '--config', config, ...flags], env);
    await Promise.all(['one', 'two'].map((name) => expose.says(`in room ${prefix}${name}`)));
    const sessionOf = async (name: string) =>
      await clientOf(t, 'v1', { MCP_RENDEZVOUS_RELAY: relay.url, MCP_RENDEZVOUS_TOKEN: await token(name, 'client') });
    const [one, two] = [await sessionOf('one'), await sessionOf('two')];
    const seen = await one.tools();
    assert.ok(seen.includes('echo') && !seen.includes('fail') && !seen.includes('throw'));
    assert.deepEqual((await two.tools()).toSorted(), ['add', 'fail']);
    await assert.rejects(two.call('echo'));
    await assert.rejects(one.call('throw'));
    assert.deepEqual(
      (await audited(audit, 2)).map(({ room, tool }) => [room, tool]),
      [
        [`${prefix}two`, 'echo'],
        [`${prefix}one`, 'throw'],
      ],
    );
  });

  test('a full disk ends no session, and is said', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t, stdioServer, '--discover', '--json', '--audit', '/dev/full');
    const session = await clientOf(t, 'v1', await room.env('client'));
    assert.equal((await session.call('echo', { text: 'a' })).text, 'a');
    await expose.says(/"event":"audit_failed","code":"ENOSPC"/);
    assert.equal((await session.call('echo', { text: 'b' })).text, 'b');
    expose.process.kill('SIGTERM');
    await expose.says(/could not be written, and are lost/);
  });

  test('a list that matches nothing, and a file that cannot be written, are mistakes in the command', async (t) => {
    const room = new Room(relay);
    for (const [flag, value, why] of [
      ['--deny-tools', 'delete_[ab]', /"delete_\[ab\]" is not the name of a tool/],
      ['--audit', '/nowhere/audit', /Cannot write the --audit file/],
    ] as const) {
      const expose = await room.expose(t, stdioServer, flag, value);
      assert.equal(await expose.exit(), 2);
      assert.match(expose.stderr, why);
    }
  });
});
