import { hash, randomBytes } from 'node:crypto';

/**
 * A room as the relay knows it: its issuer and its name, so that rooms of different issuers never
 * meet. `roomKeyOf` makes it.
 */
export type RoomKey = string & { readonly brand: 'RoomKey' };

/** @param issuer empty for tokens without one */
export const roomKeyOf = (issuer: string, room: string): RoomKey => JSON.stringify([issuer, room]) as RoomKey;

export function parseRoomKey(key: RoomKey): { issuer: string; room: string } {
  const [issuer, room] = JSON.parse(key) as [issuer: string, room: string];
  return { issuer, room };
}

/**
 * A peer id with 128 random bits, so that it cannot be guessed. It does not name the instance,
 * because peers move.
 */
export const newPeerId = (): string => `p-${randomBytes(16).toString('base64url')}`;

/** An instance id, which names the instance's inbox. */
export const newInstanceId = (): string => randomBytes(9).toString('base64url');

/** The secret half of a resume string: 192 random bits. */
export const newResumeSecret = (): string => randomBytes(24).toString('base64url');

/** What is stored of a resume secret. The secret is long and random: a plain digest is enough. */
export const digest = (secret: string): string => hash('sha256', secret, 'base64url');

/** What a peer has to know to resume, in the form in which it is stored. */
export interface ResumeClaim {
  id: string;
  resumeDigest: string;
}

/** Reads a `resume` member. Any other text resumes nothing, without an error: PROTOCOL.md §4. */
export function parseResume(resume: string): ResumeClaim | undefined {
  const [, id, secret] = /^(p-[\w-]{22})\.([\w-]{32})$/.exec(resume) ?? [];
  if (id === undefined || secret === undefined) return undefined;
  return { id, resumeDigest: digest(secret) };
}
