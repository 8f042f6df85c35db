import { once } from 'node:events';
import { CliError } from '../cli-error.ts';
import { type StandingOptions, standingRoom } from '../standing-bridge/standing-room.ts';
import { Gateway } from './gateway.ts';
import type { Access } from './guard.ts';

export interface ConnectHttpOptions extends StandingOptions {
  host: string;
  port: number;
  access: Access;
  /** Stops the command. */
  stop: AbortSignal;
}

/**
 * The command `connect --http`: the room's MCP server as an HTTP endpoint on this side. It connects
 * when a client asks for something, and what connects outlives the server. Resolves when `stop`
 * fires.
 *
 * @throws CliError `bad_option`
 */
export async function connectHttp(options: ConnectHttpOptions): Promise<void> {
  const { log, stop } = options;
  const gateway = new Gateway({ ...options, connect: (name) => standingRoom(options, `${name}: `) });
  const { room, subject, relay } = options.connection;
  log.info(`the server of room ${room} is available at ${await gateway.listen()} (as ${subject} through ${relay})`);
  if (!stop.aborted) await once(stop, 'abort');
  await gateway.close(new CliError('session_closed', 'mcp-rendezvous was stopped.', true));
}
