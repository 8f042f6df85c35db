import { connectPath } from 'mcp-rendezvous-protocol';
import { connectUrl } from '../signaling/relay-socket.ts';

/** How long the relay has to tell the time, in milliseconds. */
const timeoutMs = 3000;

/**
 * The relay's address for HTTP, to which a path such as `healthz` is added.
 *
 * @param relay its ws: or wss: URL
 */
export function httpBase(relay: string): URL {
  const url = connectUrl(relay);
  url.protocol = url.protocol.replace('ws', 'http');
  url.pathname = `${url.pathname.slice(0, -connectPath.length)}/`;
  return url;
}

/**
 * Resolves with the relay's time, in whole seconds since the epoch; with undefined when it does not
 * tell. It is asked each time, because no clock of this machine can be trusted to count from the
 * last answer: some stand still while it sleeps, and others are set.
 */
export async function relayTime(relay: string): Promise<number | undefined> {
  try {
    const { request } = await import('mcp-rendezvous-protocol/http');
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await request(new URL('healthz', httpBase(relay)), { signal });
    response.destroy();
    const date = response.statusCode === 200 ? Date.parse(response.headers.date ?? '') : Number.NaN;
    return Number.isNaN(date) ? undefined : date / 1000;
  } catch {
    // The next connection reports why the relay is unreachable.
    return undefined;
  }
}
