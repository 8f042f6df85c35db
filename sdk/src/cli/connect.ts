import { WebRTCClientTransport } from '../transport/client.ts';
import { Bridge, brokenEnd, type End } from './bridge.ts';
import { CliError } from './errors.ts';
import { detail, type Log } from './log.ts';
import type { Connection } from './options.ts';

export interface ConnectOptions {
  connection: Connection;
  /** Milliseconds until a connection that does not come about is given up. */
  timeoutMs: number;
  /** Where the MCP client is. */
  client: End;
  log: Log;
  /** Ends the command in good order. */
  stop: AbortSignal;
}

/**
 * The command `connect`: the room's MCP server for the client on this side. Resolves when the client has left or `stop` fires.
 *
 * @throws CliError, RendezvousError: what ended it; the client's open requests have been answered with the same by then
 */
export async function connect({ connection, timeoutMs, client, log, stop }: ConnectOptions): Promise<void> {
  const { relay, token, room, subject } = connection;
  const transport = new WebRTCClientTransport({ relay, token, connectTimeoutMs: timeoutMs });
  let connected = false;
  transport.onstatechange = (state) => {
    if (state === 'connecting') log.info(`connecting to room ${room} as ${subject} through ${relay}`);
    if (state === 'recovering') log.info('connection lost, reconnecting');
    if (state === 'connected')
      log.info(connected ? 'connected again' : `connected to ${transport.peer?.subject ?? 'the server'}`);
    connected ||= state === 'connected';
  };
  const bridge = new Bridge(client, transport, {
    onerror: (error) => log.info(`${error.message}${log.verbose ? detail(error) : ''}`),
  });
  const stopped = () => void bridge.close(new CliError('session_closed', 'mcp-rendezvous was stopped.', true));
  if (stop.aborted) stopped();
  stop.addEventListener('abort', stopped, { once: true });
  const { side, error } = await bridge.ended;
  if (side === 'upstream') throw error ?? lost();
  if (error && side) throw error;
  log.info(side ? 'closed: the MCP client left' : 'closed');
}

/** Tells an MCP client why there will be no session, if it asks in time. */
export async function refuse(client: End, reason: Error): Promise<void> {
  await new Bridge(client, brokenEnd(reason), { onerror: () => {} }).ended;
}

const lost = () =>
  new CliError(
    'session_closed',
    'The MCP session is over: the server closed it, or the connection to it was lost.',
    true,
  );
