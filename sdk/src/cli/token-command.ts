import { createPrivateKey } from 'node:crypto';
import type { JWK } from 'jose';
import { jwtPayload, RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { usage } from './cli-error.ts';
import { defaultSubject, readSecretFile, relayUrl } from './connection-flags.ts';
import { lifeOf } from './invitations/account.ts';
import { relayTime } from './relay-time.ts';
import { variables } from './variables.ts';

export interface TokenFlags {
  room: string;
  role: string;
  subject?: string;
  ttl: string;
  invite?: string;
  scope?: string;
  issuer?: string;
  keyFile?: string;
  audience?: string;
  jti?: string;
  json?: boolean;
  relay?: string;
}

/**
 * The command `token`: what it prints, a room token signed with `--key-file` or RELAY_SECRET. It is
 * dated by the relay's clock where the relay is named.
 *
 * @param warn gets a line for people
 * @throws CliError `bad_option`
 */
export async function token(flags: TokenFlags, env: NodeJS.ProcessEnv, warn: (line: string) => void): Promise<string> {
  const { room, ttl, scope, issuer, audience, jti } = flags;
  const named = flags.relay ?? env[variables.relay];
  const relay = named ? relayUrl(named) : undefined;
  const role = flags.role as Role;
  const signed = await sign(
    {
      key: signingKey(flags.keyFile, env[variables.key]),
      room,
      role,
      subject: flags.subject ?? defaultSubject(role),
      ttl,
      ...(scope === undefined ? {} : { scope }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
      ...(jti === undefined ? {} : { id: jti }),
      ...(flags.invite === undefined ? {} : { invite: lifeOf('--invite', flags.invite) }),
    },
    relay,
    warn,
  );
  const { exp } = jwtPayload(signed) ?? {};
  warn(`the token ends at ${new Date(Number(exp) * 1000).toISOString()}; use --ttl to choose another lifetime`);
  return flags.json ? JSON.stringify({ token: signed, claims: jwtPayload(signed) }) : signed;
}

/**
 * Signs a token, dated by the clock of the relay that it is for: this machine's may be wrong, and
 * the relay would refuse it as expired or not yet valid.
 *
 * @param relay undefined: it is not known, and this machine's clock has to do
 * @param warn gets a line for people when the relay does not tell the time
 * @throws CliError `bad_option`
 */
export async function sign(
  options: RoomTokenOptions,
  relay: string | undefined,
  warn: (line: string) => void = () => {},
): Promise<string> {
  const issuedAt = relay === undefined ? undefined : await relayTime(relay);
  if (relay !== undefined && issuedAt === undefined) {
    warn(`the relay at ${relay} did not report its time, so the token uses the clock of this machine`);
  }
  try {
    return await createRoomToken({ ...options, ...(issuedAt !== undefined && { issuedAt }) });
  } catch (error) {
    // The message is about an option and does not contain the key.
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
    throw usage('No signing key is configured. Set RELAY_SECRET to the key of the relay, or pass --key-file.');
  }
  const text = readSecretFile('--key-file', file);
  try {
    if (text.startsWith('{')) return JSON.parse(text) as JWK;
    if (text.startsWith('-----BEGIN')) return createPrivateKey(text).export({ format: 'jwk' }) as JWK;
  } catch {
    // The parsers' messages may quote the key.
    throw usage('The --key-file is neither a private key (PEM or JWK) nor a secret.');
  }
  return firstLine(text);
}

/** The secret that signs: the first one of several, one per line, as during a key rotation. */
const firstLine = (secrets: string): string => /[^\r\n]+/.exec(secrets)?.[0] ?? '';
