import { jwtPayload } from 'mcp-rendezvous-protocol';
import { wait } from '../util/abort.ts';
import type { Connection } from './connection-flags.ts';
import type { Log } from './log.ts';

/** How long before its end a token is spoken of, in seconds, and how that is said. */
const notices = [
  [3600, 'an hour'],
  [600, '10 minutes'],
  [60, 'a minute'],
  [0, 'no time'],
] as const;
/** Timers count in 32 bits, and machines sleep: the clock is read again this often, in ms. */
const longestWaitMs = 600_000;

/**
 * Says when the token ends, and again an hour, ten minutes and a minute before. A file or a command
 * may have another one by then, which starts anew. What a key signs needs nobody's care.
 */
export function tellExpiries(
  { token, renewed, invitation }: Pick<Connection, 'token' | 'renewed' | 'invitation'>,
  log: Log,
  stop: AbortSignal,
): void {
  if (renewed) return;
  const what = invitation === undefined ? 'token' : 'invitation';
  const current = async (): Promise<number | undefined> => {
    const { exp } = jwtPayload(typeof token === 'string' ? token : await token()) ?? {};
    return typeof exp === 'number' ? exp : undefined;
  };
  const follow = async (): Promise<void> => {
    let exp = await current();
    if (exp === undefined) return;
    log.info(`the ${what} ends at ${timeOf(exp)}`);
    let said = Number.POSITIVE_INFINITY;
    for (let next = upcoming(exp, said); next; next = upcoming(exp, said)) {
      const [before, left] = next;
      await until(exp - before, stop);
      const latest = await current();
      if (latest !== undefined && latest > exp) {
        exp = latest;
        said = Number.POSITIVE_INFINITY;
        log.debug(`the ${what} was renewed and ends at ${timeOf(exp)}`);
        continue;
      }
      said = before;
      const how = typeof token === 'string' ? 'start again with another one' : 'put a new one in its place';
      log.info(before === 0 ? `the ${what} has ended` : `the ${what} ends in ${left}: ${how}`);
    }
  };
  // A token that cannot be read now is reported by the connection.
  follow().catch((error: Error) => stop.aborted || log.debug(`the end of the ${what} is not known: ${error.message}`));
}

const timeOf = (exp: number): string => new Date(exp * 1000).toISOString();

const upcoming = (exp: number, said: number) =>
  notices.find(([before]) => before < said && exp - before > Date.now() / 1000);

async function until(seconds: number, stop: AbortSignal): Promise<void> {
  for (let left = seconds * 1000 - Date.now(); left > 0; left = seconds * 1000 - Date.now()) {
    await wait(Math.min(left, longestWaitMs), stop);
  }
}
