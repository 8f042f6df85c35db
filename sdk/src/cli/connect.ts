import { WebRTCClientTransport } from '../transport/client.ts';
import type { DiagnosticHandler } from '../util/diagnostic.ts';
import { Bridge, brokenEnd, type End } from './bridge.ts';
import type { Log, LogEvent } from './log.ts';
import type { Connection } from './connection-flags.ts';
import { letGrow } from './young-generation.ts';

export interface TransportOptions {
  connection: Connection;
  /** Milliseconds until a connection that does not come about is given up. */
  timeoutMs: number;
  log: Log;
}

/**
 * A transport to the room's server that tells what becomes of its connection, each line after
 * `prefix`.
 */
export function watchedTransport(
  { connection, timeoutMs, log }: TransportOptions,
  prefix = '',
  { signal, ondiagnostic, quiet }: { signal?: AbortSignal; ondiagnostic?: DiagnosticHandler; quiet?: boolean } = {},
): WebRTCClientTransport {
  const { relay, token, secret, iceServers, claims, room, subject } = connection;
  const debug = debugSteps(log, prefix);
  const transport = new WebRTCClientTransport({
    relay,
    token,
    ...(secret && { secret }),
    ...(iceServers && { iceServers }),
    ...(claims && { claims }),
    connectTimeoutMs: timeoutMs,
    ...(signal && { signal }),
    ondiagnostic: (event) => {
      debug(event);
      ondiagnostic?.(event);
    },
  });
  let connected = false;
  const say = (line: string, event: LogEvent) => log.info(`${prefix}${line}`, event);
  transport.onstatechange = (state) => {
    if (state === 'connecting' && !quiet) {
      say(`connecting to room ${room} as ${subject} through ${relay}`, { event: 'connecting', room, subject, relay });
    }
    if (state === 'recovering') say('lost the connection to the server, reconnecting…', { event: 'reconnecting' });
    if (state !== 'connected') return;
    letGrow();
    const { peer } = transport;
    const server = peer?.subject;
    if (!connected) {
      const event = { event: 'connected', server, verified: peer?.verified };
      say(`connected to ${server ?? 'the server'}${provenBy(transport)}`, event);
    } else void pathOf(transport).then((path) => say(`reconnected${path}`, { event: 'reconnected' }));
    connected = true;
  };
  return transport;
}

/** Writes what the SDK tells of connecting, for --debug. */
export const debugSteps =
  (log: Log, prefix = ''): DiagnosticHandler =>
  ({ type, at: _, ...details }) => {
    const rest = Object.entries(details).map(([name, value]) => `${name}=${value}`);
    log.debug(`${prefix}${[type, ...rest].join(' ')}`);
  };

export const provenBy = ({ peer }: Pick<WebRTCClientTransport, 'peer'>): string =>
  peer?.verified === true ? ', verified by its secret' : ', not verified: without a secret the relay vouches for it';

export async function pathOf(transport: Pick<WebRTCClientTransport, 'stats'>): Promise<string> {
  // The connection may be lost again by then, and not every engine tells: it is said without.
  const stats = await transport.stats().catch(() => undefined);
  if (stats?.path === 'relayed') return ' (path: relayed)';
  const { localCandidateType: local, remoteCandidateType: remote, protocol } = stats ?? {};
  if (local === undefined) return '';
  return ` (path: ${remote === 'relay' ? remote : local}${protocol === undefined ? '' : ` over ${protocol}`})`;
}

/** Tells an MCP client why there will be no session, if it asks in time. */
export async function refuse(client: End, reason: Error): Promise<void> {
  await new Bridge(client, brokenEnd(reason), { onerror: () => {} }).ended;
}
