import {
  closeCodes,
  type PeerClaims,
  peerClaims,
  peerReason,
  peerState,
  type RelayErrorCode,
} from 'mcp-rendezvous-protocol';
import * as z from 'zod';
import type { Change, Message } from './broker.ts';
import type { RoomKey } from '../rooms/ids.ts';

/** What instances say to each other: a step of a group, or a message. */
export type Envelope = { change: Change } | { message: Message };

/** A signal but for its data: room, to, from, id, origin. A list, because its names would take longer to read than the rest. */
type SignalHead = [room: string, to: string, from: string, id: string, origin: string];

/** No JSON text contains it (RFC 7464 §2.1), so that nothing has to be escaped between envelopes. */
const separator = '\u001e';

/**
 * An envelope as text. A signal's data follows behind its head as it is: inside, it would be escaped here and unescaped there, character
 * by character.
 */
export function pack(envelope: Envelope): string {
  if (!('message' in envelope) || envelope.message.type !== 'signal') return JSON.stringify(envelope);
  const { room, to, from, id, origin, data } = envelope.message;
  return `${JSON.stringify([room, to, from, id, origin] satisfies SignalHead)}${separator}${data}`;
}

/** Several envelopes as one parcel. */
export const bundle = (packed: readonly string[]): string => packed.join(separator);

const role = z.enum(['server', 'client']);
const signalHead = z.tuple([z.string(), z.string(), z.string(), z.string(), z.string()]);
/** Every member of a change has to be here: what a schema does not know, it drops. */
const change = {
  room: z.string(),
  role,
  id: z.string(),
  state: peerState,
  lost: z.literal(true).optional(),
  // A newer instance may have a reason that this one does not know. The peer is gone all the same.
  reason: z.optional(peerReason).catch(undefined),
  instance: z.string(),
  // As they are: views compare claims as text, and a newer instance may have more of them.
  claims: z.custom<PeerClaims>((value) => peerClaims.safeParse(value).success),
  version: z.number(),
  previous: z.number(),
  joined: z.number(),
} satisfies Record<keyof Change, z.core.$ZodType>;

const envelope = z.union([
  z.object({ change: z.object(change) }),
  z.object({
    message: z.discriminatedUnion('type', [
      z.object({ type: z.literal('undelivered'), room: z.string(), to: z.string(), id: z.string() }),
      z.object({
        type: z.literal('evict'),
        room: z.string(),
        id: z.string(),
        resumeDigest: z.string(),
        // A newer instance may have a code that this one does not know. The peer is evicted all the same.
        code: z
          .enum(Object.keys(closeCodes) as [RelayErrorCode])
          .optional()
          .catch('internal'),
      }),
    ]),
  }),
]);

/**
 * The envelopes of a parcel, in their order; undefined in the place of what is none. Nothing is expected of
 * a parcel's text: whatever can publish in Redis can write one.
 */
export function* unpack(parcel: string): Iterable<Envelope | undefined> {
  const texts = parcel.split(separator).values();
  for (const text of texts) {
    const value = parse(text);
    if (Array.isArray(value)) {
      const head = signalHead.safeParse(value).data;
      const data = texts.next().value;
      if (!head || !data) yield undefined;
      else
        yield {
          message: {
            type: 'signal',
            room: head[0] as RoomKey,
            to: head[1],
            from: head[2],
            id: head[3],
            origin: head[4],
            data,
          },
        };
    } else {
      yield envelope.safeParse(value).data as Envelope | undefined;
    }
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
