import { createInterface } from 'node:readline';

/** An MCP server over stdio that says on stderr which calls it carries out. */
const say = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);

createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line) as { id?: string; method: string; params?: object };
  if (id === undefined) return;
  if (method === 'tools/call') process.stderr.write(`ran ${id};\n`);
  const hello = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'week', version: '1' } };
  say({ id, result: method === 'initialize' ? hello : { params } });
});
