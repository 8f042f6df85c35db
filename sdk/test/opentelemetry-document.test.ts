import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { McpServer } from '@modelcontextprotocol/server';
import { listen } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { blocksTestedBy } from '../../test/documents/blocks.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { Terminal } from '../../test/support/terminal.ts';

test('the client of the document prints its spans', { timeout: 120_000 }, async (t) => {
  const [program] = blocksTestedBy(import.meta.filename);
  assert.ok(program);
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const token = (role: 'server' | 'client') => testToken({ room: 'traced', role });
  const listener = await listen({ relay: relay.ws, token: await token('server') }, (transport) => {
    const server = new McpServer({ name: 'document', version: '1.0.0' });
    server.registerTool('hello', { description: 'Says hello.' }, () => ({
      content: [{ type: 'text', text: 'Hello.' }],
    }));
    return server.connect(transport);
  });
  t.after(() => listener.close());
  const terminal = new Terminal(t);
  await writeFile(join(terminal.folder, 'package.json'), '{ "type": "module" }');
  await writeFile(join(terminal.folder, 'client.ts'), program.body.replace('wss://relay.example', relay.ws));
  const run = 'node --conditions=mcp-rendezvous-source client.ts';
  const output = await terminal.run(`MCP_RENDEZVOUS_TOKEN=${await token('client')} ${run}`);
  assert.match(output, /hello/);
  for (const name of ['session', 'join']) assert.match(output, new RegExp(`name: 'mcp_rendezvous.${name}'`));
});
