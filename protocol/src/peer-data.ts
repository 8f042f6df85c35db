import * as z from 'zod/mini';
import { once } from './once.ts';

/** What peers put into a signal's `data`: PROTOCOL.md §6. The relay never looks at it. */
const counter = once(() => z.int().check(z.minimum(0)));
const sequenced = once(() => ({
  gen: z.int().check(z.minimum(1)),
  seq: z.optional(z.int().check(z.minimum(1))),
  ack: z.optional(counter()),
}));
const sdp = once(() => z.string().check(z.minLength(1)));
/** A message of the Noise handshake of the relayed path, in base64url: PROTOCOL.md §8. */
const noise = once(() => z.string().check(z.regex(/^[\w-]{43,4096}$/)));

export const byeCode = once(() => z.enum(['busy', 'refused', 'closed', 'failed', 'no_session']));

const candidateBody = once(() =>
  z.object({
    candidate: z.string().check(z.minLength(1)),
    sdpMid: z.exactOptional(z.nullable(z.string())),
    sdpMLineIndex: z.exactOptional(z.nullable(z.number())),
    usernameFragment: z.exactOptional(z.nullable(z.string())),
  }),
);
const candidates = once(() =>
  z.extend(candidateBody(), { more: z.exactOptional(z.array(candidateBody()).check(z.maxLength(63))) }),
);

export const peerData = once(() =>
  z.discriminatedUnion('kind', [
    z.object({
      kind: z.literal('offer'),
      ...sequenced(),
      body: z.object({ sdp: sdp(), noise: z.exactOptional(noise()) }),
    }),
    z.object({ kind: z.literal('answer'), ...sequenced(), body: z.object({ sdp: sdp() }) }),
    z.object({ kind: z.literal('path'), ...sequenced(), body: z.object({ noise: noise() }) }),
    z.object({ kind: z.literal('candidate'), ...sequenced(), body: candidates() }),
    z.object({ kind: z.literal('bye'), ...sequenced(), body: z.object({ code: byeCode(), message: z.string() }) }),
    z.object({ kind: z.literal('ack'), ack: counter() }),
  ]),
);
