import type { TestContext } from 'node:test';
import { listen, type Listener, WebRTCClientTransport, type WebRTCServerTransport } from 'mcp-rendezvous';
import type { RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { testToken } from '../../server/test/support/peer.ts';
import { Witness } from './fixture.ts';
import { serve, type ServerKind } from './servers.ts';

/**
 * A room's MCP server, one of that kind for each client, what happens in all of them, and their
 * transports. Closed with the test.
 */
export async function host(
  t: TestContext,
  relay: string,
  room: string,
  kind: ServerKind,
): Promise<[Listener, Witness, WebRTCServerTransport[]]> {
  const witness = new Witness();
  const transports: WebRTCServerTransport[] = [];
  const listener = await listen({ relay, token: await testToken({ room, role: 'server' }) }, (transport) => {
    transports.push(transport);
    return serve(kind, transport, witness);
  });
  t.after(() => listener.close());
  return [listener, witness, transports];
}

/** A transport for a client of the room; it is closed with the test. */
export async function visitor(
  t: TestContext,
  relay: string,
  room: string,
  token: Partial<RoomTokenOptions> = {},
  connectTimeoutMs = 60_000,
): Promise<WebRTCClientTransport> {
  const transport = new WebRTCClientTransport({
    relay,
    token: await testToken({ room, role: 'client', ...token }),
    connectTimeoutMs,
  });
  t.after(() => transport.close());
  return transport;
}
