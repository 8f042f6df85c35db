import {
  closeCodes,
  parseShallow,
  type PeerClaims,
  peerClaims,
  type PeerReason,
  type PeerState,
  type RelayErrorCode,
} from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import type { Change, Message } from './broker.ts';

export type Envelope = { change: Change } | { message: Message };

const codes = Object.keys(closeCodes) as [RelayErrorCode, ...RelayErrorCode[]];

const reasons = ['closed', 'timeout', 'left', 'replaced', 'kicked', 'revoked'] satisfies PeerReason[];

/** Every member of a change is listed, because a schema drops what it does not know. */
const change = {
  room: z.string(),
  role: z.enum(['server', 'client']),
  id: z.string(),
  state: z.enum(['online', 'away', 'gone'] satisfies PeerState[]),
  lost: z.literal(true).optional(),
  // A newer instance may know more reasons. The peer is gone all the same.
  reason: z.enum(reasons).optional().catch(undefined),
  instance: z.string(),
  // Kept as they are: views compare claims as text, and a newer instance may know more of them.
  claims: z.custom<PeerClaims>((value) => peerClaims.safeParse(value).success),
  version: z.number(),
  previous: z.number(),
  joined: z.number(),
} satisfies Record<keyof Change, z.core.$ZodType>;

const message = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('signal'),
    room: z.string(),
    to: z.string(),
    from: z.string(),
    id: z.string(),
    data: z.string().min(1),
    origin: z.string(),
  }),
  z.object({ type: z.literal('undelivered'), room: z.string(), to: z.string(), id: z.string() }),
  z.object({
    type: z.literal('evict'),
    room: z.string(),
    id: z.string(),
    resumeDigest: z.string(),
    // A newer instance may know more codes. The peer is evicted all the same.
    code: z.enum(codes).optional().catch('internal'),
  }),
]);

const envelope = z.union([z.object({ change: z.object(change) }), z.object({ message })]);

/** Envelopes are shallow: a signal's data is a string in them. */
const maxLevels = 16;

/** Reads an envelope; undefined for any other text, because others can publish in Redis, too. */
export function parseEnvelope(text: string): Envelope | undefined {
  return envelope.safeParse(parseShallow(text, maxLevels)).data as Envelope | undefined;
}
