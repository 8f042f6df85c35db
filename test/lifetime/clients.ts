import { argv } from 'node:process';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { eventually, within } from '../support/wait.ts';

/**
 * Clients of one room in a process of their own: sessions one after the other, several at a time,
 * and some that are still open when the process is killed. When only those are left it says how
 * often a session failed: on a busy machine a connection may time out, and is tried again.
 *
 *     node … clients.ts <relay> <token> <sessions> <sessions that stay open>
 */

const [relay = '', token = '', sessions = '0', open = '0'] = argv.slice(2);
const atOnce = 4;
/** One of so many sessions waits for its direct connection; the others end while it is made. */
const directEach = 3;

async function begin(): Promise<WebRTCClientTransport> {
  while (true) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error as { retryable?: boolean }).retryable) throw error;
      failed += 1;
    }
  }
}

async function attempt(): Promise<WebRTCClientTransport> {
  const transport = new WebRTCClientTransport({ relay, token });
  const answered = Promise.withResolvers<void>();
  transport.onmessage = () => answered.resolve();
  transport.onclose = () => answered.reject(new Error('the session was closed'));
  await transport.start();
  await transport.send({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  await within(answered.promise, 'the answer to initialize', 60_000);
  return transport;
}

let count = 0;
let failed = 0;
async function oneAfterTheOther(): Promise<void> {
  while (count < Number(sessions)) {
    const own = (count += 1);
    const transport = await begin();
    if (own % directEach === 0) await eventually(() => transport.path === 'direct', 60_000, 'a direct path');
    await transport.close();
  }
}
await Promise.all(Array.from({ length: atOnce }, oneAfterTheOther));
for (let left = 0; left < Number(open); left++) await begin();
process.send?.(failed);
