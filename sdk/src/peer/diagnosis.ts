import { type ErrorDetail, type IceServer, RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcPeerConnection } from './engine.ts';

type Counts = Record<string, number>;
type ServerError = Parameters<NonNullable<NonNullable<RtcPeerConnection['onicecandidateerror']>>>[0];

/**
 * What one attempt to connect has seen: the candidates of both sides by type, and the STUN and TURN
 * servers that failed. From it comes a failure that says what was tried, without naming an address.
 */
export class CandidateTally {
  readonly #local: Counts = {};
  readonly #remote: Counts = {};
  readonly #servers = new Map<string, ServerError>();
  #hasStun = false;

  asks(servers: readonly IceServer[]): void {
    // A TURN server tells the public address, too.
    this.#hasStun = servers.some(({ urls }) => [urls].flat().length > 0);
  }

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

  cause(): { detail: ErrorDetail; sentence: string } {
    const failures = [...this.#servers]
      // One of several addresses that it was asked from is enough.
      .filter(([kind]) => !this.#local[kind.startsWith('STUN') ? 'srflx' : 'relay'])
      .map(([kind, { errorCode }]) => ({ kind, errorCode }));
    if (failures.length > 0) {
      return {
        detail: detailOf(failures),
        sentence: failures.map(({ kind, errorCode }) => serverFailure(kind, errorCode)).join(' '),
      };
    }
    if (total(this.#local) === 0) {
      const sentence =
        'This machine has no network address for WebRTC: it is offline, or its browser or a policy blocks UDP.';
      return { detail: 'no_address', sentence };
    }
    if (total(this.#remote) === 0) {
      return { detail: 'no_remote_address', sentence: 'The other side sent no network address.' };
    }
    if (this.#remote[hidden] === total(this.#remote)) {
      return {
        detail: 'no_remote_address',
        sentence: 'The other side hides its addresses behind mDNS names, which cannot be resolved from here.',
      };
    }
    if (!this.#hasStun && !this.#local['srflx']) {
      return {
        detail: 'no_stun',
        sentence: 'No STUN server is configured, so only peers in the same network can be reached: set STUN_URLS.',
      };
    }
    return {
      detail: 'no_path',
      sentence:
        'Both sides have addresses, but no packet gets through between them: their NATs or firewalls are strict.',
    };
  }
}

/**
 * Why a connection did not come to stand: a network path that was never found (`ice_failed`), one
 * over which the two sides do not trust each other (`dtls_untrusted`), or one on which there was
 * not time enough. Call it before the connection is closed.
 *
 * @param late the end of the time, when that and no failure is why it is given up
 */
export function explain(connection: RtcPeerConnection, tally: CandidateTally, late?: RendezvousError): RendezvousError {
  const found = foundPath(connection);
  if (found && connection.connectionState === 'failed') {
    return new RendezvousError(
      'dtls_untrusted',
      'A network path was found, but the DTLS handshake failed: the other side does not have the certificate in its SDP, ' +
        'or the connection is intercepted. Nothing was sent.',
    );
  }
  if (found && late) {
    const missing = connection.connectionState === 'connected' ? 'data channel' : 'DTLS handshake over it';
    return new RendezvousError(
      late.code,
      `${late.message} A network path was found, but the ${missing} was not ready. One of the two machines may be overloaded.`,
      { retryable: late.retryable },
    );
  }
  tally.descriptions(connection);
  const { detail, sentence } = tally.cause();
  return new RendezvousError(
    'ice_failed',
    `No network path between the two peers works (${tally.summary()}). ${sentence} ` +
      'Run `mcp-rendezvous doctor` on both sides; behind strict NATs or firewalls, set TURN_URLS at the relay or the option iceServers.',
    { retryable: true, detail },
  );
}

/** The end of the time, when the other side has not said a word. */
export const silence = ({ message }: RendezvousError, offerer: boolean): RendezvousError =>
  new RendezvousError(
    'peer_silent',
    `${message} The other peer is online, but sent ${offerer ? 'no answer to the offer' : 'no offer'}.`,
    { retryable: true },
  );

export const foundPath = ({ iceConnectionState }: RtcPeerConnection): boolean =>
  ['connected', 'completed'].includes(iceConnectionState);

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

function serverKind(url: string): string {
  const [, scheme = 'ICE server', , transport] = /^(\w+):([^?]*)(?:\?transport=(\w+))?/.exec(url) ?? [];
  return `${scheme.toUpperCase()}${transport ? ` over ${transport.toUpperCase()}` : ''}`;
}

/** A TURN server that would have helped comes first, then the STUN server. */
function detailOf(failures: readonly { kind: string; errorCode: number }[]): ErrorDetail {
  const turn = failures.filter(({ kind }) => kind.startsWith('TURN'));
  if (turn.some(({ errorCode }) => errorCode !== 701)) return 'turn_refused';
  return turn.length < failures.length ? 'udp_blocked' : 'turn_unreachable';
}

/** https://www.w3.org/TR/webrtc/#dom-rtcpeerconnectioniceerrorevent-errorcode; RFC 8656 §19. */
function serverFailure(kind: string, errorCode: number): string {
  switch (errorCode) {
    case 401:
    case 403:
    case 438:
      return `The ${kind} server rejected the credentials (${errorCode}).`;
    case 486:
    case 508:
      return `The ${kind} server has no capacity left (${errorCode}).`;
    case 701:
      return `The ${kind} server is unreachable from here, or it rejected the credentials.`;
    default:
      return `The ${kind} server answered with an error (${errorCode}).`;
  }
}
