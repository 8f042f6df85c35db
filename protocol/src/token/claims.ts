import * as z from 'zod/mini';
import { once } from '../once.ts';
import { isPlainText } from './plain-text.ts';

const text = (least: number, most: number) =>
  z.string().check(z.minLength(least), z.maxLength(most), z.refine(isPlainText));

/**
 * The claims that a room token must have (PROTOCOL.md §2), for whoever verifies one. Signature,
 * `aud`, `iss`, `exp` and `nbf` are the JWT library's to check.
 */
export const roomClaims = once(() =>
  z.object({
    room: text(1, 128),
    role: z.enum(['server', 'client']),
    sub: text(1, 256),
    exp: z.number(),
    iat: z.optional(z.number()),
    iss: z.optional(text(0, 512)),
    jti: z.optional(text(0, 512)),
    scope: z.optional(text(0, 4096)),
    client_id: z.optional(text(0, 512)),
    invite: z.optional(z.int().check(z.minimum(1))),
    by: z.optional(text(1, 512)),
    paths: z.optional(z.array(text(1, 32)).check(z.maxLength(8))),
  }),
);
