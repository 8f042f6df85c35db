import { type ErrorDetail, RendezvousError } from 'mcp-rendezvous-protocol';

export interface Obstacle {
  detail?: ErrorDetail;
  /** Completes "The relay is unreachable: …". */
  seen: string;
  /** An imperative clause, such as "Check the port". */
  advice: string;
  /** What the system said. */
  cause?: unknown;
}

/** Tries the address once more, to find the obstacle. Undefined: there is none any more. */
export type FindObstacle = (url: URL, signal: AbortSignal) => Promise<Obstacle | undefined>;

/** Where the relay is and what is in between, for people. */
const placeOf = ({ origin }: URL, proxy: string | undefined): string =>
  `${origin}${proxy === undefined ? '' : ` behind the proxy ${proxy}`}`;

/** `relay_unreachable`, with what is known of the reason. */
export function unreachable(url: URL, proxy: string | undefined, obstacle: Obstacle): RendezvousError {
  const { detail, seen, advice, cause } = obstacle;
  // A proxy that failed is named by what was seen.
  const place = placeOf(url, detail === 'proxy_failed' ? undefined : proxy);
  return new RendezvousError(
    'relay_unreachable',
    `The relay at ${place} is unreachable: ${seen}. ${advice}, or run \`mcp-rendezvous doctor\`.`,
    { retryable: true, detail, ...(cause !== undefined && { cause }) },
  );
}

/** `relay_unreachable`, because the relay was silent. */
export const silent = (url: URL, proxy: string | undefined): RendezvousError =>
  new RendezvousError(
    'relay_unreachable',
    `The relay at ${placeOf(url, proxy)} did not answer in time. ` +
      'Check the URL and for firewalls on the path, or run `mcp-rendezvous doctor`.',
    { retryable: true, detail: 'timed_out' },
  );

/** A `ProxyError` names the proxy. */
export const proxyObstacle = (cause: Error): Obstacle => ({
  detail: 'proxy_failed',
  seen: cause.message.replace(/^The /, 'the ').replace(/\.$/, ''),
  advice: 'Check HTTPS_PROXY and NO_PROXY',
  cause,
});
