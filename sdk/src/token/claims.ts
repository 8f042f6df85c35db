import * as z from 'zod/mini';

/**
 * The claims that a room token must have (PROTOCOL.md §2), for whoever verifies one. Signature, `aud`, `iss`, `exp` and `nbf`
 * are the JWT library's to check.
 */
export const roomClaims = z.object({
  room: z.string().check(z.minLength(1), z.maxLength(128)),
  role: z.enum(['server', 'client']),
  sub: z.string().check(z.minLength(1), z.maxLength(256)),
  exp: z.number(),
  iss: z.optional(z.string()),
  jti: z.optional(z.string()),
  scope: z.optional(z.string()),
  client_id: z.optional(z.string()),
});
export type RoomClaims = z.infer<typeof roomClaims>;
