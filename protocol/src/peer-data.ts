import * as z from 'zod/mini';

/** What peers put into a signal's `data`: PROTOCOL.md §6. The relay never looks at it. */
const counter = z.int().check(z.minimum(0));
const sequenced = {
  gen: z.int().check(z.minimum(1)),
  seq: z.optional(z.int().check(z.minimum(1))),
  ack: z.optional(counter),
};
const sdp = z.string().check(z.minLength(1));

export const byeCode = z.enum(['busy', 'refused', 'closed', 'failed', 'no_session']);
export type ByeCode = z.infer<typeof byeCode>;

const candidateBody = z.object({
  candidate: z.string().check(z.minLength(1)),
  sdpMid: z.exactOptional(z.nullable(z.string())),
  sdpMLineIndex: z.exactOptional(z.nullable(z.number())),
  usernameFragment: z.exactOptional(z.nullable(z.string())),
});
/** The members of WebRTC's RTCIceCandidateInit. */
export type CandidateInit = z.infer<typeof candidateBody>;

export const peerData = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('offer'), ...sequenced, body: z.object({ sdp }) }),
  z.object({ kind: z.literal('answer'), ...sequenced, body: z.object({ sdp }) }),
  z.object({ kind: z.literal('candidate'), ...sequenced, body: candidateBody }),
  z.object({ kind: z.literal('bye'), ...sequenced, body: z.object({ code: byeCode, message: z.string() }) }),
  z.object({ kind: z.literal('ack'), ack: counter }),
]);
export type PeerData = z.infer<typeof peerData>;
