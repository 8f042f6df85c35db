import { createInterface } from 'node:readline';

/** An MCP server as the field has them. Over stdio when it is run as a program. */
export interface Asked {
  id?: number | string;
  method?: string;
  params?: { ask?: boolean; text?: string };
}

const hello = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'odd', version: '1' } };
const deep = `${'[{"a":'.repeat(3_000)}1${'}]'.repeat(3_000)}`;
const longText = 11 * 1024 * 1024;

/** What it asks before it answers an `initialize` that wants to be asked. */
export const question = { jsonrpc: '2.0', id: 'early', method: 'ping' };
export const answerToInitialize = (id: unknown): string => JSON.stringify({ jsonrpc: '2.0', id, result: hello });

/** What it writes for a request, as it stands. */
export function oddAnswer({ id, method, params }: Asked): string {
  const own = JSON.stringify(id);
  const good = (text: string) => `{"jsonrpc":"2.0","id":${own},"result":{"text":${text}}}`;
  switch (method) {
    case 'initialize':
      return answerToInitialize(id);
    case 'result that is no object':
      return `{"jsonrpc":"2.0","id":${own},"result":5}`;
    case 'result beside "error": null':
      return `{"jsonrpc":"2.0","id":${own},"error":null,"result":{"text":"kept"}}`;
    case 'error without an id':
      return '{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"What?"}}';
    case 'error that is a text':
      return `{"jsonrpc":"2.0","id":${own},"error":"What?"}`;
    case 'result that is too deep':
      return good(deep);
    case 'result that is too long':
      return good(JSON.stringify('x'.repeat(longText)));
    case 'line separators':
      return good('"a\u2028b\u2029c"');
    case 'byte-order mark':
      return `\ufeff${good('"kept"')}`;
    default:
      return good(JSON.stringify(params?.text ?? ''));
  }
}

if (process.argv[2] === 'stdio') {
  let first: unknown;
  createInterface({ input: process.stdin }).on('line', (line) => {
    const message = JSON.parse(line) as Asked;
    if (message.params?.ask) {
      first = message.id;
      process.stdout.write(`${JSON.stringify(question)}\n`);
    } else if (message.method === undefined && message.id === question.id) {
      process.stdout.write(`${answerToInitialize(first)}\n`);
    } else if (message.id !== undefined && message.method !== undefined) {
      process.stdout.write(`${oddAnswer(message)}\n`);
    }
  });
}
