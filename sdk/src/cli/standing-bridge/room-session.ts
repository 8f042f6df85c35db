import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { DiagnosticEvent } from '../../util/diagnostic.ts';
import { type TransportOptions, watchedTransport } from '../connect.ts';
import type { ServerSession } from './standing-server.ts';

export interface RoomSessionOptions {
  /** Not the first one: that it connects is not worth a line each time. */
  again: boolean;
  /** What lines of the log begin with. */
  prefix: string;
  /** The relay has taken the token. */
  onjoined: () => void;
}

/**
 * A session with the room's server, whenever that comes: the relay tells, and nothing is asked
 * again and again. Once a server is there, connecting to it has the time of `timeoutMs`.
 */
export function roomSession(
  { connection, timeoutMs, log }: TransportOptions,
  { again, prefix, onjoined }: RoomSessionOptions,
): ServerSession {
  const abort = new AbortController();
  const online = new Set<string>();
  let connecting = true;
  let timer: NodeJS.Timeout | undefined;
  const look = (): void => {
    if (!connecting || online.size === 0) {
      clearTimeout(timer);
      timer = undefined;
    } else timer ??= setTimeout(() => abort.abort(tooSlow(timeoutMs)), timeoutMs);
  };
  const lose = (): void => {
    online.clear();
    // How long to pause is a matter of who waits for the server, which is known above.
    if (again && connecting) abort.abort(relayLost());
  };
  const ondiagnostic = (event: DiagnosticEvent): void => {
    if (event.type === 'state') connecting = event.state === 'connecting';
    else if (event.type === 'relay_lost') lose();
    else if (event.type === 'peer' && event.state === 'online') online.add(event.peer ?? '');
    else if (event.type === 'peer') online.delete(event.peer ?? '');
    else if (event.type === 'joined') {
      onjoined();
      // Who is in the room is told in the same turn.
      queueMicrotask(() => {
        if (connecting && online.size === 0) {
          log.info(`${prefix}room ${JSON.stringify(event.room)} is empty, waiting for its server`);
        }
      });
    }
    look();
  };
  const own = { signal: abort.signal, ondiagnostic, quiet: again };
  return watchedTransport({ connection, timeoutMs: Infinity, log }, prefix, own);
}

const relayLost = (): RendezvousError =>
  new RendezvousError('relay_unreachable', 'The connection to the relay was lost before a server came.', {
    retryable: true,
  });

const tooSlow = (ms: number): RendezvousError =>
  new RendezvousError('connect_timeout', `The server is there, but no connection to it opened within ${ms / 1000} s.`, {
    retryable: true,
  });
