import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { defaultAudience, minimumSecretBytes } from 'mcp-rendezvous-protocol/token';
import * as z from 'zod';
import { readSecretFile } from '../config/secret-files.ts';

/** HS256 secrets: the first one signs, each of them verifies. */
export type Secrets = [string, ...string[]];

/** An issuer of room tokens and the keys that its tokens are verified with. */
export interface Issuer {
  issuer: string;
  audience: string;
  keys:
    | { kind: 'secret'; secrets: Secrets }
    | { kind: 'jwks'; jwks: { keys: Record<string, unknown>[] } }
    | { kind: 'jwksUrl'; url: string };
}

export type Keys = { kind: 'secret' | 'development'; secrets: Secrets } | { kind: 'issuers'; issuers: Issuer[] };

/** A file with keys. */
export interface KeysFile {
  path: string;
  /**
   * Reads the keys. Undefined if the file cannot be used: `problems` gets every reason, without any
   * secret.
   */
  read(problems: string[]): Keys | undefined;
}

/** Whether a name or an address is this machine's own. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));

const isStrong = (secret: string): boolean => Buffer.byteLength(secret) >= minimumSecretBytes;
const tooShort = `is too short: an HS256 secret has at least ${minimumSecretBytes} bytes (RFC 7518 §3.2). Make one with: openssl rand -base64 48`;
const strongSecret = z.string().refine(isStrong, tooShort);

/** Secrets as an environment variable or a file has them: one, or one a line. */
export const secretLines = z.string().transform((text, context): Secrets => {
  const [first, ...others] = text.split(/\r?\n/).filter((line) => line !== '');
  if (first !== undefined && [first, ...others].every(isStrong)) return [first, ...others];
  context.addIssue(tooShort);
  return z.NEVER;
});

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
    kty: z.enum(['EC', 'RSA', 'OKP'], 'has to be EC, RSA or OKP: a symmetric key (oct) belongs into `secret`'),
  })
  .refine((key) => !('d' in key), 'is a private key: put only the public half here');

const issuersFile = z
  .array(
    z
      .strictObject({
        issuer: z.string().min(1),
        audience: z.string().min(1).default(defaultAudience),
        secret: z
          .union([strongSecret, z.tuple([strongSecret], strongSecret)])
          .transform((secret): Secrets => (typeof secret === 'string' ? [secret] : secret))
          .optional(),
        jwks: z.looseObject({ keys: z.array(publicKey).min(1) }).optional(),
        jwksUrl: z
          .url({ protocol: /^https?$/ })
          .refine((url) => url.startsWith('https:') || isLoopback(new URL(url).hostname), 'has to begin with https://')
          .optional(),
      })
      .transform(({ issuer, audience, ...keys }, context): Issuer => {
        const { secret, jwks, jwksUrl } = keys;
        const given = [secret, jwks, jwksUrl].filter((key) => key !== undefined);
        if (given.length !== 1) context.addIssue('needs exactly one of secret, jwks and jwksUrl');
        if (secret !== undefined) return { issuer, audience, keys: { kind: 'secret', secrets: secret } };
        if (jwks !== undefined) return { issuer, audience, keys: { kind: 'jwks', jwks } };
        return { issuer, audience, keys: { kind: 'jwksUrl', url: jwksUrl ?? '' } };
      }),
  )
  .min(1)
  .refine((issuers) => new Set(issuers.map(({ issuer }) => issuer)).size === issuers.length, 'names an issuer twice');

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
      error instanceof SyntaxError ? 'is not JSON' : `cannot be read (${(error as NodeJS.ErrnoException).code})`;
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
