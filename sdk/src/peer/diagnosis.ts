import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcPeerConnection } from './engine.ts';

type Counts = Record<string, number>;
type ServerError = Parameters<NonNullable<NonNullable<RtcPeerConnection['onicecandidateerror']>>>[0];

/**
 * What one attempt to connect has seen: the candidates of both sides by type, and the STUN and TURN servers that failed. From it
 * comes a failure that says what was tried, without naming an address.
 */
export class CandidateTally {
  readonly #local: Counts = {};
  readonly #remote: Counts = {};
  readonly #servers = new Map<string, ServerError>();

  local(candidate: string): void {
    count(this.#local, candidate);
  }

  remote(candidate: string): void {
    count(this.#remote, candidate);
  }

  /** For `onicecandidateerror`. A server fails once for each address that it is asked from. */
  serverError(error: ServerError): void {
    this.#servers.set(serverKind(error.url), error);
  }

  /** Candidates may also come inside a description. */
  descriptions(connection: RtcPeerConnection): void {
    for (const [sdp, counts] of [
      [connection.localDescription?.sdp, this.#local],
      [connection.remoteDescription?.sdp, this.#remote],
    ] as const) {
      const lines = sdp?.match(/^a=candidate:.*$/gm) ?? [];
      if (lines.length > total(counts)) {
        for (const type of Object.keys(counts)) delete counts[type];
        for (const line of lines) count(counts, line);
      }
    }
  }

  summary(): string {
    return `candidates here: ${list(this.#local)}; from the other side: ${list(this.#remote)}`;
  }

  /** What is the matter, as far as it shows, in one sentence; undefined when nothing stands out. */
  cause(): string | undefined {
    const servers = [...this.#servers]
      // One of several addresses that it was asked from is enough.
      .filter(([kind]) => !this.#local[kind.startsWith('STUN') ? 'srflx' : 'relay'])
      .map(([kind, { errorCode }]) => serverFailure(kind, errorCode));
    if (servers.length > 0) return servers.join(' ');
    if (total(this.#local) === 0) return 'This machine has no network address to offer.';
    if (total(this.#remote) === 0) return 'No network address of the other side has come.';
    if (this.#remote[hidden] === total(this.#remote)) {
      return 'The other side hides its addresses behind names of its local network (mDNS), which cannot be found from here.';
    }
    return undefined;
  }
}

/**
 * Why a connection did not come to stand: a network path that was never found (`ice_failed`), one over which the two sides do not
 * trust each other (`dtls_untrusted`), or one on which there was not time enough. Call it before the connection is closed.
 *
 * @param late the end of the time, when that and no failure is why it is given up
 */
export function explain(connection: RtcPeerConnection, tally: CandidateTally, late?: RendezvousError): RendezvousError {
  const found = ['connected', 'completed'].includes(connection.iceConnectionState);
  if (found && connection.connectionState === 'failed') {
    return new RendezvousError(
      'dtls_untrusted',
      'A network path was found, but the DTLS handshake over it failed: the other side does not have the certificate that its SDP ' +
        'names, or somebody is between the two peers. Nothing was sent.',
    );
  }
  if (found && late) {
    const missing = connection.connectionState === 'connected' ? 'data channel' : 'DTLS handshake over it';
    return new RendezvousError(
      late.code,
      `${late.message} A network path was found, but the ${missing} was not ready: one of the two machines may be too busy.`,
      { retryable: late.retryable },
    );
  }
  tally.descriptions(connection);
  const cause = tally.cause();
  return new RendezvousError(
    'ice_failed',
    `No network path between the two peers works (${tally.summary()}). ${cause ? `${cause} ` : ''}` +
      'Peers behind strict NATs or firewalls need a TURN server: configure TURN_URLS at the relay, or the option iceServers.',
    { retryable: true },
  );
}

/** What a name below `.local` is counted as. */
const hidden = 'hidden host';

function count(counts: Counts, candidate: string): void {
  const type = / typ (host|srflx|prflx|relay)/.exec(candidate)?.[1];
  if (!type) return;
  const name = type === 'host' && /^\S+ +\d+ +\S+ +\d+ +\S+\.local /i.test(candidate) ? hidden : type;
  counts[name] = (counts[name] ?? 0) + 1;
}

const total = (counts: Counts): number => Object.values(counts).reduce((sum, n) => sum + n, 0);

const list = (counts: Counts): string =>
  Object.entries(counts)
    .map(([type, n]) => `${n} ${type}`)
    .join(', ') || 'none';

/** A server without its address: `turn over tcp`. */
function serverKind(url: string): string {
  const [, scheme = 'ICE server', , transport] = /^(\w+):([^?]*)(?:\?transport=(\w+))?/.exec(url) ?? [];
  return `${scheme.toUpperCase()}${transport ? ` over ${transport.toUpperCase()}` : ''}`;
}

/** https://www.w3.org/TR/webrtc/#dom-rtcpeerconnectioniceerrorevent-errorcode; RFC 8656 §19. */
function serverFailure(kind: string, errorCode: number): string {
  switch (errorCode) {
    case 401:
    case 403:
    case 438:
      return `The ${kind} server refused the credentials (${errorCode}).`;
    case 486:
    case 508:
      return `The ${kind} server has no room left (${errorCode}).`;
    case 701:
      return `The ${kind} server gave no address: it does not answer from here, or it refused the credentials.`;
    default:
      return `The ${kind} server answered with an error (${errorCode}).`;
  }
}
