/**
 * An MCP server over stdio that costs next to nothing, so that what carries its messages is
 * measured. The benchmark runs it without its types.
 */
let rest = '';
const large = 'x'.repeat(1_000_000);

process.stdin.setEncoding('utf8').on('data', (text: string) => {
  const lines = (rest + text).split('\n');
  rest = lines.pop() ?? '';
  process.stdout.write(lines.map(answer).join(''));
});
process.stdin.on('end', () => process.exit());

function answer(line: string): string {
  const { id, method, params = {} } = JSON.parse(line) as { id?: number; method: string; params?: { name?: string } };
  if (id === undefined) return '';
  const result = { initialize: hello, 'tools/list': tools }[method] ?? called(params);
  return `${JSON.stringify({ jsonrpc: '2.0', id, result })}\n`;
}

const called = (params: { name?: string }) => ({
  content: [{ type: 'text', text: params.name === 'large' ? large : JSON.stringify(params) }],
});

const hello = {
  protocolVersion: '2025-11-25',
  capabilities: { tools: {} },
  serverInfo: { name: 'bench', version: '1' },
};
const tools = {
  tools: ['echo', 'large'].map((name) => ({
    name,
    description: `Answers with ${name === 'echo' ? 'its arguments' : 'a megabyte'}.`,
    inputSchema: { type: 'object', properties: { text: { type: 'string' } } },
  })),
};
