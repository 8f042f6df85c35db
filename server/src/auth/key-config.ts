import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ClaimMapping } from 'mcp-rendezvous-protocol';
import { defaultAudience } from 'mcp-rendezvous-protocol/token';
import * as z from 'zod';
import { readSecretFile } from '../config/secret-files.ts';
import { secretLines, strongSecret } from './secret-schema.ts';
import type { Secrets } from './secrets.ts';

export type { Secrets } from './secrets.ts';

export interface Issuer {
  issuer: string;
  audience: string;
  /** Where its tokens have the claims of a room token, if elsewhere. */
  claims?: ClaimMapping | undefined;
  keys:
    | { kind: 'secret'; secrets: Secrets }
    | { kind: 'jwks'; jwks: { keys: Record<string, unknown>[] } }
    | { kind: 'jwksUrl'; url: string };
}

export type Keys = { kind: 'secret' | 'development'; secrets: Secrets } | { kind: 'issuers'; issuers: Issuer[] };

export interface KeysFile {
  path: string;
  /**
   * Reads the keys. Undefined if the file cannot be used: `problems` gets every reason, without any
   * secret.
   */
  read(problems: string[]): Keys | undefined;
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

/**
 * Reads `RELAY_SECRET_FILE`.
 *
 * @param problems gets what is wrong with it; no secret is in it
 */
export function readSecretKeys(path: string, problems: string[]): Keys | undefined {
  const text = readSecretFile('RELAY_SECRET', path, problems);
  if (text === undefined) return undefined;
  const parsed = secretLines.safeParse(text);
  if (parsed.success) return { kind: 'secret', secrets: parsed.data };
  problems.push(...parsed.error.issues.map(({ message }) => `RELAY_SECRET_FILE ${path} ${message}.`));
  return undefined;
}

const publicKey = z
  .looseObject({
    kty: z.enum(['EC', 'RSA', 'OKP'], 'must be EC, RSA or OKP: put a symmetric key (oct) into `secret`'),
  })
  .refine((key) => !('d' in key), 'is a private key: configure only the public key here');

const place = z.union([z.string().min(1), z.array(z.string().min(1)).min(1)]);

const issuersFile = z
  .array(
    z
      .strictObject({
        issuer: z.string().min(1),
        audience: z.string().min(1).default(defaultAudience),
        claims: z.strictObject({ room: place.optional(), role: place.optional(), sub: place.optional() }).optional(),
        secret: z
          .union([strongSecret, z.tuple([strongSecret], strongSecret)])
          .transform((secret): Secrets => (typeof secret === 'string' ? [secret] : secret))
          .optional(),
        jwks: z.looseObject({ keys: z.array(publicKey).min(1) }).optional(),
        jwksUrl: z
          .url({ protocol: /^https?$/ })
          .refine((url) => url.startsWith('https:') || isLoopback(new URL(url).hostname), 'must start with https://')
          .optional(),
      })
      .transform(({ secret, jwks, jwksUrl, ...named }, context): Issuer => {
        const given = [secret, jwks, jwksUrl].filter((key) => key !== undefined);
        if (secret !== undefined && named.claims)
          context.addIssue('must not set claims together with `secret`: such tokens are issued for the relay');
        if (given.length !== 1) context.addIssue('must set exactly one of secret, jwks and jwksUrl');
        if (secret !== undefined) return { ...named, keys: { kind: 'secret', secrets: secret } };
        if (jwks !== undefined) return { ...named, keys: { kind: 'jwks', jwks } };
        return { ...named, keys: { kind: 'jwksUrl', url: jwksUrl ?? '' } };
      }),
  )
  .min(1)
  .refine((issuers) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, 'lists an issuer twice');

/**
 * Reads an issuers file.
 *
 * @param problems gets what is wrong with it; no secret is in it
 */
export function readIssuers(path: string, problems: string[]): Keys | undefined {
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // A parser's message may quote the file, and the file may hold a secret.
    const reason =
      error instanceof SyntaxError ? 'is not valid JSON' : `cannot be read (${(error as NodeJS.ErrnoException).code})`;
    problems.push(`RELAY_ISSUERS_FILE ${path} ${reason}.`);
    return undefined;
  }
  const parsed = issuersFile.safeParse(content);
  if (parsed.success) return { kind: 'issuers', issuers: parsed.data };
  for (const { path: where, message } of parsed.error.issues) {
    problems.push(`RELAY_ISSUERS_FILE ${path}: ${where.length > 0 ? `${where.join('.')} ` : 'the list '}${message}.`);
  }
  return undefined;
}
