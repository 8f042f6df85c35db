import { createHash, randomBytes } from 'node:crypto';

/**
 * A peer id, `p-` and 22 characters: 132 random bits, so that it cannot be guessed, and without any trace of the instance, because peers
 * move. What is put together from two texts would keep both; so `p-` is what the first bytes are in base64url.
 */
export function newPeerId(): string {
  const bytes = randomBytes(18);
  bytes.writeUInt16BE(0xa7e0 | (bytes.readUInt16BE() & 0x000f));
  return bytes.toString('base64url');
}

/** The room as the relay knows it: rooms of different issuers never meet. Without an issuer it is empty. */
export const roomKeyOf = (issuer: string, room: string): string => JSON.stringify([issuer, room]);

export function parseRoomKey(key: string): { issuer: string; room: string } {
  const [issuer, room] = JSON.parse(key) as [issuer: string, room: string];
  return { issuer, room };
}

/** An instance id; it names the instance's inbox. */
export const newInstanceId = (): string => randomBytes(9).toString('base64url');

/** The secret half of a resume string: 192 random bits. */
export const newResumeSecret = (): string => randomBytes(24).toString('base64url');

/** What is stored of a resume secret. The secret is random and long, so that a plain digest is enough. */
export const digest = (secret: string): string => createHash('sha256').update(secret).digest('base64url');

/** A `resume` member taken apart. One that is no resume string resumes nothing, which is not an error: PROTOCOL.md §4. */
export function parseResume(resume: string): { id: string; connection: string } | undefined {
  const [, id, secret] = /^(p-[\w-]{22})\.([\w-]{32})$/.exec(resume) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, connection: digest(secret) };
}
