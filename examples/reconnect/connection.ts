import { Client } from '@modelcontextprotocol/client';
import { RendezvousError, type TransportOptions, WebRTCClientTransport } from 'mcp-rendezvous';

/** What a person should see. */
export type Status = 'connecting' | 'connected' | 'recovering' | 'waiting';

export interface Handlers {
  /** A new session: initialized, and without any state of the one before. */
  onsession: (client: Client) => void;
  onstatus: (status: Status) => void;
}

/**
 * Keeps one session with the server until `signal` fires, and begins a new one when it has ended.
 *
 * @throws RendezvousError that another attempt would meet again, such as `token_revoked`
 */
export async function stayConnected(options: TransportOptions, handlers: Handlers, signal: AbortSignal): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const client = new Client({ name: 'agent', version: '1.0.0' });
    const transport = new WebRTCClientTransport({ ...options, signal });
    transport.onstatechange = (state) => {
      if (state === 'connecting' || state === 'connected' || state === 'recovering') handlers.onstatus(state);
    };
    const close = () => void client.close();
    try {
      const ended = new Promise<void>((resolve) => (client.onclose = resolve));
      await client.connect(transport);
      signal.addEventListener('abort', close);
      failures = 0;
      handlers.onsession(client);
      await ended;
    } catch (error) {
      if (signal.aborted) break;
      if (!(error instanceof RendezvousError && error.retryable)) throw error;
    } finally {
      signal.removeEventListener('abort', close);
    }
    if (signal.aborted) break;
    handlers.onstatus('waiting');
    // Half a second, doubled up to half a minute, and random, so that clients do not come at once.
    await pause(Math.min(500 * 2 ** failures++, 30_000) * (0.5 + Math.random() / 2), signal);
  }
}

/** Resolves after `ms`, or when `signal` fires. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { signal: over.signal });
  });
  over.abort();
}
