/** The WebSocket subprotocol of this version: PROTOCOL.md §1. */
export const subprotocol = 'mcp-rendezvous.v1';

/** Where the relay listens for WebSockets, below its base URL. */
export const connectPath = '/v1/connect';

/** The largest frame in UTF-8 bytes, unless the relay is configured with another limit. */
export const defaultMaxFrameBytes = 65_536;

/** The largest `join` in UTF-8 bytes, unless the relay is configured with another limit. */
export const defaultMaxJoinBytes = 16_384;

/**
 * How far the clocks of a relay, of whoever signs tokens and of a TURN server may be apart, in
 * seconds.
 */
export const clockToleranceSeconds = 60;

/** How deep a frame's arrays and objects may be nested, the frame itself included. */
export const maxFrameDepth = 64;

/** How long the id of a frame or a peer may be, in UTF-16 code units. */
export const maxIdLength = 64;

/** What other peers and the application may know of a peer's token. */
export interface PeerClaims {
  /** Who the peer is: 1 to 256 characters. */
  sub: string;
  role: 'server' | 'client';
  /** When the token ends, in seconds since the epoch. */
  exp: number;
  iss?: string | undefined;
  /** The token's own name, by which it can be revoked. */
  jti?: string | undefined;
  /** Scopes, separated by spaces (RFC 8693 §4.2). */
  scope?: string | undefined;
  client_id?: string | undefined;
  /** A server's: the longest life in seconds of the client tokens that its holder may have made. */
  invite?: number | undefined;
  /** An invited client's: the `jti` of the token that invited it. */
  by?: string | undefined;
  /** Over which paths its data may go: `direct`, `turn`, `relayed`. Absent: any. */
  paths?: string[] | undefined;
}
/** A room has one server, and any number of clients. */
export type Role = PeerClaims['role'];

/** Whether a peer's socket is up, is expected back, or will not come back. */
export type PeerState = 'online' | 'away' | 'gone';

/** Why a peer is `away` or `gone`: PROTOCOL.md §4. */
export type PeerReason = 'closed' | 'timeout' | 'left' | 'replaced' | 'kicked' | 'revoked';

/** The first frame of a peer: PROTOCOL.md §3. */
export interface JoinFrame {
  type: 'join';
  token: string;
  resume?: string | undefined;
  process?: string | undefined;
  signal?: { id: string; data: unknown } | undefined;
}

/** The path that carries the data of a session: PROTOCOL.md §8, Moving. */
export type SessionPath = 'direct' | 'turn' | 'relayed';

/** What a client reports of its session with a peer: PROTOCOL.md §3. */
export type SessionReport =
  | { type: 'connected'; peer: string; path: SessionPath }
  | { type: 'failed'; peer: string; code: string };

/** What a peer may send to the relay: PROTOCOL.md §3. */
export type FrameToRelay =
  | JoinFrame
  | { type: 'check'; token: string }
  | { type: 'signal'; id: string; to: string; data: unknown }
  | { type: 'token'; token: string }
  | { type: 'invite'; id: string; name?: string | undefined; ttl?: number | undefined }
  | { type: 'revoke'; id: string; jti: string }
  | SessionReport
  | { type: 'leave' }
  | { type: 'ping' };

/** A STUN or TURN server, in the shape of WebRTC's RTCIceServer. */
export interface IceServer {
  urls: string | string[];
  username?: string;
  credential?: string;
}

/** Bytes of whole frames. Absent: this peer may not send relayed data. */
export interface RelayedRate {
  bytesPerSecond: number;
  burst: number;
}

/** The relay has let the peer in: PROTOCOL.md §4. */
export interface JoinedFrame {
  type: 'joined';
  peer: string;
  resume: string;
  room: string;
  role: Role;
  peers: { id: string; state: 'online' | 'away'; claims: PeerClaims }[];
  iceServers: IceServer[];
  /** When the token ends, in seconds since the epoch. */
  expiresAt: number;
  /** The relay's clock, in seconds since the epoch. Relays of earlier versions do not tell it. */
  now?: number | undefined;
  limits: {
    maxFrameBytes: number;
    relayed?: RelayedRate | undefined;
    /** The longest life of an invitation, in seconds. Absent: this peer cannot invite. */
    invite?: number | undefined;
  };
  /** The relay takes `connected` and `failed` of this peer. Earlier versions do not know them. */
  reports?: boolean | undefined;
}

/** Why a signal was not handed over; what became of an `invite` or a `revoke`. */
export type OutcomeCode = 'absent' | 'gone' | 'forbidden' | 'unavailable' | 'done';

/** What the relay may send to a peer: PROTOCOL.md §4. */
export type FrameFromRelay =
  | JoinedFrame
  | { type: 'checked'; iceServers: IceServer[]; limits: { relayed?: RelayedRate | undefined } }
  | {
      type: 'peer';
      id: string;
      state: PeerState;
      claims?: PeerClaims | undefined;
      lost?: boolean | undefined;
      reason?: string | undefined;
    }
  | { type: 'signal'; from: string; data: unknown }
  | { type: 'outcome'; id: string; code: OutcomeCode; retryAfterMs?: number | undefined }
  | { type: 'invited'; id: string; token: string; expiresAt: number }
  | { type: 'ice_servers'; iceServers: IceServer[] }
  | { type: 'token_expiring'; expiresAt: number }
  | { type: 'goaway'; afterMs: number }
  | { type: 'pong' }
  | { type: 'error'; code: string; message: string };

/** Why a peer ends a negotiation: PROTOCOL.md §6. */
export type ByeCode = 'busy' | 'refused' | 'closed' | 'failed' | 'no_session';

/** The members of WebRTC's RTCIceCandidateInit. */
export interface CandidateInit {
  candidate: string;
  sdpMid?: string | null;
  sdpMLineIndex?: number | null;
  usernameFragment?: string | null;
}

/** Number of the negotiation and of the message, and what was heard of the other side. */
interface Sequenced {
  gen: number;
  seq?: number | undefined;
  ack?: number | undefined;
}

/** What peers put into a signal's `data`: PROTOCOL.md §6. */
export type PeerData =
  | ({ kind: 'offer'; body: { sdp: string; noise?: string } } & Sequenced)
  | ({ kind: 'answer'; body: { sdp: string } } & Sequenced)
  | ({ kind: 'path'; body: { noise: string } } & Sequenced)
  | ({ kind: 'candidate'; body: CandidateInit & { more?: CandidateInit[] } } & Sequenced)
  | ({ kind: 'bye'; body: { code: ByeCode; message: string } } & Sequenced)
  | { kind: 'ack'; ack: number };

/** The first frame of framed mode, in each direction: PROTOCOL.md §7. */
export interface Hello {
  session?: string | undefined;
  nonce: string;
  maxMessageBytes: number;
  received: number;
  auth: 'secret' | 'none';
  resumable?: boolean | undefined;
}

/** The payload of the answerer's message of the relayed path's handshake: PROTOCOL.md §8. */
export interface PathAnswer {
  /** The `sub` of its own token. */
  subject: string;
  /** Its HELLO, without `session`. */
  hello: Hello;
}

/** Metadata of a message, in framed mode only: PROTOCOL.md §7, DATA. */
export interface MessageMeta {
  /** The request to which the message belongs. */
  relatedRequestId?: string | number | undefined;
  headers?: Record<string, string> | undefined;
}

/** The claims of a room token: PROTOCOL.md §2. */
export interface RoomClaims extends PeerClaims {
  room: string;
  iat?: number | undefined;
}
