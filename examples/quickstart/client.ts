import { Client } from '@modelcontextprotocol/client';
import { WebRTCClientTransport } from 'mcp-rendezvous';

const relay = process.env['MCP_RENDEZVOUS_RELAY'] ?? 'ws://127.0.0.1:8787';
const token = process.env['MCP_RENDEZVOUS_TOKEN'];
if (!token) throw new Error('Set MCP_RENDEZVOUS_TOKEN to a token for the role client.');

// An MCP client like any other, but for its transport.
const client = new Client({ name: 'quickstart', version: '1.0.0' });
const transport = new WebRTCClientTransport({ relay, token });
await client.connect(transport);
console.log(`server: ${transport.peer?.subject}`);

const { tools } = await client.listTools();
console.log(`tools: ${tools.map(({ name }) => name).join(', ')}`);

const { content } = await client.callTool({ name: 'greet', arguments: { name: 'Ada' } });
for (const part of content) if (part.type === 'text') console.log(part.text);

const { localCandidateType, protocol } = await transport.stats();
console.log(`path: ${localCandidateType} ${protocol}`); // host: directly; relay: through a TURN server

await client.close();
