import * as z from 'zod/mini';

/** Neither a control character nor half a surrogate pair: what is kept, compared, logged and passed on is text everywhere. */
const plain = /^[^\p{Cc}\p{Cs}]*$/u;

/** Whether a text may be the value of a claim, as far as its characters go. */
export const isPlainText = (value: string): boolean => plain.test(value);

const text = (least: number, most: number) =>
  z.string().check(z.minLength(least), z.maxLength(most), z.refine(isPlainText));

/**
 * The claims that a room token must have (PROTOCOL.md §2), for whoever verifies one. Signature, `aud`, `iss`, `exp` and `nbf`
 * are the JWT library's to check.
 */
export const roomClaims = z.object({
  room: text(1, 128),
  role: z.enum(['server', 'client']),
  sub: text(1, 256),
  exp: z.number(),
  iat: z.optional(z.number()),
  iss: z.optional(text(0, 512)),
  jti: z.optional(text(0, 512)),
  scope: z.optional(text(0, 4096)),
  client_id: z.optional(text(0, 512)),
});
export type RoomClaims = z.infer<typeof roomClaims>;
