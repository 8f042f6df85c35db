import type { Message, Wire } from '../../../console/src/rpc/rpc.ts';

/** One end of a channel within the process, for the console's client and for a server of an SDK. */
export interface End extends Wire {
  start(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Two ends of a channel. A message arrives in a task of its own, as JSON.
 *
 * @param onmessage is shown each message and who sent it
 */
export function channel(
  onmessage: (from: 'client' | 'server', message: Message) => void,
): Record<'client' | 'server', End> {
  const end = (from: 'client' | 'server', other: () => End): End => ({
    async start() {},
    async send(message) {
      const text = JSON.stringify(message);
      onmessage(from, JSON.parse(text) as Message);
      setImmediate(() => other().onmessage?.(JSON.parse(text) as Message));
    },
    async close() {
      client.onclose?.();
      server.onclose?.();
    },
  });
  const client: End = end('client', () => server);
  const server: End = end('server', () => client);
  return { client, server };
}
