import { Bridge, type End } from '../bridge.ts';
import { CliError } from '../cli-error.ts';
import { detail } from '../log.ts';
import { type StandingOptions, standingRoom } from './standing-room.ts';

export interface ConnectOptions extends StandingOptions {
  client: End;
  /** Stops the command. */
  stop: AbortSignal;
}

/**
 * The command `connect`: the room's MCP server for the client on this side. It outlives that server
 * and serves the next one. Resolves when the client has left or `stop` fires.
 *
 * @throws CliError, RendezvousError: a final verdict; the client's open requests have been answered
 *   with the same by then
 */
export async function connect(options: ConnectOptions): Promise<void> {
  const { client, log, stop } = options;
  const bridge = new Bridge(client, standingRoom(options), {
    onerror: (error) => log.info(`${error.message}${log.verbose ? detail(error) : ''}`),
  });
  const stopped = () => void bridge.close(new CliError('session_closed', 'mcp-rendezvous was stopped.', true));
  if (stop.aborted) stopped();
  stop.addEventListener('abort', stopped, { once: true });
  const { side, error } = await bridge.ended;
  if (side === 'upstream') throw error!;
  if (error && side) throw error;
  log.info(side ? 'closed: the MCP client disconnected' : 'closed', { event: 'closed' });
}
