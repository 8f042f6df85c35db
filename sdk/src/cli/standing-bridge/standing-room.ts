import type { TransportOptions } from '../connect.ts';
import { roomSession } from './room-session.ts';
import type { ServerMemory } from './server-memory.ts';
import { StandingServer } from './standing-server.ts';

export interface StandingOptions extends TransportOptions {
  /** What the first request waits for a server, and a connection may take, in milliseconds. */
  timeoutMs: number;
  /** What later requests wait for a server that is away, in milliseconds. */
  waitMs: number;
  /** What the last server said of itself. @default none */
  memory?: ServerMemory | undefined;
}

/** A token with which the relay finds this wrong may become right by itself. */
const passing: ReadonlySet<string> = new Set(['token_expired', 'token_not_yet_valid']);

/** The server of the room, whichever it is at the time. Lines of the log begin with `prefix`. */
export function standingRoom(options: StandingOptions, prefix = ''): StandingServer {
  const { connection, timeoutMs, waitMs, memory, log } = options;
  let sessions = 0;
  let joined = false;
  const onjoined = () => (joined = true);
  return new StandingServer({
    connect: () => roomSession(options, { again: (sessions += 1) > 1, prefix, onjoined }),
    waitMs,
    timeoutMs,
    memory,
    // Of a source whose tokens the relay has never taken, another one is no better.
    renewable: (code) => typeof connection.token === 'function' && (joined || passing.has(code)),
    say: (line) => log.info(`${prefix}${line}`),
  });
}
