import * as z from 'zod/mini';

/** The WebSocket subprotocol of this version: PROTOCOL.md §1. */
export const subprotocol = 'mcp-rendezvous.v1';

/** Where the relay listens for WebSockets, below its base URL. */
export const connectPath = '/v1/connect';

/** The largest frame in UTF-8 bytes, unless the relay is configured with another limit. */
export const defaultMaxFrameBytes = 65_536;

/** The largest `join` in UTF-8 bytes, unless the relay is configured with another limit. */
export const defaultMaxJoinBytes = 16_384;

/** How deep a frame's arrays and objects may be nested, the frame itself included. */
export const maxFrameDepth = 64;

const text = (max: number) => z.string().check(z.minLength(1), z.maxLength(max));
const peerId = text(64);
const token = text(16_384);
// Opaque to the relay: any JSON value, but present.
const data = z.unknown().check(z.refine((value) => value !== undefined, 'data is missing'));

/** What other peers and the application may know of a peer's token. */
export const peerClaims = z.object({
  sub: text(256),
  role: z.enum(['server', 'client']),
  exp: z.number(),
  iss: z.optional(z.string()),
  jti: z.optional(z.string()),
  scope: z.optional(z.string()),
  client_id: z.optional(z.string()),
});
export type PeerClaims = z.infer<typeof peerClaims>;
export type Role = PeerClaims['role'];

export const peerState = z.enum(['online', 'away', 'gone']);
export type PeerState = z.infer<typeof peerState>;

/** Why a peer is `away` or `gone`: PROTOCOL.md §4. */
export const peerReason = z.enum(['closed', 'timeout', 'left', 'replaced', 'kicked', 'revoked']);
export type PeerReason = z.infer<typeof peerReason>;

/** PROTOCOL.md §3. */
export const joinFrame = z.object({
  type: z.literal('join'),
  token,
  resume: z.optional(text(256)),
  process: z.optional(text(64)),
  signal: z.optional(z.object({ id: text(64), data })),
});
export const signalToRelay = z.object({ type: z.literal('signal'), id: text(64), to: peerId, data });
export const tokenFrame = z.object({ type: z.literal('token'), token });
export const leaveFrame = z.object({ type: z.literal('leave') });
export const pingFrame = z.object({ type: z.literal('ping') });

export const frameToRelay = z.discriminatedUnion('type', [joinFrame, signalToRelay, tokenFrame, leaveFrame, pingFrame]);
export type FrameToRelay = z.infer<typeof frameToRelay>;
export type JoinFrame = z.infer<typeof joinFrame>;

/** The shape of WebRTC's RTCIceServer. */
export const iceServer = z.object({
  urls: z.union([z.string(), z.array(z.string())]),
  username: z.exactOptional(z.string()),
  credential: z.exactOptional(z.string()),
});
export type IceServer = z.infer<typeof iceServer>;

/** PROTOCOL.md §4. */
export const joinedFrame = z.object({
  type: z.literal('joined'),
  peer: peerId,
  resume: text(256),
  room: z.string(),
  role: z.enum(['server', 'client']),
  peers: z.array(z.object({ id: peerId, state: z.enum(['online', 'away']), claims: peerClaims })),
  iceServers: z.array(iceServer),
  expiresAt: z.number(),
  limits: z.object({ maxFrameBytes: z.number() }),
});
export const peerFrame = z.object({
  type: z.literal('peer'),
  id: peerId,
  state: peerState,
  claims: z.optional(peerClaims),
  // With `gone`: taken for dead, it may come back under the same id.
  lost: z.optional(z.boolean()),
  // Any: one that this version does not know says nothing about sessions.
  reason: z.optional(text(64)),
});
export const signalFromRelay = z.object({ type: z.literal('signal'), from: peerId, data });
export const outcomeCode = z.enum(['absent', 'gone', 'forbidden', 'unavailable']);
export const outcomeFrame = z.object({
  type: z.literal('outcome'),
  id: text(64),
  code: outcomeCode,
  retryAfterMs: z.optional(z.number()),
});
export const iceServersFrame = z.object({ type: z.literal('ice_servers'), iceServers: z.array(iceServer) });
export const tokenExpiringFrame = z.object({ type: z.literal('token_expiring'), expiresAt: z.number() });
export const pongFrame = z.object({ type: z.literal('pong') });
export const goawayFrame = z.object({ type: z.literal('goaway'), afterMs: z.number() });
export const errorFrame = z.object({
  type: z.literal('error'),
  // Any: the close number behind it says what to do about one that this version does not know.
  code: text(64),
  message: z.string(),
});

export const frameFromRelay = z.discriminatedUnion('type', [
  joinedFrame,
  peerFrame,
  signalFromRelay,
  outcomeFrame,
  iceServersFrame,
  tokenExpiringFrame,
  goawayFrame,
  pongFrame,
  errorFrame,
]);
export type FrameFromRelay = z.infer<typeof frameFromRelay>;
export type JoinedFrame = z.infer<typeof joinedFrame>;
export type OutcomeCode = z.infer<typeof outcomeCode>;
