/**
 * The client under test of the conformance suite, `client.ts <server url>`: an MCP client on SDK v2
 * over stdio, behind it `connect`, the relay of MCP_RENDEZVOUS_RELAY, and `expose --url`, which is
 * what the suite's HTTP server sees.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { fromSource, mainFile } from '../../sdk/test/cli/support/process.ts';

const { env, argv } = process;
const scenario = env['MCP_CONFORMANCE_SCENARIO'] ?? '';
const version = env['MCP_CONFORMANCE_PROTOCOL_VERSION'] ?? '';
const context = JSON.parse(env['MCP_CONFORMANCE_CONTEXT'] ?? '{}') as { toolCalls?: ToolCall[] };
interface ToolCall {
  name: string;
  arguments?: Record<string, unknown>;
}

const environment = (role: 'SERVER' | 'CLIENT') => ({
  PATH: env['PATH'] ?? '',
  MCP_RENDEZVOUS_RELAY: env['MCP_RENDEZVOUS_RELAY'] ?? '',
  MCP_RENDEZVOUS_TOKEN: env[`${role}_TOKEN`] ?? '',
});

const expose = spawn(process.execPath, [...fromSource, mainFile, 'expose', '--url', argv[2] ?? ''], {
  env: environment('SERVER'),
  stdio: ['ignore', 'ignore', 'inherit'],
});
try {
  const client = new Client(
    { name: 'conformance-client', version: '1.0.0' },
    {
      capabilities: { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: {} },
      versionNegotiation: { mode: version >= '2026-07-28' ? { pin: version } : 'legacy' },
    },
  );
  client.setRequestHandler('elicitation/create', () => ({ action: 'accept', content: {} }));
  const args = [...fromSource, mainFile, 'connect'];
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env: environment('CLIENT') }));
  await run(client);
  await client.close();
} finally {
  await end(expose);
}

/** Does what the scenario is there to see. */
async function run(client: Client): Promise<void> {
  if (scenario === 'initialize') return void (await client.listTools());
  const { tools } = await client.listTools();
  if (scenario === 'json-schema-ref-no-deref' || scenario === 'request-metadata') return;
  if (scenario === 'json-schema-2020-12-preservation') {
    const schema = tools.find(({ name }) => name === 'json_schema_2020_12_tool')?.inputSchema;
    return await call(client, { name: 'json_schema_echo', arguments: { schema } });
  }
  for (const tool of context.toolCalls ?? tools.map(({ name }) => ({ name, arguments: { a: 2, b: 3 } }))) {
    await call(client, tool);
  }
  if (scenario !== 'http-standard-headers') return;
  for (const { uri } of (await client.listResources()).resources) await client.readResource({ uri });
  for (const { name } of (await client.listPrompts()).prompts) await client.getPrompt({ name });
}

/** What the server answers is its business: the suite looks at what it was asked. */
async function call(client: Client, tool: ToolCall): Promise<void> {
  await client.callTool(tool).catch((error: Error) => process.stderr.write(`${tool.name}: ${error.message}\n`));
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill();
  await once(child, 'close');
}
