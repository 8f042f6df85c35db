/**
 * A process that connects once, says how that ended, and leaves the rest to Node: it exits when
 * nothing keeps it alive. Usage: node try-once.ts <client|server|listen> <relay>
 * <connectTimeoutMs>, with the room token in the variable TOKEN.
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { listen, RendezvousError, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { Witness } from './fixture.ts';
import { createServerV1 } from './server-v1.ts';

const [, , kind, relay = '', timeout] = process.argv;
const options = { relay, token: process.env['TOKEN'] ?? '', connectTimeoutMs: Number(timeout) };
let closes = 0;

async function attempt(): Promise<void> {
  if (kind === 'listen') {
    await listen(options, () => {});
    return;
  }
  const transport = kind === 'client' ? new WebRTCClientTransport(options) : new WebRTCServerTransport(options);
  transport.onclose = () => closes++;
  if (kind === 'client') await new Client({ name: 'once', version: '1.0.0' }).connect(transport);
  else await createServerV1(new Witness()).connect(transport);
}

const started = performance.now();
const error: unknown = await attempt().then(
  () => 'it did connect',
  (thrown: unknown) => thrown,
);
const ms = performance.now() - started;
const outcome =
  error instanceof RendezvousError
    ? { name: error.name, code: error.code, message: error.message, retryable: error.retryable }
    : { code: String(error) };
console.log(JSON.stringify({ ...outcome, closes, ms }));
