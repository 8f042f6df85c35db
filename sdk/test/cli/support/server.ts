/**
 * A small MCP server over stdio, written out by hand, that misbehaves when it is asked to. Run it
 * with: strict    exit at any request before `initialize` stubborn  ignore the end of input and
 * SIGTERM
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

type Message = { id?: number | string; method?: string; params?: Record<string, unknown>; result?: unknown };

const modes = new Set(process.argv.slice(2));
const say = (message: object) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const forever = () => setInterval(() => {}, 60_000);
let initialized = false;
let asking: Message | undefined;

if (modes.has('stubborn')) {
  process.on('SIGTERM', () => {});
  forever();
}
process.stderr.write('fixture server is up\n');

createInterface({ input: process.stdin }).on('line', (line) => {
  const message = JSON.parse(line) as Message;
  if (message.method === 'initialize') initialized = true;
  if (modes.has('strict') && message.id !== undefined && !initialized) process.exit(9);
  if (message.method === 'notifications/cancelled') {
    process.stderr.write(`cancelled ${String(message.params?.['requestId'])}\n`);
  }
  if (message.method === undefined) {
    say({ id: asking?.id, result: { answer: message } });
    return;
  }
  if (message.id !== undefined) void answer(message);
});

async function answer({ id, method, params }: Message): Promise<void> {
  switch (method) {
    case 'initialize':
      say({
        id,
        result: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'fixture', version: '1' } },
      });
      return;
    case 'echo':
      say({ id, result: { params } });
      return;
    case 'seen':
      say({ id, result: { pid: process.pid, variables: Object.keys(process.env) } });
      return;
    case 'exit':
      process.exit(3);
      break;
    case 'answer-and-exit':
      process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result: { last: true } })}\n`, () =>
        process.exit(0),
      );
      return;
    case 'rubbish':
      process.stdout.write('this is not JSON\n{"json":"but no JSON-RPC"}\n\n');
      say({ id, result: {} });
      return;
    case 'flood':
      for (let i = 0; i < 2_000; i++) process.stderr.write(`${'flood '.repeat(160)}\n`);
      process.stderr.write(`${'x'.repeat(200_000)}\n`);
      say({ id, result: {} });
      return;
    case 'bytewise':
      for (const byte of Buffer.from(
        `${JSON.stringify({ jsonrpc: '2.0', id, result: { text: params?.['text'] } })}\n`,
      )) {
        await new Promise((resolve) => process.stdout.write(Buffer.of(byte), resolve));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return;
    case 'huge': {
      const text = `{"text":"${'y'.repeat(11 * 1024 * 1024)}"}`;
      const forms: Record<string, string> = {
        first: `{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${text}}`,
        last: `{"result":${text},"jsonrpc":"2.0","id":${JSON.stringify(id)}}`,
      };
      process.stdout.write(`${forms[String(params?.['form'])]}\n`);
      return;
    }
    case 'ask':
      asking = { id: id! };
      say({ id: 's-1', method: 'sampling/createMessage', params: {} });
      return;
    case 'progress': {
      const { progressToken = 1 } = (params?.['_meta'] ?? {}) as { progressToken?: unknown };
      say({ method: 'notifications/progress', params: { progressToken, progress: 1 } });
      say({ id, result: {} });
      return;
    }
    case 'subscriptions/listen': {
      const meta = { 'io.modelcontextprotocol/subscriptionId': id };
      say({ method: 'notifications/subscriptions/acknowledged', params: { _meta: meta } });
      return;
    }
    case 'grandchild': {
      // Ignores SIGTERM, and has pipes of its own, so that neither of them ends it.
      const code = "process.on('SIGTERM', () => {}); setInterval(() => {}, 60_000); process.send('up')";
      const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
      child.once('message', () => {
        child.unref();
        child.disconnect();
        say({ id, result: { pid: child.pid } });
      });
      return;
    }
    case 'silence':
      return;
    default:
      say({ id, error: { code: -32_601, message: 'Method not found' } });
  }
}
