import { type DestinationStream, pino } from 'pino';
import { LogDestination } from './log-destination.ts';

/** What the relay logs with. No token, resume secret or signal data is ever passed to it. */
export type Logger = pino.Logger;

/** A JSON logger. `destination` is standard output unless given. */
export function createLogger(level: string, destination: DestinationStream = new LogDestination(1)): Logger {
  const log = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
  if (destination instanceof LogDestination) {
    destination.onrecover = (dropped, reason) => log.warn({ dropped, reason }, droppedLines);
  }
  return log;
}

const droppedLines =
  'Log lines were dropped because standard output could not be written. Look for a full disk (ENOSPC), or a process that reads the log and hangs (EAGAIN) or has ended (EPIPE).';
