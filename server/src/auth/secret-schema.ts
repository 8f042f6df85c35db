import { minimumSecretBytes } from 'mcp-rendezvous-protocol/token';
import * as z from 'zod';
import type { Secrets } from './secrets.ts';

const isStrong = (secret: string): boolean => Buffer.byteLength(secret) >= minimumSecretBytes;
const tooShort = `is too short: an HS256 secret needs at least ${minimumSecretBytes} bytes (RFC 7518 §3.2). Create one with: openssl rand -base64 48`;
export const strongSecret = z.string().refine(isStrong, tooShort);

/** Secrets in an environment variable or a file, one per line. */
export const secretLines = z.string().transform((text, context): Secrets => {
  const [first, ...others] = text.split(/\r?\n/).filter((line) => line !== '');
  if (first !== undefined && [first, ...others].every(isStrong)) return [first, ...others];
  context.addIssue(tooShort);
  return z.NEVER;
});
