import {
  closeCodes,
  nestsDeeperThan,
  type PeerClaims,
  peerClaims,
  peerReason,
  peerState,
  type RelayErrorCode,
} from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import type { Change, Message } from './broker.ts';

/** What instances send each other: a step of a group, or a message. */
export type Envelope = { change: Change } | { message: Message };

const codes = Object.keys(closeCodes) as [RelayErrorCode, ...RelayErrorCode[]];

/** Every member of a change is listed, because a schema drops what it does not know. */
const change = {
  room: z.string(),
  role: z.enum(['server', 'client']),
  id: z.string(),
  state: peerState,
  lost: z.literal(true).optional(),
  // A newer instance may know more reasons. The peer is gone all the same.
  reason: z.optional(peerReason).catch(undefined),
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

/** An envelope has few levels of its own. A signal's data is a string in it. */
const maxLevels = 16;

/** Reads an envelope; undefined for any other text, because others can publish in Redis, too. */
export function parseEnvelope(text: string): Envelope | undefined {
  // JSON.parse must not see a text that is very deep: see json-depth.ts.
  if (nestsDeeperThan(text, maxLevels)) return undefined;
  try {
    return envelope.safeParse(JSON.parse(text)).data as Envelope | undefined;
  } catch {
    return undefined;
  }
}
