import { Client } from '@modelcontextprotocol/client';
import { RendezvousError, WebRTCClientTransport } from 'mcp-rendezvous';
import { useEffect, useState } from 'react';

export type Connection =
  | { state: 'connecting' }
  | { state: 'connected' | 'recovering'; client: Client }
  /** Another attempt follows after `waiting`, none after `failed`. */
  | { state: 'waiting' | 'failed'; error: Error };

export interface Place {
  relay: string;
  /** Called again whenever a token is about to expire. */
  token: () => Promise<string>;
}

/**
 * Connects to the MCP server of a room for as long as the component is mounted.
 *
 * @param place the same object at every render: define it outside of the component, or memoize it
 */
export function useMcp(place: Place): Connection {
  const [connection, setConnection] = useState<Connection>({ state: 'connecting' });
  useEffect(() => {
    const unmounted = new AbortController();
    void keepConnected(place, unmounted.signal, setConnection);
    // StrictMode mounts, unmounts and mounts again: the first attempt ends here, before it has
    // asked for a token.
    return () => unmounted.abort();
  }, [place]);
  return connection;
}

async function keepConnected(place: Place, unmounted: AbortSignal, show: (now: Connection) => void): Promise<void> {
  for (let failures = 0; !unmounted.aborted;) {
    show({ state: 'connecting' });
    const client = new Client({ name: document.title, version: '1.0.0' });
    const transport = new WebRTCClientTransport({ ...place, signal: unmounted });
    const ended = Promise.withResolvers<void>();
    client.onclose = ended.resolve;
    let error = new Error('The session has ended.');
    try {
      await client.connect(transport);
      failures = 0;
      show({ state: 'connected', client });
      // A session survives lost networks by itself: messages wait meanwhile.
      transport.onstatechange = (state) => {
        if (state === 'connected' || state === 'recovering') show({ state, client });
      };
      unmounted.addEventListener('abort', () => void client.close(), { once: true });
      if (unmounted.aborted) await client.close();
      await ended.promise;
    } catch (thrown) {
      error = thrown as Error;
      const final = error instanceof RendezvousError && !error.retryable;
      if (final && !unmounted.aborted) return show({ state: 'failed', error });
    }
    if (unmounted.aborted) return;
    show({ state: 'waiting', error });
    failures += 1;
    await new Promise((resume) => setTimeout(resume, Math.random() * Math.min(30_000, 500 * 2 ** failures)));
  }
}
