import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { once } from 'node:events';
import { json } from 'node:stream/consumers';
import { after, before, suite, test, type TestContext } from 'node:test';
import { createRoomToken, createSecret } from 'mcp-rendezvous-protocol/token';
import { Cli, fixture } from '../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from './support/relay.ts';

const [command, script, ...args] = fixture();
const room = () => `room-${crypto.randomUUID()}`;
const secret = createSecret();
const tokenFor = (name: string, role: 'server' | 'client') =>
  createRoomToken({ key: testSecret, room: name, role, subject: role, ttl: 600 });

/** A configuration in a file of its own, which is removed with the test. */
async function configure(t: TestContext, contents: unknown): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'config-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'mcp.json');
  await writeFile(file, typeof contents === 'string' ? contents : JSON.stringify(contents));
  return file;
}

void suite('expose --config', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  const share = async (t: TestContext, mcpServers: object, env: Record<string, string>, ...flags: string[]) => {
    const file = await configure(t, { mcpServers, other: 'is not ours' });
    const all = { ...env, MCP_RENDEZVOUS_SECRET: secret };
    return new Cli(t, ['expose', '--relay', relay.url, '--config', file, ...flags], all);
  };
  const clientOf = async (t: TestContext, name: string): Promise<Cli> => {
    const token = await tokenFor(name, 'client');
    const env = { MCP_RENDEZVOUS_RELAY: relay.url, MCP_RENDEZVOUS_TOKEN: token, MCP_RENDEZVOUS_SECRET: secret };
    const client = new Cli(t, ['connect'], env);
    const { result, error } = await client.request('initialize');
    assert.deepEqual((result?.['serverInfo'] as { name: string } | undefined)?.name, 'fixture', JSON.stringify(error));
    return client;
  };
  const seenBy = async (client: Cli) => (await client.request('seen')).result as { pid: number; variables: string[] };

  test("shares each server in a room of its own, with tokens made of the relay's key", async (t) => {
    const prefix = `${room()}-`;
    const servers = {
      one: { command, args: [script, ...args], env: { ONLY_ONE: 'x' }, type: 'stdio' },
      // Found from there only.
      two: { command, args: ['./server.ts'], cwd: dirname(script!) },
      three: { command: 'never started', disabled: true },
    };
    const expose = await share(t, servers, { RELAY_SECRET: testSecret }, '--room-prefix', prefix);
    for (const name of ['one', 'two']) {
      await expose.says(`mcp-rendezvous: ${name}: sharing ${command} in room ${prefix}${name} as server@`);
    }
    await expose.says('[one, server 1] fixture server is up');
    await expose.says(`"${prefix}two": {`); // the entry to paste
    const [one, two] = await Promise.all(['one', 'two'].map((name) => clientOf(t, prefix + name)));
    const [seenOne, seenTwo] = [await seenBy(one!), await seenBy(two!)];
    assert.notEqual(seenOne.pid, seenTwo.pid);
    assert.ok(seenOne.variables.includes('ONLY_ONE') && !seenTwo.variables.includes('ONLY_ONE'));
    assert.ok(!seenOne.variables.includes('RELAY_SECRET'));
    assert.ok(!/three|eyJ/.test(expose.stderr));
    expose.process.kill('SIGINT');
    assert.equal(await expose.exit(), 130);
  });

  test("takes each entry's own token, which no other server sees", async (t) => {
    const [first, second] = [room(), room()];
    const tokenFile = await configure(t, await tokenFor(second, 'server'));
    const servers = {
      a: { command, args: [script], rendezvous: { tokenEnv: 'FIRST_TOKEN' } },
      b: { command, args: [script], rendezvous: { tokenFile } },
    };
    const expose = await share(t, servers, { FIRST_TOKEN: await tokenFor(first, 'server') });
    await Promise.all([expose.says(`in room ${first} as server`), expose.says(`in room ${second} as server`)]);
    for (const client of [await clientOf(t, first), await clientOf(t, second)]) {
      assert.ok(!(await seenBy(client)).variables.includes('FIRST_TOKEN'));
    }
  });

  test('an endpoint among them, with a header from a variable', async (t) => {
    const asked = Promise.withResolvers<string | undefined>();
    const endpoint = createServer((request, response) => {
      void json(request).then((body) => {
        asked.resolve(request.headers.authorization);
        const { id } = body as { id: number };
        const serverInfo = { name: 'fixture', version: '1' };
        const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo };
        response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, result }));
      });
    }).listen(0, '127.0.0.1');
    t.after(() => endpoint.closeAllConnections());
    t.after(() => endpoint.close());
    await once(endpoint, 'listening');
    const url = `http://127.0.0.1:${(endpoint.address() as AddressInfo).port}/mcp`;
    const name = room();
    const servers = { [name]: { type: 'http', url, headers: { Authorization: 'Bearer ${KEY}' } } };
    const expose = await share(t, servers, { RELAY_SECRET: testSecret, KEY: 'k3y' });
    await expose.says(`in room ${name}`);
    await clientOf(t, name);
    assert.equal(await asked.promise, 'Bearer k3y');
  });

  test('one that fails is reported, and the others go on', async (t) => {
    const name = room();
    const servers = {
      [name]: { command, args: [script] },
      missing: { command: '/nowhere/to/be-found' },
      lost: { command, args: [script], cwd: '/nowhere' },
      unnamed: { args: ['x'] },
      expired: { command, args: [script], rendezvous: { tokenEnv: 'NOT_THERE' } },
      client: { command, args: [script], rendezvous: { tokenEnv: 'CLIENT' } },
    };
    const env = { RELAY_SECRET: testSecret, CLIENT: await tokenFor(name, 'client') };
    const expose = await share(t, servers, env);
    await expose.says(/^mcp-rendezvous: missing: .*was not found/m);
    await expose.says(/^mcp-rendezvous: lost: .*its cwd is not a directory/m);
    await expose.says(/^mcp-rendezvous: unnamed: It has neither a command nor a url/m);
    await expose.says(/^mcp-rendezvous: expired: The variable NOT_THERE, named by tokenEnv, is not set/m);
    await expose.says(/^mcp-rendezvous: client: The token has the role "client"/m);
    await clientOf(t, name);
    assert.equal(expose.process.exitCode, null);
  });

  test('when all have failed, so has it', async (t) => {
    const servers = { missing: { command: '/nowhere/to/be-found' }, both: { command, url: 'http://127.0.0.1:9/' } };
    const expose = await share(t, servers, { RELAY_SECRET: testSecret });
    assert.equal(await expose.exit(), 1);
    assert.match(expose.stderr, /both: It has both a command and a url/);
    assert.match(expose.stderr, /All servers of the configuration have stopped\.\n$/);
    const keyless = await share(t, { files: { command, args: [script] } }, {});
    assert.equal(await keyless.exit(), 1);
    assert.match(keyless.stderr, /files: It has no token\. Provide the signing key.*"tokenEnv"/);
  });

  const mistakes: [name: string, contents: unknown, flags: string[], says: RegExp][] = [
    ['that is no JSON', '{ "mcpServers": { "a": s3cret', [], /is not valid JSON: "/],
    ['without servers', { mcpServers: {} }, [], /has no servers in "mcpServers"/],
    ['of another form', { mcpServers: { a: { args: 's3cret' } } }, [], /Check: mcpServers\.a\.args\./],
    ['with a typo', { mcpServers: { a: { rendezvous: { tokenenv: 'A' } } } }, [], /Check: mcpServers\.a\.rendezvous/],
    ['and a command', { mcpServers: { a: { command } } }, ['--', 'node'], /--config cannot be combined with a command/],
  ];
  for (const [name, contents, flags, says] of mistakes) {
    test(`a configuration ${name}: one line and exit code 2`, async (t) => {
      const file = await configure(t, contents);
      const env = { RELAY_SECRET: testSecret };
      const expose = new Cli(t, ['expose', '--relay', relay.url, '--config', file, ...flags], env);
      assert.equal(await expose.exit(), 2);
      assert.equal(expose.stderr.trimEnd().split('\n').length, 1, expose.stderr);
      assert.match(expose.stderr, says);
      assert.ok(!expose.stderr.includes('s3cret'));
    });
  }

  test('options of --config without it are a mistake', async (t) => {
    const expose = new Cli(t, ['expose', '--relay', relay.url, '--room-prefix', 'x', '--', 'node']);
    assert.equal(await expose.exit(), 2);
    assert.match(expose.stderr, /needs --config/);
  });
});
