import { once } from 'node:events';
import { watchedTransport } from '../connect.ts';
import { CliError } from '../cli-error.ts';
import type { Log } from '../log.ts';
import type { Connection } from '../connection-flags.ts';
import { Gateway } from './gateway.ts';
import type { Access } from './guard.ts';

export interface ConnectHttpOptions {
  connection: Connection;
  /** Milliseconds until a connection that does not come about is given up. */
  timeoutMs: number;
  host: string;
  port: number;
  access: Access;
  log: Log;
  /** Ends the command in good order. */
  stop: AbortSignal;
}

/**
 * The command `connect --http`: the room's MCP server as an HTTP endpoint on this side. It connects when a client asks for
 * something. Resolves when `stop` fires.
 *
 * @throws CliError `bad_option`
 */
export async function connectHttp(options: ConnectHttpOptions): Promise<void> {
  const { log, stop } = options;
  const gateway = new Gateway({ ...options, connect: (name) => watchedTransport(options, `${name}: `) });
  const { room, subject, relay } = options.connection;
  log.info(`the server of room ${room} is at ${await gateway.listen()} (as ${subject} through ${relay})`);
  if (!stop.aborted) await once(stop, 'abort');
  await gateway.close(new CliError('session_closed', 'mcp-rendezvous was stopped.', true));
}
