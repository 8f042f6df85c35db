import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { getMcpConfigForManifest } from '@anthropic-ai/mcpb/node';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { createInvitation, createSecret, deriveSecret } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { Cli } from '../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from './support/relay.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const tool = join(root, 'node_modules/@anthropic-ai/mcpb/dist/cli/cli.js');

type Manifest = Parameters<typeof getMcpConfigForManifest>[0]['manifest'];

/** The bundle as a host of MCPB unpacks it, asks for its configuration, and starts it. */
void suite('the bundle for hosts of MCPB', { timeout: 180_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mcpb-'));
  const unpacked = join(folder, 'unpacked');
  const file = (name: string) => readFileSync(join(unpacked, name), 'utf8');
  let manifest: Manifest;
  let relay: RelayProcess;

  before(async () => {
    relay = await RelayProcess.start();
    await run(process.execPath, [join(root, 'scripts/mcpb.ts'), join(folder, 'x.mcpb')]);
    await run(process.execPath, [tool, 'unpack', join(folder, 'x.mcpb'), unpacked]);
    manifest = JSON.parse(file('manifest.json')) as Manifest;
  });
  after(async () => {
    await relay.stop();
    rmSync(folder, { recursive: true });
  });

  const configured = (userConfig: Record<string, string>) =>
    getMcpConfigForManifest({ manifest, extensionPath: unpacked, systemDirs: {}, userConfig, pathSeparator: '/' });

  test('asks for the invitation only, which hosts keep as a secret', async () => {
    const { stdout } = await run(process.execPath, [tool, 'validate', join(unpacked, 'manifest.json')]);
    assert.match(stdout, /passes/);
    assert.deepEqual(Object.keys(manifest.user_config ?? {}), ['invitation']);
    const { sensitive, required, type } = manifest.user_config!['invitation']!;
    assert.deepEqual([sensitive, required, type], [true, true, 'string']);
    assert.equal(await configured({}), undefined);
  });

  test('has the licence of everything that is in it', () => {
    const licences = file('THIRD_PARTY_LICENSES');
    for (const name of ['werift', 'ws', 'jose', '@noble/hashes', 'zod'])
      assert.ok(licences.includes(`${name}: `), name);
    assert.match(file('LICENSE'), /Apache License/);
  });

  test('started with an invitation, it is the server on the other machine', async (t) => {
    const secret = createSecret();
    const token = async (role: 'server' | 'client') => {
      const id = crypto.randomUUID();
      const options = { key: testSecret, room: 'bundle', role, subject: role, ttl: 600, id };
      return createInvitation({
        relay: relay.ws,
        token: await createRoomToken(options),
        secret: role === 'server' ? secret : await deriveSecret(secret, id),
      });
    };
    const expose = new Cli(t, ['expose', '--', 'npx', '-y', '@modelcontextprotocol/server-everything'], {
      MCP_RENDEZVOUS_INVITATION: await token('server'),
    });
    await expose.says('sharing');
    const { command, args = [], env } = (await configured({ invitation: await token('client') }))!;
    assert.equal(command, 'node');
    const transport = new StdioClientTransport({
      command,
      args,
      cwd: folder,
      env: { ...env, PATH: [dirname(process.execPath), '/usr/bin', '/bin'].join(':') },
    });
    const client = new Client({ name: 'host', version: '1.0.0' });
    await client.connect(transport);
    t.after(() => client.close());
    const { tools } = await client.listTools();
    assert.ok(tools.some(({ name }) => name === 'echo'));
    const echoed = (await client.callTool({ name: 'echo', arguments: { message: 'hello' } })) as {
      content: { text: string }[];
    };
    assert.match(echoed.content[0]?.text ?? '', /hello/);
  });
});
