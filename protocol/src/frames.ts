import * as z from 'zod/mini';
import { once } from './once.ts';
import { isPlainText } from './token/plain-text.ts';
import { maxIdLength } from './wire.ts';

/** The schemas of the frames. The types that go with them are written out in wire.ts. */

const text = (max: number) => z.string().check(z.minLength(1), z.maxLength(max));
const peerId = once(() => text(maxIdLength));
const token = once(() => text(16_384));
// Opaque to the relay: any JSON value, but present.
const data = once(() => z.unknown().check(z.refine((value) => value !== undefined, 'data is missing')));

/** What other peers and the application may know of a peer's token. */
export const peerClaims = once(() =>
  z.object({
    sub: text(256),
    role: z.enum(['server', 'client']),
    exp: z.number(),
    iss: z.optional(z.string()),
    jti: z.optional(z.string()),
    scope: z.optional(z.string()),
    client_id: z.optional(z.string()),
    invite: z.optional(z.number()),
    by: z.optional(z.string()),
    paths: z.optional(z.array(z.string())),
  }),
);

export const peerState = once(() => z.enum(['online', 'away', 'gone']));

/** PROTOCOL.md §3. */
export const joinFrame = once(() =>
  z.object({
    type: z.literal('join'),
    token: token(),
    resume: z.optional(text(256)),
    process: z.optional(text(64)),
    signal: z.optional(z.object({ id: text(maxIdLength), data: data() })),
  }),
);
export const checkFrame = once(() => z.object({ type: z.literal('check'), token: token() }));
export const signalToRelay = once(() =>
  z.object({ type: z.literal('signal'), id: text(maxIdLength), to: peerId(), data: data() }),
);
export const tokenFrame = once(() => z.object({ type: z.literal('token'), token: token() }));
export const inviteFrame = once(() =>
  z.object({
    type: z.literal('invite'),
    id: text(maxIdLength),
    name: z.optional(text(64).check(z.refine(isPlainText))),
    ttl: z.optional(z.int().check(z.minimum(1))),
  }),
);
export const revokeFrame = once(() => z.object({ type: z.literal('revoke'), id: text(maxIdLength), jti: text(512) }));
export const sessionPath = once(() => z.enum(['direct', 'turn', 'relayed']));
export const connectedFrame = once(() =>
  z.object({ type: z.literal('connected'), peer: peerId(), path: sessionPath() }),
);
export const failedFrame = once(() =>
  // Any code: a peer may be newer than the relay.
  z.object({ type: z.literal('failed'), peer: peerId(), code: text(64).check(z.regex(/^[a-z][a-z0-9_]*$/)) }),
);
export const leaveFrame = once(() => z.object({ type: z.literal('leave') }));
export const pingFrame = once(() => z.object({ type: z.literal('ping') }));

export const frameToRelay = once(() =>
  z.discriminatedUnion('type', [
    joinFrame(),
    checkFrame(),
    signalToRelay(),
    tokenFrame(),
    inviteFrame(),
    revokeFrame(),
    connectedFrame(),
    failedFrame(),
    leaveFrame(),
    pingFrame(),
  ]),
);

/** The shape of WebRTC's RTCIceServer. */
export const iceServer = once(() =>
  z.object({
    urls: z.union([z.string(), z.array(z.string())]),
    username: z.exactOptional(z.string()),
    credential: z.exactOptional(z.string()),
  }),
);

// Absent where a peer may not send relayed data.
const relayedRate = once(() =>
  z.optional(z.object({ bytesPerSecond: z.number().check(z.positive()), burst: z.number().check(z.positive()) })),
);

/** PROTOCOL.md §4. */
export const joinedFrame = once(() =>
  z.object({
    type: z.literal('joined'),
    peer: peerId(),
    resume: text(256),
    room: z.string(),
    role: z.enum(['server', 'client']),
    peers: z.array(z.object({ id: peerId(), state: z.enum(['online', 'away']), claims: peerClaims() })),
    iceServers: z.array(iceServer()),
    expiresAt: z.number(),
    // Earlier versions of the relay do not report their time.
    now: z.optional(z.number()),
    limits: z.object({
      maxFrameBytes: z.number(),
      relayed: relayedRate(),
      // Absent: this peer cannot invite.
      invite: z.optional(z.number().check(z.positive())),
    }),
    // Absent: the relay is of an earlier version, or wants no reports of this peer.
    reports: z.optional(z.boolean()),
  }),
);
export const checkedFrame = once(() =>
  z.object({
    type: z.literal('checked'),
    iceServers: z.array(iceServer()),
    limits: z.object({ relayed: relayedRate() }),
  }),
);
export const peerFrame = once(() =>
  z.object({
    type: z.literal('peer'),
    id: peerId(),
    state: peerState(),
    claims: z.optional(peerClaims()),
    // With `gone`: taken for dead, it may come back under the same id.
    lost: z.optional(z.boolean()),
    // Any: one that this version does not know says nothing about sessions.
    reason: z.optional(text(64)),
  }),
);
export const signalFromRelay = once(() => z.object({ type: z.literal('signal'), from: peerId(), data: data() }));
export const outcomeCode = once(() => z.enum(['absent', 'gone', 'forbidden', 'unavailable', 'done']));
export const outcomeFrame = once(() =>
  z.object({
    type: z.literal('outcome'),
    id: text(maxIdLength),
    code: outcomeCode(),
    retryAfterMs: z.optional(z.number()),
  }),
);
export const invitedFrame = once(() =>
  z.object({
    type: z.literal('invited'),
    id: text(maxIdLength),
    token: z.string().check(z.minLength(1)),
    expiresAt: z.number(),
  }),
);
export const iceServersFrame = once(() =>
  z.object({ type: z.literal('ice_servers'), iceServers: z.array(iceServer()) }),
);
export const tokenExpiringFrame = once(() => z.object({ type: z.literal('token_expiring'), expiresAt: z.number() }));
export const pongFrame = once(() => z.object({ type: z.literal('pong') }));
export const goawayFrame = once(() => z.object({ type: z.literal('goaway'), afterMs: z.number() }));
export const errorFrame = once(() =>
  z.object({
    type: z.literal('error'),
    // Any: the close number behind it says what to do about one that this version does not know.
    code: text(64),
    message: z.string(),
  }),
);

export const frameFromRelay = once(() =>
  z.discriminatedUnion('type', [
    joinedFrame(),
    checkedFrame(),
    peerFrame(),
    signalFromRelay(),
    outcomeFrame(),
    invitedFrame(),
    iceServersFrame(),
    tokenExpiringFrame(),
    goawayFrame(),
    pongFrame(),
    errorFrame(),
  ]),
);
