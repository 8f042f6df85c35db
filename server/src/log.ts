import { type DestinationStream, pino } from 'pino';

/** What the relay logs with. No token, resume secret or signal data is ever passed to it. */
export type Logger = pino.Logger;

/** A JSON logger. `destination` is standard output unless given. */
export function createLogger(
  level: string,
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}
