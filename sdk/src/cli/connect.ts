import { WebRTCClientTransport } from '../transport/client.ts';
import { Bridge, brokenEnd, type End } from './bridge.ts';
import { CliError } from './cli-error.ts';
import { detail, type Log } from './log.ts';
import type { Connection } from './connection-flags.ts';

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
  const transport = watchedTransport({ connection, timeoutMs, log });
  const bridge = new Bridge(client, transport, {
    onerror: (error) => log.info(`${error.message}${log.verbose ? detail(error) : ''}`),
  });
  const stopped = () => void bridge.close(new CliError('session_closed', 'mcp-rendezvous was stopped.', true));
  if (stop.aborted) stopped();
  stop.addEventListener('abort', stopped, { once: true });
  const { side, error } = await bridge.ended;
  if (side === 'upstream') throw error ?? closed();
  if (error && side) throw error;
  log.info(side ? 'closed: the MCP client left' : 'closed');
}

/** A transport to the room's server that tells what becomes of its connection, each line after `prefix`. */
export function watchedTransport(
  { connection, timeoutMs, log }: Pick<ConnectOptions, 'connection' | 'timeoutMs' | 'log'>,
  prefix = '',
): WebRTCClientTransport {
  const { relay, token, secret, room, subject } = connection;
  const transport = new WebRTCClientTransport({ relay, token, ...(secret && { secret }), connectTimeoutMs: timeoutMs });
  let connected = false;
  const say = (line: string) => log.info(`${prefix}${line}`);
  transport.onstatechange = (state) => {
    if (state === 'connecting') say(`connecting to room ${room} as ${subject} through ${relay}`);
    if (state === 'recovering') say('lost the connection to the server, restoring it…');
    if (state !== 'connected') return;
    if (!connected) say(`connected to ${transport.peer?.subject ?? 'the server'}`);
    else void pathOf(transport).then((path) => say(`the connection is back${path}`));
    connected = true;
  };
  return transport;
}

/** The network path, for people. */
export async function pathOf(transport: Pick<WebRTCClientTransport, 'stats'>): Promise<string> {
  // The connection may be lost again by then, and not every engine tells: it is said without.
  const stats = await transport.stats().catch(() => undefined);
  const { localCandidateType: local, remoteCandidateType: remote, protocol } = stats ?? {};
  if (local === undefined) return '';
  return ` (path: ${remote === 'relay' ? remote : local}${protocol === undefined ? '' : ` over ${protocol}`})`;
}

/** Tells an MCP client why there will be no session, if it asks in time. */
export async function refuse(client: End, reason: Error): Promise<void> {
  await new Bridge(client, brokenEnd(reason), { onerror: () => {} }).ended;
}

const closed = () => new CliError('session_closed', 'The MCP session is over: the MCP server closed it.', true);
