import { createPrivateKey } from 'node:crypto';
import { hostname } from 'node:os';
import { decodeJwt, type JWK } from 'jose';
import { RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { usage } from './cli-error.ts';
import { readSecretFile } from './connection-flags.ts';
import { variables } from './variables.ts';

export interface TokenFlags {
  room: string;
  role: string;
  subject?: string;
  ttl: string;
  scope?: string;
  issuer?: string;
  keyFile?: string;
  audience?: string;
  jti?: string;
  json?: boolean;
}

/** The `sub` of a token that nobody named: stable for a role and a machine. */
export const defaultSubject = (role: string): string => `${role}@${hostname()}`.slice(0, 256);

/**
 * The command `token`: what it prints, a room token signed with `--key-file` or RELAY_SECRET.
 *
 * @throws CliError `bad_option`
 */
export async function token(flags: TokenFlags, env: NodeJS.ProcessEnv): Promise<string> {
  const { room, ttl, scope, issuer, audience, jti } = flags;
  const role = flags.role as Role; // createRoomToken checks it
  const signed = await sign({
    key: signingKey(flags.keyFile, env[variables.key]),
    room,
    role,
    subject: flags.subject ?? defaultSubject(role),
    ttl,
    ...(scope === undefined ? {} : { scope }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
    ...(jti === undefined ? {} : { id: jti }),
  });
  return flags.json ? JSON.stringify({ token: signed, claims: decodeJwt(signed) }) : signed;
}

/** @throws CliError `bad_option` */
export async function sign(options: RoomTokenOptions): Promise<string> {
  try {
    return await createRoomToken(options);
  } catch (error) {
    // It is about an option, and says so without the key.
    if (error instanceof RendezvousError) throw usage(`No token: ${error.message}.`);
    throw error;
  }
}

/**
 * The key that signs tokens.
 *
 * @throws CliError `bad_option`, without the key
 */
export function signingKey(file: string | undefined, secret: string | undefined): string | JWK {
  if (file === undefined) {
    if (secret) return firstLine(secret);
    throw usage("There is no key: set RELAY_SECRET to the relay's, or pass --key-file.");
  }
  const text = readSecretFile('--key-file', file);
  try {
    if (text.startsWith('{')) return JSON.parse(text) as JWK;
    if (text.startsWith('-----BEGIN')) return createPrivateKey(text).export({ format: 'jwk' }) as JWK;
  } catch {
    // The parsers' messages may quote the key.
    throw usage('The file of --key-file is neither a private key (PEM or JWK) nor a secret.');
  }
  return firstLine(text);
}

/** Of several secrets, one a line, as the relay has them while one takes another's place: the one that signs. */
const firstLine = (secrets: string): string => /[^\r\n]+/.exec(secrets)?.[0] ?? '';
