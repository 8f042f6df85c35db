import { setTimeout } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/client';
import { WebRTCClientTransport } from 'mcp-rendezvous';

const relay = process.env['MCP_RENDEZVOUS_RELAY'] ?? 'ws://127.0.0.1:8787';
const token = process.env['MCP_RENDEZVOUS_TOKEN'];
if (!token) throw new Error('Set MCP_RENDEZVOUS_TOKEN to a token for the role client.');

// An MCP client like any other, but for its transport.
const client = new Client({ name: 'quickstart', version: '1.0.0' });
const transport = new WebRTCClientTransport({ relay, token });
const direct = new Promise<void>((resolve) => {
  transport.onpathchange = (path) => path === 'direct' && resolve();
});
await client.connect(transport);
console.log(`server: ${transport.peer?.subject}`);

const { tools } = await client.listTools();
console.log(`tools: ${tools.map(({ name }) => name).join(', ')}`);

const { content } = await client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
for (const part of content) if (part.type === 'text') console.log(part.text);

// The first messages travel through the relay, encrypted end to end, until a direct path is found.
// With `ref: false`, the timer does not keep the process running after that.
await Promise.race([direct, setTimeout(5_000, undefined, { ref: false })]);
console.log(`path: ${transport.path}`);

await client.close();
