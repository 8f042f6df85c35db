import { env, stdin, stdout } from 'node:process';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import type { IceServer } from 'mcp-rendezvous-protocol';
import { connect } from '../mcp/clients.ts';
import { Witness } from '../mcp/fixture.ts';
import { serve } from '../mcp/servers.ts';

/**
 * One end of an MCP session, as a process: with TOKEN of role `server` it serves until standard
 * input ends; with one of role `client` it makes one request and prints how it was connected, as
 * JSON.
 */
const { RELAY = '', TOKEN = '', ROLE, POLICY, ICE_SERVERS } = env;
const options = {
  relay: RELAY,
  token: TOKEN,
  connectTimeoutMs: 60_000,
  ...(POLICY === 'relay' ? { iceTransportPolicy: 'relay' as const } : {}),
  ...(ICE_SERVERS ? { iceServers: JSON.parse(ICE_SERVERS) as IceServer[] } : {}),
};

if (ROLE === 'server') {
  const listener = await listen(options, (transport) => serve('v2', transport, new Witness()));
  stdin.resume().on('end', () => void listener.close());
} else {
  const transport = new WebRTCClientTransport(options);
  const session = await connect('v2 legacy', transport);
  const { text } = await session.call('echo', { text: 'through' });
  stdout.write(`${JSON.stringify({ text, ...(await transport.stats()) })}\n`);
  await session.close();
}
