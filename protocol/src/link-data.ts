import * as z from 'zod/mini';
import { once } from './once.ts';

/** What the frames of a data channel have in JSON: PROTOCOL.md §7. */
export const hello = once(() =>
  z.object({
    session: z.optional(z.string().check(z.regex(/^[\w-]{22,64}$/))),
    /** 32 bytes. */
    nonce: z.string().check(z.regex(/^[\w-]{43}$/)),
    maxMessageBytes: z.int().check(z.minimum(1)),
    received: z.int().check(z.minimum(0)),
    auth: z.enum(['secret', 'none']),
    resumable: z.optional(z.boolean()),
  }),
);

/** What the answerer says under the handshake of the relayed path: PROTOCOL.md §8. */
export const pathAnswer = once(() => z.object({ subject: z.string(), hello: hello() }));

export const messageMeta = once(() =>
  z.object({
    relatedRequestId: z.optional(z.union([z.string(), z.int()])),
    headers: z.optional(z.record(z.string(), z.string())),
  }),
);
