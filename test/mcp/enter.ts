import type { TestContext } from 'node:test';
import { listen, type Listener, WebRTCClientTransport } from 'mcp-rendezvous';
import type { RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { testToken } from '../../server/test/support/peer.ts';
import { Witness } from './fixture.ts';
import { serve, type ServerKind } from './servers.ts';

/** A room's MCP server, one of that kind for each client, and what happens in all of them. Closed with the test. */
export async function host(
  t: TestContext,
  relay: string,
  room: string,
  kind: ServerKind,
): Promise<[Listener, Witness]> {
  const witness = new Witness();
  const listener = await listen({ relay, token: await testToken({ room, role: 'server' }) }, (transport) =>
    serve(kind, transport, witness),
  );
  t.after(() => listener.close());
  return [listener, witness];
}

/** A transport for a client of the room; it is closed with the test. */
export async function visitor(
  t: TestContext,
  relay: string,
  room: string,
  token: Partial<RoomTokenOptions> = {},
  connectTimeoutMs = 10_000,
): Promise<WebRTCClientTransport> {
  const transport = new WebRTCClientTransport({
    relay,
    token: await testToken({ room, role: 'client', ...token }),
    connectTimeoutMs,
  });
  t.after(() => transport.close());
  return transport;
}
