import { type ErrorCode, type PeerState, RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import { callHandler } from './call-handler.ts';

/** What happened, for the option `ondiagnostic`. */
type Happening =
  /** A WebSocket to the relay is open; the token is on its way. */
  | { type: 'relay_open' }
  /** The relay accepted this peer into the room, the first time or again. */
  | { type: 'joined'; self: string; room: string; role: Role }
  /** The connection to the relay is lost, and will be tried again. */
  | { type: 'relay_lost'; code: ErrorCode }
  /** Another peer of the room came (back), lost its connection to the relay, or went. */
  | { type: 'peer'; state: PeerState }
  | { type: 'offer_sent' | 'offer_received' | 'answer_sent' | 'answer_received' }
  /**
   * A candidate. Over a custom signaling channel they are part of the descriptions and not
   * reported.
   */
  | { type: 'candidate'; side: 'local' | 'remote'; candidateType: string; protocol: string }
  /**
   * Another WebRTC engine makes the connection: TURN is needed, and the one before does not use it.
   */
  | { type: 'engine_changed'; from: string; to: string }
  /** WebRTC's `connectionState` and `iceConnectionState`. */
  | { type: 'connection'; state: string; iceState: string }
  /** The data channel is open, and its DTLS handshake proven. */
  | { type: 'channel_open' }
  /** MCP messages may pass. With a secret both sides have proven it. */
  | { type: 'session_open'; mode: 'framed' | 'plain' }
  /**
   * The first MCP message of the session, sent (`local`) or received, with the `traceparent` of its
   * `_meta` (W3C Trace Context), if it has one.
   */
  | { type: 'first_message'; side: 'local' | 'remote'; traceparent?: string }
  /** The state of the session, `transport.state`. */
  | { type: 'state'; state: 'connecting' | 'connected' | 'recovering' | 'closed' }
  /** The network path in use: at the beginning, and when the connection is back. */
  | {
      type: 'path_changed';
      path: 'direct' | 'turn' | 'relayed';
      localCandidateType?: string;
      remoteCandidateType?: string;
      protocol?: string;
    };

/**
 * One step of connecting, or of what becomes of a connection. No token, secret, description or
 * network address is in it. Later versions may add types and members.
 */
export type DiagnosticEvent = Happening & {
  /** Milliseconds, as of `performance.now()`. */
  at: number;
  /** The relay's id of the other peer that it is about, where that is known. */
  peer?: string;
};

/** For the option `ondiagnostic`. What it throws is an uncaught exception and changes nothing. */
export type DiagnosticHandler = (event: DiagnosticEvent) => void;

export type Diagnose = (what: Happening, peer?: string) => void;

/** @param peer the other peer, where all of it is about one */
export const diagnoseTo =
  (handler: DiagnosticHandler | undefined, peer?: string): Diagnose =>
  (what, other = peer) =>
    callHandler(handler, { ...what, at: performance.now(), ...(other !== undefined && { peer: other }) });

/** @throws RendezvousError `bad_option` */
export function checkDiagnosticHandler(handler: unknown): void {
  if (handler === undefined || typeof handler === 'function') return;
  throw new RendezvousError('bad_option', 'ondiagnostic must be a function.');
}

/** The kind of a candidate, without its address. */
export function candidateEvent(side: 'local' | 'remote', candidate: string): Happening {
  const [, protocol = '', candidateType = ''] =
    /^candidate:\S+ \d+ (\w+) .* typ (\w+)/i.exec(candidate.replace(/^a=/, '')) ?? [];
  return { type: 'candidate', side, candidateType, protocol: protocol.toLowerCase() };
}
