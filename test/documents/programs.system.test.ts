import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { allBlocks, type Block, isExecutedByName, isProgram, place, root } from './blocks.ts';
import { CleanEnvironment } from './clean.ts';
import { compile, exampleRelay, fileOf, programOf } from './programs.ts';

/** Every program of the documents, against the packages as they are published. */
const run = promisify(execFile);
const programs = allBlocks().filter(isProgram);
const runnable = programs.filter(
  (block) => block.notRun === undefined && block.testedBy === undefined && !isExecutedByName(block),
);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  devDependencies: Record<string, string>;
};
const version = (name: string): string => `${name}@${manifest.devDependencies[name] ?? 'latest'}`;

let clean: CleanEnvironment;
let relay: RelayProcess;
before(async () => {
  clean = await CleanEnvironment.create();
  await clean.installCommands();
  const more = [
    '../clone/mcp-rendezvous-server-*.tgz',
    ...[
      '@a2a-js/sdk',
      'zod',
      'react',
      'react-dom',
      '@types/react',
      '@types/react-dom',
      'standardwebhooks',
      '@opentelemetry/api',
      '@opentelemetry/sdk-trace',
    ].map(version),
  ];
  await clean.installApplication(...more);
  relay = await RelayProcess.start();
});
after(async () => {
  await relay?.stop();
  await clean?.remove();
});

let rooms = 0;
/** The environment of a program of a role in a room. */
async function environment(role: 'server' | 'client', room: string): Promise<NodeJS.ProcessEnv> {
  const token = await createRoomToken({ key: testSecret, room, role, subject: `${role} of a document`, ttl: '1h' });
  return { MCP_RENDEZVOUS_TOKEN: token, RELAY_SECRET: testSecret, RELAY_PORT: '0' };
}

/** The program as a reader has it, with the reader's relay. */
function written(block: Block): string {
  const file = join(clean.app, 'src', fileOf(block));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, programOf(block).replaceAll(exampleRelay, relay.ws));
  return file;
}

async function toItsEnd(block: Block, env: NodeJS.ProcessEnv): Promise<void> {
  const options = { cwd: clean.app, env: { ...clean.env, ...env }, timeout: 120_000 };
  const only = block.only === undefined ? [] : [`--test-name-pattern=${block.only}`];
  await run(process.execPath, [...only, written(block)], options);
}

const program = { name: 'document', version: '1.0.0' };

suite('the programs of the documents', { timeout: 900_000 }, () => {
  test('compile, with strict rules', async () => {
    assert.deepEqual(await compile(clean.app, programs), []);
  });

  for (const block of runnable.filter(({ runAs }) => runAs === undefined)) {
    test(`${place(block)} runs`, async () => {
      await toItsEnd(block, await environment('client', `alone-${++rooms}`));
    });
  }

  for (const block of runnable.filter(({ runAs }) => runAs === 'client')) {
    test(`${place(block)} is a client`, async (t) => {
      const room = `client-${++rooms}`;
      const { MCP_RENDEZVOUS_TOKEN: token = '' } = await environment('server', room);
      const listener = await listen({ relay: relay.ws, token }, (transport) => {
        const server = new McpServer(program);
        server.registerTool('hello', { description: 'Says hello.' }, () => ({
          content: [{ type: 'text', text: 'Hello.' }],
        }));
        return server.connect(transport);
      });
      t.after(() => listener.close());
      await toItsEnd(block, await environment('client', room));
    });
  }

  for (const block of runnable.filter(({ runAs }) => runAs === 'server')) {
    test(`${place(block)} is a server`, async (t) => {
      const room = `server-${++rooms}`;
      t.after(() => clean.stop());
      const started = clean.start([process.execPath, written(block)], /^$/, {
        cwd: clean.app,
        env: await environment('server', room),
      });
      const { MCP_RENDEZVOUS_TOKEN: token = '' } = await environment('client', room);
      const client = new Client(program);
      await started;
      await client.connect(new WebRTCClientTransport({ relay: relay.ws, token }));
      const { tools } = await client.listTools();
      assert.ok(tools.length > 0);
      await client.close();
      // The same server, and the client of the same page.
      for (const other of runnable.filter(({ document, runAs }) => document === block.document && runAs === 'client')) {
        await toItsEnd(other, await environment('client', room));
      }
    });
  }
});
